"""Where the results of an evaluation go: the run folder, or a folder of their own in it."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path

from ivr.pipeline.runs.run_folder import CODES, EVALUATIONS

from .protocol import Protocol

LONGEST = 100
"""Characters of a name; of a longer one the first are kept, and a digest."""


def evaluation_folder(
    run: Path, protocol: Protocol, presets: Mapping[str, Protocol], codes: Path | None
) -> Path:
    """Return the folder of the results of ``protocol``.

    The results of the first preset and the codes of the run itself go to ``run``. All others have
    a folder in ``RUN/evaluations``, which is named after what differs: ``pair``, ``divh-bits=16``.

    Args:
        run: a run folder.
        protocol: every choice, completed.
        presets: the protocols that have a name, completed for the run; the first is the default.
        codes: a codes file that is evaluated in place of ``RUN/codes.h5``.
    """
    named = [(_difference(protocol, preset), name) for name, preset in presets.items()]
    choices, name = min(named, key=lambda found: len(found[0]))  # the first of equally near ones
    other = codes is not None and codes.resolve() != (run / CODES).resolve()
    if codes is not None and other:
        place = hashlib.sha256(str(codes.resolve()).encode()).hexdigest()[:8]
        choices = [*choices, f"codes={codes.stem}-{place}"]
    if not choices and name == next(iter(presets)):
        return run
    return run / EVALUATIONS / _plain("-".join([name, *choices]))


def _difference(protocol: Protocol, preset: Protocol) -> list[str]:
    """Return the choices of ``protocol`` that ``preset`` makes otherwise, as text."""
    found = []
    for field in fields(protocol):
        value = getattr(protocol, field.name)
        if value != getattr(preset, field.name):
            found.append(field.name if value is True else f"{field.name}={value}")
    return found


def _plain(text: str) -> str:
    """Return ``text`` as the name of a folder; a digest stands for what was changed."""
    plain = re.sub(r"[^\w.=+-]", "_", text, flags=re.ASCII)[:LONGEST]
    if plain == text:
        return plain
    return f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
