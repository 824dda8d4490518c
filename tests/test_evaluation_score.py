"""Metrics of an evaluation: means over the orders of ties, of codes and of outputs."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation_world import (
    ALL,
    OUTPUTS,
    assert_metrics,
    brute_force,
    distances,
    items,
    mean_metrics,
    output_distances,
    over_orders,
    random_codes,
    ranked_metrics,
    results_and_curves,
    same_class,
    same_image,
    with_a_stranger,
    with_outputs,
)
from sklearn.metrics import average_precision_score

from ivr.hashing.distances import euclidean_distance
from ivr.hashing.histograms import score_histograms
from ivr.hashing.metrics import scores
from ivr.pipeline.evaluation import rank, score
from ivr.pipeline.evaluation.evaluate import evaluate_codes
from ivr.pipeline.evaluation.report_tables import results_table
from ivr.pipeline.runs.codes_file import Codes


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


def test_the_number_of_queries_in_the_means_is_in_the_results() -> None:
    codes = with_a_stranger()
    zero = evaluate_codes(codes, replace(ALL, empty="zero")).results["image_to_voice"]
    skip = evaluate_codes(codes, replace(ALL, empty="skip")).results["image_to_voice"]
    assert (zero["queries"], zero["n"]) == (3, 3)
    assert (skip["queries"], skip["n"]) == (3, 2)


@pytest.mark.parametrize("radius", [0, 1, 2, 5])
def test_precision_and_recall_within_a_radius_are_those_of_a_loop(radius: int) -> None:
    codes = random_codes(6, images=14)
    results = evaluate_codes(codes, replace(ALL, ties="file-order", radius=radius)).results
    near = distances(codes.images, codes.voices) <= radius
    relevant = same_class(codes.images, codes.voices)
    some = near.any(axis=1)
    assert radius != 1 or 0 < some.mean() < 1
    precision = [r[n].mean() if n.any() else 0.0 for n, r in zip(near, relevant, strict=True)]
    recall = [r[n].sum() / r.sum() for n, r in zip(near, relevant, strict=True)]
    found, chance = results["image_to_voice"], results["chance"]["image_to_voice"]
    precise, recalled = f"P@r<={radius}", f"R@r<={radius}"
    assert found[precise] == pytest.approx(100 * np.mean(precision))
    assert found[recalled] == pytest.approx(100 * np.mean(recall))
    # A random order has the same distances, and as many queries without an item in the radius.
    assert chance[precise] == pytest.approx(100 * np.mean(some * relevant.mean(axis=1)))
    assert chance[recalled] == pytest.approx(100 * near.mean())
    assert {name for name in found if "@r" in name} == {precise, recalled}
    assert precise in results_table(results)


def test_metrics_within_a_radius_are_absent_for_outputs() -> None:
    codes = random_codes(6, images=14)
    own = evaluate_codes(with_outputs(codes), OUTPUTS, euclidean_distance).results
    assert "P@r<=2" not in own["image_to_voice"]
    assert "P@r<=2" not in results_table(own)
