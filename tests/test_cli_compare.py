import csv
import json
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from conftest import assert_one_line, ivr, merged, succeeded

from ivr.cli import main
from ivr.features.store import open_table, write_table
from ivr.hashing.methods import method_entry
from ivr.pipeline.comparison.compare import compare, plan
from ivr.pipeline.comparison.declaration import preset_names, read_preset
from ivr.pipeline.comparison.evaluated_runs import read_rows
from ivr.pipeline.comparison.grid import Grid
from ivr.pipeline.comparison.preset_metrics import preset_metrics
from ivr.pipeline.comparison.table import Spread
from ivr.pipeline.comparison.table_title import table_label
from ivr.pipeline.comparison.variants import Variant
from ivr.pipeline.evaluation.per_query import read_queries
from ivr.pipeline.pictures.picture_files import FORMATS
from ivr.pipeline.runs.run_folder import QUERY_TABLE
from ivr.pipeline.runtime.lock import only_writer

DIRECTIONS = ("image_to_voice", "voice_to_image")
SHORT = ("--epochs", "2", "--bits", "16", "--seeds", "2", "--device", "cpu")


def lines_of(table: Path, kind: str = "measured") -> list[dict[str, str]]:
    with table.open(newline="") as file:
        return [line for line in csv.DictReader(file) if line["kind"] == kind]


