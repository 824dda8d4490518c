"""All image encoders by name: those of this package, of torchvision and of other packages."""

from collections.abc import Callable
from dataclasses import replace

import torch

from ivr.extensions import extension_names, is_reference, load_extension
from ivr.names import unknown

from .blueprint import Blueprint, EncoderError
from .cnn_f import cnn_f
from .image_config import SIFT, TIMM
from .sift import require_opencv, sift
from .timm_networks import require_timm_name, timm_blueprint
from .torchvision_networks import torchvision_blueprint, torchvision_names

GROUP = "ivr.encoders"
SEED = 0  # of random weights


def encoder_names() -> tuple[str, ...]:
    """Return the names of all encoders: of this package, of torchvision, of other packages."""
    return tuple(dict.fromkeys((*ENCODERS, *torchvision_names(), *extension_names(GROUP))))


def require_encoder(name: str) -> None:
    """Refuse the name of an encoder that does not exist; imports no package but timm and OpenCV.

    Raises:
        UnknownNameError: there is no such encoder; the message has the nearest names.
        EncoderError: it needs timm or OpenCV, which is not installed.
    """
    if name == SIFT:
        require_opencv()
    elif name.startswith(TIMM):
        require_timm_name(name.removeprefix(TIMM))
    elif name not in encoder_names() and not is_reference(name):
        raise unknown("encoder", name, encoder_names(), "or timm:NAME, or module:function")


def encoder_blueprint(name: str, size: int = 0, device: str = "cpu", bands: int = 3) -> Blueprint:
    """Return the blueprint of the encoder ``name``; its random weights are always the same.

    Args:
        name: name of an encoder, or ``module:function``.
        size: side of the input, pixels; 0 for the side that the network was trained with.
        device: ``meta`` for a network of torchvision or timm without weights: drawing them takes a
            second.
        bands: bands of the images.

    Raises:
        UnknownNameError: there is no such encoder.
        EncoderError: it does not take images of this size, or of so many bands.
        ExtensionError: the encoder of another package cannot be loaded.
    """
    require_encoder(name)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        blueprint = _made(name, size, device, bands)
    if blueprint.classifier and blueprint.classifier not in dict(blueprint.net.named_modules()):
        raise EncoderError(f"{name}: its network has no layer {blueprint.classifier!r} to cut")
    if bands != blueprint.input.bands:
        raise EncoderError(
            f"{name} takes {blueprint.input.bands} bands, not {bands}: choose as many with --bands"
        )
    if not size or size == blueprint.size:
        return blueprint
    if not blueprint.any_size:
        raise EncoderError(f"{name} takes pictures of {blueprint.size} pixels only, not {size}")
    return replace(blueprint, size=size)


def _made(name: str, size: int, device: str, bands: int) -> Blueprint:
    if name.startswith(TIMM):
        return timm_blueprint(name.removeprefix(TIMM), size, device, bands)
    if name in ENCODERS:
        return ENCODERS[name]()
    if name in torchvision_names():
        return torchvision_blueprint(name, device)
    made = load_extension(GROUP, name)()
    if not isinstance(made, Blueprint):
        raise EncoderError(
            f"{name}: returns {type(made).__name__}, not an ivr.features.blueprint.Blueprint"
        )
    return made


ENCODERS: dict[str, Callable[[], Blueprint]] = {"cnn_f": cnn_f, SIFT: sift}
