"""Layouts of this package, and layouts that live outside it."""

import sys
from pathlib import Path
from textwrap import dedent

import pytest
from conftest import assert_one_line, ivr, succeeded

import ivr.pipeline.datasets.layouts as package
from ivr.names import UnknownNameError
from ivr.pipeline.datasets.layouts import LayoutError, layout, layout_names, layout_texts
from ivr.pipeline.datasets.manifest import ManifestRow, read_manifest
from ivr.pipeline.datasets.prepare import prepare

READER = """
    from ivr.pipeline.datasets.class_labels import labels_of
    from ivr.pipeline.datasets.layout import Layout
    from ivr.pipeline.datasets.pairing import find_files, merge, pair

    def read(sources):
        \"\"\"Images <class>-<name>.jpg in one folder.

        Classes are in the names.
        \"\"\"
        files = find_files(sources.images, sources.voices, sources.table)
        labels = labels_of(files, lambda names: {name: name.split("-")[0] for name in names})
        return merge(files, labels, pair(files), {}, {})

    LAYOUT = Layout("<class>-<name>.jpg", read, uses=("captions",))
    NUMBER = 7

    def empty(sources):
        return None
"""


@pytest.fixture
def flat_set(tmp_path: Path) -> Path:
    """Two images, a voice for each, and a manifest to write beside them."""
    for name in ("images/pond-a.jpg", "images/river-b.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    for name in ("voices/pond-a_0.wav", "voices/river-b_0.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution with the module ``flat_layout`` and two entry points."""
    site = tmp_path / "site"
    metadata = site / "flat_layout-1.dist-info"
    metadata.mkdir(parents=True)
    (site / "flat_layout.py").write_text(dedent(READER))
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: flat-layout\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text(
        "[ivr.layouts]\nflat = flat_layout:read\nflat_too = flat_layout:LAYOUT\n"
    )
    monkeypatch.syspath_prepend(site)
    monkeypatch.delitem(sys.modules, "flat_layout", raising=False)


def test_every_file_of_the_package_is_a_layout_with_a_line_of_help() -> None:
    files = {path.stem for path in Path(package.__path__[0]).glob("*.py")} - {"__init__"}
    assert set(layout_texts()) == files
    shown = " ".join(succeeded(ivr("prepare", "--help")).stdout.split())
    for name, text in layout_texts().items():
        assert text and "\n" not in text
        assert f" {name} {text}" in shown


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("name", ["flat", "flat_too", "flat_layout:read", "flat_layout:LAYOUT"])
def test_a_layout_outside_the_package_writes_a_manifest(flat_set: Path, name: str) -> None:
    out = flat_set / "manifest.csv"
    result = ivr("prepare", name, "--images", flat_set / "images", "--voices", flat_set / "voices",
                 "--out", out)  # fmt: skip
    assert "classes: 2" in succeeded(result).stdout
    assert read_manifest(out).rows == (
        ManifestRow("pond-a.jpg", "pond-a_0.wav", "pond"),
        ManifestRow("river-b.jpg", "river-b_0.wav", "river"),
    )


@pytest.mark.usefixtures("plugin")
def test_a_layout_outside_the_package_has_its_name_and_the_first_line_of_its_docstring() -> None:
    assert layout_names()[-2:] == ("flat", "flat_too")
    assert layout("flat").text == "Images <class>-<name>.jpg in one folder."
    assert layout("flat_too").text == "<class>-<name>.jpg"


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("flat_layout:NUMBER", "neither a Layout nor a function that takes Sources"),
        ("flat_layout:empty", "returned NoneType in place of a Manifest"),
        ("flatt", "no layout 'flatt'; did you mean flat"),
    ],
)
def test_what_is_no_layout_is_one_line(flat_set: Path, name: str, words: str) -> None:
    with pytest.raises((LayoutError, UnknownNameError), match=words):
        prepare(name, flat_set / "m.csv", images=flat_set / "images")
    result = ivr("prepare", name, "--images", flat_set / "images", "--out", flat_set / "m.csv")
    assert_one_line(result, words, 2 if "no layout" in words else 1)


def test_a_layout_that_cannot_be_imported_is_one_line(flat_set: Path) -> None:
    result = ivr("prepare", "absent_module:read", "--images", flat_set, "--out", flat_set / "m.csv")
    assert_one_line(result, "absent_module:read: cannot be loaded")
