"""The tables of ``ivr compare --preset``, declared as data; imports no torch.

:mod:`.preset_metrics` computes their values and :mod:`.comparison_pictures` draws their pictures.
"""

from dataclasses import dataclass
from typing import Literal

from ivr.hashing.metrics import METRICS
from ivr.pipeline.datasets.published_results import Kind
from ivr.pipeline.evaluation.protocol import DIRECTIONS
from ivr.pipeline.extraction.streams import STREAMS

from .columns import Column, retrieval_columns
from .variants import Variant

Source = Literal[
    "results", "validation", "results and validation", "query time", "health", "generalisation"
]
"""Where the values of a table come from; see :data:`.preset_metrics.SOURCES`."""

EACH_STREAM = (*((stream,) for stream in STREAMS), STREAMS)
COMPARED = tuple(name for metric in METRICS.values() for name in metric.compared)
CUTOFF_METRICS = ("mAP", *(name for letter in "PRF" for name in METRICS[f"{letter}@K"].names()))
VALIDATION = retrieval_columns(("validation mAP",))
TIMES = tuple(
    Column(name, direction, lowest=True)
    for direction in DIRECTIONS
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
GENERALISATION = (
    *(Column("mAP", direction, "mAP") for direction in DIRECTIONS),
    *(Column(n, d, "mAP", ranked=False) for n in ("chance", "of plain") for d in DIRECTIONS),
    *(Column("P@10", direction, "P@10") for direction in DIRECTIONS),
)
WEIGHTS = (0.001, 0.01, 0.1, 1.0)
PLAIN_OUTPUT = "network.output_norm=false"
LETTER = (
    "reduction=sum",
    "pair_weights=none",
    "theta_scale=1",
    "gamma=1",
    "eta=1",
    PLAIN_OUTPUT,
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
    Variant("output_norm=false", "divh", (PLAIN_OUTPUT,)),
    Variant("eq. 8-11 to the letter, sums", "divh", LETTER),
)
GRID = {f"gamma={gamma:g}, eta={eta:g}": (gamma, eta) for gamma in WEIGHTS for eta in WEIGHTS}
PARAMETERS = tuple(
    Variant(label, "divh", (f"gamma={gamma:g}", f"eta={eta:g}"))
    for label, (gamma, eta) in GRID.items()
)


@dataclass(frozen=True)
class Preset:
    """A table of a paper, or of our own.

    Attributes:
        text: one line about its content.
        columns: its metrics.
        source: where the values come from.
        methods: methods that it compares if the user names none.
        variants: variants of one method in the place of methods; the user cannot choose others.
        streams: voice streams if the user names none.
        protocol: protocol if the user names none.
        published: kind of the published rows that it shows, None for none.
        by_sign: show real-valued methods by the signs of their outputs too.
        differences: show the difference of the mAP of each row from that of the reference.
        picture: picture beside the table: precision curves, or mAP over two weights.
        unit: unit of the values.
        notes: lines below the table.
    """

    text: str
    columns: tuple[Column, ...]
    source: Source = "results"
    methods: tuple[str, ...] = ("all",)
    variants: tuple[Variant, ...] = ()
    streams: tuple[tuple[str, ...], ...] = (STREAMS,)
    protocol: str = "divh"
    published: Kind | None = "methods"
    by_sign: bool = True
    differences: bool = True
    picture: Literal["curves", "grid"] | None = None
    unit: str = "Percent"
    notes: tuple[str, ...] = ()


NO_SPECTROGRAM = "The features do not include the paper's SPEC (spectrogram) variant."
PRESETS = {
    "compare": Preset("Methods side by side: mAP and precision", retrieval_columns(COMPARED)),
    "divh-comparison": Preset(
        "DIVH, Tables II-IV: mAP, P@1, P@5 and P@10 of the methods of its tables",
        retrieval_columns(("mAP", "P@1", "P@5", "P@10")),
        methods=("dvan", "cmir_net", "dtbh", "divh"),
    ),
    "divh-ablation": Preset(
        "DIVH, Table V: with and without the terms L2 (gamma) and L3 (eta)",
        retrieval_columns(COMPARED),
        variants=ABLATION,
        published="ablation",
    ),
    "divh-parameters": Preset(
        "DIVH, Fig. 4: mAP over gamma and eta",
        retrieval_columns(("mAP",)) + VALIDATION,
        "results and validation",
        variants=PARAMETERS,
        published=None,
        picture="grid",
        notes=("Choose weights by the validation split; the picture shows the test split.",),
    ),
    "divh-curves": Preset(
        "DIVH, Figs. 5-12: precision over retrieved items",
        retrieval_columns(COMPARED),
        picture="curves",
    ),
    "divh-query-time": Preset(
        "DIVH, Table VI: milliseconds of one query, to code it and to rank the test split",
        TIMES,
        "query time",
        methods=("dvan", "cmir_net", "dtbh", "divh"),
        published=None,
        differences=False,
        unit="Milliseconds",
        notes=(
            "One thread of the CPU; features of the query and codes of the gallery in memory; all "
            "items are ranked; CNN and MFCC are not counted. Published: DIVH 0.28 ms per query "
            "against the test images of Sydney, on other hardware.",
        ),
    ),
    "divh-choices": Preset(
        "DIVH, choices that the paper leaves open, measured on the validation split",
        VALIDATION,
        "validation",
        variants=CHOICES,
        published=None,
        differences=False,  # of the test split, which must not choose anything
    ),
    "code-health": Preset(
        "Codes: dead bits, balance, correlation, distinct codes, quantisation error, distances",
        HEALTH,
        "health",
        published=None,
        by_sign=False,  # the codes are the same
        differences=False,
        unit="Percent, dead bits and distinct codes are counts",
        notes=(
            "Of the codes of the queries (docs/reference/files.md). Imbalance: 0 if every bit is "
            "+1 on half of the items. Correlation: mean of the absolute correlation of two bits. "
            "Agreement: share of equal bits of a voice and its image. Overlap of the distances of "
            "relevant and other pairs; gap of their means, in percent of the bits. An empty cell "
            "is unknown: codes of earlier versions have no quantisation error; ivr encode RUN "
            "makes new ones.",
        ),
    ),
    "dvan-matching": Preset(
        "DVAN, Table II: matching accuracy with MFCC, delta, delta-delta and their stack",
        (Column("accuracy"),),
        methods=("dvan",),
        streams=EACH_STREAM,
        protocol="dvan",
        published="matching",
        by_sign=False,
        differences=False,
        notes=(NO_SPECTROGRAM,),
    ),
    "dvan-features": Preset(
        "DVAN, Tables III-V: mAP, P@K, R@K and F@K with MFCC, delta, delta-delta and their stack",
        retrieval_columns(CUTOFF_METRICS),
        methods=("dvan",),
        streams=EACH_STREAM,
        protocol="dvan",
        published="inputs",
        notes=(NO_SPECTROGRAM,),
    ),
    "generalisation": Preset(
        "Generalisation: unheard sentences and speakers, unseen classes, noise, and chance",
        GENERALISATION,
        "generalisation",
        methods=("nested_codebook",),
        published=None,
        by_sign=False,
        differences=False,
    ),
}
RENAMED = {"honest-checks": "generalisation"}
"""Earlier names of presets, which are still accepted."""
