"""A training reports to a server, shows its worst queries and writes few lines in a log."""

import importlib.util
import json
import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import assert_one_line, ivr, succeeded
from source_tree import ROOT
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_world import World

from ivr.hashing.trainer import Epoch
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.runs import learning, reporter_names
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.reports import ReportError, reporting_to
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.tensorboard_events import write_worst_queries
from ivr.pipeline.runs.train import train
from ivr.pipeline.runtime.config_options import OptionError

SHORT = ("--bits", 8, "--epochs", 3, "--device", "cpu")


class Told:
    """A reporter that keeps what it is told."""

    calls: "list[object]" = []  # noqa: RUF012
    fails_at = ""

    def _note(self, what: str, *values: object) -> None:
        if what == self.fails_at:
            raise OSError(f"no server for {what}\nsecond line")
        self.calls.append((what, *values))

    def begin(self, run: Path, parameters: Mapping[str, object]) -> None:
        self._note("begin", run, dict(parameters))

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        self._note("epoch", number, dict(metrics))

    def end(self, finished: bool) -> None:
        self._note("end", finished)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> type[Told]:
    monkeypatch.setattr(Told, "calls", [])
    monkeypatch.setattr(Told, "fails_at", "")
    return Told


NAME = f"{__name__}:Told"


def epoch(number: int) -> Epoch:
    return Epoch(number, {"loss": 1.0}, 0.1, 0.25, 0.5, 1.0, 10.0)


def test_a_reporter_is_told_choices_epochs_and_the_end(
    features: Path, tmp_path: Path, told: type[Told]
) -> None:
    train(
        features, tmp_path / "run", bits=8, training={"epochs": 2}, device="cpu", report_to=(NAME,)
    )
    begin, first, second, end = told.calls
    assert begin[:2] == ("begin", tmp_path / "run")  # type: ignore[index]
    chosen = begin[2]  # type: ignore[index]
    assert chosen["method"] == "divh" and chosen["training.epochs"] == 2
    assert chosen["streams"] == "mfcc,delta,delta-delta" and "report_to" not in chosen
    kept = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").open()]
    for line, (what, number, metrics) in zip(kept, (first, second), strict=True):  # type: ignore[misc]
        assert (what, number) == ("epoch", line["number"])
        assert metrics["loss/loss"] == line["losses"]["loss"]
    assert second[2]["validation_mAP_percent/image_to_voice"] == 100 * kept[1]["image_to_voice"]  # type: ignore[index]
    assert end == ("end", True)


def test_a_resumed_run_reports_each_epoch_once(told: type[Told], tmp_path: Path) -> None:
    with reporting_to((NAME,), tmp_path, {}, [epoch(1), epoch(2)]) as report:
        for number in (2, 3):  # the checkpoint is that of epoch 1
            report(epoch(number))
    assert [call[1] for call in told.calls if call[0] == "epoch"] == [1, 2, 3]  # type: ignore[index]


def test_a_training_that_fails_ends_its_report_as_failed(told: type[Told], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), reporting_to((NAME,), tmp_path, {}, ()):
        raise KeyboardInterrupt
    assert told.calls[-1] == ("end", False)


def test_a_server_that_is_gone_ends_the_report_and_not_the_training(
    told: type[Told], tmp_path: Path, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(told, "fails_at", "epoch")
    with reporting_to((NAME,), tmp_path, {}, ()) as report:
        report(epoch(1))
        report(epoch(2))
    (line,) = (r.getMessage() for r in caplog.records if r.levelname == "WARNING")
    assert line == f"reports to {NAME} end: no server for epoch"
    monkeypatch.setattr(told, "fails_at", "begin")
    with (
        pytest.raises(ReportError, match="cannot begin a report") as info,
        reporting_to((NAME,), tmp_path, {}, ()),
    ):
        pass
    assert "\n" not in str(info.value)


def test_a_reporter_that_is_not_there_is_one_line(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = ("train-hash", features, "--out", tmp_path / "run", *SHORT, "--report-to")
    assert_one_line(ivr(*call, "mlfow"), "no reporter 'mlfow'; did you mean mlflow?", status=2)
    found = importlib.util.find_spec
    monkeypatch.setattr(
        reporter_names, "find_spec", lambda name: None if name == "mlflow" else found(name)
    )
    words = "mlflow is not installed: pip install 'image-voice-hashing[mlflow]'"
    assert_one_line(ivr(*call, "mlflow"), words, status=2)
    compared = ("compare", features, "--out", tmp_path / "out", "--report-to", "mlflow")
    assert_one_line(ivr(*compared), words, status=2)
    with pytest.raises(OptionError, match="mlflow is not installed"):
        RunConfig(report_to=("mlflow",))
    assert list(tmp_path.iterdir()) == []


def test_mlflow_holds_parameters_and_metrics_of_a_run(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="the extra mlflow is not installed")
    from mlflow.tracking import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "server").as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "tiny")
    train(features, tmp_path / "run", bits=8, training={"epochs": 2}, device="cpu",
          report_to=("mlflow",))  # fmt: skip
    client = MlflowClient()
    experiment = client.get_experiment_by_name("tiny")
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("run", "FINISHED")
    assert (run.data.params["method"], run.data.params["training.epochs"]) == ("divh", "2")
    kept = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").open()]
    found = client.get_metric_history(run.info.run_id, "loss/loss")
    assert [(m.step, m.value) for m in found] == [(e["number"], e["losses"]["loss"]) for e in kept]
    assert run.data.metrics["validation_mAP_percent/voice_to_image"] == pytest.approx(
        100 * kept[1]["voice_to_image"]
    )


