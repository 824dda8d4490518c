"""Stage: features to a run folder with a trained model, its history and its codes."""

import hashlib
import json
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from ivr.features.waveform_augmentation import changed_name
from ivr.hashing.method import ClosedFormMethod, Method, TrainedMethod
from ivr.hashing.methods import method_entry
from ivr.hashing.networks import Sizes
from ivr.hashing.pairs import Pairs
from ivr.hashing.trainer import Epoch, fit, make_optimiser, resolved, train
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.manifest import Item, classes
from ivr.pipeline.datasets.splits import complete_splits
from ivr.pipeline.datasets.voice_sampling import one_voice_per_image
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features
from ivr.pipeline.runtime.config_options import configured, from_json
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.lock import only_writer
from ivr.pipeline.runtime.memory import room
from ivr.pipeline.runtime.progress import say, warn

from .encode import encode_run
from .run_config import RunConfig
from .run_folder import (
    CHECKPOINT,
    CONFIG,
    HISTORY,
    MODEL,
    SPLITS,
    RunError,
    build_model,
    load_weights,
    method_origin,
    read_config,
    read_splits,
    read_tensors,
    write_json,
    write_tensors,
)

# What runs chose that were begun before there was such a choice.
BEFORE = {"augmented": False}
VERSIONS = ("image-voice-hashing", "torch", "numpy")


@dataclass(frozen=True)
class Prepared:
    """What a run trains on, read and checked.

    Attributes:
        data: the features.
        splits: of every item by name.
        chosen: the content of ``config.json``.
        pairs: to learn from, and to choose the model on.
        device: to train on.
    """

    data: FeatureDataset
    splits: Mapping[str, str]
    chosen: Mapping[str, Any]
    pairs: tuple[Pairs, Pairs]
    device: torch.device


def train_run(features: Path, run: Path, config: RunConfig) -> Path:
    """Train on ``features`` into the new folder ``run`` and return it.

    Raises:
        RunError: ``run`` holds something already.
        StoreError, ManifestError, TrainingError, OptionError: see their modules.
    """
    if _holds_something(run):
        raise RunError(
            f"{run}: exists already; go on with --resume, start anew with --overwrite, "
            "or give another --out"
        )
    return _new_run(run, _prepared(features, config), config)


def replace_run(features: Path, run: Path, config: RunConfig) -> Path:
    """Train as :func:`train_run` in the place of the run folder ``run``.

    What can be refused without training is refused before the old run is removed.

    Raises:
        RunError: ``run`` holds something, but not a run.
        StoreError, ManifestError, TrainingError, DeviceError: see their modules.
    """
    prepared = _prepared(features, config)
    remove_run(run)
    return _new_run(run, prepared, config)


def describe_run(features: Path, config: RunConfig) -> str:
    """Return what :func:`train_run` would do, as JSON, without doing it."""
    data = open_features(features)
    splits = complete_splits(data.manifest, config.split)
    chosen = _describe(data, splits, config)
    kept = (item for item in data.image_items() if item.label not in _unseen(chosen["left_out"]))
    chosen["images"] = dict(Counter(splits[item.name] for item in kept))
    return json.dumps(chosen, indent=2)


def resume_run(
    run: Path,
    *,
    features: Path | None = None,
    device: str = "auto",
    expected: RunConfig | None = None,
) -> Path:
    """Go on with ``run`` from its last checkpoint; the result is that of an uninterrupted run.

    Args:
        run: a run folder.
        features: where the features lie now; by default where they lay.
        device: auto takes cuda when there is one.
        expected: what the caller takes the run to be, None to take it as it is.

    Raises:
        RunError: not a run folder, its features are not the ones it began with, or it is not what
            was expected.
    """
    chosen = read_config(run)
    data = open_features(features or Path(chosen["features"]["folder"]))
    _require_same_features(run, chosen, data, _manifest_digest(data))
    if expected is not None:
        _require_same_choices(run, chosen, _choices(data, expected))
    with only_writer(run):
        splits = read_splits(run, (i.name for i in (*data.image_items(), *data.voice_items())))
        pairs = _training_and_validation(data, splits, chosen)
        prepared = Prepared(data, splits, chosen, pairs, choose_device(device))
        _learn(run, prepared)
    return run


