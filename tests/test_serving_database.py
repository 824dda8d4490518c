"""The service that asks a database: the hits of the archive that was exported, and no more."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from postgres_server import postgres
from served import served
from starlette.testclient import TestClient
from tiny_world import World

import ivr
from ivr.pipeline.archive import postgres_engine
from ivr.pipeline.archive.postgres import connected
from ivr.pipeline.serving.resident import ResidentArchive
from ivr.pipeline.serving.serve_config import ServeConfig


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    with postgres() as address:
        yield address


@pytest.fixture(scope="module")
def tiles(
    world: World, packed: Path, database: str, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """An archive that the database has, too."""
    place = tmp_path_factory.mktemp("served") / "tiles"
    ivr.archive_create(place, packed)
    ivr.archive_add(place, world.media / "manifest.csv", jobs=1)
    ivr.export(place, database, "postgres")
    return place


def config(database: str, **more: Any) -> ServeConfig:
    return ServeConfig(readers=1, refresh=0, threads=1, engine=database, **more)


@pytest.fixture(scope="module")
def asking(tiles: Path, packed: Path, database: str) -> Iterator[TestClient]:
    """A service that has the packed model and the database only."""
    with served(packed, config(database)) as client:
        yield client


def test_the_database_answers_as_the_archive_does(
    asking: TestClient, tiles: Path, world: World
) -> None:
    with served(tiles) as client:
        for kind, name in (("voice", "pond_0.wav"), ("image", "forest_1.png")):
            query = {kind: (world.media / name).read_bytes()}
            for data in ({}, {"count": 3}, {"where": "label = 'pond'", "within": 40}):
                mine = asking.post("/search", files=query, data=data).json()
                expected = client.post("/search", files=query, data=data).json()
                assert mine["hits"] == expected["hits"] != []
                if "where" not in data:
                    assert mine["confidence"] == expected["confidence"]
                path = "thumbnail" if kind == "voice" else "audio"
                item = f"/items/{mine['hits'][0]['id']}/{path}"
                assert asking.get(item).content == client.get(item).content != b""
        about, expected = (one.get("/archive").json() for one in (asking, client))
        assert {**about, "archive": expected["archive"]} == expected
    for item in (1 << 70, 10_000):
        assert asking.get(f"/items/{item}/thumbnail").status_code == 404


@pytest.mark.parametrize(
    "where",
    [
        "(SELECT pg_sleep(9)) IS NULL",
        "pg_sleep(9) IS NULL",
        "label(1) = 'a'",
        "true; DROP TABLE items",
        "true) OR (true",
        "current_user = 'me'",
        'label = "label"',
        "label ~ 'a'",
        "E'\\' = label",
        "root::int = 1",
        "$1 = 1",
    ],
)
def test_a_condition_of_a_stranger_reads_columns_and_nothing_else(
    asking: TestClient, world: World, where: str
) -> None:
    voice = (world.media / "pond_0.wav").read_bytes()
    answer = asking.post("/search", files={"voice": voice}, data={"where": where})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("the condition ")


def test_a_database_that_is_gone_is_told_as_such_and_not_where_it_is(
    packed: Path, tiles: Path, world: World, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with served(packed, config(database)) as client:
        monkeypatch.setattr(
            postgres_engine, "connected", lambda _: connected("postgres://me@127.0.0.1:1/none")
        )
        voice = (world.media / "pond_0.wav").read_bytes()
        answer = client.post("/search", files={"voice": voice})
        assert answer.status_code == 503
        assert answer.json() == {"error": "the database does not answer; come back in a while"}
        assert client.get("/health").status_code == 200


def test_a_later_export_is_noticed(
    packed: Path, world: World, database: str, tmp_path: Path
) -> None:
    place = tmp_path / "tiles"
    ivr.archive_create(place, packed)
    ivr.archive_add(place, world.media / "manifest.csv", jobs=1)
    ivr.export(place, database, "postgres", table="later")
    resident = ResidentArchive(packed, config(database, table="later"))
    try:
        before = resident.about()
        ivr.archive_remove(place, where="label = 'pond'")
        ivr.export(place, database, "postgres", table="later", overwrite=True)
        resident.gallery.refresh()
        after = resident.about()
        assert after["images"] < before["images"]
        assert after["version"] > before["version"]
    finally:
        resident.close()