def results_of(out: Path, run: str, how: str) -> dict:  # type: ignore[type-arg]
    path = out / "runs" / run / "evaluations" / how / "results.json"
    return json.loads(path.read_text())  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def compared(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished comparison, read only: divh, scrl and lsh, 16 bits, two seeds."""
    out = tmp_path_factory.mktemp("compared") / "out"
    succeeded(ivr("compare", features, "--out", out, "--methods", "divh,scrl,lsh", *SHORT))
    return out


def again(features: Path, out: Path, *more: object) -> Result:
    return ivr(
        "compare", features, "--out", out, "--methods", "divh,scrl,lsh", *merged(SHORT, *more)
    )


def test_a_cell_is_mean_and_deviation_of_the_results_of_the_seeds(compared: Path) -> None:
    divh, scrl, signs, lsh = lines_of(compared / "compare.csv")
    names = [line["method"] for line in (divh, scrl, signs, lsh)]
    assert names == ["divh", "scrl", "scrl", "lsh"]
    assert [scrl["ranked by"], signs["ranked by"]] == ["Euclidean", "codes, after sign"]
    for line, run, how in (
        (divh, "divh-16-stack-one-training.epochs=2", "divh-own"),
        (scrl, "scrl-16-stack-one-training.epochs=2", "divh-own"),
        (signs, "scrl-16-stack-one-training.epochs=2", "divh-hamming"),
        (lsh, "lsh-16-stack-one", "divh-own"),
    ):
        found = [results_of(compared, f"{run}-{seed}", how) for seed in (0, 1)]
        for direction in DIRECTIONS:
            for figure in ("mAP", "P@1", "P@10"):
                values = [results[direction][figure] for results in found]
                key = f"{direction}.{figure}"
                assert float(line[key]) == pytest.approx(statistics.mean(values), abs=1e-3)
                deviation = statistics.stdev(values)
                assert float(line[f"{key}.deviation"]) == pytest.approx(deviation, abs=1e-3)
    (chance,) = lines_of(compared / "compare.csv", "chance")
    # Three images of three classes: one relevant item of three.
    assert float(chance["image_to_voice.mAP"]) == pytest.approx(100 * (1 + 1 / 2 + 1 / 3) / 3)


def test_a_difference_is_that_of_the_mean_average_precisions(compared: Path) -> None:
    lines = lines_of(compared / "compare.csv")
    means = [sum(float(line[f"{d}.mAP"]) for d in DIRECTIONS) for line in lines]
    best = lines[int(np.argmax(means))]
    for line in lines:
        for direction in DIRECTIONS:
            told = line[f"{direction}.difference"]
            if line is best:
                assert told == ""
                continue
            gap = float(line[f"{direction}.mAP"]) - float(best[f"{direction}.mAP"])
            assert float(told) == pytest.approx(gap, abs=1e-3)
            low, high = (float(line[f"{direction}.difference.{end}"]) for end in ("low", "high"))
            assert low <= gap + 1e-3 and gap - 1e-3 <= high
            assert 0 < float(line[f"{direction}.difference.p"]) <= 1


def test_a_reference_can_be_named(features: Path, compared: Path, tmp_path: Path) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    result = succeeded(again(features, out, "--reference", "lsh"))
    assert "Differences are those of mAP from lsh (16 bits)" in result.stdout
    told = {line["method"]: line["image_to_voice.difference"] for line in lines_of(
        out / "compare.csv")}  # fmt: skip
    assert told["lsh"] == "" and told["divh"] != ""


def test_the_table_is_printed_and_written_in_four_forms(features: Path, compared: Path) -> None:
    result = succeeded(again(features, compared))
    first, _, head = result.stdout.splitlines()[:3]
    assert first == f"Metrics by method, {features.parent.name}, 16 bits, 2 seeds, n = 3"
    assert head.split()[:4] == ["method", "ranked", "by", "mAP"]  # bits and seeds are all alike
    reconstruction = method_entry("scrl").build.reconstruction
    printed = " ".join(result.stdout.split())
    assert f"[1] scrl is a reconstruction, {reconstruction}." in printed
    markdown = (compared / "compare.md").read_text()
    assert "| scrl [1] | codes, after sign |" in markdown
    best = max(
        lines_of(compared / "compare.csv"), key=lambda line: float(line["image_to_voice.mAP"])
    )
    spread = (float(best[f"image_to_voice.mAP{end}"]) for end in ("", ".deviation"))
    assert f"| **{Spread(*spread).text}**" in markdown
    latex = (compared / "compare.tex").read_text()
    assert r"\textbf{" in latex and r"mAP I$\to$V" in latex and "&" in latex
    assert f"\\label{{{table_label('compare', features.parent.name)}}}" in latex
    inside = latex.partition(r"\caption")[2]
    assert "_" not in inside.replace(r"\_", "")
    kept = json.loads((compared / "compare.json").read_text())
    assert json.loads(succeeded(again(features, compared, "--json")).stdout) == kept
    assert kept["lines"][0]["figures"]["image_to_voice.mAP"] == pytest.approx(
        float(lines_of(compared / "compare.csv")[0]["image_to_voice.mAP"]), abs=1e-3
    )


def test_figures_do_not_depend_on_how_many_are_trained_at_once(
    features: Path, compared: Path, tmp_path: Path
) -> None:
    succeeded(again(features, tmp_path, "--jobs", "2"))
    assert (tmp_path / "compare.csv").read_bytes() == (compared / "compare.csv").read_bytes()


def test_a_plan_says_what_is_there_what_is_left_and_trains_nothing(
    features: Path, compared: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    shutil.rmtree(out / "runs" / "lsh-16-stack-one-0")
    (out / "runs" / "lsh-16-stack-one-1" / "codes.h5").unlink()
    shutil.rmtree(out / "runs" / "divh-16-stack-one-training.epochs=2-0" / "evaluations")
    before = sorted(out.rglob("*"))
    text = succeeded(again(features, out, "--plan")).stdout.splitlines()
    assert text[0] == "trained  divh-16-stack-one-training.epochs=2-0"
    assert text[1].startswith("new      lsh-16-stack-one-0, about 0:0")
    assert text[2].startswith("begun    lsh-16-stack-one-1, about 0:0")
    assert text[3].startswith("6 runs: 1 new, 1 begun, 1 trained, 3 finished; about 0:0")
    found = json.loads(succeeded(again(features, out, "--plan", "--json")).stdout)
    states = {run["name"]: run["state"] for run in found}
    assert states["lsh-16-stack-one-0"] == "new"
    assert states["scrl-16-stack-one-training.epochs=2-1"] == "finished"
    assert not any(run["measured"] for run in found)
    assert sorted(out.rglob("*")) == before


def test_a_plan_takes_its_time_from_the_history_of_other_seeds(
    features: Path, compared: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    for seed, seconds in ((0, (10.0, 20.0)), (1, (30.0, 40.0))):
        history = out / "runs" / f"divh-16-stack-one-training.epochs=2-{seed}" / "history.jsonl"
        epochs = [json.loads(line) for line in history.read_text().splitlines()]
        lines = [json.dumps(e | {"seconds": s}) for e, s in zip(epochs, seconds, strict=True)]
        history.write_text("\n".join(lines) + "\n")
    found = json.loads(succeeded(again(features, out, "--plan", "--json", "--seeds", "3")).stdout)
    (new,) = (run for run in found if run["name"].startswith("divh") and run["state"] == "new")
    assert new["seconds"] == pytest.approx(2 * 25.0)
    text = succeeded(again(features, out, "--plan", "--seeds", "3", "--jobs", "3")).stdout
    assert "divh-16-stack-one-training.epochs=2-2, about 0:50" in text
    assert "9 runs: 3 new, 6 finished; about 0:17 with 3 at once" in text


def test_a_plan_without_any_history_measures_a_few_steps(features: Path, tmp_path: Path) -> None:
    arguments = ("--methods", "divh,cca_itq", *SHORT, "--plan")
    found = json.loads(
        succeeded(ivr("compare", features, "--out", tmp_path, *arguments, "--json")).stdout
    )
    assert [run["state"] for run in found] == ["new"] * 4
    assert all(run["measured"] and run["seconds"] > 0 for run in found)
    text = succeeded(ivr("compare", features, "--out", tmp_path, *arguments)).stdout
    assert "measured with a few steps here" in text
    assert list(tmp_path.iterdir()) == []


def test_what_is_missing_or_half_done_is_done_and_the_rest_is_kept(
    features: Path, compared: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    runs = out / "runs"
    shutil.rmtree(runs / "divh-16-stack-one-training.epochs=2-1")
    half = runs / "scrl-16-stack-one-training.epochs=2-0"
    (half / "codes.h5").unlink()
    (runs / "lsh-16-stack-one-1" / "evaluations" / "divh-own" / "results.json").unlink()
    kept = runs / "divh-16-stack-one-training.epochs=2-0" / "model.safetensors"
    before = kept.stat().st_mtime_ns
    said = succeeded(again(features, out)).stderr
    assert "runs: 3 of 3" in said
    assert (out / "compare.csv").read_bytes() == (compared / "compare.csv").read_bytes()
    assert kept.stat().st_mtime_ns == before
    assert "runs: " not in succeeded(again(features, out)).stderr


LONGER = ("--methods", "divh,csq", "--epochs", "12", "--bits", "16", "--seeds", "1", "--device",
          "cpu")  # fmt: skip
FIRST = Path("runs") / "divh-16-stack-one-training.epochs=12-0"


@pytest.fixture(scope="module")
def whole(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison that nothing stopped, read only."""
    out = tmp_path_factory.mktemp("whole")
    succeeded(ivr("compare", features, *LONGER, "--out", out))
    return out


def begun(features: Path, out: Path, jobs: int) -> "subprocess.Popen[str]":
    """A comparison in processes of its own that has trained an epoch of its first run."""
    command = [sys.executable, "-m", "ivr", "compare", str(features), *LONGER,
               "--out", str(out), "--jobs", str(jobs)]  # fmt: skip
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, start_new_session=True,
    )  # fmt: skip
    deadline = time.monotonic() + 60
    while not (out / FIRST / "history.jsonl").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)
    return process


