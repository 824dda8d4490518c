"""``ivr compare``: many methods side by side on the same features, in one table."""

import json
from dataclasses import asdict
from pathlib import Path

import click

from .command import Command, command
from .errors import CALL_AGAIN, SKIPPED, one_line, settings

FOLDER = click.Path(file_okay=False, path_type=Path)
# Here too, so that help needs no torch; a test compares them with ivr.pipeline.comparison.presets.
PRESETS = {
    "compare": "Methods side by side: mAP, P@1 and P@10",
    "divh-comparison": "DIVH, Tables II-IV: mAP, P@1, P@5 and P@10 of the methods of its tables",
    "divh-ablation": "DIVH, Table V: with and without the terms L2 (gamma) and L3 (eta)",
    "divh-parameters": "DIVH, Fig. 4: mAP over gamma and eta",
    "divh-curves": "DIVH, Figs. 5-12: precision over retrieved items",
    "divh-query-time": "DIVH, Table VI: milliseconds of one query, "
    "to code it and to rank the test split",
    "divh-choices": "DIVH, what the paper leaves open, measured on the validation split",
    "code-health": "Codes: dead bits, balance, correlation, distinct codes, "
    "quantisation error, distances",
    "dvan-matching": "DVAN, Table II: matching accuracy "
    "with MFCC, delta, delta-delta and their stack",
    "dvan-features": "DVAN, Tables III-V: mAP, P@K, R@K and F@K "
    "with MFCC, delta, delta-delta and their stack",
    "honest-checks": "Honest checks: sentences, classes and speakers never met, "
    "and what chance would find",
}


class HelpWithPresets(Command):
    """A command whose help lists the presets, a line each."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the presets."""
        with formatter.section("Presets"):
            formatter.write_dl(list(PRESETS.items()))


def _numbers(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, ...]:
    """Return the whole numbers of ``text``, which commas part."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not of the form 16,32,64", context, parameter
        ) from error


@command(cls=HelpWithPresets)
@click.argument("features", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Folder of the runs and the tables.")
@click.option("--preset", type=click.Choice(list(PRESETS)), default="compare", show_default=True,
              metavar="NAME", help="Which table, see below.")  # fmt: skip
@click.option("--methods", metavar="NAME,...", help="Methods, or all  [default: the preset's].")
@click.option("--bits", default="64", show_default=True, callback=_numbers, metavar="N,...",
              help="Lengths of the codes: 16,32,64,128.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True,
              help="How many, from --first-seed on.")  # fmt: skip
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True,
              help="To share seeds between calls.")  # fmt: skip
@click.option("--streams", multiple=True, metavar="NAME,...|each",
              help="What voice ends see, repeatable: mfcc, delta, delta-delta or several; each for "
              "each of them and their stack  [default: the preset's].")  # fmt: skip
@click.option("--voices", default="one", show_default=True, metavar="one|all|one,all",
              help="Train on one voice an image, drawn by the seed, or on all.")  # fmt: skip
@click.option("--protocol", type=click.Choice(["divh", "dvan", "rsicd-150", "pair"]),
              help="How all are judged  [default: the preset's].")  # fmt: skip
@click.option("--split", "cut", type=click.Choice(["80/20", "80/10/10"]),
              help="Where the manifest has no splits  [default: the protocol's].")  # fmt: skip
@click.option("--set", "given", multiple=True, metavar="METHOD.NAME=VALUE",
              help="Option of one method, repeatable: divh.gamma=0.5; training.NAME=VALUE for "
              "the training of all.")  # fmt: skip
@click.option("--epochs", type=int, help="The same as --set training.epochs=N.")
@click.option("--reference", metavar="NAME",
              help="Row that the others are compared with  [default: the best].")  # fmt: skip
@click.option("--jobs", type=click.IntRange(0), default=1, show_default=True,
              help="Runs at once, 0 for one a core.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True,
              help="Threads of each run; figures depend on it a little, on --jobs they do not."
              )  # fmt: skip
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--plan", "only_plan", is_flag=True,
              help="Say what would be trained and for how long, and do nothing.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def compare(
    features: Path,
    out: Path,
    preset: str,
    methods: str | None,
    bits: tuple[int, ...],
    seeds: int,
    first_seed: int,
    streams: tuple[str, ...],
    voices: str,
    protocol: str | None,
    cut: str | None,
    given: tuple[str, ...],
    epochs: int | None,
    reference: str | None,
    jobs: int,
    threads: int,
    device: str,
    only_plan: bool,
    as_json: bool,
) -> None:
    """Train and judge methods x bits x streams x voices x seeds on FEATURES, and print one table.

    Every run is an ordinary run folder in OUT/runs, trained once whatever table it stands in: call
    again after a kill, with more seeds, or with another preset. Writes the table as CSV, Markdown,
    LaTeX and JSON. A run that fails is named and the others go on (exit status 3).

    \b
    Example:
      ivr compare features --out comparison --jobs 4
      ivr compare features --out comparison --methods divh,csq,dvan --bits 16,32,64,128
      ivr compare features --out comparison --preset divh-ablation --plan
      ivr compare features --out comparison --set divh.gamma=0.1 --set training.epochs=30
    """
    with one_line():
        from ivr.pipeline.comparison import compare as stage
        from ivr.pipeline.comparison import presets
        from ivr.pipeline.comparison.table_formats import as_json as json_values
        from ivr.pipeline.comparison.table_formats import as_text
        from ivr.pipeline.runtime.progress import say, warn

        loop = () if epochs is None else (f"training.epochs={epochs}",)
        checks = presets.preset_checks(preset, features)
        with settings():
            grid = presets.preset_grid(
                preset,
                methods=methods.split(",") if methods else None,
                streams=streams,
                given=(*loop, *given),
                bits=bits,
                voices=tuple(voices.split(",")),
                seeds=tuple(range(first_seed, first_seed + seeds)),
                protocol=protocol,
                cut=cut or "",
                device=device,
                reference=reference,
                checks=checks,
            )
        if only_plan:
            plan = stage.plan(features, out, grid, threads)
            click.echo(
                json.dumps([asdict(run) for run in plan])
                if as_json
                else stage.plan_text(plan, jobs)
            )
            return
        outcomes = stage.compare(features, out, grid, jobs=jobs, threads=threads)
        lines = stage.read_lines(out, grid)
        table, paths = presets.write_comparison(features, out, grid, lines, preset, reference)
        click.echo(json.dumps(json_values(table)) if as_json else as_text(table))
        say(f"written: {', '.join(map(str, paths))}")
    for outcome in outcomes:
        if outcome.failure:
            warn(f"failed: {outcome.name}: {outcome.failure}")
    if any(outcome.busy for outcome in outcomes):
        warn("another process is running some of the runs: call again when it is done")
        raise SystemExit(CALL_AGAIN)
    if any(outcome.failure for outcome in outcomes):
        raise SystemExit(SKIPPED)
