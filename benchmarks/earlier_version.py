"""How much longer reading takes than in an earlier version: JPEG images, WAV voices, their MFCC.

    python benchmarks/earlier_version.py EARLIER/.venv/bin/python IMAGES

EARLIER is a checkout of the earlier version that is installed into its own environment, IMAGES a
folder of JPEG files. Two processes, one per version, take turns on the same files, so that other
work on the machine slows both alike. Processor time of all their threads is taken, on one thread
for torch; the ratio is that of neighbouring turns.

* JPEG: the file to uint8 [3, 224, 224], as ``ivr extract`` reads it;
* WAV: a recording of 4 s to samples at 16 kHz, and then to its MFCC;
* row: the same with name, stamp and all that a reader of ``ivr extract`` does for one voice.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
from timing import spread
from voice_features import seeded_clip

READER = """
import os, sys, time
from contextlib import suppress
from pathlib import Path
import torch
from ivr.features.image_file import read_image
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import voice_vectors
from ivr.features.voice_file import read_voice
from ivr.pipeline.extraction.worker_tasks import listen

try:
    from ivr.features.image_input import ImageInput
    shape = ImageInput(224)
except ImportError:  # a version without it takes the side
    shape = 224
torch.set_num_threads(1)
images = sorted(Path(sys.argv[1]).rglob("*.jpg"))[: int(sys.argv[3])]
voices = sorted(Path(sys.argv[2]).glob("*.wav"))
config = reader = VoiceConfig()
with suppress(ImportError):  # earlier versions give the settings themselves
    from ivr.features.spectral_encoders import MfccReader

    reader = MfccReader(config)
WORK = {
    "JPEG": lambda: [read_image(path, shape) for path in images],
    "WAV": lambda: [read_voice(path) for path in voices],
    "WAV and MFCC": lambda: [voice_vectors(*read_voice(path), config) for path in voices],
    "row": lambda: [listen(path.name, path.parent, reader, os.getpid()) for path in voices],
}
for line in sys.stdin:
    start = time.process_time()
    WORK[line.strip()]()
    print(time.process_time() - start, flush=True)
"""
KINDS = ("JPEG", "WAV", "WAV and MFCC", "row")


def main() -> None:
    """Let both versions read in turn and print the ratio of each kind of work."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("earlier", help="python of the environment of the earlier version")
    parser.add_argument("images", type=Path, help="folder of JPEG files")
    parser.add_argument("--count", type=int, default=200, help="images and voices per turn")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for number in range(options.count):
            clip = seeded_clip(4, 16_000)
            soundfile.write(Path(folder) / f"{number}.wav", np.roll(clip, number), 16_000)
        arguments = ["-c", READER, str(options.images), folder, str(options.count)]
        pair = [
            subprocess.Popen(
                [python, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
            for python in (options.earlier, sys.executable)
        ]
        for kind in KINDS:
            turns = range(options.rounds + 1)
            times = np.array([_turn(pair, kind, first=turn % 2) for turn in turns])[1:]
            now = 1000 * np.median(times[:, 1]) / options.count
            ratio = times[:, 1] / times[:, 0]
            low, high = np.percentile(ratio, (25, 75))
            print(
                f"{kind}: {now:.2f} ms each, {spread(ratio)} times the earlier version, "
                f"quartiles {low:.2f} to {high:.2f}",
                flush=True,
            )
        for process in pair:
            process.communicate()


def _turn(pair: list[subprocess.Popen[str]], kind: str, *, first: int) -> list[float]:
    """Return the seconds of both versions for one pass over the files; ``first`` begins."""
    found = [0.0, 0.0]
    for place in (first, 1 - first):
        process = pair[place]
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{kind}\n")
        process.stdin.flush()
        found[place] = float(process.stdout.readline())
    return found


if __name__ == "__main__":
    main()
