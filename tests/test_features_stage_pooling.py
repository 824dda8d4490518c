"""Stages of a network: blocks whose map enters the next block."""

import pytest
import torch
from torch import Tensor, nn

from ivr.features.encoders import torchvision_blueprint
from ivr.features.stage_pooling import StageStatistics, stage_ends
from ivr.features.torchvision_networks import meta_output

# The last five stages by hand: of VGG the ReLU after each convolution, of the others blocks.
STAGES = {
    "alexnet": [f"features.{number}" for number in (1, 4, 7, 9, 11)],
    "vgg11": [f"features.{number}" for number in (9, 12, 14, 17, 19)],
    "vgg11_bn": [f"features.{number}" for number in (13, 17, 20, 24, 27)],
    "vgg16_bn": [f"features.{number}" for number in (29, 32, 36, 39, 42)],
    "squeezenet1_0": [f"features.{number}" for number in (7, 8, 9, 10, 12)],
    "resnet18": ["relu", "layer1", "layer2", "layer3", "layer4"],
    "densenet121": [
        "features.denseblock2",
        "features.transition2",
        "features.denseblock3",
        "features.transition3",
        "features.norm5",
    ],
    "googlenet": ["inception4c", "inception4d", "inception4e", "inception5a", "inception5b"],
    "inception_v3": ["Mixed_6d", "Mixed_6e", "Mixed_7a", "Mixed_7b", "Mixed_7c"],
    "mobilenet_v2": [f"features.{number}" for number in (14, 15, 16, 17, 18)],
    "efficientnet_b0": [f"features.{number}" for number in (4, 5, 6, 7, 8)],
    "shufflenet_v2_x0_5": ["conv1", "stage2", "stage3", "stage4", "conv5"],
    "convnext_tiny": [f"features.{number}" for number in (3, 4, 5, 6, 7)],
}


@pytest.fixture(scope="module")
def nets() -> dict[str, tuple[nn.Module, int]]:
    """Networks without memory, and the size of their input."""
    with torch.device("meta"):
        blueprints = {name: torchvision_blueprint(name) for name in STAGES}
    return {name: (blueprint.net, blueprint.size) for name, blueprint in blueprints.items()}


@pytest.mark.parametrize(("name", "expected"), STAGES.items())
def test_stages_are_the_blocks_of_the_network(
    name: str, expected: list[str], nets: dict[str, tuple[nn.Module, int]]
) -> None:
    net, size = nets[name]
    assert list(StageStatistics(net, size).stages) == expected


@pytest.mark.parametrize("name", STAGES)
def test_the_map_of_a_stage_enters_the_next_stage(
    name: str, nets: dict[str, tuple[nn.Module, int]]
) -> None:
    """Between a stage and the first layer with weights of the next one there are pools alone."""
    net, size = nets[name]
    stages = StageStatistics(net, size).stages
    trunk = "features." if stages[0].startswith("features.") else ""
    children = dict((net.features if trunk else net).named_children())  # type: ignore[operator]
    ran: list[tuple[str, Tensor, Tensor]] = []  # layer, its input and its output, in order

    def note(layer: str):  # type: ignore[no-untyped-def]
        return lambda _, inputs, output: ran.append((layer, inputs[0], output))

    hooks = [part.register_forward_hook(note(trunk + key)) for key, part in children.items()]
    meta_output(net, size)
    for hook in hooks:
        hook.remove()
    order = [layer for layer, _, _ in ran]
    for stage in stages[:-1]:
        place = order.index(stage) + 1
        layer, taken, _ = ran[place]
        while isinstance(children[layer.removeprefix(trunk)], nn.MaxPool2d | nn.AvgPool2d):
            assert taken is ran[place - 1][2]
            place += 1
            layer, taken, _ = ran[place]
        assert taken is ran[place - 1][2]
        first = children[layer.removeprefix(trunk)]
        assert list(first.parameters())
        assert not isinstance(first, nn.BatchNorm2d)


def test_a_map_is_taken_after_normalisation_and_activation() -> None:
    block = (nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), nn.ReLU(inplace=True))
    net = nn.Sequential(*block, *(nn.Conv2d(3, 3, 1) for _ in range(4)))
    assert [name for name, _ in stage_ends(net)] == ["2", "3", "4", "5", "6"]
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.GroupNorm(1, 3), nn.SiLU(), nn.BatchNorm2d(3))
    assert [name for name, _ in stage_ends(net)] == ["2"]
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.MaxPool2d(2), nn.ReLU())
    assert [name for name, _ in stage_ends(net)] == ["0"]
