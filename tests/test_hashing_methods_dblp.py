"""DBLP: the ranking cost of drawn impostors, and the network over the frames of a voice."""

import numpy as np
import pytest
import torch
from torch import nn

from ivr.hashing.method import Batch
from ivr.hashing.methods import dblp as module
from ivr.hashing.methods.dblp import DBLP, DBLPConfig, SpectrumNetwork, ranking_cost
from ivr.hashing.networks import Sizes

SMALL = DBLPConfig(width=12, channels=(6, 7, 8, 9), frame_pool=2)
SIZES = Sizes(5, (2, 3, 80), 8, 3)


def model(config: DBLPConfig = SMALL) -> DBLP:
    torch.manual_seed(0)
    return DBLP(config, SIZES).eval()


def batch(labels: list[int], seed: int = 1) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    count = len(labels)
    return Batch(
        torch.randn(count, 5, generator=generator),
        torch.randn(count, 2, 3, 40, generator=generator),
        torch.randint(5, 41, (count,), generator=generator),
        torch.tensor(labels),
    )


def test_the_paper_has_five_convolutions_and_a_quarter_of_a_quarter_of_the_frames() -> None:
    paper = DBLPConfig(width=1024, channels=(128, 256, 512, 512))
    network = SpectrumNetwork((1, 40, 1024), paper)
    found = [
        (layer.in_channels, layer.out_channels, layer.kernel_size[0])
        for layer in network.convolutions
        if isinstance(layer, nn.Conv1d)
    ]
    assert found == [
        (40, 128, 1), (128, 256, 11), (256, 512, 17), (512, 512, 17), (512, 1024, 17),
    ]  # fmt: skip


def test_what_pads_a_voice_changes_nothing_and_its_last_true_frame_does() -> None:
    network = model().voice
    voices, frames = torch.randn(3, 2, 3, 40), torch.tensor([1, 17, 40])
    outputs = network(voices, frames)
    padded, heard = voices.clone(), voices.clone()
    padded[0, ..., 1:] = padded[1, ..., 17:] = 1e4
    heard[1, ..., 16] += 3
    torch.testing.assert_close(network(padded, frames), outputs)
    assert (network(heard, frames)[1] - outputs[1]).abs().max() > 1e-5
    for row, length in enumerate(frames.tolist()):  # as alone, without any padding
        alone = network(voices[row : row + 1, ..., :length], frames[row : row + 1])
        torch.testing.assert_close(alone[0], outputs[row])


def test_outputs_have_unit_length_and_are_as_many_as_the_width() -> None:
    one, some = model(), batch([0, 1, 2])
    for outputs in (one.encode_images(some.images), one.encode_voices(some.voices, some.frames)):
        assert outputs.shape == (3, 12)
        torch.testing.assert_close(outputs.norm(dim=1), torch.ones(3))
    with pytest.raises(ValueError, match="width must be at least bits=8, got 7"):
        DBLP(DBLPConfig(width=7), SIZES)


@pytest.mark.parametrize("impostors", ["any", "other-class"])
def test_the_loss_is_that_of_a_loop_over_pairs_and_their_impostors(
    impostors: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = model(DBLPConfig(12, (6, 7, 8, 9), 2, 0.7, impostors))  # type: ignore[arg-type]
    some = batch([0, 0, 1, 2, 1])
    draws = []

    def last(candidates: torch.Tensor) -> torch.Tensor:
        draws.append(candidates)
        return torch.tensor([int(row.nonzero()[-1]) for row in candidates])

    monkeypatch.setattr(module, "drawn", last)
    losses = one.losses(some)
    images = one.encode_images(some.images).detach().double().numpy()
    voices = one.encode_voices(some.voices, some.frames).detach().double().numpy()
    labels, image, voice = some.labels.tolist(), [], []
    for i in range(5):
        strangers = [
            j for j in range(5) if j != i and (impostors == "any" or labels[j] != labels[i])
        ]
        own = images[i] @ voices[i]
        image.append(max(0, 0.7 + images[strangers[-1]] @ voices[i] - own))
        voice.append(max(0, 0.7 + images[i] @ voices[strangers[-1]] - own))
    assert losses["image"].item() == pytest.approx(np.mean(image), abs=1e-5)
    assert losses["voice"].item() == pytest.approx(np.mean(voice), abs=1e-5)
    assert len(draws) == 2


def test_only_impostors_are_drawn_and_each_of_them_is() -> None:
    torch.manual_seed(2)
    others = torch.tensor([[False, True, False, True], [False] * 4, [True, False, False, False]])
    others = torch.cat([others, torch.zeros(1, 4, dtype=torch.bool)])
    similarity = torch.arange(16.0).reshape(4, 4).requires_grad_()
    seen = set()
    for _ in range(40):
        (gradient,) = torch.autograd.grad(ranking_cost(similarity, others, 100.0), similarity)
        seen |= {tuple(place) for place in (gradient > 0).nonzero().tolist()}
        assert gradient.diag().tolist() == [-0.5, 0, -0.5, 0]
    assert seen == {(0, 1), (0, 3), (2, 0)}


def test_where_there_is_no_impostor_the_cost_is_nothing() -> None:
    similarity = torch.randn(3, 3, requires_grad=True)
    cost = ranking_cost(similarity, torch.zeros(3, 3, dtype=torch.bool), 1.0)
    cost.backward()
    assert cost.item() == 0
    assert similarity.grad is not None
    assert not similarity.grad.any()


def test_outputs_of_voices_have_both_signs() -> None:
    outputs = model().encode_voices(torch.randn(20, 2, 3, 40), torch.full((20,), 40))
    assert (outputs > 0).any()
    assert (outputs < 0).any()
