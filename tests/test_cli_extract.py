"""``ivr extract`` and the shape of the command line: what is printed, and the exit status."""

import errno
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import torch
import torchvision
from click.testing import CliRunner, Result
from conftest import TINY_VOICE, assert_free, assert_one_line, merged

from ivr.cli import COMMANDS, main
from ivr.cli.errors import one_line
from ivr.features.store import open_table
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES
from ivr.pipeline.runtime.lock import only_writer

TINY = ["--encoder", "squeezenet1_0", "--weights", "random", "--jobs", "1", "--device", "cpu"]
for setting in ("frames", "coefficients", "mels"):
    TINY += ["--voice-option", f"{setting}={getattr(TINY_VOICE, setting)}"]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def run_extract(media: Path, *options: str | Path) -> Result:
    usual = ["--out", media / "out", *TINY]
    return run("extract", media / "manifest.csv", *merged(usual, *options))


def last_line(result: Result) -> str:
    return result.stderr.splitlines()[-1]


@pytest.mark.usefixtures("tiny_encoder")
def test_extract_prints_what_it_wrote_and_the_next_command(media_set: Path) -> None:
    result = run_extract(media_set)
    assert result.exit_code == 0, result.output
    assert result.stdout == (
        f"{media_set}/out/images.h5: 18 rows, 18 of them new\n"
        f"{media_set}/out/voices.h5: 36 rows, 36 of them new\n"
        f"next: ivr train-hash {media_set}/out --out RUN\n"
    )
    assert re.sub(r"\d+:\d\d$", "M:SS", result.stderr, flags=re.MULTILINE) == (
        "note: squeezenet1_0 has RANDOM weights: good for trying things out, not for results\n"
        "images: 18 of 18 in M:SS\nvoices: 36 of 36 in M:SS\n"
    )
    again = run_extract(media_set)
    assert again.exit_code == 0
    assert f"{media_set}/out/voices.h5: 36 rows, 0 of them new\n" in again.stdout
    assert again.stderr == result.stderr.splitlines(keepends=True)[0]


@pytest.mark.usefixtures("tiny_encoder")
def test_roots_can_be_given_apart_and_at_once(media_set: Path) -> None:
    rows = (ManifestRow("pond/0.png", "river/0_0.wav", "pond"),)
    write_manifest(media_set / "manifest.csv", Manifest(rows))
    apart = ["--image-root", media_set / "images", "--voice-root", media_set / "voices"]
    assert run_extract(media_set, *apart).exit_code == 0
    both = tuple(ManifestRow(f"images/{row.image}", f"voices/{row.voice}", "pond") for row in rows)
    (media_set / "lists").mkdir()
    write_manifest(media_set / "lists" / "manifest.csv", Manifest(both))
    assert run_extract(media_set / "lists").exit_code == 1
    assert run_extract(media_set / "lists", "--root", media_set).exit_code == 0
    out = media_set / "lists" / "out"
    assert open_table(out / "images.h5", IMAGES).text("names") == ("images/pond/0.png",)
    assert open_table(out / "voices.h5", VOICES).text("names") == ("voices/river/0_0.wav",)


@pytest.mark.usefixtures("tiny_encoder")
def test_skipped_files_are_named_and_make_exit_status_3(media_set: Path) -> None:
    (media_set / "images/pond/3.png").write_bytes(b"")
    (media_set / "voices/river/0_0.wav").unlink()
    result = run_extract(media_set)
    assert result.exit_code == 3
    assert result.stdout == (
        f"{media_set}/out/images.h5: 17 rows, 17 of them new, 1 file skipped\n"
        f"{media_set}/out/voices.h5: 35 rows, 35 of them new, 1 file skipped\n"
    )
    assert "skipped images/pond/3.png: empty file\n" in result.stderr
    assert "skipped voices/river/0_0.wav: no such file\n" in result.stderr
    assert run_extract(media_set).exit_code == 3


@pytest.mark.usefixtures("tiny_encoder")
def test_strict_ends_with_the_name_of_the_file_and_exit_status_1(media_set: Path) -> None:
    (media_set / "images/pond/3.png").write_bytes(b"GIF89a")
    result = run_extract(media_set, "--strict")
    assert result.exit_code == 1
    assert last_line(result) == (
        "Error: images/pond/3.png: not a JPEG, PNG, TIFF or JPEG 2000 image (stopped by --strict)"
    )
    assert not (media_set / "out" / "images.h5").exists()


