"""``ivr.plot`` and the files of ``ivr evaluate --pictures``: what every picture shows of a run."""

import csv
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pytest
from conftest import ivr as command
from conftest import succeeded
from matplotlib import pyplot
from matplotlib.axes import Axes

import ivr
from ivr.hashing.training_config import TrainConfig
from ivr.names import UnknownNameError
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.evaluation.evaluation_result import EvaluationResult
from ivr.pipeline.pictures.picture_files import EVALUATION
from ivr.pipeline.plotting.evaluated import PlotError
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import EVALUATION_FILES
from ivr.pipeline.runs.train import train_run
from ivr.pipeline.runs.verify import verify

ONE = ("precision", "recall", "precision_recall", "class_precision")
SEVERAL = ("confusion", "code_health", "history")


@pytest.fixture(scope="module", autouse=True)
def without_a_window() -> Iterator[None]:
    before = matplotlib.get_backend()
    matplotlib.use("agg")
    yield
    pyplot.close("all")
    matplotlib.use(before)


@pytest.fixture(autouse=True)
def without_open_sheets() -> Iterator[None]:
    yield
    pyplot.close("all")


@pytest.fixture(scope="module")
def result(features: Path, tmp_path_factory: pytest.TempPathFactory) -> EvaluationResult:
    """An evaluated run, read only."""
    run = tmp_path_factory.mktemp("plots") / "run"
    training = TrainConfig(epochs=2, batch_size=6, learning_rate=0.01)
    train_run(features, run, RunConfig("divh", bits=16, training=training, device="cpu"))
    return evaluate(run, pictures=("svg",))


