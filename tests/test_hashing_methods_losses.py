"""Every loss and its gradient, against a float64 loop written from the equation alone."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ivr.hashing import losses as pieces
from ivr.hashing.method import Batch, TrainedMethod
from ivr.hashing.methods import dqh as dqh_module
from ivr.hashing.methods import dvan as dvan_module
from ivr.hashing.methods import method_entry, method_names
from ivr.hashing.methods.cmir_net import CMIRNet, CMIRNetConfig, CodeFormConfig
from ivr.hashing.methods.csq import CSQ, CSQConfig
from ivr.hashing.methods.dcmh import DCMH, DCMHConfig
from ivr.hashing.methods.dqh import DQH, DQHConfig
from ivr.hashing.methods.dtbh import DTBH, DTBHConfig
from ivr.hashing.methods.dvan import DVAN, DVANConfig
from ivr.hashing.methods.greedy_hash import GreedyHash, GreedyHashConfig
from ivr.hashing.methods.hashnet import HashNet, HashNetConfig, beta
from ivr.hashing.methods.ortho_hash import OrthoHash, OrthoHashConfig
from ivr.hashing.methods.scrl import SCRL, SCRLConfig
from ivr.hashing.networks import Sizes

Table = list[list[float]]
LABELS = (0, 1, 1, 2, 0)
BITS, CLASSES = 4, 3
SIZES = Sizes(6, (1, 2, 8), BITS, CLASSES)
SAME = [[int(a == b) for b in LABELS] for a in LABELS]


class Through(nn.Module):
    """An end whose outputs are its inputs."""

    def forward(self, values: Tensor, frames: Tensor | None = None) -> Tensor:
        return values


def outputs(width: int = BITS) -> tuple[np.ndarray, np.ndarray]:
    """X and V [5, width], no entry near 0, -1 or +1, where some terms have kinks."""
    rng = np.random.default_rng(4)
    sizes = np.array([0.3, 0.55, 0.8, 1.25, 1.6])
    x, v = (rng.choice(sizes, (2, 5, width)) + rng.uniform(-0.05, 0.05, (2, 5, width))) * (
        rng.choice([-1, 1], (2, 5, width))
    )
    return x, v


def with_open_ends(model: TrainedMethod) -> TrainedMethod:
    """The model in float64, whose two networks pass on what they are given."""
    model.image, model.voice = Through(), Through()
    return model.double().train()


def terms(model: TrainedMethod, x: Tensor, v: Tensor) -> dict[str, Tensor]:
    return model.losses(Batch(x, v, torch.ones(len(x)), torch.tensor(LABELS)))


def slopes(loop: Callable[..., float], tables: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The derivative of ``loop`` by every entry of every table, by central differences."""
    step, found = 1e-5, []
    for number, table in enumerate(tables):
        slope = np.zeros_like(table)
        for place in np.ndindex(table.shape):
            sides = []
            for sign in (1, -1):
                moved = [np.array(t) for t in tables]
                moved[number][place] += sign * step
                sides.append(loop(*(t.tolist() for t in moved)))
            slope[place] = (sides[0] - sides[1]) / (2 * step)
        found.append(slope)
    return found


def assert_agrees(
    loss: Callable[..., Tensor],
    loop: Callable[..., float],
    *tables: np.ndarray,
    slope: Callable[..., float] | None = None,
) -> None:
    """Value and gradient of ``loss`` are those of ``loop`` (the gradient those of ``slope``)."""
    tensors = [torch.tensor(table, requires_grad=True) for table in tables]
    value = loss(*tensors)
    assert value.shape == ()
    assert value.item() == pytest.approx(loop(*(t.tolist() for t in tables)), rel=1e-9)
    assert abs(value.item()) > 1e-6
    gradients = torch.autograd.grad(value, tensors)
    for found, expected in zip(gradients, slopes(slope or loop, tables), strict=True):
        assert np.abs(expected).max() > 1e-6
        np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-8)


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(p * q for p, q in zip(a, b, strict=True))


def square_distance(a: Sequence[float], b: Sequence[float]) -> float:
    return sum((p - q) ** 2 for p, q in zip(a, b, strict=True))


def unit(a: Sequence[float]) -> list[float]:
    return [p / math.sqrt(dot(a, a)) for p in a]


