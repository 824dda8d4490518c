"""Text of data in Markdown, LaTeX and CSV: it is shown as it is and does nothing.

Labels, names of speakers, data sets and plug-ins come from users and their files.
"""

import re
import unicodedata
from itertools import groupby

from ivr.pipeline.runtime.visible_text import visible

LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "_": r"\_",
    "#": r"\#",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "|": "$|$",
    "<": "$<$",
    ">": "$>$",
    "±": r"$\pm$",
    "→": r"$\to$",
    "†": r"$\dagger$",
    "\N{MULTIPLICATION SIGN}": r"$\times$",
    "\N{MINUS SIGN}": "$-$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "µ": r"$\mu$",
    "°": r"$^\circ$",
    "·": r"$\cdot$",
    "…": r"\ldots{}",
    "\N{EN DASH}": "--",
    "—": "---",
    "\N{LEFT SINGLE QUOTATION MARK}": "`",
    "\N{RIGHT SINGLE QUOTATION MARK}": "'",
    "\N{LEFT DOUBLE QUOTATION MARK}": "``",
    "\N{RIGHT DOUBLE QUOTATION MARK}": "''",
    "\u00a0": "~",
    "ß": r"{\ss}",
    "æ": r"{\ae}",
    "Æ": r"{\AE}",
    "œ": r"{\oe}",
    "Œ": r"{\OE}",
    "ø": r"{\o}",
    "Ø": r"{\O}",
    "ł": r"{\l}",
    "Ł": r"{\L}",
    "\N{LATIN SMALL LETTER DOTLESS I}": r"{\i}",
}
ACCENTS = {
    "\u0300": "`",
    "\u0301": "'",
    "\u0302": "^",
    "\u0303": "~",
    "\u0304": "=",
    "\u0306": "u",
    "\u0307": ".",
    "\u0308": '"',
    "\u030a": "r",
    "\u030b": "H",
    "\u030c": "v",
    "\u0327": "c",
}
"""Combining marks -> commands that every encoding of LaTeX fonts has."""
DOTLESS = {"i": r"\i", "j": r"\j"}
OTHER_LETTERS = r"\ivrtext"
"""Command with two arguments: letters for XeLaTeX and LuaLaTeX, and their numbers for pdfLaTeX."""
LATEX_COMMANDS = (
    rf"\providecommand{{{OTHER_LETTERS}}}[2]{{\ifdefined\Umathchar #1\else #2\fi}}"
    "% letters, or their numbers with pdfLaTeX"
)
_MARKDOWN = re.compile(
    r"[\\`*|\[\]$~#]|<|&(?=#?\w+;)|^[>+=-]|(?<![^\W_])_|_(?![^\W_])|(?<=\d)\.(?= )"
)
_FORMULA = re.compile(r"\s*[=+\-@\t\r]")


def latex(text: str) -> str:
    """Return ``text`` for LaTeX, in ASCII but for letters that only newer engines have."""
    found = unicodedata.normalize("NFC", visible(text)).replace("--", "-\0-").replace("--", "-\0-")
    parts = []
    for plain, letters in groupby(found, _is_known):
        if plain:
            parts.append("".join(map(_latex_letter, letters)))
        else:
            some = "".join(letters)
            numbers = "".join(f"[U+{ord(letter):04X}]" for letter in some)
            parts.append(f"{OTHER_LETTERS}{{{some}}}{{{numbers}}}")
    return "".join(parts)


def markdown(text: str) -> str:
    """Return ``text`` for Markdown on one line; marks of Markdown and HTML are character numbers.

    An underscore within a word stays: it marks nothing there.
    """
    return _MARKDOWN.sub(lambda found: f"&#{ord(found.group())};", visible(text))


def spreadsheet(text: str) -> str:
    """Return ``text`` for a cell of CSV; a quote before what a spreadsheet would calculate."""
    return f"'{text}" if _FORMULA.match(text) else text


def shortened(text: str, most: int) -> str:
    """Return ``text`` with its middle left out if it has more than ``most`` characters."""
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1]}…{text[-end:]}"


def _is_known(letter: str) -> bool:
    return letter == "\0" or letter.isascii() or letter in LATEX or _accented(letter) is not None


def _accented(letter: str) -> str | None:
    """Return the LaTeX of a Latin letter with an accent, None for other letters."""
    parts = unicodedata.normalize("NFD", letter)
    if len(parts) != 2 or not parts[0].isascii() or parts[1] not in ACCENTS:
        return None
    return f"{{\\{ACCENTS[parts[1]]}{{{DOTLESS.get(parts[0], parts[0])}}}}}"


def _latex_letter(letter: str) -> str:
    if letter == "\0":
        return "{}"  # keeps two hyphens apart, which a font would join to a dash
    return LATEX.get(letter) or (letter if letter.isascii() else _accented(letter) or "")
