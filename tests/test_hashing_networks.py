from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from ivr.hashing.cepstral_augmentation import with_coefficients_hidden, with_frames_hidden
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import (
    ImageHead,
    Sizes,
    VoiceRefinement,
    activate,
    frame_mask,
    pool_frames,
    remove_mean,
)

# Every size is given, so that no test depends on a default.
PLAIN = NetworkConfig(
    image_hidden=0,
    voice_pool=4,
    voice_mean="kept",
    voice_warp=0.0,
    voice_stretch=0.0,
    voice_tilt=0.0,
    voice_channels=(6, 5),
    voice_kernel=5,
    voice_stride=(2, 3),
    dropout=0.0,
    image_dropout=0.0,
    time_masks=0,
    time_mask_share=0.5,
    frequency_masks=0,
    frequency_mask_share=0.5,
)
STREAMS, COEFFICIENTS, FRAMES = 2, 3, 40
SIZES = Sizes(2, (STREAMS, COEFFICIENTS, FRAMES), 4, 2)


def random_voices(count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, STREAMS, COEFFICIENTS, FRAMES, generator=generator)


def heard(network: VoiceRefinement, voices: Tensor, frames: Tensor) -> Tensor:
    """The outputs for voices as they are stored."""
    outputs: Tensor = network(*network.pool(voices, frames))
    return outputs


def awkward_refinement(config: NetworkConfig = PLAIN) -> VoiceRefinement:
    """A network in which a padded frame that slips through changes the outputs."""
    torch.manual_seed(1)
    network = VoiceRefinement(SIZES, 4, config)
    network.standardise.set(
        torch.randn(STREAMS, COEFFICIENTS, 1), torch.rand(STREAMS, COEFFICIENTS, 1) + 0.5
    )
    for norm in network.norms:
        assert isinstance(norm, torch.nn.BatchNorm1d)
        torch.nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
        torch.nn.init.uniform_(norm.bias, 0.5, 1.5)
    return network.eval()


@pytest.mark.parametrize("frames", [1, 2, 5, 17, 39, 40])
def test_what_pads_a_voice_changes_no_output(frames: int) -> None:
    network, voices = awkward_refinement(), random_voices(3)
    count = torch.full((3,), frames)
    alone = heard(network, voices[..., :frames].clone(), count)
    for padding in (0.0, 1e4, -7.0):
        padded = voices.clone()
        padded[..., frames:] = padding
        torch.testing.assert_close(heard(network, padded, count), alone, rtol=1e-5, atol=1e-6)


def test_the_last_true_frame_does_change_the_outputs() -> None:
    network, voices = awkward_refinement(), random_voices(1)
    count = torch.tensor([17])
    changed = voices.clone()
    changed[..., 16] += 3
    assert (heard(network, changed, count) - heard(network, voices, count)).abs().max() > 1e-3


def test_voices_of_different_lengths_do_not_mix_in_a_batch() -> None:
    network, voices = awkward_refinement(), random_voices(4)
    frames = torch.tensor([3, 40, 11, 25])
    together = heard(network, voices, frames)
    for row in range(4):
        alone = heard(network, voices[row : row + 1], frames[row : row + 1])
        torch.testing.assert_close(together[row : row + 1], alone, rtol=1e-5, atol=1e-6)


def test_a_voice_longer_than_the_vectors_counts_as_filling_them() -> None:
    network, voices = awkward_refinement(), random_voices(2)
    cut, whole = (
        heard(network, voices, torch.tensor([90, 41])),
        heard(network, voices, torch.tensor([40, 40])),
    )
    torch.testing.assert_close(cut, whole)


def test_float16_voices_give_the_outputs_of_their_float32_values() -> None:
    network, voices = awkward_refinement(), random_voices(2).half()
    frames = torch.tensor([9, 40])
    torch.testing.assert_close(
        heard(network, voices, frames), heard(network, voices.float(), frames)
    )


