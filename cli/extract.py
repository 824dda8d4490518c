"""``ivr extract``: images and voices to feature files."""

from pathlib import Path

import click

from .command import command
from .errors import CALL_AGAIN, SKIPPED, describe, one_line, settings

MANIFEST = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


def _describe(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the MFCC settings and stop."""
    if wanted:
        from ivr.features.mfcc import VoiceConfig
        from ivr.pipeline.runtime.config_options import describe as rows

        describe(rows(VoiceConfig))
        context.exit()


@command()
@click.argument("manifest", type=MANIFEST)
@click.option("--out", type=FOLDER, required=True, help="Folder for images.h5 and voices.h5.")
@click.option("--image-root", type=FOLDER, help="Folder that image names start from.")
@click.option("--voice-root", type=FOLDER, help="Folder that voice names start from.")
@click.option("--root", type=FOLDER, help="Both at once  [default: the manifest's own folder].")
@click.option(
    "--encoder",
    default="vgg16",
    show_default=True,
    help="vgg16 or alexnet (4096-D fc7), cnn_f (the paper's), or any torchvision classifier.",
)
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    help="imagenet (torchvision's, downloaded once), random, or a weights file.",
)
@click.option("--before-relu", is_flag=True, help="Take fc7 before its ReLU.")
@click.option(
    "--pooling",
    type=click.Choice(["vector", "stages"]),
    default="vector",
    show_default=True,
    help="vector: what the last layer sees; stages: statistics of the last five stages.",
)
@click.option("--views", type=click.Choice(["1", "2", "4", "8"]), default="1", show_default=True,
              help="Mean over so many turned and mirrored views.")  # fmt: skip
@click.option("--image-size", type=click.IntRange(0), default=0,
              help="Side of the input, pixels  [default: the network's own].")  # fmt: skip
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16", "float16"]),
    default="float32",
    show_default=True,
    help="Of the forward pass.",
)
@click.option(
    "--stored",
    type=click.Choice(["float32", "float16"]),
    default="float32",
    show_default=True,
    help="Of the files; float16 takes half the disk and memory.",
)
@click.option(
    "--voice-option",
    "voice_options",
    multiple=True,
    metavar="NAME=VALUE",
    help="MFCC setting, repeatable: frames=600, coefficients=40 ... (see --describe).",
)
@click.option(
    "--augment",
    multiple=True,
    metavar="CHANGE",
    help="One more row a voice, changed, repeatable: speed=0.9, tempo=0.9, pitch=2 (semitones), "
    "tract=1.1 (formants), noise=10 (dB).",
)
@click.option("--describe", is_flag=True, is_eager=True, expose_value=False, callback=_describe,
              help="Print the MFCC settings and stop.")  # fmt: skip
@click.option("--batch-size", type=click.IntRange(0), default=0,
              help="Images a forward pass  [default: what suits the device]. "
              "Halved where it does not fit.")  # fmt: skip
@click.option("--jobs", type=click.IntRange(0), default=0, help="Readers  [default: one a core].")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--gpu-memory-fraction", type=click.FloatRange(0, 1, min_open=True), default=1.0,
              show_default=True, help="Share of the GPU's memory to take at the most.")  # fmt: skip
@click.option("--shard", metavar="I/N|slurm",
              help="Do task I of N only, for ivr merge. slurm: this task of its job array or "
              "step; slurm/N: task SLURM_ARRAY_TASK_ID of N.")  # fmt: skip
@click.option("--scheduler-address", default="", metavar="tcp://HOST:PORT",
              help="Read files on the workers of this Dask cluster.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Stop at the first damaged file.")
@click.option("--time-limit", type=click.FloatRange(0), default=0.0, metavar="SECONDS",
              help="Stop in good order after so long (exit status 75).")  # fmt: skip
@click.option("--dry-run", is_flag=True, help="Print what would be done without doing it.")
def extract(
    manifest: Path,
    out: Path,
    image_root: Path | None,
    voice_root: Path | None,
    root: Path | None,
    encoder: str,
    weights: str,
    before_relu: bool,
    pooling: str,
    views: str,
    image_size: int,
    precision: str,
    stored: str,
    voice_options: tuple[str, ...],
    augment: tuple[str, ...],
    batch_size: int,
    jobs: int,
    device: str,
    gpu_memory_fraction: float,
    shard: str | None,
    scheduler_address: str,
    strict: bool,
    time_limit: float,
    dry_run: bool,
) -> None:
    """Turn the images and voices of MANIFEST into images.h5 and voices.h5.

    A damaged file is named and skipped (exit status 3). Finished rows are kept whatever happens:
    the same call again does only what is missing. Rows of changed voices (--augment) are kept by
    later calls, too, whichever changes those name.

    \b
    Example:
      ivr extract ucm.csv --out features --image-root images --voice-root voices
      ivr extract ucm.csv --out features --encoder squeezenet1_0 --weights squeezenet.pth
      ivr extract ucm.csv --out features --augment noise=10 --augment tract=1.1
      ivr extract ucm.csv --out features --shard 2/8    # then: ivr merge features
    """
    with one_line():
        from ivr.features.image_config import ImageConfig
        from ivr.features.mfcc import VoiceConfig
        from ivr.pipeline.extraction import extract as stage
        from ivr.pipeline.extraction.extract_config import ExtractConfig
        from ivr.pipeline.extraction.job_array import parse_task
        from ivr.pipeline.runtime.config_options import configured, with_options
        from ivr.pipeline.runtime.lock import BusyError
        from ivr.pipeline.runtime.progress import warn

        with settings():
            config = ExtractConfig(
                image=with_options(
                    ImageConfig(),
                    {
                        "encoder": encoder,
                        "weights": weights,
                        "relu": not before_relu,
                        "precision": precision,
                        "pooling": pooling,
                        "views": int(views),
                        "size": image_size,
                    },
                ),
                voice=configured(VoiceConfig, voice_options),
                augment=augment,
                stored=stored,  # type: ignore[arg-type]
                batch_size=batch_size,
                jobs=jobs,
                device=device,
                gpu_memory_fraction=gpu_memory_fraction,
                shard=parse_task(shard) if shard else None,
                scheduler_address=scheduler_address,
                strict=strict,
                time_limit=time_limit,
            )
        if dry_run:
            planned = stage.plan(
                manifest, out, config, image_root=image_root, voice_root=voice_root, root=root
            )
            click.echo(repr(planned))
            return
        try:
            result = stage.extract(
                manifest, out, config, image_root=image_root, voice_root=voice_root, root=root
            )
        except BusyError as error:
            if not config.shard:
                raise
            # A job that was requeued to another machine has to wait for its own lock to go stale.
            warn(f"{error}; call again")
            raise SystemExit(CALL_AGAIN) from error
    click.echo(repr(result))
    if not result.finished:
        warn("stopped early, nothing lost: call again to go on")
        raise SystemExit(CALL_AGAIN)
    if any(modality.skipped for modality in result):
        raise SystemExit(SKIPPED)
    if config.shard:
        click.echo(f"next: when all {config.shard.count} tasks are done, ivr merge {out}")
    else:
        click.echo(f"next: ivr train-hash {out} --out RUN")
