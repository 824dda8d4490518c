from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from click.testing import CliRunner, Result
from conftest import assert_one_line, ivr, succeeded

from ivr.cli.command import command
from ivr.cli.config_file import write_choices
from ivr.cli.options import Shown, config_options
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.runs.verify import verify
from ivr.pipeline.runtime.config_options import with_options


@command("shape")
@click.argument("source")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write to.")
@click.option("--set", "given", multiple=True, metavar="NAME=VALUE", help="Option of a method.")
@config_options(
    ExtractConfig,
    {
        "relu": Shown(("--before-relu",), off=True),
        "voice": Shown(("--voice-option",), settings=True),
        "shard": Shown(type=click.STRING),
    },
)
def shape(source: str, out: Path | None, given: tuple[str, ...], options: dict[str, Any]) -> None:
    """Print what was chosen.

    Example:
      ivr shape
    """
    if out:
        write_choices(out)
    print(repr((source, given, with_options(ExtractConfig(), options))))


def called(*arguments: object) -> Result:
    return CliRunner().invoke(shape, [str(argument) for argument in arguments])


def chosen(result: Result) -> Any:
    from ivr.features.image_bands import PixelConfig
    from ivr.features.image_config import ImageConfig
    from ivr.features.mfcc import VoiceConfig
    from ivr.features.visual_words import VocabularyConfig
    from ivr.features.voice_encoder_config import VoiceEncoderConfig
    from ivr.pipeline.extraction.job_array import JobArrayTask

    kinds = (
        ExtractConfig, ImageConfig, PixelConfig, VocabularyConfig, VoiceConfig,
        VoiceEncoderConfig, JobArrayTask
    )  # fmt: skip
    return eval(succeeded(result).stdout, {kind.__name__: kind for kind in kinds})


def file(folder: Path, text: str) -> Path:
    path = folder / "options.yaml"
    path.write_text(text)
    return path


def test_a_file_holds_options_by_the_names_of_the_help(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "batch-size: 7\ntime_limit: 1.5\nbefore-relu: true\nviews: 4\nstrict: true\n"
        "augment: [noise=10, speed=0.9]\nvoice-option: {frames: 600, mels: 40}\n",
    )
    _, _, config = chosen(called("a", "--config", path))
    assert (config.batch_size, config.time_limit, config.strict) == (7, 1.5, True)
    assert (config.image.relu, config.image.views) == (False, 4)
    assert config.augment == ("noise=10", "speed=0.9")
    assert (config.voice.frames, config.voice.mels) == (600, 40)


def test_the_command_line_wins_over_the_file_and_the_file_over_the_defaults(tmp_path: Path) -> None:
    path = file(tmp_path, "jobs: 3\nencoder: alexnet\n")
    _, _, config = chosen(called("a", "--jobs", 5, "--config", path))
    assert (config.jobs, config.image.encoder, config.batch_size) == (5, "alexnet", 0)


def test_nested_names_become_dots(tmp_path: Path) -> None:
    path = file(
        tmp_path,
        "set:\n  gamma: 0.5\n  network: {image_hidden: 0, voice_stride: [2, 1]}\n"
        "  training: {warm_up: 0.2}\n  fast: true\n  limit: null\n",
    )
    _, given, _ = chosen(called("a", "--config", path))
    assert given == (
        "gamma=0.5", "network.image_hidden=0", "network.voice_stride=2,1", "training.warm_up=0.2",
        "fast=true", "limit=none",
    )  # fmt: skip


def test_one_value_stands_for_a_list_of_one(tmp_path: Path) -> None:
    _, given, config = chosen(
        called("a", "--config", file(tmp_path, "set: gamma=1\naugment: {noise: 10}\n"))
    )
    assert (given, config.augment) == (("gamma=1",), ("noise=10",))


@pytest.mark.parametrize(
    ("text", "words", "status"),
    [
        ("job: 3", "no option 'job'; did you mean jobs?", 2),
        ("config: other.yaml", "no option 'config'", 2),
        ("jobs: many", "Invalid value for '--jobs'", 2),
        ("jobs: true", "Invalid value for '--jobs'", 2),
        ("jobs: 1.9", "Invalid value for '--jobs'", 2),
        ("size: 224.0", "Invalid value for '--size'", 2),
        ("time-limit: true", "Invalid value for '--time-limit'", 2),
        ("jobs: -1", "jobs must be at least 0, got -1", 2),
        ("pooling: most", "'most' is not one of 'vector', 'stages'", 2),
        ("- jobs", "must hold option names with their values", 2),
        ("jobs: [", "not YAML", 2),
    ],
)
def test_a_file_that_cannot_be_used_is_one_line(
    tmp_path: Path, text: str, words: str, status: int
) -> None:
    assert_one_line(called("a", "--config", file(tmp_path, text)), words, status)


