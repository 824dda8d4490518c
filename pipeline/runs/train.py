"""Stage: features to a run folder with a trained model, its history and its codes."""

import json
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ivr.hashing.pairs import Pairs
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.manifest import classes
from ivr.pipeline.datasets.splits import complete_splits
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features
from ivr.pipeline.runtime.config_options import from_json, with_options
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.digests import forget_digests, record_digests
from ivr.pipeline.runtime.placed_together import new_aside, place
from ivr.pipeline.runtime.progress import say, warn
from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .checkpoint import FolderRecorder, read_history
from .choices import (
    manifest_digest,
    recorded,
    recorded_choices,
    require_every_option,
    require_same_choices,
    require_same_features,
)
from .encode import encode_run
from .learning import learn
from .reports import reporting_to, run_parameters
from .run_config import RunConfig
from .run_folder import (
    CHECKPOINT,
    CODES,
    CONFIG,
    HISTORY,
    ITEMS,
    MODEL,
    REPLACEMENT,
    SPLITS,
    RunError,
    begun,
    build_model,
    holds_something,
    locked_run,
    read_config,
    read_splits,
    read_tensors,
    remove_own,
    write_json,
)
from .run_items import write_run_items
from .tensorboard_events import write_worst_queries
from .training_data import left_out_classes, training_and_validation

LEARNT = (CHECKPOINT, CODES, HISTORY, MODEL)


@dataclass(frozen=True, repr=False)
class TrainResult(Result):
    """A finished run.

    Attributes:
        run: its folder.
        method: name of the method.
        bits: length of the codes.
        epoch: the epoch whose weights were kept, the best on the validation split.
        epochs: number of epochs trained, 1 for a method in closed form.
        image_to_voice: validation mAP of that epoch, percent; None if the history is damaged.
        voice_to_image: validation mAP of that epoch, percent; None if the history is damaged.
    """

    run: Path
    method: str
    bits: int
    epoch: int
    epochs: int
    image_to_voice: float | None
    voice_to_image: float | None

    def __repr__(self) -> str:
        """Return the run, its method and the validation mAP of the kept epoch in one line."""
        known = self.image_to_voice is not None and self.voice_to_image is not None
        score = f", validation mAP {self.image_to_voice:.2f} / {self.voice_to_image:.2f}"
        return (
            f"{self.run}: {self.method}, {self.bits} bits, "
            f"epoch {self.epoch} of {self.epochs}{score if known else ''}"
        )


@dataclass(frozen=True)
class Prepared:
    """The checked inputs of a training run.

    Attributes:
        data: the features.
        splits: split of every item by name.
        chosen: the content of ``config.json``.
        pairs: pairs to learn from, and pairs to choose the best epoch on.
        device: device to train on.
        report_to: names of the reporters that are told of the epochs.
    """

    data: FeatureDataset
    splits: Mapping[str, str]
    chosen: Mapping[str, Any]
    pairs: tuple[Pairs, Pairs]
    device: torch.device
    report_to: tuple[str, ...] = ()


def train(
    features: str | Path,
    out: str | Path,
    config: RunConfig | None = None,
    *,
    resume: bool = False,
    overwrite: bool = False,
    **options: Any,
) -> TrainResult:
    """Train a hashing method on extracted features; return the finished run.

    Args:
        features: folder that ``ivr.extract`` wrote.
        out: run folder to write.
        config: what to train; the defaults of :class:`RunConfig` without it.
        resume: continue the run in ``out`` after its last checkpoint. With neither a config nor an
            option (``device`` and ``report_to`` apart) its own choices hold; otherwise they must be
            the same.
        overwrite: replace the run in ``out``, which stays until the new one is complete.
        options: fields of :class:`RunConfig` that replace those of ``config``.

    Raises:
        RunError: ``out`` holds something already, or is not a run that can be continued.
        StoreError, ManifestError, TrainingError, OptionError, DeviceError: see their modules.
    """
    features, out = Path(features), Path(out)
    if resume and overwrite:
        raise RunError("resume continues a run and overwrite replaces it; give one of them")
    given = config is not None or bool(set(options) - {"device", "report_to"})
    config = with_options(config or RunConfig(), options)
    if resume:
        expected = config if given else None
        resume_run(
            out, features=features, device=config.device, expected=expected,
            report_to=config.report_to,
        )  # fmt: skip
    elif overwrite:
        replace_run(features, out, config)
    else:
        train_run(features, out, config)
    write_worst_queries(out)
    return train_result(out)


