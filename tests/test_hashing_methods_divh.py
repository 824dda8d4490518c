import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ivr.hashing.codes import sign
from ivr.hashing.losses import same_class
from ivr.hashing.method import Batch
from ivr.hashing.methods import method_entry, method_names
from ivr.hashing.methods.divh import (
    DIVH,
    DIVHConfig,
    bit_balance,
    likelihood,
    quantisation,
    within_likelihood,
)
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes

Table = list[list[float]]
Labels = tuple[int, ...]
NETWORK = NetworkConfig(
    image_hidden=0,
    voice_channels=(4,),
    voice_kernel=3,
    voice_stride=(1,),
    dropout=0.0,
    image_dropout=0.0,
    time_masks=0,
    time_mask_share=0.0,
    frequency_masks=0,
    frequency_mask_share=0.0,
)
# Every choice that a term depends on, by name, in all combinations.
CHOICES = {
    "reduction": ("mean", "sum"),
    "pair_weights": ("balanced", "none", "prior"),
    "balance": ("joint", "separate"),
    "balance_on": ("outputs", "straight-through"),
    "theta_scale": (1.0, 0.5),
    "activation": ("tanh", "linear"),
}
IMAGE_LABELS, VOICE_LABELS = (0, 1, 1, 2), (0, 1, 1, 0, 2)
BITS = 3


def configs(*names: str) -> list[DIVHConfig]:
    """Every combination of the choices ``names``; the others as eq. 8-11 have them."""
    paper = {
        "within_weight": 0.0,
        "reduction": "sum",
        "pair_weights": "none",
        "balance": "joint",
        "balance_on": "outputs",
        "theta_scale": 1.0,
        "activation": "linear",
    }
    return [
        DIVHConfig(
            gamma=1.0, eta=1.0, network=NETWORK, **paper | dict(zip(names, values, strict=True))
        )
        for values in itertools.product(*(CHOICES[name] for name in names))
    ]


def chosen(config: DIVHConfig) -> str:
    return " ".join(str(getattr(config, name)) for name in CHOICES)


def loop_likelihood(
    x: Table, v: Table, labels: tuple[Labels, Labels], c: DIVHConfig, *, within: bool = False
) -> float:
    """Eq. 8, pair by pair and bit by bit; ``within`` leaves out an item beside itself."""
    pairs = [
        (i, j, int(a == b))
        for i, a in enumerate(labels[0])
        for j, b in enumerate(labels[1])
        if not (within and i == j)
    ]
    share = {kind: sum(s == kind for *_, s in pairs) / len(pairs) for kind in (0, 1)}
    bias, all_pairs = 0.0, 1.0
    if c.pair_weights == "prior":
        bias, all_pairs = math.log(share[1] / share[0]), 1 / (4 * share[0] * share[1])
    total = 0.0
    for i, j, s in pairs:
        theta = bias
        for k in range(len(x[i])):
            theta += c.theta_scale * x[i][k] * v[j][k]
        weight = all_pairs
        if c.pair_weights == "balanced" and all(share.values()):
            weight = 1 / 2 / share[s]
        total -= weight * (s * theta - math.log(1 + math.exp(theta)))
    return total / len(pairs) if c.reduction == "mean" else total


def loop_quantisation(x: Table, v: Table, c: DIVHConfig) -> float:
    """Eq. 9, entry by entry."""
    total = 0.0
    for table in (x, v):
        end = 0.0
        for row in table:
            for entry in row:
                end += ((1.0 if entry >= 0 else -1.0) - entry) ** 2
        total += end / (len(table) * len(table[0])) if c.reduction == "mean" else end
    return total


def loop_balance(x: Table, v: Table, c: DIVHConfig) -> float:
    """Eq. 10, bit by bit."""
    total = 0.0
    for k in range(len(x[0])):
        means = []
        for table in (x, v):
            entries = [row[k] for row in table]
            if c.balance_on == "straight-through":
                entries = [1.0 if entry >= 0 else -1.0 for entry in entries]
            means.append(sum(entries) / len(entries))
        total += abs(means[0] + means[1]) if c.balance == "joint" else sum(map(abs, means))
    return total / len(x[0]) if c.reduction == "mean" else total


