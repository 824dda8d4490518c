"""``ivr extract``: images and voices to feature files."""

from pathlib import Path
from typing import Any

import click

from ivr.features.mfcc import VoiceConfig
from ivr.pipeline.extraction.extract_config import ExtractConfig

from .command import command
from .config_file import write_choices
from .errors import CALL_AGAIN, SKIPPED, describe
from .messages import show
from .options import CommaList, Shown, config_options
from .paths import FILE, FOLDER


def _describe(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    """Print the MFCC settings and stop."""
    if wanted:
        describe(VoiceConfig)
        context.exit()


@command()
@click.argument("manifest", type=FILE)
@click.option(
    "--out", type=FOLDER, required=True, help="Folder to write images.h5 and voices.h5 to."
)
@click.option(
    "--root",
    type=FOLDER,
    help="Folder that image and voice names are relative to  [default: the manifest's folder].",
)
@click.option(
    "--image-root", type=FOLDER, help="Folder that image names are relative to  [default: --root]."
)
@click.option(
    "--voice-root", type=FOLDER, help="Folder that voice names are relative to  [default: --root]."
)
@config_options(
    ExtractConfig,
    {
        "relu": Shown(
            ("--before-relu",),
            "Take the vector before its ReLU (only for networks whose vector comes from a ReLU).",
            off=True,
        ),
        "size": Shown(("--image-size",), default="the network's own"),
        "vocabulary_images": None,
        "vocabulary_descriptors": None,
        "vocabulary_seed": None,
        "bands": Shown(metavar="R,G,B", type=CommaList()),
        "stretch": Shown(metavar="HOW"),
        "voice": Shown(
            ("--voice-option",),
            "MFCC setting such as frames=600, repeatable; --describe lists all.",
            settings=True,
        ),
        "trim_silence": Shown(),
        "voice_encoder": Shown(metavar="mfcc|log-mel|spectrogram|transformers:FOLDER"),
        "voice_layer": Shown(metavar="LAYER", default="the last of Whisper, 3/4 of others"),
        "voice_pooling": Shown(metavar="FRAMES", default="2"),
        "voice_seconds": Shown(metavar="SECONDS"),
        "augment": Shown(metavar="CHANGE"),
        "batch_size": Shown(default="what suits the device"),
        "jobs": Shown(default="one per core"),
        "shard": Shown(metavar="I/N|slurm", type=click.STRING),
        "scheduler_address": Shown(metavar="tcp://HOST:PORT"),
        "time_limit": Shown(metavar="SECONDS", default="no limit"),
        "shard_rows": None,
        "shard_seconds": None,
    },
)
@click.option(
    "--describe",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_describe,
    help="Print the MFCC settings with their defaults and stop.",
)
@click.option("--dry-run", is_flag=True, help="Print what would be done without doing it.")
def extract(
    manifest: Path,
    out: Path,
    root: Path | None,
    image_root: Path | None,
    voice_root: Path | None,
    dry_run: bool,
    options: dict[str, Any],
) -> None:
    """Turn the images and voices of MANIFEST into images.h5 and voices.h5.

    A damaged file is named and skipped (exit status 3). Finished rows are kept whatever happens:
    the same call again computes only the missing rows. Rows of changed voices (--augment) are kept
    by later calls, even if those name other changes.

    \b
    Example:
      ivr extract ucm.csv --out features --image-root images --voice-root voices
      ivr extract ucm.csv --out features --encoder squeezenet1_0 --weights squeezenet.pth
      ivr extract ucm.csv --out features --augment noise=10 --augment tract=1.1
      ivr extract ucm.csv --out spectrograms --voice-encoder spectrogram --stored float16
      ivr extract ucm.csv --out features --voice-encoder transformers:whisper-tiny.en
      ivr extract ucm.csv --out features --shard 2/8    # then: ivr merge features
    """
    import ivr
    from ivr.pipeline.extraction.job_array import parse_task
    from ivr.pipeline.extraction.plan import plan
    from ivr.pipeline.runtime.lock import BusyError
    from ivr.pipeline.runtime.progress import warn

    roots: dict[str, Any] = {"root": root, "image_root": image_root, "voice_root": voice_root}
    if dry_run:
        show(repr(plan(manifest, out, **roots, **options)))
        return
    try:
        result = ivr.extract(manifest, out, **roots, **options)
    except BusyError as error:
        if "shard" not in options:
            raise
        # A job that was requeued to another machine has to wait for its own lock to go stale.
        warn(f"{error}; call again")
        raise SystemExit(CALL_AGAIN) from error
    write_choices(parse_task(options["shard"]).folder(out) if "shard" in options else out)
    show(repr(result))
    if not result.finished:
        warn("stopped early, nothing lost: call again to go on")
        raise SystemExit(CALL_AGAIN)
    if any(modality.skipped for modality in result):
        raise SystemExit(SKIPPED)
    if "shard" in options:
        show(f"next: when all tasks of the job array are done, ivr merge {out}")
    else:
        show(f"next: ivr train-hash {out} --out RUN")
