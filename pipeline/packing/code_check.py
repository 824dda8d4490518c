"""Whether packed networks give the codes of the run: bit by bit, on inputs of the run."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .model_folder import PackError

NOISE = 1e-3
"""Outputs this close to 0, relative to their root mean square, may have either sign.

Both libraries compute in float32 and add in other orders; their outputs differ by about 1e-6 of the
root mean square after a hash head, and by about 1e-5 after an image encoder.
"""


@dataclass(frozen=True)
class CodeCheck:
    """Bits of a packed network beside those of the run.

    Attributes:
        network: file that was checked, with all that follows it.
        inputs: number of inputs.
        source: where the inputs come from: ``features of the run`` or ``made up``.
        bits: number of bits compared.
        differ: number of bits that differ; the outputs of all of them are float noise around 0.
        largest: largest difference of an output, relative to the root mean square of all.
    """

    network: str
    inputs: int
    source: str
    bits: int
    differ: int
    largest: float

    def __str__(self) -> str:
        """Return the check in one line."""
        return (
            f"{self.network}: {self.differ} of {self.bits} bits differ from the run "
            f"({self.inputs} inputs, {self.source})"
        )


def compared(network: str, source: str, expected: np.ndarray, found: np.ndarray) -> CodeCheck:
    """Return how the signs of ``found`` [n, bits] differ from those of ``expected`` [n, bits].

    Raises:
        PackError: a bit differs whose output is not float noise, or an output is NaN.
    """
    scale = float(np.sqrt(np.mean(np.square(expected, dtype=np.float64)))) or 1.0
    differ = (expected >= 0) != (found >= 0)
    wrong = int((differ & (np.abs(expected) > NOISE * scale)).sum())
    if wrong or not (np.isfinite(found).all() and np.isfinite(expected).all()):
        raise PackError(
            f"{network}: {wrong} of {expected.size} bits are not those of the run, so it was not "
            "packed; the exporter does not compute this network as torch does"
        )
    largest = float(np.abs(expected - found).max(initial=0.0)) / scale
    return CodeCheck(
        network, len(expected), source, expected.size, int(differ.sum()), float(f"{largest:.1e}")
    )


def in_parts(
    function: Callable[..., np.ndarray], *inputs: np.ndarray, step: int = 64
) -> np.ndarray:
    """Return ``function`` of ``inputs``, at most ``step`` rows at a time."""
    rows = range(0, len(inputs[0]), step)
    return np.concatenate([function(*(one[row : row + step] for one in inputs)) for row in rows])
