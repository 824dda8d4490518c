"""A trained method in memory: fitted on arrays, or loaded from a run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivr.features.voice_streams import STREAMS
from ivr.hashing.cepstral_augmentation import Scale
from ivr.hashing.codes import pack, sign
from ivr.hashing.method import Method
from ivr.hashing.methods import method_entry
from ivr.hashing.networks import Sizes
from ivr.hashing.trainer import Epoch, encode_images, encode_voices
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.split_config import SplitConfig
from ivr.pipeline.runtime.config_options import from_json, with_options
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.digests import record_digests
from ivr.pipeline.runtime.placed_together import new_aside, place

from .arrays import (
    Arrays,
    FitError,
    as_paths,
    class_numbers,
    frame_counts,
    real_tensor,
    validation_rows,
    voice_rows,
)
from .checkpoint import read_history, write_history
from .choices import about_method, recorded_training, used_versions
from .learning import MemoryRecorder, learn
from .query_vectors import QueryVectors
from .run_config import RunConfig
from .run_folder import (
    CONFIG,
    HISTORY,
    MODEL,
    REPLACEMENT,
    SPLITS,
    RunError,
    build_model,
    holds_something,
    load_model,
    locked_run,
    read_config,
    read_json,
    read_tensors,
    remove_own,
    write_json,
    write_tensors,
)

Files = str | Path | Sequence[str | Path]


@dataclass(frozen=True, eq=False, repr=False)
class Model:
    """A trained method that encodes images and voices into binary codes.

    Attributes:
        network: the method with its best weights.
        config: data and options of its training, as in the ``config.json`` of a run.
        history: the epochs of its training.
        epoch: the epoch whose weights were kept.
        source: names the model in messages: its run folder, or ``this model``.
        splits: split of every item by name, as the run drew it; empty for a model of :func:`fit`.
    """

    network: Method
    config: Mapping[str, Any]
    history: tuple[Epoch, ...]
    epoch: int
    source: str = "this model"
    splits: Mapping[str, str] = field(default_factory=dict)

    @property
    def method(self) -> str:
        """Name of the method."""
        return str(self.config["method"])

    @property
    def bits(self) -> int:
        """Length of the codes."""
        return int(self.config["bits"])

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes that it was trained on, in the order of their numbers."""
        return tuple(self.config["classes"])

    @property
    def validation(self) -> dict[str, float | None]:
        """Validation mAP of the kept epoch in both directions, percent."""
        kept = next((epoch for epoch in self.history if epoch.number == self.epoch), None)
        names = ("image_to_voice", "voice_to_image")
        shares = {name: getattr(kept, name, None) for name in names}
        return {n: None if share is None else round(100 * share, 2) for n, share in shares.items()}

    def __repr__(self) -> str:
        """Return method, bits, classes and validation mAP in one line."""
        found = {name: value for name, value in self.validation.items() if value is not None}
        scores = ", ".join(f"{name} {value:.2f} %" for name, value in found.items())
        validation = f", validation mAP {scores}" if scores else ""
        return (
            f"Model({self.method}, {self.bits} bits, {len(self.classes)} classes, "
            f"epoch {self.epoch} of {len(self.history)}{validation})"
        )

    def encode_images(
        self, images: np.ndarray | Files, *, packed: bool = True, weights: str | None = None
    ) -> np.ndarray:
        """Return the codes of images.

        Args:
            images: CNN vectors [n, image_dim], or paths of image files (one or many).
            packed: pack eight bits per byte, most significant first; otherwise entries are -1 and
                +1.
            weights: weights of the image encoder for paths, by default those of the features;
                required if these are a file that is no longer where it was.

        Returns:
            [n, bits / 8], uint8; with ``packed=False`` [n, bits], int8.

        Raises:
            FitError: the vectors have another length.
            RunError: paths, and the model was fitted on arrays.
        """
        device = self.network.device
        if (paths := as_paths(images)) is not None:
            vectors = QueryVectors(self.config, self.source, weights).of_images(paths, device)
        else:
            vectors = real_tensor(images, "images", (self.network.sizes.image_dim,))
        return self._codes(encode_images(self.network, vectors), packed=packed)

    def encode_voices(
        self,
        voices: np.ndarray | Files,
        frames: np.ndarray | Sequence[int] | None = None,
        *,
        packed: bool = True,
    ) -> np.ndarray:
        """Return the codes of voices.

        Args:
            voices: streams [m, streams, coefficients, frames], or paths of recordings.
            frames: [m] true number of frames of each voice of an array, all of them by default.
            packed: eight bits to a byte, most significant first; otherwise entries -1 and +1.

        Returns:
            [m, bits / 8], uint8; with ``packed=False`` [m, bits], int8.

        Raises:
            FitError: arrays of another shape.
            RunError: paths, and the model was fitted on arrays.
        """
        if (paths := as_paths(voices)) is not None:
            vectors, counts = QueryVectors(self.config, self.source).of_voices(
                paths, self.network.device
            )
        else:
            vectors = real_tensor(voices, "voices", tuple(self.network.sizes.voice_shape))
            counts = frame_counts(frames, vectors)
        return self._codes(encode_voices(self.network, vectors, counts), packed=packed)

    def save(self, folder: str | Path) -> Path:
        """Write the model as a run folder, without codes, and return the folder.

        ``ivr.load`` reads it; ``ivr encode`` writes the codes of extracted features with it.

        Raises:
            RunError: the folder holds something already.
        """
        folder = Path(folder)
        _require_none(folder)
        with locked_run(folder):
            _require_none(folder)
            work = new_aside(folder, REPLACEMENT)
            write_json(work / CONFIG, self.config)
            write_json(work / SPLITS, self.splits)
            write_tensors(work / MODEL, self.network.state_dict(), {"epoch": str(self.epoch)})
            for epoch in self.history:
                write_history(work / HISTORY, epoch)
            record_digests(work, (CONFIG, SPLITS, MODEL, HISTORY))
            place(folder, REPLACEMENT, remove_own)
        return folder

    def _codes(self, outputs: np.ndarray, *, packed: bool) -> np.ndarray:
        codes = sign(outputs[:, : self.bits])
        return pack(codes) if packed else codes


