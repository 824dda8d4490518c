import hashlib
import json
import re
import shutil
import struct
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import assert_free
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from ivr.features.store import StoreError, open_table, write_table
from ivr.hashing import trainer
from ivr.hashing.methods.divh import DIVHConfig
from ivr.hashing.trainer import TrainingError
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.manifest import (
    COLUMNS,
    Manifest,
    ManifestError,
    ManifestRow,
    read_manifest,
    write_manifest,
)
from ivr.pipeline.datasets.split_config import SplitConfig
from ivr.pipeline.datasets.splits import complete_splits
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features
from ivr.pipeline.runs import checkpoint as stage
from ivr.pipeline.runs import training_data
from ivr.pipeline.runs.checkpoint import read_history
from ivr.pipeline.runs.choices import manifest_digest
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.encode import encode_run
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import RunError, load_model, read_config
from ivr.pipeline.runs.train import (
    check_run,
    describe_run,
    replace_run,
    resume_run,
    train_run,
)
from ivr.pipeline.runs.training_data import kept_voices, make_pairs
from ivr.pipeline.runtime.config_options import OptionError, configured
from ivr.pipeline.runtime.device import DeviceError

OPTIONS = ("gamma=0.5", "network.voice_channels=8,8", "network.voice_stride=1,2",
           "network.voice_kernel=3")  # fmt: skip
