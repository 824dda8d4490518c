"""Time of ``ivr --help`` beside that of importing numpy, h5py and click, in turn.

python benchmarks/startup.py
"""

import subprocess
import sys
import time

import numpy as np

COMMANDS = {
    "ivr --help": [sys.executable, "-m", "ivr", "--help"],
    "import numpy, h5py, click": [sys.executable, "-c", "import numpy, h5py, click"],
}
ROUNDS = 15


def seconds(command: list[str]) -> float:
    """Return how long ``command`` takes, in seconds."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def main() -> None:
    """Start both in turn and print the ratio."""
    times = np.array([[seconds(command) for command in COMMANDS.values()] for _ in range(ROUNDS)])
    ratio = times[:, 0] / times[:, 1]
    for column, name in enumerate(COMMANDS):
        print(f"{name}: {1000 * np.median(times[:, column]):.0f} ms")
    print(f"ratio: {np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})")


if __name__ == "__main__":
    main()
