"""Images to vectors: networks cut before their classifier.

An encoder is a network whose classifier (the layer named by its :class:`Blueprint`) is replaced by
the identity. Its output is then the vector that the classifier would see: fc7 after its ReLU for
VGG16, AlexNet and CNN-F, the pooled map for ResNet, SqueezeNet and most others.

All classification networks of torchvision are encoders under their torchvision names. How to add
an encoder: :mod:`ivr.features.blueprint`.
"""

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ivr.errors import first_line

from .blueprint import Blueprint, EncoderError
from .encoder_provenance import encoder_provenance, layer_words
from .encoder_weights import cut, identify_weights, load_weights, with_shapes_of_file
from .encoders import encoder_blueprint
from .exact_float32 import exact_float32
from .image_config import VIEWS, ImageConfig
from .stage_pooling import StageStatistics
from .torchvision_networks import meta_output


class Encoder(nn.Module):
    """A network in evaluation mode that turns images into vectors.

    Attributes:
        name: name of the encoder.
        dim: length of a vector.
        input: how pictures become the input.
        provenance: everything that decides the vectors, and the name of the weights; JSON values.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self, config: ImageConfig, blueprint: Blueprint, dim: int, provenance: Mapping[str, object]
    ) -> None:
        """Use the network of ``blueprint``, which is already cut and has its weights."""
        super().__init__()
        self.name = config.encoder
        self.dim = dim
        self.input = blueprint.input
        self.views = VIEWS[config.views]
        self.provenance = dict(provenance)
        self.dtype: torch.dtype = getattr(torch, config.precision)
        self.net = blueprint.net
        self.register_buffer("mean", torch.tensor(blueprint.mean).view(1, -1, 1, 1))
        self.register_buffer("std", torch.tensor(blueprint.std).view(1, -1, 1, 1))
        self.requires_grad_(False).eval()

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        """Return the vectors of ``images``.

        Args:
            images: uint8 of the shape of ``input``, e.g. RGB [n, 3, side, side], on the device of
                the encoder.

        Returns:
            float32, [n, dim].

        Raises:
            ValueError: the images have another type or shape.
        """
        if images.dtype != torch.uint8 or images.shape[1:] != self.input.shape:
            raise ValueError(
                f"{self.name} takes uint8 images [n, {', '.join(map(str, self.input.shape))}], "
                f"got {str(images.dtype).removeprefix('torch.')} {list(images.shape)}"
            )
        lower = self.dtype != torch.float32
        with exact_float32(), torch.autocast(images.device.type, self.dtype, enabled=lower):
            return self.vectors(images)

    def vectors(self, images: Tensor) -> Tensor:
        """Return what :meth:`forward` returns, in the precision that the caller has set."""
        scaled = (images.float() - self.mean) / self.std
        vectors = [self.net(self._viewed(scaled, *view)).float() for view in self.views]
        return vectors[0] if len(vectors) == 1 else torch.stack(vectors).mean(0)

    def _viewed(self, images: Tensor, turns: int, mirrored: bool) -> Tensor:
        turned = torch.rot90(images, turns, (2, 3)) if turns else images
        view = turned.flip(3) if mirrored else turned
        return view.contiguous(memory_format=torch.channels_last)


def load_encoder(config: ImageConfig, device: torch.device) -> Encoder:
    """Return the encoder of ``config`` with its weights, on ``device``.

    Raises:
        EncoderError: there is no such encoder, it does not give one vector per image, or it has no
            ReLU to leave out.
        WeightsError: the weights cannot be had, cannot be read or belong to another network.
    """
    blueprint = _cut_blueprint(config, "cpu")
    weights = load_weights(config, blueprint)
    blueprint, layer, dim = _pooled(config, blueprint)
    provenance = _provenance(config, blueprint, layer, weights)
    encoder = Encoder(config, blueprint, dim, provenance).to(device)
    return encoder.to(memory_format=torch.channels_last)


def described_by_network(config: ImageConfig) -> tuple[int, dict[str, object]]:
    """Return ``dim`` and ``provenance`` of an encoder; neither loads nor downloads weights.

    It is asked for what :func:`ivr.features.encoder_table.describe_encoder` does not know. The
    sha256 of ImageNet weights that are not downloaded yet is cut to its known first digits, or
    empty.

    Raises:
        EncoderError, WeightsError: as :func:`load_encoder`, but for the content of the weights.
    """
    # The digest of random weights needs the weights.
    blueprint = _cut_blueprint(config, "cpu" if config.weights == "random" else "meta")
    weights = identify_weights(config, blueprint)
    blueprint, layer, dim = _pooled(config, blueprint)
    return dim, _provenance(config, blueprint, layer, weights)


def _cut_blueprint(config: ImageConfig, device: str) -> Blueprint:
    """Return the network of ``config`` without its classifier, and without the ReLU if wanted."""
    blueprint = encoder_blueprint(config.encoder, config.size, device, config.pixels.count)
    blueprint = with_shapes_of_file(config, blueprint)
    cut(blueprint)
    if not config.relu:
        _leave_out_relu(blueprint, config.encoder)
    return blueprint


def _pooled(config: ImageConfig, blueprint: Blueprint) -> tuple[Blueprint, str, int]:
    """Return the blueprint whose output is the vector, the vector in words, and its length."""
    layer = layer_words(blueprint.classifier)
    if config.pooling != "vector":
        poolings = {"stages": lambda net: StageStatistics(net, blueprint.size)}
        make = {**poolings, **blueprint.poolings}.get(config.pooling)
        try:
            if make is None:
                raise ValueError("has no tokens: take --pooling vector or stages")
            net = make(blueprint.net)
        except ValueError as error:
            raise EncoderError(f"{config.encoder} {error}") from error
        blueprint, layer = replace(blueprint, net=net), str(net.words)
    return blueprint, layer, _dim(blueprint, config.encoder)


def _provenance(
    config: ImageConfig, blueprint: Blueprint, layer: str, weights: tuple[str, str]
) -> dict[str, object]:
    """Return everything that decides the vectors, and the name of the weights."""
    return encoder_provenance(
        config,
        layer=layer,
        normalisation=blueprint.normalisation,
        mean=blueprint.mean,
        std=blueprint.std,
        shape=blueprint.input,
        weights=weights,
    )


def _leave_out_relu(blueprint: Blueprint, name: str) -> None:
    """Replace the ReLU whose output enters the classifier by the identity."""
    net = blueprint.net
    if not blueprint.classifier:
        raise EncoderError(
            f"the network of {name} has no classifier, so no ReLU before one can be left out: "
            "take the vector after its ReLU"
        )
    owner, _, key = blueprint.classifier.rpartition(".")
    parts = list(net.get_submodule(owner).named_children())
    before = parts[: [child for child, _ in parts].index(key)]
    kept = [(child, part) for child, part in before if not isinstance(part, nn.Dropout)]
    in_order = isinstance(net.get_submodule(owner), nn.Sequential)
    if not (in_order and kept and isinstance(kept[-1][1], nn.ReLU)):
        raise EncoderError(
            f"the vector of {name} does not come straight from a ReLU, so there is none to leave "
            "out: take it as it is, or take vgg16, alexnet or cnn_f"
        )
    net.set_submodule(f"{owner}.{kept[-1][0]}".lstrip("."), nn.Identity())


def _dim(blueprint: Blueprint, name: str) -> int:
    """Return the length of the vectors of a network that is already cut, without running it."""
    try:
        vectors = meta_output(blueprint.net, blueprint.size, blueprint.input.bands)
    except (AssertionError, RuntimeError) as error:
        raise EncoderError(
            f"{name}: gives no such vector of pictures of {blueprint.size} pixels "
            f"({first_line(error, 150)}): take another --pooling, --image-size or encoder"
        ) from error
    if vectors.ndim != 2 or len(vectors) != 2:
        raise EncoderError(
            f"{name} gives {list(vectors.shape)} for two images, not one vector per image: "
            "take another encoder"
        )
    return int(vectors.shape[1])
