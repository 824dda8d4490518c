import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from ivr.hashing import ranking
from ivr.hashing.codes import pack
from ivr.hashing.ranking import RankingError, hamming_distance, top_k


def random_packed(items: int, bits: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return codes [items, bits] and the same packed."""
    codes = np.random.default_rng(seed).choice(np.array([-1, 1], dtype=np.int8), (items, bits))
    return codes, pack(codes)


def distance_of_codes(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return Hamming distances from codes of -1 and +1: half of bits minus the product."""
    return (queries.shape[1] - queries.astype(int) @ gallery.T.astype(int)) // 2


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


def test_hamming_distance_counts_differing_bits() -> None:
    queries = np.array([[0b11110000, 0], [255, 255]], dtype=np.uint8)
    gallery = np.array([[0, 0], [0b11110001, 0b10000000], [255, 255]], dtype=np.uint8)
    distance = hamming_distance(queries, gallery)
    assert distance.tolist() == [[4, 2, 12], [16, 10, 0]]
    assert distance.dtype == np.uint16


@pytest.mark.parametrize("bits", [8, 24, 64, 72, 128, 512])
def test_hamming_distance_is_half_of_bits_minus_the_product(bits: int) -> None:
    (queries, packed_queries), (gallery, packed) = (
        random_packed(9, bits, seed=1),
        random_packed(13, bits, seed=2),
    )
    np.testing.assert_array_equal(
        hamming_distance(packed_queries, packed), distance_of_codes(queries, gallery)
    )


@pytest.mark.usefixtures("small_blocks")
def test_hamming_distance_does_not_depend_on_the_size_of_blocks() -> None:
    (queries, packed_queries), (gallery, packed) = (
        random_packed(9, 64, seed=1),
        random_packed(13, 64, seed=2),
    )
    np.testing.assert_array_equal(
        hamming_distance(packed_queries, packed), distance_of_codes(queries, gallery)
    )


def test_importing_the_module_does_not_import_numba() -> None:
    program = "import sys, ivr.hashing.ranking; print('numba' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("queries", "gallery", "message"),
    [
        ((2, 8), (3, 4), "query codes have 64 bits, gallery codes 32"),
        ((0, 8), (3, 8), "query codes must be packed uint8"),
        ((2, 8), (0, 8), "gallery codes must be packed uint8"),
        ((2,), (3, 8), "query codes must be packed uint8"),
        ((1, 8192), (1, 8192), "up to 65528 bits, got 65536"),
    ],
)
def test_codes_that_cannot_be_compared_are_refused(
    queries: tuple[int, ...], gallery: tuple[int, ...], message: str
) -> None:
    with pytest.raises(RankingError, match=message):
        hamming_distance(np.zeros(queries, dtype=np.uint8), np.zeros(gallery, dtype=np.uint8))


def test_unpacked_codes_are_refused() -> None:
    codes, packed = random_packed(3, 8, seed=1)
    with pytest.raises(RankingError, match=r"gallery codes must be packed .* got int8 \[3, 8\]"):
        hamming_distance(packed, codes)


def test_top_k_gives_the_nearest_first_and_ties_in_gallery_order() -> None:
    gallery = np.array([[3], [1], [0], [2], [1]], dtype=np.uint8)
    rows, distance = top_k(np.array([[0]], dtype=np.uint8), gallery, k=3)
    assert rows.tolist() == [[2, 1, 3]]
    assert distance.tolist() == [[0, 1, 1]]
    assert (rows.dtype, distance.dtype) == (np.int64, np.uint16)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("k", [1, 10, 299, 300, 500])
def test_top_k_is_the_head_of_a_stable_sort(k: int) -> None:
    (queries, packed_queries), (gallery, packed) = (
        random_packed(6, 16, seed=26),
        random_packed(300, 16, seed=27),
    )
    distance = distance_of_codes(queries, gallery)
    order = np.argsort(distance, axis=1, kind="stable")[:, :k]
    rows, nearest = top_k(packed_queries, packed, k)
    np.testing.assert_array_equal(rows, order)
    np.testing.assert_array_equal(nearest, np.take_along_axis(distance, order, axis=1))


def test_top_k_never_holds_the_table_of_distances() -> None:
    _, queries = random_packed(160, 64, seed=28)
    _, gallery = random_packed(50_000, 64, seed=29)
    assert peak_memory(lambda: top_k(queries, gallery, 10)) < 0.6 * 160 * 50_000 * 8


def test_top_k_refuses_to_find_nothing() -> None:
    _, packed = random_packed(3, 8, seed=1)
    with pytest.raises(RankingError, match="k must be 1 or more, got 0"):
        top_k(packed, packed, 0)