def _require_none(folder: Path) -> None:
    if holds_something(folder):
        raise RunError(f"{folder}: exists already; give another folder")


def load(run: str | Path, *, device: str = "auto") -> Model:
    """Return the trained model of the run folder ``run``.

    Args:
        run: folder that ``ivr.train`` or :meth:`Model.save` wrote.
        device: auto takes cuda if there is one.

    Raises:
        RunError: not a run folder, not finished, or damaged.
    """
    run = Path(run)
    config = read_config(run)
    network = load_model(run, config, choose_device(device)).eval()
    epoch = int(read_tensors(run / MODEL)[1].get("epoch", 0))
    splits = read_json(run / SPLITS)
    return Model(network, config, read_history(run / HISTORY), epoch, str(run), splits)


def fit(
    images: np.ndarray,
    voices: np.ndarray,
    labels: Sequence[Any] | np.ndarray,
    *,
    method: str = RunConfig.method,
    bits: int = RunConfig.bits,
    frames: np.ndarray | Sequence[int] | None = None,
    voice_image: np.ndarray | Sequence[int] | None = None,
    seed: int = RunConfig.seed,
    validation: float | np.ndarray | Sequence[bool] = SplitConfig.val,
    training: TrainConfig | None = None,
    streams: Sequence[str] | None = None,
    mels: int = Sizes.mels,
    sample_rate: int = Sizes.sample_rate,
    scale: Scale = Sizes.scale,
    device: str = RunConfig.device,
    **options: Any,
) -> Model:
    """Train a hashing method on arrays; return the model of the best epoch on validation.

    It does what ``ivr.train`` does, without files: the same data and split give the same codes.

    Args:
        images: CNN vectors [n, image_dim].
        voices: sequences [m, streams, width, frames], as ``ivr.extract`` stores them: MFCC and
            their derivatives, or the outputs of a speech encoder.
        labels: [n] class of each image; an empty one is refused, as no class of a manifest is.
        method: name of a method, or ``module:Class``.
        bits: length of the codes.
        frames: [m] true number of frames of each voice, all of them by default.
        voice_image: [m] row of the image that each voice describes; by default voice i describes
            image i. Images without a voice are left out, unless ``pairing="class"``.
        seed: decides split, initial weights and batches.
        validation: share of the images of each class on which the best epoch is chosen, or
            booleans [n] that mark these images.
        training: options of the training; by default those of the method.
        streams: names of the streams, the first of MFCC, delta and delta-delta by default.
        mels: mel bands that the MFCC were computed from; they decide how voices are warped. 0 for
            sequences whose numbers have no order of frequencies, which have a voice network of
            their own.
        sample_rate: sample rate of the recordings, Hz; see ``mels``.
        scale: what the numbers of a frame are: ``cepstra``; or ``mel`` for log-mel spectra and
            ``hertz`` for spectrograms, whose bands are their width, whatever ``mels`` is.
        device: auto takes cuda if there is one.
        options: options of the training (``epochs=20``); all other names are options of the method
            (``gamma=0.5``).

    Raises:
        FitError: the arrays do not belong together or cannot be split.
        MethodError, OptionError, TrainingError, DeviceError: see their modules.
    """
    loop = {name: options.pop(name) for name in _names(TrainConfig) & set(options)}
    vectors = real_tensor(images, "images", (None,))
    spoken = real_tensor(voices, "voices", (None, None, None))
    names, numbers = class_numbers(labels, len(vectors))
    described = voice_rows(voice_image, vectors, spoken)
    arrays = Arrays(vectors, spoken, frame_counts(frames, spoken), numbers, described)
    kept = validation_rows(validation, numbers, seed)
    choices = RunConfig(
        method=method,
        bits=bits,
        voices="all",
        streams=_stream_names(streams, spoken.shape[1]),
        seed=seed,
        training=with_options(training or TrainConfig(), loop),
        device=device,
    )
    stream_count, coefficients, length = spoken.shape[1:]
    shape = (stream_count, coefficients, length)
    bands = mels if scale == "cepstra" else coefficients
    sizes = Sizes(vectors.shape[1], shape, bits, len(names), bands, sample_rate, scale)
    config = _recorded(choices, options, sizes, names)
    everything = choices.training.pairing == "class"
    torch.manual_seed(seed)
    network, recorder = build_model(config), MemoryRecorder()
    learn(
        network,
        (arrays.of(~kept, everything=everything), arrays.of(kept)),
        from_json(TrainConfig, config["training"]),
        choose_device(device),
        seed=seed,
        recorder=recorder,
    )
    network.load_state_dict(recorder.weights)
    return Model(network.eval(), config, tuple(recorder.history), recorder.kept)


def _recorded(
    choices: RunConfig, options: Mapping[str, Any], sizes: Sizes, names: Sequence[str]
) -> dict[str, Any]:
    """Return what ``config.json`` says of a model that was fitted on arrays."""
    entry = method_entry(choices.method)
    return {
        **about_method(choices.method),
        "bits": choices.bits,
        "voices": choices.voices,
        "streams": list(choices.streams),
        "seed": choices.seed,
        "split": asdict(choices.seeded_split),
        "options": asdict(with_options(entry.config(), options)),
        "training": recorded_training(entry.build, choices.training),
        "sizes": asdict(sizes),
        "classes": list(names),
        "features": {"folder": "", "sha256": {}, "weights": "unknown", "images": {}, "voices": {}},
        "versions": used_versions(),
    }


def _stream_names(streams: Sequence[str] | None, count: int) -> tuple[str, ...]:
    names = tuple(STREAMS[:count] if streams is None else streams)
    if len(names) != count:
        raise FitError(
            f"voices have {count} streams, got {len(names)} names: {', '.join(names)}; "
            f"streams are {', '.join(STREAMS)}"
        )
    return names


def _names(kind: type[Any]) -> set[str]:
    return {field.name for field in fields(kind)}
