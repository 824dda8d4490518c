"""What an evaluation says: protocols in words, tables, published rows."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from evaluation_world import ALL, distances, items, random_codes, same_class, trained_on

from ivr.cli.evaluate import evaluate as command
from ivr.hashing.histograms import Histograms
from ivr.hashing.metrics import METRICS, Metric
from ivr.pipeline.datasets.public_datasets import DATASETS
from ivr.pipeline.datasets.published_results import published_results
from ivr.pipeline.evaluation.evaluate import evaluate_codes
from ivr.pipeline.evaluation.protocol import PROTOCOL_TEXTS, PROTOCOLS, Protocol
from ivr.pipeline.evaluation.protocol_words import protocol_in_words
from ivr.pipeline.evaluation.report_tables import results_table
from ivr.pipeline.runs.codes_file import Codes


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
    retrieval = replace(PROTOCOLS["divh"], database="train", test=None)
    assert PROTOCOLS["dcmh"] == replace(retrieval, ties="file-order")
    assert PROTOCOLS["fire"] == replace(retrieval, cutoff=1000, denominator="hits")
    assert PROTOCOLS["deephash"] == replace(retrieval, cutoff=5000, denominator="hits")
    assert list(PROTOCOL_TEXTS) == list(PROTOCOLS)
    (option,) = (parameter for parameter in command.params if parameter.name == "preset")
    assert list(option.type.choices) == list(PROTOCOLS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("dataset", list(DATASETS))
def test_published_rows_stand_beside_a_known_data_set(dataset: str) -> None:
    codes = of_classes(DATASETS[dataset].classes)
    results = evaluate_codes(codes, ALL).results
    assert results["dataset"] == dataset
    table = results_table(results)
    assert f"Published on {DATASETS[dataset].title}: DIVH (IEEE JSTARS 2022" in table
    for row in published_results(dataset):
        metrics = row.metrics
        values = metrics["image_to_voice.mAP"], metrics["voice_to_image.mAP"]
        assert f"{row.method:<22}{values[0]:.2f} / {values[1]:.2f}" in table
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
    more = ["NDCG@1", "NDCG@5", "NDCG@10", "mAP_found", "P@r<=2", "R@r<=2"]
    assert lines[10].split() == ["percent,", "continued", *more]
    found = results["voice_to_image"]
    assert lines[13].split()[3:] == [f"{found[name]:.2f}" for name in more]
    lower, upper = (results["voice_to_image"][name] for name in ("mAP_lower", "mAP_upper"))
    assert lines[16].endswith(f"voice -> image {lower:.2f} to {upper:.2f}")
    assert "mAP_found" not in results_table(evaluate_codes(random_codes(2), ALL).results)


def test_published_rows_are_of_all_classes() -> None:
    classes = DATASETS["ucm"].classes
    count = len(classes)
    codes = items(np.ones((count, 8), int), classes, classes, ["test"] * count, "image")
    ucm = trained_on(Codes(codes, codes, {}), *list(classes)[2:])
    assert evaluate_codes(ucm, replace(ALL, test=None)).results["dataset"] == "ucm"
    among = replace(ALL, test=None, classes="unseen-among-all")
    assert evaluate_codes(ucm, among).results["dataset"] is None


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
        del results[direction]["P@r<=2"], results[direction]["R@r<=2"]
        for k in (1, 5, 10):
            del results[direction][f"NDCG@{k}"]
    lines = results_table(results).splitlines()
    assert set(lines) <= set(whole.splitlines())
    assert not any("NDCG" in line or "image -> image" in line for line in lines)