def labels(axes: Axes) -> list[str]:
    return [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[union-attr]


@pytest.mark.parametrize("name", ONE)
def test_a_picture_has_n_chance_units_and_a_neutral_title(
    result: EvaluationResult, name: str
) -> None:
    axes = getattr(ivr.plot, name)(result.folder)
    shown = labels(axes)
    title = axes.get_title(loc="left")

    n = result.results["image_to_voice"]["n"]
    both = "image → voice and voice → image"  # one line where both count the same pairs
    assert f"{both} (n = {n})" in shown or {
        f"image → voice (n = {n})",
        f"voice → image (n = {n})",
    } <= {*shown}
    assert any(label.startswith("chance") for label in shown)
    assert "%" in axes.get_xlabel() + axes.get_ylabel()
    assert title.endswith(", divh, 16 bits, seed 0")
    assert "Fig" not in title
    styles = {(str(line.get_linestyle()), line.get_marker()) for line in axes.lines[-2:]}
    assert name == "class_precision" or len(styles) == 2


def test_precision_has_the_values_of_the_results_and_its_ceiling(result: EvaluationResult) -> None:
    axes = ivr.plot.precision(result)
    lines = {line.get_label(): line for line in axes.lines}
    n = result.results["voice_to_image"]["n"]
    line = lines[f"voice → image (n = {n})"]
    count, values = line.get_xdata(), line.get_ydata()

    assert values[0] == pytest.approx(result.metrics["voice_to_image"]["P@1"], abs=1e-3)
    ceiling = lines["ceiling: a perfect ranking"]
    for k in (1, 5, 10):
        if k <= count[-1]:
            (place,) = np.flatnonzero(np.array(count) == k)
            assert ceiling.get_ydata()[place] == pytest.approx(
                result.results["ceiling"]["voice_to_image"][f"P@{k}"], abs=1e-3
            )
    assert ceiling.get_ydata().min() < 100
    assert all(np.array(values) <= np.array(ceiling.get_ydata()) + 1e-9)


def test_directions_that_count_the_same_pairs_are_one_line(result: EvaluationResult) -> None:
    axes = ivr.plot.precision_recall(result)
    names = [str(line.get_label()) for line in axes.lines]
    n = result.results["voice_to_image"]["n"]
    assert names[-1] == f"image → voice and voice → image (n = {n})"
    assert len([name for name in names if "→" in name]) == 1


@pytest.mark.parametrize("name", SEVERAL)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_pictures_of_several_panels_return_their_axes(
    result: EvaluationResult, name: str, theme: str
) -> None:
    panels = getattr(ivr.plot, name)(result.folder, theme=theme)
    assert len(panels) == 2
    assert all(isinstance(axes, Axes) for axes in panels)
    with pytest.raises(PlotError, match="2 axes are needed, got 1"):
        getattr(ivr.plot, name)(result.folder, [pyplot.subplots()[1]])


def test_the_history_has_chance_and_the_kept_epoch(result: EvaluationResult) -> None:
    epochs = [json.loads(line) for line in (result.folder / "history.jsonl").open()]
    _, validation = ivr.plot.history(result.folder)
    chance = 100 * epochs[-1]["chance"]["voice_to_image"]

    assert f"chance ({chance:.1f} %)" in labels(validation)
    seen = [epoch for epoch in epochs if epoch["voice_to_image"] is not None]
    best = max(seen, key=lambda e: (e["image_to_voice"] + e["voice_to_image"], e["number"]))
    assert f"epoch {best['number']}, kept" in labels(validation)


def test_a_callers_axes_are_drawn_into_and_their_style_is_kept(result: EvaluationResult) -> None:
    before = dict(matplotlib.rcParams)
    own = pyplot.subplots()[1]
    own.set_facecolor("#123456")

    assert ivr.plot.recall(result, own) is own
    assert own.get_facecolor()[:3] == pytest.approx((0x12 / 255, 0x34 / 255, 0x56 / 255))
    assert dict(matplotlib.rcParams) == before


def test_a_comparison_draws_each_method_with_the_deviation_over_its_seeds(
    result: EvaluationResult,
) -> None:
    several = {r"$\frac$": [result, result.folder], "_b": result}
    axes = ivr.plot.comparison(several, direction="image_to_voice")

    n = result.results["image_to_voice"]["n"]
    assert labels(axes)[-2:] == [rf"$\frac$ (n = {n})", f"_b (n = {n})"]
    assert not any(text.get_parse_math() for text in axes.get_legend().get_texts())  # type: ignore[union-attr]
    axes.get_figure().canvas.draw()  # type: ignore[union-attr]
    assert len(axes.collections) == 2  # the region above the ceiling, and the band of one method


def test_hits_are_ranked_as_the_evaluation_ranks_and_marked_without_colour(
    result: EvaluationResult, features: Path
) -> None:
    codes = read_codes(result.folder / "codes.h5")
    voice = next(n for n, s in zip(codes.voices.names, codes.voices.splits, strict=True)
                 if s == "test")  # fmt: skip
    axes = ivr.plot.hits(result.folder, voice, count=3, root=features.parent / "media")
    hits = axes[2:]
    row = codes.voices.names.index(voice)
    tested = [place for place, split in enumerate(codes.images.splits) if split == "test"]
    distances = sorted(
        int(np.bitwise_count(codes.voices.codes[row] ^ codes.images.codes[place]).sum())
        for place in tested
    )

    assert [axes.get_xlabel() for axes in hits] == [
        f"{distance} of 16 bits differ" for distance in distances[:3]
    ]
    for place, one in enumerate(hits, 1):
        title = one.get_title()
        right = codes.voices.labels[row] in title
        assert title.startswith(f"{place}  {'✓' if right else '✕'} ")
        styles = {str(spine.get_linestyle()) for spine in one.spines.values()}
        assert styles == ({"-"} if right else {"(0, (2.5, 1.5))"})
    image = next(codes.images.names[place] for place in tested)
    assert len(ivr.plot.hits(result.folder, image, count=2, root=features.parent / "media")) == 3


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda run: ivr.plot.precision(run / "nothing"), "has no results.json; make it with ivr"),
        (lambda run: ivr.plot.history(run.parent), "neither a run folder nor an evaluation"),
        (lambda run: ivr.plot.comparison({}), "nothing to compare"),
        (lambda run: ivr.plot.comparison(run), "no evaluation"),
        (
            lambda run: ivr.plot.hits(run, a_voice(run), root=run),
            r"no such file\); give root=FOLDER",
        ),
    ],
)
def test_what_cannot_be_drawn_is_one_line(
    result: EvaluationResult, call: object, words: str
) -> None:
    with pytest.raises(PlotError, match=words):
        call(result.folder)  # type: ignore[operator]


