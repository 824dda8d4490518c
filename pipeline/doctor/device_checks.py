"""Checks of a device against the CPU: the whole main job on a small set, on both."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from ivr.features.atomic_files import file_digest
from ivr.features.encoder_batches import ImageBatches
from ivr.features.image import load_encoder
from ivr.features.image_config import ImageConfig
from ivr.hashing.codes import unpack
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.encode import encode_run
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import CODES, MODEL, read_tensors
from ivr.pipeline.runs.train import resume_run, train_run
from ivr.pipeline.runtime.progress import Callback, reporting

from .doctor_result import MachineCheck
from .references import MFCC_LIMIT, difference_check
from .sample_set import write_sample_set

VECTOR_LIMIT = 1e-4
"""Largest difference of float32 image vectors between two devices, over the largest value."""
BIT_LIMIT = 0.005
"""Largest share of code bits that may differ between two devices with one model."""
MAP_LIMIT = 0.5
"""Largest difference of mAP, percent, between codes of two devices with one model."""
EPOCHS = 4
STOP_AFTER_EPOCHS = 2
STOP_AFTER_IMAGES = 19
ON_PURPOSE = "interrupted by ivr doctor"
ENCODER = ImageConfig("alexnet", "random")


@dataclass(frozen=True)
class Workplace:
    """A folder for the checks, and the set in it.

    Attributes:
        folder: temporary folder.
        manifest: manifest of the sample set.
        device: the device to check.
    """

    folder: Path
    manifest: Path
    device: torch.device

    def features(self, name: str, device: str) -> FeatureDataset:
        """Return the features of the set, made on ``device``."""
        config = ExtractConfig(image=ENCODER, device=device, batch_size=8)
        extract(self.manifest, self.folder / name, config)
        return open_features(self.folder / name)

    def run(self, name: str, device: str) -> Path:
        """Return a new run on the CPU's features, trained on ``device``."""
        training = TrainConfig(epochs=EPOCHS, batch_size=8, validate_every=2)
        config = RunConfig(training=training, device=device)
        return train_run(self.folder / "cpu", self.folder / name, config)


def device_checks(device: torch.device, folder: Path) -> Iterator[MachineCheck]:
    """Yield the checks of ``device`` against the CPU; ``folder`` is for temporary files.

    Without a GPU only what does not need a second device is checked.
    """
    place = Workplace(folder, write_sample_set(folder / "set"), device)
    cpu = place.features("cpu", "cpu")
    if device.type == "cuda":
        yield from vector_checks(place, cpu)
    yield resumed_extraction(place)
    first = place.run("first", str(device))
    yield _repeated(place, first)
    yield resumed_training(place, first)
    if device.type == "cuda":
        yield from code_checks(place, first)
        yield out_of_memory_check(device)


def vector_checks(place: Workplace, cpu: FeatureDataset) -> Iterator[MachineCheck]:
    """Yield the checks of image vectors and MFCC made on the device against those of the CPU."""
    other = place.features("device", str(place.device))
    yield difference_check(
        f"image vectors of {ENCODER.encoder}, float32, beside the CPU",
        [_images(other)],
        [_images(cpu)],
        VECTOR_LIMIT,
    )
    yield difference_check(
        "MFCC from files, beside the CPU", [_voices(other)], [_voices(cpu)], MFCC_LIMIT
    )


def _images(data: FeatureDataset) -> np.ndarray:
    return data.image_vectors([item.name for item in data.image_items()])


def _voices(data: FeatureDataset) -> np.ndarray:
    return data.voice_vectors([item.name for item in data.voice_items()])[0]


def resumed_extraction(place: Workplace) -> MachineCheck:
    """Interrupt an extraction, continue it, and compare with one that was not interrupted."""
    name, device = "extraction, interrupted and continued", str(place.device)
    whole = place.features("whole", device)
    with interrupted(_stop_extraction):
        place.features("resumed", device)
        text = f"was not interrupted after {STOP_AFTER_IMAGES} images"
        return MachineCheck(name, "failed", text)
    resumed = place.features("resumed", device)
    pairs = ((_images(resumed), _images(whole)), (_voices(resumed), _voices(whole)))
    return same_vectors(name, pairs)


def _repeated(place: Workplace, first: Path) -> MachineCheck:
    second = place.run("second", str(place.device))
    return same_models("training, twice with one seed", first, second, place.device)


def resumed_training(place: Workplace, first: Path) -> MachineCheck:
    """Interrupt a training, continue it, and compare with the run ``first``, which was not."""
    name = "training, interrupted and continued"
    run = place.folder / "third"
    with interrupted(_stop_training):
        place.run("third", str(place.device))
        text = f"was not interrupted after epoch {STOP_AFTER_EPOCHS}"
        return MachineCheck(name, "failed", text)
    resume_run(run, device=str(place.device))
    return same_models(name, first, run, place.device)


