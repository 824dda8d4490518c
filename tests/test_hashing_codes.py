import numpy as np
import pytest

from ivr.hashing.codes import CodesError, pack, sign, unpack


def random_codes(items: int, bits: int) -> np.ndarray:
    return np.random.default_rng(5).choice(np.array([-1, 1], dtype=np.int8), (items, bits))


def test_sign_of_zero_is_plus_one_whatever_the_sign_of_the_zero() -> None:
    codes = sign(np.array([[0.0, -0.0, -1e-30, 3.5, np.inf, -np.inf]]))
    assert codes.tolist() == [[1, 1, -1, 1, 1, -1]]
    assert codes.dtype == np.int8


def test_sign_refuses_nan_and_names_how_many_items_have_it() -> None:
    outputs = np.zeros((3, 8), dtype=np.float32)
    outputs[1, 2:4] = np.nan
    with pytest.raises(CodesError, match="NaN in the outputs of 1 of 3 items"):
        sign(outputs)


@pytest.mark.parametrize("outputs", [np.zeros(8), np.zeros((2, 8), dtype=np.int8)])
def test_sign_refuses_what_is_not_a_table_of_floats(outputs: np.ndarray) -> None:
    with pytest.raises(CodesError, match=r"outputs must be floats \[n, bits\]"):
        sign(outputs)


def test_the_first_entry_is_the_most_significant_bit_of_the_first_byte() -> None:
    codes = np.array([[1, 1, -1, -1, 1, -1, 1, -1] + [-1] * 7 + [1]])
    assert pack(codes).tolist() == [[0b11001010, 0b00000001]]
    assert pack(codes).dtype == np.uint8


def test_unpacked_bits_are_codes_in_order() -> None:
    codes = unpack(np.array([[0b11001010]], dtype=np.uint8), bits=8)
    assert codes.tolist() == [[1, 1, -1, -1, 1, -1, 1, -1]]
    assert codes.dtype == np.int8


@pytest.mark.parametrize("bits", [8, 24, 64, 136])
def test_unpack_gives_back_what_was_packed(bits: int) -> None:
    codes = random_codes(11, bits)
    np.testing.assert_array_equal(unpack(pack(codes), bits), codes)


def test_no_items_pack_to_no_items() -> None:
    assert pack(np.empty((0, 16), dtype=np.int8)).shape == (0, 2)


@pytest.mark.parametrize("bits", [0, 12])
def test_bits_must_be_a_multiple_of_eight(bits: int) -> None:
    with pytest.raises(CodesError, match=f"bits must be a multiple of 8, got {bits}"):
        pack(np.ones((2, bits), dtype=np.int8))
    with pytest.raises(CodesError, match=f"bits must be a multiple of 8, got {bits}"):
        unpack(np.zeros((2, 2), dtype=np.uint8), bits)


@pytest.mark.parametrize("entry", [0, 2, 0.5])
def test_pack_refuses_an_entry_that_is_not_a_sign(entry: float) -> None:
    codes = np.ones((2, 8))
    codes[1, 3] = entry
    with pytest.raises(CodesError, match=r"take sign\(outputs\) first"):
        pack(codes)


def test_pack_refuses_a_code_that_is_not_in_a_table() -> None:
    with pytest.raises(CodesError, match=r"codes must be \[n, bits\], got shape \[8\]"):
        pack(np.ones(8))


@pytest.mark.parametrize(
    "packed", [np.zeros((2, 3), dtype=np.uint8), np.zeros((2, 2)), np.zeros(2, dtype=np.uint8)]
)
def test_unpack_refuses_codes_of_another_length_or_type(packed: np.ndarray) -> None:
    with pytest.raises(CodesError, match=r"packed codes of 16 bits must be uint8 \[n, 2\]"):
        unpack(packed, bits=16)
