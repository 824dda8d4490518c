"""``ivr compare``: many methods side by side on the same features, in one table."""

import json
from pathlib import Path

import click

from ivr.pipeline.comparison.compare_config import CompareConfig
from ivr.pipeline.comparison.presets import PRESETS, RENAMED
from ivr.pipeline.datasets.splits import Cut

from .command import Command, command
from .errors import CALL_AGAIN, SKIPPED, one_line, settings

FOLDER = click.Path(file_okay=False, path_type=Path)


class HelpWithPresets(Command):
    """A command whose help lists the presets, one per line."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the presets."""
        with formatter.section("Presets"):
            formatter.write_dl([(name, preset.text) for name, preset in PRESETS.items()])


def _numbers(
    context: click.Context, parameter: click.Parameter, text: str | None
) -> tuple[int, ...]:
    """Return the whole numbers of ``text``, separated by commas."""
    try:
        return tuple(int(part) for part in text.split(",")) if text else ()
    except ValueError as error:
        raise click.BadParameter(
            f"{text!r} is not of the form 16,32,64", context, parameter
        ) from error


@command(cls=HelpWithPresets)
@click.argument("features", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Folder of the runs and the tables.")
@click.option("--preset", type=click.Choice([*PRESETS, *RENAMED]), default="compare",
              show_default=True, metavar="NAME", help="Table to print, see below.")  # fmt: skip
@click.option(
    "--methods", metavar="NAME,...", help="Names of methods, or all  [default: the preset's]."
)
@click.option("--bits", default="64", show_default=True, callback=_numbers, metavar="N,...",
              help="Lengths of the codes: 16,32,64,128.")  # fmt: skip
@click.option("--seeds", type=click.IntRange(1), default=5, show_default=True,
              help="Number of seeds, from --first-seed on.")  # fmt: skip
@click.option("--first-seed", type=click.IntRange(0), default=0, show_default=True,
              help="First seed.")  # fmt: skip
@click.option("--streams", multiple=True, metavar="NAME,...|each",
              help="Voice streams, repeatable: mfcc, delta, delta-delta or several; each stands "
              "for the three of them and their stack  [default: the preset's].")  # fmt: skip
@click.option("--voices", default="one", show_default=True, metavar="one|all|one,all",
              help="Train on one voice per image, drawn by the seed, or on all voices."
              )  # fmt: skip
@click.option("--protocol", type=click.Choice(["divh", "dvan", "rsicd-150", "pair"]),
              help="Protocol of the evaluation  [default: the preset's].")  # fmt: skip
@click.option("--split", "cut", type=click.Choice(["80/20", "80/10/10"]),
              help="Shares of the split if the manifest has none  [default: the protocol's]."
              )  # fmt: skip
@click.option("--set", "given", multiple=True, metavar="METHOD.NAME=VALUE",
              help="Option of one method, repeatable: divh.gamma=0.5; training.NAME=VALUE for "
              "the training of all methods.")  # fmt: skip
@click.option("--epochs", type=int, help="Short for --set training.epochs=N.")
@click.option("--metrics", metavar="NAME,...",
              help="Metrics to show, e.g. mAP,P@10,H@1  [default: the preset's].")  # fmt: skip
@click.option("--reference", metavar="NAME",
              help="Row that the others are compared with  [default: the best].")  # fmt: skip
@click.option("--jobs", type=click.IntRange(0), default=1, show_default=True,
              help="Number of runs at once, 0 for one per core.")  # fmt: skip
@click.option("--threads", type=click.IntRange(1), default=1, show_default=True,
              help="Threads of each run. Results depend on it in their last digits, not on --jobs."
              )  # fmt: skip
@click.option(
    "--device", default="auto", show_default=True, help="Device: auto, cpu, cuda or cuda:N."
)
@click.option("--plan", "only_plan", is_flag=True,
              help="Print what would be trained and for how long, and do nothing.")  # fmt: skip
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
    cut: Cut | None,
    given: tuple[str, ...],
    epochs: int | None,
    metrics: str | None,
    reference: str | None,
    jobs: int,
    threads: int,
    device: str,
    only_plan: bool,
    as_json: bool,
) -> None:
    """Train and evaluate methods x bits x streams x voices x seeds; print one table.

    Every run is an ordinary run folder in OUT/runs and is trained once, whatever table shows it:
    call again after a kill, with more seeds, or with another preset. Writes the table as CSV,
    Markdown, LaTeX and JSON. If a run fails, the others go on; the failed run is named with the
    last lines of its log, and the exit status is 3.

    \b
    Example:
      ivr compare features --out comparison --jobs 4
      ivr compare features --out comparison --methods divh,csq,dvan --bits 16,32,64,128
      ivr compare features --out comparison --preset divh-ablation --plan
      ivr compare features --out comparison --set divh.gamma=0.1 --set training.epochs=30
    """
    with one_line():
        from ivr.pipeline.comparison import compare as stage
        from ivr.pipeline.comparison.table_formats import as_json as json_values
        from ivr.pipeline.comparison.table_formats import as_text
        from ivr.pipeline.runtime.progress import say, warn

        with settings():
            config = stage.chosen_config(
                CompareConfig(
                    preset=preset,
                    methods=tuple(methods.split(",")) if methods else (),
                    bits=bits,
                    seeds=seeds,
                    first_seed=first_seed,
                    streams=streams,
                    voices=tuple(voices.split(",")),  # type: ignore[arg-type]
                    protocol=protocol,
                    split=cut,
                    set=given,
                    epochs=epochs,
                    metrics=tuple(metrics.split(",")) if metrics else (),
                    reference=reference,
                    jobs=jobs,
                    threads=threads,
                    device=device,
                )
            )
        if only_plan:
            plan = stage.plan(features, out, config)
            click.echo(json.dumps(plan.rows()) if as_json else plan)
            return
        result = stage.compare(features, out, config)
        click.echo(json.dumps(json_values(result.table)) if as_json else as_text(result.table))
        say(f"written: {', '.join(map(str, result.files))}")
    for failed in result.failures:
        warn("\n  | ".join([f"failed: {failed.name}: {failed.failure}", *failed.log]))
    if result.busy:
        warn("another process is running some of the runs: call again when it is done")
        raise SystemExit(CALL_AGAIN)
    if result.failures:
        raise SystemExit(SKIPPED)
