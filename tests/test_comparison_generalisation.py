"""What a check leaves out is met by nothing but the test, and the table says what came of it."""

import csv
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import CLASSES, assert_one_line, ivr, merged, succeeded, write_made_up_features

from ivr.features.store import open_table, text_column, write_table
from ivr.features.voice_streams import STREAMS
from ivr.hashing.pairs import Pairs
from ivr.pipeline.comparison.check_kinds import CheckKind
from ivr.pipeline.comparison.evaluated_runs import read_rows
from ivr.pipeline.comparison.generalisation import (
    PLAIN_CHECK,
    Check,
    LeftOut,
    check_notes,
    checks_of,
)
from ivr.pipeline.comparison.grid import Grid
from ivr.pipeline.comparison.tasks import is_evaluated, tasks
from ivr.pipeline.comparison.variants import Variant
from ivr.pipeline.datasets.manifest import Item, Manifest, ManifestRow, write_manifest
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.evaluation.protocol import PROTOCOLS
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features
from ivr.pipeline.extraction.feature_schema import VOICES
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.encode import encode_run
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.train import prepared

DIRECTIONS = ("image_to_voice", "voice_to_image")
SPEAKERS = ("ann:1", "bob", "eve")
SHORT = ("--epochs", "2", "--bits", "16", "--seeds", "2", "--device", "cpu", "--methods", "divh")
NOISES = (("noise=0", 10.0), ("noise=20", 1e-6))
LEFT_OUT = (LeftOut(), LeftOut(captions=True), LeftOut(classes=0.25), LeftOut(speakers=SPEAKERS))


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Features of six classes of eight images, three speakers; two images share a sentence."""
    folder = tmp_path_factory.mktemp("spoken") / "features"
    rows = [
        ManifestRow(f"{label}/{number}.png", f"{label}/{number}_{take}.wav", label,
            speaker=SPEAKERS[(number + take) % 3], caption=f"{label} {number // 2}, {take}")
        for label in CLASSES for number in range(16) for take in range(2)
    ]  # fmt: skip
    write_made_up_features(folder, Manifest(tuple(rows)))
    odd = re.compile(r"[13579]\.png$")
    split = [
        replace(r, label=f"{'odd' if odd.search(r.image) else 'even'} {r.label}") for r in rows
    ]
    write_manifest(folder / "manifest.csv", Manifest(tuple(split)))
    return folder


@pytest.fixture(scope="module")
def checked(spoken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a finished comparison, read only."""
    out = tmp_path_factory.mktemp("checked") / "out"
    succeeded(ivr("compare", spoken, "--out", out, "--preset", "generalisation", *SHORT))
    return out


def met(data: FeatureDataset, pairs: Pairs) -> tuple[set[str], list[Item]]:
    """Names of the images, and the voices, that are in ``pairs``, found by their vectors."""
    assert data.images is not None and data.voices is not None and pairs.voice_rows is not None
    stored = np.asarray(data.images.map("vectors"))
    names = data.images.text("names")
    images = {
        names[int(np.flatnonzero((stored == vector).all(1))[0])] for vector in pairs.images.numpy()
    }
    by_name = {voice.name: voice for voice in data.voice_items()}
    voices = data.voices.text("names")
    return images, [by_name[voices[int(row)]] for row in pairs.voice_rows]


