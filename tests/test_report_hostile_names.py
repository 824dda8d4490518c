"""Names, captions, classes and speakers of any letters: they are shown on a page and do nothing."""

import itertools
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hostile_names import names
from report_page import Element, read_page
from tiny_world import World

import ivr
from ivr.pipeline.report import report as report_module
from ivr.pipeline.report.evaluated_run import EvaluatedRun
from ivr.pipeline.report.query_cards import Medium, QueryCard, shown_cards
from ivr.pipeline.report.query_groups import GroupTable, QueryGroup
from ivr.pipeline.runtime.visible_text import visible

COUNT = 1000


def renamed(card: QueryCard, some: Iterator[str]) -> QueryCard:
    """Return ``card`` with other names, classes, captions and speakers everywhere."""

    def medium(one: Medium) -> Medium:
        told = (next(some), next(some)) if one.is_voice else ("", "")
        name = next(some).replace("\0", "0")  # no file has such a name, and no manifest
        return Medium(name, one.is_voice, next(some), *told)

    return replace(
        card,
        medium=medium(card.medium),
        hits=tuple(replace(hit, medium=medium(hit.medium)) for hit in card.hits),
        own=None if card.own is None else replace(card.own, medium=medium(card.own.medium)),
    )


def kinds(page: Element) -> set[tuple[str, frozenset[str]]]:
    """Return every kind of element with the names of its attributes, without optional ones."""
    some = {"class", "hidden", "tabindex"}
    return {(one.tag, frozenset({*one.attributes} - some)) for one in page.all()}


def test_every_name_is_shown_and_none_adds_an_element(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = shutil.copytree(world.run, tmp_path / "run")
    ivr.evaluate(run, database="all", voices="all")
    monkeypatch.setattr(EvaluatedRun, "pictures", lambda self: [])
    used = names(COUNT)
    some = itertools.cycle(used)

    def cards(*given: Any, speak: Iterator[str] = some) -> list[QueryCard]:
        plain = itertools.repeat("plain")
        found = shown_cards(*given)
        many = [one for _ in range(1 + len(used) // 60) for one in found]
        return [
            replace(renamed(card, plain if speak is None else speak), anchor=f"q-{number}")
            for number, card in enumerate(many)
        ]

    monkeypatch.setattr(report_module, "shown_cards", cards)
    groups = tuple(QueryGroup(name, True, 1, 50.0, 20.0, None) for name in used)
    monkeypatch.setattr(
        "ivr.pipeline.report.run_page.group_tables",
        lambda _: [GroupTable("By speaker", "Speaker", groups)],
    )
    ivr.report(run, tmp_path / "hostile.html", max_bytes=100_000_000)
    monkeypatch.setattr(
        report_module, "shown_cards", lambda *given: cards(*given, speak=itertools.repeat("a/b"))
    )
    ivr.report(run, tmp_path / "plain.html", max_bytes=100_000_000)
    text = (tmp_path / "hostile.html").read_text(encoding="utf-8")
    assert (
        re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069]", text)
        is None
    )
    page, plain = (read_page(tmp_path / f"{name}.html") for name in ("hostile", "plain"))
    assert kinds(page) == kinds(plain)
    assert len(page.all("script")) == len(plain.all("script")) == 2
    rows = page.one("table", class_="groups").one("tbody").all("tr")
    told = [row.one("th") for row in rows]
    for one, name in zip(told, used, strict=True):
        assert one.text == " ".join(visible(name).split())
    shown = {one.text for one in page.all("p", class_="caption")}
    assert len(shown) > COUNT // 4
    assert shown <= {" ".join(visible(name).split()) for name in used}
