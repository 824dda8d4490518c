"""A whole world of tiny files: media, features, a stopped extraction, a run, weights and lists."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner
from conftest import CLASSES, SAMPLE_RATE, drawn, spoken
from PIL import Image
from safetensors.torch import save_file
from scipy.io import savemat
from torch import nn

from ivr.cli import main
from ivr.features import encoders
from ivr.features.blueprint import Blueprint
from ivr.features.cnn_f import SIZE, read_matconvnet
from ivr.features.shards import Shards
from ivr.features.store import open_table
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.evaluation import report
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES

PER_CLASS = 4
TINY = (
    "--encoder", "tiny", "--weights", "random", "--device", "cpu", "--jobs", "1",
    "--voice-option", "frames=16", "--voice-option", "coefficients=3", "--voice-option", "mels=8",
)  # fmt: skip
SHORT = (
    "--bits", "8", "--device", "cpu", "--batch-size", "6", "--epochs", "2",
    "--set", "network.voice_channels=4", "--set", "network.voice_stride=1",
    "--set", "network.voice_kernel=3",
)  # fmt: skip


def tiny_blueprint() -> Blueprint:
    """8 x 8 pixels to four numbers, and a classifier."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4), nn.ReLU(), nn.Linear(4, 2))
    return Blueprint(net, "3", 8, (0.0, 0.0, 0.0), (255.0, 255.0, 255.0), "/ 255")


class AverageColour(nn.Sequential):
    """A net whose weights MatConvNet could have written."""

    def __init__(self) -> None:
        super().__init__()
        self.add_module("pool", nn.AvgPool2d(SIZE))
        self.add_module("conv1", nn.Conv2d(3, 4, 1))
        self.add_module("flatten", nn.Flatten())
        self.add_module("fc8", nn.Linear(4, 2))
        self.register_buffer("average", torch.zeros(3, SIZE, SIZE))


def matconvnet_blueprint() -> Blueprint:
    return Blueprint(
        AverageColour(),
        "fc8",
        SIZE,
        (0.0, 0.0, 0.0),
        (1.0, 1.0, 1.0),
        "none",
        readers={".mat": read_matconvnet},
    )


def tiny_nets() -> None:
    """Have nets whose files of weights are as short as they are read; draw nothing.

    For processes of their own: nothing is put back.
    """
    encoders.ENCODERS["tiny"] = tiny_blueprint
    encoders.ENCODERS["cnn_f"] = matconvnet_blueprint
    report.report_pictures = lambda _: []


@dataclass(frozen=True)
class World:
    """Whole files, made once and not written to.

    Attributes:
        media: images and voices with their manifest.
        features: what ``ivr extract`` made of them.
        stopped: the same when the extraction was stopped: shards, no tables.
        run: what ``ivr train-hash`` made of the features.
        weights: files of weights.
        circulating: images and voices with lists, captions and JSON as they circulate.
    """

    media: Path
    features: Path
    stopped: Path
    run: Path
    weights: Path
    circulating: Path


def ivr(*arguments: object) -> None:
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, result.output


def made_world(folder: Path) -> World:
    """Write a world below ``folder`` and return it."""
    world = World(*(folder / name for name in World.__dataclass_fields__))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)
        write_world(world)
    return world


def write_world(world: World) -> None:
    rng = np.random.default_rng(0)
    world.media.mkdir()
    rows = []
    for label in CLASSES:
        for number in range(PER_CLASS):
            name = f"{label}_{number}"
            Image.fromarray(drawn(label, rng, 8)).save(world.media / f"{name}.png")
            soundfile.write(world.media / f"{name}.wav", spoken(label, rng, 0.05), SAMPLE_RATE)
            rows.append(ManifestRow(f"{name}.png", f"{name}.wav", label))
    manifest = world.media / "manifest.csv"
    write_manifest(manifest, Manifest(tuple(rows)))
    ivr("extract", manifest, "--out", world.features, "--batch-size", "4", *TINY)
    stop_between(manifest, world)
    ivr("train-hash", world.features, "--out", world.run, *SHORT)
    write_weights(world.weights)
    write_circulating(world.circulating)


def stop_between(manifest: Path, world: World) -> None:
    """Make ``world.stopped`` of shards that hold the first rows, as a killed call leaves them."""
    for name, kind in (("images", IMAGES), ("voices", VOICES)):
        table = open_table(world.features / f"{name}.h5", kind)
        shards = Shards(world.stopped / f"{name}.shards", kind)
        for start in (0, 4):
            columns = {key: table.read(key)[start : start + 4] for key in table.columns}
            shards.write(table.config, columns)


def write_weights(folder: Path) -> None:
    folder.mkdir()
    state = tiny_blueprint().net.state_dict()
    torch.save(state, folder / "zip.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    save_file(state, folder / "net.safetensors")
    ones = np.ones((1, 1, 3, 4), np.float32)
    layers = np.empty((1, 1), dtype=object)
    layers[0, 0] = {"name": "conv1", "filters": ones, "biases": ones[0, 0, 0]}
    average = {"averageImage": ones[:1, :1, :, 0]}
    for name, compressed in (("plain.mat", False), ("compressed.mat", True)):
        contents = {"layers": layers, "normalization": average}
        savemat(folder / name, contents, do_compression=compressed)


def write_circulating(folder: Path) -> None:
    """Two classes of six images named by number, five voices each, and every list that is read."""
    names = [f"{number}" for number in range(12)]
    for place in ("images", "voices", "lists"):
        (folder / place).mkdir(parents=True)
    for name in names:
        (folder / "images" / f"{name}.jpg").write_bytes(b"")
        for take in range(5):
            (folder / "voices" / f"{name}_{take}.wav").write_bytes(b"")
    for label, some in (("beach", names[:6]), ("farm", names[6:])):
        lines = "".join(f"{name}.jpg\n" for name in some)
        (folder / "lists" / f"{label}.txt").write_text(lines)
    records = [
        {
            "filename": f"{name}.jpg",
            "split": ("train", "val", "test")[int(name) % 3],
            "sentences": [{"raw": f"scene {name} said {n}", "sentid": n} for n in range(5)],
        }
        for name in names
    ]
    (folder / "dataset.json").write_text(json.dumps({"dataset": "own", "images": records}))
    captions = "".join(f"scene {name} said {time}\n" for name in names for time in range(5))
    (folder / "own_caps.txt").write_text(captions)
    (folder / "own_filename.txt").write_text("".join(f"{name}.jpg\n" for name in names))
    lines = [f"{name}.jpg,{name}_{take}.wav,scene" for name in names for take in range(5)]
    (folder / "table.csv").write_text("\n".join(["image,voice,label", *lines]))
