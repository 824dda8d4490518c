"""The run folder: what a training run chose, learnt and measured.

``config.json`` (everything that was chosen, the seed, the versions) is written last when a run
begins: a folder with it holds a run, which can be continued, and a folder without it holds none.
While a run replaces another one it is a run folder of its own, ``.replacement`` in the folder of
the old one. Besides there are ``splits.json``,
``model.safetensors`` (best on validation), ``checkpoint.safetensors`` (to go on from),
``history.jsonl``, ``tensorboard/``, ``codes.h5``, ``results.json``, ``queries.h5``, curves
and health.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import packages_distributions, version
from pathlib import Path
from typing import Any, NotRequired

import torch
from pydantic import ConfigDict
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor
from typing_extensions import TypedDict

from ivr.errors import IvrError
from ivr.features.atomic_files import SAFETENSORS, replaced, replaced_text
from ivr.features.regular_files import UnreadableFileError
from ivr.hashing.method import Method, MethodEntry
from ivr.hashing.methods import method_entry, own_method_names
from ivr.hashing.networks import Sizes
from ivr.pipeline.datasets.manifest import SPLITS as MANIFEST_SPLITS
from ivr.pipeline.extraction.feature_schema import FILES
from ivr.pipeline.pictures import picture_files
from ivr.pipeline.runtime.config_options import from_json
from ivr.pipeline.runtime.digests import DIGESTS
from ivr.pipeline.runtime.json_files import ContentError, load_json, load_json_lines, of_kind
from ivr.pipeline.runtime.lock import only_writer
from ivr.pipeline.runtime.placed_together import finish, remove_aside

from .begun_runs import CONFIG as CONFIG
from .begun_runs import REPLACEMENT as REPLACEMENT
from .begun_runs import begun as begun
from .begun_runs import is_another_run as is_another_run

MODEL, CHECKPOINT = "model.safetensors", "checkpoint.safetensors"
HISTORY, CODES, RESULTS = "history.jsonl", "codes.h5", "results.json"
SPLITS, QUERIES, CURVES = "splits.json", "queries.h5", "curves.csv"
QUERY_TABLE = "average precision of queries"  # kind of the table in queries.h5
LOG = "log.txt"  # messages of a run that ivr compare trains
ITEMS = "items.h5"  # stamps of the files that the run began with
EVENTS, EVALUATIONS = "tensorboard", "evaluations"
PICTURES, PICTURE_FILES = "pictures", (*picture_files.EVALUATION_FILES, DIGESTS)
EARLIER_PICTURES = ("curves.png", "health.png")  # of earlier versions, now in pictures/
EVALUATION_FILES = (
    *(QUERIES, CURVES, RESULTS),
    *EARLIER_PICTURES,
    *(f"{PICTURES}/{name}" for name in PICTURE_FILES),
)
OPTIONS = ("train-hash.yaml", "evaluate.yaml", "codes.encode.yaml")
# What a start that was killed leaves: it is no run yet.
STARTED = (SPLITS, ITEMS)
OWN_FILES = (
    *(CONFIG, SPLITS, ITEMS, MODEL, CHECKPOINT, HISTORY, CODES, DIGESTS),
    *EVALUATION_FILES,
    *OPTIONS,
)
"""Files that ``ivr`` writes into a run folder, and into the folders of its evaluations."""


class FeaturesOfRun(TypedDict):
    """What ``config.json`` says of the features, as far as later commands need it."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    folder: str
    sha256: dict[str, str]
    weights: str
    images: dict[str, Any]
    voices: dict[str, Any]
    manifest_sha256: NotRequired[str]
    changes: NotRequired[list[str]]


