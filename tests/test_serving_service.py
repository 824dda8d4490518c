"""The HTTP service: what it answers, what it refuses, and what strangers cannot do to it."""

import asyncio
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from importlib.resources import files
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import tifffile
from PIL import Image
from served import LIMITS, served
from starlette.testclient import TestClient
from tiny_world import World

import ivr
from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import decode_image
from ivr.pipeline.archive.archive import open_archive
from ivr.pipeline.archive.search import ArchiveSearchResult
from ivr.pipeline.packing.calibration import Calibration, as_stored
from ivr.pipeline.runtime.digests import record_digests
from ivr.pipeline.serving.application import exact
from ivr.pipeline.serving.galleries import Asked
from ivr.pipeline.serving.guards import Guards
from ivr.pipeline.serving.resident import ResidentArchive
from ivr.pipeline.serving.serve import _listening, serve
from ivr.pipeline.serving.serve_config import ServeConfig
from ivr.pipeline.serving.service_errors import ServeError

TOKEN = "0123456789abcdef"
BEARER = {"authorization": f"Bearer {TOKEN}"}


@pytest.fixture(scope="module")
def tiles(world: World, packed: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive of the tiny world; tests read it only."""
    place = tmp_path_factory.mktemp("served") / "tiles"
    ivr.archive_create(place, packed)
    ivr.archive_add(place, world.media / "manifest.csv", jobs=1)
    return place


@pytest.fixture(scope="module")
def client(tiles: Path) -> Iterator[TestClient]:
    with served(tiles) as client:
        yield client


def recording(seconds: float = 0.3) -> bytes:
    file = BytesIO()
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, int(8000 * seconds))
    soundfile.write(file, samples, 8000, "PCM_16", format="WAV")
    return file.getvalue()


def found_by(answer: Any) -> list[tuple[str, int]]:
    assert answer.status_code == 200, answer.text
    return [(hit["name"], hit["distance"]) for hit in answer.json()["hits"]]


def searched(place: Path, **query: Any) -> list[tuple[str, int]]:
    result = ivr.search(place, **query)
    assert isinstance(result, ArchiveSearchResult)
    return [(hit.name, hit.distance) for hit in result.hits]


def test_hits_are_those_of_a_search_of_the_archive(
    client: TestClient, tiles: Path, world: World
) -> None:
    for name in ("pond_0", "forest_1"):
        voice, image = world.media / f"{name}.wav", world.media / f"{name}.png"
        heard = client.post("/search", files={"voice": voice.read_bytes()}, data={"count": 7})
        seen = client.post("/search", files={"image": image.read_bytes()})
        near = client.post(
            "/search", files={"image": image.read_bytes()}, data={"find": "images", "within": 3}
        )
        assert found_by(heard) == searched(tiles, voice=voice, count=7)
        assert found_by(seen) == searched(tiles, image=image)
        assert found_by(near) == searched(tiles, image=image, find="images", within=3)


def test_the_confidence_is_measured_against_the_known_items_of_the_model(
    tiles: Path, packed: Path, world: World, tmp_path: Path
) -> None:
    model = Path(shutil.copytree(packed, tmp_path / "model"))
    description = json.loads((model / "model.json").read_text())
    codes = np.arange(20, dtype=np.uint8)[:, None]
    description["confidence"] = {
        kind: as_stored(Calibration(codes, threshold, 0.05, 40), "by hand")
        for kind, threshold in (("voice", 1.0), ("image", 0.0))
    }
    (model / "model.json").write_text(json.dumps(description))
    record_digests(model, ["model.json"])
    resident = ResidentArchive(tiles, ServeConfig(readers=1, refresh=0, threads=1), model)
    try:
        voice = resident.by_voice((world.media / "pond_0.wav").read_bytes(), Asked())
        image = resident.by_image((world.media / "pond_0.png").read_bytes(), Asked())
    finally:
        resident.close()
    for answer, threshold in ((voice, 1.0), (image, 0.0)):
        found = answer.result.confidence
        assert found is not None and found.known is not None
        assert found.threshold == threshold
        assert found.unclear is (found.value < threshold)


def test_a_condition_is_obeyed_and_a_bad_one_is_answered_with_what_is_wrong(
    client: TestClient,
) -> None:
    voice = {"voice": recording()}
    answer = client.post("/search", files=voice, data={"where": "label = 'pond'", "count": 50})
    assert {hit["label"] for hit in answer.json()["hits"]} == {"pond"}
    for data in ({"where": "no_such = 1"}, {"bbox": "1,2,3"}, {"count": 0}, {"find": "maps"}):
        answer = client.post("/search", files=voice, data=data)
        assert answer.status_code == 422, data
        assert "\n" not in answer.text


def test_an_answer_does_not_say_where_files_lie(client: TestClient, world: World) -> None:
    answer = client.post("/search", files={"voice": recording()})
    assert str(world.media) not in answer.text
    assert not {"root", "file", "stamp"} & set(answer.json()["hits"][0]["columns"])


def test_hits_as_geojson(client: TestClient) -> None:
    answer = client.post("/search", files={"voice": recording()}, data={"format": "geojson"})
    assert answer.headers["content-type"] == "application/geo+json"
    places = answer.json()
    assert places["type"] == "FeatureCollection"
    plain = client.post("/search", files={"voice": recording()}).json()
    for name in ("version", "confidence", "warnings"):
        assert places[name] == plain[name]


def test_whole_numbers_that_a_browser_would_round_are_text() -> None:
    most = 2**53 - 1
    columns = {"small": most, "stamp": most + 1, "below": -most - 1, "many": [2**63], "yes": True}
    assert exact({"columns": columns, "share": 0.5, "none": None}) == {
        "columns": {
            "small": most, "stamp": "9007199254740992", "below": "-9007199254740992",
            "many": ["9223372036854775808"], "yes": True,
        },
        "share": 0.5, "none": None,
    }  # fmt: skip


def test_a_large_number_of_a_column_loses_no_digit(tiles: Path, tmp_path: Path) -> None:
    held = open_archive(shutil.copytree(tiles, tmp_path / "tiles"))
    name = held.rows(held.codes("image")[1][:1], ["name"])["name"].combine_chunks()
    number = 2**62 + 1
    held.update(pa.table({"modality": ["image"], "name": name, "number": [number]}))
    with served(tmp_path / "tiles", ServeConfig(readers=1, refresh=0)) as client:
        for form in ("json", "geojson"):
            data = {"format": form, "count": 50}
            answer = client.post("/search", files={"voice": recording()}, data=data)
            assert f'"number":"{number}"' in answer.text
    (tmp_path / "voice.wav").write_bytes(recording())
    found = ivr.search(tmp_path / "tiles", voice=tmp_path / "voice.wav", count=50)
    assert f'"number": {number}' in json.dumps(found.to_json())


def test_a_request_bears_one_query(client: TestClient) -> None:
    both = {"voice": recording(), "image": b"x"}
    for given in ({"files": both}, {"data": {"count": "3"}}):
        answer = client.post("/search", **given)  # type: ignore[arg-type]
        assert answer.status_code == 422
        assert answer.json() == {"error": "send a voice or an image, exactly one of them"}


@pytest.mark.parametrize(
    "content", [b"", b"no sound", b"RIFF" + bytes(60), b"\xff\xd8\xff\xe0 cut"]
)
@pytest.mark.parametrize("kind", ["voice", "image"])
def test_an_upload_that_is_no_medium_is_told_so(
    client: TestClient, kind: str, content: bytes
) -> None:
    answer = client.post("/search", files={kind: content})
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("the upload: ")


def test_what_is_odd_about_a_voice_is_in_the_answer(client: TestClient) -> None:
    file = BytesIO()
    soundfile.write(file, np.zeros(8000), 8000, "PCM_16", format="WAV")
    answer = client.post("/search", files={"voice": file.getvalue()})
    assert answer.json()["warnings"][0]["severity"] == "problem"


def test_pictures_and_sounds_are_encoded_anew(client: TestClient, world: World) -> None:
    image = client.post("/search", files={"voice": recording()}).json()["hits"][0]
    picture = client.get(f"/items/{image['id']}/thumbnail")
    assert picture.headers["content-type"] == "image/jpeg"
    assert Image.open(BytesIO(picture.content)).size == Image.open(world.media / image["name"]).size
    query = {"image": (world.media / "pond_0.png").read_bytes()}
    voice = client.post("/search", files=query).json()["hits"][0]
    sound = client.get(f"/items/{voice['id']}/audio")
    assert sound.headers["content-type"] == "audio/wav"
    samples, _ = soundfile.read(BytesIO(sound.content))
    np.testing.assert_allclose(samples, soundfile.read(world.media / voice["name"])[0], atol=1e-4)
    assert client.get(f"/items/{voice['id']}/thumbnail").status_code == 404
    assert client.get(f"/items/{image['id']}/audio").status_code == 404


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_a_window_of_a_scene_has_a_picture_with_the_stretch_of_the_scene(
    packed: Path, tmp_path: Path, dtype: str
) -> None:
    values = np.arange(64, dtype=dtype).reshape(1, 64).repeat(32, 0) * (
        1 if dtype == "uint8" else 50
    )
    tifffile.imwrite(tmp_path / "scene.tif", values, photometric="minisblack", metadata=None)
    ivr.archive_create(tmp_path / "tiles", packed)
    ivr.archive_add(tmp_path / "tiles", tmp_path / "scene.tif", tile=32, overlap=0.0)
    whole = decode_image((tmp_path / "scene.tif").read_bytes(), None, PixelConfig())
    with served(tmp_path / "tiles") as client:
        hits = client.post("/search", files={"voice": recording()}).json()["hits"]
        assert [hit["columns"]["window_width"] for hit in hits] == [32, 32]
        for hit in hits:
            answer = client.get(f"/items/{hit['id']}/thumbnail")
            picture = np.asarray(Image.open(BytesIO(answer.content))).astype(int)
            x = hit["columns"]["window_x"]
            expected = whole[:, :, x : x + 32].transpose(1, 2, 0).astype(int)
            assert np.abs(picture - expected).max() <= 8  # of JPEG
        tifffile.imwrite(tmp_path / "scene.tif", values[:8, :8], metadata=None)
        answers = [client.get(f"/items/{hit['id']}/thumbnail") for hit in hits]
        assert {answer.status_code for answer in answers} == {422}
        assert answers[0].json()["error"].endswith("it is another scene now")


@pytest.mark.parametrize("item", ["-1", "99999999", "18446744073709551616", "x", "1e3"])
def test_an_item_that_does_not_exist_is_not_found(client: TestClient, item: str) -> None:
    assert client.get(f"/items/{item}/thumbnail").status_code in (404, 422)


def test_a_file_that_is_gone_or_became_a_link_out_of_its_root_is_not_sent(
    packed: Path, tmp_path: Path
) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (8, 8), (200, 0, 0)).save(tmp_path / "secret.png")
    for name in ("a.png", "b.png"):
        Image.new("RGB", (8, 8), (0, 90, 0)).save(tmp_path / "images" / name)
    ivr.archive_create(tmp_path / "tiles", packed)
    ivr.archive_add(tmp_path / "tiles", tmp_path / "images", jobs=1)
    (tmp_path / "images" / "a.png").unlink()
    (tmp_path / "images" / "b.png").unlink()
    (tmp_path / "images" / "b.png").symlink_to(tmp_path / "secret.png")
    with served(tmp_path / "tiles") as client:
        hits = client.post("/search", files={"voice": recording()}).json()["hits"]
        assert len(hits) == 2
        for hit in hits:
            answer = client.get(f"/items/{hit['id']}/thumbnail")
            assert answer.status_code == 404
            assert answer.json() == {"error": "its file is not there"}


def test_uploads_are_limited_in_bytes_whatever_their_header_says(tiles: Path) -> None:
    with served(tiles, most_bytes=20_000) as client:
        large = {"voice": recording(2.0)}
        assert client.post("/search", files=large).status_code == 413
        request = client.build_request("POST", "/search", files=large)
        body = request.read()
        kind = {"content-type": request.headers["content-type"]}
        halves = (part for part in (body[:15_000], body[15_000:]))
        streamed = client.post("/search", content=halves, headers=kind)
        assert streamed.status_code == 413
        assert client.post("/search", files={"voice": recording()}).status_code == 200


def test_recordings_are_limited_in_seconds(tiles: Path) -> None:
    with served(tiles, ServeConfig(readers=1, refresh=0, voice_seconds=1)) as client:
        answer = client.post("/search", files={"voice": recording(1.5)})
        assert answer.status_code == 422
        assert answer.json()["error"] == "the upload: lasts 1.5 s; at most 1 s are searched with"


def test_only_the_page_and_the_health_are_open_without_the_token(tiles: Path) -> None:
    with served(tiles, token=TOKEN) as client:
        for path in ("/", "/page.js", "/page.css", "/health"):
            assert client.get(path).status_code == 200
        closed = ("/archive", "/metrics", "/openapi.json", "/items/0/thumbnail", "/items/0/audio")
        for path in closed:
            assert client.get(path).status_code == 401
            assert client.get(path, headers={"authorization": "Bearer x"}).status_code == 401
        assert client.post("/search", files={"voice": recording()}).status_code == 401
        assert client.get("/archive", headers=BEARER).status_code == 200


def test_a_page_of_another_site_cannot_ask_under_its_own_name(tiles: Path) -> None:
    with served(tiles) as client:
        for host, status in (("evil.example", 421), ("localhost:8000", 200), ("[::1]:80", 200)):
            assert client.get("/archive", headers={"host": host}).status_code == status
    with served(tiles, token=TOKEN) as client:
        answer = client.get("/archive", headers={"host": "search.example.org", **BEARER})
        assert answer.status_code == 200


def test_every_answer_forbids_outside_resources(client: TestClient) -> None:
    for path in ("/", "/archive", "/no-such-page", "/items/x/audio"):
        heads = client.get(path).headers
        assert heads["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
        assert heads["x-content-type-options"] == "nosniff"


def test_the_page_names_no_address_outside() -> None:
    folder = files("ivr.pipeline.serving") / "page"
    for name in ("page.html", "page.js", "page.css"):
        text = (folder / name).read_text(encoding="utf-8")
        addresses = re.findall(r"(?:https?:)?//[a-z][^\s\"'`]*\.[^\s\"'`]*", text)
        assert addresses in ([], ["http://www.w3.org/2000/svg"])


def test_routes_are_described_and_counted(client: TestClient) -> None:
    routes = client.get("/openapi.json").json()["paths"]
    assert {"/search", "/items/{item}/thumbnail", "/items/{item}/audio", "/health"} <= set(routes)
    client.get("/health")
    metrics = client.get("/metrics").text
    assert re.search(r'ivr_requests_total\{path="/health",status="200"\} [1-9]', metrics)
    assert re.search(r'ivr_items\{modality="image"\} [1-9]', metrics)


def test_a_new_version_is_searched_without_a_restart(
    world: World, packed: Path, tmp_path: Path
) -> None:
    ivr.archive_create(tmp_path / "tiles", packed)
    ivr.archive_add(tmp_path / "tiles", world.media / "manifest.csv", jobs=1)
    Image.new("RGB", (8, 8), (0, 90, 0)).save(tmp_path / "new.png")
    (tmp_path / "more.csv").write_text("image,voice,label\nnew.png,,lake\n")
    with served(tmp_path / "tiles", ServeConfig(readers=1, refresh=0.05)) as client:
        before = client.get("/archive").json()
        ivr.archive_add(tmp_path / "tiles", tmp_path / "more.csv", jobs=1)
        patience = time.monotonic() + 60
        while client.get("/archive").json() == before and time.monotonic() < patience:
            time.sleep(0.05)
        assert client.get("/archive").json()["images"] == before["images"] + 1


def asked(app: Any, messages: list[dict[str, Any]], **limits: Any) -> list[dict[str, Any]]:
    """Return what a client gets that sends ``messages`` to the guarded ``app`` and waits."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop(0)
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "path": "/search",
        "method": "POST",
        "headers": [(b"host", b"localhost")],
    }
    asyncio.run(Guards(app, **{**LIMITS, **limits})(scope, receive, send))
    return sent


