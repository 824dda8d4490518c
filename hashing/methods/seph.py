r"""SePH: codes that keep the classes, and kernel logistic regression that predicts each bit.

Reference:
    Lin, Ding, Hu and Wang, "Semantics-Preserving Hashing for Cross-View Retrieval", CVPR 2015
    (SePH_klr with random anchors); the authors' minKLD.m and SePH.m.

Real codes y_i of the training pairs minimise KL(P || Q) + alpha / (K n) ||Y| - 1|^2: P is the same
for all pairs of one class and 0 for the others; Q follows from the distances of the codes,

    q_ij = (1 + |y_i - y_j|^2 / 4)^-1 / sum_{k != l} (1 + |y_k - y_l|^2 / 4)^-1.

Then each modality predicts each bit of sign(y_i) from its kernel to the anchors, and an image or a
voice gets the bits that it predicts. Where the paper has both views of an item, it multiplies their
probabilities; here an item is an image or a voice, never both.
"""

from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field, PositiveFloat, PositiveInt
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from ivr.config import config
from ivr.hashing.linear_method import LinearConfig, SummaryMethod
from ivr.hashing.losses import same_class
from ivr.hashing.method import MethodEntry
from ivr.hashing.networks import Sizes
from ivr.hashing.pairs import Pairs

# Momentum and gains of t-SNE, whose solver the authors use; the step is theirs too.
MOMENTUM, STEP, LEAST_GAIN = 0.5, 500.0, 0.01
LEAST = torch.finfo(torch.float64).tiny


@config
class SePHConfig(LinearConfig):
    """The choices of SePH.

    Attributes:
        segments: number of equal parts in time; a voice is summarised as a whole and by part.
        quantisation: alpha, weight of the distance of the real codes to codes.
        anchors: largest number of training pairs whose vectors the kernels compare with.
        shrinkage: weight of the squared norm of the kernel logistic regression.
        pairs: largest number of training pairs that are learnt from; more are drawn from at random.
        iterations: number of steps on the codes.
    """

    segments: PositiveInt = 4
    quantisation: PositiveFloat = 0.01
    anchors: PositiveInt = 500
    shrinkage: PositiveFloat = 0.01
    pairs: Annotated[int, Field(ge=2)] = 3000
    iterations: PositiveInt = 100


