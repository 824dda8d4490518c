"""Makes an image-voice set whose classes are hard to tell apart, to see how methods optimise.

    python benchmarks/confusable_classes.py UCM VOICES --out confusable
    ivr extract confusable/pairs.csv --out features --image-root confusable --voice-root VOICES \
        --encoder squeezenet1_0 --weights squeezenet1_0-imagenet.pth --pooling vector
    ivr train-hash features --out run --method divh --epochs 20 --set network.voice_pool=16

The quarters of every image are images of their own, each with one of its first four voices. A
share of the quarters gets the fifth voice of an image of another class instead, always of the same
two classes per class. So neither end can be sure, and the classes of one group of three are like
each other. A fifth of the images, with all their quarters, is the test split.

``UCM`` holds the images of ``VOICES/pairs.csv``, which has the columns image, voice and label and
five voices per image, the file names of the voices ending in ``_1`` to ``_5``.
"""

import argparse
import csv
import random
from pathlib import Path

from PIL import Image

OTHER_VOICE = 0.24  # share of quarters with a voice of another class
TEST_IMAGES = 20  # of each class
GROUP = 3  # classes that take voices from each other

Row = dict[str, str]


def main() -> None:
    """Write the quarters and ``pairs.csv``."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", type=Path, help="folder of the images of pairs.csv")
    parser.add_argument("voices", type=Path, help="folder with pairs.csv")
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with (arguments.voices / "pairs.csv").open(newline="") as file:
        spoken = list(csv.DictReader(file))
    rows = quarters(spoken, arguments.images, arguments.out)
    changed = exchange(rows, spoken)
    with (arguments.out / "pairs.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} quarters, {changed} of them with a voice of another class")


def quarters(spoken: list[Row], images: Path, out: Path) -> list[Row]:
    """Write the four quarters of each image; return a row per quarter, with a voice of its own."""
    (out / "images").mkdir(parents=True, exist_ok=True)
    voices: dict[tuple[str, str], list[Row]] = {}
    for row in spoken:
        voices.setdefault((row["image"], row["label"]), []).append(row)
    of_label: dict[str, list[str]] = {}
    for image, label in voices:
        of_label.setdefault(label, []).append(image)
    rng = random.Random(0)
    test = {name for some in of_label.values() for name in rng.sample(sorted(some), TEST_IMAGES)}
    rows = []
    for (image, label), own in voices.items():
        picture = Image.open(images / image).convert("RGB")
        width, height = picture.width // 2, picture.height // 2
        for quarter in range(4):
            x, y = quarter % 2 * width, quarter // 2 * height
            name = f"images/{Path(image).stem}_q{quarter}.png"
            picture.crop((x, y, x + width, y + height)).save(out / name)
            split = "test" if image in test else "train"
            voice = own[quarter]["voice"]
            rows.append({"image": name, "voice": voice, "label": label, "split": split})
    return rows


def exchange(rows: list[Row], spoken: list[Row]) -> int:
    """Give a share of ``rows`` a voice of another class of their group; return how many."""
    rng = random.Random(1)
    labels = sorted({row["label"] for row in spoken})
    rng.shuffle(labels)
    groups = [labels[start : start + GROUP] for start in range(0, len(labels), GROUP)]
    others = {label: [o for o in group if o != label] for group in groups for label in group}
    free = {
        label: [r["voice"] for r in spoken if r["label"] == label and "_5." in r["voice"]]
        for label in sorted(labels)
    }
    for some in free.values():
        rng.shuffle(some)
    changed = 0
    for row in rows:
        if rng.random() < OTHER_VOICE:
            other = rng.choice(others[row["label"]])
            if free[other]:
                row["voice"] = free[other].pop()
                changed += 1
    return changed


if __name__ == "__main__":
    main()
