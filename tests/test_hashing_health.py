import itertools
import math
from collections import Counter

import numpy as np
import pytest

from ivr.hashing import health
from ivr.hashing.codes import pack
from ivr.hashing.health import (
    HealthError,
    agreement,
    bit_counts,
    code_counts,
    confusion,
    entropy,
    pair_distances,
    quantisation_errors,
)
from ivr.hashing.histograms import Histograms, class_histograms_numpy
from ivr.hashing.ranking import hamming_distance


def random_codes(seed: int, items: int, bits: int) -> np.ndarray:
    """Codes of biased bits, of which the second is the first and the third its opposite."""
    rng = np.random.default_rng(seed)
    codes = np.where(rng.random((items, bits)) < rng.uniform(0.1, 0.9, bits), 1, -1)
    codes[:, 1], codes[:, 2] = codes[:, 0], -codes[:, 0]
    codes[:, 3] = -1
    return codes


@pytest.mark.parametrize("bits", [8, 24, 64, 72])
def test_bits_are_counted_as_one_by_one(bits: int) -> None:
    codes = random_codes(bits, 37, bits)
    counts = bit_counts(pack(codes))
    shares = [sum(code[bit] == 1 for code in codes) / 37 for bit in range(bits)]
    assert counts.items == 37
    assert counts.positive.tolist() == shares
    dead = [bit for bit in range(bits) if len({int(code[bit]) for code in codes}) == 1]
    assert counts.dead.tolist() == dead and 3 in dead
    assert counts.imbalance == pytest.approx(np.mean([abs(2 * share - 1) for share in shares]))
    pairs = []
    for one, other in itertools.combinations(sorted({*range(bits)} - {*dead}), 2):
        expected = np.corrcoef(codes[:, one], codes[:, other])[0, 1]
        assert counts.correlation[one, other] == pytest.approx(expected, abs=1e-12)
        pairs.append(abs(expected))
    np.testing.assert_allclose(counts.absolute_correlations(), pairs, atol=1e-12)
    assert np.isnan(counts.correlation[3]).all()
    # A copy and an opposite are correlated fully, to the last bit.
    assert counts.correlation[0, 1] == 1 and counts.correlation[0, 2] == -1


def test_counts_do_not_depend_on_the_block_and_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    packed = pack(random_codes(0, 50, 24))
    whole = bit_counts(packed)
    together = bit_counts(packed[:13]) + bit_counts(packed[13:])
    monkeypatch.setattr(health, "ENTRIES", 7 * 24)
    for counts in (together, bit_counts(packed)):
        assert counts.items == whole.items
        np.testing.assert_array_equal(counts.both, whole.both)


def test_a_single_item_has_dead_bits_alone() -> None:
    counts = bit_counts(pack(random_codes(1, 1, 16)))
    assert counts.dead.tolist() == list(range(16))
    assert counts.imbalance == 1
    assert len(counts.absolute_correlations()) == 0
    assert entropy(code_counts(pack(random_codes(1, 1, 16)))) == 0


def test_equal_codes_are_one_code_without_entropy() -> None:
    packed = np.repeat(pack(random_codes(2, 1, 72)), 9, axis=0)
    assert code_counts(packed).tolist() == [9]
    assert entropy(code_counts(packed)) == 0
    assert len(bit_counts(packed).dead) == 72


@pytest.mark.parametrize("bits", [8, 24, 72])
def test_distinct_codes_and_their_entropy_are_those_of_a_counter(bits: int) -> None:
    rng = np.random.default_rng(bits)
    packed = pack(random_codes(bits, 12, bits))[rng.integers(0, 12, 100)]
    expected = Counter(code.tobytes() for code in packed)
    assert sorted(code_counts(packed)) == sorted(expected.values())
    shares = [count / 100 for count in expected.values()]
    assert entropy(code_counts(packed)) == pytest.approx(-sum(p * math.log2(p) for p in shares))


def test_all_different_codes_have_the_entropy_of_their_number() -> None:
    packed = np.arange(256, dtype=np.uint8)[:, None]
    assert entropy(code_counts(packed)) == pytest.approx(8)


def test_no_codes_have_no_health() -> None:
    with pytest.raises(HealthError, match="at least one code"):
        bit_counts(np.empty((0, 8), np.uint8))
    with pytest.raises(HealthError, match="at least one code"):
        code_counts(np.empty((0, 8), np.uint8))