def loop_balance_slope(x: Table, v: Table, c: DIVHConfig) -> list[Table]:
    """The derivative of eq. 10 by each entry; straight-through takes that of a sign to be 1."""
    slopes: list[Table] = [[[0.0] * BITS for _ in table] for table in (x, v)]
    for k in range(BITS):
        means = []
        for table in (x, v):
            entries = [row[k] for row in table]
            if c.balance_on == "straight-through":
                entries = [1.0 if entry >= 0 else -1.0 for entry in entries]
            means.append(sum(entries) / len(entries))
        inner = [sum(means)] * 2 if c.balance == "joint" else means
        for end, table in enumerate((x, v)):
            for row in range(len(table)):
                direction = (inner[end] > 0) - (inner[end] < 0)
                share = len(table) * (BITS if c.reduction == "mean" else 1)
                slopes[end][row][k] = direction / share
    return slopes


def central_differences(loss: Callable[[Table, Table], float], x: Table, v: Table) -> list[Table]:
    """The derivative of ``loss(x, v)`` by each entry of both tables."""
    step, slopes = 1e-5, []
    for table in (x, v):
        slope = [[0.0] * len(row) for row in table]
        for i, k in itertools.product(range(len(table)), range(len(table[0]))):
            entry = table[i][k]
            table[i][k] = entry + step
            above = loss(x, v)
            table[i][k] = entry - step
            below = loss(x, v)
            table[i][k] = entry
            slope[i][k] = (above - below) / (2 * step)
        slopes.append(slope)
    return slopes


def outputs() -> tuple[Tensor, Tensor]:
    """X [4, 3] and V [5, 3] in float64, no entry and no mean near 0, where L2 and L3 have kinks."""
    rng = np.random.default_rng(4)
    x, v = (
        rng.uniform(0.2, 1.8, (n, BITS)) * rng.choice([-1, 1], (n, BITS))
        for n in (len(IMAGE_LABELS), len(VOICE_LABELS))
    )
    return torch.tensor(x, requires_grad=True), torch.tensor(v, requires_grad=True)


def similarity() -> Tensor:
    return torch.tensor([[float(a == b) for b in VOICE_LABELS] for a in IMAGE_LABELS]).double()


def assert_slopes(loss: Tensor, x: Tensor, v: Tensor, expected: list[Table]) -> None:
    for found, table in zip(torch.autograd.grad(loss, (x, v)), expected, strict=True):
        np.testing.assert_allclose(found.numpy(), table, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("config", configs("reduction", "pair_weights", "theta_scale"), ids=chosen)
def test_likelihood_and_its_gradient_are_those_of_equation_8(config: DIVHConfig) -> None:
    x, v = outputs()

    def loop(a: Table, b: Table) -> float:
        return loop_likelihood(a, b, (IMAGE_LABELS, VOICE_LABELS), config)

    loss = likelihood(x, v, similarity(), config)
    assert loss.item() == pytest.approx(loop(x.tolist(), v.tolist()), rel=1e-12)
    assert_slopes(loss, x, v, central_differences(loop, x.tolist(), v.tolist()))


@pytest.mark.parametrize("config", configs("reduction"), ids=chosen)
def test_quantisation_and_its_gradient_are_those_of_equation_9(config: DIVHConfig) -> None:
    x, v = outputs()
    loss = quantisation(x, v, config)
    expected = loop_quantisation(x.tolist(), v.tolist(), config)
    assert loss.item() == pytest.approx(expected, rel=1e-12)

    def loop(a: Table, b: Table) -> float:
        return loop_quantisation(a, b, config)

    assert_slopes(loss, x, v, central_differences(loop, x.tolist(), v.tolist()))


@pytest.mark.parametrize("config", configs("reduction", "balance", "balance_on"), ids=chosen)
def test_bit_balance_and_its_gradient_are_those_of_equation_10(config: DIVHConfig) -> None:
    x, v = outputs()
    loss = bit_balance(x, v, config)
    expected = loop_balance(x.tolist(), v.tolist(), config)
    assert expected > 0.1
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert_slopes(loss, x, v, loop_balance_slope(x.tolist(), v.tolist(), config))


@pytest.mark.parametrize("config", configs("reduction", "balance"), ids=chosen)
def test_the_slope_of_equation_10_worked_by_hand_agrees_with_differences(
    config: DIVHConfig,
) -> None:
    x, v = (table.tolist() for table in outputs())
    by_difference = central_differences(lambda a, b: loop_balance(a, b, config), x, v)
    for found, expected in zip(loop_balance_slope(x, v, config), by_difference, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_pair_of_orthogonal_outputs_costs_log_two_either_way() -> None:
    config = configs()[0]
    x, v = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    for similar in (torch.zeros(1, 1), torch.ones(1, 1)):
        assert likelihood(x, v, similar, config).item() == pytest.approx(math.log(2))


def test_the_sign_of_zero_is_plus_one_in_the_loss_as_in_the_codes() -> None:
    config = configs()[0]
    zero = torch.tensor([[0.0, -0.0, 0.0]], requires_grad=True)
    quantisation(zero, torch.ones(1, 3), config).backward()
    # d (1 - u)^2 / du = -2 at u = 0 where sign(0) = +1; it would be +2 or 0 otherwise.
    assert zero.grad is not None
    assert zero.grad.tolist() == [[-2.0, -2.0, -2.0]]
    assert sign(zero.detach().numpy()).tolist() == [[1, 1, 1]]
    (through,) = configs()[:1]
    straight = DIVHConfig(
        reduction="sum", balance="separate", balance_on="straight-through", network=NETWORK
    )
    assert bit_balance(zero.detach(), torch.zeros(1, 3), straight).item() == 6.0
    assert bit_balance(zero.detach(), torch.zeros(1, 3), through).item() == 0.0


def test_balanced_weights_give_either_kind_of_pair_half_of_the_total() -> None:
    # One pair of one class with theta 2, three of two classes with theta 0, 0 and -1.
    x, v = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[2.0, 0.0], [0.0, -1.0]])
    similar = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    (config,) = (
        c for c in configs("reduction", "pair_weights") if chosen(c)[:13] == "mean balanced"
    )
    near, far = math.log1p(math.exp(2)) - 2, 2 * math.log(2) + math.log1p(math.exp(-1))
    assert likelihood(x, v, similar, config).item() == pytest.approx(near / 2 + far / 3 / 2)


