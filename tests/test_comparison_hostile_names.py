"""Names from data in comparison tables: they are shown and do nothing, in every form."""

import csv
import html
import io
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hostile_names import names

from ivr.pipeline.comparison.columns import retrieval_columns
from ivr.pipeline.comparison.escaped_text import LATEX_COMMANDS, latex, markdown, spreadsheet
from ivr.pipeline.comparison.table import Spread, Table, TableRow
from ivr.pipeline.comparison.table_formats import as_csv, as_latex, as_markdown, as_text
from ivr.pipeline.comparison.table_title import table_label
from ivr.pipeline.runtime.visible_text import visible

COLUMNS = retrieval_columns(("mAP", "P@1", "P@10"))


def table_of(some: list[str], title: str = "Metrics by method") -> Table:
    cells = {
        column.key: Spread(90.0 + number, 0.5, best=number == 0, second=number == 1)
        for number, column in enumerate(COLUMNS)
    }
    rows = [TableRow("measured", {"method": name}, cells, f"note on {name}") for name in some]
    notes = tuple(f"{name}: all rows." for name in some)
    return Table(title, ("method",), COLUMNS, tuple(rows), notes, table_label("x", title))


ENGINES = [name for name in ("pdflatex", "xelatex", "lualatex", "tectonic") if shutil.which(name)]


@pytest.mark.skipif(not ENGINES, reason="no TeX engine is installed")
@pytest.mark.parametrize("engine", ENGINES)
def test_latex_of_hostile_names_compiles_and_fits_on_a_page(tmp_path: Path, engine: str) -> None:
    some = names()
    tables = [table_of(some[place : place + 7], some[place]) for place in range(0, len(some), 7)]
    body = "\n\\clearpage\n".join(map(as_latex, tables))
    text = (
        "\\documentclass{article}\n\\usepackage[a4paper,margin=2.5cm]{geometry}\n"
        f"\\usepackage{{booktabs}}\n\\begin{{document}}\n{body}\nthe end\n\\end{{document}}\n"
    )
    (tmp_path / "t.tex").write_text(text, encoding="utf-8")
    options = ["-halt-on-error", "-interaction=nonstopmode", "-no-shell-escape"]
    call = [engine, *(options if engine != "tectonic" else ["-k"]), "t.tex"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, check=False, timeout=300)
    log = (tmp_path / "t.log").read_text(encoding="utf-8", errors="replace")
    assert done.returncode == 0, log[-3000:]
    assert (tmp_path / "t.pdf").stat().st_size > 0
    assert "/etc/passwd" not in log


@pytest.mark.skipif(not ENGINES, reason="no TeX engine is installed")
def test_a_usual_table_fits_on_a_page(tmp_path: Path) -> None:
    usual = table_of(["nested_codebook", "csq", "greedy_hash", "divh, training.epochs=120"])
    text = (
        "\\documentclass{article}\n\\usepackage[a4paper,margin=2.5cm]{geometry}\n"
        f"\\usepackage{{booktabs}}\n\\begin{{document}}\n{as_latex(usual)}\n\\end{{document}}\n"
    )
    (tmp_path / "t.tex").write_text(text, encoding="utf-8")
    call = [ENGINES[0], "-halt-on-error", "-interaction=nonstopmode", "t.tex"]
    subprocess.run(call, cwd=tmp_path, capture_output=True, check=True, timeout=300)
    assert "Overfull" not in (tmp_path / "t.log").read_text(errors="replace")


def test_latex_of_a_name_has_no_active_letter() -> None:
    for name in names():
        found = latex(name)
        plain = re.sub(r"\\ivrtext\{([^{}]*)\}\{((\[U\+[0-9A-F]{4,6}\])+)\}", r"\2", found)
        assert plain.isascii() and plain.isprintable()
        commands = re.sub(r"\\[\\`'^~=.\"]|\\[A-Za-z]+|\\[&%_#${}]|\$[^$]*\$|~", "", plain)
        assert not set("\\%#$&^_|<>") & set(commands), name
        assert plain.replace(r"\{", "").replace(r"\}", "").count("{") == (
            plain.replace(r"\{", "").replace(r"\}", "").count("}")
        )


def test_markdown_of_a_name_is_the_name() -> None:
    for name in names():
        found = markdown(name)
        assert "\n" not in found and "|" not in found
        assert html.unescape(found) == visible(name)
        renderer = pytest.importorskip("markdown", reason="the extra docs is not installed")
        shown = renderer.markdown(f"| a |\n| --- |\n| x {found} |\n", extensions=["tables"])
        (cell,) = re.findall(r"<td>(.*?)</td>", shown, re.DOTALL)
        assert "<" not in cell
        assert html.unescape(cell).split() == f"x {visible(name)}".split()


def test_csv_of_a_name_is_no_formula_and_one_cell() -> None:
    for name in names():
        written = as_csv(table_of([name]))
        (row,) = csv.DictReader(io.StringIO(written, newline=""))
        assert row["method"].removeprefix("'") == name.removeprefix("'")
        assert not re.match(r"\s*[=+\-@]", row["method"])
        assert row["image_to_voice.mAP"] == "90"


def test_negative_values_stay_numbers_in_csv() -> None:
    table = Table("", ("method",), COLUMNS, (TableRow("measured", {"method": "a"},
                  {COLUMNS[0].key: Spread(-1 / 3)}),))  # fmt: skip
    assert "-0.3333333333333333" in as_csv(table)
    assert spreadsheet("- among all classes") == "'- among all classes"


def test_text_of_a_name_is_one_line_per_row_without_acting_letters() -> None:
    for name in names():
        text = as_text(table_of([name], title=name))
        blocks = text.split("\n\n")[1:-1]
        assert all(len(block.splitlines()) == 2 for block in blocks)
        assert visible(text.replace("\n", "")) == text.replace("\n", "")
        assert as_markdown(table_of([name], title=name)).count("\n| ") == 3 * len(blocks)


def test_a_label_is_stable_plain_and_different_for_different_names() -> None:
    assert table_label("divh-ablation", "UC Merced") == "tab:divh-ablation-uc-merced"
    some = names()
    found = {table_label("x", name) for name in some}
    assert all(re.fullmatch(r"tab:x-[a-z0-9-]+", label) for label in found)
    assert len(found) > 0.95 * len(set(some))
    assert LATEX_COMMANDS in as_latex(table_of(["a"]))