def check_runs(data: FeatureDataset, wanted: Mapping[Path, RunConfig]) -> None:
    """Refuse run folders that are not what is wanted of them; only their configs are read.

    Raises:
        RunError: not a run folder, begun with other features, or with other choices.
    """
    digest = _manifest_digest(data)
    for run, config in wanted.items():
        chosen = read_config(run)
        _require_same_features(run, chosen, data, digest)
        _require_same_choices(run, chosen, _choices(data, config))


def remove_run(run: Path) -> None:
    """Remove the run folder ``run``, and nothing that is not one.

    Raises:
        RunError: the folder holds something, but not a run.
    """
    if _holds_something(run):
        read_config(run)
        with only_writer(run):
            for path in run.iterdir():
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path)
                elif path.name != ".lock":
                    path.unlink()


def make_pairs(
    data: FeatureDataset,
    splits: Mapping[str, str],
    split: str,
    names: Sequence[str],
    voices: Sequence[Item],
    streams: Sequence[str],
) -> Pairs:
    """Return the labelled images of ``split`` that have a voice in ``voices``, with those voices.

    Both are in alphabetical order, so that a run does not depend on the order of the manifest.

    Args:
        data: the features.
        splits: of every item by name.
        split: train, val or test.
        names: class names; the number of a class is its place.
        voices: the voices to use.
        streams: of MFCC, delta and delta-delta.

    Raises:
        RunError: there is no such pair.
    """
    images = sorted(
        (item for item in data.image_items() if splits[item.name] == split and item.label),
        key=lambda item: item.name,
    )
    row = {item.name: number for number, item in enumerate(images)}
    used = sorted(
        (item for item in voices if item.image in row),
        key=lambda item: (row[item.image], item.name),
    )
    spoken = sorted({row[item.image] for item in used})
    if not spoken:
        raise RunError(
            f"{data.folder}: no labelled image of split {split} has a voice; images with voices "
            "are needed to train on (train) and to choose the model on (val)"
        )
    unknown = {images[number].label for number in spoken} - set(names)
    if unknown:
        raise RunError(f"{data.folder}: {min(unknown)!r} is none of the classes of the run")
    kept = {images[number].name: place for place, number in enumerate(spoken)}
    stored, rows, frames = data.mapped_voices([item.name for item in used], streams)
    return Pairs(
        torch.from_numpy(data.image_vectors(list(kept))),
        torch.tensor([names.index(images[number].label) for number in spoken]),
        mapped_tensor(stored),
        torch.from_numpy(frames),
        torch.tensor([kept[item.image] for item in used]),
        torch.from_numpy(rows),
    )


def mapped_tensor(values: np.ndarray) -> Tensor:
    """Return ``values``, which may be mapped from a file, as a tensor on the same memory."""
    with warnings.catch_warnings():
        # torch has no tensors that cannot be written to; nothing here writes to one.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(values)


def _describe(data: FeatureDataset, splits: Mapping[str, str], config: RunConfig) -> dict[str, Any]:
    """Return everything that decides the run, as JSON values."""
    choices = _choices(data, config)
    unseen = _unseen(choices["left_out"])
    trained = (item for item in data.manifest.images() if splits[item.name] != "test")
    names = [label for label in classes(trained) if label not in unseen]
    if unseen and len(names) < 2:
        raise RunError(
            f"{data.folder}: {len(names)} of the classes would be left to train on, "
            "two or more are needed"
        )
    if data.images is None or data.voices is None:
        raise RunError(f"{data.folder}: training needs images and voices")
    if config.augmented and not data.changes():
        raise RunError(
            f"{data.folder}: has no changed voices to train on; make them with ivr extract, "
            "e.g. --augment speed=0.9 --augment speed=1.1"
        )
    _, coefficients, frames = data.voice_settings()["shape"]
    shape = (len(config.streams), coefficients, frames)
    voice = data.voice_settings()
    sizes = Sizes(
        data.image_settings()["shape"][0],
        shape,
        config.bits,
        len(names),
        voice.get("mels", Sizes.mels),
        voice.get("sample_rate", Sizes.sample_rate),
    )
    entry = method_entry(config.method)
    options = configured(entry.config, config.options)
    try:
        entry.build(options, sizes)
    except ValueError as error:
        raise RunError(f"{config.method}: {error}") from error
    origin = method_origin(config.method)
    return {
        "method": config.method,
        **({"method_from": origin} if origin else {}),
        "source": entry.build.source,
        "reconstruction": entry.build.reconstruction,
        **choices,
        "sizes": asdict(sizes),
        "classes": names,
        "features": {
            "folder": str(data.folder.resolve()),
            "sha256": data.digests(),
            "changes": list(data.held_changes()),
            "manifest_sha256": _manifest_digest(data),
            "weights": data.images.config.get("made_with", {}).get("weights", "unknown"),
            "images": data.image_settings(),
            "voices": data.voice_settings(),
        },
        "versions": {name: version(name) for name in VERSIONS},
    }


