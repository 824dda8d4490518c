"""The house: rooms, the direction of imports, and the size of files and functions."""

import ast
import re
from collections.abc import Iterator

import pytest
from import_graph import circles, module_arrows, outside_imports, room_arrows, room_of
from source_tree import ROOT, Module, product_modules

PAGE = ROOT / "docs" / "architecture.md"
LINES, BODY_LINES = 450, 60
LONG_FILES: dict[str, str] = {
    "pipeline/comparison/comparison_table.py": "not yet cut into rows, columns and gaps",
    "pipeline/comparison/presets.py": "not yet cut into presets and writing",
    "pipeline/demo/scenes.py": "not yet cut into kinds of scenes",
}
"""Files that may be longer, with the reason."""
LONG_FUNCTIONS = {
    "cli/extract.py extract": "its options are not yet generated from the config",
    "hashing/counting_kernel.py _fused_counts": "one numba kernel: a call inside costs its speed",
}
"""Functions that may be longer, with the reason."""

MODULES = product_modules()
ORDER = (
    ("cli",),
    ("ivr",),
    ("pipeline.serving", "pipeline.doctor"),
    ("pipeline.demo",),
    ("pipeline.plotting",),
    ("pipeline.report",),
    ("pipeline.archive", "pipeline.comparison"),
    ("pipeline.packing",),
    ("pipeline.evaluation",),
    ("pipeline.runs",),
    ("pipeline.extraction",),
    ("pipeline.datasets", "pipeline.pictures"),
    ("pipeline.runtime",),
    ("pipeline",),
    ("features", "hashing"),
    ("leaves",),
)
"""Rooms from top to bottom: each may import from all below it, and from none beside it."""
ONLY_IN = {
    "av": r"features/ffmpeg_(audio|opus)\.py",
    "click": r"cli/.*",
    "cv2": r"features/sift\.py",
    "h5py": r"features/store\.py",
    "jinja2": r"pipeline/report/render\.py",
    "lancedb": r"pipeline/archive/lance_library\.py",
    "librosa": r"features/(voice|waveform_augmentation)\.py",
    "matplotlib": r"pipeline/pictures/.*",
    "mlflow": r"pipeline/runs/mlflow_reporter\.py",
    "numba": r"hashing/counting_kernel\.py",
    "onnx": r"pipeline/packing/onnx_(export|quantisation)\.py",
    "onnxruntime": r"pipeline/packing/onnx_(sessions|quantisation)\.py",
    "rasterio": r"features/raster_\w+\.py",
    "simplejpeg": r"features/jpeg_file\.py",
    "sklearn": r"(features/visual_words|pipeline/evaluation/linear_probe|hashing/methods/seph)\.py",
    "torchvision": r"features/torchvision_networks\.py",
    "transformers": r"features/speech_network\.py",
    "tqdm": r"pipeline/runtime/progress\.py",
}
"""Packages that only some files import; everything else goes through those files."""


def test_every_room_has_its_place() -> None:
    assert {room_of(module.name) for module in MODULES} == {room for row in ORDER for room in row}


def test_no_import_leads_upward_or_sideways() -> None:
    height = {room: place for place, rooms in enumerate(ORDER) for room in rooms}
    arrows = module_arrows(MODULES)

    wrong = [
        f"{source} -> {target}"
        for source, targets in arrows.items()
        for target in targets
        if room_of(source) != room_of(target)
        and height[room_of(source)] >= height[room_of(target)]
        # python -m ivr starts the command line.
        and (source, target) != ("ivr.__main__", "ivr.cli")
    ]

    assert wrong == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert circles(module_arrows(MODULES, with_types=False)) == []


def test_a_circle_is_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == [["b", "c"]]


@pytest.mark.parametrize("package", sorted(ONLY_IN))
def test_only_some_files_import(package: str) -> None:
    importers = {module.shown for module in MODULES if package in outside_imports(module)}

    assert importers
    assert [path for path in sorted(importers) if not re.fullmatch(ONLY_IN[package], path)] == []


WRITES = re.compile(
    r"\.write_text\(|\.write_bytes\(|\bnp\.save|\bsave_file\(|\bos\.open\(|\.touch\("
    r"|\bopen\([^)]*[\"'][rwxab+]*[wxa][rwxab+]*[\"']"
    r"|\.(?:savefig|save)\((?:path|folder|target)\b|soundfile\.write\((?:path|folder|target)\b"
)
"""Ways to create a file, or to open one for writing, by its path."""
CREATORS = {
    "features/atomic_files.py",
    "cli/boundary.py",  # opens nothing but /dev/null, for handles that the caller closed
    "features/ffmpeg_opus.py",  # encodes into memory
    "features/regular_files.py",  # opens files to read them, without waiting for a pipe
    "pipeline/runtime/lock.py",  # the lock is a file that stays, and is written in place
    "pipeline/runtime/digests.py",  # opens a folder to lock it
    "pipeline/comparison/running.py",  # empty marks in a temporary folder of its own
}


def test_only_one_module_creates_files() -> None:
    found = {
        module.shown for module in MODULES if WRITES.search(module.path.read_text(encoding="utf-8"))
    }

    assert found == CREATORS


def test_every_package_says_in_its_first_line_what_it_is_for() -> None:
    for module in MODULES:
        if module.path.name == "__init__.py":
            text = ast.get_docstring(module.tree) or ""
            assert len(text.partition("\n")[0].split()) >= 5, module.shown


def test_no_file_is_longer_than_a_reader_can_keep_in_mind() -> None:
    long = {
        module.shown
        for module in MODULES
        if len(module.path.read_text(encoding="utf-8").splitlines()) > LINES
    }

    assert long - set(LONG_FILES) == set()


def test_no_function_is_longer_than_a_screen() -> None:
    long = {
        f"{module.shown} {node.name}"
        for module in MODULES
        for node in functions(module)
        if body_lines(node) > BODY_LINES
    }

    assert long - set(LONG_FUNCTIONS) == set()


def functions(module: Module) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(module.tree) if isinstance(node, ast.FunctionDef))


def body_lines(function: ast.FunctionDef) -> int:
    """Return the number of lines of the body, without the docstring."""
    documented = ast.get_docstring(function) is not None
    body = function.body[1:] if documented else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_the_page_shows_the_arrows_between_the_rooms_of_the_pipeline() -> None:
    arrows = {
        (source.removeprefix("pipeline."), target.removeprefix("pipeline."))
        for source, target in room_arrows(module_arrows(MODULES))
        if source.startswith("pipeline.") and target.startswith("pipeline.")
    }
    page = PAGE.read_text(encoding="utf-8")
    section = page.split("<!-- arrows -->")[1]
    shown = {
        (source, target.strip("` "))
        for source, targets in re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)
        for target in targets.split(",")
    }

    assert shown == arrows
    assert f"{len(arrows)} arrows" in page


def test_the_page_names_only_files_that_exist() -> None:
    page = PAGE.read_text(encoding="utf-8")
    named = set(re.findall(r"`((?:[\w-]+/)+[\w.-]*)`", page))

    assert named
    assert {path for path in named if not (ROOT / path).exists()} == set()
