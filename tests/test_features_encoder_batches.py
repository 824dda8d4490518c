"""Batches of images: the vectors of one pass, in halves where memory is short."""

import numpy as np
import pytest
import torch
from conftest import load_tiny_encoder

from ivr.features.encoder_batches import MOST, USUAL, ImageBatches, MemoryFullError, power_of_two
from ivr.features.image import Encoder
from ivr.features.image_config import ImageConfig

CPU = torch.device("cpu")
RANDOM = ImageConfig("squeezenet1_0", "random")


def encoder_with_room_for(most: int) -> tuple[Encoder, list[int]]:
    """A tiny encoder that runs out of memory above ``most`` images, and the sizes it was given."""
    encoder, sizes = load_tiny_encoder(RANDOM, CPU), list[int]()

    def refuse(_: object, images: tuple[torch.Tensor]) -> None:
        sizes.append(len(images[0]))
        if len(images[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate ...")

    encoder.register_forward_pre_hook(refuse)
    return encoder, sizes


def pixels(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 3, 8, 8), dtype=np.uint8)


@pytest.mark.parametrize("most", [1, 3, 8])
def test_a_batch_beyond_the_memory_is_run_in_halves_with_the_same_vectors(most: int) -> None:
    images = pixels(8)
    encoder, sizes = encoder_with_room_for(most)
    found = ImageBatches(encoder).start(images)()
    expected = load_tiny_encoder(RANDOM, CPU)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert sum(size for size in sizes if size <= most) == 8


def test_what_did_not_fit_once_is_not_tried_again() -> None:
    encoder, sizes = encoder_with_room_for(3)
    batches = ImageBatches(encoder)
    batches.start(pixels(8))()
    sizes.clear()
    batches.start(pixels(8))()
    assert sizes == [2, 2, 2, 2]


def test_a_device_without_room_for_one_image_is_said_in_one_line() -> None:
    encoder, _ = encoder_with_room_for(0)
    with pytest.raises(MemoryFullError, match=r"^cpu: no memory for one image of squeezenet1_0; "):
        ImageBatches(encoder).start(pixels(4))


def test_a_processor_takes_the_usual_batch() -> None:
    assert ImageBatches(load_tiny_encoder(RANDOM, CPU)).usual_size() == USUAL


@pytest.mark.parametrize(("number", "size"), [(0.3, 1), (1, 1), (63.9, 32), (64, 64), (1e9, MOST)])
def test_sizes_are_powers_of_two(number: float, size: int) -> None:
    assert power_of_two(number) == size