@pytest.mark.parametrize("voices", ["one", "all"])
@pytest.mark.parametrize("left_out", LEFT_OUT, ids=("nothing", "captions", "classes", "speakers"))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_is_left_out_is_neither_in_training_nor_in_validation(
    spoken: Path, left_out: LeftOut, voices: Any, seed: int
) -> None:
    grid = Grid(
        (Variant("divh", "divh"),), (16,), voices=(voices,), seeds=(seed,), device="cpu",
        checks=(PLAIN_CHECK, Check("x", left_out)) if left_out != LeftOut() else (PLAIN_CHECK,),
    )  # fmt: skip
    row = next(row for row in grid.rows() if row.left_out == left_out)
    ready = prepared(spoken, grid.config(row, seed))
    data, splits, told = ready.data, ready.splits, ready.chosen["left_out"]
    image_items = {item.name: item for item in data.image_items()}
    tested = {voice.caption for voice in data.voice_items() if splits[voice.name] == "test"}
    for pairs, split in zip(ready.pairs, ("train", "val"), strict=True):
        images, used = met(data, pairs)
        assert images and {voice.image for voice in used} == images
        assert {splits[name] for name in images} == {splits[v.name] for v in used} == {split}
        if left_out.captions:
            assert told["captions_of_test"]
            assert not tested & {voice.caption for voice in used}
        elif left_out == LeftOut() and split == "train":  # there is something to leave out
            assert tested & {voice.caption for voice in used}
        if left_out.classes:
            assert len(told["classes"]) == 2  # of six
            assert not set(told["classes"]) & {image_items[name].label for name in images}
            assert not set(told["classes"]) & {voice.label for voice in used}
            assert not set(told["classes"]) & set(ready.chosen["classes"])
            assert ready.chosen["sizes"]["classes"] == 4
        if left_out.speakers:
            assert told["speakers"] == [SPEAKERS[seed]]
            assert {voice.speaker for voice in used} == set(SPEAKERS) - {SPEAKERS[seed]}
    # The plain run is the run of every other table.
    assert grid.config(grid.rows()[0], seed) == RunConfig(
        bits=16, voices=voices, seed=seed, split=grid.config(row, seed).split, device="cpu",
        streams=STREAMS,
    )  # fmt: skip


def test_a_seed_draws_its_own_classes_and_its_own_speaker() -> None:
    assert [LEFT_OUT[3].speaker(seed) for seed in range(4)] == [*SPEAKERS, SPEAKERS[0]]
    names = [left_out.name(0) for left_out in LEFT_OUT]
    assert names[:3] == ["", "unseen_captions", "unseen_classes=0.25"]
    assert re.fullmatch(r"without=ann_1_[0-9a-f]{6}", names[3])
    assert LeftOut(speakers=("bob",)).name(0) == "without=bob"
    assert LeftOut(speakers=("ann_1",)).name(0) != names[3]


def test_the_checks_are_those_that_the_manifest_allows(features: Path, spoken: Path) -> None:
    assert [check.label for check in checks_of(open_features(features))] == [
        "plain", "all voices of an image",
    ]  # fmt: skip
    notes = check_notes(checks_of(open_features(features)), (0,))
    assert notes[-1] == (
        "Not checked: noise (no voices with it: ivr extract --augment noise=20); "
        "sentences (no captions in the manifest); classes (fewer than four); "
        "speakers (fewer than two in the manifest)."
    )
    checks = checks_of(open_features(spoken))
    assert {check.left_out for check in checks} == set(LEFT_OUT)
    two, three = (" ".join(check_notes(checks, seeds)) for seeds in ((0, 1), (0, 1, 2)))
    assert "ann:1 (seed 0), bob (seed 1); never left out: eve (give more --seeds)" in two
    assert "eve (seed 2)" in three and "never left out" not in three


def lines_of(out: Path, name: str = "generalisation") -> dict[str, dict[str, str]]:
    with (out / f"{name}.csv").open(newline="") as file:
        # A hyphen at the start would be a formula of a spreadsheet: a quote stands before it.
        return {line["check"].removeprefix("'"): line for line in csv.DictReader(file)}


def test_a_line_is_the_mean_of_its_runs_with_chance_and_the_share_of_the_plain_figure(
    checked: Path,
) -> None:
    lines = lines_of(checked)
    assert list(lines) == [
        "plain", "all voices of an image", "sentences never heard", "classes never seen",
        "- among all classes", "- same model, classes it saw", "speaker never heard",
        "- same model, others",
    ]  # fmt: skip
    assert {line["kind"] for line in lines.values()} == {"measured"}
    head = "divh-16-stack-one-training.epochs=2"
    runs = {path.name for path in (checked / "runs").iterdir()}
    assert len(runs) == 8
    plain = [results(checked, f"{head}-{seed}", "divh-own") for seed in (0, 1)]
    for check, part, folder in (
        ("plain", "", "divh-own"),
        ("sentences never heard", "-unseen_captions", "divh-own"),
        ("classes never seen", "-unseen_classes=0.25", "divh-own-unseen"),
        ("- among all classes", "-unseen_classes=0.25", "divh-own-among-all"),
        ("all voices of an image", "", "divh-own-all-voices"),
    ):
        found = [results(checked, f"{head}{part}-{seed}", folder) for seed in (0, 1)]
        for d in DIRECTIONS:
            share = [100 * one[d]["mAP"] / p[d]["mAP"] for one, p in zip(found, plain, strict=True)]
            for key, values in (
                ("mAP", [one[d]["mAP"] for one in found]),
                ("P@10", [one[d]["P@10"] for one in found]),
                ("chance", [one["chance"][d]["mAP"] for one in found]),
                ("of plain", share),
            ):
                assert float(lines[check][f"{d}.{key}"]) == pytest.approx(np.mean(values), rel=1e-5)
    # Two classes of two tested images each among themselves: chance is much higher.
    chance = {name: float(line["image_to_voice.chance"]) for name, line in lines.items()}
    assert chance["classes never seen"] > 2 * chance["plain"]
    assert chance["- among all classes"] == pytest.approx(chance["plain"])


