import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ivr.hashing import trainer
from ivr.hashing.canonical_method import CanonicalConfig
from ivr.hashing.codes import sign
from ivr.hashing.method import Batch, Method
from ivr.hashing.methods.cca_sign import CCASign
from ivr.hashing.methods.csq import CSQ
from ivr.hashing.methods.divh import DIVH, DIVHConfig
from ivr.hashing.methods.dvan import DVAN
from ivr.hashing.methods.scrl import SCRL, SCRLConfig
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes
from ivr.hashing.trainer import (
    LEARNING_RATES,
    WEIGHT_DECAYS,
    Epoch,
    Pairs,
    TrainingError,
    encode,
    encode_images,
    encode_voices,
    epoch_batches,
    epoch_pairs,
    fit,
    learning_rate,
    make_optimiser,
    resolved,
    select,
    train,
    validation_scores,
)
from ivr.hashing.training_config import TrainConfig

# Every number is given, so that no test depends on a default.
NETWORK = NetworkConfig(
    image_hidden=0,
    voice_pool=4,
    voice_mean="kept",
    voice_warp=0.0,
    voice_stretch=0.0,
    voice_tilt=0.0,
    voice_channels=(12,),
    voice_kernel=3,
    voice_stride=(1,),
    dropout=0.1,
    image_dropout=0.1,
    time_masks=1,
    time_mask_share=0.2,
    frequency_masks=1,
    frequency_mask_share=0.3,
)
METHOD = DIVHConfig(
    gamma=0.1, eta=0.1, activation="tanh", reduction="mean", pair_weights="balanced",
    network=NETWORK,
)  # fmt: skip
TRAINING = TrainConfig(
    epochs=4, batch_size=16, optimiser="adamw", learning_rate=0.01, weight_decay=1e-4,
    warm_up=0.1, validate_every=2,
    pairing="own",
)  # fmt: skip
CLASSES, STREAMS, COEFFICIENTS, FRAMES, IMAGE_DIM = 4, 2, 4, 12, 10
BITS = 16


