import itertools

import numpy as np
import pytest
import torch
from scipy.linalg import hadamard as sylvester
from torch import Tensor

from ivr.hashing.codebooks import codebook, hadamard, has_hadamard, spread_codes
from ivr.pipeline.runs.run_config import BITS


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def distances(codes: Tensor) -> list[int]:
    return [int((a != b).sum()) for a, b in itertools.combinations(codes, 2)]


@pytest.mark.parametrize("bits", BITS)
def test_every_length_of_code_has_a_hadamard_matrix(bits: int) -> None:
    assert has_hadamard(bits)
    matrix = hadamard(bits).numpy()
    assert set(matrix.ravel()) == {-1, 1}
    np.testing.assert_array_equal(matrix @ matrix.T, bits * np.eye(bits))


def test_doubling_is_that_of_sylvester() -> None:
    np.testing.assert_array_equal(hadamard(2).numpy(), sylvester(2))
    assert not has_hadamard(10)
    assert not has_hadamard(7)
    assert has_hadamard(40)  # 40 = 2 x 20, 20 = 19 + 1


@pytest.mark.parametrize(("classes", "bits"), [(21, 64), (21, 24), (30, 16), (7, 8), (16, 8)])
def test_codes_of_classes_differ_in_half_of_the_bits_or_in_all(classes: int, bits: int) -> None:
    codes = codebook(classes, bits, generator())
    assert codes.shape == (classes, bits)
    assert set(distances(codes)) <= {bits // 2, bits}
    if classes <= bits:
        assert set(distances(codes)) == {bits // 2}


def test_no_two_bits_of_a_codebook_are_alike_and_none_is_constant() -> None:
    # The first 21 rows of Sylvester's matrix of 64 have 32 different columns, one of them constant.
    codes = codebook(21, 64, generator())
    assert len({tuple(column) for column in codes.T.tolist()}) == 64
    assert (codes.sum(0).abs() < 21).all()


def test_more_classes_than_orthogonal_codes_are_spread_out() -> None:
    # By chance the nearest two of 40 random codes of 8 bits coincide nearly always.
    codes = codebook(40, 8, generator())
    assert min(distances(codes)) >= 2
    assert set(codes.unique().tolist()) == {-1.0, 1.0}
    # All 256 codes of 8 bits, each once.
    assert len(set(map(tuple, spread_codes(256, 8, generator()).tolist()))) == 256


def test_more_classes_than_codes_are_refused() -> None:
    with pytest.raises(ValueError, match="257 classes need more than 8 bits"):
        codebook(257, 8, generator())


def test_a_codebook_is_drawn_by_its_generator() -> None:
    first, again, other = (codebook(5, 16, generator(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