@pytest.mark.parametrize(("number", "jobs"), [(signal.SIGTERM, 2), (signal.SIGINT, 1)])
def test_a_stopped_comparison_is_75_and_goes_on_to_the_same_table(
    features: Path, whole: Path, tmp_path: Path, number: signal.Signals, jobs: int
) -> None:
    with begun(features, tmp_path, jobs) as process:
        if number is signal.SIGINT:
            os.killpg(process.pid, number)  # as a terminal does: to all processes at once
        else:
            process.send_signal(number)
        _, said = process.communicate(timeout=30)
    assert process.returncode == 75, said
    assert said.splitlines()[-1] == "stopped; nothing that was finished is lost: call again"
    assert "Traceback" not in said
    assert not (tmp_path / "compare.csv").exists()
    succeeded(ivr("compare", features, *LONGER, "--out", tmp_path))
    assert (tmp_path / "compare.csv").read_bytes() == (whole / "compare.csv").read_bytes()


def test_a_training_process_that_is_killed_is_replaced_and_the_table_is_the_same(
    features: Path, whole: Path, tmp_path: Path
) -> None:
    with begun(features, tmp_path, 2) as process:
        trainer = json.loads((tmp_path / FIRST / ".lock").read_text())["process"]
        assert trainer != process.pid
        os.kill(trainer, signal.SIGKILL)
        _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert "Traceback" not in said
    assert (tmp_path / "compare.csv").read_bytes() == (whole / "compare.csv").read_bytes()


