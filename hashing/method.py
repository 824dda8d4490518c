"""The classes of methods: two encoders into one space, their loss, and how outputs are compared.

A method is a subclass of :class:`TrainedMethod`, which gives a loss on a batch to the shared loop,
or of :class:`ClosedFormMethod`, which is computed from the whole training split at once. Its file
ends with a :class:`MethodEntry`.
"""

import itertools
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from .distance_names import Distance
from .networks import Sizes
from .pairs import Pairs
from .training_config import OptimiserName


@dataclass(frozen=True)
class Batch:
    """Images and the voices that describe them, row for row.

    Attributes:
        images: [n, image_dim] CNN vectors.
        voices: [n, streams, coefficients, frames] MFCC streams, pooled by the method.
        frames: [n] true number of frames of each voice, pooled too.
        labels: [n] class numbers from 0.
    """

    images: Tensor
    voices: Tensor
    frames: Tensor
    labels: Tensor


class Method(nn.Module, ABC):
    """Encoders of images and voices into one space; one subclass per file.

    Outputs are [n, width]. The signs of the first ``bits`` of them are the code, whatever the
    distance is. Everything learnt is in parameters and buffers, so that it is saved.

    Class attributes:
        source: the paper or the code that the method is from.
        reconstruction: what had to be reconstructed because the source does not say it, in one
            line; empty for a method that is fully published. Printed wherever the name is.
        differences: where the method differs from the source on purpose, in one line, for the
            table of methods in the docs.
        needs_own_pairs: whether the method reads which voice belongs to which image, so that a
            batch must hold a voice of each image itself, not any voice of its class.
        distance: how the method itself ranks: codes by Hamming distance, outputs by Euclidean
            distance, or outputs by :meth:`match_odds`.
        streams: names of the voice streams that it reads where none are named; see
            :meth:`streams_of`. Empty for all streams.
    """

    source: ClassVar[str]
    reconstruction: ClassVar[str] = ""
    differences: ClassVar[str] = ""
    needs_own_pairs: ClassVar[bool] = False
    distance: ClassVar[Distance] = "hamming"
    streams: ClassVar[tuple[str, ...]] = ()

    def __init__(self, config: Any, sizes: Sizes) -> None:
        """Keep config and sizes; subclasses add layers or buffers."""
        super().__init__()
        self.config = config
        self.sizes = sizes

    @classmethod
    def streams_of(cls, held: Sequence[str]) -> tuple[str, ...]:
        """Return which of the streams that features ``held`` it reads where none are named.

        These are its own ``streams`` where the features have each of them, else all.
        """
        own = set(cls.streams)
        return cls.streams if own and own.issubset(held) else tuple(held)

    @property
    def width(self) -> int:
        """Length of the outputs, at least the number of bits."""
        return self.sizes.bits

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(itertools.chain(self.parameters(), self.buffers())).device

    def pool(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return what the encoder reads of voices, and their frames: all that no epoch changes.

        It is computed once for the training voices.

        Args:
            voices: MFCC streams [m, streams, coefficients, frames] as they are stored.
            frames: [m] number of frames that each voice really has.
        """
        return voices.float(), frames

    @abstractmethod
    def encode_images(self, images: Tensor) -> Tensor:
        """Return real outputs [n, width] for CNN vectors [n, image_dim]."""

    @abstractmethod
    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return real outputs [m, width] for voices and frames that :meth:`pool` returned."""

    def match_odds(self, images: Tensor, voices: Tensor) -> Tensor:
        """Return the log-odds [n, m] that outputs [n, width] and [m, width] belong together.

        Only methods whose ``distance`` is matching have it; it orders as the probability does.
        """
        raise NotImplementedError(f"{type(self).__name__} ranks by {self.distance} distance")


class TrainedMethod(Method):
    """A method whose loss on batches of pairs is minimised by :mod:`ivr.hashing.trainer`.

    Class attributes:
        epochs: default number of epochs.
        optimiser: default optimiser.
        learning_rate: default learning rate with that optimiser; None for the usual one of the
            optimiser.
    """

    epochs: ClassVar[int] = 60
    optimiser: ClassVar[OptimiserName] = "adamw"
    learning_rate: ClassVar[float | None] = None

    @abstractmethod
    def fit_inputs(self, training: Pairs) -> None:
        """Compute the statistics of the training split that the encoders need."""

    @abstractmethod
    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the loss, weighted, as scalars; their sum is minimised."""

    def begin_epoch(self, done: float) -> None:
        """Called at the start of each epoch with the fraction ``done`` of the epochs, in [0, 1).

        For a loss that changes during training. What is set here must follow from ``done`` alone,
        so that a resumed run sets the same.
        """
        del done


class ClosedFormMethod(Method):
    """A method that needs no steps: no optimiser, no epochs, no checkpoint."""

    @abstractmethod
    def fit(self, training: Pairs, generator: torch.Generator) -> None:
        """Compute the buffers from all training pairs; ``generator`` decides the random draws."""


@dataclass(frozen=True)
class MethodEntry:
    """How to configure and build a method.

    Attributes:
        build: the method; called with its config and the sizes of the data.
        config: frozen dataclass of the method's options, all with defaults.
    """

    build: type[Method]
    config: type[Any]

    @property
    def trained(self) -> bool:
        """Whether the method is trained in steps, rather than computed in closed form."""
        return issubclass(self.build, TrainedMethod)
