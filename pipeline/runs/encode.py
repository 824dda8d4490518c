"""Stage: features to packed codes with the model of a run."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ivr.features.atomic_files import file_digest, require_writable
from ivr.features.store import require_place, text_column, write_table
from ivr.features.waveform_augmentation import parse_change
from ivr.hashing.codes import packed_signs
from ivr.hashing.health import quantisation_errors
from ivr.hashing.method import Method
from ivr.hashing.trainer import encode_images, encode_voices
from ivr.pipeline.datasets.manifest import Item
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.digests import rewriting
from ivr.pipeline.runtime.progress import progress, warn
from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .codes_file import KIND, QUANTISATION, SPLITS_OF_RUN, read_codes
from .run_folder import (
    CODES,
    MODEL,
    RunError,
    begun,
    load_model,
    locked_run,
    read_config,
    read_splits,
)
from .run_items import began_with, stamps_of
from .settings_of_run import require_same_settings
from .stale_codes import made_from, require_no_other_codes

BLOCK = 2048


@dataclass(frozen=True, repr=False)
class EncodeResult(Result):
    """A codes file that was written.

    Attributes:
        codes: the file; :func:`ivr.pipeline.runs.codes_file.read_codes` reads it.
        images: number of images in it.
        voices: number of voices in it.
        bits: length of the codes.
    """

    codes: Path
    images: int
    voices: int
    bits: int

    def __repr__(self) -> str:
        """Return the file and what it holds in one line."""
        images, voices = counted(self.images, "image"), counted(self.voices, "voice")
        return f"{self.codes}: {images} and {voices}, {self.bits} bits"


def encode(
    run: str | Path,
    *,
    features: str | Path | None = None,
    out: str | Path | None = None,
    device: str = "auto",
    change: str = "",
) -> EncodeResult:
    """Encode all items of extracted features into binary codes.

    Args:
        run: a run folder with a trained model.
        features: folder of features, by default those that the run was trained on.
        out: codes file to write, ``RUN/codes.h5`` by default.
        device: auto takes cuda if there is one.
        change: take the voices after this change, e.g. ``noise=10``; ``""`` takes them as
            recorded.

    Raises:
        BusyError: another process writes into the run, where the codes are to go.
        RunError: no model, or features that the run cannot encode.
        ChangeError, StoreError, ManifestError: see their modules.
    """
    run = Path(run)
    read_config(begun(run))
    in_the_run = out is None or Path(out).parent.resolve() == run.resolve()
    with locked_run(run) if in_the_run else nullcontext():
        path = encode_run(
            run,
            features=None if features is None else Path(features),
            out=None if out is None else Path(out),
            device=device,
            change=change,
        )
    codes = read_codes(path)
    counts = len(codes.images.names), len(codes.voices.names)
    return EncodeResult(path, *counts, 8 * codes.images.codes.shape[1])


def encode_run(
    run: Path,
    *,
    features: Path | None = None,
    out: Path | None = None,
    device: str = "auto",
    change: str = "",
) -> Path:
    """Write the codes of all items of ``features`` and return the file.

    Args:
        run: a run folder with a trained model.
        features: folder of features, by default those that the run was trained on; these, wherever
            they lie now, keep the splits of the run, others have those of their manifest.
        out: the file, ``RUN/codes.h5`` by default.
        device: auto takes cuda if there is one.
        change: take the voices after this change, e.g. ``noise=10``, under their plain names;
            ``""`` takes them as recorded.

    Raises:
        RunError: no model, features made with other settings than those of the run, or without
            voices so changed; changed voices in the place of the run's own codes; or ``out`` is the
            place of the codes of another run.
        InTheWayError, UnwritableError: ``out`` is something else than codes, or cannot be written.
        ChangeError, StoreError, ManifestError: see their modules.
    """
    config = read_config(run)
    folder = Path(config["features"]["folder"])
    if not config["features"]["folder"] and (features is None or out is None):
        raise RunError(
            f"{run}: was fitted on arrays, not on a folder of features; say which features to "
            "encode with --features and where to write with --out"
        )
    require_no_other_codes(out, run)
    require_writable(run if out is None else out.parent)
    data = open_features(features or folder)
    require_same_settings(config, data)
    own, others = began_with(run, config, data)
    if out is None and not own:
        now = f" ({len(others)} items are other files now, e.g. {others[0]})" if others else ""
        raise RunError(
            f"{data.folder}: not the features of {run}{now}; say where to write with --out"
        )
    images, voices = data.image_items(), data.voice_items()
    if change:
        change = str(parse_change(change))
        if out is None or out.resolve() == (run / CODES).resolve():
            raise RunError(
                f"{run}: its codes are of voices as recorded; say where to write with --out"
            )
        voices = _changed_voices(data, change)
    items = (*images, *voices)
    splits = read_splits(run, (item.name for item in items)) if own else {}
    if own:
        _say_other_splits(run, data, splits)
    model = load_model(run, config, choose_device(device))
    target = out or run / CODES
    require_place(target, KIND)
    target.parent.mkdir(parents=True, exist_ok=True)
    outputs = (
        _image_outputs(model, data, images),
        _voice_outputs(model, data, voices, config["streams"], change),
    )
    codes = tuple(packed_signs(table, model.sizes.bits) for table in outputs)
    columns = _columns(images, voices, codes, splits)
    columns["stamps"] = stamps_of(data, images, voices)
    if model.distance != "hamming":
        columns["outputs"] = np.concatenate(outputs)
    kept = {name: config[name] for name in ("method", "bits", "seed", "voices", "classes")}
    errors = {
        "images": _test_errors(outputs[0], images, splits, model.sizes.bits),
        "voices": _test_errors(outputs[1], voices, splits, model.sizes.bits),
    }
    contents = {
        "run": kept,
        "model": file_digest(run / MODEL),
        **made_from(data),
        SPLITS_OF_RUN: own,
        "change": change,
        QUANTISATION: errors,
    }
    of_the_run = target.parent.resolve() == run.resolve()
    with rewriting(run, [target.name]) if of_the_run else nullcontext():
        write_table(target, KIND, contents, columns)
    return target


def _say_other_splits(run: Path, data: FeatureDataset, splits: Mapping[str, str]) -> None:
    """Say if the manifest now calls items test that were trained on, or the other way round."""
    moved = {
        row.image or row.voice
        for row in data.manifest.rows
        for name in (row.image, row.voice)
        if row.split and splits.get(name) and (row.split == "test") != (splits[name] == "test")
    }
    if moved:
        warn(
            f"note: the manifest moved {len(moved)} items into or out of the test split since "
            f"{run} was trained (e.g. {min(moved)}); the codes keep the splits of the run"
        )


def _test_errors(
    outputs: np.ndarray, items: Sequence[Item], splits: Mapping[str, str], bits: int
) -> list[float | None]:
    """Return the errors of the first 8, 16, ... bits on the test split; on all without splits."""
    found = [splits.get(item.name, item.split) for item in items]
    rows = np.array(found) == ("test" if any(found) else "")
    errors = quantisation_errors(outputs[rows, :bits])
    return [None if np.isnan(error) else round(float(error), 6) for error in errors]


def _changed_voices(data: FeatureDataset, change: str) -> list[Item]:
    """Return the voices that have a row of ``change``.

    Raises:
        RunError: there is none.
    """
    voices = data.voice_items(change)
    if not voices:
        there = ", ".join(data.changes()) or "none"
        raise RunError(
            f"{data.folder}: no voices changed by {change} (there are: {there}); "
            f"make them with ivr extract --augment {change}"
        )
    if lacking := len(data.voice_items()) - len(voices):
        warn(f"left out: {counted(lacking, 'voice')} without a row of {change}")
    return voices


def _image_outputs(model: Method, data: FeatureDataset, items: Sequence[Item]) -> np.ndarray:
    parts = [np.empty((0, model.width), np.float32)]
    for block in progress(_blocks(items), _count(items), "blocks of images to code"):
        vectors = torch.from_numpy(data.image_vectors([item.name for item in block]))
        parts.append(encode_images(model, vectors))
    return np.concatenate(parts)


def _voice_outputs(
    model: Method, data: FeatureDataset, items: Sequence[Item], streams: Sequence[str], change: str
) -> np.ndarray:
    parts = [np.empty((0, model.width), np.float32)]
    for block in progress(_blocks(items), _count(items), "blocks of voices to code"):
        vectors, frames = data.voice_vectors([item.name for item in block], streams, change)
        parts.append(encode_voices(model, torch.from_numpy(vectors), torch.from_numpy(frames)))
    return np.concatenate(parts)


def _blocks(items: Sequence[Item]) -> list[Sequence[Item]]:
    return [items[start : start + BLOCK] for start in range(0, len(items), BLOCK)]


def _count(items: Sequence[Item]) -> int:
    return -(-len(items) // BLOCK)


def _columns(
    images: Sequence[Item],
    voices: Sequence[Item],
    codes: Sequence[np.ndarray],
    splits: Mapping[str, str],
) -> dict[str, np.ndarray]:
    items = [*images, *voices]
    return {
        "names": text_column(item.name for item in items),
        "modality": np.repeat(np.array([0, 1], np.uint8), [len(images), len(voices)]),
        "codes": np.concatenate(codes),
        "labels": text_column(item.label for item in items),
        "splits": text_column(splits.get(item.name, item.split) for item in items),
        "images": text_column(item.image for item in items),
        "speakers": text_column(item.speaker for item in items),
        "captions": text_column(item.caption for item in items),
    }
