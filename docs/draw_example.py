"""Draw the picture of the front page: two spoken queries of the demo set and the images they find.

    make demo
    .venv/bin/python docs/draw_example.py demo docs/images/example.png

The first query is the median of the test split by right images among the first five. The second
finds the fewest right images, but at least one. The script also prints how many queries find how
many, for the caption of the picture.
"""

import argparse
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import pyplot
from matplotlib.axes import Axes
from PIL import Image

from ivr.features.voice_file import read_voice
from ivr.pipeline.pictures.style import LIGHT
from ivr.pipeline.runs.codes_file import CodedItems, read_codes

HITS = 5
RIGHT, WRONG = LIGHT.lines[:2]


def main() -> None:
    """Read the folders, choose the queries, draw."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("demo", type=Path, help="folder that `ivr demo` wrote")
    parser.add_argument("picture", type=Path, help="PNG file to write")
    arguments = parser.parse_args()
    codes = read_codes(arguments.demo / "run" / "codes.h5")
    voices, images = test_items(codes.voices), test_items(codes.images)
    order, distance = nearest(voices, images)
    relevant = np.equal.outer(np.array(voices.labels), np.array(images.labels))
    right = np.take_along_axis(relevant, order, axis=1)[:, :HITS].sum(axis=1)
    counts = np.bincount(right, minlength=HITS + 1)
    for number, queries in enumerate(counts.tolist()):
        print(f"{number} of the first {HITS} images right: {queries} of {len(right)} queries")
    worst_first = np.argsort(right, kind="stable")
    fewest = worst_first[min(int(counts[0]), len(right) - 1)]
    chosen = [int(worst_first[len(right) // 2]), int(fewest)]
    matplotlib.use("agg")
    figure, axes = pyplot.subplots(
        len(chosen), HITS + 1, figsize=(10, 4.4), width_ratios=[1.9] + [1] * HITS, dpi=100
    )
    for row, query in zip(axes, chosen, strict=True):
        draw_query(row[0], arguments.demo / "set" / voices.names[query], voices.captions[query])
        for axis, hit in zip(row[1:], order[query], strict=False):
            path = arguments.demo / "set" / images.names[hit]
            draw_hit(axis, path, images.labels[hit], distance[query, hit], relevant[query, hit])
    figure.tight_layout(w_pad=0.6, h_pad=1.4)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.picture)
    smaller = Image.open(arguments.picture).convert("RGB").quantize(192)
    smaller.save(arguments.picture, optimize=True)


def test_items(items: CodedItems) -> CodedItems:
    """Return the items of the test split."""
    return items.select([row for row, split in enumerate(items.splits) if split == "test"])


def nearest(voices: CodedItems, images: CodedItems) -> tuple[np.ndarray, np.ndarray]:
    """Return the rank order and the Hamming distances of images [v, i] for every voice."""
    different = np.bitwise_count(voices.codes[:, None] ^ images.codes[None])
    distance = different.sum(axis=2, dtype=np.int64)
    return np.argsort(distance, axis=1, kind="stable"), distance


def draw_query(axis: Axes, voice: Path, caption: str) -> None:
    """Draw the waveform of a query under the words that it speaks."""
    samples, rate = read_voice(voice)
    axis.plot(np.arange(len(samples)) / rate, samples, linewidth=0.4, color="#35506b")
    half = caption.rfind(" ", 0, len(caption) // 2 + 4)
    axis.set_title(f"“{caption[:half]}\n{caption[half + 1 :]}”", fontsize=9.5, style="italic")
    axis.set_xlabel("spoken query, seconds", fontsize=8)
    axis.set_yticks([])
    axis.tick_params(labelsize=7)
    for side in ("top", "right", "left"):
        axis.spines[side].set_visible(False)


def draw_hit(axis: Axes, image: Path, label: str, distance: int, relevant: bool) -> None:
    """Draw an image that was found; a wrong one has a cross and a dashed frame."""
    axis.imshow(Image.open(image))
    axis.set(xticks=[], yticks=[])
    colour, mark = (RIGHT, "\N{CHECK MARK}") if relevant else (WRONG, "\N{MULTIPLICATION X}")
    axis.set_title(f"{mark} {label.replace('_', ' ')}", fontsize=9.5, color=colour, weight="bold")
    axis.set_xlabel(f"{distance} of 64 bits differ", fontsize=8)
    for spine in axis.spines.values():
        spine.set(color=colour, linewidth=2.5, linestyle="-" if relevant else (0, (2, 1.5)))


if __name__ == "__main__":
    main()