def same_models(name: str, one: Path, other: Path, device: torch.device) -> MachineCheck:
    """Return the check that two runs hold equal weights; on a GPU a difference is no fault."""
    if file_digest(one / MODEL) == file_digest(other / MODEL):
        return MachineCheck(name, "ok", "the same model, byte for byte")
    models = read_tensors(one / MODEL)[0], read_tensors(other / MODEL)[0]
    pairs = [
        (models[0][key].double().numpy(), models[1][key].double().numpy()) for key in models[0]
    ]
    worst = max((float(np.abs(a - b).max(initial=0)) for a, b in pairs), default=0.0)
    text = f"weights differ by up to {worst:.1e}"
    if device.type == "cuda":
        return MachineCheck(name, "note", f"{text}: some CUDA kernels add in any order")
    return MachineCheck(name, "failed", text)


def same_vectors(name: str, pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> MachineCheck:
    """Return the check that the arrays of each pair are equal, bit for bit."""
    if all(np.array_equal(one, other) for one, other in pairs):
        return MachineCheck(name, "ok", "the same vectors, bit for bit")
    worst = max(float(np.abs(one - other).max()) for one, other in pairs)
    return MachineCheck(name, "failed", f"vectors differ by up to {worst:.1e}")


def code_checks(place: Workplace, run: Path) -> Iterator[MachineCheck]:
    """Yield the checks of codes and ranks of one model, encoded on the device and on the CPU."""
    found = []
    for device in ("cpu", str(place.device)):
        encode_run(run, device=device)
        found.append((read_codes(run / CODES), evaluate(run).metrics))
    (one, ranks), (other, other_ranks) = found
    yield bits_check([other.images.codes, other.voices.codes], [one.images.codes, one.voices.codes])
    worst = max(abs(ranks[way]["mAP"] - other_ranks[way]["mAP"]) for way in ranks)
    text = f"mAP differs by {worst:.3f} points (limit {MAP_LIMIT})"
    yield MachineCheck(
        "ranks of one model, beside the CPU", "ok" if worst <= MAP_LIMIT else "failed", text
    )


def bits_check(codes: list[np.ndarray], expected: list[np.ndarray]) -> MachineCheck:
    """Return the check that packed codes [n, bits / 8] differ in few bits."""
    pairs = [
        (unpack(a, 8 * a.shape[1]), unpack(b, 8 * b.shape[1]))
        for a, b in zip(codes, expected, strict=True)
    ]
    differ = np.concatenate([(a != b).ravel() for a, b in pairs])
    share = float(differ.mean())
    text = f"{differ.sum()} of {len(differ)} bits differ (limit {100 * BIT_LIMIT:.1f} %)"
    return MachineCheck(
        "codes of one model, beside the CPU", "ok" if share <= BIT_LIMIT else "failed", text
    )


def out_of_memory_check(device: torch.device) -> MachineCheck:
    """Return the check that a batch beyond the memory of the CUDA ``device`` runs in halves.

    The memory is limited to what a quarter of the batch needs, then given back.
    """
    name = "a batch beyond the memory of the GPU"
    batches = ImageBatches(load_encoder(ENCODER, device))
    shape = (256, *batches.encoder.input.shape)
    images = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    expected = batches.start(images)()
    needed = torch.cuda.max_memory_allocated(device) - before
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info(device)[1]
    allowed = torch.cuda.get_per_process_memory_fraction(device)
    torch.cuda.set_per_process_memory_fraction((before + needed / 4) / total, device)
    try:
        halved = batches.start(images)()
    finally:
        torch.cuda.set_per_process_memory_fraction(allowed, device)
    if not batches.most:
        return MachineCheck(name, "failed", "the batch fitted although its memory was limited")
    check = difference_check(name, [halved], [expected], VECTOR_LIMIT)
    return replace(check, text=f"run as batches of {batches.most}; {check.text}")


@contextmanager
def interrupted(callback: Callback) -> Iterator[None]:
    """Let ``callback`` interrupt the work of the block; an interruption by the user goes on."""
    try:
        with reporting(callback):
            yield
    except KeyboardInterrupt as interruption:
        if interruption.args != (ON_PURPOSE,):
            raise


def _stop_training(what: str, done: int, _: int) -> None:
    if what == "epochs" and done == STOP_AFTER_EPOCHS:
        raise KeyboardInterrupt(ON_PURPOSE)


def _stop_extraction(what: str, done: int, _: int) -> None:
    if what == "images" and done == STOP_AFTER_IMAGES:
        raise KeyboardInterrupt(ON_PURPOSE)
