"""What the pictures of an evaluation are about, in words, from results.json."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from ivr.pipeline.datasets.public_datasets import DATASETS
from ivr.pipeline.pictures.captions import Subject

from .protocol import DIRECTIONS
from .protocol_words import protocol_in_words

GENERIC = ("features", "feature", "output", "out", "run", "")
"""Names of folders that say nothing about the data in them."""
UNNAMED = "unnamed data"


def data_name(results: Mapping[str, Any]) -> str:
    """Return the name of the data set: its title if it is known, else that of the feature folder.

    A folder that is called ``features`` is named by the folder it is in.
    """
    known = results.get("dataset")
    if known:
        return DATASETS[known].title
    folder = Path(results.get("features", {}).get("folder", ""))
    named = next((p.name for p in (folder, *folder.parents) if p.name.lower() not in GENERIC), "")
    return named or UNNAMED


def method_name(results: Mapping[str, Any]) -> str:
    """Return the name of the method, with a mark if it is a reconstruction, and changed voices."""
    run = results.get("run", {})
    mark = " (reconstruction)" if run.get("reconstruction") else ""
    change = results.get("codes", {}).get("change")
    changed = f", voices changed by {change}" if change else ""
    return f"{run.get('method', 'codes')}{mark}{changed}"


def subject_of(results: Mapping[str, Any]) -> Subject:
    """Return the subject of the pictures of ``results``."""
    protocol, run = results["protocol"], results.get("run", {})
    bits = set()
    if protocol["distance"] in (None, "hamming"):
        bits = {protocol.get("bits") or results["health"]["bits"]}
    return subject_of_methods(
        results, (method_name(results),), bits, (run["seed"],) if "seed" in run else ()
    )


def subject_of_methods(
    results: Mapping[str, Any],
    methods: Sequence[str],
    bits: Collection[int],
    seeds: Collection[int],
) -> Subject:
    """Return the subject of a picture of several evaluations on the same data.

    Args:
        results: those of one of them.
        methods: names of the methods.
        bits: their lengths; only one length is told.
        seeds: seeds of the trainings.
    """
    return Subject(
        data=data_name(results),
        methods=tuple(methods),
        bits=next(iter(bits)) if len(bits) == 1 else None,
        seeds=tuple(sorted(seeds)),
        queries={name: results[name]["n"] for name in DIRECTIONS},
        gallery={name: results[name]["gallery"] for name in DIRECTIONS},
        protocol=protocol_in_words(results["protocol"]),
        chance={name: results["chance"][name]["mAP"] for name in DIRECTIONS},
    )