def test_a_run_that_fails_is_named_and_the_others_go_on(features: Path, tmp_path: Path) -> None:
    result = ivr("compare", features, "--out", tmp_path, "--methods", "divh,lsh", "--epochs", 3,
                 "--bits", 16, "--seeds", 1,
                 "--set", "divh.training.learning_rate=1e30")  # fmt: skip
    assert result.exit_code == 3
    (failed,) = (line for line in result.stderr.splitlines() if line.startswith("failed: "))
    assert (
        "divh-16-stack-one-training.epochs=3,training.learning_rate=1e+30-0: the loss is" in failed
    )
    assert "Fewer finished seeds than asked for (1): divh, 16 bits." in result.stdout
    divh, lsh = lines_of(tmp_path / "compare.csv")
    assert (divh["seeds"], divh["image_to_voice.mAP"], lsh["seeds"]) == ("0", "", "1")


def test_a_run_that_another_process_is_at_is_left_to_it(features: Path, tmp_path: Path) -> None:
    arguments = ("compare", features, "--out", tmp_path, "--methods", "lsh", *SHORT)
    with only_writer(tmp_path / "runs" / "lsh-16-stack-one-0"):
        result = ivr(*arguments)
    assert result.exit_code == 75
    assert result.stderr.splitlines()[-1] == (
        "another process is running some of the runs: call again when it is done"
    )
    assert lines_of(tmp_path / "compare.csv")[0]["seeds"] == "1"
    succeeded(ivr(*arguments))
    assert lines_of(tmp_path / "compare.csv")[0]["seeds"] == "2"


