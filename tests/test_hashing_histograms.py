import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from ivr.hashing import ranking
from ivr.hashing.codes import pack
from ivr.hashing.histograms import (
    Histograms,
    chance_histograms,
    class_histograms,
    class_histograms_numpy,
    file_order_histograms,
    pair_histograms,
    score_histograms,
)
from ivr.hashing.ranking import RankingError


def random_packed(items: int, bits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes [items, bits] and the same packed."""
    codes = np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.int8), (items, bits))
    return codes, pack(codes)


def random_labels(items: int, classes: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, classes, items)


def distance_of_codes(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return Hamming distances from codes of -1 and +1: half of bits minus the product."""
    return (queries.shape[1] - queries.astype(int) @ gallery.T.astype(int)) // 2


def counts_by_loop(distance: np.ndarray, relevant: np.ndarray, buckets: int) -> Histograms:
    items, hits = (np.zeros((len(distance), buckets), dtype=np.int64) for _ in range(2))
    for query, row in enumerate(distance):
        for item, bucket in enumerate(row):
            items[query, bucket] += 1
            hits[query, bucket] += relevant[query, item]
    return Histograms(items, hits)


def assert_same(found: Histograms, expected: Histograms) -> None:
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.relevant, expected.relevant)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranking, "CELLS", 30)


def peak_memory(work: Callable[[], object]) -> int:
    """Return the most bytes that NumPy and Python held at once during ``work``."""
    tracemalloc.start()
    work()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


@pytest.mark.parametrize("histograms", [class_histograms, class_histograms_numpy])
def test_a_bucket_counts_the_items_and_those_of_the_querys_class(
    histograms: Callable[..., Histograms],
) -> None:
    queries = np.array([[0]], dtype=np.uint8)
    gallery = np.array([[0], [1], [2], [255], [0], [3]], dtype=np.uint8)
    hist = histograms(queries, np.array([7]), gallery, np.array([7, 7, 2, 7, 2, 9]))
    assert hist.items.tolist() == [[2, 2, 1, 0, 0, 0, 0, 0, 1]]
    assert hist.relevant.tolist() == [[1, 1, 0, 0, 0, 0, 0, 0, 1]]


@pytest.mark.parametrize("bits", [8, 64, 72, 128])
@pytest.mark.parametrize("histograms", [class_histograms, class_histograms_numpy])
def test_class_histograms_equal_a_loop_over_all_pairs(
    histograms: Callable[..., Histograms], bits: int
) -> None:
    (queries, packed_queries), (gallery, packed) = (
        random_packed(7, bits, seed=3),
        random_packed(50, bits, seed=4),
    )
    query_labels, labels = random_labels(7, 5, seed=5), random_labels(50, 4, seed=6)
    expected = counts_by_loop(
        distance_of_codes(queries, gallery), query_labels[:, None] == labels, bits + 1
    )
    assert_same(histograms(packed_queries, query_labels, packed, labels), expected)


@pytest.mark.parametrize("threads", [None, 1, 3])
@pytest.mark.parametrize("items", [2047, 2048, 2049, 9001])
def test_kernel_and_numpy_agree_across_tiles_tasks_and_threads(
    items: int, threads: int | None
) -> None:
    _, queries = random_packed(70, 64, seed=7)
    _, gallery = random_packed(items, 64, seed=8)
    query_labels, labels = random_labels(70, 22, seed=9), random_labels(items, 21, seed=10)
    assert_same(
        class_histograms(queries, query_labels, gallery, labels, threads),
        class_histograms_numpy(queries, query_labels, gallery, labels),
    )


@pytest.mark.parametrize("histograms", [class_histograms, class_histograms_numpy])
def test_a_class_that_the_gallery_lacks_has_nothing_relevant(
    histograms: Callable[..., Histograms],
) -> None:
    _, queries = random_packed(3, 16, seed=11)
    _, gallery = random_packed(20, 16, seed=12)
    hist = histograms(queries, np.array([0, 4, 9]), gallery, np.repeat([3, 5], 10))
    assert hist.relevant.sum() == 0
    assert hist.items.sum(axis=1).tolist() == [20, 20, 20]