def separable(images: int, voices_each: int, seed: int) -> Pairs:
    """Pairs in which class and vectors go together; the centres of the classes are always the same.

    Args:
        images: how many.
        voices_each: voices an image.
        seed: of what differs between items of a class.
    """
    centres, rng = np.random.default_rng(100), np.random.default_rng(seed)
    image_centre = centres.normal(0, 1, (CLASSES, IMAGE_DIM))
    voice_centre = centres.normal(0, 1, (CLASSES, STREAMS, COEFFICIENTS, 1))
    labels = np.arange(images) % CLASSES
    voice_image = np.repeat(np.arange(images), voices_each)
    voices = voice_centre[labels[voice_image]] + rng.normal(
        0, 0.5, (len(voice_image), STREAMS, COEFFICIENTS, FRAMES)
    )
    return Pairs(
        torch.tensor(image_centre[labels] + rng.normal(0, 0.4, (images, IMAGE_DIM))).float(),
        torch.tensor(labels),
        torch.tensor(voices).float(),
        torch.tensor(rng.integers(FRAMES // 2, FRAMES + 1, len(voice_image))),
        torch.tensor(voice_image),
    )


def new_model(training: Pairs, seed: int = 0, config: DIVHConfig = METHOD) -> DIVH:
    torch.manual_seed(seed)
    model = DIVH(config, Sizes(IMAGE_DIM, (STREAMS, COEFFICIENTS, FRAMES), BITS, CLASSES))
    model.fit_inputs(training)
    return model


def trained(
    training: Pairs, validation: Pairs, config: TrainConfig, seed: int = 0
) -> tuple[DIVH, list[Epoch]]:
    model = new_model(training)
    optimiser = make_optimiser(model, config)
    return model, list(train(model, optimiser, training, validation, config, seed=seed))


def same_weights(a: Method, b: Method) -> bool:
    return all(torch.equal(x, y) for x, y in zip(*map(tensors, (a, b)), strict=True))


def tensors(model: Method) -> list[Tensor]:
    return list(model.state_dict().values())


@pytest.mark.parametrize("batch_size", [2, 5, 7, 100])
def test_batches_hold_every_pair_once_and_are_about_as_large(batch_size: int) -> None:
    images, voices = np.arange(23), np.arange(23)[::-1]
    batches = epoch_batches(images, voices, np.ones(23), batch_size, np.random.default_rng(1))
    assert sorted(np.concatenate([some for some, _ in batches])) == list(range(23))
    assert all(np.array_equal(some, 22 - beside) for some, beside in batches)
    sizes = [len(some) for some, _ in batches]
    assert len(batches) == math.ceil(23 / batch_size)
    assert max(sizes) <= batch_size
    assert max(sizes) - min(sizes) <= 1


def test_voices_of_one_length_share_a_batch() -> None:
    frames = np.random.default_rng(0).integers(10, 1000, 400)
    rows = np.arange(400)
    found = epoch_batches(rows, rows, frames, 20, np.random.default_rng(1))
    batches = [voices for _, voices in found]
    spread = np.mean([frames[batch].max() - frames[batch].min() for batch in batches])
    assert spread < 200  # of 990; eight batches sorted: about an eighth each
    lengths = [frames[batch].mean() for batch in batches]
    assert lengths != sorted(lengths)


def test_own_pairs_are_every_image_once_with_a_voice_of_its_own() -> None:
    voice_image = np.repeat(np.arange(23), np.random.default_rng(0).integers(1, 6, 23))
    images, voices = epoch_pairs(pairs_of(voice_image), "own", np.random.default_rng(1))
    assert np.array_equal(voice_image[voices], images)
    assert sorted(images) == list(range(23))
    assert list(images) != sorted(images)


def test_own_pairs_leave_out_images_without_a_voice_and_voices_without_an_image() -> None:
    pairs = pairs_of([-1, -1, 0, 2, 2], labels=[0, 0, 1], voice_labels=[0, 1, 0, 1, 1])
    rng = np.random.default_rng(0)
    drawn = {tuple(pair) for _ in range(50) for pair in np.stack(epoch_pairs(pairs, "own", rng), 1)}
    assert drawn == {(0, 2), (2, 3), (2, 4)}


def test_pairs_of_a_class_are_every_image_with_any_voice_of_its_class() -> None:
    pairs = pairs_of([-1, -1, 0, 2, 2], labels=[0, 0, 1, 2], voice_labels=[0, 1, 0, 1, 1])
    rng = np.random.default_rng(0)
    epochs = [np.stack(epoch_pairs(pairs, "class", rng), 1).tolist() for _ in range(60)]
    for epoch in epochs:  # the image of class 2 has no voice that it could stand beside
        assert sorted(image for image, _ in epoch) == [0, 1, 2]
    drawn = {tuple(pair) for epoch in epochs for pair in epoch}
    assert drawn == {(0, 0), (0, 2), (1, 0), (1, 2), (2, 1), (2, 3), (2, 4)}
    assert len({tuple(image for image, _ in epoch) for epoch in epochs}) == 6


def test_the_voices_of_a_class_are_dealt_as_often_as_each_other() -> None:
    labels, voice_labels = [0] * 10 + [1] * 3, [0, 0, 0, 0, 1, 1, 1, 1, 1]
    pairs = pairs_of([-1] * 9, labels=labels, voice_labels=voice_labels)
    _, voices = epoch_pairs(pairs, "class", np.random.default_rng(3))
    counts = np.bincount(voices, minlength=9)
    assert sorted(counts[:4]) == [2, 2, 3, 3]
    assert sorted(counts[4:]) == [0, 0, 1, 1, 1]


def pairs_of(
    voice_image: Sequence[int] | np.ndarray,
    labels: Sequence[int] | None = None,
    voice_labels: Sequence[int] | None = None,
) -> Pairs:
    """Images and voices of which only the rows count."""
    described = torch.as_tensor(voice_image)
    images = int(described.max()) + 1 if labels is None else len(labels)
    return Pairs(
        torch.zeros(images, 1),
        torch.zeros(images, dtype=torch.int64) if labels is None else torch.tensor(labels),
        torch.zeros(len(described), 1, 1, 1),
        torch.ones(len(described)),
        described,
        voice_labels=None if voice_labels is None else torch.tensor(voice_labels),
    )


def test_every_voice_of_an_image_is_drawn_about_as_often() -> None:
    pairs = pairs_of([0, 1, 1, 1, 1, 2, 2])
    rng = np.random.default_rng(0)
    drawn = np.concatenate([epoch_pairs(pairs, "own", rng)[1] for _ in range(2000)])
    counts = np.bincount(drawn, minlength=7)
    assert counts[0] == 2000
    # Five deviations of a binomial of 2000 draws: 5 sqrt(2000 x 1/4 x 3/4) = 97, with 1/2: 112.
    np.testing.assert_allclose(counts[1:5], 500, atol=97)
    np.testing.assert_allclose(counts[5:], 1000, atol=112)


def test_the_learning_rate_rises_in_a_line_and_falls_as_half_a_cosine() -> None:
    config = replace(TRAINING, learning_rate=0.8, warm_up=0.4)
    rates = [learning_rate(step, 10, config) for step in range(10)]
    # By hand: four steps up; then 0.4 (1 + cos(pi n / 6)) for n = 0 to 5.
    root = math.sqrt(3) / 2
    cosine = [1, root, 0.5, 0, -0.5, -root]
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8] + [0.4 * (1 + c) for c in cosine])


