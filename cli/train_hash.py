"""``ivr train-hash``: features to a trained model, its history and its codes."""

from pathlib import Path

import click

from ivr.hashing.methods import method_names

from .command import command
from .errors import describe, one_line, settings

FOLDER = click.Path(file_okay=False, path_type=Path)


def _describe(context: click.Context, _: click.Parameter, method: str | None) -> None:
    """Print the options of ``method``, or those of the training loop, and stop."""
    if method:
        with one_line(), settings():
            from ivr.hashing.methods import method_entry, method_text
            from ivr.hashing.training_config import TrainConfig
            from ivr.pipeline.runtime.config_options import describe as rows

            if method == "training":
                describe(rows(TrainConfig))
            else:
                click.echo(method_text(method))
                describe(rows(method_entry(method).config))
        context.exit()


def _choices_given(context: click.Context) -> bool:
    """Return whether the command line says anything that decides what is learnt."""
    return any(
        context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
        for name in context.params
        if name not in ("features", "out", "device", "resume")
    )


@command()
@click.argument("features", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Run folder to write.")
@click.option(
    "--method",
    default="divh",
    show_default=True,
    help=f"{', '.join(method_names())}, or module:Class for a method of your own.",
)
@click.option(
    "--bits",
    type=int,
    default=64,
    show_default=True,
    help="Length of the codes: 8, 16, 24, 32, 48, 64, 96, 128, 256 or 512.",
)
@click.option(
    "--voices",
    type=click.Choice(["one", "all"]),
    default="one",
    show_default=True,
    help="Train on one voice an image, drawn by the seed, or on all.",
)
@click.option("--streams", default="mfcc,delta,delta-delta", show_default=True,
              help="What the voice end sees.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="Of split, drawn voices, weights and batches.")  # fmt: skip
@click.option("--split-seed", type=click.IntRange(0), help="Of the split alone  [default: --seed].")
@click.option("--split", "cut", default="80/20", show_default=True,
              help="80/20 or 80/10/10, where the manifest has no splits.")  # fmt: skip
@click.option(
    "--set",
    "options",
    multiple=True,
    metavar="NAME=VALUE",
    help="Option, repeatable: gamma=0.5, network.image_hidden=0, training.warm_up=0.2 ...",
)
@click.option(
    "--describe",
    metavar="METHOD|training",
    is_eager=True,
    expose_value=False,
    callback=_describe,
    help="Print options, defaults and meanings, and stop.",
)
@click.option(
    "--epochs", type=int, help="Passes over the training images  [default: the method's]."
)
@click.option("--batch-size", type=int, help="Pairs in a batch.")
@click.option("--optimiser", type=click.Choice(["sgd", "adamw"]),
              help="sgd or adamw  [default: the method's].")  # fmt: skip
@click.option("--learning-rate", type=float, help="At the top of the schedule.")
@click.option("--weight-decay", type=float, help="Decoupled for adamw, L2 for sgd.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--without-speaker", "without_speakers", multiple=True, metavar="NAME",
              help="Train without this speaker, repeatable; see evaluate --speaker.")  # fmt: skip
@click.option("--without-class", "without_classes", multiple=True, metavar="NAME",
              help="Train without this class, repeatable; see evaluate --classes.")  # fmt: skip
@click.option("--unseen-classes", type=float, default=0.0, metavar="SHARE",
              help="Train without this share of the classes, drawn by --seed: 0.25.")  # fmt: skip
@click.option("--unseen-captions", is_flag=True,
              help="Train without any sentence that the test split speaks.")  # fmt: skip
@click.option("--augmented", is_flag=True,
              help="Train also on the changed voices that extract --augment made.")  # fmt: skip
@click.option("--resume", is_flag=True,
              help="Go on from the last checkpoint of --out, with its own options.")  # fmt: skip
@click.option("--overwrite", is_flag=True, help="Remove the run in --out first.")
@click.option("--dry-run", is_flag=True, help="Say what would be trained, and do nothing.")
@click.pass_context
def train_hash(
    context: click.Context,
    features: Path,
    out: Path,
    method: str,
    bits: int,
    voices: str,
    streams: str,
    seed: int,
    split_seed: int | None,
    cut: str,
    options: tuple[str, ...],
    epochs: int | None,
    batch_size: int | None,
    optimiser: str | None,
    learning_rate: float | None,
    weight_decay: float | None,
    device: str,
    without_speakers: tuple[str, ...],
    without_classes: tuple[str, ...],
    unseen_classes: float,
    unseen_captions: bool,
    augmented: bool,
    resume: bool,
    overwrite: bool,
    dry_run: bool,
) -> None:
    """Train image and voice hash functions on FEATURES, a folder that ivr extract wrote.

    Writes config.json, splits.json, model.safetensors (the best on a validation split cut from the
    training split), history.jsonl, tensorboard/ and codes.h5. A method that is not trained
    (cca_sign, cca_itq, lsh) is computed in one step.

    \b
    Example:
      ivr train-hash features --out run
      ivr train-hash features --out run32 --bits 32 --voices all --seed 1 --set gamma=0.5
      ivr train-hash features --out run --resume
    """
    if resume and overwrite:
        raise click.UsageError("--resume goes on with a run, --overwrite removes it; give one")
    with one_line():
        from ivr.hashing.training_config import TrainConfig
        from ivr.pipeline.datasets.splits import splits_of_cut
        from ivr.pipeline.runs import train as stage
        from ivr.pipeline.runs.run_config import RunConfig
        from ivr.pipeline.runtime.config_options import configured

        chosen = {
            "epochs": epochs,
            "batch_size": batch_size,
            "optimiser": optimiser,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
        }
        loop = [option for option in options if option.startswith("training.")]
        training = [option.removeprefix("training.") for option in loop]
        training += [f"{name}={value}" for name, value in chosen.items() if value is not None]
        with settings():
            split = splits_of_cut(cut, seed if split_seed is None else split_seed)
            config = RunConfig(
                method=method,
                bits=bits,
                voices=voices,  # type: ignore[arg-type]
                streams=tuple(streams.split(",")),
                seed=seed,
                split=split,
                options=tuple(option for option in options if option not in loop),
                training=configured(TrainConfig, training),
                without_speakers=without_speakers,
                without_classes=without_classes,
                unseen_classes=unseen_classes,
                unseen_captions=unseen_captions,
                augmented=augmented,
                device=device,
            )
        if dry_run:
            click.echo(stage.describe_run(features, config))
            return
        if resume:
            expected = config if _choices_given(context) else None
            stage.resume_run(out, features=features, device=device, expected=expected)
        elif overwrite:
            stage.replace_run(features, out, config)
        else:
            stage.train_run(features, out, config)
    click.echo(f"{out}: model, history and codes; next: ivr evaluate {out}")