def test_agreement_is_the_share_of_equal_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = random_codes(3, 20, 24), random_codes(4, 20, 24)
    expected = np.mean([a == b for a, b in zip(one.ravel(), other.ravel(), strict=True)])
    assert agreement(pack(one), pack(other)) == pytest.approx(expected)
    monkeypatch.setattr(health, "ENTRIES", 9)
    assert agreement(pack(one), pack(other)) == pytest.approx(expected)
    assert agreement(pack(one), pack(one)) == 1
    assert agreement(pack(one), pack(-one)) == 0
    with pytest.raises(HealthError, match=r"\[20, 3\] and \[19, 3\]"):
        agreement(pack(one), pack(other[:19]))
    with pytest.raises(HealthError, match=r"\[0, 3\]"):
        agreement(pack(one)[:0], pack(one)[:0])


def test_quantisation_error_is_the_least_that_any_scale_leaves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "ENTRIES", 5 * 24)
    outputs = np.random.default_rng(0).normal(0.1, 2, (33, 24)).astype(np.float32)
    errors = quantisation_errors(outputs)
    for place, bits in enumerate((8, 16, 24)):
        first = outputs[:, :bits].astype(float)
        left = [
            ((first - scale * np.where(first >= 0, 1, -1)) ** 2).sum() / (first**2).sum()
            for scale in np.linspace(0, 4, 4001)
        ]
        assert errors[place] == pytest.approx(min(left), abs=1e-6)
        assert errors[place] <= min(left)


