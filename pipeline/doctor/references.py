"""Checks of this machine's arithmetic against independent implementations, without a GPU."""

from collections.abc import Iterator
from itertools import chain

import numpy as np
import torch

from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import BACKENDS
from ivr.features.voice_torch import batch_cepstra
from ivr.hashing.average_precision import average_precision
from ivr.hashing.codes import pack
from ivr.hashing.histograms import class_histograms, class_histograms_numpy

from .doctor_result import MachineCheck
from .sample_set import CLASSES, sound

MFCC_LIMIT = 1e-5
"""Largest difference between two ways to the MFCC, over the largest value, float32."""
RANK_LIMIT = 1e-9
"""Largest difference between two ways to an average precision, float64."""


def reference_checks(device: torch.device) -> Iterator[MachineCheck]:
    """Yield checks of the MFCC and of the ranking; the batched MFCC is computed on ``device``."""
    recordings = [
        sound(number, np.random.default_rng([1, number])).astype(np.float32)
        for number in range(CLASSES)
    ]
    config = VoiceConfig()
    expected = [BACKENDS["librosa"](samples, config) for samples in recordings]
    fast = [BACKENDS["fast"](samples, config) for samples in recordings]
    batched = batch_cepstra(recordings, config, device)
    yield difference_check("MFCC, fast, beside librosa", fast, expected, MFCC_LIMIT)
    name = f"MFCC, batched on {device.type}, beside librosa"
    yield difference_check(name, batched, expected, MFCC_LIMIT)
    yield _ranking()


def difference_check(
    name: str, values: list[np.ndarray], expected: list[np.ndarray], limit: float
) -> MachineCheck:
    """Return the check that arrays differ by at most ``limit`` of the largest expected value."""
    if any(one.shape != other.shape for one, other in zip(values, expected, strict=True)):
        return MachineCheck(name, "failed", "the shapes differ")
    largest = max(float(np.abs(array).max()) for array in expected)
    worst = max(
        float(np.abs(one.astype(np.float64) - other).max())
        for one, other in zip(values, expected, strict=True)
    )
    share = worst / largest if largest else worst
    text = f"largest difference {share:.1e} of the largest value (limit {limit:.0e})"
    # A NaN is a difference too: it is not below the limit.
    return MachineCheck(name, "ok" if share <= limit else "failed", text)


def _ranking() -> MachineCheck:
    rng = np.random.default_rng(0)
    codes = pack(rng.choice(np.array([-1, 1], np.int8), (600, 64)))
    labels = rng.integers(0, 5, 600)
    parts = codes[:100], labels[:100], codes[100:], labels[100:]
    kernel, plain = class_histograms(*parts), class_histograms_numpy(*parts)
    one, other = average_precision(kernel), average_precision(plain)
    counts = chain(
        (kernel.items != plain.items).ravel(), (kernel.relevant != plain.relevant).ravel()
    )
    worst = float(np.abs(one - other).max())
    good = not any(counts) and worst <= RANK_LIMIT
    text = f"largest difference of an average precision {worst:.1e} (limit {RANK_LIMIT:.0e})"
    return MachineCheck("ranking, numba, beside NumPy", "ok" if good else "failed", text)