def tanhs(table: Table) -> Table:
    return [[math.tanh(p) for p in row] for row in table]


def signs(table: Table) -> Table:
    return [[1.0 if p >= 0 else -1.0 for p in row] for row in table]


def cross_entropy(logits: Sequence[float], label: int) -> float:
    return math.log(sum(math.exp(p) for p in logits)) - logits[label]


def linear(row: Sequence[float], layer: nn.Module) -> list[float]:
    weight, bias = layer.weight.tolist(), layer.bias.tolist()  # type: ignore[union-attr,operator]
    return [dot(row, w) + b for w, b in zip(weight, bias, strict=True)]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def entries(table: Table) -> list[float]:
    return [entry for row in table for entry in row]


def log_cosh(value: float) -> float:
    return math.log(math.cosh(value))


def loop_off(table: Table) -> float:
    return mean([log_cosh(abs(entry) - 1) for entry in entries(table)])


def loop_likelihood(
    x: Table, v: Table, scale: float, balanced: bool, *, itself: bool = True
) -> float:
    pairs = [(i, j) for i, j in itertools.product(range(5), range(5)) if itself or i != j]
    similar = sum(SAME[i][j] for i, j in pairs)
    total = 0.0
    for i, j in pairs:
        theta = scale * dot(x[i], v[j])
        share = similar if SAME[i][j] else len(pairs) - similar
        weight = len(pairs) / (2 * share) if balanced else 1.0
        total += weight * (math.log(1 + math.exp(theta)) - SAME[i][j] * theta)
    return total / len(pairs)


def loop_within(tables: Sequence[Table], scale: float, balanced: bool) -> float:
    return sum(loop_likelihood(table, table, scale, balanced, itself=False) for table in tables)


@pytest.mark.parametrize("balanced", [True, False])
def test_dcmh_is_its_equation_with_one_code_for_both_ends(balanced: bool) -> None:
    config = DCMHConfig(0.5, 0.7, 0.3, 0.4, "balanced" if balanced else "none")
    model = with_open_ends(DCMH(config, SIZES))

    def loop(x: Table, v: Table) -> float:
        quantisation = 0.0
        for i, k in itertools.product(range(5), range(BITS)):
            code = 1.0 if x[i][k] + v[i][k] >= 0 else -1.0
            quantisation += (code - x[i][k]) ** 2 + (code - v[i][k]) ** 2
        balance = 0.0
        for table, k in itertools.product((x, v), range(BITS)):
            balance += mean([row[k] for row in table]) ** 2
        return (
            loop_likelihood(x, v, 0.5, balanced)
            + 0.4 * loop_within((x, v), 0.5, balanced)
            + 0.7 * quantisation / (5 * BITS)
            + 0.3 * balance / BITS
        )

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def test_dcmh_with_sums_is_its_equation_to_the_letter() -> None:
    config = DCMHConfig(
        0.5, gamma=1.0, eta=1.0, within_weight=0.0, pair_weights="none", reduction="sum"
    )
    model = with_open_ends(DCMH(config, SIZES))

    def loop(x: Table, v: Table) -> float:
        total = 0.0
        for i, j in itertools.product(range(5), range(5)):
            theta = dot(x[i], v[j]) / 2
            total -= SAME[i][j] * theta - math.log(1 + math.exp(theta))
        for i, k in itertools.product(range(5), range(BITS)):
            code = 1.0 if x[i][k] + v[i][k] >= 0 else -1.0
            total += (code - x[i][k]) ** 2 + (code - v[i][k]) ** 2
        for table, k in itertools.product((x, v), range(BITS)):
            total += sum(row[k] for row in table) ** 2
        return total

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def test_dcmh_defaults_are_1_100_and_1_6400_of_the_weights_of_the_paper() -> None:
    x, v = torch.randn(2, 64, 64, generator=torch.Generator().manual_seed(3))
    labels = torch.arange(64) % CLASSES
    found = {}
    for reduction, weight in (("mean", None), ("sum", 1.0)):
        weights = {} if weight is None else {"gamma": weight, "eta": weight}
        config = DCMHConfig(reduction=reduction, **weights)  # type: ignore[arg-type]
        model = with_open_ends(DCMH(config, Sizes(6, (1, 2, 8), 64, CLASSES)))
        found[reduction] = model.losses(Batch(x, v, torch.ones(64), labels))
    shares = {name: float(found["sum"][name] / term) for name, term in found["mean"].items()}
    assert shares["likelihood"] == pytest.approx(64**2)
    assert shares["within"] == pytest.approx(64 * 63)
    assert shares["quantisation"] / shares["likelihood"] == pytest.approx(100)
    assert shares["balance"] / shares["likelihood"] == pytest.approx(6400)


