r"""HashNet: a weighted likelihood of pairs, and a hash layer that turns into a sign by and by.

Reference:
    Cao et al., "HashNet: Deep Learning to Hash by Continuation", ICCV 2017; code thuml/HashNet.

Across modalities: the pairs are those of an image and a voice. Pairs of two images and of two
voices have the same likelihood, so that either encoder also learns from its own modality
(``within_weight``).
"""

from dataclasses import field
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from torch import Tensor

from ivr.config import config
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.losses import balanced_weights, pairwise_likelihood, products_within, same_class
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes


@config
class HashNetConfig:
    """The choices of HashNet.

    Attributes:
        inner_product: what two equal codes come to; alpha of the paper is this divided by the
            bits, 10 / bits in its code.
        beta_last: beta at the end of the training; it is 1 at the beginning.
        within_weight: weight of the likelihood of pairs of two images and of two voices; 0 takes
            the pairs of an image and a voice alone.
        network: sizes of the two encoders.
    """

    inner_product: PositiveFloat = 10.0
    beta_last: Annotated[float, Field(ge=1)] = 5.0
    within_weight: NonNegativeFloat = 0.5
    network: NetworkConfig = field(default_factory=NetworkConfig)


class HashNet(DualEncoder):
    """Both encoders trained on the weighted likelihood of tanh(beta h), beta growing.

    The outputs are tanh(h): a beta changes no sign.
    """

    source = "HashNet, ICCV 2017, thuml/HashNet"
    differences = "pairs of an image and a voice, and of two of either"
    config: HashNetConfig

    def __init__(self, config: HashNetConfig, sizes: Sizes) -> None:
        """Begin at beta 1."""
        super().__init__(config, sizes)
        self.beta = 1.0

    def begin_epoch(self, done: float) -> None:
        """Let beta grow as in the authors' code."""
        self.beta = beta(done, self.config.beta_last)

    def activation(self, outputs: Tensor) -> Tensor:
        """Return tanh, whose sign is that of any beta."""
        return torch.tanh(outputs)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the weighted likelihood of a batch, between the modalities and within them."""
        image = torch.tanh(self.beta * self.image(batch.images))
        voice = torch.tanh(self.beta * self.voice(batch.voices, batch.frames))
        similar = same_class(batch.labels, batch.labels).to(image.dtype)
        terms = {"likelihood": self._likelihood(image @ voice.T, similar)}
        if self.config.within_weight:
            both = [self._likelihood(*products_within(end, similar)) for end in (image, voice)]
            terms["within"] = self.config.within_weight * (both[0] + both[1])
        return terms

    def _likelihood(self, products: Tensor, similar: Tensor) -> Tensor:
        theta = self.config.inner_product / self.sizes.bits * products
        return pairwise_likelihood(theta, similar, balanced_weights(similar))


def beta(done: float, last: float) -> float:
    """Return the root of a line from 1 to ``last`` squared, at the share ``done`` of the epochs."""
    return float((1 + (last**2 - 1) * done) ** 0.5)


METHOD = MethodEntry(build=HashNet, config=HashNetConfig)