TRAINING = TrainConfig(
    epochs=6, batch_size=4, optimiser="adamw", learning_rate=0.01, weight_decay=1e-4,
    warm_up=0.1, validate_every=2,
)  # fmt: skip
CONFIG = RunConfig(
    bits=16, voices="all", seed=3, split=SplitConfig(0.2, 0.1, 5), options=OPTIONS,
    training=TRAINING, device="cpu",
)  # fmt: skip
# Where it does not matter how much is learnt.
SHORT = replace(CONFIG, training=replace(TRAINING, epochs=1))
TIMES = ("seconds", "pairs_per_second")


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, read only."""
    return train_run(features, tmp_path_factory.mktemp("runs") / "run", CONFIG)


def changed_features(
    features: Path, folder: Path, change: Callable[[Sequence[ManifestRow]], Sequence[ManifestRow]]
) -> Path:
    """A copy of ``features`` in ``folder`` whose manifest has the rows that ``change`` returns."""
    shutil.copytree(features, folder)
    rows = read_manifest(folder / "manifest.csv").rows
    write_manifest(folder / "manifest.csv", Manifest(tuple(change(rows))))
    return folder


def history(run: Path) -> list[dict[str, Any]]:
    lines = (run / "history.jsonl").read_text().splitlines()
    return [
        {name: value for name, value in json.loads(line).items() if name not in TIMES}
        for line in lines
    ]


def assert_same_run(run: Path, other: Path) -> None:
    """Weights, checkpoint, codes and history are equal to the bit."""
    for name in ("model.safetensors", "checkpoint.safetensors"):
        ours, theirs = load_file(run / name), load_file(other / name)
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    ours, theirs = (open_table(folder / "codes.h5", "codes") for folder in (run, other))
    assert all((ours.read(name) == theirs.read(name)).all() for name in ours.columns)
    assert history(run) == history(other)


class Stopped(Exception):
    """The process is gone."""


def stop_at(
    monkeypatch: pytest.MonkeyPatch, name: str, epoch: int, number: Callable[..., int]
) -> None:
    """Make ``stage.NAME`` raise when it is called for ``epoch``."""
    original = getattr(stage, name)

    def called(*arguments: Any) -> None:
        if number(*arguments) == epoch:
            raise Stopped
        original(*arguments)

    monkeypatch.setattr(stage, name, called)


def test_a_run_folder_holds_what_the_architecture_promises(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        ".lock",
        "config.json", "splits.json", "items.h5", "model.safetensors", "checkpoint.safetensors",
        "history.jsonl", "tensorboard", "codes.h5", "digests.json",
    }  # fmt: skip


def test_no_file_of_a_run_is_a_pickle(run: Path) -> None:
    for path in (path for path in run.rglob("[!.]*") if path.is_file()):
        content = path.read_bytes()
        # A pickle of protocol 2 or later begins with 0x80, a torch checkpoint is a zip file. (The
        # length that safetensors begin with may have that byte too.)
        assert content[:2] not in (b"PK", *(bytes([0x80, protocol]) for protocol in (2, 3, 4, 5)))
        if path.suffix == ".safetensors":
            (length,) = struct.unpack("<Q", content[:8])
            assert isinstance(json.loads(content[8 : 8 + length]), dict)
        elif path.suffix == ".json":
            json.loads(content)
        elif path.suffix == ".h5":
            assert content[512:520] == b"\x89HDF\r\n\x1a\n"
        else:
            assert path.suffix == ".jsonl" or path.name.startswith("events.out.tfevents"), path


def test_config_json_holds_every_choice_the_data_and_the_versions(
    features: Path, run: Path
) -> None:
    config = json.loads((run / "config.json").read_text())
    data = open_features(features)
    assert config["method"] == "divh"
    assert (config["bits"], config["voices"], config["seed"]) == (16, "all", 3)
    assert config["streams"] == ["mfcc", "delta", "delta-delta"]
    assert config["split"] == {"test": 0.2, "val": 0.1, "seed": 5}
    assert config["options"] == json.loads(json.dumps(asdict(configured(DIVHConfig, OPTIONS))))
    assert config["options"]["gamma"] == 0.5
    assert config["training"] == asdict(TRAINING)
    assert config["sizes"] == {
        "image_dim": 32, "voice_shape": [3, 5, 40], "bits": 16, "classes": 3,
        "mels": 20, "sample_rate": 16_000, "scale": "cepstra",
    }  # fmt: skip
    assert config["classes"] == ["forest", "pond", "river"]
    assert config["features"]["folder"] == str(features.resolve())
    assert config["features"]["sha256"] == data.digests()
    assert config["features"]["images"] == data.image_settings()
    assert config["features"]["voices"] == data.voice_settings()
    names = ("image-voice-hashing", "torch", "numpy")
    assert config["versions"] == {name: version(name) for name in names}


def test_a_learning_rate_left_open_is_written_as_the_one_that_was_used(features: Path) -> None:
    open_rate = replace(CONFIG, training=replace(TRAINING, optimiser="sgd", learning_rate=None))
    found = json.loads(describe_run(features, open_rate))["training"]["learning_rate"]
    assert found == trainer.LEARNING_RATES["sgd"]


def test_lines_of_a_history_that_are_no_epochs_are_left_out(run: Path, tmp_path: Path) -> None:
    first = json.loads((run / "history.jsonl").read_text().splitlines()[0])
    others = [{**first, "number": "one"}, {**first, "losses": {"loss": "x"}}, {"number": 1}, [], 3]
    lines = [json.dumps(line) for line in (*others, first, {**first, "learning_rate": 1})]
    (tmp_path / "history.jsonl").write_text("\n".join([*lines, "[" * 100_000, lines[5][:20]]))
    assert [epoch.learning_rate for epoch in read_history(tmp_path / "history.jsonl")] == [
        first["learning_rate"],
        1,
    ]


def test_the_history_has_a_line_an_epoch_with_losses_and_validation(run: Path) -> None:
    lines = history(run)
    assert [line["number"] for line in lines] == [1, 2, 3, 4, 5, 6]
    for line in lines:
        terms = dict(line["losses"])
        assert terms.pop("loss") == pytest.approx(sum(terms.values()), rel=1e-5)
        assert set(terms) == {"likelihood", "within", "quantisation", "balance"}
        assert (line["image_to_voice"] is not None) == (line["number"] % 2 == 0)


def test_the_same_curves_are_in_the_tensorboard_events(run: Path) -> None:
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    lines = history(run)
    for tag, name in (("loss/loss", "loss"), ("loss/balance", "balance")):
        found = [(event.step, event.value) for event in events.Scalars(tag)]
        expected = [(line["number"], line["losses"][name]) for line in lines]
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    for direction in ("image_to_voice", "voice_to_image"):
        looked = events.Scalars(f"validation_mAP_percent/{direction}")
        assert [event.step for event in looked] == [2, 4, 6]
        shares = [line[direction] for line in lines if line[direction] is not None]
        np.testing.assert_allclose([event.value for event in looked], 100 * np.array(shares), 1e-5)


def test_tensorboard_compares_runs_by_their_choices(run: Path) -> None:
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    found = HParamsPluginData.FromString(content).session_start_info.hparams
    assert found["method"].string_value == "divh"
    assert found["bits"].number_value == 16
    assert found["options.gamma"].number_value == 0.5
    assert found["training.optimiser"].string_value == "adamw"


def test_the_model_kept_is_the_last_of_those_best_on_validation(features: Path, run: Path) -> None:
    scores = {
        line["number"]: line["image_to_voice"] + line["voice_to_image"]
        for line in history(run)
        if line["image_to_voice"] is not None
    }
    best = max(number for number, score in scores.items() if score == max(scores.values()))
    config = read_config(run)
    shorter = train_until(features, run.parent / "shorter", best)
    ours = load_model(run, config, torch.device("cpu")).state_dict()
    theirs = load_file(shorter / "checkpoint.safetensors")
    assert all(torch.equal(tensor, theirs[f"model.{name}"]) for name, tensor in ours.items())


def train_until(features: Path, run: Path, epoch: int) -> Path:
    """A run of ``CONFIG`` stopped when ``epoch`` is done."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stop_at(patch, "write_events", epoch, lambda events, done: done.number)
        train_run(features, run, CONFIG)
    return run


def scripted(patch: pytest.MonkeyPatch, scores: Sequence[float]) -> None:
    """Make the looks at the validation split give ``scores`` in turn."""
    looks = iter(scores)
    patch.setattr(trainer, "validation_scores", lambda model, pairs: (next(looks),) * 2)


def epoch_kept(run: Path) -> int:
    with safe_open(run / "model.safetensors", "pt") as file:
        return int(file.metadata()["epoch"])


