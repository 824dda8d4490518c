r"""DTBH: deep triplet-based hashing, an image as anchor and two voices; a reconstruction.

Reference:
    Chen and Lu, "A Deep Hashing Technique for Remote Sensing Image-Sound Retrieval", Remote Sensing
    2020, 12(1), 84, doi:10.3390/rs12010084. Reconstructed from the abstract: anchor images nearer
    to positive than to negative voices, selected triplets, similarity of features, and a smooth l1
    distance between hash-like codes and codes. Weights, margins and layers are ours.
"""

from dataclasses import field

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from ivr.config import config
from ivr.hashing.dual_encoder_features import DualEncoderFeatures
from ivr.hashing.losses import bits_off, same_class, squared_distances
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.triplets import semi_hard_negative, triplet_likelihood, triplet_margin


@config
class DTBHConfig:
    """The choices of the reconstruction.

    Attributes:
        code_margin: m, by which half of the inner product with the positive must win, as a share
            of the bits.
        feature_margin: m_f, of squared distances between features of unit length.
        feature_weight: lambda, of the triplets of features.
        quantisation: beta, of the distance of the outputs to codes.
        features: length of the features before the hash layer.
        network: sizes of the two encoders.
    """

    code_margin: NonNegativeFloat = 0.1
    feature_margin: NonNegativeFloat = 0.5
    feature_weight: NonNegativeFloat = 1.0
    quantisation: NonNegativeFloat = 0.01
    features: PositiveInt = 256
    network: NetworkConfig = field(default_factory=NetworkConfig)


class DTBH(DualEncoderFeatures):
    """Triplets of an image, its own voice and a semi-hard voice of another class."""

    source = "DTBH, Remote Sensing 2020, 12(1), 84"
    reconstruction = (
        "from the abstract, which names the terms; ours are margins, weights, the semi-hard "
        "selection on the features and the networks"
    )
    config: DTBHConfig

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return triplets of codes, triplets of features, and quantisation of a batch."""
        (image_features, images), (voice_features, voices) = self.features_and_hashes(batch)
        other = ~same_class(batch.labels, batch.labels)
        anchors = other.any(1).nonzero()[:, 0]
        distance = squared_distances(image_features, voice_features).detach()
        far = semi_hard_negative(distance.diagonal()[anchors], distance[anchors], other[anchors])
        margin = self.config.code_margin * self.sizes.bits
        return {
            "code triplets": triplet_likelihood(
                images[anchors], voices[anchors], voices[far], margin
            ),
            "feature triplets": self.config.feature_weight
            * triplet_margin(
                image_features[anchors],
                voice_features[anchors],
                voice_features[far],
                self.config.feature_margin,
            ),
            "quantisation": self.config.quantisation
            * torch.stack([bits_off(images), bits_off(voices)]).sum(),
        }


METHOD = MethodEntry(build=DTBH, config=DTBHConfig)
