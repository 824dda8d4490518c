"""What differs between images and voices while they are extracted."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from itertools import chain, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivr.features.encoder_batches import ImageBatches
from ivr.features.image import load_encoder
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import of_fixed_length
from ivr.features.voice_torch import batch_cepstra
from ivr.features.waveform_augmentation import canonical_changes, changed_name
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.progress import say

from .extract_config import ExtractConfig
from .feature_schema import IMAGES, VOICES
from .parallel_readers import Readers, Rows
from .worker_tasks import FeatureRow, decode, listen, record

# Libraries whose version can move the last digits of a vector; recorded, not compared.
LIBRARIES = ("torch", "torchvision", "librosa", "numpy", "scipy", "soundfile", "soxr", "pillow")
VOICES_A_BATCH = 32  # of the processor: how much work a stop waits for
VOICES_A_GPU_BATCH = 256


@dataclass(frozen=True)
class Modality:
    """What differs between images and voices.

    Attributes:
        kind: of the table.
        path: the feature file.
        root: folder that names start from.
        names: the rows to make: the items, and after them the voices as they are changed.
        config: ``settings``, which decide the vectors and are compared, and ``made_with``, which is
            recorded only: library versions, name of the weights (their sha256 is a setting).
        dim: length of a vector.
        usual_batch: returns how many items are worked on at a time where the user leaves it open.
        vectorise: makes rows of batches of names, in order, a failure where a file cannot be used.
    """

    kind: str
    path: Path
    root: Path
    names: tuple[str, ...]
    config: Mapping[str, Any]
    dim: int
    usual_batch: Callable[[], int]
    vectorise: Callable[[Sequence[Sequence[str]]], Rows]

    @property
    def what(self) -> str:
        """What an item is, in the plural."""
        return "images" if self.kind == IMAGES else "voices"

    def recording(self, **notes: Any) -> "Modality":
        """Return the modality with ``notes`` beside what its rows are made with."""
        made_with = {**self.config["made_with"], **notes}
        return replace(self, config={**self.config, "made_with": made_with})


def image_modality(names: Sequence[str], out: Path, root: Path, config: ExtractConfig) -> Modality:
    """Return the modality of the images ``names`` below ``root``; loads the encoder.

    Raises:
        WeightsError, DeviceError: see their modules.
        ValueError: a network that is no encoder.
    """
    if config.image.weights == "random":
        say(f"note: {config.image.encoder} has RANDOM weights: to try things out, not for figures")
    device = choose_device(config.device, config.gpu_memory_fraction)
    encoder = load_encoder(config.image, device)
    settings = {"stored": config.stored, "shape": [encoder.dim], **encoder.provenance}
    made_with = _versions() | {"weights": settings.pop("weights")}
    batches = ImageBatches(encoder)
    return Modality(
        IMAGES,
        out / "images.h5",
        root,
        tuple(names),
        {"settings": settings, "made_with": made_with},
        encoder.dim,
        batches.usual_size,
        lambda work: _image_rows(work, root, batches, config),
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
    shape = [3, voice.coefficients, voice.frames]
    settings = {
        "stored": config.stored,
        "shape": shape,
        "streams": ["mfcc", "delta", "delta-delta"],
        **asdict(voice),
    }
    on_gpu = voice.backend == "torch"
    changes = ("", *canonical_changes(config.augment))
    return Modality(
        VOICES,
        out / "voices.h5",
        root,
        tuple(changed_name(name, change) for change in changes for name in names),
        {"settings": settings, "made_with": _versions()},
        int(np.prod(shape)),
        lambda: VOICES_A_GPU_BATCH if on_gpu else VOICES_A_BATCH,
        lambda work: (
            _voice_rows_in_batches(work, root, voice, device, config)
            if on_gpu
            else _voice_rows(work, root, voice, config)
        ),
    )


def _versions() -> dict[str, str]:
    return {name: version(name) for name in LIBRARIES}


def _readers(config: ExtractConfig, work: Sequence[Sequence[str]]) -> Readers:
    most = max(map(len, work), default=1)
    return Readers(config.jobs, max(config.shard_rows, 2 * most), config.scheduler_address)


def _image_rows(
    work: Sequence[Sequence[str]], root: Path, batches: ImageBatches, config: ExtractConfig
) -> Rows:
    """Yield the rows of ``work``; on a GPU one batch behind the one that was started last."""
    names = list(chain.from_iterable(work))
    behind = 1 if batches.device.type == "cuda" else 0
    started: list[tuple[list[Any], Callable[[], np.ndarray]]] = []
    readers = _readers(config, work)
    with closing(readers.read(decode, names, (root, batches.encoder.size), "threads")) as decoded:
        for batch in work:
            rows = list(islice(decoded, len(batch)))
            images = [row.vector for row in rows if isinstance(row, FeatureRow)]
            started.append((rows, batches.start(np.stack(images)) if images else _nothing))
            if len(started) > behind:
                yield from _with_vectors(*started.pop(0))
        for rows, wait in started:
            yield from _with_vectors(rows, wait)


def _nothing() -> np.ndarray:
    return np.empty((0, 0), np.float32)


def _with_vectors(rows: Sequence[Any], wait: Callable[[], np.ndarray]) -> Rows:
    vectors = iter(wait())
    for row in rows:
        yield replace(row, vector=next(vectors)) if isinstance(row, FeatureRow) else row


def _voice_rows(
    work: Sequence[Sequence[str]], root: Path, voice: VoiceConfig, config: ExtractConfig
) -> Rows:
    names = list(chain.from_iterable(work))
    arguments = (root, voice, os.getpid())
    with closing(_readers(config, work).read(listen, names, arguments, "processes")) as heard:
        for row in heard:
            if isinstance(row, FeatureRow):
                vectors, _ = of_fixed_length(row.vector, voice)
                yield replace(row, vector=vectors.reshape(-1))
            else:
                yield row


def _voice_rows_in_batches(
    work: Sequence[Sequence[str]],
    root: Path,
    voice: VoiceConfig,
    device: torch.device,
    config: ExtractConfig,
) -> Rows:
    """Yield the rows of ``work``: threads read the recordings, ``device`` transforms batches."""
    names = list(chain.from_iterable(work))
    with closing(_readers(config, work).read(record, names, (root, voice), "threads")) as recorded:
        for batch in work:
            rows = list(islice(recorded, len(batch)))
            recordings = [row.vector for row in rows if isinstance(row, FeatureRow)]
            cepstra = iter(batch_cepstra(recordings, voice, device))
            for row in rows:
                if isinstance(row, FeatureRow):
                    vectors, frames = of_fixed_length(next(cepstra), voice)
                    yield replace(row, vector=vectors.reshape(-1), frames=frames)
                else:
                    yield row
