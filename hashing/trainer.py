"""One loop for every trained method: batches of pairs in, an epoch's record out.

All randomness of an epoch comes from the seed and the epoch's number, so that a run that goes on
from a checkpoint computes what an uninterrupted run would have.
"""

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from .codes import pack, sign
from .methods import Batch, Method
from .metrics import scores
from .ranking import class_histograms

OptimiserName = Literal["adamw", "sgd"]
LEARNING_RATES: dict[OptimiserName, float] = {"adamw": 3e-3, "sgd": 0.5}
WEIGHT_DECAYS: dict[OptimiserName, float] = {"adamw": 1e-2, "sgd": 5e-4}


class TrainingError(ValueError):
    """Data or settings that cannot be trained with, in one line."""


@dataclass(frozen=True)
class TrainConfig:
    """How a method is trained.

    Attributes:
        epochs: passes over the training images, each image with one of its voices, drawn anew.
        batch_size: pairs in a batch, 3 or more, so that none is left with one.
        optimiser: sgd (the paper's; with momentum 0.9 and Nesterov's step) or adamw.
        learning_rate: at the top of the schedule; None takes 0.5 for sgd, 0.003 for adamw.
        weight_decay: decoupled for adamw, an L2 penalty for sgd; None takes 0.01 for
            adamw, 0.0005 for sgd.
        warm_up: share of the steps over which the learning rate rises; it falls as a cosine after.
        validate_every: epochs between two looks at the validation split; the last is looked at.
    """

    epochs: int = 60
    batch_size: int = 64
    optimiser: OptimiserName = "sgd"
    learning_rate: float | None = None
    weight_decay: float | None = None
    warm_up: float = 0.1
    validate_every: int = 2

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.optimiser not in get_args(OptimiserName):
            raise ValueError(
                f"optimiser must be {' or '.join(get_args(OptimiserName))}, got {self.optimiser!r}"
            )
        for name in ("epochs", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        if self.batch_size < 3:
            raise ValueError(f"batch_size must be at least 3, got {self.batch_size}")
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up must be in [0, 1), got {self.warm_up}")
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise ValueError(f"learning_rate must be positive, got {self.learning_rate}")
        if self.weight_decay is not None and self.weight_decay < 0:
            raise ValueError(f"weight_decay must not be negative, got {self.weight_decay}")


@dataclass(frozen=True)
class Pairs:
    """Images and their voices, as tensors.

    Attributes:
        images: [n, image_dim] CNN vectors.
        labels: [n] class numbers of the images.
        voices: [m, streams, coefficients, frames] MFCC streams.
        frames: [m] true number of frames of each voice.
        voice_image: [m] row of the image that each voice describes, ascending; every image has one.
    """

    images: Tensor
    labels: Tensor
    voices: Tensor
    frames: Tensor
    voice_image: Tensor

    def __post_init__(self) -> None:
        """Check that rows belong together."""
        counts = torch.bincount(self.voice_image.cpu(), minlength=len(self.images))
        if len(counts) != len(self.images) or bool((counts == 0).any()):
            raise TrainingError("every image needs at least one voice to make a pair")
        if bool((self.voice_image.diff() < 0).any()):
            raise TrainingError("voice_image must ascend")

    def to(self, device: torch.device) -> "Pairs":
        """Return the pairs on ``device``; voices that do not fit there stay and move by batches."""
        return Pairs(
            self.images.to(device),
            self.labels.to(device),
            self.voices.to(device) if fits(self.voices, device) else self.voices,
            self.frames.to(device),
            self.voice_image.to(device),
        )


def weight_decay(config: TrainConfig) -> float:
    """Return the weight decay that ``config`` means."""
    if config.weight_decay is None:
        return WEIGHT_DECAYS[config.optimiser]
    return config.weight_decay


def fits(tensor: Tensor, device: torch.device) -> bool:
    """Return whether ``tensor`` takes at most half of the free memory of ``device``."""
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return tensor.nbytes <= free / 2


@dataclass(frozen=True)
class Epoch:
    """What an epoch left behind.

    Attributes:
        number: from 1.
        losses: mean over the batches of each term, and their sum as ``loss``.
        learning_rate: of the last step.
        image_to_voice: validation mAP in [0, 1], None where the epoch was not looked at.
        voice_to_image: validation mAP in [0, 1], None where the epoch was not looked at.
        seconds: wall time of the training steps and the validation.
        pairs_per_second: training pairs a second of wall time.
    """

    number: int
    losses: dict[str, float]
    learning_rate: float
    image_to_voice: float | None
    voice_to_image: float | None
    seconds: float
    pairs_per_second: float

    @property
    def score(self) -> float | None:
        """Mean of both validation mAP: what chooses the model."""
        if self.image_to_voice is None or self.voice_to_image is None:
            return None
        return (self.image_to_voice + self.voice_to_image) / 2


def make_optimiser(model: Method, config: TrainConfig) -> torch.optim.Optimizer:
    """Return the optimiser of ``config`` over the parameters of ``model``."""
    rate, decay = top_learning_rate(config), weight_decay(config)
    if config.optimiser == "adamw":
        return torch.optim.AdamW(model.parameters(), rate, weight_decay=decay)
    return torch.optim.SGD(
        model.parameters(), rate, momentum=0.9, weight_decay=decay, nesterov=True
    )


def top_learning_rate(config: TrainConfig) -> float:
    """Return the learning rate at the top of the schedule."""
    if config.learning_rate is None:
        return LEARNING_RATES[config.optimiser]
    return config.learning_rate


def train(
    model: Method,
    optimiser: torch.optim.Optimizer,
    training: Pairs,
    validation: Pairs,
    config: TrainConfig,
    *,
    seed: int,
    start: int = 0,
) -> Iterator[Epoch]:
    """Train ``model`` in place and yield after every epoch.

    Args:
        model: with :meth:`Method.fit_inputs` called, or loaded from a checkpoint.
        optimiser: of :func:`make_optimiser`, or loaded from a checkpoint.
        training: pairs to learn from, on the device of the model.
        validation: pairs to look at.
        config: how to train.
        seed: decides batches, drawn voices, dropout and masks.
        start: epochs already done.

    Raises:
        TrainingError: the loss is not finite, or there is one image, which has no batch statistics.
    """
    if len(training.images) < 2:
        raise TrainingError(
            f"two images with voices are needed to train, got {len(training.images)}"
        )
    for number in range(start + 1, config.epochs + 1):
        began = time.perf_counter()
        torch.manual_seed(_epoch_seed(seed, number))
        rng = np.random.default_rng([seed, number])
        model.train()
        losses, rate = _one_epoch(model, optimiser, training, config, number, rng)
        steps_took = time.perf_counter() - began
        looked = number % config.validate_every == 0 or number == config.epochs
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
            len(training.images) / steps_took,
        )