def test_without_warm_up_the_first_step_is_at_the_top() -> None:
    config = replace(TRAINING, learning_rate=0.8, warm_up=0.0)
    assert learning_rate(0, 5, config) == 0.8
    assert learning_rate(0, 1, config) == 0.8
    assert learning_rate(4, 5, config) == pytest.approx(0.4 * (1 + math.cos(math.pi * 3 / 4)))


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_a_learning_rate_left_open_is_that_of_the_optimiser(optimiser: str) -> None:
    open_rates = replace(TRAINING, optimiser=optimiser, learning_rate=None, weight_decay=None)
    config = resolved(open_rates, DIVH)
    assert config.learning_rate == LEARNING_RATES[optimiser]  # type: ignore[index]
    assert config.weight_decay == WEIGHT_DECAYS[optimiser]  # type: ignore[index]
    assert resolved(config, CSQ) == config


def test_an_optimiser_left_open_is_the_methods_own() -> None:
    assert resolved(TrainConfig(), DIVH).optimiser == "sgd"
    assert resolved(TrainConfig(), CSQ).optimiser == "adamw"
    assert (resolved(TrainConfig(), DIVH).epochs, resolved(TrainConfig(), CSQ).epochs) == (120, 60)
    assert resolved(TrainConfig(epochs=7), DIVH).epochs == 7
    assert resolved(TrainConfig(), CSQ).learning_rate == LEARNING_RATES["adamw"]
    # A rate of a method's own is of its own optimiser.
    assert resolved(TrainConfig(), DVAN).learning_rate == DVAN.learning_rate == 5e-4
    assert resolved(TrainConfig(optimiser="sgd"), DVAN).learning_rate == LEARNING_RATES["sgd"]
    assert resolved(TrainConfig(learning_rate=0.1), DVAN).learning_rate == 0.1
    assert resolved(TRAINING, DIVH) == TRAINING
    assert isinstance(make_optimiser(new_model(separable(8, 1, 0)), TrainConfig()), torch.optim.SGD)


def test_sgd_has_momentum_and_the_step_of_nesterov() -> None:
    training = separable(8, 1, 0)
    model = new_model(training)
    config = replace(TRAINING, optimiser="sgd", weight_decay=0.02)
    group = make_optimiser(model, config).param_groups[0]
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, True, 0.02)
    assert isinstance(make_optimiser(model, TRAINING), torch.optim.AdamW)


def test_the_steps_of_an_epoch_follow_the_schedule() -> None:
    training, validation = separable(12, 1, 0), separable(4, 1, 1)
    _, epochs = trained(training, validation, replace(TRAINING, batch_size=4, epochs=3))
    # Three steps an epoch, nine in all, one of them rising.
    expected = [learning_rate(step, 9, TRAINING) for step in (2, 5, 8)]
    assert [epoch.learning_rate for epoch in epochs] == pytest.approx(expected)


def test_a_batch_holds_voices_and_the_images_that_they_describe() -> None:
    pairs = separable(3, 2, 0)
    model = new_model(pairs)
    rows = torch.tensor([2, 0]), torch.tensor([5, 0])
    batch = select(model, pairs, *rows)
    voices, frames = model.pool(pairs.voices[[5, 0]], pairs.frames[[5, 0]])
    assert torch.equal(batch.voices, voices)
    assert torch.equal(batch.frames, frames)
    pooled = select(model, pairs.pooled_by(model.pool, 1e9), *rows)
    assert torch.equal(pooled.voices, voices)
    assert torch.equal(batch.images, pairs.images[[2, 0]])
    assert torch.equal(batch.labels, pairs.labels[[2, 0]])