def test_frame_mask_is_one_where_a_voice_has_a_frame() -> None:
    assert frame_mask(torch.tensor([0, 2, 3]), 3).tolist() == [[0, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_frames_are_averaged_in_runs_over_the_true_ones_alone() -> None:
    voices = torch.tensor([[[[1.0, 3.0, 5.0, 7.0, 9.0]]], [[[2.0, 4.0, 6.0, 99.0, 99.0]]]])
    pooled, count = pool_frames(voices, torch.tensor([5, 3]), 2)
    assert pooled.tolist() == [[[[2, 6, 9]]], [[[3, 6, 0]]]]
    assert count.tolist() == [3, 2]
    whole, count = pool_frames(voices, torch.tensor([9, 0]), 1)
    assert whole.tolist() == [[[[1, 3, 5, 7, 9]]], [[[2, 0, 0, 0, 0]]]]
    assert count.tolist() == [5, 1]


@pytest.mark.parametrize("pool", [1, 3, 7])
def test_what_pads_a_voice_changes_no_output_after_averaging(pool: int) -> None:
    network, voices = awkward_refinement(replace(PLAIN, voice_pool=pool)), random_voices(3)
    frames = torch.tensor([2, 20, 33])
    padded = torch.cat([voices, torch.full_like(voices[..., :9], 1e4)], dim=-1)
    for row, true in enumerate(frames.tolist()):
        padded[row, ..., true:] = -1e4
    expected = [
        heard(network, voices[row : row + 1, ..., :true], frames[row : row + 1])
        for row, true in enumerate(frames.tolist())
    ]
    torch.testing.assert_close(
        heard(network, padded, frames), torch.cat(expected), rtol=1e-5, atol=1e-6
    )


def test_normalised_outputs_have_mean_0_and_deviation_1_over_a_batch() -> None:
    torch.manual_seed(0)
    config = replace(PLAIN, output_norm=True)
    frames = torch.randint(5, FRAMES, (64,))
    voices = awkward_refinement(config).train()(7 + random_voices(64), frames)
    images = ImageHead(20, 4, config).train()(3 + torch.randn(64, 20))
    for outputs in (voices, images):
        torch.testing.assert_close(outputs.mean(0), torch.zeros(4), rtol=0, atol=1e-4)
        torch.testing.assert_close(outputs.std(0, correction=0), torch.ones(4), rtol=0, atol=1e-2)


def test_voices_are_standardised_by_their_true_frames_alone() -> None:
    # 300 voices: more than are added up at a time.
    voices = 5 + 2 * random_voices(300, seed=3)
    frames = torch.from_numpy(np.random.default_rng(0).integers(1, FRAMES + 20, 300))
    true = [voices[row, :, :, : int(frames[row])].double() for row in range(300)]
    joined = torch.cat(true, dim=-1).numpy()
    for row in range(300):
        voices[row, :, :, int(frames[row]) :] = 1e4
    network = VoiceRefinement(SIZES, 4, replace(PLAIN, voice_pool=1))
    network.fit_inputs([(voices[:1], frames[:1]), (voices[1:], frames[1:])])
    mean, deviation = network.standardise.mean[..., 0], network.standardise.deviation[..., 0]
    np.testing.assert_allclose(mean.numpy(), joined.mean(-1), rtol=1e-5)
    np.testing.assert_allclose(deviation.numpy(), joined.std(-1), rtol=1e-5)


def test_images_are_standardised_entry_by_entry() -> None:
    images = torch.tensor([[1.0, 10.0], [3.0, 10.0], [5.0, 40.0]])
    head = ImageHead(2, 4, PLAIN)
    head.fit_inputs(images.mean(0), images.std(0, correction=0))
    # By hand: means 3 and 20, deviations sqrt(8/3) and sqrt(200).
    expected = torch.tensor([[-2 / (8 / 3) ** 0.5, -10 / 200**0.5]])
    torch.testing.assert_close(head.standardise(images[:1]), expected)


def test_a_constant_entry_is_centred_and_not_divided_by_zero() -> None:
    head = ImageHead(2, 4, PLAIN)
    head.fit_inputs(torch.tensor([7.0, 2.0]), torch.tensor([0.0, 1.0]))
    assert head.standardise(torch.tensor([[7.0, 3.0], [9.0, 3.0]])).tolist() == [[0, 1], [2, 1]]
    voices = torch.full((2, STREAMS, COEFFICIENTS, FRAMES), 4.0)
    network = VoiceRefinement(SIZES, 4, PLAIN)
    network.fit_inputs([(voices, torch.tensor([10, 40]))])
    assert network.standardise(voices).abs().max() == 0
    assert heard(network, voices, torch.tensor([10, 40])).isfinite().all()


def test_the_statistics_travel_with_the_weights() -> None:
    head, network = ImageHead(2, 4, PLAIN), VoiceRefinement(SIZES, 4, PLAIN)
    for module in (head, network):
        names = set(module.state_dict())
        assert {"standardise.mean", "standardise.deviation"} <= names


def test_an_image_head_without_a_hidden_layer_is_linear() -> None:
    torch.manual_seed(0)
    head = ImageHead(5, 3, PLAIN).eval()
    x, y = torch.randn(2, 4, 5).unbind()
    zero = torch.zeros_like(x)
    torch.testing.assert_close(head(x + y) + head(zero), head(x) + head(y))
    assert sum(parameter.numel() for parameter in head.parameters()) == 5 * 3 + 3


def test_an_image_head_with_a_hidden_layer_is_not_linear_and_has_its_width() -> None:
    torch.manual_seed(0)
    head = ImageHead(5, 3, replace(PLAIN, image_hidden=7)).eval()
    x, y = torch.randn(2, 4, 5).unbind()
    assert not torch.allclose(head(x + y) + head(torch.zeros_like(x)), head(x) + head(y))
    assert sum(parameter.numel() for parameter in head.parameters()) == 5 * 7 + 7 + 7 * 3 + 3


def test_masks_are_drawn_while_training_and_only_then() -> None:
    config = replace(PLAIN, time_masks=1, frequency_masks=1)
    network, voices = awkward_refinement(config), random_voices(4)
    frames = torch.tensor([40, 30, 20, 10])
    torch.testing.assert_close(
        heard(network, voices, frames), heard(network, voices, frames), rtol=0, atol=0
    )
    network.train()
    assert not torch.allclose(heard(network, voices, frames), heard(network, voices, frames))


def test_without_masks_and_dropout_training_mode_is_not_random() -> None:
    network, voices = awkward_refinement().train(), random_voices(4)
    frames = torch.tensor([40, 30, 20, 10])
    torch.testing.assert_close(
        heard(network, voices, frames), heard(network, voices, frames), rtol=0, atol=0
    )


@pytest.mark.parametrize("end", ["image", "voice"])
def test_dropout_leaves_units_out_while_training_only(end: str) -> None:
    torch.manual_seed(0)
    config = replace(PLAIN, dropout=0.5, image_dropout=0.5)
    if end == "image":
        network, inputs = ImageHead(20, 8, config), (torch.randn(4, 20),)
    else:
        network = awkward_refinement(config)
        inputs = network.pool(random_voices(4), torch.tensor([40, 30, 20, 10]))
    network.eval()
    assert torch.equal(network(*inputs), network(*inputs))
    network.train()
    assert not torch.equal(network(*inputs), network(*inputs))


def test_time_masks_hide_whole_true_frames_up_to_their_share() -> None:
    torch.manual_seed(0)
    voices = torch.ones(500, STREAMS, COEFFICIENTS, FRAMES)
    frames = torch.full((500,), 20)
    hidden = with_frames_hidden(voices, frames, 1, 0.25) == 0
    whole = hidden.all(dim=(1, 2))
    assert torch.equal(hidden.any(dim=(1, 2)), whole)
    # A run of at most 0.25 x 20 = 5 frames; it may begin anywhere but ends before frame 20.
    assert whole.sum(1).max() == 5
    assert not whole[:, 20:].any()
    assert whole[:, :20].any(0).all()
    for row in whole:
        places = row.nonzero().flatten()
        assert len(places) == 0 or int(places[-1] - places[0]) == len(places) - 1


def test_frequency_masks_hide_whole_coefficients_of_every_stream() -> None:
    torch.manual_seed(0)
    voices = torch.ones(500, STREAMS, 8, FRAMES)
    hidden = with_coefficients_hidden(voices, 1, 0.5) == 0
    whole = hidden.all(dim=(1, 3))
    assert torch.equal(hidden.any(dim=(1, 3)), whole)
    assert whole.sum(1).max() == 4
    assert whole.any(0).all()


def test_masking_leaves_what_it_was_given_as_it_was() -> None:
    voices = torch.ones(8, STREAMS, COEFFICIENTS, FRAMES)
    masked = with_frames_hidden(voices, torch.full((8,), FRAMES), 3, 0.5)
    assert (masked == 0).any()
    assert (voices == 1).all()


def test_activations_are_tanh_and_linear() -> None:
    outputs = torch.tensor([[0.0, 1.0, -2.0]])
    assert torch.equal(activate(outputs, "linear"), outputs)
    np.testing.assert_allclose(activate(outputs, "tanh"), np.tanh([[0.0, 1.0, -2.0]]), rtol=1e-6)
    with pytest.raises(ValueError, match="activation must be tanh or linear, got 'relu'"):
        activate(outputs, "relu")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"voice_channels": ()}, r"need one number per layer each, got \(\) and \(2, 3\)"),
        ({"voice_channels": (4,)}, r"need one number per layer each, got \(4,\) and \(2, 3\)"),
        ({"voice_kernel": 4}, "voice_kernel must be odd, got 4"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"image_dropout": -0.1}, r"image_dropout must be in \[0, 1\), got -0.1"),
        ({"time_mask_share": 2}, r"time_mask_share must be in \[0, 1\), got 2"),
        ({"frequency_mask_share": 1}, r"frequency_mask_share must be in \[0, 1\), got 1"),
    ],
)
def test_sizes_that_no_network_can_have_are_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(PLAIN, **changes)  # type: ignore[arg-type]