def a_voice(run: Path) -> str:
    codes = read_codes(run / "codes.h5")
    return codes.voices.names[codes.voices.splits.index("test")]


def test_unknown_names_are_answered_with_the_nearest(result: EvaluationResult) -> None:
    with pytest.raises(UnknownNameError, match="no theme 'drak'; did you mean dark"):
        ivr.plot.precision(result, theme="drak")  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="no direction 'image_to_voise'"):
        ivr.plot.comparison({"a": result}, direction="image_to_voise")
    with pytest.raises(UnknownNameError, match="no query 'nothing'"):
        ivr.plot.hits(result, "nothing")


def test_results_of_an_earlier_version_are_refused(
    result: EvaluationResult, tmp_path: Path
) -> None:
    found = {name: value for name, value in result.results.items() if name != "ceiling"}
    (tmp_path / "results.json").write_text(json.dumps(found))
    with pytest.raises(PlotError, match="of an earlier version; make it again with ivr evaluate"):
        ivr.plot.precision(tmp_path)


def test_the_formats_of_pictures_change_no_result(result: EvaluationResult, tmp_path: Path) -> None:
    run = Path(shutil.copytree(result.folder, tmp_path / "run"))
    succeeded(command("evaluate", run, "--pictures", "pdf,svg"))
    kept = {path.name: path.read_bytes() for path in (run / "pictures").iterdir()}
    assert {path.partition(".")[0] for path in kept} - {"digests"} == set(EVALUATION)
    assert {path.partition(".")[2] for path in kept} == {"csv", "json", "pdf", "svg"}
    assert {f"pictures/{name}" for name in kept} <= set(EVALUATION_FILES)
    before = (run / "results.json").read_bytes()

    succeeded(command("evaluate", run, "--pictures", "none"))
    later = {path.name for path in (run / "pictures").iterdir()}
    assert (run / "results.json").read_bytes() == before
    assert later == set(kept)  # drawn again, from the results of this evaluation
    assert verify(run).whole
    refused = command("evaluate", run, "--pictures", "png,jpeg")
    assert refused.exit_code == 2
    assert "no format of pictures 'jpeg'" in refused.output


def test_the_data_of_the_pictures_is_that_of_the_results(result: EvaluationResult) -> None:
    with (result.folder / "pictures" / "class-precision.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    for direction, arrow in (
        ("image_to_voice", "image → voice"),
        ("voice_to_image", "voice → image"),
    ):
        found = result.results[direction]
        shown = {row["class"]: row for row in rows if row["line"] == arrow}
        assert shown.keys() == found["per_class"].keys()
        for name, row in shown.items():
            assert float(row["average_precision"]) == pytest.approx(
                found["per_class"][name], abs=1e-4
            )
            assert int(row["queries"]) == found["per_class_queries"][name]
            assert float(row["chance"]) == pytest.approx(found["per_class_chance"][name], abs=1e-4)
            assert float(row["ceiling"]) == 100
    queries = sum(int(row["queries"]) for row in rows if row["line"] == "image → voice")
    assert queries == result.results["image_to_voice"]["n"]


def test_pictures_of_an_earlier_version_are_removed(
    result: EvaluationResult, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(result.folder, tmp_path / "run"))
    shutil.copy(run / "pictures" / "precision.csv", run / "notes.csv")
    matplotlib.figure.Figure().savefig(run / "curves.png")
    evaluate(run)
    assert not (run / "curves.png").exists()
    assert (run / "notes.csv").exists()


def test_a_method_that_is_computed_in_one_step_has_no_history_and_every_other_picture(
    features: Path, tmp_path: Path
) -> None:
    train_run(features, tmp_path / "run", RunConfig("lsh", bits=16, device="cpu"))
    evaluate(tmp_path / "run")

    names = {path.stem for path in (tmp_path / "run" / "pictures").glob("*.png")}
    assert names == set(EVALUATION) - {"history"}
    with pytest.raises(PlotError, match="computed in one step"):
        ivr.plot.history(tmp_path / "run")
