"""A disk that fills up: one line, nothing that was finished is lost, and the next call goes on."""

import json
import resource
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from child_calls import Call, Outcome, outcomes
from tiny_world import SHORT, TINY, World, tiny_nets

from ivr.config import config
from ivr.pipeline.extraction import extract_config
from ivr.pipeline.extraction.extract_config import ExtractConfig

# Below the size of the first shard, between a shard and the whole file, and just below that.
LIMITS = (1_000, 3_000, 3_600, 9_000, 9_300)


@config
class FewRowsConfig(ExtractConfig):
    """Shards of four rows."""

    shard_rows: int = 4


def few_rows() -> None:
    """Tiny nets, and shards of four rows."""
    tiny_nets()
    extract_config.ExtractConfig = FewRowsConfig  # type: ignore[misc]


def no_file_above(size: int) -> None:
    """From now on a file of this process ends at ``size`` bytes, as on a full disk."""
    few_rows()
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def extraction(world: World, out: Path) -> Call:
    command = ("extract", f"{world.media}/manifest.csv", "--out", f"{out}", "--batch-size", "4")
    return Call((*command, *TINY))


def assert_no_room(found: Outcome) -> None:
    assert not found.fault()
    assert found.status == 1
    assert "nothing that was finished is lost: free some room and call again" in found.error


def contents(folder: Path) -> dict[str, bytes]:
    """The files by name, without those that name the process or the call."""
    of_the_call = (".lock", "extract.yaml")
    found = {p.name: p.read_bytes() for p in folder.iterdir() if p.name not in of_the_call}
    digests = json.loads(found["digests.json"])
    digests.pop("extract.yaml")
    return found | {"digests.json": json.dumps(digests).encode()}


def assert_same_files(folder: Path, whole: Path) -> None:
    assert contents(folder) == contents(whole)


@pytest.mark.parametrize("limit", LIMITS)
def test_an_extraction_without_room_is_one_line_and_the_next_call_finishes_it(
    limit: int, world: World, tmp_path: Path
) -> None:
    call = extraction(world, tmp_path / "out")
    (stopped,) = outcomes([call], partial(no_file_above, limit))
    assert_no_room(stopped)
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert not [name for name in left if name.startswith(".") and name != ".lock"]
    (rest,) = outcomes([call], few_rows)
    assert rest.status == 0, rest
    assert_same_files(tmp_path / "out", world.features)


@pytest.mark.parametrize("limit", [500, 1_000, 20_000, 40_000])
def test_a_training_without_room_is_one_line_and_goes_on_to_the_same_model(
    limit: int, world: World, tmp_path: Path
) -> None:
    out = str(tmp_path / "run")
    begin = Call(("train-hash", str(world.features), "--out", out, *SHORT))
    resume = Call(("train-hash", str(world.features), "--out", out, "--resume", "--device", "cpu"))
    (stopped,) = outcomes([begin], partial(no_file_above, limit))
    assert_no_room(stopped)
    (rest,) = outcomes([resume if (tmp_path / "run/config.json").exists() else begin], tiny_nets)
    assert rest.status == 0, rest
    # Not the checkpoint: safetensors writes several notes in any order.
    for name in ("model.safetensors", "codes.h5", "splits.json"):
        assert (tmp_path / "run" / name).read_bytes() == (world.run / name).read_bytes()


# In a name space of its own a process may mount what it likes, where the system lets it.
DISKS = """
import subprocess, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from child_calls import _outcome
from test_full_disk import assert_no_room, assert_same_files, extraction, few_rows
from tiny_world import World
few_rows()
whole, disk = Path(sys.argv[2]), Path(sys.argv[3])
world = World(*(whole / name for name in World.__dataclass_fields__))
full = 0
for kilobytes in range(4, 48, 4):
    mount = ["mount", "-t", "tmpfs", "-o"]
    subprocess.run([*mount, f"size={kilobytes}k", "tmpfs", str(disk)], check=True)
    stopped = _outcome(extraction(world, disk / "out"))
    if stopped.status:
        full += 1
        assert_no_room(stopped)
    subprocess.run(["mount", "-o", "remount,size=9m", str(disk)], check=True)
    rest = _outcome(extraction(world, disk / "out"))
    assert rest.status == 0, rest
    assert_same_files(disk / "out", world.features)
    subprocess.run(["umount", str(disk)], check=True)
print(full)
"""


def test_disks_of_every_size_are_full_at_every_moment(world: World, tmp_path: Path) -> None:
    alone = ["unshare", "--user", "--map-root-user", "--mount"]
    mount = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(tmp_path)]
    try:
        subprocess.run([*alone, *mount], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no tmpfs can be mounted here ({error})")
    here, whole = Path(__file__).parent, world.media.parent
    command = [*alone, sys.executable, "-c", DISKS, str(here), str(whole), str(tmp_path)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) >= 5
