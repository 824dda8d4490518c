"""What a run records of its features and its choices, and whether another run may continue it."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivr.features.voice_encoder_config import MFCC
from ivr.hashing.method import Method, TrainedMethod
from ivr.hashing.methods import method_entry
from ivr.hashing.networks import Sizes
from ivr.hashing.trainer import resolved
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.canonical_names import as_spelled
from ivr.pipeline.datasets.manifest import classes
from ivr.pipeline.datasets.manifest_row import COLUMNS
from ivr.pipeline.extraction.feature_dataset import FeatureDataset
from ivr.pipeline.extraction.feature_schema import stream_rows
from ivr.pipeline.extraction.kept_manifest import merged_spellings
from ivr.pipeline.runtime.config_options import configured, describe
from ivr.pipeline.runtime.words import counted

from .reports import run_parameters
from .run_config import RunConfig
from .run_folder import RunError, method_origin, run_method
from .training_data import left_out_classes

# What older runs, which do not record these choices, used.
DEFAULTS_OF_OLDER_RUNS: Mapping[str, Any] = {
    "augmented": False,
    "left_out": {"speakers": [], "captions_of_test": False},
}
TRAINING_OF_OLDER_RUNS = {"pairing": "own"}
VERSIONS = ("image-voice-hashing", "torch", "numpy")
# The columns that the digest of older runs covers.
OLDER_COLUMNS = ("image", "voice", "label", "split", "group")


def recorded(data: FeatureDataset, splits: Mapping[str, str], config: RunConfig) -> dict[str, Any]:
    """Return the content of ``config.json``: everything that decides the run, as JSON values.

    Raises:
        RunError: a choice that these features do not allow.
    """
    choices = recorded_choices(data, config)
    left_out = left_out_classes(choices["left_out"])
    trained = (item for item in data.manifest.images() if splits[item.name] != "test")
    names = [label for label in classes(trained) if label not in left_out]
    _require_trainable(data, config, names if left_out else None)
    assert data.images is not None
    merged = merged_spellings(data.folder)
    made_with = data.images.config.get("made_with", {})
    sizes = _sizes(data, config, len(names))
    entry = method_entry(config.method)
    try:
        entry.build(configured(entry.config, config.options), sizes)
    except ValueError as error:
        raise RunError(f"{config.method}: {error}") from error
    return {
        **about_method(config.method),
        **choices,
        "sizes": asdict(sizes),
        "classes": names,
        "features": {
            "folder": str(data.folder.resolve()),
            "sha256": data.digests(),
            "changes": list(data.held_changes()),
            "manifest_sha256": manifest_digest(data),
            "weights": made_with.get("weights", "unknown"),
            **({"weights_file": made_with["weights_file"]} if "weights_file" in made_with else {}),
            "images": data.image_settings(),
            "voices": data.voice_settings(),
            **_voice_encoder(data),
            **({"merged_spellings": merged} if merged else {}),
        },
        "versions": used_versions(),
        "machine": used_machine(),
    }


def recorded_choices(data: FeatureDataset, config: RunConfig) -> dict[str, Any]:
    """Return the choices that a run shares with one that continues it, as JSON values."""
    entry = method_entry(config.method)
    unseen = _unseen_classes(data, config)
    speakers = {voice.speaker for voice in data.manifest.voices()}
    return {
        "method": config.method,
        "bits": config.bits,
        "voices": config.voices,
        "streams": list(_streams(data, config)),
        "seed": config.seed,
        "left_out": {
            # Only where there are any, so that runs of earlier versions can be continued.
            **({"classes": unseen} if unseen else {}),
            "speakers": sorted(as_spelled(config.without_speakers, speakers)),
            "captions_of_test": config.unseen_captions,
        },
        "augmented": config.augmented,
        "split": asdict(config.seeded_split),
        "options": asdict(configured(entry.config, config.options)),
        "training": recorded_training(entry.build, config.training),
    }


def about_method(name: str) -> dict[str, str]:
    """Return what a run records of the method itself."""
    method, origin = method_entry(name).build, method_origin(name)
    return {
        "method": name,
        **({"method_from": origin} if origin else {}),
        "source": method.source,
        "reconstruction": method.reconstruction,
    }


def recorded_training(method: type[Method], config: TrainConfig) -> dict[str, Any]:
    """Return how ``method`` is trained, with every default filled in; ``{}`` in closed form."""
    return asdict(resolved(config, method)) if issubclass(method, TrainedMethod) else {}


def used_versions() -> dict[str, str]:
    """Return the versions of this package and of the libraries that compute."""
    return {name: version(name) for name in VERSIONS}


def used_machine() -> dict[str, str]:
    """Return system, processor and Python of this machine, in words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    capability = torch.backends.cpu.get_cpu_capability()
    return {
        "system": f"{platform.system()} on {platform.machine()}",
        "processor": f"{counted(cores or 1, 'core')}, {capability}",
        "python": f"Python {platform.python_version()}",
    }


def manifest_digest(data: FeatureDataset, columns: tuple[str, ...] = COLUMNS) -> str:
    """Return the sha256 of ``columns`` of the manifest, in the order of its rows.

    All columns decide what is trained on: captions and speakers can be left out of training.
    """
    rows = [[getattr(row, name) for name in columns] for row in data.manifest.rows]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()


