import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2 import InterpolationMode, functional

from ivr.features import image_resize
from ivr.features.image_resize import Interpolation, resized

KERNELS: tuple[Interpolation, ...] = ("bilinear", "bicubic")
SIZES = ((3, 256, 256, 224), (3, 33, 17, 40), (1, 61, 1000, 31), (3, 5, 3000, 7), (3, 12, 12, 12))


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def torch_resized(picture: np.ndarray, side: int, interpolation: Interpolation) -> np.ndarray:
    return functional.resize(
        torch.from_numpy(picture),
        [side, side],
        interpolation=InterpolationMode(interpolation),
        antialias=True,
    ).numpy()


@pytest.fixture(params=["torch", "numpy"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Resizing by torch, if it has the kernels for that here, and by NumPy."""
    if request.param == "torch" and not image_resize._torch_is_exact():
        pytest.skip("torch has no kernels of AVX2 here")
    monkeypatch.setattr(image_resize, "_torch_is_exact", lambda: request.param == "torch")
    return str(request.param)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("channels", "height", "width", "side"), SIZES)
def test_pictures_are_those_of_torchvision_on_processors_with_avx2(
    channels: int, height: int, width: int, side: int, way: str, kernel: Interpolation
) -> None:
    picture = noise(channels, height, width)
    expected = torch_resized(picture, side, kernel).astype(int)
    # Its kernels for other processors differ by one level.
    exact = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    difference = np.abs(resized(picture, side, side, kernel) - expected)
    assert difference.max() <= (0 if exact else 1)


def test_pictures_do_not_depend_on_whether_torch_resizes_them() -> None:
    """On a processor without AVX2 torch is not asked, and there is nothing to compare."""
    if not image_resize._torch_is_exact():
        pytest.skip("torch has no kernels of AVX2 here")
    rng = np.random.default_rng(1)
    for number in range(300):
        kernel = KERNELS[number % 2]
        channels, *sides = rng.integers(1, 5), *np.exp(rng.uniform(0, 6, 4)).astype(int)
        sides[2] += sides[2] * sides[3] == 1
        picture = rng.integers(0, 256, (channels, *sides[:2])).astype(np.uint8)
        if rng.random() < 0.5:  # bright and dark areas, as scenes have
            picture = np.where(picture > 100, 255, picture // 64).astype(np.uint8)
        some = picture[:, ::-1] if rng.random() < 0.2 else picture
        found = image_resize._by_numpy(some, *sides[2:], kernel)
        np.testing.assert_array_equal(image_resize._by_torch(some, *sides[2:], kernel), found)


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize(("channels", "height", "width", "side"), SIZES)
def test_pictures_differ_from_those_of_pillow_by_one_grey_level_at_most(
    channels: int, height: int, width: int, side: int, kernel: Interpolation
) -> None:
    picture = noise(channels, height, width)
    bands = [
        np.asarray(Image.fromarray(band).resize((side, side), Image.Resampling[kernel.upper()]))
        for band in picture
    ]
    found = resized(picture, side, side, kernel)
    difference = np.abs(found - np.stack(bands).astype(int))
    assert difference.max() <= 1


def test_two_pixels_become_their_mean_and_a_half_is_rounded_up() -> None:
    picture = np.array([[[10, 21], [30, 40]]], np.uint8)
    assert resized(picture, 2, 1).tolist() == [[[16], [35]]]
    assert resized(picture, 1, 2).tolist() == [[[20, 31]]]


def test_a_doubled_line_lies_between_its_pixels() -> None:
    line = np.array([[[0, 100]]], np.uint8)
    assert resized(line, 1, 4).tolist() == [[[0, 25, 75, 100]]]


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("side", [1, 7, 31, 64, 500])
def test_a_white_picture_stays_white(side: int, kernel: Interpolation) -> None:
    white = np.full((3, 97, 401), 255, np.uint8)
    assert (resized(white, side, side, kernel) == 255).all()


def test_a_cubic_kernel_overshoots_no_further_than_black_and_white(way: str) -> None:
    edge = np.repeat(np.array([0, 255], np.uint8), 20)[None, None].repeat(40, 1)
    found = resized(edge, 40, 100, "bicubic")[0]
    assert found[:, :40].max() == 0  # the overshoot of a step is below 0, and 255 would wrap
    assert found[:, 60:].min() == 255


def test_height_and_width_are_chosen_apart() -> None:
    picture = noise(3, 20, 50)
    both = resized(picture, 10, 30)
    assert both.shape == (3, 10, 30)
    np.testing.assert_array_equal(both, resized(resized(picture, 20, 30), 10, 30))


def test_a_window_of_a_larger_array_is_resized_like_a_copy_of_it() -> None:
    scene = noise(3, 90, 80)
    window = scene[:, 10:50, 20:70]
    np.testing.assert_array_equal(resized(window, 16, 16), resized(window.copy(), 16, 16))


def test_something_else_than_a_picture_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be uint8 \[channels, rows, columns\]"):
        resized(np.zeros((3, 4, 4)), 2, 2)
    with pytest.raises(ValueError, match="at least 1 pixel, got 0 and 2"):
        resized(noise(1, 4, 4), 0, 2)
