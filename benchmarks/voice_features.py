"""Print how much faster the ``fast`` voice backend is than librosa's calls, and how it scales.

    python benchmarks/voice_features.py [recording ...]
    python benchmarks/voice_features.py --processes 1 2 4
    python benchmarks/voice_features.py --device cuda

Without recordings the clip is 5 s of seeded noise and tones; the arithmetic is the same whatever
the samples are. Processor time of the calling thread is taken, and calls alternate, so that other
work on the machine disturbs little and both alike; the ratio is that of neighbouring calls, its
median and quartiles are printed, with the largest difference of the values.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from threadpoolctl import threadpool_limits

from ivr.features.mfcc import VoiceConfig
from ivr.features.spectral_encoders import MfccReader
from ivr.features.voice import BACKENDS
from ivr.features.voice_file import read_voice
from ivr.pipeline.extraction.parallel_readers import Readers
from ivr.pipeline.extraction.worker_tasks import listen

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


def over_processes(counts: list[int], clips: int, rounds: int) -> None:
    """Print clips per second that reader processes make of WAV files, beside those of the first."""
    config, times = VoiceConfig(), np.empty((rounds, len(counts)))
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{number}.wav" for number in range(clips)]
        for name in names:
            soundfile.write(Path(folder) / name, seeded_clip(5, config.sample_rate), 16_000)

        def read(jobs: int) -> float:
            start = time.perf_counter()
            rows = Readers(jobs, 512).read(
                listen, names, (Path(folder), MfccReader(config), os.getpid()), "processes"
            )
            assert sum(1 for _ in rows) == clips
            return time.perf_counter() - start

        for count in counts:
            read(count)  # starts the processes
        for turn in range(rounds):
            for column, count in enumerate(counts):
                read(count)
                times[turn, column] = read(count)
    for column, count in enumerate(counts):
        ratio = times[:, 0] / times[:, column]
        print(
            f"{count} processes: {clips / np.median(times[:, column]):.0f} clips per second, "
            f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f}) times {counts[0]}"
        )


def in_batches(device: str, clips: int, rounds: int) -> None:
    """Print clips per second of torch's batches on ``device`` and of one core, recordings read."""
    import torch

    from ivr.features.voice_torch import batch_cepstra

    config, place = VoiceConfig(), torch.device(device)
    samples = [seeded_clip(5, config.sample_rate)] * clips
    batch_cepstra(samples, config, place)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        batch_cepstra(samples, config, place)
        middle = time.perf_counter()
        with threadpool_limits(1):
            for recording in samples[:32]:
                BACKENDS["fast"](recording, config)
        times.append((middle - start, (time.perf_counter() - middle) * clips / 32))
    ratio = [one / other for other, one in times]
    print(
        f"{device}, batches of {clips}: {clips / np.median([t for t, _ in times]):.0f} clips a "
        f"second, {np.median(ratio):.1f} ({min(ratio):.1f} to {max(ratio):.1f}) times one core"
    )


def main() -> None:
    """Measure the seeded clip, or the recordings named on the command line as they are."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recordings", nargs="*", type=Path)
    parser.add_argument("--processes", type=int, nargs="+", help="scaling over so many readers")
    parser.add_argument("--device", help="batches of torch there")
    parser.add_argument("--clips", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    if options.processes:
        over_processes(options.processes, options.clips, options.rounds)
        return
    if options.device:
        in_batches(options.device, 256, options.rounds)
        return
    recordings = options.recordings
    if not recordings:
        config = VoiceConfig()
        print(report("seeded clip", seeded_clip(5, config.sample_rate), config))
    for path in recordings:
        samples, sample_rate = read_voice(path)
        print(report(path.name, samples, VoiceConfig(sample_rate=sample_rate)))


if __name__ == "__main__":
    main()
