"""Does an extraction that is killed at any moment ever lose or spoil a row?

    python benchmarks/torture.py --kills 300

Kills `ivr extract` (SIGKILL to its process group) at random moments and checks what it left: every
shard and every feature file must be whole, every row must equal the row of an uninterrupted run bit
for bit, and no finished row may be missing. Then one more call finishes a copy of the folder, which
still holds the lock of the dead process; its files must equal those of the uninterrupted run byte
for byte. In the folder itself calls are killed until one finishes.

A third of the moments are times, a third are operations on files (the call is killed just before
its n-th open, rename, link or removal), and a third follow the sight of a file being written.
Every call is a process forked from this one, which has imported what takes long and started no
thread. The exit status is 1 if there was any fault.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"

import numpy as np
import soundfile
from PIL import Image

from ivr.cli import main as ivr
from ivr.config import config
from ivr.features.atomic_files import file_digest
from ivr.features.shards import SHARD
from ivr.features.store import StoreError, Table, open_table
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.extraction import extract_config
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES
from ivr.pipeline.runs.verify import verify
from ivr.pipeline.runtime.digests import DIGESTS
from ivr.pipeline.runtime.lock import LOCK

OPTIONS = (
    "--encoder", "squeezenet1_0", "--weights", "random", "--device", "cpu", "--batch-size", "4",
    "--voice-option", "frames=40", "--voice-option", "coefficients=5", "--voice-option", "mels=20",
)  # fmt: skip
SHARD_ROWS = 4
KINDS = {"images": IMAGES, "voices": VOICES}
OPERATIONS = frozenset(
    ("open", "os.link", "os.mkdir", "os.remove", "os.rename", "os.rmdir", "os.utime")
)
SHARED_MEMORY = Path("/dev/shm")
PATIENCE = 120.0  # seconds for a call that is not killed


@dataclass(frozen=True)
class DataSet:
    """The data that is extracted.

    Attributes:
        name: name in the table.
        images: number of images.
        voices: number of voices.
        damaged: number of images that cannot be read.
        jobs: number of readers.
    """

    name: str
    images: int
    voices: int
    damaged: int
    jobs: int


DATA_SETS = (
    DataSet("24 images", 24, 0, 0, 1),
    DataSet("48 voices", 0, 48, 0, 1),
    DataSet("12 images, 24 voices, 1 damaged file", 12, 24, 1, 1),
    DataSet("the same, 2 readers", 12, 24, 1, 2),
)


@dataclass(frozen=True)
class Reference:
    """An uninterrupted run.

    Attributes:
        status: its exit status.
        seconds: it took.
        operations: on files, its number.
        files: bytes of each file by name.
        rows: for each kind, the bytes of each row by name.
    """

    status: int
    seconds: float
    operations: int
    files: dict[str, bytes]
    rows: dict[str, dict[str, bytes]]


@dataclass
class Findings:
    """Counts of what kills left.

    Attributes:
        moments: number of kills per kind of moment.
        shards: number of shards compared.
        files: number of finished feature files compared.
        rows: number of rows compared with the reference.
        locks: of dead processes that the next call found.
        faults: what is wrong, in words.
    """

    moments: Counter[str] = field(default_factory=Counter)
    shards: int = 0
    files: int = 0
    rows: int = 0
    locks: int = 0
    faults: list[str] = field(default_factory=list)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=300, help="over all data sets")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    share, rest = divmod(arguments.kills, len(DATA_SETS))
    everything = []
    with tempfile.TemporaryDirectory() as name:
        os.environ["JOBLIB_TEMP_FOLDER"] = name
        for number, data_set in enumerate(DATA_SETS):
            folder = Path(name) / str(number)
            folder.mkdir()
            findings = tortured(folder, data_set, share + (number < rest), rng)
            everything.append((data_set.name, findings))
            print(f"{data_set.name}: {findings.moments.total()} kills", file=sys.stderr)
    print("\n".join(table(everything)))
    faults = [f"{name}: {fault}" for name, findings in everything for fault in findings.faults]
    print("\n".join(faults), file=sys.stderr)
    raise SystemExit(bool(faults))


def table(everything: list[tuple[str, Findings]]) -> Iterator[str]:
    """Yield the lines of a table with a line a data set and their sum."""
    yield (
        "| data | kills | a shard being written | a file being assembled | elsewhere with the lock "
        "| before or after it | locks taken over | shards, files, rows compared | faults |"
    )
    yield "|---|---|---|---|---|---|---|---|---|"
    total = Findings()
    for _, findings in everything:
        total.moments += findings.moments
        for name in ("shards", "files", "rows", "locks", "faults"):
            setattr(total, name, getattr(total, name) + getattr(findings, name))
    for name, found in (*everything, ("all", total)):
        moments = " | ".join(str(found.moments[moment]) for moment in MOMENTS)
        yield (
            f"| {name} | {found.moments.total()} | {moments} | {found.locks} | "
            f"{found.shards}, {found.files}, {found.rows} | {len(found.faults)} |"
        )


def tortured(folder: Path, data_set: DataSet, kills: int, rng: np.random.Generator) -> Findings:
    """Return what ``kills`` kills left of extractions of ``data_set``."""
    manifest = made(folder / "media", data_set, rng)
    reference = uninterrupted(manifest, folder / "whole", data_set.jobs)
    findings, out = Findings(), folder / "out"
    finished: set[str] = set()
    while findings.moments.total() < kills:
        if not killed(manifest, out, data_set.jobs, reference, rng):
            compare_files(out, reference, findings)  # it had ended before
            shutil.rmtree(out)
            finished = set()
            continue
        findings.moments[moment_of(out)] += 1
        now = rows_left(out, reference, findings)
        if not now >= finished:
            findings.faults.append(f"{len(finished - now)} finished rows are gone")
        finished = now
        finish_copy(manifest, out, folder / "copy", data_set.jobs, reference, findings)
    return findings


def made(folder: Path, data_set: DataSet, rng: np.random.Generator) -> Path:
    """Write tiny noisy images and voices and return their manifest."""
    folder.mkdir()
    rows = []
    for number in range(data_set.images):
        path = folder / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(path)
        if number < data_set.damaged:
            path.write_bytes(path.read_bytes()[:500])
        rows.append(ManifestRow(path.name, "", "noise"))
    for number in range(data_set.voices):
        path = folder / f"{number}.wav"
        soundfile.write(path, rng.normal(0, 0.1, 2400).astype(np.float32), 16_000)
        rows.append(ManifestRow("", path.name, "noise"))
    write_manifest(folder / "manifest.csv", Manifest(tuple(rows)))
    return folder / "manifest.csv"


def uninterrupted(manifest: Path, out: Path, jobs: int) -> Reference:
    """Return what an uninterrupted call makes; the first one warms the caches of the disk."""
    ended(begun(manifest, out, jobs))
    shutil.rmtree(out)
    began = time.monotonic()
    status = ended(begun(manifest, out, jobs))
    seconds = time.monotonic() - began
    shutil.rmtree(out)
    counted = out.with_name("operations")
    ended(begun(manifest, out, jobs, lambda: count_operations(out, counted)))
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    rows = {
        kind: rows_of(open_table(out / f"{name}.h5", kind))
        for name, kind in KINDS.items()
        if (out / f"{name}.h5").exists()
    }
    return Reference(status, seconds, counted.stat().st_size, files, rows)


@config
class SmallShardsConfig(ExtractConfig):
    """Shards of a few rows."""

    shard_rows: int = SHARD_ROWS


def begun(manifest: Path, out: Path, jobs: int, prepare: Callable[[], None] | None = None) -> int:
    """Fork a process group of its own that extracts, and return its number."""
    child = os.fork()
    if child:
        return child
    os.setpgid(0, 0)
    log = os.open(out.with_name("log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 1)
    os.dup2(log, 2)
    extract_config.ExtractConfig = SmallShardsConfig  # type: ignore[misc]
    status = 70
    try:
        if prepare:
            prepare()
        ivr(["extract", str(manifest), "--out", str(out), "--jobs", str(jobs), *OPTIONS])
    except SystemExit as end:
        status = int(end.code or 0)
    finally:
        os._exit(status)


def ended(child: int, patience: float = PATIENCE) -> int | None:
    """Return the exit status of ``child``, None where it does not end or was killed."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            sweep(child)
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else None
        time.sleep(0.002)
    kill(child)
    return None


