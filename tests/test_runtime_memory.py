"""Memory: what the machine has free, or less where a batch system set a limit."""

from pathlib import Path

import psutil
import pytest

from ivr.pipeline.runtime import memory


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine of plenty, whose control groups lie in a folder of the test."""
    plenty = psutil.virtual_memory()._replace(available=1000 * 2**30)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: plenty)
    monkeypatch.setattr(memory, "GROUPS", tmp_path)
    monkeypatch.setattr(memory, "OWN", tmp_path / "own")
    return tmp_path


def group(folder: Path, limit: str, used: int, droppable: int, version: int) -> None:
    names = memory.FILES[version]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"cache 5\n{names[2]} {droppable}\n")


def test_without_control_groups_half_of_what_is_free_may_be_taken(system: Path) -> None:
    assert memory.room() == 500 * 2**30


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_job_counts_less_what_it_holds(system: Path, version: int) -> None:
    root = system if version == 2 else system / "memory"
    group(root / "slurm" / "job_7", str(10 * 2**30), 4 * 2**30, 2**30, version)
    line = "0::/slurm/job_7\n" if version == 2 else "3:cpu:/\n4:memory,other:/slurm/job_7\n"
    (system / "own").write_text(line)
    assert memory.room() == 0.5 * (10 - 3) * 2**30


def test_a_group_above_may_have_less_and_one_without_a_limit_has_no_say(system: Path) -> None:
    group(system / "slurm", str(3 * 2**30), 2**30, 0, 2)
    group(system / "slurm" / "job_7", "max", 2**30, 0, 2)
    (system / "own").write_text("0::/slurm/job_7\n")
    assert memory.room() == 0.5 * 2 * 2**30


def test_a_full_group_leaves_nothing(system: Path) -> None:
    group(system / "job", "100", 300, 0, 2)
    (system / "own").write_text("0::/job\n")
    assert memory.room() == 0
