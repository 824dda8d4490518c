from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tied_lists import TIED, histograms, ranked_by_hamming

from ivr.hashing.average_precision import average_precision, class_average_precision
from ivr.hashing.buckets import MetricsError
from ivr.hashing.cutoff_metrics import precision_at
from ivr.hashing.histograms import Histograms, file_order_histograms
from ivr.hashing.metrics import (
    METRICS,
    Metric,
    join_scores,
    metric_of,
    scores,
)
from ivr.hashing.metrics_page import metrics_page


def test_a_query_without_a_relevant_item_counts_as_zero_or_is_skipped_or_refused() -> None:
    hist = histograms([(1, 1), (1, 0)], [(1, 0), (1, 0)])
    shares = ("mAP", "mAP_lower", "mAP_upper", "P@1", "R@1", "F@1", "H@1", "NDCG@1")
    ends = ("", "_lower", "_upper")
    ranks = [f"{average} rank{end}" for average in ("mean", "median") for end in ends]
    # Of two items none is relevant: its rank is 3.
    of_ranks, found = dict.fromkeys(ranks, (1 + 3) / 2), {"mAP_found": 100.0}
    zero = scores(hist, cutoffs=(1,)).in_units()
    assert zero == pytest.approx({**dict.fromkeys(shares, 50), **found, **of_ranks})
    skip = scores(hist, cutoffs=(1,), empty="skip")
    of_ranks = dict.fromkeys(ranks, 1.0)
    assert skip.in_units() == {**dict.fromkeys(shares, 100.0), **found, **of_ranks}
    assert np.isnan(skip.average_precision).tolist() == [False, True]
    assert (skip.empty, skip.empty_queries) == ("skip", 1)
    with pytest.raises(MetricsError, match="1 of 2 queries have no relevant item"):
        scores(hist, empty="error")


def test_refusing_empty_queries_changes_nothing_where_there_are_none() -> None:
    hist, _, _ = ranked_by_hamming(seed=9)
    assert scores(hist, empty="error").in_units() == scores(hist, empty="zero").in_units()


def test_a_mean_over_no_query_is_refused() -> None:
    with pytest.raises(MetricsError, match="no query is left"):
        _ = scores(histograms([(2, 0)]), empty="skip").mAP


def test_units_are_percent_or_ranks_of_every_metric_in_order() -> None:
    percent = scores(TIED).in_units()
    assert list(percent) == [
        *("mAP", "mAP_lower", "mAP_upper"),
        *(f"{name}@{k}" for name in ("P", "R", "F", "H", "NDCG") for k in (1, 5, 10)),
        "mAP_found",
        *(
            f"{average} rank{end}"
            for average in ("mean", "median")
            for end in ("", "_lower", "_upper")
        ),
    ]
    # One of the first two items is relevant.
    assert [percent[f"mean rank{end}"] for end in ("", "_lower", "_upper")] == [1.5, 1, 2]
    assert percent["P@1"] == pytest.approx(50)
    assert percent["P@10"] == pytest.approx(30)
    assert percent["R@5"] == pytest.approx(100 * 2.5 / 3)
    assert percent["F@10"] == pytest.approx(100 * 2 * 3 / 13)
    assert all(type(value) is float for value in percent.values())


def test_scores_use_the_cut_off_and_the_denominator_they_are_given() -> None:
    names = ("mAP", "mAP_lower", "mAP_upper")
    found = scores(TIED, at=2, denominator="min", cutoffs=(), metrics=(*names, "P@K"))
    assert (found.at, found.denominator) == (2, "min")
    # Two places, one hit among them at either: (1 + 1/2) / 2, divided by min(2, 3).
    assert found.mAP == pytest.approx((1 + 1 / 2) / 2 / 2)
    assert found.mAP_lower == pytest.approx(1 / 4)
    assert found.mAP_upper == pytest.approx(1 / 2)
    assert list(found.in_units()) == list(names)