def train_run(features: Path, run: Path, config: RunConfig) -> Path:
    """Train on ``features`` into the new folder ``run`` and return it.

    Raises:
        RunError: ``run`` holds something already.
        StoreError, ManifestError, TrainingError, OptionError: see their modules.
    """
    _require_none(run)
    ready = prepared(features, config)
    with locked_run(run):
        _require_none(run)
        _begin(run, ready)
        _learn(run, ready)
    return run


def replace_run(features: Path, run: Path, config: RunConfig) -> Path:
    """Train as :func:`train_run` in place of the run in the folder ``run``, if it holds one.

    The old run stays until the new one is complete; then only files that ``ivr`` wrote are removed.
    A replacement that was stopped is continued by :func:`resume_run`, and begun anew by this.

    Raises:
        RunError: ``run`` holds something, but not a run.
        StoreError, ManifestError, TrainingError, DeviceError: see their modules.
    """
    if holds_something(run):
        read_config(begun(run))
    ready = prepared(features, config)
    with locked_run(run):
        if not holds_something(run):
            _begin(run, ready)
            _learn(run, ready)
            return run
        read_config(run)
        work = new_aside(run, REPLACEMENT)
        _begin(work, ready)
        _learn(work, ready)
        place(run, REPLACEMENT, remove_own)
    return run


def finish_run(features: Path, run: Path, config: RunConfig) -> Path:
    """Train ``run`` if it is new, or continue it if it is not finished.

    Raises:
        RunError: a folder that holds something else than the run of ``config``.
        StoreError, ManifestError, TrainingError, DeviceError: see their modules.
    """
    with locked_run(run):
        if (run / CONFIG).is_file() and (run / CODES).is_file():
            return run
        if (run / CONFIG).is_file():
            data = open_features(features)
            _learn(run, _continued(run, data, config.device, config, config.report_to))
        else:
            _require_none(run)
            ready = prepared(features, config)
            _begin(run, ready)
            _learn(run, ready)
    return run


def resume_run(
    run: Path,
    *,
    features: Path | None = None,
    device: str = "auto",
    expected: RunConfig | None = None,
    report_to: tuple[str, ...] = (),
) -> Path:
    """Continue ``run`` after its last checkpoint; the result is that of an uninterrupted run.

    Args:
        run: a run folder.
        features: folder of the features; by default the one that the run began with.
        device: auto takes cuda if there is one.
        expected: the choices that the run must have; None accepts its own.
        report_to: names of the reporters that are told of the epochs.

    Raises:
        RunError: not a run folder, other features than it began with, or other choices.
    """
    read_config(begun(run))
    with locked_run(run):
        work = begun(run)
        if work != run:
            say(f"continuing the run that replaces the one in {run}")
        folder = features or Path(read_config(work)["features"]["folder"])
        ready = _continued(work, open_features(folder), device, expected, report_to)
        _learn(work, ready)
        if work != run:
            place(run, REPLACEMENT, remove_own)
    return run


def describe_run(features: Path, config: RunConfig) -> str:
    """Return what :func:`train_run` would do, as JSON, without doing it."""
    data = open_features(features)
    splits = complete_splits(data.manifest, config.seeded_split)
    chosen = recorded(data, splits, config)
    left_out = left_out_classes(chosen["left_out"])
    kept = (item for item in data.image_items() if item.label not in left_out)
    chosen["images"] = dict(Counter(splits[item.name] for item in kept))
    return json.dumps(chosen, indent=2)


def check_run(run: Path, data: FeatureDataset, digest: str, config: RunConfig) -> None:
    """Refuse a run folder that was begun with other features or choices; read only its config.

    Args:
        run: a run folder.
        data: the features.
        digest: their :func:`manifest_digest`.
        config: the choices.

    Raises:
        RunError: not a run folder, other features, or other choices.
    """
    chosen = read_config(run)
    remedy = f"remove the folder {run} and call again, or give another --out"
    require_same_features(run, chosen, data, digest, remedy)
    require_same_choices(run, chosen, recorded_choices(data, config), remedy)


def train_result(run: Path) -> TrainResult:
    """Return the result of the finished run ``run``.

    Raises:
        RunError: not a run folder, or not finished.
    """
    config = read_config(run)
    kept = int(read_tensors(run / MODEL)[1]["epoch"])
    history = read_history(run / HISTORY)
    epoch = next((epoch for epoch in history if epoch.number == kept), None)
    return TrainResult(
        run,
        config["method"],
        config["bits"],
        kept,
        len(history),
        _percent(epoch.image_to_voice if epoch else None),
        _percent(epoch.voice_to_image if epoch else None),
    )