def test_quantisation_error_does_not_know_the_scale_of_outputs() -> None:
    outputs = np.random.default_rng(1).normal(size=(40_000, 8)).astype(np.float32)
    (error,) = quantisation_errors(outputs)
    assert error == pytest.approx(1 - 2 / math.pi, abs=0.01)
    assert quantisation_errors(1000 * outputs)[0] == pytest.approx(error)
    (uniform,) = quantisation_errors(np.linspace(-1, 1, 80_000).reshape(-1, 8))
    assert uniform == pytest.approx(0.25, abs=1e-3)
    assert quantisation_errors(np.sign(outputs))[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("outputs", [np.zeros((3, 8)), np.empty((0, 8)), np.full((2, 8), np.inf)])
def test_outputs_without_a_scale_have_no_quantisation_error(outputs: np.ndarray) -> None:
    assert np.isnan(quantisation_errors(outputs.astype(np.float32))).all()


def test_distances_of_pairs_are_those_of_every_pair() -> None:
    rng = np.random.default_rng(5)
    queries, gallery = (rng.integers(0, 256, (n, 2), dtype=np.uint8) for n in (11, 17))
    labels = rng.integers(0, 3, 11), rng.integers(0, 3, 17)
    found = pair_distances(class_histograms_numpy(queries, labels[0], gallery, labels[1]))
    relevant, other = [], []
    for i, j in itertools.product(range(11), range(17)):
        distance = sum((int(a) ^ int(b)).bit_count() for a, b in zip(queries[i], gallery[j],
                                                                    strict=True))  # fmt: skip
        (relevant if labels[0][i] == labels[1][j] else other).append(distance)
    assert found.relevant.tolist() == [relevant.count(d) for d in range(17)]
    assert found.other.tolist() == [other.count(d) for d in range(17)]
    assert found.means == pytest.approx((np.mean(relevant), np.mean(other)))
    overlap = sum(
        min(relevant.count(d) / len(relevant), other.count(d) / len(other)) for d in range(17)
    )
    assert found.overlap == pytest.approx(overlap)


@pytest.mark.parametrize(
    ("items", "relevant", "overlap"),
    [([2, 0, 3], [2, 0, 0], 0.0), ([4, 4, 0], [2, 2, 0], 1.0), ([1, 2, 1], [1, 1, 0], 0.5)],
)
def test_overlap_is_0_of_parted_and_1_of_equal_distances(
    items: list[int], relevant: list[int], overlap: float
) -> None:
    found = pair_distances(Histograms(np.array([items]), np.array([relevant])))
    assert found.overlap == pytest.approx(overlap)


def test_without_other_pairs_overlap_and_their_mean_are_unknown() -> None:
    found = pair_distances(Histograms(np.array([[1, 2]]), np.array([[1, 2]])))
    assert math.isnan(found.overlap)
    assert found.means[0] == pytest.approx(2 / 3)
    assert math.isnan(found.means[1])


def over_all_orders(
    distance: np.ndarray, labels: np.ndarray, of: np.ndarray, classes: int, nearest: int
) -> np.ndarray:
    """The same by going through every order of every query's items."""
    kept = min(nearest, len(of))
    rows: list[list[np.ndarray]] = [[] for _ in range(classes)]
    for query, label in enumerate(labels):
        shares = [
            np.bincount(of[list(order[:kept])], minlength=classes) / kept
            for order in itertools.permutations(range(len(of)))
            if all(distance[query, a] <= distance[query, b] for a, b in itertools.pairwise(order))
        ]
        rows[label].append(np.mean(shares, axis=0))
    return np.array([np.mean(row, axis=0) if row else [np.nan] * classes for row in rows])


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
@pytest.mark.parametrize("nearest", [1, 3, 10])
def test_confusion_is_the_mean_over_all_orders_of_the_ties(seed: int, nearest: int) -> None:
    rng = np.random.default_rng(seed)
    distance = rng.integers(0, 3, (9, 6)).astype(np.uint16)
    labels, of = rng.choice([0, 1, 3], 9), rng.integers(0, 4, 6)
    expected = over_all_orders(distance, labels, of, 4, nearest)
    for at_once in (1, 20, 1000):
        found, asked = confusion(
            lambda rows: distance[rows], labels, of, 4, nearest=nearest, pairs=1000, at_once=at_once
        )
        np.testing.assert_allclose(found, expected)
        assert asked.tolist() == [list(labels).count(label) for label in range(4)]
    assert np.nansum(found, axis=1)[asked > 0] == pytest.approx(1)


def test_confusion_of_real_distances_is_that_of_sorting() -> None:
    rng = np.random.default_rng(7)
    distance, labels, of = rng.random((20, 50)), rng.integers(0, 3, 20), rng.integers(0, 3, 50)
    found, _ = confusion(lambda rows: distance[rows], labels, of, 3, nearest=10, pairs=1000)
    first = of[np.argsort(distance, axis=1)[:, :10]]
    for label, other in itertools.product(range(3), range(3)):
        assert found[label, other] == pytest.approx((first[labels == label] == other).mean())


def test_items_without_a_class_take_their_place_and_ask_nothing() -> None:
    distance = np.array([[0, 1, 2], [2, 1, 0]], np.uint16)
    found, asked = confusion(
        lambda rows: distance[rows], np.array([0, -1]), np.array([0, -1, 1]), 2, nearest=2, pairs=9
    )
    assert found[0].tolist() == [0.5, 0.0]
    assert asked.tolist() == [1, 0]


def test_of_too_many_pairs_every_so_manieth_query_of_each_class_is_asked() -> None:
    rng = np.random.default_rng(8)
    labels, of = np.repeat([0, 1, 2], [61, 29, 1])[rng.permutation(91)], rng.integers(0, 3, 10)
    queries, gallery = (rng.integers(0, 256, (n, 1), dtype=np.uint8) for n in (91, 10))
    seen: list[int] = []

    def distance(rows: np.ndarray) -> np.ndarray:
        seen.extend(rows)
        return hamming_distance(queries[rows], gallery)

    found, asked = confusion(distance, labels, of, 3, nearest=3, pairs=310)
    assert asked.tolist() == [21, 10, 1]
    assert sorted(seen) == sorted(row for c in range(3) for row in np.flatnonzero(labels == c)[::3])
    alone, _ = confusion(
        lambda rows: hamming_distance(queries[seen][rows], gallery),
        labels[seen], of, 3, nearest=3, pairs=10_000,
    )  # fmt: skip
    np.testing.assert_allclose(found, alone)


@pytest.mark.parametrize(("gallery", "nearest"), [(0, 10), (3, 0)])
def test_nothing_to_find_has_no_confusion(gallery: int, nearest: int) -> None:
    with pytest.raises(HealthError, match=f"first {nearest} of a gallery of {gallery}"):
        confusion(lambda rows: np.zeros((len(rows), gallery)), np.zeros(2, np.int64),
                  np.zeros(gallery, np.int64), 1, nearest=nearest, pairs=9)  # fmt: skip
