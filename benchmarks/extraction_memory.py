"""Show that the memory of ``ivr extract`` does not grow with the number of rows.

    python benchmarks/extraction_memory.py --rows 2000 50000

For each number of rows a separate process extracts as many tiny images (with a small network with
random weights) and as many short voices. Its anonymous memory (without the pages of files that the
system may drop) is read fifty times per second. The script prints each peak and the growth per row.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import soundfile
import torch
from PIL import Image
from torch import nn

from ivr.features.blueprint import Blueprint
from ivr.features.image import Encoder
from ivr.features.image_config import ImageConfig
from ivr.features.mfcc import VoiceConfig
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.extraction import modality
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig

SIZE, DIM = 32, 512


def small_network(config: ImageConfig, device: torch.device) -> Encoder:
    """Return a network of one layer from 32 x 32 pixels to 512 numbers."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE * SIZE, DIM))
    blueprint = Blueprint(net, "", SIZE, (0.0, 0.0, 0.0), (255.0, 255.0, 255.0), "/ 255")
    provenance = {"encoder": "small", "weights": "random", "sha256": ""}
    return Encoder(config, blueprint, DIM, provenance).to(device)


def held() -> int:
    """Return the anonymous memory of this process, bytes."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.partition("RssAnon:")[2].split()[0])


def child(rows: int) -> None:
    """Extract ``rows`` images and voices and print the peak of memory beyond that at the start."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _write_media(folder, rows)
        modality.load_encoder = small_network
        config = ExtractConfig(
            ImageConfig("squeezenet1_0", "random"), VoiceConfig(frames=100), device="cpu"
        )
        peak, done = [0], threading.Event()

        def watch() -> None:
            while not done.wait(0.02):
                peak[0] = max(peak[0], held())

        watcher = threading.Thread(target=watch)
        watcher.start()
        began = time.monotonic()
        extract(folder / "all.csv", folder / "out", config)
        done.set()
        watcher.join()
        print(peak[0], f"{time.monotonic() - began:.0f}", sep=",")


def _write_media(folder: Path, rows: int) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)).save(folder / "a.png")
    soundfile.write(folder / "a.wav", rng.normal(0, 0.1, 1600), 16_000)
    image, voice = (folder / "a.png").read_bytes(), (folder / "a.wav").read_bytes()
    entries = []
    for number in range(rows):
        (folder / f"{number}.png").write_bytes(image)
        (folder / f"{number}.wav").write_bytes(voice)
        entries.append(ManifestRow(f"{number}.png", f"{number}.wav", "a"))
    write_manifest(folder / "all.csv", Manifest(tuple(entries)))


def main() -> None:
    """Run one child a number of rows and print what they held."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, nargs="+", default=[2000, 50_000])
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return
    peaks = []
    for rows in options.rows:
        command = [sys.executable, __file__, "--child", str(rows)]
        last = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        peak, took = last.strip().split(",")
        peaks.append(int(peak))
        print(f"{rows} images and voices: {peaks[-1] / 1e6:.0f} MB at the most, {took} s")
    growth = (peaks[-1] - peaks[0]) / (options.rows[-1] - options.rows[0])
    vectors = 4 * (DIM + 3 * 20 * 100)
    print(f"growth: {growth:.0f} bytes per row (names and stamps), whose vectors take {vectors}")


if __name__ == "__main__":
    main()
