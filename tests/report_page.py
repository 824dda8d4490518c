"""A report as a test reads it: elements, queries and hits, by the standard library's parser."""

import re
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "input", "br", "wbr", "image", "use", "path", "rect", "img", "source", "link", "hr"}


@dataclass
class Element:
    """One element of a page."""

    tag: str
    attributes: dict[str, str]
    parent: "Element | None" = None
    children: "list[Element | str]" = field(default_factory=list)

    def all(self, tag: str = "", **wanted: str) -> "list[Element]":
        """Return the elements below with this tag, classes and attributes."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                if child.is_like(tag, wanted):
                    found.append(child)
                found += child.all(tag, **wanted)
        return found

    def one(self, tag: str = "", **wanted: str) -> "Element":
        (found,) = self.all(tag, **wanted)
        return found

    def is_like(self, tag: str, wanted: dict[str, str]) -> bool:
        for name, value in wanted.items():
            own = self.attributes.get(name.rstrip("_").replace("_", "-"))
            if own is None or (value not in own.split() if name == "class_" else own != value):
                return False
        return not tag or self.tag == tag

    @property
    def text(self) -> str:
        parts = (c if isinstance(c, str) else c.text for c in self.children)
        return " ".join("".join(parts).split())


class _Builder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.root = self.here = Element("", {})
        self.faults: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        made = Element(tag, {name: value or "" for name, value in attrs}, self.here)
        self.here.children.append(made)
        if tag not in VOID:
            self.here = made

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if self.here.tag != tag:
            self.faults.append(f"</{tag}> ends <{self.here.tag}>")
            return
        assert self.here.parent is not None
        self.here = self.here.parent

    def handle_data(self, data: str) -> None:
        self.here.children.append(data)


def read_page(path: Path) -> Element:
    """Return the page in ``path``; every element in it is closed where it was opened."""
    builder = _Builder()
    builder.feed(path.read_text(encoding="utf-8"))
    builder.close()
    assert builder.faults == []
    assert builder.here is builder.root
    return builder.root


@dataclass(frozen=True)
class PageHit:
    """One hit on a page."""

    right: bool
    first: int
    last: int


def hits_of(query: Element) -> list[PageHit]:
    """Return the hits of a query, nearest first."""
    found = []
    for hit in query.all("li", class_="hit"):
        ranks = re.search("rank (\\d+)(?:\u2013(\\d+))?", hit.one("p", class_="distance").text)
        assert ranks is not None
        first = int(ranks[1])
        right = "right" in hit.attributes["class"].split()
        assert ("wrong" in hit.one("b").text) is not right  # said in words too
        found.append(PageHit(right, first, int(ranks[2] or first)))
    return found


def addresses(page: Element) -> list[str]:
    """Return every address that the page names."""
    names = ("src", "href", "srcset", "poster", "action", "data", "background")
    return [
        element.attributes[name] for element in page.all() for name in names
        if name in element.attributes
    ]  # fmt: skip
