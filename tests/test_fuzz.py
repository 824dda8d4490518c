"""Damaged files of every kind that ``ivr`` reads end in a documented exit status.

``IVR_FUZZ_OFFSETS=200`` (``make fuzz``) damages every file at 200 places for every command; here
that is done where a call takes milliseconds, and at a few places elsewhere.
"""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from child_calls import Call, Outcome, outcomes
from click.testing import CliRunner
from conftest import CLASSES, SAMPLE_RATE, drawn, spoken
from PIL import Image
from safetensors.torch import save_file
from scipy.io import savemat
from torch import nn

from ivr.cli import main
from ivr.features import image
from ivr.features.cnn_f import SIZE
from ivr.features.image import Blueprint
from ivr.features.store import open_table
from ivr.pipeline import evaluate
from ivr.pipeline.extract import IMAGES, VOICES
from ivr.pipeline.manifest import Manifest, Row, write_manifest

MANY = 200
FEW = int(os.environ.get("IVR_FUZZ_OFFSETS", "6"))
FILES_A_CALL = 100
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
    return Blueprint(net, 8, (0.0, 0.0, 0.0), (255.0, 255.0, 255.0), "/ 255", "", "")


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
        AverageColour(), SIZE, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "none", "", "the authors"
    )


def tiny_nets() -> None:
    """Have nets whose files of weights are as short as they are read; draw no curves."""
    image.ENCODERS["tiny"] = tiny_blueprint
    image.ENCODERS["cnn_f"] = matconvnet_blueprint
    evaluate.draw_curves = lambda *_: None


def damaged(content: bytes, places: int) -> Iterator[tuple[str, bytes]]:
    """What was done to ``content``, and what it is then: cut, and with one bit flipped."""
    for number in range(min(places, len(content))):
        place = number * len(content) // min(places, len(content))
        yield f"cut at {place}", content[:place]
        flipped = bytearray(content)
        flipped[place] ^= 1 << number % 8
        yield f"flipped at {place}", bytes(flipped)


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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("world")
    made = World(*(folder / name for name in World.__dataclass_fields__))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(image.ENCODERS, "tiny", tiny_blueprint)
        write_world(made)
    yield made


def write_world(world: World) -> None:
    rng = np.random.default_rng(0)
    world.media.mkdir()
    rows = []
    for label in CLASSES:
        for number in range(PER_CLASS):
            name = f"{label}_{number}"
            Image.fromarray(drawn(label, rng, 8)).save(world.media / f"{name}.png")
            soundfile.write(world.media / f"{name}.wav", spoken(label, rng, 0.05), SAMPLE_RATE)
            rows.append(Row(f"{name}.png", f"{name}.wav", label))
    manifest = world.media / "manifest.csv"
    write_manifest(manifest, Manifest(tuple(rows)))
    ivr("extract", manifest, "--out", world.features, *TINY)
    stop_between(manifest, world)
    ivr("train-hash", world.features, "--out", world.run, *SHORT)
    write_weights(world.weights)
    write_circulating(world.circulating)


def stop_between(manifest: Path, world: World) -> None:
    """Make ``world.stopped`` of shards that hold the first rows, as a killed call leaves them."""
    from ivr.features.store import Shards

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


def fuzz(
    whole: Path, name: str, commands: Sequence[Sequence[object]], folder: Path, places: int
) -> list[Outcome]:
    """Call each command, whose paths begin with ``folder``, on each damage of ``whole / name``."""
    content = (whole / name).read_bytes()
    calls = [
        Call(tuple(map(str, command)), whole, folder, name, bytes_)
        for command in commands
        for _, bytes_ in damaged(content, places)
    ]
    found = outcomes([Call(tuple(map(str, c)), whole, folder) for c in commands], tiny_nets)
    assert [one.status for one in found] == [0] * len(commands), found
    return outcomes(calls, tiny_nets)


def assert_documented(found: Sequence[Outcome]) -> None:
    # One of each kind: those that end in the same line.
    faults = {fault.splitlines()[-1]: fault for one in found if (fault := one.fault())}
    assert not faults, "\n".join(faults.values())


# --- images and voices ------------------------------------------------------------------------


def encoded_image(kind: str, mode: str, **options: object) -> bytes:
    picture = Image.fromarray(drawn("pond", np.random.default_rng(0), 24))
    buffer = BytesIO()
    (picture.convert("L") if mode == "I;16" else picture).convert(mode).save(
        buffer, kind, **options
    )
    return buffer.getvalue()


def encoded_voice(kind: str, subtype: str) -> bytes:
    buffer = BytesIO()
    samples = spoken("pond", np.random.default_rng(0))
    soundfile.write(buffer, samples, SAMPLE_RATE, subtype, format=kind)
    return buffer.getvalue()


MEDIA = {
    "colour.jpg": lambda: encoded_image("JPEG", "RGB"),
    "progressive.jpg": lambda: encoded_image("JPEG", "RGB", progressive=True),
    "cmyk.jpg": lambda: encoded_image("JPEG", "CMYK"),
    "colour.png": lambda: encoded_image("PNG", "RGB"),
    "deep.png": lambda: encoded_image("PNG", "I;16"),
    "plain.tif": lambda: encoded_image("TIFF", "RGB"),
    "lzw.tif": lambda: encoded_image("TIFF", "RGB", compression="tiff_lzw"),
    "pcm.wav": lambda: encoded_voice("WAV", "PCM_16"),
    "float.wav": lambda: encoded_voice("WAV", "FLOAT"),
    "voice.flac": lambda: encoded_voice("FLAC", "PCM_16"),
    "voice.ogg": lambda: encoded_voice("OGG", "VORBIS"),
}


