"""After any kill a run folder holds the old run or the new one, and one of three calls goes on."""

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file

from ivr.errors import IvrError
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import RunError, read_config
from ivr.pipeline.runs.train import finish_run, replace_run, resume_run, train_result, train_run
from ivr.pipeline.runs.verify import verify

OLD = RunConfig("lsh", bits=16, voices="all", device="cpu", seed=1)
NEW = replace(OLD, bits=8, seed=2)
OPERATIONS = ("open", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.link")


class Killed(BaseException):
    """The process is gone: nothing that it does with files from then on has an effect."""


class Death:
    """Counts operations on files below a folder and stops all of them from one on."""

    def __init__(self) -> None:
        self.below, self.left, self.done = "", -1, 0
        sys.addaudithook(self)

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if self.below and event in OPERATIONS and str(arguments[0]).startswith(self.below):
            if event == "open" and not _writes(arguments):
                return
            self.done += 1
            if self.done > self.left >= 0:
                raise Killed

    @contextmanager
    def after(self, operations: int, folder: Path) -> Iterator[None]:
        """Stop everything in ``folder`` after so many operations; -1 only counts them."""
        self.below, self.left, self.done = str(folder), operations, 0
        try:
            yield
        finally:
            self.below = ""


def _writes(arguments: tuple[object, ...]) -> bool:
    """Return whether an open may change a file, from the mode or the flags of the audit event."""
    mode, flags = arguments[1], arguments[2]
    return any(letter in str(mode) for letter in "wax+") if mode else bool(int(str(flags)) & 3)


@pytest.fixture(scope="module")
def death() -> Iterator[Death]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda _: None)  # the machine does not stop here
        yield Death()


@pytest.fixture(scope="module")
def old(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with results and notes of its user, read only."""
    run = train_run(features, tmp_path_factory.mktemp("old") / "run", OLD)
    (run / "results.json").write_text("{}")
    (run / "notes.txt").write_text("mine")
    return run


def whole(run: Path) -> bool:
    """Return whether ``run`` is a finished run of which every byte is as it was written."""
    with suppress(IvrError):
        train_result(run)
        return verify(run).whole and (run / "codes.h5").exists()
    return False


def killed_everywhere(
    death: Death, place: Path, begin: Callable[[], object], act: Callable[[], object]
) -> Iterator[int]:
    """Yield after ``act`` was stopped at each of its operations in ``place`` in turn."""
    begin()
    with death.after(-1, place):
        act()
    operations = death.done
    assert operations > 10
    for number in range(operations):
        begin()
        with death.after(number, place), pytest.raises(Killed):
            act()
        yield number


def test_a_new_run_that_is_killed_is_there_whole_or_can_be_begun(
    features: Path, tmp_path: Path, death: Death
) -> None:
    run, ways = tmp_path / "run", set()
    wanted = load_file(train_run(features, tmp_path / "whole", NEW) / "model.safetensors")
    for _ in killed_everywhere(
        death, run,
        lambda: shutil.rmtree(run, ignore_errors=True), lambda: train_run(features, run, NEW),
    ):  # fmt: skip
        if (run / "config.json").exists():
            with pytest.raises(RunError, match="continue it with --resume"):
                train_run(features, run, NEW)
            resume_run(run, device="cpu")
            ways.add("resume")
        else:
            with pytest.raises(RunError, match=r"no such folder|not a run folder"):
                resume_run(run, device="cpu")
            train_run(features, run, NEW)
            ways.add("new")
        assert whole(run)
        assert all(
            (load_file(run / "model.safetensors")[name] == wanted[name]).all() for name in wanted
        )
    assert ways == {"new", "resume"}


def test_the_old_run_stays_until_the_new_one_is_complete(
    features: Path, tmp_path: Path, death: Death, old: Path
) -> None:
    run, found = tmp_path / "run", set()

    def begin() -> None:
        shutil.rmtree(run, ignore_errors=True)
        shutil.copytree(old, run)

    for number in killed_everywhere(death, run, begin, lambda: replace_run(features, run, NEW)):
        moving = any((run / f".replacement.{name}").exists() for name in ("complete", "moving"))
        assert moving or (whole(run) and read_config(run)["seed"] in (1, 2))
        assert (run / "notes.txt").read_text() == "mine"
        begun = moving or (run / ".replacement" / "config.json").exists()
        if number % 2:
            resume_run(run, device="cpu")
            done = read_config(run)["seed"]
            assert done == 2 or not begun
            found.add(("resume", done))
        else:
            replace_run(features, run, NEW)
            found.add(("overwrite", read_config(run)["seed"]))
        assert whole(run)
        assert (run / "notes.txt").read_text() == "mine"
        assert (run / "results.json").exists() == (read_config(run)["seed"] == 1)
        assert not list(run.glob(".replacement*"))
    assert found == {("resume", 1), ("resume", 2), ("overwrite", 2)}


def test_a_run_that_replaces_another_goes_on_after_its_last_epoch(
    features: Path, tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(old, tmp_path / "run"))
    config = replace(
        NEW, method="csq",
        training=TrainConfig(epochs=3, batch_size=8, validate_every=1),
        options=("network.voice_channels=4", "network.voice_stride=1", "network.voice_kernel=3"),
    )  # fmt: skip
    alone = train_run(features, tmp_path / "alone", config)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            "ivr.pipeline.runs.checkpoint.write_events",
            lambda _, epoch: (
                (_ for _ in ()).throw(KeyboardInterrupt) if epoch.number == 2 else None
            ),
        )
        replace_run(features, run, config)
    assert read_config(run)["method"] == "lsh"
    assert whole(run)
    resume_run(run, device="cpu")
    ours, theirs = (load_file(place / "model.safetensors") for place in (run, alone))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_a_new_run_takes_no_checkpoint_of_another(
    features: Path, tmp_path: Path, old: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"

    def prepared_while_another_begins(*arguments: object) -> object:
        monkeypatch.undo()
        ready = prepared(*arguments)
        shutil.copytree(old, run)
        return ready

    from ivr.pipeline.runs.train import prepared

    monkeypatch.setattr("ivr.pipeline.runs.train.prepared", prepared_while_another_begins)
    with pytest.raises(RunError, match="exists already"):
        train_run(features, run, NEW)
    assert read_config(run)["seed"] == 1
    (run / "config.json").unlink()
    with pytest.raises(RunError, match="exists already and holds no run"):
        train_run(features, run, NEW)
    with pytest.raises(RunError, match="exists already and holds no run"):
        finish_run(features, run, NEW)


def test_a_run_without_splits_says_the_one_way_on(
    features: Path, tmp_path: Path, old: Path
) -> None:
    """An earlier version wrote the config first: a kill left it alone."""
    run = tmp_path / "run"
    run.mkdir()
    shutil.copy(old / "config.json", run)
    with pytest.raises(RunError, match="start it anew with ivr train-hash --overwrite"):
        resume_run(run, device="cpu")
    replace_run(features, run, NEW)
    assert whole(run)
    assert json.loads((run / "config.json").read_text())["seed"] == 2
