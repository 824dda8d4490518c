"""DIVH: deep image-voice hashing.

Reference:
    "Deep image-voice hashing" (DIVH), IEEE Journal of Selected Topics in Applied Earth
    Observations and Remote Sensing, 2022, doi:10.1109/JSTARS.2022.3216333, eq. 7-11.

The paper leaves several points of its loss open. Each is a named choice of :class:`DIVHConfig`
whose default was measured (docs/results.md).
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
    straight_through_sign,
)
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import Activation, NetworkConfig
from ivr.hashing.networks import activate

Reduction = Literal["mean", "sum"]
PairWeights = Literal["prior", "balanced", "none"]
Balance = Literal["joint", "separate"]
BalanceOn = Literal["outputs", "straight-through"]


@config
class DIVHConfig:
    """The choices of DIVH that the paper makes, and those that it leaves open.

    Attributes:
        gamma: weight of the quantisation term L2 (eq. 9). The paper's 1 weights sums over a batch
            of unstated size; with means, 1 outweighs the likelihood.
        eta: weight of the bit balance term L3 (eq. 10); see gamma. With ``network.output_norm`` the
            bits are balanced already.
        theta_scale: factor of X V^T; 1 as in eq. 8, 0.5 as in eq. 7. With 64 bits both saturate
            the likelihood before the codes of the classes separate.
        activation: activation of the hash layer, tanh or linear; Theta uses its outputs.
        reduction: mean makes every term a mean (over pairs, over entries, over bits), so that gamma
            and eta keep their meaning at any batch size; sum is eq. 8-11 to the letter.
        pair_weights: none is eq. 8 to the letter, where 1 - 1/C of the pairs repel. balanced gives
            pairs of one class and pairs of two classes the same total weight (as in HashNet). prior
            adds the logarithm of the odds of a pair of one class in the batch to Theta: training
            begins as balanced, and then repels the classes that are hard to tell apart more than
            the others, which matters the more classes there are.
        within_weight: weight of the same likelihood of pairs of two images and of two voices, so
            that either encoder also learns from its own modality; 0 is eq. 8, whose pairs are an
            image and a voice each.
        balance: joint adds the means of both encoders inside one absolute value as in eq. 10,
            separate takes one absolute value per encoder, so that opposite imbalances cannot
            cancel.
        balance_on: outputs computes L3 on the real outputs; straight-through computes it on their
            signs, with the gradient of the outputs.
        network: sizes of the two encoders.
    """

    gamma: NonNegativeFloat = 0.01
    eta: NonNegativeFloat = 0.01
    theta_scale: PositiveFloat = 0.2
    activation: Activation = "tanh"
    reduction: Reduction = "mean"
    pair_weights: PairWeights = "prior"
    within_weight: NonNegativeFloat = 0.5
    balance: Balance = "joint"
    balance_on: BalanceOn = "outputs"
    network: NetworkConfig = field(default_factory=NetworkConfig)


class DIVH(DualEncoder):
    """Image head and voice refinement CNN, trained together on the DIVH loss."""

    source = "IEEE JSTARS 2022, 10.1109/JSTARS.2022.3216333"
    differences = (
        "pairs within a modality too, the prior of a similar pair, and the choices that the paper "
        "leaves open, measured in docs/results.md"
    )
    epochs = 120
    optimiser = "sgd"
    config: DIVHConfig

    def activation(self, outputs: Tensor) -> Tensor:
        """Return the outputs after the hash layer's activation."""
        return activate(outputs, self.config.activation)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return L1, its terms within the modalities, gamma L2 and eta L3 (eq. 11) of a batch."""
        image = self.encode_images(batch.images)
        voice = self.encode_voices(batch.voices, batch.frames)
        similar = same_class(batch.labels, batch.labels).to(image.dtype)
        terms = {"likelihood": likelihood(image, voice, similar, self.config)}
        if self.config.within_weight:
            both = [within_likelihood(end, similar, self.config) for end in (image, voice)]
            terms["within"] = self.config.within_weight * (both[0] + both[1])
        return terms | {
            "quantisation": self.config.gamma * quantisation(image, voice, self.config),
            "balance": self.config.eta * bit_balance(image, voice, self.config),
        }


def likelihood(image: Tensor, voice: Tensor, similar: Tensor, config: DIVHConfig) -> Tensor:
    r"""Return L1, the negative log-likelihood of the pairs (eq. 8), a scalar.

    With :math:`\Theta = c X V^T + b` it is :math:`\sum_{ij} w_{ij} (\log(1 + e^{\Theta_{ij}}) -
    s_{ij} \Theta_{ij})`, with c = ``theta_scale``, and w and b from ``pair_weights``.

    Args:
        image: X [n, bits].
        voice: V [m, bits].
        similar: s [n, m], 1 for pairs of one class, else 0.
        config: the choices.
    """
    return _pair_likelihood(config.theta_scale * image @ voice.T, similar, config)


def within_likelihood(outputs: Tensor, similar: Tensor, config: DIVHConfig) -> Tensor:
    """Return the negative log-likelihood of all pairs of two items of one modality, a scalar.

    Args:
        outputs: X or V [n, bits].
        similar: s [n, n], 1 for pairs of one class, else 0.
        config: the choices.
    """
    products, similar = products_within(outputs, similar)
    return _pair_likelihood(config.theta_scale * products, similar, config)


def _pair_likelihood(theta: Tensor, similar: Tensor, config: DIVHConfig) -> Tensor:
    weights = torch.ones_like(similar)
    if config.pair_weights == "balanced":
        weights = balanced_weights(similar)
    elif config.pair_weights == "prior":
        theta, weights = _with_prior(theta, similar)
    mean = pairwise_likelihood(theta, similar, weights)
    return mean if config.reduction == "mean" else mean * similar.numel()


def _with_prior(theta: Tensor, similar: Tensor) -> tuple[Tensor, Tensor]:
    """Return Theta with the log-odds of a similar pair, and the weight of all pairs.

    Around Theta = 0 the gradient is that of balanced pairs: the odds make pairs of one class and
    pairs of two classes pull with the same total, and the weight makes it as large.
    """
    least = 0.5 / similar.numel()  # of a batch without a similar pair, so that all stays finite
    share = similar.mean().clamp(least, 1 - least)
    return theta + (share / (1 - share)).log(), (1 / (4 * share * (1 - share))).expand_as(theta)


def quantisation(image: Tensor, voice: Tensor, config: DIVHConfig) -> Tensor:
    """Return L2, the squared distance of the outputs to their signs (eq. 9), a scalar."""
    squares = [(sign(outputs) - outputs).square() for outputs in (image, voice)]
    if config.reduction == "mean":
        return squares[0].mean() + squares[1].mean()
    return squares[0].sum() + squares[1].sum()


def bit_balance(image: Tensor, voice: Tensor, config: DIVHConfig) -> Tensor:
    """Return L3, how far each bit is from being +1 half of the time (eq. 10), a scalar."""
    if config.balance_on == "straight-through":
        image, voice = straight_through_sign(image), straight_through_sign(voice)
    means = image.mean(0), voice.mean(0)
    if config.balance == "joint":
        off = (means[0] + means[1]).abs()
    else:
        off = means[0].abs() + means[1].abs()
    return off.mean() if config.reduction == "mean" else off.sum()


METHOD = MethodEntry(build=DIVH, config=DIVHConfig)
