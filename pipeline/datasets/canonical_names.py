"""When two names are one: the canonical key of labels, speakers, groups and captions.

Spreadsheets, keyboards and file systems write one name in many ways: with another case, an
invisible character, a long dash, a composed or decomposed umlaut, or ``1.0`` for ``1``. Every
comparison of names goes through the keys of this module. A column that holds two spellings of one
name would make two classes (speakers, groups) of one: it is refused, or merged on request.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

# Characters that take no room and belong to no category of their own: a joiner, Hangul fillers,
# variation selectors. Most others are of the category Cf.
_INVISIBLE = re.compile("[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0]")
_DASHES = str.maketrans(dict.fromkeys("\u02d7\u2043\u2212\u2796", "-"))
_QUOTES = str.maketrans(dict.fromkeys("\u2018\u2019\u201b\u02bc\u2032", "'"))
_BETWEEN_WORDS = re.compile(r"(?<=\w)[\s_-]+(?=\w)")
# A German spreadsheet writes 1,0; a comma before three digits may separate thousands.
_NUMBER = re.compile(r"([+-]?)(\d+)(?:\.(\d*)|,0{1,2})?")
# Names whose keys need no table of Unicode; one of digits alone is a number.
_PLAIN_WORDS, _DIGITS = "^[A-Za-z0-9]+(?:[ _-]+[A-Za-z0-9]+)*$", "^[0-9]+$"
_CODE_POINTS = 6
"""Code points that a message names; more would not help."""


@dataclass(frozen=True)
class Spellings:
    """Several spellings of one name in one column.

    Attributes:
        column: name of the column, for messages: ``label``, ``speaker`` or ``group``.
        kept: the spelling that stands for all of them.
        counts: number of rows of each spelling, in alphabetical order.
    """

    column: str
    kept: str
    counts: tuple[tuple[str, int], ...]

    def __str__(self) -> str:
        """Return the column and its spellings in one line, with code points if they look alike."""
        shown = " and ".join(
            f"{name!r} ({count} row{'s'[: count != 1]})" for name, count in self.counts
        )
        alike = len({visible(name) for name, _ in self.counts}) < len(self.counts)
        return f"{self.column} {shown}" + (f": {self._code_points()}" if alike else "")

    def _code_points(self) -> str:
        """Return the code points in which the spellings differ."""
        names = [name for name, _ in self.counts]
        start = next(
            (place for place, some in enumerate(zip(*names, strict=False)) if len({*some}) > 1),
            min(map(len, names)),
        )
        rests = [name[start:][::-1] for name in names]
        end = next(
            (place for place, some in enumerate(zip(*rests, strict=False)) if len({*some}) > 1),
            min(map(len, rests)),
        )
        parts = [name[start : len(name) - end] for name in names]
        return " against ".join(
            " ".join(f"U+{ord(letter):04X}" for letter in part[:_CODE_POINTS]) or "none"
            for part in parts
        )


def canonical_key(name: str) -> str:
    """Return the key of a label, speaker or group; names with one key are one name.

    Not counted are: compatibility forms (NFKC), case, invisible characters, the kind of quotation
    mark, space or dash, and whether words are separated by spaces, dashes or underscores. A name
    that is a number counts as its value: ``1``, ``1.0`` and ``01`` are one.
    """
    folded = unicodedata.normalize("NFKC", visible(name).casefold())
    plain = " ".join(folded.split())
    number = _NUMBER.fullmatch(plain)
    return _value(*number.groups("")) if number else _BETWEEN_WORDS.sub(" ", plain)


def canonical_keys(names: pa.Array) -> pa.Array:
    """Return :func:`canonical_key` of each of many names.

    Args:
        names: text without nulls.
    """
    plain = pc.and_not(
        pc.match_substring_regex(names, _PLAIN_WORDS), pc.match_substring_regex(names, _DIGITS)
    )
    keys = pc.replace_substring_regex(pc.ascii_lower(names), "[ _-]+", " ")
    others = [canonical_key(name) for name in names.filter(pc.invert(plain)).to_pylist()]
    return pc.replace_with_mask(keys, pc.invert(plain), pa.array(others, pa.string()))


def caption_key(caption: str) -> str:
    """Return the words of ``caption`` in lower case, separated by single spaces.

    Case, punctuation and repeated spaces are not heard, so captions that differ only in them are
    the same sentence. A caption without a word, ``""`` among them, gives ``""``.
    """
    folded = unicodedata.normalize("NFKC", visible(caption).casefold())
    return " ".join(re.findall(r"\w+", folded))


def visible(name: str) -> str:
    """Return ``name`` as one sees it: NFKC, no invisible character, one kind of dash and space."""
    plain = unicodedata.normalize("NFKC", name).translate(_DASHES).translate(_QUOTES)
    if plain.isascii():
        return " ".join(plain.split())
    kept = "".join(
        "-" if kind == "Pd" else letter
        for letter in _INVISIBLE.sub("", plain)
        if (kind := unicodedata.category(letter)) != "Cf"
    )
    return " ".join(kept.split())


def as_spelled(names: Iterable[str], known: Iterable[str]) -> set[str]:
    """Return ``names`` in the spelling that ``known`` has of them; others as they are."""
    spelled = {canonical_key(name): name for name in set(known)}
    return {spelled.get(canonical_key(name), name) for name in names}


def find_spellings(column: str, counts: Mapping[str, int]) -> list[Spellings]:
    """Return the names that stand in ``column`` in several spellings; ``""`` is no name.

    Of several spellings that one is kept which is its own key, else one in normal form, else the
    most frequent, else the first in alphabetical order.

    Args:
        column: name of the column, for messages.
        counts: number of rows of each value.
    """
    by_key: dict[str, list[str]] = {}
    for name in counts:
        if key := canonical_key(name):
            by_key.setdefault(key, []).append(name)
    return [
        Spellings(
            column,
            min(names, key=lambda name: (name != key, name != visible(name), -counts[name], name)),
            tuple((name, counts[name]) for name in sorted(names)),
        )
        for key, names in sorted(by_key.items())
        if len(names) > 1
    ]


def spellings_in(column: str, values: pa.ChunkedArray) -> list[Spellings]:
    """Return the names that stand in a column in several spellings, as :func:`find_spellings`.

    Args:
        column: name of the column, for messages.
        values: the column, text without nulls.
    """
    counts = pc.value_counts(values)
    names = counts.field("values")
    keys = canonical_keys(names)
    keys = keys.filter(pc.not_equal(keys, ""))
    if pc.count_distinct(keys).as_py() == len(keys):
        return []
    pairs = zip(names.to_pylist(), counts.field("counts").to_pylist(), strict=True)
    return find_spellings(column, dict(pairs))


def invisible_names(values: pa.ChunkedArray) -> list[str]:
    """Return those of ``values``, text without nulls, that consist of invisible characters."""
    names = pc.unique(values)
    odd = names.filter(pc.invert(pc.match_substring_regex(names, "[0-9A-Za-z]")))
    return [name for name in odd.to_pylist() if name and not visible(name)]


def _value(sign: str, whole: str, decimals: str) -> str:
    """Return a number in its shortest form."""
    digits = "".join(str(unicodedata.decimal(digit)) for digit in whole).lstrip("0") or "0"
    rest = "".join(str(unicodedata.decimal(digit)) for digit in decimals).rstrip("0")
    minus = "-" if sign == "-" and (digits != "0" or rest) else ""
    return minus + digits + (f".{rest}" if rest else "")