def test_class_histograms_do_not_depend_on_gallery_order() -> None:
    _, queries = random_packed(5, 16, seed=13)
    _, gallery = random_packed(200, 16, seed=14)
    query_labels, labels = random_labels(5, 3, seed=15), random_labels(200, 3, seed=16)
    shuffled = np.random.default_rng(17).permutation(200)
    assert_same(
        class_histograms(queries, query_labels, gallery[shuffled], labels[shuffled]),
        class_histograms(queries, query_labels, gallery, labels),
    )


def test_class_numbers_beyond_a_byte_stay_apart() -> None:
    queries = np.zeros((1, 1), dtype=np.uint8)
    gallery = np.zeros((3, 1), dtype=np.uint8)
    hist = class_histograms(queries, np.array([1]), gallery, np.array([257, 1, 65537]))
    assert hist.relevant[0, 0] == 1


def test_numpy_histograms_never_hold_the_table_of_distances() -> None:
    _, queries = random_packed(160, 64, seed=18)
    _, gallery = random_packed(50_000, 64, seed=19)
    query_labels, labels = random_labels(160, 21, seed=20), random_labels(50_000, 21, seed=21)
    table = 160 * 50_000 * 8
    peak = peak_memory(lambda: class_histograms_numpy(queries, query_labels, gallery, labels))
    assert peak < 0.6 * table


def test_kernel_holds_hardly_more_than_the_codes() -> None:
    _, queries = random_packed(160, 64, seed=18)
    _, gallery = random_packed(50_000, 64, seed=19)
    query_labels, labels = random_labels(160, 21, seed=20), random_labels(50_000, 21, seed=21)
    class_histograms(queries[:1], query_labels[:1], gallery[:1], labels[:1])
    peak = peak_memory(lambda: class_histograms(queries, query_labels, gallery, labels))
    assert peak < 6 * gallery.nbytes


@pytest.mark.parametrize("histograms", [class_histograms, class_histograms_numpy])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.array([0, 1]), "gallery labels must be 3 integers"),
        (np.array([0.0, 1.0, 2.0]), "gallery labels must be 3 integers, one per code, got float64"),
        (np.array([0, -1, 2]), "gallery labels must be 0 or more; leave out items without a class"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    histograms: Callable[..., Histograms], labels: np.ndarray, message: str
) -> None:
    _, packed = random_packed(3, 8, seed=1)
    with pytest.raises(RankingError, match=message):
        histograms(packed, np.array([0, 1, 2]), packed, labels)


def test_pair_histograms_count_the_rows_that_each_query_names() -> None:
    queries = np.array([[0], [255], [0]], dtype=np.uint8)
    gallery = np.array([[0], [1], [2], [255]], dtype=np.uint8)
    relevant = [np.array([2, 3]), np.array([], dtype=int), np.array([0, 1, 2])]
    hist = pair_histograms(queries, gallery, relevant)
    assert hist.items.tolist() == [
        [1, 2, 0, 0, 0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0, 0, 2, 1],
        [1, 2, 0, 0, 0, 0, 0, 0, 1],
    ]
    assert hist.relevant.tolist() == [
        [0, 1, 0, 0, 0, 0, 0, 0, 1],
        [0, 0, 0, 0, 0, 0, 0, 0, 0],
        [1, 2, 0, 0, 0, 0, 0, 0, 0],
    ]


def test_pairs_of_one_class_give_the_class_histograms() -> None:
    _, queries = random_packed(8, 72, seed=22)
    _, gallery = random_packed(300, 72, seed=23)
    query_labels, labels = random_labels(8, 4, seed=24), random_labels(300, 4, seed=25)
    pairs = [np.flatnonzero(labels == label) for label in query_labels]
    assert_same(
        pair_histograms(queries, gallery, pairs),
        class_histograms_numpy(queries, query_labels, gallery, labels),
    )


