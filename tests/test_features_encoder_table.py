import os
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
import torchvision

from ivr.features import encoder_table
from ivr.features.encoder_table import describe_encoder, known_encoders, release
from ivr.features.encoders import ENCODERS, encoder_blueprint
from ivr.features.image import described_by_network
from ivr.features.image_config import ImageConfig
from ivr.features.torchvision_networks import torchvision_names
from ivr.features.weights_file import hub_folder

SOME = ("cnn_f", "alexnet", "vgg16", "squeezenet1_0", "resnet18", "mobilenet_v3_small",
        "googlenet", "shufflenet_v2_x0_5", "regnet_y_400mf", "vit_b_32")  # fmt: skip

of_this_release = pytest.mark.skipif(
    not known_encoders(), reason="the table is of another release of torchvision"
)


def weights_file(folder: Path) -> str:
    (folder / "some.pth").write_bytes(b"the weights")
    return str(folder / "some.pth")


@of_this_release
@pytest.mark.parametrize("name", SOME)
def test_the_table_says_what_the_network_says(name: str, tmp_path: Path) -> None:
    config = ImageConfig(name, weights_file(tmp_path))
    assert describe_encoder(config) == described_by_network(config)
    if name != "cnn_f":
        config = ImageConfig(name, "imagenet")
        assert describe_encoder(config) == described_by_network(config)
    blueprint, known = encoder_blueprint(name, device="meta"), known_encoders()[name]
    for field in ("classifier", "size", "mean", "std", "normalisation", "imagenet", "url"):
        assert asdict(known)[field] == getattr(blueprint, field)
    assert known.weights_help == blueprint.weights_help
    assert known.suffixes == tuple(sorted(blueprint.readers))


@of_this_release
def test_the_table_has_every_encoder_with_the_weights_that_torchvision_takes() -> None:
    known = known_encoders()
    # The vectors of sift are as long as its vocabulary.
    assert set(known) == {*ENCODERS, *torchvision_names()} - {"sift"}
    for name in torchvision_names():
        weights = torchvision.models.get_model_weights(name).DEFAULT
        assert (known[name].imagenet, known[name].url) == (str(weights), weights.url)
        assert known[name].size == weights.transforms().crop_size[0]
        assert known[name].mean == tuple(255 * value for value in weights.transforms().mean)


def test_with_another_release_of_torchvision_the_network_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = ImageConfig("alexnet", weights_file(tmp_path))
    before = describe_encoder(config)
    monkeypatch.setattr(encoder_table, "release", lambda _: "0.1")
    known_encoders.cache_clear()
    assert known_encoders() == {}
    asked = []
    monkeypatch.setattr(
        "ivr.features.image.described_by_network",
        lambda config: (asked.append(config), described_by_network(config))[1],
    )
    assert describe_encoder(config) == before
    assert asked == [config]
    monkeypatch.undo()
    known_encoders.cache_clear()


@pytest.mark.parametrize(
    "choice",
    [{"relu": False}, {"pooling": "stages"}, {"size": 128}, {"weights": "random"}],
    ids=str,
)
def test_choices_that_change_the_network_are_those_of_the_network(
    choice: dict[str, object], tmp_path: Path
) -> None:
    config = ImageConfig(**{"encoder": "alexnet", "weights": weights_file(tmp_path), **choice})
    assert describe_encoder(config) == described_by_network(config)


def test_a_release_has_two_numbers() -> None:
    assert release("torchvision") == ".".join(torchvision.__version__.split(".")[:2])


@pytest.mark.parametrize(
    "environment", [{}, {"XDG_CACHE_HOME": "/somewhere/cache"}, {"TORCH_HOME": "~/of torch"}]
)
def test_downloaded_weights_are_looked_for_where_torch_keeps_them(
    environment: dict[str, str],
) -> None:
    script = (
        "import sys; from ivr.features.weights_file import hub_folder\n"
        "found = hub_folder(); assert 'torch' not in sys.modules\n"
        "import torch; assert str(found) == torch.hub.get_dir(), (found, torch.hub.get_dir())\n"
        "torch.hub.set_dir('/elsewhere'); assert str(hub_folder()) == '/elsewhere'"
    )
    kept = {n: v for n, v in os.environ.items() if n not in ("XDG_CACHE_HOME", "TORCH_HOME")}
    subprocess.run([sys.executable, "-c", script], env=kept | environment, check=True)


def test_where_torch_is_loaded_its_own_folder_counts() -> None:
    assert str(hub_folder()) == torch.hub.get_dir()


@of_this_release
@pytest.mark.parametrize("name", ["vgg16", "cnn_f"])
def test_a_dry_run_imports_neither_torch_nor_torchvision(name: str, media_set: Path) -> None:
    script = (
        "import sys; from ivr.cli import main\n"
        "try: main(sys.argv[1:], prog_name='ivr')\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'torch', 'torchvision', 'librosa', 'numba', 'scipy', 'rasterio'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    options = ["--encoder", name, "--weights", weights_file(media_set), "--dry-run"]
    command = ["extract", str(media_set / "manifest.csv"), "--out", str(media_set / "out")]
    done = subprocess.run(
        [sys.executable, "-c", script, *command, *options], text=True, capture_output=True
    )
    assert done.returncode == 0, done.stderr
    assert "images.h5: 18 items, 0 done already, 18 to do" in done.stdout
