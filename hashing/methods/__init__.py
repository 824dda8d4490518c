"""The methods of the field, one file each; all train from the same features.

A new method is one new file with a config and a :class:`~ivr.hashing.methods.base.TrainedMethod`
or :class:`~ivr.hashing.methods.base.ClosedFormMethod`, and its name in :data:`METHODS`
(docs/explanation/methods.md shows one).
"""

from dataclasses import dataclass
from typing import Any

from .base import Batch, ClosedFormMethod, Method, TrainedMethod
from .cca_itq import CCAITQ, CCAITQConfig
from .cca_sign import CanonicalConfig, CCASign
from .cmir_net import CMIRNet, CMIRNetConfig
from .csq import CSQ, CSQConfig
from .dcmh import DCMH, DCMHConfig
from .divh import DIVH, DIVHConfig
from .dqh import DQH, DQHConfig
from .dtbh import DTBH, DTBHConfig
from .dvan import DVAN, DVANConfig
from .greedy_hash import GreedyHash, GreedyHashConfig
from .hashnet import HashNet, HashNetConfig
from .lsh import LSH
from .nested_codebook import NestedCodebook, NestedCodebookConfig
from .ortho_hash import OrthoHash, OrthoHashConfig
from .scrl import SCRL, SCRLConfig

__all__ = [
    "METHODS",
    "Batch",
    "ClosedFormMethod",
    "Method",
    "MethodEntry",
    "TrainedMethod",
    "method_entry",
    "method_text",
]


@dataclass(frozen=True)
class MethodEntry:
    """How to configure and build a method.

    Attributes:
        config: the method's frozen dataclass of choices.
        build: the method; makes the model from its config and the sizes of the data.
    """

    config: type[Any]
    build: type[Method]


METHODS = {
    "divh": MethodEntry(DIVHConfig, DIVH),
    "nested_codebook": MethodEntry(NestedCodebookConfig, NestedCodebook),
    "dvan": MethodEntry(DVANConfig, DVAN),
    "cmir_net": MethodEntry(CMIRNetConfig, CMIRNet),
    "scrl": MethodEntry(SCRLConfig, SCRL),
    "dtbh": MethodEntry(DTBHConfig, DTBH),
    "dqh": MethodEntry(DQHConfig, DQH),
    "dcmh": MethodEntry(DCMHConfig, DCMH),
    "hashnet": MethodEntry(HashNetConfig, HashNet),
    "csq": MethodEntry(CSQConfig, CSQ),
    "ortho_hash": MethodEntry(OrthoHashConfig, OrthoHash),
    "greedy_hash": MethodEntry(GreedyHashConfig, GreedyHash),
    "cca_sign": MethodEntry(CanonicalConfig, CCASign),
    "cca_itq": MethodEntry(CCAITQConfig, CCAITQ),
    "lsh": MethodEntry(CanonicalConfig, LSH),
}


def method_entry(name: str) -> MethodEntry:
    """Return the method ``name``.

    Raises:
        ValueError: no such method.
    """
    if name not in METHODS:
        raise ValueError(f"no method {name!r}; there are {', '.join(METHODS)}")
    return METHODS[name]


def method_text(name: str) -> str:
    """Return what the method ``name`` is, in some lines.

    Raises:
        ValueError: no such method.
    """
    method = method_entry(name).build
    lines = [f"{name}: {method.source}", f"ranks by {method.distance} distance"]
    if issubclass(method, TrainedMethod):
        lines.append(
            f"trained for {method.epochs} epochs with {method.optimiser}, where --epochs and "
            "--optimiser say nothing else"
        )
    else:
        lines.append("computed in one step, not trained")
    if method.reconstruction:
        lines.append(f"reconstruction, {method.reconstruction}")
    return "\n".join(f"# {line}" for line in lines)
