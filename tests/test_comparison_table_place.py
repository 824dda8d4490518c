"""No table of a comparison takes the place of another one."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from conftest import assert_one_line, ivr, merged, succeeded

TINY = ("--bits", 16, "--seeds", 1, "--device", "cpu")


def call(features: Path, out: Path, *more: object, methods: str = "lsh,cca_itq") -> Result:
    return ivr("compare", features, "--out", out, "--methods", methods, *merged(TINY, *more))


@pytest.fixture(scope="module")
def made(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table of lsh and cca_itq, read only."""
    out = tmp_path_factory.mktemp("made") / "out"
    succeeded(call(features, out))
    return out


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "out"))


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("methods", "more", "lost"),
    [
        ("lsh", (), "the row 'cca_itq, 16 bits, stack, one voice per image'"),
        ("lsh,cca_itq", ("--columns", "mAP,difference"), "the column image_to_voice.P@1"),
        ("lsh,cca_itq", ("--columns", "mAP,P@1,P@10"), "columns of differences"),
        ("lsh,cca_itq", ("--protocol", "pair"), "the protocol divh"),
        ("lsh,cca_itq", ("--split", "80/10/10"), "the split 80/20"),
        ("lsh,cca_itq", ("--bits", "32"), "the row 'lsh, 16 bits, stack, one voice per image'"),
        ("lsh,cca_itq", ("--set", "cca_itq.regularisation=0.5"), "the row 'cca_itq, 16 bits"),
    ],
)
def test_a_table_does_not_replace_one_that_shows_more(
    features: Path, out: Path, methods: str, more: tuple[str, ...], lost: str
) -> None:
    before, runs = content(out), sorted((out / "runs").iterdir())
    result = call(features, out, *more, methods=methods)
    assert_one_line(result, f"holds a table with {lost}", status=1)
    assert "choose another --name or --out" in result.stderr
    assert content(out) == before and sorted((out / "runs").iterdir()) == runs


def test_variants_do_not_replace_methods_and_both_stay_with_a_name(
    features: Path, out: Path
) -> None:
    before = content(out)
    rows = ("--variant", "base: method=lsh", "--variant", "other: method=cca_itq")
    own = ("compare", features, "--out", out, *TINY, *rows)
    assert_one_line(ivr(*own), "holds a table with the row 'lsh, 16 bits", status=1)
    succeeded(ivr(*own, "--name", "own"))
    assert {name: data for name, data in content(out).items() if name in before} | {
        "digests.json": before["digests.json"]
    } == before
    labels = [
        next(line for line in (out / name).read_text().splitlines() if line.startswith(r"\label"))
        for name in ("compare.tex", "own.tex")
    ]
    assert labels[1] == labels[0].replace("tab:compare-", "tab:own-")
    assert "name: own" in (out / "own.compare.yaml").read_text()


def test_more_rows_columns_and_seeds_replace_the_table(features: Path, out: Path) -> None:
    columns = ("--columns", "mAP,P@1,P@5,P@10,difference")
    succeeded(call(features, out, "--seeds", 2, *columns, methods="lsh,cca_itq,cca_sign"))
    table = json.loads((out / "compare.json").read_text())
    rows = [line for line in table["lines"] if line["kind"] == "measured"]
    assert [row["method"] for row in rows] == ["lsh", "cca_itq", "cca_sign"]
    assert {row["seeds"] for row in rows} == {"2"}
    assert "image_to_voice.P@5" in table["columns"]


def test_a_table_of_an_earlier_version_is_known_by_its_rows(features: Path, out: Path) -> None:
    table = json.loads((out / "compare.json").read_text())
    del table["choices"]
    (out / "compare.json").write_text(json.dumps(table))
    assert_one_line(call(features, out, methods="lsh"), "holds a table with the row", status=1)
    succeeded(call(features, out))
    assert json.loads((out / "compare.json").read_text())["choices"]["split"] == "80/20"


def test_files_that_are_no_table_are_not_replaced(features: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.csv").write_text("my own\n")
    result = call(features, tmp_path, "--name", "mine")
    assert_one_line(result, "mine.csv: is in the way, and no table of ivr compare", status=1)
    (tmp_path / "other.json").write_text("[]")
    assert_one_line(
        call(features, tmp_path, "--name", "other"),
        "other.json: damaged, not a JSON object",
        status=1,
    )
    assert (tmp_path / "mine.csv").read_text() == "my own\n"
    assert not (tmp_path / "runs").exists()


def test_a_picture_does_not_replace_a_table(features: Path, out: Path) -> None:
    succeeded(call(features, out, "--name", "own-sweep"))
    result = call(features, out, "--name", "own")
    assert_one_line(result, "a picture of the table own would replace files", status=1)


@pytest.mark.parametrize("name", ["", "../up", "a/b", ".hidden", "digests", "a b", "x" * 101, "$x"])
def test_a_name_that_cannot_name_files_is_a_usage_error(
    features: Path, tmp_path: Path, name: str
) -> None:
    result = call(features, tmp_path / "out", "--name", name)
    assert_one_line(result, "cannot name a table", status=2)
    assert not (tmp_path / "out").exists()
