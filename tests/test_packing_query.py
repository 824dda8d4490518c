"""Queries with a packed model where torch and its kin are not installed, and what they need."""

import json
import re
import socket
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import SAMPLE_RATE, assert_one_line, ivr, succeeded
from tiny_world import World, tiny_blueprint

import ivr as public
from ivr.features import encoders
from ivr.features.media import MediaError
from ivr.pipeline.packing.requirements import LIBRARIES
from ivr.pipeline.packing.search import SearchError

HEAVY = ("torch", "torchvision", "librosa", "numba", "sklearn", "pandas", "matplotlib", "lancedb")

# Refuses the packages as if they were not installed, runs a command, and names what was loaded.
CALL = """
import json, sys
class Without:
    def __init__(self, finder):
        self.finder = finder
    def __getattr__(self, name):
        return getattr(self.finder, name)
    def find_spec(self, name, path=None, target=None):
        blocked = name.partition(".")[0] in {blocked!r}
        return None if blocked else self.finder.find_spec(name, path, target)
sys.meta_path[:] = [Without(finder) for finder in sys.meta_path]
from click.testing import CliRunner
from ivr.cli import main
result = CliRunner().invoke(main, json.loads(sys.argv[1]))
names = sorted({{name.partition(".")[0] for name in sys.modules}})
print(json.dumps([result.exit_code, result.stdout, result.stderr, names]))
"""


def in_a_process(
    *arguments: object, blocked: tuple[str, ...] = ()
) -> tuple[int, str, str, set[str]]:
    """Exit status, output, errors and top-level modules of ``ivr`` in a process of its own."""
    code, call = CALL.format(blocked=set(blocked)), json.dumps([*map(str, arguments)])
    done = subprocess.run(
        [sys.executable, "-c", code, call], capture_output=True, text=True, check=True
    )
    status, output, errors, names = json.loads(done.stdout)
    return status, output, errors, set(names)


@pytest.fixture
def queries(world: World) -> tuple[tuple[str, Path], ...]:
    return (("--voice", world.media / "pond_1.wav"), ("--image", world.media / "river_2.png"))


def test_a_query_loads_neither_torch_nor_librosa_and_finds_what_the_run_finds(
    packed: Path,
    world: World,
    queries: tuple[tuple[str, Path], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:

    monkeypatch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)
    for option, path in queries:
        call = ("--codes", world.run / "codes.h5", option, path, "--count", 5)
        by_run = succeeded(ivr("search", world.run, *call))

        status, output, errors, names = in_a_process("search", packed, *call)

        assert (status, output, errors) == (0, by_run.stdout, by_run.stderr)
        assert names & set(HEAVY) == set()


def test_a_missing_onnxruntime_is_one_line(packed: Path, world: World) -> None:
    call = ("--codes", world.run / "codes.h5", "--voice", world.media / "pond_1.wav")

    status, output, errors, _ = in_a_process("search", packed, *call, blocked=("onnxruntime",))

    assert (status, output) == (1, "")
    assert errors == (
        "Error: a packed model needs onnxruntime: pip install 'image-voice-hashing[serve]'\n"
    )


def plain_name(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def needed_by(names: set[str]) -> set[str]:
    """Return ``names`` of distributions and of all that they require, as far as installed."""
    found: set[str] = set()
    left = set(names)
    while left:
        name = plain_name(left.pop())
        if name in found:
            continue
        try:
            required = distribution(name).requires or []
        except PackageNotFoundError:  # for another system or an older Python
            continue
        found.add(name)
        plain = [text for text in required if "extra ==" not in text]
        left |= {re.split(r"[^\w.-]", text)[0] for text in plain}
    return found


def test_a_query_is_answered_where_the_requirements_and_nothing_else_are_installed(
    packed: Path, world: World, queries: tuple[tuple[str, Path], ...], tmp_path: Path
) -> None:
    kept = needed_by(set(LIBRARIES)) | {"image-voice-hashing"}
    blocked = tuple(
        module
        for module, owners in packages_distributions().items()
        if not {plain_name(owner) for owner in owners} & kept
    )
    assert set(HEAVY) - {"lancedb"} <= set(blocked)
    for option, path in queries:
        call = ("search", packed, "--codes", world.run / "codes.h5", option, path)

        status, output, errors, names = in_a_process(*call, blocked=blocked)

        assert status == 0, errors
        assert len(output.splitlines()) == 10
        assert names & set(HEAVY) == set()
    public.archive_create(tmp_path / "tiles", packed)
    public.archive_add(tmp_path / "tiles", world.media / "manifest.csv", jobs=1)
    for option, path in queries:
        call = ("search", tmp_path / "tiles", option, path)
        status, output, errors, names = in_a_process(*call, blocked=blocked)
        assert status == 0, errors
        assert "confidence" in output
    with socket.create_server(("127.0.0.1", 0)) as taken:  # the service has imported all by then
        call = ("serve", tmp_path / "tiles", "--port", taken.getsockname()[1])
        status, _, errors, names = in_a_process(*call, blocked=blocked)
    assert (status, "cannot listen there" in errors) == (1, True), errors
    assert {"fastapi", "uvicorn"} <= names
    assert f"numpy=={np.__version__}" in (packed / "requirements.txt").read_text().splitlines()


def test_a_recording_is_read_from_the_standard_input(packed: Path, world: World) -> None:
    from click.testing import CliRunner

    from ivr.cli import main

    voice, codes = world.media / "pond_1.wav", world.run / "codes.h5"
    call = ["search", str(packed), "--codes", str(codes), "--count", "3", "--voice"]
    by_name = ivr(*call, voice)

    result = CliRunner().invoke(main, [*call, "-"], input=voice.read_bytes())

    assert (result.exit_code, result.stdout) == (0, by_name.stdout)
    empty = CliRunner().invoke(main, [*call, "-"], input=b"")
    assert_one_line(empty, "-: no content was given")
    cut = CliRunner().invoke(main, [*call, "-"], input=voice.read_bytes()[:60])
    assert_one_line(cut, "-: cut short")


def test_what_is_odd_about_the_recording_is_said(packed: Path, world: World) -> None:
    content = BytesIO()
    soundfile.write(content, np.zeros(SAMPLE_RATE), SAMPLE_RATE, format="WAV")
    (world.media.parent / "silent.wav").write_bytes(content.getvalue())
    path = world.media.parent / "silent.wav"

    found = ivr("search", packed, "--codes", world.run / "codes.h5", "--voice", path)

    assert found.exit_code == 0
    assert f"problem: {path}: zeros only\n" in found.stderr


def test_a_packed_model_is_searched_with_codes_of_its_run_only(
    packed: Path, world: World, tmp_path: Path
) -> None:
    voice = world.media / "pond_1.wav"
    with pytest.raises(SearchError, match="holds no codes"):
        public.search(packed, voice=voice)
    public.train(world.features, tmp_path / "other", bits=8, method="lsh", device="cpu")
    with pytest.raises(SearchError, match="was not made with the model of"):
        public.search(packed, voice=voice, codes=tmp_path / "other" / "codes.h5")
    with pytest.raises(SearchError, match="give exactly one of them"):
        public.search(packed, codes=world.run / "codes.h5")
    with pytest.raises(MediaError, match=r"pond_1.wav: not a JPEG"):
        public.search(packed, image=voice, codes=world.run / "codes.h5")
