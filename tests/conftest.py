import json
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

# Processes that tests start have one thread too: the last bits of a training depend on it.
os.environ["OMP_NUM_THREADS"] = "1"

if find_spec("ivr") is None:
    raise SystemExit("ivr is not installed here: run pip install -e . first")

import numpy as np
import pytest
import soundfile
import torch
from click.testing import CliRunner, Result
from PIL import Image
from torch import nn

from ivr.cli import main
from ivr.features import encoders
from ivr.features.blueprint import Blueprint
from ivr.features.image import Encoder
from ivr.features.image_config import ImageConfig
from ivr.features.mfcc import VoiceConfig
from ivr.features.store import text_column, write_table
from ivr.features.voice import voice_vectors
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.extraction.feature_dataset import STREAMS
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES
from ivr.pipeline.runtime.lock import only_writer

if TYPE_CHECKING:
    from tiny_world import World

SAMPLE_RATE = 16_000
CLASSES = {"forest": 400, "pond": 1000, "river": 2500}  # tone of its voices, Hz
IMAGES_PER_CLASS, VOICES_PER_IMAGE = 6, 2
IMAGE_DIM = 32
# A job in the background of a script, or under nohup, ignores signals, and so would its children.
signal.signal(signal.SIGINT, signal.default_int_handler)
for number in (signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)

TINY_VOICE = VoiceConfig(frames=40, coefficients=5, mels=20)


def merged(usual: Sequence[object], *more: object) -> list[object]:
    """Return the options ``usual``, pairs of name and value, without those in ``more``, and it."""
    pairs = zip(usual[::2], usual[1::2], strict=True)
    several = ("--set", "--voice-option")
    kept = [pair for pair in pairs if pair[0] not in more or pair[0] in several]
    return [*(part for pair in kept for part in pair), *more]


