"""Time of one query: to code it, and to rank the searched items by the method's distance."""

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch

from ivr.hashing.codes import packed_signs
from ivr.hashing.distances import Measure, measure_of
from ivr.hashing.method import Method
from ivr.hashing.ranking import top_k
from ivr.hashing.trainer import encode_images, encode_voices
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features
from ivr.pipeline.runs.codes_file import CodedItems, read_codes
from ivr.pipeline.runs.run_folder import CODES, load_model, read_config
from ivr.pipeline.runtime.threads import torch_threads

QUERIES, REPEATS = 20, 5


def query_milliseconds(features: Path, run: Path, *, by_sign: bool) -> dict[str, float]:
    """Return the milliseconds of one query on one thread of the CPU, by key of the column.

    The vectors of the query and the codes of the searched items, the test split, are in memory. The
    time of a query is the median of some repetitions; the value is the median of some queries.

    Args:
        features: features that the run was trained on.
        run: a finished run.
        by_sign: rank by codes, whatever the distance of the method is.
    """
    data, config = open_features(features), read_config(run)
    model = load_model(run, config, torch.device("cpu"))
    codes = read_codes(run / CODES)
    images, voices = (
        items.select([row for row, split in enumerate(items.splits) if split == "test"])
        for items in (codes.images, codes.voices)
    )
    measure = None if by_sign else measure_of(model)
    coders = {
        "image_to_voice": _image_coders(data, model, images),
        "voice_to_image": _voice_coders(data, model, voices, config["streams"]),
    }
    galleries = {"image_to_voice": voices, "voice_to_image": images}
    found = {}
    with torch_threads(1):
        for direction, some in coders.items():
            coding = [_milliseconds(code) for code in some]
            ranking = [
                _milliseconds(_ranker(code(), galleries[direction], model, measure, direction))
                for code in some
            ]
            found[f"{direction}.code"] = median(coding)
            found[f"{direction}.rank"] = median(ranking)
            found[f"{direction}.query"] = median(map(sum, zip(coding, ranking, strict=True)))
    return found


Coder = Callable[[], np.ndarray]


def _image_coders(data: FeatureDataset, model: Method, images: CodedItems) -> list[Coder]:
    vectors = torch.from_numpy(data.image_vectors(images.names[:QUERIES]))
    return [partial(encode_images, model, row[None]) for row in vectors]


def _voice_coders(
    data: FeatureDataset, model: Method, voices: CodedItems, streams: list[str]
) -> list[Coder]:
    vectors, frames = map(torch.from_numpy, data.voice_vectors(voices.names[:QUERIES], streams))
    return [
        partial(encode_voices, model, row[None], count[None])
        for row, count in zip(vectors, frames, strict=True)
    ]


def _ranker(
    outputs: np.ndarray, gallery: CodedItems, model: Method, measure: Measure | None, direction: str
) -> Callable[[], np.ndarray]:
    """Return a function that ranks all of ``gallery`` for a query with ``outputs`` [1, width]."""
    if measure is None:
        code, count = packed_signs(outputs, model.sizes.bits), len(gallery.names)
        return lambda: top_k(code, gallery.codes, count)[0]
    others = gallery.outputs
    assert others is not None  # a method with a measure of its own keeps outputs
    if direction == "image_to_voice":
        return lambda: np.argsort(measure(outputs, others)[0], kind="stable")
    return lambda: np.argsort(measure(others, outputs)[:, 0], kind="stable")


def _milliseconds(work: Callable[[], object]) -> float:
    work()  # warms up
    taken = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()
        taken.append(1000 * (time.perf_counter() - began))
    return median(taken)
