"""MFCC with their derivatives as a voice encoder; torch is imported for its backend only."""

from dataclasses import asdict, replace
from functools import partial

import numpy as np

from .mfcc import frame_count
from .voice_blueprint import Encode, VoiceBlueprint, VoiceReader
from .voice_encoder_config import VoiceChoices
from .voice_streams import STREAMS

GPU_BATCH = 256


class MfccReader(VoiceReader):
    """Makes the MFCC of a voice where the file is read."""

    def read(self, samples: np.ndarray) -> tuple[np.ndarray, int]:
        """Return the streams without padding, and the number of frames of the whole voice.

        A third of a typical padded row is zeros, and passing rows between processes takes as long
        as making them.
        """
        # Here: who only asks for the settings needs neither SciPy nor soxr.
        from .voice import voice_vectors

        vectors, frames = voice_vectors(samples, self.config.sample_rate, self.config)
        return np.ascontiguousarray(vectors[:, :, :frames]), frames


class SampleReader(VoiceReader):
    """Leaves the samples as they are, for MFCC that are made in batches."""

    def read(self, samples: np.ndarray) -> tuple[np.ndarray, int]:
        """Return ``samples``, and the number of frames of the whole voice."""
        return samples, frame_count(len(samples), self.config)


def mfcc(choices: VoiceChoices) -> VoiceBlueprint:
    """Return the blueprint of the MFCC."""
    config = choices.mfcc
    made = VoiceBlueprint(
        STREAMS, config.coefficients, config.frames, asdict(config), MfccReader(config)
    )
    if config.backend != "torch":
        return replace(made, notes={"backend": config.backend})

    def load(device: str) -> Encode:
        import torch

        from .voice_torch import batch_cepstra

        return partial(batch_cepstra, config=config, device=torch.device(device))

    return replace(
        made,
        reader=SampleReader(config),
        load=load,
        notes={"backend": "torch"},
        batch_size=GPU_BATCH,
    )
