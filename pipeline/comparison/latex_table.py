"""A table in LaTeX, for the package booktabs."""

import re
from collections.abc import Sequence

from .escaped_text import LATEX_COMMANDS, latex
from .printed_table import blocks, cells, marked_by, marks, notes, printed_heads, rows_of
from .table import Table, TableRow

MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
LEGEND = "Bold: best; underlined: second best: "
_NUMBER = re.compile(r"(-?\d+)(\.\d+)?(?: ± (\d+)(\.\d+)?)?")
_MINUS = re.compile(r"(?<![\w.)\]])-(?=\d)|(?<=\w )-(?= \d)")
_PROBABILITY = re.compile(r"\bp (=|\$<\$)(?= \d)")


def as_latex(table: Table) -> str:
    """Return ``table`` in LaTeX, the best values in bold, the second best ones underlined.

    Points and signs ± stand below one another: what a number lacks is as wide as a digit.
    """
    lines = [
        r"% needs \usepackage{booktabs}; in two columns write table* for table",
        LATEX_COMMANDS,
        r"\begin{table}",
        r"\centering\small\setlength{\tabcolsep}{4pt}",
        f"\\caption{{{latex(table.title)}}}",
        *([f"\\label{{{table.label}}}"] if table.label else []),
    ]
    heads = printed_heads(table)
    for columns in blocks(table):
        names = [*heads, *(column.head for column in columns)]
        lines += [f"\\begin{{tabular}}{{{'l' * len(heads)}{'r' * len(columns)}}}"]
        lines += [r"\toprule", _row(list(map(latex, names))), r"\midrule"]
        rows = rows_of(table, columns)
        texts = [cells(table, row, columns, str) for row in rows]
        padded = [_aligned(column) for column in list(zip(*texts, strict=True))[len(heads) :]]
        for place, row in enumerate(rows):
            lines += _rule(rows[place - 1] if place else None, row)
            own = [(latex(text), "") for text in texts[place][: len(heads)]]
            own += [column[place] for column in padded]
            found = zip(own, marks(table, row, columns), strict=True)
            lines.append(_row([MARKS[mark] % text + behind for (text, behind), mark in found]))
        lines += [r"\bottomrule", r"\end{tabular}\par\medskip", ""]
    lines += [r"\begin{minipage}{\linewidth}\footnotesize\raggedright"]
    lines += [f"{note}\\par" for note in notes(table, _words, LEGEND + marked_by(table))]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _rule(before: TableRow | None, row: TableRow) -> list[str]:
    """Return what stands between two rows of different kinds: a rule, or a gap before chance."""
    if before is None or before.kind == row.kind:
        return []
    return [r"\midrule" if row.kind == "published" else r"\addlinespace"]


def _aligned(texts: Sequence[str]) -> list[tuple[str, str]]:
    """Return the values of a column in LaTeX, each with the empty space that stands behind it."""
    found = [_NUMBER.fullmatch(text) for text in texts]
    numbers = [match for match in found if match]
    most = {part: max((len(m[part] or "") for m in numbers), default=0) for part in (2, 3, 4)}
    deviation = " ± " + "0" * most[3] + ("." + "0" * (most[4] - 1) if most[4] else "")
    padded = []
    for text, match in zip(texts, found, strict=True):
        if match is None:
            padded.append((_PROBABILITY.sub(r"$p$ \1", _words(text)), ""))
            continue
        missing = _space("." * (not match[2]) + "0" * (most[2] - max(1, len(match[2] or ""))))
        value = _words(f"{match[1]}{match[2] or ''}") + (missing if most[2] else "")
        if match[3]:
            short = "." * (not match[4]) + "0" * (most[4] - max(1, len(match[4] or "")))
            front = _space("0" * (most[3] - len(match[3])))
            value += f" $\\pm$ {front}{match[3]}{match[4] or ''}"
            padded.append((value, _space(short) if most[4] else ""))
        else:
            padded.append((value, _space(latex(deviation)) if most[3] else ""))
    return padded


def _space(text: str) -> str:
    return f"\\phantom{{{text}}}" if text else ""


def _words(text: str) -> str:
    """Return ``text`` in LaTeX, with signs of minus before numbers."""
    return latex(_MINUS.sub("\N{MINUS SIGN}", text))


def _row(texts: list[str]) -> str:
    r"""Return a row; braces keep a bracket at its start from being an argument of ``\\``."""
    guard = "{}" if texts[0].lstrip().startswith(("[", "*")) else ""
    return guard + " & ".join(texts) + r" \\"