def test_dilated_layers_see_farther_and_put_out_as_many_frames() -> None:
    voices, count = random_voices(1), torch.tensor([40])
    for dilation, reach in ((1, 4), (2, 6)):
        config = replace(PLAIN, voice_pool=1, voice_stride=(1, 1), voice_dilation=dilation)
        network = awkward_refinement(config)
        seen: list[Tensor] = []

        def keep(*call: Tensor, kept: list[Tensor] = seen) -> None:
            kept.append(call[-1])

        network.convolutions[-1].register_forward_hook(keep)
        heard(network, voices, count)
        changed = voices.clone()
        changed[..., 20] += 3
        heard(network, changed, count)
        moved = (seen[0] - seen[1]).abs().amax((0, 1)).nonzero()[:, 0]
        assert seen[0].shape[-1] == 40
        # Five frames a layer: 2 + 2 to either side, 2 + 2 x 2 where the second is dilated.
        assert (20 - int(moved.min()), int(moved.max()) - 20) == (reach, reach)


def test_what_pads_a_voice_changes_no_output_of_dilated_layers() -> None:
    network, voices = awkward_refinement(replace(PLAIN, voice_dilation=2)), random_voices(2)
    count = torch.tensor([17, 17])
    padded = voices.clone()
    padded[..., 17:] = 1e4
    torch.testing.assert_close(
        heard(network, padded, count),
        heard(network, voices[..., :17].clone(), count),
        rtol=1e-5,
        atol=1e-6,
    )


def test_removing_the_mean_takes_what_is_the_same_in_all_frames_away() -> None:
    voices = random_voices(3)
    frames = torch.tensor([40, 7, 1])
    voices = voices * frame_mask(frames, FRAMES)[:, None, None, :]
    louder = (voices + 3) * frame_mask(frames, FRAMES)[:, None, None, :]
    removed = remove_mean(louder, frames)
    torch.testing.assert_close(removed, remove_mean(voices, frames), rtol=0, atol=1e-5)
    torch.testing.assert_close(
        removed.sum(-1), torch.zeros(3, STREAMS, COEFFICIENTS), atol=1e-4, rtol=0
    )
    assert (removed[1, ..., 7:] == 0).all()
    network = awkward_refinement(replace(PLAIN, voice_mean="removed"))
    torch.testing.assert_close(
        heard(network, voices, frames), heard(network, louder, frames), rtol=1e-3, atol=1e-4
    )
