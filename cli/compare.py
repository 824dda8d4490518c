"""``ivr compare``: many methods side by side on the same features, in one table."""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.comparison.compare_config import CompareConfig
from ivr.pipeline.comparison.declaration import (
    RENAMED,
    USUAL_PRESET,
    preset_names,
    preset_text,
    read_preset,
    table_name,
)
from ivr.pipeline.evaluation.protocol import PROTOCOLS

from .command import Command, command
from .config_file import write_choices
from .errors import CALL_AGAIN, SKIPPED, settings
from .messages import show
from .options import CommaList, Shown, config_options, on_command_line
from .paths import FOLDER


class HelpWithPresets(Command):
    """A command whose help lists the presets, one per line."""

    def format_epilog(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the presets."""
        with formatter.section("Presets"):
            formatter.write_dl([(name, read_preset(name).text) for name in preset_names()])


def _show_preset(context: click.Context, _: click.Parameter, name: str | None) -> None:
    """Print the file of the preset ``name`` and stop."""
    if name:
        show(preset_text(name).rstrip())
        context.exit()


@command(cls=HelpWithPresets)
@click.argument("features", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Folder of the runs and the tables.")
@config_options(
    CompareConfig,
    {
        "preset": Shown(
            help="Table to make, one of the presets below.",
            metavar="NAME",
            default=USUAL_PRESET,
            type=click.Choice([*preset_names(), *RENAMED]),
        ),
        "grid": Shown(
            help="Table to make, declared in a YAML file as --show-preset prints it.",
            metavar="FILE.yaml",
        ),
        "variants": Shown(
            ("--variant",),
            help="Row to compare in place of a method: a name, then options as for --set, of the "
            "method in --methods or of divh unless they name another. Repeatable.",
            metavar="'NAME[: OPTION=VALUE, ...]'",
        ),
        "sweep": Shown(
            help="Option and its values as rows in place of methods, and a picture; two sweeps "
            "give all combinations. Repeatable.",
            metavar="OPTION=VALUE,...",
        ),
        "methods": Shown(metavar="NAME,...", type=CommaList()),
        "bits": Shown(metavar="N,..."),
        "seeds": Shown(help="Number of seeds, from --first-seed on."),
        "streams": Shown(metavar="NAME,...|each"),
        "voices": Shown(metavar="one|all|one,all"),
        "protocol": Shown(type=click.Choice(list(PROTOCOLS))),
        "set": Shown(metavar="METHOD.NAME=VALUE"),
        "epochs": Shown(help="Short for --set training.epochs=N."),
        "columns": Shown(
            help="Columns of the table: metrics (mAP, P@10, H@1 ...), one direction of a metric "
            "(image_to_voice.mAP), or difference  [default: those of the preset].",
            metavar="NAME,...",
            type=CommaList(),
        ),
        "name": Shown(
            help="Name of the files of the table and of its label  [default: that of the preset or "
            "grid]. A table never replaces one that shows more.",
            metavar="NAME",
        ),
        "reference": Shown(
            help="Row that the others are compared with, or best  [default: the first variant; "
            "the best method].",
            metavar="NAME",
        ),
        "report_to": Shown(metavar="mlflow|module:Class"),
        "threads": Shown(
            help="Number of threads per run. Results depend on it in their last digits; they do "
            "not depend on --jobs."
        ),
    },
)
@click.option(
    "--show-preset",
    type=click.Choice([*preset_names(), *RENAMED]),
    metavar="NAME",
    is_eager=True,
    expose_value=False,
    callback=_show_preset,
    help="Print the YAML of a preset, which --grid reads, and stop.",
)
@click.option(
    "--plan",
    "only_plan",
    is_flag=True,
    help="Print what would be trained and how long it takes without doing it.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the table.")
def compare(
    features: Path, out: Path, only_plan: bool, as_json: bool, options: dict[str, Any]
) -> None:
    """Train and evaluate methods x bits x streams x voices x seeds on FEATURES; print one table.

    Every run is an ordinary run folder in OUT/runs and is trained once, even if several tables use
    it: the same call continues after a kill, and a call with more seeds or another preset trains
    only what is missing. Writes the table as CSV, Markdown, LaTeX and JSON. If a run fails, the
    others go on; the failed run is named with the last lines of its log, and the exit status is 3.

    \b
    Example:
      ivr compare features --out comparison --jobs 4
      ivr compare features --out comparison --methods divh,csq,dvan --bits 16,32,64,128 --name bits
      ivr compare features --out comparison --preset divh-ablation --plan
      ivr compare features --out comparison --set divh.gamma=0.1 --epochs 30 --name short
      ivr compare features --out comparison --variant base --variant "no-l2: divh.gamma=0" --name l2
      ivr compare features --out comparison --sweep divh.gamma=0.01,0.1,1 --name gamma
    """
    import ivr
    from ivr.pipeline.comparison.compare import chosen_config, plan
    from ivr.pipeline.comparison.table_formats import as_json as json_values
    from ivr.pipeline.comparison.table_formats import as_text
    from ivr.pipeline.runtime.progress import say, warn

    _let_the_command_line_win(options)
    with settings():
        config = chosen_config(None, options)
    if only_plan:
        planned = plan(features, out, config)
        show(json.dumps(planned.rows()) if as_json else planned)
        return
    result = ivr.compare(features, out, config)
    table = table_name(config)
    write_choices(out, "" if table == USUAL_PRESET else table)
    show(json.dumps(json_values(result.table)) if as_json else as_text(result.table))
    say(f"written: {', '.join(map(str, result.files))}")
    for failed in result.failures:
        warn("\n  | ".join([f"failed: {failed.name}: {failed.failure}", *failed.log]))
    if result.busy:
        warn("another process is running some of the runs: call again when it is done")
        raise SystemExit(CALL_AGAIN)
    if result.failures:
        raise SystemExit(SKIPPED)


def _let_the_command_line_win(options: dict[str, Any]) -> None:
    """Drop the epochs of a file if the command line gives others in the other way."""
    epochs = "training.epochs="
    given = [text for text in options.get("set", ()) if text.startswith(epochs)]
    if given and on_command_line("set") and not on_command_line("epochs"):
        options.pop("epochs", None)
    elif given and on_command_line("epochs") and not on_command_line("set"):
        options["set"] = tuple(text for text in options["set"] if not text.startswith(epochs))
