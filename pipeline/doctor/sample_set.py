"""A small set to check a machine with: drawn scenes and synthetic sounds, without espeak-ng."""

from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from ivr.features.atomic_files import JPEG, WAV, replaced
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.demo.scenes import SCENES, draw_scene

CLASSES = 4
IMAGES_PER_CLASS = 8
SAMPLE_RATE = 16_000


def write_sample_set(folder: Path, seed: int = 0) -> Path:
    """Write 32 images, one sound each, and their manifest into ``folder``; return the manifest.

    The sounds are not speech: a buzz whose pitch glides, through resonances that its class decides,
    in a little noise. They give every part of the MFCC something to do.
    """
    rows = []
    for number, label in enumerate(list(SCENES)[:CLASSES]):
        (folder / label).mkdir(parents=True)
        for index in range(IMAGES_PER_CLASS):
            rng = np.random.default_rng([seed, number, index])
            image, voice = f"{label}/{index}.jpg", f"{label}/{index}.wav"
            with replaced(folder / image, JPEG) as file:
                Image.fromarray(draw_scene(label, rng)).save(file, "JPEG", quality=92)
            with replaced(folder / voice, WAV) as file:
                samples = sound(number, rng)
                soundfile.write(file, samples, SAMPLE_RATE, subtype="PCM_16", format="WAV")
            rows.append(ManifestRow(image, voice, label))
    write_manifest(folder / "manifest.csv", Manifest(tuple(rows)))
    return folder / "manifest.csv"


def sound(number: int, rng: np.random.Generator) -> np.ndarray:
    """Return a sound of the class ``number``, float64 [samples] in -1 to +1 at 16 kHz, 1 to 3 s."""
    seconds = np.arange(round(rng.uniform(1, 3) * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = rng.uniform(90, 220) * (1 + 0.2 * np.sin(2 * np.pi * rng.uniform(0.5, 2) * seconds))
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    centres = np.array([300.0, 900.0, 2200.0]) * (1 + 0.25 * number)
    harmonics = np.arange(1, 31)
    heights = sum(np.exp(-(((harmonics * pitch.mean() - f) / 250) ** 2)) for f in centres) + 0.02
    voiced = sum(
        height * np.sin(harmonic * phase)
        for harmonic, height in zip(harmonics, heights, strict=True)
    )
    noisy = voiced / np.abs(voiced).max() + 0.01 * rng.standard_normal(len(seconds))
    scaled: np.ndarray = 0.5 * noisy / np.abs(noisy).max()
    return scaled
