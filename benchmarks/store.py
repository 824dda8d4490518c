"""How fast feature files are written and read, beside plain files.

    python benchmarks/store.py --folder /data --megabytes 1000

Three ratios, each side in turn, round after round; a ratio is taken within a round. The file is
removed afterwards. To see random batches from a file larger than memory, give ``--megabytes`` above
the memory of the machine, or run it in a container or control group of less.

* write: time of :func:`write_table` (sha256, flush, rename) over that of writing the same bytes to
  a plain file and flushing it to the disk;
* assemble: the same for putting shards together, which reads them too, over copying the bytes;
* preload: bytes per second of reading the column into memory over those of a copy in memory;
* batches: rows per second of random batches from the mapped table over those from ``numpy.memmap``.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from timing import seconds, spread

from ivr.features.atomic_files import flush
from ivr.features.shards import Shards, assemble
from ivr.features.store import Table, open_table, text_column, write_table

KIND, DIM = "benchmark", 4096


def write_raw(path: Path, parts: list[np.ndarray]) -> None:
    """Write ``parts`` one after the other and flush them to the disk."""
    with path.open("wb") as file:
        for part in parts:
            file.write(part.data)
    flush(path)


def writing(folder: Path, vectors: np.ndarray, rounds: int) -> list[float]:
    """Return the ratios of writing a table to writing a plain file."""
    names = text_column(f"{row:08d}.tif" for row in range(len(vectors)))
    columns = {"names": names, "vectors": vectors}
    ratios = []
    for _ in range(rounds):
        plain = seconds(lambda: write_raw(folder / "plain", [names, vectors]))
        (folder / "plain").unlink()
        (folder / "table.h5").unlink(missing_ok=True)
        table = seconds(lambda: write_table(folder / "table.h5", KIND, {}, columns))
        ratios.append(table / plain)
    return ratios


def assembling(folder: Path, vectors: np.ndarray, rounds: int) -> list[float]:
    """Return the ratios of assembling shards to copying their bytes into one flushed file."""
    shards = Shards(folder / "shards", KIND)
    names = [f"{row:08d}.tif" for row in range(len(vectors))]
    for start in range(0, len(vectors), 512):
        rows = slice(start, start + 512)
        shards.write({}, {"names": text_column(names[rows]), "vectors": vectors[rows]})
    tables = shards.tables()

    def copy() -> None:
        with (folder / "plain").open("wb") as target:
            for table in tables:
                with table.path.open("rb") as source:
                    shutil.copyfileobj(source, target, 1 << 22)
        flush(folder / "plain")

    ratios = []
    for _ in range(rounds):
        plain = seconds(copy)
        (folder / "plain").unlink()
        table = seconds(lambda: assemble(folder / "whole.h5", KIND, {}, tables, names))
        ratios.append(table / plain)
        (folder / "whole.h5").unlink()
    shards.clear()
    return ratios


def preloading(table: Table, rounds: int) -> list[float]:
    """Return the ratios of the speed of reading the vectors to that of copying them."""
    loaded = table.read("vectors")
    return [seconds(loaded.copy) / seconds(lambda: table.read("vectors")) for _ in range(rounds)]


def batching(table: Table, rounds: int, batches: int) -> list[float]:
    """Return the ratios of the speed of random batches to that from a plain memory map."""
    rng = np.random.default_rng(0)
    column = table.columns["vectors"]
    plain = np.memmap(table.path, column.dtype, "r", column.offset, column.shape)
    mapped = table.map("vectors")
    ratios = []
    for _ in range(rounds):
        times = np.zeros(2)
        for _ in range(batches):  # in turn: what one has read is in the page cache for neither
            for side, source in enumerate((plain, mapped)):
                rows = rng.integers(0, len(source), 128)
                times[side] += seconds(lambda source=source, rows=rows: source[rows])  # type: ignore[misc]
        ratios.append(float(times[0] / times[1]))
    return ratios


def main() -> None:
    """Write, assemble, preload and read batches, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--folder", type=Path, help="on the disk to measure  [default: the system's]"
    )
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batches", type=int, default=200, help="random batches of 128 a round")
    parser.add_argument("--only", choices=("batches",), help="of a file larger than memory")
    options = parser.parse_args()
    rows = max(1, options.megabytes * 1_000_000 // (4 * DIM))
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e6
    print(f"{rows} rows of {DIM} float32, {options.megabytes} MB; memory {memory:.0f} MB")
    try:
        if options.only:
            write_random(folder / "table.h5", rows)
        else:
            vectors = np.random.default_rng(0).standard_normal((rows, DIM), dtype=np.float32)
            written = spread(writing(folder, vectors, options.rounds))
            print(f"write: {written} of the time of a plain file")
            assembled = spread(assembling(folder, vectors, options.rounds))
            print(f"assemble: {assembled} of the time of copying the shards")
        table = open_table(folder / "table.h5", KIND)
        if not options.only:
            print(f"preload: {spread(preloading(table, options.rounds))} of the speed of a copy")
        mapped = spread(batching(table, options.rounds, options.batches))
        print(f"batches: {mapped} of the speed of a plain memory map")
    finally:
        shutil.rmtree(folder)


def write_random(path: Path, rows: int) -> None:
    """Write a table of ``rows`` random vectors without holding them."""
    from ivr.features.store import write_table_blocks

    rng = np.random.default_rng(0)
    names = text_column(f"{row:08d}.tif" for row in range(rows))
    sizes = [min(1024, rows - start) for start in range(0, rows, 1024)]
    blocks = (rng.standard_normal((size, DIM), dtype=np.float32) for size in sizes)
    shapes = {"names": (names.dtype, names.shape), "vectors": (np.dtype("f4"), (rows, DIM))}
    write_table_blocks(path, KIND, {}, shapes, {"names": iter((names,)), "vectors": blocks})


if __name__ == "__main__":
    main()
