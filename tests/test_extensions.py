"""Methods, encoders, layouts and metrics from outside the package, each in one place."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import ivr, succeeded, write_media
from pydantic import PositiveInt

from ivr.config import config
from ivr.hashing.histograms import Histograms
from ivr.hashing.metrics import METRICS, Metric
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.evaluation.protocol import Protocol
from ivr.pipeline.runtime.config_options import (
    OptionError,
    configured,
    describe,
    from_json,
    with_options,
)

PLUG_IN = '''
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ivr.features.blueprint import Blueprint
from ivr.features.voice_blueprint import VoiceBlueprint, VoiceReader
from ivr.features.voice_encoder_config import VoiceChoices
from ivr.hashing.method import Batch, TrainedMethod
from ivr.hashing.networks import Sizes
from ivr.hashing.pairs import Pairs
from ivr.pipeline.datasets.layout import Sources
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow


@dataclass(frozen=True)
class PlugConfig:
    """The choice of this method.

    Attributes:
        scale: factor of the outputs.
    """

    scale: float = 1.0


class PlugMethod(TrainedMethod):
    """Two linear layers, trained to predict the class from either side."""

    source = "tests/test_extensions.py"
    config: PlugConfig

    def __init__(self, config: PlugConfig, sizes: Sizes) -> None:
        super().__init__(config, sizes)
        streams, coefficients, _ = sizes.voice_shape
        self.image = nn.Linear(sizes.image_dim, sizes.bits)
        self.voice = nn.Linear(streams * coefficients, sizes.bits)
        self.classes = nn.Linear(sizes.bits, sizes.classes)

    def fit_inputs(self, training: Pairs) -> None:
        pass

    def pool(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        return voices.float().mean(3).flatten(1), frames

    def encode_images(self, images: Tensor) -> Tensor:
        return self.config.scale * self.image(images)

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        return self.config.scale * self.voice(voices)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        outputs = self.encode_images(batch.images), self.encode_voices(batch.voices, batch.frames)
        return {"class": sum(functional.cross_entropy(self.classes(torch.tanh(each)), batch.labels)
                             for each in outputs)}


def plug_encoder() -> Blueprint:
    return Blueprint(nn.Sequential(nn.AvgPool2d(8), nn.Flatten()), classifier="", size=32)


class EnergyReader(VoiceReader):
    """The energy of each hundredth of a second."""

    def read(self, samples):
        frames = samples[: len(samples) // 160 * 160].reshape(-1, 160)
        return (frames**2).sum(1)[None, None], len(frames)


def plug_voices(choices: VoiceChoices) -> VoiceBlueprint:
    return VoiceBlueprint(("energy",), 1, 20, {"hop": 160}, EnergyReader(choices.mfcc))


def plug_layout(sources: Sources) -> Manifest:
    """images/<class>/<number>.png, voices/<class>/<number>_<take>.wav"""
    root = sources.images.parent
    return Manifest(tuple(
        ManifestRow(str(image.relative_to(root)), str(voice.relative_to(root)), image.parent.name)
        for image in sorted(sources.images.rglob("*.png"))
        for voice in sorted((root / "voices" / image.parent.name).glob(f"{image.stem}_*.wav"))
    ))
'''

SETUP = """
[metadata]
name = ivr-plug-in
version = 1.0

[options]
py_modules = ivr_plug_in

[options.entry_points]
ivr.methods =
    plug_method = ivr_plug_in:PlugMethod
ivr.encoders =
    plug_encoder = ivr_plug_in:plug_encoder
ivr.voice_encoders =
    plug_voices = ivr_plug_in:plug_voices
ivr.layouts =
    plug_layout = ivr_plug_in:plug_layout
"""

CHILD = """
import json, sys
from click.testing import CliRunner
from ivr.cli import main
from ivr.features.encoders import encoder_names
from ivr.hashing.methods import method_names
from ivr.pipeline.datasets.layouts import layout_names

