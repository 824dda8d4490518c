"""Print how much faster the ``fast`` voice backend is than librosa's calls, on one core.

Run: python benchmarks/voice_features.py [recording ...]

Without recordings the clip is 5 s of seeded noise and tones; the arithmetic is the same whatever
the samples are. Processor time of the calling thread is taken, and calls alternate, so that other
work on the machine disturbs little and both alike; the ratio is that of neighbouring calls, its
median and quartiles are printed, with the largest difference of the values.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ivr.features.media import read_voice
from ivr.features.voice import BACKENDS, VoiceConfig

REPEATS = 101
WARM_UP = 5


def seeded_clip(seconds: float, sample_rate: int) -> np.ndarray:
    """Return float32 [samples]: noise under three tones, swelling four times a second."""
    time_axis = np.arange(int(seconds * sample_rate)) / sample_rate
    tones = sum(np.sin(2 * np.pi * hz * time_axis) for hz in (150, 700, 2300))
    noise = np.random.default_rng(0).standard_normal(len(time_axis))
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * time_axis)
    return (0.1 * swell * (tones + 0.3 * noise)).astype(np.float32)


def seconds_of(backend: str, samples: np.ndarray, config: VoiceConfig) -> float:
    """Return the processor time of one call of ``backend``, seconds."""
    start = time.thread_time()
    BACKENDS[backend](samples, config)
    return time.thread_time() - start


def measure(samples: np.ndarray, config: VoiceConfig) -> np.ndarray:
    """Return seconds [REPEATS, 2] of alternating calls: librosa, fast."""
    calls = range(WARM_UP + REPEATS)
    with threadpool_limits(1):
        times = [[seconds_of(name, samples, config) for name in ("librosa", "fast")] for _ in calls]
    return np.array(times[WARM_UP:])


def report(name: str, samples: np.ndarray, config: VoiceConfig) -> str:
    """Return one line: times, ratio with its quartiles, and the largest difference."""
    times = measure(samples, config)
    low, middle, high = np.percentile(times[:, 0] / times[:, 1], (25, 50, 75))
    slow, fast = 1000 * np.median(times, axis=0)
    theirs, ours = (BACKENDS[backend](samples, config) for backend in ("librosa", "fast"))
    difference = np.abs(theirs - ours).max() / np.abs(theirs).max()
    return (
        f"{name} ({len(samples) / config.sample_rate:.1f} s, {samples.dtype}): "
        f"librosa {slow:.2f} ms, fast {fast:.2f} ms, "
        f"ratio {middle:.2f} (quartiles {low:.2f} to {high:.2f}), "
        f"largest difference {difference:.1e} of the largest value"
    )


def main() -> None:
    """Measure the seeded clip, or the recordings named on the command line as they are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("recordings", nargs="*", type=Path)
    recordings = parser.parse_args().recordings
    if not recordings:
        config = VoiceConfig()
        print(report("seeded clip", seeded_clip(5, config.sample_rate), config))
    for path in recordings:
        samples, sample_rate = read_voice(path)
        print(report(path.name, samples, VoiceConfig(sample_rate=sample_rate)))


if __name__ == "__main__":
    main()