def test_of_equal_scores_the_later_is_kept_and_a_worse_one_is_not(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = replace(TRAINING, validate_every=1)
    for number, (scores, kept) in enumerate(
        [((0.5, 0.9, 0.9, 0.2, 0.3, 0.1), 3), ((0.9, 0.8, 0.7, 0.6, 0.5, 0.4), 1)]
    ):
        scripted(monkeypatch, scores)
        run = train_run(features, tmp_path / str(number), replace(CONFIG, training=training))
        assert epoch_kept(run) == kept


def test_a_run_that_goes_on_remembers_how_good_it_was(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        scripted(patch, [0.9, 0.2])
        run = train_until(features, tmp_path / "run", 4)
    scripted(monkeypatch, [0.8])
    resume_run(run, device="cpu")
    assert epoch_kept(run) == 2


@pytest.mark.parametrize(
    ("optimiser", "where", "epoch"),
    [
        # After the checkpoint; between weights and history and the checkpoint; before the first.
        ("adamw", "write_events", 3),
        ("sgd", "write_events", 3),
        ("adamw", "write_checkpoint", 4),
        ("adamw", "write_checkpoint", 1),
    ],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits_as_one_that_was_not(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    optimiser: str, where: str, epoch: int,
) -> None:  # fmt: skip
    config = replace(CONFIG, training=replace(TRAINING, optimiser=optimiser))
    whole = train_run(features, tmp_path / "whole", config)
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        numbers = {
            "write_events": lambda events, done: done.number,
            "write_checkpoint": lambda path, model, steps, number, best: number,
        }
        stop_at(patch, where, epoch, numbers[where])
        train_run(features, tmp_path / "stopped", config)
    assert not (tmp_path / "stopped" / "codes.h5").exists()
    assert_free(tmp_path / "stopped")
    resume_run(tmp_path / "stopped", device="cpu")
    assert_same_run(whole, tmp_path / "stopped")
    assert (tmp_path / "whole" / "splits.json").read_bytes() == (
        tmp_path / "stopped" / "splits.json"
    ).read_bytes()


def test_events_are_not_written_through_a_link(features: Path, tmp_path: Path) -> None:
    run = train_until(features, tmp_path / "run", 2)
    shutil.rmtree(run / "tensorboard")
    (tmp_path / "elsewhere").mkdir()
    (run / "tensorboard").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(RunError, match="tensorboard: a link lies where a folder"):
        resume_run(run, device="cpu")
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
def test_optimiser_tensors_of_another_shape_or_type_are_refused_before_a_step_uses_them(
    features: Path, tmp_path: Path, optimiser: str
) -> None:
    run = tmp_path / "run"
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stopped):
        stop_at(patch, "write_events", 1, lambda events, done: done.number)
        train_run(features, run, replace(CONFIG, training=replace(TRAINING, optimiser=optimiser)))
    path = run / "checkpoint.safetensors"
    with safe_open(path, "pt") as file:
        notes = file.metadata()
    whole = load_file(path)
    key = max((name for name in whole if name.startswith("optimiser.0.")), key=len)
    for changed, words in (
        ({key: whole[key].reshape(-1)[:1].clone()}, "its parameter needs"),
        ({key: whole[key].double()}, "its parameter needs"),
        ({key: None}, f"{key} is missing"),
        ({"optimiser.99.step": torch.zeros(())}, "unknown tensor optimiser.99.step"),
        ({"optimiser.x": torch.zeros(())}, "unknown tensor optimiser.x"),
    ):
        tensors = {name: t for name, t in (whole | changed).items() if t is not None}
        if key in tensors or optimiser == "adamw":
            save_file(tensors, path, notes)
            with pytest.raises(RunError, match=f"checkpoint.safetensors: damaged.*{words}"):
                resume_run(run, device="cpu")
    save_file(whole, path, {**notes, "epoch": "soon"})
    with pytest.raises(RunError, match=r"checkpoint\.safetensors: damaged"):
        resume_run(run, device="cpu")
    save_file(whole, path, notes)
    resume_run(run, device="cpu")


def test_resuming_a_finished_run_changes_nothing(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    resume_run(copy, device="cpu")
    assert_same_run(run, copy)


def test_features_that_were_moved_can_be_gone_on_with(features: Path, tmp_path: Path) -> None:
    first = Path(shutil.copytree(features, tmp_path / "first"))
    run = train_until(first, tmp_path / "run", 2)
    first.rename(tmp_path / "moved")
    with pytest.raises(StoreError, match="first: no such folder of features"):
        resume_run(run, device="cpu")
    resume_run(run, features=tmp_path / "moved", device="cpu")
    assert set(read_codes(run / "codes.h5").images.splits) == {"train", "val", "test"}


def test_the_same_seed_trains_the_same_run_and_another_seed_another(
    features: Path, run: Path, tmp_path: Path
) -> None:
    again = train_run(features, tmp_path / "again", CONFIG)
    assert_same_run(run, again)
    other = train_run(features, tmp_path / "other", replace(CONFIG, seed=4))
    assert history(other) != history(run)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (run, other))
    assert not all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.parametrize("lacking", ["within_weight", "network.voice_warp"])
def test_a_run_of_a_version_with_fewer_options_is_not_continued_with_other_ones(
    run: Path, tmp_path: Path, lacking: str
) -> None:
    earlier = Path(shutil.copytree(run, tmp_path / "earlier"))
    config = json.loads((earlier / "config.json").read_text())
    *inside, name = lacking.split(".")
    options = config["options"]
    for part in inside:
        options = options[part]
    del options[name]
    (earlier / "config.json").write_text(json.dumps(config))
    resume_run(earlier, device="cpu")  # it is finished: nothing is trained
    (earlier / "codes.h5").unlink()
    with pytest.raises(RunError, match=f"did not have {re.escape(lacking)} of divh"):
        resume_run(earlier, device="cpu")


def test_a_run_folder_that_exists_is_refused(features: Path, run: Path) -> None:
    before = (run / "config.json").read_bytes()
    with pytest.raises(RunError, match="exists already; continue it with --resume, start anew"):
        train_run(features, run, CONFIG)
    assert (run / "config.json").read_bytes() == before


def test_what_a_killed_start_left_is_no_run_in_the_way(features: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").write_text('{"host": "", "process": 0}')
    (tmp_path / "run" / ".config.json.partial").write_text("{")
    with pytest.raises(ValueError, match="is writing here"):
        train_run(features, tmp_path / "run", SHORT)
    (tmp_path / "run" / ".lock").unlink()
    train_run(features, tmp_path / "run", SHORT)


def test_replacing_a_run_leaves_nothing_of_it(features: Path, run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "results.json").write_text("{}")
    before = {path.name for path in (copy / "tensorboard").iterdir()}
    replace_run(features, copy, replace(SHORT, bits=8))
    assert read_config(copy)["bits"] == 8
    assert not (copy / "results.json").exists()
    assert not before & {path.name for path in (copy / "tensorboard").iterdir()}
    assert len(history(copy)) == 1


@pytest.mark.parametrize(
    "content", [{}, {"notes.txt": "dear"}, {"config.json": '{"model_type": "bert"}'}]
)
def test_a_folder_that_is_no_run_is_never_removed(
    features: Path, tmp_path: Path, content: dict[str, str]
) -> None:
    folder = tmp_path / "mine"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "thesis.tex").write_text("years of work")
    for name, text in content.items():
        (folder / name).write_text(text)
    with pytest.raises(RunError, match=r"not a run folder|not the config of a run"):
        replace_run(features, folder, CONFIG)
    assert (folder / "deep" / "thesis.tex").read_text() == "years of work"
    assert {path.name for path in folder.iterdir()} == {"deep", *content}


def test_overwriting_removes_only_files_that_ivr_wrote_and_follows_no_link(
    features: Path, run: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    elsewhere = tmp_path / "elsewhere"
    for folder in (elsewhere, copy / "evaluations" / "pair", copy / "mine"):
        folder.mkdir(parents=True)
    for path in (
        elsewhere / "results.json", copy / "notes.txt", copy / "mine" / "codes.h5",
        copy / "evaluations" / "pair" / "notes.txt", copy / "tensorboard" / "notes.txt",
    ):  # fmt: skip
        path.write_text("mine")
    for name in ("results.json", "queries.h5"):
        (copy / "evaluations" / "pair" / name).write_text("{}")
    (copy / "evaluations" / "linked").symlink_to(elsewhere)
    (copy / "results.json").symlink_to(elsewhere / "results.json")
    replace_run(features, copy, SHORT)
    assert (elsewhere / "results.json").read_text() == "mine"
    left = {str(path.relative_to(copy)) for path in copy.rglob("*")} - {
        str(path.relative_to(run)) for path in run.rglob("*")
    }
    assert {name for name in left if "tfevents" not in name} == {
        "notes.txt", "mine", "mine/codes.h5", "evaluations", "evaluations/pair",
        "evaluations/pair/notes.txt", "evaluations/linked", "tensorboard/notes.txt",
    }  # fmt: skip


def test_a_mistake_costs_the_old_run_nothing(features: Path, run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    with pytest.raises(StoreError, match="no such folder of features"):
        replace_run(tmp_path / "typo", copy, CONFIG)
    with pytest.raises(DeviceError, match="torch sees"):
        replace_run(features, copy, replace(CONFIG, device="cuda:99"))
    silent = changed_features(
        features,
        tmp_path / "silent",
        lambda rows: (
            [replace(row, image="") for row in rows[::7]]
            + [ManifestRow(row.image, "", row.label) for row in rows[::2]]
        ),
    )
    with pytest.raises(RunError, match="no labelled image of split train has a voice"):
        replace_run(silent, copy, CONFIG)
    assert (copy / "model.safetensors").exists()


def test_features_of_another_encoder_are_no_features_to_go_on_with(
    features: Path, tmp_path: Path
) -> None:
    run = train_until(features, tmp_path / "run", 2)
    other = with_other_encoder(features, tmp_path / "other")
    with pytest.raises(RunError, match=r"other: not the features that .*run began with") as caught:
        resume_run(run, features=other, device="cpu")
    assert "\n" not in str(caught.value)


def with_other_encoder(features: Path, folder: Path) -> Path:
    """A copy of ``features`` that says its images came from another encoder."""
    shutil.copytree(features, folder)
    table = open_table(folder / "images.h5", "image features")
    settings = {**table.config["settings"], "encoder": "another"}
    columns = {name: table.read(name) for name in table.columns}
    write_table(folder / "images.h5", table.kind, {**table.config, "settings": settings}, columns)
    return folder


def test_a_manifest_that_changed_is_not_gone_on_with(features: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(features, tmp_path / "features"))
    run = train_until(copy, tmp_path / "run", 2)
    rows = read_manifest(copy / "manifest.csv").rows
    relabelled = [replace(row, label=row.label.replace("pond", "lake")) for row in rows]
    write_manifest(copy / "manifest.csv", Manifest(tuple(relabelled)))
    with pytest.raises(RunError, match=r"not the features that .*run began with"):
        resume_run(run, device="cpu")


@pytest.mark.parametrize("column", COLUMNS)
def test_a_run_is_not_continued_with_a_manifest_in_which_any_column_changed(
    features: Path, tmp_path: Path, column: str
) -> None:
    """Voices by captions and speakers are left out of training: they decide it too."""
    filled = changed_features(features, tmp_path / "features", all_columns)
    run = train_until(filled, tmp_path / "run", 2)
    rows = list(read_manifest(filled / "manifest.csv").rows)
    if column in ("image", "voice"):
        rows = [*rows[1:], rows[0]]  # the files keep their names: the order of the rows changes
    else:
        other = {"split": "train", "label": "pond"}.get(column, "other")
        image = next(row.image for row in rows if getattr(row, column) != other)
        rows = [replace(r, **{column: other}) if r.image == image else r for r in rows]
    write_manifest(filled / "manifest.csv", Manifest(tuple(rows)))
    with pytest.raises(RunError, match=r"not the features that .*run began with"):
        resume_run(run, device="cpu")


def all_columns(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    split = {"0": "test", "1": "val"}
    return [
        replace(
            row, speaker=("ann", "bob")[number % 2], caption=f"sentence {number}", group=row.image,
            split=split.get(Path(row.image).stem, "train"),
        )
        for number, row in enumerate(rows)
    ]  # fmt: skip


def of_an_earlier_version(run: Path, features: Path) -> None:
    """Give ``run`` the digest of the manifest that earlier versions wrote."""
    rows = read_manifest(features / "manifest.csv").rows
    content = json.dumps([[r.image, r.voice, r.label, r.split, r.group] for r in rows])
    config = json.loads((run / "config.json").read_text())
    config["features"]["manifest_sha256"] = hashlib.sha256(content.encode()).hexdigest()
    (run / "config.json").write_text(json.dumps(config))


def test_a_run_of_an_earlier_version_goes_on_unless_it_depends_on_captions_or_speakers(
    features: Path, tmp_path: Path
) -> None:
    filled = changed_features(features, tmp_path / "features", all_columns)
    run = train_run(filled, tmp_path / "plain", SHORT)
    of_an_earlier_version(run, filled)
    resume_run(run, device="cpu")
    for name, left_out in {
        "speakers": {"without_speakers": ("ann",)}, "captions": {"unseen_captions": True}
    }.items():  # fmt: skip
        run = train_run(filled, tmp_path / name, replace(SHORT, **left_out))
        of_an_earlier_version(run, filled)
        refused = "did not record captions and speakers, which decide what it trains on"
        with pytest.raises(RunError, match=f"{refused}; start a new run with another --out"):
            resume_run(run, device="cpu")
        data = open_features(filled)
        with pytest.raises(RunError, match=f"{refused}; remove the folder {run} and call again"):
            check_run(run, data, manifest_digest(data), replace(SHORT, **left_out))


def test_a_run_that_records_nothing_left_out_is_no_run_without_a_speaker(
    features: Path, tmp_path: Path
) -> None:
    filled = changed_features(features, tmp_path / "features", all_columns)
    run = train_run(filled, tmp_path / "run", SHORT)
    config = json.loads((run / "config.json").read_text())
    del config["left_out"]
    (run / "config.json").write_text(json.dumps(config))
    resume_run(run, device="cpu", expected=SHORT)
    with pytest.raises(RunError, match="was begun with left_out"):
        resume_run(run, device="cpu", expected=replace(SHORT, without_speakers=("ann",)))


def test_training_from_mapped_image_vectors_gives_the_same_run(
    features: Path, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_data, "room", lambda: 0.0)
    mapped = []
    make = training_data.Pairs
    monkeypatch.setattr(
        training_data, "Pairs", lambda *a, **k: mapped.append(k["image_rows"]) or make(*a, **k)
    )
    again = train_run(features, tmp_path / "run", CONFIG)
    assert len(mapped) == 2 and all(rows is not None for rows in mapped)
    assert_same_run(run, again)


def test_resuming_with_other_choices_is_refused_and_with_the_same_it_goes_on(
    features: Path, tmp_path: Path
) -> None:
    run = train_until(features, tmp_path / "run", 2)
    longer = replace(CONFIG, training=replace(TRAINING, epochs=9))
    with pytest.raises(RunError, match=r'was begun with training .*"epochs": 6.*"epochs": 9'):
        resume_run(run, device="cpu", expected=longer)
    resume_run(run, device="cpu", expected=CONFIG)
    assert len(history(run)) == 6


def test_a_folder_without_a_run_cannot_be_gone_on_with(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="none: no such folder; ivr train-hash FEATURES --out"):
        resume_run(tmp_path / "none")


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.safetensors"])
@pytest.mark.parametrize("content", [b"", b"not safetensors", None])
def test_damaged_weights_are_one_line(
    run: Path, tmp_path: Path, name: str, content: bytes | None
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(RunError, match=f"{name}: damaged, not a safetensors file") as caught:
        resume_run(copy, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoint.safetensors"])
def test_weights_of_another_network_are_one_line(run: Path, tmp_path: Path, name: str) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    save_file({"weight": torch.zeros(2)}, copy / name, {"epoch": "6", "best": "0.5"})
    with pytest.raises(RunError, match=r"the weights do not fit .*config.json") as caught:
        resume_run(copy, device="cpu")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"{", "config.json: damaged, not JSON"),
        (b"\xff\xfe", "config.json: damaged, not JSON"),
        (b"[]", "config.json: damaged, not a JSON object"),
        (b"{}", r"config.json: not the config of a run \(method: Field required\)"),
    ],
)
def test_a_damaged_config_is_one_line(
    run: Path, tmp_path: Path, content: bytes, words: str
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "config.json").write_bytes(content)
    for use in (resume_run, encode_run):
        with pytest.raises(RunError, match=words) as caught:
            use(copy)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("method", "future", "no method 'future'"),
        ("options", {"delta": 1}, "DIVHConfig cannot be read: no option 'delta'"),
        ("sizes", {"bits": 16}, "Sizes cannot be read"),
    ],
)
def test_a_config_of_another_version_is_one_line(
    run: Path, tmp_path: Path, name: str, value: object, words: str
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, name: value}))
    with pytest.raises(RunError, match=words):
        encode_run(copy, device="cpu")


