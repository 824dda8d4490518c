"""Triplets of an anchor, a positive and a negative item: which to take, and what they cost."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .losses import mean_or_zero


def semi_hard_negative(positive: Tensor, distance: Tensor, negative: Tensor) -> Tensor:
    """Return the nearest negative beyond the positive, or the farthest where none is beyond it.

    Reference:
        Schroff et al., "FaceNet", CVPR 2015, section 3.2.

    Args:
        positive: [n] distance of each anchor to its positive.
        distance: [n, m] distances to all items.
        negative: booleans [n, m], at least one per row.

    Returns:
        Columns [n].
    """
    beyond = negative & (distance > positive[:, None])
    nearest = distance.masked_fill(~beyond, torch.inf).argmin(1)
    farthest = distance.masked_fill(~negative, -torch.inf).argmax(1)
    return torch.where(beyond.any(1), nearest, farthest)


def hard_negatives(positive: Tensor, distance: Tensor, negative: Tensor, margin: float) -> Tensor:
    """Return which negatives [n, m] are within a margin of the positive; the nearest if none.

    Args:
        positive: [n] distance of each anchor to its positive.
        distance: [n, m] distances to all items.
        negative: booleans [n, m], at least one per row.
        margin: a negative is hard if its distance is below that of the positive plus this margin.
    """
    hard = negative & (distance < positive[:, None] + margin)
    among = distance.masked_fill(~negative, torch.inf)
    nearest = negative & (distance == among.amin(1, keepdim=True))
    return torch.where(hard.any(1, keepdim=True), hard, nearest)


def drawn(candidates: Tensor) -> Tensor:
    """Return a column [n] drawn from the candidates (booleans [n, m]) of each row."""
    if not len(candidates):
        return candidates.new_zeros(0, dtype=torch.int64)
    return torch.multinomial(candidates.float(), 1)[:, 0]


def triplet_likelihood(anchor: Tensor, near: Tensor, far: Tensor, margin: float) -> Tensor:
    r"""Return the mean of :math:`\log(1 + e^{-(a^T p / 2 - a^T n / 2 - m)})`, 0 of no triplets.

    Args:
        anchor: a [t, bits].
        near: p [t, bits], of its class.
        far: n [t, bits], of another.
        margin: m.
    """
    theta = ((anchor * near).sum(1) - (anchor * far).sum(1)) / 2
    return mean_or_zero(F.softplus(margin - theta))


def triplet_margin(anchor: Tensor, near: Tensor, far: Tensor, margin: float) -> Tensor:
    r"""Return the mean of :math:`\max(0, m + |a - p|^2 - |a - n|^2)`, 0 of no triplets.

    Args:
        anchor: a [t, width].
        near: p [t, width], of its class.
        far: n [t, width], of another.
        margin: m.
    """
    distances = [(anchor - other).square().sum(1) for other in (near, far)]
    return mean_or_zero(torch.relu(margin + distances[0] - distances[1]))
