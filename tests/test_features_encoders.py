"""Encoders by name: what is cut, and encoders of other packages."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from click.testing import CliRunner
from torch import Tensor, nn

from ivr.cli import main
from ivr.extensions import ExtensionError
from ivr.features import encoders
from ivr.features.blueprint import Blueprint, EncoderError
from ivr.features.encoder_table import describe_encoder
from ivr.features.encoders import encoder_names, require_encoder
from ivr.features.image import load_encoder
from ivr.features.image_config import ImageConfig
from ivr.features.store import open_table
from ivr.features.torchvision_networks import classifier_of
from ivr.names import UnknownNameError
from ivr.pipeline.extraction.feature_schema import IMAGES

CPU = torch.device("cpu")
MODULE = """
from torch import nn
from ivr.features.blueprint import Blueprint

def mean_colour():
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return Blueprint(net, classifier="", size=8, mean=(0, 0, 0), std=(255, 255, 255))

def no_blueprint():
    return nn.Identity()
"""


@pytest.fixture
def outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path with a module of encoders, installed as a distribution would be."""
    folder = tmp_path / "site"
    (folder / "plug-1.0.dist-info").mkdir(parents=True)
    (folder / "plug_encoders.py").write_text(MODULE)
    (folder / "plug-1.0.dist-info" / "METADATA").write_text("Name: plug\nVersion: 1.0\n")
    (folder / "plug-1.0.dist-info" / "entry_points.txt").write_text(
        "[ivr.encoders]\nmean_colour = plug_encoders:mean_colour\nbroken = plug_encoders:absent\n"
    )
    monkeypatch.syspath_prepend(str(folder))
    return folder


def use(monkeypatch: pytest.MonkeyPatch, net: nn.Module, classifier: str) -> None:
    """Have an encoder ``own`` of 8 x 8 pixels."""
    blueprint = Blueprint(net, classifier, 8, weights_help="ask the authors")
    monkeypatch.setitem(encoders.ENCODERS, "own", lambda: blueprint)


# --- the layer that is cut ----------------------------------------------------------------------


def test_a_network_without_a_classifier_keeps_its_last_layer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    last = nn.Linear(192, 5)
    use(monkeypatch, nn.Sequential(nn.Flatten(), last), "")
    encoder = load_encoder(ImageConfig("own", "random"), CPU)
    assert (encoder.dim, encoder.provenance["layer"]) == (5, "output")
    images = torch.full((1, 3, 8, 8), 7, dtype=torch.uint8)
    flat = ((images - encoder.mean) / encoder.std).flatten(1)
    torch.testing.assert_close(encoder(images), last(flat))