@pytest.mark.parametrize("done", [0.0, 0.5])
def test_hashnet_is_the_weighted_likelihood_of_tanh_of_a_growing_beta(done: float) -> None:
    model = with_open_ends(HashNet(HashNetConfig(10.0, 3.0, 0.4), SIZES))
    model.begin_epoch(done)
    factor = {0.0: 1.0, 0.5: math.sqrt(5)}[done]  # half of the way from 1 to 9, its root

    def loop(x: Table, v: Table) -> float:
        grown = [tanhs([[factor * entry for entry in row] for row in table]) for table in (x, v)]
        within = loop_within(grown, 10 / BITS, True)
        return loop_likelihood(*grown, 10 / BITS, True) + 0.4 * within

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def test_beta_grows_from_one_to_its_last_value() -> None:
    grown = [beta(done, 5.0) for done in (0, 0.25, 0.5, 0.75, 1)]
    assert grown[0] == 1
    assert grown[-1] == 5
    assert grown == sorted(grown)


@pytest.mark.parametrize("form", ["squared", "log-cosh"])
def test_csq_is_the_binary_cross_entropy_to_the_bits_of_the_centre(form: str) -> None:
    model = with_open_ends(CSQ(CSQConfig(0.3, form), SIZES))  # type: ignore[arg-type]
    assert isinstance(model, CSQ)
    centres = model.centres.tolist()

    def loop(x: Table, v: Table) -> float:
        total = 0.0
        for table in (x, v):
            for i, k in itertools.product(range(5), range(BITS)):
                probability = (math.tanh(table[i][k]) + 1) / 2
                bit = (centres[LABELS[i]][k] + 1) / 2
                total -= bit * math.log(probability) + (1 - bit) * math.log(1 - probability)
        return total / (5 * BITS) + 0.3 * (off(tanhs(x)) + off(tanhs(v)))

    def off(table: Table) -> float:
        if form == "log-cosh":
            return loop_off(table)
        return sum((abs(u) - 1) ** 2 for row in table for u in row) / (5 * BITS)

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def test_ortho_hash_is_the_cross_entropy_of_scaled_cosines_with_a_margin() -> None:
    model = with_open_ends(OrthoHash(OrthoHashConfig(0.25, 6.0), SIZES))
    assert isinstance(model, OrthoHash)
    codes = model.codebook.tolist()

    def loop(x: Table, v: Table) -> float:
        total = 0.0
        for table in (x, v):
            for row, label in zip(table, LABELS, strict=True):
                cosine = [dot(unit(row), unit(code)) for code in codes]
                cosine[label] -= 0.25
                total += cross_entropy([6 * value for value in cosine], label)
        return total / 5

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def test_greedy_hash_classifies_the_signs_and_lets_the_gradient_through() -> None:
    torch.manual_seed(0)
    model = with_open_ends(GreedyHash(GreedyHashConfig(0.2), SIZES))
    assert isinstance(model, GreedyHash)
    classifier, start = model.classifier, [table.tolist() for table in outputs()]

    def at(codes: tuple[Table, Table], x: Table, v: Table) -> float:
        total = 0.0
        for code, table in zip(codes, (x, v), strict=True):
            total += mean(
                [cross_entropy(linear(c, classifier), n) for c, n in zip(code, LABELS, strict=True)]
            )
            total += 0.2 * mean([abs(abs(entry) - 1) ** 3 for entry in entries(table)])
        return total

    def moved(x: Table, v: Table) -> float:
        """Codes that move with the outputs: what straight-through takes the gradient of."""
        codes = [
            [
                [sign + now - then for sign, now, then in zip(*rows, strict=True)]
                for rows in zip(signs(before), after, before, strict=True)
            ]
            for before, after in zip(start, (x, v), strict=True)
        ]
        return at((codes[0], codes[1]), x, v)

    assert_agrees(
        lambda x, v: sum(terms(model, x, v).values()),  # type: ignore[arg-type,return-value]
        lambda x, v: at((signs(x), signs(v)), x, v),
        *outputs(),
        slope=moved,
    )


