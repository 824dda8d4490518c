"""Time of ``ivr check`` on images, beside reading them as ``ivr extract`` does.

Draws JPEG images of 256 x 256, reads all of them in threads as the extraction does, and audits
them, in turns. Times are those of the processor, all threads together, so that other processes of
the machine count little; the ratio is that of the fastest rounds.

    python benchmarks/audit.py --images 10000
"""

import argparse
import logging
import tempfile
import time
from pathlib import Path

import numpy as np
from joblib import Parallel, cpu_count, delayed
from PIL import Image

from ivr.features.image_bands import PixelConfig
from ivr.pipeline.datasets.audit import check
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.extraction.worker_tasks import SkippedFile, decode

SIDE, SIZE = 256, 224
CLASSES, SPLITS = 20, ("train", "train", "train", "train", "test")


def draw(folder: Path, images: int) -> list[str]:
    """Write smooth pictures with texture and their manifest; return their names."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(images):
        cells = rng.integers(0, 256, (12, 12, 3), dtype=np.uint8)
        smooth = np.asarray(Image.fromarray(cells).resize((SIDE, SIDE)), np.int16)
        pixels = smooth + rng.integers(-20, 21, smooth.shape, dtype=np.int16)
        name = f"{number}.jpg"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(folder / name, quality=90)
        label, split = f"class {number % CLASSES}", SPLITS[number // CLASSES % len(SPLITS)]
        rows.append(ManifestRow(name, "", label, split))
    write_manifest(folder / "manifest.csv", Manifest(tuple(rows)))
    return [row.image for row in rows]


def read_all(names: list[str], folder: Path) -> float:
    """Return the processor seconds of reading with one thread per core."""
    start = time.process_time()
    tasks = (delayed(decode)(name, folder, SIZE, PixelConfig()) for name in names)
    read = Parallel(n_jobs=cpu_count(), prefer="threads", return_as="generator")(tasks)
    assert not any(isinstance(one, SkippedFile) for one in read)
    return time.process_time() - start


def audit(folder: Path) -> float:
    """Return the processor seconds of the audit, its report included."""
    start = time.process_time()
    repr(check(folder / "manifest.csv"))
    return time.process_time() - start


def main() -> None:
    """Draw, measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    logging.getLogger("ivr").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        names = draw(folder, chosen.images)
        read_all(names[:100], folder)
        rounds = [(read_all(names, folder), audit(folder)) for _ in range(chosen.rounds)]
    for number, (reading, auditing) in enumerate(rounds, 1):
        print(f"round {number}: reading {reading:.2f} s, check {auditing:.2f} s")
    reading, auditing = (min(times) for times in zip(*rounds, strict=True))
    print(f"{chosen.images} images: check takes {auditing / reading:.2f} of the time of reading")


if __name__ == "__main__":
    main()
