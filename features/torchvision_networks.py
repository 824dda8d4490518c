"""The classification networks of torchvision as encoders."""

import torch
import torchvision
from torch import Tensor, nn

from .blueprint import Blueprint, EncoderError


def torchvision_names() -> tuple[str, ...]:
    """Return the names of the classification networks of torchvision."""
    return tuple(torchvision.models.list_models(module=torchvision.models))


def torchvision_blueprint(name: str, device: str = "cpu") -> Blueprint:
    """Return the classification network ``name`` of torchvision, with its default input.

    Args:
        name: name of the network.
        device: where its random weights are drawn; ``meta`` draws none.

    Raises:
        EncoderError: the network has no layer that gives the class scores.
    """
    weights = torchvision.models.get_model_weights(name).DEFAULT
    transforms = weights.transforms()
    size = int(transforms.crop_size[0])
    # RegNets compute their widths with tensors, which have no values on the device meta.
    drawn = "cpu" if name.startswith("regnet_") else device
    with torch.device(drawn):
        net = torchvision.models.get_model(name, weights=None, **_options(name, size))
    return Blueprint(
        net=net,
        classifier=classifier_of(net, size, name),
        size=size,
        mean=_of_255(transforms.mean),
        std=_of_255(transforms.std),
        any_size=not name.startswith("vit_"),
        imagenet=str(weights),
        url=weights.url,
    )


def classifier_of(net: nn.Module, size: int, name: str) -> str:
    """Return the name of the layer of ``net`` that gives the class scores.

    It is the last layer with filters that a forward pass runs, and its channels are the scores.

    Args:
        net: a classification network.
        size: side of its input, pixels.
        name: name of the network, for the error message.

    Raises:
        EncoderError: there is no such layer.
    """
    ran: list[tuple[str, Tensor]] = []

    def note(layer: str):  # type: ignore[no-untyped-def]
        return lambda _, inputs, output: ran.append((layer, output))

    layers = [
        (layer, part)
        for layer, part in net.named_modules()
        if isinstance(part, nn.Linear | nn.Conv2d)
    ]
    hooks = [part.register_forward_hook(note(layer)) for layer, part in layers]
    scores = meta_output(net, size)
    for hook in hooks:
        hook.remove()
    if ran and scores.ndim == 2:
        layer, output = ran[-1]
        channels = output.shape[1] if output.ndim == 4 else output.shape[-1]
        if channels == scores.shape[1] and ran[-1][0] == layers[-1][0]:
            return layer
    raise EncoderError(
        f"{name}: its last layer does not give the class scores, so it is not known what to cut; "
        "take another encoder, or give a Blueprint of it with --encoder module:function"
    )


def meta_output(net: nn.Module, size: int, bands: int = 3) -> Tensor:
    """Return what ``net`` gives for two images, shapes only, in evaluation mode.

    Args:
        net: a network; stays as it is, but in evaluation mode.
        size: side of the input, pixels.
        bands: bands of the input.
    """
    tensors = (*net.named_parameters(), *net.named_buffers())
    shapes = {name: tensor.to("meta") for name, tensor in tensors}
    images = torch.empty(2, bands, size, size, device="meta")
    with torch.inference_mode():
        output: Tensor = torch.func.functional_call(net.eval(), shapes, images)
    return output


def _options(name: str, size: int) -> dict[str, object]:
    # The published weights of these two expect the input of the original networks.
    if name in ("googlenet", "inception_v3"):
        return {"aux_logits": False, "transform_input": True, "init_weights": False}
    return {"image_size": size} if name.startswith("vit_") else {}


def _of_255(values: tuple[float, float, float]) -> tuple[float, float, float]:
    red, green, blue = (255 * value for value in values)
    return red, green, blue
