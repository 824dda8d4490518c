"""The feature files that an extraction makes: what is in them and how it is made; no torch."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ivr.errors import IvrError
from ivr.features.encoder_table import describe_encoder
from ivr.features.image_config import TIMM
from ivr.features.image_file import READER
from ivr.features.voice_blueprint import VoiceBlueprint
from ivr.features.voice_encoders import voice_blueprint
from ivr.features.waveform_augmentation import canonical_changes, changed_name
from ivr.pipeline.datasets.manifest import Manifest
from ivr.pipeline.runtime.progress import warn

from .extract_config import ExtractConfig
from .feature_schema import IMAGES, VOICES, compared_settings
from .file_stamps import STAMPS, FileStamps
from .other_voices import Others, OtherVoices, no_others

# Libraries whose version can move the last digits of a vector; recorded, not compared.
LIBRARIES = (
    "torch",
    "torchvision",
    "librosa",
    "numpy",
    "scipy",
    "soundfile",
    "av",
    "soxr",
    "pillow",
    "rasterio",
    "simplejpeg",
)
Made = TypeVar("Made")
Maker = Callable[[Sequence[str], Path, Path, ExtractConfig], Made]
VoiceMaker = Callable[[Sequence[str], Path, Path, ExtractConfig, Others], Made]


class ExtractError(IvrError):
    """An extraction that cannot be done, in one line."""


@dataclass(frozen=True)
class Target:
    """A feature file to make.

    Attributes:
        kind: kind of table.
        path: the feature file.
        root: folder that names are relative to.
        names: names of the rows to make: the items, then the changed voices.
        config: ``settings`` and ``made_with`` of the file, see
            :mod:`ivr.pipeline.extraction.feature_schema`.
        dim: length of a vector.
        files: stamps that the files of the items have now.
        others: returns the voices that are mixed into a row.
    """

    kind: str
    path: Path
    root: Path
    names: tuple[str, ...]
    config: Mapping[str, Any]
    dim: int
    files: FileStamps
    others: Others = field(default=no_others, kw_only=True)

    @property
    def what(self) -> str:
        """The items in the plural: images or voices."""
        return "images" if self.kind == IMAGES else "voices"


def image_target(names: Sequence[str], out: Path, root: Path, config: ExtractConfig) -> Target:
    """Return the file of the images ``names`` below ``root``; neither loads nor downloads weights.

    Raises:
        EncoderError, WeightsError: see :func:`ivr.features.encoder_table.describe_encoder`.
    """
    say_random(config)
    dim, provenance = describe_encoder(config.image)
    if not provenance["sha256"]:
        warn(
            f"note: the weights of {config.image.encoder} are not on this machine yet; rows of "
            "other weights are counted as done"
        )
    return target_of_encoder(names, out, root, config, dim, provenance)


def voice_target(
    names: Sequence[str], out: Path, root: Path, config: ExtractConfig, others: Others
) -> Target:
    """Return the file of the voices ``names`` below ``root``, as recorded and as changed.

    Raises:
        UnknownNameError, VoiceEncoderError, ExtensionError: see
            :func:`ivr.features.voice_encoders.voice_blueprint`.
    """
    encoder = voice_blueprint(config.voice_choices)
    return target_of_voice_encoder(names, out, root, config, encoder, others)


def target_of_voice_encoder(
    names: Sequence[str],
    out: Path,
    root: Path,
    config: ExtractConfig,
    encoder: VoiceBlueprint,
    others: Others,
) -> Target:
    """Return the file of the voices ``names`` whose sequences ``encoder`` makes."""
    settings = {
        "stored": encoder.stored or config.stored,
        "shape": list(encoder.shape),
        "streams": list(encoder.streams),
        **compared_settings(encoder.settings),
    }
    changes = canonical_changes(config.augment)
    return Target(
        VOICES,
        out / "voices.h5",
        root,
        tuple(chain(names, (changed_name(name, change) for change in changes for name in names))),
        {"settings": settings, "made_with": _versions() | dict(encoder.notes)},
        int(np.prod(encoder.shape)),
        _files(root, out / "voices.h5", config),
        others=others,
    )


def say_random(config: ExtractConfig) -> None:
    """Say aloud that weights are random."""
    if config.image.weights == "random":
        warn(
            f"note: {config.image.encoder} has RANDOM weights: good for trying things out, "
            "not for results"
        )


def target_of_encoder(
    names: Sequence[str],
    out: Path,
    root: Path,
    config: ExtractConfig,
    dim: int,
    provenance: Mapping[str, Any],
) -> Target:
    """Return the file of the images ``names`` whose encoder has ``provenance``."""
    pixels = config.image.pixels
    read = {"pixels": {**asdict(pixels), "bands": list(pixels.bands)}, "reader": READER}
    settings = {"stored": config.stored, "shape": [dim], **provenance, **read}
    made_with = _versions() | {"weights": settings.pop("weights")}
    if config.image.encoder.startswith(TIMM):
        made_with["timm"] = version("timm")
    if config.image.weights not in ("imagenet", "random"):
        # Where ivr search finds them again.
        made_with["weights_file"] = str(Path(config.image.weights).absolute())
    whole = {"settings": settings, "made_with": made_with}
    path = out / "images.h5"
    return Target(IMAGES, path, root, tuple(names), whole, dim, _files(root, path, config))


def _files(root: Path, path: Path, config: ExtractConfig) -> FileStamps:
    return FileStamps(root, path.with_name(f".{path.name}.mtimes") if config.trust_mtime else None)


def _versions() -> dict[str, str]:
    return {"stamps": STAMPS, **{name: version(name) for name in LIBRARIES}}


def roots_of(
    manifest: Path,
    image_root: str | Path | None,
    voice_root: str | Path | None,
    root: str | Path | None,
) -> tuple[Path, Path]:
    """Return the absolute folders that image and voice names are relative to."""
    both = root or manifest.parent
    return Path(image_root or both).absolute(), Path(voice_root or both).absolute()


def of_each_modality(
    manifest: Manifest,
    folder: Path,
    roots: tuple[Path, Path],
    config: ExtractConfig,
    of_images: Maker[Made],
    of_voices: VoiceMaker[Made],
) -> tuple[Made | None, Made | None]:
    """Return what ``of_images`` and ``of_voices`` make of the names, None without names.

    Raises:
        FewVoicesError: a voice is to be mixed with more voices than there are.
    """
    others = OtherVoices(manifest)
    others.require_enough(config.augment)
    images, voices = manifest.image_names(), manifest.voice_names()
    if config.shard:
        images, voices = list(config.shard.select(images)), list(config.shard.select(voices))
    image_root, voice_root = roots
    return (
        of_images(images, folder, image_root, config) if images else None,
        of_voices(voices, folder, voice_root, config, others.of) if voices else None,
    )