def encode(model: Method, pairs: Pairs, *, batch_size: int = 512) -> tuple[np.ndarray, np.ndarray]:
    """Return the real outputs of all images [n, bits] and voices [m, bits], float32."""
    images = encode_images(model, pairs.images, batch_size=batch_size)
    return images, encode_voices(model, pairs.voices, pairs.frames, batch_size=batch_size)


def encode_images(model: Method, images: Tensor, *, batch_size: int = 512) -> np.ndarray:
    """Return the real outputs [n, bits], float32, of CNN vectors [n, image_dim]."""
    device = model.device
    model.eval()
    with torch.inference_mode():
        parts = [
            model.encode_images(part.to(device).float()) for part in torch.split(images, batch_size)
        ]
    return torch.cat(parts).float().cpu().numpy()


def encode_voices(
    model: Method, voices: Tensor, frames: Tensor, *, batch_size: int = 512
) -> np.ndarray:
    """Return the real outputs [m, bits], float32, of MFCC streams and their true frames [m]."""
    device = model.device
    model.eval()
    with torch.inference_mode():
        parts = [
            model.encode_voices(part.to(device), count.to(device))
            for part, count in zip(
                torch.split(voices, batch_size), torch.split(frames, batch_size), strict=True
            )
        ]
    return torch.cat(parts).float().cpu().numpy()


def validation_scores(model: Method, pairs: Pairs) -> tuple[float, float]:
    """Return tie-aware mAP in [0, 1], image to voice and voice to image, by class."""
    image_codes, voice_codes = (pack(sign(outputs)) for outputs in encode(model, pairs))
    image_labels = pairs.labels.cpu().numpy()
    voice_labels = image_labels[pairs.voice_image.cpu().numpy()]
    forward = class_histograms(image_codes, image_labels, voice_codes, voice_labels)
    backward = class_histograms(voice_codes, voice_labels, image_codes, image_labels)
    return scores(forward).mAP, scores(backward).mAP


def _one_epoch(
    model: Method,
    optimiser: torch.optim.Optimizer,
    training: Pairs,
    config: TrainConfig,
    number: int,
    rng: np.random.Generator,
) -> tuple[dict[str, float], float]:
    """Take the steps of epoch ``number``; return mean losses and the last learning rate."""
    batches = epoch_batches(training.voice_image.cpu().numpy(), config.batch_size, rng)
    total: dict[str, Tensor] = {}
    rate = 0.0
    for step, rows in enumerate(batches):
        done = (number - 1) * len(batches) + step
        rate = learning_rate(done, config.epochs * len(batches), config)
        for group in optimiser.param_groups:
            group["lr"] = rate
        terms = model.losses(select(training, torch.from_numpy(rows)))
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
            f"({top_learning_rate(config):g})"
        )
    return losses, rate


def epoch_batches(
    voice_image: np.ndarray, batch_size: int, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return voice rows [<= batch_size] a batch: every image once, with one of its voices.

    Args:
        voice_image: [m] image row of each voice, ascending.
        batch_size: pairs in a batch; batches differ by at most one pair.
        rng: decides order and voices.
    """
    counts = np.bincount(voice_image)
    first = np.cumsum(counts) - counts
    order = rng.permutation(len(counts))
    voices = first[order] + rng.integers(counts[order])
    return np.array_split(voices, math.ceil(len(voices) / batch_size))


def select(pairs: Pairs, voice_rows: Tensor) -> Batch:
    """Return the batch of the voices ``voice_rows`` [b] and their images."""
    device = pairs.images.device
    voices = pairs.voices[voice_rows.to(pairs.voices.device)].to(device)
    voice_rows = voice_rows.to(device)
    image_rows = pairs.voice_image[voice_rows]
    return Batch(
        pairs.images[image_rows], voices, pairs.frames[voice_rows], pairs.labels[image_rows]
    )


def learning_rate(step: int, steps: int, config: TrainConfig) -> float:
    """Return the learning rate of ``step`` of ``steps``: a linear rise, then half a cosine."""
    top = top_learning_rate(config)
    rising = max(1, round(steps * config.warm_up))
    if step < rising:
        return top * (step + 1) / rising
    return top * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising))) / 2


def _epoch_seed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)[0] >> 1)
