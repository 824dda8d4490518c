"""What an image network knows before its last layer: statistics of its stages over the image.

The vector before the classifier says what the picture as a whole is of. For scenes from above,
textures matter as much: mean and deviation of the maps of the last stages, as used for textures and
styles (Gatys et al., "Texture Synthesis Using Convolutional Neural Networks", NeurIPS 2015, there
with all products of maps). Square roots keep few strong maps from outweighing the others (Perronnin
et al., "Improving the Fisher Kernel", ECCV 2010). Measured in docs/results.md.
"""

import torch
from torch import Tensor, nn

STAGES = 5


class StageStatistics(nn.Module):
    """A network whose output is the mean and deviation over space of its last five stages.

    A stage is a part of the network's trunk that has weights and gives maps [n, channels, height,
    width]: a block of SqueezeNet or ResNet, a convolution of AlexNet or VGG and the ReLU after it.

    Attributes:
        stages: names of the stages, in order.
    """

    def __init__(self, net: nn.Module, size: int) -> None:
        """Find the stages of ``net``, whose input is ``size`` pixels wide.

        Raises:
            ValueError: the network has no stages that give maps.
        """
        super().__init__()
        self.net = net
        self._maps: dict[str, Tensor] = {}
        self._watched = [
            (name, part.register_forward_hook(self._note(name))) for name, part in _trunk_parts(net)
        ]
        with torch.inference_mode():
            shapes = {name: tensor.to("meta") for name, tensor in _tensors(net)}
            images = torch.empty(2, 3, size, size, device="meta")
            torch.func.functional_call(net.eval(), shapes, images)
        self.stages = tuple(name for name, _ in self._watched if _is_map(self._maps.get(name)))
        self.stages = self.stages[-STAGES:]
        if len(self.stages) < STAGES:
            raise ValueError(f"has no {STAGES} stages that give maps: take --pooling vector")
        for name, hook in self._watched:
            if name not in self.stages:
                hook.remove()
        self._maps.clear()

    def forward(self, images: Tensor) -> Tensor:
        """Return [n, dim] for scaled images [n, 3, size, size]; dim is twice all channels."""
        self.net(images)
        vectors = torch.cat([_statistics(self._maps[name]) for name in self.stages], 1)
        self._maps.clear()
        return vectors

    def _note(self, name: str):  # type: ignore[no-untyped-def]
        def note(part: nn.Module, inputs: object, output: Tensor) -> None:
            self._maps[name] = output

        return note


def _trunk_parts(net: nn.Module) -> list[tuple[str, nn.Module]]:
    """Return the parts of the trunk that have weights, or the ReLU that follows them, by name."""
    trunk, prefix = net, ""
    if isinstance(getattr(net, "features", None), nn.Sequential):
        trunk, prefix = net.features, "features."  # type: ignore[assignment]
    parts = list(trunk.named_children())
    found = []
    for place, (name, part) in enumerate(parts):
        if any(True for _ in part.parameters()):
            follower = parts[place + 1] if place + 1 < len(parts) else (name, part)
            found.append(follower if isinstance(follower[1], nn.ReLU) else (name, part))
    return [(prefix + name, part) for name, part in found]


def _is_map(output: object) -> bool:
    """Return whether ``output`` is [n, channels, height, width] of a square picture."""
    return isinstance(output, Tensor) and output.ndim == 4 and output.shape[2] == output.shape[3]


def _tensors(net: nn.Module) -> list[tuple[str, Tensor]]:
    return [*net.named_parameters(), *net.named_buffers()]


def _statistics(maps: Tensor) -> Tensor:
    """Return the signed square roots of mean and deviation [n, 2 channels] of maps, float32."""
    values = maps.float().flatten(2)
    statistics = torch.cat([values.mean(2), values.std(2, correction=0)], 1)
    return statistics.sign() * statistics.abs().sqrt()
