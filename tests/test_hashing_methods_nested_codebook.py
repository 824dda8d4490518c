"""Nested codebook hashing: losses as in its equations, codes that are good at every length."""

import math

import pytest
import torch
from torch import Tensor

from ivr.hashing.codebooks import nested_codes
from ivr.hashing.losses import margin_cross_entropy
from ivr.hashing.method import Batch
from ivr.hashing.methods.nested_codebook import (
    NestedCodebook,
    NestedCodebookConfig,
    bit_cross_entropy,
)
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes

LABELS = [0, 2, 1, 2, 0]


def draw(rows: int, bits: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, bits, generator=generator, dtype=torch.float64).requires_grad_()


def codes(classes: int, bits: int) -> Tensor:
    return nested_codes(classes, bits, torch.Generator().manual_seed(1)).double()


def looped_bits(outputs: Tensor, wanted: Tensor) -> Tensor:
    terms = [
        torch.log(1 + torch.exp(-wanted[row, bit] * outputs[row, bit]))
        for row in range(len(outputs))
        for bit in range(outputs.shape[1])
    ]
    return torch.stack(terms).sum() / len(terms)


def looped_cosines(outputs: Tensor, book: Tensor, scale: float, margin: float) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for row, label in enumerate(LABELS):
        logits = []
        for number, code in enumerate(book):
            cosine = (outputs[row] * code).sum() / (outputs[row].norm() * code.norm())
            logits.append(scale * (cosine - (margin if number == label else 0)))
        total = total - logits[label] + torch.log(sum(torch.exp(logit) for logit in logits))
    return total / len(LABELS)


def same_with_gradients(found: Tensor, expected: Tensor, *inputs: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)
    for one, other in zip(
        torch.autograd.grad(found, inputs), torch.autograd.grad(expected, inputs), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-12)


def test_the_term_of_each_bit_is_its_cross_entropy() -> None:
    outputs, book = draw(5, 24), codes(3, 24)
    wanted = book[torch.tensor(LABELS)]
    same_with_gradients(bit_cross_entropy(outputs, wanted), looped_bits(outputs, wanted), outputs)


@pytest.mark.parametrize(("scale", "margin"), [(8.0, 0.2), (1.0, 0.0)])
def test_the_term_of_a_length_is_the_cross_entropy_of_cosines(scale: float, margin: float) -> None:
    outputs, book = draw(5, 24), codes(3, 24)
    found = margin_cross_entropy(outputs, book, torch.tensor(LABELS), scale=scale, margin=margin)
    same_with_gradients(found, looped_cosines(outputs, book, scale, margin), outputs)


@pytest.mark.parametrize("bits", [8, 16, 24, 64])
def test_the_loss_has_every_length_of_both_ends(bits: int) -> None:
    class Heard(torch.nn.Module):
        def forward(self, voices: Tensor, frames: Tensor) -> Tensor:
            return voices

    class Given(NestedCodebook):
        """Ends that put out what they are given."""

        def __init__(self) -> None:
            super().__init__(
                NestedCodebookConfig(bit_weight=0.5, cosine_weight=3.0, scale=4.0, margin=0.1),
                Sizes(bits, (1, 1, 1), bits, 3),
            )
            self.image = torch.nn.Identity()  # type: ignore[assignment]
            self.voice = Heard()  # type: ignore[assignment]

    model = Given().double()
    image, voice = draw(5, bits, 1), draw(5, bits, 2)
    book = model.codes
    terms = model.losses(Batch(image, voice, torch.ones(5), torch.tensor(LABELS)))
    lengths = {8: [8], 16: [16], 24: [16, 24], 64: [16, 32, 48, 64]}[bits]
    wanted = book[torch.tensor(LABELS)]
    same_with_gradients(
        terms["bits"], 0.5 * (looped_bits(image, wanted) + looped_bits(voice, wanted)), image, voice
    )
    expected = sum(
        3.0 * looped_cosines(end[:, :length], book[:, :length], 4.0, 0.1) / len(lengths)
        for end in (image, voice)
        for length in lengths
    )
    assert isinstance(expected, Tensor)
    same_with_gradients(terms["cosines"], expected, image, voice)


@pytest.mark.parametrize("classes", [2, 7, 21, 30, 32])
def test_every_length_of_the_codes_keeps_classes_apart(classes: int) -> None:
    book = codes(classes, 128)
    for length, least in ((16, 8), (32, 16), (64, 32), (128, 64)):
        distance = (length - book[:, :length] @ book[:, :length].T) / 2
        others = distance[~torch.eye(classes, dtype=torch.bool)]
        assert int(others.min()) >= least * (0.75 if classes > 21 else 1)
    assert set(book.unique().tolist()) == {-1.0, 1.0}


def test_more_classes_than_words_of_a_block_have_codes_of_their_own() -> None:
    book = codes(45, 64)
    for length in (16, 32, 64):
        assert len({tuple(code) for code in book[:, :length].tolist()}) == 45
    with pytest.raises(ValueError, match="300 classes need more than 8 bits"):
        codes(300, 8)


def test_a_short_last_block_is_shared_by_many_classes() -> None:
    book = codes(300, 24)
    assert book.shape == (300, 24)
    assert len({tuple(code) for code in book.tolist()}) == 300


def test_the_codes_are_saved_with_the_model() -> None:
    sizes = Sizes(6, (1, 3, 20), 32, 3)
    network = NetworkConfig(voice_channels=(4,), voice_stride=(1,), image_hidden=0)
    first, other = (NestedCodebook(NestedCodebookConfig(network=network), sizes) for _ in range(2))
    assert not torch.equal(first.codes, other.codes)
    other.load_state_dict(first.state_dict())
    assert torch.equal(first.codes, other.codes)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"bit_weight": -1.0}, "bit_weight must be at least 0, got -1.0"),
        ({"scale": 0.0}, "scale must be above 0, got 0.0"),
        ({"margin": -math.inf}, "margin must be a finite number, got -inf"),
    ],
)
def test_choices_without_meaning_are_refused(values: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        NestedCodebookConfig(**values)  # type: ignore[arg-type]
