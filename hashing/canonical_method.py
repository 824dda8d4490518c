"""Shared by the methods without training: one linear map per modality into canonical variates."""

from abc import abstractmethod
from typing import Any

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from ivr.config import config
from ivr.hashing.canonical import canonical_correlation, voice_summary
from ivr.hashing.networks import Sizes, Standardise
from ivr.hashing.pairs import Pairs

from .method import ClosedFormMethod


@config
class CanonicalConfig:
    """The choices of the training-free methods.

    Attributes:
        segments: number of equal parts in time; a voice is summarised as a whole and by part.
        regularisation: share of the mean variance added to every variance before whitening.
        scale_power: exponent p; each variate is multiplied by its correlation to the power p. With
            0 all variates are as large as the first.
    """

    segments: PositiveInt = 4
    regularisation: NonNegativeFloat = 0.1
    scale_power: NonNegativeFloat = 1.0


class CanonicalMethod(ClosedFormMethod):
    """Image vectors and summaries of voices, standardised, correlated, and mapped to bits.

    The variates are scaled by their correlations (as Gong and Lazebnik do), so that those of which
    the other side knows little count for little. A subclass says how they become bits. There are
    no classes in any of it: only which voice belongs to which image.

    Its config has the fields ``segments``, ``regularisation`` and ``scale_power``.
    """

    image_map: Tensor
    voice_map: Tensor

    def __init__(self, config: Any, sizes: Sizes) -> None:
        """Make room for the maps."""
        super().__init__(config, sizes)
        streams, coefficients, _ = sizes.voice_shape
        voice_dim = (config.segments + 1) * 2 * streams * coefficients
        self.image_standardise = Standardise(sizes.image_dim)
        self.voice_standardise = Standardise(voice_dim)
        self.register_buffer("image_map", torch.zeros(sizes.image_dim, sizes.bits))
        self.register_buffer("voice_map", torch.zeros(voice_dim, sizes.bits))

    @abstractmethod
    def bit_map(self, variates: Tensor, generator: torch.Generator) -> Tensor:
        """Return the linear map [rank, bits] from variates to outputs.

        Args:
            variates: canonical variates of images and voices [2n, rank], float64, scaled, best
                correlated first.
            generator: generator for the random draws.
        """

    def fit(self, training: Pairs, generator: torch.Generator) -> None:
        """Correlate the training pairs and fold all linear steps into one map per modality."""
        # Voices of a file stay where they are, frames may be on a GPU.
        chunks = [
            self.pool(voices, frames.to(voices.device))[0]
            for voices, frames in training.voice_chunks()
        ]
        summary = torch.cat(chunks).to(training.labels.device)
        paired = training.images_of(training.voice_image).to(training.labels.device)
        images = _standardised(self.image_standardise, paired)
        voices = _standardised(self.voice_standardise, summary)
        found = canonical_correlation(images, voices, self.config.regularisation)
        scale = found.correlation**self.config.scale_power
        image_map, voice_map = found.first * scale, found.second * scale
        variates = torch.cat([images @ image_map, voices @ voice_map])
        to_bits = self.bit_map(variates.cpu(), generator).to(variates.device)
        self.image_map.copy_(image_map @ to_bits)
        self.voice_map.copy_(voice_map @ to_bits)

    def pool(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return summaries [m, dim] of the voices, and frames."""
        return voice_summary(voices, frames, self.config.segments), frames

    def encode_images(self, images: Tensor) -> Tensor:
        """Return the mapped vectors [n, bits]."""
        outputs: Tensor = self.image_standardise(images) @ self.image_map
        return outputs

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return the mapped summaries [m, bits]."""
        del frames
        outputs: Tensor = self.voice_standardise(voices) @ self.voice_map
        return outputs


def _standardised(standardise: Standardise, vectors: Tensor) -> Tensor:
    """Return ``vectors`` [n, dim], float64, with the statistics that ``standardise`` takes."""
    standardise.set(vectors.mean(0), vectors.std(0, correction=0))
    values: Tensor = standardise(vectors).double()
    return values
