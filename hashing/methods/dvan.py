r"""DVAN: deep visual-audio network; decides whether an image and a voice belong together.

Reference:
    Guo et al., "Deep Cross-Modal Retrieval for Remote Sensing Image and Audio", PRRS 2018; the
    audio network is that of its Table I, ``matching_accuracy`` of the metrics that of its Table II.

h = tanh(W_I V_I + W_S V_S + b), p = softmax(W_h h + b_h): an image enters h by W_I V_I alone and a
voice by W_S V_S + b alone, so these parts are the outputs; pairs are compared by the odds of p.
There are no codes in the paper: nothing makes the signs of the two parts agree.

The loss stays near ln 2, that of a network that knows nothing, until h is used: whether an image
and a voice belong together shows only in products of both, and tanh is odd, so that small parts
around b = 0 have none below the third order. So b is drawn around the bend of tanh, where they
have the second order, and nothing is dropped. An image is compared with every voice of the batch,
not with one stranger.
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from ivr.config import Share, config
from ivr.hashing.losses import same_class
from ivr.hashing.method import Batch, MethodEntry, TrainedMethod
from ivr.hashing.networks import Sizes, Standardise, frame_mask, frame_statistics
from ivr.hashing.pairs import Pairs

# Pairs [n, m] and units [hidden] of h held at once: 64 MiB of float32.
CELLS = 1 << 24
# Deviation of b, and of W_I V_I for standardised V_I: tanh bends most where its slope is 2/3.
BEND, SPREAD = 0.7, 0.5


@config
class DVANConfig:
    """The choices of DVAN.

    Attributes:
        hidden: length of h, at least the number of bits.
        audio: length of V_S.
        length: samples of the flattened MFCC that the audio network sees, a multiple of 64; the
            paper has 24 000. With the usual 20 coefficients and 1000 frames, 5120 makes a sample of
            each four frames, learns as well, and takes a quarter of the time.
        dropout: share of V_I and V_S left out while training; the paper gives none.
        pairs: pairs that are learnt from: ``batch`` takes all pairs of an image and a voice of a
            batch, those of one class as matching ones, and weighs both kinds alike; ``drawn`` takes
            the pairs themselves and as many with a voice of another class, as the paper does.
    """

    hidden: PositiveInt = 512
    audio: PositiveInt = 1024
    length: Annotated[int, Field(ge=64, multiple_of=64)] = 5120
    dropout: Share = 0.0
    pairs: Literal["batch", "drawn"] = "batch"


class DVAN(TrainedMethod):
    """CNN vectors and the audio network, joined in one hidden layer that tells pairs from others.

    Image vectors are standardised; both streams of numbers enter without an activation between.
    """

    source = "DVAN, PRRS 2018"
    differences = (
        "image vectors of any encoder; all pairs of a batch by class (`pairs` drawn is the paper's "
        "form); `length` 5120 instead of 24 000; streams as channels of the audio network; "
        "initial weights"
    )
    distance = "matching"
    streams = ("mfcc",)
    learning_rate = 5e-4
    config: DVANConfig

    def __init__(self, config: DVANConfig, sizes: Sizes) -> None:
        """Build the layers.

        Raises:
            ValueError: more bits than units of h to take the signs of.
        """
        if sizes.bits > config.hidden:
            raise ValueError(f"hidden must be at least bits={sizes.bits}, got {config.hidden}")
        super().__init__(config, sizes)
        self.standardise = Standardise(sizes.image_dim)
        self.audio = AudioNetwork(sizes.voice_shape, config)
        self.dropout = nn.Dropout(config.dropout)
        self.image_part = nn.Linear(sizes.image_dim, config.hidden, bias=False)
        self.voice_part = nn.Linear(config.audio, config.hidden)
        self.answer = nn.Linear(config.hidden, 2)
        nn.init.normal_(self.image_part.weight, std=SPREAD / sizes.image_dim**0.5)
        nn.init.normal_(self.voice_part.weight, std=SPREAD / config.audio**0.5)
        nn.init.normal_(self.voice_part.bias, std=BEND)

    @property
    def width(self) -> int:
        """Length of h."""
        return int(self.config.hidden)

    def fit_inputs(self, training: Pairs) -> None:
        """Compute the statistics with which both encoders standardise."""
        self.standardise.set(*training.image_statistics())
        self.audio.standardise.set(*frame_statistics(training.voice_chunks()))

    def encode_images(self, images: Tensor) -> Tensor:
        """Return W_I V_I [n, hidden]."""
        part: Tensor = self.image_part(self.dropout(self.standardise(images)))
        return part

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return W_S V_S + b [m, hidden]."""
        part: Tensor = self.voice_part(self.dropout(self.audio(voices, frames)))
        return part

    def match_odds(self, images: Tensor, voices: Tensor) -> Tensor:
        """Return log p(match) - log p(no match) [n, m], in blocks of images."""
        weight = self.answer.weight[1] - self.answer.weight[0]
        bias = self.answer.bias[1] - self.answer.bias[0]
        step = max(1, CELLS // max(1, len(voices) * self.width))
        return torch.cat(
            [
                torch.tanh(part[:, None, :] + voices[None, :, :]) @ weight + bias
                for part in torch.split(images, step)
            ]
        )

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the cross-entropy of pairs that match and of others, both weighed alike."""
        image = self.encode_images(batch.images)
        voice = self.encode_voices(batch.voices, batch.frames)
        if self.config.pairs == "batch":
            same = same_class(batch.labels, batch.labels)
            return {"matching": balanced_entropy(self.match_odds(image, voice), same)}
        rows, others = drawn_strangers(batch.labels)
        hidden = torch.tanh(torch.cat([image + voice, image[rows] + voice[others]]))
        matching = (torch.arange(len(hidden), device=hidden.device) < len(image)).long()
        return {"matching": F.cross_entropy(self.answer(hidden), matching)}


class AudioNetwork(nn.Module):
    """The audio network of Table I: MFCC streams [m, streams, coefficients, frames] to [m, audio].

    The paper flattens an MFCC to 24 000 numbers. Here each stream is flattened coefficient after
    coefficient (its frames side by side, so that the convolutions run over time), frames that a
    voice does not have are the training mean, and the row is filled up with zeros to ``length``, or
    averaged down to it where it is longer. Several streams are channels of the first convolution.
    """

    def __init__(self, voice_shape: tuple[int, int, int], config: DVANConfig) -> None:
        """Build the layers; a rectifier after each convolution, as is usual.

        The paper gives no initial weights. They are drawn as in He et al., "Delving Deep into
        Rectifiers", ICCV 2015: with torch's own the signal fades from layer to layer, all voices
        look alike, and nothing is learnt.
        """
        super().__init__()
        streams, coefficients, _ = voice_shape
        self.length = config.length
        self.standardise = Standardise(streams, coefficients, 1)
        self.layers = nn.Sequential(
            nn.Conv1d(streams, 6, 10, 2, 4),
            nn.ReLU(),
            nn.Conv1d(6, 12, 8, 2, 3),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(12, 24, 5, 2, 2),
            nn.ReLU(),
            nn.Conv1d(24, 48, 3, 2, 1),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Flatten(),
            nn.Linear(48 * config.length // 64, config.audio),
            nn.ReLU(),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv1d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.constant_(layer.get_parameter("bias"), 0)

    def forward(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return V_S [m, audio]; what pads a voice changes nothing."""
        mask = frame_mask(frames, voices.shape[-1])[:, None, None, :] == 0
        rows = self.standardise(voices).masked_fill(mask, 0).flatten(2)
        if rows.shape[-1] > self.length:
            rows = F.adaptive_avg_pool1d(rows, self.length)
        vectors: Tensor = self.layers(F.pad(rows, (0, self.length - rows.shape[-1])))
        return vectors


def balanced_entropy(odds: Tensor, matching: Tensor) -> Tensor:
    """Return half the mean cross-entropy of the matching pairs plus half that of the others.

    Where all pairs match, there are no others, and it is half the mean of the matching ones.

    Args:
        odds: log p(match) - log p(no match) [n, m].
        matching: [n, m], bool.
    """
    wanted = matching.to(odds.dtype)
    each = F.binary_cross_entropy_with_logits(odds, wanted, reduction="none")
    counts = wanted.sum(), (1 - wanted).sum().clamp(min=1)
    return ((wanted * each).sum() / counts[0] + ((1 - wanted) * each).sum() / counts[1]) / 2


def drawn_strangers(labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return every row and, for each, a row of another class drawn at random, [n] both.

    Where the batch has one class, there are none: [0] both.
    """
    other = ~same_class(labels, labels)
    rows = other.any(1).nonzero()[:, 0]
    if not len(rows):
        return rows, rows
    return rows, torch.multinomial(other[rows].float(), 1)[:, 0]


METHOD = MethodEntry(build=DVAN, config=DVANConfig)
