import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from fake_code_maker import FakeCodeMaker, use
from test_archive_locate import scene

from ivr.cli import main
from ivr.features import encoders
from ivr.pipeline.packing.calibration import Calibration

from tiny_world import World, tiny_blueprint  # isort: skip


def ivr(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_a_voice_is_located_with_a_trained_run(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    path = scene(tmp_path / "scene.tif", pixels)
    voice = next(world.media.glob("*.wav"))
    heat, places = tmp_path / "heat.tif", tmp_path / "places.geojson"
    result = ivr(
        "locate", path, "--voice", voice, "--model", world.run, "--tile", "16", "--device", "cpu",
        "--count", "2", "--out", heat, "--places", places, "--json",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["windows"], found["stride"], found["bits"]) == (24, 8, 8)
    assert len(found["queries"][0]["places"]) == 2
    assert heat.exists()
    assert len(json.loads(places.read_text())["features"]) == 2


@pytest.fixture
def maker(monkeypatch: pytest.MonkeyPatch) -> FakeCodeMaker:
    return use(monkeypatch)


def test_places_are_lines_of_rank_distance_and_window(maker: FakeCodeMaker, tmp_path: Path) -> None:
    pixels = np.full((8, 16, 3), 255, np.uint8)
    pixels[:, :8] = 0
    path, query = scene(tmp_path / "scene.tif", pixels), scene(tmp_path / "q.tif", pixels[:, :8])
    result = ivr("locate", path, "--image", query, "--model", tmp_path, "--tile", "8",
                 "--overlap", "0", "--quiet")  # fmt: skip
    assert result.stdout.splitlines() == [
        f"{query}: 2 windows, confidence 1.00",
        "   1     0 bits  upper left pixel x 0, y 0",
        "   2    16 bits  upper left pixel x 8, y 0",
    ]


def test_a_query_about_nothing_known_is_named(maker: FakeCodeMaker, tmp_path: Path) -> None:
    pixels = np.full((8, 16, 3), 255, np.uint8)
    pixels[:, :8] = 0
    path, query = scene(tmp_path / "scene.tif", pixels), scene(tmp_path / "q.tif", pixels[:, :8])
    # The query (0, 0) is at 8 bits of all known items, although a window has its code.
    known = Calibration(np.array([[0, 255]] * 3, np.uint8), 0.4, 0.05, 20)
    maker.calibrations = {"image": known}
    result = ivr("locate", path, "--image", query, "--model", tmp_path, "--tile", "8",
                 "--overlap", "0", "--quiet")  # fmt: skip
    assert result.stdout.splitlines()[0] == (
        f"{query}: 2 windows, confidence 0.00; probably about nothing known"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--model", "m"), "say what to look for: give --voice or --image"),
        (("--image", "a.png"), "give either --model or --archive"),
        (("--image", "a.png", "--model", "m", "--archive", "a"), "give either --model or --arch"),
        (("--image", "a.png", "--model", "m", "--overlap", "1"), "overlap must be in [0, 0.95]"),
    ],
)
def test_a_call_that_cannot_be_meant_is_a_usage_error(
    arguments: tuple[str, ...], message: str
) -> None:
    result = ivr("locate", "scene.tif", *arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_scene_is_added_to_an_archive(maker: FakeCodeMaker, tmp_path: Path) -> None:
    path = scene(tmp_path / "scene.tif", np.full((16, 24, 3), 9, np.uint8))
    assert ivr("archive", "create", tmp_path / "tiles", "--model", tmp_path).exit_code == 0
    result = ivr("archive", "add", tmp_path / "tiles", path, "--tile", "8", "--overlap", "0")
    assert result.exit_code == 0, result.output
    assert "6 rows added, 0 replaced, 0 unchanged" in result.stdout