@pytest.mark.parametrize("name", MEDIA)
def test_damaged_media_are_extracted_or_skipped_and_audited(name: str, tmp_path: Path) -> None:
    whole = MEDIA[name]()
    suffix = Path(name).suffix
    contents = [content for _, content in damaged(whole, MANY)]
    calls = []
    for start in range(0, len(contents), FILES_A_CALL):
        folder = tmp_path / str(start)
        folder.mkdir()
        some = [whole, *contents[start : start + FILES_A_CALL]]
        names = [f"{number}{suffix}" for number in range(len(some))]
        for path, content in zip(names, some, strict=True):
            (folder / path).write_bytes(content)
        is_image = suffix in (".jpg", ".png", ".tif")
        rows = [Row(path, "", "a") if is_image else Row("", path, "a") for path in names]
        write_manifest(folder / "manifest.csv", Manifest(tuple(rows)))
        calls += [
            Call(("extract", f"{folder}/manifest.csv", "--out", f"{folder}/out", *TINY)),
            Call(("check", f"{folder}/manifest.csv", "--jobs", "1")),
        ]
    found = outcomes(calls, tiny_nets)
    assert_documented(found)
    assert {one.status for one in found} <= {0, 3}
    extracted = found[::2]
    assert any("skipped" in one.stderr for one in extracted)
    for one in extracted:
        rows, skipped = one.stdout.split(" rows")[0].split()[-1], one.stderr.count("skipped ")
        folder = Path(one.call.arguments[1]).parent
        assert int(rows) + skipped == len(list(folder.glob(f"*{suffix}")))


# --- what the stages write and read -----------------------------------------------------------

# Of each file: the folder of the world it lies in, and the commands that read it, with F for the
# copy of that folder in which it is damaged.
EXTRACT = ("extract", "{media}/manifest.csv", *TINY, "--out")
READERS: dict[tuple[str, str], list[tuple[str, ...]]] = {
    ("media", "manifest.csv"): [
        ("extract", "F/manifest.csv", "--out", "F/out", *TINY),
        ("check", "F/manifest.csv", "--jobs", "1"),
    ],
    ("features", "manifest.csv"): [("train-hash", "F", "--out", "F/run", "--dry-run", *SHORT)],
}
for name in ("images.h5", "voices.h5"):
    READERS["features", name] = [
        ("verify", "F"),
        ("train-hash", "F", "--out", "F/run", "--dry-run", *SHORT),
        ("encode", "{run}", "--features", "F", "--out", "F/codes.h5", "--device", "cpu"),
        (*EXTRACT, "F"),
    ]
EVALUATE, ENCODE = ("evaluate", "F", "--voices", "all"), ("encode", "F", "--device", "cpu")
FIND_IMAGES = ("search", "F", "--voice", "{media}/pond_0.wav", "--device", "cpu")
FIND_VOICES = ("search", "F", "--image", "{media}/pond_0.png", "--device", "cpu")
RESUME = ("train-hash", "{features}", "--out", "F", "--resume", "--device", "cpu")
READERS |= {
    ("run", "codes.h5"): [("verify", "F"), EVALUATE, FIND_IMAGES],
    ("run", "config.json"): [EVALUATE, ENCODE, FIND_IMAGES, FIND_VOICES, RESUME],
    ("run", "splits.json"): [ENCODE, RESUME],
    ("run", "model.safetensors"): [ENCODE, FIND_IMAGES, RESUME],
    ("run", "checkpoint.safetensors"): [RESUME],
    ("run", "history.jsonl"): [RESUME],
}
WEIGHTS = ("extract", "{media}/manifest.csv", "--out", "F/out", "--dry-run", *TINY)
for name in ("zip.pth", "old.pth", "net.safetensors"):
    READERS["weights", name] = [(*WEIGHTS, "--weights", f"F/{name}")]
for name in ("plain.mat", "compressed.mat"):
    READERS["weights", name] = [(*WEIGHTS, "--encoder", "cnn_f", "--weights", f"F/{name}")]
PREPARE = ("--images", "F/images", "--voices", "F/voices", "--out", "F/out.csv")
READERS |= {
    ("circulating", "dataset.json"): [
        ("prepare", "karpathy", *PREPARE, "--json", "F/dataset.json", "--class-lists", "F/lists")
    ],
    ("circulating", "lists/beach.txt"): [
        ("prepare", "rsicd", *PREPARE, "--class-lists", "F/lists")
    ],
    ("circulating", "own_caps.txt"): [
        ("prepare", "rsicd", *PREPARE, "--class-lists", "F/lists", "--captions", "F/own_caps.txt")
    ],
    ("circulating", "own_filename.txt"): [
        ("prepare", "rsicd", *PREPARE, "--class-lists", "F/lists", "--captions", "F/own_caps.txt")
    ],
    ("circulating", "table.csv"): [
        ("prepare", "rsicd", *PREPARE, "--class-lists", "F/lists", "--table", "F/table.csv")
    ],
}


@pytest.mark.parametrize(("whole", "name"), READERS)
def test_a_damaged_file_ends_in_a_documented_status(
    whole: str, name: str, world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "F"
    commands = [
        [part.replace("F/", f"{folder}/").format(**vars(world)) if part != "F" else folder
         for part in command]
        for command in READERS[whole, name]
    ]  # fmt: skip
    found = fuzz(getattr(world, whole), name, commands, folder, FEW)
    assert_documented(found)
