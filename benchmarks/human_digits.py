"""Image-voice retrieval on spoken digits of people who were never heard, each left out in turn.

The recordings are named ``DIGIT_SPEAKER_TAKE.wav``, as those of the Free Spoken Digit Dataset; the
images are the 1797 handwritten digits of scikit-learn, enlarged. Each speaker has a quarter of the
images of each digit. The voices and images of one speaker are the test split; of the others, a
tenth of the images with their voices chooses the epoch. Prints one row per voice encoder: mAP from
image to voice and from voice to image, in percent, the mean over speakers and the worst of them,
and chance.

    OMP_NUM_THREADS=1 python benchmarks/human_digits.py RECORDINGS --out WORK
        --weights squeezenet1_0-imagenet.pth --voice-encoder mfcc
        --voice-encoder transformers:whisper-tiny.en

Layer and pooling of an encoder are chosen without the speakers that are reported: ``--validate``
leaves two out, tests on one of them, and never uses the other.
"""

import argparse
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

import ivr
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest

SIDE = 128
DIRECTIONS = ("image_to_voice", "voice_to_image")


def main() -> None:
    """Extract with each voice encoder, train without each speaker, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder of the work; is continued")
    parser.add_argument("--weights", required=True, help="weights of squeezenet1_0")
    parser.add_argument("--voice-encoder", action="append", required=True)
    parser.add_argument("--layer", type=int, default=0)
    parser.add_argument("--pooling", type=int, default=0)
    parser.add_argument("--method", default="nested_codebook")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--validate", action="store_true")
    arguments = parser.parse_args()
    manifest = made_manifest(arguments.recordings, arguments.out)
    for encoder in arguments.voice_encoder:
        settings = {"voice_layer": arguments.layer, "voice_pooling": arguments.pooling}
        name = Path(encoder.rpartition(":")[2]).name
        if encoder != "mfcc":
            name += f"-layer{arguments.layer}-pooling{arguments.pooling}"
        features = arguments.out / "features" / name
        made = sorted((arguments.out / "features").glob("*/images.h5"))
        if made and not (features / "images.h5").exists():
            features.mkdir(parents=True, exist_ok=True)
            shutil.copy(made[0], features)
        ivr.extract(
            manifest,
            features,
            encoder="squeezenet1_0",
            weights=arguments.weights,
            voice_root=arguments.recordings,
            voice_encoder=encoder,
            **(settings if encoder != "mfcc" else {}),
        )
        report(name, features, arguments)


def made_manifest(recordings: Path, out: Path) -> Path:
    """Write images and manifest below ``out``; return the manifest."""
    digits = load_digits()
    images: dict[str, list[str]] = {}
    for number, (values, digit) in enumerate(zip(digits.images, digits.target, strict=True)):
        name = f"images/{digit}_{number:04}.png"
        images.setdefault(str(digit), []).append(name)
        if not (out / name).exists():
            (out / "images").mkdir(parents=True, exist_ok=True)
            grey = Image.fromarray((255 - values / 16 * 255).astype(np.uint8))
            grey.resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(out / name)
    voices = sorted(path.name for path in recordings.glob("*_*_*.wav"))
    speakers = sorted({name.split("_")[1] for name in voices})
    rng, rows = np.random.default_rng(0), []
    for digit, names in sorted(images.items()):
        parts = np.array_split(rng.permutation(names), len(speakers))
        for speaker, own in zip(speakers, parts, strict=True):
            spoken = [name for name in voices if name.startswith(f"{digit}_{speaker}_")]
            rows += [
                ManifestRow(str(own[place % len(own)]), name, digit, speaker=speaker)
                for place, name in enumerate(spoken)
            ]
    path = out / "digits.csv"
    write_manifest(path, Manifest(tuple(rows)))
    return path


def report(name: str, features: Path, arguments: argparse.Namespace) -> None:
    """Print the row of one voice encoder, and a line per speaker."""
    speakers = sorted({row.speaker for row in read_manifest(features / "manifest.csv").rows})
    found, chances = [], []
    for tested, unused in folds(speakers, validate=arguments.validate):
        for seed in range(arguments.seeds):
            fold = f"{tested}-{seed}" + (f"-without-{unused}" if unused else "")
            place = features.with_name(f"{name}-{arguments.method}-{fold}")
            if not (place / "run" / "results.json").exists():
                measured(features, place, tested, unused, seed, arguments.method)
            results = json.loads((place / "run" / "results.json").read_text(encoding="utf-8"))
            found.append([results[direction]["mAP"] for direction in DIRECTIONS])
            chances.append([results["chance"][direction]["mAP"] for direction in DIRECTIONS])
            print(f"  {fold}: {found[-1][0]:.1f} / {found[-1][1]:.1f}", flush=True)
    mean, worst, chance = np.mean(found, 0), np.min(found, 0), np.mean(chances, 0)
    pairs = (f"{one:.1f} / {other:.1f}" for one, other in (mean, worst, chance))
    print(f"| {name} | {' | '.join(pairs)} |", flush=True)


def folds(speakers: Sequence[str], *, validate: bool) -> Iterator[tuple[str, str]]:
    """Yield the speaker that is tested, and the one that is not used at all, ``""`` for none."""
    for tested in speakers:
        if not validate:
            yield tested, ""
        for unused in speakers if validate else ():
            if unused != tested:
                yield tested, unused


def measured(features: Path, place: Path, tested: str, unused: str, seed: int, method: str) -> None:
    """Train and evaluate with the speaker ``tested`` as the test split, without ``unused``."""
    shutil.rmtree(place, ignore_errors=True)
    folder = place / "features"
    folder.mkdir(parents=True)
    for name in ("images.h5", "voices.h5"):
        (folder / name).symlink_to((features / name).resolve())
    rows = [row for row in read_manifest(features / "manifest.csv").rows if row.speaker != unused]
    images = sorted({row.image for row in rows if row.speaker != tested})
    chosen = set(np.random.default_rng(seed).permutation(images)[: len(images) // 10])
    split = [
        "test" if row.speaker == tested else "val" if row.image in chosen else "train"
        for row in rows
    ]
    parts = (replace(row, split=part) for row, part in zip(rows, split, strict=True))
    write_manifest(folder / "manifest.csv", Manifest(tuple(parts)))
    ivr.train(folder, place / "run", method=method, voices="all", seed=seed, device="cpu")
    ivr.evaluate(place / "run")


if __name__ == "__main__":
    main()
