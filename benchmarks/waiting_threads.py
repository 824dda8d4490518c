"""Training speed on a shared machine, with waiting threads that spin or sleep.

    python benchmarks/waiting_threads.py

Times steps of DIVH on random features in a separate process, in turn with OMP_WAIT_POLICY unset and
with PASSIVE (which `ivr` sets): on the machine as it is, and beside one other process that keeps
one core busy. Prints pairs per second and the ratio, median and range over the rounds.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

STEPS = """
import time, torch
from ivr.hashing.method import Batch
from ivr.hashing.methods.divh import DIVH, DIVHConfig
from ivr.hashing.networks import Sizes
torch.manual_seed(0)
model = DIVH(DIVHConfig(), Sizes(512, (3, 20, 1000), 64, 21))
optimiser = torch.optim.SGD(model.parameters(), 0.1)
batch = Batch(torch.randn(64, 512), torch.randn(64, 3, 20, 1000),
              torch.full((64,), 700), torch.randint(21, (64,)))
def step():
    loss = torch.stack(list(model.losses(batch).values())).sum()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
step()
began, steps = time.perf_counter(), 0
while time.perf_counter() - began < 4 or steps < 3:
    step()
    steps += 1
print(64 * steps / (time.perf_counter() - began))
"""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    print("| other processes | unset, pairs/s | PASSIVE, pairs/s | PASSIVE / unset (range) |")
    print("|---|---|---|---|")
    for others in (0, 1):
        with busy(others):
            pairs = [(rate(None), rate("PASSIVE")) for _ in range(rounds)]
        ratios = sorted(passive / unset for unset, passive in pairs)
        unset, passive = (statistics.median(column) for column in zip(*pairs, strict=True))
        print(
            f"| {others} | {unset:.0f} | {passive:.0f} | {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}) |",
            flush=True,
        )


def rate(policy: str | None) -> float:
    """Return training pairs per second in a new process with OMP_WAIT_POLICY as ``policy``."""
    environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if policy:
        environment["OMP_WAIT_POLICY"] = policy
    done = subprocess.run(
        [sys.executable, "-c", STEPS], env=environment, capture_output=True, text=True, check=True
    )
    return float(done.stdout)


@contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep ``count`` cores busy."""
    spin = "while True: pass"
    processes = [subprocess.Popen([sys.executable, "-c", spin]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
