"""Names of run folders: one run has one folder, however its settings are written."""

import subprocess
import sys
from pathlib import Path

import pytest

from ivr.features.voice_streams import STREAMS
from ivr.hashing.methods import method_entry
from ivr.names import UnknownNameError
from ivr.pipeline.comparison.compare import chosen_config
from ivr.pipeline.comparison.compare_config import CompareConfig
from ivr.pipeline.comparison.declaration import preset_names
from ivr.pipeline.comparison.grid import Grid, grid_of
from ivr.pipeline.comparison.tasks import tasks
from ivr.pipeline.comparison.variants import Variant
from ivr.pipeline.runtime.config_options import OptionError

DIVH = method_entry("divh").config()


def names(*settings: str, method: str = "divh") -> list[str]:
    """Names of the folder of one run: the present one and that of earlier versions."""
    grid = Grid((Variant("x", method, settings),), seeds=(0,))
    (row,) = grid.rows()
    return [grid.name(row, 0), grid.earlier_name(row, 0)]


def name(*settings: str, method: str = "divh") -> str:
    return names(*settings, method=method)[0]


@pytest.mark.parametrize(
    "setting",
    [
        f"gamma={DIVH.gamma}",
        f"gamma={DIVH.gamma:.6f}",
        f"network.image_hidden={DIVH.network.image_hidden}",
        f"network.output_norm={str(DIVH.network.output_norm).lower()}",
        "training.epochs=120",
        "training.optimiser=sgd",
        "training.batch_size=64",
    ],
)
def test_a_setting_equal_to_the_default_is_not_in_the_name(setting: str) -> None:
    assert name(setting) == name() == "divh-64-stack-one-0"


def test_the_defaults_of_training_are_those_of_the_method() -> None:
    assert name("training.epochs=60", method="csq") == "csq-64-stack-one-0"
    assert name("training.epochs=60") == "divh-64-stack-one-training.epochs=60-0"
    assert name("training.optimiser=adamw", "training.learning_rate=0.003") == (
        "divh-64-stack-one-training.optimiser=adamw-0"
    )


def test_one_value_has_one_name_however_it_is_written() -> None:
    assert name("gamma=0.50") == name("gamma=5e-1") == "divh-64-stack-one-gamma=0.5-0"


def test_the_last_of_two_values_counts() -> None:
    assert name("gamma=0.5", f"gamma={DIVH.gamma}") == name()


@pytest.mark.parametrize(
    ("settings", "earlier"),
    [
        (("training.epochs=120",), "divh-64-stack-one-training.epochs=120-0"),
        (("gamma=0.50",), "divh-64-stack-one-gamma=0.50-0"),
    ],
)
def test_a_run_in_a_folder_with_its_earlier_name_is_found(
    tmp_path: Path, settings: tuple[str, ...], earlier: str
) -> None:
    grid = Grid((Variant("x", "divh", settings),), seeds=(0,))
    assert names(*settings)[1] == earlier
    assert tasks(grid, tmp_path)[0].run.name == name(*settings)
    for folder in (earlier, name(*settings)):  # where both are, the present name counts
        (tmp_path / "runs" / folder).mkdir(parents=True)
        (tmp_path / "runs" / folder / "config.json").touch()
        assert tasks(grid, tmp_path)[0].run.name == folder


def test_every_preset_describes_a_grid() -> None:
    for preset in preset_names():
        assert grid_of(CompareConfig(preset=preset)).rows()


def test_an_earlier_name_of_a_preset_is_accepted_with_a_note(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "ivr")
    assert chosen_config(CompareConfig(preset="honest-checks")).preset == "generalisation"
    assert "the preset honest-checks is now called generalisation" in caplog.text


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "table"}, "no preset 'table'; there are compare, code-health"),
        ({"columns": ("mAP@R",)}, "no column 'mAP@R'; did you mean mAP"),
        ({"preset": "code-health", "columns": ("mAP",)}, "no column 'mAP'; there are dead bits"),
        ({"bit": (16,)}, "no option 'bit'; did you mean bits"),
    ],
)
def test_a_choice_that_is_not_possible_is_an_option_error(
    options: dict[str, object], words: str
) -> None:
    with pytest.raises((OptionError, UnknownNameError), match=words):
        chosen_config(None, options)


def test_presets_and_configs_need_no_torch() -> None:
    code = (
        "import sys\n"
        "from ivr.pipeline.comparison import compare_config, declaration\n"
        "from ivr.pipeline.datasets import check_config, layouts, prepare_config\n"
        "from ivr.pipeline.demo import demo_config\n"
        "print(sorted({'torch', 'torchvision', 'librosa', 'numba'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_method_with_streams_of_its_own_reads_them_where_none_are_named() -> None:
    variants = tuple(Variant(name, name) for name in ("divh", "dvan"))
    rows = Grid(variants, held=("delta", "mfcc")).rows()
    assert [row.streams for row in rows] == [("delta", "mfcc"), ("mfcc",)]
    named = Grid(variants, streams=(STREAMS,)).rows()
    assert [row.streams for row in named] == [STREAMS, STREAMS]
    other = Grid(variants, held=("whisper",))
    assert [row.streams for row in other.rows()] == [("whisper",)] * 2
    assert [other.config(row, 0).streams for row in other.rows()] == [("whisper",)] * 2
    assert name(method="dvan") == "dvan-64-mfcc-one-0"
