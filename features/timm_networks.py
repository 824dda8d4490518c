"""The image networks of timm (PyTorch Image Models) as encoders: ``timm:NAME``.

The network is made without weights and without its classifier; weights come from a local file
(:mod:`ivr.features.encoder_weights`), never from the network. Size, crop, interpolation and
normalisation are those of the configuration that timm keeps for the name.

Weights may stand in a file of timm, or in one of another project whose layout timm knows (DINOv2,
OpenAI CLIP, open_clip), or below a common start of all names, as the image tower of a larger model.
"""

import sys
from collections.abc import Mapping
from functools import cache, partial
from types import ModuleType
from typing import Any, cast

import torch
from torch import Tensor, nn

from ivr.errors import first_line
from ivr.names import unknown

from .blueprint import Blueprint, EncoderError
from .image_config import TIMM
from .timm_pooling import ClassToken, IntermediateStatistics, MeanToken

EXTRA = "pip install 'image-voice-hashing[timm]'"
# A network cannot be made by timm from these choices.
UNMADE = (AssertionError, AttributeError, KeyError, RuntimeError, TypeError, ValueError)


def require_timm_name(name: str) -> None:
    """Refuse the name of a network that timm does not have.

    Raises:
        UnknownNameError: there is no such network; the message has the nearest names.
        EncoderError: timm is not installed.
    """
    if name not in _timm_names():
        raise unknown("encoder", TIMM + name, [TIMM + one for one in _timm_names()])


def timm_blueprint(name: str, size: int = 0, device: str = "cpu", bands: int = 3) -> Blueprint:
    """Return the network ``name`` of timm, with its default input.

    Args:
        name: name of the network, with or without the tag of its weights.
        size: side of the input, pixels; 0 for the side that the network was trained with.
        device: where its random weights are drawn; ``meta`` draws none.
        bands: bands of the images. For another number than three the colours of ImageNet have no
            meaning, and values of 0..255 become 0..1.

    Raises:
        UnknownNameError: there is no such network.
        EncoderError: timm is not installed, or the network does not take such images.
    """
    require_timm_name(name)
    net = _network(name, size, device, bands)
    known = cast(Any, net).pretrained_cfg
    settings = _timm().data.resolve_model_data_config(net)
    _, height, width = settings["input_size"]
    if height != width or settings["crop_mode"] == "border":
        raise EncoderError(
            f"{TIMM}{name} takes pictures of {width} x {height} pixels, with borders unless they "
            "have this shape, and not squares: take another encoder"
        )
    rgb = bands == 3
    unused = tuple(f"{layer}." for layer in _names(known["classifier"]))
    return Blueprint(
        net=net,
        classifier="",
        size=size or height,
        mean=tuple(255 * value for value in settings["mean"]) if rgb else (0.0,) * bands,
        std=tuple(255 * value for value in settings["std"]) if rgb else (255.0,) * bands,
        normalisation=f"({'RGB' if rgb else 'bands'} 0..255 - mean) / std",
        any_size=not known["fixed_input_size"],
        interpolation=settings["interpolation"],
        crop=settings["crop_pct"],
        fit="squash" if settings["crop_mode"] == "squash" else "shorter",
        weights_help=(
            f"save timm.create_model({name!r}, pretrained=True).state_dict() where there is a "
            "network"
        ),
        unused=unused,
        adapt=partial(_fitting, net, f"{TIMM}{name}", unused),
        poolings={"stages": IntermediateStatistics, "token": ClassToken, "mean": MeanToken},
    )


def _timm() -> ModuleType:
    try:
        import timm
    except ImportError as error:
        raise EncoderError(f"encoders of timm need the package timm: {EXTRA}") from error
    module: ModuleType = timm
    return module


@cache
def _timm_names() -> frozenset[str]:
    timm = _timm()
    return frozenset((*timm.list_models(), *timm.list_pretrained()))


def _network(name: str, size: int, device: str, bands: int) -> nn.Module:
    """Return the network without weights and classifier, for images of ``size``."""
    timm = _timm()
    cfg = timm.get_pretrained_cfg(name)
    options: dict[str, Any] = {"num_classes": 0, "in_chans": bands}
    if size and cfg is not None and cfg.fixed_input_size and size != cfg.input_size[-1]:
        options["img_size"] = size
    for place in dict.fromkeys((device, "cpu")):
        try:
            with torch.device(place):
                net: nn.Module = timm.create_model(name, pretrained=False, **options)
            return net.eval()
        except UNMADE as error:
            failed = error  # some networks compute with values, which the device meta does not have
    chosen = ", ".join(f"{option}={value}" for option, value in options.items())
    raise EncoderError(
        f"{TIMM}{name}: timm cannot make it with {chosen} ({first_line(failed, 150)}); "
        "take another --image-size, --bands or encoder"
    ) from failed


def _names(layers: object) -> tuple[str, ...]:
    """Return one name, several or none as a tuple."""
    if isinstance(layers, str):
        return (layers,)
    return tuple(layers) if isinstance(layers, list | tuple) else ()


def _fitting(
    net: nn.Module, name: str, unused: tuple[str, ...], state: dict[str, Tensor]
) -> dict[str, Tensor]:
    """Return ``state`` in the layout of ``net``; as it is if none is known in which it fits.

    Raises:
        ValueError: it is of images with another number of bands.
    """
    wanted = net.state_dict()
    tower = _below_common_start(state, wanted)
    for layout in (state, tower, _converted(state, net), _converted(tower, net)):
        found = {key: one for key, one in layout.items() if not key.startswith(unused)}
        if _fits(found, wanted):
            return found
    _refuse_other_bands(tower, wanted, net, name)
    return state


def _below_common_start(
    state: dict[str, Tensor], wanted: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Return the part of ``state`` below the start that has all ``wanted`` names, without it.

    Names that another project put beside those of the network are left out.
    """
    first = next(iter(wanted))
    for start in [name.removesuffix(first) for name in state if name.endswith(f".{first}")]:
        part = {key: state[start + key] for key in wanted if start + key in state}
        if all(key in part or _is_counter(key) for key in wanted):
            return part
    return state


def _fits(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    names = {key for key in state if not _is_counter(key)}
    return names == {key for key in wanted if not _is_counter(key)} and all(
        state[key].shape == wanted[key].shape for key in names
    )


def _is_counter(name: str) -> bool:
    return name.endswith("num_batches_tracked")


def _converted(state: dict[str, Tensor], net: nn.Module) -> dict[str, Tensor]:
    """Return ``state`` as timm's own conversion for this family of networks gives it."""
    convert = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    if convert is None:
        return state
    try:
        converted: dict[str, Tensor] = convert(dict(state), net)
    except (*UNMADE, IndexError, NotImplementedError):
        return state  # what does not fit is said of the file as it is
    return converted


def _refuse_other_bands(
    state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], net: Any, name: str
) -> None:
    for layer in _names(net.pretrained_cfg["first_conv"]):
        key = f"{layer}.weight"
        if key not in state or key not in wanted:
            continue
        has, needs = state[key].shape, wanted[key].shape
        if len(has) == 4 and has[:1] == needs[:1] and has[1] != needs[1]:
            raise ValueError(
                f"its first layer, {key}, takes {has[1]} bands, and the images have {needs[1]}: "
                f"choose {has[1]} bands with --bands, or other weights of {name}"
            )
