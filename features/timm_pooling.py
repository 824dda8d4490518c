"""Vectors from the inside of networks that give their intermediate maps or tokens, as timm's do."""

from typing import Any, cast

import torch
from torch import Tensor, nn

from .stage_pooling import STAGES, map_statistics


class IntermediateStatistics(nn.Module):
    """Mean and deviation over space of the maps of the last five stages.

    A convolutional network has a stage per resolution. A transformer has blocks of one resolution;
    the five are spread evenly over them, and the last one is the last block. Class and register
    tokens are left out.

    Attributes:
        words: the vector in words.
    """

    def __init__(self, net: nn.Module) -> None:
        """Find the stages of ``net``.

        Raises:
            ValueError: the network does not give its intermediate maps.
        """
        super().__init__()
        self.net = net
        if not hasattr(net, "forward_intermediates"):
            raise ValueError("does not give the maps of its stages: take --pooling vector")
        # A FeatureInfo of timm, or a list of the same mappings.
        modules = [str(stage["module"]) for stage in cast(Any, net).feature_info]
        count = len(modules)
        spread = [-(-count * (stage + 1) // STAGES) - 1 for stage in range(STAGES)]
        self.stages = tuple(range(count)) if count <= STAGES else tuple(spread)
        names = ", ".join(modules[place] for place in self.stages)
        self.words = f"mean and deviation over {names}"

    def forward(self, images: Tensor) -> Tensor:
        """Return [n, dim] for scaled images [n, bands, side, side]."""
        maps = cast(Any, self.net).forward_intermediates(
            images, indices=list(self.stages), output_fmt="NCHW", intermediates_only=True
        )
        return torch.cat([map_statistics(one) for one in maps], 1)


class _Tokens(nn.Module):
    """A transformer whose tokens after the last normalisation are pooled."""

    def __init__(self, net: nn.Module) -> None:
        """Use the weights of ``net``.

        Raises:
            ValueError: the network gives no tokens.
        """
        super().__init__()
        self.net = net
        if not hasattr(net, "num_prefix_tokens"):
            raise ValueError("has no tokens: take --pooling vector or stages")
        self.prefixed = int(cast(int, net.num_prefix_tokens))

    def tokens(self, images: Tensor) -> Tensor:
        """Return all tokens [n, tokens, dim] of scaled images."""
        tokens: Tensor = cast(Any, self.net).forward_features(images)
        return tokens


class ClassToken(_Tokens):
    """The class token after the last normalisation.

    Attributes:
        words: the vector in words.
    """

    words = "class token"

    def __init__(self, net: nn.Module) -> None:
        """Use the weights of ``net``.

        Raises:
            ValueError: the network has no class token.
        """
        super().__init__(net)
        if getattr(net, "cls_token", None) is None:
            raise ValueError("has no class token: take --pooling vector, mean or stages")

    def forward(self, images: Tensor) -> Tensor:
        """Return [n, dim] for scaled images [n, bands, side, side]."""
        return self.tokens(images)[:, 0]


class MeanToken(_Tokens):
    """The mean of the tokens of the picture, without class and register tokens.

    Attributes:
        words: the vector in words.
    """

    words = "mean of the tokens of the picture"

    def forward(self, images: Tensor) -> Tensor:
        """Return [n, dim] for scaled images [n, bands, side, side]."""
        return self.tokens(images)[:, self.prefixed :].mean(1)
