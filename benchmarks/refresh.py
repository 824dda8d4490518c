"""What a new version costs a service that holds the codes: time, and memory for a moment.

    python benchmarks/refresh.py --rows 1000000 --work /tmp/archive

For 1000 rows that are added, removed and replaced, each in a process of its own: the codes of the
latest version are made from those of the version before, and for comparison read anew.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from archive import made_archive, random_rows

from ivr.pipeline.archive.archive import open_archive
from ivr.pipeline.runtime.memory import hold_little_memory

CHANGES = ("add", "remove", "replace")
MANY = 1000


def peak() -> float:
    """Return the largest memory of this process since :func:`forget_peak`, MB."""
    (line,) = (one for one in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in one)
    return int(line.split()[1]) / 1000


def forget_peak() -> None:
    """Begin to look for the largest memory again."""
    Path("/proc/self/clear_refs").write_text("5")


def change(place: Path, how: str) -> None:
    """Make another version of the archive."""
    archive, rng = open_archive(place), np.random.default_rng(os.getpid())
    if how == "add":
        archive.append(random_rows(rng, archive.count() + 1_000_000, MANY))
    elif how == "remove":
        archive.remove(f"_rowid % {archive.count() // MANY} = 1")
    else:
        archive.write(random_rows(rng, 5000, MANY))


def measured(place: Path, how: str, *, anew: bool) -> str:
    """Return one line of the table."""
    hold_little_memory()
    archive = open_archive(place)
    archive.hold()
    change(place, how)
    forget_peak()
    before, start = peak(), time.perf_counter()
    if anew:
        later = open_archive(place)
        later.hold()
    else:
        found = archive.newer()
        assert found is not None
        later = found
    ready = time.perf_counter() - start
    del archive  # as the service does
    later.tidy()
    tidy = time.perf_counter() - start - ready
    way = "read anew" if anew else "followed"
    return (
        f"{how} {MANY} rows, {way}: {1000 * ready:.0f} ms, then {1000 * tidy:.0f} ms of tidying; "
        f"largest memory {peak() - before:+.0f} MB, {len(later.held('image'))} rows"
    )


def main() -> None:
    """Measure each change in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, default=Path("build/archive"))
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    place, copy = options.work / f"{options.rows}", options.work / "changed"
    if options.one:
        print(measured(copy, options.one[0], anew=options.one[1] == "anew"))
        return
    made_archive(place, options.rows)
    print(f"load {os.getloadavg()[0]:.1f}", flush=True)
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(place, copy)
    for how in CHANGES:
        for way in ("follow", "anew"):
            subprocess.run([sys.executable, *sys.argv, "--one", how, way], check=True)
    shutil.rmtree(copy)


if __name__ == "__main__":
    main()