def test_tensorboard_shows_the_worst_validation_queries(world: World, tmp_path: Path) -> None:
    run = shutil.copytree(world.run, tmp_path / "run")
    shutil.rmtree(run / "tensorboard")
    (run / "tensorboard").mkdir()
    config = json.loads((run / "config.json").read_text())
    config["features"]["folder"] = str(world.media / "features")
    (run / "config.json").write_text(json.dumps(config))
    codes = read_codes(run / "codes.h5")
    validation = {
        n for n, s in zip(codes.voices.names, codes.voices.splits, strict=True) if s == "val"
    }
    drawn = write_worst_queries(run)
    assert 0 < drawn <= min(4, len(validation))
    events = EventAccumulator(str(run / "tensorboard")).Reload()
    assert events.Tags()["images"] == [f"worst validation queries/{n + 1}" for n in range(drawn)]
    for tag in events.Tags()["tensors"]:
        (text,) = events.Tensors(tag)
        assert text.tensor_proto.string_val[0].decode() in validation
    config["features"]["folder"] = str(tmp_path / "elsewhere" / "deep" / "features")
    (run / "config.json").write_text(json.dumps(config))
    assert write_worst_queries(run) == 0


def log_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, scores: "list[float | None]"
) -> list[str]:
    """The numbers of the epochs in the log of a training with these validation scores."""
    from test_runs_learning import pairs

    from ivr.hashing.methods import method_entry
    from ivr.hashing.networks import Sizes
    from ivr.hashing.trainer import resolved

    def epochs(*_: object, **__: object) -> "object":
        for number, score in enumerate(scores, 1):
            yield Epoch(number, {"loss": 1.0}, 0.1, score, score, 1.0, 1.0)

    monkeypatch.setattr(learning, "train", epochs)
    caplog.set_level("INFO", "ivr")
    entry = method_entry("csq")
    model = entry.build(entry.config(), Sizes(4, (1, 3, 8), 8, 2))
    config = resolved(TrainConfig(epochs=len(scores), batch_size=4), type(model))
    learning.learn(model, (pairs(), pairs()), config, torch.device("cpu"), seed=0,
                   recorder=learning.MemoryRecorder())  # fmt: skip
    lines = [r.getMessage() for r in caplog.records if r.getMessage().startswith("epoch ")]
    assert all("loss 1.0000" in line for line in lines)
    return [line.split(":")[0].removeprefix("epoch ").split("/")[0] for line in lines]


def test_a_log_has_the_first_epoch_tenths_new_bests_and_the_last(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    scores: list[float | None] = [None] * 45
    scores[6], scores[7], scores[12], scores[13] = 0.5, 0.4, 0.6, 0.6
    told = log_of(monkeypatch, caplog, scores)
    tenths = [int(np.ceil(45 * share / 10)) for share in range(1, 11)]
    assert told == [str(number) for number in sorted({1, 7, 13, *tenths})]
    assert "best 50.00 in epoch 7" in caplog.text and "best 60.00 in epoch 13" in caplog.text


def test_a_report_is_not_part_of_the_choices_of_a_run(features: Path, tmp_path: Path) -> None:
    succeeded(ivr("train-hash", features, "--out", tmp_path / "run", *SHORT))
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert "report_to" not in config


def log_records(data: bytes) -> Iterator[bytes]:
    """Yield the records of a log of LevelDB in blocks of 32 KiB, after seven bytes of wandb."""
    place, parts = 7, b""
    while place + 7 <= len(data):
        if 32768 - place % 32768 < 7:  # the rest of a block is empty
            place += 32768 - place % 32768
            continue
        size, kind = int.from_bytes(data[place + 4 : place + 6], "little"), data[place + 6]
        parts += data[place + 7 : place + 7 + size]
        place += 7 + size
        if kind in (1, 4):  # whole, or the last part
            yield parts
            parts = b""


def test_the_class_for_weights_and_biases_of_the_documentation_works(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb", reason="wandb is not installed: pip install wandb")
    from wandb.proto.wandb_internal_pb2 import Record

    page = (ROOT / "docs" / "how-to" / "watch-a-training.md").read_text()
    (code,) = re.findall(r"```python\n(import os\n\nimport wandb.*?)```", page, re.DOTALL)
    (tmp_path / "my_reporters.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    for name, value in {"MODE": "offline", "DIR": str(tmp_path), "SILENT": "true"}.items():
        monkeypatch.setenv(f"WANDB_{name}", value)
    train(features, tmp_path / "run", bits=8, training={"epochs": 2}, device="cpu",
          report_to=("my_reporters:WandB",))  # fmt: skip
    (file,) = tmp_path.glob("wandb/offline-run-*/*.wandb")
    told = []
    for data in log_records(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        told.append(record)
    (begun,) = (record.run for record in told if record.WhichOneof("record_type") == "run")
    assert (begun.project, begun.display_name) == ("ivr", "run")
    chosen = {one.key: json.loads(one.value_json) for one in begun.config.update}
    assert (chosen["method"], chosen["training.epochs"]) == ("divh", 2)
    kept = [json.loads(line) for line in (tmp_path / "run" / "history.jsonl").open()]
    epochs = [
        {
            (item.key or ".".join(item.nested_key)): json.loads(item.value_json)
            for item in one.history.item
        }
        for one in told
        if one.WhichOneof("record_type") == "history"
    ]
    assert [one["_step"] for one in epochs] == [line["number"] for line in kept]
    assert [one["loss/loss"] for one in epochs] == [line["losses"]["loss"] for line in kept]
    (end,) = (record.exit for record in told if record.WhichOneof("record_type") == "exit")
    assert end.exit_code == 0
