import json
import os
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result
from PIL import Image

from ivr.cli.check import check
from ivr.cli.prepare import prepare


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two classes of five images, a voice each."""
    rng = np.random.default_rng(0)
    for label in ("pond", "river"):
        for kind in ("images", "voices"):
            (tmp_path / kind / label).mkdir(parents=True)
        for number in range(5):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "images" / label / f"{number}.png")
            samples = rng.uniform(-0.5, 0.5, 1600)
            soundfile.write(tmp_path / "voices" / label / f"{number}_1.wav", samples, 16_000)
    return tmp_path


def run_prepare(data: Path, *options: str) -> Result:
    roots = ["--images", str(data / "images"), "--voices", str(data / "voices")]
    out = ["--out", str(data / "manifest.csv")]
    return CliRunner().invoke(prepare, ["folders", *roots, *out, *options])


def run_check(data: Path, *options: str) -> Result:
    roots = ["--image-root", str(data / "images"), "--voice-root", str(data / "voices")]
    return CliRunner().invoke(check, [str(data / "manifest.csv"), *roots, *options])


def test_prepare_prints_a_summary_and_the_next_command(data: Path) -> None:
    result = run_prepare(data, "--split", "80/20")
    assert result.exit_code == 0
    assert result.stdout == (
        "images: 10\n"
        "voices: 10\n"
        "classes: 2\n"
        "voices per image: 1 (10 images)\n"
        "images per split: train 6, val 2, test 2\n"
        f"written: {data}/manifest.csv\n"
        f"next: ivr check {data}/manifest.csv --image-root {data}/images "
        f"--voice-root {data}/voices\n"
    )
    header, first, *_ = (data / "manifest.csv").read_text().splitlines()
    assert header == "image,voice,label,split"
    assert first.startswith("pond/0.png,pond/0_1.wav,pond,")


def test_prepare_draws_no_split_unless_asked(data: Path) -> None:
    result = run_prepare(data)
    assert "images per split: none; train-hash draws a split\n" in result.stdout
    assert (data / "manifest.csv").read_text().startswith("image,voice,label\n")


def test_prepare_quotes_folders_in_the_next_command(data: Path) -> None:
    (data / "images").rename(data / "my images")
    options = ["--images", f"{data}/my images", "--out", f"{data}/m.csv"]
    result = CliRunner().invoke(prepare, ["folders", *options])
    images = f"'{data}/my images'"
    assert result.stdout.splitlines()[-1].endswith(f"--image-root {images} --voice-root {images}")


def test_a_dry_run_says_that_nothing_is_written(data: Path) -> None:
    result = run_prepare(data, "--dry-run")
    assert result.stdout.endswith("dry run: nothing written\n")
    assert not (data / "manifest.csv").exists()


def test_prepare_keeps_an_existing_manifest(data: Path) -> None:
    run_prepare(data)
    result = run_prepare(data)
    assert result.exit_code == 1
    assert result.stderr == (
        f"Error: {data}/manifest.csv exists; name another file, or overwrite it with --force\n"
    )
    assert run_prepare(data, "--force").exit_code == 0


def test_prepare_names_what_it_cannot_prove_in_one_line(data: Path) -> None:
    (data / "voices" / "pond" / "9_1.wav").touch()
    result = run_prepare(data)
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: voices that fit no image: 1, e.g. pond/9_1.wav; give a CSV with the columns "
        "image, voice and label with --table\n"
    )
    assert result.stdout == ""


def test_a_table_on_the_command_line_settles_it(data: Path) -> None:
    (data / "voices" / "pond" / "9_1.wav").touch()
    (data / "table.csv").write_text("image,voice\npond/0.png,pond/9_1.wav\n")
    result = run_prepare(data, "--table", f"{data}/table.csv")
    assert result.exit_code == 0
    assert "voices per image: 1 (9 images), 2 (1 image)\n" in result.stdout


def test_what_prepare_writes_check_passes(data: Path) -> None:
    run_prepare(data)
    result = run_check(data)
    assert result.exit_code == 0
    assert result.stdout.startswith("images: 10\nvoices: 10\nclasses: 2\n")
    assert result.stdout.endswith("\n0 problems, 0 warnings\n")


def test_check_exits_with_3_for_problems(data: Path) -> None:
    run_prepare(data)
    (data / "images" / "pond" / "0.png").unlink()
    result = run_check(data)
    assert result.exit_code == 3
    assert "problem: missing: pond/0.png\n" in result.stdout


def test_check_exits_with_3_for_warnings_only_if_strict(data: Path) -> None:
    run_prepare(data)
    with (data / "manifest.csv").open("a") as file:
        file.write(",river/extra.wav,river\n")
    soundfile.write(data / "voices/river/extra.wav", np.sin(np.arange(1600) / 9), 16_000)
    assert run_check(data).exit_code == 0
    assert run_check(data, "--strict").exit_code == 3
    assert "warning: voice without an image: river/extra.wav\n" in run_check(data).stdout


def test_check_exits_with_1_for_a_manifest_that_cannot_be_used(data: Path) -> None:
    (data / "manifest.csv").write_text("image,voice\n")
    result = run_check(data)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"Error: {data}/manifest.csv: no column label; ")
    assert result.stderr.count("\n") == 1


def test_check_looks_beside_the_manifest_by_default(data: Path) -> None:
    line = "image,voice,label\nimages/pond/0.png,voices/pond/0_1.wav,pond\n"
    (data / "manifest.csv").write_text(line)
    result = CliRunner().invoke(check, [str(data / "manifest.csv")])
    assert "missing" not in result.stdout


def test_root_sets_both_roots(data: Path, tmp_path: Path) -> None:
    other = tmp_path / "elsewhere"
    other.mkdir()
    line = "image,voice,label\nimages/pond/0.png,voices/pond/0_1.wav,pond\n"
    (other / "manifest.csv").write_text(line)
    arguments = [str(other / "manifest.csv")]
    assert CliRunner().invoke(check, arguments).stdout.count("problem: missing") == 2
    arguments += ["--root", str(data)]
    assert "missing" not in CliRunner().invoke(check, arguments).stdout


def test_json_is_all_that_stands_on_stdout(data: Path) -> None:
    run_prepare(data)
    (data / "images" / "pond" / "0.png").unlink()
    result = run_check(data, "--json")
    assert result.exit_code == 3
    content = json.loads(result.stdout)
    assert content["images_by_class"] == {"pond": 5, "river": 5}
    assert content["findings"] == [
        {"kind": "missing", "items": ["pond/0.png"], "text": "pond/0.png", "severity": "problem"}
    ]


@pytest.mark.parametrize("command", [prepare, check])
def test_every_option_has_help_and_the_command_an_example(command: click.Command) -> None:
    for option in command.params:
        assert isinstance(option, click.Argument) or getattr(option, "help", None), option.name
    assert "Example:\n    ivr " in CliRunner().invoke(command, ["--help"]).stdout


@pytest.mark.parametrize("command", ["prepare", "check"])
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import sys; from ivr.cli import main; main(['%s', '--help'], standalone_mode=False); "
        "print(sorted({'torch', 'librosa', 'numba', 'scipy', 'h5py'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code % command], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def shared() -> Path:
    beside = Path(__file__).resolve().parents[2] / "shared"
    return Path(os.environ.get("IVR_SHARED", beside))


def test_uc_merced_as_it_circulates_is_prepared(tmp_path: Path) -> None:
    images = shared() / "data" / "ucm" / "images"
    if not images.is_dir():
        pytest.skip(f"UC Merced is not in {images}; IVR_SHARED names the folder above data/")
    out = ["--out", str(tmp_path / "m.csv"), "--split", "80/10/10"]
    result = CliRunner().invoke(prepare, ["ucm", "--images", str(images), *out])
    assert result.stdout.splitlines()[:5] == [
        "images: 2100",
        "voices: 0",
        "classes: 21 (those of ucm)",
        "voices per image: 0 (2100 images)",
        "images per split: train 1680, val 210, test 210",
    ]


def test_prepare_counts_what_it_passed_over_and_exits_with_3(data: Path) -> None:
    for name in ("pond/5.heic", "pond/6.HEIC", "river/9.hdr", "river/noise"):
        (data / "images" / name).touch()
    (data / "voices" / "pond" / "7_1.wma").touch()
    result = run_prepare(data)
    assert result.exit_code == 3
    assert result.stdout.splitlines()[-1] == (
        "passed over: 5 files that are no image or voice of this layout: 2 .heic, 1 (no suffix), "
        "1 .hdr, 1 .wma; convert them, or move them out of the folder"
    )
    assert (data / "manifest.csv").exists()


def test_files_that_accompany_a_data_set_are_not_counted(data: Path) -> None:
    for name in ("README.txt", "pond/0.tfw", "pond/._0.png", "Thumbs.db"):
        (data / "images" / name).touch()
    assert run_prepare(data).exit_code == 0


def test_voices_beside_the_images_are_not_passed_over(data: Path) -> None:
    for path in (data / "voices").rglob("*.wav"):
        path.rename(data / "images" / path.relative_to(data / "voices"))
    roots = ["--images", str(data / "images"), "--voices", str(data / "images")]
    out = ["--out", str(data / "manifest.csv")]
    assert CliRunner().invoke(prepare, ["folders", *roots, *out]).exit_code == 0


def test_check_lists_the_spellings_of_one_label_and_extract_would_merge_them(data: Path) -> None:
    run_prepare(data)
    text = (data / "manifest.csv").read_text()
    (data / "manifest.csv").write_text(text.replace("pond/0_1.wav,pond", "pond/0_1.wav,Pond"))
    result = run_check(data)
    line = "several spellings of one name: label 'Pond' (1 row) and 'pond' (4 rows)\n"
    assert result.exit_code == 3
    assert f"problem: {line}" in result.stdout
    result = run_check(data, "--accept-spellings", "--strict")
    assert result.exit_code == 0
    assert result.stdout.endswith(f"note: {line}0 problems, 0 warnings, 1 note\n")


def test_prepare_merges_accepted_spellings_and_says_so(data: Path) -> None:
    for kind in ("images", "voices"):
        (data / kind / "POND").mkdir()
        for path in (data / kind / "pond").glob("0*"):
            path.rename(data / kind / "POND" / path.name)
    refused = run_prepare(data)
    assert refused.exit_code == 1
    assert "several spellings of one name: label 'POND' (1 row) and 'pond' (4" in refused.stderr
    result = run_prepare(data, "--accept-spellings")
    assert result.exit_code == 0
    assert "merged to 'pond': label 'POND' (1 row) and 'pond' (4 rows)\n" in result.stdout
    assert "POND/0.png,POND/0_1.wav,pond\n" in (data / "manifest.csv").read_text()


def test_columns_of_a_table_are_kept_through_prepare(data: Path) -> None:
    (data / "table.csv").write_text(
        "image;voice;Sensor\npond/0.png;pond/0_1.wav;S2A\npond/1.png;;S2B\n"
    )
    assert run_prepare(data, "--table", f"{data}/table.csv").exit_code == 0
    header, *lines = (data / "manifest.csv").read_text().splitlines()
    assert header == "image,voice,label,Sensor"
    assert lines[:3] == [
        "pond/0.png,pond/0_1.wav,pond,S2A",
        "pond/1.png,pond/1_1.wav,pond,S2B",
        "pond/2.png,pond/2_1.wav,pond,",
    ]
