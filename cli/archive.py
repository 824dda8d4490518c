"""``ivr archive``: codes with their metadata, kept in a table that grows."""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.archive.add_config import AddConfig

from .command import Command, CommandGroup
from .errors import CALL_AGAIN, SKIPPED
from .messages import show
from .options import Shown, config_options, device_option
from .paths import FILE, FOLDER

MODEL = click.option(
    "--model",
    type=FOLDER,
    help="Packed model or run that encodes  [default: the one that the archive was created with].",
)
MODALITY = click.Choice(["image", "voice"])
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")


@click.group(cls=CommandGroup)
def archive() -> None:
    """Keep the codes of an archive with their metadata: add, remove and update items.

    An archive is a folder, or a place on an object store (s3://bucket/name, with the usual
    variables AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT and so on). Each change is one
    version; readers keep theirs, and several writers may add at the same time. ivr search asks it.

    \b
    Example:
      ivr archive create tiles --model model
      ivr archive add tiles images/
      ivr search tiles --voice question.wav
    """


@archive.command(cls=Command)
@click.argument("place", metavar="ARCHIVE")
@click.option("--model", type=FOLDER, required=True, help="Packed model or run that encodes.")
def create(place: str, model: Path) -> None:
    """Make an archive without items for the codes of one model.

    A packed model is copied into an archive in a folder, which then needs nothing else.

    \b
    Example:
      ivr archive create tiles --model model
      ivr archive create s3://bucket/tiles --model model
    """
    import ivr

    show(repr(ivr.archive_create(place, model)))


@archive.command(cls=Command)
@click.argument("place", metavar="ARCHIVE")
@click.argument("source", type=click.Path(exists=True, path_type=Path))
@click.option(
    "--root",
    type=FOLDER,
    help="Folder that names of a manifest are relative to  [default: the manifest's folder].",
)
@click.option(
    "--image-root", type=FOLDER, help="Folder that image names are relative to  [default: --root]."
)
@click.option(
    "--voice-root", type=FOLDER, help="Folder that voice names are relative to  [default: --root]."
)
@MODEL
@config_options(
    AddConfig,
    {
        "batch_size": Shown(default="what suits the device"),
        "jobs": Shown(default="one per core"),
        "shard": Shown(metavar="I/N|slurm", type=click.STRING),
        "scheduler_address": Shown(metavar="tcp://HOST:PORT"),
        "time_limit": Shown(metavar="SECONDS", default="no limit"),
        "block_seconds": None,
    },
)
def add(
    place: str,
    source: Path,
    root: Path | None,
    image_root: Path | None,
    voice_root: Path | None,
    model: Path | None,
    options: dict[str, Any],
) -> None:
    """Add new and changed files of a manifest, a folder or a scene.

    SOURCE is a manifest, a folder of images or a scene.

    A scene is a TIFF or JPEG 2000 of any size: its windows become rows, named FILE#X,Y,WIDTH,HEIGHT
    after their pixels; windows without data are counted and left out.

    Each file is read once, encoded and written. A damaged file is named and skipped (exit status
    3). Columns of a manifest that changed are written without encoding. What was written is kept
    whatever happens: the same call again adds the rest.

    \b
    Example:
      ivr archive add tiles images/
      ivr archive add tiles manifest.csv --root /data/tiles --prefix 2026-05/
      ivr archive add tiles manifest.csv --shard 2/8
      ivr archive add tiles scene.tif --tile 256 --overlap 0.5
    """
    import ivr
    from ivr.pipeline.runtime.progress import warn

    roots: dict[str, Any] = {"root": root, "image_root": image_root, "voice_root": voice_root}
    result = ivr.archive_add(place, source, model=model, **roots, **options)
    show(repr(result))
    if not result.finished:
        warn("stopped early, nothing lost: call again to go on")
        raise SystemExit(CALL_AGAIN)
    if result.skipped:
        raise SystemExit(SKIPPED)


@archive.command(cls=Command)
@click.argument("place", metavar="ARCHIVE")
@click.argument("names", nargs=-1)
@click.option("--list", "listed", type=FILE, help="File with one name per line.")
@click.option("--where", metavar="SQL", help="Remove the rows that fulfil this condition.")
@click.option("--modality", type=MODALITY, help="Remove only images, or only voices.")
def remove(
    place: str,
    names: tuple[str, ...],
    listed: Path | None,
    where: str | None,
    modality: str | None,
) -> None:
    """Remove items by names, by a list or by a condition.

    Files are not touched.
    Names that the archive does not have are printed; the exit status is then 3.

    \b
    Example:
      ivr archive remove tiles harbour/17.tif
      ivr archive remove tiles --list withdrawn.txt
      ivr archive remove tiles --where "time < '2020-01-01'"
    """
    import ivr

    result = ivr.archive_remove(place, names, listed=listed, where=where, modality=modality)
    show(repr(result))
    if result.missing:
        raise SystemExit(SKIPPED)


