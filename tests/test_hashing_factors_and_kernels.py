import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge
from test_hashing_canonical import SHAPE, generator, training
from torch import Tensor

from ivr.hashing.losses import same_class
from ivr.hashing.method import ClosedFormMethod
from ivr.hashing.methods.cmfh import CMFH, CMFHConfig, collective_factors, principal_components
from ivr.hashing.methods.seph import (
    SePH,
    SePHConfig,
    divergence,
    kernel,
    kernel_regression,
    learnt_codes,
    mean_square_distance,
    slope,
)
from ivr.hashing.networks import Sizes


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64)


def fitted(kind: type[ClosedFormMethod], bits: int = 16, seed: int = 0) -> ClosedFormMethod:
    config = CMFHConfig() if kind is CMFH else SePHConfig()
    model = kind(config, Sizes(12, SHAPE, bits, 3))
    model.fit(training(), generator(seed))
    return model.eval()


def test_the_objective_of_the_factorisation_never_rises() -> None:
    config = CMFHConfig(iterations=40, tolerance=0.0)
    found = collective_factors(
        drawn(50, 6), drawn(50, 4, seed=1), torch.rand(50, 8).double(), config
    )
    assert len(found.objective) == 40
    assert all(b <= a * (1 + 1e-9) for a, b in itertools.pairwise(found.objective))
    assert found.objective[-1] < found.objective[0]


def test_projections_are_the_ridge_regressions_of_the_latent_vectors() -> None:
    config = CMFHConfig(projection=7.0, shrinkage=3.0, iterations=5)
    sides = drawn(50, 6), drawn(50, 4, seed=1)
    found = collective_factors(*sides, torch.rand(50, 8).double(), config)
    for side, mapped in zip(sides, (found.first, found.second), strict=True):
        model = Ridge(alpha=3.0 / 7.0, fit_intercept=False).fit(side.numpy(), found.latent.numpy())
        np.testing.assert_allclose(mapped.numpy(), model.coef_.T, atol=1e-9)


def test_the_factors_found_last_cannot_be_improved_one_by_one() -> None:
    config = CMFHConfig(projection=2.0, shrinkage=0.5, iterations=2000, tolerance=0.0)
    sides = drawn(40, 5), drawn(40, 4, seed=1)
    found = collective_factors(*sides, torch.rand(40, 3).double(), config)
    latent = found.latent.clone().requires_grad_()
    total = config.shrinkage * latent.square().sum()
    for share, side, mapped in zip((0.5, 0.5), sides, (found.first, found.second), strict=True):
        ridge = latent.T @ latent + config.shrinkage / share * torch.eye(3).double()
        basis = torch.linalg.solve(ridge, latent.T @ side).detach()
        total = total + share * (side - latent @ basis).square().sum()
        total = total + config.projection * (latent - side @ mapped).square().sum()
    (gradient,) = torch.autograd.grad(total, latent)
    assert gradient.abs().max() < 1e-4 * found.latent.abs().max()


def test_principal_components_are_no_more_than_the_rank_and_their_first_has_deviation_one() -> None:
    vectors = drawn(30, 3) @ drawn(3, 9, seed=2)
    axes = principal_components(vectors - vectors.mean(0), 128)
    assert axes.shape == (9, 3)
    parts = (vectors - vectors.mean(0)) @ axes
    assert float(parts[:, 0].std(correction=0)) == pytest.approx(1)
    together = (parts.T @ parts).numpy()
    np.testing.assert_allclose(together - np.diag(np.diag(together)), 0, atol=1e-9)


def test_the_slope_of_the_divergence_is_its_gradient() -> None:
    labels = torch.arange(12) % 3
    wanted = same_class(labels, labels).double().fill_diagonal_(0)
    wanted = wanted / wanted.sum() + 1e-12
    codes = drawn(12, 5).requires_grad_()
    (gradient,) = torch.autograd.grad(divergence(wanted, codes, 0.3), codes)
    torch.testing.assert_close(slope(wanted, codes.detach(), 0.3), gradient, atol=1e-9, rtol=1e-6)


