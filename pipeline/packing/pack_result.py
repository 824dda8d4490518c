"""What packing did, or would do."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivr.pipeline.runtime.results import Result

from .code_check import CodeCheck


@dataclass(frozen=True)
class Int8Loss:
    """Mean average precision of one direction on the test split, percent.

    Attributes:
        direction: ``image_to_voice`` or ``voice_to_image``.
        float32: with the codes of the run on both sides.
        queries: with int8 queries that search codes of the run.
        both: with int8 codes on both sides.
    """

    direction: str
    float32: float
    queries: float
    both: float


@dataclass(frozen=True, repr=False)
class PackResult(Result):
    """A packed model.

    Attributes:
        folder: the folder that was written.
        method: name of the hashing method.
        bits: length of the codes.
        identity: identity of the model, see :class:`~ivr.pipeline.packing.code_maker.CodeMaker`.
        files: size in bytes of each file by name.
        checks: the packed networks beside those of the run.
        int8: what 8-bit weights cost, empty without them.
    """

    folder: Path
    method: str
    bits: int
    identity: str
    files: Mapping[str, int]
    checks: tuple[CodeCheck, ...]
    int8: tuple[Int8Loss, ...] = ()

    def __repr__(self) -> str:
        """Return the lines that ``ivr pack`` prints."""
        size = sum(self.files.values())
        lines = [
            f"{self.folder}: {self.method}, {self.bits} bits, {len(self.files)} files, "
            f"{size / 1e6:.1f} MB",
            *map(str, self.checks),
            *map(loss_line, self.int8),
        ]
        return "\n".join(lines)


@dataclass(frozen=True, repr=False)
class PackPlan(Result):
    """What :func:`ivr.pipeline.packing.pack.pack` would write.

    Attributes:
        folder: the folder.
        replaces: whether a packed model there is replaced.
        files: names of the files.
        checked_on: source of the inputs that the networks are checked with.
    """

    folder: Path
    replaces: bool
    files: tuple[str, ...]
    checked_on: str

    def __repr__(self) -> str:
        """Return the plan in two lines."""
        replaced = ", in the place of the model there" if self.replaces else ""
        return (
            f"{self.folder}: {', '.join(self.files)}{replaced}\n"
            f"codes would be compared with those of the run on: {self.checked_on}"
        )


def loss_line(loss: Int8Loss) -> str:
    """Return what int8 costs in one direction, in words."""
    name = loss.direction.replace("_", " ")
    return (
        f"int8, {name}: mAP {loss.float32:.2f} % with float32, {loss.queries:.2f} % with int8 "
        f"queries on codes of the run, {loss.both:.2f} % with int8 codes on both sides"
    )


def loss_rows(losses: tuple[Int8Loss, ...]) -> dict[str, Any]:
    """Return ``losses`` as ``model.json`` records them."""
    return {
        loss.direction: {"float32": loss.float32, "queries": loss.queries, "both": loss.both}
        for loss in losses
    }