def test_a_loss_that_is_not_finite_is_one_line_and_keeps_what_was_done(
    features: Path, tmp_path: Path
) -> None:
    training = replace(TRAINING, learning_rate=1e30)
    config = replace(CONFIG, options=(*OPTIONS, "activation=linear"), training=training)
    with pytest.raises(TrainingError, match="lower the learning rate"):
        train_run(features, tmp_path / "run", config)
    assert_free(tmp_path / "run")
    assert (tmp_path / "run" / "config.json").exists()


def test_validation_is_never_in_training_and_test_is_in_neither(features: Path) -> None:
    data = open_features(features)
    splits = complete_splits(data.manifest, CONFIG.split)
    names = ("forest", "pond", "river")
    vectors = data.image_vectors([item.name for item in data.image_items()])
    place = {row.tobytes(): item for row, item in zip(vectors, data.image_items(), strict=True)}
    assert len(place) == 18
    used = {}
    for split in ("train", "val", "test"):
        pairs = make_pairs(data, splits, split, names, data.voice_items(), ("mfcc",))
        items = [place[row.numpy().tobytes()] for row in pairs.images]
        used[split] = {item.name for item in items}
        assert used[split] == {name for name in splits if splits[name] == split} & {
            item.name for item in data.image_items()
        }
        assert [names[label] for label in pairs.labels] == [item.label for item in items]
        assert len(pairs.frames) == 2 * len(items)
    assert not used["train"] & used["val"]
    assert not (used["train"] | used["val"]) & used["test"]


