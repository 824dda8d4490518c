"""The scripts of benchmarks/ that take stand-ins for parts of the project still fit these parts."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            "archive.py --rows 3000 --tiles 8 --rounds 1 --kills 2 --queries 5",
            ("add 8 images to", "0 versions unreadable, 0 blocks lost, 0 half blocks"),
        ),
        ("refresh.py --rows 3000", ("add 1000 rows, followed", "replace 1000 rows, read anew")),
        ("large_archive.py --rows 5000 --queries 3", ("exact search, median ms",)),
    ],
)
def test_a_short_run_of_a_benchmark_measures_all_its_parts(
    script: str, expected: tuple[str, ...], tmp_path: Path
) -> None:
    name, *options = script.split()
    command = [sys.executable, str(SCRIPTS / name), *options, "--work", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for words in expected:
        assert words in done.stdout
