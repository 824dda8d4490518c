"""``ivr prepare``: a manifest from the files of a data set."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ivr.features.atomic_files import require_writable
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .canonical_names import Spellings
from .layouts import read_layout
from .manifest import SPLITS, Manifest, ManifestError, of_one_spelling, write_manifest
from .passed_over import passed_over
from .prepare_config import PrepareConfig
from .public_datasets import known_dataset
from .split_config import SplitConfig, splits_of_cut
from .splits import complete_splits


@dataclass(frozen=True, repr=False)
class PrepareResult(Result):
    """Contents of a manifest, and files that are not in it; its repr is the printed summary.

    Attributes:
        manifest: the file that was written, ``None`` after a dry run.
        images: number of images.
        voices: number of voices.
        images_by_class: class -> number of images, in alphabetical order.
        images_by_voices: number of voices -> number of images that have as many.
        images_by_split: split -> number of images, of the splits that have any.
        free_voices: voices without an image.
        dataset: ``ucm``, ``sydney`` or ``rsicd`` if the classes are its own, else ``None``.
        merged: spellings of one name that were merged.
        passed_over: suffix -> number of files that may be images or voices and are in no row.
    """

    manifest: Path | None
    images: int
    voices: int
    images_by_class: dict[str, int]
    images_by_voices: dict[int, int]
    images_by_split: dict[str, int]
    free_voices: int
    dataset: str | None
    merged: tuple[Spellings, ...] = ()
    passed_over: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Return the summary that ``ivr prepare`` prints."""
        known = f" (those of {self.dataset})" if self.dataset else ""
        counts = [
            f"{voices} ({counted(images, 'image')})"
            for voices, images in self.images_by_voices.items()
        ]
        sizes = [f"{split} {images}" for split, images in self.images_by_split.items()]
        lines = [
            f"images: {self.images}",
            f"voices: {self.voices}",
            f"classes: {len(self.images_by_class)}{known}",
            f"voices per image: {', '.join(counts)}",
            f"images per split: {', '.join(sizes) or 'none; train-hash draws a split'}",
        ]
        if self.free_voices:
            lines.append(f"voices without an image: {self.free_voices}")
        lines += [f"merged to {one.kept!r}: {one}" for one in self.merged]
        if self.passed_over:
            lines.append(self.passed_over_text())
        return "\n".join(lines)

    def passed_over_text(self) -> str:
        """Return the numbers of files that were passed over, in one line."""
        counts = ", ".join(f"{count} {suffix}" for suffix, count in self.passed_over.items())
        return (
            f"passed over: {sum(self.passed_over.values())} files that are no image or voice of "
            f"this layout: {counts}; convert them, or move them out of the folder"
        )


def prepare(
    layout: str, out: str | Path, config: PrepareConfig | None = None, **options: Any
) -> PrepareResult:
    """Write a manifest from the files of a data set and return its summary.

    Args:
        layout: name of a layout of :mod:`ivr.pipeline.datasets.layouts`, of an entry point of the
            group ``ivr.layouts``, or ``module:function``.
        out: the manifest to write: CSV, or Parquet if its name ends in ``.parquet``.
        config: where the files are, and the split to draw.
        options: fields of :class:`PrepareConfig` (``images``, ``voices``, ``split`` ...), which
            override ``config``; without ``config``, ``images`` is needed.

    Raises:
        UnknownNameError, LayoutError, ExtensionError: no such layout.
        OptionError: no such option, or no images.
        ManifestError: an output that exists already, files whose class or pairing cannot be proved,
            or data that cannot be split.
    """
    chosen = PrepareConfig(**options) if config is None else with_options(config, options)
    path = Path(out)
    if not chosen.dry_run:
        _require_free(path, chosen.force)
    manifest = of_one_spelling(read_layout(layout, chosen).columns, accept=chosen.accept_spellings)
    if chosen.split != "none":
        manifest = _with_splits(manifest, splits_of_cut(chosen.split, chosen.seed))
    if not chosen.dry_run:
        _write(path, manifest)
    summary = summarize(manifest, None if chosen.dry_run else path)
    return replace(summary, passed_over=passed_over(chosen, manifest))


def summarize(manifest: Manifest, path: Path | None = None) -> PrepareResult:
    """Return the contents of ``manifest``, which is written at ``path``; opens no file."""
    images, voices = manifest.images(), manifest.voices()
    spoken = Counter(voice.image for voice in voices)
    labels = Counter(image.label for image in images if image.label)
    splits = Counter(image.split for image in images)
    return PrepareResult(
        manifest=path,
        images=len(images),
        voices=len(voices),
        images_by_class=dict(sorted(labels.items())),
        images_by_voices=dict(sorted(Counter(spoken[image.name] for image in images).items())),
        images_by_split={split: splits[split] for split in SPLITS if splits[split]},
        free_voices=spoken[""],
        merged=manifest.merged,
        dataset=known_dataset(labels),
    )


def _require_free(path: Path, force: bool) -> None:
    if path.exists() and not force:
        raise ManifestError(f"{path} exists; name another file, or overwrite it with --force")
    if not path.parent.is_dir():
        raise ManifestError(f"{path.parent}: no such folder; create it first")
    require_writable(path.parent)


def _with_splits(manifest: Manifest, config: SplitConfig) -> Manifest:
    splits = complete_splits(manifest, config)
    rows = tuple(replace(row, split=splits[row.image or row.voice]) for row in manifest.rows)
    return Manifest(rows, manifest.merged)


def _write(path: Path, manifest: Manifest) -> None:
    try:
        write_manifest(path, manifest)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be written ({error.strerror})") from error