def test_scrl_is_a_contrastive_term_for_each_of_its_three_relations() -> None:
    model = with_open_ends(SCRL(SCRLConfig(0.5, paired=1.0, intra=0.6, inter=0.3), SIZES))

    def related(name: str, i: int, j: int) -> bool:
        same, across = LABELS[i % 5] == LABELS[j % 5], (i < 5) != (j < 5)
        pair = i % 5 == j % 5
        return {
            "paired": across and pair,
            "intra": same and not across and not pair,
            "inter": same and across and not pair,
        }[name]

    def loop(x: Table, v: Table) -> float:
        rows = [unit(row) for row in [*x, *v]]
        total = 0.0
        for name, weight in (("paired", 1.0), ("intra", 0.6), ("inter", 0.3)):
            costs = []
            for i in range(10):
                others = [j for j in range(10) if j != i]
                whole = sum(math.exp(dot(rows[i], rows[j]) / 0.5) for j in others)
                near = [j for j in others if related(name, i, j)]
                if near:
                    shares = [math.exp(dot(rows[i], rows[j]) / 0.5) / whole for j in near]
                    costs.append(mean([-math.log(share) for share in shares]))
            total += weight * mean(costs)
        return total

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def hash_layers(model: nn.Module, width: int) -> list[nn.Linear]:
    """Give the model hash layers without statistics of the batch, and return them."""
    layers = [nn.Linear(width, BITS).double() for _ in range(2)]
    model.image_hash, model.voice_hash = layers
    return layers


def loop_triplets(
    anchors: tuple[Table, Table], others: tuple[Table, Table], rows: Sequence[tuple[int, int, int]]
) -> tuple[float, float]:
    """The two triplet terms, margins 0.3 x bits and 0.4, of (features, codes) on either side."""
    codes = features = 0.0
    for i, near, far in rows:
        theta = (dot(anchors[1][i], others[1][near]) - dot(anchors[1][i], others[1][far])) / 2
        codes += math.log(1 + math.exp(-(theta - 0.3 * BITS)))
        distances = [square_distance(anchors[0][i], others[0][j]) for j in (near, far)]
        features += max(0.0, 0.4 + distances[0] - distances[1])
    return codes / len(rows), features / len(rows)


