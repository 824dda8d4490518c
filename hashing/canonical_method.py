"""Shared by the methods without training: one linear map per modality into canonical variates."""

from abc import abstractmethod

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from ivr.config import config
from ivr.hashing.canonical import canonical_correlation

from .linear_method import LinearConfig, LinearMethod


@config
class CanonicalConfig(LinearConfig):
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


class CanonicalMethod(LinearMethod):
    """Image vectors and summaries of voices, standardised, correlated, and mapped to bits.

    The variates are scaled by their correlations (as Gong and Lazebnik do), so that those of which
    the other side knows little count for little. A subclass says how they become bits. There are
    no classes in any of it: only which voice belongs to which image.

    Its config has the fields ``segments``, ``regularisation`` and ``scale_power``.
    """

    @abstractmethod
    def bit_map(self, variates: Tensor, generator: torch.Generator) -> Tensor:
        """Return the linear map [rank, bits] from variates to outputs.

        Args:
            variates: canonical variates of images and voices [2m, rank], float64, scaled, best
                correlated first.
            generator: generator for the random draws.
        """

    def maps(
        self, images: Tensor, voices: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Correlate the training pairs and fold all linear steps into one map per modality."""
        found = canonical_correlation(images, voices, self.config.regularisation)
        scale = found.correlation**self.config.scale_power
        image_map, voice_map = found.first * scale, found.second * scale
        variates = torch.cat([images @ image_map, voices @ voice_map])
        to_bits = self.bit_map(variates.cpu(), generator).to(variates.device)
        return image_map @ to_bits, voice_map @ to_bits
