"""How fast this machine reads, encodes and trains."""

import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ivr.features.encoder_batches import ImageBatches
from ivr.features.image import Encoder, load_encoder
from ivr.features.image_config import ImageConfig
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import BACKENDS
from ivr.features.voice_torch import batch_cepstra
from ivr.hashing.method import TrainedMethod
from ivr.hashing.methods import method_entry
from ivr.hashing.networks import Sizes
from ivr.hashing.pairs import Pairs
from ivr.hashing.trainer import make_optimiser, resolved, train
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig

from .doctor_config import DoctorConfig
from .doctor_result import MeasuredRate
from .sample_set import sound

PEAKS = {"H200": 989e12, "H100": 989e12, "A100": 312e12, "L40S": 362e12, "V100": 125e12}
"""Dense operations per second at 16 bits, without sparsity, from the makers' data sheets."""
MEBI = 1 << 20
CLIPS = 256
"""Sounds whose MFCC are computed to measure a rate."""
PAIRS = 2048
"""Pairs per epoch of the training that is timed; image vectors [4096], MFCC [3, 20, 1000]."""
EPOCHS = 3


@dataclass(frozen=True)
class RateClock:
    """Measures rates on one device.

    Attributes:
        device: where the work runs.
        rounds: number of measurements.
    """

    device: torch.device
    rounds: int

    def rate(
        self, name: str, unit: str, count: int, work: Callable[[], object], text: str = ""
    ) -> MeasuredRate:
        """Return how many of the ``count`` things that ``work`` does are done per second.

        The first call is not measured: it compiles kernels and fills caches.
        """
        work()
        rates = sorted(count / self._seconds(work) for _ in range(self.rounds))
        spread = f"{rates[0]:,.0f} to {rates[-1]:,.0f}"
        whole = f"{spread}; {text}" if text else spread
        return MeasuredRate(name, float(np.median(rates)), unit, whole)

    def _seconds(self, work: Callable[[], object]) -> float:
        self._wait()
        start = time.perf_counter()
        work()
        self._wait()
        return time.perf_counter() - start

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def measured_rates(
    device: torch.device, folder: Path, config: DoctorConfig
) -> Iterator[MeasuredRate]:
    """Yield the rates of images, voices and training on ``device``.

    Args:
        device: the device to measure.
        folder: folder of the checks; holds the sample set as ``set``.
        config: encoders, number of images and rounds.
    """
    clock = RateClock(device, config.rounds)
    names = _repeated(folder, config.images)
    reading = _reading(clock, folder / "set", names)
    yield reading
    for encoder in config.encoders:
        for precision in ("float32", "bfloat16"):
            chosen = ImageConfig(encoder, "random", precision=precision)
            yield from _image_rates(clock, folder, chosen, names, reading.value)
    yield from _voice_rates(clock)
    yield from _training_rate(clock)


def _repeated(folder: Path, count: int) -> list[str]:
    """Write ``rates.csv`` of ``count`` links to the drawn images, and return their names."""
    drawn = [item.name for item in read_manifest(folder / "set" / "manifest.csv").images()]
    links = folder / "set" / "repeated"
    links.mkdir()
    names = []
    for number in range(count):
        names.append(f"repeated/{number}.jpg")
        (folder / "set" / names[-1]).hardlink_to(folder / "set" / drawn[number % len(drawn)])
    rows = tuple(ManifestRow(name, "", "a") for name in names)
    write_manifest(folder / "rates.csv", Manifest(rows))
    return names


def _reading(clock: RateClock, root: Path, names: Sequence[str]) -> MeasuredRate:
    """Return how many images per second are decoded and resized by as many threads as extract."""
    import joblib

    from ivr.features.image_file import read_image
    from ivr.features.image_input import ImageInput

    some = names[: min(len(names), 512)]
    shape = ImageInput(224)
    tasks = [joblib.delayed(read_image)(root / name, shape) for name in some]
    jobs = joblib.cpu_count()
    return clock.rate(
        f"reading JPEG, 256 to 224 pixels, {jobs} threads",
        "images/s",
        len(some),
        lambda: joblib.Parallel(jobs, prefer="threads")(tasks),
    )