def test_a_pair_holds_the_voice_of_its_image_whatever_the_order_of_the_rows(
    features: Path, tmp_path: Path
) -> None:
    def shuffled(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
        return [rows[place] for place in np.random.default_rng(0).permutation(len(rows))]

    data = open_features(changed_features(features, tmp_path / "shuffled", shuffled))
    splits = complete_splits(data.manifest, CONFIG.split)
    names, voices = ("forest", "pond", "river"), data.voice_items()
    pairs = make_pairs(data, splits, "train", names, voices, ("delta", "mfcc"))
    for row in range(len(pairs.frames)):
        heard = pairs.voices_of(torch.tensor([row]))[0][0]
        image = int(pairs.voice_image[row])
        (voice,) = (
            item
            for item in voices
            if np.array_equal(data.voice_vectors([item.name], ("delta", "mfcc"))[0][0], heard)
        )
        assert np.array_equal(data.image_vectors([voice.image])[0], pairs.images[image])
        assert names[int(pairs.labels[image])] == voice.label
        assert int(pairs.frames[row]) == data.voice_vectors([voice.name], ("mfcc",))[1][0]


def test_training_sees_nothing_of_the_test_split(features: Path, tmp_path: Path) -> None:
    # Vectors of test items are overwritten; what was learnt must not notice.
    splits = complete_splits(open_features(features).manifest, CONFIG.split)
    copy = Path(shutil.copytree(features, tmp_path / "features"))
    for name, kind in (("images.h5", "image features"), ("voices.h5", "voice features")):
        table = open_table(copy / name, kind)
        columns = {column: table.read(column) for column in table.columns}
        tested = [splits[item] == "test" for item in table.text("names")]
        columns["vectors"][tested] = 1e3
        write_table(copy / name, kind, table.config, columns)
    clean = train_run(features, tmp_path / "clean", CONFIG)
    dirty = train_run(copy, tmp_path / "dirty", CONFIG)
    assert history(clean) == history(dirty)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (clean, dirty))
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_one_voice_an_image_trains_on_half_of_these_voices(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = train_run(features, tmp_path / "one", replace(SHORT, voices="one"))
    assert "training: 12 images, 12 voices" in caplog.text
    assert len(read_codes(one / "codes.h5").voices.names) == 36


def test_streams_are_those_that_were_chosen(features: Path, tmp_path: Path) -> None:
    plain = (*SHORT.options, "network.voice_mean=kept", "network.voice_pool=1")
    config = replace(SHORT, streams=("delta-delta", "mfcc"), options=plain)
    run = train_run(features, tmp_path / "run", config)
    assert read_config(run)["sizes"]["voice_shape"] == [2, 5, 40]
    weights = load_file(run / "model.safetensors")
    data = open_features(features)
    splits = json.loads((run / "splits.json").read_text())
    names = [item.name for item in data.voice_items() if splits[item.name] == "train"]
    vectors, frames = data.voice_vectors(names, ("mfcc", "delta", "delta-delta"))
    true = np.concatenate([v[:, :, :f] for v, f in zip(vectors, frames, strict=True)], axis=2)
    expected = true.astype(np.float64).mean(axis=2)[[2, 0]]
    found = weights["voice.standardise.mean"][..., 0].numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_images_without_voices_and_voices_without_images_are_left_out_of_training(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def incomplete(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
        silent = {row.image for row in rows if row.image.endswith("/0.png")}
        kept = [row for row in rows if row.image not in silent]
        unseen = [replace(row, image="") if row.voice.endswith("1_0.wav") else row for row in kept]
        return [*(ManifestRow(image, "", image.split("/")[1]) for image in sorted(silent)), *unseen]

    copy = changed_features(features, tmp_path / "features", incomplete)
    run = train_run(copy, tmp_path / "run", SHORT)
    codes = read_codes(run / "codes.h5")
    assert len(codes.images.names) == 18
    assert len(codes.voices.names) == 30
    assert sum(image == "" for image in codes.voices.images) == 3
    splits = json.loads((run / "splits.json").read_text())
    spoken = {row.image for row in read_manifest(copy / "manifest.csv").rows if row.voice} - {""}
    trained = [name for name in spoken if splits[name] == "train"]
    assert f"training: {len(trained)} images" in caplog.text


def test_files_that_have_no_features_are_left_out_and_counted(
    features: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def more(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
        return [*rows, ManifestRow("images/damaged.png", "voices/damaged.wav", "pond")]

    copy = changed_features(features, tmp_path / "features", more)
    train_run(copy, tmp_path / "run", SHORT)
    assert "left out, without features: 1 image and 1 voice of the manifest" in (caplog.text)


def test_items_without_a_label_are_encoded_and_not_trained_on(
    features: Path, tmp_path: Path
) -> None:
    def unlabelled(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
        return [replace(row, label="") if "/3.png" in row.image else row for row in rows]

    copy = changed_features(features, tmp_path / "features", unlabelled)
    run = train_run(copy, tmp_path / "run", SHORT)
    images = read_codes(run / "codes.h5").images
    unknown = {s for s, label in zip(images.splits, images.labels, strict=True) if not label}
    assert unknown == {""}
    assert read_config(run)["classes"] == ["forest", "pond", "river"]


def with_splits(rows: Sequence[ManifestRow], splits: dict[str, str]) -> list[ManifestRow]:
    """Rows with the split of the image's number, 0 to 5."""
    return [replace(row, split=splits[row.image[-5]]) for row in rows]


def test_splits_of_the_manifest_are_kept_and_validation_is_cut_from_training_alone(
    features: Path, tmp_path: Path
) -> None:
    given = dict.fromkeys("0123", "train") | dict.fromkeys("45", "test")
    copy = changed_features(features, tmp_path / "features", lambda rows: with_splits(rows, given))
    run = train_run(copy, tmp_path / "run", SHORT)
    images = read_codes(run / "codes.h5").images
    found = dict(zip(images.names, images.splits, strict=True))
    assert {name for name in found if found[name] == "test"} == {
        name for name in found if given[name[-5]] == "test"
    }
    assert sum(split == "val" for split in found.values()) == 3


def test_a_manifest_that_leaves_nothing_to_choose_the_model_on_is_one_line(
    features: Path, tmp_path: Path
) -> None:
    def two_to_train(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
        few = [row for row in rows if row.image[-5] in "012"]
        return with_splits(few, {"0": "train", "1": "train", "2": "test"})

    copy = changed_features(features, tmp_path / "features", two_to_train)
    with pytest.raises(RunError, match=r"no labelled image of split val has a voice"):
        train_run(copy, tmp_path / "run", CONFIG)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda rows: [row for row in rows if row.label == "pond"],
            "'pond' is the only class; training and testing need two or more",
        ),
        (lambda rows: [replace(row, label="") for row in rows], "no item has a label"),
        (lambda rows: [replace(row, split="train") for row in rows], "no item is in split test"),
    ],
)
def test_data_that_cannot_be_split_is_one_line(
    features: Path,
    tmp_path: Path,
    change: Callable[[Sequence[ManifestRow]], Sequence[ManifestRow]],
    words: str,
) -> None:
    copy = changed_features(features, tmp_path / "features", change)
    with pytest.raises(ManifestError, match=words) as caught:
        train_run(copy, tmp_path / "run", CONFIG)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_features_of_images_alone_cannot_be_trained_on(features: Path, tmp_path: Path) -> None:
    def images(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
        names = dict.fromkeys(row.image for row in rows)
        return [ManifestRow(name, "", name.split("/")[1]) for name in names]

    copy = changed_features(features, tmp_path / "features", images)
    with pytest.raises(RunError, match="training needs images and voices"):
        train_run(copy, tmp_path / "run", CONFIG)


def test_describing_a_run_writes_nothing(features: Path, tmp_path: Path) -> None:
    before = sorted(features.iterdir())
    described = json.loads(describe_run(features, CONFIG))
    assert described["images"] == {"train": 12, "val": 3, "test": 3}
    assert described["options"]["gamma"] == 0.5
    assert sorted(features.iterdir()) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"method": "dvih"}, "no method 'dvih'; did you mean divh"),
        ({"bits": 12}, "bits must be one of 8, 16, 24, .* got 12"),
        ({"voices": "two"}, "voices must be one or all, got 'two'"),
        ({"streams": ("mfcc", "mfcc")}, "streams must be given once each, got mfcc,mfcc"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"options": ("gama=1",)}, "no option 'gama'; did you mean gamma"),
    ],
)
def test_a_run_that_cannot_be_is_refused_before_anything_is_read(
    changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValueError, match=words):
        replace(CONFIG, **changes)
    if "options" in changes:
        with pytest.raises(OptionError):
            replace(CONFIG, **changes)