def test_queries_scored_in_blocks_join_to_the_same_values() -> None:
    hist, _, _ = ranked_by_hamming(seed=10)
    parts = [
        scores(Histograms(hist.items[rows], hist.relevant[rows]), at=40, denominator="hits")
        for rows in (slice(0, 7), slice(7, 20))
    ]
    whole = scores(hist, at=40, denominator="hits")
    assert join_scores(parts).in_units() == pytest.approx(whole.in_units())
    np.testing.assert_allclose(join_scores(parts).average_precision, whole.average_precision)


def test_scores_by_different_rules_do_not_join() -> None:
    with pytest.raises(MetricsError, match="made by one rule, got 2"):
        join_scores([scores(TIED), scores(TIED, at=5)])


def test_class_average_precision_by_hand() -> None:
    found = class_average_precision(
        np.array([0.5, 1.0, np.nan, 0.25, np.nan]), np.array([4, 1, 1, 4, 2])
    )
    assert found == {1: 1.0, 4: 0.375}
    assert list(found) == [1, 4]


def test_class_average_precision_needs_one_label_per_query() -> None:
    with pytest.raises(MetricsError, match="2 queries, but labels of shape"):
        class_average_precision(np.array([0.5, 1.0]), np.array([4]))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: average_precision(TIED, denominator="all"), "denominator must be one of relevant"),
        (lambda: average_precision(TIED, at=0), "a cut-off must be 1 or more, got 0"),
        (lambda: precision_at(TIED, 0), "a cut-off must be 1 or more, got 0"),
        (lambda: scores(TIED, empty="drop"), "empty must be one of zero, skip, error, got 'drop'"),
    ],
)
def test_unknown_choices_are_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises(MetricsError, match=message):
        call()


def test_metrics_within_a_radius_are_there_if_the_hamming_distances_are() -> None:
    # Ranked in another order than by Hamming distance: the radius looks at the distances only.
    hist, hamming = histograms([(1, 0), (1, 1)]), histograms([(0, 0), (0, 0), (1, 1), (1, 0)])
    assert "P@r<=2" not in scores(hist).in_units()
    found = scores(hist, hamming=hamming)
    assert found.in_units()["P@r<=2"] == 100
    assert found.of("P@r<=2").tolist() == found.of("R@r<=2").tolist() == [1.0]
    nearest = scores(hist, hamming=hamming, radius=0)
    assert nearest.of("P@r<=0").tolist() == nearest.of("R@r<=0").tolist() == [0.0]
    assert found.of("P@1").tolist() == [0.0]
    assert found.of("mAP").tolist() == found.average_precision.tolist() == [0.5]
    with pytest.raises(MetricsError, match="no metric 'P@7' among the scores; there are mAP, "):
        found.of("P@7")


def test_only_the_metrics_that_are_asked_for_are_computed() -> None:
    assert list(scores(TIED, metrics=("mAP", "R@K")).in_units()) == ["mAP", "R@1", "R@5", "R@10"]


def test_a_name_with_its_cut_off_leads_to_its_metric() -> None:
    assert metric_of("NDCG@5") is METRICS["NDCG@K"]
    assert metric_of("P@r<=2") is METRICS["P@r<=K"]
    assert metric_of("mAP") is METRICS["mAP"]
    assert metric_of("P@7") is None


def reciprocal_rank(hist: Histograms, at: int | None, denominator: str) -> np.ndarray:
    del at, denominator
    return 1 / (1 + np.argmax(hist.relevant > 0, axis=1))


def test_a_metric_is_added_by_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    metric = Metric("MRR", "1 divided by the place of the first relevant item.", reciprocal_rank)
    monkeypatch.setitem(METRICS, "MRR", metric)
    hist = file_order_histograms(np.array([[2, 1, 0]]), np.array([[True, True, False]]))
    assert scores(hist).in_units()["MRR"] == 50
    assert "| MRR | 1 divided by the place of the first relevant item. |" in metrics_page()


def test_the_page_of_the_metrics_is_that_of_the_table() -> None:
    page = Path(__file__).parents[1] / "docs" / "reference" / "metrics.md"
    assert page.read_text(encoding="utf-8") == metrics_page()
