"""The demonstration set: drawn scenes, spoken captions and their manifest, made offline."""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import soundfile
from PIL import Image

from ivr.errors import IvrError
from ivr.features.atomic_files import JPEG, WAV, replaced, replaced_text
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest

from .captions import draw_captions
from .demo_config import DemoConfig
from .scenes import SCENES, draw_scene
from .speech import FASTEST, SLOWEST, SPEAKERS, Speaker, Voice, speak

_CONFIG = "demo.json"


class DemoError(IvrError):
    """A demonstration set that cannot be made; the message says what to do."""


def write_demo_set(folder: Path, config: DemoConfig) -> Path:
    """Draw and speak the set into ``folder`` and return its manifest.

    Writes ``images/<class>/<class>_NN.jpg``, ``voices/<class>/<class>_NN_K.wav`` (16-bit mono),
    ``demo.json`` with the config and, last, ``manifest.csv``: a set with a manifest is complete and
    stays as it is. The same config gives the same bytes, with the same versions of NumPy, Pillow
    and espeak-ng.

    Raises:
        DemoError: ``folder`` holds a set of another config, or something else.
        SpeechError: espeak-ng cannot speak.
    """
    manifest = folder / "manifest.csv"
    _claim(folder, config)
    if not manifest.exists():
        write_manifest(manifest, Manifest(tuple(_make(folder, config))))
    return manifest


def require_own_folder(folder: Path, name: str, replaced: Sequence[str]) -> None:
    """Refuse a folder in which the demonstration would replace what it did not make.

    Args:
        folder: folder of the set and of what is made from it.
        name: name of the set in ``folder``.
        replaced: names in ``folder`` that the demonstration replaces.

    Raises:
        DemoError: one of ``replaced`` is there, and no demonstration set beside it.
    """
    if (folder / name / _CONFIG).is_file():
        return
    for other in replaced:
        if os.path.lexists(folder / other):
            raise DemoError(
                f"{folder / other} is there and was not made by the demonstration, which would "
                "replace it; name another folder with --out"
            )


def _claim(folder: Path, config: DemoConfig) -> None:
    """Write ``config`` into an empty ``folder``, or check that the folder holds the same config."""
    stored = folder / _CONFIG
    text = json.dumps(asdict(config), indent=2) + "\n"
    if stored.exists():
        if stored.read_text(encoding="utf-8") != text:
            raise DemoError(
                f"{folder} holds a demonstration set made with another config ({_CONFIG}); "
                "delete the folder or name another"
            )
        return
    if folder.exists() and any(folder.iterdir()):
        raise DemoError(f"{folder} holds files that are not a demonstration set; name another")
    folder.mkdir(parents=True, exist_ok=True)
    with replaced_text(stored) as file:
        file.write(text)


def _make(folder: Path, config: DemoConfig) -> Iterator[ManifestRow]:
    """Write the images and voices of a set and yield its rows."""
    for number, label in enumerate(list(SCENES)[: config.classes]):
        heard: set[bytes] = set()
        for kind in ("images", "voices"):
            (folder / kind / label).mkdir(parents=True, exist_ok=True)
        for index in range(config.images_per_class):
            rng = np.random.default_rng([config.seed, number, index])
            name = f"{label}/{label}_{index:02d}"
            image = f"images/{name}.jpg"
            with replaced(folder / image, JPEG) as file:
                Image.fromarray(draw_scene(label, rng)).save(file, "JPEG", quality=92)
            spoken = draw_captions(label, config.voices_per_image, rng)
            speakers = _draw_speakers(config.voices_per_image, rng)
            for take, (caption, speaker) in enumerate(zip(spoken, speakers, strict=True)):
                voice = f"voices/{name}_{take}.wav"
                sound = _new_sound(caption, speaker, heard)
                with replaced(folder / voice, WAV) as file:
                    rate = sound.sample_rate
                    soundfile.write(file, sound.samples, rate, subtype="PCM_16", format="WAV")
                yield ManifestRow(image, voice, label, speaker=speaker.voice, caption=caption)


def _new_sound(caption: str, speaker: Speaker, heard: set[bytes]) -> Voice:
    """Return ``caption`` as no voice in ``heard`` sounds, and add it there.

    A sentence that a speaker said before is said a little faster, then a little slower. Without
    this a voice of the test split could be a copy of one in training.

    Raises:
        DemoError: the speaker has said the sentence at every speed.
    """
    order = (*range(speaker.rate, FASTEST + 1), *range(speaker.rate - 1, SLOWEST - 1, -1))
    for rate in order:
        sound = speak(caption, replace(speaker, rate=rate))
        digest = hashlib.sha256(sound.samples.tobytes()).digest()
        if digest not in heard:
            heard.add(digest)
            return sound
    raise DemoError(
        f"there are too many images per class: {speaker.voice} has said {caption!r} at every speed"
    )


def _draw_speakers(count: int, rng: np.random.Generator) -> list[Speaker]:
    """Return ``count`` different speakers, each a little faster or slower than usual."""
    chosen = [SPEAKERS[index] for index in rng.choice(len(SPEAKERS), count, replace=False)]
    return [replace(speaker, rate=speaker.rate + int(rng.integers(-12, 13))) for speaker in chosen]