def test_training_from_a_file_is_training_from_memory(tmp_path: Path) -> None:
    training, validation = separable(20, 2, 0), separable(8, 1, 1)
    # The file holds other voices too, and in another order.
    order = np.random.default_rng(0).permutation(60)
    np.random.default_rng(1).normal(0, 9, (60, *training.voices.shape[1:])).astype(
        np.float32
    ).tofile(tmp_path / "voices")
    mapped = np.memmap(tmp_path / "voices", np.float32, "r+", 0, (60, *training.voices.shape[1:]))
    mapped[order[:40]] = training.voices.numpy()
    from_file = replace(
        training, voices=torch.from_numpy(mapped), voice_rows=torch.from_numpy(order[:40])
    )
    expected, _ = trained(training, validation, TRAINING)
    for in_memory in (False, True):
        model = new_model(from_file)
        pairs = from_file.pooled_by(model.pool, 1e9) if in_memory else from_file
        optimiser = make_optimiser(model, TRAINING)
        list(train(model, optimiser, pairs, validation, TRAINING, seed=0))
        assert same_weights(model, expected)


@pytest.mark.parametrize(("optimiser", "rate"), [("adamw", 0.01), ("sgd", 0.2)])
def test_training_learns_classes_that_can_be_told_apart(optimiser: str, rate: float) -> None:
    training, validation = separable(64, 3, 0), separable(40, 1, 1)
    config = replace(TRAINING, epochs=15, optimiser=optimiser, learning_rate=rate)
    before = validation_scores(new_model(training), validation)
    _, epochs = trained(training, validation, config)
    # Over 50 seeds of data and weights the ratio of the losses was at most 0.67, the mAP before at
    # most 0.55 and after at least 0.97. A random order of four equal classes has about 0.3.
    assert epochs[-1].losses["loss"] < 0.8 * epochs[0].losses["loss"]
    assert max(before) < 0.7
    assert epochs[-1].score is not None
    assert epochs[-1].score > 0.9


@pytest.mark.parametrize("columns", [64, 256])
def test_statistics_of_mapped_images_are_those_of_images_in_memory(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(0)
    stored = 3 * torch.randn(50, 640, generator=generator) + 1
    rows = torch.randperm(50, generator=generator)[:20]
    monkeypatch.setattr("ivr.hashing.pairs.STATISTICS_BYTES", 4 * 20 * columns)
    rest = (torch.zeros(20, dtype=torch.long), torch.zeros(20, 1, 1, 1), torch.ones(20).long())
    mapped = Pairs(stored, *rest, torch.arange(20), image_rows=rows)
    in_memory = Pairs(stored[rows], *rest, torch.arange(20))
    for ours, theirs in zip(mapped.image_statistics(), in_memory.image_statistics(), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(torch.cat(list(mapped.image_chunks(7))), in_memory.images)
    assert torch.equal(mapped.images_of(torch.tensor([3, 1])), stored[rows[[3, 1]]])


def test_the_losses_of_an_epoch_are_means_over_its_batches_and_their_sum() -> None:
    training, validation = separable(12, 1, 0), separable(4, 1, 1)
    config = replace(TRAINING, batch_size=6, epochs=1)
    model = new_model(training)
    seen: list[dict[str, float]] = []
    losses = model.losses

    def noted(batch: Batch) -> dict[str, Tensor]:
        terms = losses(batch)
        seen.append({name: term.item() for name, term in terms.items()})
        return terms

    model.losses = noted  # type: ignore[method-assign]
    (epoch,) = train(model, make_optimiser(model, config), training, validation, config, seed=0)
    assert len(seen) == 2
    means = {name: (seen[0][name] + seen[1][name]) / 2 for name in seen[0]}
    found = dict(epoch.losses)
    assert found.pop("loss") == pytest.approx(sum(means.values()), rel=1e-5)
    assert found == pytest.approx(means, rel=1e-5)


def test_every_epoch_has_batches_of_its_own_and_trains_with_dropout_and_masks() -> None:
    training, validation = separable(40, 1, 0), separable(4, 1, 1)
    config = replace(TRAINING, batch_size=40, epochs=3, validate_every=1)
    model = new_model(training)
    seen: list[Tensor] = []
    losses = model.losses

    def noted(batch: Batch) -> dict[str, Tensor]:
        assert model.training
        seen.append(batch.images)
        return losses(batch)

    model.losses = noted  # type: ignore[method-assign]
    list(train(model, make_optimiser(model, config), training, validation, config, seed=0))
    assert len(seen) == 3
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(seen, 2))


def test_epochs_are_looked_at_at_intervals_and_at_the_end() -> None:
    training, validation = separable(8, 1, 0), separable(4, 1, 1)
    _, epochs = trained(training, validation, replace(TRAINING, epochs=5, validate_every=2))
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4, 5]
    assert [epoch.score is not None for epoch in epochs] == [False, True, False, True, True]


