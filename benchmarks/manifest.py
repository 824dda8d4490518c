"""How fast a manifest is read, as CSV and as Parquet, and how long a dry run of ivr extract takes.

    python benchmarks/manifest.py --rows 1000000

Each reading is a process of its own. The script prints its processor time and its wall time
(without imports) and the peak memory of the process (with them). ``--beside FOLDER`` reads the CSV
with the code of another checkout of this repository too, in turn, so that other work on the machine
slows both; its ratio is that of the processor times.

    git worktree add /tmp/earlier COMMIT
    python benchmarks/manifest.py --rows 1000000 --beside /tmp/earlier
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from timing import spread

PACKAGES = ("cli", "features", "hashing", "pipeline")
READ = """
import json, re, sys, time
from ivr.pipeline.datasets.manifest import read_manifest
wall, cpu = time.perf_counter(), time.process_time()
read_manifest(sys.argv[1])
wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
# The peak that getrusage reports begins with that of the parent.
memory = int(re.search(r"VmHWM:\\s*(\\d+)", open("/proc/self/status").read())[1]) / 1e6
print(json.dumps([cpu, wall, memory]))
"""


def write(folder: Path, rows: int) -> list[Path]:
    """Write a manifest of tiles with captions and places as CSV and as Parquet."""
    rng, numbers = np.random.default_rng(0), np.arange(rows)
    columns = {
        "image": [f"tiles/{number // 1000:04d}/tile_{number:07d}.tif" for number in numbers],
        "voice": [f"voices/{number:07d}.wav" for number in numbers],
        "label": [f"class {number % 45}" for number in numbers],
        "split": [("train", "val", "test")[number % 3] for number in numbers],
        "speaker": [f"speaker {number % 37}" for number in numbers],
        "caption": [f"a harbour with {number % 9} boats, seen from above" for number in numbers],
        "longitude": rng.uniform(-180, 180, rows).round(5),
        "latitude": rng.uniform(-90, 90, rows).round(5),
    }
    table = pa.table(columns)
    pyarrow.csv.write_csv(table, folder / "manifest.csv")
    pyarrow.parquet.write_table(table, folder / "manifest.parquet")
    return [folder / "manifest.csv", folder / "manifest.parquet"]


def linked(checkout: Path, folder: Path) -> Path:
    """Return a folder from which the package of another checkout is imported."""
    (folder / "ivr").mkdir()
    for source in (*checkout.glob("ivr/*.py"), *(checkout / name for name in PACKAGES)):
        (folder / "ivr" / source.name).symlink_to(source.absolute())
    return folder


def reading(path: Path, package: Path | None) -> list[float]:
    """Return processor seconds, wall seconds and gigabytes of reading ``path``."""
    environment = os.environ | ({"PYTHONPATH": str(package)} if package else {})
    call = [sys.executable, "-c", READ, str(path)]
    made = subprocess.run(
        call, cwd=path.parent, env=environment, check=True, capture_output=True, text=True
    )
    found: list[float] = json.loads(made.stdout)
    return found


def dry_run(path: Path, out: Path) -> list[float]:
    """Return processor seconds and wall seconds of the whole command."""
    before = os.times()
    command = [sys.executable, "-m", "ivr", "extract", str(path), "--out", str(out), "--dry-run"]
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system
    return [used - before.children_user - before.children_system, after.elapsed - before.elapsed]


def main() -> None:
    """Write the manifests, read them in turn and print times and memory."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--beside", type=Path, help="another checkout of this repository")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write(folder, options.rows)
        ways: dict[str, tuple[Path, Path | None]] = {
            path.suffix[1:]: (path, None) for path in files
        }
        if options.beside:
            (folder / "beside").mkdir()
            ways["csv, beside"] = (files[0], linked(options.beside, folder / "beside"))
        found: dict[str, list[list[float]]] = {way: [] for way in ways}
        for _ in range(options.rounds):
            for way, (path, package) in ways.items():
                found[way].append(reading(path, package))
        sizes = ", ".join(f"{path.suffix[1:]} {path.stat().st_size / 1e6:.0f} MB" for path in files)
        print(f"{options.rows} rows ({sizes})")
        for way, rounds in found.items():
            cpu, wall, memory = (np.array(column) for column in zip(*rounds, strict=True))
            print(f"{way}: CPU {spread(cpu)} s, wall {spread(wall)} s, peak {max(memory):.2f} GB")
            print(f"  times the CPU of csv: {spread(cpu / np.array(found['csv'])[:, 0])}")
        two = folder / "two.csv"
        two.write_text("".join(files[0].read_text().splitlines(keepends=True)[:3]))
        for path in (two, *files):
            rounds = [dry_run(path, folder / "out") for _ in range(options.rounds)]
            cpu, wall = (np.array(column) for column in zip(*rounds, strict=True))
            print(f"dry run of {path.name}: CPU {spread(cpu)} s, wall {spread(wall)} s")


if __name__ == "__main__":
    main()
