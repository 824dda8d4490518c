"""Bags of visual words: descriptors, vocabularies, histograms and the encoder made of them."""

import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy.ndimage import gaussian_filter
from sklearn.metrics import pairwise_distances_argmin

from ivr.features.blueprint import EncoderError
from ivr.features.encoders import encoder_names, require_encoder
from ivr.features.image import Encoder, described_by_network, load_encoder
from ivr.features.image_config import ImageConfig
from ivr.features.sift import sift_descriptors, word_histogram
from ivr.features.visual_words import (
    VocabularyConfig,
    VocabularyError,
    learnt_words,
    sampled_descriptors,
    sampled_names,
    vocabulary_notes,
    vocabulary_size,
    write_vocabulary,
)
from ivr.features.weights_file import WeightsError

CPU = torch.device("cpu")
FEW = VocabularyConfig(visual_words=12)


def blobs(seed: int, side: int = 64) -> np.ndarray:
    """Smooth noise, which is full of keypoints, uint8 [3, side, side]."""
    noise = np.random.default_rng(seed).normal(0, 1, (3, side, side))
    smooth = gaussian_filter(noise, (0, 2, 2))
    return np.clip(128 + 300 * smooth, 0, 255).astype(np.uint8)


def vocabulary(folder: Path) -> Path:
    found = np.concatenate([sift_descriptors(blobs(seed)) for seed in range(4)])
    write_vocabulary(folder / "words.safetensors", learnt_words(found, FEW), {"made": "here"})
    return folder / "words.safetensors"


def encoder_of(path: Path | str, **choices: object) -> Encoder:
    return load_encoder(ImageConfig(**{"encoder": "sift", "weights": str(path), **choices}), CPU)


# --- descriptors and histograms -----------------------------------------------------------------


def test_descriptors_are_the_square_roots_of_shares_of_those_of_opencv() -> None:
    image = blobs(0)
    grey = cv2.cvtColor(image.transpose(1, 2, 0).copy(), cv2.COLOR_RGB2GRAY)
    _, plain = cv2.SIFT_create().detectAndCompute(grey, None)
    found = sift_descriptors(image)
    assert len(found) > 10
    np.testing.assert_allclose(found**2, plain / plain.sum(1, keepdims=True), atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_descriptors_do_not_depend_on_the_threads_of_opencv() -> None:
    threads, image = cv2.getNumThreads(), blobs(0, 256)
    try:
        cv2.setNumThreads(1)
        alone = sift_descriptors(image)
        cv2.setNumThreads(4)
        np.testing.assert_array_equal(sift_descriptors(image), alone)
    finally:
        cv2.setNumThreads(threads)


def test_colours_are_taken_as_red_green_blue() -> None:
    red = np.zeros((3, 64, 64), np.uint8)
    red[0] = blobs(1)[0]
    grey = np.rint(0.299 * red[0]).astype(np.uint8)
    np.testing.assert_allclose(
        sift_descriptors(red).sum(0), sift_descriptors(np.stack([grey] * 3)).sum(0), rtol=0.1
    )


def test_an_even_image_has_no_descriptors() -> None:
    assert sift_descriptors(np.full((3, 64, 64), 90, np.uint8)).shape == (0, 128)


def test_a_histogram_is_the_square_roots_of_the_shares_of_the_nearest_words() -> None:
    words = np.eye(3, 128, dtype=np.float32)
    descriptors = words[[0, 0, 2, 0]] + np.float32(0.01)
    assert word_histogram(descriptors, words) == pytest.approx([0.75**0.5, 0, 0.25**0.5])
    assert word_histogram(descriptors[:0], words).tolist() == [0, 0, 0]


def test_of_words_that_are_equally_near_the_first_one_counts() -> None:
    words = np.eye(3, 128, dtype=np.float32)
    middle = (words[1] + words[2]) / 2
    assert word_histogram(middle[None], words).tolist() == [0, 1, 0]


def test_the_nearest_words_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    words, some = rng.random((50, 128)), rng.random((400, 128))
    counts = np.bincount(pairwise_distances_argmin(some, words), minlength=50)
    assert word_histogram(some, words) == pytest.approx(np.sqrt(counts / 400))


# --- vocabularies -------------------------------------------------------------------------------


def test_words_are_the_centres_of_clusters() -> None:
    rng = np.random.default_rng(0)
    centres = rng.random((5, 128)).astype(np.float32)
    around = np.repeat(centres, 40, 0) + rng.normal(0, 0.01, (200, 128)).astype(np.float32)
    found = learnt_words(around, VocabularyConfig(visual_words=5))
    nearest = np.linalg.norm(found[:, None] - centres, axis=2).min(0)
    assert found.dtype == np.float32 and nearest.max() < 0.1


def test_the_same_descriptors_and_seed_give_the_same_words() -> None:
    found = sift_descriptors(blobs(0, 128))
    first = learnt_words(found, FEW)
    np.testing.assert_array_equal(learnt_words(found, FEW), first)
    assert (learnt_words(found, replace(FEW, vocabulary_seed=1)) != first).any()


def test_more_words_than_different_descriptors_are_refused() -> None:
    twice = np.repeat(np.eye(6, 128, dtype=np.float32), 2, 0)
    with pytest.raises(VocabularyError, match=r"12 visual words need .* the images have 6: give"):
        learnt_words(twice, FEW)


def test_the_sample_of_images_does_not_depend_on_their_order() -> None:
    names = [f"{number}.png" for number in range(50)]
    config = VocabularyConfig(vocabulary_images=20)
    chosen = sampled_names(names, config)
    assert chosen == sampled_names(names[::-1], config) == sorted(set(chosen))
    assert len(chosen) == 20
    assert sampled_names(names, replace(config, vocabulary_seed=1)) != chosen
    assert sampled_names(names, VocabularyConfig()) == sorted(names)


def test_the_sample_of_descriptors_depends_on_the_image_alone() -> None:
    all_of_them = np.arange(40 * 128, dtype=np.float32).reshape(40, 128)
    config = VocabularyConfig(vocabulary_descriptors=10)
    some = sampled_descriptors(all_of_them, "a.png", config)
    assert len(some) == 10 and {row[0] for row in some} <= {row[0] for row in all_of_them}
    np.testing.assert_array_equal(sampled_descriptors(all_of_them, "a.png", config), some)
    assert (sampled_descriptors(all_of_them, "b.png", config) != some).any()
    assert len(sampled_descriptors(all_of_them, "a.png", VocabularyConfig())) == 40


def test_a_vocabulary_and_its_notes_come_back_from_the_file(tmp_path: Path) -> None:
    words = np.random.default_rng(0).random((7, 128)).astype(np.float32)
    write_vocabulary(tmp_path / "one", words, {"visual_words": 7, "size": 64})
    assert vocabulary_size(tmp_path / "one") == 7
    assert vocabulary_notes(tmp_path / "one") == {"visual_words": 7, "size": 64}
    write_vocabulary(tmp_path / "two", words, {"size": 64, "visual_words": 7})
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


# --- the encoder --------------------------------------------------------------------------------


def test_a_vector_is_the_histogram_of_the_image(tmp_path: Path) -> None:
    path = vocabulary(tmp_path)
    encoder = encoder_of(path, size=64)
    images = np.stack([blobs(seed) for seed in range(5)])
    found = encoder(torch.from_numpy(images)).numpy()
    expected = [word_histogram(sift_descriptors(one), encoder.net.words.numpy()) for one in images]
    np.testing.assert_array_equal(found, np.stack(expected))
    assert encoder.dim == 12 and found.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)


