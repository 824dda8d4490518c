"""What a stranger may ask of an archive: comparisons, and nothing that computes."""

import pytest

from ivr.pipeline.archive.lance_library import ArchiveError
from ivr.pipeline.archive.plain_condition import require_plain, with_quoted_names

COLUMNS = ("name", "label", "time", "date", "score", "cloud cover", "in")

TAKEN = [
    "label = 'harbour'",
    "LABEL='harbour' AND Score>=1.5e-3",
    "name IN ('a.tif', 'b''c.tif') OR NOT (score < -2)",
    "time > timestamp '2026-01-01' and time between '2026-01-01' and '2026-02-01'",
    "time > TIMESTAMP'2026-01-01 10:00:00'",
    "date = date '2026-01-01' or date is not null",
    "name like '50\\%%' escape '\\' or name ilike 'x%'",
    "`cloud cover` <> 3 and `in` = 'x'",
    "score = (3) and ((label is null))",
    "label = 'lpad(name, 2147483647)'",
    "true",
    "score in (1, 2.5, .5, +1)",
]
REFUSED = [
    ("array_repeat(1, 1000000000) is not null", "array_repeat"),
    ("lpad(name,2147483647,'x')='a'", "lpad"),
    ("repeat ('a', 2000000000) = name", "repeat"),
    ("score(1) = 2", "calls a function"),
    ("`score`(1) = 2", "calls a function"),
    ("`cloud cover` (1) = 2", "calls a function"),
    ("label = cast(name as text)", "cast"),
    ("score::text = 'a'", "':'"),
    ("root like '/home/%'", "root, which is no column"),
    ("file = 'x'", "file, which is no column"),
    ("ROOT is null", "ROOT, which is no column"),
    ("`root` is null", "root"),
    ("name = N'a'", "N, which is no column"),
    ("label 'a'", "a text after a name"),
    ("score * 2 = 4", "'\\*'"),
    ("score / 0 = 1", "'/'"),
    ("name || name = 'a'", "'\\|'"),
    ('"label" = 1', "'\"'"),
    ("case when true then true end", "case"),
    ("name in (select name from items)", "select"),
    ("score % 2 = 1", "'%'"),
    ("label = 'a'; drop table items", ";"),
    ("interval '1 day' > interval '2 day'", "interval"),
    ("label = 'a' -- x", "--"),
    ("label = 'a') or (true", "one \\) too many"),
    ("date(time) = '2026-01-01'", "calls a function"),
    ("timestamp(time) = '2026-01-01'", "timestamp, which is no column"),
    ("'a'('b') = 1", "calls a function"),
    ("\x00 = 1", r"\\x00"),
]


@pytest.mark.parametrize("condition", TAKEN)
def test_comparisons_are_taken_as_they_are(condition: str) -> None:
    assert require_plain(condition, COLUMNS) == condition


@pytest.mark.parametrize(("condition", "says"), REFUSED)
def test_what_computes_or_asks_for_another_column_is_refused(condition: str, says: str) -> None:
    with pytest.raises(ArchiveError, match=says):
        require_plain(condition, COLUMNS)


def test_every_function_of_the_engine_is_refused() -> None:
    datafusion = [
        *("abs", "acos", "array_repeat", "ascii", "btrim", "chr", "coalesce", "concat", "decode"),
        *("digest", "encode", "factorial", "left", "lower", "lpad", "md5", "now", "nullif", "pow"),
        *("random", "range", "regexp_like", "regexp_match", "repeat", "replace", "reverse", "rpad"),
        *("sha512", "split_part", "substr", "to_hex", "to_timestamp", "translate", "upper", "uuid"),
    ]
    for name in datafusion:
        for spelled in (name, name.upper(), f"`{name}`", f"{name} ", f"{name}\n"):
            with pytest.raises(ArchiveError):
                require_plain(f"{spelled}(label) = 'a'", COLUMNS)
            with pytest.raises(ArchiveError):
                require_plain(f"label = {spelled}(name, 9)", COLUMNS)


def test_names_are_quoted_as_they_are_spelled_for_postgres() -> None:
    columns = {"label", "Clouds", "time", "a b", 'c"d', "date"}
    for given, expected in (
        ("label = 'pond''s 1 2'", "\"label\" = 'pond''s 1 2'"),
        ("clouds <= 0.25 AND not time > '2026-01-01'", "\"Clouds\" <= 0.25 AND not \"time\" > "
         "'2026-01-01'"),
        ("`a b` in (1, -2) or LABEL is null", '"a b" in (1, -2) or "label" is null'),
        ("`c\"d` = 1", '"c""d" = 1'),
        ("date = date '2026-01-01'", "\"date\" = date '2026-01-01'"),
    ):  # fmt: skip
        assert with_quoted_names(given, columns) == expected
    for wrong in ("label(1) = 2", "cloud < 1", "pg_sleep(9) is null"):
        with pytest.raises(ArchiveError):
            with_quoted_names(wrong, columns)