def test_the_score_of_an_epoch_is_the_mean_of_both_directions() -> None:
    epoch = Epoch(1, {"loss": 1.0}, 0.1, 0.25, 0.75, 1.0, 1.0)
    assert epoch.score == 0.5
    assert replace(epoch, image_to_voice=None, voice_to_image=None).score is None


def test_a_loss_that_is_not_finite_stops_with_what_to_do() -> None:
    training, validation = separable(8, 1, 0), separable(4, 1, 1)
    config = replace(TRAINING, learning_rate=1e30)
    model = new_model(training, config=replace(METHOD, activation="linear"))
    steps = train(model, make_optimiser(model, config), training, validation, config, seed=0)
    words = r"the loss is (nan|inf) in epoch \d; lower the learning rate \(1e\+30\)"
    with pytest.raises(TrainingError, match=words):
        list(steps)


def test_no_batch_is_left_with_a_single_pair_which_has_no_batch_statistics() -> None:
    for images in range(2, 40):
        for batch_size in range(3, 12):
            rows = np.arange(images)
            batches = epoch_batches(
                rows, rows, np.ones(images), batch_size, np.random.default_rng(0)
            )
            assert min(len(some) for some, _ in batches) >= 2
    training, validation = separable(4, 1, 0), separable(4, 1, 1)
    trained(training, validation, replace(TRAINING, batch_size=3, epochs=1))


def test_a_single_image_cannot_be_trained_on() -> None:
    training = separable(1, 3, 0)
    with pytest.raises(TrainingError, match="two images with voices are needed to train, got 1"):
        trained(training, training, TRAINING)


def test_the_same_seed_gives_the_same_weights_and_another_seed_others() -> None:
    training, validation = separable(24, 2, 0), separable(8, 1, 1)
    first, again, other = (trained(training, validation, TRAINING, seed)[0] for seed in (7, 7, 8))
    assert same_weights(first, again)
    assert not same_weights(first, other)


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_an_epoch_depends_on_its_number_and_not_on_what_was_drawn_before(optimiser: str) -> None:
    training, validation = separable(24, 2, 0), separable(8, 1, 1)
    config = replace(TRAINING, optimiser=optimiser)
    whole, epochs = trained(training, validation, config)
    halves = new_model(training)
    steps = make_optimiser(halves, config)
    begun = train(halves, steps, training, validation, config, seed=0)
    kept = [next(begun), next(begun)]
    torch.rand(1000)
    kept += train(halves, steps, training, validation, config, seed=0, start=2)
    assert same_weights(whole, halves)
    assert [epoch.losses for epoch in kept] == [epoch.losses for epoch in epochs]


def test_encoding_in_batches_gives_what_encoding_at_once_gives_without_dropout() -> None:
    pairs = separable(9, 2, 0)
    model = new_model(pairs).train()
    images, voices = encode(model, pairs, batch_size=4)
    assert images.shape == (9, BITS)
    assert voices.shape == (18, BITS)
    assert images.dtype == voices.dtype == np.float32
    model.eval()
    with torch.no_grad():
        np.testing.assert_allclose(images, model.encode_images(pairs.images), atol=1e-6)
        expected = model.encode_voices(*model.pool(pairs.voices, pairs.frames))
    np.testing.assert_allclose(voices, expected, atol=1e-6)


def test_vectors_stored_in_float16_are_encoded() -> None:
    pairs = separable(5, 1, 0)
    model = new_model(pairs)
    images = encode_images(model, pairs.images.half())
    voices = encode_voices(model, pairs.voices.half(), pairs.frames)
    np.testing.assert_allclose(images, encode_images(model, pairs.images), atol=0.02)
    np.testing.assert_allclose(voices, encode_voices(model, pairs.voices, pairs.frames), atol=0.02)


def average_over_orders(distance: np.ndarray, relevant: np.ndarray) -> float:
    """Average precision, as the mean over every order of the items that keeps the distances."""
    values = []
    for order in itertools.permutations(range(len(distance))):
        if any(distance[a] > distance[b] for a, b in itertools.pairwise(order)):
            continue
        hits, total = 0, 0.0
        for place, item in enumerate(order, 1):
            if relevant[item]:
                hits += 1
                total += hits / place
        values.append(total / relevant.sum())
    return float(np.mean(values))


