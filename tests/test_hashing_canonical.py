import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.cross_decomposition import CCA
from torch import Tensor

from ivr.hashing.canonical import canonical_correlation, itq_rotation, random_frame, voice_summary
from ivr.hashing.canonical_method import CanonicalConfig, CanonicalMethod
from ivr.hashing.method import ClosedFormMethod
from ivr.hashing.methods import method_entry
from ivr.hashing.methods.cca_itq import CCAITQConfig
from ivr.hashing.networks import Sizes
from ivr.hashing.pairs import Pairs

SHAPE = (2, 3, 40)
FREE = ("cca_sign", "cca_itq", "lsh")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def correlated(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Centred [count, 6] and [count, 5] with three directions in common."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 1, (count, 3))
    first = common @ rng.normal(0, 1, (3, 6)) + 0.5 * rng.normal(0, 1, (count, 6))
    second = common @ rng.normal(0, 1, (3, 5)) + 0.7 * rng.normal(0, 1, (count, 5))
    return torch.tensor(first - first.mean(0)), torch.tensor(second - second.mean(0))


def training(count: int = 60, image_dim: int = 12, seed: int = 0) -> Pairs:
    """Images and voices of three classes, which the methods are not told of."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 3
    tones, places = np.random.default_rng(9).normal(0, 1, (2, 3, 12))
    images = places[labels][:, :image_dim] + rng.normal(0, 0.3, (count, image_dim))
    level = tones[labels][:, :6].reshape(count, 2, 3, 1)
    voices = level + rng.normal(0, 0.4, (count, *SHAPE))
    frames = rng.integers(10, 41, count)
    return Pairs(
        torch.tensor(images).float(), torch.tensor(labels), torch.tensor(voices).float(),
        torch.tensor(frames), torch.arange(count),
    )  # fmt: skip


def fitted(name: str, bits: int = 8, seed: int = 0) -> ClosedFormMethod:
    entry = method_entry(name)
    model = entry.build(entry.config(), Sizes(12, SHAPE, bits, 3))
    assert isinstance(model, ClosedFormMethod)
    model.fit(training(), generator(seed))
    return model.eval()


def test_canonical_variates_are_those_of_scikit_learn_up_to_sign() -> None:
    first, second = correlated(200)
    found = canonical_correlation(first, second, 0.0)
    model = CCA(n_components=5, scale=False, max_iter=5000, tol=1e-12).fit(first, second)
    for side, maps, theirs in (
        (first, found.first, model.transform(first, second)[0]),
        (second, found.second, model.transform(first, second)[1]),
    ):
        ours = (side @ maps).numpy()
        assert ours.shape == theirs.shape == (200, 5)
        for a, b in zip(ours.T, theirs.T, strict=True):
            assert abs(np.corrcoef(a, b)[0, 1]) == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(ours.T @ ours / 200, np.eye(5), atol=1e-9)


def test_correlations_are_those_of_the_variates_and_descend() -> None:
    first, second = correlated(200)
    found = canonical_correlation(first, second, 0.0)
    variates = (first @ found.first).numpy(), (second @ found.second).numpy()
    measured = [np.corrcoef(a, b)[0, 1] for a, b in zip(variates[0].T, variates[1].T, strict=True)]
    np.testing.assert_allclose(found.correlation, measured, atol=1e-9)
    assert (found.correlation.diff() <= 0).all()


def test_regularisation_keeps_more_dimensions_than_rows_from_correlating_perfectly() -> None:
    rng = np.random.default_rng(0)
    first, second = (torch.tensor(rng.normal(0, 1, (20, dim))) for dim in (50, 40))
    first, second = first - first.mean(0), second - second.mean(0)
    free, held = (canonical_correlation(first, second, r) for r in (0.0, 1.0))
    assert free.correlation[0] == pytest.approx(1, abs=1e-9)
    assert len(free.correlation) <= 19
    assert held.correlation[0] < 0.9
    assert held.first.isfinite().all()


def test_the_objective_of_itq_never_rises_and_its_rotation_is_orthogonal() -> None:
    variates = torch.tensor(np.random.default_rng(0).normal(0, [[2, 1, 1, 0.5]], (80, 4)))
    begin = random_frame(4, 4, generator())
    rotation, objective = itq_rotation(variates, begin, 30)
    assert all(b <= a + 1e-12 for a, b in itertools.pairwise(objective))
    assert objective[-1] < objective[0]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(4, dtype=torch.float64))
    codes = np.where((variates @ rotation).numpy() >= 0, 1, -1)
    assert objective[-1] <= ((codes - (variates @ begin).numpy()) ** 2).mean()


def test_a_step_of_itq_is_the_procrustes_solution() -> None:
    variates = torch.tensor(np.random.default_rng(1).normal(0, 1, (50, 2)))
    begin = torch.eye(2, dtype=torch.float64)
    _, (objective,) = itq_rotation(variates, begin, 1)
    codes = np.where(variates.numpy() >= 0, 1, -1)
    values = []
    for angle in np.linspace(0, 2 * np.pi, 7201):
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        values += [((codes - variates.numpy() @ t) ** 2).mean() for t in (turn, turn * [1, -1])]
    assert objective <= min(values) + 1e-9
    assert objective == pytest.approx(min(values), abs=1e-5)


@pytest.mark.parametrize(("rank", "bits"), [(3, 3), (3, 7), (7, 3)])
def test_a_random_frame_is_orthonormal_on_its_shorter_side(rank: int, bits: int) -> None:
    frame = random_frame(rank, bits, generator())
    assert frame.shape == (rank, bits)
    product = frame @ frame.T if rank <= bits else frame.T @ frame
    torch.testing.assert_close(product, torch.eye(min(rank, bits), dtype=torch.float64))


def test_a_voice_is_summarised_by_means_and_deviations_of_its_true_frames() -> None:
    voices = torch.randn(3, *SHAPE, generator=generator())
    frames = torch.tensor([40, 7, 1])
    found = voice_summary(voices, frames, 4).reshape(3, 5, 2, 6).numpy()
    for row, count in enumerate(frames.tolist()):
        true = voices[row, :, :, :count].numpy().reshape(6, count).astype(np.float64)
        np.testing.assert_allclose(found[row, 0, 0], true.mean(1), atol=1e-5)
        np.testing.assert_allclose(found[row, 0, 1], true.std(1), atol=1e-3)
        for part in range(4):
            columns = [c for c in range(count) if c * 4 // count == part]
            if not columns:
                assert (found[row, part + 1] == 0).all()
                continue
            np.testing.assert_allclose(found[row, part + 1, 0], true[:, columns].mean(1), atol=1e-5)
            np.testing.assert_allclose(found[row, part + 1, 1], true[:, columns].std(1), atol=1e-3)


def test_what_pads_a_voice_does_not_enter_its_summary() -> None:
    voices = torch.randn(2, *SHAPE, generator=generator())
    padded = voices.clone()
    padded[..., 12:] = 1e4
    frames = torch.tensor([12, 12])
    assert torch.equal(voice_summary(voices, frames, 3), voice_summary(padded, frames, 3))


@pytest.mark.parametrize("name", FREE)
@pytest.mark.parametrize("bits", [8, 64])
def test_codes_of_images_and_voices_of_a_class_agree_without_training(name: str, bits: int) -> None:
    model, items = fitted(name, bits), training(seed=5)
    with torch.no_grad():
        images = model.encode_images(items.images) >= 0
        voices = model.encode_voices(*model.pool(items.voices, items.frames)) >= 0
    agreement = (images[:, None] == voices[None, :]).double().mean(2)
    same = items.labels[:, None] == items.labels[None, :]
    assert agreement[same].mean() > agreement[~same].mean() + 0.1


def test_cca_sign_is_the_sign_of_the_variates_of_scikit_learn() -> None:
    items = training(400)
    config = CanonicalConfig(segments=1, regularisation=0.0)
    model = method_entry("cca_sign").build(config, Sizes(12, SHAPE, 8, 3))
    assert isinstance(model, CanonicalMethod)
    model.fit(items, generator())
    vectors = items.images.numpy().astype(np.float64)
    summary = voice_summary(items.voices, items.frames, 1).numpy().astype(np.float64)
    sides = [(side - side.mean(0)) / side.std(0) for side in (vectors, summary)]
    theirs = CCA(n_components=2, scale=False, max_iter=5000, tol=1e-12).fit(*sides)
    ours = model.encode_images(items.images).numpy()
    for bit, column in enumerate(theirs.transform(*sides)[0].T):
        same = ((ours[:, bit] >= 0) == (column >= 0)).mean()
        assert max(same, 1 - same) > 0.99


def test_bits_beyond_the_variates_are_mixtures_of_them() -> None:
    model = fitted("cca_sign", 64)
    rank = int(torch.linalg.matrix_rank(model.image_map.double()))  # type: ignore[operator]
    assert rank <= 12
    outputs = model.encode_images(training().images)
    assert outputs.shape == (60, 64)
    codes = {tuple(column) for column in (outputs >= 0).T.tolist()}
    assert len(codes) > rank


@pytest.mark.parametrize("name", FREE)
def test_the_seed_decides_what_is_drawn(name: str) -> None:
    first, again, other = (fitted(name, 64, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not torch.equal(first["image_map"], other["image_map"])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"segments": 0}, "segments must be at least 1, got 0"),
        ({"regularisation": -1.0}, "regularisation must be at least 0, got -1.0"),
        ({"scale_power": -0.5}, "scale_power must be at least 0, got -0.5"),
        ({"iterations": 0}, "iterations must be at least 1, got 0"),
    ],
)
def test_choices_that_cannot_be_are_refused(changes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(CCAITQConfig(), **changes)  # type: ignore[arg-type]
