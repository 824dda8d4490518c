"""Small pictures and sounds that every browser shows and plays: JPEG, WAV and Opus."""

from io import BytesIO

import numpy as np
import soundfile
from PIL import Image

from .image_resize import resized
from .voice_file import Recording


def small_picture(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return ``pixels``, uint8 [3, height, width], with sides of at most ``side`` pixels."""
    height, width = pixels.shape[1:]
    scale = min(1.0, side / max(height, width))
    return resized(pixels, max(1, round(height * scale)), max(1, round(width * scale)))


def as_jpeg(pixels: np.ndarray, quality: int = 85) -> bytes:
    """Return ``pixels``, uint8 [3, height, width], as JPEG of the ``quality`` 1 to 95."""
    file = BytesIO()
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def as_wav(samples: np.ndarray, sample_rate: int) -> bytes:
    """Return ``samples``, float32 [samples] or int16 [samples], as WAV of 16 bits.

    Samples of float32 beyond -1 to +1 are cut to it.
    """
    file = BytesIO()
    kept = samples if samples.dtype == np.int16 else np.clip(samples, -1, 1)
    soundfile.write(file, kept, sample_rate, "PCM_16", format="WAV")
    return file.getvalue()


def short_clip(recording: Recording, sample_rate: int, seconds: float) -> np.ndarray:
    """Return the first ``seconds`` of ``recording`` at ``sample_rate`` Hz, int16 [samples]."""
    import soxr

    samples = recording.samples[: round(seconds * recording.sample_rate)]
    if recording.sample_rate != sample_rate:
        samples = soxr.resample(samples, recording.sample_rate, sample_rate)
    scaled: np.ndarray = np.clip(np.rint(samples * 32767), -32768, 32767).astype(np.int16)
    return scaled
