"""Vectors from the inside of an image network: statistics of its last stages over the image.

The vector before the classifier describes the picture as a whole. For scenes from above, textures
matter as much: mean and deviation of the maps of the last stages, as used for textures and styles
(Gatys et al., "Texture Synthesis Using Convolutional Neural Networks", NeurIPS 2015, there with all
products of maps). Square roots keep few strong maps from outweighing the others (Perronnin et al.,
"Improving the Fisher Kernel", ECCV 2010). Measured in docs/results.md.
"""

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from .torchvision_networks import meta_output

STAGES = 5
# Layers that belong to the convolution or block before them.
NORMALISATIONS = (_BatchNorm, nn.GroupNorm, nn.LayerNorm)
ACTIVATIONS = (nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Hardswish, nn.Mish)


class StageStatistics(nn.Module):
    """A network whose output is the mean and deviation over space of its last five stages.

    A stage is a block of the network's trunk, with the normalisation and the activation that follow
    it: a block of SqueezeNet or ResNet; of AlexNet or VGG a convolution, its batch normalisation if
    it has one, and its ReLU. It gives maps [n, channels, height, width], which enter the next
    stage.

    Attributes:
        stages: names of the layers whose output is the map of a stage, in order.
        words: the vector in words.
    """

    def __init__(self, net: nn.Module, size: int) -> None:
        """Find the stages of ``net``, whose input is ``size`` pixels wide.

        Raises:
            ValueError: the network has fewer stages that give maps.
        """
        super().__init__()
        self.net = net
        self._maps: dict[str, Tensor] = {}
        self._watched = [
            (name, part.register_forward_hook(self._note(name))) for name, part in stage_ends(net)
        ]
        meta_output(net, size)
        self.stages = tuple(name for name, _ in self._watched if _is_map(self._maps.get(name)))
        self.stages = self.stages[-STAGES:]
        if len(self.stages) < STAGES:
            raise ValueError(f"has no {STAGES} stages that give maps: take --pooling vector")
        for name, hook in self._watched:
            if name not in self.stages:
                hook.remove()
        self._maps.clear()
        self.words = f"mean and deviation over {', '.join(self.stages)}"

    def forward(self, images: Tensor) -> Tensor:
        """Return [n, dim] for scaled images [n, 3, size, size]; dim is twice all channels."""
        self.net(images)
        vectors = torch.cat([map_statistics(self._maps[name]) for name in self.stages], 1)
        self._maps.clear()
        return vectors

    def _note(self, name: str):  # type: ignore[no-untyped-def]
        def note(part: nn.Module, inputs: object, output: Tensor) -> None:
            self._maps[name] = output

        return note


def stage_ends(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the last layer of each stage in the trunk of ``net``, by name and in order.

    A stage starts at a child of the trunk that has weights and does not normalise. The
    normalisation and the activation that directly follow belong to it.
    """
    trunk, prefix = net, ""
    if isinstance(getattr(net, "features", None), nn.Sequential):
        trunk, prefix = net.features, "features."  # type: ignore[assignment]
    ends: list[tuple[str, nn.Module]] = []
    is_open = False  # whether the child before may still be followed by more of its stage
    for name, part in trunk.named_children():
        follows = isinstance(part, (*NORMALISATIONS, *ACTIVATIONS))
        if follows and is_open:
            ends[-1] = (prefix + name, part)
            is_open = not isinstance(part, ACTIVATIONS)
        elif not follows and any(True for _ in part.parameters()):
            ends.append((prefix + name, part))
            is_open = True
        else:
            is_open = False
    return ends


def _is_map(output: object) -> bool:
    """Return whether ``output`` is [n, channels, height, width] of a square picture."""
    return isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3]


def map_statistics(maps: Tensor) -> Tensor:
    """Return the signed square roots of mean and deviation [n, 2 channels] of maps, float32."""
    values = maps.float().flatten(2)
    statistics = torch.cat([values.mean(2), values.std(2, correction=0)], 1)
    return statistics.sign() * statistics.abs().sqrt()
