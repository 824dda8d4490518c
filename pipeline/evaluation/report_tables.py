"""Results as a person reads them: plain text tables."""

from collections.abc import Mapping
from typing import Any

from ivr.pipeline.datasets.published import DATASETS

COLUMNS = ("mAP", "P@1", "P@5", "P@10", "R@1", "R@5", "R@10", "F@1", "F@5", "F@10")
HITS = ("H@1", "H@5", "H@10")
ARROWS = {"image_to_voice": "image -> voice", "voice_to_image": "voice -> image"}
DISTANCES = {
    "hamming": "Hamming distance of the codes",
    "euclidean": "Euclidean distance of the outputs",
    "matching": "matching probability",
}
WIDTH = 22


def results_table(results: Mapping[str, Any]) -> str:
    """Return the figures of ``results.json``, chance, and a known data set's published rows."""
    lines = [*_run_lines(results), _protocol_line(results), "", _line("percent", COLUMNS)]
    for direction, arrow in ARROWS.items():
        found, chance = results[direction], results["chance"][direction]
        lines.append(_line(arrow, [_figure(found[name]) for name in COLUMNS]))
        lines.append(_line("  chance", [_figure(chance[name]) for name in COLUMNS]))
    if results["protocol"]["relevance"] == "pair":
        lines += ["", *_hit_lines(results)]
    bounds = ", ".join(
        f"{arrow} {results[direction]['mAP_lower']:.2f} to {results[direction]['mAP_upper']:.2f}"
        for direction, arrow in ARROWS.items()
    )
    lines += ["", f"mAP over any order of the ties: {bounds}"]
    if "matching" in results:
        matching = results["matching"]
        lines.append(
            f"matching accuracy: {_figure(matching['accuracy'])} of {matching['pairs']} pairs, "
            "half of which match"
        )
    return "\n".join(lines + _health_lines(results) + _published_lines(results))


def run_title(results: Mapping[str, Any]) -> str:
    """Return what was evaluated in one line: method, bits, what was ranked by, changed voices."""
    run, distance = results["run"], results["protocol"]["distance"]
    mark = " (reconstruction)" if run["reconstruction"] else ""
    bits = results["protocol"].get("bits")
    length = f"the first {bits} of {run['bits']} bits" if bits else f"{run['bits']} bits"
    change = results.get("codes", {}).get("change")
    changed = f", voices changed by {change}" if change else ""
    return f"{run['method']}{mark}, {length}, ranked by {DISTANCES[distance]}{changed}"


def _run_lines(results: Mapping[str, Any]) -> list[str]:
    if "run" not in results:
        return []
    reconstruction = results["run"]["reconstruction"]
    lines = [run_title(results)]
    return [*lines, f"reconstruction: {reconstruction}"] if reconstruction else lines


def _protocol_line(results: Mapping[str, Any]) -> str:
    protocol = results["protocol"]
    ap = f"AP at {protocol['cutoff']}" if protocol["cutoff"] else "AP of the full list"
    counts = ", ".join(
        f"{results[direction]['queries']} queries on {results[direction]['gallery']} ({arrow})"
        for direction, arrow in ARROWS.items()
    )
    voices = {"one": "one voice", "all": "all voices"}[protocol["voices"]]
    if protocol.get("speaker"):
        voices += f" of {protocol['speaker']}"
    if protocol.get("without_speaker"):
        voices += f" of others than {protocol['without_speaker']}"
    classes = {
        "seen": "classes trained on, ",
        "unseen": "classes never seen, ",
        "unseen-among-all": "queries of classes never seen, ",
    }.get(protocol.get("classes", "all"), "")
    return (
        f"{protocol['relevance']} relevance, database {protocol['database']}, {classes}"
        f"{voices} an image, {ap}, ties by {protocol['ties']}\n{counts}"
    )


def _hit_lines(results: Mapping[str, Any]) -> list[str]:
    """Return how often any partner is among the first K: R@K of work on image-text retrieval."""
    lines = [_line("any partner found", HITS)]
    for direction, arrow in ARROWS.items():
        for head, found in ((arrow, results), ("  chance", results["chance"])):
            lines.append(_line(head, [_figure(found[direction][name]) for name in HITS]))
    return lines


def _health_lines(results: Mapping[str, Any]) -> list[str]:
    health = results.get("health")
    if not health:
        return []
    both, errors = health["both"], health["quantisation_error"]
    distinct = ", ".join(
        f"{health[kind]['distinct_codes']} of {health[kind]['items']} {kind}"
        for kind in ("images", "voices")
    )
    lost = "unknown until ivr encode makes the codes anew"
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
    lines = [
        "",
        f"Published on {dataset} (recorded voices, single runs; class relevance), "
        "image -> voice / voice -> image:",
    ]
    lines += [
        f"{figure.method:<{WIDTH}}{figure.image_to_voice:.2f} / {figure.voice_to_image:.2f}"
        for figure in DATASETS[dataset].published
    ]
    return lines


def _line(head: str, cells: Any) -> str:
    return f"{head:<{WIDTH}}" + "".join(f"{cell:>8}" for cell in cells)


def _figure(value: float) -> str:
    return f"{value:.2f}"
