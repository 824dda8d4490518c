"""How large a weights file is when it is read, from its headers, before any of it is read."""

import pickletools
import struct
import zipfile
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from torch import nn

from ivr.errors import IvrError

from .regular_files import opened_regular

TIMES, BESIDE = 4, 1 << 30
"""A file may hold this many times the bytes of its network (a training state has three), and this
many more (a layer of many classes)."""
MOST_NAMES = 1 << 20
"""Largest list of names and shapes, bytes; that of a network of 1500 tensors has 200 kB."""
MOST_RECORDS = 20_000
"""Most tensors that are stored apart; torchvision's largest network has 1500."""
ZIP, LEGACY_PICKLES = b"PK\x03\x04", 3


class WeightsSizeError(IvrError):
    """Weights that are not read because of their size, in one line without the name of the file."""


def require_size(path: Path, net: nn.Module) -> None:
    """Refuse a weights file that is too large for ``net``, unpacks to much, or holds many tensors.

    A file of another kind is left to its reader, which reads no more than is in the file.

    Raises:
        WeightsSizeError: such a file.
        UnreadableFileError: the file cannot be read.
    """
    own = sum(tensor.nbytes for tensor in net.state_dict().values())
    most = TIMES * own + BESIDE
    with opened_regular(path) as file:
        head = file.read(9)
        size = file.seek(0, 2)
        if size > most:
            raise WeightsSizeError(f"{size} bytes, more than the {most} that its network needs")
        file.seek(0)
        if head.startswith(ZIP):
            _check_zip(file, size)
        elif head[8:9] == b"{" and path.suffix.lower() == ".safetensors":
            _check_names(struct.unpack("<Q", head[:8])[0])
        elif head.startswith(b"\x80"):
            _check_names(_legacy_names(file))


def _check_zip(file: BinaryIO, size: int) -> None:
    """Refuse a file of torch.save that was compressed afterwards; torch itself never does that."""
    try:
        records = zipfile.ZipFile(file).infolist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError, struct.error, OSError):
        return  # torch says what is wrong with it
    unpacked = sum(record.file_size for record in records)
    if unpacked > 2 * size + MOST_NAMES:
        raise WeightsSizeError(
            f"{size} bytes that unpack to {unpacked}; save it with torch.save, uncompressed"
        )
    if len(records) > MOST_RECORDS:
        raise WeightsSizeError(f"holds {len(records)} records, more than {MOST_RECORDS}")
    _check_names(max((r.file_size for r in records if r.filename.endswith(".pkl")), default=0))


def _check_names(size: int) -> None:
    if size > MOST_NAMES:
        raise WeightsSizeError(
            f"its names and shapes take more than {MOST_NAMES} bytes: no network has "
            "so many tensors"
        )


def _legacy_names(file: BinaryIO) -> int:
    """Return the length of the pickled names in a file of torch before 1.6, as far as it matters.

    Three short pickles come first. Pickled names beyond the limit are not read to their end.
    """
    try:
        for _ in range(LEGACY_PICKLES):
            for _ in islice(pickletools.genops(file), 1000):
                pass
        start = file.tell()
        for _ in pickletools.genops(file):
            if file.tell() - start > MOST_NAMES:
                break
        return file.tell() - start
    except (ValueError, UnicodeError, LookupError, OverflowError, EOFError):
        return 0  # torch says what is wrong with it