class SePH(SummaryMethod):
    """Kernels of image vectors and of summaries of voices, and weights that predict bits."""

    source = "SePH_klr, Lin et al., CVPR 2015, with random anchors"
    differences = (
        "standardised vectors; both modalities of a pair are never joined, since an item is an "
        "image or a voice; at most 3000 pairs are learnt from"
    )
    config: SePHConfig
    image_anchors: Tensor
    voice_anchors: Tensor
    image_weights: Tensor
    voice_weights: Tensor
    widths: Tensor

    def __init__(self, config: SePHConfig, sizes: Sizes) -> None:
        """Make room for anchors and weights; anchors that are not used have no weight."""
        super().__init__(config, sizes)
        for name, dim in (("image", sizes.image_dim), ("voice", self.voice_dim)):
            self.register_buffer(f"{name}_anchors", torch.zeros(config.anchors, dim))
            self.register_buffer(f"{name}_weights", torch.zeros(config.anchors, sizes.bits))
        self.register_buffer("widths", torch.ones(2))

    def fit(self, training: Pairs, generator: torch.Generator) -> None:
        """Learn codes of the training pairs, then the prediction of their bits."""
        images, voices = self.fit_pairs(training)
        order = torch.randperm(len(images), generator=generator).to(images.device)
        drawn = order[: self.config.pairs]
        anchors = order[: min(self.config.anchors, len(drawn))]
        labels = training.labels_of_voices()[drawn]
        begin = 1e-4 * torch.randn(
            len(drawn), self.sizes.bits, generator=generator, dtype=images.dtype
        )
        weight = self.config.quantisation / (self.sizes.bits * len(drawn))
        codes = learnt_codes(
            same_class(labels, labels), begin.to(images.device), weight, self.config.iterations
        ).codes
        signs = torch.where(codes >= 0, 1.0, -1.0).to(codes.dtype)
        for number, (name, vectors) in enumerate((("image", images), ("voice", voices))):
            width = mean_square_distance(vectors[drawn])
            self.widths[number] = width
            getattr(self, f"{name}_anchors")[: len(anchors)] = vectors[anchors].float()
            getattr(self, f"{name}_weights")[: len(anchors)] = kernel_regression(
                kernel(vectors[drawn], vectors[anchors], width),
                kernel(vectors[anchors], vectors[anchors], width),
                signs,
                self.config.shrinkage,
            ).float()

    def encode_images(self, images: Tensor) -> Tensor:
        """Return the log-odds of the bits [n, bits]."""
        vectors = self.image_standardise(images)
        return kernel(vectors, self.image_anchors, self.widths[0]) @ self.image_weights

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return the log-odds of the bits [m, bits]."""
        del frames
        vectors = self.voice_standardise(voices)
        return kernel(vectors, self.voice_anchors, self.widths[1]) @ self.voice_weights


@dataclass(frozen=True)
class LearntCodes:
    """Codes of the training pairs.

    Attributes:
        codes: Y [n, bits], real, those of the lowest objective.
        objective: KL(P || Q) and the quantisation after each step.
    """

    codes: Tensor
    objective: tuple[float, ...]


def learnt_codes(same: Tensor, codes: Tensor, weight: float, iterations: int) -> LearntCodes:
    """Return real codes that keep the classes.

    Args:
        same: [n, n] whether two pairs are of one class.
        codes: Y [n, bits] to begin with, float64.
        weight: weight of the sum of (|y| - 1)^2.
        iterations: number of steps.
    """
    wanted = same.to(codes.dtype).fill_diagonal_(0)
    wanted = (wanted / wanted.sum().clamp(min=1)).clamp(min=LEAST)
    change, gains = torch.zeros_like(codes), torch.ones_like(codes)
    best, objective = codes, list[float]()
    for _ in range(iterations):
        down = slope(wanted, codes, weight)
        along = down.sign() == change.sign()
        gains = torch.where(along, gains * 0.8, gains + 0.2).clamp(min=LEAST_GAIN)
        change = MOMENTUM * change - STEP * gains * down
        codes = codes + change
        codes = codes - codes.mean(0)
        objective.append(float(divergence(wanted, codes, weight)))
        if objective[-1] == min(objective):
            best = codes
    return LearntCodes(best, tuple(objective))


def divergence(wanted: Tensor, codes: Tensor, weight: float) -> Tensor:
    """Return KL(P || Q) + weight ||Y| - 1|^2, a scalar, for P [n, n] and Y [n, bits]."""
    near = _nearness(codes)
    found = (near / near.sum()).clamp(min=LEAST)
    off = (codes.abs() - 1).square().sum()
    return (wanted * (wanted / found).log()).sum() + weight * off


def slope(wanted: Tensor, codes: Tensor, weight: float) -> Tensor:
    """Return the gradient [n, bits] of :func:`divergence` by the codes."""
    near = _nearness(codes)
    pull = (wanted - near / near.sum()) * near
    along = pull.sum(1, keepdim=True) * codes - pull @ codes
    return along + 2 * weight * (codes.abs() - 1) * codes.sign()


def _nearness(codes: Tensor) -> Tensor:
    """Return (1 + |y_i - y_j|^2 / 4)^-1 [n, n], and 0 for i = j."""
    near = (1 + square_distances(codes, codes) / 4).reciprocal()
    return near * (1 - torch.eye(len(codes)).to(near))


def square_distances(first: Tensor, second: Tensor) -> Tensor:
    """Return |a - b|^2 [n, m] of [n, dim] and [m, dim]."""
    sizes = first.square().sum(1, keepdim=True) + second.square().sum(1)
    return (sizes - 2 * first @ second.T).clamp(min=0)


def mean_square_distance(vectors: Tensor) -> Tensor:
    """Return the mean of |a - b|^2 over all rows a, b of vectors [n, dim]: the sigma^2 of SePH."""
    return 2 * (vectors - vectors.mean(0)).square().sum(1).mean()


def kernel(vectors: Tensor, anchors: Tensor, width: Tensor) -> Tensor:
    r"""Return :math:`\exp(-|a - b|^2 / (2 \sigma^2))` [n, m] of [n, dim] and [m, dim]."""
    return torch.exp(-square_distances(vectors, anchors) / (2 * width))


def kernel_regression(kernels: Tensor, between: Tensor, signs: Tensor, shrinkage: float) -> Tensor:
    """Return weights w [m, bits] that minimise sum log(1 + exp(-s K w)) + shrinkage w' K_0 w.

    Args:
        kernels: K [n, m], of pairs and anchors.
        between: K_0 [m, m], of anchors.
        signs: s [n, bits], -1 or 1.
        shrinkage: weight of the squared norm.
    """
    # With K_0 = R R' and v = R' w the norm is |v|^2, which scikit-learn's regression penalises.
    root = torch.linalg.cholesky(between + 1e-8 * torch.eye(len(between)).to(between))
    features = torch.linalg.solve_triangular(root, kernels.T, upper=False).T.cpu().numpy()
    columns = []
    for column in signs.T.cpu().numpy():
        if (column == column[0]).all():
            # Kernels are positive: equal weights keep the sign.
            columns.append(torch.full((len(between),), float(column[0]), dtype=between.dtype))
            continue
        model = LogisticRegression(
            C=1 / (2 * shrinkage), fit_intercept=False, solver="newton-cholesky"
        )
        found = torch.from_numpy(model.fit(features, column).coef_[0]).to(between)
        columns.append(torch.linalg.solve_triangular(root.T, found[:, None], upper=True)[:, 0])
    return torch.stack([column.to(between) for column in columns], 1)


METHOD = MethodEntry(build=SePH, config=SePHConfig)
