r"""DCMH: deep cross-modal hashing, the pairwise likelihood with one code for both items of a pair.

Reference:
    Jiang and Li, "Deep Cross-Modal Hashing", CVPR 2017, eq. 1; code jiangqy/DCMH-CVPR2017.

The authors keep the outputs of the whole training set and update B between passes over each
encoder. Here both encoders learn together, and B = sign(X + V) is computed from the batch: there
is no state beside the weights.
"""

from dataclasses import field
from typing import Literal

import torch
from pydantic import NonNegativeFloat, PositiveFloat
from torch import Tensor

from ivr.config import config
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.losses import balanced_weights, pairwise_likelihood, same_class, sign
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig

PairWeights = Literal["balanced", "none"]


@config
class DCMHConfig:
    """The choices of DCMH; its terms are taken as means, so that the weights keep their meaning.

    Attributes:
        theta_scale: factor of X V^T; the paper's 0.5 saturates the likelihood of 64 bits before
            the codes of the classes have come apart.
        gamma: weight of the distance to the shared codes; the paper's 1 is a weight of sums.
        eta: weight of the balance of the bits; the paper's 1 is a weight of sums.
        pair_weights: none is the paper's; balanced gives pairs of one class and pairs of two
            classes the same total weight, without which the 95 % of pairs that repel win.
        network: sizes of the two encoders.
    """

    theta_scale: PositiveFloat = 0.2
    gamma: NonNegativeFloat = 0.01
    eta: NonNegativeFloat = 0.01
    pair_weights: PairWeights = "balanced"
    network: NetworkConfig = field(default_factory=NetworkConfig)


class DCMH(DualEncoder):
    """Both encoders trained on the DCMH loss; the outputs are linear, as in the paper."""

    source = "DCMH, CVPR 2017, jiangqy/DCMH-CVPR2017"
    differences = (
        "both encoders learn together, B is computed from the batch; means; balanced pairs; "
        "`theta_scale` 0.2 instead of 0.5"
    )
    config: DCMHConfig

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return likelihood, quantisation and balance of a batch."""
        image = self.encode_images(batch.images)
        voice = self.encode_voices(batch.voices, batch.frames)
        similar = same_class(batch.labels, batch.labels).to(image.dtype)
        balanced = self.config.pair_weights == "balanced"
        weights = balanced_weights(similar) if balanced else torch.ones_like(similar)
        theta = self.config.theta_scale * image @ voice.T
        return {
            "likelihood": pairwise_likelihood(theta, similar, weights),
            "quantisation": self.config.gamma * shared_quantisation(image, voice),
            "balance": self.config.eta * (bit_balance(image) + bit_balance(voice)),
        }


def shared_quantisation(image: Tensor, voice: Tensor) -> Tensor:
    """Return the mean squares of B - X and of B - V, added, with B = sign(X + V)."""
    codes = sign(image + voice)
    return (codes - image).square().mean() + (codes - voice).square().mean()


def bit_balance(outputs: Tensor) -> Tensor:
    """Return the mean over the bits of the squared mean of the outputs [n, bits]."""
    return outputs.mean(0).square().mean()


METHOD = MethodEntry(build=DCMH, config=DCMHConfig)
