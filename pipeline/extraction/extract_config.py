"""How features are made and how the work is divided; imports no torch."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.features.image_config import ImageConfig
from ivr.features.mfcc import VoiceConfig
from ivr.features.waveform_augmentation import canonical_changes

from .job_array import JobArrayTask, parse_task

StoredType = Literal["float32", "float16"]


def _task(value: object) -> object:
    """Return the task that a text such as ``2/8`` names; any other value as it is."""
    return parse_task(value) if isinstance(value, str) else value


@config
class ExtractConfig:
    """How features are made and how the work is divided.

    Attributes:
        image: the image encoder.
        voice: the MFCC.
        augment: changes of the voices; each adds one row per voice
            (:mod:`ivr.features.waveform_augmentation`).
        stored: type of the stored vectors: float32, or float16 for half the disk and memory.
        batch_size: images per forward pass, 0 for a size that suits the device; halved if it does
            not fit the device's memory.
        jobs: number of parallel readers, 0 for one per core.
        device: auto, cpu, cuda or cuda:N; auto takes cuda if there is one.
        gpu_memory_fraction: largest share of the GPU's memory that this process may take.
        scheduler_address: address of a Dask cluster that reads the files, ``""`` for this machine.
        shard: the task of a job array to do, e.g. ``2/8``; None for the whole manifest.
        strict: stop at the first damaged file.
        time_limit: seconds after which to stop in good order, 0 for no limit.
        shard_rows: number of rows after which the finished rows are written to disk.
        shard_seconds: number of seconds after which they are written at the latest.
    """

    image: ImageConfig = field(default_factory=ImageConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    augment: tuple[str, ...] = ()
    stored: StoredType = "float32"
    batch_size: NonNegativeInt = 0
    jobs: NonNegativeInt = 0
    device: str = "auto"
    gpu_memory_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    scheduler_address: str = ""
    shard: Annotated[JobArrayTask | None, BeforeValidator(_task)] = None
    strict: bool = False
    time_limit: NonNegativeFloat = 0.0
    shard_rows: PositiveInt = 512
    shard_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse changes of voices that do not exist."""
        canonical_changes(self.augment)
