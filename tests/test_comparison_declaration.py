"""Tables declared in YAML: presets, variants of one method, sweeps, and their columns."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import assert_one_line, ivr, succeeded
from source_tree import ROOT

from ivr.names import UnknownNameError
from ivr.pipeline.comparison.compare import chosen_config
from ivr.pipeline.comparison.compare_config import CompareConfig
from ivr.pipeline.comparison.declaration import (
    TableDeclaration,
    declaration_of,
    preset_names,
    preset_text,
    reference_of,
)
from ivr.pipeline.comparison.grid import grid_of
from ivr.pipeline.comparison.variants import Variant, parsed_variants
from ivr.pipeline.pictures.picture_files import FORMATS
from ivr.pipeline.runtime.config_options import OptionError

BASE, NO_L2 = Variant("base", "divh"), Variant("no-l2", "divh", ("gamma=0",))


def variants_of(**options: Any) -> tuple[Variant, ...]:
    return grid_of(CompareConfig(**options)).variants


def names(**options: Any) -> list[str]:
    grid = grid_of(CompareConfig(seeds=1, **options))
    return [grid.name(row, 0) for row in grid.rows()]


def test_a_variant_is_a_name_and_its_options() -> None:
    wide = "wide: network.image_hidden=1024, network.voice_channels=8,16,8 training.epochs=3"
    assert variants_of(variants=("base", "no-l2: divh.gamma=0", wide)) == (
        BASE,
        NO_L2,
        Variant(
            "wide",
            "divh",
            ("network.image_hidden=1024", "network.voice_channels=8,16,8", "training.epochs=3"),
        ),
    )


def test_a_variant_names_its_method_by_an_option_or_by_the_word_method() -> None:
    found = variants_of(
        variants=("ours", "theirs: csq.network.image_hidden=0", "plain: method=lsh"),
        methods=("dtbh",),
    )
    assert [(variant.label, variant.method) for variant in found] == [
        ("ours", "dtbh"), ("theirs", "csq"), ("plain", "lsh")]  # fmt: skip


def test_variants_on_the_command_line_and_in_a_file_are_the_same_runs(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(
        "variants:\n"
        "  base: {}\n"
        "  no-l2: {divh.gamma: 0}\n"
        "  wide: {network: {image_hidden: 1024, voice_channels: [8, 16, 8]}}\n"
        "  linear: {activation: linear, network.output_norm: false}\n"
    )
    texts = ("base", "no-l2: divh.gamma=0",
             "wide: network.image_hidden=1024 network.voice_channels=8,16,8",
             "linear: activation=linear, network.output_norm=false")  # fmt: skip
    file = CompareConfig(grid=tmp_path / "own.yaml")
    assert grid_of(file).variants == variants_of(variants=texts)


def test_settings_of_all_rows_are_overridden_by_those_of_a_variant() -> None:
    found = names(
        variants=("base", "long: training.epochs=9"), set=("training.epochs=2", "divh.gamma=0.5")
    )
    assert found == [
        "divh-64-stack-one-gamma=0.5,training.epochs=2-0",
        "divh-64-stack-one-gamma=0.5,training.epochs=9-0",
    ]


def test_a_sweep_is_every_combination_of_its_values() -> None:
    found = variants_of(sweep=("divh.gamma=0,0.1", "training.epochs=2,3"))
    assert [variant.label for variant in found] == [
        "gamma=0, training.epochs=2", "gamma=0, training.epochs=3",
        "gamma=0.1, training.epochs=2", "gamma=0.1, training.epochs=3",
    ]  # fmt: skip
    assert found[3].settings == ("gamma=0.1", "training.epochs=3")


def test_a_sweep_of_several_methods_has_one_axis() -> None:
    found = variants_of(sweep=("training.epochs=2,3",), methods=("divh", "csq"))
    assert [(variant.label, variant.method) for variant in found] == [
        ("divh, training.epochs=2", "divh"), ("divh, training.epochs=3", "divh"),
        ("csq, training.epochs=2", "csq"), ("csq, training.epochs=3", "csq")]  # fmt: skip


def test_the_reference_is_the_first_variant_unless_it_is_named(tmp_path: Path) -> None:
    own = TableDeclaration(variants={"base": {}, "no-l2": {"gamma": 0}})
    assert reference_of(own, None, ["base", "no-l2"]) == "base"
    assert reference_of(own, "no-l2", ["base", "no-l2"]) == "no-l2"
    assert reference_of(own, "best", ["base", "no-l2"]) is None
    assert reference_of(TableDeclaration(), None, ["divh", "csq"]) is None
    with pytest.raises(UnknownNameError, match="no row 'bse'; did you mean base"):
        reference_of(own, "bse", ["base", "no-l2"])


def test_a_preset_can_be_given_back_as_a_grid_with_the_same_plan(tmp_path: Path) -> None:
    for name in preset_names():
        path = tmp_path / f"{name}.yaml"
        path.write_text(succeeded(ivr("compare", "--show-preset", name)).stdout)
        preset, grid = CompareConfig(preset=name), CompareConfig(grid=path)
        assert declaration_of(grid) == declaration_of(preset)
        assert grid_of(grid) == grid_of(preset)


def test_the_plan_of_a_shown_preset_is_that_of_the_preset(features: Path, tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(preset_text("divh-ablation"))
    plans = [
        json.loads(succeeded(ivr("compare", features, "--out", tmp_path / "out", *more, "--plan",
                                 "--json", "--seeds", 1)).stdout)
        for more in (("--preset", "divh-ablation"), ("--grid", path))
    ]  # fmt: skip
    assert [run["name"] for run in plans[0]] == [run["name"] for run in plans[1]]
    assert len(plans[0]) == 4


WEIGHTS = ("0.001", "0.01", "0.1", "1", "2")
PAPER_RUNS = {
    "divh-ablation": ["", "gamma=0", "eta=0", "eta=0,gamma=0"],
    "divh-choices": [
        "", "training.optimiser=adamw", "theta_scale=1", "theta_scale=0.5", "activation=linear",
        "within_weight=0", "pair_weights=balanced", "pair_weights=none", "balance=separate",
        "balance_on=straight-through", "eta=1,gamma=1",
        "network.frequency_masks=0,network.time_masks=0", "network.image_hidden=0",
        "network.output_norm=false", "8461ee3ea826",
    ],
    "divh-parameters": [
        # 0.01 is the default of both.
        f"eta={eta},gamma={gamma}".replace("eta=0.01,", "").replace("gamma=0.01", "").strip(",")
        if "0.01" in (gamma, eta) else f"eta={eta},gamma={gamma}"
        for gamma in WEIGHTS for eta in WEIGHTS
    ],
}  # fmt: skip
"""Settings in the names of the run folders of earlier comparisons."""


@pytest.mark.parametrize("preset", PAPER_RUNS)
def test_runs_of_earlier_comparisons_keep_their_names(preset: str) -> None:
    expected = [f"divh-64-stack-one{'-' if text else ''}{text}-0" for text in PAPER_RUNS[preset]]
    assert names(preset=preset) == expected


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"variants": ("a", "a: gamma=1")}, "the variant 'a' is given twice"),
        ({"variants": ("a: gamma",)}, "'a: gamma' is not of the form LABEL: NAME=VALUE"),
        ({"variants": ("a: gamma=1 gamma=2",)}, "gamma is given twice, as 1 and as 2"),
        ({"variants": ("a: gamma=1 divh.gamma=2",)}, "gamma is given twice, as 1 and as 2"),
        ({"variants": ("a: divh.gamma=1 csq.alpha=2",)}, "'a' has settings of divh and csq"),
        ({"variants": ("a: gama=1",)}, "no option 'gama'; did you mean gamma"),
        ({"variants": ("a: method=dvih",)}, "no method 'dvih'; did you mean divh"),
        ({"variants": (": gamma=1",)}, "'' cannot name a variant"),
        ({"variants": ("a\x1b",)}, r"'a\\x1b' cannot name a variant"),
        ({"variants": ("a" * 300,)}, "it has 300 characters, at most 60"),
        ({"variants": ("a", "b"), "sweep": ("gamma=0,1",)}, "variants and a sweep exclude"),
        ({"variants": ("a",), "preset": "divh-ablation"}, "divh-ablation has rows of its own"),
        ({"variants": ("a",), "methods": ("divh", "csq")}, "variants are of one method"),
        ({"variants": ("a: csq.gamma=1",), "methods": ("divh",)}, "rows are variants of csq"),
        ({"set": ("divh.gamma=0.5", "divh.gamma=1")}, "divh.gamma is given twice, as 0.5 and as 1"),
        ({"sweep": ("gamma",)}, "'gamma' is not of the form NAME=VALUE,VALUE"),
        ({"sweep": ("gamma=1",)}, "gamma needs two or more values, each once, got 1"),
        ({"sweep": ("gamma=1,1",)}, "gamma needs two or more values, each once, got 1, 1"),
        ({"sweep": ("gamma=1,2", "gamma=3,4")}, "gamma is given twice, as 1,2 and as 3,4"),
        ({"sweep": ("gamma=1,2", "divh.gamma=3,4")}, "gamma is given twice"),
        ({"sweep": ("gamma=1,2", "eta=1,2", "training.epochs=1,2")}, "one or two axes"),
        ({"sweep": ("bits=16,32",)}, "bits is no axis of a sweep: give --bits"),
        ({"sweep": ("divh.gamma=1,2",), "methods": ("csq",)}, "is of divh alone: omit csq"),
        ({"grid": Path("a.yaml"), "preset": "compare"}, "give one of them"),
        ({"columns": ("mPA",)}, "no column 'mPA'; did you mean mAP"),
        ({"columns": ("difference",), "preset": "code-health"}, "no column 'difference'"),
    ],
)  # fmt: skip
def test_rows_that_are_not_possible_are_one_line(options: dict[str, Any], words: str) -> None:
    with pytest.raises((OptionError, UnknownNameError), match=words) as info:
        chosen_config(CompareConfig(), options)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("variant: {base: {}}\n", "no option 'variant'; did you mean variants"),
        ("variants: {base: {}, base: {}}\n", "'base' is given twice"),
        ("variants: [base]\n", "variants"),
        ("variants: {base: {gamma: !!binary aGFsbG8=}}\n", "is not the value of an option"),
        ("variants: {base: {}}\nsweep: {gamma: [1, 2]}\n", "exclude each other"),
        ("sweep: {gamma: 1}\n", "sweep"),
        ("metrics: [mPA]\n", "no column 'mPA'; did you mean mAP"),
        ("metrics: [mAP]\nsource: health\n", "a table of health has metrics of its own"),
        ("source: results\nprotocol: divhh\n", "no protocol 'divhh'; did you mean divh"),
        ("picture: pie\n", "picture must be curves, got 'pie'"),
        ("variants: {base: {a: {b: [}}}\n", "not YAML"),
    ],
)
def test_a_file_that_declares_no_table_is_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(text)
    result = ivr("compare", tmp_path, "--out", tmp_path / "out", "--grid", path)
    assert_one_line(result, words, status=2)
    assert f"{path}: " in result.stderr
    assert not (tmp_path / "out").exists()


def test_a_grid_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    result = ivr("compare", tmp_path, "--out", tmp_path / "out", "--grid", tmp_path / "no.yaml")
    assert_one_line(result, "no.yaml", status=2)


SMALL = ("--bits", 16, "--seeds", 2, "--epochs", 1, "--device", "cpu")


def test_variants_are_one_table_with_differences_from_the_first(
    features: Path, tmp_path: Path
) -> None:
    variants = ("--variant", "base", "--variant", "no-l2: divh.gamma=0")
    said = succeeded(ivr("compare", features, "--out", tmp_path, *SMALL, *variants))
    assert said.stdout.startswith(
        f"Metrics by variant, {features.parent.name}, 16 bits, 2 seeds, n = 3\n"
    )
    assert "Differences are those of mAP from base (16 bits)" in said.stdout
    kept = json.loads((tmp_path / "compare.json").read_text())["lines"]
    assert [line["method"] for line in kept if line["kind"] == "measured"] == ["base", "no-l2"]
    assert "image_to_voice.difference.low" in kept[1]["figures"]
    assert "image_to_voice.difference" not in kept[0]["figures"]
    again = succeeded(ivr("compare", features, "--out", tmp_path, *SMALL, *variants))
    assert "runs:" not in again.stderr and again.stdout == said.stdout


def test_a_sweep_is_a_table_and_a_picture(features: Path, tmp_path: Path) -> None:
    own = tmp_path / "weights.yaml"
    own.write_text("sweep: {divh.gamma: [0, 0.1, 1]}\nmetrics: [mAP]\n")
    said = succeeded(ivr("compare", features, "--out", tmp_path / "out", "--grid", own, *SMALL))
    assert said.stdout.startswith(
        f"Metrics over gamma, {features.parent.name}, 16 bits, 2 seeds, n = 3\n"
    )
    assert "gamma=0.1" in said.stdout
    written = {path.name for path in (tmp_path / "out").glob("weights*")}
    assert written == {
        "weights.csv", "weights.md", "weights.tex", "weights.json", "weights.compare.yaml",
        *(f"weights-sweep.{kind}" for kind in (*FORMATS, "csv")),
    }  # fmt: skip
    with (tmp_path / "out" / "weights-sweep.csv").open(newline="") as file:
        drawn = [row for row in csv.DictReader(file) if row["direction"] == "image_to_voice"]
    lines = json.loads((tmp_path / "out" / "weights.json").read_text())["lines"]
    assert [float(row["gamma"]) for row in drawn] == [0, 0.1, 1]
    assert [float(row["mean"]) for row in drawn] == pytest.approx(
        [line["figures"]["image_to_voice.mAP"] for line in lines if line["kind"] == "measured"]
    )


def test_a_sweep_over_words_and_numbers_is_drawn_with_its_words(
    features: Path, tmp_path: Path
) -> None:
    axes = ("--sweep", "activation=tanh,linear", "--sweep", "gamma=0.1,0")
    call = ("compare", features, "--out", tmp_path, "--bits", 16, "--seeds", 1, "--epochs", 1)
    succeeded(ivr(*call, "--device", "cpu", *axes, "--columns", "mAP"))
    with (tmp_path / "compare-sweep.csv").open(newline="") as file:
        drawn = [(row["activation"], float(row["gamma"])) for row in csv.DictReader(file)]
    assert drawn == 2 * [("tanh", 0.1), ("tanh", 0), ("linear", 0.1), ("linear", 0)]


def test_columns_are_chosen_by_name_and_by_direction(features: Path, tmp_path: Path) -> None:
    variants = ("--methods", "lsh,cca_itq", *SMALL[:4], "--device", "cpu")
    columns = "R@5,image_to_voice.mAP"
    said = succeeded(
        ivr("compare", features, "--out", tmp_path, *variants, "--columns", columns)
    ).stdout
    head = said.splitlines()[2].split("  ")
    assert [name.strip() for name in head if name.strip()][-3:] == [
        "R@5 I→V", "R@5 V→I", "mAP I→V"]  # fmt: skip
    assert "difference" not in said
    more = ("--columns", "mAP,difference", "--name", "gaps")
    said = succeeded(ivr("compare", features, "--out", tmp_path, *variants, *more)).stdout
    assert "difference I→V" in said
    kept = json.loads((tmp_path / "gaps.json").read_text())["lines"][0]["figures"]
    assert {name.split(".")[1] for name in kept} <= {"mAP", "difference"}


def test_presets_are_in_the_wheel(tmp_path: Path) -> None:
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    for name in ("ivr", "cli", "features", "hashing", "pipeline"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    build = "from setuptools import setup; setup(script_args=['-q', 'build_py', '-d', 'built'])"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    built = tmp_path / "built" / "ivr" / "pipeline" / "comparison" / "presets"
    assert {path.stem for path in built.iterdir()} == set(preset_names())


def test_a_variant_without_its_colon_is_refused() -> None:
    with pytest.raises(OptionError, match="is not of the form LABEL: NAME=VALUE"):
        parsed_variants(["x divh.gamma=0"])
