"""``ivr train-hash``: features to a trained model, its history and its codes."""

import shlex
from functools import partial
from pathlib import Path
from typing import Any

import click

from ivr.errors import IvrError
from ivr.hashing.methods import method_names
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.split_config import CUTS, splits_of_cut
from ivr.pipeline.runs.begun_runs import CONFIG, begun
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runtime.config_options import parsed, with_options

from .command import command
from .config_file import write_choices
from .errors import WAY_ON, describe
from .messages import show
from .options import CommaList, Shown, config_options, on_command_line
from .paths import FOLDER

_TRAINING = "training."
_CUT = next(iter(CUTS))


def _describe(context: click.Context, parameter: click.Parameter, method: str | None) -> None:
    """Print the options of ``method``, or those of training, and stop."""
    if not method:
        return
    from ivr.hashing.methods import method_entry, method_text

    if method == "training":
        describe(TrainConfig)
    else:
        try:
            show(method_text(method))
        except IvrError as error:
            raise click.BadParameter(str(error), context, parameter) from error
        describe(method_entry(method).config)
    context.exit()


@command()
@click.argument("features", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Run folder to write.")
@config_options(
    RunConfig,
    {
        "method": Shown(
            help=f"Hashing method: {', '.join(method_names())}, or module:Class "
            "for a method of your own.",
            metavar="NAME",
        ),
        "streams": Shown(metavar="NAME,...", type=CommaList(), default="all"),
        "report_to": Shown(metavar="mlflow|module:Class"),
        "split": None,
        "options": None,
        "without_speakers": Shown(("--without-speaker",), metavar="NAME"),
        "without_classes": Shown(("--without-class",), metavar="NAME"),
        "unseen_classes": Shown(metavar="SHARE"),
    },
)
@click.option(
    "--split",
    "cut",
    type=click.Choice(list(CUTS)),
    help=f"Shares of the split that is drawn if the manifest has none  [default: {_CUT}].",
)
@click.option(
    "--split-seed",
    type=click.IntRange(0),
    help="Seed of the split, if it differs from the seed of the rest  [default: --seed].",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option of the method, repeatable: gamma=0.5, network.image_hidden=0, and so on; "
    "training.NAME=VALUE sets an option of the training. --describe lists all.",
)
@click.option(
    "--describe",
    metavar="METHOD|training",
    is_eager=True,
    expose_value=False,
    callback=_describe,
    help="Print the options of a method, or of the training, with their defaults and stop.",
)
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the run in --out after its last checkpoint, with the options it began with; "
    "with one that replaces another by --overwrite, this one.",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace the run in --out, which stays until the new one is complete.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be trained without doing it.")
def train_hash(
    features: Path,
    out: Path,
    cut: str | None,
    split_seed: int | None,
    settings: tuple[str, ...],
    resume: bool,
    overwrite: bool,
    dry_run: bool,
    options: dict[str, Any],
) -> None:
    """Train image and voice hash functions on FEATURES, a folder that ivr extract wrote.

    Writes config.json, splits.json, model.safetensors (the weights of the best epoch on a
    validation split that is cut from the training split), history.jsonl, tensorboard/ and codes.h5.
    A method in closed form (cca_itq, cca_sign, cmfh, lsh, seph) is computed in one
    step.

    \b
    Example:
      ivr train-hash features --out run
      ivr train-hash features --out run32 --bits 32 --voices all --seed 1 --set gamma=0.5
      ivr train-hash features --out run --resume
    """
    if resume and overwrite:
        raise click.UsageError("--resume continues a run, --overwrite replaces it; give one")
    import ivr

    options = _with_settings(options, settings)
    if cut or split_seed is not None:
        options["split"] = splits_of_cut(cut or _CUT, split_seed)
    if dry_run:
        from ivr.pipeline.runs.train import describe_run

        show(describe_run(features, with_options(RunConfig(), options)))
        return
    context = click.get_current_context()
    context.meta[WAY_ON] = partial(_way_on, features, out, overwrite and _holds_run(out))
    ivr.train(features, out, resume=resume, overwrite=overwrite, **options)
    if not resume:
        write_choices(out)
    show(f"{out}: model, history and codes; next: ivr evaluate {out}")


def _holds_run(out: Path) -> bool:
    return (out / CONFIG).is_file()


def _way_on(features: Path, out: Path, replaces: bool) -> str:
    """Return what to call after an interrupt, ``""`` for the same call again.

    Args:
        features: folder of the features.
        out: the run folder.
        replaces: another run was there before.
    """
    if begun(out) == out and (replaces or not _holds_run(out)):
        return ""
    return (
        f"go on with {shlex.join(['ivr', 'train-hash', str(features), '--out', str(out)])} --resume"
    )


def _with_settings(options: dict[str, Any], settings: tuple[str, ...]) -> dict[str, Any]:
    """Return ``options`` with those of ``--set``.

    An option of its own name goes before ``--set``, unless it comes from a file and ``--set`` from
    the command line.
    """
    training = [text.removeprefix(_TRAINING) for text in settings if text.startswith(_TRAINING)]
    method = tuple(text for text in settings if not text.startswith(_TRAINING))
    found = dict(options)
    if training:
        beats_files = on_command_line("settings")
        own = {
            name: value
            for name, value in found.get("training", {}).items()
            if on_command_line(f"{_TRAINING}{name}") or not beats_files
        }
        found["training"] = found.get("training", {}) | parsed(TrainConfig, training) | own
    return found | ({"options": method} if method else {})
