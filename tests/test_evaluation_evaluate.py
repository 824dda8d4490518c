import csv
import itertools
import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from import_graph import module_arrows
from PIL import Image
from sklearn.metrics import average_precision_score
from source_tree import product_modules

from ivr.cli.evaluate import evaluate as command
from ivr.config import OptionError
from ivr.features.atomic_files import InTheWayError
from ivr.features.store import StoreError
from ivr.hashing.buckets import MetricsError
from ivr.hashing.codes import pack, unpack
from ivr.hashing.distances import Measure, euclidean_distance
from ivr.hashing.histograms import Histograms, score_histograms
from ivr.hashing.metrics import METRICS, Metric, scores
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.published import DATASETS
from ivr.pipeline.datasets.voice_sampling import one_voice_per_image
from ivr.pipeline.evaluation import rank, score
from ivr.pipeline.evaluation.curves import Curves
from ivr.pipeline.evaluation.evaluate import evaluate, evaluate_codes
from ivr.pipeline.evaluation.evaluation_folder import evaluation_folder
from ivr.pipeline.evaluation.protocol import PROTOCOLS, Protocol
from ivr.pipeline.evaluation.protocol_words import protocol_in_words
from ivr.pipeline.evaluation.report_tables import results_table
from ivr.pipeline.evaluation.score import curve_points
from ivr.pipeline.evaluation.select import EvaluateError
from ivr.pipeline.runs.encode import CodedItems, Codes, encode_run, read_codes
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import RunError
from ivr.pipeline.runs.train import train_run
from ivr.pipeline.runs.verify import verify
from ivr.pipeline.runtime.lock import BusyError, only_writer