@pytest.mark.parametrize("similar", [0.0, 1.0])
def test_a_batch_with_one_kind_of_pair_is_not_weighted(similar: float) -> None:
    balanced, plain, _ = configs("pair_weights")
    x, v = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)).unbind()
    pairs = torch.full((3, 3), similar)
    assert likelihood(x, v, pairs, balanced).item() == pytest.approx(
        likelihood(x, v, pairs, plain).item()
    )


def test_with_the_prior_both_kinds_of_pair_pull_alike_before_training() -> None:
    *_, prior = configs("pair_weights")
    for labels in ((0, 0, 1, 2, 3, 4), (0, 0, 0, 0, 0, 1)):
        similar = same_class(torch.tensor(labels), torch.tensor(labels)).double()
        for kind in (similar, 1 - similar):
            theta = torch.zeros(6, 6, dtype=torch.float64, requires_grad=True)
            eye = torch.eye(6, dtype=torch.float64)
            likelihood(theta, eye, similar, prior).backward()
            assert theta.grad is not None
            # A quarter of all pairs in total, as one half of balanced pairs at log 2.
            assert (theta.grad * kind).sum().abs().item() == pytest.approx(9)


@pytest.mark.parametrize("similar", [0.0, 1.0])
def test_the_prior_of_one_kind_of_pair_alone_stays_finite(similar: float) -> None:
    *_, prior = configs("pair_weights")
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()
    loss = likelihood(x, x, torch.full((3, 3), similar), prior)
    loss.backward()
    assert math.isfinite(loss.item())
    assert x.grad is not None
    assert x.grad.isfinite().all()


def test_pairs_within_a_modality_are_pairs_of_two_items() -> None:
    (config,) = configs()
    x = torch.tensor([[1.0, 0.0], [5.0, 0.0], [0.0, 2.0]])
    labels = (0, 0, 1)
    similar = same_class(torch.tensor(labels), torch.tensor(labels)).float()
    expected = loop_likelihood(x.tolist(), x.tolist(), (labels, labels), config, within=True)
    assert within_likelihood(x, similar, config).item() == pytest.approx(expected)
    assert expected == pytest.approx(2 * (math.log1p(math.exp(5)) - 5) + 4 * math.log(2))


def test_opposite_imbalances_cancel_jointly_and_add_up_separately() -> None:
    x, v = torch.tensor([[1.0, 0.5], [1.0, 0.5]]), torch.tensor([[-1.0, 0.5], [-1.0, 0.5]])
    joint, separate = configs("balance")
    assert bit_balance(x, v, joint).item() == 1.0
    assert bit_balance(x, v, separate).item() == 3.0


