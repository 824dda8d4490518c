r"""CMIR-NET: each modality learns its classes, then both learn a shared real-valued space.

Reference:
    Chaudhuri et al., "CMIR-NET: A deep learning based model for cross-modal retrieval in remote
    sensing", Pattern Recognition Letters 2020, arXiv 1904.04794; the authors' slides and code,
    ushasi/CMIR-NET-A-deep-learning-based-model-for-cross-modal-retrieval-in-remote-sensing.

Slides and code differ; ``form`` chooses.

``slides``: first Z_a and Z_b are learnt, each on its own: CE(Z) + ||Z^T Z - I||^2. Then, with Z
fixed, V = W (w * Z) is learnt on l1 ||V_a - V_b||^2 + l2 CE([V_a, V_b]) + l3 (||V_a||^2 +
||V_b||^2) + l4 (decoding to Z of the other modality) + l5 (||w_a - 1||^2 + ||w_b - 1||^2), all as
means. Ours are w read as scales of Z, [V_a, V_b] as rows of one classifier, l1 to l5 and the share
of pretraining.

``code``: img-speech/Unified_XY.py. All is learnt at once, V = ReLU(W Z + b) with Z = ReLU, on
0.001 ||V_a - V_b|| + BCE(V_a) + CE(V_b) + 0.001 ||Z_a - D_a(V_a)|| + 0.01 ||Z_b - D_b(V_b)||
+ | ||W_a|| - 1 | + | ||W_b|| - 1 |. The norms are Frobenius norms of the whole batch, not squared;
D is a layer with ReLU; half of V_b is dropped in training. Ours are labels of one class per image
where the code has several, and own voices of an image where it draws voices of its classes.

In both forms the voice network, and dropout and normalisation before Z (``network``), are ours.
The code exports codes of the training items as well; nothing here does.
"""

from dataclasses import field, fields
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor, nn

from ivr.config import Share, config
from ivr.hashing.dual_encoder import DualEncoder
from ivr.hashing.method import Batch, MethodEntry
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes

Decode = Literal["other", "own"]
Form = Literal["slides", "code"]
# Subtracted from outputs that are never negative, so that the sign of 0 is -1.
BELOW_ZERO = 1e-6


@config
class CodeFormConfig:
    """The choices of the form ``code``; the defaults are the numbers of the authors' speech code.

    Attributes:
        distance: weight of ||V_a - V_b||.
        image_classes: weight of the binary cross-entropy of the classes of images.
        voice_classes: weight of the cross-entropy of the classes of voices.
        image_decoding: weight of the distance of Z to what V_a is decoded to.
        voice_decoding: weight of the distance of Z to what V_b is decoded to.
        norms: weight of | ||W|| - 1 | of the shared layer of each modality.
        decode: own decodes to Z of the same modality as in the speech code, other to Z of the other
            modality as in the authors' code for multi-spectral images.
        voice_dropout: share of the entries of V_b left out while training.
    """

    distance: NonNegativeFloat = 0.001
    image_classes: NonNegativeFloat = 1.0
    voice_classes: NonNegativeFloat = 1.0
    image_decoding: NonNegativeFloat = 0.001
    voice_decoding: NonNegativeFloat = 0.01
    norms: NonNegativeFloat = 1.0
    decode: Decode = "own"
    voice_dropout: Share = 0.5