def _choices(data: FeatureDataset, config: RunConfig) -> dict[str, Any]:
    """Return what a run must have in common with one that goes on with it, as JSON values."""
    entry = method_entry(config.method)
    unseen = _unseen_classes(data, config)
    return {
        "method": config.method,
        "bits": config.bits,
        "voices": config.voices,
        "streams": list(config.streams),
        "seed": config.seed,
        "left_out": {
            # Only where there are any: runs of earlier versions can be gone on with.
            **({"classes": unseen} if unseen else {}),
            "speakers": sorted(config.without_speakers),
            "captions_of_test": config.unseen_captions,
        },
        "augmented": config.augmented,
        "split": asdict(config.split),
        "options": asdict(configured(entry.config, config.options)),
        "training": _training(entry.build, config.training),
    }


def _unseen_classes(data: FeatureDataset, config: RunConfig) -> list[str]:
    """Return the classes that are left out: the named ones, and those that the seed draws.

    Raises:
        RunError: a class that is not there.
    """
    names = classes(data.manifest.images())
    unknown = set(config.without_classes) - set(names)
    if unknown:
        raise RunError(
            f"{data.folder}: no class {min(unknown)!r}; there are {', '.join(names) or 'none'}"
        )
    count = max(2, int(len(names) * config.unseen_classes + 0.5)) if config.unseen_classes else 0
    drawn = np.random.default_rng(config.seed).permutation(len(names))[:count]
    return sorted({*config.without_classes, *(names[place] for place in drawn)})


def _unseen(left_out: Mapping[str, Any]) -> set[str]:
    return set(left_out.get("classes", ()))


def _training_and_validation(
    data: FeatureDataset, splits: Mapping[str, str], chosen: Mapping[str, Any]
) -> tuple[Pairs, Pairs]:
    """Return the pairs to learn from, and those to choose the model on."""
    voices = _kept_voices(data, splits, chosen.get("left_out", {}))
    if chosen["voices"] == "one":
        rows = one_voice_per_image(
            [item.name for item in voices], [item.image for item in voices], chosen["seed"]
        )
        voices = [voices[row] for row in rows]
    names, streams = chosen["classes"], chosen["streams"]
    changes = chosen["features"]["changes"] if chosen.get("augmented") else ()
    changed = [
        replace(voice, name=name)
        for voice in voices
        for change in changes
        if (name := changed_name(voice.name, change)) in data.voice_rows
    ]
    return (
        make_pairs(data, splits, "train", names, [*voices, *changed], streams),
        make_pairs(data, splits, "val", names, voices, streams),
    )


def _kept_voices(
    data: FeatureDataset, splits: Mapping[str, str], left_out: Mapping[str, Any]
) -> list[Item]:
    """Return the voices that may be trained on.

    Raises:
        RunError: a speaker that nobody is, or no captions to tell sentences by.
    """
    voices = data.voice_items()
    speakers = set(left_out.get("speakers", ()))
    unknown = speakers - {voice.speaker for voice in voices}
    if unknown:
        known = ", ".join(sorted({voice.speaker for voice in voices if voice.speaker})) or "nobody"
        raise RunError(f"{data.folder}: no voice of {min(unknown)!r}; there are voices of {known}")
    unseen = _unseen(left_out)
    kept = [v for v in voices if v.speaker not in speakers and v.label not in unseen]
    if not left_out.get("captions_of_test"):
        return kept
    tested = {_sentence(voice) for voice in voices if splits[voice.name] == "test"}
    if tested <= {""}:
        raise RunError(f"{data.folder}: the manifest has no captions to tell sentences by")
    return [voice for voice in kept if _sentence(voice) not in tested]


def _sentence(voice: Item) -> str:
    """Return the caption as it sounds: without case, punctuation and double spaces."""
    return " ".join(re.findall(r"\w+", voice.caption.casefold()))