ALL = Protocol(voices="all", seed=0)
CONFIG = RunConfig(
    bits=16,
    voices="all",
    seed=2,
    options=("network.voice_channels=8", "network.voice_stride=1", "network.voice_kernel=3"),
    training=TrainConfig(epochs=1, batch_size=6, learning_rate=0.01),
    device="cpu",
)


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, read only."""
    return train_run(features, tmp_path_factory.mktemp("runs") / "run", CONFIG)


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


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    ("cutoff", "denominator"), [(None, "relevant"), (3, "relevant"), (3, "min"), (3, "hits")]
)
def test_every_metric_is_the_mean_over_all_orders_of_the_ties(
    seed: int, cutoff: int | None, denominator: str
) -> None:
    codes = random_codes(seed)
    protocol = replace(ALL, cutoff=cutoff, denominator=denominator)
    results = evaluate_codes(codes, protocol).results
    image, voice = codes.images, codes.voices
    assert (np.diff(np.sort(distances(image, voice), axis=1)) == 0).any()
    assert_metrics(
        results["image_to_voice"], brute_force(image, voice, same_class(image, voice), protocol)
    )
    assert_metrics(
        results["voice_to_image"], brute_force(voice, image, same_class(voice, image), protocol)
    )


@pytest.mark.parametrize("cutoff", [None, 2])
def test_chance_is_the_mean_over_all_orders_of_all_items(cutoff: int | None) -> None:
    codes = random_codes(3)
    results = evaluate_codes(codes, replace(ALL, cutoff=cutoff, denominator="min")).results
    relevant = same_class(codes.images, codes.voices)
    expected = mean_metrics([over_orders(np.zeros(6), row, cutoff, "min") for row in relevant])
    assert_metrics(results["chance"]["image_to_voice"], expected)
    assert set(results["chance"]) == {"image_to_voice", "voice_to_image"}


def test_average_precision_without_ties_is_that_of_scikit_learn() -> None:
    # Voice n differs from image 0 in n bits, from image 1 in 64 - n: no two distances are equal.
    rng = np.random.default_rng(0)
    voices = np.where(np.arange(64) < np.arange(50)[:, None], -1, 1)[rng.permutation(50)]
    labels = rng.choice(["a", "b"], 50)
    codes = Codes(
        items(np.array([[1] * 64, [-1] * 64]), ["a", "b"], ["x", "y"], ["test"] * 2, "image"),
        items(voices, labels, [f"{n}.png" for n in range(50)], ["test"] * 50),
        {},
    )
    results = evaluate_codes(codes, ALL).results
    near = (voices == 1).sum(1)
    expected = {
        "a": 100 * average_precision_score(labels == "a", near),
        "b": 100 * average_precision_score(labels == "b", -near),
    }
    found = results["image_to_voice"]
    assert found["mAP"] == pytest.approx(np.mean(list(expected.values())))
    assert found["per_class"] == pytest.approx(expected)
    assert found["mAP_lower"] == pytest.approx(found["mAP"]) == pytest.approx(found["mAP_upper"])


@pytest.mark.parametrize("relevance", ["class", "pair"])
def test_in_file_order_ties_keep_the_order_of_the_items(relevance: str) -> None:
    codes = random_codes(5, images=12, voices_each=2)
    image, voice = codes.images, codes.voices
    results = evaluate_codes(codes, replace(ALL, ties="file-order", relevance=relevance)).results
    relevant = (same_class if relevance == "class" else same_image)(image, voice)
    rows = []
    for distance, row in zip(distances(image, voice), relevant, strict=True):
        ranked = [bool(row[n]) for n in sorted(range(24), key=lambda n: (distance[n], n))]
        rows.append(ranked_metrics(ranked, None, "relevant"))
    expected = {name: 100 * value for name, value in mean_metrics(rows).items()}
    assert_metrics(results["image_to_voice"], expected)
    assert results["image_to_voice"]["mAP_lower"] == pytest.approx(expected["mAP"])


def test_a_pair_is_relevant_and_its_class_is_not() -> None:
    codes = random_codes(4, images=3, voices_each=2)
    protocol = replace(PROTOCOLS["pair"], seed=0)
    results = evaluate_codes(codes, protocol).results
    image, voice = codes.images, codes.voices
    assert_metrics(
        results["image_to_voice"], brute_force(image, voice, same_image(image, voice), protocol)
    )
    assert_metrics(
        results["voice_to_image"], brute_force(voice, image, same_image(voice, image), protocol)
    )


def test_a_voice_without_an_image_has_no_pair() -> None:
    codes = random_codes(4, images=3)
    voices = replace(codes.voices, images=("", *codes.voices.images[1:]))
    protocol = replace(PROTOCOLS["pair"], seed=0)
    results = evaluate_codes(replace(codes, voices=voices), protocol).results
    assert results["image_to_voice"]["queries_with_nothing_relevant"] == 1
    assert results["voice_to_image"]["queries_with_nothing_relevant"] == 1
    relevant = same_image(voices, codes.images)
    assert_metrics(results["voice_to_image"], brute_force(voices, codes.images, relevant, protocol))


def test_queries_are_of_the_test_split_and_the_database_is_what_the_protocol_says() -> None:
    codes = random_codes(6, images=7, test=3)
    images = codes.images
    rows = {"test": [4, 5, 6], "train": [0, 1, 2, 3], "all": list(range(7))}
    for database, gallery_rows in rows.items():
        results = evaluate_codes(codes, replace(ALL, database=database)).results
        found = results["image_to_voice"]
        assert (found["queries"], found["gallery"]) == (3, len(gallery_rows))
        queries, gallery = images.select(rows["test"]), codes.voices.select(gallery_rows)
        assert_metrics(found, brute_force(queries, gallery, same_class(queries, gallery), ALL))


def test_the_training_database_includes_what_the_model_was_chosen_on() -> None:
    codes = random_codes(6, images=6, test=2)
    splits = ("train", "train", "val", "", "test", "test")
    codes = replace(
        codes,
        images=replace(codes.images, splits=splits),
        voices=replace(codes.voices, splits=splits),
    )
    results = evaluate_codes(codes, replace(ALL, database="train")).results
    assert results["image_to_voice"]["gallery"] == 3


def test_one_voice_per_image_is_the_one_that_the_seed_draws() -> None:
    codes = random_codes(7, images=5, voices_each=4)
    found = []
    for seed in (0, 1):
        protocol = replace(ALL, voices="one", seed=seed)
        results = evaluate_codes(codes, protocol).results
        rows = one_voice_per_image(codes.voices.names, codes.voices.images, seed)
        voices = codes.voices.select(rows)
        assert len(voices.names) == 5
        relevant = same_class(codes.images, voices)
        assert_metrics(
            results["image_to_voice"], brute_force(codes.images, voices, relevant, protocol)
        )
        assert results["voice_to_image"]["queries"] == 5
        found.append(results["image_to_voice"]["mAP"])
    assert found[0] != found[1]


def with_a_stranger() -> Codes:
    """Three images, the last of a class that no voice has."""
    codes = random_codes(0, images=3)
    images = replace(codes.images, labels=("a", "a", "unseen"))
    return Codes(images, replace(codes.voices, labels=("a", "b", "a")), {})


def test_a_query_without_a_relevant_item_counts_zero_is_left_out_or_is_an_error() -> None:
    codes = with_a_stranger()
    relevant = same_class(codes.images, codes.voices)
    rows = [
        over_orders(d, r, None, "relevant")
        for d, r in zip(distances(codes.images, codes.voices)[:2], relevant[:2], strict=True)
    ]
    zero, zero_curves = results_and_curves(codes, replace(ALL, empty="zero"))
    skip, skip_curves = results_and_curves(codes, replace(ALL, empty="skip"))
    mean = mean_metrics(rows)
    assert_metrics(skip["image_to_voice"], mean)
    assert_metrics(zero["image_to_voice"], {name: value * 2 / 3 for name, value in mean.items()})
    assert zero["image_to_voice"]["queries_with_nothing_relevant"] == 1
    assert zero["image_to_voice"]["per_class"]["unseen"] == 0
    assert "unseen" not in skip["image_to_voice"]["per_class"]
    for results, curves in ((zero, zero_curves), (skip, skip_curves)):
        curve = curves["image_to_voice"]
        assert 100 * curve.precision[0] == pytest.approx(results["image_to_voice"]["P@1"])
        assert 100 * curve.chance == pytest.approx(results["chance"]["image_to_voice"]["P@1"])
    with pytest.raises(MetricsError, match="1 of 3 queries have no relevant item"):
        evaluate_codes(codes, replace(ALL, empty="error"))


@pytest.mark.parametrize("empty", ["zero", "skip"])
@pytest.mark.parametrize("ties", ["expectation", "file-order"])
def test_metrics_do_not_depend_on_how_many_queries_are_ranked_at_once(
    monkeypatch: pytest.MonkeyPatch, empty: str, ties: str
) -> None:
    codes = random_codes(8, images=11)
    codes = replace(codes, images=replace(codes.images, labels=("z", *codes.images.labels[1:])))
    protocol = replace(ALL, empty=empty, ties=ties)
    whole, whole_curves = results_and_curves(codes, protocol)
    monkeypatch.setattr(rank, "QUERIES_AT_ONCE", 1)
    monkeypatch.setattr(score, "QUERIES_AT_ONCE", 1)
    monkeypatch.setattr(rank, "CELLS_AT_ONCE", 30)
    parts, curves = results_and_curves(codes, protocol)
    assert parts["image_to_voice"]["per_class"] == whole["image_to_voice"]["per_class"]
    for direction in ("image_to_voice", "voice_to_image"):
        for name in ("mAP", "mAP_lower", "P@5", "R@10", "queries_with_nothing_relevant"):
            assert parts[direction][name] == pytest.approx(whole[direction][name])
        np.testing.assert_allclose(curves[direction].precision, whole_curves[direction].precision)
        assert curves[direction].chance == pytest.approx(whole_curves[direction].chance)
        np.testing.assert_allclose(
            curves[direction].radius.precision, whole_curves[direction].radius.precision
        )


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


@pytest.mark.parametrize("relevance", ["class", "pair"])
@pytest.mark.parametrize("cutoff", [None, 3])
def test_metrics_of_outputs_are_means_over_all_orders_of_their_ties(
    cutoff: int | None, relevance: str
) -> None:
    codes = with_outputs(random_codes(4))
    protocol = replace(OUTPUTS, cutoff=cutoff, relevance=relevance)
    results = evaluate_codes(codes, protocol, euclidean_distance).results
    truth = same_class if relevance == "class" else same_image
    for direction, query, gallery in (
        ("image_to_voice", codes.images, codes.voices),
        ("voice_to_image", codes.voices, codes.images),
    ):
        distance = output_distances(query, gallery)
        assert (np.diff(np.sort(distance, axis=1)) == 0).any()
        rows = [
            over_orders(d, r, cutoff, "relevant")
            for d, r in zip(distance, truth(query, gallery), strict=True)
        ]
        assert_metrics(results[direction], mean_metrics(rows))
    assert results["protocol"]["distance"] == "euclidean"


def test_ties_of_outputs_in_file_order_keep_the_order_of_the_items() -> None:
    codes = with_outputs(random_codes(5, images=9))
    results = evaluate_codes(codes, replace(OUTPUTS, ties="file-order"), euclidean_distance).results
    relevant = same_class(codes.voices, codes.images)
    rows = []
    for distance, row in zip(output_distances(codes.voices, codes.images), relevant, strict=True):
        ranked = [bool(row[n]) for n in sorted(range(9), key=lambda n: (distance[n], n))]
        rows.append(ranked_metrics(ranked, None, "relevant"))
    expected = {name: 100 * value for name, value in mean_metrics(rows).items()}
    assert_metrics(results["voice_to_image"], expected)


@pytest.mark.parametrize("empty", ["zero", "skip"])
def test_metrics_of_outputs_do_not_depend_on_how_many_queries_are_ranked_at_once(
    monkeypatch: pytest.MonkeyPatch, empty: str
) -> None:
    codes = with_outputs(random_codes(8, images=11))
    codes = replace(codes, images=replace(codes.images, labels=("z", *codes.images.labels[1:])))
    protocol = replace(OUTPUTS, empty=empty)
    whole, whole_curves = results_and_curves(codes, protocol, euclidean_distance)
    monkeypatch.setattr(rank, "CELLS_AT_ONCE", 30)
    parts, curves = results_and_curves(codes, protocol, euclidean_distance)
    for direction in ("image_to_voice", "voice_to_image"):
        for name in ("mAP", "mAP_lower", "P@5", "R@10", "queries_with_nothing_relevant"):
            assert parts[direction][name] == pytest.approx(whole[direction][name])
        ours, theirs = curves[direction], whole_curves[direction]
        np.testing.assert_allclose(ours.precision, theirs.precision)
        np.testing.assert_allclose(ours.radius.precision, theirs.radius.precision)
        np.testing.assert_allclose(ours.radius.recall, theirs.radius.recall)


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
    assert curve.within == "rank"
    order = np.argsort(output_distances(codes.images, codes.voices), axis=1)
    ranked = np.take_along_axis(same_class(codes.images, codes.voices), order, axis=1)
    for place in range(1, 7):
        hits = ranked[:, :place].sum()
        assert curve.radius.radius[place - 1] == place
        assert curve.radius.precision[place - 1] == pytest.approx(hits / (6 * place))
        assert curve.radius.recall[place - 1] == pytest.approx(hits / ranked.sum())


def test_a_measure_gets_images_first_in_both_directions() -> None:
    codes = with_outputs(random_codes(4, images=5, voices_each=2))
    assert codes.images.outputs is not None

    def measure(images: np.ndarray, voices: np.ndarray) -> np.ndarray:
        return 2 * images[:, :1] - voices[:, 0] + images[:, 1:] * voices[:, 1]

    results = evaluate_codes(codes, OUTPUTS, measure).results
    distance = measure(codes.images.outputs, codes.voices.outputs)
    relevant = same_class(codes.images, codes.voices)
    for direction, table, truth in (
        ("image_to_voice", distance, relevant),
        ("voice_to_image", distance.T, relevant.T),
    ):
        hist = score_histograms(table, truth)
        assert results[direction]["mAP"] == pytest.approx(100 * scores(hist).mAP)


def test_matching_accuracy_is_over_as_many_matching_pairs_as_others() -> None:
    codes = with_outputs(random_codes(2, images=9, voices_each=2))
    places = {name: number for number, name in enumerate(codes.images.names)}
    images = replace(codes.images, outputs=np.arange(9, dtype=np.float32)[:, None])
    owners = np.array([places[name] for name in codes.voices.images], np.float32)
    codes = Codes(images, replace(codes.voices, outputs=owners[:, None]), {})
    labels = np.array(images.labels)

    def knows_all(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.where(a == b.T, -1.0, 1.0)

    def knows_classes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        same = labels[a[:, 0].astype(int), None] == labels[None, b[:, 0].astype(int)]
        return np.where(same, -1.0, 1.0)

    def says_yes(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return np.full((len(a), len(b)), -1.0)

    protocol = replace(ALL, distance="matching")
    for measure, accuracy in ((knows_all, 100.0), (knows_classes, 100.0), (says_yes, 50.0)):
        results = evaluate_codes(codes, protocol, measure).results
        assert results["matching"] == {"accuracy": accuracy, "pairs": 36}
    assert "matching" not in evaluate_codes(codes, OUTPUTS, knows_all).results


def test_without_labels_there_is_no_matching_accuracy_and_a_note_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    codes, blank = with_outputs(random_codes(1)), ("",) * 6
    bare = Codes(replace(codes.images, labels=blank), replace(codes.voices, labels=blank), {})
    protocol = replace(ALL, distance="matching", relevance="pair")
    results = evaluate_codes(bare, protocol, euclidean_distance).results
    assert "matching" not in results
    assert "note: no matching accuracy" in caplog.text


def test_outputs_are_needed_to_rank_by_them() -> None:
    with pytest.raises(EvaluateError, match="have no outputs to rank by"):
        evaluate_codes(random_codes(1), OUTPUTS, euclidean_distance)


def test_items_without_a_label_are_left_out_of_class_relevance_and_a_note_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    codes = random_codes(1)
    partly = replace(codes, images=replace(codes.images, labels=("", *codes.images.labels[1:])))
    results = evaluate_codes(partly, ALL).results
    assert "left out: 1 images without a label" in caplog.text
    queries = codes.images.select(range(1, 6))
    expected = brute_force(queries, codes.voices, same_class(queries, codes.voices), ALL)
    assert_metrics(results["image_to_voice"], expected)
    pairs = evaluate_codes(partly, replace(ALL, relevance="pair")).results
    assert pairs["image_to_voice"]["queries"] == 6
    assert "" not in pairs["image_to_voice"]["per_class"]


def test_items_without_any_label_are_evaluated_by_pairs_only() -> None:
    codes = random_codes(1)
    bare = Codes(
        replace(codes.images, labels=("",) * 6), replace(codes.voices, labels=("",) * 6), {}
    )
    with pytest.raises(EvaluateError, match="no images have a label; evaluate by pairs"):
        evaluate_codes(bare, ALL)
    results = evaluate_codes(bare, replace(ALL, relevance="pair")).results
    relevant = same_image(codes.images, codes.voices)
    expected = brute_force(codes.images, codes.voices, relevant, ALL)
    assert_metrics(results["image_to_voice"], expected)
    found = results["image_to_voice"]
    assert found["R@1"] <= found["H@1"] <= found["H@10"] == 100  # among six, any is
    assert "any partner found" in results_table(results)
    assert "any partner found" not in results_table(evaluate_codes(codes, ALL).results)


def test_without_splits_every_item_is_a_query_and_is_searched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    codes = random_codes(1)
    blank = ("",) * 6
    whole = Codes(replace(codes.images, splits=blank), replace(codes.voices, splits=blank), {})
    results = evaluate_codes(whole, ALL).results
    assert results["image_to_voice"]["queries"] == results["image_to_voice"]["gallery"] == 6
    assert "no splits: every item is a query and is searched" in caplog.text


@pytest.mark.parametrize(
    ("splits", "database", "words"),
    [
        (("train",) * 6, "test", "no image of the test split to query with"),
        (("test",) * 6, "train", "no voice of database=train to search"),
    ],
)
def test_a_side_that_is_empty_is_one_line(
    splits: tuple[str, ...], database: str, words: str
) -> None:
    codes = random_codes(1)
    empty = Codes(replace(codes.images, splits=splits), replace(codes.voices, splits=splits), {})
    with pytest.raises(EvaluateError, match=words):
        evaluate_codes(empty, replace(ALL, database=database))


def test_codes_of_images_alone_cannot_be_evaluated() -> None:
    codes = random_codes(1)
    with pytest.raises(EvaluateError, match="no voice of database=test to search"):
        evaluate_codes(replace(codes, voices=codes.voices.select([])), ALL)


def test_nothing_relevant_to_any_query_is_one_line() -> None:
    codes = random_codes(1)
    apart = replace(codes, voices=replace(codes.voices, labels=("z",) * 6))
    with pytest.raises(MetricsError, match="no query has a relevant item"):
        evaluate_codes(apart, ALL)


def test_the_presets_are_those_of_the_papers() -> None:
    assert PROTOCOLS["divh"] == Protocol(
        relevance="class", database="test", voices="one", cutoff=None, denominator="relevant",
        ties="expectation", empty="zero", distance=None, test=0.2, seed=None,
    )  # fmt: skip
    assert PROTOCOLS["dvan"] == replace(PROTOCOLS["divh"], test=0.1)
    assert PROTOCOLS["rsicd-150"] == replace(
        PROTOCOLS["divh"], voices="all", cutoff=150, denominator="hits"
    )
    assert PROTOCOLS["pair"] == replace(PROTOCOLS["divh"], voices="all", relevance="pair")
    (option,) = (parameter for parameter in command.params if parameter.name == "preset")
    assert list(option.type.choices) == list(PROTOCOLS)  # type: ignore[attr-defined]


def test_another_share_of_test_items_than_that_of_the_protocol_gives_a_note(
    caplog: pytest.LogCaptureFixture,
) -> None:
    codes = random_codes(2, images=10, test=2)
    evaluate_codes(codes, ALL)
    assert "note" not in caplog.text
    evaluate_codes(codes, replace(ALL, test=0.1))
    assert "note: 20 % of the images are in the test split, the protocol has 10 %" in (caplog.text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"relevance": "any"}, "relevance must be class or pair, got 'any'"),
        ({"database": "val"}, "database must be one of test, train, all, got 'val'"),
        ({"voices": "two"}, "voices must be one or all"),
        ({"denominator": "all"}, "denominator must be one of relevant, min, hits"),
        ({"ties": "random"}, "ties must be expectation or file-order"),
        ({"empty": "one"}, "empty must be one of zero, skip, error"),
        ({"classes": "new"}, "classes must be one of all, seen, unseen, unseen-among-all"),
        (
            {"distance": "cosine"},
            "distance must be one of hamming, euclidean, matching, got 'cosine'",
        ),
        ({"cutoff": 0}, "cutoff must be at least 1, got 0"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(ALL, **changes)


def test_curves_of_a_large_gallery_are_taken_at_about_two_hundred_places() -> None:
    assert curve_points(200) == tuple(range(1, 201))
    points = curve_points(49_145)
    assert (points[0], points[-1]) == (1, 49_145)
    assert 100 < len(points) <= 200
    assert list(points) == sorted(set(points))


def test_results_and_curves_are_written_into_the_run(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    results = evaluate(copy, PROTOCOLS["divh"]).results
    written = json.loads((copy / "results.json").read_text())
    assert written == json.loads(json.dumps(results))
    # Seed and distance are the run's where the protocol leaves them open.
    complete = replace(PROTOCOLS["divh"], seed=2, distance="hamming")
    assert written["protocol"] == asdict(complete)
    assert written["run"]["bits"] == 16
    assert written["codes"]["features_sha256"] == written["features"]["sha256"]
    expected, curves = results_and_curves(
        read_codes(copy / "codes.h5"), replace(PROTOCOLS["divh"], seed=2)
    )
    assert results["image_to_voice"] == expected["image_to_voice"]
    with (copy / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    for direction, curve in curves.items():
        ours = [row for row in rows if row["direction"] == direction]
        retrieved = [row for row in ours if row["curve"] == "retrieved"]
        assert [int(row["at"]) for row in retrieved] == list(curve.retrieved)
        np.testing.assert_allclose(
            [float(row["precision"]) for row in retrieved], 100 * curve.precision, atol=1e-4
        )
        within = [row for row in ours if row["curve"] == "radius"]
        assert [int(row["at"]) for row in within] == curve.radius.radius.tolist()
        np.testing.assert_allclose(
            [float(row["recall"]) for row in within], 100 * curve.radius.recall, atol=1e-4
        )
    assert (copy / "curves.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    with Image.open(copy / "curves.png") as picture:
        assert picture.size == (1200, 504)
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 10


def test_other_options_and_codes_have_a_folder_of_their_own_and_the_main_results_stay(
    run: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    assert evaluate(copy).folder == copy
    main = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    other = encode_run(copy, out=tmp_path / "other.h5", device="cpu")
    calls: list[tuple[str, Any]] = [
        ("pair", lambda: evaluate(copy, "pair")),
        ("divh-bits=8", lambda: evaluate(copy, bits=8)),
        (
            "divh-voices=all-ties=file-order",
            lambda: evaluate(copy, voices="all", ties="file-order"),
        ),
        ("rsicd-150-cutoff=9", lambda: evaluate(copy, "rsicd-150", cutoff=9)),
        ("divh-codes=other-", lambda: evaluate(copy, codes=other)),
    ]
    for name, call in calls:
        found = call()
        assert found.folder.parent == copy / "evaluations"
        assert found.folder.name.startswith(name)
        assert json.loads((found.folder / "results.json").read_text()) == found.to_dict()
        assert verify(copy).whole
    assert len(list((copy / "evaluations").iterdir())) == len(calls)
    with pytest.raises(EvaluateError, match="not replaced by those of other options"):
        evaluate(copy, bits=8, out=copy)
    # The default, however it is written.
    assert evaluate(copy, "divh", voices="one", codes=copy / "codes.h5").folder == copy
    later = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    assert {n: c for n, c in later.items() if n not in (".lock", "results.json")} == {
        n: c for n, c in main.items() if n not in (".lock", "results.json")
    }


@pytest.mark.parametrize(
    ("speaker", "name"),
    [
        ("slt", "divh-speaker=slt"),
        ("../../x", "divh-speaker=.._.._x-"),
        ("é" * 200, "divh-speaker=___"),
        ("A/b", "divh-speaker=A_b-"),
    ],
)
def test_the_folder_of_an_evaluation_is_one_plain_name(speaker: str, name: str) -> None:
    folders = {
        evaluation_folder(Path("run"), replace(Protocol(), speaker=said), PROTOCOLS, None)
        for said in (speaker, speaker.replace("/", "_"), speaker + "!")
    }
    assert len(folders) == (3 if "/" in speaker else 2)
    folder = evaluation_folder(Path("run"), replace(Protocol(), speaker=speaker), PROTOCOLS, None)
    assert folder.parent == Path("run/evaluations")
    assert folder.name.startswith(name)
    assert len(folder.name) < 120


def test_two_evaluations_into_one_run_do_not_mix(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    with only_writer(copy):
        for call in (lambda: evaluate(copy), lambda: evaluate(copy, "pair")):
            with pytest.raises(BusyError, match="is writing here"):
                call()
        evaluate(copy, out=tmp_path / "elsewhere")
    with only_writer(tmp_path / "elsewhere"), pytest.raises(BusyError, match="is writing here"):
        evaluate(copy, out=tmp_path / "elsewhere")


def test_results_do_not_replace_what_is_no_result(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "curves.png").mkdir(parents=True)
    with pytest.raises(InTheWayError, match=r"curves.png: a folder lies where"):
        evaluate(run, out=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"curves.png", ".lock"}


def test_results_can_go_elsewhere(run: Path, tmp_path: Path) -> None:
    before = {path.name for path in run.iterdir()}
    evaluate(run, PROTOCOLS["pair"], out=tmp_path / "new" / "pair")
    assert {path.name for path in (tmp_path / "new" / "pair").iterdir()} == {
        ".lock",
        "results.json", "queries.h5", "curves.csv", "curves.png", "health.png", "digests.json",
    }  # fmt: skip
    assert {path.name for path in run.iterdir()} == before


def test_codes_made_elsewhere_by_the_same_model_give_the_same_metrics(
    run: Path, tmp_path: Path
) -> None:
    codes = encode_run(run, out=tmp_path / "codes.h5", device="cpu")
    ours = evaluate(run, PROTOCOLS["divh"], out=tmp_path / "ours").results
    theirs = evaluate(run, PROTOCOLS["divh"], codes=codes, out=tmp_path / "theirs").results
    assert ours["image_to_voice"] == theirs["image_to_voice"]
    assert theirs["codes"]["file"] == str(codes)


def test_codes_of_another_model_are_refused(features: Path, run: Path, tmp_path: Path) -> None:
    other = train_run(features, tmp_path / "other", replace(CONFIG, seed=9))
    with pytest.raises(EvaluateError, match=r"codes.h5: not made with the model of .*run"):
        evaluate(run, PROTOCOLS["divh"], codes=other / "codes.h5", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_codes_says_how_to_make_them(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "codes.h5").write_bytes(b"\x00" * 100)
    with pytest.raises(StoreError, match=r"codes.h5: not a readable HDF5 file"):
        evaluate(copy, PROTOCOLS["divh"])
    (copy / "codes.h5").unlink()
    with pytest.raises(RunError, match=r"codes.h5: no codes; make them with ivr encode"):
        evaluate(copy, PROTOCOLS["divh"])


@pytest.mark.parametrize("dataset", list(DATASETS))
def test_published_rows_stand_beside_a_known_data_set(dataset: str) -> None:
    codes = of_classes(DATASETS[dataset].classes)
    results = evaluate_codes(codes, ALL).results
    assert results["dataset"] == dataset
    table = results_table(results)
    assert f"Published on {dataset} (recorded voices, single runs; class relevance)" in table
    for figure in DATASETS[dataset].published:
        assert f"{figure.image_to_voice:.2f} / {figure.voice_to_image:.2f}" in table
    pairs = evaluate_codes(codes, replace(ALL, relevance="pair")).results
    assert "Published" not in results_table(pairs)


def of_classes(labels: Sequence[str]) -> Codes:
    names = [f"{label}.png" for label in labels]
    codes = np.random.default_rng(0).choice([-1, 1], (len(labels), 16))
    splits = ["test"] * len(labels)
    return Codes(
        items(codes, labels, names, splits, "image"), items(codes, labels, names, splits), {}
    )


def test_no_published_rows_stand_beside_other_classes() -> None:
    results = evaluate_codes(of_classes([*DATASETS["ucm"].classes, "volcano"]), ALL).results
    assert results["dataset"] is None
    assert "Published" not in results_table(results)


def test_the_table_shows_the_protocol_the_metrics_chance_and_the_bounds() -> None:
    results = evaluate_codes(random_codes(2, images=10, test=4), replace(ALL, cutoff=3)).results
    lines = results_table(results).splitlines()
    words = results["protocol_in_words"]
    assert " ".join(lines[:2]) == words
    assert words.startswith("relevance by class; searched: the test split; all voices; AP over the")
    assert lines[2] == "4 queries on 4 (image -> voice), 4 queries on 4 (voice -> image)"
    names = ["mAP", "P@1", "P@5", "P@10", "R@1", "R@5", "R@10", "F@1", "F@5", "F@10"]
    assert lines[4].split() == ["percent", *names]
    for place, direction in ((5, "image_to_voice"), (7, "voice_to_image")):
        found, chance = results[direction], results["chance"][direction]
        assert lines[place].split()[3:] == [f"{found[name]:.2f}" for name in names]
        assert lines[place + 1].split() == ["chance", *(f"{chance[n]:.2f}" for n in names)]
    more = ["NDCG@1", "NDCG@5", "NDCG@10", "P@r<=2"]
    assert lines[10].split() == ["percent,", "continued", *more]
    found = results["voice_to_image"]
    assert lines[13].split()[3:] == [f"{found[name]:.2f}" for name in more]
    lower, upper = (results["voice_to_image"][name] for name in ("mAP_lower", "mAP_upper"))
    assert lines[16].endswith(f"voice -> image {lower:.2f} to {upper:.2f}")


def test_the_first_bits_of_codes_are_codes(run: Path, tmp_path: Path) -> None:
    codes = read_codes(run / "codes.h5")
    short = replace(
        codes,
        images=replace(codes.images, codes=codes.images.codes[:, :1].copy()),
        voices=replace(codes.voices, codes=codes.voices.codes[:, :1].copy()),
    )
    protocol = replace(PROTOCOLS["divh"], seed=2)
    found = evaluate_codes(codes, replace(protocol, bits=8)).results
    expected = evaluate_codes(short, protocol).results
    for direction in ("image_to_voice", "voice_to_image"):
        assert found[direction] == expected[direction]
    title = repr(evaluate(run, replace(protocol, bits=8), out=tmp_path)).splitlines()
    assert title[0] == "divh, the first 8 of 16 bits, ranked by Hamming distance of the codes"
    with pytest.raises(EvaluateError, match="the codes have 16 bits, not 24"):
        evaluate_codes(codes, replace(protocol, bits=24))
    with pytest.raises(ValueError, match="bits must be a multiple of 8 and at least 8, got 12"):
        replace(protocol, bits=12)


def test_only_one_speaker_is_evaluated_if_asked() -> None:
    codes = read_codes_of_speakers()
    protocol = replace(PROTOCOLS["divh"], voices="all", speaker="ann", test=None)
    results = evaluate_codes(codes, protocol).results
    assert results["voice_to_image"]["queries"] == 2
    assert results["image_to_voice"]["gallery"] == 2
    spelled = evaluate_codes(codes, replace(protocol, speaker="ANN")).results
    assert spelled["voice_to_image"] == results["voice_to_image"]
    with pytest.raises(
        EvaluateError, match="no voice of speaker 'eve'; the known speakers are ann, bob"
    ):
        evaluate_codes(codes, replace(protocol, speaker="eve"))


def test_a_speaker_can_be_left_out_and_unknown_speakers_are_left_out_with_it() -> None:
    codes = read_codes_of_speakers()
    protocol = replace(PROTOCOLS["divh"], voices="all", without_speaker="ann", test=None)
    others = evaluate_codes(codes, replace(protocol, without_speaker=None, speaker="bob")).results
    results = evaluate_codes(codes, protocol).results
    assert results["voice_to_image"] == others["voice_to_image"]
    assert results["image_to_voice"] == others["image_to_voice"]
    unknown = replace(codes, voices=replace(codes.voices, speakers=("ann", "", "bob", "")))
    assert evaluate_codes(unknown, protocol).results["voice_to_image"]["queries"] == 1
    with pytest.raises(
        EvaluateError, match="no voice of speaker 'eve'; the known speakers are ann, bob"
    ):
        evaluate_codes(codes, replace(protocol, without_speaker="eve"))
    alone = replace(codes, voices=replace(codes.voices, speakers=("ann",) * 4))
    with pytest.raises(EvaluateError, match="all voices of known speakers are of 'ann'"):
        evaluate_codes(alone, protocol)
    for empty in ({"without_speaker": ""}, {"without_speaker": None, "speaker": ""}):
        with pytest.raises(
            EvaluateError, match="no voice of speaker ''; the known speakers are ann, bob"
        ):
            evaluate_codes(unknown, replace(protocol, **empty))
    with pytest.raises(ValueError, match="give speaker or without_speaker, not both"):
        replace(protocol, speaker="ann")


@pytest.mark.parametrize(
    ("column", "names"), [("labels", ("1", "1.0", "2", "2")), ("speakers", ("ann", "Ann", "", ""))]
)
def test_codes_with_two_spellings_of_one_name_are_not_evaluated(
    column: str, names: tuple[str, ...]
) -> None:
    codes = read_codes_of_speakers()
    spelled = replace(codes, voices=replace(codes.voices, **{column: names}))
    with pytest.raises(EvaluateError, match=r"several spellings of one name.*--accept-"):
        evaluate_codes(spelled, replace(PROTOCOLS["divh"], voices="all", test=None))


def trained_on(codes: Codes, *classes: str) -> Codes:
    return replace(codes, config={"run": {"classes": list(classes)}})


@pytest.mark.parametrize("relevance", ["class", "pair"])
@pytest.mark.parametrize("outputs", [False, True])
def test_only_classes_that_were_seen_or_were_not_are_asked_and_searched(
    relevance: Any, outputs: bool
) -> None:
    codes = trained_on(random_codes(4, images=24, voices_each=2, test=12), "a")
    codes, measure = (with_outputs(codes), euclidean_distance) if outputs else (codes, None)
    protocol = replace(ALL, relevance=relevance, test=None)

    def only(classes: str) -> Codes:
        sides = (codes.images, codes.voices)
        kept = [[row for row, name in enumerate(s.labels) if name in classes] for s in sides]
        return Codes(codes.images.select(kept[0]), codes.voices.select(kept[1]), {})

    for choice, classes in (("seen", "a"), ("unseen", "bc")):
        if (choice, relevance) == ("seen", "class"):  # one class: nothing to tell apart
            continue
        found = evaluate_codes(codes, replace(protocol, classes=choice), measure).results  # type: ignore[arg-type]
        expected = evaluate_codes(only(classes), protocol, measure).results
        for direction in ("image_to_voice", "voice_to_image"):
            assert found[direction] == expected[direction]
            assert found["chance"][direction] == expected["chance"][direction]


def test_queries_of_classes_never_seen_are_those_of_all_among_all() -> None:
    codes = trained_on(random_codes(4, images=24, voices_each=2, test=12), "a", "b")
    whole = evaluate_codes(codes, replace(ALL, test=None)).results
    found = evaluate_codes(codes, replace(ALL, test=None, classes="unseen-among-all")).results
    for direction in ("image_to_voice", "voice_to_image"):
        assert found[direction]["gallery"] == whole[direction]["gallery"]
        assert found[direction]["per_class"] == {"c": whole[direction]["per_class"]["c"]}
    assert "queries of classes that training did not see; " in results_table(found)


def test_classes_that_cannot_be_chosen_are_one_line() -> None:
    codes = random_codes(4)
    for trained, choice, words in (
        ("abc", "unseen", "the run saw all the classes; leave some out with train-hash"),
        ("abc", "unseen-among-all", "the run saw all the classes"),
        ("x", "seen", "the run saw none of the classes"),
        ("ab", "unseen", "c is the only unseen class, everything .* --classes unseen-among-all$"),
        ("c", "seen", "c is the only seen class, everything .* --classes all$"),
    ):
        with pytest.raises(EvaluateError, match=words):
            evaluate_codes(trained_on(codes, *trained), replace(ALL, classes=choice))  # type: ignore[arg-type]
    for config in ({}, {"run": 3}, {"run": {"classes": None}}):
        with pytest.raises(EvaluateError, match="do not name the classes of the training"):
            evaluate_codes(replace(codes, config=config), replace(ALL, classes="unseen"))


def test_published_rows_are_of_all_classes() -> None:
    classes = DATASETS["ucm"].classes
    count = len(classes)
    codes = items(np.ones((count, 8), int), classes, classes, ["test"] * count, "image")
    ucm = trained_on(Codes(codes, codes, {}), *list(classes)[2:])
    assert evaluate_codes(ucm, replace(ALL, test=None)).results["dataset"] == "ucm"
    among = replace(ALL, test=None, classes="unseen-among-all")
    assert evaluate_codes(ucm, among).results["dataset"] is None


def read_codes_of_speakers() -> Codes:
    """Four images, and a voice of each by ann or bob."""
    packed = np.arange(4, dtype=np.uint8)[:, None]
    names, labels = tuple("abcd"), ("x", "x", "y", "y")
    nothing = ("",) * 4
    images = CodedItems(names, packed, labels, nothing, names, nothing, nothing)
    voices = CodedItems(names, packed, labels, nothing, names, ("ann", "bob") * 2, nothing)
    return Codes(images, voices, {})


def test_within_a_modality_the_query_is_left_out_by_hand() -> None:
    # One byte per code; a is near a, the two b are far apart.
    bits = {"a0": 0b00000000, "a1": 0b00000001, "b0": 0b00000011, "b1": 0b11111111}
    packed = np.array(list(bits.values()), np.uint8)[:, None]
    names, blank = tuple(bits), ("",) * 4
    images = CodedItems(names, packed, tuple("aabb"), ("test",) * 4, names, blank, blank)
    voices = replace(images, names=tuple(f"{name}.wav" for name in names))
    results = evaluate_codes(Codes(images, voices, {}), replace(ALL, test=None)).results
    # a0 finds a1 first. a1 is at 1 from a0 and from b0: place 1 or 2. b0: a1, a0, b1. b1: b0.
    expected = 100 * (1 + (1 + 1 / 2) / 2 + 1 / 3 + 1) / 4
    chance = 100 * (1 + 1 / 2 + 1 / 3) / 3
    for name in ("image_to_image", "voice_to_voice"):
        assert results[name]["mAP"] == pytest.approx(expected)
        assert results[name]["chance"] == pytest.approx(chance)
        assert (results[name]["queries"], results[name]["gallery"], results[name]["n"]) == (4, 4, 4)
    line = f"image -> image {expected:.2f} (chance {chance:.2f}), voice -> voice {expected:.2f}"
    assert f"mAP of the codes within a modality, the query left out: {line}" in results_table(
        results
    )


def test_within_a_modality_agrees_with_a_gallery_without_the_query() -> None:
    codes = random_codes(3, images=9, voices_each=2, test=4)
    for database in ("test", "train", "all"):
        results = evaluate_codes(codes, replace(ALL, database=database, cutoff=3)).results
        for name, side in (("image_to_image", codes.images), ("voice_to_voice", codes.voices)):
            test = [row for row, split in enumerate(side.splits) if split == "test"]
            kept = {"test": ("test",), "train": ("train",), "all": ("test", "train")}[database]
            searched = [row for row, split in enumerate(side.splits) if split in kept]
            values = []
            for row in test:
                query, gallery = side.select([row]), side.select([n for n in searched if n != row])
                relevant = same_class(query, gallery)
                if relevant.any():
                    hist = score_histograms(distances(query, gallery), relevant)
                    values.append(scores(hist, at=3).mAP)
            assert results[name]["mAP"] == pytest.approx(100 * np.mean(values))
            assert results[name]["n"] == len(values)
            assert results[name]["queries_with_nothing_relevant"] == len(test) - len(values)


def test_by_pairs_other_voices_of_the_image_are_relevant_and_images_have_none() -> None:
    codes = random_codes(4, images=3, voices_each=2)
    protocol = replace(PROTOCOLS["pair"], seed=0, test=None)
    results = evaluate_codes(codes, protocol).results
    assert results["image_to_image"] is None
    table = distances(codes.voices, codes.voices)
    relevant = same_image(codes.voices, codes.voices)
    rows = [
        over_orders(np.delete(table[n], n), np.delete(relevant[n], n), None, "relevant")["mAP"]
        for n in range(6)
    ]
    assert results["voice_to_voice"]["mAP"] == pytest.approx(np.mean(rows))
    assert "image -> image" not in results_table(results)


def test_within_a_modality_a_class_of_one_item_is_no_error() -> None:
    codes = random_codes(0, images=4)
    one = Codes(
        replace(codes.images, labels=("a", "a", "b", "c")),
        replace(codes.voices, labels=("a", "a", "b", "c")),
        {},
    )
    results = evaluate_codes(one, replace(ALL, empty="error")).results
    assert results["image_to_image"]["queries_with_nothing_relevant"] == 2
    assert results["image_to_image"]["n"] == 2


def test_the_number_of_queries_in_the_means_is_in_the_results() -> None:
    codes = with_a_stranger()
    zero = evaluate_codes(codes, replace(ALL, empty="zero")).results["image_to_voice"]
    skip = evaluate_codes(codes, replace(ALL, empty="skip")).results["image_to_voice"]
    assert (zero["queries"], zero["n"]) == (3, 3)
    assert (skip["queries"], skip["n"]) == (3, 2)


def test_precision_within_radius_two_is_that_of_a_loop_and_is_absent_for_outputs() -> None:
    codes = random_codes(6, images=14)
    results = evaluate_codes(codes, replace(ALL, ties="file-order")).results
    table = distances(codes.images, codes.voices)
    relevant = same_class(codes.images, codes.voices)
    rows = [
        r[d <= 2].mean() if (d <= 2).any() else 0.0 for d, r in zip(table, relevant, strict=True)
    ]
    assert results["image_to_voice"]["P@r<=2"] == pytest.approx(100 * np.mean(rows))
    assert results["chance"]["image_to_voice"]["P@r<=2"] == pytest.approx(100 * relevant.mean())
    own = evaluate_codes(with_outputs(codes), OUTPUTS, euclidean_distance).results
    assert "P@r<=2" not in own["image_to_voice"]
    assert "P@r<=2" not in results_table(own)


def reciprocal_rank(hist: Histograms, at: int | None, denominator: str) -> np.ndarray:
    del at, denominator
    first = np.argmax(hist.relevant > 0, axis=1)
    return np.where(hist.relevant.any(axis=1), 1 / (1 + first), 0.0)


def test_a_metric_is_added_by_one_entry_and_is_in_the_results_and_in_the_table(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metric = Metric("MRR", "1 divided by the place of the first relevant item.", reciprocal_rank)
    monkeypatch.setitem(METRICS, "MRR", metric)
    codes = random_codes(5, images=9)
    results = evaluate_codes(codes, replace(ALL, ties="file-order")).results
    relevant = same_class(codes.images, codes.voices)
    order = np.argsort(distances(codes.images, codes.voices), axis=1, kind="stable")
    ranked = np.take_along_axis(relevant, order, axis=1)
    expected = 100 * np.mean([1 / (1 + row.argmax()) if row.any() else 0 for row in ranked])
    assert results["image_to_voice"]["MRR"] == pytest.approx(expected)
    assert "MRR" in results["chance"]["voice_to_image"]
    (head,) = (line for line in results_table(results).splitlines() if "NDCG@10" in line)
    assert head.split()[-1] == "MRR"


def test_the_result_is_a_table_with_a_row_for_each_direction_and_for_chance(
    run: Path, tmp_path: Path
) -> None:
    result = evaluate(str(run), "pair", out=str(tmp_path / "out"), cutoff=5, denominator="min")
    assert result.folder == tmp_path / "out"
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result.to_dict() == written
    assert (written["protocol"]["relevance"], written["protocol"]["cutoff"]) == ("pair", 5)
    assert repr(result) == results_table(written)
    rows = result.rows()
    assert [(row["direction"], row["kind"]) for row in rows] == [
        (direction, kind)
        for direction in ("image_to_voice", "voice_to_image")
        for kind in ("measured", "chance")
    ]
    assert len({tuple(row) for row in rows}) == 1
    assert rows[2]["mAP"] == result.metrics["voice_to_image"]["mAP"]
    assert rows[2]["mAP"] == written["voice_to_image"]["mAP"]
    assert rows[3]["NDCG@5"] == result.chance["voice_to_image"]["NDCG@5"]
    with pytest.raises(EvaluateError, match="no protocol 'mine'; there are divh, dvan, "):
        evaluate(run, "mine")
    with pytest.raises(OptionError, match="cutof"):
        evaluate(run, cutof=5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "relevance by class; searched: the test split; one voice per image; "
             "AP over the full list; ranked by the distance of the method; "
             "ties: mean over all orders"),
        ({"relevance": "pair", "voices": "all", "speaker": "ann", "database": "all",
          "distance": "euclidean", "ties": "file-order", "empty": "skip"},
         "relevance by pair; searched: all splits; all voices, only speaker ann; AP over the full "
         "list; ranked by Euclidean distance of the outputs; ties: file order; queries without a "
         "relevant item left out"),
        ({"without_speaker": "bob", "cutoff": 9, "denominator": "hits", "database": "train",
          "classes": "unseen", "bits": 16, "distance": "hamming"},
         "relevance by class; searched: the training and validation splits; only classes that "
         "training did not see; one voice per image, all speakers but bob; AP over the first 9, "
         "divided by the relevant items among them; ranked by Hamming distance of the codes (the "
         "first 16 bits); ties: mean over all orders"),
    ],
)  # fmt: skip
def test_a_protocol_in_words(changes: dict[str, Any], words: str) -> None:
    assert protocol_in_words(asdict(Protocol(**changes))) == words
    assert protocol_in_words(changes) == words


def test_the_table_shows_results_of_an_older_version() -> None:
    results = evaluate_codes(random_codes(2), ALL).results
    whole = results_table(results)
    for name in ("image_to_image", "voice_to_voice", "protocol_in_words"):
        del results[name]
    for direction in ("image_to_voice", "voice_to_image"):
        del results[direction]["P@r<=2"]
        for k in (1, 5, 10):
            del results[direction][f"NDCG@{k}"]
    lines = results_table(results).splitlines()
    assert set(lines) <= set(whole.splitlines())
    assert not any("NDCG" in line or "image -> image" in line for line in lines)


def test_the_steps_of_an_evaluation_import_in_one_direction() -> None:
    steps = ["select", "rank", "score", "report", "evaluate"]
    arrows = module_arrows(product_modules())
    room = "ivr.pipeline.evaluation"
    for place, step in enumerate(steps):
        later = {f"{room}.{name}" for name in steps[place:]}
        assert arrows[f"{room}.{step}"].isdisjoint(later), step
