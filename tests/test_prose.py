"""Plain English: no phrase of the old dialect in pages, texts, comments or messages."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from source_tree import ROOT, product_modules

EACH = (
    "row|voice|image|class|side|bit|query|epoch|worker|core|length|method|modality|line|item|seed|"
    "command"
)
MANY = (
    "row|voice|line|code|map|factor|vector|subclass|class|file|function|thread|value|number|model|"
    "image|module|option|bit|name|label|item|seed|run|second|ms|length"
)
SOME = r"an?|one|two|three|five|so many|\d+|fixed"
INSTEAD = {
    rf"\b(?:{SOME}) (?:[\w-]+ )?(?:{MANY})s? an? (?:{EACH})\b": "one X per Y",
    rf"\b(?:rows|voices|lines|codes|seeds|images|seconds) an? (?:{EACH})\b": "one X per Y",
    rf"\bone an? (?:{EACH})\b": "one per Y",
    r"\b(?:nobody|somebody)\b": "unknown, none, no one's name",
    r"\bas they circulate\b|\bcirculating\b": "public data sets",
    r"\b(?:is|are) at it\b": "is running it",
    r"\bgone on with\b|\bto go on with\b": "continue",
    r"\btold by\b": "distinguished by",
    r"\bthere (?:is|are|was|were)? ?to be\b": "state what it is for",
    r"\bas (?:it|they) (?:was|were) written\b": "checksums that do not match",
    r"\btake note that\b": "called at, with",
    r"\bonly remember\b": "does it generalise?",
    r"\bat one distance\b|\bof one distance\b": "at equal distance",
    r"\bwith nothing relevant\b": "that has no relevant item",
    r"\bmultiplied with\b": "multiplied by",
    r"\bbegun before there\b": "defaults that older runs lack",
    r"\bwhat (?:an?|the) \w+ (?:is|has|was)\b": "name the thing",
    r"\bwhat became of\b": "the outcome of",
    r"\bis there\?$": "say what the command does",
    r"\b(?:judg(?:e|es|ed|ing|ements?|ments?))\b": "evaluate, evaluation",
    r"\bcondens(?:e|es|ed|ing|ation)\b": "pool",
    r"(?<!matplotlib\.)\bfigures?\b": "metrics, values, pictures",
    r"\bgrave\b": "severity, serious",
    r"\bdepartures?\b": "difference",
    r"^ +[\w*]+: of\b": "a phrase that stands alone",
}  # fmt: skip
"""Phrases of the old dialect, and what to write instead (or the meaning to express)."""


@dataclass(frozen=True)
class Prose:
    """Some text with its place.

    Attributes:
        path: file below the root of the project.
        line: number of its first line.
        text: the text.
    """

    path: str
    line: int
    text: str


def page_prose(path: Path) -> Iterator[Prose]:
    """Yield the lines of a page without its blocks of code."""
    in_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code:
            yield Prose(path.relative_to(ROOT).as_posix(), number, line)


def source_prose(path: Path) -> Iterator[Prose]:
    """Yield comments and texts of a module: docstrings, help texts, messages."""
    shown, source = path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield Prose(shown, token.start[0], token.string.lstrip("# "))
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Prose(shown, node.lineno, node.value)


def all_prose() -> Iterator[Prose]:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for page in pages:
        yield from page_prose(page)
    for module in product_modules():
        yield from source_prose(module.path)


def faults(prose: Prose) -> Iterator[str]:
    """Yield file, line, phrase and what to write instead."""
    for pattern, instead in INSTEAD.items():
        for found in re.finditer(pattern, prose.text, re.IGNORECASE | re.MULTILINE):
            line = prose.line + prose.text.count("\n", 0, found.start())
            yield f"{prose.path}:{line}: {found.group().strip()!r}; write: {instead}"


@pytest.mark.parametrize(
    "text",
    [
        "a row a voice",
        "one voice an image",
        "five voices an image",
        "a speaker that nobody is",
        "files as they circulate",
        "left to another process that is at it",
        "the figures of a run",
        "any byte that is not as it was written",
        "    seed: of the drawn voices",
        "    margin: of distances",
        "What a run is.",
    ],
)
def test_a_phrase_of_the_dialect_is_found(text: str) -> None:
    assert list(faults(Prose("page.md", 1, text)))


@pytest.mark.parametrize(
    "text",
    [
        "one row per voice",
        "Give a voice a name of its own.",
        "Returns a run of an encoder.",
        "the metrics of a run",
        "Seed for choosing one voice per image.",
        "The voice of an image is drawn.",
    ],
)
def test_plain_english_passes(text: str) -> None:
    assert list(faults(Prose("page.md", 1, text))) == []


def test_no_phrase_of_the_dialect_is_left() -> None:
    found = {fault for prose in all_prose() for fault in faults(prose)}

    assert sorted(found) == []
