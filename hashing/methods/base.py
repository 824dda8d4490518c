"""What every method offers: two encoders into one space, and a loss on a batch of pairs."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from ivr.hashing.networks import Sizes


@dataclass(frozen=True)
class Batch:
    """Images and the voices that describe them, row for row.

    Attributes:
        images: [n, image_dim] CNN vectors.
        voices: [n, streams, coefficients, frames] MFCC streams.
        frames: [n] true number of frames of each voice.
        labels: [n] class numbers from 0.
    """

    images: Tensor
    voices: Tensor
    frames: Tensor
    labels: Tensor


class Method(nn.Module, ABC):
    """A way to put images and voices into one space; one subclass a file, a class a method.

    The sign of an output is a bit of the code; codes are ranked by Hamming distance.

    Class attributes:
        source: the paper.
    """

    source: ClassVar[str]

    def __init__(self, sizes: Sizes) -> None:
        """Keep the sizes; subclasses add layers."""
        super().__init__()
        self.sizes = sizes

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return next(self.parameters()).device

    @abstractmethod
    def fit_inputs(self, images: Tensor, voices: Tensor, frames: Tensor) -> None:
        """Take what the encoders need to know of the training split before the first step."""

    @abstractmethod
    def encode_images(self, images: Tensor) -> Tensor:
        """Return real outputs [n, bits] for CNN vectors [n, image_dim]."""

    @abstractmethod
    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return real outputs [m, bits] for MFCC streams and their true numbers of frames."""

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss, weighted, as scalars; their sum is minimised."""