def test_a_vector_depends_neither_on_the_batch_nor_on_threads(tmp_path: Path) -> None:
    encoder = encoder_of(vocabulary(tmp_path), size=64)
    images = torch.from_numpy(np.stack([blobs(seed) for seed in range(6)]))
    whole = encoder(images)
    alone = torch.cat([encoder(one[None]) for one in images])
    with ThreadPoolExecutor(3) as pool:
        at_once = torch.cat(list(pool.map(lambda one: encoder(one[None]), images)))
    assert torch.equal(whole, alone) and torch.equal(whole, at_once)


def test_an_even_image_has_a_vector_of_zeros(tmp_path: Path) -> None:
    encoder = encoder_of(vocabulary(tmp_path), size=64)
    images = np.stack([blobs(0), np.full((3, 64, 64), 200, np.uint8)])
    assert encoder(torch.from_numpy(images)).any(1).tolist() == [True, False]


def test_settings_are_known_without_the_words(tmp_path: Path) -> None:
    path = vocabulary(tmp_path)
    config = ImageConfig("sift", str(path))
    dim, provenance = described_by_network(config)
    encoder = load_encoder(config, CPU)
    assert (dim, provenance) == (12, encoder.provenance)
    assert (provenance["size"], provenance["weights"]) == (256, path.name)
    assert "SIFT" in str(provenance["normalisation"])


def test_views_are_averaged(tmp_path: Path) -> None:
    path, image = vocabulary(tmp_path), torch.from_numpy(blobs(0))[None]
    plain, both = encoder_of(path, size=64), encoder_of(path, size=64, views=2)
    mirrored = torch.rot90(image, 1, (2, 3)).flip(3)
    torch.testing.assert_close(both(image), (plain(image) + plain(mirrored)) / 2)


def test_random_words_are_the_same_everywhere() -> None:
    one, other = encoder_of("random"), encoder_of("random")
    assert one.dim == VocabularyConfig.visual_words
    assert torch.equal(one.net.words, other.net.words)


@pytest.mark.parametrize(
    ("tensors", "words"),
    [
        ({"weight": torch.zeros(5, 128)}, r"no array words of \[k, 128\]"),
        ({"words": torch.zeros(5, 64)}, r"no array words of \[k, 128\]"),
        ({"words": torch.zeros(1, 128)}, r"no array words of \[k, 128\]"),
        ({"words": torch.full((5, 128), float("nan"))}, "holds values that are not finite"),
        ({"words": torch.zeros(5, 128, dtype=torch.int32)}, "words is int32"),
    ],
)
def test_other_weights_are_refused(
    tensors: dict[str, torch.Tensor], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)
    with pytest.raises(WeightsError, match=words):
        encoder_of(path)


def test_what_is_no_vocabulary_at_all_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "words.safetensors"
    path.write_bytes(b"not a safetensors file")
    with pytest.raises(WeightsError, match=r"not a vocabulary of visual words: .*; learn a"):
        encoder_of(path)
    with pytest.raises(WeightsError, match="no such file"):
        encoder_of(tmp_path / "absent")
    with pytest.raises(WeightsError, match="learn a vocabulary with ivr extract"):
        encoder_of("imagenet")


def test_words_have_no_stages_and_no_relu() -> None:
    with pytest.raises(EncoderError, match=r"sift has no 5 stages .* take --pooling vector"):
        encoder_of("random", pooling="stages")
    with pytest.raises(EncoderError, match="sift has no classifier, so no ReLU"):
        encoder_of("random", relu=False)


def test_without_opencv_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(EncoderError) as refused:
        require_encoder("sift")
    assert str(refused.value) == (
        "the encoder sift needs OpenCV: pip install 'image-voice-hashing[sift]'"
    )
    assert "sift" in encoder_names()
