import math

import numpy as np
import pytest
import torch
from torch import nn

from ivr.hashing.buckets import MetricsError
from ivr.hashing.distances import measure_of
from ivr.hashing.methods import dvan as module
from ivr.hashing.methods.dvan import DVAN, AudioNetwork, DVANConfig
from ivr.hashing.metrics import matching_accuracy
from ivr.hashing.networks import Sizes

SMALL = DVANConfig(hidden=12, audio=10, length=128, dropout=0.0)
SIZES = Sizes(6, (2, 3, 40), 8, 3)


def model(seed: int = 0) -> DVAN:
    torch.manual_seed(seed)
    return DVAN(SMALL, SIZES).eval()


def parts(count: int, seed: int) -> torch.Tensor:
    return torch.randn(count, 12, generator=torch.Generator().manual_seed(seed))


def test_the_audio_network_has_the_layers_of_table_one() -> None:
    network = AudioNetwork((1, 20, 1000), DVANConfig(length=24_000)).eval()
    sizes, values = [], torch.zeros(1, 1, 24_000)
    for layer in network.layers:
        values = layer(values)
        if isinstance(layer, nn.Conv1d | nn.MaxPool1d | nn.Linear):
            sizes.append(tuple(values.shape[1:]))
    assert sizes == [
        (6, 12_000), (12, 6000), (12, 3000), (24, 1500), (48, 750), (48, 375), (1024,),
    ]  # fmt: skip
    kernels = [layer.kernel_size for layer in network.layers if isinstance(layer, nn.Conv1d)]
    assert kernels == [(10,), (8,), (5,), (3,)]


def test_a_flattened_voice_is_filled_up_with_zeros_and_a_longer_one_averaged_down() -> None:
    torch.manual_seed(0)
    network = AudioNetwork((1, 2, 40), SMALL).eval()
    voices, frames = torch.randn(1, 1, 2, 40), torch.tensor([40])
    filled = torch.cat([voices.flatten(2), torch.zeros(1, 1, 48)], 2)
    torch.testing.assert_close(network(voices, frames), network.layers(filled))
    longer = torch.randn(1, 1, 2, 128)
    halved = longer.reshape(1, 1, 128, 2).mean(3)
    found = network(longer, torch.tensor([128]))
    torch.testing.assert_close(found, network.layers(halved))


def test_what_pads_a_voice_changes_nothing_and_its_last_true_frame_does() -> None:
    voices, frames = torch.randn(2, 2, 3, 40), torch.tensor([17, 40])
    network = model()
    outputs = network.encode_voices(voices, frames)
    padded, heard = voices.clone(), voices.clone()
    padded[0, :, :, 17:] = 1e4
    heard[0, :, :, 16] += 3
    torch.testing.assert_close(network.encode_voices(padded, frames), outputs)
    assert (network.encode_voices(heard, frames) - outputs).abs().max() > 1e-4


def test_match_odds_are_those_of_the_softmax_of_every_pair() -> None:
    network, images, voices = model(), parts(4, 1), parts(3, 2)
    weight = network.answer.weight.double().tolist()
    bias = network.answer.bias.double().tolist()
    expected = np.zeros((4, 3))
    for i, j in np.ndindex(4, 3):
        hidden = [
            math.tanh(a + b) for a, b in zip(images[i].tolist(), voices[j].tolist(), strict=True)
        ]
        answers = [
            math.exp(sum(w * h for w, h in zip(row, hidden, strict=True)) + b)
            for row, b in zip(weight, bias, strict=True)
        ]
        probability = answers[1] / sum(answers)
        expected[i, j] = math.log(probability / (1 - probability))
    with torch.no_grad():
        found = network.match_odds(images, voices).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    measure = measure_of(network)
    assert measure is not None
    np.testing.assert_allclose(measure(images.numpy(), voices.numpy()), -expected, atol=1e-4)


def test_odds_do_not_depend_on_how_many_pairs_are_compared_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network, images, voices = model(), parts(7, 1), parts(5, 2)
    whole = network.match_odds(images, voices)
    monkeypatch.setattr(module, "CELLS", 130)
    torch.testing.assert_close(network.match_odds(images, voices), whole)


def test_odds_of_pairs_in_which_the_softmax_saturates_still_differ() -> None:
    network = model()
    with torch.no_grad():
        network.answer.weight.mul_(1e3)
    odds = network.match_odds(parts(1, 1), parts(6, 2))
    assert len(set(odds.flatten().tolist())) == 6
    assert odds.isfinite().all()


def test_matching_accuracy_is_the_share_of_pairs_told_apart() -> None:
    assert matching_accuracy(np.array([0.1, -0.1, 3.0]), np.array([-1.0, 0.0, 2.0, -4.0])) == 5 / 7
    with pytest.raises(MetricsError, match="at least one pair"):
        matching_accuracy(np.array([]), np.array([]))


def test_a_hidden_layer_shorter_than_the_code_is_refused() -> None:
    with pytest.raises(ValueError, match="hidden must be at least bits=16, got 12"):
        DVAN(SMALL, Sizes(6, (2, 3, 40), 16, 3))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"hidden": 0}, "hidden must be at least 1, got 0"),
        ({"length": 100}, "length must be a multiple of 64"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
    ],
)
def test_choices_that_cannot_be_are_refused(changes: dict[str, int], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        DVANConfig(**changes)


def test_the_start_has_products_of_image_and_voice_of_the_second_order() -> None:
    # tanh(a + b) around a bias c has the product a b with the weight tanh''(c): 0 at c = 0.
    def mixed(seed: int, bias: bool) -> float:
        torch.manual_seed(seed)
        begun = DVAN(DVANConfig(), Sizes(64, (1, 20, 100), 64, 3))
        c = begun.voice_part.bias.detach().double() * bias
        a, b = torch.randn(2, 200, 512, dtype=torch.float64) * 0.02
        both = torch.tanh(c + a + b) - torch.tanh(c + a) - torch.tanh(c + b) + torch.tanh(c)
        return float(both.square().mean().sqrt())

    for seed in range(5):
        assert mixed(seed, True) > 5 * mixed(seed, False)


def test_image_vectors_of_any_length_begin_with_parts_of_one_size() -> None:
    for dim in (64, 4096):
        torch.manual_seed(1)
        begun = DVAN(DVANConfig(), Sizes(dim, (1, 20, 100), 64, 3)).eval()
        parts = begun.image_part(torch.randn(200, dim))
        assert float(parts.detach().std()) == pytest.approx(module.SPREAD, rel=0.1)
