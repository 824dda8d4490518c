r"""CMFH: collective matrix factorisation; an image and its voice share one latent vector.

Reference:
    Ding, Guo and Zhou, "Collective Matrix Factorization Hashing for Multimodal Data", CVPR 2014;
    the authors' solveCMFH.m, which has lambda 0.5, mu 100 and gamma 0.01.

With images X_1 and voices X_2, a column per pair, U_t, P_t and the latent vectors Y minimise

    l |X_1 - U_1 Y|^2 + (1 - l) |X_2 - U_2 Y|^2 + mu sum_t |Y - P_t X_t|^2
    + gamma (sum_t |U_t|^2 + sum_t |P_t|^2 + |Y|^2).

They are solved for in turn; the code of x_t is sign(P_t x_t). There are no classes in it.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt
from torch import Tensor

from ivr.config import config
from ivr.hashing.linear_method import LinearConfig, LinearMethod
from ivr.hashing.method import MethodEntry


@config
class CMFHConfig(LinearConfig):
    """The choices of CMFH.

    Attributes:
        segments: number of equal parts in time; a voice is summarised as a whole and by part.
        components: principal components of each modality that are factorised.
        image_share: lambda, weight of the factorisation of the images; that of the voices has the
            rest.
        projection: mu, weight of the projections into the latent space.
        shrinkage: gamma, weight of the squares of all factors.
        iterations: largest number of iterations.
        tolerance: smallest relative fall of the objective that another iteration is worth.
    """

    segments: PositiveInt = 4
    components: PositiveInt = 128
    image_share: Annotated[float, Field(gt=0, lt=1)] = 0.5
    projection: PositiveFloat = 100.0
    shrinkage: PositiveFloat = 0.01
    iterations: PositiveInt = 100
    tolerance: NonNegativeFloat = 1e-5


class CMFH(LinearMethod):
    """One factorisation of images and voices, and the projection of either into it."""

    source = "CMFH, Ding et al., CVPR 2014, solveCMFH.m"
    differences = (
        "not trained; standardised principal components of each modality; each factor minimises "
        "the printed objective (the authors' code leaves lambda and mu out where it solves for U "
        "and P)"
    )
    config: CMFHConfig

    def maps(
        self, images: Tensor, voices: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Factorise the principal components; fold them into the maps."""
        bases = [
            principal_components(vectors, self.config.components) for vectors in (images, voices)
        ]
        first, second = images @ bases[0], voices @ bases[1]
        begin = torch.rand(
            len(images), self.sizes.bits, generator=generator, dtype=images.dtype
        ).to(images.device)
        found = collective_factors(first, second, begin, self.config)
        return bases[0] @ found.first, bases[1] @ found.second


@dataclass(frozen=True)
class Factors:
    """The result of the factorisation, with a row per pair or component.

    Attributes:
        latent: Y^T [n, bits].
        first: P_1^T [first_dim, bits].
        second: P_2^T [second_dim, bits].
        objective: the objective after each iteration, never rising.
    """

    latent: Tensor
    first: Tensor
    second: Tensor
    objective: tuple[float, ...]


def principal_components(vectors: Tensor, count: int) -> Tensor:
    """Return [dim, rank], at most ``count`` principal axes of centred vectors [n, dim].

    Each is divided by the deviation along the first, so that the components of both modalities
    have one scale.
    """
    _, size, right = torch.linalg.svd(vectors, full_matrices=False)
    kept = min(count, int((size > 1e-6 * size[0]).sum()))
    deviation = size[0] / len(vectors) ** 0.5
    axes: Tensor = right[:kept].T / deviation
    return axes


def collective_factors(
    first: Tensor, second: Tensor, latent: Tensor, config: CMFHConfig
) -> Factors:
    """Return the factors of vectors of two modalities, row for row.

    Each step solves for one factor exactly, so the objective cannot rise.

    Args:
        first: X_1^T [n, first_dim], centred.
        second: X_2^T [n, second_dim], centred.
        latent: Y^T [n, bits] to begin with.
        config: weights and number of iterations.
    """
    shares = config.image_share, 1 - config.image_share
    mu, gamma = config.projection, config.shrinkage
    sides = first, second
    # P_t^T = (X_t X_t^T + gamma / mu)^-1 X_t Y^T: the first factor does not change.
    inverses = [
        torch.linalg.solve(side.T @ side + gamma / mu * _eye(side), side.T) for side in sides
    ]
    objective: list[float] = []
    while len(objective) < config.iterations:
        bases = [
            torch.linalg.solve(latent.T @ latent + gamma / share * _eye(latent), latent.T @ side)
            for share, side in zip(shares, sides, strict=True)
        ]
        maps = [inverse @ latent for inverse in inverses]
        left = (2 * mu + gamma) * _eye(latent)
        right = torch.zeros_like(latent)
        for share, side, basis, mapped in zip(shares, sides, bases, maps, strict=True):
            left = left + share * basis @ basis.T
            right = right + share * side @ basis.T + mu * side @ mapped
        latent = torch.linalg.solve(left, right.T).T
        maps = [inverse @ latent for inverse in inverses]
        objective.append(_objective(sides, latent, bases, maps, config))
        if len(objective) > 1:
            fall = objective[-2] - objective[-1]
            if fall <= config.tolerance * abs(objective[-1]):
                break
    return Factors(latent, maps[0], maps[1], tuple(objective))


def _objective(
    sides: tuple[Tensor, Tensor],
    latent: Tensor,
    bases: list[Tensor],
    maps: list[Tensor],
    config: CMFHConfig,
) -> float:
    """Return the objective as it is printed in the paper."""
    total = config.shrinkage * latent.square().sum()
    shares = config.image_share, 1 - config.image_share
    for share, side, basis, mapped in zip(shares, sides, bases, maps, strict=True):
        total = total + share * (side - latent @ basis).square().sum()
        total = total + config.projection * (latent - side @ mapped).square().sum()
        total = total + config.shrinkage * (basis.square().sum() + mapped.square().sum())
    return float(total)


def _eye(rows: Tensor) -> Tensor:
    """Return the unit matrix [dim, dim] for rows [n, dim]."""
    return torch.eye(rows.shape[1], dtype=rows.dtype, device=rows.device)


METHOD = MethodEntry(build=CMFH, config=CMFHConfig)