@config
class CMIRNetConfig:
    """The choices of CMIR-NET.

    Those from ``pretraining`` to ``decode`` belong to the form ``slides``.

    Attributes:
        pretraining: share of the epochs in which Z is learnt.
        distance: l1, of the two shared vectors of a pair.
        classes: l2, of one classifier on the shared vectors of both modalities.
        length: l3, of the lengths of the shared vectors.
        decoding: l4, of what a shared vector tells of Z.
        scales: l5, of the distance of the scales of Z to one.
        orthogonality: weight of Z^T Z / n - I while Z is learnt.
        decode: other decodes to Z of the other modality as in the slides, own as in the code.
        features: length of Z, 128 in the code.
        form: slides or code, the authors' slides or their public speech code, which differ in the
            loss and in V.
        code: the choices of the form ``code``.
        network: sizes of the two encoders.
    """

    pretraining: Share = 0.3
    distance: NonNegativeFloat = 1.0
    classes: NonNegativeFloat = 1.0
    length: NonNegativeFloat = 0.01
    decoding: NonNegativeFloat = 0.1
    scales: NonNegativeFloat = 0.01
    orthogonality: NonNegativeFloat = 1.0
    decode: Decode = "other"
    features: PositiveInt = 128
    form: Form = "slides"
    code: CodeFormConfig = field(default_factory=CodeFormConfig)
    network: NetworkConfig = field(default_factory=NetworkConfig)

    def __post_init__(self) -> None:
        """Refuse options of the form that is not chosen: they would change nothing."""
        if self.form == "slides" and self.code != CodeFormConfig():
            raise ValueError("the options code.NAME need form=code, got form=slides")
        for own in fields(self):
            shared = own.name in ("features", "form", "code", "network")
            if self.form == "code" and not shared and getattr(self, own.name) != own.default:
                raise ValueError(f"{own.name} needs form=slides; form=code has options code.NAME")


class CMIRNet(DualEncoder):
    """Two encoders for Z, a map to V for each, two decoders, and the classifiers of the form."""

    source = "CMIR-NET, Pattern Recognition Letters 2020, arXiv 1904.04794"
    reconstruction = (
        "of some parts; ours are w_a and w_b read as scales of Z, [V_a, V_b] as rows of one "
        "classifier, the weights l1 to l5, the share of pretraining and the voice network"
    )
    differences = (
        "`form` takes the loss of the slides or that of the public speech code; in the latter "
        "the voice network, what precedes Z, labels of one class and own voices of an image are "
        "ours"
    )
    distance = "euclidean"
    needs_own_pairs = True
    config: CMIRNetConfig

    def __init__(self, config: CMIRNetConfig, sizes: Sizes) -> None:
        """Build the parts of the form; the scales begin at one."""
        super().__init__(config, sizes, encoder_width=config.features)
        self.pretraining = False
        self.code = CodeForm(config, sizes) if config.form == "code" else None
        if self.code is None:
            self._build_slides(config, sizes)

    def _build_slides(self, config: CMIRNetConfig, sizes: Sizes) -> None:
        self.scales = nn.Parameter(torch.ones(2, config.features))
        self.shared = nn.ModuleList(nn.Linear(config.features, sizes.bits) for _ in range(2))
        self.decoders = nn.ModuleList(nn.Linear(sizes.bits, config.features) for _ in range(2))
        self.own_classes = nn.ModuleList(
            nn.Linear(config.features, sizes.classes) for _ in range(2)
        )
        self.shared_classes = nn.Linear(sizes.bits, sizes.classes)

    def begin_epoch(self, done: float) -> None:
        """Learn Z first."""
        self.pretraining = done < self.config.pretraining

    def encode_images(self, images: Tensor) -> Tensor:
        """Return V_a [n, bits], in the form ``code`` less :data:`BELOW_ZERO`."""
        return self._shared(self.image(images), 0)

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return V_b [m, bits], in the form ``code`` less :data:`BELOW_ZERO`."""
        return self._shared(self.voice(voices, frames), 1)

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the terms of the stage that the training is in."""
        features = [self.image(batch.images), self.voice(batch.voices, batch.frames)]
        if self.code is not None:
            return self.code.losses(features, batch.labels)
        if self.pretraining:
            return self._pretraining_losses(features, batch.labels)
        return self._shared_losses([table.detach() for table in features], batch.labels)

    def _pretraining_losses(self, features: list[Tensor], labels: Tensor) -> dict[str, Tensor]:
        classes = [
            F.cross_entropy(layer(table), labels)
            for layer, table in zip(self.own_classes, features, strict=True)
        ]
        off = torch.stack([orthogonality(table) for table in features]).sum()
        return {
            "own classes": torch.stack(classes).sum(),
            "orthogonality": self.config.orthogonality * off,
        }

    def _shared_losses(self, features: list[Tensor], labels: Tensor) -> dict[str, Tensor]:
        config = self.config
        image, voice = (self._shared(table, end) for end, table in enumerate(features))
        decoded = [layer(end) for layer, end in zip(self.decoders, (image, voice), strict=True)]
        targets = features[::-1] if config.decode == "other" else features
        classified = self.shared_classes(torch.cat([image, voice]))
        return {
            "distance": config.distance * F.mse_loss(image, voice),
            "classes": config.classes * F.cross_entropy(classified, torch.cat([labels, labels])),
            "length": config.length * (image.square().mean() + voice.square().mean()),
            "decoding": config.decoding
            * (F.mse_loss(decoded[0], targets[0]) + F.mse_loss(decoded[1], targets[1])),
            "scales": config.scales * 2 * (self.scales - 1).square().mean(),
        }

    def _shared(self, features: Tensor, end: int) -> Tensor:
        if self.code is not None:
            above: Tensor = self.code(features, end)
            return above - BELOW_ZERO
        outputs: Tensor = self.shared[end](self.scales[end] * features)
        return outputs