def kill(child: int) -> None:
    """End the process group of ``child``."""
    while True:
        try:
            os.killpg(child, signal.SIGKILL)
            break
        except ProcessLookupError:  # it has not made the group yet
            os.kill(child, 0)
    os.waitpid(child, 0)
    sweep(child)


def sweep(child: int) -> None:
    """Remove the semaphores of joblib, which stay after a SIGKILL."""
    for leftover in SHARED_MEMORY.glob(f"sem.loky-{child}-*"):
        leftover.unlink(missing_ok=True)


def killed(
    manifest: Path, out: Path, jobs: int, reference: Reference, rng: np.random.Generator
) -> bool:
    """Call and kill at a random moment; return whether the call had not ended before."""
    choice = int(rng.integers(3))
    if choice == 0:
        place = int(rng.integers(1, reference.operations))
        prepare = partial(die_at_operation, out, place)
        return ended(begun(manifest, out, jobs, prepare)) is None
    child = begun(manifest, out, jobs)
    if choice == 1:
        status = ended(child, rng.uniform(0, reference.seconds))
        return status is None
    watched(child, out, int(rng.integers(1, 16)))
    return ended(child, rng.uniform(0, 0.003)) is None


def watched(child: int, out: Path, sightings: int) -> None:
    """Return when a file that is being written was seen for the ``sightings``-th time."""
    seen: set[str] = set()
    deadline = time.monotonic() + PATIENCE
    while len(seen) < sightings and time.monotonic() < deadline:
        status = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if status is not None:
            return
        # A shard has one name while it is written and another number each time it is put away.
        seen |= {f"{path} {count(path.parent)}" for path in partial_files(out)}
        time.sleep(0.0002)


