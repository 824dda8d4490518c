"""Nothing is sent anywhere, by no process, but for the one download that ``imagenet`` names."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import TINY_VOICE

# Python imports this at the start of every process, the readers of joblib too. What is not between
# processes of this machine is written down and refused.
WATCH = """
import os, socket, sys
LOG = {log!r}
REFUSED = {{"socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr",
           "socket.getnameinfo", "socket.connect", "socket.bind", "socket.sendto",
           "socket.sendmsg"}}
def note(line):
    handle = os.open(LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, (line + "\\n").encode())
    os.close(handle)
def watch(event, arguments):
    if event == "socket.bind" and arguments[1][0] in ("::1", "127.0.0.1"):
        return  # urllib3, which boto3 and thus TensorBoard imports, looks whether there is IPv6
    if event in REFUSED and getattr(arguments[0], "family", None) != socket.AF_UNIX:
        note(f"{{event}} {{arguments}}")
        raise OSError(101, "Network is unreachable")
sys.addaudithook(watch)
note(f"watched {{os.getpid()}}")
"""

CALLS = """
import json, sys
from click.testing import CliRunner
from ivr.cli import main
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.demo import main_job
main_job.TRAINING = TrainConfig(epochs=1, batch_size=32)  # of the demonstration
for arguments in json.loads(sys.argv[1]):
    result = CliRunner().invoke(main, arguments)
    print(json.dumps([arguments[0], result.exit_code, result.stderr, repr(result.exception)]))
"""

EXTRACT = ("--encoder", "squeezenet1_0", "--device", "cpu", "--jobs", "2")
TRAIN = ("--bits", "16", "--device", "cpu", "--batch-size", "6", "--epochs", "1")


@dataclass(frozen=True)
class Watched:
    """What calls in one process did.

    Attributes:
        statuses: exit status of each command.
        errors: what each command said.
        processes: that were watched.
        traffic: what was refused, a line each.
    """

    statuses: dict[str, int]
    errors: dict[str, str]
    processes: int
    traffic: list[str]


def watched(folder: Path, *calls: tuple[object, ...]) -> Watched:
    (folder / "sitecustomize.py").write_text(WATCH.format(log=str(folder / "log")))
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "TORCH_HOME": str(folder / "torch")}
    arguments = json.dumps([[str(part) for part in call] for call in calls])
    command = [sys.executable, "-c", CALLS, arguments]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    done = [json.loads(line) for line in result.stdout.splitlines()]
    log = (folder / "log").read_text().splitlines()
    return Watched(
        {name: status for name, status, _, _ in done},
        {name: f"{said}{exception}" for name, _, said, exception in done},
        len({line for line in log if line.startswith("watched ")}),
        [line for line in log if not line.startswith("watched ")],
    )


def test_the_main_job_sends_nothing(media_set: Path, tmp_path: Path) -> None:
    features, run, out = tmp_path / "features", tmp_path / "run", tmp_path / "codes.h5"
    settings = [f"{name}={getattr(TINY_VOICE, name)}" for name in ("frames", "coefficients")]
    options = [part for setting in settings for part in ("--voice-option", setting)]
    random = ("--weights", "random", *EXTRACT, *options)
    done = watched(
        tmp_path,
        ("check", media_set / "manifest.csv"),
        ("extract", media_set / "manifest.csv", "--out", features, *random),
        ("verify", features),
        ("train-hash", features, "--out", run, *TRAIN),
        ("encode", run, "--out", out, "--device", "cpu"),
        ("evaluate", run),
        ("search", run, "--voice", media_set / "voices/pond/0_0.wav", "--device", "cpu"),
    )
    assert set(done.statuses.values()) == {0}, done.errors
    assert done.traffic == []
    assert done.processes > 2  # the readers of voices among them


@pytest.mark.skipif(find_spec("espeakng_loader") is None, reason="needs pip install .[demo]")
def test_the_demonstration_sends_nothing(tmp_path: Path) -> None:
    small = ("--classes", "2", "--images-per-class", "10", "--voices-per-image", "1")
    done = watched(tmp_path, ("demo", "--out", tmp_path / "demo", *small))
    assert done.statuses == {"demo": 0}, done.errors
    assert done.traffic == []


def test_imagenet_weights_alone_ask_the_network_and_say_where_a_file_belongs(
    media_set: Path, tmp_path: Path
) -> None:
    call = ("extract", media_set / "manifest.csv", "--out", tmp_path / "out", *EXTRACT)
    done = watched(tmp_path, call)
    assert done.statuses == {"extract": 1}
    (said,) = done.errors["extract"].removesuffix("SystemExit(1)").splitlines()
    place = tmp_path / "torch" / "hub" / "checkpoints" / "squeezenet1_0-b66bff10.pth"
    assert said.startswith("Error: the ImageNet weights of squeezenet1_0 could not be downloaded")
    assert f"put https://download.pytorch.org/models/{place.name} at {place}" in said
    assert done.traffic
    assert all("'download.pytorch.org'" in line for line in done.traffic)
