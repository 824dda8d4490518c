"""Pieces that the losses of several methods are made of; each in its stable form.

Arguments are outputs of batches: X [n, bits] of images, V [m, bits] of voices.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor


def sign(outputs: Tensor) -> Tensor:
    """Return -1 and +1 without a gradient; the sign of 0 is +1."""
    return torch.where(outputs.detach() >= 0, 1.0, -1.0).to(outputs.dtype)


def straight_through_sign(outputs: Tensor) -> Tensor:
    """Return the signs of ``outputs`` with the gradient of the outputs themselves."""
    return outputs + (sign(outputs) - outputs).detach()


def log_cosh(values: Tensor) -> Tensor:
    r"""Return :math:`\log\cosh` of every entry, finite for any: a smooth absolute value."""
    size = values.abs()
    return size + F.softplus(-2 * size) - math.log(2)


def same_class(labels: Tensor, other: Tensor) -> Tensor:
    """Return booleans [n, m], whether labels [n] and [m] agree."""
    return labels[:, None] == other[None, :]


def balanced_weights(similar: Tensor) -> Tensor:
    """Return weights [n, m] of mean 1 that give either kind of pair half of the total (HashNet)."""
    positive = similar.sum()
    negative = similar.numel() - positive
    total = float(similar.numel())
    if positive == 0 or negative == 0:
        return torch.ones_like(similar)
    return torch.where(similar > 0, total / (2 * positive), total / (2 * negative))


def pairwise_likelihood(theta: Tensor, similar: Tensor, weights: Tensor) -> Tensor:
    r"""Return the mean of :math:`w_{ij} (\log(1 + e^{\theta_{ij}}) - s_{ij} \theta_{ij})`.

    Args:
        theta: [n, m] real.
        similar: s [n, m], 1 for pairs of one class, else 0.
        weights: w [n, m].
    """
    return (weights * (F.softplus(theta) - similar * theta)).mean()


def products_within(outputs: Tensor, similar: Tensor) -> tuple[Tensor, Tensor]:
    """Return the inner products of pairs of two items of one modality, and their similarity.

    Args:
        outputs: [n, bits].
        similar: [n, n], 1 for pairs of one class, else 0.

    Returns:
        Both [n (n - 1)], without the pairs of an item with itself.
    """
    others = ~torch.eye(len(outputs), dtype=torch.bool, device=outputs.device)
    return (outputs @ outputs.T)[others], similar[others]


def margin_cross_entropy(
    outputs: Tensor, codes: Tensor, labels: Tensor, *, scale: float, margin: float
) -> Tensor:
    r"""Return the mean cross-entropy of :math:`s (\cos(u, c_j) - m [j = y])`, a scalar.

    Args:
        outputs: u [n, bits].
        codes: c [classes, bits], the codes of the classes, entries -1 or +1.
        labels: y [n], class numbers.
        scale: s, of the cosines before the softmax.
        margin: m, by which the cosine to the code of the right class must win.
    """
    cosine = F.normalize(outputs) @ F.normalize(codes).T
    right = F.one_hot(labels, len(codes)).to(cosine.dtype)
    return F.cross_entropy(scale * (cosine - margin * right), labels)


def bits_off(outputs: Tensor) -> Tensor:
    r"""Return the mean of :math:`\log\cosh(|u| - 1)`, how far outputs are from codes."""
    return log_cosh(outputs.abs() - 1).mean()


def mean_or_zero(values: Tensor) -> Tensor:
    """Return the mean, and 0 where there is nothing to take it of."""
    return values.sum() / max(1, values.numel())


def squared_distances(rows: Tensor, others: Tensor) -> Tensor:
    """Return squared Euclidean distances [n, m] of rows [n, width] and [m, width]."""
    table = rows.square().sum(1)[:, None] + others.square().sum(1) - 2 * rows @ others.T
    return table.clamp(min=0)
