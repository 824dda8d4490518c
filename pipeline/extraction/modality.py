"""Differences between images and voices during extraction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ivr.features.encoder_batches import ImageBatches
from ivr.features.image import Encoder, load_encoder
from ivr.features.image_config import SIFT
from ivr.features.mfcc import Backend
from ivr.features.sift import opencv_version
from ivr.features.voice_encoders import voice_blueprint
from ivr.pipeline.runtime.device import choose_device

from .extract_config import ExtractConfig
from .media_rows import image_rows, saying_blank, voice_rows
from .other_voices import Others
from .parallel_readers import Rows
from .target import Target, say_random, target_of_encoder, target_of_voice_encoder


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


def image_modality(names: Sequence[str], out: Path, root: Path, config: ExtractConfig) -> Modality:
    """Return the modality of the images ``names`` below ``root``; loads the encoder.

    Raises:
        EncoderError, WeightsError, DeviceError: see their modules.
    """
    say_random(config)
    device = choose_device(config.device, config.gpu_memory_fraction)
    encoder = load_encoder(config.image, device)
    batches = ImageBatches(encoder)
    return Modality(
        **vars(target_of_encoder(names, out, root, config, encoder.dim, encoder.provenance)),
        usual_batch=batches.usual_size,
        vectorise=lambda work: saying_blank(image_rows(work, root, batches, config), encoder.name),
    ).recording(device=device.type, **_libraries(encoder))


def _libraries(encoder: Encoder) -> dict[str, str]:
    return {"opencv": opencv_version()} if encoder.name == SIFT else {}


def voice_modality(
    names: Sequence[str], out: Path, root: Path, config: ExtractConfig, others: Others
) -> Modality:
    """Return the modality of the voices ``names`` below ``root``, as recorded and as changed.

    Raises:
        DeviceError: no such device.
        UnknownNameError, VoiceEncoderError, ExtensionError: see
            :func:`ivr.features.voice_encoders.voice_blueprint`.
    """
    device = choose_device(config.device, config.gpu_memory_fraction)
    if config.voice.backend == "auto":
        backend: Backend = "torch" if device.type == "cuda" else "fast"
        config = replace(config, voice=replace(config.voice, backend=backend))
    blueprint = voice_blueprint(config.voice_choices)
    encode = blueprint.encoder(str(device))
    return Modality(
        **vars(target_of_voice_encoder(names, out, root, config, blueprint, others)),
        usual_batch=lambda: blueprint.batch_size,
        vectorise=lambda work: voice_rows(work, root, blueprint, encode, config, others),
    ).recording(device=device.type if blueprint.load else "cpu")
