"""Files as they circulate in, a manifest out."""

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from .layouts import LAYOUTS, Sources
from .manifest import SPLITS, Manifest, ManifestError, write_manifest
from .published import known_dataset
from .splits import complete_splits, splits_of_cut


@dataclass(frozen=True)
class PrepareConfig:
    """What to read and how to cut it.

    Attributes:
        layout: a key of ``LAYOUTS``.
        sources: where the files are.
        out: the manifest to write.
        cut: a key of ``CUTS``; ``"none"`` leaves the splits as the layout gives them, and
            training draws those it needs.
        seed: of the draw.
        force: write over an existing manifest.
        dry_run: read and prove everything, write nothing.
    """

    layout: str
    sources: Sources
    out: Path
    cut: str = "none"
    seed: int = 0
    force: bool = False
    dry_run: bool = False


@dataclass(frozen=True)
class Summary:
    """What a manifest holds.

    Attributes:
        images: number of images.
        voices: number of voices.
        images_by_class: class -> number of images, in alphabetical order.
        images_by_voices: number of voices -> number of images that have as many.
        images_by_split: split -> number of images, those that hold any.
        free_voices: voices without an image.
        dataset: ``ucm``, ``sydney``, ``rsicd`` where the classes are its own, else ``None``.
    """

    images: int
    voices: int
    images_by_class: dict[str, int]
    images_by_voices: dict[int, int]
    images_by_split: dict[str, int]
    free_voices: int
    dataset: str | None


def prepare(config: PrepareConfig) -> Summary:
    """Write the manifest that ``config`` describes and return what it holds.

    Raises:
        ManifestError: an output that is there already, files whose class or pairing cannot be
            proved, or data that cannot be split.
    """
    if config.layout not in LAYOUTS:
        raise ManifestError(f"no layout {config.layout!r}; there are {', '.join(LAYOUTS)}")
    if not config.dry_run:
        _require_writable(config.out, config.force)
    manifest = LAYOUTS[config.layout](config.sources)
    if config.cut != "none":
        manifest = _with_splits(manifest, config)
    if not config.dry_run:
        _write(config.out, manifest)
    return summarize(manifest)


def summarize(manifest: Manifest) -> Summary:
    """Return what ``manifest`` holds, without opening a file."""
    images, voices = manifest.images(), manifest.voices()
    spoken = Counter(voice.image for voice in voices)
    labels = Counter(image.label for image in images if image.label)
    splits = Counter(image.split for image in images)
    return Summary(
        images=len(images),
        voices=len(voices),
        images_by_class=dict(sorted(labels.items())),
        images_by_voices=dict(sorted(Counter(spoken[image.name] for image in images).items())),
        images_by_split={split: splits[split] for split in SPLITS if splits[split]},
        free_voices=spoken[""],
        dataset=known_dataset(labels),
    )


def _require_writable(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise ManifestError(f"{path} exists; name another file, or write over it with --force")
    if not path.parent.is_dir():
        raise ManifestError(f"{path.parent}: no such folder; make it first")


def _with_splits(manifest: Manifest, config: PrepareConfig) -> Manifest:
    splits = complete_splits(manifest, splits_of_cut(config.cut, config.seed))
    return Manifest(
        tuple(replace(row, split=splits[row.image or row.voice]) for row in manifest.rows)
    )


def _write(path: Path, manifest: Manifest) -> None:
    try:
        write_manifest(path, manifest)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written ({error.strerror})") from error
