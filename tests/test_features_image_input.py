"""Pictures of any size become the input that the network was trained with."""

from dataclasses import asdict

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from ivr.config import OptionError
from ivr.features.image_input import ImageInput


def noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, height, width)).astype(np.uint8)


def by_torchvision(picture: np.ndarray, shape: ImageInput) -> np.ndarray:
    scaled = [shape.scaled] if shape.fit == "shorter" else [shape.scaled, shape.scaled]
    kernel = functional.InterpolationMode(shape.interpolation)
    whole = functional.resize(torch.from_numpy(picture), scaled, kernel, antialias=True)
    return functional.center_crop(whole, [shape.side, shape.side]).numpy()


@pytest.mark.parametrize("size", [(256, 256), (300, 217), (91, 400), (64, 65), (37, 37)])
@pytest.mark.parametrize(
    "shape",
    [
        ImageInput(60, 67, "shorter", "bicubic"),
        ImageInput(61, 70, "shorter"),
        ImageInput(60, 67, "squash", "bicubic"),
        ImageInput(60, 60, "shorter"),
    ],
    ids=str,
)
def test_pictures_are_resized_and_cut_as_torchvision_does(
    size: tuple[int, int], shape: ImageInput
) -> None:
    picture = noise(*size)
    found = shape.fitted(picture)
    assert found.shape == shape.shape
    assert_is_torchvisions(found, picture, shape)


def assert_is_torchvisions(found: np.ndarray, picture: np.ndarray, shape: ImageInput) -> None:
    """Equal to torchvision, whose kernels without AVX2 differ by one grey level in some pixels."""
    exact = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    differences = np.abs(found - by_torchvision(picture, shape).astype(int))
    assert differences.max() <= (0 if exact else 1)


def test_by_default_the_whole_picture_is_squashed() -> None:
    picture = noise(20, 50)
    assert_is_torchvisions(ImageInput(16).fitted(picture), picture, ImageInput(16, 16))
    assert ImageInput(16).words == "whole image squashed to 16 x 16, bilinear, antialias, uint8"


def test_the_input_is_described_in_words() -> None:
    words = "shorter side resized to 67, centre of 60 x 60 cut out, bicubic, antialias, uint8"
    assert ImageInput(60, 67, "shorter", "bicubic").words == words
    cut = "whole image squashed to 67 x 67, centre of 60 x 60 cut out, bilinear, antialias, uint8"
    assert ImageInput(60, 67).words == cut


def test_a_centre_larger_than_the_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="scaled must be 0 or at least side=60, got 59"):
        ImageInput(60, 59)
    with pytest.raises(OptionError, match="interpolation must be bilinear or bicubic"):
        ImageInput(**{**asdict(ImageInput(60)), "interpolation": "nearest"})
