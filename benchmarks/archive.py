"""What an archive costs: adding to a million rows, searching, memory, and killed writers.

* add: 1000 images are encoded alone, then added to an archive of a million rows; printed is the
  processor time of the addition beside that of the encoding, and the bytes written over those of
  the new rows in memory;
* search: the ten nearest of random codes, by the archive in memory and by FAISS's IndexBinaryFlat
  in turn, on one thread; median and 99 %, memory per row, and the time of loading the codes;
* kills: a writer is killed at random moments; each time the last version is read, and every row
  that was reported is looked for.

    python benchmarks/archive.py --rows 1000000 --work /tmp/archive
    python benchmarks/archive.py --rows 10000000 --parts search --work /tmp/archive
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faiss
import numpy as np
import psutil
import pyarrow as pa
from PIL import Image
from timing import seconds, spread

from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import decode_image
from ivr.features.image_input import ImageInput
from ivr.pipeline.archive import add
from ivr.pipeline.archive.archive import Archive, open_archive
from ivr.pipeline.archive.create import make_table
from ivr.pipeline.archive.settings import FORMAT, ArchiveSettings

BITS, SIDE = 64, 224
COLUMNS = ("name", "label", "caption", "file", "root")
WRITER = Path(__file__).parents[1] / "tests" / "archive_writer.py"


class ProjectingMaker:
    """A model whose codes are signs of random projections of the picture; as fast as decoding."""

    bits, method, classes, identity = BITS, "projection", (), "projection"
    encodes_images = True
    input, pixels_config = ImageInput(SIDE), PixelConfig()

    def __init__(self) -> None:
        """Draw the projections."""
        self.matrix = np.random.default_rng(0).normal(0, 1, (3 * 32 * 32, BITS))

    def codes_of_pixels(self, pixels: np.ndarray) -> np.ndarray:
        """Return packed codes [n, 8] of uint8 [n, 3, 224, 224]."""
        small = pixels.reshape(len(pixels), 3, 32, 7, 32, 7).mean(axis=(3, 5)) - 128
        return np.packbits(small.reshape(len(pixels), -1) @ self.matrix > 0, axis=1)


def made_archive(place: Path, rows: int) -> Archive:
    """Return an archive of ``rows`` random codes, made unless it is there."""
    if not place.exists():
        make_table(str(place), ArchiveSettings(FORMAT, BITS, "projection", "projection", ()))
        archive = open_archive(place)
        rng = np.random.default_rng(1)
        for start in range(0, rows, 500_000):
            archive.append(random_rows(rng, start, min(500_000, rows - start)))
    return open_archive(place)


def random_rows(rng: np.random.Generator, start: int, many: int) -> pa.Table:
    """Return rows of random codes."""
    names = [f"tiles/{number:09d}.tif" for number in range(start, start + many)]
    codes = rng.integers(0, 256, many * BITS // 8, dtype=np.uint8)
    return pa.table(
        {
            "name": names,
            "modality": ["image"] * many,
            "code": pa.FixedSizeListArray.from_arrays(pa.array(codes), BITS // 8),
            "label": pa.array([f"class {number % 20}" for number in range(many)]),
            "file": names,
            "root": ["/archive"] * many,
            "stamp": pa.array(np.arange(start, start + many), pa.uint64()),
            "added": pa.array([datetime.now(UTC)] * many, pa.timestamp("us", "UTC")),
        }
    )


def measure_add(work: Path, rows: int, tiles: int) -> None:
    """Print what adding ``tiles`` images costs beside encoding them."""
    archive = made_archive(work / f"archive-{rows}", rows)
    folder = work / f"tiles-{time.time_ns()}"
    folder.mkdir()
    rng = np.random.default_rng(time.time_ns())
    for number in range(tiles):
        picture = rng.integers(0, 256, (256, 256, 3), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{number:04d}.jpg", quality=90)
    maker = ProjectingMaker()
    files = sorted(folder.iterdir())
    pixels = [decode_image(path.read_bytes(), ProjectingMaker.input) for path in files[:64]]
    maker.codes_of_pixels(np.stack(pixels))

    def encode() -> None:
        for start in range(0, tiles, 64):
            batch = [
                decode_image(path.read_bytes(), ProjectingMaker.input)
                for path in files[start : start + 64]
            ]
            maker.codes_of_pixels(np.stack(batch))

    alone = seconds(encode, time.process_time)
    add.open_code_maker = lambda *_: maker  # type: ignore[assignment]
    before = bytes_of(work / f"archive-{rows}")
    taken = seconds(
        lambda: add.archive_add(archive.place, folder, prefix=f"{folder.name}/", jobs=1),
        time.process_time,
    )
    written = bytes_of(work / f"archive-{rows}") - before
    archive.refresh()
    where = f"root = '{folder}'"
    new = sum(batch.nbytes for batch in archive.batches(where=where))
    print(
        f"add {tiles} images to {archive.count() - tiles} rows: {taken:.2f} s of processor time, "
        f"encoding alone {alone:.2f} s, {taken - alone:+.2f} s; {written} bytes written, rows of "
        f"{new} bytes in memory: {written / new:.2f}"
    )
    shutil.rmtree(folder)


def bytes_of(folder: Path) -> int:
    """Return the size of all files below ``folder``."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def measure_search(work: Path, rows: int, queries: int) -> None:
    """Print times of searching and of loading, and memory."""
    made_archive(work / f"archive-{rows}", rows)
    process = psutil.Process(os.getpid())
    before = process.memory_info().rss
    archive = open_archive(work / f"archive-{rows}")
    loading = seconds(lambda: archive.codes("image"))
    held = process.memory_info().rss - before
    codes, _ = archive.codes("image")
    print(
        f"{len(codes)} codes: loaded in {loading:.2f} s, {held / len(codes):.1f} bytes of memory "
        "per row"
    )
    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(BITS)
    index.add(codes)
    asked = np.random.default_rng(2).integers(0, 256, (queries, 1, BITS // 8), dtype=np.uint8)
    own, peer, whole = [], [], []
    for query in asked:
        own.append(seconds(lambda q=query: archive.search(q[0], modality="image", count=10)))
        peer.append(seconds(lambda q=query: index.search(q, 10)))
        nearest = archive.search(query[0], modality="image", count=10)
        assert nearest.distances.tolist() == index.search(query, 10)[0][0].tolist()
        whole.append(seconds(lambda n=nearest: archive.rows(n.row_ids, COLUMNS)))
    for name, times in (
        ("archive", own),
        ("IndexBinaryFlat", peer),
        ("rows of ten hits, five columns", whole),
    ):
        print(
            f"  {name}: median {1e3 * np.median(times):.2f} ms, 99 % "
            f"{1e3 * np.percentile(times, 99):.2f} ms"
        )
    print(f"  archive over IndexBinaryFlat: {spread(np.array(own) / np.array(peer))}")


def measure_kills(work: Path, kills: int) -> None:
    """Print what was lost when a writer was killed at random moments."""
    place = work / f"killed-{time.time_ns()}"
    make_table(str(place), ArchiveSettings(FORMAT, 16, "made up", "made up", ()))
    reported: dict[str, int] = {}
    unreadable = lost = halves = 0
    chance = random.Random(0)
    for number in range(kills):
        writer = subprocess.Popen(
            [sys.executable, str(WRITER), str(place), str(1000 * number)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(chance.uniform(0, 0.3))
        writer.kill()
        for line in writer.stdout.read().splitlines():
            word, _, block = line.partition(" ")
            if word in ("added", "replaced"):
                reported[block] = 0 if word == "added" else 1
        writer.wait()
        held = rows_by_block(place)
        unreadable += held is None
        for block, second in reported.items():
            found = (held or {}).get(block, [])
            lost += len(found) != 3 or any(code < second for code in found)
        halves += sum(len(found) != 3 for found in (held or {}).values())
    print(
        f"{kills} kills, {len(reported)} blocks reported: {unreadable} versions unreadable, {lost} "
        f"blocks lost, {halves} half blocks"
    )
    shutil.rmtree(place)


def rows_by_block(place: Path) -> dict[str, list[int]] | None:
    """Return the second byte of the codes by block, None if the archive cannot be read."""
    found: dict[str, list[int]] = {}
    try:
        rows: list[dict[str, Any]] = [
            row
            for batch in open_archive(place).batches(["name", "code"])
            for row in batch.to_pylist()
        ]
    except ValueError:
        return None
    for row in rows:
        found.setdefault(row["name"].partition("_")[0], []).append(row["code"][1])
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="folder for archives")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--tiles", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=200)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3, help="additions that are measured")
    parser.add_argument("--parts", default="add,search,kills")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    for part in chosen.parts.split(","):
        if part == "add":
            for _ in range(chosen.rounds):
                measure_add(chosen.work, chosen.rows, chosen.tiles)
        elif part == "search":
            measure_search(chosen.work, chosen.rows, chosen.queries)
        elif part == "kills":
            measure_kills(chosen.work, chosen.kills)
        else:
            parser.error(f"parts are add, search and kills, got {part}")