def results(out: Path, run: str, folder: str) -> dict[str, Any]:
    path = out / "runs" / run / "evaluations" / folder / "results.json"
    return json.loads(path.read_text())  # type: ignore[no-any-return]


def test_queries_and_database_are_what_the_check_says(spoken: Path, checked: Path) -> None:
    grid = Grid(
        (Variant("divh", "divh", ("training.epochs=2",)),), (16,), seeds=(0, 1), device="cpu",
        checks=checks_of(open_features(spoken)),
    )  # fmt: skip
    speaker = {voice.name: voice.speaker for voice in open_features(spoken).voice_items()}
    label = {v.name: v.label for v in open_features(spoken).voice_items()}
    label |= {image.name: image.label for image in open_features(spoken).image_items()}
    for line in read_rows(checked, grid)[0]:
        assert set(line.evaluations) == {0, 1}
        for seed, evaluation in line.evaluations.items():
            run = evaluation.folder.parent.parent
            told = json.loads((run / "config.json").read_text())["left_out"]
            voices = set(evaluation.queries["voice_to_image"].names)
            asked = {label[name] for found in evaluation.queries.values() for name in found.names}
            if line.check.classes in ("unseen", "unseen-among-all"):
                assert asked == set(told["classes"])
                few = evaluation.results["image_to_voice"]["gallery"] == 4
                assert few == (line.check.classes == "unseen")
            elif line.check.classes == "seen":
                assert not asked & set(told["classes"])
            if line.check.speaker == "left out":
                assert {speaker[name] for name in voices} == {SPEAKERS[seed]}
                assert told["speakers"] == [SPEAKERS[seed]]
            elif line.check.speaker == "others":
                assert SPEAKERS[seed] not in {speaker[name] for name in voices}
            # Nothing that is asked with was trained on.
            splits = json.loads((run / "splits.json").read_text())
            assert {splits[name] for name in voices} == {"test"}


def test_the_table_says_who_was_left_out_and_is_written_in_every_form(
    spoken: Path, checked: Path
) -> None:
    arguments = ("compare", spoken, "--out", checked, "--preset", "generalisation", *SHORT)
    text = " ".join(succeeded(ivr(*arguments)).stdout.split())
    assert "ann:1 (seed 0), bob (seed 1); never left out: eve" in text
    assert "plain: 12 queries on 12 in each direction" in text
    assert "| divh | classes never seen |" in (checked / "generalisation.md").read_text()
    assert "classes never seen" in (checked / "generalisation.tex").read_text()
    kept = json.loads((checked / "generalisation.json").read_text())
    assert "voice_to_image.of plain" in kept["lines"][3]["figures"]
    plan = succeeded(ivr(*arguments, "--plan")).stdout
    assert plan.startswith("8 runs: 8 finished")


def test_plain_runs_are_those_of_other_tables_and_are_judged_once(
    spoken: Path, tmp_path: Path
) -> None:
    one = merged(SHORT, "--seeds", "1")
    succeeded(ivr("compare", spoken, "--out", tmp_path, *one))
    plan = succeeded(
        ivr("compare", spoken, "--out", tmp_path, "--preset", "generalisation", *one, "--plan")
    ).stdout.splitlines()
    assert plan[0] == "trained  divh-16-stack-one-training.epochs=2-0"
    assert plan[-2].startswith("4 runs: 3 new, 1 trained")
    (run,) = (tmp_path / "runs").iterdir()
    path = run / "evaluations" / "divh-own" / "results.json"
    old = json.loads(path.read_text())
    # As a version wrote it that knew neither classes nor speakers to do without.
    del old["protocol"]["classes"], old["protocol"]["without_speaker"]
    path.write_text(json.dumps(old))
    grid = Grid((Variant("divh", "divh", ("training.epochs=2",)),), (16,), seeds=(0,), device="cpu")
    (task,) = tasks(grid, tmp_path)
    assert is_evaluated(task.run, task.plans[0])
    config = json.loads((run / "config.json").read_text())
    assert config["left_out"] == {"speakers": [], "captions_of_test": False}


