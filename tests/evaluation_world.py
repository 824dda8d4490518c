"""Codes of made-up items, and metrics by brute force over all orders of ties."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ivr.hashing.codes import pack, unpack
from ivr.hashing.distances import Measure
from ivr.pipeline.evaluation.curves import Curves
from ivr.pipeline.evaluation.evaluate import evaluate_codes
from ivr.pipeline.evaluation.protocol import Protocol
from ivr.pipeline.runs.codes_file import CodedItems, Codes

ALL = Protocol(voices="all", seed=0)


def items(
    codes: np.ndarray,
    labels: Sequence[str],
    images: Sequence[str],
    splits: Sequence[str],
    kind: str = "voice",
) -> CodedItems:
    count = len(codes)
    names = tuple(images) if kind == "image" else tuple(f"{n}.wav" for n in range(count))
    blank = ("",) * count
    return CodedItems(names, pack(codes), tuple(labels), tuple(splits), tuple(images), blank, blank)


def results_and_curves(
    codes: Codes, protocol: Protocol, measure: Measure | None = None
) -> tuple[dict[str, Any], Mapping[str, Curves]]:
    found = evaluate_codes(codes, protocol, measure)
    return found.results, found.curves


def random_codes(
    seed: int, images: int = 6, voices_each: int = 1, test: int | None = None
) -> Codes:
    """Codes of eight bits (so that many distances are equal), of three classes.

    Args:
        seed: of the codes and labels.
        images: how many; the last ``test`` of them are tested on, the others trained on.
        voices_each: voices an image.
        test: None for all.
    """
    rng = np.random.default_rng(seed)
    labels = rng.choice(["a", "b", "c"], images)
    names = [f"{number}.png" for number in range(images)]
    splits = np.where(
        np.arange(images) >= images - (images if test is None else test), "test", "train"
    )
    rows = np.repeat(np.arange(images), voices_each)
    return Codes(
        items(rng.choice([-1, 1], (images, 8)), labels, names, splits, "image"),
        items(
            rng.choice([-1, 1], (len(rows), 8)),
            labels[rows],
            [names[r] for r in rows],
            splits[rows],
        ),
        {},
    )


def distances(queries: CodedItems, gallery: CodedItems) -> np.ndarray:
    a, b = (unpack(side.codes, 8).astype(int) for side in (queries, gallery))
    return (a[:, None, :] != b[None, :, :]).sum(-1)


def same_class(queries: CodedItems, gallery: CodedItems) -> np.ndarray:
    return np.array([[a == b for b in gallery.labels] for a in queries.labels])


def same_image(queries: CodedItems, gallery: CodedItems) -> np.ndarray:
    return np.array([[a == b for b in gallery.images] for a in queries.images])


def ranked_metrics(
    ranked: Sequence[bool], cutoff: int | None, denominator: str
) -> dict[str, float]:
    """The metrics of one list of relevances, nearest first, place by place."""
    hits, total = 0, 0.0
    for place, found in enumerate(ranked[:cutoff], 1):
        if found:
            hits += 1
            total += hits / place
    wanted = sum(ranked)
    over = {"relevant": wanted, "min": min(wanted, cutoff or wanted), "hits": hits}[denominator]
    metrics = {"mAP": total / over if over else 0.0}
    for k in (1, 5, 10):
        found = sum(ranked[:k])
        precision, recall = found / k, found / wanted if wanted else 0.0
        metrics[f"P@{k}"] = precision
        metrics[f"R@{k}"] = recall
        both = precision + recall
        metrics[f"F@{k}"] = 2 * precision * recall / both if both else 0.0
    return metrics


def over_orders(
    distance: np.ndarray, relevant: np.ndarray, cutoff: int | None, denominator: str
) -> dict[str, float]:
    """Means over every order of the items that keeps the distances, in percent, and AP's bounds."""
    lists = [
        [bool(relevant[item]) for item in order]
        for order in itertools.permutations(range(len(distance)))
        if all(distance[a] <= distance[b] for a, b in itertools.pairwise(order))
    ]
    values = [ranked_metrics(ranked, cutoff, denominator) for ranked in lists]
    metrics = {name: 100 * float(np.mean([v[name] for v in values])) for name in values[0]}
    metrics["mAP_lower"] = 100 * min(v["mAP"] for v in values)
    metrics["mAP_upper"] = 100 * max(v["mAP"] for v in values)
    return metrics


def mean_metrics(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def brute_force(
    queries: CodedItems, gallery: CodedItems, relevant: np.ndarray, protocol: Protocol
) -> dict[str, float]:
    distance = distances(queries, gallery)
    return mean_metrics(
        [
            over_orders(d, r, protocol.cutoff, protocol.denominator)
            for d, r in zip(distance, relevant, strict=True)
        ]
    )


def assert_metrics(found: dict[str, Any], expected: dict[str, float]) -> None:
    assert {name: found[name] for name in expected} == pytest.approx(expected)


def with_a_stranger() -> Codes:
    """Three images, the last of a class that no voice has."""
    codes = random_codes(0, images=3)
    images = replace(codes.images, labels=("a", "a", "unseen"))
    return Codes(images, replace(codes.voices, labels=("a", "b", "a")), {})


def with_outputs(codes: Codes, seed: int = 0) -> Codes:
    """The items with outputs on a coarse grid in the plane, so that some distances are equal."""
    rng = np.random.default_rng(seed)
    images, voices = (
        replace(side, outputs=rng.integers(0, 3, (len(side.names), 2)).astype(np.float32))
        for side in (codes.images, codes.voices)
    )
    return Codes(images, voices, codes.config)


def output_distances(queries: CodedItems, gallery: CodedItems) -> np.ndarray:
    assert queries.outputs is not None
    assert gallery.outputs is not None
    return np.array([[np.hypot(*(a - b)) for b in gallery.outputs] for a in queries.outputs])


OUTPUTS = replace(ALL, distance="euclidean")


def trained_on(codes: Codes, *classes: str) -> Codes:
    return replace(codes, config={"run": {"classes": list(classes)}})


def read_codes_of_speakers() -> Codes:
    """Four images, and a voice of each by ann or bob."""
    packed = np.arange(4, dtype=np.uint8)[:, None]
    names, labels = tuple("abcd"), ("x", "x", "y", "y")
    nothing = ("",) * 4
    images = CodedItems(names, packed, labels, nothing, names, nothing, nothing)
    voices = CodedItems(names, packed, labels, nothing, names, ("ann", "bob") * 2, nothing)
    return Codes(images, voices, {})
