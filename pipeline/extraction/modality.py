"""Differences between images and voices during extraction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ivr.features.encoder_batches import ImageBatches
from ivr.features.image import load_encoder
from ivr.pipeline.runtime.device import choose_device

from .extract_config import ExtractConfig
from .media_rows import image_rows, voice_rows, voice_rows_in_batches
from .parallel_readers import Rows
from .target import Target, say_random, target_of_encoder, voice_target

VOICES_A_BATCH = 32  # on a processor: a call that is stopped finishes its batch first
VOICES_A_GPU_BATCH = 256


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
        vectorise=lambda work: image_rows(work, root, batches, config),
    ).recording(device=device.type)


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
