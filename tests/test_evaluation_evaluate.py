"""Evaluations of run folders: what is read, written and refused."""

import csv
import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from evaluation_world import results_and_curves
from import_graph import module_arrows
from PIL import Image
from source_tree import product_modules

from ivr.config import OptionError
from ivr.features.atomic_files import InTheWayError
from ivr.features.store import StoreError
from ivr.hashing.training_config import TrainConfig
from ivr.names import UnknownNameError
from ivr.pipeline.evaluation.evaluate import evaluate, evaluate_codes
from ivr.pipeline.evaluation.evaluation_folder import evaluation_folder
from ivr.pipeline.evaluation.protocol import PROTOCOLS, Protocol
from ivr.pipeline.evaluation.report_tables import results_table
from ivr.pipeline.evaluation.select import EvaluateError
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.encode import encode_run
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import RunError
from ivr.pipeline.runs.train import train_run
from ivr.pipeline.runs.verify import verify
from ivr.pipeline.runtime.lock import BusyError, only_writer

CONFIG = RunConfig(
    bits=16,
    voices="all",
    seed=2,
    options=("network.voice_channels=8", "network.voice_stride=1", "network.voice_kernel=3"),
    training=TrainConfig(epochs=1, batch_size=6, learning_rate=0.01),
    device="cpu",
)


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, read only."""
    return train_run(features, tmp_path_factory.mktemp("runs") / "run", CONFIG)


def test_results_and_curves_are_written_into_the_run(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    results = evaluate(copy, PROTOCOLS["divh"]).results
    written = json.loads((copy / "results.json").read_text())
    assert written == json.loads(json.dumps(results))
    # Seed and distance are the run's where the protocol leaves them open.
    complete = replace(PROTOCOLS["divh"], seed=2, distance="hamming")
    assert written["protocol"] == asdict(complete)
    assert written["run"]["bits"] == 16
    assert written["codes"]["features_sha256"] == written["features"]["sha256"]
    expected, curves = results_and_curves(
        read_codes(copy / "codes.h5"), replace(PROTOCOLS["divh"], seed=2)
    )
    assert results["image_to_voice"] == expected["image_to_voice"]
    with (copy / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    for direction, curve in curves.items():
        ours = [row for row in rows if row["direction"] == direction]
        retrieved = [row for row in ours if row["curve"] == "retrieved"]
        assert [int(row["at"]) for row in retrieved] == list(curve.retrieved)
        np.testing.assert_allclose(
            [float(row["precision"]) for row in retrieved], 100 * curve.precision, atol=1e-4
        )
        within = [row for row in ours if row["curve"] == "radius"]
        assert [int(row["at"]) for row in within] == curve.radius.radius.tolist()
        np.testing.assert_allclose(
            [float(row["recall"]) for row in within], 100 * curve.radius.recall, atol=1e-4
        )
    with Image.open(copy / "pictures" / "precision.png") as picture:
        assert picture.size == (870, 600)
        assert len(picture.convert("RGB").getcolors(1 << 20) or ()) > 10


def test_other_options_and_codes_have_a_folder_of_their_own_and_the_main_results_stay(
    run: Path, tmp_path: Path
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    assert evaluate(copy).folder == copy
    main = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    other = encode_run(copy, out=tmp_path / "other.h5", device="cpu")
    calls: list[tuple[str, Any]] = [
        ("pair", lambda: evaluate(copy, "pair")),
        ("divh-bits=8", lambda: evaluate(copy, bits=8)),
        (
            "divh-voices=all-ties=file-order",
            lambda: evaluate(copy, voices="all", ties="file-order"),
        ),
        ("rsicd-150-cutoff=9", lambda: evaluate(copy, "rsicd-150", cutoff=9)),
        ("divh-codes=other-", lambda: evaluate(copy, codes=other)),
    ]
    for name, call in calls:
        found = call()
        assert found.folder.parent == copy / "evaluations"
        assert found.folder.name.startswith(name)
        assert json.loads((found.folder / "results.json").read_text()) == found.to_dict()
        assert verify(copy).whole
    assert len(list((copy / "evaluations").iterdir())) == len(calls)
    with pytest.raises(EvaluateError, match="not replaced by those of other options"):
        evaluate(copy, bits=8, out=copy)
    # The default, however it is written.
    assert evaluate(copy, "divh", voices="one", codes=copy / "codes.h5").folder == copy
    later = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    assert {n: c for n, c in later.items() if n not in (".lock", "results.json")} == {
        n: c for n, c in main.items() if n not in (".lock", "results.json")
    }


@pytest.mark.parametrize(
    ("speaker", "name"),
    [
        ("slt", "divh-speaker=slt"),
        ("../../x", "divh-speaker=.._.._x-"),
        ("é" * 200, "divh-speaker=___"),
        ("A/b", "divh-speaker=A_b-"),
    ],
)
def test_the_folder_of_an_evaluation_is_one_plain_name(speaker: str, name: str) -> None:
    folders = {
        evaluation_folder(Path("run"), replace(Protocol(), speaker=said), PROTOCOLS, None)
        for said in (speaker, speaker.replace("/", "_"), speaker + "!")
    }
    assert len(folders) == (3 if "/" in speaker else 2)
    folder = evaluation_folder(Path("run"), replace(Protocol(), speaker=speaker), PROTOCOLS, None)
    assert folder.parent == Path("run/evaluations")
    assert folder.name.startswith(name)
    assert len(folder.name) < 120


def test_two_evaluations_into_one_run_do_not_mix(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    with only_writer(copy):
        for call in (lambda: evaluate(copy), lambda: evaluate(copy, "pair")):
            with pytest.raises(BusyError, match="is writing here"):
                call()
        evaluate(copy, out=tmp_path / "elsewhere")
    with only_writer(tmp_path / "elsewhere"), pytest.raises(BusyError, match="is writing here"):
        evaluate(copy, out=tmp_path / "elsewhere")


def test_results_do_not_replace_what_is_no_result(run: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "curves.csv").mkdir(parents=True)
    with pytest.raises(InTheWayError, match=r"curves.csv: a folder lies where"):
        evaluate(run, out=tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"curves.csv", ".lock"}


def test_results_can_go_elsewhere(run: Path, tmp_path: Path) -> None:
    before = {path.name for path in run.iterdir()}
    evaluate(run, PROTOCOLS["pair"], out=tmp_path / "new" / "pair")
    assert {path.name for path in (tmp_path / "new" / "pair").iterdir()} == {
        ".lock",
        "results.json", "queries.h5", "curves.csv", "pictures", "digests.json",
    }  # fmt: skip
    assert {path.name for path in run.iterdir()} == before


@pytest.mark.parametrize("place", ["", "evaluations/pair"])
def test_results_and_codes_of_another_run_are_not_replaced(
    run: Path, tmp_path: Path, place: str
) -> None:
    other = Path(shutil.copytree(run, tmp_path / "other"))
    evaluate(other)
    evaluate(other, "pair")
    before = contents_of(other)
    with pytest.raises(EvaluateError, match="holds another run, whose results are not replaced"):
        evaluate(run, out=other / place)
    with pytest.raises(RunError, match="the codes of another run, which are not replaced"):
        encode_run(run, out=other / "codes.h5", device="cpu")
    assert contents_of(other) == before
    linked = tmp_path / "linked"
    linked.symlink_to(other)
    evaluate(other, out=linked)


def contents_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_codes_made_elsewhere_by_the_same_model_give_the_same_metrics(
    run: Path, tmp_path: Path
) -> None:
    codes = encode_run(run, out=tmp_path / "codes.h5", device="cpu")
    ours = evaluate(run, PROTOCOLS["divh"], out=tmp_path / "ours").results
    theirs = evaluate(run, PROTOCOLS["divh"], codes=codes, out=tmp_path / "theirs").results
    assert ours["image_to_voice"] == theirs["image_to_voice"]
    assert theirs["codes"]["file"] == str(codes)


def test_codes_of_another_model_are_refused(features: Path, run: Path, tmp_path: Path) -> None:
    other = train_run(features, tmp_path / "other", replace(CONFIG, seed=9))
    with pytest.raises(EvaluateError, match=r"codes.h5: not made with the model of .*run"):
        evaluate(run, PROTOCOLS["divh"], codes=other / "codes.h5", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_run_without_codes_says_how_to_make_them(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "codes.h5").write_bytes(b"\x00" * 100)
    with pytest.raises(StoreError, match=r"codes.h5: not a readable HDF5 file"):
        evaluate(copy, PROTOCOLS["divh"])
    (copy / "codes.h5").unlink()
    with pytest.raises(RunError, match=r"codes.h5: no codes; make them with ivr encode"):
        evaluate(copy, PROTOCOLS["divh"])


def test_the_first_bits_of_codes_are_codes(run: Path, tmp_path: Path) -> None:
    codes = read_codes(run / "codes.h5")
    short = replace(
        codes,
        images=replace(codes.images, codes=codes.images.codes[:, :1].copy()),
        voices=replace(codes.voices, codes=codes.voices.codes[:, :1].copy()),
    )
    protocol = replace(PROTOCOLS["divh"], seed=2)
    found = evaluate_codes(codes, replace(protocol, bits=8)).results
    expected = evaluate_codes(short, protocol).results
    for direction in ("image_to_voice", "voice_to_image"):
        assert found[direction] == expected[direction]
    title = repr(evaluate(run, replace(protocol, bits=8), out=tmp_path)).splitlines()
    assert title[0] == "divh, the first 8 of 16 bits"
    with pytest.raises(EvaluateError, match="the codes have 16 bits, not 24"):
        evaluate_codes(codes, replace(protocol, bits=24))
    with pytest.raises(ValueError, match="bits must be a multiple of 8 and at least 8, got 12"):
        replace(protocol, bits=12)


def test_the_result_is_a_table_with_a_row_for_each_direction_and_for_chance(
    run: Path, tmp_path: Path
) -> None:
    result = evaluate(str(run), "pair", out=str(tmp_path / "out"), cutoff=5, denominator="min")
    assert result.folder == tmp_path / "out"
    written = json.loads((tmp_path / "out" / "results.json").read_text())
    assert result.to_dict() == written
    assert (written["protocol"]["relevance"], written["protocol"]["cutoff"]) == ("pair", 5)
    assert repr(result) == results_table(written)
    rows = result.rows()
    assert [(row["direction"], row["kind"]) for row in rows] == [
        (direction, kind)
        for direction in ("image_to_voice", "voice_to_image")
        for kind in ("measured", "chance")
    ]
    assert len({tuple(row) for row in rows}) == 1
    assert rows[2]["mAP"] == result.metrics["voice_to_image"]["mAP"]
    assert rows[2]["mAP"] == written["voice_to_image"]["mAP"]
    assert rows[3]["NDCG@5"] == result.chance["voice_to_image"]["NDCG@5"]
    with pytest.raises(UnknownNameError, match="no protocol 'mine'; there are divh, dvan, "):
        evaluate(run, "mine")
    with pytest.raises(OptionError, match="cutof"):
        evaluate(run, cutof=5)


def test_the_steps_of_an_evaluation_import_in_one_direction() -> None:
    steps = ["select", "rank", "score", "report", "evaluate"]
    arrows = module_arrows(product_modules())
    room = "ivr.pipeline.evaluation"
    for place, step in enumerate(steps):
        later = {f"{room}.{name}" for name in steps[place:]}
        assert arrows[f"{room}.{step}"].isdisjoint(later), step


def test_pictures_in_other_formats_stay_and_show_the_new_results(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    evaluate(copy, pictures=("png",))
    pictures = copy / "pictures"
    (pictures / "my-own.png").write_bytes(b"of the user")
    before = (pictures / "precision.png").read_bytes()
    (pictures / "precision.png").write_bytes(before[:-12])  # a damaged one is drawn again
    evaluate(copy, pictures=("svg",))
    assert (pictures / "precision.svg").is_file()
    assert (pictures / "precision.png").read_bytes() == before
    assert (pictures / "my-own.png").read_bytes() == b"of the user"
    evaluate(copy, pictures=())
    assert {path.suffix for path in pictures.glob("precision.*")} == {".csv", ".png", ".svg"}
    assert not list(pictures.glob("*.pdf"))