def test_the_loss_stays_finite_for_outputs_far_from_zero() -> None:
    (config,) = configs()
    x = torch.full((2, 8), 1e4, requires_grad=True)
    loss = likelihood(x, -x, torch.eye(2), config)
    loss.backward()
    assert math.isfinite(loss.item())
    assert x.grad is not None
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("config", configs(*CHOICES), ids=chosen)
def test_the_terms_of_a_batch_and_the_gradient_of_their_sum_are_those_of_the_loops(
    config: DIVHConfig,
) -> None:
    config = DIVHConfig(
        gamma=0.7,
        eta=0.3,
        within_weight=0.4,
        network=NETWORK,
        **{n: getattr(config, n) for n in CHOICES},
    )
    model, batch = small_model(config), small_batch()
    labels = tuple(batch.labels.tolist())
    end = torch.tanh if config.activation == "tanh" else torch.clone

    def loop(bias: list[float]) -> tuple[float, float, float, float]:
        before = last.bias.detach().clone()
        with torch.no_grad():
            last.bias.copy_(torch.tensor(bias, dtype=torch.float64))
            x = end(model.image(batch.images)).tolist()
            v = end(model.voice(batch.voices, batch.frames)).tolist()
            last.bias.copy_(before)
        return (
            loop_likelihood(x, v, (labels, labels), config),
            0.4 * sum(loop_likelihood(e, e, (labels,) * 2, config, within=True) for e in (x, v)),
            0.7 * loop_quantisation(x, v, config),
            0.3 * loop_balance(x, v, config),
        )

    *_, last = (layer for layer in model.image.layers if isinstance(layer, torch.nn.Linear))
    terms = model.losses(batch)
    bias = last.bias.tolist()
    assert list(terms) == ["likelihood", "within", "quantisation", "balance"]
    assert [term.item() for term in terms.values()] == pytest.approx(loop(bias), rel=1e-6)
    # The straight-through slope is not that of the loss: the other terms are compared there.
    used = ["likelihood", "within", "quantisation"]
    if config.balance_on == "outputs":
        used.append("balance")
    (slope,) = torch.autograd.grad(torch.stack([terms[name] for name in used]).sum(), last.bias)
    for k in range(BITS):
        sides = [[b + s * (n == k) for n, b in enumerate(bias)] for s in (1e-5, -1e-5)]
        above, below = (sum(loop(side)[: len(used)]) for side in sides)
        assert slope[k].item() == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-6)


def small_model(config: DIVHConfig) -> DIVH:
    torch.manual_seed(3)
    return DIVH(config, Sizes(6, (1, 2, 8), BITS, 3)).double().eval()


def small_batch() -> Batch:
    generator = torch.Generator().manual_seed(2)
    return Batch(
        torch.randn(5, 6, generator=generator, dtype=torch.float64),
        torch.randn(5, 1, 2, 8, generator=generator, dtype=torch.float64),
        torch.tensor([8, 3, 5, 8, 1]),
        torch.tensor([0, 1, 1, 2, 0]),
    )


def test_outputs_are_the_activation_of_the_two_ends_and_as_long_as_the_code() -> None:
    batch = small_batch()
    for activation in ("tanh", "linear"):
        model = small_model(DIVHConfig(activation=activation, network=NETWORK))
        images = model.encode_images(batch.images)
        voices = model.encode_voices(batch.voices, batch.frames)
        assert images.shape == voices.shape == (5, BITS)
        image, voice = model.image(batch.images), model.voice(batch.voices, batch.frames)
        if activation == "tanh":
            image, voice = image.tanh(), voice.tanh()
        torch.testing.assert_close(images, image)
        torch.testing.assert_close(voices, voice)


def test_both_ends_learn_from_one_loss() -> None:
    model = small_model(DIVHConfig(network=NETWORK))
    torch.stack(list(model.losses(small_batch()).values())).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        # A bias before a batch norm in training mode has no slope; here the norms are fixed.
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"activation": "relu"}, "activation must be tanh or linear, got 'relu'"),
        ({"reduction": "max"}, "reduction must be mean or sum, got 'max'"),
        ({"pair_weights": "all"}, "pair_weights must be one of prior, balanced, none, got 'all'"),
        ({"balance": "both"}, "balance must be joint or separate, got 'both'"),
        ({"balance_on": "codes"}, "balance_on must be outputs or straight-through, got 'codes'"),
        ({"gamma": -1.0}, "gamma must be at least 0, got -1.0"),
        ({"eta": -0.5}, "eta must be at least 0, got -0.5"),
        ({"theta_scale": 0.0}, "theta_scale must be above 0"),
    ],
)
def test_choices_that_divh_does_not_have_are_refused(
    settings: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        DIVHConfig(**settings)  # type: ignore[arg-type]


def test_every_method_has_a_source_and_is_built_from_its_config_and_the_sizes() -> None:
    for name in method_names():
        entry = method_entry(name)
        model = entry.build(entry.config(), Sizes(6, (1, 4, 64), 16, 3))
        assert model.source
        assert model.sizes.bits == 16


def test_an_unknown_method_is_named_with_those_there_are() -> None:
    with pytest.raises(ValueError, match="no method 'dvih'; did you mean divh"):
        method_entry("dvih")
