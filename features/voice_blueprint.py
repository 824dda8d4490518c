"""What a voice encoder is made of: a reader of samples, and a network where it needs one; no torch.

A new voice encoder is a function that takes the :class:`VoiceChoices` of the user and returns a
:class:`VoiceBlueprint`. It stands in a file of its own: in this package (named in
``VOICE_ENCODERS`` of :mod:`ivr.features.voice_encoders`), as an entry point of the group
``ivr.voice_encoders``, or given as ``--voice-encoder module:function``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from ivr.errors import IvrError

from .mfcc import VoiceConfig

Encode = Callable[[Sequence[np.ndarray]], list[np.ndarray]]
"""Inputs of a batch of voices to their sequences, each [streams, width, n]."""


class VoiceEncoderError(IvrError):
    """A voice encoder that does not exist or cannot be used, in one line that says what to do."""


@dataclass(frozen=True)
class VoiceReader(ABC):
    """Turns the samples of a voice into the input of its encoder.

    It is copied to the processes that read files: it holds plain values and needs NumPy only.

    Attributes:
        config: how a file becomes samples: sample rate, silence around them, and the frames and hop
            that say how many seconds are kept.
    """

    config: VoiceConfig

    @abstractmethod
    def read(self, samples: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the input of the encoder, and the number of frames of the whole voice.

        Args:
            samples: float32 or float64 [samples] at the sample rate of :attr:`config`.

        Returns:
            Without a network the sequence itself, float32 [streams, width, n] with n at most the
            number of frames that are kept; else an array of any shape whose last axis is time.

        Raises:
            MediaError: the voice is too short.
        """


@dataclass(frozen=True)
class VoiceBlueprint:
    """A voice encoder before its network is loaded.

    The sequence of a voice is [streams, width, frames]: padded with zeros or cut at the end, beside
    its true number of frames.

    Attributes:
        streams: names of the parts of a sequence, which training can choose from.
        width: numbers per frame and stream.
        frames: fixed length of a sequence.
        settings: everything that decides the vectors, as JSON values; features whose settings
            differ are never mixed.
        reader: turns samples into the input of the network.
        load: returns the network on a torch device, given by its name; None where the reader makes
            the sequences.
        notes: what is recorded beside the settings and not compared.
        stored: type of the stored vectors, None for that of the user.
        batch_size: usual number of voices per batch.
    """

    streams: tuple[str, ...]
    width: int
    frames: int
    settings: Mapping[str, Any]
    reader: VoiceReader
    load: Callable[[str], Encode] | None = None
    notes: Mapping[str, str] = field(default_factory=dict)
    stored: Literal["float16", "float32"] | None = None
    batch_size: int = 32

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of a sequence: streams, width and frames."""
        return len(self.streams), self.width, self.frames

    def encoder(self, device: str) -> Encode:
        """Return what turns inputs into sequences on ``device``; it loads the network."""
        return list if self.load is None else self.load(device)

    def of_fixed_length(self, sequence: np.ndarray) -> np.ndarray:
        """Return ``sequence`` [streams, width, n] padded with zeros or cut, float32 [shape]."""
        fixed = np.zeros(self.shape, np.float32)
        kept = min(sequence.shape[2], self.frames)
        fixed[:, :, :kept] = sequence[:, :, :kept]
        return fixed