@pytest.mark.usefixtures("tiny_encoder")
def test_time_that_is_up_makes_exit_status_75_and_the_next_call_goes_on(media_set: Path) -> None:
    result = run_extract(media_set, "--time-limit", "1e-9", "--batch-size", "16")
    assert result.exit_code == 75
    assert result.stdout == (
        f"{media_set}/out/images.h5: not written yet, 16 rows made, 2 left\n"
        f"{media_set}/out/voices.h5: not written yet, 0 rows made, 36 left\n"
    )
    assert last_line(result) == "stopped early, nothing lost: call again to go on"
    rest = run_extract(media_set)
    assert rest.exit_code == 0
    assert f"{media_set}/out/images.h5: 18 rows, 2 of them new\n" in rest.stdout


@pytest.mark.usefixtures("tiny_encoder")
def test_a_dry_run_says_what_would_be_done_and_writes_nothing(media_set: Path) -> None:
    before = sorted(media_set.rglob("*"))
    result = run_extract(media_set, "--dry-run")
    assert result.exit_code == 0
    assert result.stdout == (
        f"{media_set}/out/images.h5: 18 items, 0 done already, 18 to do, 0 MB when finished\n"
        f"{media_set}/out/voices.h5: 36 items, 0 done already, 36 to do, 0 MB when finished\n"
    )
    assert sorted(media_set.rglob("*")) == before


@pytest.mark.usefixtures("tiny_encoder")
def test_features_of_other_settings_are_kept_unless_they_are_to_be_overwritten(
    media_set: Path,
) -> None:
    run_extract(media_set)
    before = (media_set / "out" / "images.h5").read_bytes()
    other = ("--encoder", "alexnet", "--stored", "float16")
    for refused in (run_extract(media_set, *other), run_extract(media_set, *other, "--dry-run")):
        assert_one_line(refused, "images.h5: was made with other settings (stored: float32, now fl")
        assert "; encoder: squeezenet1_0, now alexnet" in refused.stderr
        assert "give another --out, or replace it with --overwrite" in refused.stderr
    assert (media_set / "out" / "images.h5").read_bytes() == before
    result = run_extract(media_set, *other, "--overwrite")
    assert result.exit_code == 0
    for name in ("images", "voices"):
        assert f"{name}.h5: was made with other settings (stored: float32, now" in result.stderr
    table = open_table(media_set / "out" / "images.h5", IMAGES)
    assert table.columns["vectors"].dtype == "float16"
    assert table.config["settings"]["encoder"] == "alexnet"
    assert open_table(media_set / "out" / "voices.h5", VOICES).columns["vectors"].dtype == "float16"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column image, voice, label; needed are image, voice, label, found none"),
        ("image,voice\na.png,a.wav\n", "no column label; needed are image, voice, label"),
        ("image,voice,label\n", "the manifest has no rows"),
        ("image,voice,label\na.png,a.wav,b\na.png,a.wav,b\n", "duplicate row: voice a.wav stands"),
        ("image,voice,label\na.png,,b\na.png,,b\n", "duplicate row: image a.png stands twice"),
        ("image,voice,label\n,,b\n", "line 2: neither an image nor a voice"),
        ("image,voice,label\n../a.png,,b\n", "must be a path below the root, without '..'"),
        ("image,voice,label\n/etc/passwd,,b\n", "must be a path below the root"),
        ("image,voice,label\na.png\n", "not as many fields as the header has columns"),
    ],
)
def test_a_manifest_that_cannot_be_used_ends_in_one_line(
    tmp_path: Path, text: str, words: str
) -> None:
    (tmp_path / "manifest.csv").write_text(text)
    result = run_extract(tmp_path)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith(f"Error: {tmp_path}/manifest.csv: ")
    assert words in result.stderr
    assert os.listdir(tmp_path) == ["manifest.csv"]


def test_a_manifest_that_is_not_there_or_no_text_ends_in_one_line(tmp_path: Path) -> None:
    result = run_extract(tmp_path)
    assert (result.exit_code, result.stderr) == (
        1,
        f"Error: {tmp_path}/manifest.csv: no such file\n",
    )
    (tmp_path / "manifest.csv").write_bytes(b"\xff\xfe\x00")
    result = run_extract(tmp_path)
    assert result.exit_code == 1
    assert "manifest.csv: not readable as UTF-16" in result.stderr


@pytest.mark.usefixtures("tiny_encoder")
def test_all_files_unreadable_is_exit_status_1(media_set: Path) -> None:
    result = run_extract(media_set, "--image-root", media_set / "voices")
    assert result.exit_code == 1
    assert last_line(result) == (
        "Error: none of 18 images could be read, e.g. images/forest/0.png; "
        "say where they are with --image-root and --voice-root"
    )


