"""The documentation: the site, the commands that its pages show, the tutorial, the citation."""

import importlib
import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import numpy as np
import pytest
import torch
import yaml

import ivr
from ivr.cli import every_command, main
from ivr.features.image import load_encoder
from ivr.features.voice_encoder_config import VoiceChoices
from ivr.features.voice_encoders import voice_blueprint
from ivr.hashing import metrics
from ivr.hashing.histograms import Histograms
from ivr.hashing.metrics import METRICS
from ivr.pipeline.datasets.layout import Sources
from ivr.pipeline.datasets.layouts import read_layout
from ivr.pipeline.datasets.manifest import ManifestError

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    if path.name != "CHANGELOG.md"
)
# A command in running text may be cut short with these.
CUT = {"...", "COMMAND"}


def module(name: str) -> ModuleType:
    """Return the script ``docs/NAME.py``."""
    pytest.importorskip(
        "mkdocs", reason="the extra docs is not installed: pip install -e '.[docs]'"
    )
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the built site."""
    pytest.importorskip(
        "mkdocs", reason="the extra docs is not installed: pip install -e '.[docs]'"
    )
    folder = tmp_path_factory.mktemp("docs") / "site"
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    built = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_the_site_builds_without_a_warning(site: Path) -> None:
    assert (site / "index.html").exists()


def test_the_site_has_a_page_for_every_public_name_and_every_command(site: Path) -> None:
    names = {path.stem for path in (site / "reference" / "api").glob("*.html")}
    assert names - {"index"} == {name for name in ivr.__all__ if not name.startswith("__")}
    commands = {path.stem for path in (site / "reference" / "commands").glob("*.html")}
    assert commands - {"index"} == {name.replace(" ", "-") for name in every_command()}


def test_the_page_of_a_command_has_every_option_and_keeps_the_lines_of_its_examples(
    site: Path,
) -> None:
    page = (site / "reference" / "commands" / "search.html").read_text()
    command = main.get_command(click.Context(main), "search")
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert f"id='{parameter.opts[0].lstrip('-')}'" in page.replace('"', "'")
    assert "--codes archive-codes.h5 --count 50 --json\n</code>" in page


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://cdn.example/x.js"></script>',
        "<img alt='a' src=//cdn.example/a.png>",
        '<link rel="stylesheet" href="http://fonts.example/a.css">',
        "<style>body { background: url(https://cdn.example/a.png) }</style>",
        '<pre class="mermaid"><code>graph LR</code></pre>',
    ],
)
def test_a_page_that_loads_something_from_elsewhere_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "good.html").write_text('<a href="https://doi.org/1">x</a><img src="a.png">')
    (tmp_path / "bad.html").write_text(text)
    found = module("site_pages").outside_resources(tmp_path)
    assert [line.partition(":")[0] for line in found] == ["bad.html"]


def test_a_public_name_or_method_without_a_docstring_is_named() -> None:
    class Whole:
        """Has one."""

        def bare(self) -> None:
            pass

        def said(self) -> None:
            """Has one."""

        def _private(self) -> None:
            pass

    def plain() -> None:
        pass

    undocumented = module("site_pages").undocumented
    assert list(undocumented("Whole", Whole)) == ["ivr.Whole.bare"]
    assert list(undocumented("plain", plain)) == ["ivr.plain"]


def shown_commands() -> Iterator[tuple[str, str]]:
    """Yield page and text of every ``ivr`` command that a page shows."""
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        blocks = re.findall(
            r"^```(?:console|text|bash)?\n(.*?)^```", text, re.MULTILINE | re.DOTALL
        )
        lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
        spans = re.findall(r"(?<!`)`(ivr [^`]+)`", text.replace("\n", " "))
        for line in [*lines, *spans]:
            command = re.sub(r"^.*?\bivr (?=[a-z])", "ivr ", line.split(" #")[0].strip())
            if re.match(r"\$? ?(srun .* |\w+=\S+ )?(\.venv/bin/)?ivr [a-z]", line.strip()):
                yield path.name, command.removesuffix(" &")


@pytest.mark.parametrize(("page", "text"), sorted(set(shown_commands())))
def test_a_command_that_the_docs_show_exists_with_its_options(page: str, text: str) -> None:
    name, *words = [word for word in shlex.split(text)[1:] if word not in CUT]
    known = every_command()
    command = known.get(name) or known.get(" ".join([name, *words[:1]]))
    if not words:  # a group of commands
        command = command or main.get_command(click.Context(main), name)
    assert command is not None, f"{page}: no command {name}"
    options = {option for parameter in command.params for option in parameter.opts}
    options |= {"-h", "--help"}
    used = {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"}
    assert used <= options, f"{page}: {text}"


def test_every_public_name_that_a_python_example_uses_exists() -> None:
    used = {
        (page.name, name)
        for page in PAGES
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.M | re.S)
        for name in re.findall(r"(?<!from )(?<!import )\bivr\.(\w+)", block)
        if not re.search(rf"from ivr\.{name}\b", block)
    }
    assert used
    assert {(page, name) for page, name in used if name not in ivr.__all__} == set()


def example(page: str, folder: Path, name: str) -> None:
    """Write the first Python block of a how-to page to a module on the path of Python."""
    text = (ROOT / "docs" / "how-to" / page).read_text(encoding="utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    (folder / f"{name}.py").write_text(code, encoding="utf-8")


def test_the_encoder_that_the_docs_show_makes_vectors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("add-an-encoder.md", tmp_path, "small_net")
    monkeypatch.syspath_prepend(tmp_path)
    encoder = load_encoder(ivr.ImageConfig("small_net:small_net", "random"), torch.device("cpu"))
    assert encoder(torch.zeros(2, 3, 64, 64, dtype=torch.uint8)).shape == (2, 32)


def test_the_voice_encoder_that_the_docs_show_makes_sequences(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("add-a-voice-encoder.md", tmp_path, "band_energy")
    monkeypatch.syspath_prepend(tmp_path)
    made = voice_blueprint(VoiceChoices(ivr.VoiceEncoderConfig("band_energy:band_energy")))
    sequence, frames = made.reader.read(np.ones(1700, np.float32))
    assert (sequence.shape, frames, made.shape) == ((1, 8, 10), 10, (1, 8, 500))


def test_the_layout_that_the_docs_show_is_read_and_proves_its_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example("add-a-layout.md", tmp_path, "pairs_list")
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pairs.txt").write_text("a.png a.wav beach\nb.png b.wav river\n")
    manifest = read_layout("pairs_list:LAYOUT", Sources(tmp_path))
    assert [(row.image, row.voice, row.label) for row in manifest.rows] == [
        ("a.png", "a.wav", "beach"),
        ("b.png", "b.wav", "river"),
    ]
    (tmp_path / "pairs.txt").write_text("a.png a.wav\n")
    with pytest.raises(ManifestError, match=r"line 1: not image, voice and class: 'a.png a.wav'"):
        read_layout("pairs_list:LAYOUT", Sources(tmp_path))


def test_the_metric_that_the_docs_show_is_scored_with_ties(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics, "METRICS", METRICS.copy())
    example("add-a-metric.md", tmp_path, "r_precision")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("r_precision")
    # Two relevant items: one alone at the front, one of two tied items behind it.
    hist = Histograms(np.array([[1, 2, 1]]), np.array([[1, 1, 0]]))
    assert metrics.scores(hist).in_units()["R-precision"] == 75.0


def test_the_arrays_that_the_notebook_page_shows_are_ranked_and_scored(
    features: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (ROOT / "docs" / "how-to" / "notebook.md").read_text(encoding="utf-8")
    (code,) = (
        block for block in re.findall(r"^```python\n(.*?)^```", text, re.M | re.S)
        if "open_features" in block
    )  # fmt: skip
    (tmp_path / "features").symlink_to(features)
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["names"].shape == found["distances"].shape == (len(found["queries"]), 4)
    tested = {name for name, row in found["row"].items() if row % 5 == 0}
    assert {str(name) for name in found["names"].flat} == tested
    assert 0 <= found["score"] <= 1
    # A voice finds the same images by its own array as by its code in the run of these features.
    first = found["voices"][int(np.flatnonzero(found["spoken"])[0])]
    np.testing.assert_array_equal(
        found["model"].encode_voices(*found["data"].voice_vectors([first.name])),
        found["queries"][:1],
    )


def test_every_file_that_the_readme_links_is_in_the_checkout() -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert len(links) > 10
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_links_that_another_build_makes_at_the_same_time_are_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = module("site_pages")
    (tmp_path / "ivr").mkdir()
    (tmp_path / "ivr" / "one.py").touch()
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "PACKAGES", ())
    pages._link_packages()
    # Each build looks before the other has linked.
    monkeypatch.setattr(Path, "exists", lambda self: False)
    pages._link_packages()
    links = tmp_path / "build" / "typing" / "ivr"
    assert os.listdir(links) == ["one.py"]
    assert (links / "one.py").resolve() == (tmp_path / "ivr" / "one.py").resolve()


def test_the_tutorial_runs(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")
    notebook = nbformat.read(ROOT / "docs" / "tutorial.ipynb", as_version=4)
    module("run_tutorial").execute(notebook, tmp_path)
    pictures = [
        output
        for cell in notebook.cells
        for output in cell.get("outputs", ())
        if "image/png" in output.get("data", {})
    ]
    assert pictures


def test_the_citation_names_the_version_of_the_package() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == ivr.__version__
    assert citation["cff-version"] == "1.2.0"
    assert citation["authors"] and citation["title"] and citation["message"]
