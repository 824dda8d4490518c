"""Differences between images and voices during extraction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.encoder_batches import ImageBatches
from ivr.features.image import describe_encoder, load_encoder
from ivr.features.image_file import READER
from ivr.features.waveform_augmentation import canonical_changes, changed_name
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.progress import warn

from .extract_config import ExtractConfig
from .feature_schema import IMAGES, VOICES, compared_settings
from .file_stamps import STAMPS, FileStamps
from .media_rows import image_rows, voice_rows, voice_rows_in_batches
from .parallel_readers import Rows

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
VOICES_A_BATCH = 32  # on a processor: a call that is stopped finishes its batch first
VOICES_A_GPU_BATCH = 256


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
    """

    kind: str
    path: Path
    root: Path
    names: tuple[str, ...]
    config: Mapping[str, Any]
    dim: int
    files: FileStamps

    @property
    def what(self) -> str:
        """The items in the plural: images or voices."""
        return "images" if self.kind == IMAGES else "voices"


@dataclass(frozen=True)
class Modality(Target):
    """A feature file to make, and how to make its rows.

    Attributes:
        usual_batch: returns the batch size that is taken unless the user gives one.
        vectorise: makes rows of batches of names, in order; a skipped file where one cannot be
            used.
    """

    usual_batch: Callable[[], int]
    vectorise: Callable[[Sequence[Sequence[str]]], Rows]

    def recording(self, **notes: Any) -> "Modality":
        """Return the modality with ``notes`` added to ``made_with``."""
        made_with = {**self.config["made_with"], **notes}
        return replace(self, config={**self.config, "made_with": made_with})


def image_target(names: Sequence[str], out: Path, root: Path, config: ExtractConfig) -> Target:
    """Return the file of the images ``names`` below ``root``; neither loads nor downloads weights.

    Raises:
        EncoderError, WeightsError: see :func:`ivr.features.image.describe_encoder`.
    """
    _say_random(config)
    dim, provenance = describe_encoder(config.image)
    if not provenance["sha256"]:
        warn(
            f"note: the weights of {config.image.encoder} are not on this machine yet; rows of "
            "other weights are counted as done"
        )
    return _image_target(names, out, root, config, dim, provenance)


def image_modality(names: Sequence[str], out: Path, root: Path, config: ExtractConfig) -> Modality:
    """Return the modality of the images ``names`` below ``root``; loads the encoder.

    Raises:
        EncoderError, WeightsError, DeviceError: see their modules.
    """
    _say_random(config)
    device = choose_device(config.device, config.gpu_memory_fraction)
    encoder = load_encoder(config.image, device)
    batches = ImageBatches(encoder)
    return Modality(
        **vars(_image_target(names, out, root, config, encoder.dim, encoder.provenance)),
        usual_batch=batches.usual_size,
        vectorise=lambda work: image_rows(work, root, batches, config),
    ).recording(device=device.type)


def voice_target(names: Sequence[str], out: Path, root: Path, config: ExtractConfig) -> Target:
    """Return the file of the voices ``names`` below ``root``, as recorded and as changed."""
    shape = [3, config.voice.coefficients, config.voice.frames]
    settings = {
        "stored": config.stored,
        "shape": shape,
        "streams": ["mfcc", "delta", "delta-delta"],
        **compared_settings(asdict(config.voice)),
    }
    changes = canonical_changes(config.augment)
    return Target(
        VOICES,
        out / "voices.h5",
        root,
        tuple(chain(names, (changed_name(name, change) for change in changes for name in names))),
        {"settings": settings, "made_with": _versions()},
        int(np.prod(shape)),
        _files(root, out / "voices.h5", config),
    )


def voice_modality(names: Sequence[str], out: Path, root: Path, config: ExtractConfig) -> Modality:
    """Return the modality of the voices ``names`` below ``root``, as recorded and as changed.

    Raises:
        DeviceError: no such device.
    """
    device = choose_device(config.device, config.gpu_memory_fraction)
    voice = config.voice
    if voice.backend == "auto":
        voice = replace(voice, backend="torch" if device.type == "cuda" else "fast")
    in_batches = voice.backend == "torch"
    return Modality(
        **vars(voice_target(names, out, root, config)),
        usual_batch=lambda: VOICES_A_GPU_BATCH if in_batches else VOICES_A_BATCH,
        vectorise=lambda work: (
            voice_rows_in_batches(work, root, voice, device, config)
            if in_batches
            else voice_rows(work, root, voice, config)
        ),
    ).recording(backend=voice.backend, device=device.type if in_batches else "cpu")


def _say_random(config: ExtractConfig) -> None:
    if config.image.weights == "random":
        warn(
            f"note: {config.image.encoder} has RANDOM weights: good for trying things out, "
            "not for results"
        )


def _image_target(
    names: Sequence[str],
    out: Path,
    root: Path,
    config: ExtractConfig,
    dim: int,
    provenance: Mapping[str, Any],
) -> Target:
    pixels = config.image.pixels
    read = {"pixels": {**asdict(pixels), "bands": list(pixels.bands)}, "reader": READER}
    settings = {"stored": config.stored, "shape": [dim], **provenance, **read}
    made_with = _versions() | {"weights": settings.pop("weights")}
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
