"""Two encoders that compute features and then hash them, shared by DTBH and DQH."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivr.hashing.networks import Sizes

from .dual_encoder import DualEncoder
from .method import Batch


class DualEncoderFeatures(DualEncoder):
    """Features f of unit length, then h = tanh of a normalised linear layer on them.

    Its config has the fields ``network`` and ``features``, the length of f.
    """

    def __init__(self, config: Any, sizes: Sizes) -> None:
        """Build both encoders and a hash layer on each."""
        super().__init__(config, sizes, encoder_width=config.features)
        self.image_hash = _hash_layer(config.features, sizes.bits)
        self.voice_hash = _hash_layer(config.features, sizes.bits)

    def encode_images(self, images: Tensor) -> Tensor:
        """Return h [n, bits]."""
        return torch.tanh(self.image_hash(self.image(images)))

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return h [m, bits]."""
        return torch.tanh(self.voice_hash(self.voice(voices, frames)))

    def features_and_hashes(self, batch: Batch) -> tuple[tuple[Tensor, Tensor], ...]:
        """Return f [n, features] and h [n, bits] of the images, then of the voices."""
        ends = (
            (self.image(batch.images), self.image_hash),
            (self.voice(batch.voices, batch.frames), self.voice_hash),
        )
        return tuple((F.normalize(f), torch.tanh(layer(f))) for f, layer in ends)


def _hash_layer(features: int, bits: int) -> nn.Module:
    """Return a layer whose outputs saturate no tanh, since they are normalised over the batch."""
    return nn.Sequential(nn.Linear(features, bits), nn.BatchNorm1d(bits, affine=False))
