"""Weights files are sized from their headers before anything of them is read."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from ivr.features import encoder_weights, encoders
from ivr.features.blueprint import Blueprint
from ivr.features.cnn_f import read_matconvnet
from ivr.features.image import load_encoder
from ivr.features.image_config import ImageConfig
from ivr.features.weights_file import WeightsError

MANY = 40_000  # tensors


def blueprint() -> Blueprint:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4))
    return Blueprint(net, "", 8, readers={".mat": read_matconvnet})


@pytest.fixture(autouse=True)
def nothing_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """The encoder ``small``, whose weights no test gets as far as to read."""

    def read(*_: object, **__: object) -> None:
        raise AssertionError("it was read")

    monkeypatch.setitem(encoders.ENCODERS, "small", blueprint)
    monkeypatch.setattr(torch, "load", read)
    monkeypatch.setattr(encoder_weights, "load_file", read)


def assert_refused(path: Path, words: str) -> None:
    with pytest.raises(WeightsError, match=words) as info:
        load_encoder(ImageConfig("small", str(path)), torch.device("cpu"))
    assert str(info.value).startswith(f"{path}: ")
    assert "\n" not in str(info.value)


def test_a_state_dict_that_unpacks_to_many_times_its_size_is_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(1 << 22)}, tmp_path / "whole.pth")
    with (
        zipfile.ZipFile(tmp_path / "whole.pth") as whole,
        zipfile.ZipFile(tmp_path / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for record in whole.infolist():
            bomb.writestr(record.filename, whole.read(record))
    assert_refused(tmp_path / "bomb.pth", "bytes that unpack to 1677.* save it with torch.save")


@pytest.mark.parametrize("zipped", [True, False])
def test_a_state_dict_of_very_many_tensors_is_refused(tmp_path: Path, zipped: bool) -> None:
    tensor = torch.zeros(1)
    many = {f"a tensor among many {number}": tensor for number in range(MANY)}
    torch.save(many, tmp_path / "w.pth", _use_new_zipfile_serialization=zipped)
    assert_refused(tmp_path / "w.pth", "names and shapes take more than 1048576 bytes")


def test_safetensors_with_a_very_long_header_are_refused(tmp_path: Path) -> None:
    header = b"{" + b" " * (3 << 20) + b"}"
    (tmp_path / "w.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
    assert_refused(tmp_path / "w.safetensors", "names and shapes take more than 1048576 bytes")


def test_a_file_far_larger_than_the_network_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "w.pth").open("wb") as file:
        file.truncate(3 << 30)  # takes no room on the disk
    assert_refused(tmp_path / "w.pth", "3221225472 bytes, more than the .* that its network needs")


def mat_file(path: Path, *elements: bytes) -> Path:
    header = b"MATLAB 5.0 MAT-file".ljust(124) + b"\x00\x01IM"
    path.write_bytes(header + b"".join(elements))
    return path


def packed(content: bytes) -> bytes:
    squeezed = zlib.compress(content)
    return struct.pack("<II", 15, len(squeezed)) + squeezed


def test_variables_of_a_mat_file_are_summed_before_one_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ivr.features.cnn_f._unpacked", None)
    gib = packed(struct.pack("<II", 14, 1 << 30) + bytes(100))
    path = mat_file(tmp_path / "w.mat", *[gib] * 6)
    assert_refused(path, "its variables unpack to 6442450992 bytes, more than 1073741824")


def matrix(kind: int, *parts: bytes) -> bytes:
    flags = struct.pack("<IIII", 6, 8, kind, 0)
    shape = struct.pack("<IIii", 5, 8, 1, 1)
    name = struct.pack("<II", 1, 0)
    body = flags + shape + name + b"".join(parts)
    return struct.pack("<II", 14, len(body)) + body


EMPTY = struct.pack("<II", 14, 0)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (lambda: matrix(1, *[EMPTY] * 200_000), "has more than 100000 parts"),
        (lambda: matrix(4, struct.pack("<II", 2, 80_000) + bytes(80_000)), "a text of 80000 char"),
        (lambda: matrix(1, EMPTY)[:4] + b"\xff\xff\xff\x0f" + bytes(8), "ends early"),
        (lambda: matrix(1, EMPTY) + bytes(64), "longer than its tag says"),
    ],
)
def test_parts_and_texts_of_a_mat_file_are_limited(
    tmp_path: Path, content: Callable[[], bytes], words: str
) -> None:
    assert_refused(mat_file(tmp_path / "w.mat", packed(content())), words)


def test_weights_that_are_replaced_while_they_are_read_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The settings of the rows would name the sha256 of the file that was there first."""
    state = blueprint().net.state_dict()
    path = tmp_path / "w.safetensors"

    def replaced(*_: object, **__: object) -> dict[str, torch.Tensor]:
        (tmp_path / "other").write_bytes(path.read_bytes())
        (tmp_path / "other").replace(path)
        return state

    path.write_bytes(struct.pack("<Q", 2) + b"{}")
    monkeypatch.setattr(encoder_weights, "load_file", replaced)
    assert_refused(path, "was replaced while it was read; call again")
