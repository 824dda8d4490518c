"""Retrieval figures over several seeds: DIVH, its ablation, and what the paper leaves open.

    python benchmarks/retrieval_figures.py FEATURES RUNS --table ablation --seeds 5

FEATURES is a folder that `ivr extract` wrote; every run goes to RUNS/<row>-<seed> and is kept, so
that an interrupted call can be repeated. A seed decides the split, the drawn voices, the initial
weights and the batches. The model is chosen on a validation split cut from the training split; the
test split is used once a run. Prints a Markdown table of mean and standard deviation over seeds
(n - 1), in percent.
"""

import argparse
import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ivr.hashing.trainer import TrainConfig
from ivr.pipeline.evaluate import PROTOCOLS, evaluate_run
from ivr.pipeline.splits import SplitConfig
from ivr.pipeline.train import RunConfig, remove_run, resume_run, train_run


@dataclass(frozen=True)
class Row:
    """One row of a table.

    Attributes:
        name: in the table and, with dashes, of the run folders.
        options: of the method.
        training: what differs from the default training.
        bits: length of the codes.
        voices: one or all.
    """

    name: str
    options: tuple[str, ...] = ()
    training: TrainConfig = field(default_factory=TrainConfig)
    bits: int = 64
    voices: str = "one"


TABLES = {
    "bits": (
        Row("DIVH, 16 bits", bits=16),
        Row("DIVH, 32 bits", bits=32),
        Row("DIVH, 128 bits", bits=128),
        Row("DIVH, 64 bits, all voices", voices="all"),
    ),
    "ablation": (
        Row("DIVH, 64 bits"),
        Row("without L2", ("gamma=0",)),
        Row("without L3", ("eta=0",)),
        Row("without L2 and L3", ("gamma=0", "eta=0")),
    ),
    "choices": (
        Row("optimiser=adamw", training=TrainConfig(optimiser="adamw")),
        Row("theta_scale=1 (eq. 8)", ("theta_scale=1",)),
        Row("theta_scale=0.5 (eq. 7)", ("theta_scale=0.5",)),
        Row("activation=linear", ("activation=linear",)),
        Row("pair_weights=none (eq. 8)", ("pair_weights=none",)),
        Row("balance=separate", ("balance=separate",)),
        Row("balance_on=straight-through", ("balance_on=straight-through",)),
        Row("gamma=1, eta=1", ("gamma=1", "eta=1")),
        Row("no masks", ("network.time_masks=0", "network.frequency_masks=0")),
        Row("image_hidden=0", ("network.image_hidden=0",)),
        Row("output_norm=false", ("network.output_norm=false",)),
        Row("defaults"),
    ),
}


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--table", choices=TABLES, default="ablation")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    rows = TABLES[arguments.table]
    print("| | mAP I→V | mAP V→I | P@1 I→V | P@1 V→I | P@10 I→V | P@10 V→I | chance mAP |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        results = [
            _results(row, seed, arguments.features, arguments.runs)
            for seed in range(arguments.seeds)
        ]
        print(_line(row.name, results), flush=True)


def _results(row: Row, seed: int, features: Path, runs: Path) -> dict[str, dict[str, float]]:
    """Return the results of one run, from its folder where it was finished before."""
    name = "".join(c if c.isalnum() or c in "=." else "-" for c in row.name)
    run = runs / f"{name}-{seed}"
    if not (run / "results.json").exists():
        config = RunConfig(
            bits=row.bits,
            voices=row.voices,  # type: ignore[arg-type]
            seed=seed,
            split=SplitConfig(seed=seed),
            options=row.options,
            training=row.training,
        )
        if (run / "config.json").exists():
            resume_run(run, features=features)
        else:
            remove_run(run)
            train_run(features, run, config)
        evaluate_run(run, replace(PROTOCOLS["divh"], seed=seed))
    results: dict[str, dict[str, float]] = json.loads((run / "results.json").read_text())
    return results


def _line(name: str, results: list[dict[str, dict[str, float]]]) -> str:
    cells = [name]
    for figure in ("mAP", "P@1", "P@10"):
        for direction in ("image_to_voice", "voice_to_image"):
            values = np.array([result[direction][figure] for result in results])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{values.mean():.2f} ± {spread:.2f}")
    chance = np.mean([result["chance"]["image_to_voice"]["mAP"] for result in results])  # type: ignore[index]
    return f"| {' | '.join(cells)} | {chance:.2f} |"


if __name__ == "__main__":
    main()