async def reads_all(scope: Any, receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def test_a_client_that_sends_slowly_is_given_up() -> None:
    half = {"type": "http.request", "body": b"x", "more_body": True}
    assert asked(reads_all, [half], time_limit=0.2)[0]["status"] == 504
    whole = {"type": "http.request", "body": b"x", "more_body": False}
    assert asked(reads_all, [whole])[0]["status"] == 200


def test_more_requests_than_fit_are_told_to_come_back() -> None:
    answer = asked(reads_all, [], most_requests=0)[0]
    assert answer["status"] == 503
    assert (b"retry-after", b"1") in answer["headers"]


def test_an_address_that_others_can_reach_needs_a_token(
    tiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("IVR_TOKEN", raising=False)
    with pytest.raises(ServeError, match=r"^0\.0\.0\.0 can be reached from other machines; set a"):
        serve(tiles, host="0.0.0.0")
    with pytest.raises(ServeError, match=r"^a token has at least 16 plain characters"):
        serve(tiles, token="short")


def test_answers_do_not_wait_for_the_client_to_acknowledge_their_head() -> None:
    with _listening(ServeConfig(port=0)) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_that_is_taken_is_one_line(tiles: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServeError, match=rf"^127\.0\.0\.1:{port}: cannot listen there"):
            serve(tiles, port=port)


@pytest.mark.usefixtures("nets_of_the_tiny_world")
def test_a_run_is_not_served(world: World, tmp_path: Path) -> None:
    ivr.archive_create(tmp_path / "tiles", world.run)
    with pytest.raises(ServeError, match="is not a packed model; make one with ivr pack"):
        ResidentArchive(tmp_path / "tiles", ServeConfig())


def test_the_command_answers_without_heavy_libraries_and_ends_in_good_order(
    tiles: Path, tmp_path: Path
) -> None:
    script = (
        "import sys; from ivr.cli import main\n"
        "heavy = {'torch', 'torchvision', 'librosa', 'numba', 'h5py'}\n"
        "try: main()\n"
        "finally: print(sorted(heavy & set(sys.modules)))"
    )
    command = [sys.executable, "-c", script, "serve", str(tiles), "--port", "0"]
    service = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    )
    try:
        assert service.stderr is not None
        address = next(
            match[1]
            for line in service.stderr
            if (match := re.search(r"(http://127\.0\.0\.1:\d+/)", line))
        )
        boundary = "XX"
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="voice"; filename="q"\r\n\r\n'
        ).encode() + recording()
        request = urllib.request.Request(
            f"{address}search",
            data=body + f"\r\n--{boundary}--\r\n".encode(),
            headers={"Content-Type": f"multipart/form-data; boundary={boundary}"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            assert json.load(answer)["hits"]
        service.send_signal(signal.SIGTERM)
        said, _ = service.communicate(timeout=120)
    finally:
        service.kill()
    assert service.returncode == 0
    assert said == "[]\n"
