"""How voices are changed while a model is trained, so that it hears other speakers in them.

All of it acts on cepstra: no recording is read again, and every step hears another change.
"""

import math
from functools import lru_cache
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ivr.mel_scale import hertz_to_mel, mel_to_hertz

Scale = Literal["cepstra", "mel", "hertz"]
"""What the numbers of a frame are: cepstra of mel bands, or bands evenly spaced in mel or hertz."""

WARPS = 33  # factors that the range is cut into, evenly in their logarithm; the middle one is 1
UNWARPED = 0.2  # share of the voices that keep their vocal tract


def warped(
    values: Tensor, largest: float, mels: int, sample_rate: int, scale: Scale = "cepstra"
) -> Tensor:
    """Return voices as of speakers with longer or shorter vocal tracts.

    Frequencies are multiplied by one factor per voice, whose logarithm is drawn evenly; a fifth of
    the voices keep their frequencies. Bands are resampled. For cepstra these are the mel bands that
    they were computed from: with the cosine transform D and the resampling S this is the matrix
    D S D^T, a map of the coefficients.

    Reference:
        Jaitly and Hinton, "Vocal Tract Length Perturbation (VTLP) improves speech recognition",
        ICML workshop 2013. Here it is applied to the cepstra, without the detail that the omitted
        coefficients held.

    Args:
        values: [m, streams, coefficients, frames], zero where a voice has no frame.
        largest: largest absolute logarithm of the factor; 0 changes nothing.
        mels: number of bands.
        sample_rate: Hz.
        scale: what the coefficients are; of a spectrum there are as many as bands.
    """
    if not largest:
        return values
    coefficients = values.shape[2]
    matrices = _warp_matrices(largest, coefficients, mels, sample_rate, scale).to(values.device)
    drawn = torch.randint(WARPS, (len(values),), device=values.device)
    kept = torch.rand(len(values), device=values.device) < UNWARPED
    chosen = torch.where(kept, torch.full_like(drawn, WARPS // 2), drawn)
    return torch.einsum("mij,msjt->msit", matrices[chosen], values)


def stretched(values: Tensor, frames: Tensor, largest: float) -> tuple[Tensor, Tensor]:
    """Return voices that speak faster or more slowly, and their new numbers of frames.

    Args:
        values: [m, streams, coefficients, frames].
        frames: [m] number of frames that each voice really has.
        largest: largest absolute logarithm of the factor, which is drawn for each voice; 0 changes
            nothing. Frames beyond the length of the array are cut.
    """
    if not largest:
        return values, frames
    length = values.shape[-1]
    factor = torch.exp((2 * torch.rand(len(values), device=values.device) - 1) * largest)
    count = (frames * factor).round().long().clamp(1, length)
    place = torch.arange(length, device=values.device) / factor[:, None]
    place = torch.minimum(place, (frames.clamp(1, length) - 1)[:, None].float())
    before = place.floor().long()
    after = torch.minimum(before + 1, (frames.clamp(1, length) - 1)[:, None])
    share = (place - before)[:, None, None]
    first, second = (_taken(values, index) for index in (before, after))
    return first + share * (second - first), count


def tilted(values: Tensor, deviation: float) -> Tensor:
    """Return cepstra multiplied by random factors, one per voice and coefficient.

    Args:
        values: [m, streams, coefficients, frames].
        deviation: standard deviation of the logarithm of the factor, which is normally distributed;
            0 changes nothing.
    """
    if not deviation:
        return values
    drawn = torch.randn(len(values), 1, values.shape[2], 1, device=values.device)
    return values * torch.exp(deviation * drawn)


def with_frames_hidden(values: Tensor, frames: Tensor, masks: int, share: float) -> Tensor:
    """Hide random stretches of frames (zero: the training mean).

    Reference:
        Park et al., "SpecAugment", Interspeech 2019, without time warping; on MFCC, not on the
        spectrogram.

    Args:
        values: [m, streams, coefficients, frames], standardised.
        frames: [m] number of frames that each voice really has.
        masks: stretches a voice.
        share: longest stretch, as a share of the frames of the voice.
    """
    count, _, _, length = values.shape
    for _ in range(masks):
        hidden = _runs(count, frames.float(), share, length, values.device)
        values = values.masked_fill(hidden[:, None, None, :], 0)
    return values


def with_coefficients_hidden(values: Tensor, masks: int, share: float) -> Tensor:
    """Hide random runs of coefficients of all streams, as :func:`with_frames_hidden` does."""
    count, _, coefficients, _ = values.shape
    whole = torch.full((count,), float(coefficients), device=values.device)
    for _ in range(masks):
        hidden = _runs(count, whole, share, coefficients, values.device)
        values = values.masked_fill(hidden[:, None, :, None], 0)
    return values


def _taken(values: Tensor, index: Tensor) -> Tensor:
    """Return the frames ``index`` [m, length] of each voice."""
    whole = index[:, None, None, :].expand(-1, values.shape[1], values.shape[2], -1)
    return values.gather(3, whole)


def _runs(count: int, extent: Tensor, share: float, length: int, device: torch.device) -> Tensor:
    """Return booleans [count, length]: one random run per row, at most ``share`` of its extent."""
    width = (torch.rand(count, device=device) * (share * extent + 1)).floor()
    start = (torch.rand(count, device=device) * (extent - width + 1)).floor()
    position = torch.arange(length, device=device)
    return (position >= start[:, None]) & (position < (start + width)[:, None])


@lru_cache(maxsize=8)
def _warp_matrices(
    largest: float, coefficients: int, mels: int, sample_rate: int, scale: Scale
) -> Tensor:
    """Return the maps [WARPS, coefficients, coefficients] of the factors, ascending."""
    factors = np.exp(np.linspace(-largest, largest, WARPS))
    places = (_warped_places(float(factor), mels, sample_rate, scale) for factor in factors)
    resamplings = np.array([_resampling(place) for place in places])
    if scale == "cepstra":
        cosines = _cosine_transform(mels)[:coefficients]
        resamplings = cosines @ resamplings @ cosines.T
    return torch.from_numpy(resamplings.astype(np.float32))


def _warped_places(factor: float, bands: int, sample_rate: int, scale: Scale) -> np.ndarray:
    """Return which band, in fractions of a band, each of ``bands`` is taken from, float64 [bands].

    Bands of a spectrum in hertz lie from 0 Hz to half the sample rate, both included; centres of
    mel bands lie between them.
    """
    if scale == "hertz":
        return (factor * np.arange(bands)).clip(0, bands - 1)
    centres = np.linspace(0, hertz_to_mel(np.array(sample_rate / 2)), bands + 2)[1:-1]
    step = centres[1] - centres[0] if bands > 1 else 1.0
    source = hertz_to_mel(np.minimum(mel_to_hertz(centres) * factor, sample_rate / 2))
    places: np.ndarray = (source - centres[0]) / step
    return places.clip(0, bands - 1)


def _resampling(place: np.ndarray) -> np.ndarray:
    """Return the matrix [n, n] that interpolates between the two neighbours of each ``place``."""
    count = len(place)
    below = np.minimum(place.astype(int), max(0, count - 2))
    matrix = np.zeros((count, count))
    matrix[np.arange(count), below] = 1 - (place - below)
    matrix[np.arange(count), np.minimum(below + 1, count - 1)] += place - below
    return matrix


def _cosine_transform(size: int) -> np.ndarray:
    """Return the orthonormal cosine transform (type II) [size, size], frequencies first."""
    angles = np.pi * np.outer(np.arange(size), np.arange(size) + 0.5) / size
    transform: np.ndarray = np.cos(angles) * math.sqrt(2 / size)
    transform[0] /= math.sqrt(2)
    return transform