def _prepared(features: Path, config: RunConfig) -> Prepared:
    """Return all that can be refused without training, done."""
    data = open_features(features)
    splits = complete_splits(data.manifest, config.split)
    chosen = _describe(data, splits, config)
    unseen = _unseen(chosen["left_out"])
    if unseen:
        say(f"left out of training: classes {', '.join(sorted(unseen))}")
    for label in classes(data.manifest.images()):
        if label not in unseen.union(chosen["classes"]):
            warn(f"note: {label} is tested on, but no image of it is trained on")
    pairs = _training_and_validation(data, splits, chosen)
    return Prepared(data, splits, chosen, pairs, choose_device(config.device))


def _new_run(run: Path, prepared: Prepared, config: RunConfig) -> Path:
    with only_writer(run):
        write_json(run / CONFIG, prepared.chosen)
        _write_splits(run / SPLITS, prepared.splits)
        _learn(run, prepared)
    return run


def _learn(run: Path, prepared: Prepared) -> None:
    """Make the model of the run folder, which holds its config and splits, and its codes."""
    data, chosen, device = prepared.data, prepared.chosen, prepared.device
    _say_method(chosen)
    _say_counts(data, *prepared.pairs)
    torch.manual_seed(chosen["seed"])
    model = build_model(chosen)
    if isinstance(model, ClosedFormMethod):
        _fit(run, prepared, model)
    else:
        assert isinstance(model, TrainedMethod)  # there are two kinds
        _train(run, prepared, model)
    encode_run(run, device=str(device), features=data.folder)


def _fit(run: Path, prepared: Prepared, model: ClosedFormMethod) -> None:
    """Compute ``model``; a run that was stopped is computed again."""
    training, validation = (pairs.to(prepared.device) for pairs in prepared.pairs)
    model.to(prepared.device)
    epoch = fit(model, training, validation, seed=prepared.chosen["seed"])
    (run / HISTORY).unlink(missing_ok=True)
    _write_history(run / HISTORY, epoch)
    write_tensors(run / MODEL, model.state_dict(), {"epoch": str(epoch.number)})
    say(f"computed in {epoch.seconds:.1f} s{_validation_text(epoch)}")


def _train(run: Path, prepared: Prepared, model: TrainedMethod) -> None:
    chosen, device = prepared.chosen, prepared.device
    config = from_json(TrainConfig, chosen["training"])
    training, validation = prepared.pairs
    optimiser, start, best = _start(run, model, training, config, device)
    training = training.pooled_by(model.pool, room()).to(device)
    validation = validation.pooled_by(model.pool, room()).to(device)
    if not training.pooled:
        warn("the voices do not fit into memory: they are read from the file in every epoch")
    epochs = train(model, optimiser, training, validation, config, seed=chosen["seed"], start=start)
    with SummaryWriter(str(run / "tensorboard"), purge_step=start + 1) as writer:
        for epoch in epochs:
            if epoch.score is not None and epoch.score >= best:
                best = epoch.score
                write_tensors(run / MODEL, model.state_dict(), {"epoch": str(epoch.number)})
            _write_history(run / HISTORY, epoch)
            _write_checkpoint(run / CHECKPOINT, model, optimiser, epoch.number, best)
            _show(writer, epoch, config)
    kept = read_tensors(run / MODEL)[1]["epoch"]
    say(f"kept: epoch {kept}, mean validation mAP {100 * best:.2f}")


def _training(method: type[Method], config: TrainConfig) -> dict[str, Any]:
    """Return how ``method`` is trained, nothing left open; nothing for one that is not trained."""
    return asdict(resolved(config, method)) if issubclass(method, TrainedMethod) else {}


def _require_same_features(
    run: Path, chosen: Mapping[str, Any], data: FeatureDataset, manifest_digest: str
) -> None:
    began_with = chosen["features"]
    same = data.digests(began_with.get("changes", ())) == began_with["sha256"]
    if not same or manifest_digest != began_with.get("manifest_sha256"):
        raise RunError(f"{data.folder}: not the features that {run} began with; start a new run")


