"""One file to one row, as the parallel readers of ``ivr extract`` do it.

A module of its own, without torch at its head: a worker process that listens to voices imports this
one alone and takes 70 MB and a second instead of 740 MB and five.
"""

import os
import signal
import threading
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ivr.features.media import MediaError, read_image
from ivr.features.voice import VoiceConfig, read_voice_vectors

from .manifest import ManifestError, resolve


@dataclass(frozen=True)
class Failure:
    """A file that could not be used, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Row:
    """One finished row.

    Attributes:
        name: of the item.
        vector: [dim].
        frames: true number of frames of a voice, 0 for an image.
    """

    name: str
    vector: np.ndarray
    frames: int = 0


def decode(name: str, root: Path, size: int) -> Row | Failure:
    """Return the pixels of the image ``name`` below ``root``, uint8 [3, size, size]."""
    try:
        return Row(name, read_image(resolve(root, name), size))
    except (MediaError, ManifestError) as error:
        return Failure(name, str(error))
    except OSError as error:
        return Failure(name, error.strerror or str(error))


def listen(name: str, root: Path, config: VoiceConfig, caller: int) -> Row | Failure:
    """Return the MFCC streams of the voice ``name`` below ``root``, float32 [dim].

    Args:
        name: of the voice.
        root: folder that names start from.
        config: what to compute.
        caller: number of the process that asks, which may be another.
    """
    _leave_signals_to(caller)
    try:
        vectors, frames = read_voice_vectors(resolve(root, name), config)
        return Row(name, vectors.reshape(-1), frames)
    except (MediaError, ManifestError) as error:
        return Failure(name, str(error))
    except OSError as error:
        return Failure(name, error.strerror or str(error))


def _leave_signals_to(caller: int) -> None:
    """Ignore the wish to stop in a reader process: ``caller`` gets it too, and decides.

    A terminal and a batch system signal all processes. A reader that ended while it hands over a
    row would leave the pool waiting for the rest of it for ever.
    """
    if os.getpid() != caller and threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
