"""The codes file: packed codes of images and voices with their names; imports no torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.store import StoreError, Table, has_columns, open_table

KIND = "codes"
COLUMNS = {
    "names": ("S", 1),
    "modality": ("u", 1),
    "codes": ("u", 2),
    "labels": ("S", 1),
    "splits": ("S", 1),
    "images": ("S", 1),
    "speakers": ("S", 1),
    "captions": ("S", 1),
}
QUANTISATION = "quantisation_error"
SPLITS_OF_RUN = "splits_of_run"
"""Key in the config of a codes file: whether the splits are those that the run drew."""


@dataclass(frozen=True)
class CodedItems:
    """Items of one modality with their codes, row for row.

    Attributes:
        names: paths below their root.
        codes: packed [n, bits / 8], uint8.
        labels: class names, ``""`` where unknown.
        splits: train, val, test or ``""``.
        images: the image that each item is or belongs to.
        speakers: speakers of voices, ``""`` where unknown.
        captions: captions of voices, ``""`` where unknown.
        outputs: real outputs [n, width], float32, if the method ranks by them; else None.
        stamps: [n], uint64, of the content of the files; None in codes of an earlier version.
    """

    names: tuple[str, ...]
    codes: np.ndarray
    labels: tuple[str, ...]
    splits: tuple[str, ...]
    images: tuple[str, ...]
    speakers: tuple[str, ...]
    captions: tuple[str, ...]
    outputs: np.ndarray | None = None
    stamps: np.ndarray | None = None

    def select(self, rows: Sequence[int] | np.ndarray) -> "CodedItems":
        """Return the items in ``rows``, in that order."""
        chosen = [int(row) for row in rows]
        return CodedItems(
            tuple(self.names[row] for row in chosen),
            self.codes[chosen],
            tuple(self.labels[row] for row in chosen),
            tuple(self.splits[row] for row in chosen),
            tuple(self.images[row] for row in chosen),
            tuple(self.speakers[row] for row in chosen),
            tuple(self.captions[row] for row in chosen),
            None if self.outputs is None else self.outputs[chosen],
            None if self.stamps is None else self.stamps[chosen],
        )


@dataclass(frozen=True)
class Codes:
    """The content of a codes file.

    Attributes:
        images: coded images.
        voices: coded voices.
        config: the run that made the codes, sha256 of its model and of the features, and, unless
            made by an earlier version, the quantisation error of the test split.
    """

    images: CodedItems
    voices: CodedItems
    config: Mapping[str, Any]


def read_codes(path: Path) -> Codes:
    """Return the codes in ``path``.

    Raises:
        StoreError: not a codes file.
    """
    table = open_table(path, KIND)
    known = has_columns(table, COLUMNS, {"outputs": ("f", 2), "stamps": ("u", 1)})
    if not known or not {"model", "features"} <= set(table.config):
        raise StoreError(f"{path}: not codes that ivr encode writes; make them again")
    is_image = table.read("modality") == 0
    return Codes(_items(table, is_image), _items(table, ~is_image), table.config)


def known_quantisation_error(codes: Codes, bits: int | None) -> dict[str, float | None] | None:
    """Return the quantisation error, 0 to 1, of images and voices of the test split.

    Args:
        codes: content of a codes file.
        bits: length of the codes, which are cut to their first bits; None for all bits.

    Returns:
        The error per modality. It is None if the test split has no items of the modality, or if all
        their outputs are 0. The result is None for codes of an earlier version, which does not
        record the error.

    Raises:
        StoreError: the recorded error is not what ``ivr encode`` writes.
    """
    if QUANTISATION not in codes.config:
        return None
    length = codes.images.codes.shape[1]
    try:
        place = length - 1 if bits is None else bits // 8 - 1
        found = {name: codes.config[QUANTISATION][name][place] for name in ("images", "voices")}
        return {name: None if e is None else float(e) for name, e in found.items()}
    except (LookupError, TypeError, ValueError) as error:
        raise StoreError(
            f"codes with a damaged {QUANTISATION}; make them again with ivr encode"
        ) from error


def _items(table: Table, rows: np.ndarray) -> CodedItems:
    text = {
        name: tuple(compress(table.text(name), rows))
        for name, (kind, _) in COLUMNS.items()
        if kind == "S"
    }
    outputs = table.read("outputs")[rows] if "outputs" in table.columns else None
    stamps = table.read("stamps")[rows] if "stamps" in table.columns else None
    return CodedItems(codes=table.read("codes")[rows], outputs=outputs, stamps=stamps, **text)