@pytest.mark.usefixtures("tiny_encoder")
def test_a_folder_in_use_and_a_full_name_are_exit_status_1(media_set: Path) -> None:
    with only_writer(media_set / "out"):
        result = run_extract(media_set)
    assert result.exit_code == 1
    assert "is writing here; wait for it" in last_line(result)
    (media_set / "file").write_text("")
    result = run_extract(media_set, "--out", media_set / "file" / "below")
    assert result.exit_code == 1
    assert last_line(result).endswith("file/below: Not a directory")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--weights", ""], "weights must be imagenet, random or the path of a file"),
        (["--voice-option", "frames"], "'frames' is not of the form NAME=VALUE"),
        (["--voice-option", "frame=3"], "no option 'frame'; did you mean frames"),
        (["--voice-option", "window=many"], "window must be of type int, got 'many'"),
        (["--voice-option", "hop=0"], "hop must be at least 1, got 0"),
        (["--stored", "float64"], "'float64' is not one of 'float32', 'float16'"),
        (["--precision", "int8"], "'int8' is not one of 'float32', 'bfloat16', 'float16'"),
        (["--batch-size", "-1"], "batch_size must be at least 0, got -1"),
        (["--gpu-memory-fraction", "0"], "gpu_memory_fraction must be in (0, 1], got 0.0"),
        (["--shard", "2"], "--shard takes I/N, e.g. 2/8, or slurm, got '2'"),
        (["--shard", "3/2"], "tasks go from 1/N to N/N, got 3/2"),
        (["--shard", "slurm"], "neither SLURM_ARRAY_TASK_ID nor SLURM_PROCID is set"),
        (["--time-limit", "-1"], "time_limit must be at least 0, got -1.0"),
        (["--time-limit", "nan"], "time_limit must be a finite number, got nan"),
        (["--speed"], "No such option"),
    ],
)
def test_wrong_options_are_exit_status_2(media_set: Path, options: list[str], words: str) -> None:
    result = run_extract(media_set, *options)
    assert result.exit_code == 2
    assert words in last_line(result)
    assert not (media_set / "out").exists()


def test_an_unknown_encoder_is_refused_before_anything_is_done(media_set: Path) -> None:
    result = run_extract(media_set, "--encoder", "squeezent")
    assert result.exit_code == 2
    assert "no encoder 'squeezent'; did you mean squeezenet1_" in last_line(result)
    assert not (media_set / "out").exists()


def test_weights_of_another_net_are_refused_with_the_net_that_they_fit(media_set: Path) -> None:
    weights = media_set / "weights.pth"
    torch.save(torchvision.models.squeezenet1_0(weights=None).state_dict(), weights)
    result = run_extract(media_set, "--encoder", "squeezenet1_1", "--weights", weights)
    assert result.exit_code == 1
    assert last_line(result).startswith(f"Error: {weights}: not weights of squeezenet1_1, ")
    assert last_line(result).endswith("; they fit --encoder squeezenet1_0")


def test_what_is_no_weights_file_is_refused(media_set: Path) -> None:
    torch.save({"net": media_set}, media_set / "objects.pth")
    (media_set / "empty.pth").write_bytes(b"")
    for name, words in {
        "objects.pth": "or one with Python objects in it, which are never loaded",
        "empty.pth": "not a weights file",
        "absent.pth": "no such file; weights are imagenet, random or the path of a file",
    }.items():
        result = run_extract(media_set, "--weights", media_set / name)
        assert result.exit_code == 1
        assert last_line(result).startswith(f"Error: {media_set}/{name}: ")
        assert words in last_line(result)


def test_what_a_net_cannot_do_ends_in_one_line(media_set: Path) -> None:
    result = run_extract(media_set, "--before-relu")
    assert result.exit_code == 1
    assert last_line(result).startswith("Error: the vector of squeezenet1_0 does not come straight")
    result = run_extract(media_set, "--device", "gpu")
    assert result.exit_code == 1
    assert last_line(result) == "Error: device must be auto, cpu, cuda or cuda:N, got 'gpu'"


def test_the_mfcc_settings_can_be_listed_without_a_manifest() -> None:
    result = run("extract", "--describe")
    assert result.exit_code == 0
    assert "frames=1000\n    Fixed length of the vectors in frames;" in result.stdout


def test_a_mistake_of_ours_keeps_its_traceback() -> None:
    for error in (ValueError("shapes differ"), RuntimeError("torch")):
        with pytest.raises(type(error)) as caught, one_line():
            raise error
        assert caught.value is error