@archive.command(cls=Command)
@click.argument("place", metavar="ARCHIVE")
@click.argument("manifest", type=FILE, required=False)
@click.option("--prefix", default="", help="Text before each name, as the items were added with.")
@click.option(
    "--accept-spellings",
    is_flag=True,
    help="Merge several spellings of one label, speaker or group.",
)
@click.option(
    "--model",
    type=FOLDER,
    help="Packed model of the same codes to copy into the archive, in place of its own.",
)
def update(
    place: str, manifest: Path | None, prefix: str, accept_spellings: bool, model: Path | None
) -> None:
    """Bring columns of items, or the model, up to date.

    Label, caption and further columns are those of MANIFEST; nothing is encoded.
    Items of MANIFEST that the archive does not have are counted, not added. --model replaces the
    model of the archive by one of the same run, for example with a calibrated confidence.

    \b
    Example:
      ivr archive update tiles manifest.csv
      ivr archive update tiles --model model
    """
    if manifest is None and model is None:
        raise click.UsageError("say what is new: give MANIFEST or --model")
    import ivr

    if model is not None:
        show(repr(ivr.archive_replace_model(place, model)))
    if manifest is not None:
        spellings = accept_spellings
        found = ivr.archive_update(place, manifest, prefix=prefix, accept_spellings=spellings)
        show(repr(found))


@archive.command(cls=Command)
@click.argument("place", metavar="ARCHIVE")
@click.option(
    "--days",
    type=click.FloatRange(0),
    default=7.0,
    show_default=True,
    help="Age of the versions that are dropped, in days.",
)
def compact(place: str, days: float) -> None:
    """Merge small files of rows, and drop old versions.

    The order of hits at equal distance does not change.

    \b
    Example:
      ivr archive compact tiles
    """
    import ivr

    show(repr(ivr.archive_compact(place, days=days)))


@archive.command(cls=Command)
@click.argument("place", metavar="ARCHIVE")
@click.option(
    "--lists",
    type=click.IntRange(0),
    default=0,
    help="Number of lists that the codes are divided into  [default: square root of the rows].",
)
@click.option(
    "--queries",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Number of queries per modality that the recall is measured with.",
)
@click.option("--seed", default=0, show_default=True, help="Seed for drawing the queries.")
def index(place: str, lists: int, queries: int, seed: int) -> None:
    """Make an index over the codes and print its recall@10.

    ivr search --index asks it.

    Exact search is faster as long as the codes fit into memory (8 bytes per row at 64 bits).

    \b
    Example:
      ivr archive index tiles
    """
    import ivr

    show(repr(ivr.archive_index(place, lists=lists, queries=queries, seed=seed)))


@archive.command(cls=Command)
@click.argument("place", metavar="ARCHIVE")
@AS_JSON
def info(place: str, as_json: bool) -> None:
    """Print the number of items, version, model, columns and size.

    \b
    Example:
      ivr archive info tiles
      ivr archive info tiles --json
    """
    import ivr

    result = ivr.archive_info(place)
    show(json.dumps(result.to_dict()) if as_json else repr(result))


@archive.command(cls=Command)
@click.argument("place", metavar="ARCHIVE")
@click.option(
    "--sample",
    type=click.IntRange(0),
    default=100,
    show_default=True,
    help="Number of images, and of voices, whose codes are computed again; 0 for none.",
)
@click.option("--files", is_flag=True, help="Compare every file with what it held when added.")
@click.option("--seed", default=0, show_default=True, help="Seed for choosing the sample.")
@MODEL
@device_option("Device that computes the codes: auto, cpu, cuda or cuda:N.")
@AS_JSON
def verify(
    place: str,
    sample: int,
    files: bool,
    seed: int,
    model: Path | None,
    device: str,
    as_json: bool,
) -> None:
    """Check rows, a sample of codes, and files.

    Each item must have one row, and a sample of codes must be what the model makes.

    Exit status 3 if something is wrong.

    \b
    Example:
      ivr archive verify tiles
      ivr archive verify tiles --files --sample 1000
    """
    import ivr

    result = ivr.archive_verify(
        place, sample=sample, files=files, model=model, device=device, seed=seed
    )
    show(json.dumps(result.to_dict()) if as_json else repr(result))
    if not result.whole:
        raise SystemExit(SKIPPED)
