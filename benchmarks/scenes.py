"""Places in mosaics of images whose right places are known, and the memory of a huge scene.

    ivr extract manifest.csv --out features --image-root IMAGES --encoder squeezenet1_0
    ivr train-hash features --out run --voices all
    python benchmarks/scenes.py run manifest.csv --image-root IMAGES --folder DISK

The mosaics consist of the test images of the manifest, each turned by a random quarter, in random
order. A place is right if at least a quarter of its window shows the class of the query. Average
precision is that of all pixels of the mosaic, ranked by the heat map; pixels at equal heat count
together. Chance is the share of windows, and of pixels, that are right.
"""

import argparse
import csv
import json
import os
import subprocess
import sys
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin
from rasterio.windows import Window

import ivr

TILE = 256
READ = """
import sys, resource
from pathlib import Path
from ivr.features.scene_windows import open_scene
with open_scene(Path(sys.argv[1])) as scene:
    grid = scene.grid(256, 0.5)
    every = scene.every_window(grid, range(len(grid.rows)))
    windows = sum(window is not None for window in every)
most = [resource.getrusage(who).ru_maxrss >> 10
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(windows, *most)
"""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("run", type=Path, help="run or packed model")
    parser.add_argument("manifest", type=Path, help="manifest with a split")
    parser.add_argument("--image-root", type=Path)
    parser.add_argument("--voice-root", type=Path)
    parser.add_argument("--folder", type=Path, required=True, help="for mosaics and codes")
    parser.add_argument("--sizes", type=int, nargs="*", default=[8192])
    parser.add_argument("--offsets", type=int, nargs="*", default=[0, TILE // 2])
    parser.add_argument("--overlaps", type=float, nargs="*", default=[0.0, 0.5])
    parser.add_argument("--voices", type=int, default=5, help="queries per class")
    parser.add_argument("--huge", type=int, default=0, help="side of the scene for the memory")
    parser.add_argument("--huge-overlap", type=float, default=0.0, help="of locating in that scene")
    parser.add_argument("--huge-tile", type=int, default=TILE, help="of locating in that scene")
    parser.add_argument("--no-read", action="store_true", help="only locate in that scene")
    args = parser.parse_args()
    args.folder.mkdir(parents=True, exist_ok=True)
    root = args.manifest.parent
    images, voices = test_items(args.manifest)
    for size in args.sizes:
        for offset in args.offsets:
            scene = args.folder / f"mosaic-{size}-{offset}.tif"
            labels = write_mosaic(scene, images, args.image_root or root, size, offset)
            for overlap in args.overlaps:
                measure(args, scene, labels, overlap, voices, args.voice_root or root)
    if args.huge:
        measure_memory(args)


def test_items(manifest: Path) -> tuple[dict[str, str], dict[str, list[str]]]:
    """Return the class of each test image, and the test voices of each class."""
    images: dict[str, str] = {}
    voices: dict[str, list[str]] = defaultdict(list)
    with manifest.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["split"] == "test":
                images[row["image"]] = row["label"]
                voices[row["label"]].append(row["voice"])
    return images, dict(sorted(voices.items()))


def write_mosaic(
    path: Path, images: dict[str, str], root: Path, size: int, offset: int
) -> np.ndarray:
    """Write a mosaic that begins ``offset`` pixels inside its first tiles.

    Returns:
        The class of each tile, [rows, columns], as places in the sorted list of classes.
    """
    rng = np.random.default_rng(0)
    side = -(-(size + offset) // TILE)
    names, classes = sorted(images), sorted(set(images.values()))
    rounds = -(-(side * side) // len(names))
    order = np.concatenate([rng.permutation(len(names)) for _ in range(rounds)])[: side * side]
    turns = rng.integers(4, size=side * side)
    labels = np.array([classes.index(images[names[one]]) for one in order]).reshape(side, side)
    profile = {"driver": "GTiff", "width": size, "height": size, "count": 3, "dtype": "uint8",
               "tiled": True, "compress": "deflate", "photometric": "RGB", "crs": "EPSG:32611",
               "transform": from_origin(400_000, 4_000_000, 0.3, 0.3)}  # fmt: skip
    if path.exists():
        return labels
    with rasterio.open(path, "w", **profile) as file:
        for row in range(side):
            tiles = []
            for column in range(side):
                at = row * side + column
                with Image.open(root / names[order[at]]) as image:
                    tile = np.asarray(image.convert("RGB").resize((TILE, TILE)))
                tiles.append(np.rot90(tile, turns[at]))
            band = np.concatenate(tiles, 1)[:, offset : offset + size].transpose(2, 0, 1)
            top = row * TILE - offset
            first, last = max(0, -top), min(TILE, size - top)
            window = Window(0, top + first, size, last - first)
            file.write(np.ascontiguousarray(band[:, first:last]), window=window)
    return labels


def measure(
    args: argparse.Namespace,
    scene: Path,
    labels: np.ndarray,
    overlap: float,
    voices: dict[str, list[str]],
    root: Path,
) -> None:
    """Print the precision of the first ten places and the average precision over pixels."""
    rng = np.random.default_rng(1)
    size, offset = (int(part) for part in scene.stem.split("-")[1:])
    queries = [
        (label, root / voice)
        for label, several in enumerate(voices.values())
        for voice in rng.permutation(several)[: args.voices]
    ]
    heat, began = scene.with_name(f"{scene.stem}-{overlap}-heat.tif"), time.monotonic()
    found = ivr.locate(
        scene, voice=[voice for _, voice in queries], model=args.run, overlap=overlap, out=heat,
        codes=scene.with_name(f"{scene.stem}-{overlap}-codes.h5"),
    )  # fmt: skip
    took = time.monotonic() - began
    pixels = class_of_pixels(labels, size, offset)
    with rasterio.open(heat) as file:
        maps = file.read()
    stride = found.stride
    starts = [*range(0, size - TILE, stride), size - TILE]
    ten, average, chance = defaultdict(list), defaultdict(list), {}
    edges = [*range(0, size, stride), size]
    for label in sorted({label for label, _ in queries}):
        shown = pixels == label
        if not shown.any():  # of a small mosaic
            continue
        # Pixels of the class above and to the left of each place.
        sums = np.pad(shown.cumsum(0, dtype=np.int32).cumsum(1), ((1, 0), (1, 0)))
        hits = np.diff(np.diff(sums[np.ix_(edges, edges)], axis=0), axis=1)
        ends = [start + TILE for start in starts]
        areas = (sums[np.ix_(ends, ends)] - sums[np.ix_(starts, ends)]
                 - sums[np.ix_(ends, starts)] + sums[np.ix_(starts, starts)])  # fmt: skip
        chance[label] = [(areas >= TILE * TILE / 4).mean(), shown.mean()]
        for (own, _), result, distances in zip(queries, found.queries, maps, strict=True):
            if own == label:
                right = [shown[one.y :, one.x :][:TILE, :TILE].mean() >= 0.25
                         for one in result.places]  # fmt: skip
                ten[label].append(np.mean(right))
                average[label].append(average_precision(distances, hits, np.diff(edges)))
    per_class = np.array([[np.mean(ten[one]), np.mean(average[one]), *chance[one]] for one in ten])
    mean, spread = 100 * per_class.mean(0), 100 * per_class.std(0)
    print(
        f"{size} x {size}, offset {offset}, overlap {overlap:g}, {found.windows} windows: "
        f"precision of ten {mean[0]:.1f} (deviation {spread[0]:.1f}, chance {mean[2]:.1f}), "
        f"average precision of pixels {mean[1]:.1f} ({spread[1]:.1f}, chance {mean[3]:.1f}); "
        f"{found.encoded} windows encoded in {took:.0f} s",
        flush=True,
    )


def class_of_pixels(labels: np.ndarray, size: int, offset: int) -> np.ndarray:
    """Return the class of every pixel of a mosaic, uint8 [size, size]."""
    rows = (np.arange(size) + offset) // TILE
    return labels.astype(np.uint8)[np.ix_(rows, rows)]


def average_precision(heat: np.ndarray, hits: np.ndarray, sides: np.ndarray) -> float:
    """Return the average precision of pixels ranked by the heat of their cell, the least first.

    Args:
        heat: [cells, cells].
        hits: number of right pixels of each cell.
        sides: lengths of the cells, pixels.
    """
    values, place = np.unique(heat, return_inverse=True)
    right = np.bincount(place.ravel(), hits.ravel(), len(values)).cumsum()
    every = np.bincount(place.ravel(), np.outer(sides, sides).ravel(), len(values)).cumsum()
    recall = right / right[-1]
    return float(np.sum(np.diff(recall, prepend=0) * right / every))


def measure_memory(args: argparse.Namespace) -> None:
    """Print the memory that reading a huge scene and locating in it to its end take."""
    voice = next(iter(test_items(args.manifest)[1].values()))[0]
    for layout in ("tiles", "strips"):
        scene = args.folder / f"huge-{args.huge}-{layout}.tif"
        if not scene.exists():
            write_huge(scene, args.huge, layout)
        if not args.no_read:
            began = time.monotonic()
            done = subprocess.run([sys.executable, "-c", READ, str(scene)], check=True, text=True,
                                  stdout=subprocess.PIPE)  # fmt: skip
            windows, own, child = map(int, done.stdout.split())
            print(
                f"{args.huge} x {args.huge}, {layout}, {scene.stat().st_size >> 20} MB: {windows} "
                f"windows of 256 with overlap 0.5 read in {time.monotonic() - began:.0f} s, "
                f"{own} MB and {child} MB in the reader",
                flush=True,
            )
    locate_to_the_end(args, scene, (args.voice_root or args.manifest.parent) / voice)


def locate_to_the_end(args: argparse.Namespace, scene: Path, voice: Path) -> None:
    """Print what ``ivr locate`` takes in a whole scene, with all the files that it writes."""
    files = {name: args.folder / f"huge{end}" for name, end in
             (("out", "-heat.tif"), ("overlay", ".png"), ("places", ".geojson"))}  # fmt: skip
    command = [sys.executable, "-m", "ivr", "locate", str(scene), "--model", str(args.run),
               "--voice", str(voice), "--overlap", str(args.huge_overlap), "--json",
               "--tile", str(args.huge_tile),
               *(part for name, path in files.items() for part in (f"--{name}", path))]  # fmt: skip
    began, most = time.monotonic(), defaultdict[str, int](int)
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        while process.poll() is None:
            time.sleep(0.2)
            with suppress(OSError, StopIteration):  # a process that ends meanwhile
                place = Path(f"/proc/{process.pid}/task/{process.pid}/children")
                for pid in (str(process.pid), *place.read_text().split()):
                    most[pid] = max(most[pid], most_memory(pid))
        assert process.stdout
        windows = json.loads(process.stdout.read())["windows"]
    took = time.monotonic() - began
    own = most.pop(str(process.pid))
    print(
        f"ivr locate, tile {args.huge_tile}, overlap {args.huge_overlap:g}, "
        f"status {process.returncode}: {windows} "
        f"windows in {took:.0f} s ({windows / took:.0f} per second), {own} MB, and "
        f"{max(most.values(), default=0)} MB in its reader",
        flush=True,
    )


def most_memory(pid: str) -> int:
    """Return the most memory that a process has held so far, MB."""
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if "VmHWM" in line) >> 10


def write_huge(path: Path, side: int, layout: str) -> None:
    """Write a scene of ``side`` x ``side`` pixels with colours that compress well."""
    more = {"tiled": True, "blockxsize": 512, "blockysize": 512} if layout == "tiles" else {}
    profile = {"driver": "GTiff", "width": side, "height": side, "count": 3, "dtype": "uint8",
               "compress": "deflate", "zlevel": 1, "photometric": "RGB", "bigtiff": "yes",
               "crs": "EPSG:32633", "transform": from_origin(4e5, 5e6, 1, 1), **more}  # fmt: skip
    columns = (np.arange(side) // 100 * 7).astype(np.uint8)
    with rasterio.open(path, "w", **profile) as file:
        for top in range(0, side, 512):
            rows = np.arange(top, min(top + 512, side))[:, None] // 100
            band = np.stack([(rows * k).astype(np.uint8) + columns for k in (3, 5, 11)])
            file.write(band, window=Window(0, top, side, len(rows)))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
