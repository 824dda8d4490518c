"""One loop for every trained method, one step for every other: pairs in, an epoch's record out.

All randomness of an epoch comes from the seed and the epoch's number, so that a run that is resumed
from a checkpoint computes what an uninterrupted run would have.
"""

import math
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ivr.errors import IvrError

from .average_precision import average_precision
from .codes import pack, sign
from .distances import Measure, measure_of
from .histograms import Histograms, class_histograms, score_histograms
from .method import Batch, ClosedFormMethod, Method, TrainedMethod
from .metrics import Scores, join_scores, scores
from .pairs import Pairs
from .training_config import OptimiserName, Pairing, TrainConfig

# Distances of images to voices held at once.
CELLS = 1 << 22
# Batches among which voices are sorted by their length.
NEIGHBOURS = 8
LEARNING_RATES: dict[OptimiserName, float] = {"adamw": 3e-3, "sgd": 0.5}
WEIGHT_DECAYS: dict[OptimiserName, float] = {"adamw": 1e-2, "sgd": 5e-4}


class TrainingError(IvrError):
    """Data or settings that cannot be trained with, in one line."""


def resolved(config: TrainConfig, method: TrainedMethod | type[TrainedMethod]) -> TrainConfig:
    """Return ``config`` with every field that is None set to the default of the method.

    A config without None is returned as it is.
    """
    optimiser = config.optimiser or method.optimiser
    rate, decay = config.learning_rate, config.weight_decay
    usual = LEARNING_RATES[optimiser]
    if optimiser == method.optimiser and method.learning_rate is not None:
        usual = method.learning_rate
    return replace(
        config,
        epochs=method.epochs if config.epochs is None else config.epochs,
        optimiser=optimiser,
        learning_rate=usual if rate is None else rate,
        weight_decay=WEIGHT_DECAYS[optimiser] if decay is None else decay,
    )


@dataclass(frozen=True)
class Epoch:
    """Losses, validation and time of one epoch.

    Attributes:
        number: number of the epoch, from 1.
        losses: mean of each term over the batches, and the sum of these as ``loss``.
        learning_rate: learning rate of the last step.
        image_to_voice: validation mAP in [0, 1], None if the epoch was not validated.
        voice_to_image: validation mAP in [0, 1], None if the epoch was not validated.
        seconds: wall time of the training steps and the validation.
        pairs_per_second: training pairs per second of wall time.
        chance: validation mAP of a random order in [0, 1], by direction; None in the history of
            an earlier version.
    """

    number: int
    losses: dict[str, float]
    learning_rate: float
    image_to_voice: float | None
    voice_to_image: float | None
    seconds: float
    pairs_per_second: float
    chance: dict[str, float] | None = None

    @property
    def score(self) -> float | None:
        """Mean of both validation mAP: it decides which epoch is kept."""
        if self.image_to_voice is None or self.voice_to_image is None:
            return None
        return (self.image_to_voice + self.voice_to_image) / 2