def test_an_empty_file_and_empty_values_change_nothing(tmp_path: Path) -> None:
    assert chosen(called("a", "--config", file(tmp_path, ""))) == chosen(called("a"))
    assert chosen(called("a", "--config", file(tmp_path, "jobs:\n"))) == chosen(called("a"))


def test_the_options_that_a_command_leaves_make_the_same_call_again(tmp_path: Path) -> None:
    first = chosen(
        called(
            "a", "--out", tmp_path, "--jobs", 3, "--before-relu", "--views", 2, "--set", "gamma=1",
            "--voice-option", "frames=600", "--augment", "noise=10", "--shard", "2/8",
        )
    )  # fmt: skip
    written = tmp_path / "shape.yaml"
    assert yaml.safe_load(written.read_text())["before-relu"] is True
    assert chosen(called("--config", written)) == first
    again = tmp_path / "again"
    again.mkdir()
    succeeded(called("--config", written, "--out", again))
    ours, theirs = (yaml.safe_load((f / "shape.yaml").read_text()) for f in (tmp_path, again))
    assert {**ours, "out": str(again)} == theirs


def test_extract_leaves_its_options_beside_the_features(
    media_set: Path, tmp_path: Path, tiny_encoder: None
) -> None:
    out = tmp_path / "features"
    call = (media_set / "manifest.csv", "--out", out, "--jobs", 1, "--voice-option", "frames=40",
            "--weights", "random", "--device", "cpu")  # fmt: skip
    succeeded(ivr("extract", *call))
    left = yaml.safe_load((out / "extract.yaml").read_text())
    assert (left["jobs"], left["voice-option"], left["out"]) == (1, ["frames=40"], str(out))
    assert "0 of them new" in succeeded(ivr("extract", "--config", out / "extract.yaml")).stdout


def test_a_run_and_its_evaluation_can_be_repeated_from_the_files_they_leave(
    features: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    succeeded(ivr("train-hash", features, "--out", run, "--method", "lsh", "--bits", 16,
                  "--seed", 3, "--device", "cpu"))  # fmt: skip
    told = succeeded(ivr("train-hash", "--config", run / "train-hash.yaml", "--dry-run")).stdout
    asked = ("--method", "lsh", "--bits", 16, "--seed", 3, "--out", run, "--device", "cpu")
    assert told == succeeded(ivr("train-hash", features, *asked, "--dry-run")).stdout

    first = succeeded(ivr("evaluate", run, "--ties", "file-order", "--json")).stdout
    (left,) = run.rglob("evaluate.yaml")
    again = succeeded(ivr("evaluate", "--config", left, "--json")).stdout
    assert again == first


def test_a_manifest_and_codes_have_their_options_beside_them_and_calls_can_be_repeated(
    features: Path, tmp_path: Path
) -> None:
    for number in range(2):
        place = tmp_path / "set" / ("pond", "river")[number] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(b"")
    out = tmp_path / "list.csv"
    succeeded(ivr("prepare", "folders", "--images", tmp_path / "set", "--out", out))
    first = out.read_text()
    assert sorted(path.name for path in tmp_path.glob("*.*")) == ["list.csv", "list.prepare.yaml"]
    out.unlink()
    succeeded(ivr("prepare", "--config", tmp_path / "list.prepare.yaml"))
    assert out.read_text() == first

    run, codes = tmp_path / "run", tmp_path / "archive.codes.h5"
    succeeded(ivr("train-hash", features, "--out", run, "--method", "lsh", "--device", "cpu"))
    succeeded(ivr("encode", run, "--out", codes, "--device", "cpu"))
    assert not (tmp_path / "digests.json").exists()
    left = tmp_path / "archive.codes.encode.yaml"
    assert yaml.safe_load(left.read_text())["out"] == str(codes)
    succeeded(ivr("encode", "--config", left))


def test_merging_leaves_its_options_beside_the_features(
    media_set: Path, tmp_path: Path, tiny_encoder: None
) -> None:
    out = tmp_path / "features"
    succeeded(ivr("extract", media_set / "manifest.csv", "--out", out, "--jobs", 1, "--shard",
                  "1/1", "--weights", "random", "--device", "cpu",
                  "--voice-option", "frames=40"))  # fmt: skip
    succeeded(ivr("merge", out))
    assert yaml.safe_load((out / "merge.yaml").read_text()) == {"features": str(out)}
    assert verify(out).whole
    assert {file.state for file in verify(out).files} == {"whole"}


@pytest.mark.parametrize(
    "line", ["trim-silence: off", "trim-silence: 'off'", "voice-option: {trim_silence: off}"]
)
def test_off_in_a_file_is_the_choice_off_not_false(tmp_path: Path, line: str) -> None:
    (tmp_path / "manifest.csv").write_text("image,voice,label\n,a.wav,pond\n")
    (tmp_path / "options.yaml").write_text(f"{line}\n")
    result = ivr(
        "extract", tmp_path / "manifest.csv", "--out", tmp_path / "out", "--dry-run",
        "--config", tmp_path / "options.yaml",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
