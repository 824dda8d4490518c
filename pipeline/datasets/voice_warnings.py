"""What is odd about a voice, in words: one list for ``ivr check`` and ``ivr search``."""

import math
from dataclasses import dataclass

from ivr.features.mfcc import VoiceConfig
from ivr.features.voice_file import Recording
from ivr.features.voice_properties import VoiceProperties, voice_properties
from ivr.features.wave_header import Note

from .severity import Severity

SILENCE = 10 ** (-60 / 20)
"""Peak below which a voice is silent: -60 dBFS, the hiss of an open microphone."""

CLIPPED = 0.001
"""Share of clipped samples from which a voice is called clipped."""

SCALED = 2.0
"""Peak above which a float file is on another scale; decoders of MP3 exceed 1 a little."""


CUT = "cut"
"""Key of a voice that is longer than what is kept of it."""


@dataclass(frozen=True)
class VoiceWarning:
    """Something odd about a voice.

    Attributes:
        key: its stable name.
        severity: ``"problem"`` if the voice says nothing, ``"warning"`` for what may be intended,
            ``"note"`` for what was decided about it.
        text: one sentence without the name of the file.
    """

    key: str
    severity: Severity
    text: str


_NOTES: dict[Note, VoiceWarning] = {
    "no length": VoiceWarning(
        "no-length", "note", "its header does not say how long it is; it was read to its end"
    ),
    "wrong sizes": VoiceWarning(
        "wrong-sizes", "note", "the sizes in its header are wrong; it was read to its end"
    ),
    "bytes after the samples": VoiceWarning(
        "bytes-after-samples",
        "warning",
        "more bytes follow the samples that its header counts, and they are not read; "
        "repair the header if they are sound",
    ),
}


def voice_warnings(recording: Recording, config: VoiceConfig) -> list[VoiceWarning]:
    """Return what is odd about a voice, problems first.

    Args:
        recording: the voice as it is used (:func:`ivr.features.voice.used_recording`).
        config: the MFCC, whose frames limit how much of it is kept.
    """
    found = voice_properties(recording, config)
    return [*_loudness(found), *_extent(found), *(_NOTES[note] for note in found.notes)]


def _loudness(found: VoiceProperties) -> list[VoiceWarning]:
    """Return what is odd about the values of the samples."""
    warnings = []
    if found.peak < SILENCE:
        loudness = f"{20 * math.log10(found.peak):.0f} dBFS at its peak" if found.peak else ""
        return [VoiceWarning("silent", "problem", loudness or "zeros only")]
    if found.swing < SILENCE:
        return [VoiceWarning("constant", "problem", "a constant offset without any sound")]
    if found.peak > SCALED:
        text = f"its samples reach {found.peak:.0f} instead of 1; divide them by that number"
        warnings.append(VoiceWarning("beyond-one", "problem", text))
    elif found.peak > 1:
        text = f"its samples reach {found.peak:.2f}, a little beyond 1"
        warnings.append(VoiceWarning("beyond-one", "note", text))
    if found.opposite:
        text = "its channels cancel each other; the first one is taken"
        warnings.append(VoiceWarning("opposite-channels", "warning", text))
    if found.clipped > CLIPPED:
        text = f"clipped: {found.clipped:.1%} of its samples lie in flat peaks"
        warnings.append(VoiceWarning("clipped", "warning", text))
    return warnings


def _extent(found: VoiceProperties) -> list[VoiceWarning]:
    """Return what is odd about the length, and about where speech starts."""
    if found.seconds <= found.limit:
        return []
    if found.peak >= SILENCE and found.speech_start >= found.limit:
        text = (
            f"speech starts after {found.speech_start:.2f} s, but only the first {found.limit:g} s "
            "are used; extract with --trim-silence energy"
        )
        return [VoiceWarning("late-speech", "problem", text)]
    text = f"lasts {found.seconds:.2f} s; the first {found.limit:g} s are used"
    return [VoiceWarning(CUT, "note", text)]
