"""Binary codes: the signs of outputs, packed into bytes.

A code has entries -1 or +1 in memory. Packed, +1 is the bit 1 and -1 the bit 0; the first entry is
the most significant bit of the first byte. Only this module packs and unpacks bits.
"""

import numpy as np

from ivr.errors import IvrError


class CodesError(IvrError):
    """Outputs or codes cannot be used; the message is one line that says why."""


def sign(outputs: np.ndarray) -> np.ndarray:
    """Return the codes of real-valued outputs; the sign of zero is +1.

    Args:
        outputs: [n, bits], real, any finite or infinite value.

    Returns:
        Codes [n, bits], int8, entries -1 or +1.

    Raises:
        CodesError: not a table of real numbers, or NaN among them.
    """
    outputs = np.asarray(outputs)
    if outputs.ndim != 2 or not np.issubdtype(outputs.dtype, np.floating):
        raise CodesError(
            f"outputs must be floats [n, bits], got {outputs.dtype} {list(outputs.shape)}"
        )
    bad = int(np.isnan(outputs).any(axis=1).sum())
    if bad:
        raise CodesError(
            f"NaN in the outputs of {bad} of {len(outputs)} items; a NaN has no sign: "
            "check the features and the training"
        )
    return np.where(outputs >= 0, 1, -1).astype(np.int8)


def packed_signs(outputs: np.ndarray, bits: int) -> np.ndarray:
    """Return the packed codes [n, bits / 8] of ``outputs`` [n, width]: signs of the first ``bits``.

    Raises:
        CodesError: as :func:`sign` and :func:`pack`.
    """
    return pack(sign(outputs[:, :bits]))


def pack(codes: np.ndarray) -> np.ndarray:
    """Return codes with eight entries per byte, most significant bit first.

    Args:
        codes: [n, bits], entries -1 or +1, bits a multiple of 8.

    Returns:
        Packed codes [n, bits / 8], uint8.

    Raises:
        CodesError: another shape, another number of bits, or an entry other than -1 and +1.
    """
    codes = np.asarray(codes)
    if codes.ndim != 2:
        raise CodesError(f"codes must be [n, bits], got shape {list(codes.shape)}")
    _check_bits(codes.shape[1])
    positive = codes == 1
    if not (positive | (codes == -1)).all():
        raise CodesError("codes must be -1 or +1 in every entry; take sign(outputs) first")
    return np.packbits(positive, axis=1, bitorder="big")


def unpack(packed: np.ndarray, bits: int) -> np.ndarray:
    """Return the codes that :func:`pack` was given.

    Args:
        packed: [n, bits / 8], uint8.
        bits: entries per code.

    Returns:
        Codes [n, bits], int8, entries -1 or +1.

    Raises:
        CodesError: not packed codes, or not of this many bits.
    """
    packed = np.asarray(packed)
    _check_bits(bits)
    if packed.ndim != 2 or packed.dtype != np.uint8 or packed.shape[1] * 8 != bits:
        raise CodesError(
            f"packed codes of {bits} bits must be uint8 [n, {bits // 8}], "
            f"got {packed.dtype} {list(packed.shape)}"
        )
    entries: np.ndarray = np.unpackbits(packed, axis=1, bitorder="big").astype(np.int8)
    return entries * np.int8(2) - np.int8(1)


def _check_bits(bits: int) -> None:
    if bits <= 0 or bits % 8:
        raise CodesError(f"bits must be a multiple of 8, got {bits}")
