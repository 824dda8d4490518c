r"""DCMH: deep cross-modal hashing, the pairwise likelihood with one code for both items of a pair.

Reference:
    Jiang and Li, "Deep Cross-Modal Hashing", CVPR 2017, eq. 1; code jiangqy/DCMH-CVPR2017.

The authors keep the outputs of the whole training set and update B between passes over each
encoder. Here both encoders learn together, and B = sign(X + V) is computed from the batch: there
is no state beside the weights. Pairs of two images and of two voices have the same likelihood as
those of an image and a voice, so that either encoder also learns from its own modality
(``within_weight``).
"""

from dataclasses import field
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from ivr.config import config
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.losses import (
    balanced_weights,
    pairwise_likelihood,
    products_within,
    same_class,
    sign,
)
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig

PairWeights = Literal["balanced", "none"]
Reduction = Literal["mean", "sum"]


@config
class DCMHConfig:
    """The choices of DCMH.

    For n pairs of K bits the paper's gamma = eta = 1, as weights of sums, equal weights of means of
    gamma = K / n and eta = K: 1 and 64 with batches of 64 pairs and 64 bits. The defaults are 1/100
    and 1/6400 of these. Eq. 1 to the letter, on a batch: ``reduction=sum``, ``gamma=1``, ``eta=1``,
    ``theta_scale=0.5``, ``pair_weights=none`` and ``within_weight=0``.

    Attributes:
        theta_scale: factor of X V^T; the paper's 0.5 saturates the likelihood of 64 bits before
            the codes of the classes have come apart.
        gamma: weight of the distance to the shared codes, 1 in the paper with ``reduction=sum``.
        eta: weight of the balance of the bits, 1 in the paper with ``reduction=sum``.
        within_weight: weight of the likelihood of pairs of two images and of two voices, which the
            paper does not have (0).
        pair_weights: none is the paper's; balanced gives pairs of one class and pairs of two
            classes the same total weight, without which the 95 % of pairs that repel win.
        reduction: mean makes every term a mean (over pairs of items, over entries, over bits), so
            that gamma and eta keep their meaning at any batch size; sum is eq. 1, whose balance is
            that of the sums of the outputs.
        network: sizes of the two encoders.
    """

    theta_scale: PositiveFloat = 0.2
    gamma: NonNegativeFloat = 0.01
    eta: NonNegativeFloat = 0.01
    within_weight: NonNegativeFloat = 0.5
    pair_weights: PairWeights = "balanced"
    reduction: Reduction = "mean"
    network: NetworkConfig = field(default_factory=NetworkConfig)


class DCMH(DualEncoder):
    """Both encoders trained on the DCMH loss; the outputs are linear, as in the paper."""

    source = "DCMH, CVPR 2017, jiangqy/DCMH-CVPR2017"
    differences = (
        "both encoders learn together, B is computed from the batch; balanced pairs, of one "
        "modality too; `theta_scale` 0.2 instead of 0.5; means, whose weights are 1/100 and 1/6400 "
        "of the paper's (`reduction=sum`, `gamma=1` and `eta=1` are the paper's)"
    )
    config: DCMHConfig

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return likelihood, between the modalities and within them, quantisation and balance."""
        image = self.encode_images(batch.images)
        voice = self.encode_voices(batch.voices, batch.frames)
        similar = same_class(batch.labels, batch.labels).to(image.dtype)
        terms = {
            "likelihood": self._likelihood(image @ voice.T, similar),
            "quantisation": self.config.gamma * shared_quantisation(image, voice),
            "balance": self.config.eta * (bit_balance(image) + bit_balance(voice)),
        }
        if self.config.within_weight:
            both = [self._likelihood(*products_within(end, similar)) for end in (image, voice)]
            terms["within"] = self.config.within_weight * (both[0] + both[1])
        return terms if self.config.reduction == "mean" else sums_of(terms, *image.shape)

    def _likelihood(self, products: Tensor, similar: Tensor) -> Tensor:
        balanced = self.config.pair_weights == "balanced"
        weights = balanced_weights(similar) if balanced else torch.ones_like(similar)
        return pairwise_likelihood(self.config.theta_scale * products, similar, weights)


def sums_of(means: dict[str, Tensor], pairs: int, bits: int) -> dict[str, Tensor]:
    """Return the terms of eq. 1, which are sums, for their means over a batch.

    The balance of a bit is the square of the sum of n outputs, n^2 times that of their mean.
    """
    sizes = {
        "likelihood": pairs**2,
        "within": pairs * (pairs - 1),
        "quantisation": pairs * bits,
        "balance": pairs**2 * bits,
    }
    return {name: sizes[name] * term for name, term in means.items()}


def shared_quantisation(image: Tensor, voice: Tensor) -> Tensor:
    """Return the mean squares of B - X and of B - V, added, with B = sign(X + V)."""
    codes = sign(image + voice)
    return (codes - image).square().mean() + (codes - voice).square().mean()


def bit_balance(outputs: Tensor) -> Tensor:
    """Return the mean over the bits of the squared mean of the outputs [n, bits]."""
    return outputs.mean(0).square().mean()


METHOD = MethodEntry(build=DCMH, config=DCMHConfig)
