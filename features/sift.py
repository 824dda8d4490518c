"""Bags of visual words: the SIFT descriptors of an image, counted by their nearest word.

DVAN and DIVH name SIFT as the image features of their row SIFT+M and give none of its settings. The
settings here are ours: root-SIFT descriptors of the grey image, a vocabulary of k-means, and square
roots of the shares of the words.

References:
    Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 2004; OpenCV's
    implementation with its own defaults.
    Sivic and Zisserman, "Video Google", ICCV 2003: visual words.
    Arandjelovic and Zisserman, "Three Things Everyone Should Know to Improve Object Retrieval",
    CVPR 2012: root-SIFT.
"""

from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from .blueprint import Blueprint, EncoderError
from .visual_words import LENGTH, VocabularyConfig, vocabulary_size

SIZE = 256
"""Side of the input, pixels: that of the images of UC Merced."""
NORMALISATION = (
    "grey of RGB 0..255; SIFT of OpenCV, all keypoints; descriptors divided by their sum, square "
    "root; counts of the nearest words divided by their sum, square root"
)
EXTRA = "pip install 'image-voice-hashing[sift]'"


def require_opencv() -> None:
    """Refuse to go on without OpenCV.

    Raises:
        EncoderError: it is not installed.
    """
    _opencv()


def opencv_version() -> str:
    """Return the version of OpenCV, e.g. ``4.12.0``.

    Raises:
        EncoderError: it is not installed.
    """
    return str(_opencv().__version__)


def sift_descriptors(image: np.ndarray) -> np.ndarray:
    """Return the root-SIFT descriptors of all keypoints of ``image``.

    Args:
        image: RGB, uint8 [3, rows, columns].

    Returns:
        float32 [n, 128], rows of unit length; n is 0 where there is no keypoint.

    Raises:
        EncoderError: OpenCV is not installed.
    """
    library = _opencv()
    rows = np.ascontiguousarray(image.transpose(1, 2, 0))
    grey = library.cvtColor(rows, library.COLOR_RGB2GRAY)
    # A detector is made for each image, since one detector must not serve several threads.
    _, found = library.SIFT_create().detectAndCompute(grey, None)
    if found is None:
        return np.empty((0, LENGTH), np.float32)
    sums = np.maximum(found.sum(1, keepdims=True), np.finfo(np.float32).tiny)
    rooted: np.ndarray = np.sqrt(found / sums).astype(np.float32)
    return rooted


def word_histogram(descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Return the square roots of the shares of the ``words`` among ``descriptors``.

    Distances are computed in float64, so that the nearest word does not depend on the processor.
    Of words that are equally near, the first one counts.

    Args:
        descriptors: [n, 128].
        words: [k, 128].

    Returns:
        float32 [k] of unit length; zeros if n is 0.
    """
    if not len(descriptors):
        return np.zeros(len(words), np.float32)
    centres = words.astype(np.float64)
    distances = (centres**2).sum(1) - 2 * descriptors.astype(np.float64) @ centres.T
    counts = np.bincount(distances.argmin(1), minlength=len(words))
    return np.sqrt(counts / len(descriptors)).astype(np.float32)


class SiftWords(nn.Module):
    """A network without layers: images to histograms of visual words, on the processor.

    Attributes:
        words: the vocabulary, [k, 128].
    """

    words: Tensor

    def __init__(self, words: int) -> None:
        """Draw a vocabulary of ``words`` random descriptors."""
        super().__init__()
        drawn = torch.rand(words, LENGTH)
        self.register_buffer("words", (drawn / drawn.sum(1, keepdim=True)).sqrt())

    def forward(self, images: Tensor) -> Tensor:
        """Return [n, k] for RGB ``images`` [n, 3, rows, columns] of whole numbers 0..255."""
        if images.is_meta:
            return images.new_empty(len(images), len(self.words))
        words, pixels = self.words.cpu().numpy(), images.cpu().to(torch.uint8).numpy()
        found = [word_histogram(sift_descriptors(image), words) for image in pixels]
        return torch.from_numpy(np.stack(found)).to(images.device)


def sift() -> Blueprint:
    """Return the blueprint of bags of SIFT words.

    Raises:
        EncoderError: OpenCV is not installed.
    """
    require_opencv()
    return Blueprint(
        net=SiftWords(VocabularyConfig.visual_words),
        classifier="",
        size=SIZE,
        mean=(0.0, 0.0, 0.0),
        std=(1.0, 1.0, 1.0),
        normalisation=NORMALISATION,
        any_size=True,
        weights_help="learn a vocabulary with ivr extract --encoder sift",
        of_file=_of_file,
    )


def _of_file(path: Path) -> nn.Module:
    return SiftWords(vocabulary_size(path))


def _opencv() -> ModuleType:
    try:
        import cv2
    except ImportError as error:
        raise EncoderError(f"the encoder sift needs OpenCV: {EXTRA}") from error
    module: ModuleType = cv2
    return module
