"""How features are made and how the work is divided; imports no torch."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, NonNegativeFloat, NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.features.image_config import ImageConfig
from ivr.features.mfcc import VoiceConfig
from ivr.features.visual_words import VocabularyConfig
from ivr.features.voice_encoder_config import VoiceChoices, VoiceEncoderConfig
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
        image: The image encoder.
        voice: The MFCC settings.
        voices: The voice encoder.
        vocabulary: The visual words that the encoder ``sift`` learns.
        augment: Change of the voices that adds one row per voice: ``speed=0.9``, ``tempo=0.9``,
            ``pitch=2`` (semitones), ``tract=1.1`` (formants), ``noise=10`` (dB) or ``babble=10``
            (dB; five other voices of the split) (:mod:`ivr.features.waveform_augmentation`).
        stored: Type of the stored vectors; float16 takes half the disk space and memory. Sequences
            of pretrained speech encoders are float16 always.
        batch_size: Number of images per forward pass, 0 for a size that suits the device; it is
            halved if the memory of the device does not suffice.
        jobs: Number of parallel readers.
        device: Device that computes the vectors: auto, cpu, cuda or cuda:N; auto takes cuda if
            there is one.
        gpu_memory_fraction: Largest share of the GPU's memory that this process may take.
        scheduler_address: Address of a Dask cluster whose workers read the files; without it this
            machine reads them.
        shard: Task of a job array to do: ``2/8`` is the second of eight, ``slurm`` the task that
            SLURM's variables name, ``slurm/8`` the task SLURM_ARRAY_TASK_ID of eight; without it
            the whole manifest is done.
        trust_mtime: Do not read files again whose size, time of change and inode are those that the
            last call with this option saw; without it every file of a finished row is read and
            compared with its stamp.
        accept_spellings: Merge several spellings of one label, speaker or group (``Beach`` and
            ``beach``, ``1`` and ``1.0``) in the copy of the manifest; they are an error otherwise.
        overwrite: Replace features in the output folder that were made with other settings; without
            it they are refused. Rows made with the same settings are kept either way.
        strict: Stop at the first damaged file instead of skipping it.
        time_limit: Stop in good order after this number of seconds (exit status 75); 0 sets no
            limit.
        shard_rows: Number of rows after which the finished rows are written to disk.
        shard_seconds: Number of seconds after which the finished rows are written at the latest.
    """

    image: ImageConfig = field(default_factory=ImageConfig)
    voice: VoiceConfig = field(default_factory=VoiceConfig)
    voices: VoiceEncoderConfig = field(default_factory=VoiceEncoderConfig)
    vocabulary: VocabularyConfig = field(default_factory=VocabularyConfig)
    augment: tuple[str, ...] = ()
    stored: StoredType = "float32"
    batch_size: NonNegativeInt = 0
    jobs: NonNegativeInt = 0
    device: str = "auto"
    gpu_memory_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    scheduler_address: str = ""
    shard: Annotated[JobArrayTask | None, BeforeValidator(_task)] = None
    trust_mtime: bool = False
    accept_spellings: bool = False
    overwrite: bool = False
    strict: bool = False
    time_limit: NonNegativeFloat = 0.0
    shard_rows: PositiveInt = 512
    shard_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuse changes of voices that do not exist."""
        canonical_changes(self.augment)

    @property
    def voice_choices(self) -> VoiceChoices:
        """Everything that decides the voice features."""
        return VoiceChoices(self.voices, self.voice)
