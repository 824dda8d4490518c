"""Findings of an audit that follow from all files together: a wrong root, cut voices, likeness."""

from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path, PurePosixPath

from ivr.features.mfcc import VoiceConfig

from .audited_files import MISSING, AuditedFile
from .findings import Finding, problem, warning
from .image_likeness import near_pairs
from .manifest import SPLITS

SHOWN = 3
"""Images that a line names as looking like another."""


def file_findings(files: Sequence[AuditedFile], root: Path, what: str) -> list[Finding]:
    """Return the findings on single files; if all are missing, one on the root.

    Args:
        files: all images or all voices.
        root: folder that their names are relative to.
        what: ``"image"`` or ``"voice"``.
    """
    found = [finding for file in files for finding in file.findings]
    missing = [one.items[0] for one in found if one.kind == MISSING]
    if len(missing) < len(files) or len(missing) < 2:
        return found
    text = (
        f"none of {len(files)} {what}s is below {root}, e.g. {missing[0]}; "
        f"{_where(root, missing[0], what)}"
    )
    return [problem(f"wrong {what} root", missing, text)]


def find_cut_voices(files: Sequence[AuditedFile], config: VoiceConfig) -> list[Finding]:
    """Return the voices of which ``ivr extract`` keeps the beginning only, as one warning."""
    limit = seconds_kept(config)
    cut = [file for file in files if file.seconds > limit]
    if not cut:
        return []
    longest = max(cut, key=lambda file: (file.seconds, file.item.name))
    frames = -(-round(longest.seconds * config.sample_rate) // config.hop) + 1
    text = (
        f"{len(cut)} of {len(files)} voices are longer than the {limit:g} s that extract keeps, "
        f"e.g. {longest.item.name} ({longest.seconds:.2f} s); "
        f"--voice-option frames={frames} keeps all"
    )
    return [warning("voice is cut", [file.item.name for file in cut], text)]


def seconds_kept(config: VoiceConfig) -> float:
    """Return the length of a voice of which nothing is cut, seconds."""
    return config.frames * config.hop / config.sample_rate


def find_near_images(files: Sequence[AuditedFile]) -> list[Finding]:
    """Return the images that look nearly like one on another side of the split, most copied first.

    Files with the same bytes are left out: they are named as copies.
    """
    by_side: dict[str, list[AuditedFile]] = defaultdict(list)
    for file in files:
        if file.likeness:
            by_side[file.item.split].append(file)
    found = []
    for side, other in combinations(reversed(SPLITS), 2):
        mine, theirs = by_side[side], by_side[other]
        like: dict[int, list[str]] = defaultdict(list)
        for place, near in near_pairs(_hashes(mine), _hashes(theirs)):
            if mine[place].digest != theirs[near].digest:
                like[place].append(theirs[near].item.name)
        for place, names in like.items():
            found.append(_near(mine[place], side, names, other))
    return sorted(found, key=lambda one: -len(one.items))


def _near(file: AuditedFile, side: str, names: Sequence[str], other: str) -> Finding:
    shown = " = ".join(f"{name} ({other})" for name in names[:SHOWN])
    more = f" = {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    text = f"{file.item.name} ({side}) = {shown}{more} (look the same)"
    return warning("nearly the same image on two sides", [file.item.name, *names], text)


def _hashes(files: Sequence[AuditedFile]) -> list[tuple[int, int]]:
    return [file.likeness for file in files if file.likeness]


def _where(root: Path, name: str, what: str) -> str:
    """Return in words where the file ``name`` is, as far as one can see from ``root``."""
    option = f"--{what}-root"
    folders = [*root.absolute().parents[:2]]
    if root.is_dir():
        folders += sorted(path for path in root.iterdir() if path.is_dir())
    for folder in folders:
        if (folder / name).is_file():
            return f"give {option} {folder}"
    parts = PurePosixPath(name).parts
    if len(parts) > 1 and (root / Path(*parts[1:])).is_file():
        return f"give {option} with the folder that holds {parts[0]}/"
    return f"give the folder that names are relative to with {option}"