def make_optimiser(model: TrainedMethod, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser of ``config`` over the parameters of ``model``."""
    chosen = resolved(config, model)
    rate, decay = chosen.learning_rate, chosen.weight_decay
    assert rate is not None and decay is not None  # resolved fills them in
    if chosen.optimiser == "adamw":
        return torch.optim.AdamW(model.parameters(), rate, weight_decay=decay, fused=True)
    return torch.optim.SGD(
        model.parameters(), rate, momentum=0.9, weight_decay=decay, nesterov=True, fused=True
    )


def fit(model: ClosedFormMethod, training: Pairs, validation: Pairs, *, seed: int) -> Epoch:
    """Compute ``model`` in place from all pairs, and return that as one epoch without losses."""
    began = time.perf_counter()
    with torch.no_grad():
        model.fit(training, torch.Generator().manual_seed(seed))
    took = time.perf_counter() - began
    image_to_voice, voice_to_image = validation_scores(model, validation)
    return Epoch(
        1,
        {},
        0.0,
        image_to_voice,
        voice_to_image,
        time.perf_counter() - began,
        len(training.frames) / took,
        validation_chance(validation),
    )


def train(
    model: TrainedMethod,
    optimiser: torch.optim.Optimizer,
    training: Pairs,
    validation: Pairs,
    config: TrainConfig,
    *,
    seed: int,
    start: int = 0,
) -> Iterator[Epoch]:
    """Train ``model`` in place and yield every epoch.

    Args:
        model: a model after :meth:`TrainedMethod.fit_inputs`, or loaded from a checkpoint.
        optimiser: the result of :func:`make_optimiser`, or loaded from a checkpoint.
        training: pairs to learn from, on the device of the model; pooled by the model, where
            there is room for that.
        validation: pairs to choose the best epoch on.
        config: options of the training.
        seed: decides batches, drawn voices, dropout and masks.
        start: epochs already done.

    Raises:
        TrainingError: the loss is not finite, or there is one image, which has no batch statistics.
    """
    if len(training.labels) < 2:
        raise TrainingError(
            f"two images with voices are needed to train, got {len(training.labels)}"
        )
    config, chance = resolved(config, model), validation_chance(validation)
    epochs = config.epochs
    assert epochs is not None  # resolved fills it in
    for number in range(start + 1, epochs + 1):
        began = time.perf_counter()
        torch.manual_seed(_epoch_seed(seed, number))
        rng = np.random.default_rng([seed, number])
        model.train()
        model.begin_epoch((number - 1) / epochs)
        losses, rate = _one_epoch(model, optimiser, training, config, number, rng)
        steps_took = time.perf_counter() - began
        looked = number % config.validate_every == 0 or number == epochs
        image_to_voice, voice_to_image = (
            validation_scores(model, validation) if looked else (None, None)
        )
        yield Epoch(
            number,
            losses,
            rate,
            image_to_voice,
            voice_to_image,
            time.perf_counter() - began,
            len(training.labels) / steps_took,
            chance,
        )


def encode(model: Method, pairs: Pairs, *, batch_size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Return the real outputs of all images [n, width] and voices [m, width], float32."""
    images = _image_outputs(model, pairs.image_chunks(batch_size))
    chunks = pairs.voice_chunks(batch_size)
    return images, _voice_outputs(model, chunks, pooled=pairs.pooled)


def encode_images(model: Method, images: Tensor, *, batch_size: int = 512) -> np.ndarray:
    """Return the real outputs [n, width], float32, of CNN vectors [n, image_dim]."""
    return _image_outputs(model, torch.split(images, batch_size))


def encode_voices(
    model: Method, voices: Tensor, frames: Tensor, *, batch_size: int = 512
) -> np.ndarray:
    """Return the real outputs [m, width], float32, of MFCC streams and their true frames [m]."""
    chunks = zip(torch.split(voices, batch_size), torch.split(frames, batch_size), strict=True)
    return _voice_outputs(model, chunks, pooled=False)


def _image_outputs(model: Method, chunks: Iterable[Tensor]) -> np.ndarray:
    device = model.device
    model.eval()
    with torch.inference_mode():
        parts = [model.encode_images(part.to(device).float()) for part in chunks]
    return torch.cat(parts).float().cpu().numpy()


def _voice_outputs(
    model: Method, chunks: Iterable[tuple[Tensor, Tensor]], *, pooled: bool
) -> np.ndarray:
    device = model.device
    model.eval()
    parts = []
    with torch.inference_mode():
        for voices, frames in chunks:
            some = voices.to(device), frames.to(device)
            parts.append(model.encode_voices(*(some if pooled else model.pool(*some))))
    return torch.cat(parts).float().cpu().numpy()


def validation_scores(model: Method, pairs: Pairs) -> tuple[float, float]:
    """Return tie-aware mAP in [0, 1], image to voice and voice to image, by class.

    Ranked by the method's own distance.
    """
    images, voices = encode(model, pairs)
    image_labels = pairs.labels.cpu().numpy()
    voice_labels = pairs.labels_of_voices().cpu().numpy()
    measure = measure_of(model)
    if measure is not None:
        forward = _measured(measure, (images, image_labels), (voices, voice_labels))
        backward = _measured(
            lambda a, b: measure(b, a).T, (voices, voice_labels), (images, image_labels)
        )
        return forward.mAP, backward.mAP
    codes = pack(sign(images)), pack(sign(voices))
    return (
        scores(
            class_histograms(codes[0], image_labels, codes[1], voice_labels), metrics=("mAP",)
        ).mAP,
        scores(
            class_histograms(codes[1], voice_labels, codes[0], image_labels), metrics=("mAP",)
        ).mAP,
    )


def validation_chance(pairs: Pairs) -> dict[str, float]:
    """Return the mAP in [0, 1] of a random order of ``pairs`` by direction, by class."""
    images = torch.bincount(pairs.labels.cpu()).numpy()
    voices = np.bincount(pairs.labels_of_voices().cpu().numpy(), minlength=len(images))
    return {
        "image_to_voice": _chance(images, voices),
        "voice_to_image": _chance(voices, images),
    }


def _chance(queries: np.ndarray, gallery: np.ndarray) -> float:
    """Return the mAP of a random order for numbers of queries and of items by class [classes]."""
    asked = np.flatnonzero(queries)
    items = np.full((len(asked), 1), gallery.sum(), np.int64)
    tied = Histograms(items, gallery[asked, None].astype(np.int64))
    return float(np.average(average_precision(tied), weights=queries[asked]))


def _measured(
    measure: Measure,
    queries: tuple[np.ndarray, np.ndarray],
    gallery: tuple[np.ndarray, np.ndarray],
) -> Scores:
    """Return the scores of queries, outputs and labels, by ``measure`` of queries and gallery."""
    step = max(1, CELLS // len(gallery[0]))
    return join_scores(
        [
            scores(
                score_histograms(
                    measure(queries[0][start : start + step], gallery[0]),
                    queries[1][start : start + step, None] == gallery[1],
                ),
                metrics=("mAP",),
            )
            for start in range(0, len(queries[0]), step)
        ]
    )


def _one_epoch(
    model: TrainedMethod,
    optimiser: torch.optim.Optimizer,
    training: Pairs,
    config: TrainConfig,
    number: int,
    rng: np.random.Generator,
) -> tuple[dict[str, float], float]:
    """Take the steps of epoch ``number``; return mean losses and the last learning rate."""
    assert config.epochs is not None  # resolved
    images, voices = epoch_pairs(training, config.pairing, rng)
    frames = training.lengths().cpu().numpy()
    batches = epoch_batches(images, voices, frames, config.batch_size, rng)
    total: dict[str, Tensor] = {}
    rate = 0.0
    for step, batch in enumerate(_selected(model, training, batches)):
        done = (number - 1) * len(batches) + step
        rate = learning_rate(done, config.epochs * len(batches), config)
        for group in optimiser.param_groups:
            group["lr"] = rate
        terms = model.losses(batch)
        loss = torch.stack(list(terms.values())).sum()
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        for name, term in {"loss": loss, **terms}.items():
            total[name] = total.get(name, torch.zeros_like(term)) + term.detach()
    losses = {name: float(value) / len(batches) for name, value in total.items()}
    if not math.isfinite(losses["loss"]):
        raise TrainingError(
            f"the loss is {losses['loss']} in epoch {number}; lower the learning rate "
            f"({config.learning_rate:g})"
        )
    return losses, rate


def epoch_pairs(
    pairs: Pairs, pairing: Pairing, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return rows of images and of voices [n], in random order, every image once.

    Args:
        pairs: images and voices.
        pairing: ``own`` draws one of the voices of each image that has any; ``class`` deals the
            voices of a class to its images, each voice as often as any other, and leaves out images
            of a class without voices.
        rng: decides order and voices.
    """
    if pairing == "own":
        described = pairs.voice_image.cpu().numpy()
        counts = np.bincount(described[described >= 0], minlength=len(pairs.labels))
        first = np.cumsum(counts) - counts + np.count_nonzero(described < 0)
        order = rng.permutation(len(counts))
        order = order[counts[order] > 0]
        return order, first[order] + rng.integers(counts[order])
    labels, voice_labels = pairs.labels.cpu().numpy(), pairs.labels_of_voices().cpu().numpy()
    order = rng.permutation(len(labels))
    voices = np.full(len(labels), -1)
    for number in np.unique(voice_labels):
        places = np.flatnonzero(labels[order] == number)
        own = np.flatnonzero(voice_labels == number)
        decks = [rng.permutation(own) for _ in range(-(-len(places) // len(own)))]
        voices[places] = np.concatenate(decks)[: len(places)] if decks else ()
    return order[voices >= 0], voices[voices >= 0]


def epoch_batches(
    images: np.ndarray,
    voices: np.ndarray,
    frames: np.ndarray,
    batch_size: int,
    rng: np.random.Generator,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return rows of images and voices [<= batch_size] per batch.

    Voices of one length stand in one batch, as far as those of :data:`NEIGHBOURS` batches allow:
    frames that pad shorter voices cost time too.

    Args:
        images: [n] rows of images.
        voices: [n] row of the voice beside each.
        frames: [m] number of frames of each voice.
        batch_size: pairs in a batch; batches differ by at most one pair.
        rng: decides the order of the batches.
    """
    batches = np.array_split(np.arange(len(voices)), math.ceil(len(voices) / batch_size))
    sorted_batches = []
    for start in range(0, len(batches), NEIGHBOURS):
        some = batches[start : start + NEIGHBOURS]
        together = np.concatenate(some)
        together = together[np.argsort(frames[voices[together]], kind="stable")]
        sorted_batches += np.split(together, np.cumsum([len(batch) for batch in some])[:-1])
    chosen = [sorted_batches[place] for place in rng.permutation(len(sorted_batches))]
    return [(images[places], voices[places]) for places in chosen]


def _selected(
    model: TrainedMethod, pairs: Pairs, batches: Sequence[tuple[np.ndarray, np.ndarray]]
) -> Iterator[Batch]:
    """Yield the batches; where they come from a file or go to a GPU, the next one is on its way."""
    rows = [(torch.from_numpy(images), torch.from_numpy(voices)) for images, voices in batches]
    in_memory = pairs.pooled and pairs.image_rows is None
    if in_memory and {pairs.voices.device, pairs.images.device} == {model.device}:
        yield from (select(model, pairs, *some) for some in rows)
        return
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(select, model, pairs, *rows[0])
        for some in rows[1:]:
            batch, coming = coming.result(), pool.submit(select, model, pairs, *some)
            yield batch
        yield coming.result()


def select(model: Method, pairs: Pairs, image_rows: Tensor, voice_rows: Tensor) -> Batch:
    """Return the batch of the images ``image_rows`` [b] and the voices ``voice_rows``, pooled."""
    device = pairs.labels.device
    voices, frames = pairs.voices_of(voice_rows)
    voices, frames = voices.to(device), frames.to(device)
    if not pairs.pooled:
        voices, frames = model.pool(voices, frames)
    rows = image_rows.to(device)
    return Batch(pairs.images_of(rows).to(device), voices, frames, pairs.labels[rows])


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Return the learning rate of ``step`` of ``steps``: a linear rise, then half a cosine.

    ``config`` has a learning rate (:func:`resolved`).
    """
    top = config.learning_rate
    assert top is not None
    rising = max(1, round(steps * config.warm_up))
    if step < rising:
        return top * (step + 1) / rising
    return top * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising))) / 2


def _epoch_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)
