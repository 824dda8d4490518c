"""Processor time and memory of one ``ivr search``, with a run and with its packed model.

    python benchmarks/query_cost.py RUN MODEL --voice question.wav --image scene.jpg

Each search is a process of its own, as on the command line, and searches ``RUN/codes.h5``. Both
models are called in turn; the ratio is taken within one round. Seconds are those of all threads of
the process and its children, the memory is the largest resident set.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

from timing import spread


def main() -> None:
    """Search in turn and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="run folder with codes")
    parser.add_argument("model", type=Path, help="what ivr pack made of it")
    parser.add_argument("--voice", type=Path, required=True)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    codes = options.run / "codes.h5"
    for name in ("voice", "image"):
        if (query := getattr(options, name)) is None:
            continue
        rounds = [
            (
                cost("search", options.run, f"--{name}", query),
                cost("search", options.model, "--codes", codes, f"--{name}", query),
            )
            for _ in range(options.rounds)
        ]
        for place, what in enumerate(("run", "packed model")):
            seconds = statistics.median(one[place][0] for one in rounds)
            memory = statistics.median(one[place][1] for one in rounds)
            print(f"{name}, {what}: {seconds:.2f} s of processor time, {memory:.0f} MB")
        ratios = [run[0] / packed[0] for run, packed in rounds]
        print(f"{name}: the run takes {spread(ratios)} times the processor time")


def cost(*arguments: object) -> tuple[float, float]:
    """Return processor seconds and the peak of the memory in MB of one call of ``ivr``."""
    command = [sys.executable, "-m", "ivr", *map(str, arguments)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed")
    return usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


if __name__ == "__main__":
    main()