def _image_rates(
    clock: RateClock, folder: Path, config: ImageConfig, names: Sequence[str], reading: float
) -> Iterator[MeasuredRate]:
    """Yield the rates of the bare network and of the whole extraction."""
    device = clock.device
    encoder = load_encoder(config, device)
    size = ImageBatches(encoder).usual_size()
    what = f"{config.encoder}, {config.precision}"
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (size, *encoder.input.shape), np.uint8)
    pixels = torch.from_numpy(images).to(device)
    passes = max(1, len(names) // size)
    _forget_peak(device)
    bare = clock.rate(
        f"{what}: bare network",
        "images/s",
        passes * size,
        lambda: [encoder(pixels) for _ in range(passes)],
    )
    notes = [bare.text, f"batches of {size}", *_shares(encoder, device, bare.value)]
    yield replace(bare, text="; ".join(notes))
    out = folder / "rates"
    made = ExtractConfig(image=config, device=str(device))

    def whole() -> None:
        shutil.rmtree(out, ignore_errors=True)
        extract(folder / "rates.csv", out, made, root=folder / "set")

    rate = clock.rate(f"{what}: ivr extract", "images/s", len(names), whole)
    share = rate.value / bare.value
    limit = "the network limits" if bare.value < reading else "reading the files limits"
    yield replace(rate, text=f"{rate.text}; {100 * share:.0f} % of the bare network; {limit}")


def _forget_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)


def _shares(encoder: Encoder, device: torch.device, rate: float) -> Iterator[str]:
    """Yield the share of the card's peak and the peak of memory, on a GPU."""
    if device.type != "cuda":
        return
    card = torch.cuda.get_device_name(device)
    peak = next((value for key, value in PEAKS.items() if key in card), None)
    if peak:
        share = operations(encoder, device) * rate / peak
        yield f"{100 * share:.1f} % of the 16-bit peak of the card"
    yield f"{torch.cuda.max_memory_allocated(device) / MEBI:,.0f} MiB"


def operations(encoder: Encoder, device: torch.device) -> float:
    """Return the floating point operations of one image, counted by torch."""
    from torch.utils.flop_counter import FlopCounterMode

    image = torch.zeros((1, *encoder.input.shape), dtype=torch.uint8, device=device)
    with FlopCounterMode(display=False) as counter:
        encoder(image)
    return float(counter.get_total_flops())


def _voice_rates(clock: RateClock) -> Iterator[MeasuredRate]:
    """Yield the rates of the MFCC: one process on the CPU, and batches on the device."""
    config = VoiceConfig()
    drawn = [sound(0, np.random.default_rng([2, n])).astype(np.float32) for n in range(16)]
    clips = [drawn[number % len(drawn)] for number in range(CLIPS)]
    seconds = sum(map(len, clips)) / CLIPS / config.sample_rate
    what = f"MFCC of {seconds:.1f} s of sound"
    fast = BACKENDS["fast"]
    one = clock.rate(
        f"{what}, one CPU process", "voices/s", CLIPS, lambda: [fast(c, config) for c in clips]
    )
    yield one
    device = clock.device
    rate = clock.rate(
        f"{what}, batches on {device.type}",
        "voices/s",
        CLIPS,
        lambda: batch_cepstra(clips, config, device),
    )
    yield replace(rate, text=f"{rate.text}; {rate.value / one.value:.1f} times one CPU process")


def _training_rate(clock: RateClock) -> Iterator[MeasuredRate]:
    """Yield the pairs per second of training DIVH on random vectors of the papers' sizes."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(PAIRS)
    pairs = Pairs(
        torch.rand(PAIRS, 4096, generator=generator),
        rows % 21,
        torch.rand(PAIRS, 3, 20, 1000, generator=generator),
        torch.full((PAIRS,), 1000),
        rows,
    )
    entry = method_entry("divh")
    model = entry.build(entry.config(), Sizes(4096, (3, 20, 1000), 64, 21))
    assert isinstance(model, TrainedMethod)
    config = resolved(TrainConfig(epochs=EPOCHS + 1, validate_every=EPOCHS + 1), model)
    model.fit_inputs(pairs)
    model.to(clock.device)
    _forget_peak(clock.device)
    pooled = pairs.pooled_by(model.pool, float("inf")).to(clock.device)
    few = Pairs(
        pairs.images[:42], pairs.labels[:42], pairs.voices[:42], pairs.frames[:42], rows[:42]
    )
    validation = few.pooled_by(model.pool, float("inf")).to(clock.device)
    optimiser = make_optimiser(model, config)
    epochs = list(train(model, optimiser, pooled, validation, config, seed=0))
    rates = sorted(epoch.pairs_per_second for epoch in epochs[1:])
    text = f"{rates[0]:,.0f} to {rates[-1]:,.0f}, batches of {config.batch_size}"
    if clock.device.type == "cuda":
        text += f"; {torch.cuda.max_memory_allocated(clock.device) / MEBI:,.0f} MiB"
    yield MeasuredRate("training divh, 64 bits", float(np.median(rates)), "pairs/s", text)
