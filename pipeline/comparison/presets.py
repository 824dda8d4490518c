"""What ``ivr compare --preset`` prints: the papers' own tables and figures, from the same runs."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.extraction.feature_dataset import STREAMS, open_features
from ivr.pipeline.runs.run_folder import HISTORY, RESULTS, RunError

from .compare import EVALUATIONS, CompareError, ComparisonRow
from .comparison_pictures import draw_grid, draw_retrieved, write_retrieved
from .comparison_table import Column, Table, comparison_table, figures_of, retrieval_columns
from .generalisation import NOTHING, PLAIN_CHECK, Check, check_notes, checks_of
from .grid import EACH_STREAM, Grid, Variant, plain_variants, with_settings
from .query_time import query_milliseconds
from .table_formats import write_table_files

MEASURES = ("mAP", "P@1", "P@10")
ALL_MEASURES = ("mAP", *(f"{letter}@{k}" for letter in "PRF" for k in (1, 5, 10)))
VALIDATION = retrieval_columns(("validation mAP",))
TIMES = tuple(
    Column(name, direction, lowest=True)
    for direction in ("image_to_voice", "voice_to_image")
    for name in ("code", "rank", "query")
)
HEALTH = (
    Column("dead bits", lowest=True),
    Column("imbalance", ranked=False),
    Column("correlation", ranked=False),
    Column("distinct images", ranked=False),
    Column("distinct voices", ranked=False),
    Column("agreement"),
    *(
        Column(name, block="outputs and distances", lowest=True)
        for name in ("quantisation error images", "quantisation error voices")
    ),
    *(
        Column(name, direction, block="outputs and distances", lowest=name == "overlap")
        for name in ("overlap", "gap")
        for direction in DIRECTIONS
    ),
)
WEIGHTS = (0.001, 0.01, 0.1, 1.0)
PLAIN = "network.output_norm=false"
LETTER = (
    "reduction=sum",
    "pair_weights=none",
    "theta_scale=1",
    "gamma=1",
    "eta=1",
    PLAIN,
    "training.learning_rate=0.0001",
)
ABLATION = (
    Variant("DIVH", "divh"),
    Variant("without L2", "divh", ("gamma=0",)),
    Variant("without L3", "divh", ("eta=0",)),
    Variant("without L2 and L3", "divh", ("gamma=0", "eta=0")),
)
CHOICES = (
    Variant("DIVH", "divh"),
    Variant("optimiser=adamw", "divh", ("training.optimiser=adamw",)),
    Variant("theta_scale=1 (eq. 8)", "divh", ("theta_scale=1",)),
    Variant("theta_scale=0.5 (eq. 7)", "divh", ("theta_scale=0.5",)),
    Variant("activation=linear", "divh", ("activation=linear",)),
    Variant("pair_weights=none (eq. 8)", "divh", ("pair_weights=none",)),
    Variant("balance=separate", "divh", ("balance=separate",)),
    Variant("balance_on=straight-through", "divh", ("balance_on=straight-through",)),
    Variant("gamma=1, eta=1", "divh", ("gamma=1", "eta=1")),
    Variant("no masks", "divh", ("network.time_masks=0", "network.frequency_masks=0")),
    Variant("image_hidden=0", "divh", ("network.image_hidden=0",)),
    Variant("output_norm=false", "divh", (PLAIN,)),
    Variant("eq. 8-11 to the letter, sums", "divh", LETTER),
)
GRID = {f"gamma={gamma:g}, eta={eta:g}": (gamma, eta) for gamma in WEIGHTS for eta in WEIGHTS}
PARAMETERS = tuple(
    Variant(label, "divh", (f"gamma={gamma:g}", f"eta={eta:g}"))
    for label, (gamma, eta) in GRID.items()
)

CHECKED = (
    *(Column("mAP", direction, "mAP") for direction in DIRECTIONS),
    *(Column(n, d, "mAP", ranked=False) for n in ("chance", "of plain") for d in DIRECTIONS),
    *(Column("P@10", direction, "P@10") for direction in DIRECTIONS),
)


BySeed = dict[int, dict[str, float]]
Figures = Callable[[Path, ComparisonRow, Sequence[Column]], BySeed]


@dataclass(frozen=True)
class Preset:
    """A table of a paper.

    Attributes:
        text: what it prints, in a line.
        columns: its figures.
        methods: that it compares where the user names none.
        variants: of one method, in the place of methods; the user cannot choose others.
        streams: what the voice ends see, where the user does not say.
        protocol: where the user names none.
        published: beginning of the names of the published rows that it prints, None for none.
        by_sign: show real-valued methods after sign too.
        differences: show how far the mAP of each row is from that of the reference.
        checks: what is asked of every method, of the folder of the features.
        figures: makes the figures of a line by seed, of features and the folder of the comparison.
        together: completes the figures of the lines by what only all of them say.
        draws: what is written beside the table, of folder, name, table and lines.
        unit: of the figures.
        notes: below the table.
        tells: more of them, of what was compared.
    """

    text: str
    columns: tuple[Column, ...]
    methods: tuple[str, ...] = ("all",)
    variants: tuple[Variant, ...] = ()
    streams: tuple[tuple[str, ...], ...] = (STREAMS,)
    protocol: str = "divh"
    published: str | None = ""
    by_sign: bool = True
    differences: bool = True
    checks: Callable[[Path], tuple[Check, ...]] = lambda _: (PLAIN_CHECK,)
    figures: Figures = lambda _, line, columns: figures_of(line, columns)
    together: Callable[[Sequence[ComparisonRow], list[BySeed]], list[BySeed]] = lambda _, figures: (
        figures
    )
    draws: Callable[[Path, str, Table, Sequence[ComparisonRow]], list[Path]] = lambda *_: []
    unit: str = "Percent"
    notes: tuple[str, ...] = ()
    tells: Callable[[Grid], Sequence[str]] = lambda _: ()


def preset_checks(name: str, features: Path) -> tuple[Check, ...]:
    """Return what the preset ``name`` asks of every method, as ``features`` allow.

    Raises:
        StoreError, ManifestError: see their modules.
    """
    return PRESETS[name].checks(features)


def preset_grid(
    name: str,
    *,
    methods: Sequence[str] | None,
    streams: Sequence[str],
    given: Sequence[str],
    bits: tuple[int, ...],
    voices: tuple[str, ...],
    seeds: tuple[int, ...],
    protocol: str | None,
    cut: str,
    device: str,
    reference: str | None,
    checks: tuple[Check, ...] = (PLAIN_CHECK,),
) -> Grid:
    """Return what the preset ``name`` compares, with what the user chose in its place.

    Args:
        name: of the preset.
        methods: names of methods, None for the preset's.
        streams: streams that commas part, or ``each``; none for the preset's.
        given: settings, see :func:`ivr.pipeline.comparison.grid.with_settings`.
        bits: lengths of the codes.
        voices: that are trained on.
        seeds: of the runs.
        protocol: that all are judged by, None for the preset's.
        cut: of the images, ``""`` for the protocol's.
        device: to train on.
        reference: label of a row, only checked.
        checks: see :func:`preset_checks`.

    Raises:
        ValueError: a choice that cannot be made.
    """
    preset = PRESETS[name]
    if preset.variants and methods:
        raise ValueError(f"the preset {name} is of {preset.variants[0].method}: give no methods")
    variants = preset.variants or plain_variants(methods or preset.methods)
    labels = [variant.label for variant in variants]
    if reference is not None and reference not in labels:
        raise ValueError(f"no row {reference!r} to refer to; there are {', '.join(labels)}")
    chosen: list[tuple[str, ...]] = []
    for text in streams:
        chosen += EACH_STREAM if text == "each" else (tuple(text.split(",")),)
    return Grid(
        with_settings(variants, given),
        bits,
        tuple(chosen) or preset.streams,
        voices,  # type: ignore[arg-type]
        seeds,
        protocol or preset.protocol,
        cut,
        device,
        checks,
    )


def write_comparison(
    features: Path,
    out: Path,
    grid: Grid,
    lines: Sequence[ComparisonRow],
    name: str,
    reference: str | None,
) -> tuple[Table, list[Path]]:
    """Write the table of the preset ``name`` in every form; return it and the files.

    Raises:
        RunError, CurvesError: damaged files of a run.
    """
    preset = PRESETS[name]
    shown = [line for line in lines if preset.by_sign or not line.by_sign]
    figures = [preset.figures(features, line, preset.columns) for line in shown]
    table = comparison_table(
        preset.text,
        grid,
        shown,
        preset.columns,
        preset.together(shown, figures),
        reference=reference,
        differences=preset.differences,
        published=preset.published,
        unit=preset.unit,
        notes=(*preset.notes, *preset.tells(grid)),
    )
    paths = write_table_files(out, name, table)
    return table, [*paths, *preset.draws(out, name, table, shown)]


def _validation_figures(
    _: Path, line: ComparisonRow, columns: Sequence[Column]
) -> dict[int, dict[str, float]]:
    """Return the figures of the epoch that was kept; the test split is not looked at."""
    return {
        seed: {
            f"{column.direction}.{column.name}": 100 * best[column.direction] for column in columns
        }
        for seed, evaluation in line.evaluations.items()
        if (best := _kept_epoch(_run(evaluation.folder)))
    }


def _merged(
    one: Mapping[int, Mapping[str, float]], other: Mapping[int, Mapping[str, float]]
) -> dict[int, dict[str, float]]:
    return {seed: {**found, **other.get(seed, {})} for seed, found in one.items()}


def _kept_epoch(run: Path) -> Mapping[str, float]:
    try:
        epochs = [json.loads(text) for text in (run / HISTORY).read_text().splitlines()]
        looked = [epoch for epoch in epochs if epoch["image_to_voice"] is not None]
        best: Mapping[str, float] = max(
            reversed(looked), key=lambda epoch: epoch["image_to_voice"] + epoch["voice_to_image"]
        )
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{run / HISTORY}: damaged, not the history of a run") from error
    return best


def _query_times(
    features: Path, line: ComparisonRow, _: Sequence[Column]
) -> dict[int, dict[str, float]]:
    return {
        seed: query_milliseconds(features, _run(evaluation.folder), by_sign=line.by_sign)
        for seed, evaluation in line.evaluations.items()
    }


def _health_figures(
    _: Path, line: ComparisonRow, columns: Sequence[Column]
) -> dict[int, dict[str, float]]:
    """Return what ``health`` of the results says by key of the column; not what is unknown."""
    figures = {}
    for seed, evaluation in line.evaluations.items():
        try:
            found = _health_values(evaluation.results["health"])
            figures[seed] = {
                column.key: float(value)
                for column in columns
                if (value := found[column.key]) is not None
            }
        except (KeyError, TypeError, ValueError) as error:
            raise CompareError(
                f"{evaluation.folder / RESULTS}: damaged; remove {evaluation.folder} and call again"
            ) from error
    return figures


def _health_values(health: Mapping[str, Any]) -> dict[str, Any]:
    both, errors = health["both"], health["quantisation_error"] or {}
    distances = {
        f"{direction}.{name}": health[direction]["distances"][name]
        for direction in DIRECTIONS
        for name in ("overlap", "gap")
    }
    return {
        "dead bits": len(both["dead_bits"]),
        "imbalance": both["imbalance"],
        "correlation": both["correlation_mean"],
        "distinct images": health["images"]["distinct_codes"],
        "distinct voices": health["voices"]["distinct_codes"],
        "agreement": health["agreement"],
        "quantisation error images": errors.get("images"),
        "quantisation error voices": errors.get("voices"),
        **distances,
    }


def _run(folder: Path) -> Path:
    """Return the run folder that the evaluation in ``folder`` belongs to."""
    assert folder.parent.name == EVALUATIONS
    return folder.parent.parent


def _with_chance(_: Path, line: ComparisonRow, columns: Sequence[Column]) -> BySeed:
    """Return the figures of ``line`` and the mAP of a random order of what it searched."""
    chance = {
        seed: {f"{d}.chance": float(evaluation.results["chance"][d]["mAP"]) for d in DIRECTIONS}
        for seed, evaluation in line.evaluations.items()
    }
    return _merged(figures_of(line, columns), chance)


def _with_shares(lines: Sequence[ComparisonRow], figures: list[BySeed]) -> list[BySeed]:
    """Return ``figures`` with the share of the mAP of the plain run of the same seed, percent."""
    plain = {
        _asked(line): found
        for line, found in zip(lines, figures, strict=True)
        if line.check == PLAIN_CHECK
    }
    return [
        _merged(found, _shares(found, plain.get(_asked(line), {})))
        for line, found in zip(lines, figures, strict=True)
    ]


def _asked(line: ComparisonRow) -> tuple[object, ...]:
    """Return what lines have in common that differ by their check alone."""
    return replace(line.row, left_out=NOTHING), line.by_sign


def _shares(found: BySeed, plain: BySeed) -> BySeed:
    return {
        seed: {
            f"{d}.of plain": 100 * figures[f"{d}.mAP"] / whole
            for d in DIRECTIONS
            if (whole := plain.get(seed, {}).get(f"{d}.mAP"))
        }
        for seed, figures in found.items()
    }


def _curves(out: Path, name: str, table: Table, lines: Sequence[ComparisonRow]) -> list[Path]:
    return [
        write_retrieved(out / f"{name}-points.csv", lines),
        draw_retrieved(out / f"{name}.png", lines, table.title),
    ]


def _heat(out: Path, name: str, table: Table, lines: Sequence[ComparisonRow]) -> list[Path]:
    del lines
    return [draw_grid(out / f"{name}.png", table, GRID, ("gamma", "eta"))]


PRESETS = {
    "compare": Preset(
        "Methods side by side: mAP, P@1 and P@10",
        retrieval_columns(MEASURES),
    ),
    "divh-comparison": Preset(
        "DIVH, Tables II-IV: mAP, P@1, P@5 and P@10 of the methods of its tables",
        retrieval_columns(("mAP", "P@1", "P@5", "P@10")),
        methods=("dvan", "cmir_net", "dtbh", "divh"),
    ),
    "divh-ablation": Preset(
        "DIVH, Table V: with and without the terms L2 (gamma) and L3 (eta)",
        retrieval_columns(MEASURES),
        variants=ABLATION,
        published="DIVH",
    ),
    "divh-parameters": Preset(
        "DIVH, Fig. 4: mAP over gamma and eta",
        retrieval_columns(("mAP",)) + VALIDATION,
        variants=PARAMETERS,
        published=None,
        figures=lambda features, line, columns: _merged(
            figures_of(line, columns), _validation_figures(features, line, VALIDATION)
        ),
        draws=_heat,
        notes=(
            "Choose weights by the validation split; that of the test split is shown as drawn.",
        ),
    ),
    "divh-curves": Preset(
        "DIVH, Figs. 5-12: precision over retrieved items",
        retrieval_columns(("mAP", "P@1", "P@10")),
        draws=_curves,
    ),
    "divh-query-time": Preset(
        "DIVH, Table VI: milliseconds of one query, to code it and to rank the test split",
        TIMES,
        methods=("dvan", "cmir_net", "dtbh", "divh"),
        published=None,
        differences=False,
        figures=_query_times,
        unit="Milliseconds",
        notes=(
            "One thread of the CPU; features of the query and codes of the gallery in memory; "
            "every item is ranked; neither CNN nor MFCC is counted. Published: DIVH 0.28 ms a "
            "query against the test images of Sydney, on other hardware.",
        ),
    ),
    "divh-choices": Preset(
        "DIVH, what the paper leaves open, measured on the validation split",
        VALIDATION,
        variants=CHOICES,
        published=None,
        differences=False,  # they are of the test split, which nothing is to be chosen by
        figures=_validation_figures,
    ),
    "code-health": Preset(
        "Codes: dead bits, balance, correlation, distinct codes, quantisation error, distances",
        HEALTH,
        published=None,
        by_sign=False,  # the same codes
        differences=False,
        figures=_health_figures,
        unit="Percent, dead bits and distinct codes are counts",
        notes=(
            "Of the codes of the queries (docs/reference/files.md). Imbalance: 0 if every bit is "
            "+1 on half of the items. Correlation: mean of its absolute value over two bits. "
            "Agreement: bits that a voice shares with its image. Overlap of the distances of "
            "relevant and other pairs; gap of their means, of the bits. An empty cell is unknown: "
            "codes that an earlier version made have no quantisation error; ivr encode RUN makes "
            "them anew.",
        ),
    ),
    "dvan-matching": Preset(
        "DVAN, Table II: matching accuracy with MFCC, delta, delta-delta and their stack",
        (Column("accuracy"),),
        methods=("dvan",),
        streams=EACH_STREAM,
        protocol="dvan",
        published=None,
        by_sign=False,
        differences=False,
        notes=("The paper's SPEC (spectrogram) variant is not among the features.",),
    ),
    "dvan-features": Preset(
        "DVAN, Tables III-V: mAP, P@K, R@K and F@K with MFCC, delta, delta-delta and their stack",
        retrieval_columns(ALL_MEASURES),
        methods=("dvan",),
        streams=EACH_STREAM,
        protocol="dvan",
        published="DVAN",
        notes=("The paper's SPEC (spectrogram) variant is not among the features.",),
    ),
    "honest-checks": Preset(
        "Honest checks: sentences, classes and speakers never met, and what chance would find",
        CHECKED,
        methods=("nested_codebook",),
        published=None,
        by_sign=False,
        differences=False,
        checks=lambda features: checks_of(open_features(features)),
        figures=_with_chance,
        together=_with_shares,
        tells=lambda grid: check_notes(grid.checks, grid.seeds),
    ),
}
