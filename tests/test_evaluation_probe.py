import csv
import json
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_one_line, ivr, succeeded

from ivr.features.store import open_table, text_column, write_table
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.datasets.split_config import SplitConfig
from ivr.pipeline.datasets.splits import complete_splits
from ivr.pipeline.evaluation.linear_probe import group_folds
from ivr.pipeline.evaluation.probe import ProbeError, advice, probe
from ivr.pipeline.evaluation.probe_result import (
    Ceiling,
    Ceilings,
    ConfusedPair,
    ModalityProbe,
    ProbeResult,
)
from ivr.pipeline.extraction.feature_dataset import STREAMS, open_features
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES
from ivr.pipeline.runs.verify import verify
from ivr.pipeline.runtime.config_options import OptionError

CLASSES = ("forest", "pond", "river")
GROUPS, IMAGES_PER_GROUP = 10, 2
DIM, COEFFICIENTS, FRAMES = 6, 4, 12


def made_up_manifest(groups: int = GROUPS) -> Manifest:
    return Manifest(
        tuple(
            ManifestRow(f"{name}.png", f"{name}.wav", label, group=f"{label}{group}")
            for label in CLASSES
            for group in range(groups)
            for number in range(IMAGES_PER_GROUP)
            for name in [f"{label}{group}_{number}"]
        )
    )


def write_features(
    folder: Path, images: np.ndarray, voices: np.ndarray, manifest: Manifest | None = None
) -> Path:
    """Features of the manifest, one row of ``images`` and ``voices`` per row of it."""
    manifest = manifest or made_up_manifest()
    folder.mkdir()
    for name, kind, items, vectors, shape in (
        ("images.h5", IMAGES, manifest.images(), images, [DIM]),
        ("voices.h5", VOICES, manifest.voices(), voices, [len(STREAMS), COEFFICIENTS, FRAMES]),
    ):
        count = len(items)
        columns = {
            "names": text_column(item.name for item in items),
            "stamps": np.zeros(count, np.uint64),
            "vectors": vectors.reshape(count, -1).astype(np.float32),
        }
        if kind == VOICES:
            columns["frames"] = np.full(count, FRAMES, np.int32)
        write_table(folder / name, kind, {"settings": {"shape": shape}, "made_with": {}}, columns)
    write_manifest(folder / "manifest.csv", manifest)
    return folder