@pytest.mark.parametrize(
    ("relevant", "message"),
    [
        ([[0]], "given for 1 of 2 queries"),
        ([[0], [3]], "must lie from 0 to 2, got 0 to 3"),
        ([[-1], [1]], "must lie from 0 to 2, got -1 to 1"),
        ([[0], [1, 1]], "names the same relevant row twice"),
    ],
)
def test_pairs_that_cannot_be_are_refused(relevant: list[list[int]], message: str) -> None:
    packed = np.zeros((3, 8), dtype=np.uint8)
    with pytest.raises(RankingError, match=message):
        pair_histograms(packed[:2], packed, [np.array(rows) for rows in relevant])


def test_score_histograms_have_a_bucket_for_each_distinct_value_of_a_row() -> None:
    distance = np.array([[0.5, -np.inf, 0.5, 0.25], [1.0, 1.0, 1.0, 1.0], [0.0, -0.0, np.inf, 3]])
    relevant = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [1, 1, 0, 0]], dtype=bool)
    hist = score_histograms(distance, relevant)
    assert hist.items.tolist() == [[1, 1, 2], [4, 0, 0], [2, 1, 1]]
    assert hist.relevant.tolist() == [[0, 1, 1], [2, 0, 0], [2, 0, 0]]


def test_values_that_differ_by_the_last_digit_are_not_tied() -> None:
    distance = np.array([[1.0, np.nextafter(1.0, 2.0)]])
    assert score_histograms(distance, np.array([[True, False]])).items.tolist() == [[1, 1]]


def test_file_order_keeps_ties_in_the_order_of_the_gallery() -> None:
    distance = np.array([[1, 1, 0, 1]], dtype=np.uint16)
    hist = file_order_histograms(distance, np.array([[True, False, False, False]]))
    assert hist.items.tolist() == [[1, 1, 1, 1]]
    assert hist.relevant.tolist() == [[0, 1, 0, 0]]


@pytest.mark.parametrize("histograms", [score_histograms, file_order_histograms])
@pytest.mark.parametrize(
    ("distance", "relevant", "message"),
    [
        ([[0.0, np.nan]], [[True, False]], "NaN among the distances"),
        ([[0.0, 1.0]], [[1, 0]], "relevant must be boolean, got int64"),
        ([[0.0, 1.0]], [[True]], r"got \[1, 2\] and \[1, 1\]"),
        ([0.0, 1.0], [True, False], r"must both be \[q, g\]"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(
    histograms: Callable[..., Histograms],
    distance: list[float],
    relevant: list[bool],
    message: str,
) -> None:
    with pytest.raises(RankingError, match=message):
        histograms(np.array(distance), np.array(relevant))


def test_chance_has_all_items_in_one_bucket() -> None:
    hist = Histograms(np.array([[1, 2, 3], [0, 4, 0]]), np.array([[1, 0, 2], [0, 4, 0]]))
    assert chance_histograms(hist).items.tolist() == [[6], [4]]
    assert chance_histograms(hist).relevant.tolist() == [[3], [4]]


@pytest.mark.parametrize(
    ("items", "relevant", "message"),
    [
        ([[1, 2]], [[2, 0]], "from 0 to all of its items"),
        ([[1, 2]], [[-1, 0]], "from 0 to all of its items"),
        ([[1, 2]], [[1]], r"got \[1, 2\] and \[1, 1\]"),
        ([[1.0]], [[1.0]], "must be int64, got float64 and float64"),
        (np.empty((0, 2), dtype=np.int64), np.empty((0, 2), dtype=np.int64), "at least one"),
    ],
)
def test_counts_that_no_gallery_has_are_refused(
    items: list[list[float]], relevant: list[list[float]], message: str
) -> None:
    with pytest.raises(RankingError, match=message):
        Histograms(np.array(items), np.array(relevant))
