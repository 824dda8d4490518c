"""How features are made and how the work is spread."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from ivr.features.image_config import ImageConfig
from ivr.features.mfcc import VoiceConfig
from ivr.features.waveform_augmentation import canonical_changes

from .job_array import Part

StoredType = Literal["float32", "float16"]


@dataclass(frozen=True)
class ExtractConfig:
    """How features are made and how the work is spread.

    Attributes:
        image: the image encoder.
        voice: the MFCC.
        augment: changes of every voice, each one more row
            (:mod:`ivr.features.waveform_augmentation`).
        stored: float32, or float16 for half the disk and memory.
        batch_size: images a forward pass, 0 for what suits the device; halved where it turns out
            to be too large for its memory.
        jobs: parallel readers, 0 for one a core.
        device: auto takes cuda when there is one.
        gpu_memory_fraction: share of the GPU's memory that this process may take.
        scheduler_address: of a Dask cluster that reads the files, ``""`` for this machine.
        part: the part of the manifest to do, None for the whole.
        strict: stop at the first damaged file.
        time_limit: seconds after which to stop in good order, 0 for none.
        shard_rows: a shard is closed with the batch that brings it to so many rows.
        shard_seconds: a shard is also closed after so many seconds.
    """

    image: ImageConfig = field(default_factory=ImageConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    augment: tuple[str, ...] = ()
    stored: StoredType = "float32"
    batch_size: int = 0
    jobs: int = 0
    device: str = "auto"
    gpu_memory_fraction: float = 1.0
    scheduler_address: str = ""
    part: Part | None = None
    strict: bool = False
    time_limit: float = 0.0
    shard_rows: int = 512
    shard_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Check the choices."""
        canonical_changes(self.augment)
        if self.stored not in get_args(StoredType):
            raise ValueError(f"stored must be float32 or float16, got {self.stored!r}")
        if self.shard_rows < 1:
            raise ValueError(f"shard_rows must be at least 1, got {self.shard_rows}")
        for name in ("batch_size", "jobs", "time_limit"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if not 0 < self.gpu_memory_fraction <= 1:
            raise ValueError(
                f"gpu_memory_fraction must be in (0, 1], got {self.gpu_memory_fraction}"
            )