def prepared(features: Path, config: RunConfig) -> Prepared:
    """Read and check what a run trains on; whatever can be refused without training is refused."""
    data = open_features(features)
    splits = complete_splits(data.manifest, config.seeded_split)
    chosen = recorded(data, splits, config)
    left_out = left_out_classes(chosen["left_out"])
    if left_out:
        say(f"left out of training: classes {', '.join(sorted(left_out))}")
    for label in classes(data.manifest.images()):
        if label not in left_out.union(chosen["classes"]):
            warn(f"note: the test split has images of {label}, the training split has none")
    pairs = training_and_validation(data, splits, chosen)
    return Prepared(data, splits, chosen, pairs, choose_device(config.device), config.report_to)


def _require_none(run: Path) -> None:
    """Refuse a folder that holds a run, or something else.

    Raises:
        RunError: it does.
    """
    if (begun(run) / CONFIG).is_file():
        raise RunError(
            f"{run}: exists already; continue it with --resume, start anew with --overwrite, "
            "or give another --out"
        )
    if holds_something(run):
        raise RunError(
            f"{run}: exists already and holds no run (it has no {CONFIG}); give another --out, "
            "or remove what it holds"
        )


def _begin(work: Path, ready: Prepared) -> None:
    """Write what a run begins with; the config comes last, since it makes the folder a run."""
    write_json(work / SPLITS, dict(sorted(ready.splits.items())))
    write_run_items(work, ready.data, ready.splits, ready.chosen)
    write_json(work / CONFIG, ready.chosen)


def _continued(
    run: Path,
    data: FeatureDataset,
    device: str,
    expected: RunConfig | None,
    report_to: tuple[str, ...],
) -> Prepared:
    """Return the inputs with which ``run`` is continued.

    Raises:
        RunError: other features than it began with, or other choices than ``expected``.
    """
    chosen = read_config(run)
    anew = "start a new run with another --out"
    require_same_features(run, chosen, data, manifest_digest(data), anew)
    if expected is not None:
        remedy = f"continue with --resume and no other option, or {anew}"
        require_same_choices(run, chosen, recorded_choices(data, expected), remedy)
    if not (run / CODES).is_file():
        require_every_option(run, chosen, anew)
    splits = read_splits(run, (i.name for i in (*data.image_items(), *data.voice_items())))
    pairs = training_and_validation(data, splits, chosen)
    return Prepared(data, splits, chosen, pairs, choose_device(device), report_to)


def _learn(run: Path, ready: Prepared) -> None:
    """Train the model of the run folder, which holds its config and splits, and encode."""
    data, chosen, device = ready.data, ready.chosen, ready.device
    _say_method(chosen)
    _say_counts(data, *ready.pairs)
    forget_digests(run, LEARNT)
    torch.manual_seed(chosen["seed"])
    model = build_model(chosen)
    config = from_json(TrainConfig, chosen["training"])
    parameters = run_parameters(chosen)
    earlier = read_history(run / HISTORY) if (run / CHECKPOINT).exists() else ()
    with (
        reporting_to(ready.report_to, run, parameters, earlier) as report,
        closing(FolderRecorder(run, parameters, report)) as recorder,
    ):
        best = learn(model, ready.pairs, config, device, seed=chosen["seed"], recorder=recorder)
    if chosen["training"]:
        kept = read_tensors(run / MODEL)[1]["epoch"]
        say(f"kept: epoch {kept}, mean validation mAP {100 * best:.2f}")
    encode_run(run, device=str(device), features=data.folder)
    record_digests(run, (CONFIG, SPLITS, ITEMS, *LEARNT))


def _percent(share: float | None) -> float | None:
    return None if share is None else round(100 * share, 2)


def _say_method(chosen: Mapping[str, Any]) -> None:
    say(f"method: {chosen['method']}, {chosen.get('source', '')}")
    if chosen.get("reconstruction"):
        say(f"reconstruction: {chosen['reconstruction']}")


def _say_counts(data: FeatureDataset, training: Pairs, validation: Pairs) -> None:
    for pairs, what in ((training, "training"), (validation, "validation")):
        spoken = counted(len(pairs.frames), "voice")
        say(f"{what}: {counted(len(pairs.labels), 'image')}, {spoken}")
    images = len(data.manifest.images()) - len(data.image_items())
    voices = len(data.manifest.voices()) - len(data.voice_items())
    if images or voices:
        lacking = f"{counted(images, 'image')} and {counted(voices, 'voice')}"
        warn(f"left out, without features: {lacking} of the manifest")
