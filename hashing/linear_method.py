"""Shared by the methods that are one linear map per modality, computed in one step."""

from abc import abstractmethod
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from ivr.config import config
from ivr.hashing.canonical import voice_summary
from ivr.hashing.networks import Sizes, Standardise
from ivr.hashing.pairs import Pairs

from .method import ClosedFormMethod


@config
class LinearConfig:
    """The choice of every such method.

    Attributes:
        segments: number of equal parts in time; a voice is summarised as a whole and by part.
    """

    segments: PositiveInt = 4


class SummaryMethod(ClosedFormMethod):
    """A method that reads standardised image vectors and standardised summaries of voices.

    Its config has the field ``segments``.
    """

    def __init__(self, config: Any, sizes: Sizes) -> None:
        """Make room for the statistics."""
        super().__init__(config, sizes)
        streams, coefficients, _ = sizes.voice_shape
        self.voice_dim = (config.segments + 1) * 2 * streams * coefficients
        self.image_standardise = Standardise(sizes.image_dim)
        self.voice_standardise = Standardise(self.voice_dim)

    def fit_pairs(self, training: Pairs) -> tuple[Tensor, Tensor]:
        """Take the statistics of the training pairs; return what they become, float64.

        Returns:
            Image vectors [m, image_dim] and summaries of voices [m, voice_dim], one row per voice.
        """
        # Voices of a file stay where they are, frames may be on a GPU.
        chunks = [
            self.pool(voices, frames.to(voices.device))[0]
            for voices, frames in training.voice_chunks()
        ]
        summary = torch.cat(chunks).to(training.labels.device)
        paired = training.images_of(training.voice_image).to(training.labels.device)
        return (
            _standardised(self.image_standardise, paired),
            _standardised(self.voice_standardise, summary),
        )

    def pool(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return summaries [m, voice_dim] of the voices, and frames."""
        return voice_summary(voices, frames, self.config.segments), frames


class LinearMethod(SummaryMethod):
    """Image vectors and summaries of voices, standardised and mapped to bits."""

    image_map: Tensor
    voice_map: Tensor

    def __init__(self, config: Any, sizes: Sizes) -> None:
        """Make room for the maps."""
        super().__init__(config, sizes)
        self.register_buffer("image_map", torch.zeros(sizes.image_dim, sizes.bits))
        self.register_buffer("voice_map", torch.zeros(self.voice_dim, sizes.bits))

    @abstractmethod
    def maps(
        self, images: Tensor, voices: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Return the linear maps [image_dim, bits] and [voice_dim, bits] to the outputs.

        Args:
            images: [m, image_dim], float64, standardised.
            voices: [m, voice_dim], float64, standardised, the voice of each image.
            generator: generator for the random draws, on the CPU.
        """

    def fit(self, training: Pairs, generator: torch.Generator) -> None:
        """Compute one map per modality from the training pairs."""
        image_map, voice_map = self.maps(*self.fit_pairs(training), generator)
        self.image_map.copy_(image_map)
        self.voice_map.copy_(voice_map)

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
