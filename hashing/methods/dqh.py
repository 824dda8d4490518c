r"""DQH: deep quadruple-based hashing, two hard triplets with shared items; a reconstruction.

Reference:
    Chen et al., "Deep Quadruple-Based Hashing for Remote Sensing Image-Sound Retrieval", IEEE TGRS
    2022, vol. 60. Reconstructed from the abstract, which names its terms: two hard triplets drawn
    at random, here (image; voice+, voice-) and (voice; image+, image-), on codes and on features,
    a class term and a quantisation term.
"""

from dataclasses import field

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from ivr.config import config
from ivr.hashing.dual_encoder_features import DualEncoderFeatures
from ivr.hashing.losses import bits_off, same_class, squared_distances
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes
from ivr.hashing.triplets import drawn, hard_negatives, triplet_likelihood, triplet_margin


@config
class DQHConfig:
    """The choices of the reconstruction.

    Attributes:
        code_margin: margin of half the inner product with the positive over half of that with the
            negative, as a share of the bits.
        feature_margin: margin of squared distances between features of unit length.
        feature_weight: weight of the triplets of features.
        class_weight: weight of the cross-entropy of one linear classifier on the outputs of both
            encoders.
        quantisation: weight of the distance of the outputs to codes.
        features: length of the features before the hash layer.
        network: sizes of the two encoders.
    """

    code_margin: NonNegativeFloat = 0.1
    feature_margin: NonNegativeFloat = 0.5
    feature_weight: NonNegativeFloat = 1.0
    class_weight: NonNegativeFloat = 1.0
    quantisation: NonNegativeFloat = 0.01
    features: PositiveInt = 256
    network: NetworkConfig = field(default_factory=NetworkConfig)


class DQH(DualEncoderFeatures):
    """Triplets in both directions, with hard items drawn from the batch, and a classifier.

    With the hardest items of a batch instead of drawn ones, training fails: all outputs collapse.
    """

    source = "DQH, IEEE TGRS 2022"
    reconstruction = (
        "from the abstract, which names the terms; ours are their form, margins and weights, what "
        "counts as hard, and the networks"
    )
    config: DQHConfig

    def __init__(self, config: DQHConfig, sizes: Sizes) -> None:
        """Add the classifier."""
        super().__init__(config, sizes)
        self.classifier = nn.Linear(sizes.bits, sizes.classes)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return triplets of codes, triplets of features, class and quantisation of a batch."""
        (image_features, images), (voice_features, voices) = self.features_and_hashes(batch)
        distance = squared_distances(image_features, voice_features).detach()
        margin = self.config.feature_margin
        triplets = [hard_triplets(table, batch.labels, margin) for table in (distance, distance.T)]
        codes = [(images, voices), (voices, images)]
        features = [(image_features, voice_features), (voice_features, image_features)]
        code_margin = self.config.code_margin * self.sizes.bits
        on_codes = [
            triplet_likelihood(a[rows], b[near], b[far], code_margin)
            for (a, b), (rows, near, far) in zip(codes, triplets, strict=True)
        ]
        on_features = [
            triplet_margin(a[rows], b[near], b[far], margin)
            for (a, b), (rows, near, far) in zip(features, triplets, strict=True)
        ]
        classes = [
            F.cross_entropy(self.classifier(outputs), batch.labels) for outputs in (images, voices)
        ]
        return {
            "code triplets": torch.stack(on_codes).sum(),
            "feature triplets": self.config.feature_weight * torch.stack(on_features).sum(),
            "class": self.config.class_weight * torch.stack(classes).sum(),
            "quantisation": self.config.quantisation
            * torch.stack([bits_off(images), bits_off(voices)]).sum(),
        }


def hard_triplets(distance: Tensor, labels: Tensor, margin: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return anchors [t], and a positive [t] and a hard negative [t] drawn for each.

    Args:
        distance: [n, n] distances of anchors to items of the other modality.
        labels: [n] classes of the rows, which are also those of the columns. Rows without an item
            of another class are no anchors.
        margin: a negative is hard if its distance is below that of the positive plus this margin.
    """
    same = same_class(labels, labels)
    rows = (~same).any(1).nonzero()[:, 0]
    distance, same = distance[rows], same[rows]
    near = drawn(same)
    positive = distance.gather(1, near[:, None])[:, 0]
    return rows, near, drawn(hard_negatives(positive, distance, ~same, margin))


METHOD = MethodEntry(build=DQH, config=DQHConfig)