for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, (arguments, result.output, result.exception)
print(json.dumps([method_names(), encoder_names(), layout_names()]))
"""


@dataclass(frozen=True)
class PlugIn:
    """A plug-in that a child process can import.

    Attributes:
        path: folder to put on the path of Python.
        method: name of its method on the command line.
        encoder: name of its image encoder.
        voices: name of its voice encoder.
        layout: name of its layout.
    """

    path: Path
    method: str
    encoder: str
    voices: str
    layout: str


def installed_wheel(folder: Path) -> PlugIn:
    """Build a wheel of the plug-in, without a network, and install it into a folder."""
    source, wheels, target = folder / "source", folder / "wheels", folder / "installed"
    source.mkdir()
    (source / "ivr_plug_in.py").write_text(PLUG_IN, encoding="utf-8")
    (source / "setup.cfg").write_text(SETUP, encoding="utf-8")
    (source / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools"]\nbuild-backend = "setuptools.build_meta"\n',
        encoding="utf-8",
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    offline = ["--no-index", "--no-deps"]
    build = [*pip, "wheel", *offline, "--no-build-isolation", "--wheel-dir", wheels, source]
    subprocess.run(build, check=True, capture_output=True)
    (wheel,) = wheels.glob("*.whl")
    subprocess.run([*pip, "install", *offline, "--target", target, wheel], check=True)
    return PlugIn(target, "plug_method", "plug_encoder", "plug_voices", "plug_layout")


def loose_file(folder: Path) -> PlugIn:
    """Write the plug-in as a file that is not installed."""
    (folder / "ivr_plug_in.py").write_text(PLUG_IN, encoding="utf-8")
    names = (
        f"ivr_plug_in:{name}"
        for name in ("PlugMethod", "plug_encoder", "plug_voices", "plug_layout")
    )
    return PlugIn(folder, *names)


def run_commands(plug_in: PlugIn, commands: list[list[object]]) -> list[list[str]]:
    """Run ``commands`` in a process that can import the plug-in; return the names it knows."""
    calls = [[str(argument) for argument in command] for command in commands]
    path = os.pathsep.join([str(plug_in.path), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(calls)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    names: list[list[str]] = json.loads(done.stdout)
    return names


@pytest.mark.parametrize("make", [installed_wheel, loose_file])
def test_a_plug_in_brings_a_layout_encoders_and_a_method(
    make: Callable[[Path], PlugIn], tmp_path: Path
) -> None:
    (tmp_path / "plug_in").mkdir()
    plug_in = make(tmp_path / "plug_in")
    media = write_media(tmp_path / "media").parent
    (media / "manifest.csv").unlink()
    manifest, features, run = media / "manifest.csv", tmp_path / "features", tmp_path / "run"

    known = run_commands(
        plug_in,
        [
            ["prepare", plug_in.layout, "--images", media / "images", "--voices", media / "voices",
             "--out", manifest],
            ["extract", manifest, "--out", features, "--encoder", plug_in.encoder, "--weights",
             "random", "--device", "cpu", "--jobs", "2", "--voice-encoder", plug_in.voices],
            ["train-hash", features, "--out", run, "--method", plug_in.method, "--bits", "16",
             "--device", "cpu", "--epochs", "3", "--batch-size", "6", "--set", "scale=2"],
            ["evaluate", run],
            ["search", run, "--voice", media / "voices" / "river" / "3_1.wav", "--count", "1"],
        ],
    )  # fmt: skip

    config = json.loads((run / "config.json").read_text())
    assert config["method"] == plug_in.method
    assert config["source"] == "tests/test_extensions.py"
    assert config["options"] == {"scale": 2.0}
    assert config["features"]["images"]["encoder"] == plug_in.encoder
    assert config["features"]["voice_encoder"] == plug_in.voices
    assert (config["streams"], config["sizes"]["voice_shape"]) == (["energy"], [1, 1, 20])
    assert config["sizes"]["image_dim"] == 3 * 4 * 4
    assert config["classes"] == ["forest", "pond", "river"]
    assert json.loads((run / "results.json").read_text())["run"]["method"] == plug_in.method
    if make is installed_wheel:
        for names, name in zip(known, ("plug_method", "plug_encoder", "plug_layout"), strict=True):
            assert name in names


def reciprocal_rank(hist: Histograms, at: int | None, denominator: str) -> np.ndarray:
    """Of the first bucket with a relevant item, as if its items came one after the other."""
    del at, denominator
    return 1 / (1 + np.argmax(hist.relevant > 0, axis=1))


def test_a_metric_of_one_entry_stands_in_the_results(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    metric = Metric("MRR", "1 / place of the first relevant item.", reciprocal_rank)
    monkeypatch.setitem(METRICS, "MRR", metric)
    run = tmp_path / "run"
    train = ("train-hash", features, "--out", run, "--method", "cca_sign", "--bits", 16)
    succeeded(ivr(*train, "--device", "cpu"))

    succeeded(ivr("evaluate", run))

    results = json.loads((run / "results.json").read_text())
    assert 0 < results["image_to_voice"]["MRR"] <= 100
    assert results["chance"]["image_to_voice"]["MRR"] > 0


@config
class PatientTraining(TrainConfig):
    """Training with one more option.

    Attributes:
        patience: epochs without a better score after which training ends.
    """

    patience: PositiveInt = 5


@config
class WeightedProtocol(Protocol):
    """A protocol with one more option.

    Attributes:
        patience: a number.
    """

    patience: PositiveInt = 5


@pytest.mark.parametrize("kind", [PatientTraining, WeightedProtocol])
def test_an_option_of_one_field_is_checked_set_described_and_read_again(
    kind: type[PatientTraining] | type[WeightedProtocol],
) -> None:
    assert with_options(kind(), {"patience": 7}).patience == 7
    assert configured(kind, ["patience=7"]) == kind(patience=7)
    assert from_json(kind, asdict(kind(patience=7))) == kind(patience=7)
    assert "patience" in {row[0] for row in describe(kind)}
    with pytest.raises(OptionError, match="patience must be at least 1, got 0"):
        kind(patience=0)
