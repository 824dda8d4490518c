"""Slaney's mel scale, which features and training share.

Like :mod:`ivr.errors` this module stands below everything else: features and hashing do not import
each other.

Reference:
    Slaney, "Auditory Toolbox", Interval Research TR 1998-010.
"""

import math

import numpy as np


def hertz_to_mel(hertz: np.ndarray) -> np.ndarray:
    """Return mel: 3 per 200 Hz up to 1000 Hz, from there 27 for each factor of 6.4."""
    above = 15 + 27 * np.log(np.maximum(hertz, 1e-9) / 1000) / math.log(6.4)
    return np.where(hertz < 1000, 3 * hertz / 200, above)


def mel_to_hertz(mel: np.ndarray) -> np.ndarray:
    """Return the frequencies of ``mel``, Hz."""
    return np.where(mel < 15, 200 * mel / 3, 1000 * np.exp((mel - 15) * math.log(6.4) / 27))