def test_the_classifier_is_the_layer_that_the_blueprint_names(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Reversed(nn.Module):
        """Its classifier stands before the layer that feeds it."""

        def __init__(self) -> None:
            super().__init__()
            self.scores, self.vectors = nn.Linear(4, 2), nn.Linear(192, 4)

        def forward(self, images: Tensor) -> Tensor:
            scores: Tensor = self.scores(self.vectors(images.flatten(1)))
            return scores

    use(monkeypatch, Reversed(), "scores")
    assert load_encoder(ImageConfig("own", "random"), CPU).dim == 4
    use(monkeypatch, Reversed(), "head")
    with pytest.raises(EncoderError, match="own: its network has no layer 'head' to cut"):
        load_encoder(ImageConfig("own", "random"), CPU)


# One network per family; the smallest that can be built without memory.
FAMILIES = {
    "alexnet": "classifier.6",
    "convnext_tiny": "classifier.2",
    "densenet121": "classifier",
    "efficientnet_b0": "classifier.1",
    "googlenet": "fc",
    "inception_v3": "fc",
    "maxvit_t": "classifier.5",
    "mnasnet0_5": "classifier.1",
    "mobilenet_v2": "classifier.1",
    "mobilenet_v3_small": "classifier.3",
    "regnet_y_400mf": "fc",
    "resnet18": "fc",
    "resnext50_32x4d": "fc",
    "shufflenet_v2_x0_5": "fc",
    "squeezenet1_0": "classifier.1",
    "swin_t": "head",
    "vgg11": "classifier.6",
    "vit_b_16": "heads.head",
    "wide_resnet50_2": "fc",
}


def test_every_family_of_torchvision_is_among_them() -> None:
    def family(name: str) -> str:
        return getattr(torchvision.models, name).__module__

    names = torchvision.models.list_models(module=torchvision.models)
    assert {family(name) for name in names} == {family(name) for name in FAMILIES}


@pytest.mark.parametrize(("name", "classifier"), FAMILIES.items())
def test_the_classifier_of_torchvision_networks_gives_the_class_scores(
    name: str, classifier: str
) -> None:
    # RegNet computes with its weights while it is built.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        blueprint = encoders.torchvision_blueprint(name)
    assert blueprint.classifier == classifier
    layer = blueprint.net.get_submodule(classifier)
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    assert layer.weight.shape[0] == 1000  # the classes of ImageNet


@pytest.mark.parametrize(
    "layers",
    [
        # The last layer with weights widens the scores of a layer before it.
        [nn.Flatten(), nn.Linear(192, 4), nn.Linear(4, 6), nn.GLU()],
        [nn.Conv2d(3, 4, 1)],  # maps, no scores
        [nn.Flatten()],  # no layer with weights
    ],
)
def test_a_network_whose_last_layer_does_not_give_the_scores_is_refused(
    layers: list[nn.Module],
) -> None:
    with pytest.raises(EncoderError, match="own: its last layer does not give the class scores"):
        classifier_of(nn.Sequential(*layers), 8, "own")


# --- encoders of other packages -----------------------------------------------------------------


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize("name", ["mean_colour", "plug_encoders:mean_colour"])
def test_an_encoder_of_another_package_is_taken_by_entry_point_and_by_module(name: str) -> None:
    require_encoder(name)
    encoder = load_encoder(ImageConfig(name, "random"), CPU)
    images = torch.tensor([0, 51, 255], dtype=torch.uint8).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    torch.testing.assert_close(encoder(images), torch.tensor([[0.0, 0.2, 1.0]]))
    assert encoder.provenance["encoder"] == name


def test_names_of_encoders_are_ours_torchvision_s_and_those_of_entry_points(outside: Path) -> None:
    names = encoder_names()
    assert names[:3] == ("cnn_f", "sift", "alexnet")
    assert names[-2:] == ("broken", "mean_colour")
    assert len(names) == len(set(names))


@pytest.mark.usefixtures("outside")
@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("broken", ExtensionError, "broken: cannot be loaded"),
        ("plug_encoders:absent", ExtensionError, "plug_encoders:absent: cannot be loaded"),
        ("no_such_module:encoder", ExtensionError, "cannot be loaded .*no_such_module"),
        ("plug_encoders:no_blueprint", EncoderError, "returns Identity, not an ivr.features.blue"),
        (
            "plug_encoders",
            UnknownNameError,
            r"'plug_encoders'; .*\(or timm:NAME, or module:function\)",
        ),
    ],
)
def test_an_encoder_that_cannot_be_taken_is_refused_in_one_line(
    name: str, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words) as info:
        describe_encoder(ImageConfig(name, "random"))
    assert "\n" not in str(info.value)


def test_extract_takes_an_encoder_of_another_package(media_set: Path, outside: Path) -> None:
    out = media_set / "out"
    options = ["--encoder", "plug_encoders:mean_colour", "--weights", "random", "--device", "cpu"]
    command = ["extract", str(media_set / "manifest.csv"), "--out", str(out), "--jobs", "1"]
    dry = CliRunner().invoke(main, [*command, *options, "--dry-run"])
    assert dry.exit_code == 0, dry.output
    result = CliRunner().invoke(main, [*command, *options])
    assert result.exit_code == 0, result.output
    table = open_table(out / "images.h5", IMAGES)
    assert table.config["settings"]["encoder"] == "plug_encoders:mean_colour"
    vectors = table.read("vectors")
    assert vectors.shape == (18, 3)
    assert 0 <= vectors.min() < vectors.max() <= 1
    assert len(np.unique(vectors, axis=0)) > 1
