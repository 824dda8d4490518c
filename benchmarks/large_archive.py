"""What an archive of very many codes costs: size, start of a search, exact search, and the index.

    python benchmarks/large_archive.py --rows 30000000 --work DISK
    python benchmarks/large_archive.py --rows 2000000 --work DISK --index

Codes of 64 bits lie around random centres, 500 codes each, with up to half of the bits turned. Rows
have a short name and no columns. What grows with the rows is also printed for 1e8 rows, computed in
proportion. Where --index is given, the archive's index is built and its recall@10 is measured
against exact search. The archive is removed at the end.
"""

import argparse
import re
import shutil
import time
from datetime import UTC, datetime
from math import isqrt
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

import ivr
from ivr.pipeline.archive.archive import open_archive
from ivr.pipeline.archive.create import make_table
from ivr.pipeline.archive.index import LARGEST_COUNT
from ivr.pipeline.archive.settings import FORMAT, ArchiveSettings

BITS, AROUND, BLOCK, GOAL = 64, 500, 1_000_000, 100_000_000


def codes_around(rng: np.random.Generator, centres: np.ndarray, many: int) -> np.ndarray:
    """Return codes [many, 8] whose bits differ from a centre with a probability of 0 to 0.5."""
    chosen = centres[rng.integers(len(centres), size=many)]
    # The and of some random bytes has bits that are rarer the more there are of them.
    flips = rng.integers(0, 256, (many, BITS // 8), dtype=np.uint8)
    for level in range(1, 4):
        more = rng.integers(0, 256, (many, BITS // 8), dtype=np.uint8)
        flips = np.where(rng.integers(4, size=(many, 1)) >= level, flips & more, flips)
    return chosen ^ flips


def write(place: Path, rows: int, centres: np.ndarray) -> None:
    """Write the archive through its own writer, a million rows per version."""
    make_table(str(place), ArchiveSettings(FORMAT, BITS, "made up", "made up", ()))
    archive, rng = open_archive(place), np.random.default_rng(1)
    for start in range(0, rows, BLOCK):
        many = min(BLOCK, rows - start)
        codes = codes_around(rng, centres, many).reshape(-1)
        numbers = pa.array(np.arange(start, start + many))
        names = pc.cast(numbers, pa.string())
        constant = {"modality": "image", "root": "/a", "added": datetime.now(UTC)}
        archive.append(
            pa.table(
                {
                    "name": names,
                    "file": names,
                    "code": pa.FixedSizeListArray.from_arrays(pa.array(codes), BITS // 8),
                    "stamp": numbers.cast(pa.uint64()),
                    **{
                        name: pa.repeat(pa.scalar(value, archive.schema.field(name).type), many)
                        for name, value in constant.items()
                    },
                }
            )
        )


def peak() -> int:
    """Return the most memory that this process has held, bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmHWM:\s*(\d+)", status)[1])  # type: ignore[index]


def held() -> int:
    """Return the memory that this process holds, bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(r"VmRSS:\s*(\d+)", status)[1])  # type: ignore[index]


def main() -> None:
    """Write the archive, measure and remove it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for the archive")
    parser.add_argument("--rows", type=int, default=30_000_000)
    parser.add_argument("--queries", type=int, default=20)
    parser.add_argument("--index", action="store_true", help="build the index too")
    options = parser.parse_args()
    place, rows = options.work / f"large-{options.rows}", options.rows
    faiss.omp_set_num_threads(1)
    centres = np.random.default_rng(0).integers(0, 256, (rows // AROUND, 8), dtype=np.uint8)
    try:
        wall, cpu = time.monotonic(), time.process_time()
        write(place, rows, centres)
        report("written, s", time.monotonic() - wall, rows)
        report("written, s of processor time", time.process_time() - cpu, rows)
        size = sum(path.stat().st_size for path in place.rglob("*") if path.is_file())
        report("size, MB", size / 1e6, rows)
        measure(place, rows, centres, options)
    finally:
        shutil.rmtree(place, ignore_errors=True)


def measure(place: Path, rows: int, centres: np.ndarray, options: argparse.Namespace) -> None:
    """Print what a search costs."""
    queries = codes_around(np.random.default_rng(2), centres, options.queries)
    before = held()
    wall, cpu = time.monotonic(), time.process_time()
    archive = open_archive(place)
    archive.held("image")
    report("codes loaded, s", time.monotonic() - wall, rows)
    report("codes loaded, s of processor time", time.process_time() - cpu, rows)
    report("memory while loading, MB", (peak() - before) / 1e6, rows)
    report("memory afterwards, MB", (held() - before) / 1e6, rows)
    exact, walls, cpus = [], [], []
    for query in queries:
        wall, cpu = time.monotonic(), time.process_time()
        exact.append(archive.search(query, modality="image", count=10))
        walls.append(1e3 * (time.monotonic() - wall))
        cpus.append(1e3 * (time.process_time() - cpu))
    report("exact search, median ms", float(np.median(walls)), rows)
    report("exact search, median ms of processor time", float(np.median(cpus)), rows)
    if not options.index:
        return
    wall, cpu = time.monotonic(), time.process_time()
    print(ivr.archive_index(place))
    # Each code is compared with the centres of the lists, of which there are more for more rows.
    more = lists_of(GOAL) / lists_of(rows)
    report("index built, s", time.monotonic() - wall, rows, more)
    report("index built, s of processor time", time.process_time() - cpu, rows, more)
    archive, walls, recalls = open_archive(place), [], []
    for query, nearest in zip(queries, exact, strict=True):
        wall = time.monotonic()
        found = archive.search(query, modality="image", count=10, index=True)
        walls.append(1e3 * (time.monotonic() - wall))
        # Ties: a hit is right if it is no farther than the tenth of the exact search.
        recalls.append(np.mean(np.sort(found.distances)[:10] <= nearest.distances[-1]))
    print(f"index: median {np.median(walls):.1f} ms, recall@10 {100 * np.mean(recalls):.1f} %")


def lists_of(rows: int) -> int:
    """Return the number of lists of an index."""
    return min(LARGEST_COUNT, isqrt(rows))


def report(what: str, value: float, rows: int, more: float = 1.0) -> None:
    """Print a value, and ``more`` times what it is at 1e8 rows in proportion to them."""
    computed = value * more * GOAL / rows
    print(f"{what}: {value:.4g} at {rows:.3g} rows, computed {computed:.4g} at 1e8", flush=True)


if __name__ == "__main__":
    main()