def test_codes_of_every_item_are_made_also_of_classes_that_were_left_out(checked: Path) -> None:
    run = checked / "runs" / "divh-16-stack-one-training.epochs=2-unseen_classes=0.25-0"
    codes = read_codes(run / "codes.h5")
    assert len(set(codes.images.labels)) == 6
    assert len(open_table(run / "codes.h5", "codes").config["run"]["classes"]) == 4


def test_a_declaration_names_the_checks_of_its_table(spoken: Path, tmp_path: Path) -> None:
    shown = succeeded(ivr("compare", "--show-preset", "generalisation")).stdout
    grid = tmp_path / "new.yaml"
    out = ("--out", tmp_path / "out")
    for kinds, left_out in (
        ("[classes]", "unseen_classes=0.25"),
        ("[speakers, voices]", "without=ann_1"),
    ):
        grid.write_text(re.sub(r"(?<=checks: )\[.*\]", kinds, shown))
        plan = succeeded(ivr("compare", spoken, *out, "--grid", grid, *SHORT, "--plan")).stdout
        assert "4 runs: 4 new" in plan
        assert left_out in plan
        assert "unseen_captions" not in plan
    kinds: tuple[CheckKind, ...] = ("speakers", "voices")
    found = checks_of(open_features(spoken), kinds)
    assert [check.label for check in found] == [
        "plain", "speaker never heard", "- same model, others", "all voices of an image",
    ]  # fmt: skip
    assert "Not checked" not in " ".join(check_notes(found, (0,), kinds))
    for wrong, told in (
        ("source: generalisation\nchecks: [noise, noise]", "each check once"),
        ("checks: [noise]", "source: generalisation"),
        ("source: generalisation\nchecks: [weather]", "weather"),
    ):
        grid.write_text(wrong)
        refused = ivr("compare", spoken, "--out", tmp_path, "--grid", grid)
        assert_one_line(refused, told, status=2)


def with_noise(features: Path, to: Path, strengths: Sequence[tuple[str, float]] = NOISES) -> Path:
    """A copy of ``features`` with voices in noise; noise at 0 dB is all there is of them."""
    shutil.copytree(features, to)
    table = open_table(to / "voices.h5", VOICES)
    columns = {name: table.read(name) for name in table.columns}
    names = table.text("names")
    rng = np.random.default_rng(0)
    for change, strength in strengths:
        vectors = table.read("vectors")
        more = {
            "names": text_column(f"{name}//{change}" for name in names),
            "vectors": (vectors + strength * rng.normal(size=vectors.shape)).astype(np.float32),
        }
        columns = {
            name: np.concatenate([column, more.get(name, table.read(name))])
            for name, column in columns.items()
        }
    write_table(to / "voices.h5", VOICES, table.config, columns)
    return to


def test_rows_of_a_noise_that_is_none_are_one_line(spoken: Path, tmp_path: Path) -> None:
    noisy = with_noise(spoken, tmp_path / "noisy")
    table = open_table(noisy / "voices.h5", VOICES)
    columns = {name: table.read(name) for name in table.columns}
    columns["names"] = text_column(name.replace("=20", "=x") for name in table.text("names"))
    write_table(noisy / "voices.h5", VOICES, table.config, columns)
    arguments = ("--out", tmp_path / "out", "--preset", "generalisation", "--plan")
    assert_one_line(ivr("compare", noisy, *arguments), "KIND=NUMBER")


