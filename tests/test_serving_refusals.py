"""What the service refuses, with which status, and that no refusal says where files lie."""

import shutil
import threading
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from served import served
from starlette.testclient import TestClient
from tiny_world import World

import ivr
from ivr.features.raster_process import RasterReaderError
from ivr.pipeline.archive.lance_library import LostVersionError
from ivr.pipeline.serving.resident import ResidentArchive, Trouble
from ivr.pipeline.serving.serve_config import ServeConfig

EVIL = {"origin": "http://evil.example"}


def recording() -> bytes:
    file = BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, 2400)
    soundfile.write(file, samples, 8000, "PCM_16", format="WAV")
    return file.getvalue()


@pytest.fixture(scope="module")
def places(world: World, packed: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An archive, a model without image encoder, and the root of the files, two damaged."""
    folder = tmp_path_factory.mktemp("hidden place")
    root, model = folder / "root", folder / "model"
    shutil.copytree(world.media, root)
    ivr.pack(world.run, model, encoder=False)
    ivr.archive_create(folder / "tiles", packed)
    ivr.archive_add(folder / "tiles", root / "manifest.csv", jobs=1)
    (root / "pond_0.png").write_bytes(b"damaged")
    (root / "pond_0.wav").write_bytes(b"damaged")
    return {"archive": folder / "tiles", "root": root, "model": model, "folder": folder}


@pytest.fixture(scope="module")
def service(places: dict[str, Path]) -> Iterator[tuple[TestClient, ResidentArchive]]:
    from ivr.pipeline.serving import application as module

    found: list[ResidentArchive] = []
    with pytest.MonkeyPatch.context() as patch:
        made = module.ResidentArchive

        patch.setattr(
            "served.ResidentArchive",
            lambda place, config: found.append(made(place, config, places["model"])) or found[0],
        )
        with served(places["archive"]) as client:
            yield client, found[0]


def item(client: TestClient, name: str) -> int:
    """Return the id of the item ``name``."""
    find = "images" if name.endswith(".png") else "voices"
    answer = client.post("/search", files={"voice": recording()}, data={"find": find, "count": 99})
    (found,) = (hit["id"] for hit in answer.json()["hits"] if hit["name"] == name)
    return int(found)


def bad_requests(client: TestClient) -> Iterator[tuple[str, Any]]:
    """Yield a bad request in words, and its answer."""
    voice = {"voice": recording()}
    for where in (
        "root = 'x'", "file = 'x'", "no_such = 1", "label = 1", "label >", "(label", "label = 'a",
        "west > 'a'", "label in (1, 'a')", "west between 'a' and 2", "name like 5", "time > 'x'",
        "time = timestamp 'x'", "label", "1", "label = west", "north = date 'x'", "- label = 1",
        "label like 'a' escape 'bc'", "not label", "label in ()", "regexp_match(label, '(')",
        "1 = '1' and label = true", "9" * 400 + " = west", "_rowid = 'a'",
    ):  # fmt: skip
        yield where, client.post("/search", files=voice, data={"where": where})
    for name, value in (
        ("bbox", "1,2,3"), ("bbox", "200,0,1,nan"), ("count", 0), ("count", "x"), ("within", -1),
        ("find", "maps"), ("format", "xml"), ("where", "x" * 3000),
    ):  # fmt: skip
        yield f"{name} {value}"[:40], client.post("/search", files=voice, data={name: value})
    image = BytesIO()
    Image.new("RGB", (8, 8)).save(image, "png")
    for kind, content in (
        ("voice", b""), ("voice", b"no sound"), ("image", b""), ("image", b"no image"),
        ("image", image.getvalue()), ("image", b"II*\x00" + bytes(50)),
    ):  # fmt: skip
        yield f"{kind} {content[:9]!r}", client.post("/search", files={kind: content})
    yield "a damaged image", client.get(f"/items/{item(client, 'pond_0.png')}/thumbnail")
    yield "a damaged voice", client.get(f"/items/{item(client, 'pond_0.wav')}/audio")
    yield "no item", client.get("/items/99999999/audio")
    yield "no route", client.get("/nothing")
    yield "another method", client.get("/search")


def test_a_bad_request_gets_a_4xx_that_does_not_say_where_files_lie(
    service: tuple[TestClient, ResidentArchive], places: dict[str, Path]
) -> None:
    client, _ = service
    answers = list(bad_requests(client))
    wrong = {name: answer.status_code for name, answer in answers if answer.status_code >= 500}
    assert wrong == {}
    refused = [(name, answer) for name, answer in answers if answer.status_code >= 400]
    assert len(refused) > 25
    for name, answer in refused:
        for hidden in ("hidden place", str(places["folder"].parent), ".lance"):
            assert hidden not in answer.text, (name, answer.text)
        assert "\n" not in answer.text


def test_an_image_for_a_model_without_an_image_encoder_is_told_so(
    service: tuple[TestClient, ResidentArchive],
) -> None:
    image = BytesIO()
    Image.new("RGB", (8, 8)).save(image, "png")
    answer = service[0].post("/search", files={"image": image.getvalue()})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("the model: ")


class _OfItsOwn(LostVersionError):
    """A subclass that no table of statuses lists."""


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (_OfItsOwn("/a/b/tiles: Not found: x.lance"), 503),
        (RasterReaderError("the reader does not start"), 503),
        (ivr.IvrError("/a/b/c.txt: is wrong"), 422),
    ],
)
def test_every_expected_error_has_a_status(
    service: tuple[TestClient, ResidentArchive],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    status: int,
) -> None:
    client, resident = service

    def fails(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(resident.gallery, "nearest", fails)
    answer = client.post("/search", files={"voice": recording()})
    assert answer.status_code == status
    assert "/a/b" not in answer.text
    assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1"}, 200),
        ({"sec-fetch-site": "same-origin", "origin": "https://search.example.org"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        (EVIL, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:3000"}, 403),
        ({"origin": "http://[::1"}, 403),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://127.0.0.1"}, 403),
    ],
)
def test_pages_of_other_sites_are_refused(
    service: tuple[TestClient, ResidentArchive], headers: dict[str, str], status: int
) -> None:
    client, _ = service
    answer = client.post("/search", files={"voice": recording()}, headers=headers)
    assert answer.status_code == status, answer.text
    assert client.get("/", headers=headers).status_code == 200  # a link leads to the page


@pytest.mark.parametrize("host", ["LOCALHOST", "localhost.", "LocalHost.:8000", "[::1]:80"])
def test_the_name_of_this_machine_may_be_written_in_any_way(
    service: tuple[TestClient, ResidentArchive], host: str
) -> None:
    assert service[0].get("/archive", headers={"host": host}).status_code == 200
    assert service[0].get("/archive", headers={"host": f"evil.{host}"}).status_code == 421


def test_refused_requests_are_counted(service: tuple[TestClient, ResidentArchive]) -> None:
    client, _ = service
    client.post("/search", headers=EVIL)
    client.get("/archive", headers={"host": "evil.example"})
    metrics = client.get("/metrics").text
    for status in (403, 421):
        assert f'ivr_requests_total{{path="other",status="{status}"}}' in metrics


def test_the_health_says_since_when_the_newest_version_is_not_searched(
    service: tuple[TestClient, ResidentArchive], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, resident = service
    assert client.get("/health").json()["status"] == "ok"
    for is_gone, status, word in ((False, 200, "stale"), (True, 503, "gone")):
        trouble = Trouble("secret", "2026-01-01T00:00:00+00:00", is_gone)
        monkeypatch.setattr(resident, "trouble", trouble)
        answer = client.get("/health")
        assert answer.status_code == status
        assert answer.json()["status"] == word
        assert answer.json()["since"] == trouble.since
        assert "secret" not in answer.text


def test_the_watching_goes_on_after_any_error(
    places: dict[str, Path], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    resident = ResidentArchive(places["archive"], ServeConfig(readers=1, refresh=0.02, threads=1))
    looks, failed, again = [0], threading.Event(), threading.Event()

    def refresh() -> None:
        looks[0] += 1
        if not failed.is_set():
            if looks[0] > 5:
                failed.set()
            raise KeyError("a fault")
        if resident.trouble is None:
            again.set()

    try:
        monkeypatch.setattr(resident.gallery, "refresh", refresh)
        assert failed.wait(20)
        assert again.wait(20)
    finally:
        resident.close()
    assert caplog.text.count("KeyError: 'a fault'; the last version stays") == 1


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"count": "abc"}, "count: "),
        ({"format": "xml"}, "format: "),
        ({"within": "-1"}, "within: "),
        ({"conut": "3"}, "no field 'conut'; there are bbox, count, find, format"),
    ],
)
def test_a_field_that_cannot_be_meant_is_refused_in_one_line(
    service: tuple[TestClient, ResidentArchive], fields: dict[str, str], says: str
) -> None:
    answer = service[0].post("/search", files={"voice": recording()}, data=fields)
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]
    assert answer.json()["error"].startswith(says)
    assert "\n" not in answer.json()["error"]


def test_a_wrong_method_and_a_wrong_address_are_told_in_one_line(
    service: tuple[TestClient, ResidentArchive],
) -> None:
    for answer, status in ((service[0].get("/search"), 405), (service[0].get("/nothing"), 404)):
        assert answer.status_code == status
        assert list(answer.json()) == ["error"]


def test_the_fields_of_the_form_are_those_of_the_search(
    service: tuple[TestClient, ResidentArchive],
) -> None:
    from ivr.pipeline.serving.application import FIELDS

    schemas = service[0].get("/openapi.json").json()["components"]["schemas"]
    (form,) = (one for name, one in schemas.items() if name.startswith("Body_search"))
    assert set(form["properties"]) == FIELDS
