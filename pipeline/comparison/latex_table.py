"""A table in LaTeX, for the package booktabs."""

from .escaped_text import LATEX_COMMANDS, latex
from .printed_table import blocks, cells, marked_by, marks, notes, printed_heads, rows_of
from .table import Table

MARKS = {"best": r"\textbf{%s}", "second": r"\underline{%s}", "": "%s"}
LEGEND = "Bold: best; underlined: second best: "


def as_latex(table: Table) -> str:
    """Return ``table`` in LaTeX, the best values in bold, the second best ones underlined."""
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
        kind = "measured"
        for row in rows_of(table, columns):
            if row.kind == "published" != kind:
                lines.append(r"\midrule")
            kind = row.kind
            texts = cells(table, row, columns, str)
            found = zip(texts, marks(table, row, columns), strict=True)
            lines.append(_row([MARKS[mark] % latex(text) for text, mark in found]))
        lines += [r"\bottomrule", r"\end{tabular}\par\medskip", ""]
    lines += [r"\begin{minipage}{\linewidth}\footnotesize\raggedright"]
    lines += [f"{note}\\par" for note in notes(table, latex, LEGEND + marked_by(table))]
    lines += [r"\end{minipage}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _row(texts: list[str]) -> str:
    r"""Return a row; braces keep a bracket at its start from being an argument of ``\\``."""
    guard = "{}" if texts[0].lstrip().startswith(("[", "*")) else ""
    return guard + " & ".join(texts) + r" \\"
