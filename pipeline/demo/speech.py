"""Speech from text with espeak-ng, offline: the voices of the demonstration set.

The library and its voices come in the `espeakng-loader` wheel (extra ``demo``) and are called
through ctypes. espeak-ng keeps its state in the process: one language, one voice, one callback at a
time. Part of that state cannot be reset: most voices have a flutter in pitch that continues from
sentence to sentence, so a sentence sounds different the second time. :data:`SPEAKERS` are
voices without flutter and breath noise: the samples depend on the sentence and the speaker alone,
whatever was spoken before in the same process.
"""

import ctypes
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field

from ivr.config import config
from ivr.errors import IvrError

# Constants of espeak-ng 1.52, `src/include/espeak-ng/speak_lib.h`.
_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_UTF8 = 1
_RATE = 1
_PITCH = 3
SLOWEST, FASTEST = 80, 450
"""Words per minute that espeak-ng speaks."""

_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class SpeechError(IvrError):
    """Speech that cannot be made; the message says what to do."""


@config
class Speaker:
    """One synthetic speaker.

    Attributes:
        voice: espeak-ng language and variant, e.g. ``"en-us+adam"``.
        rate: words per minute, 80 to 450.
        pitch: 0 to 99, 50 is the voice's own.
    """

    voice: str
    rate: Annotated[int, Field(ge=SLOWEST, le=FASTEST)] = 160
    pitch: Annotated[int, Field(ge=0, le=99)] = 50


SPEAKERS = (
    Speaker("en-us+adam", rate=155, pitch=50),
    Speaker("en-us+shelby", rate=165, pitch=60),
    Speaker("en-us+Denis", rate=150, pitch=45),
    Speaker("en-us+miguel", rate=170, pitch=80),
    Speaker("en-us+Storm", rate=160, pitch=40),
    Speaker("en-gb-x-rp+benjamin", rate=165, pitch=55),
    Speaker("en-gb-x-rp+shelby", rate=150, pitch=85),
    Speaker("en-gb-x-rp+michel", rate=175, pitch=35),
    Speaker("en-gb-scotland+david", rate=155, pitch=65),
    Speaker("en-gb-scotland+edward2", rate=170, pitch=90),
)


@dataclass(frozen=True)
class Voice:
    """The sound of one sentence.

    Attributes:
        samples: int16 [samples].
        sample_rate: Hz.
    """

    samples: np.ndarray
    sample_rate: int


def speak(sentence: str, speaker: Speaker) -> Voice:
    """Return ``sentence`` as spoken by ``speaker``; the same arguments give the same samples.

    Raises:
        ValueError: an empty sentence.
        SpeechError: espeak-ng is missing, does not start, or has no such voice.
    """
    if not sentence.strip():
        raise ValueError(f"the sentence to speak is empty: {sentence!r}")
    engine = _engine()
    _set_speaker(engine, speaker)
    blocks: list[bytes] = []

    def keep(samples: "ctypes._Pointer[ctypes.c_short]", count: int, _events: int | None) -> int:
        if samples and count > 0:
            blocks.append(ctypes.string_at(samples, 2 * count))
        return 0

    callback = _Callback(keep)
    engine.library.espeak_SetSynthCallback(callback)
    text = sentence.encode()
    if engine.library.espeak_Synth(text, len(text) + 1, 0, 0, 0, _UTF8, None, None) or not blocks:
        raise SpeechError(f"espeak-ng could not speak {sentence!r} as {speaker.voice}")
    return Voice(np.frombuffer(b"".join(blocks), dtype=np.int16), engine.sample_rate)


@dataclass(frozen=True)
class _Engine:
    library: ctypes.CDLL
    data: Path
    sample_rate: int


@cache
def _engine() -> _Engine:
    try:
        import espeakng_loader
    except ModuleNotFoundError as error:
        raise SpeechError(
            "no espeak-ng to speak with; install it from the source checkout: "
            'pip install -e ".[demo]"'
        ) from error
    try:
        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = Path(espeakng_loader.get_data_path())
    except (OSError, RuntimeError) as error:
        raise SpeechError(
            f"espeak-ng cannot be loaded ({error}); install it again: "
            "pip install --force-reinstall espeakng-loader"
        ) from error
    return _Engine(library, data, _start(library, data))


def _start(library: ctypes.CDLL, data: Path) -> int:
    """Start espeak-ng with the voices in ``data`` and return its sample rate in Hz."""
    sample_rate: int = library.espeak_Initialize(_SYNCHRONOUS, 0, bytes(data), _DO_NOT_EXIT)
    used = ctypes.c_char_p()
    library.espeak_Info(ctypes.byref(used))
    # A folder that it cannot read (or a path longer than its buffer of 160 bytes) is silently
    # replaced by the system's own voices, of whatever version.
    if sample_rate <= 0 or used.value != bytes(data):
        raise SpeechError(
            f"espeak-ng cannot read its voices in {data}; "
            "use an environment whose path is short (160 characters in all)"
        )
    return sample_rate


def _set_speaker(engine: _Engine, speaker: Speaker) -> None:
    _, _, variant = speaker.voice.partition("+")
    # espeak-ng accepts an unknown variant and speaks with the plain voice.
    known = not variant or (engine.data / "voices" / "!v" / variant).is_file()
    if not known or engine.library.espeak_SetVoiceByName(speaker.voice.encode()):
        raise SpeechError(f"espeak-ng has no voice {speaker.voice!r}")
    engine.library.espeak_SetParameter(_RATE, speaker.rate, 0)
    engine.library.espeak_SetParameter(_PITCH, speaker.pitch, 0)
