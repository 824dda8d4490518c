"""The page of the service in a real browser, with a microphone that plays a recording.

Skipped where Chromium and its driver are not installed (Debian: chromium, chromium-driver).
"""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import tifffile
from tiny_world import World

import ivr
from ivr.pipeline.archive.distances import Confidence
from ivr.pipeline.runtime.results import json_value
from ivr.pipeline.serving.serve import serve

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium or its driver is not installed"
)
TOKEN = "0123456789abcdef"
PATIENCE = 60


def until(condition: Callable[[], Any]) -> Any:
    """Return the first true value of ``condition``."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def address(
    world: World, packed: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """A service in a thread of this process, and its archive."""
    uvicorn = pytest.importorskip("uvicorn")
    place = tmp_path_factory.mktemp("page") / "tiles"
    ivr.archive_create(place, packed)
    ivr.archive_add(place, world.media / "manifest.csv", jobs=1)
    found: list[str] = []
    servers: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        run = uvicorn.Server.run

        def noted(self: Any, sockets: Any = None) -> None:
            servers.append(self)
            run(self, sockets)

        patch.setattr(uvicorn.Server, "run", noted)
        thread = threading.Thread(
            target=serve,
            args=(place,),
            kwargs={"port": 0, "readers": 1, "token": TOKEN, "started": found.append},
        )
        thread.start()
        until(lambda: found)
        yield found[0], place
        servers[0].should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    folder = tmp_path_factory.mktemp("browser")
    time_axis = np.arange(48_000) / 16_000
    soundfile.write(folder / "spoken.wav", 0.4 * np.sin(2 * np.pi * 400 * time_axis), 16_000)
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
        f"--use-file-for-fake-audio-capture={folder / 'spoken.wav'}",
        f"--user-data-dir={folder / 'profile'}",
        "--window-size=1200,1400",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


class Page:
    """The page, opened with the token."""

    def __init__(self, browser: Any, address: str) -> None:
        self.browser = browser
        browser.get(address)
        browser.execute_script(f"sessionStorage.setItem('token', '{TOKEN}')")
        browser.get_log("browser")  # without a token it was told that one is needed
        browser.get(address)
        until(lambda: self.one("#main").is_displayed())

    def all(self, selector: str) -> list[Any]:
        found: list[Any] = self.browser.find_elements("css selector", selector)
        return found

    def one(self, selector: str) -> Any:
        return self.browser.find_element("css selector", selector)

    def hits(self) -> list[str]:
        """Return the names of the hits, once their pictures or sounds are there."""

        def loaded() -> bool:
            assert "error" not in self.one("#status").get_attribute("class"), self.one(
                "#status"
            ).text
            return bool(self.all("#hits li")) and not self.all("#hits .picture:not(:has(img))")

        until(loaded)
        return [one.text for one in self.all("#hits .words > p.quiet:nth-of-type(1)")]

    def errors(self) -> list[Any]:
        """Return what the browser complained about."""
        return [one for one in self.browser.get_log("browser") if one["level"] == "SEVERE"]


@pytest.fixture
def page(browser: Any, address: tuple[str, Path]) -> Page:
    return Page(browser, address[0])


def test_the_token_is_asked_for_and_a_wrong_one_is_told(
    browser: Any, address: tuple[str, Path]
) -> None:
    browser.get(address[0])
    browser.execute_script("sessionStorage.clear()")
    browser.get(address[0])
    form = browser.find_element("id", "token-form")
    until(form.is_displayed)
    for token, said in (("wrong", "That token is not right."), (TOKEN, "tiles: 12 images")):
        field = browser.find_element("id", "token")
        field.clear()
        field.send_keys(token)
        field.submit()
        until(lambda said=said: said in browser.find_element("id", "about").text)
    assert browser.find_element("id", "main").is_displayed()


@pytest.mark.parametrize("way", ["button", "space"])
def test_what_is_spoken_into_the_microphone_is_searched_for(page: Page, way: str) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    hold, release = ActionChains(page.browser), ActionChains(page.browser)
    if way == "button":
        hold, release = hold.click_and_hold(page.one("#speak")), release.release()
    else:
        page.one("body").click()
        hold, release = hold.key_down(Keys.SPACE), release.key_up(Keys.SPACE)
    hold.perform()
    until(lambda: "on" in page.one("#speak").get_attribute("class").split())
    time.sleep(1.5)
    release.perform()
    assert len(page.hits()) == 12
    assert page.one("#query-voice").is_displayed()
    assert page.one("#confidence").text.startswith("The first hit is at ")
    assert page.errors() == []


def test_a_chosen_file_is_searched_with_as_the_command_does(
    page: Page, address: tuple[str, Path], world: World
) -> None:
    for name, kind in (("pond_1.wav", "voice"), ("pond_1.png", "image")):
        page.one("#file").send_keys(str(world.media / name))
        until(lambda kind=kind: page.one(f"#query-{kind}").is_displayed())
        expected = ivr.search(address[1], count=12, **{kind: world.media / name})
        assert page.hits() == [hit.name for hit in expected.hits]
    assert len(page.all("#hits audio[src]")) == 12
    assert page.errors() == []


def test_a_file_that_is_no_medium_is_told_in_words(page: Page, tmp_path: Path) -> None:
    (tmp_path / "notes.wav").write_text("no sound")
    page.one("#file").send_keys(str(tmp_path / "notes.wav"))
    until(lambda: page.one("#status").text.startswith("the upload: not a WAV"))
    assert page.one("#status").get_attribute("role") == "status"


def found(
    *hits: dict[str, Any], value: float = 0.9, threshold: float = 0.5, known: int | None = None
) -> dict[str, Any]:
    """An answer of ``/search``."""
    return {
        "warnings": [],
        "confidence": json_value(Confidence(value, 3, 30, threshold, known)) if hits else None,
        "hits": [
            {"rank": rank, "id": 0, "modality": "image", "distance": 3, "label": "", "caption": "",
             "columns": {}, **one}
            for rank, one in enumerate(hits, 1)
        ],
    }  # fmt: skip


def test_names_of_strangers_are_text_and_do_not_turn_its_direction(page: Page) -> None:
    name = "<img src=x onerror=document.title='harmed'>\u202egnp.exe\n" + 200 * "long"
    page.browser.execute_script("report(arguments[0])", found({"name": name, "label": name}))
    (shown,) = page.all("#hits .words > p.quiet")
    escaped = name.replace("\u202e", "\\u202e").replace("\n", "\\u000a")
    assert shown.get_attribute("textContent") == escaped
    assert page.one("#hits .label").get_attribute("textContent") == f"1. {escaped}"
    assert page.browser.title == "Find images by voice"
    assert page.one("#hits .words").size["height"] < 300
    script = "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert page.browser.execute_script(script) <= 0


def test_hits_with_a_place_are_drawn_where_they_lie_under_their_number(page: Page) -> None:
    places = [(9.70, 53.50, 9.71, 53.51), (9.74, 53.50, 9.75, 53.51), (9.70, 53.54, 9.71, 53.55)]
    sides = ("west", "south", "east", "north")
    hits = [{"name": "a", "columns": dict(zip(sides, one, strict=True))} for one in places]
    page.browser.execute_script("report(arguments[0])", found(*hits, {"name": "nowhere"}))
    drawn = page.all("#map .place")
    assert [one.text for one in drawn] == ["1", "2", "3"]
    (first, east, north) = (one.find_element("css selector", "rect").rect for one in drawn)
    assert east["x"] > first["x"] + 2 * first["width"]
    assert east["y"] == pytest.approx(first["y"], abs=1)
    assert north["y"] < first["y"] - 2 * first["height"]
    assert north["x"] == pytest.approx(first["x"], abs=1)
    assert first["width"] / first["height"] == pytest.approx(np.cos(np.radians(53.525)), rel=0.05)
    assert "53.500° N to 53.550° N, 9.700° E" in page.one("#map-text").text
    labels = page.all("#map svg > text")
    assert len(labels) >= 3
    for label in labels:
        assert 10 < label.rect["height"] < 24
    drawn[1].click()
    assert page.one("#hits .marked").get_attribute("id") == "hit-2"


def test_places_on_both_sides_of_180_degrees_are_drawn_side_by_side(page: Page) -> None:
    sides = ("west", "south", "east", "north")
    places = [(179.0, 1, 179.5, 2), (-179.5, 1, -179.0, 2), (179.8, 1, -179.8, 2)]
    hits = [{"name": "a", "columns": dict(zip(sides, one, strict=True))} for one in places]
    page.browser.execute_script("report(arguments[0])", found(*hits))
    assert "179.000° E to 179.000° W" in page.one("#map-text").text
    west, east, across = (
        one.find_element("css selector", "rect").rect for one in page.all("#map .place")
    )
    assert west["x"] < across["x"] < east["x"] < west["x"] + 5 * west["width"]


def test_the_line_above_the_hits_says_what_to_think_of_them(page: Page) -> None:
    for answer, said in (
        (found(), "No item fulfils the conditions."),
        (found({"name": "a"}, value=0.9), "the middle of the archive at 30: confidence 90 %."),
        (found({"name": "a"}, value=0.3), "The query is probably about nothing known."),
        (
            found({"name": "a"}, value=0.3, threshold=0.2, known=7),
            "the nearest known item at 7, the middle of these at 30: confidence 30 %.",
        ),
        (
            found({"name": "a"}, value=0.6, threshold=0.7, known=7),
            "confidence 60 %. The query is probably about nothing known.",
        ),
    ):
        page.browser.execute_script("report(arguments[0])", answer)
        assert said in page.one("#confidence").text


def test_a_query_that_the_browser_cannot_draw_is_named(page: Page, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "scene.tif", np.full((32, 32, 3), 90, np.uint8))
    page.one("#file").send_keys(str(tmp_path / "scene.tif"))
    until(lambda: page.one("#query-name").text == "scene.tif (this browser cannot show it)")
    assert not page.one("#query-image").is_displayed()
    assert page.hits()


def test_the_page_fits_a_phone_and_everything_has_a_name(page: Page) -> None:
    page.browser.set_window_size(500, 900)  # as narrow as this browser goes
    try:
        script = (
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert page.browser.execute_script(script) <= 0
        page.one("summary").click()
        fields = page.all("main button, main input, main select")
        assert len(fields) >= 7
        for field in fields:
            assert field.accessible_name, field.get_attribute("id")
    finally:
        page.browser.set_window_size(1200, 1400)
