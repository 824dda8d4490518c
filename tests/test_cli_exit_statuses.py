"""The rule of docs/how-to/own-data.md: 2 a call that cannot be meant, 1 an unusable input."""

from pathlib import Path

import pytest
from archive_rows import empty_archive, item_rows
from conftest import assert_one_line, ivr
from fake_code_maker import FakeCodeMaker, use
from PIL import Image

ASKED = ("--image", "query.png")
CALLS = [
    # Values that are refused, and options that do not belong to what is named.
    (2, ("search", "tiles", *ASKED, "--bbox", "1,2"), "four numbers WEST,SOUTH,EAST,NORTH"),
    (2, ("search", "tiles", *ASKED, "--bbox", "1,9,2,3"), "got south 9 above north 3"),
    (2, ("search", "tiles", *ASKED, "--where", "a b c"), "the condition 'a b c' cannot be used"),
    (2, ("search", "tiles", *ASKED, "--where", "label = 'a'; --"), "holds ;, which is not taken"),
    (2, ("search", "tiles", *ASKED, "--where", "labl = 'a'"), "did you mean label?"),
    (2, ("search", "tiles", *ASKED, "--codes", "codes.h5"), "codes belongs to a run"),
    (2, ("search", "tiles", *ASKED, "--table", "t"), "name the database with --engine"),
    (2, ("search", "tiles", *ASKED, "--engine", "mysql://x"), "give the engine as postgres://"),
    (2, ("search", "media", *ASKED, "--where", "true"), "where belongs to an archive"),
    (2, ("search", "", *ASKED), "the path of the archive is empty"),
    (2, ("archive", "remove", "tiles", "--where", "labl = 'a'"), "did you mean label?"),
    (2, ("archive", "remove", "tiles"), "a condition, one of the two"),
    (2, ("archive", "remove", "tiles", ""), "a name to remove is empty"),
    (2, ("archive", "add", "tiles", "media", "--prefix", "a\nb"), "prefix: 'a"),
    (2, ("archive", "add", "tiles", "media", "--root", "media"), "a folder is its own root"),
    (2, ("archive", "info", ""), "the path of the archive is empty"),
    (2, ("export", "tiles", "--to", "npy", "--out", "x", "--where", "labl = 1"), "mean label?"),
    (2, ("export", "tiles", "--to", "npy", "--out", "x", "--bbox", "1,2,3"), "four numbers"),
    (2, ("export", "tiles", "--to", "postgres", "--out", "x"), "postgres://USER@HOST/DATABASE"),
    (2, ("export", "media", "--to", "npy", "--out", "x", "--where", "true"), "belong to an arch"),
    (2, ("locate", "empty.csv", *ASKED, "--model", "media", "--tile", "0"), "tile"),
    (2, ("locate", "empty.csv", *ASKED, "--model", "m", "--out", "empty.csv"), "otherwise too"),
    # Inputs that cannot be used.
    (1, ("search", "tilez", *ASKED), "tilez: no such folder, did you mean tiles?"),
    (1, ("search", "loop", *ASKED), "loop: a link that leads to no folder; name an archive"),
    (1, ("search", "empty.csv", *ASKED), "empty.csv: a file, not a folder; name an archive"),
    (1, ("search", "media", *ASKED), "media: neither a packed model nor a run"),
    (1, ("search", "tiles", *ASKED, "--model", "media"), "media: neither a packed model nor a run"),
    (1, ("archive", "info", "loop"), "no archive (a link that leads to no folder); make one with"),
    (1, ("archive", "verify", "empty.csv"), "no archive (a file, not a folder); make one with"),
    (1, ("archive", "add", "media", "media"), "no archive; make one with ivr archive create"),
    (1, ("archive", "create", "new", "--model", "media"), "neither a packed model nor a run"),
    (1, ("archive", "create", "new", "--model", "mediaz"), "no such folder, did you mean media?"),
    (1, ("archive", "add", "tiles", "empty.csv"), "empty.csv: "),
    (1, ("archive", "update", "tiles", "empty.csv"), "empty.csv: "),
    (1, ("export", "tilez", "--to", "npy", "--out", "x"), "tilez: no such folder, did you mean"),
    (1, ("locate", "empty.csv", *ASKED, "--archive", "tilez"), "did you mean"),
    (1, ("check", "empty.csv"), "empty.csv: "),
]


@pytest.mark.parametrize(("status", "words", "message"), CALLS)
def test_a_call_that_cannot_be_meant_is_2_and_an_unusable_input_1(
    status: int,
    words: tuple[str, ...],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    empty_archive(tmp_path / "tiles").append(item_rows(["a.png"], [[0, 0]]))
    Path("tiles/model").mkdir()
    Path("media").mkdir()
    Path("empty.csv").touch()
    Path("loop").symlink_to("loop")
    Image.new("RGB", (8, 8)).save("query.png")
    if "--model" not in words:
        use(monkeypatch, FakeCodeMaker("made up"))
    assert_one_line(ivr(*words), message, status)