def test_learnt_codes_are_nearer_within_a_class_and_those_of_the_lowest_objective() -> None:
    labels = torch.arange(60) % 3
    same = same_class(labels, labels)
    found = learnt_codes(same, 1e-4 * drawn(60, 16), 0.01 / (16 * 60), 100)
    assert min(found.objective) < 0.5 * found.objective[0]
    signs = torch.where(found.codes >= 0, 1.0, -1.0)
    agreement = (signs @ signs.T) / 16
    strangers = agreement[~same].max()
    assert agreement[same].min() > strangers
    wanted = same.double().fill_diagonal_(0)
    wanted = (wanted / wanted.sum()).clamp(min=torch.finfo(torch.float64).tiny)
    now = float(divergence(wanted, found.codes, 0.01 / (16 * 60)))
    assert now == pytest.approx(min(found.objective))


def test_the_kernel_regression_is_where_its_objective_is_flat() -> None:
    vectors = drawn(80, 4)
    width = mean_square_distance(vectors)
    kernels, between = (
        kernel(vectors, vectors[:20], width),
        kernel(vectors[:20], vectors[:20], width),
    )
    signs = torch.where(vectors[:, :2] + 0.3 * drawn(80, 2, seed=3) >= 0, 1.0, -1.0).double()
    weights = kernel_regression(kernels, between, signs, 0.01).requires_grad_()
    loss = torch.log1p(torch.exp(-signs * (kernels @ weights))).sum()
    total = loss + 0.01 * (weights * (between @ weights)).sum()
    (gradient,) = torch.autograd.grad(total, weights)
    assert gradient.abs().max() < 0.05 * 80 * 1e-2
    right = (kernels @ weights >= 0) == (signs > 0)
    assert right.double().mean() > 0.9


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_a_bit_that_is_the_same_everywhere_stays_so(sign: float) -> None:
    vectors = drawn(30, 4)
    width = mean_square_distance(vectors)
    between = kernel(vectors[:9], vectors[:9], width)
    signs = torch.full((30, 1), sign).double()
    weights = kernel_regression(kernel(vectors, vectors[:9], width), between, signs, 0.01)
    new = kernel(drawn(10, 4, seed=5), vectors[:9], width) @ weights
    assert (new * sign > 0).all()


def test_the_width_of_the_kernel_is_the_mean_square_distance() -> None:
    vectors = drawn(25, 3)
    every = (vectors[:, None] - vectors[None]).square().sum(2)
    assert float(mean_square_distance(vectors)) == pytest.approx(float(every.mean()))
    expected = torch.exp(-every / (2 * 5.0))
    torch.testing.assert_close(kernel(vectors, vectors, torch.tensor(5.0)), expected)


@pytest.mark.parametrize("kind", [CMFH, SePH])
def test_codes_of_new_images_and_voices_of_a_class_agree(kind: type[ClosedFormMethod]) -> None:
    model, items = fitted(kind), training(seed=5)
    with torch.no_grad():
        images = model.encode_images(items.images) >= 0
        voices = model.encode_voices(*model.pool(items.voices, items.frames)) >= 0
    agreement = (images[:, None] == voices[None, :]).double().mean(2)
    same = items.labels[:, None] == items.labels[None, :]
    assert agreement[same].mean() > agreement[~same].mean() + 0.1


@pytest.mark.parametrize("kind", [CMFH, SePH])
def test_the_seed_decides_what_is_drawn(kind: type[ClosedFormMethod]) -> None:
    first, again, other = (fitted(kind, 16, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert any(not torch.equal(first[key], other[key]) for key in first)


def test_fewer_pairs_than_anchors_leave_the_rest_without_weight() -> None:
    model = SePH(SePHConfig(pairs=40, anchors=50), Sizes(12, SHAPE, 16, 3))
    model.fit(training(), generator())
    assert (model.image_weights[:40] != 0).all()
    assert not model.image_weights[40:].any()
    assert not model.voice_weights[40:].any()


@pytest.mark.parametrize(
    ("config", "changes", "words"),
    [
        (CMFHConfig(), {"image_share": 1.0}, r"image_share must be in \(0, 1\), got 1.0"),
        (CMFHConfig(), {"components": 0}, "components must be at least 1, got 0"),
        (SePHConfig(), {"pairs": 1}, "pairs must be at least 2, got 1"),
        (
            SePHConfig(),
            {"shrinkage": 0.0},
            "shrinkage must be (positive|greater than 0|above 0), got 0.0",
        ),
    ],
)
def test_choices_that_cannot_be_are_refused(
    config: CMFHConfig | SePHConfig, changes: dict[str, float], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        replace(config, **changes)  # type: ignore[arg-type, misc]