def test_validation_scores_are_the_mean_average_precision_of_all_orders_of_the_ties() -> None:
    # Eight bits and six items: many distances are equal.
    pairs = separable(6, 1, 5)
    torch.manual_seed(2)
    model = DIVH(METHOD, Sizes(IMAGE_DIM, (STREAMS, COEFFICIENTS, FRAMES), 8, CLASSES))
    images, voices = (sign(outputs).astype(int) for outputs in encode(model, pairs))
    distance = (8 - images @ voices.T) // 2
    assert any(len(set(row)) < 6 for row in distance)
    labels = pairs.labels.numpy()
    relevant = labels[:, None] == labels[None, :]
    forward = np.mean([average_over_orders(d, r) for d, r in zip(distance, relevant, strict=True)])
    backward = np.mean(
        [average_over_orders(d, r) for d, r in zip(distance.T, relevant.T, strict=True)]
    )
    assert forward != pytest.approx(backward)
    assert validation_scores(model, pairs) == pytest.approx((forward, backward))


def test_a_real_valued_method_is_validated_by_its_own_distance(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pairs = separable(6, 2, 5)
    torch.manual_seed(2)
    model = SCRL(
        SCRLConfig(network=NETWORK), Sizes(IMAGE_DIM, (STREAMS, COEFFICIENTS, FRAMES), 8, 4)
    )
    images, voices = encode(model, pairs)
    distance = np.array([[np.linalg.norm(a - b) for b in voices] for a in images])
    labels = pairs.labels.numpy()
    relevant = labels[:, None] == labels[pairs.voice_image.numpy()][None, :]
    expected = []
    for table, truth in ((distance, relevant), (distance.T, relevant.T)):
        values = []
        for row, wanted in zip(table, truth, strict=True):
            ranked = wanted[np.argsort(row)]
            places = np.flatnonzero(ranked) + 1
            values.append(np.mean(np.arange(1, len(places) + 1) / places))
        expected.append(np.mean(values))
    assert validation_scores(model, pairs) == pytest.approx(tuple(expected))
    monkeypatch.setattr(trainer, "CELLS", 13)
    assert validation_scores(model, pairs) == pytest.approx(tuple(expected))


def test_a_method_is_told_before_each_epoch_how_much_of_the_training_is_over() -> None:
    training, validation = separable(8, 1, 0), separable(4, 1, 1)
    told: list[float] = []
    model = new_model(training)
    model.begin_epoch = told.append  # type: ignore[method-assign]
    steps = make_optimiser(model, TRAINING)
    list(train(model, steps, training, validation, TRAINING, seed=0))
    assert told == [0, 0.25, 0.5, 0.75]
    list(train(model, steps, training, validation, TRAINING, seed=0, start=2))
    assert told[4:] == [0.5, 0.75]


def test_a_method_in_one_step_gets_all_pairs_and_makes_one_epoch() -> None:
    training, validation = separable(30, 2, 0), separable(12, 1, 1)
    model = CCASign(CanonicalConfig(), Sizes(IMAGE_DIM, (STREAMS, COEFFICIENTS, FRAMES), 8, 4))
    seen: list[Pairs] = []
    compute = model.fit

    def noted(pairs: Pairs, generator: torch.Generator) -> None:
        seen.append(pairs)
        compute(pairs, generator)

    model.fit = noted  # type: ignore[method-assign]
    epoch = fit(model, training, validation, seed=0)
    assert seen == [training]
    assert (epoch.number, epoch.losses, epoch.learning_rate) == (1, {}, 0.0)
    assert (epoch.image_to_voice, epoch.voice_to_image) == validation_scores(model, validation)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"optimiser": "lamb"}, "optimiser must be adamw or sgd, got 'lamb'"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"validate_every": 0}, "validate_every must be at least 1, got 0"),
        ({"batch_size": 2}, "batch_size must be at least 3, got 2"),
        ({"warm_up": 1.0}, r"warm_up must be in \[0, 1\), got 1.0"),
        ({"learning_rate": 0.0}, "learning_rate must be above 0, got 0.0"),
        ({"weight_decay": -1.0}, "weight_decay must be at least 0, got -1.0"),
    ],
)
def test_settings_that_cannot_be_trained_with_are_refused(
    changes: dict[str, object], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        replace(TRAINING, **changes)  # type: ignore[arg-type]
