"""How files are added to an archive and the work is divided; imports no torch."""

from dataclasses import field
from typing import Annotated

from pydantic import BeforeValidator, NonNegativeFloat, NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.pipeline.extraction.job_array import JobArrayTask, parse_task

from .window_config import WindowConfig


def _task(value: object) -> object:
    """Return the task that a text such as ``2/8`` names; any other value as it is."""
    return parse_task(value) if isinstance(value, str) else value


@config
class AddConfig:
    """How files are added to an archive and the work is divided.

    Attributes:
        windows: Which windows of a scene are encoded; a manifest and a folder have none.
        prefix: Text that is put before each name, e.g. ``2026-05/``, so that files of several
            sources whose names are the same do not replace each other.
        moved: Let files of this source replace items of the same names that came from another
            folder; without it they are refused. Rows of files with the same content name the new
            folder from then on.
        batch_size: Number of files per forward pass, 0 for a size that suits the device.
        jobs: Number of parallel readers.
        device: Device that computes the codes: auto, cpu, cuda or cuda:N; auto takes cuda if there
            is one.
        scheduler_address: Address of a Dask cluster whose workers read the files; without it this
            machine reads them.
        shard: Task of a job array to do: ``2/8`` is the second of eight, ``slurm`` the task that
            SLURM's variables name; without it the whole source is done.
        trust_mtime: Do not read files again whose size, time of change and inode are those that the
            last call with this option saw; without it every file that is in the archive is read
            and compared with its stamp. Only for archives in a folder.
        accept_spellings: Merge several spellings of one label, speaker or group of a manifest;
            they are an error otherwise.
        strict: Stop at the first damaged file instead of skipping it.
        time_limit: Stop in good order after this number of seconds (exit status 75); 0 sets no
            limit.
        block_rows: Number of rows that are written to the archive at once, as one version.
        block_seconds: Number of seconds after which the finished rows are written at the latest.
    """

    windows: WindowConfig = field(default_factory=WindowConfig)
    prefix: str = ""
    moved: bool = False
    batch_size: NonNegativeInt = 0
    jobs: NonNegativeInt = 0
    device: str = "auto"
    scheduler_address: str = ""
    shard: Annotated[JobArrayTask | None, BeforeValidator(_task)] = None
    trust_mtime: bool = False
    accept_spellings: bool = False
    strict: bool = False
    time_limit: NonNegativeFloat = 0.0
    block_rows: PositiveInt = 1024
    block_seconds: float = 10.0
