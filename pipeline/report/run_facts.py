"""Facts of a run for the tables of a page: data, split, protocol, method, versions, digests."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ivr.pipeline.datasets.manifest import SPLITS, ManifestError
from ivr.pipeline.datasets.split_config import SplitConfig
from ivr.pipeline.datasets.splits import draw_splits
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.evaluation.picture_subject import data_name
from ivr.pipeline.evaluation.protocol_words import protocol_in_words
from ivr.pipeline.runs.run_folder import RESULTS
from ivr.pipeline.runtime.config_options import from_json
from ivr.pipeline.runtime.progress import clock
from ivr.pipeline.runtime.words import counted

from .caveats import items_of
from .evaluated_run import EvaluatedRun
from .query_cards import DIRECTION_WORDS


@dataclass(frozen=True)
class Fact:
    """One line of a table of facts."""

    name: str
    value: str


def facts(found: EvaluatedRun) -> list[Fact]:
    """Return what was measured, on what and how, in words."""
    config, results = found.config, found.results
    run = results.get("run", {})
    told = [
        Fact("Data set", data_name(results)),
        Fact("Images", _counts(found.codes.images.splits, "image")),
        Fact("Voices", _counts(found.codes.voices.splits, "voice")),
        Fact("Split", _split(found)),
        Fact("Protocol", protocol_in_words(results["protocol"])),
        Fact("Queries and gallery", _queries(results)),
        Fact("Method", f"{config['method']}, {bits_in_words(found)}"),
        Fact("Source", str(run.get("source") or config.get("source") or "not known")),
        Fact("Reconstruction", str(run.get("reconstruction") or "none")),
        Fact("Image vectors", _encoder(config)),
        Fact("Voices in training", _voices(config)),
        Fact("Seed", str(config["seed"])),
        Fact("Training", _training(found)),
        Fact("Evaluated", date_of(found.folder)),
        Fact("Machine", _machine(config)),
    ]
    change = results.get("codes", {}).get("change")
    if change:
        told.append(Fact("Voices changed by", str(change)))
    return told


def digests(found: EvaluatedRun) -> list[Fact]:
    """Return versions and checksums: what identifies the run."""
    config, told = found.config, found.results.get("codes", {})
    features = config["features"]
    return [
        *(Fact(f"Version of {name}", version) for name, version in config["versions"].items()),
        Fact("Run", str(found.run)),
        Fact("sha256 of the model", str(told.get("model_sha256", "not known"))),
        *(Fact(f"sha256 of {name}.h5", digest) for name, digest in features["sha256"].items()),
        Fact("sha256 of the manifest", str(features.get("manifest_sha256", "not known"))),
    ]


def options(config: Mapping[str, Any]) -> list[Fact]:
    """Return every option of method and training, by its name with dots."""
    flat = dict(_flat(config["options"], "")) | dict(_flat(config["training"], "training."))
    return [Fact(name, value) for name, value in flat.items()]


def bits_in_words(found: EvaluatedRun) -> str:
    """Return the length of the codes that were ranked."""
    bits, used = found.config["bits"], found.results["protocol"].get("bits")
    return f"the first {used} of {bits} bits" if used else f"{bits} bits"


def date_of(folder: Path) -> str:
    """Return when the evaluation in ``folder`` was written, in UTC."""
    written = datetime.fromtimestamp((folder / RESULTS).stat().st_mtime, UTC)
    return f"{written:%Y-%m-%d %H:%M} UTC"


def _counts(splits: Iterable[str], noun: str) -> str:
    counts = Counter(splits)
    parts = [f"{split} {counts[split]}" for split in SPLITS if counts[split]]
    without = [f"without a split {counts['']}"] if counts[""] and parts else []
    total = counted(counts.total(), noun)
    return f"{total}: {', '.join([*parts, *without])}" if parts else f"{total}, not split"


def _split(found: EvaluatedRun) -> str:
    """Return whether the split was drawn: a draw can be made again, and gives the same."""
    split = from_json(SplitConfig, found.config["split"])
    drawn = f"test {split.test:.0%}, validation {split.val:.0%} of the rest, seed {split.seed}"
    images = [replace(item, split="") for item in items_of(found.codes.images)]
    try:
        again = draw_splits(images, split)
    except ManifestError:
        again = {}
    if images and all(
        again.get(item.group) == own
        for item, own in zip(images, found.codes.images.splits, strict=True)
    ):
        return f"drawn by ivr: {drawn}"
    return f"not a draw of single images: given by the manifest, or drawn in its groups ({drawn})"


def _queries(results: Mapping[str, Any]) -> str:
    return "; ".join(
        f"{DIRECTION_WORDS[direction]}: {counted(results[direction]['queries'], 'query')} on "
        f"{results[direction]['gallery']}"
        for direction in reversed(DIRECTIONS)
    )


def _encoder(config: Mapping[str, Any]) -> str:
    images = config["features"]["images"]
    if not images:
        return "arrays of the caller"
    parts = [
        str(images.get("encoder", "unknown encoder")),
        f"weights {config['features']['weights']}",
    ]
    parts += [f"{name} {images[name]}" for name in ("pooling", "size", "layer") if name in images]
    return ", ".join(parts)


def _voices(config: Mapping[str, Any]) -> str:
    words = {"one": "one voice per image", "all": "all voices"}.get(config["voices"], "")
    left_out = config.get("left_out", {})
    without = [
        *(f"class {name}" for name in left_out.get("classes", ())),
        *(f"speaker {name}" for name in left_out.get("speakers", ())),
        *(["sentences of the test split"] if left_out.get("captions_of_test") else []),
    ]
    streams = " + ".join(config["streams"])
    return f"{words}, {streams}" + (f"; left out: {', '.join(without)}" if without else "")


def _training(found: EvaluatedRun) -> str:
    if not found.epochs:
        return "no history"
    seconds = clock(sum(epoch["seconds"] for epoch in found.epochs))
    return f"{counted(len(found.epochs), 'epoch')} in {seconds} (minutes:seconds)"


def _machine(config: Mapping[str, Any]) -> str:
    machine = config.get("machine")
    if not isinstance(machine, Mapping):
        return "not recorded by the version that trained the run"
    return ", ".join(map(str, machine.values()))


def _flat(values: Mapping[str, Any], prefix: str) -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
            yield f"{prefix}{name}", text