def test_a_folder_with_another_run_fails_alone(
    features: Path, compared: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    config = out / "runs" / "lsh-16-stack-one-1" / "config.json"
    chosen = json.loads(config.read_text())
    config.write_text(json.dumps(chosen | {"options": chosen["options"] | {"segments": 9}}))
    shutil.rmtree(out / "runs" / "lsh-16-stack-one-0")
    refused = again(features, out, "--plan")
    assert_one_line(refused, "was begun with options")
    assert f"remove the folder {config.parent} and call again" in refused.stderr
    assert_fails_alone(again(features, out), "was begun with options")
    assert (out / "runs" / "lsh-16-stack-one-0" / "codes.h5").exists()
    config.write_text(json.dumps(chosen | {"features": chosen["features"] | {"sha256": {}}}))
    assert_one_line(again(features, out, "--plan"), "not the features that")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("evaluations/divh-own/results.json", "damaged"),
        ("evaluations/divh-own/queries.h5", "not a file that ivr evaluate writes"),
        ("config.json", "damaged, not JSON"),
        ("codes.h5", "codes.h5"),
    ],
)
def test_a_damaged_run_fails_alone(
    features: Path, compared: Path, tmp_path: Path, name: str, words: str
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    path = out / "runs" / "lsh-16-stack-one-1" / name
    if path.name == "queries.h5":
        write_table(path, QUERY_TABLE, {}, {"names": np.array([b"a"])})
    elif path.name == "results.json":
        found = json.loads(path.read_text())
        kept = ("protocol", "codes", "health", "ceiling")  # without these it is of an older version
        path.write_text(json.dumps({name: found[name] for name in kept}))
    else:
        path.write_text("nonsense")
    assert_fails_alone(again(features, out), words)


def assert_fails_alone(result: Result, words: str) -> None:
    """The run of seed 1 is named with ``words``; the table has all others."""
    assert result.exit_code == 3, result.stderr
    (failed,) = (line for line in result.stderr.splitlines() if line.startswith("failed: "))
    assert failed.startswith("failed: lsh-16-stack-one-1: ")
    assert words in failed
    assert "lsh" in result.stdout


def test_codes_that_were_made_anew_are_judged_anew(
    features: Path, compared: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    path = out / "runs" / "lsh-16-stack-one-1" / "codes.h5"
    table = open_table(path, "codes")
    columns = {name: table.read(name) for name in table.columns}
    write_table(path, "codes", {**table.config, "model": "another"}, columns)
    result = again(features, out)
    assert result.exit_code == 3
    assert "not made with the model of" in result.stderr


def test_figures_by_another_protocol_are_made_anew(
    features: Path, compared: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    path = out / "runs" / "lsh-16-stack-one-1" / "evaluations" / "divh-own" / "results.json"
    results = json.loads(path.read_text())
    path.write_text(json.dumps(results | {"protocol": results["protocol"] | {"cutoff": 3}}))
    assert "runs: 1 of 1" in succeeded(again(features, out)).stderr
    assert json.loads(path.read_text())["protocol"] == results["protocol"]


def test_figures_without_health_are_made_anew(
    features: Path, compared: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    path = out / "runs" / "lsh-16-stack-one-1" / "evaluations" / "divh-own" / "results.json"
    results = json.loads(path.read_text())
    path.write_text(json.dumps({name: results[name] for name in results if name != "health"}))
    result = succeeded(again(features, out))
    assert "runs: 1 of 1" in result.stderr and "trained" not in result.stderr
    assert json.loads(path.read_text())["health"] == results["health"]


def test_codes_that_now_have_a_quantisation_error_are_judged_anew(
    features: Path, compared: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    run = out / "runs" / "lsh-16-stack-one-1"
    table = open_table(run / "codes.h5", "codes")
    columns = {name: table.read(name) for name in table.columns}
    old = {name: value for name, value in table.config.items() if name != "quantisation_error"}
    write_table(run / "codes.h5", "codes", old, columns)
    health = ("--preset", "code-health")
    assert "runs: 1 of 1" in succeeded(again(features, out, *health)).stderr
    assert "runs:" not in succeeded(again(features, out, *health)).stderr
    key = "quantisation error images"
    known = lines_of(out / "code-health.csv")[-1]
    results = [results_of(out, f"lsh-16-stack-one-{seed}", "divh-own") for seed in (0, 1)]
    assert results[1]["health"]["quantisation_error"] is None
    expected = results[0]["health"]["quantisation_error"]["images"]
    assert float(known[key]) == pytest.approx(expected, abs=1e-3)
    succeeded(ivr("encode", run, "--device", "cpu"))
    assert "runs: 1 of 1" in succeeded(again(features, out, *health)).stderr
    results = [results_of(out, f"lsh-16-stack-one-{seed}", "divh-own") for seed in (0, 1)]
    expected = np.mean([found["health"]["quantisation_error"]["images"] for found in results])
    assert float(lines_of(out / "code-health.csv")[-1][key]) == pytest.approx(expected, abs=1e-3)


def test_damaged_health_is_one_line(features: Path, compared: Path, tmp_path: Path) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    path = out / "runs" / "lsh-16-stack-one-1" / "evaluations" / "divh-own" / "results.json"
    results = json.loads(path.read_text())
    path.write_text(json.dumps(results | {"health": {"quantisation_error": {}}}))
    assert_one_line(again(features, out, "--preset", "code-health"), "results.json: damaged")


def test_settings_are_of_one_method_or_of_all_training_and_in_the_name(
    features: Path, tmp_path: Path
) -> None:
    result = ivr(
        "compare", features, "--out", tmp_path, "--methods", "divh,csq", *SHORT[:4], "--plan",
        "--json", "--device", "cpu",
        "--set", "divh.gamma=0.5", "--set", "divh.eta=0.01", "--set", "training.batch_size=6",
        "--set", "csq.network.voice_channels=8,16,8", "--streams", "mfcc",
        "--voices", "one,all", "--first-seed", 3, "--seeds", 1, "--split", "80/10/10",
    )  # fmt: skip
    names = [run["name"] for run in json.loads(succeeded(result).stdout)]
    # eta=0.01 is the default; what is too long for a name is a digest.
    assert names[0] == (
        "divh-16-mfcc-one-gamma=0.5,training.batch_size=6,training.epochs=2-80+10+10-3"
    )
    assert names[1].startswith("csq-16-mfcc-one-") and len(names[1]) < 50
    assert [name.split("-")[3] for name in names] == ["one", "one", "all", "all"]


def test_lines_that_are_the_same_run_are_trained_once(features: Path, tmp_path: Path) -> None:
    # Where gamma is 0 anyway, Table V has two runs for its four lines.
    result = ivr("compare", features, "--out", tmp_path, "--preset", "divh-ablation", "--seeds", 1,
                 "--set", "divh.gamma=0", "--plan", "--json")  # fmt: skip
    names = [run["name"] for run in json.loads(succeeded(result).stdout)]
    assert names == ["divh-64-stack-one-gamma=0-0", "divh-64-stack-one-eta=0,gamma=0-0"]


def test_each_stands_for_every_stream_and_their_stack(features: Path, tmp_path: Path) -> None:
    result = ivr("compare", features, "--out", tmp_path, "--methods", "lsh", "--seeds", 1,
                 "--streams", "each", "--bits", "16,32", "--plan", "--json")  # fmt: skip
    names = [run["name"] for run in json.loads(succeeded(result).stdout)]
    streams = ("mfcc", "delta", "delta-delta", "stack")
    assert names == [f"lsh-{bits}-{stream}-one-0" for bits in (16, 32) for stream in streams]


PRESET_LINES = {
    "compare": ["divh", "lsh"],
    "divh-comparison": ["divh", "lsh"],
    "divh-ablation": ["DIVH", "without L2", "without L3", "without L2 and L3"],
    "divh-parameters": [f"gamma={gamma}, eta={eta}" for gamma in ("0.001", "0.01", "0.1", "1", "2")
                        for eta in ("0.001", "0.01", "0.1", "1", "2")],
    "divh-curves": ["divh", "lsh"],
    "divh-query-time": ["divh", "scrl", "scrl", "lsh"],
    "divh-choices": list(read_preset("divh-choices").variants),
    "code-health": ["divh", "scrl", "lsh"],
    "dvan-matching": ["dvan"] * 4,
    "dvan-features": ["dvan"] * 8,
    "generalisation": ["divh", "divh", "lsh", "lsh"],  # plain, and all voices
}  # fmt: skip
PRESET_FILES = {
    "divh-parameters": {f"divh-parameters-sweep.{kind}" for kind in (*FORMATS, "csv")},
    "divh-curves": {f"divh-curves-precision.{kind}" for kind in (*FORMATS, "csv")},
}


@pytest.fixture(scope="module")
def presets(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every preset, one seed of one epoch; runs are shared."""
    out = tmp_path_factory.mktemp("presets")
    for name, lines in PRESET_LINES.items():
        methods = ",".join(dict.fromkeys(lines)) if lines[-1] == "lsh" else ""
        more = ("--methods", methods) if methods else ()
        small = ("--set", "dvan.length=256", "--set", "dvan.audio=8") if "dvan" in name else ()
        succeeded(
            ivr("compare", features, "--out", out, "--preset", name, *more, *small, "--epochs", 1,
                "--bits", 16, "--seeds", 1, "--device", "cpu")
        )  # fmt: skip
    return out


@pytest.mark.parametrize("name", preset_names())
def test_every_preset_prints_its_lines_and_writes_its_files(presets: Path, name: str) -> None:
    lines = lines_of(presets / f"{name}.csv")
    assert [line["method"] for line in lines] == PRESET_LINES[name]
    for column in read_preset(name).columns():
        assert all(line[column.key] for line in lines), column
    title = (presets / f"{name}.md").read_text().splitlines()[0]
    assert ", 16 bits, 1 seed, n = 3" in title
    assert not re.search(r"DIVH, (Table|Fig)|DVAN, Table", title)
    for extra in PRESET_FILES.get(name, set()):
        assert (presets / extra).stat().st_size > 0


def test_presets_share_their_runs(presets: Path) -> None:
    # The plain DIVH of five presets, and gamma = eta = 0.01 of the grid, are one run.
    names = [path.name for path in (presets / "runs").iterdir() if path.name.startswith("divh-")]
    plain = [name for name in names if "gamma" not in name and "eta=" not in name]
    assert "divh-16-stack-one-training.epochs=1-0" in plain
    assert not any("gamma=0.01" in name and "eta=0.01" in name for name in names)


def test_what_the_paper_leaves_open_is_compared_on_the_validation_split_alone(
    presets: Path,
) -> None:
    (first, *_) = lines_of(presets / "divh-choices.csv")
    history = presets / "runs" / "divh-16-stack-one-training.epochs=1-0" / "history.jsonl"
    (epoch,) = map(json.loads, history.read_text().splitlines())
    for direction in DIRECTIONS:
        told = float(first[f"{direction}.validation mAP"])
        assert told == pytest.approx(100 * epoch[direction], abs=1e-3)
    assert "difference" not in (presets / "divh-choices.csv").read_text()
    assert lines_of(presets / "divh-choices.csv", "chance") == []


def test_of_epochs_that_validate_alike_the_last_is_the_one_kept(
    features: Path, presets: Path, tmp_path: Path
) -> None:
    run = Path("runs") / "divh-16-stack-one-training.epochs=1-0"
    shutil.copytree(presets / run, tmp_path / run)
    epoch = json.loads((tmp_path / run / "history.jsonl").read_text())
    figures = ((0.25, 0.5), (0.5, 0.25), (None, None), (0.25, 0.25))
    lines = [json.dumps(epoch | dict(zip(DIRECTIONS, pair, strict=True))) for pair in figures]
    (tmp_path / run / "history.jsonl").write_text("\n".join(lines) + "\n")
    variant = Variant("divh", "divh", ("training.epochs=1",))
    (row,), _ = read_rows(tmp_path, Grid((variant,), bits=(16,), seeds=(0,)))
    preset = read_preset("divh-choices")
    (by_seed,) = preset_metrics(preset.source, features, [row], preset.columns())
    (found,) = by_seed.values()
    assert [found[column.key] for column in preset.columns()] == [50, 25]


def test_matching_accuracy_is_that_of_the_results(presets: Path) -> None:
    lines = lines_of(presets / "dvan-matching.csv")
    assert [line["streams"] for line in lines] == ["mfcc", "delta", "delta-delta", "stack"]
    for line in lines:
        (run,) = (presets / "runs").glob(f"dvan-16-{line['streams']}-one-*")
        results = results_of(presets, run.name, "dvan-own")
        assert float(line["accuracy"]) == pytest.approx(results["matching"]["accuracy"], abs=1e-3)
        assert results["protocol"]["test"] == 0.1


def test_health_is_that_of_the_results(presets: Path) -> None:
    for line in lines_of(presets / "code-health.csv"):
        epochs = "" if line["method"] == "lsh" else "-training.epochs=1"
        run = f"{line['method']}-16-stack-one{epochs}-0"
        health = results_of(presets, run, "divh-own")["health"]
        expected = {
            "dead bits": len(health["both"]["dead_bits"]),
            "imbalance": health["both"]["imbalance"],
            "correlation": health["both"]["correlation_mean"],
            "distinct images": health["images"]["distinct_codes"],
            "distinct voices": health["voices"]["distinct_codes"],
            "agreement": health["agreement"],
            "quantisation error images": health["quantisation_error"]["images"],
            "quantisation error voices": health["quantisation_error"]["voices"],
        }
        for direction in DIRECTIONS:
            for name in ("overlap", "gap"):
                expected[f"{direction}.{name}"] = health[direction]["distances"][name]
        told = {name: float(line[name]) for name in expected}
        assert told == pytest.approx(expected, abs=1e-3)


def test_curves_hold_the_precision_of_every_method_at_every_number(presets: Path) -> None:
    with (presets / "divh-curves-precision.csv").open(newline="") as file:
        points = list(csv.DictReader(file))
    at = {(p["line"], p["direction"], p["retrieved"]): float(p["precision"]) for p in points}
    assert {(method, n) for method, _, n in at} == {(m, str(n)) for m in ("divh", "lsh")
                                                    for n in (1, 2, 3)}  # fmt: skip
    for line in lines_of(presets / "divh-curves.csv"):
        for direction in DIRECTIONS:
            first = at[line["method"], direction, "1"]
            assert first == pytest.approx(float(line[f"{direction}.P@1"]), abs=1e-3)
        assert at[line["method"], "image_to_voice", "3"] == pytest.approx(100 / 3, abs=1e-3)


def test_help_lists_the_presets() -> None:
    text = "".join(succeeded(ivr("compare", "--help")).stdout.split())
    for name in preset_names():
        assert f"{name}{read_preset(name).text}".replace(" ", "") in text
    for parameter in main.get_command(None, "compare").params:  # type: ignore[arg-type,union-attr]
        if parameter.param_type_name == "option":
            assert getattr(parameter, "help", None), parameter.name


def test_a_comparison_by_pairs_shows_hits_and_ranks(features: Path, tmp_path: Path) -> None:
    arguments = ("--methods", "lsh", "--bits", 16, "--seeds", 1, "--protocol", "pair")
    succeeded(ivr("compare", features, "--out", tmp_path, *arguments, "--device", "cpu"))
    (line,) = lines_of(tmp_path / "compare.csv")
    (chance,) = lines_of(tmp_path / "compare.csv", "chance")
    found = results_of(tmp_path, "lsh-16-stack-one-0", "pair-own")
    for direction in DIRECTIONS:
        for name in ("mAP", "H@1", "H@5", "H@10", "mean rank", "median rank"):
            key = f"{direction}.{name}"
            assert float(line[key]) == pytest.approx(found[direction][name], abs=1e-3)
            assert float(chance[key]) == pytest.approx(found["chance"][direction][name], abs=1e-3)


def test_metrics_are_chosen_by_name(features: Path, compared: Path, tmp_path: Path) -> None:
    out = shutil.copytree(compared, tmp_path / "out")
    result = succeeded(again(features, out, "--columns", "mAP_lower,NDCG@5", "--name", "bounds"))
    assert "mAP_lower I→V" in result.stdout and "NDCG@5 V→I" in result.stdout
    (line, *_) = lines_of(out / "bounds.csv")
    assert {key.partition(".")[2] for key in line if "voice_to_image" in key} >= {
        "mAP_lower", "NDCG@5"}  # fmt: skip
    assert "voice_to_image.mAP" not in line


def test_the_public_function_returns_the_table(features: Path, compared: Path) -> None:
    result = compare(str(features), str(compared), methods=("divh", "scrl", "lsh"), epochs=2,
                     bits=(16,), seeds=2, device="cpu")  # fmt: skip
    assert repr(result) + "\n" == succeeded(again(features, compared)).stdout
    assert result.failures == () and result.busy == ()
    kept = lines_of(compared / "compare.csv")
    frame = result.to_frame()
    assert list(frame["method"]) == ["divh", "scrl", "scrl", "lsh", "chance"]
    assert frame["image_to_voice.mAP"][0] == pytest.approx(
        float(kept[0]["image_to_voice.mAP"]), abs=1e-3
    )
    assert result.to_dict()["lines"] == json.loads((compared / "compare.json").read_text())["lines"]
    left = plan(features, compared, methods=("divh", "scrl", "lsh"), epochs=2, bits=(16,),
                seeds=2, device="cpu")  # fmt: skip
    assert "6 runs: 6 finished" in repr(left)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--methods", "dvih"), "no method 'dvih'; did you mean divh? (or module:Class)"),
        (("--methods", "lsh,lsh"), "variants must be given, each once, got lsh, lsh"),
        (("--bits", "16;32"), "bits must be of type int, got '16;32'"),
        (("--bits", "12"), "bits must be one of"),
        (("--streams", "mfcc,mfcc"), "streams must be given once each, got mfcc,mfcc"),
        (("--voices", "two"), "voices must be one or all, got 'two'"),
        (("--set", "gamma=1"), "'gamma=1' is not of the form METHOD.NAME=VALUE"),
        (("--methods", "lsh", "--set", "divh.gamma=1"), "divh is not compared; compared are lsh"),
        (("--set", "divh.gama=1"), "no option 'gama'; did you mean gamma"),
        (("--set", "lsh.training.epochs=2"), "lsh is not trained in steps"),
        (("--epochs", "0"), "epochs must be at least 1, got 0"),
        (("--reference", "svm"), "no row 'svm'; there are cca_itq"),
        (
            ("--preset", "divh-ablation", "--methods", "csq"),
            "the rows are variants of divh: omit methods",
        ),
        (("--preset", "table-2"), "'table-2' is not one of"),
        (("--seeds", "0"), "seeds must be at least 1, got 0"),
    ],
)
def test_a_wrong_option_is_a_usage_error_before_anything_is_written(
    features: Path, tmp_path: Path, options: Sequence[str], words: str
) -> None:
    result = ivr("compare", features, "--out", tmp_path / "out", *options)
    assert_one_line(result, words, status=2)
    assert list(tmp_path.iterdir()) == []


def test_features_that_are_not_there_are_one_line(tmp_path: Path) -> None:
    result = ivr("compare", tmp_path, "--out", tmp_path / "out", "--methods", "lsh")
    assert_one_line(result, "no features here")


def test_queries_of_a_method_are_paired_by_name(compared: Path) -> None:
    runs = ("lsh-16-stack-one-0", "divh-16-stack-one-training.epochs=2-0")
    ours, theirs = (
        read_queries(compared / "runs" / run / "evaluations" / "divh-own" / "queries.h5")
        for run in runs
    )
    for direction in DIRECTIONS:
        assert set(ours[direction].names) == set(theirs[direction].names)
