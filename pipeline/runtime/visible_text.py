"""Text of data on its way to a terminal or a log: characters that act or hide are written out."""

import json
import re

# Controls (C0, C1), marks and overrides of direction, line separators, invisible characters and
# tags, and halves of surrogate pairs. The joiners U+200C and U+200D stay: scripts need them.
_ACTING = (
    "\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\U000e0000-\U000e007f\ud800-\udfff"
)
_IN_LINES = re.compile(f"[{_ACTING}]")
_IN_A_LINE = re.compile(f"[\n{_ACTING}]")


def visible(text: str) -> str:
    """Return ``text`` on one line, with characters that act or hide as escapes of JSON.

    A caption could otherwise clear the terminal, write over other lines or turn their direction.
    """
    return _IN_A_LINE.sub(_escape, text)


def visible_lines(text: str) -> str:
    """Return ``text`` as :func:`visible` does, with the ends of its lines as they are."""
    return _IN_LINES.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return json.dumps(found.group())[1:-1]
