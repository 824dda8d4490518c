"""Limits of a voice, checked before and while it is decoded, whichever library decodes it."""

from .media import MediaError

MAX_SECONDS = 600
"""Longest voice that is decoded, seconds."""

MAX_CHANNELS = 16
"""Most channels of a voice."""

MIN_SAMPLE_RATE, MAX_SAMPLE_RATE = 4_000, 192_000
"""Sample rates of a voice, Hz."""

MAX_AMPLITUDE = 2.0**31
"""Largest sample of a voice: 32-bit integers written as float. Powers of larger ones overflow."""

MAX_PARTS = 1_000_000
"""Most chunks, boxes, pages or elements of a file that are followed."""


def check_format(channels: int, sample_rate: int) -> None:
    """Refuse a number of channels or a sample rate (Hz) beyond the limits.

    Raises:
        MediaError: it is beyond them.
    """
    if not channels:
        raise MediaError("damaged: its sound has no channel")
    if channels > MAX_CHANNELS:
        raise MediaError(f"{channels} channels, more than {MAX_CHANNELS}")
    if not MIN_SAMPLE_RATE <= sample_rate <= MAX_SAMPLE_RATE:
        raise MediaError(
            f"sample rate of {sample_rate} Hz, not within {MIN_SAMPLE_RATE} to {MAX_SAMPLE_RATE} Hz"
        )


def check_length(seconds: float) -> None:
    """Refuse a voice that is too long.

    Raises:
        MediaError: it lasts longer than :data:`MAX_SECONDS`.
    """
    if seconds > MAX_SECONDS:
        raise MediaError(f"longer than {MAX_SECONDS} s; cut it into sentences")


def check_parts(count: int, what: str) -> None:
    """Refuse a file that consists of more than :data:`MAX_PARTS` parts.

    Args:
        count: number of parts so far.
        what: their name in the plural.

    Raises:
        MediaError: there are more.
    """
    if count > MAX_PARTS:
        raise MediaError(f"more than {MAX_PARTS} {what}")