def spoken_by(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
    """Two speakers in turn, and four sentences."""
    return [
        replace(row, speaker=("ann", "bob")[place % 2], caption=f"Sentence  {place % 4}.")
        for place, row in enumerate(rows)
    ]


def trained_voices(run: Path, data: FeatureDataset) -> tuple[set[str], set[str]]:
    """Names of the voices that a run trained on or was chosen on, and those tested on."""
    chosen, splits = read_config(run), json.loads((run / "splits.json").read_text())
    kept = {voice.name for voice in kept_voices(data, splits, chosen["left_out"])}
    used = {name for name in kept if splits[name] != "test"}
    return used, {voice.name for voice in data.voice_items() if splits[voice.name] == "test"}


def test_a_speaker_left_out_is_heard_by_nothing_but_the_test(
    features: Path, tmp_path: Path
) -> None:
    folder = changed_features(features, tmp_path / "spoken", spoken_by)
    data = open_features(folder)
    run = train_run(folder, tmp_path / "run", replace(SHORT, without_speakers=("ann",)))
    used, _ = trained_voices(run, data)
    speaker = {voice.name: voice.speaker for voice in data.voice_items()}
    assert {speaker[name] for name in used} == {"bob"}
    assert read_config(run)["left_out"] == {"speakers": ["ann"], "captions_of_test": False}
    spelled = train_run(folder, tmp_path / "ANN", replace(SHORT, without_speakers=("ANN ",)))
    assert read_config(spelled)["left_out"] == read_config(run)["left_out"]
    assert trained_voices(spelled, data) == trained_voices(run, data)
    with pytest.raises(RunError, match="no voice of 'eve'; there are voices of ann, bob"):
        train_run(folder, tmp_path / "none", replace(SHORT, without_speakers=("eve",)))
    with pytest.raises(RunError, match="was begun with left_out"):
        resume_run(run, expected=SHORT)


def test_no_sentence_of_the_test_is_trained_on_where_that_is_asked_for(
    features: Path, tmp_path: Path
) -> None:
    def sentences(rows: Sequence[ManifestRow]) -> list[ManifestRow]:
        captions = {True: "A  pond!", False: "a river"}
        return [replace(r, caption=captions[r.image.endswith(("0.png", "1.png"))]) for r in rows]

    folder = changed_features(features, tmp_path / "captions", sentences)
    data = open_features(folder)
    rows = [
        replace(row, split={"0": "test", "5": "val"}.get(Path(row.image).stem, "train"))
        for row in data.manifest.rows
    ]
    write_manifest(folder / "manifest.csv", Manifest(tuple(rows)))
    data = open_features(folder)
    run = train_run(folder, tmp_path / "run", replace(SHORT, unseen_captions=True))
    used, tested = trained_voices(run, data)
    caption = {voice.name: voice.caption for voice in data.voice_items()}
    assert {caption[name] for name in tested} == {"A  pond!"}
    assert {caption[name] for name in used} == {"a river"}
    with pytest.raises(RunError, match="the manifest has no captions to recognise sentences by"):
        train_run(features, tmp_path / "none", replace(SHORT, unseen_captions=True))


def test_config_json_records_the_spellings_that_the_extraction_merged(
    features: Path, tmp_path: Path
) -> None:
    shutil.copytree(features, tmp_path / "merged")
    merged = [{"column": "label", "kept": "pond", "rows": {"Pond": 1, "pond": 11}}]
    (tmp_path / "merged" / "spellings.json").write_text(json.dumps(merged))
    described = json.loads(describe_run(tmp_path / "merged", SHORT))
    assert described["features"]["merged_spellings"] == merged
    assert "merged_spellings" not in json.loads(describe_run(features, SHORT))["features"]


def test_dvan_reads_mfcc_alone_unless_streams_are_named(features: Path, tmp_path: Path) -> None:
    config = replace(SHORT, method="dvan", options=())
    for streams, read in (((), ["mfcc"]), (("delta", "mfcc"), ["delta", "mfcc"])):
        run = train_run(features, tmp_path / "-".join(read), replace(config, streams=streams))
        assert read_config(run)["streams"] == read