def test_babble_stands_below_noise_each_from_the_weakest_on(spoken: Path, tmp_path: Path) -> None:
    changes = ("babble=0", "babble=10", "noise=-5", "noise=10", "speed=0.9")
    noisy = with_noise(spoken, tmp_path / "noisy", [(change, 1.0) for change in changes])
    checks = checks_of(open_features(noisy), ("noise",))
    assert [(check.label, check.change) for check in checks[1:]] == [
        ("noise at 10 dB", "noise=10"), ("noise at -5 dB", "noise=-5"),
        ("babble at 10 dB", "babble=10"), ("babble at 0 dB", "babble=0"),
    ]  # fmt: skip
    notes = " ".join(check_notes(checks, (0,), ("noise",)))
    assert "voices in white noise. Babble: the plain run; queries and database are" in notes
    assert "while 5 others speak" in notes
    alone = " ".join(check_notes((checks[0], checks[3]), (0,), ("noise",)))
    assert "Babble:" in alone and "white noise" not in alone and "Not checked" not in alone


def mean_precision_in_noise(features: Path, out: Path, seed: int) -> dict[str, float]:
    """mAP of the plain run on voices at 0 dB, encoded and evaluated by themselves."""
    run, folder = out / "runs" / f"divh-16-stack-one-training.epochs=2-{seed}", out / f"alone{seed}"
    codes = encode_run(
        run, features=features, out=folder / "codes.h5", device="cpu", change="noise=0"
    )
    found = evaluate(run, codes=codes, out=folder).results
    return {f"{direction}.mAP": found[direction]["mAP"] for direction in DIRECTIONS}


def test_noise_is_met_by_the_plain_run_without_any_training(
    spoken: Path, checked: Path, tmp_path: Path
) -> None:
    noisy, out = with_noise(spoken, tmp_path / "noisy"), shutil.copytree(checked, tmp_path / "out")
    arguments = ("compare", noisy, "--out", out, "--preset", "generalisation", *SHORT)
    plan = succeeded(ivr(*arguments, "--plan")).stdout
    assert "8 runs: 2 trained, 6 finished" in plan
    trained = {path: path.read_bytes() for path in (out / "runs").glob("*/model.safetensors")}
    text = " ".join(succeeded(ivr(*arguments)).stdout.split())
    assert "Noise: the plain run" in text
    assert {path: path.read_bytes() for path in trained} == trained
    lines = lines_of(out)
    assert list(lines)[:4] == [
        "plain", "all voices of an image", "noise at 20 dB", "noise at 0 dB",
    ]  # fmt: skip
    for name in ("image_to_voice.mAP", "voice_to_image.mAP"):
        assert float(lines["noise at 20 dB"][name]) == pytest.approx(float(lines["plain"][name]))
        expected = np.mean([mean_precision_in_noise(noisy, out, seed)[name] for seed in (0, 1)])
        assert float(lines["noise at 0 dB"][name]) == pytest.approx(expected, rel=1e-5)
    found = results(out, "divh-16-stack-one-training.epochs=2-0", "divh-own-noise=0")
    assert found["codes"]["change"] == "noise=0"
    assert "8 finished" in succeeded(ivr(*arguments, "--plan")).stdout


def test_noise_is_judged_once_also_beside_codes_of_an_earlier_version(
    spoken: Path, checked: Path, tmp_path: Path
) -> None:
    noisy, out = with_noise(spoken, tmp_path / "noisy"), shutil.copytree(checked, tmp_path / "out")
    for path in (out / "runs").glob("*/codes.h5"):
        table = open_table(path, "codes")
        columns = {name: table.read(name) for name in table.columns}
        write_table(path, "codes", {n: v for n, v in table.config.items()
                                    if n != "quantisation_error"}, columns)  # fmt: skip
    arguments = ("compare", noisy, "--out", out, "--preset", "generalisation", *SHORT)
    succeeded(ivr(*arguments))
    assert float(lines_of(out)["noise at 20 dB"]["image_to_voice.mAP"]) > 0
    assert "8 finished" in succeeded(ivr(*arguments, "--plan")).stdout


def test_a_real_valued_method_is_judged_by_its_own_distance_and_after_sign() -> None:
    grid = Grid((Variant("scrl", "scrl"),), checks=(PLAIN_CHECK, Check("all", voices="all",
                name="all-voices")))  # fmt: skip
    (row,) = grid.rows()
    found = grid.evaluation_plans(row, 0)
    assert [judging.folder for judging in found] == [
        "divh-own", "divh-hamming", "divh-own-all-voices", "divh-hamming-all-voices",
    ]  # fmt: skip
    assert [judging.protocol.voices for judging in found] == ["one", "one", "all", "all"]
    assert found[0].protocol == PROTOCOLS["divh"]
