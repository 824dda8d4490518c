"""Canonical correlation of images and voices, and ITQ: what the training-free methods are made of.

Reference:
    Hotelling, "Relations between two sets of variates", Biometrika 1936; Gong and Lazebnik,
    "Iterative Quantization: A Procrustean Approach to Learning Binary Codes", CVPR 2011.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .networks import frame_mask

LEAST_CORRELATION = 1e-6


@dataclass(frozen=True)
class Canonical:
    """Linear maps of two sets of centred vectors to variates that correlate one by one.

    Attributes:
        first: [first_dim, rank]; variates have unit variance but for the regularisation.
        second: [second_dim, rank].
        correlation: [rank], descending, from 0 to 1.
    """

    first: Tensor
    second: Tensor
    correlation: Tensor


def voice_summary(voices: Tensor, frames: Tensor, segments: int) -> Tensor:
    """Return one vector per voice [m, (segments + 1) x 2 x streams x coefficients].

    It holds the mean and deviation of every coefficient of every stream, over all true frames and
    over each of ``segments`` equal parts of them. A voice of very few frames has parts without
    frames; their entries are zero.

    Args:
        voices: [m, streams, coefficients, frames], padded with anything.
        frames: [m] number of frames that each voice really has.
        segments: number of parts in time.
    """
    length = voices.shape[-1]
    count = frames.clamp(1, length)
    place = torch.arange(length, device=voices.device)
    segment = place * segments // count[:, None]
    masks = [frame_mask(count, length)]
    masks += [(segment == number).float() for number in range(segments)]
    kept = voices.float().masked_fill(masks[0][:, None, None, :] == 0, 0)
    columns = []
    for mask in masks:
        total = mask.sum(1).clamp(min=1)[:, None, None]
        mean = torch.einsum("mscf,mf->msc", kept, mask) / total
        squares = torch.einsum("mscf,mf->msc", kept.square(), mask) / total
        columns += [mean, (squares - mean.square()).clamp(min=0).sqrt()]
    return torch.stack(columns, 1).flatten(1)


def canonical_correlation(first: Tensor, second: Tensor, regularisation: float) -> Canonical:
    """Return the canonical maps of centred vectors, row for row.

    Either side is whitened by its singular values with ``regularisation`` times their mean variance
    added to each variance; the singular vectors of the whitened correlation are the maps. There are
    as many as the smaller rank; those that correlate less than 1e-6 are left out.

    Args:
        first: [n, first_dim], centred.
        second: [n, second_dim], centred.
        regularisation: 0 or more.
    """
    first_white, first_map = _whitened(first, regularisation)
    second_white, second_map = _whitened(second, regularisation)
    left, correlation, right = torch.linalg.svd(first_white.T @ second_white, full_matrices=False)
    kept = correlation > LEAST_CORRELATION
    root = len(first) ** 0.5
    return Canonical(
        root * first_map @ left[:, kept], root * second_map @ right.T[:, kept], correlation[kept]
    )


def itq_rotation(
    variates: Tensor, rotation: Tensor, iterations: int
) -> tuple[Tensor, tuple[float, ...]]:
    """Return the rotation that ITQ finds, and its objective after each iteration, descending.

    The objective is the mean square of B - V R with B = sign(V R); B and R are best for each other
    in turn. With more bits than variates the rows of R are orthonormal instead of R being square.

    Args:
        variates: V [n, rank].
        rotation: initial R [rank, bits], with orthonormal rows.
        iterations: number of iterations; each computes B, then R.
    """
    objective = []
    for _ in range(iterations):
        codes = torch.where(variates @ rotation >= 0, 1.0, -1.0).to(variates.dtype)
        left, _, right = torch.linalg.svd(variates.T @ codes, full_matrices=False)
        rotation = left @ right
        objective.append(float((codes - variates @ rotation).square().mean()))
    return rotation, tuple(objective)


def random_frame(rank: int, bits: int, generator: torch.Generator) -> Tensor:
    """Return random [rank, bits], float64, of orthonormal rows; columns where rank > bits."""
    drawn = torch.randn(max(rank, bits), min(rank, bits), generator=generator, dtype=torch.float64)
    frame: Tensor = torch.linalg.qr(drawn)[0]
    return frame.T if rank <= bits else frame


def _whitened(vectors: Tensor, regularisation: float) -> tuple[Tensor, Tensor]:
    """Return U S / (S^2 + r)^1/2 [n, rank], and the map [dim, rank] that makes it from vectors."""
    left, size, right = torch.linalg.svd(vectors, full_matrices=False)
    kept = size > size[0] * 1e-6
    left, size, right = left[:, kept], size[kept], right[kept]
    scale = 1 / (size.square() + regularisation * size.square().mean()).sqrt()
    return left * (size * scale), right.T * scale