class CodeForm(nn.Module):
    """Map to V, decoder and classifier of each modality, as in the authors' speech code."""

    def __init__(self, config: CMIRNetConfig, sizes: Sizes) -> None:
        """Build the layers; their weights are drawn by Glorot's rule, as in the code."""
        super().__init__()
        self.config, width = config.code, config.features
        self.shared = nn.ModuleList(nn.Linear(width, sizes.bits) for _ in range(2))
        self.decoders = nn.ModuleList(nn.Linear(sizes.bits, width) for _ in range(2))
        self.classifiers = nn.ModuleList(nn.Linear(sizes.bits, sizes.classes) for _ in range(2))
        for layer in (*self.shared, *self.decoders, *self.classifiers):
            nn.init.xavier_uniform_(layer.weight)

    def forward(self, features: Tensor, end: int) -> Tensor:
        """Return V [n, bits], at least 0, for outputs [n, features] of encoder ``end``, 0 or 1."""
        return torch.relu(self.shared[end](torch.relu(features)))

    def losses(self, features: list[Tensor], labels: Tensor) -> dict[str, Tensor]:
        """Return the terms for outputs [n, features] of both encoders and class numbers [n]."""
        config = self.config
        image, voice = (self(table, end) for end, table in enumerate(features))
        voice = F.dropout(voice, config.voice_dropout, self.training)
        z = [torch.relu(table) for table in features]
        targets = z[::-1] if config.decode == "other" else z
        decoded = [torch.relu(d(v)) for d, v in zip(self.decoders, (image, voice), strict=True)]
        logits = [c(v) for c, v in zip(self.classifiers, (image, voice), strict=True)]
        named = F.one_hot(labels, logits[0].shape[1]).to(image.dtype)
        weights = [layer.get_parameter("weight") for layer in self.shared]
        norms = torch.stack([frobenius(weight) for weight in weights])
        return {
            "distance": config.distance * frobenius(image - voice),
            "image classes": config.image_classes
            * F.binary_cross_entropy_with_logits(logits[0], named),
            "voice classes": config.voice_classes * F.cross_entropy(logits[1], labels),
            "image decoding": config.image_decoding * frobenius(targets[0] - decoded[0]),
            "voice decoding": config.voice_decoding * frobenius(targets[1] - decoded[1]),
            "norms": config.norms * (norms - 1).abs().sum(),
        }


def frobenius(table: Tensor) -> Tensor:
    """Return the root of the sum of the squares of all entries, a scalar."""
    norm: Tensor = torch.linalg.vector_norm(table)
    return norm


def orthogonality(features: Tensor) -> Tensor:
    """Return the mean square of the entries of Z^T Z / n - I for Z [n, features]."""
    product = features.T @ features / len(features)
    one = torch.eye(len(product), dtype=product.dtype, device=product.device)
    return (product - one).square().mean()


METHOD = MethodEntry(build=CMIRNet, config=CMIRNetConfig)
