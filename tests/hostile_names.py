"""Names that data may hold, and random ones of the letters that act somewhere."""

import random

NAMES = [
    "$x^2_i$", r"\input{/etc/passwd}", r"\end{table}", "100 % of #1 & {x}~^_", "a^^41b^^M",
    "\x1b[2J\x07\x00", "line\nbreak\ttab", "a" * 300, "صورة من القمر", "\u202egnp.exe", "海岸 🌊",
    "Zürich, Łódź, Ångström, naïve, façade, \u0131, ǆ", "e\u0301 combined, a\u0328", "[x](http://a.b)",
    "**bold** _it_ `code` ~~x~~", "<script>alert(1)</script>", "a | b || c", "=cmd|' /C calc'!A0",
    "+1+1", "-2", "@SUM(A1)", " =1", "&amp; &#65;", "--set -- ---", "*", "[1]", "nested_codebook",
    "# head", "1. list", "> quote", "``quotes''", "\\\\", "\udcff", "\u00a0", "\U0010ffff", "?`!`",
    '"><img src=x onerror="alert(1)">', "</style></title></script><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}", "]]><!--", "javascript:alert(1)", "\u200f\u2066بحر\u2069", "a\r\nb",
]  # fmt: skip
ALPHABET = "ab01 _-+=@$%#&{}~^\\|<>[]()*`'\",;:!?./é海م\u0301\u200b\u202e\x1b\x00\n\t\U0001f30a"
ALPHABET += "\u2212\u00df"


def names(count: int = 300) -> list[str]:
    """Return the names and ``count`` random ones, always the same."""
    rng = random.Random(0)
    made = ["".join(rng.choices(ALPHABET, k=rng.randint(1, 40))) for _ in range(count)]
    return [*NAMES, *made]