def require_same_features(
    run: Path, chosen: Mapping[str, Any], data: FeatureDataset, digest: str, remedy: str
) -> None:
    """Refuse features that are not those that ``run`` was trained on.

    Args:
        run: a run folder.
        chosen: the content of its ``config.json``.
        data: the features.
        digest: :func:`manifest_digest` of them.
        remedy: what to do, for the message.

    Raises:
        RunError: other features, another manifest, or an older run whose record does not cover
            all columns that it depends on.
    """
    began_with = chosen["features"]
    manifest = began_with.get("manifest_sha256")
    older = manifest == manifest_digest(data, OLDER_COLUMNS)
    same = data.digests(began_with.get("changes", ())) == began_with["sha256"]
    if not same or not (older or manifest == digest):
        raise RunError(f"{data.folder}: not the features that {run} began with; {remedy}")
    left_out = chosen.get("left_out", {})
    if older and (left_out.get("speakers") or left_out.get("captions_of_test")):
        raise RunError(
            f"{run}: an earlier version began this run and did not record captions and speakers, "
            f"which decide what it trains on; {remedy}"
        )


def require_every_option(run: Path, chosen: Mapping[str, Any], remedy: str) -> None:
    """Refuse to continue a run of a version whose method had fewer options.

    Today's default of a new option need not be what that version did: it may be another loss.

    Args:
        run: a run folder.
        chosen: the content of its ``config.json``.
        remedy: what to do, for the message.

    Raises:
        RunError: an option of the method is not recorded.
    """
    written = run_parameters(chosen)
    names = (name for name, *_ in describe(run_method(chosen).config))
    new = sorted(name for name in names if f"options.{name}" not in written)
    if new:
        raise RunError(
            f"{run}: an earlier version began this run, which did not have {' and '.join(new)} of "
            f"{chosen['method']}; {remedy}"
        )


def require_same_choices(
    run: Path, chosen: Mapping[str, Any], expected: Mapping[str, Any], remedy: str
) -> None:
    """Refuse a run whose choices are not ``expected`` (:func:`recorded_choices`).

    ``remedy`` says what to do, for the message.

    Raises:
        RunError: another choice.
    """
    for name, asked in json.loads(json.dumps(expected)).items():
        begun_with = chosen.get(name, DEFAULTS_OF_OLDER_RUNS.get(name))
        if name == "training" and begun_with:
            begun_with = TRAINING_OF_OLDER_RUNS | begun_with
        if asked != begun_with:
            raise RunError(
                f"{run}: was begun with {name} {json.dumps(begun_with)}, now asked for "
                f"{json.dumps(asked)}; {remedy}"
            )


def _require_trainable(
    data: FeatureDataset, config: RunConfig, remaining: list[str] | None
) -> None:
    """Refuse features that this run cannot be trained on.

    Args:
        data: the features.
        config: options of the run.
        remaining: the classes to train on, None where no class is left out.
    """
    if remaining is not None and len(remaining) < 2:
        raise RunError(
            f"{data.folder}: {len(remaining)} of the classes would be left to train on, "
            "two or more are needed"
        )
    if data.images is None or data.voices is None:
        raise RunError(f"{data.folder}: training needs images and voices")
    if config.augmented and not data.changes():
        raise RunError(
            f"{data.folder}: has no changed voices to train on; make them with ivr extract, "
            "e.g. --augment speed=0.9 --augment speed=1.1"
        )


def _streams(data: FeatureDataset, config: RunConfig) -> tuple[str, ...]:
    """Return the streams that are read: those that are named, else the method's own choice.

    Raises:
        StoreError: the features have no such stream.
    """
    held = data.voice_streams()
    stream_rows(config.streams, held)
    return config.streams or method_entry(config.method).build.streams_of(held)


def _voice_encoder(data: FeatureDataset) -> dict[str, str]:
    """Return the name of the voice encoder with its folder, where later queries find it."""
    made_with = data.voices.config.get("made_with", {}) if data.voices else {}
    return {name: made_with[name] for name in ("voice_encoder",) if name in made_with}


def _sizes(data: FeatureDataset, config: RunConfig, number_of_classes: int) -> Sizes:
    voice = data.voice_settings()
    _, coefficients, frames = voice["shape"]
    scale, mels = Sizes.scale, 0
    if voice.get("voice_encoder", MFCC) == MFCC:
        mels = voice.get("mels", Sizes.mels)
    elif voice.get("scale") in ("mel", "hertz"):
        scale, mels = voice["scale"], coefficients
    return Sizes(
        data.image_settings()["shape"][0],
        (len(_streams(data, config)), coefficients, frames),
        config.bits,
        number_of_classes,
        mels,
        voice.get("sample_rate", Sizes.sample_rate),
        scale,
    )


def _unseen_classes(data: FeatureDataset, config: RunConfig) -> list[str]:
    """Return the classes that are left out: those that are named and those that the seed draws.

    Raises:
        RunError: an unknown class.
    """
    names = classes(data.manifest.images())
    named = as_spelled(config.without_classes, names)
    unknown = named - set(names)
    if unknown:
        raise RunError(
            f"{data.folder}: no class {min(unknown)!r}; there are {', '.join(names) or 'none'}"
        )
    count = max(2, int(len(names) * config.unseen_classes + 0.5)) if config.unseen_classes else 0
    drawn = np.random.default_rng(config.seed).permutation(len(names))[:count]
    return sorted({*named, *(names[place] for place in drawn)})
