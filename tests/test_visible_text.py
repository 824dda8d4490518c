"""Text of data reaches a terminal and a log with its control characters written out."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from tiny_world import World

from ivr.cli import main
from ivr.features.store import open_table, text_column, write_table
from ivr.pipeline.datasets.manifest import (
    Manifest,
    ManifestRow,
    read_manifest,
    write_manifest,
)
from ivr.pipeline.runs.codes_file import KIND
from ivr.pipeline.runtime.progress import console, logging_to, warn
from ivr.pipeline.runtime.visible_text import visible, visible_lines

ACTING = ["\x1b[2J", "\x9b31m", "\u202e", "\u2066", "\x07", "\r", "\u2028", "\u200b", "\x7f"]


@pytest.mark.parametrize("text", ACTING)
def test_characters_that_act_or_hide_are_escaped(text: str) -> None:
    if text == "\r":
        assert visible(f"a{text}b") == "a\\rb"
        return
    assert visible(f"a{text}b") == f"a\\u{ord(text[0]):04x}{text[1:]}b"


def test_other_text_stays_as_it_is() -> None:
    for text in ("Küste, 海岸, ساحل", "\U0001f468\u200d\U0001f33e", 'quoted "a" \\ b'):
        assert visible(text) == text
    assert visible_lines("a\nb\x1b") == "a\nb\\u001b"
    assert visible("a\nb") == "a\\nb"
    assert visible("\udcff\U000e0041") == "\\udcff\\udb40\\udc41"


def test_messages_are_escaped_on_stderr_and_in_log_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with console(logging.INFO):
        warn("caption \x1b[2J\u202e")
        with logging_to(tmp_path / "log.txt"):
            warn("caption \x1b[2J\u202e")
    assert capsys.readouterr().err == "caption \\u001b[2J\\u202e\n"
    assert (tmp_path / "log.txt").read_text().rstrip().endswith("caption \\u001b[2J\\u202e")


def assert_plain(*arguments: object) -> str:
    """Call ``ivr`` and return all that it wrote, which has no character that acts."""
    result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code in (0, 1, 2, 3), result.output
    for character in (text[0] for text in ACTING):
        assert character not in result.output, repr(character)
    return result.output


HOSTILE = "\x1b[2J\x9b\u202e\u200b\x07evil"


def test_check_and_prepare_escape_labels_speakers_and_captions(tmp_path: Path) -> None:
    rows = [
        ManifestRow(f"{n}.png", f"{n}.wav", HOSTILE, "", f"speaker {HOSTILE}", f"{HOSTILE} {n % 2}")
        for n in range(4)
    ]
    lines = ["image,voice,label,split,speaker,caption"]
    lines += [f"{r.image},{r.voice},{r.label},,{r.speaker},{r.caption}" for r in rows]
    (tmp_path / "all.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert_plain("check", tmp_path / "all.csv", "--jobs", 1)
    assert_plain("check", tmp_path / "all.csv", "--jobs", 1, "--json")
    assert_plain("extract", tmp_path / "all.csv", "--out", tmp_path / "out", "--dry-run")


@pytest.mark.usefixtures("nets_of_the_tiny_world")
def test_search_escapes_names_labels_and_captions_of_codes(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = open_table(world.run / "codes.h5", KIND)
    columns = {name: table.read(name) for name in table.columns}
    for name in ("labels", "captions"):
        columns[name] = text_column([f"{HOSTILE}\nsecond line"] * table.rows)
    write_table(tmp_path / "codes.h5", KIND, table.config, columns)
    voice = world.media / "pond_0.wav"
    said = assert_plain("search", world.run, "--voice", voice, "--codes", tmp_path / "codes.h5")
    assert "\\u001b[2J\\u009b\\u202e\\u200b\\u0007evil\\nsecond line" in said


HIDDEN = "pond\u202e\x9b\u200bdnop"
"""A name that a manifest may hold, and that a terminal would show as another one."""


def test_training_evaluation_and_comparison_escape_names_of_classes_and_files(
    features: Path, tmp_path: Path
) -> None:
    folder, run = tmp_path / HIDDEN, tmp_path / "run"
    shutil.copytree(features, folder)
    rows = read_manifest(features / "manifest.csv").rows
    named = tuple(
        replace(row, label=row.label.replace(rows[0].label, HIDDEN), speaker=HIDDEN) for row in rows
    )
    write_manifest(folder / "manifest.csv", Manifest(named))
    short = ("--bits", 8, "--epochs", 1, "--device", "cpu")
    assert_plain("train-hash", folder, "--out", run, *short)
    for option in ("--without-class", "--without-speaker"):
        for name in (HIDDEN, f"no {HIDDEN}"):
            out = tmp_path / f"{option}{len(name)}"
            assert_plain("train-hash", folder, "--out", out, *short, option, name)
    assert_plain("evaluate", run)
    assert_plain("evaluate", run, "--speaker", HIDDEN, "--json")
    assert "\\u202e" in assert_plain("probe", folder)
    assert_plain("compare", folder, "--out", tmp_path / HIDDEN / "table", "--plan")
    assert "\\u202e" in assert_plain("compare", folder, "--out", tmp_path, "--methods", HIDDEN)


def test_prepare_escapes_names_of_folders_and_files(tmp_path: Path) -> None:
    for label in (HIDDEN, "field"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(2):
            (tmp_path / "data" / label / f"{number}\u202egnp.txt").write_text("no picture")
        Image.new("RGB", (8, 8)).save(tmp_path / "data" / label / "pond\u202egnp.png")
    out = tmp_path / "m.csv"
    said = assert_plain("prepare", "folders", "--images", tmp_path / "data", "--out", out)
    said += assert_plain("check", out, "--jobs", 1)
    assert said


def test_errors_escape_what_the_user_gave(tmp_path: Path) -> None:
    for name in (f"{HOSTILE}.csv", f"{HOSTILE}/run"):
        for command in ("check", "evaluate", "verify", "encode", "probe"):
            assert_plain(command, tmp_path / name)
    assert "evil" in assert_plain("doctor", "--device", HOSTILE)
    assert "evil" in assert_plain(
        "prepare", HOSTILE, "--images", tmp_path, "--out", tmp_path / "m.csv"
    )
    assert "evil" in assert_plain("compare", tmp_path / HOSTILE, "--out", tmp_path / "out")
    for command in ("train-hash", "compare"):
        assert "evil" in assert_plain(command, tmp_path, "--out", tmp_path / "o", f"--{HOSTILE}")
    assert_plain("evaluate", tmp_path, "--protocol", HOSTILE)


@pytest.mark.usefixtures("nets_of_the_tiny_world")
def test_names_of_tensors_are_escaped(world: World, tmp_path: Path) -> None:
    import torch
    from safetensors.torch import save_file

    write_manifest(tmp_path / "m.csv", Manifest((replace(ManifestRow("a.png", "", "x")),)))
    save_file({HOSTILE: torch.zeros(1)}, tmp_path / "w.safetensors")
    said = assert_plain(
        "extract", tmp_path / "m.csv", "--out", tmp_path / "out", "--encoder", "tiny",
        "--weights", tmp_path / "w.safetensors",
    )  # fmt: skip
    assert "tensors do not fit" in said