def separable(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """One row per row of the manifest, near the point of its class."""
    labels = np.repeat(np.arange(len(CLASSES)), GROUPS * IMAGES_PER_GROUP)
    centres = rng.normal(0, 1, (len(CLASSES), *shape))
    return centres[labels] + rng.normal(0, 0.05, (len(labels), *shape))


def made_up_images(rng: np.random.Generator) -> np.ndarray:
    return separable(rng, DIM)


def made_up_voices(rng: np.random.Generator) -> np.ndarray:
    return separable(rng, len(STREAMS), COEFFICIENTS, FRAMES)


@pytest.fixture(scope="module")
def separable_features(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("probe") / "separable"
    return write_features(folder, made_up_images(rng), made_up_voices(rng))


def test_separable_features_reach_everything(separable_features: Path) -> None:
    found = probe(separable_features, folds=4, jobs=1)

    assert found.images is not None
    assert found.voices is not None
    for end in (found.images, found.voices):
        assert (end.accuracy, end.deviation, end.macro_accuracy) == (100, 0, 100)
        assert end.most_confused() == ()
    # 16 of 20 images per class are on the training side: 2 of 10 groups are tested on.
    assert found.images.confusion.tolist() == np.diag([16, 16, 16]).tolist()
    assert found.images.uniform == pytest.approx(100 / 3)
    assert found.ceilings is not None
    assert found.ceilings.one_code_per_class == Ceiling(100, 100)
    assert found.ceilings.by_probability == Ceiling(100, 100)
    assert found.advice.startswith("neither end limits")


def test_voices_of_noise_are_near_chance_and_limit(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    noise = rng.normal(0, 1, made_up_voices(rng).shape)

    found = probe(write_features(tmp_path / "f", made_up_images(rng), noise), folds=4, jobs=1)

    assert found.images is not None
    assert found.voices is not None
    assert found.images.accuracy == 100
    # 48 guesses among three classes: 33 %, with a standard deviation of 7 points.
    assert found.voices.accuracy < 60
    assert found.advice.startswith("the voices limit")
    assert found.ceilings is not None
    assert found.ceilings.perfect_voices == Ceiling(100, 100)
    assert found.ceilings.perfect_images.image_to_voice < 60


def test_voices_that_are_all_equal_are_at_chance(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    images, equal = made_up_images(rng), np.ones_like(made_up_voices(rng))

    found = probe(write_features(tmp_path / "f", images, equal), folds=4, jobs=1)

    assert found.voices is not None
    assert found.voices.accuracy == pytest.approx(found.voices.majority)


def test_the_vectors_of_the_test_split_change_nothing(
    separable_features: Path, tmp_path: Path
) -> None:
    data = open_features(separable_features)
    splits = complete_splits(data.manifest, SplitConfig(seed=3))
    tested = [splits[item.name] == "test" for item in data.manifest.images()]
    assert sum(tested) == 12
    images, voices = (
        open_table(separable_features / name, kind).read("vectors").copy()
        for name, kind in (("images.h5", IMAGES), ("voices.h5", VOICES))
    )
    images[tested], voices[tested] = np.nan, np.nan
    changed = write_features(tmp_path / "changed", images, voices)

    found, expected = probe(changed, seed=3, jobs=1), probe(separable_features, seed=3, jobs=1)

    assert found.to_dict() | {"features": ""} == expected.to_dict() | {"features": ""}


def test_the_validation_split_belongs_to_the_training_side(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given = [*["train"] * 5, *["val"] * 3, *["test"] * 2]
    manifest = Manifest(
        tuple(
            ManifestRow(row.image, row.voice, row.label, group=row.group, split=given[place // 2])
            for row, place in zip(
                made_up_manifest().rows, [*range(GROUPS * IMAGES_PER_GROUP)] * 3, strict=True
            )
        )
    )
    folder = write_features(tmp_path / "f", made_up_images(rng), made_up_voices(rng), manifest)

    found = probe(folder, folds=2, jobs=1)

    assert found.images is not None
    assert found.images.items == 3 * (5 + 3) * IMAGES_PER_GROUP


def test_the_result_does_not_depend_on_the_number_of_jobs(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    images = made_up_images(rng) + rng.normal(0, 1, (60, DIM))
    folder = write_features(tmp_path / "f", images, made_up_voices(rng))

    assert probe(folder, jobs=2).to_dict() == probe(folder, jobs=1).to_dict()


def test_a_group_is_in_one_fold() -> None:
    rng = np.random.default_rng(0)
    groups = [f"group{number}" for number in rng.integers(0, 20, 200)]
    labels = rng.integers(0, 4, 200)

    fold_of = group_folds(labels, groups, 5, seed=0)

    assert set(fold_of.tolist()) == set(range(5))
    pairs = set(zip(groups, fold_of.tolist(), strict=True))
    assert len(pairs) == len(set(groups))


def test_copies_of_a_group_do_not_help(tmp_path: Path) -> None:
    # Every group has a vector of its own that says nothing of the class; its images are copies.
    # Divided between folds, the copies would be recognised.
    rng = np.random.default_rng(5)
    copies = np.repeat(rng.normal(0, 1, (3 * GROUPS, DIM)), IMAGES_PER_GROUP, axis=0)
    folder = write_features(tmp_path / "f", copies, made_up_voices(rng))

    found = probe(folder, jobs=1)

    assert found.images is not None
    assert found.images.accuracy < 60


def test_of_many_rows_whole_groups_are_drawn_from_each_class(separable_features: Path) -> None:
    found = probe(separable_features, rows=24, folds=2, jobs=1)

    assert found.images is not None
    assert (found.images.of, found.images.items, found.images.groups) == (48, 24, 12)
    assert found.images.confusion.sum(axis=1).tolist() == [8, 8, 8]


def test_features_without_voices_have_no_ceiling(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    folder = write_features(tmp_path / "f", made_up_images(rng), made_up_voices(rng))
    rows = (
        ManifestRow(row.image, "", row.label, group=row.group) for row in made_up_manifest().rows
    )
    write_manifest(folder / "manifest.csv", Manifest(tuple(rows)))
    (folder / "voices.h5").unlink()

    found = probe(folder, jobs=1)

    assert found.voices is None
    assert found.ceilings is None
    assert found.advice.startswith("one modality only")


def test_too_few_groups_and_unknown_options_are_one_line(separable_features: Path) -> None:
    with pytest.raises(ProbeError, match="24 groups of images, fewer than 25 folds"):
        probe(separable_features, folds=25, jobs=1)
    with pytest.raises(OptionError, match=r"no option 'fold'; did you mean folds\?"):
        probe(separable_features, fold=3)
    with pytest.raises(OptionError, match="folds must be at least 2, got 1"):
        probe(separable_features, folds=1)


def confused() -> ModalityProbe:
    """Ten of a: eight right, two taken for b; five of b: all right; none of c."""
    confusion = np.array([[8, 2, 0], [0, 5, 0], [0, 0, 0]])
    return ModalityProbe(("a", "b", "c"), confusion, (90.0, 80.0), 6, 4, 15)


def test_accuracies_and_confusions_by_hand() -> None:
    found = confused()

    assert found.items == 15
    assert found.accuracy == 85
    assert found.deviation == pytest.approx(50**0.5)
    assert found.class_accuracies == {"a": 80, "b": 100, "c": None}
    assert found.macro_accuracy == 90
    assert found.majority == pytest.approx(100 * 10 / 15)
    assert found.uniform == 50
    assert found.most_confused() == (ConfusedPair("a", "b", 20),)


def test_the_table_has_a_row_per_modality_and_class() -> None:
    result = ProbeResult("f", ("a", "b", "c"), confused(), None, None, "advice")

    assert result.rows() == [
        {"modality": "images", "class": "a", "items": 10, "accuracy": 80.0,
         "taken_for": "b", "share": 20.0},
        {"modality": "images", "class": "b", "items": 5, "accuracy": 100.0,
         "taken_for": None, "share": None},
        {"modality": "images", "class": "c", "items": 0, "accuracy": None,
         "taken_for": None, "share": None},
    ]  # fmt: skip
    assert repr(result) == "f: images 85.0 ± 7.1 %; advice"


@pytest.mark.parametrize(
    ("images", "voices", "words"),
    [
        (95.0, 85.0, "the image encoder limits"),
        (85.0, 95.0, "the voices limit"),
        (90.0, 90.5, "both ends limit alike"),
    ],
)
def test_the_end_whose_perfection_would_raise_the_ceiling_more_limits(
    images: float, voices: float, words: str
) -> None:
    both = Ceiling(80, 80)

    said = advice(Ceilings(both, Ceiling(images, images), Ceiling(voices, voices), both))

    assert said.startswith(words)
    assert "\n" not in said


def test_the_command_prints_accuracies_ceiling_and_advice(
    separable_features: Path, tmp_path: Path
) -> None:
    out = tmp_path / "probe"

    shown = succeeded(
        ivr("probe", separable_features, "--folds", "2", "--jobs", "1", "--out", out)
    ).stdout

    lines = shown.splitlines()
    assert lines[2].split() == ["percent", "items", "accuracy", "±", "folds", "per", "class",
                                "majority", "1", "/", "C"]  # fmt: skip
    assert lines[3].split() == ["images", "48", "100.0", "0.0", "100.0", "33.3", "33.3"]
    assert lines[4].split() == ["voices", "48", "100.0", "0.0", "100.0", "33.3", "33.3"]
    assert lines[-1].startswith("neither end limits")
    (ceiling,) = (line.split()[-2:] for line in lines if "by probability" in line)
    assert f"a run well below {ceiling[0]} / {ceiling[1]} mAP" in lines[-1]
    assert {file.state for file in verify(out).files} == {"whole"}
    assert sorted(path.name for path in out.iterdir()) == [
        "confusion.csv",
        "confusion.png",
        "confusion_images.csv",
        "confusion_voices.csv",
        "digests.json",
        "probe.json",
        "probe.yaml",
    ]
    with (out / "confusion_images.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["class", "forest", "pond", "river"],
            ["forest", "16", "0", "0"],
            ["pond", "0", "16", "0"],
            ["river", "0", "0", "16"],
        ]
    assert json.loads((out / "probe.json").read_text())["images"]["accuracy"] == 100


def test_the_command_prints_what_the_function_returns_as_json(separable_features: Path) -> None:
    shown = succeeded(ivr("probe", separable_features, "--json", "--jobs", "1", "--seed", "2"))

    expected = probe(separable_features, jobs=1, seed=2).to_dict()

    assert json.loads(shown.stdout) == json.loads(json.dumps(expected))


def test_a_folder_without_features_is_one_line(tmp_path: Path) -> None:
    assert_one_line(ivr("probe", tmp_path), "no features here")
