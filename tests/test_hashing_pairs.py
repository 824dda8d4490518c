"""Pairs: every image with its voices, wherever these lie, pooled once."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ivr.hashing.pairs import Pairs, PairsError


def pairs_of(voice_image: list[int], images: int = 3) -> Pairs:
    count = len(voice_image)
    return Pairs(
        torch.arange(2.0 * images).reshape(images, 2),
        torch.arange(images),
        torch.arange(24.0 * count).reshape(count, 1, 3, 8),
        torch.arange(count) + 1,
        torch.tensor(voice_image),
    )


def halved(voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
    return voices[..., ::2].clone(), (frames + 1) // 2


@pytest.mark.parametrize("voice_image", [[0, 1], [0, 2], [1, 2]])
def test_an_image_without_a_voice_is_no_pair(voice_image: list[int]) -> None:
    with pytest.raises(PairsError, match="every image needs at least one voice"):
        pairs_of(voice_image)


def test_voices_out_of_order_are_refused() -> None:
    with pytest.raises(PairsError, match="voice_image must ascend"):
        pairs_of([1, 0, 2])


@pytest.mark.parametrize("size", [1, 2, 3, 100])
def test_chunks_are_all_voices_in_order(size: int) -> None:
    pairs = pairs_of([0, 0, 1, 2, 2])
    voices, frames = zip(*pairs.voice_chunks(size), strict=True)
    assert torch.equal(torch.cat(voices), pairs.voices)
    assert torch.equal(torch.cat(frames), pairs.frames)
    assert all(len(chunk) <= size for chunk in voices)


def test_voices_of_a_file_are_taken_by_their_rows_in_it() -> None:
    pairs = pairs_of([0, 1, 2])
    file = torch.cat([torch.full((2, 1, 3, 8), -1.0), pairs.voices.flip(0)])
    mapped = replace(pairs, voices=file, voice_rows=torch.tensor([4, 3, 2]))
    for rows in ([0, 1, 2], [2, 0]):
        for one, other in zip(
            mapped.voices_of(torch.tensor(rows)), pairs.voices_of(torch.tensor(rows)), strict=True
        ):
            assert torch.equal(one, other)


def test_condensed_voices_are_those_of_the_method_and_are_not_condensed_again() -> None:
    pairs = pairs_of([0, 1, 1, 2])
    file = replace(pairs, voices=pairs.voices.flip(0), voice_rows=torch.tensor([3, 2, 1, 0]))
    for each in (pairs, file):
        pooled = each.pooled_by(halved, 1e9)
        assert torch.equal(pooled.voices, pairs.voices[..., ::2])
        assert pooled.frames.tolist() == [1, 1, 2, 2]
        assert pooled.voice_rows is None
        assert pooled.pooled_by(halved, 1e9) is pooled


def test_what_has_no_room_stays_where_it_is() -> None:
    pairs = pairs_of([0, 1, 1, 2])
    condensed_bytes = 4 * 3 * 4 * 4
    assert pairs.pooled_by(halved, condensed_bytes).pooled
    assert pairs.pooled_by(halved, condensed_bytes - 1) is pairs