def _require_same_choices(
    run: Path, chosen: Mapping[str, Any], expected: Mapping[str, Any]
) -> None:
    for name, asked in json.loads(json.dumps(expected)).items():
        begun_with = chosen.get(name, BEFORE.get(name, asked))
        if asked != begun_with:
            raise RunError(
                f"{run}: was begun with {name} {json.dumps(begun_with)}, now asked for "
                f"{json.dumps(asked)}; go on with --resume and no other option, "
                "or start a new run"
            )


def _holds_something(run: Path) -> bool:
    """Return whether ``run`` holds more than a lock or what a killed writer had not finished."""
    return run.exists() and any(not path.name.startswith(".") for path in run.iterdir())


def _manifest_digest(data: FeatureDataset) -> str:
    """Return the sha256 of what training takes from the manifest; the order decides batches."""
    rows = [[row.image, row.voice, row.label, row.split, row.group] for row in data.manifest.rows]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def _say_method(chosen: Mapping[str, Any]) -> None:
    say(f"method: {chosen['method']}, {chosen.get('source', '')}")
    if chosen.get("reconstruction"):
        say(f"reconstruction: {chosen['reconstruction']}")


def _say_counts(data: FeatureDataset, training: Pairs, validation: Pairs) -> None:
    for pairs, what in ((training, "training"), (validation, "validation")):
        say(f"{what}: {len(pairs.images)} images, {len(pairs.frames)} voices")
    lacking = len(data.manifest.images()) - len(data.image_items())
    silent = len(data.manifest.voices()) - len(data.voice_items())
    if lacking or silent:
        warn(f"left out: {lacking} images and {silent} voices of the manifest have no features")


def _start(
    run: Path, model: TrainedMethod, training: Pairs, config: TrainConfig, device: torch.device
) -> tuple[torch.optim.Optimizer, int, float]:
    """Return optimiser, epochs done and best score: anew, or ``model`` too from the checkpoint."""
    if not (run / CHECKPOINT).exists():
        model.fit_inputs(training)
        (run / HISTORY).unlink(missing_ok=True)
        model.to(device)
        return make_optimiser(model, config), 0, -1.0
    tensors, notes = read_tensors(run / CHECKPOINT)
    load_weights(model, _under(tensors, "model."), run / CHECKPOINT)
    model.to(device)
    optimiser = make_optimiser(model, config)
    _load_optimiser(optimiser, _under(tensors, "optimiser."))
    done = int(notes["epoch"])
    _cut_history(run / HISTORY, done)
    say(f"going on after epoch {done} of {config.epochs}")
    return optimiser, done, float(notes["best"])


def _write_checkpoint(
    path: Path, model: Method, optimiser: torch.optim.Optimizer, epoch: int, best: float
) -> None:
    tensors = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, state in optimiser.state_dict()["state"].items():
        tensors |= {
            f"optimiser.{number}.{name}": torch.as_tensor(value)
            for name, value in state.items()
            if value is not None
        }
    write_tensors(path, tensors, {"epoch": str(epoch), "best": repr(best)})


def _load_optimiser(optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }


def _write_history(path: Path, epoch: Epoch) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(epoch)) + "\n")


def _cut_history(path: Path, epochs: int) -> None:
    """Drop what a killed run wrote after its last checkpoint."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    path.write_bytes(b"".join(line + b"\n" for line in lines[:epochs]))


def _show(writer: SummaryWriter, epoch: Epoch, config: TrainConfig) -> None:
    values = {f"loss/{name}": value for name, value in epoch.losses.items()}
    values["learning_rate"] = epoch.learning_rate
    line = f"epoch {epoch.number}/{config.epochs}: loss {epoch.losses['loss']:.4f}"
    if epoch.image_to_voice is not None and epoch.voice_to_image is not None:
        values["validation/image_to_voice"] = epoch.image_to_voice
        values["validation/voice_to_image"] = epoch.voice_to_image
        line += _validation_text(epoch)
    for name, value in values.items():
        writer.add_scalar(name, value, epoch.number)
    say(f"{line}, {epoch.pairs_per_second:.0f} pairs a second")


def _validation_text(epoch: Epoch) -> str:
    if epoch.image_to_voice is None or epoch.voice_to_image is None:
        return ""
    return (
        f", validation mAP image->voice {100 * epoch.image_to_voice:.2f} "
        f"voice->image {100 * epoch.voice_to_image:.2f}"
    )


def _write_splits(path: Path, splits: Mapping[str, str]) -> None:
    write_json(path, dict(sorted(splits.items())))
