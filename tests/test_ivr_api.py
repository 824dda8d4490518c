import ast
import inspect
import json
import subprocess
import sys
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import get_type_hints

import pytest

import ivr
from ivr.pipeline.runtime.results import Result

HEAVY = ("h5py", "joblib", "librosa", "matplotlib", "numba", "scipy", "sklearn", "torch")

FUNCTIONS = [name for name in ivr.__all__ if inspect.isfunction(getattr(ivr, name))]
VERBS = ("check", "demo", "encode", "evaluate", "extract", "merge", "prepare", "probe", "search",
         "train", "verify")  # fmt: skip


def loaded_after(code: str) -> set[str]:
    """Return the top-level packages that a fresh interpreter has imported after ``code``."""
    ending = "import json, sys; print(json.dumps(sorted({n.split('.')[0] for n in sys.modules})))"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{ending}"], capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "code",
    [
        "import ivr; ivr.__version__; ivr.IvrError; dir(ivr)",
        "import ivr; ivr.ExtractConfig; ivr.RunConfig; ivr.TrainConfig; ivr.ImageConfig",
        "from ivr.cli import main; main(['--help'], standalone_mode=False)",
    ],
)
def test_the_face_and_the_help_load_no_heavy_library(code: str) -> None:
    loaded = loaded_after(code)

    assert "ivr" in loaded
    assert loaded.intersection(("torch", "librosa", "matplotlib", "numba", "sklearn")) == set()


def test_importing_ivr_alone_loads_no_library_for_numbers() -> None:
    assert loaded_after("import ivr").intersection((*HEAVY, "numpy")) == set()


def test_the_list_of_commands_loads_no_library_for_configs() -> None:
    loaded = loaded_after("from ivr.cli import main; main(['--help'], standalone_mode=False)")
    assert loaded.intersection(("pydantic", "numpy", "yaml")) == set()


def test_the_version_is_that_of_the_distribution() -> None:
    assert ivr.__version__ == version("image-voice-hashing")


@pytest.mark.parametrize("name", ivr.__all__)
def test_every_public_name_resolves_and_is_listed(name: str) -> None:
    assert getattr(ivr, name) is not None
    assert name in dir(ivr)


def test_only_public_names_are_listed() -> None:
    assert dir(ivr) == sorted(ivr.__all__)


def every_result() -> list[type[Result]]:
    """Every kind of result that this package has."""
    for name in ivr.__all__:
        getattr(ivr, name)
    found, level = [], [Result]
    while level:
        level = [kind for parent in level for kind in parent.__subclasses__()]
        found += [kind for kind in level if not inspect.isabstract(kind)]
    return [kind for kind in found if kind.__module__.startswith("ivr.")]


def test_every_result_has_a_repr_for_people() -> None:
    kinds = every_result()
    assert {"TrainResult", "SearchResult", "VerifyResult"} <= {kind.__name__ for kind in kinds}
    for kind in kinds:
        assert not kind.__dataclass_params__.repr, kind  # type: ignore[attr-defined]


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ivr' has no attribute 'nothing'"):
        ivr.nothing  # noqa: B018


def place_of(module: str, name: str) -> str:
    """Return ``module:name``, or ``module.name`` if that is a module itself."""
    own = getattr(import_module(module), name, None)
    return f"{module}.{name}" if inspect.ismodule(own) else f"{module}:{name}"


def test_type_checkers_see_the_names_that_are_imported_at_their_first_use() -> None:
    tree = ast.parse(Path(str(ivr.__file__)).read_text(encoding="utf-8"))
    checked = next(node for node in tree.body if isinstance(node, ast.If))
    declared = {
        alias.asname or alias.name: place_of(node.module or "", alias.name)
        for node in checked.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }

    assert declared == ivr._PLACES
    assert sorted({*declared, "IvrError", "__version__"}) == sorted(ivr.__all__)


@pytest.mark.parametrize("name", [name for name in ivr.__all__ if name != "__version__"])
def test_every_public_name_has_a_docstring(name: str) -> None:
    assert len((getattr(ivr, name).__doc__ or "").strip()) > 20


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_public_function_documents_each_argument_and_its_errors(name: str) -> None:
    function = getattr(ivr, name)
    text = inspect.getdoc(function) or ""
    arguments = text.partition("\nArgs:\n")[2].partition("\n\n")[0]

    assert "\nRaises:\n" in text
    for argument in inspect.signature(function).parameters:
        assert f"    {argument}: " in arguments or f"    **{argument}: " in arguments, argument


@pytest.mark.parametrize("name", VERBS)
def test_every_verb_takes_paths_as_text_and_returns_a_result(name: str) -> None:
    hints = get_type_hints(getattr(ivr, name))

    assert issubclass(hints.pop("return"), Result)
    for argument, hint in hints.items():
        assert (
            "Path" not in str(hint)
            or hint in (str | Path, str | Path | None)
            or (name == "merge" and argument == "folders")
            or (name == "locate" and argument in ("voice", "image"))
            or (name == "search" and hint == str | Path | bytes | None)
        ), argument
