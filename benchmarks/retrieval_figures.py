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
from dataclasses import dataclass, field
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


TEST_HEAD = """\
| | mAP I→V | mAP V→I | P@1 I→V | P@1 V→I | P@10 I→V | P@10 V→I | chance mAP |
|---|---|---|---|---|---|---|---|"""
VALIDATION_HEAD = """\
| | validation mAP I→V | validation mAP V→I |
|---|---|---|"""
PLAIN = ("network.output_norm=false",)
LETTER = ("reduction=sum", "pair_weights=none", "theta_scale=1", "gamma=1", "eta=1", *PLAIN)
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
        Row("DIVH, 64 bits"),
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
        Row("output_norm=false", PLAIN),
        Row("eq. 8-11 to the letter, sums", LETTER, TrainConfig(learning_rate=1e-4)),
    ),
}


def main() -> None:
    """Train what is missing and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("features", type=Path)
    parser.add_argument("runs", type=Path)
    parser.add_argument("--table", choices=TABLES, default="ablation")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first-seed", type=int, default=0, help="to share seeds between calls")
    arguments = parser.parse_args()
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    on_validation = arguments.table == "choices"
    print(VALIDATION_HEAD if on_validation else TEST_HEAD)
    for row in TABLES[arguments.table]:
        runs = [_run(row, seed, arguments.features, arguments.runs) for seed in seeds]
        print(
            _validation_line(row.name, runs) if on_validation else _line(row.name, runs), flush=True
        )


def _run(row: Row, seed: int, features: Path, runs: Path) -> Path:
    """Return the folder of one trained run, which may have been finished before."""
    name = "".join(c if c.isalnum() or c in "=." else "-" for c in row.name)
    run = runs / f"{name}-{seed}"
    if not (run / "codes.h5").exists():
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
    return run


def _results(run: Path) -> dict[str, dict[str, float]]:
    """Return the figures of a run on its test split, looked at once."""
    if not (run / "results.json").exists():
        evaluate_run(run, PROTOCOLS["divh"])
    results: dict[str, dict[str, float]] = json.loads((run / "results.json").read_text())
    return results


def _validation_line(name: str, runs: list[Path]) -> str:
    """Return the row of the best validation figures; the test split is not looked at."""
    cells = [name]
    for direction in ("image_to_voice", "voice_to_image"):
        values = np.array([100 * _best_epoch(run)[direction] for run in runs])
        cells.append(f"{values.mean():.2f} ± {values.std(ddof=1) if len(values) > 1 else 0:.2f}")
    return f"| {' | '.join(cells)} |"


def _best_epoch(run: Path) -> dict[str, float]:
    epochs = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    looked = [epoch for epoch in epochs if epoch["image_to_voice"] is not None]
    best: dict[str, float] = max(looked, key=lambda e: e["image_to_voice"] + e["voice_to_image"])
    return best


def _line(name: str, runs: list[Path]) -> str:
    results, cells = [_results(run) for run in runs], [name]
    for figure in ("mAP", "P@1", "P@10"):
        for direction in ("image_to_voice", "voice_to_image"):
            values = np.array([result[direction][figure] for result in results])
            spread = values.std(ddof=1) if len(values) > 1 else 0.0
            cells.append(f"{values.mean():.2f} ± {spread:.2f}")
    chance = np.mean([result["chance"]["image_to_voice"]["mAP"] for result in results])  # type: ignore[index]
    return f"| {' | '.join(cells)} | {chance:.2f} |"


if __name__ == "__main__":
    main()
