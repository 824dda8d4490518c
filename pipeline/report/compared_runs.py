"""What was run, one column per row of a comparison: source, options, epochs and checksums."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ivr.hashing.method import TrainedMethod
from ivr.hashing.methods import method_entry
from ivr.hashing.trainer import resolved
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.comparison.training_lengths import training_length
from ivr.pipeline.runs.run_folder import HISTORY, RESULTS, read_config, read_epochs, read_json
from ivr.pipeline.runtime.progress import clock

from .compared import Compared, evaluation_folder, run_folders
from .evaluated_run import EvaluatedRun
from .run_facts import Fact, facts, options

OF_A_METHOD = ("Method", "Source", "Reconstruction", "Seed", "Training")
"""Facts of a run that stand in a column of its own method."""


@dataclass(frozen=True)
class RunColumn:
    """What was run for one row, by name of the fact."""

    name: str
    facts: Mapping[str, str]


def run_columns(found: Compared) -> list[RunColumn]:
    """Return what was run for each row, in the order of the table."""
    return [RunColumn(name, _facts(found, name)) for name in found.names]


def shared_facts(run: EvaluatedRun) -> list[Fact]:
    """Return the facts of a run that do not depend on its method and seed."""
    return [one for one in facts(run) if one.name not in OF_A_METHOD]


def changed_options(config: Mapping[str, Any]) -> list[Fact]:
    """Return the options of a run that are not the defaults of this version."""
    entry = method_entry(config["method"])
    training = (
        asdict(resolved(TrainConfig(), entry.build))
        if issubclass(entry.build, TrainedMethod)
        else {}
    )
    usual = options({"options": asdict(entry.config()), "training": training})
    return [one for one in options(config) if one not in usual]


def _facts(found: Compared, name: str) -> dict[str, str]:
    runs = run_folders(found, name)
    config = read_config(next(iter(runs.values())))
    other = [f"{one.name}={one.value}" for one in changed_options(config)]
    return {
        "Method": str(config["method"]),
        "Bits": str(config["bits"]),
        "Source": str(config.get("source") or "not known"),
        "Reconstruction": str(config.get("reconstruction") or "none"),
        "Options other than the defaults": "; ".join(other) or "none",
        **_epochs(name, str(config["method"]), runs),
        **{
            f"sha256 of the model, seed {seed}": _digest(found, place)
            for seed, place in found.names[name]["evaluations"].items()
        },
    }


def _epochs(name: str, method: str, runs: Mapping[str, Path]) -> dict[str, str]:
    length = training_length(name, method, tuple(runs.values()))
    if length is None:
        return {"Epochs": "none: computed in one step, or no history"}
    best = zip(runs, length.best, strict=False)
    return {
        "Epochs": f"{length.epochs} (default {length.usual})",
        "Best epoch": "; ".join(
            f"seed {seed}: {epoch or 'not known'}{' (the last)' if epoch == length.epochs else ''}"
            for seed, epoch in best
        ),
        "Training time": _seconds(tuple(runs.values())),
    }


def _seconds(runs: Sequence[Path]) -> str:
    there = [run for run in runs if (run / HISTORY).is_file()]
    times = [clock(sum(epoch["seconds"] for epoch in read_epochs(run))) for run in there]
    return f"{', '.join(times)} (minutes:seconds)"


def _digest(found: Compared, place: str) -> str:
    told = read_json(evaluation_folder(found.folder, place) / RESULTS).get("codes", {})
    return str(told.get("model_sha256", "not known"))