def test_dtbh_is_its_triplets_with_semi_hard_negatives() -> None:
    torch.manual_seed(1)
    config = DTBHConfig(0.3, 0.4, 0.6, 0.2, features=BITS)
    model = with_open_ends(DTBH(config, SIZES))
    layers = hash_layers(model, BITS)

    def loop(x: Table, v: Table) -> float:
        f, g = ([unit(row) for row in table] for table in (x, v))
        h, k = (
            tanhs([linear(row, layer) for row in table])
            for table, layer in zip((x, v), layers, strict=True)
        )
        rows = []
        for i in range(5):
            distances = {j: square_distance(f[i], g[j]) for j in range(5) if not SAME[i][j]}
            own = square_distance(f[i], g[i])
            beyond = {j: d for j, d in distances.items() if d > own}
            far = (
                min(beyond, key=beyond.__getitem__)
                if beyond
                else max(distances, key=distances.__getitem__)
            )
            rows.append((i, i, far))
        codes, features = loop_triplets((f, h), (g, k), rows)
        return codes + 0.6 * features + 0.2 * (loop_off(h) + loop_off(k))

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def test_dqh_is_two_hard_triplets_a_class_and_a_quantisation_term(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(2)
    monkeypatch.setattr(dqh_module, "drawn", lambda candidates: candidates.int().argmax(1))
    config = DQHConfig(0.3, 0.4, 0.6, 0.5, 0.2, features=BITS)
    model = with_open_ends(DQH(config, SIZES))
    assert isinstance(model, DQH)
    layers, classifier = hash_layers(model, BITS), model.classifier

    def loop(x: Table, v: Table) -> float:
        f, g = ([unit(row) for row in table] for table in (x, v))
        h, k = (
            tanhs([linear(row, layer) for row in table])
            for table, layer in zip((x, v), layers, strict=True)
        )
        total = 0.2 * (loop_off(h) + loop_off(k))
        for anchors, others in (((f, h), (g, k)), ((g, k), (f, h))):
            rows = []
            for i in range(5):
                distances = [square_distance(anchors[0][i], other) for other in others[0]]
                near = SAME[i].index(1)
                others_of = [j for j in range(5) if not SAME[i][j]]
                hard = [j for j in others_of if distances[j] < distances[near] + 0.4]
                rows.append(
                    (i, near, hard[0] if hard else min(others_of, key=distances.__getitem__))
                )
            codes, features = loop_triplets(anchors, others, rows)
            total += codes + 0.6 * features
            total += 0.5 * mean(
                [
                    cross_entropy(linear(row, classifier), label)
                    for row, label in zip(anchors[1], LABELS, strict=True)
                ]
            )
        return total

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def test_dvan_is_the_cross_entropy_of_all_pairs_of_a_batch_both_kinds_alike() -> None:
    torch.manual_seed(3)
    model = DVAN(DVANConfig(BITS, 8, 64), SIZES).double()
    model.encode_images = lambda images: images  # type: ignore[method-assign,assignment]
    model.encode_voices = lambda voices, frames: voices  # type: ignore[method-assign,assignment]

    def loop(x: Table, v: Table) -> float:
        costs: dict[bool, list[float]] = {True: [], False: []}
        for i, image in enumerate(x):
            for j, voice in enumerate(v):
                hidden = [math.tanh(a + b) for a, b in zip(image, voice, strict=True)]
                matching = LABELS[i] == LABELS[j]
                costs[matching].append(cross_entropy(linear(hidden, model.answer), int(matching)))
        return (mean(costs[True]) + mean(costs[False])) / 2

    assert_agrees(lambda x, v: terms(model, x, v)["matching"], loop, *outputs())


def test_a_batch_of_one_class_has_no_strangers_and_a_finite_loss() -> None:
    odds = torch.zeros(3, 3, requires_grad=True)
    loss = dvan_module.balanced_entropy(odds, torch.ones(3, 3, dtype=torch.bool))
    loss.backward()
    assert loss.item() == pytest.approx(math.log(2) / 2)
    assert odds.grad is not None
    assert odds.grad.isfinite().all()


def test_dvan_is_the_cross_entropy_of_pairs_and_of_as_many_strangers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch.manual_seed(3)
    model = DVAN(DVANConfig(BITS, 8, 64, pairs="drawn"), SIZES).double()
    others = [1, 3, 0, 2, 2]
    drawn = torch.arange(5), torch.tensor(others)
    monkeypatch.setattr(dvan_module, "drawn_strangers", lambda labels: drawn)
    model.encode_images = lambda images: images  # type: ignore[method-assign,assignment]
    model.encode_voices = lambda voices, frames: voices  # type: ignore[method-assign,assignment]

    def loop(x: Table, v: Table) -> float:
        total = 0.0
        for i, j in [*enumerate(range(5)), *enumerate(others)]:
            hidden = [math.tanh(a + b) for a, b in zip(x[i], v[j], strict=True)]
            total += cross_entropy(linear(hidden, model.answer), int(i == j))
        return total / 10

    assert_agrees(lambda x, v: terms(model, x, v)["matching"], loop, *outputs())


def test_strangers_are_of_another_class_and_every_one_of_them_is_drawn() -> None:
    labels = torch.tensor(LABELS)
    torch.manual_seed(0)
    seen = set()
    for _ in range(200):
        rows, others = dvan_module.drawn_strangers(labels)
        assert rows.tolist() == list(range(5))
        assert (labels[rows] != labels[others]).all()
        seen |= set(zip(rows.tolist(), others.tolist(), strict=True))
    assert len(seen) == 25 - sum(map(sum, SAME))
    assert dvan_module.drawn_strangers(torch.zeros(3, dtype=torch.int64))[0].tolist() == []


@pytest.mark.parametrize("decode", ["other", "own"])
def test_cmir_net_learns_the_shared_space_on_its_five_terms(decode: str) -> None:
    torch.manual_seed(4)
    config = CMIRNetConfig(0.5, 0.9, 0.8, 0.3, 0.4, 0.7, 1.0, decode, features=BITS)  # type: ignore[arg-type]
    model = with_open_ends(CMIRNet(config, SIZES))
    assert isinstance(model, CMIRNet)
    model.begin_epoch(0.5)
    z = [table.tolist() for table in outputs()]
    given = [torch.tensor(table, dtype=torch.float64, requires_grad=True) for table in z]

    def loss(scales: Tensor) -> Tensor:
        del model.scales
        model.scales = scales  # type: ignore[assignment]
        found = terms(model, *given)
        assert list(found) == ["distance", "classes", "length", "decoding", "scales"]
        return sum(found.values())  # type: ignore[return-value]

    def loop(scales: Table) -> float:
        v = [
            [linear([s * p for s, p in zip(scale, row, strict=True)], layer) for row in table]
            for scale, table, layer in zip(scales, z, model.shared, strict=True)
        ]
        decoded = [
            [linear(row, layer) for row in table]
            for table, layer in zip(v, model.decoders, strict=True)
        ]
        targets = z[::-1] if decode == "other" else z
        total = 0.9 * mean(
            [(a - b) ** 2 for a, b in zip(entries(v[0]), entries(v[1]), strict=True)]
        )
        total += 0.8 * mean(
            [
                cross_entropy(linear(row, model.shared_classes), label)
                for table in v
                for row, label in zip(table, LABELS, strict=True)
            ]
        )
        for number in range(2):
            total += 0.3 * mean([entry**2 for entry in entries(v[number])])
            pairs = zip(entries(decoded[number]), entries(targets[number]), strict=True)
            total += 0.4 * mean([(a - b) ** 2 for a, b in pairs])
            total += 0.7 * mean([(scale - 1) ** 2 for scale in scales[number]])
        return total

    assert_agrees(loss, loop, np.random.default_rng(0).uniform(0.5, 1.5, (2, BITS)))
    # Z is fixed: nothing of this reaches the two networks.
    slope = torch.autograd.grad(loss(torch.ones(2, BITS)), given, allow_unused=True)
    assert slope == (None, None)


def test_cmir_net_learns_the_features_of_either_modality_first() -> None:
    torch.manual_seed(5)
    config = CMIRNetConfig(0.5, orthogonality=0.6, features=BITS)
    model = with_open_ends(CMIRNet(config, SIZES))
    assert isinstance(model, CMIRNet)
    model.begin_epoch(0.49)

    def loop(x: Table, v: Table) -> float:
        total = 0.0
        for table, layer in zip((x, v), model.own_classes, strict=True):
            total += mean(
                [
                    cross_entropy(linear(row, layer), label)
                    for row, label in zip(table, LABELS, strict=True)
                ]
            )
            off = 0.0
            for a, b in itertools.product(range(BITS), range(BITS)):
                off += (mean([row[a] * row[b] for row in table]) - (a == b)) ** 2
            total += 0.6 * off / BITS**2
        return total

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def layer_with_relu(row: Sequence[float], layer: nn.Module) -> list[float]:
    return [max(0.0, entry) for entry in linear(row, layer)]


def norm_of_difference(a: Table, b: Table) -> float:
    return math.sqrt(sum(square_distance(p, q) for p, q in zip(a, b, strict=True)))


@pytest.mark.parametrize("decode", ["own", "other"])
def test_cmir_net_as_its_speech_code_learns_all_at_once_on_norms(decode: str) -> None:
    torch.manual_seed(7)
    code = CodeFormConfig(0.9, 0.8, 0.7, 0.6, 0.5, 0.4, decode, voice_dropout=0.0)  # type: ignore[arg-type]
    model = with_open_ends(CMIRNet(CMIRNetConfig(form="code", code=code, features=BITS), SIZES))
    assert isinstance(model, CMIRNet)
    assert model.code is not None
    layers = model.code
    model.begin_epoch(0.0)

    def loop(x: Table, v: Table) -> float:
        z = [[[max(0.0, entry) for entry in row] for row in table] for table in (x, v)]
        shared = [[layer_with_relu(row, layers.shared[m]) for row in z[m]] for m in range(2)]
        decoded = [
            [layer_with_relu(row, layers.decoders[m]) for row in shared[m]] for m in range(2)
        ]
        targets = z[::-1] if decode == "other" else z
        total = 0.9 * norm_of_difference(*shared)
        for row, label in zip(shared[0], LABELS, strict=True):
            for number, logit in enumerate(linear(row, layers.classifiers[0])):
                logit = logit if number == label else -logit
                total += 0.8 * math.log(1 + math.exp(-logit)) / (5 * CLASSES)
        for row, label in zip(shared[1], LABELS, strict=True):
            total += 0.7 * cross_entropy(linear(row, layers.classifiers[1]), label) / 5
        total += 0.6 * norm_of_difference(decoded[0], targets[0])
        total += 0.5 * norm_of_difference(decoded[1], targets[1])
        for layer in layers.shared:
            squares = sum(entry**2 for entry in entries(layer.weight.tolist()))  # type: ignore[operator,union-attr]
            total += 0.4 * abs(math.sqrt(squares) - 1)
        return total

    assert_agrees(lambda x, v: sum(terms(model, x, v).values()), loop, *outputs())  # type: ignore[arg-type,return-value]


def test_cmir_net_as_its_speech_code_has_the_numbers_of_that_code() -> None:
    torch.manual_seed(8)
    weights = CodeFormConfig(*[1.0] * 6, voice_dropout=0.0)  # type: ignore[arg-type]
    given = [torch.tensor(table) for table in outputs()]
    found = []
    for code in (CodeFormConfig(voice_dropout=0.0), weights):
        torch.manual_seed(9)
        config = CMIRNetConfig(form="code", code=code, features=BITS)
        found.append(terms(with_open_ends(CMIRNet(config, SIZES)), *given))
    shares = {name: term.item() / found[1][name].item() for name, term in found[0].items()}
    assert shares == pytest.approx(
        {
            "distance": 0.001,
            "image classes": 1,
            "voice classes": 1,
            "image decoding": 0.001,
            "voice decoding": 0.01,
            "norms": 1,
        }
    )


def test_cmir_net_as_its_speech_code_drops_half_of_the_voices_in_training_alone() -> None:
    torch.manual_seed(10)
    model = with_open_ends(CMIRNet(CMIRNetConfig(form="code", features=BITS), SIZES))
    given = [torch.tensor(table) for table in outputs()]

    def varied() -> set[str]:
        drawn = [terms(model, *given) for _ in range(20)]
        return {name for name in drawn[0] if len({draw[name].item() for draw in drawn}) > 1}

    assert varied() == {"distance", "voice classes", "voice decoding"}
    model.eval()
    assert varied() == set()


def test_codes_of_cmir_net_as_its_speech_code_are_the_entries_above_zero() -> None:
    torch.manual_seed(11)
    model = with_open_ends(CMIRNet(CMIRNetConfig(form="code", features=BITS), SIZES)).eval()
    assert isinstance(model, CMIRNet)
    assert model.code is not None
    x, v = outputs()
    found = [
        model.encode_images(torch.tensor(x)),
        model.encode_voices(torch.tensor(v), torch.ones(5)),
    ]
    for got, table, layer in zip(found, (x, v), model.code.shared, strict=True):
        rows = [[max(0.0, entry) for entry in row] for row in table.tolist()]
        expected = [layer_with_relu(row, layer) for row in rows]
        assert 0 < sum(entry == 0 for entry in entries(expected)) < 5 * BITS
        assert (got >= 0).tolist() == [[entry > 0 for entry in row] for row in expected]
        np.testing.assert_allclose(got.detach(), expected, atol=1e-5)


def test_the_stable_forms_are_finite_and_exact_far_from_zero() -> None:
    far = torch.tensor([-1e4, 0.0, 1e4], requires_grad=True)
    values = pieces.log_cosh(far)
    assert values.tolist() == pytest.approx([1e4 - math.log(2), 0.0, 1e4 - math.log(2)])
    values.sum().backward()
    assert far.grad is not None
    assert far.grad.tolist() == [-1.0, 0.0, 1.0]


@pytest.mark.parametrize("name", [name for name in method_names() if method_entry(name).trained])
@pytest.mark.parametrize("labels", [(0, 0, 0), (0, 1, 2)])
def test_a_batch_of_one_class_or_of_nothing_alike_has_a_finite_loss(
    name: str, labels: tuple[int, ...]
) -> None:
    torch.manual_seed(6)
    entry = method_entry(name)
    config = DVANConfig(length=64) if name == "dvan" else entry.config()
    model = entry.build(config, Sizes(6, (1, 4, 64), 16, 3))
    assert isinstance(model, TrainedMethod)
    batch = Batch(
        torch.randn(3, 6), torch.randn(3, 1, 4, 64), torch.tensor([64, 9, 30]), torch.tensor(labels)
    )
    for done in (0.0, 0.9):
        model.begin_epoch(done)
        loss = torch.stack(list(model.losses(batch).values())).sum()
        loss.backward()
        assert loss.isfinite()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize(
    ("config", "changes", "words"),
    [
        (HashNetConfig, {"inner_product": 0.0}, "inner_product must be above 0, got 0.0"),
        (HashNetConfig, {"beta_last": 0.5}, "beta_last must be at least 1, got 0.5"),
        (DCMHConfig, {"pair_weights": "all"}, "pair_weights must be balanced or none, got 'all'"),
        (DCMHConfig, {"reduction": "max"}, "reduction must be mean or sum, got 'max'"),
        (DCMHConfig, {"gamma": -1.0}, "gamma must be at least 0, got -1.0"),
        (DCMHConfig, {"theta_scale": 0.0}, "theta_scale must be above 0, got 0.0"),
        (CSQConfig, {"quantisation": -1.0}, "quantisation must be at least 0, got -1.0"),
        (GreedyHashConfig, {"quantisation": -1.0}, "quantisation must be at least 0, got -1.0"),
        (OrthoHashConfig, {"scale": 0.0}, "scale must be above 0, got 0.0"),
        (OrthoHashConfig, {"margin": -0.1}, "margin must be at least 0"),
        (SCRLConfig, {"temperature": 0.0}, "temperature must be above 0, got 0.0"),
        (SCRLConfig, {"inter": -1.0}, "inter must be at least 0, got -1.0"),
        (DTBHConfig, {"code_margin": -1.0}, "code_margin must be at least 0, got -1.0"),
        (DTBHConfig, {"features": 0}, "features must be at least 1, got 0"),
        (DQHConfig, {"class_weight": -1.0}, "class_weight must be at least 0, got -1.0"),
        (DQHConfig, {"features": 0}, "features must be at least 1, got 0"),
        (CMIRNetConfig, {"decode": "both"}, "decode must be other or own, got 'both'"),
        (CMIRNetConfig, {"form": "paper"}, "form must be slides or code, got 'paper'"),
        (
            CMIRNetConfig,
            {"form": "code", "length": 0.1},
            "length needs form=slides; form=code has options code.NAME",
        ),
        (
            CMIRNetConfig,
            {"code": {"distance": 1.0}},
            "the options code.NAME need form=code, got form=slides",
        ),
        (CMIRNetConfig, {"pretraining": 1.0}, r"pretraining must be in \[0, 1\), got 1.0"),
        (CMIRNetConfig, {"features": 0}, "features must be at least 1, got 0"),
        (CMIRNetConfig, {"length": -1.0}, "length must be at least 0, got -1.0"),
    ],
)
def test_choices_that_a_method_does_not_have_are_refused(
    config: type[Any], changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        config(**changes)


def test_outputs_of_the_ends_are_what_each_method_says() -> None:
    x = torch.tensor(outputs()[0])
    ends = {
        name: with_open_ends(model).encode_images(x)
        for name, model in {
            "csq": CSQ(CSQConfig(), SIZES),
            "hashnet": HashNet(HashNetConfig(), SIZES),
            "dcmh": DCMH(DCMHConfig(), SIZES),
            "scrl": SCRL(SCRLConfig(), SIZES),
        }.items()
    }
    torch.testing.assert_close(ends["csq"], x.tanh())
    torch.testing.assert_close(ends["hashnet"], x.tanh())
    torch.testing.assert_close(ends["dcmh"], x)
    torch.testing.assert_close(ends["scrl"], x / x.square().sum(1, keepdim=True).sqrt())
