"""The files that a run began with, and which of them it was trained on.

A file that was trained on is known by the stamp of its content, whatever it is called. Features are
still those of the run if each name has the content that it had: swapped files are others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.store import (
    StoreError,
    Table,
    has_columns,
    open_table,
    text_column,
    write_table,
)
from ivr.pipeline.datasets.manifest import Item
from ivr.pipeline.extraction.earlier_stamps import NO_STAMP, has_earlier_stamps
from ivr.pipeline.extraction.feature_dataset import FeatureDataset

from .run_folder import ITEMS
from .training_data import kept_voices, left_out_classes

ITEMS_KIND = "items of a run"
COLUMNS = {"modality": ("u", 1), "stamps": ("u", 1), "trained": ("u", 1)}
NAMES = {"names": ("S", 1)}  # runs of earlier versions have none
SIDES = ("train", "val")
"""Splits that decide the model: learnt from, and used to choose the best epoch."""


@dataclass(frozen=True, eq=False)
class KnownFiles:
    """Stamps of the files of one modality.

    Attributes:
        all: [n] of the files that the run began with, uint64.
        trained: [m] of those that it was trained on, uint64.
        by_name: stamp of each file by name; empty for a run of an earlier version.
    """

    all: np.ndarray
    trained: np.ndarray
    by_name: Mapping[str, int]


def write_run_items(
    run: Path, data: FeatureDataset, splits: Mapping[str, str], chosen: Mapping[str, Any]
) -> None:
    """Write name and stamp of each item of ``data``, and whether the run learns from it.

    Items that it validates on count as learnt from.

    Args:
        run: the run folder.
        data: the features.
        splits: split of every item by name.
        chosen: the content of ``config.json``.
    """
    images, voices = data.image_items(), data.voice_items()
    left_out = left_out_classes(chosen["left_out"])
    kept = {item.name for item in images if item.label not in left_out}
    kept |= {item.name for item in kept_voices(data, splits, chosen["left_out"])}
    items = (*images, *voices)
    trained = [item.name in kept and splits[item.name] in SIDES for item in items]
    columns = {
        "names": text_column(item.name for item in items),
        "modality": np.repeat(np.array([0, 1], np.uint8), [len(images), len(voices)]),
        "stamps": stamps_of(data, images, voices),
        "trained": np.array(trained, np.uint8),
    }
    write_table(run / ITEMS, ITEMS_KIND, {}, columns)


def read_run_items(run: Path) -> tuple[KnownFiles, KnownFiles] | None:
    """Return the images and voices of ``run``; None for a run of an earlier version or of arrays.

    Raises:
        StoreError: the file is damaged.
    """
    path = run / ITEMS
    if not path.is_file():
        return None
    table = open_table(path, ITEMS_KIND)
    if not has_columns(table, COLUMNS, NAMES):
        raise StoreError(f"{path}: not the items of a run; start the run anew")
    modality, stamps = table.read("modality"), table.read("stamps")
    trained = table.read("trained") == 1
    sides = [(modality == number) & (stamps != NO_STAMP) for number in (0, 1)]
    names = np.array(table.text("names") if "names" in table.columns else (), object)
    images, voices = (
        KnownFiles(
            stamps[rows],
            stamps[rows & trained],
            dict(zip(names[rows], stamps[rows].tolist(), strict=True)) if len(names) else {},
        )
        for rows in sides
    )
    return images, voices


def stamps_of(data: FeatureDataset, images: Sequence[Item], voices: Sequence[Item]) -> np.ndarray:
    """Return the stamps [n + m] of the files of items, uint64; NO_STAMP where they are not known.

    Args:
        data: the features.
        images: n images with a vector.
        voices: m voices with a vector.
    """
    return np.concatenate(
        [
            _stamps(data.images, data.image_rows, images),
            _stamps(data.voices, data.voice_rows, voices),
        ]
    )


def began_with(
    run: Path, config: Mapping[str, Any], data: FeatureDataset
) -> tuple[bool, list[str]]:
    """Return whether ``data`` holds what ``run`` began with, and the items that are others now.

    Features with the same sha256 do, wherever they lie. In the folder that the run began with so do
    vectors that were made anew of the same files.
    """
    first = config["features"]
    if data.digests(first.get("changes", ())) == first["sha256"]:
        return True, []
    folder = first["folder"]
    if not folder or data.folder.resolve() != Path(folder).resolve():
        return False, []
    others = _replaced_items(run, data)
    return not others, others


def _replaced_items(run: Path, data: FeatureDataset) -> list[str]:
    """Return the names in ``data`` that were other files when ``run`` began.

    A run or features of an earlier version, which have no such stamps, are not compared.
    """
    known = read_run_items(run)
    if known is None:
        return []
    found = []
    for items, table, rows, files in zip(
        (data.image_items(), data.voice_items()),
        (data.images, data.voices),
        (data.image_rows, data.voice_rows),
        known,
        strict=True,
    ):
        if not len(files.all):
            continue
        stamps = _stamps(table, rows, items)
        anywhere = np.isin(stamps, files.all).tolist()
        for item, stamp, is_there in zip(items, stamps.tolist(), anywhere, strict=True):
            same = is_there and files.by_name.get(item.name, stamp) == stamp
            if stamp != NO_STAMP and not same:
                found.append(item.name)
    return found


def _stamps(table: Table | None, rows: Mapping[str, int], items: Sequence[Item]) -> np.ndarray:
    if table is None or has_earlier_stamps(table):
        return np.full(len(items), NO_STAMP, np.uint64)
    places = np.array([rows[item.name] for item in items], np.int64)
    stamps: np.ndarray = table.read("stamps")[places].astype(np.uint64)
    return stamps