def test_an_error_of_the_system_without_a_file_is_one_line() -> None:
    with (
        pytest.raises(click.ClickException, match=r"^the system refuses a call \(no file in it\)"),
        one_line(),
    ):
        raise OSError("no file in it")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "full"),
        (errno.EDQUOT, "quota used up"),
        (errno.EFBIG, r"no file may grow so large \(ulimit -f\)"),
    ],
)
def test_a_full_disk_is_told_with_what_to_do(number: int, words: str) -> None:
    what_to_do = "nothing that was finished is lost: free some room and call again$"
    with pytest.raises(click.ClickException, match=f"^disk: {words}; {what_to_do}"), one_line():
        raise OSError(number, "without a name")
    with pytest.raises(click.ClickException, match=rf"^a\.h5: {words}; {what_to_do}"), one_line():
        raise OSError(number, "with its name", "a.h5")


def test_sigterm_ends_in_good_order_with_exit_status_75(media_set: Path) -> None:
    voice = media_set / "voices/pond/0_0.wav"
    names = [f"voices/{number}.wav" for number in range(20_000)]
    for name in names:
        os.link(voice, media_set / name)
    rows = tuple(ManifestRow("", name, "pond") for name in names)
    write_manifest(media_set / "manifest.csv", Manifest(rows))
    out = media_set / "out"
    command = ["extract", media_set / "manifest.csv", "--out", out, *TINY]
    process = subprocess.Popen(
        [sys.executable, "-m", "ivr", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not list(out.glob("voices.shards/0*")):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate()
    assert process.returncode == 75, stderr
    assert stdout.startswith(f"{out}/voices.h5: not written yet, ")
    assert stderr == (
        "stopping after this batch; nothing is lost\n"
        "stopped early, nothing lost: call again to go on\n"
    )
    assert_free(out)
    write_manifest(media_set / "manifest.csv", Manifest(rows[:512]))
    rest = run_extract(media_set)
    assert rest.exit_code == 0
    assert rest.stdout.startswith(f"{out}/voices.h5: ")
    assert " rows, 0 of them new\n" in rest.stdout
    table = open_table(out / "voices.h5", VOICES)
    assert table.rows >= 512
    assert table.text("names")[:512] == tuple(names[:512])
    assert read_manifest(out / "manifest.csv").rows == rows[:512]


def every_command(
    command: click.Command, context: click.Context
) -> Iterator[tuple[str, click.Command]]:
    """The command and all below it, each with the words that call it."""
    yield context.command_path, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            assert below is not None
            yield from every_command(below, click.Context(below, context, name))


def test_every_command_and_option_has_help() -> None:
    found = dict(every_command(main, click.Context(main, info_name="ivr")))
    assert {f"ivr {name}" for name in COMMANDS} <= set(found)
    for words, command in found.items():
        assert (command.help or "").strip(), words
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert (parameter.help or "").strip(), f"{words} {parameter.opts[0]}"
            else:
                told = (command.help or "").lower()
                for name in parameter.human_readable_name.lower().split("|"):
                    assert name in told, f"{words} does not tell of {name}"
        result = run(*words.split()[1:], "--help")
        assert result.exit_code == 0
        assert result.stdout.startswith(f"Usage: main{words.removeprefix('ivr')} ")


def test_the_list_of_commands_names_each_with_its_line() -> None:
    shown = " ".join(run("--help").stdout.split())
    for name, line in COMMANDS.items():
        assert f"{name} {line}" in shown


def test_an_unknown_command_is_exit_status_2() -> None:
    result = run("train")
    assert result.exit_code == 2
    assert "no command 'train'; did you mean train-hash?" in result.stderr


def imported_by(arguments: str) -> set[str]:
    """Names of the modules that ``ivr`` has imported when it has printed its help."""
    script = (
        "import sys; from ivr.cli import main\n"
        f"try: main({arguments.split()!r}, prog_name='ivr')\n"
        "except SystemExit as end: assert not end.code\n"
        "print('\\n--modules--', *sys.modules, sep='\\n')"
    )
    command = [sys.executable, "-c", script]
    output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert output.startswith(("Usage: ivr", "ivr, version"))
    return set(output.partition("--modules--")[2].split())


@pytest.mark.parametrize(
    "arguments", ["--help", "--version", *(f"{name} --help" for name in COMMANDS)]
)
def test_help_comes_without_the_heavy_libraries(arguments: str) -> None:
    heavy = {"torch", "torchvision", "librosa", "numba", "matplotlib", "scipy", "h5py"}
    assert not imported_by(arguments) & heavy