def ivr(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def assert_free(folder: Path) -> None:
    """No process holds ``folder`` and its last owner released it in good order."""
    assert json.loads((folder / ".lock").read_text())["held"] is False
    with only_writer(folder):
        pass


def succeeded(result: Result) -> Result:
    assert result.exit_code == 0, result.output
    return result


def assert_one_line(result: Result, words: str, status: int = 1) -> None:
    """The last line, and it alone, is the error; the call ended with ``status``."""
    assert isinstance(result.exception, SystemExit), result.exc_info
    assert result.exit_code == status
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    assert errors == result.stderr.splitlines()[-1:]
    assert words in errors[0]
    assert result.stdout == ""


def spoken(label: str, rng: np.random.Generator, seconds: float = 0.15) -> np.ndarray:
    """A tone of the class in noise, float32 [samples]."""
    times = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    tone = 0.5 * np.sin(2 * np.pi * CLASSES[label] * times + rng.uniform(0, 6))
    return (tone + rng.normal(0, 0.02, len(times))).astype(np.float32)


def drawn(label: str, rng: np.random.Generator, side: int = 32) -> np.ndarray:
    """A colour of the class in noise, uint8 [side, side, 3]."""
    colour = 60 + 60 * np.eye(3)[list(CLASSES).index(label)]
    return (colour + rng.integers(0, 60, (side, side, 3))).astype(np.uint8)


def write_media(folder: Path) -> Path:
    """Three classes of six images, two voices each, and their manifest, whose path is returned."""
    rng = np.random.default_rng(0)
    rows = []
    for label in CLASSES:
        (folder / "images" / label).mkdir(parents=True)
        (folder / "voices" / label).mkdir(parents=True)
        for number in range(IMAGES_PER_CLASS):
            image = f"images/{label}/{number}.png"
            Image.fromarray(drawn(label, rng)).save(folder / image)
            for take in range(VOICES_PER_IMAGE):
                voice = f"voices/{label}/{number}_{take}.wav"
                soundfile.write(folder / voice, spoken(label, rng), SAMPLE_RATE)
                rows.append(ManifestRow(image, voice, label))
    write_manifest(folder / "manifest.csv", Manifest(tuple(rows)))
    return folder / "manifest.csv"


def write_made_up_features(folder: Path, manifest: Manifest) -> None:
    """Features of ``manifest`` as ``ivr extract`` writes them, vectors near one point a class."""
    rng = np.random.default_rng(1)
    folder.mkdir(parents=True)
    centres = {label: rng.normal(0, 1, IMAGE_DIM) for label in CLASSES}
    versions = {"numpy": np.__version__}
    vectors = [centres[item.label] + rng.normal(0, 0.3, IMAGE_DIM) for item in manifest.images()]
    write_table(
        folder / "images.h5",
        IMAGES,
        {
            "settings": {"stored": "float32", "shape": [IMAGE_DIM], "encoder": "made up"},
            "made_with": versions | {"weights": "none"},
        },
        {
            "names": text_column(item.name for item in manifest.images()),
            "stamps": np.zeros(len(manifest.images()), np.uint64),
            "vectors": np.array(vectors, np.float32),
        },
    )
    voices = [
        voice_vectors(spoken(item.label, rng), SAMPLE_RATE, TINY_VOICE)
        for item in manifest.voices()
    ]
    shape = [3, TINY_VOICE.coefficients, TINY_VOICE.frames]
    write_table(
        folder / "voices.h5",
        VOICES,
        {
            "settings": {
                "stored": "float32",
                "shape": shape,
                "streams": list(STREAMS),
                **asdict(TINY_VOICE),
            },
            "made_with": versions,
        },
        {
            "names": text_column(item.name for item in manifest.voices()),
            "stamps": np.zeros(len(manifest.voices()), np.uint64),
            "vectors": np.array([cepstra.reshape(-1) for cepstra, _ in voices]),
            "frames": np.array([frames for _, frames in voices], np.int32),
        },
    )
    write_manifest(folder / "manifest.csv", manifest)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    """Tensors this small are slower on several threads, most of all where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def describe_tiny_encoder(config: ImageConfig) -> tuple[int, dict[str, object]]:
    """Length of the vectors and provenance of :func:`load_tiny_encoder`."""
    encoder = load_tiny_encoder(config, torch.device("cpu"))
    return encoder.dim, dict(encoder.provenance)


def load_tiny_encoder(config: ImageConfig, device: torch.device) -> Encoder:
    """A linear map of 8 x 8 pixels to six numbers, another one for each name of an encoder."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 6))
    generator = torch.Generator().manual_seed(sum(config.encoder.encode()))
    for parameter in net.parameters():
        parameter.data.normal_(generator=generator)
    blueprint = Blueprint(net, "", 8, (0.0, 0.0, 0.0), (255.0, 255.0, 255.0), "/ 255")
    provenance = {"encoder": config.encoder, "weights": config.weights, "sha256": "made up"}
    return Encoder(config, blueprint, 6, provenance).to(device)


@pytest.fixture
def tiny_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Extract images with :func:`load_tiny_encoder` in the place of a network."""
    monkeypatch.setattr("ivr.pipeline.extraction.modality.load_encoder", load_tiny_encoder)
    monkeypatch.setattr("ivr.pipeline.extraction.target.describe_encoder", describe_tiny_encoder)


@pytest.fixture
def media_set(tmp_path: Path) -> Path:
    """Folder with ``manifest.csv`` of 18 images and 36 voices in three classes."""
    return write_media(tmp_path / "media").parent


@pytest.fixture(scope="session")
def features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Feature folder of such a set, made without a CNN; tests read it only (or copy it)."""
    folder = tmp_path_factory.mktemp("made_up")
    manifest = read_manifest(write_media(folder / "media"))
    write_made_up_features(folder / "features", manifest)
    return folder / "features"


@pytest.fixture
def shared() -> Path:
    """Folder of data that the repository does not hold; tests without it are skipped."""
    beside = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("IVR_SHARED", beside))
    if not folder.is_dir():
        pytest.skip("needs the folder named by IVR_SHARED, or ../shared beside the repository")
    return folder


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> "World":
    """Whole tiny files of every kind; tests read them only (or copy them)."""
    from tiny_world import made_world

    return made_world(tmp_path_factory.mktemp("world"))


@pytest.fixture
def nets_of_the_tiny_world(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoders of :func:`world` for one test: ``tiny_nets`` would stay for all later ones."""
    from tiny_world import matconvnet_blueprint, tiny_blueprint

    monkeypatch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)
    monkeypatch.setitem(encoders.ENCODERS, "cnn_f", matconvnet_blueprint)


@pytest.fixture(scope="session")
def packed(world: "World", tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the tiny world as a packed model; tests read it only (or copy it)."""
    from tiny_world import tiny_blueprint

    folder = tmp_path_factory.mktemp("packed") / "model"
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)
        few = ("--pictures", 32)
        succeeded(ivr("pack", world.run, "--out", folder, "--licence", "Apache-2.0", *few))
    return folder