def count(folder: Path) -> int:
    """Return the number of files in ``folder``."""
    try:
        return sum(not name.startswith(".") for name in os.listdir(folder))
    except FileNotFoundError:
        return 0


def partial_files(out: Path) -> list[Path]:
    """Return the files of ``out`` that are being written."""
    found = []
    for folder in (out, *(out / f"{name}.shards" for name in KINDS)):
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            continue
        found += [
            folder / name for name in names if name.endswith(".partial") or name.endswith(".shard")
        ]
    return found


def operations_below(out: Path, act: Callable[[], None]) -> None:
    """Call ``act`` before each operation of this process on a file in ``out`` from now on."""
    below = str(out)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in OPERATIONS and str(arguments[0]).startswith(below):
            act()

    sys.addaudithook(hook)


def count_operations(out: Path, counter: Path) -> None:
    """Have each operation add a byte to ``counter``."""
    handle = os.open(counter, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def act() -> None:
        os.write(handle, b".")

    operations_below(out, act)


def die_at_operation(out: Path, place: int) -> None:
    """Have the ``place``-th operation kill the process group just before it is done."""
    left = iter(range(place - 1))

    def act() -> None:
        if next(left, None) is None:
            os.killpg(0, signal.SIGKILL)

    operations_below(out, act)


def moment_of(out: Path) -> str:
    """Return the kind of moment at which a call was killed, from the files that it left."""
    places = {path.parent.name for path in partial_files(out)}
    if any(place.endswith(".shards") for place in places):
        return "shard"
    if places:
        return "assembly"
    return "lock" if held(out) else "outside"


def held(folder: Path) -> bool:
    """Return whether the lock of ``folder`` names an owner that did not release it."""
    lock = folder / ".lock"
    return lock.is_file() and bool(json.loads(lock.read_text() or "{}").get("held"))


MOMENTS = ("shard", "assembly", "lock", "outside")


def rows_left(out: Path, reference: Reference, findings: Findings) -> set[str]:
    """Compare all that claims to be whole with the reference; return the names of its rows."""
    names: set[str] = set()
    for name, kind in KINDS.items():
        whole = [out / f"{name}.h5"] if (out / f"{name}.h5").exists() else []
        shards = [p for p in (out / f"{name}.shards").glob("*") if SHARD.fullmatch(p.name)]
        findings.files += len(whole)
        findings.shards += len(shards)
        for path in shards:
            if file_digest(path) != path.stem[7:]:
                findings.faults.append(f"{path.name}: is not what its name says")
        for path in (*whole, *shards):
            names |= rows_compared(path, kind, reference, findings)
    return names


def rows_compared(path: Path, kind: str, reference: Reference, findings: Findings) -> set[str]:
    """Compare the rows of one file with the reference and return their names."""
    try:
        opened = open_table(path, kind)
        opened.verify()
    except StoreError as error:
        findings.faults.append(f"unreadable: {error}")
        return set()
    rows = rows_of(opened)
    findings.rows += len(rows)
    wrong = [name for name, row in rows.items() if reference.rows[kind].get(name) != row]
    findings.faults += [f"{path.name}: row {name} is wrong" for name in wrong]
    return set(rows)


def rows_of(opened: Table) -> dict[str, bytes]:
    """Return the bytes of each row by its name."""
    columns = [opened.read(name) for name in sorted(opened.columns) if name != "names"]
    return {
        name: b"".join(column[row].tobytes() for column in columns)
        for row, name in enumerate(opened.text("names"))
    }


def finish_copy(
    manifest: Path, out: Path, copy: Path, jobs: int, reference: Reference, findings: Findings
) -> None:
    """Finish a copy of ``out`` with one call and compare what it makes."""
    if out.exists():
        shutil.copytree(out, copy)
    findings.locks += held(copy)
    status = ended(begun(manifest, copy, jobs))
    if status != reference.status:
        said = copy.with_name("log").read_text()
        findings.faults.append(f"the next call ended with {status}: {said}")
    compare_files(copy, reference, findings)
    shutil.rmtree(copy)


def compare_files(out: Path, reference: Reference, findings: Findings) -> None:
    """Compare the files of a finished call with those of the uninterrupted one."""
    found = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    others = {path.name for path in out.iterdir()} ^ set(reference.files)
    if others:
        findings.faults.append(f"left or lacking after the next call: {sorted(others)}")
    for file in verify(out).files:
        if file.state != "whole":
            findings.faults.append(f"{file.path}: {file.state}")
    # The lock names its last owner, the options name their folder; digests.json was verified.
    for name in (found.keys() & reference.files.keys()) - {LOCK, "extract.yaml", DIGESTS}:
        if found[name] != reference.files[name]:
            findings.faults.append(f"{name}: not the bytes of the uninterrupted run")


if __name__ == "__main__":
    main()
