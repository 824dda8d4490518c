"""Damaged files of every kind that ``ivr`` reads end in a documented exit status.

``IVR_FUZZ_OFFSETS=200`` (``make fuzz``) damages every file at 200 places for every command; here
that is done where a call takes milliseconds, and at a few places elsewhere.
"""

import json
import os
import re
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from child_calls import Call, Outcome, outcomes
from conftest import SAMPLE_RATE, drawn, spoken
from PIL import Image
from sound_files import by_ffmpeg
from tiny_world import SHORT, TINY, World, tiny_nets

from ivr.features.store import open_table
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.runs.verify import KINDS

MANY = 200
FEW = int(os.environ.get("IVR_FUZZ_OFFSETS", "6"))
FILES_A_CALL = 100


def damaged(content: bytes, places: int) -> Iterator[tuple[str, bytes]]:
    """What was done to ``content``, and what it is then: cut, and with one bit flipped."""
    for number in range(min(places, len(content))):
        place = number * len(content) // min(places, len(content))
        yield f"cut at {place}", content[:place]
        flipped = bytearray(content)
        flipped[place] ^= 1 << number % 8
        yield f"flipped at {place}", bytes(flipped)


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


def compressed_voice(container: str, codec: str, rate: int = SAMPLE_RATE) -> bytes:
    return by_ffmpeg(spoken("pond", np.random.default_rng(0)), rate, container, codec)


MEDIA = {
    "colour.jpg": lambda: encoded_image("JPEG", "RGB"),
    "progressive.jpg": lambda: encoded_image("JPEG", "RGB", progressive=True),
    "cmyk.jpg": lambda: encoded_image("JPEG", "CMYK"),
    "colour.png": lambda: encoded_image("PNG", "RGB"),
    "deep.png": lambda: encoded_image("PNG", "I;16"),
    "plain.tif": lambda: encoded_image("TIFF", "RGB"),
    "lzw.tif": lambda: encoded_image("TIFF", "RGB", compression="tiff_lzw"),
    "float.tif": lambda: encoded_image("TIFF", "F"),
    "scene.jp2": lambda: encoded_image("JPEG2000", "RGB"),
    "pcm.wav": lambda: encoded_voice("WAV", "PCM_16"),
    "float.wav": lambda: encoded_voice("WAV", "FLOAT"),
    "voice.flac": lambda: encoded_voice("FLAC", "PCM_16"),
    "voice.ogg": lambda: encoded_voice("OGG", "VORBIS"),
    "voice.mp3": lambda: compressed_voice("mp3", "libmp3lame"),
    "voice.m4a": lambda: compressed_voice("ipod", "aac"),
    "voice.webm": lambda: compressed_voice("webm", "libopus", rate=48_000),
    "voice.amr": lambda: compressed_voice("amr", "libopencore_amrnb", rate=8_000),
    "law.wav": lambda: compressed_voice("wav", "pcm_alaw"),
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
        is_image = suffix in (".jpg", ".png", ".tif", ".jp2")
        rows = [
            ManifestRow(path, "", "a") if is_image else ManifestRow("", path, "a") for path in names
        ]
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
        rows, skipped = re.search(r"(\d+) rows?\b", one.stdout), one.stderr.count("skipped ")
        folder = Path(one.call.arguments[1]).parent
        assert rows and int(rows[1]) + skipped == len(list(folder.glob(f"*{suffix}")))


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
WEIGHTS = ("extract", "{media}/manifest.csv", "--out", "F/out", "--dry-run", *TINY[4:])
for name in ("zip.pth", "old.pth", "net.safetensors"):
    READERS["weights", name] = [(*WEIGHTS, "--encoder", "tiny", "--weights", f"F/{name}")]
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


WRONG = (None, [], {}, "x", "\x1b[2J", -1, 10**400, 1e308, True, [[["x"]]], {"a": {"b": None}})


def crafted(value: object) -> Iterator[object]:
    """``value`` with each of its parts in turn missing, and replaced by a value of another type."""
    if not isinstance(value, dict):
        return
    for number, (key, part) in enumerate(value.items()):
        yield {name: kept for name, kept in value.items() if name != key}
        yield value | {key: WRONG[number % len(WRONG)]}
        yield value | {key: WRONG[(number + 5) % len(WRONG)]}
        for inner in crafted(part):
            yield value | {key: inner}
    yield from WRONG


def crafted_contents(content: bytes, lines: bool) -> list[bytes]:
    """Contents of a JSON file, or of one of JSON lines, that are JSON but not what we write."""
    values = [json.loads(content.splitlines()[0] if lines else content)]
    found = [json.dumps(one).encode() for value in values for one in crafted(value)]
    deep = b'{"a":' * 5000 + b"1" + b"}" * 5000
    return [*found, deep, b"[" * 100_000, b'{"epoch": ' + b"9" * 5000 + b"}", b"", b"null"]


@pytest.mark.parametrize(
    ("whole", "name"),
    [key for key in READERS if key[1].endswith((".json", ".jsonl"))] + [("run", "digests.json")],
)
def test_crafted_json_ends_in_a_documented_status(
    whole: str, name: str, world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "F"
    readers = READERS.get((whole, name), [("verify", "F"), EVALUATE])
    commands = [
        tuple(
            f"{folder}" if part == "F" else part.replace("F/", f"{folder}/").format(**vars(world))
            for part in command
        )
        for command in readers
    ]
    source = getattr(world, whole)
    contents = crafted_contents((source / name).read_bytes(), name.endswith("l"))
    calls = [
        Call(commands[number % len(commands)], source, folder, name, content)
        for number, content in enumerate(contents[:: max(1, len(contents) // (2 * FEW))])
    ]
    assert_documented(outcomes(calls, tiny_nets))


@pytest.mark.parametrize(
    ("whole", "name"),
    [("features", "images.h5"), ("features", "voices.h5"), ("run", "codes.h5")],
)
def test_verify_finds_every_flip_that_changes_what_is_read(
    whole: str, name: str, world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "F"
    found = fuzz(getattr(world, whole), name, [("verify", folder)], folder, MANY)
    assert_documented(found)
    expected = content(getattr(world, whole) / name)
    missed = [one for one in found if one.status == 0]
    assert len(missed) < len(found) / 2
    for one in missed:
        (tmp_path / name).write_bytes(one.call.content)
        assert content(tmp_path / name) == expected, one.call


def content(path: Path) -> dict[str, object]:
    table = open_table(path, KINDS[path.name])
    columns = {column: table.read(column).tolist() for column in table.columns}
    return {**columns, "config of the table": table.config}


@pytest.mark.parametrize("name", ["images", "voices"])
def test_a_damaged_shard_costs_its_rows_and_no_more(
    name: str, world: World, tmp_path: Path
) -> None:
    shard = min((world.stopped / f"{name}.shards").iterdir())
    calls = []
    for number, (_, damage) in enumerate(damaged(shard.read_bytes(), FEW)):
        folder = tmp_path / str(number)
        command = ("extract", f"{world.media}/manifest.csv", "--out", str(folder), *TINY)
        calls.append(Call(command, world.stopped, folder, f"{name}.shards/{shard.name}", damage))
    found = outcomes(calls, tiny_nets)
    assert_documented(found)
    for one in found:
        assert one.status == 0
        assert "12 rows, 8 of them new" in one.stdout
        for file in ("images.h5", "voices.h5", "manifest.csv"):
            whole = (world.features / file).read_bytes()
            assert (one.call.folder / file).read_bytes() == whole
