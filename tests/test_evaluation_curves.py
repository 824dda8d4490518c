"""Curves of an evaluation: precision and recall by place and by radius."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from evaluation_world import (
    ALL,
    OUTPUTS,
    distances,
    output_distances,
    random_codes,
    same_class,
    with_outputs,
)

from ivr.hashing.distances import euclidean_distance
from ivr.pipeline.evaluation.curves import read_curves, write_curves
from ivr.pipeline.evaluation.evaluate import evaluate_codes
from ivr.pipeline.evaluation.score import curve_points
from ivr.pipeline.runs.codes_file import Codes


def test_curves_are_precision_at_each_place_and_within_each_radius() -> None:
    codes = random_codes(9)
    curves = evaluate_codes(codes, ALL).curves
    curve = curves["image_to_voice"]
    distance = distances(codes.images, codes.voices)
    relevant = same_class(codes.images, codes.voices)
    assert curve.retrieved == (1, 2, 3, 4, 5, 6)
    for place in curve.retrieved:
        lists = []
        for d, r in zip(distance, relevant, strict=True):
            orders = [
                order
                for order in itertools.permutations(range(6))
                if all(d[a] <= d[b] for a, b in itertools.pairwise(order))
            ]
            lists.append(np.mean([sum(r[n] for n in order[:place]) / place for order in orders]))
        assert curve.precision[place - 1] == pytest.approx(np.mean(lists))
    assert curve.chance == pytest.approx(relevant.mean())
    for radius, precision, recall in zip(
        curve.radius.radius, curve.radius.precision, curve.radius.recall, strict=True
    ):
        within = distance <= radius
        assert precision == pytest.approx((within & relevant).sum() / within.sum())
        assert recall == pytest.approx((within & relevant).sum() / relevant.sum())
    by_query = curve.by_query
    assert by_query is not None
    for radius, precision, recall in zip(
        by_query.radius, by_query.precision, by_query.recall, strict=True
    ):
        within = distance <= radius
        hits = (within & relevant).sum(axis=1)
        assert precision == pytest.approx(np.mean(hits / np.maximum(within.sum(axis=1), 1)))
        assert recall == pytest.approx(np.mean(hits / np.maximum(relevant.sum(axis=1), 1)))


def test_curves_are_read_as_they_were_written(tmp_path: Path) -> None:
    written = evaluate_codes(random_codes(9), ALL).curves
    write_curves(tmp_path / "curves.csv", written)
    read = read_curves(tmp_path / "curves.csv")
    assert list(read) == list(written)
    for direction, curve in written.items():
        for one, other in (
            (curve.radius, read[direction].radius),
            (curve.by_query, read[direction].by_query),
        ):
            assert one is not None and other is not None
            assert one.radius.tolist() == other.radius.tolist()
            np.testing.assert_allclose(other.precision, one.precision, atol=1e-6)
            np.testing.assert_allclose(other.recall, one.recall, atol=1e-6)


def test_curves_of_outputs_are_precision_and_recall_among_the_first_of_every_query() -> None:
    rng = np.random.default_rng(0)
    codes = with_outputs(random_codes(9))
    codes = Codes(
        *(
            replace(side, outputs=rng.normal(0, 1, (6, 2)).astype(np.float32))
            for side in (codes.images, codes.voices)
        ),
        {},
    )
    curves = evaluate_codes(codes, OUTPUTS, euclidean_distance).curves
    curve = curves["image_to_voice"]
    assert (curve.within, curve.by_query) == ("rank", None)
    order = np.argsort(output_distances(codes.images, codes.voices), axis=1)
    ranked = np.take_along_axis(same_class(codes.images, codes.voices), order, axis=1)
    for place in range(1, 7):
        hits = ranked[:, :place].sum()
        assert curve.radius.radius[place - 1] == place
        assert curve.radius.precision[place - 1] == pytest.approx(hits / (6 * place))
        assert curve.radius.recall[place - 1] == pytest.approx(hits / ranked.sum())


def test_curves_of_a_large_gallery_are_taken_at_about_two_hundred_places() -> None:
    assert curve_points(200) == tuple(range(1, 201))
    points = curve_points(49_145)
    assert (points[0], points[-1]) == (1, 49_145)
    assert 100 < len(points) <= 200
    assert list(points) == sorted(set(points))
