"""Results as plain text tables."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ivr.hashing.metrics import METRICS
from ivr.pipeline.datasets.public_datasets import DATASETS
from ivr.pipeline.datasets.published_results import published_results
from ivr.pipeline.runtime.words import counted

from .protocol import Protocol
from .protocol_words import protocol_in_words

ARROWS = {"image_to_voice": "image -> voice", "voice_to_image": "voice -> image"}
WITHIN = {"image_to_image": "image -> image", "voice_to_voice": "voice -> voice"}
HEAD = 22
"""Characters of the first column."""
CELL = 8
"""Characters of a value, or more for a longer name of its metric."""
WIDTH = 100
"""Characters of a line of words."""


def results_table(results: Mapping[str, Any]) -> str:
    """Return metrics, chance and published rows of a known data set from ``results.json``."""
    lines = [*_run_lines(results), *_protocol_lines(results)]
    blocks = metric_blocks(results["protocol"])
    for head, names in blocks:
        lines += _metric_lines(results, head, names)
    shown = [name for _, names in blocks for name in names]
    lines += ["", *_bounds_lines(results, shown), *_within_lines(results)]
    if "matching" in results:
        matching = results["matching"]
        lines.append(
            f"matching accuracy: {_two_digits(matching['accuracy'])} of {matching['pairs']} pairs, "
            "half of which match"
        )
    return "\n".join(lines + _health_lines(results) + _published_lines(results))


def _run_head(results: Mapping[str, Any]) -> str:
    """Return method, bits and changed voices; the sentence of the protocol has the distance."""
    run = results["run"]
    mark = " (reconstruction)" if run["reconstruction"] else ""
    bits = results["protocol"].get("bits")
    length = f"the first {bits} of {run['bits']} bits" if bits else f"{run['bits']} bits"
    change = results.get("codes", {}).get("change")
    changed = f", voices changed by {change}" if change else ""
    return f"{run['method']}{mark}, {length}{changed}"


def _run_lines(results: Mapping[str, Any]) -> list[str]:
    if "run" not in results:
        return []
    reconstruction = results["run"]["reconstruction"]
    lines = [_run_head(results)]
    return [*lines, f"reconstruction: {reconstruction}"] if reconstruction else lines


def _protocol_lines(results: Mapping[str, Any]) -> list[str]:
    counts = ", ".join(
        f"{counted(results[direction]['queries'], 'query')} on "
        f"{results[direction]['gallery']} ({arrow})"
        for direction, arrow in ARROWS.items()
    )
    return [*textwrap.wrap(protocol_in_words(results["protocol"]), WIDTH), counts]


def metric_blocks(protocol: Mapping[str, Any]) -> list[tuple[str, list[str]]]:
    """Return the head of each block of the table, and the names of the metrics in it.

    Args:
        protocol: the protocol as results.json has it; the radius of earlier versions was 2.
    """
    blocks: dict[str, list[str]] = {}
    within = (protocol.get("radius", Protocol.radius),)
    for metric in METRICS.values():
        if metric.at_cutoff and not protocol.get("cutoff"):
            continue
        if metric.block and protocol["relevance"] in metric.relevance:
            names = metric.names(within if metric.reads == "radius" else None)
            blocks.setdefault(metric.block, []).extend(names)
    return list(blocks.items())


def _metric_lines(results: Mapping[str, Any], head: str, names: Iterable[str]) -> list[str]:
    """Return a block of both directions; a metric that the results lack has no column."""
    there = [name for name in names if all(name in results[direction] for direction in ARROWS)]
    if not there:
        return []
    widths = [max(CELL, len(name) + 2) for name in there]
    lines = ["", _line(head, there, widths)]
    for direction, arrow in ARROWS.items():
        for first, found in ((arrow, results), ("  chance", results["chance"])):
            cells = [_two_digits(found[direction][name]) for name in there]
            lines.append(_line(first, cells, widths))
    return lines


def _bounds_lines(results: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    """Return the bounds of those of ``names`` for which the results have any."""
    return [
        f"{name} over any order of the ties: "
        + ", ".join(
            f"{arrow} {results[way][f'{name}_lower']:.2f} to {results[way][f'{name}_upper']:.2f}"
            for way, arrow in ARROWS.items()
        )
        for name in names
        if all(f"{name}_lower" in results[direction] for direction in ARROWS)
    ]


def _within_lines(results: Mapping[str, Any]) -> list[str]:
    """Return mAP within each modality; nothing for the results of an older version."""
    found = [
        f"{arrow} {results[name]['mAP']:.2f} (chance {results[name]['chance']:.2f})"
        for name, arrow in WITHIN.items()
        if results.get(name)
    ]
    words = "mAP of the codes within a modality, the query left out"
    return [f"{words}: {', '.join(found)}"] if found else []


def _health_lines(results: Mapping[str, Any]) -> list[str]:
    health = results.get("health")
    if not health:
        return []
    both, errors = health["both"], health["quantisation_error"]
    distinct = ", ".join(
        f"{health[kind]['distinct_codes']} of {health[kind]['items']} {kind}"
        for kind in ("images", "voices")
    )
    lost = "unknown until ivr encode makes the codes again"
    if errors:
        lost = ", ".join(f"{kind} {_percent(error)}" for kind, error in errors.items())
    distances = [health[direction]["distances"] for direction in ARROWS]
    means = ", ".join(
        f"{_bits(found['relevant_mean'])} and {_bits(found['other_mean'])} ({arrow}, "
        f"overlap {_percent(found['overlap'])})"
        for found, arrow in zip(distances, ARROWS.values(), strict=True)
    )
    return [
        f"bits: {len(both['dead_bits'])} of {health['bits']} dead, "
        f"imbalance {_percent(both['imbalance'])}, |correlation| mean "
        f"{_percent(both['correlation_mean'])}, most {_percent(both['correlation_max'])}; "
        f"image and voice agree on {_percent(health['agreement'])}",
        f"distinct codes: {distinct}; quantisation error: {lost}",
        f"distances of relevant and other pairs: {means}, of {health['bits']} bits",
    ]


def _percent(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} %"


def _bits(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f}"


def _published_lines(results: Mapping[str, Any]) -> list[str]:
    dataset = results["dataset"]
    if dataset is None or results["protocol"]["relevance"] != "class":
        return []
    rows = published_results(dataset)
    sources = ", ".join(dict.fromkeys(row.citation for row in rows))
    lines = [
        "",
        f"Published on {DATASETS[dataset].title}: {sources}",
        "mAP image -> voice / voice -> image, on recorded voices, class relevance:",
    ]
    return lines + [
        f"{row.method:<{HEAD}}"
        + " / ".join(f"{row.metrics[f'{direction}.mAP']:.2f}" for direction in ARROWS)
        for row in rows
    ]


def _line(head: str, cells: Sequence[str], widths: Sequence[int]) -> str:
    texts = (f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
    return f"{head:<{HEAD}}" + "".join(texts)


def _two_digits(value: float) -> str:
    return f"{value:.2f}"
