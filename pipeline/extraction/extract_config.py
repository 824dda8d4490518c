"""How features are made and how the work is divided; imports no torch."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal, get_args

from ivr.features.image_config import ImageConfig
from ivr.features.mfcc import VoiceConfig
from ivr.features.waveform_augmentation import canonical_changes
from ivr.pipeline.runtime.config_options import OptionError

from .job_array import JobArrayTask, parse_task

StoredType = Literal["float32", "float16"]


@dataclass(frozen=True)
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
        shard: the task of a job array to do, None for the whole manifest.
        strict: stop at the first damaged file.
        time_limit: seconds after which to stop in good order, 0 for no limit.
        shard_rows: number of rows after which the finished rows are written to disk.
        shard_seconds: number of seconds after which they are written at the latest.
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
    shard: JobArrayTask | None = None
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


def with_options(config: ExtractConfig, options: Mapping[str, Any]) -> ExtractConfig:
    """Return ``config`` with ``options`` in place of its values.

    Args:
        config: the values of all other options.
        options: fields of :class:`ExtractConfig`, :class:`ImageConfig` or :class:`VoiceConfig` by
            name, e.g. ``{"encoder": "alexnet", "frames": 500, "jobs": 4}``; no name stands in two
            of them. ``shard`` may be a text such as ``"2/8"``.

    Raises:
        OptionError: there is no such option, or its value is refused.
    """
    chosen: dict[type, dict[str, Any]] = {ExtractConfig: {}, ImageConfig: {}, VoiceConfig: {}}
    for name, value in options.items():
        owner = next((kind for kind in chosen if name in _names(kind)), None)
        if owner is None:
            known = [known for kind in chosen for known in _names(kind)]
            near = get_close_matches(name, known, 3, 0.5)
            raise OptionError(
                f"no option {name!r}; "
                + (
                    f"did you mean {' or '.join(near)}?"
                    if near
                    else f"there are {', '.join(known)}"
                )
            )
        chosen[owner][name] = value
    own = chosen[ExtractConfig]
    if isinstance(own.get("shard"), str):
        own["shard"] = parse_task(own["shard"])
    try:
        image = replace(own.pop("image", config.image), **chosen[ImageConfig])
        voice = replace(own.pop("voice", config.voice), **chosen[VoiceConfig])
        return replace(config, image=image, voice=voice, **own)
    except (TypeError, ValueError) as error:
        raise OptionError(str(error)) from error


def _names(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]
