import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ivr.pipeline.runtime.results import HTML_ROWS, Result, ResultError, TableResult


@dataclass(frozen=True)
class Point:
    x: float
    y: float


@dataclass(frozen=True)
class Everything(Result):
    path: Path
    count: np.int64
    share: np.float32
    vector: np.ndarray
    points: tuple[Point, ...]
    names: frozenset[str]
    by_bits: dict[int, float]
    nothing: None = None


@dataclass(frozen=True)
class Scores(TableResult):
    values: tuple[float, ...]

    def rows(self) -> list[dict[str, Any]]:
        return [{"name": f"<run {place}>", "mAP": value} for place, value in enumerate(self.values)]


def test_a_result_becomes_json_values() -> None:
    result = Everything(
        Path("run") / "codes.h5",
        np.int64(3),
        np.float32(0.5),
        np.array([[1, 2]], np.uint8),
        (Point(1.0, float("nan")),),
        frozenset({"b", "a"}),
        {64: float("inf")},
    )

    values = result.to_dict()

    assert values == {
        "path": str(Path("run/codes.h5")),
        "count": 3,
        "share": 0.5,
        "vector": [[1, 2]],
        "points": [{"x": 1.0, "y": None}],
        "names": ["a", "b"],
        "by_bits": {"64": None},
        "nothing": None,
    }
    assert json.loads(json.dumps(values, allow_nan=False)) == values


def test_an_attribute_without_a_json_form_is_refused() -> None:
    @dataclass(frozen=True)
    class Odd(Result):
        value: object

    with pytest.raises(ResultError, match="object has no JSON form"):
        Odd(object()).to_dict()


def test_a_table_becomes_a_frame() -> None:
    frame = Scores((0.5, 0.25)).to_frame()

    assert list(frame.columns) == ["name", "mAP"]
    assert frame["mAP"].tolist() == [0.5, 0.25]


def test_without_pandas_one_line_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(ResultError, match=r"pip install pandas, or take rows\(\)"):
        Scores((0.5,)).to_frame()


def test_a_notebook_shows_a_table_with_its_text_escaped() -> None:
    assert Scores((0.123456,))._repr_html_() == (
        "<table><thead><tr><th>name</th><th>mAP</th></tr></thead>"
        "<tbody><tr><td>&lt;run 0&gt;</td><td>0.1235</td></tr></tbody></table>"
    )


def test_a_notebook_shows_the_first_rows_of_a_long_table_and_their_number() -> None:
    shown = Scores((0.0,) * (HTML_ROWS + 1))._repr_html_()

    assert shown.count("<tr>") == 1 + HTML_ROWS
    assert shown.endswith(f"<p>the first {HTML_ROWS} of {HTML_ROWS + 1} rows</p>")