class ConfigOfRun(TypedDict):
    """What ``config.json`` says, as far as later commands need it."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    method: str
    bits: int
    voices: str
    streams: list[str]
    seed: int
    split: dict[str, Any]
    options: dict[str, Any]
    training: dict[str, Any]
    sizes: dict[str, Any]
    classes: list[str]
    features: FeaturesOfRun
    versions: dict[str, str]
    left_out: NotRequired[dict[str, Any]]


class EpochOfRun(TypedDict):
    """What a line of ``history.jsonl`` says, as far as later commands need it."""

    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]
    seconds: float
    image_to_voice: float | None
    voice_to_image: float | None


class RunError(IvrError):
    """A run folder that cannot be used, in one line."""


def read_config(run: Path) -> dict[str, Any]:
    """Return the config of the run folder ``run``.

    Raises:
        RunError: not a run folder, or a config that ``ivr train-hash`` did not write.
    """
    path = run / CONFIG
    if not path.is_file():
        raise RunError(f"{run}: {_not_a_run(run)}")
    try:
        return dict(of_kind(read_json(path), ConfigOfRun))
    except ContentError as error:
        raise RunError(f"{path}: not the config of a run ({error})") from error


def _not_a_run(run: Path) -> str:
    """Return what ``run`` is instead of a run folder, and what to do."""
    if not run.exists():
        return f"no such folder; ivr train-hash FEATURES --out {run} makes it a run folder"
    if any((run / name).is_file() for name in FILES):
        return f"a folder of features, not a run; train on it with ivr train-hash {run} --out RUN"
    return "not a run folder; give the --out of ivr train-hash FEATURES --out RUN"


def holds_something(run: Path) -> bool:
    """Return whether ``run`` holds more than a lock, a log, or what a killed start left."""
    if (run / CONFIG).is_file():
        return True
    return run.exists() and any(
        not path.name.startswith(".") and path.name not in (LOG, *STARTED) for path in run.iterdir()
    )


@contextmanager
def locked_run(run: Path) -> Iterator[None]:
    """Hold the run folder ``run``, and clear up in it what a killed call left.

    A replacement that is complete takes the place of the old run; one that was not begun goes.

    Raises:
        BusyError: another process holds it.
    """
    with only_writer(run):
        finish(run, REPLACEMENT, remove_own)
        if begun(run) == run:
            remove_aside(run, REPLACEMENT)
        yield


def remove_own(run: Path) -> None:
    """Remove the files that ``ivr`` writes from the run folder ``run``; all others stay."""
    for name in OWN_FILES:
        _remove_file(run / name)
    for path in _inside(run / EVENTS):
        if path.name.startswith("events.out.tfevents."):
            _remove_file(path)
    for folder in _inside(run / EVALUATIONS):
        if folder.is_dir() and not folder.is_symlink():
            for name in OWN_FILES:
                _remove_file(folder / name)
            _remove_if_empty(folder / PICTURES)
            _remove_if_empty(folder)
    for name in (EVENTS, EVALUATIONS, PICTURES):
        _remove_if_empty(run / name)


def _remove_file(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)


def _inside(folder: Path) -> list[Path]:
    """Return what ``folder`` holds; a link is not followed."""
    return list(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()):
        folder.rmdir()


def read_splits(run: Path, names: Iterable[str]) -> dict[str, str]:
    """Return the split of each of ``names`` in ``run``.

    Raises:
        RunError: a name without a split, or with one that does not exist.
    """
    path = run / SPLITS
    if not path.is_file():
        raise RunError(
            f"{path}: missing, the run cannot be used; start it anew with ivr train-hash "
            "--overwrite, or give another --out"
        )
    splits = read_json(path)
    for name in names:
        if name not in splits:
            raise RunError(
                f"{path}: has no split of {name}; keep items that the run was not trained on in a "
                "folder of their own and encode them with --features and --out"
            )
        if splits.get(name) not in (*MANIFEST_SPLITS, ""):
            raise RunError(f"{path}: damaged, the split of {name} is {splits.get(name)!r}")
    return splits


def run_method(config: Mapping[str, Any]) -> MethodEntry:
    """Return the method that ``config`` names.

    Raises:
        RunError: a method that is not installed.
    """
    try:
        return method_entry(config["method"])
    except IvrError as error:
        origin = config.get("method_from")
        install = f"; install {origin}, which has this method" if origin else ""
        raise RunError(f"{CONFIG} of the run: {error}{install}") from error


def method_origin(name: str) -> str | None:
    """Return what to install for the method ``name``, None for a method of this package.

    It is a distribution with its version, or a module that belongs to no distribution.
    """
    if name in own_method_names():
        return None
    module = method_entry(name).build.__module__
    for distribution in packages_distributions().get(module.partition(".")[0], ()):
        return f"{distribution}=={version(distribution)}"
    return f"the module {module} (put its folder on PYTHONPATH)"


def build_model(config: Mapping[str, Any]) -> Method:
    """Return the untrained model that ``config`` describes.

    Raises:
        RunError: a method or values that this version does not have.
    """
    entry = run_method(config)
    try:
        sizes = from_json(Sizes, config["sizes"])
        return entry.build(from_json(entry.config, config["options"]), sizes)
    except ValueError as error:
        raise RunError(f"{CONFIG} of the run: {error}") from error


def load_model(run: Path, config: Mapping[str, Any], device: torch.device) -> Method:
    """Return the model of ``run`` with its best weights, on ``device``.

    Raises:
        RunError: no weights, or weights of another network.
    """
    path = run / MODEL
    if not path.is_file():
        raise RunError(f"{run}: has no trained model yet; finish it with ivr train-hash --resume")
    tensors, _ = read_tensors(path)
    model = build_model(config)
    load_weights(model, tensors, path)
    return model.to(device)


def load_weights(model: Method, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Put ``tensors``, read from ``path``, into ``model``.

    Raises:
        RunError: weights of another network.
    """
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise RunError(f"{path}: the weights do not fit {path.with_name(CONFIG)}") from error


def write_json(path: Path, values: Mapping[str, Any]) -> None:
    """Write ``values`` to ``path``; an interrupted write leaves ``path`` as it was."""
    text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
    with replaced_text(path) as file:
        file.write(text)


def read_json(path: Path) -> dict[str, Any]:
    """Return the mapping in ``path``.

    Raises:
        RunError: the file may not be read, or holds something else.
    """
    try:
        return load_json(path, dict[str, Any])
    except UnreadableFileError as error:
        raise RunError(f"{path}: {error}") from error
    except ContentError as error:
        raise RunError(f"{path}: damaged, {error}") from error


def read_epochs(run: Path) -> list[EpochOfRun]:
    """Return the lines of the history of ``run``.

    Raises:
        RunError: the history may not be read, or training did not write it.
    """
    path = run / HISTORY
    try:
        return load_json_lines(path, EpochOfRun)
    except UnreadableFileError as error:
        raise RunError(f"{path}: {error}") from error
    except ContentError as error:
        raise RunError(f"{path}: damaged, not the history of a run ({error})") from error


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, str] | None = None
) -> None:
    """Write safetensors; an interrupted write leaves ``path`` as it was."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    with replaced(path, SAFETENSORS) as file:
        # Not save_file: it has an error of its own for a full disk.
        file.write(save(plain, dict(notes or {})))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return the tensors and notes in ``path``.

    Raises:
        RunError: not a whole safetensors file.
    """
    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except PermissionError as error:
        raise RunError(f"{path}: may not be read by this user (Permission denied)") from error
    except (SafetensorError, OSError) as error:
        raise RunError(f"{path}: damaged, not a safetensors file") from error
