"""The page of ``ivr report`` in a real browser: filters, order, permanent links, sounds, print.

Skipped where Chromium and its driver are not installed (Debian: chromium, chromium-driver).
"""

import base64
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_world import World

import ivr
from ivr.pipeline.report.evaluated_run import EvaluatedRun

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="Chromium or its driver is not installed"
)
PATIENCE = 60
SHOWN = "article:not([hidden])"


def until(condition: Callable[[], Any]) -> Any:
    """Return the first true value of ``condition``."""
    end = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="module")
def address(world: World, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("browser")
    shutil.copytree(world.run, folder / "run")
    ivr.evaluate(folder / "run", database="all", voices="all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(EvaluatedRun, "pictures", lambda self: [])
        ivr.report(folder / "run", folder / "report.html", queries=2)
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    webdriver = pytest.importorskip("selenium.webdriver")
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        "--autoplay-policy=no-user-gesture-required",
        f"--user-data-dir={tmp_path_factory.mktemp('profile')}",
        "--window-size=1200,1400",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def page(browser: Any, address: str) -> Any:
    browser.get("about:blank")
    browser.get_log("performance")
    browser.get(address)
    until(lambda: browser.find_element("id", "choose").is_displayed())
    return browser


def shown(page: Any) -> list[Any]:
    found: list[Any] = page.find_elements("css selector", SHOWN)
    return found


def choose(page: Any, selector: str, value: str) -> None:
    from selenium.webdriver.support.ui import Select

    Select(page.find_element("css selector", selector)).select_by_value(value)


def test_filters_and_order_choose_the_queries(page: Any) -> None:
    every = page.find_elements("css selector", "article")
    assert len(shown(page)) == len(every) >= 6
    choose(page, "[data-filter=direction]", "voice_to_image")
    some = shown(page)
    assert {one.get_attribute("data-direction") for one in some} == {"voice_to_image"}
    assert 0 < len(some) < len(every)
    choose(page, "[data-filter=class]", "pond")
    assert {one.get_attribute("data-class") for one in shown(page)} == {"pond"}
    assert f"that match, of {len(every)}" in page.find_element("id", "count").text
    choose(page, "[data-filter=class]", "")
    choose(page, "[data-filter=direction]", "")
    choose(page, "#order", "worst")
    values = [float(one.get_attribute("data-ap")) for one in shown(page)]
    assert values == sorted(values)


def test_a_choice_is_kept_in_the_address_and_can_be_given_up(page: Any, address: str) -> None:
    every = page.find_elements("css selector", "article")
    assert not page.find_element("id", "reset").is_displayed()
    choose(page, "[data-filter=direction]", "voice_to_image")
    choose(page, "[data-filter=class]", "pond")
    some = [one.get_attribute("id") for one in shown(page)]
    kept = page.current_url
    assert kept == f"{address}#choose?direction=voice_to_image&class=pond"
    page.get("about:blank")
    page.get(kept)
    until(lambda: [one.get_attribute("id") for one in shown(page)] == some)
    for value in ("tied", "right", "wrong"):
        choose(page, "[data-filter=first]", value)
        assert {one.get_attribute("data-first") for one in shown(page)} <= {value}
        if not shown(page):
            assert page.find_element("id", "count").text == "No query matches this choice."
    page.find_element("id", "reset").click()
    assert len(shown(page)) == len(every)
    assert page.current_url == f"{address}#choose?"


def test_a_permanent_link_shows_its_query_whatever_is_chosen(page: Any, address: str) -> None:
    last = page.find_elements("css selector", "article")[-1].get_attribute("id")
    choose(page, "[data-filter=direction]", "voice_to_image")
    assert not page.find_element("id", last).is_displayed()
    page.execute_script(f"location.hash = '{last}'")
    until(lambda: page.find_element("id", last).is_displayed())
    page.get("about:blank")
    page.get(f"{address}#{last}")
    until(lambda: "linked" in page.find_element("id", last).get_attribute("class").split())
    top = page.execute_script(f"return document.getElementById('{last}').getBoundingClientRect()")
    assert top["top"] < page.execute_script("return innerHeight")
    assert page.switch_to.active_element.get_attribute("id") == last


def test_a_voice_plays_and_nothing_is_asked_of_a_network(page: Any) -> None:
    button = page.find_element("css selector", f"{SHOWN} .asked button[data-sound]")
    page.execute_script(
        "window.heard = []; const play = HTMLMediaElement.prototype.play;"
        "HTMLMediaElement.prototype.play = function () {"
        " this.addEventListener('playing', () => heard.push(this.duration));"
        " return play.call(this); };"
    )
    page.execute_script("arguments[0].click()", button)
    (seconds,) = until(lambda: page.execute_script("return window.heard"))
    assert 0.03 < seconds < 0.2  # the voices of the tiny world last 0.05 s
    until(lambda: button.get_attribute("aria-pressed") == "false")
    assert page.find_element("id", "status").text == ""
    asked = [
        one["message"] for one in page.get_log("performance")
        if '"Network.requestWillBeSent"' in one["message"]
    ]  # fmt: skip
    assert asked
    assert [one for one in asked if '"url":"http' in one] == []
    assert [one for one in page.get_log("browser") if one["level"] == "SEVERE"] == []


def test_the_page_fits_a_phone_and_everything_has_a_name(page: Any) -> None:
    size = {"width": 380, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        script = (
            "return document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert page.execute_script(script) <= 0
        fields = page.find_elements("css selector", "main button, main select")
        assert len(fields) >= 10
        assert all(one.accessible_name for one in fields if one.is_displayed())
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_print_shows_every_query_that_the_filters_chose_and_says_so(page: Any) -> None:
    every = page.find_elements("css selector", "article")
    choose(page, "[data-filter=direction]", "voice_to_image")
    chosen = [one for one in every if one.get_attribute("data-direction") == "voice_to_image"]
    assert len(chosen) < len(every)
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        assert [one for one in every if one.is_displayed()] == chosen
        assert not page.find_element("id", "choose").is_displayed()
        told = page.find_element("css selector", ".printed").text
        assert told == (
            f"Chosen by Direction: voice finds images: {len(chosen)} of {len(every)} queries."
        )
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        choose(page, "[data-filter=direction]", "")
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert all(one.is_displayed() for one in every)
        assert not page.find_element("css selector", ".printed").is_displayed()
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_print_fits_the_paper_with_ten_images_per_row(page: Any) -> None:
    size = {"width": 718, "height": 1050, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        assert page.execute_script("return document.documentElement.scrollWidth") <= 718
        hits = page.find_element("css selector", ".hits:has(.of-image)")
        columns = hits.value_of_css_property("grid-template-columns").split()
        assert len(columns) == 10
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


LONGEST_OF_UC_MERCED = "mediumresidential"


@pytest.mark.parametrize(("width", "medium"), [(1280, "screen"), (800, "screen"),
                                               (390, "screen"), (718, "print")])  # fmt: skip
def test_a_long_class_name_stands_on_one_line(page: Any, width: int, medium: str) -> None:
    page.execute_script(
        "document.getElementById('queries').className = 'long-labels';"
        "for (const one of document.querySelectorAll('.hit .label'))"
        " one.textContent = arguments[0];",
        LONGEST_OF_UC_MERCED,
    )
    size = {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": width < 500}
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": medium})
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    try:
        lines = page.execute_script(
            "return [...document.querySelectorAll('article:not([hidden]) .of-image .label')]"
            ".map((one) => { const range = document.createRange();"
            " range.selectNodeContents(one); return range.getClientRects().length; })"
        )
        assert lines
        assert set(lines) == {1}
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


@pytest.mark.skipif(not shutil.which("pdftotext"), reason="pdftotext (poppler) is not installed")
def test_on_paper_no_query_is_cut_and_no_page_is_empty(page: Any, tmp_path: Path) -> None:
    articles = page.find_elements("css selector", "article")
    queries = len(articles)
    page.execute_script(
        "for (let n = 0; n < 4; n++)"
        " for (const one of arguments[0]) one.after(one.cloneNode(true));",
        articles,
    )
    queries *= 5
    paper = {"paperWidth": 8.27, "paperHeight": 11.69}
    made = page.execute_cdp_cmd("Page.printToPDF", paper)
    (tmp_path / "report.pdf").write_bytes(base64.b64decode(made["data"]))
    call = ["pdftotext", "-layout", tmp_path / "report.pdf", "-"]
    text = subprocess.run(call, capture_output=True, check=True, text=True).stdout
    *pages, end = text.split("\f")
    assert end == ""
    assert [one for one in pages if len(one.split()) < 4] == []
    # A heading of a query ends with "relevant)"; no page begins with hits or ends with a heading.
    asked = [one.count("relevant)") for one in pages]
    assert sum(asked) == queries
    first = next(number for number, count in enumerate(asked) if count)
    for one in pages[first : first + sum(count > 0 for count in asked)]:
        head, *_, foot = (line for line in one.splitlines() if line.strip())
        assert "rank" not in head
        assert "Its own image" not in head
        assert "relevant)" not in foot
    assert "voice, 0.1 s" in text
