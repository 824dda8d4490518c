import os
from collections.abc import Callable
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from ivr.pipeline.datasets.audit import Audit, check
from ivr.pipeline.datasets.audit_result import SHOWN
from ivr.pipeline.datasets.chance import expected_map
from ivr.pipeline.datasets.check_config import CheckConfig
from ivr.pipeline.datasets.findings import original_stem
from ivr.pipeline.datasets.manifest import Manifest, ManifestError, ManifestRow, write_manifest
from ivr.pipeline.datasets.split_config import SplitConfig
from ivr.pipeline.datasets.splits import complete_splits

RATE = 16_000

REMEDY = "remove the copies, or give them one group in the manifest"


def write_image(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, format="PNG")


def write_voice(path: Path, seed: int, seconds: float = 0.1, peak: float = 0.5) -> None:
    samples = np.random.default_rng(seed).uniform(-1, 1, round(seconds * RATE))
    samples[0] = 1
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples * peak, RATE, subtype="FLOAT", format="WAV")


def audit(root: Path, rows: list[ManifestRow]) -> Audit:
    """Return the audit of ``rows`` with a file of its own for every name that has none yet."""
    for number, row in enumerate(rows):
        if row.image and not os.path.lexists(root / row.image):
            write_image(root / row.image, number)
        if row.voice and not os.path.lexists(root / row.voice):
            write_voice(root / row.voice, number)
    write_manifest(root / "manifest.csv", Manifest(tuple(rows)))
    return check(root / "manifest.csv", CheckConfig(jobs=2))


def two_classes(each: int = 5) -> list[ManifestRow]:
    return [
        ManifestRow(f"{label}{number}.png", f"{label}{number}.wav", label)
        for label in ("pond", "river")
        for number in range(each)
    ]


def with_splits(rows: list[ManifestRow]) -> list[ManifestRow]:
    """The last item of each class is tested, the one before it validates, the others train."""
    by_label = {row.label: [other for other in rows if other.label == row.label] for row in rows}
    return [
        replace(row, split=split)
        for members in by_label.values()
        for row, split in zip(
            members, [*["train"] * (len(members) - 2), "val", "test"], strict=True
        )
    ]


def of_kind(found: Audit, kind: str) -> list[str]:
    return [finding.text for finding in found.findings if finding.kind == kind]


def test_a_set_without_fault_has_no_findings(tmp_path: Path) -> None:
    found = audit(tmp_path, two_classes())
    assert found.findings == ()
    assert (found.images, found.voices) == (10, 10)
    assert found.images_by_class == {"pond": 5, "river": 5}


def test_missing_files_are_problems(tmp_path: Path) -> None:
    rows = two_classes()
    audit(tmp_path, rows)
    (tmp_path / "pond0.png").unlink()
    (tmp_path / "river1.wav").unlink()
    found = check(tmp_path / "manifest.csv")
    assert of_kind(found, "missing") == ["pond0.png", "river1.wav"]
    assert len(found.problems()) == 2


def test_a_folder_in_place_of_a_file_is_missing(tmp_path: Path) -> None:
    (tmp_path / "pond0.png").mkdir()
    assert of_kind(audit(tmp_path, two_classes()), "missing") == ["pond0.png"]


def test_unreadable_files_are_problems_with_their_reason(tmp_path: Path) -> None:
    (tmp_path / "pond0.png").write_bytes(b"no image")
    (tmp_path / "pond0.wav").write_bytes(b"")
    found = audit(tmp_path, two_classes())
    assert of_kind(found, "unreadable") == [
        "pond0.png: not a JPEG, PNG, TIFF or JPEG 2000 image",
        "pond0.wav: empty file",
    ]
    assert len(found.problems()) == 2


def test_a_link_out_of_the_root_is_a_problem_and_is_not_opened(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    write_image(tmp_path / "secret.png", 99)
    (root / "pond0.png").symlink_to(tmp_path / "secret.png")
    (text,) = of_kind(audit(root, two_classes()), "outside the root")
    assert text.startswith("pond0.png: leads out of")


@pytest.mark.parametrize(("peak", "silent"), [(0.0009, True), (0.0011, False), (0.0, True)])
def test_a_voice_below_60_db_is_silent(tmp_path: Path, peak: float, silent: bool) -> None:
    # 10^(-60/20) = 0.001 of full scale.
    write_voice(tmp_path / "pond0.wav", 5, peak=peak)
    found = audit(tmp_path, two_classes())
    assert bool(of_kind(found, "silent")) == silent
    assert bool(found.problems()) == silent


def test_the_loudness_of_a_silent_voice_is_given(tmp_path: Path) -> None:
    write_voice(tmp_path / "pond0.wav", 5, peak=0.0001)
    write_voice(tmp_path / "pond1.wav", 6, peak=0.0)
    found = audit(tmp_path, two_classes())
    assert of_kind(found, "silent") == [
        "pond0.wav: -80 dBFS at its peak",
        "pond1.wav: zeros only",
    ]


def test_what_is_odd_about_a_voice_is_found_with_its_severity(tmp_path: Path) -> None:
    tone = 0.5 * np.sin(np.arange(2 * RATE) / 10)
    late = np.concatenate([np.zeros(6 * RATE), tone])
    voices = {
        "opposite-channels": np.stack([tone, -tone], 1),
        "beyond-one": 30_000 * tone,
        "constant": 0 * tone + 0.25,
        "late-speech": late,
    }
    for number, samples in enumerate(voices.values()):
        soundfile.write(tmp_path / f"pond{number}.wav", samples, RATE, subtype="FLOAT")
    found = audit(tmp_path, two_classes())
    odd = {one.kind: (one.severity, one.items) for one in found.findings}
    assert odd.pop("voice is cut") == ("warning", ("pond3.wav",))
    assert odd == {
        "opposite-channels": ("warning", ("pond0.wav",)),
        "beyond-one": ("problem", ("pond1.wav",)),
        "constant": ("problem", ("pond2.wav",)),
        "late-speech": ("problem", ("pond3.wav",)),
    }


def test_copies_of_an_image_are_a_warning(tmp_path: Path) -> None:
    write_image(tmp_path / "pond0.png", 77)
    write_image(tmp_path / "pond2.png", 77)
    found = audit(tmp_path, with_splits(two_classes()))
    assert of_kind(found, "image copied, not in one group") == [f"pond0.png = pond2.png; {REMEDY}"]
    assert found.problems() == ()


def test_copies_in_one_group_are_as_they_should_be(tmp_path: Path) -> None:
    write_image(tmp_path / "a.png", 77)
    write_image(tmp_path / "b.png", 77)
    rows = [
        ManifestRow("a.png", "a.wav", "pond", group="g"),
        ManifestRow("b.png", "b.wav", "pond", group="g"),
    ]
    assert audit(tmp_path, rows + two_classes()).findings == ()


def test_copies_of_an_image_with_two_labels_are_a_problem(tmp_path: Path) -> None:
    write_image(tmp_path / "pond0.png", 77)
    write_image(tmp_path / "river0.png", 77)
    found = audit(tmp_path, with_splits(two_classes()))
    assert of_kind(found, "copies with two labels") == [
        "pond0.png = river0.png: 'pond' and 'river'; keep one of them"
    ]
    assert len(found.problems()) == 1


def test_one_recording_for_two_classes_is_a_warning(tmp_path: Path) -> None:
    write_voice(tmp_path / "pond0.wav", 77)
    write_voice(tmp_path / "river0.wav", 77)
    found = audit(tmp_path, with_splits(two_classes()))
    assert of_kind(found, "voice copied, not in one group") == [f"pond0.wav = river0.wav; {REMEDY}"]
    assert found.problems() == ()


def test_many_copies_are_counted_in_the_line_and_all_in_the_json(tmp_path: Path) -> None:
    for number in range(7):
        write_voice(tmp_path / f"pond{number}.wav", 77)
    found = audit(tmp_path, with_splits(two_classes(9)))
    (text,) = of_kind(found, "voice copied, not in one group")
    assert text == f"pond0.wav = pond1.wav = pond2.wav = pond3.wav = 3 more; {REMEDY}"
    (finding,) = found.to_dict()["findings"]
    assert finding["items"] == [f"pond{number}.wav" for number in range(7)]


def test_labels_that_differ_in_spelling_only_are_a_problem(tmp_path: Path) -> None:
    rows = [
        ManifestRow(f"{number}.png", f"{number}.wav", label)
        for number, label in enumerate(
            ("Runway", "runway", "golf course", "golf_course", "river") * 2
        )
    ]
    found = audit(tmp_path, rows)
    assert of_kind(found, "several spellings of one name") == [
        "label 'golf course' (2 rows) and 'golf_course' (2 rows)",
        "label 'Runway' (2 rows) and 'runway' (2 rows)",
    ]
    assert len(found.problems()) == 2
    assert found.images_by_class == {"golf course": 4, "runway": 4, "river": 2}


def test_labels_that_differ_in_spaces_only_are_a_warning(tmp_path: Path) -> None:
    rows = [
        ManifestRow(f"{number}.png", f"{number}.wav", label)
        for number, label in enumerate(("golf course", "golfcourse", "river") * 2)
    ]
    found = audit(tmp_path, rows)
    assert of_kind(found, "labels that differ in spaces") == ["'golf course' and 'golfcourse'"]
    assert found.problems() == ()


def test_an_item_without_a_label_is_a_warning(tmp_path: Path) -> None:
    found = audit(tmp_path, [*two_classes(), ManifestRow("new.png", "", "")])
    assert of_kind(found, "no label") == ["new.png"]
    assert found.problems() == ()


def test_a_class_of_one_image_is_a_warning(tmp_path: Path) -> None:
    found = audit(tmp_path, [*two_classes(), ManifestRow("x.png", "x.wav", "rare")])
    assert of_kind(found, "class of one group") == ["rare cannot be both trained and tested on"]
    assert found.problems() == ()


def test_one_class_alone_is_a_problem(tmp_path: Path) -> None:
    found = audit(tmp_path, two_classes()[:5])
    assert of_kind(found, "no split") == [
        "'pond' is the only class; training and testing need two or more"
    ]
    assert found.problems()
    assert found.chance is None


def test_images_without_voices_and_voices_without_images_are_warnings(tmp_path: Path) -> None:
    rows = [
        *two_classes(),
        ManifestRow("quiet.png", "", "pond"),
        ManifestRow("", "blind.wav", "pond"),
    ]
    found = audit(tmp_path, rows)
    assert of_kind(found, "image without a voice") == ["quiet.png"]
    assert of_kind(found, "voice without an image") == ["blind.wav"]
    assert found.problems() == ()


def split_rows() -> list[ManifestRow]:
    return [
        ManifestRow(f"{label}-{split}.png", f"{label}-{split}.wav", label, split)
        for label in ("pond", "river")
        for split in ("train", "val", "test")
    ]


def test_a_clean_split_leaks_nothing(tmp_path: Path) -> None:
    assert audit(tmp_path, split_rows()).findings == ()


@pytest.mark.parametrize(("what", "write"), [("image", write_image), ("voice", write_voice)])
def test_the_same_bytes_on_two_sides_are_a_problem(
    tmp_path: Path, what: str, write: Callable[[Path, int], None]
) -> None:
    suffix = "png" if what == "image" else "wav"
    write(tmp_path / f"pond-train.{suffix}", 77)
    write(tmp_path / f"pond-test.{suffix}", 77)
    found = audit(tmp_path, split_rows())
    assert of_kind(found, f"{what} on two sides") == [
        f"pond-train.{suffix} (train) = pond-test.{suffix} (test) (same bytes); {REMEDY}"
    ]
    assert len(found.problems()) == 1


def test_a_group_on_two_sides_is_a_problem(tmp_path: Path) -> None:
    rows = [
        ManifestRow("a.png", "", "pond", "train", group="scene"),
        ManifestRow("b.png", "", "pond", "test", group="scene"),
    ]
    found = audit(tmp_path, split_rows() + rows)
    assert of_kind(found, "group on two sides") == ["scene: a.png (train) = b.png (test)"]
    assert found.problems()


@pytest.mark.parametrize(
    "copy",
    [
        "more/lake12.png",
        "lake12_rot90.png",
        "lake12-flip.png",
        "lake12 (1).png",
        "lake12_aug_3.png",
    ],
)
def test_a_name_that_says_copy_on_the_other_side_is_a_warning(tmp_path: Path, copy: str) -> None:
    rows = [ManifestRow("lake12.png", "", "pond", "train"), ManifestRow(copy, "", "pond", "test")]
    found = audit(tmp_path, split_rows() + rows)
    assert of_kind(found, "name on two sides") == [f"lake12.png (train) = {copy} (test)"]
    assert found.problems() == ()


@pytest.mark.parametrize(
    ("name", "label", "split"),
    [
        ("lake13.png", "pond", "test"),
        ("lake12_2.png", "pond", "test"),
        ("more/lake12.png", "river", "test"),
        ("lake12_rot90.png", "pond", "train"),
    ],
)
def test_other_names_and_copies_on_the_same_side_are_none(
    tmp_path: Path, name: str, label: str, split: str
) -> None:
    rows = [ManifestRow("lake12.png", "", "pond", "train"), ManifestRow(name, "", label, split)]
    assert of_kind(audit(tmp_path, split_rows() + rows), "name on two sides") == []


def test_the_share_of_test_sentences_heard_in_training_is_a_warning(tmp_path: Path) -> None:
    said = {
        "train": ["a pond", "a river", "trees"],
        "val": ["a boat"],
        "test": ["A  pond, .", "a pond", "a boat", "roads"],
    }
    rows = [
        ManifestRow(
            f"{split}{n}.png", f"{split}{n}.wav", ("pond", "river")[n % 2], split, caption=caption
        )
        for split, captions in said.items()
        for n, caption in enumerate(captions)
    ]
    found = audit(tmp_path, rows)
    assert of_kind(found, "captions on two sides") == [
        "2 of 4 test sentences (50.0%) are also spoken in training"
    ]
    assert found.problems() == ()


def of_one_caption(each: int) -> list[ManifestRow]:
    """Two classes without a split; all voices speak one sentence, punctuated in two ways."""
    return [
        replace(row, caption="ships, docks" if number % 2 else "Ships docks.")
        for number, row in enumerate(two_classes(each))
    ]


def test_captions_are_audited_in_the_split_that_training_draws(tmp_path: Path) -> None:
    rows = of_one_caption(5)
    found = audit(tmp_path, rows)
    drawn = complete_splits(Manifest(tuple(rows)), SplitConfig())
    tested = sum(drawn[row.voice] == "test" for row in rows)
    assert of_kind(found, "captions on two sides") == [
        f"{tested} of {tested} test sentences (100.0%) are also spoken in training"
    ]


def test_copies_are_audited_in_the_split_that_training_draws(tmp_path: Path) -> None:
    # Whatever is drawn, of five copies one is tested and three train.
    for number in range(5):
        write_image(tmp_path / f"pond{number}.png", 77)
        write_voice(tmp_path / f"river{number}.wav", 78)
    found = audit(tmp_path, two_classes())
    for kind in ("image on two sides", "voice on two sides"):
        (text,) = of_kind(found, kind)
        assert "(train)" in text
    assert len(found.problems()) == 2


def test_names_are_audited_in_the_split_that_training_draws(tmp_path: Path) -> None:
    rows = [
        ManifestRow(f"{label}{end}.png", f"{label}{end}.wav", label)
        for label in ("pond", "river")
        for end in ("", "_rot90", "_rot180", "_flip", "_crop_2")
    ]
    assert len(of_kind(audit(tmp_path, rows), "name on two sides")) == 2


def test_groups_keep_a_drawn_split_clean(tmp_path: Path) -> None:
    rows = [replace(row, group=row.label + str(n % 5 // 2)) for n, row in enumerate(two_classes())]
    write_image(tmp_path / "pond0.png", 77)
    write_image(tmp_path / "pond1.png", 77)
    assert audit(tmp_path, rows).findings == ()


def test_the_split_that_is_audited_follows_seed_and_shares_and_is_named(tmp_path: Path) -> None:
    rows = two_classes(10)
    audit(tmp_path, rows)
    found = check(tmp_path / "manifest.csv", split="80/10/10", seed=7)
    assert found.split == "drawn 80/10/10 with seed 7, as training draws it"
    # A tenth of ten groups tests and a ninth of the other nine validates, in each class.
    assert found.images_by_split == {"train": 16, "val": 2, "test": 2}
    assert "images: train 16, val 2, test 2\n" in repr(found)


def test_a_split_column_without_validation_is_completed_as_training_completes_it(
    tmp_path: Path,
) -> None:
    rows = [
        replace(row, split="test" if number % 5 == 4 else "train")
        for number, row in enumerate(two_classes())
    ]
    found = audit(tmp_path, rows)
    assert found.split == (
        "column split of the manifest, the rest drawn 80/20 with seed 0, as training draws it"
    )
    assert found.images_by_split == {"train": 6, "val": 2, "test": 2}


@pytest.mark.parametrize(
    ("name", "original"),
    [
        ("field/harbor_rot90.png", "harbor"),
        ("lake12rot90.png", "lake12"),
        ("lake12_flip-crop_3 (2).png", "lake12"),
        ("carrot.png", "carrot"),
        ("carrot_rot90.png", "carrot"),
        ("bumpercrop.png", "bumpercrop"),
        ("crop.png", "crop"),
        ("_crop2.png", "_crop2"),
        (" (1).png", " (1)"),
    ],
)
def test_a_suffix_of_a_copy_follows_a_separator_or_a_digit(name: str, original: str) -> None:
    assert original_stem(name) == original


def test_names_that_are_nothing_but_a_suffix_are_different_images(tmp_path: Path) -> None:
    rows = [
        ManifestRow("crop.png", "", "pond", "train"),
        ManifestRow("rot90.png", "", "pond", "test"),
        ManifestRow("carrot.png", "", "pond", "train"),
        ManifestRow("car.png", "", "pond", "test"),
    ]
    assert of_kind(audit(tmp_path, split_rows() + rows), "name on two sides") == []


def test_durations_are_those_of_the_voices(tmp_path: Path) -> None:
    rows = two_classes(2)
    for row, seconds in zip(rows, (1.0, 2.0, 4.0, 6.0), strict=True):
        write_voice(tmp_path / row.voice, 1, seconds)
    durations = audit(tmp_path, rows).durations
    assert durations is not None
    assert (durations.minimum, durations.median, durations.maximum) == (1.0, 3.0, 6.0)
    # Linear between the third and the fourth: place 0.95 * 3 = 2.85.
    assert durations.percentile_95 == pytest.approx(4 + 0.85 * 2)


def test_voices_longer_than_the_five_seconds_kept_are_counted(tmp_path: Path) -> None:
    rows = two_classes(2)
    for row, seconds in zip(rows, (5.0, 5.01, 7.0, 1.0), strict=True):
        write_voice(tmp_path / row.voice, 1, seconds)
    durations = audit(tmp_path, rows).durations
    assert durations is not None
    assert (durations.limit, durations.longer) == (5.0, 2)


def test_no_voice_has_no_durations_and_no_chance(tmp_path: Path) -> None:
    found = audit(tmp_path, [ManifestRow(row.image, "", row.label) for row in two_classes()])
    assert found.durations is None
    assert found.chance is None


def test_chance_is_the_mean_average_precision_of_all_orders() -> None:
    # Six items of two classes, every order: 720 lists.
    labels = ["a", "a", "b", "b", "b", "b"]
    values: dict[str, list[float]] = {"a": [], "b": []}
    for order in permutations(labels):
        for query, kept in values.items():
            hits = [place for place, label in enumerate(order, 1) if label == query]
            kept.append(float(np.mean([n / place for n, place in enumerate(hits, 1)])))
    mean = 1 / 3 * np.mean(values["a"]) + 2 / 3 * np.mean(values["b"])
    assert expected_map({"a": 1, "b": 2}, {"a": 2, "b": 4}) == pytest.approx(mean, abs=1e-12)


def test_chance_on_the_test_split_of_uc_merced_is_6_percent() -> None:
    # The figure that stands beside the published ones: 21 classes of 20 tested images.
    sizes = {str(label): 20 for label in range(21)}
    assert round(100 * expected_map(sizes, sizes), 1) == 6.0


def test_chance_is_that_of_the_test_split_with_one_voice_per_image(tmp_path: Path) -> None:
    rows = [
        ManifestRow(f"{label}{n}.png", f"{label}{n}S{k}.wav", label, split)
        for label, tested in (("a", 2), ("b", 4))
        for n, split in enumerate(["train", "val", *["test"] * tested])
        for k in range(2)
    ]
    rows.append(ManifestRow("quiet.png", "", "a", "test"))
    chance = audit(tmp_path, rows).chance
    assert chance is not None
    # Images to be found: 3 of a, 4 of b; voices to be found: 2 of a, 4 of b, one an image.
    to_image = expected_map({"a": 2, "b": 4}, {"a": 3, "b": 4})
    to_voice = expected_map({"a": 3, "b": 4}, {"a": 2, "b": 4})
    assert (chance.image_to_voice, chance.voice_to_image) == (to_voice, to_image)


def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no such file"):
        check(str(tmp_path / "absent.csv"))


def test_findings_of_a_kind_are_cut_at_twenty_in_words_and_whole_in_json(tmp_path: Path) -> None:
    rows = [*two_classes(), *(ManifestRow(f"gone{n:02}.png", "", "pond") for n in range(SHOWN + 3))]
    audit(tmp_path, rows)
    for n in range(SHOWN + 3):
        (tmp_path / f"gone{n:02}.png").unlink()
    found = check(tmp_path / "manifest.csv")
    lines = [line for line in repr(found).splitlines() if "missing" in line]
    assert len(lines) == SHOWN + 1
    assert lines[0] == "problem: missing: gone00.png"
    assert lines[-1] == "problem: missing: and 3 more (--json has all)"
    findings = found.to_dict()["findings"]
    assert sum(finding["kind"] == "missing" for finding in findings) == SHOWN + 3


def test_problems_are_named_before_warnings(tmp_path: Path) -> None:
    (tmp_path / "pond0.png").mkdir()
    found = audit(tmp_path, [ManifestRow("quiet.png", "", "pond"), *two_classes()])
    assert [finding.severity for finding in found.findings] == ["problem", "warning"]


def test_the_words_give_counts_classes_and_durations(tmp_path: Path) -> None:
    sides = ("train", "train", "test")
    rows = [replace(r, split=side) for r, side in zip(two_classes(2)[:3], sides, strict=True)]
    for row in rows:
        write_voice(tmp_path / row.voice, len(row.voice), seconds=1.5 + ("river" in row.voice))
    # Written twice they would differ: libsndfile notes the second at which it wrote.
    (tmp_path / "pond1.wav").write_bytes((tmp_path / "pond0.wav").read_bytes())
    words = repr(audit(tmp_path, rows)).splitlines()
    assert words[:7] == [
        "images: 3",
        "voices: 3",
        "classes: 2",
        "  pond  ######################################## 2",
        "  river #################### 1",
        "seconds per voice: 1.50 to 2.50, median 1.50, 95 % below 2.40; "
        "0 longer than the 5 s that extract keeps",
        "audited split: column split of the manifest; images: train 2, test 1",
    ]
    assert words[-1] == "0 problems, 3 warnings"


def scene(seed: int, side: int = 64) -> Image.Image:
    """A smooth picture that no other seed resembles."""
    cells = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(cells).resize((side, side), Image.Resampling.BICUBIC)


@pytest.mark.parametrize("change", ["quality", "size", "brightness", "format"])
def test_an_image_that_only_looks_like_one_on_the_other_side_is_a_warning(
    tmp_path: Path, change: str
) -> None:
    picture = scene(1)
    picture.save(tmp_path / "pond-train.png")
    changed = {
        "quality": lambda path: picture.save(path, "JPEG", quality=60),
        "size": lambda path: picture.resize((40, 40)).save(path, "PNG"),
        "brightness": lambda path: picture.point(lambda value: value * 0.8).save(path, "PNG"),
        "format": lambda path: picture.save(path, "TIFF"),
    }
    changed[change](tmp_path / "pond-test.png")
    found = audit(tmp_path, split_rows())
    assert of_kind(found, "nearly the same image on two sides") == [
        "pond-test.png (test) = pond-train.png (train) (look the same)"
    ]
    assert found.problems() == ()


def test_other_images_and_images_of_one_side_do_not_look_the_same(tmp_path: Path) -> None:
    rows = split_rows()
    for number, row in enumerate(rows):
        scene(number).save(tmp_path / row.image)
    rows.append(ManifestRow("again.png", "", "pond", "train"))
    scene(0).resize((50, 50)).save(tmp_path / "again.png")  # as pond-train.png
    assert of_kind(audit(tmp_path, rows), "nearly the same image on two sides") == []


@pytest.mark.parametrize("noise", [0, 1])
def test_an_image_of_one_colour_is_a_problem(tmp_path: Path, noise: int) -> None:
    pixels = np.full((32, 32, 3), 7, np.uint8)
    pixels[::2] += np.uint8(noise)
    Image.fromarray(pixels).save(tmp_path / "pond0.png")
    found = audit(tmp_path, two_classes())
    assert [text.split(" (")[0] for text in of_kind(found, "blank")] == ["pond0.png: one colour"]
    assert len(found.problems()) == 1


def test_an_image_with_anything_on_it_is_not_blank(tmp_path: Path) -> None:
    pixels = np.full((32, 32, 3), 7, np.uint8)
    pixels[:8, :8, 0] = 20
    Image.fromarray(pixels).save(tmp_path / "pond0.png")
    assert of_kind(audit(tmp_path, two_classes()), "blank") == []


def test_a_caption_of_several_classes_is_a_warning(tmp_path: Path) -> None:
    rows = [
        replace(row, caption=("Blue water.", "blue WATER", "trees")[number % 3])
        for number, row in enumerate(two_classes())
    ]
    rows[5] = replace(rows[5], caption="only here")
    found = audit(tmp_path, with_splits(rows))
    assert of_kind(found, "caption of several classes") == [
        "2 of 3 captions, e.g. 'blue water': pond and river"
    ]
    assert found.problems() == ()


def test_a_class_that_is_tested_and_never_trained_is_a_warning(tmp_path: Path) -> None:
    rows = [*with_splits(two_classes()), ManifestRow("lake.png", "lake.wav", "lake", "test")]
    found = audit(tmp_path, rows)
    assert of_kind(found, "class never trained") == ["lake: 1 tested, none to train on"]
    assert found.problems() == ()


def test_voices_that_extract_cuts_are_one_warning_that_says_how_to_keep_them(
    tmp_path: Path,
) -> None:
    for name, seconds in (("pond0", 0.25), ("pond1", 0.2), ("pond2", 0.3)):
        write_voice(tmp_path / f"{name}.wav", 5, seconds)
    audit(tmp_path, two_classes())
    found = check(tmp_path / "manifest.csv", voice={"frames": 40})
    (text,) = of_kind(found, "voice is cut")
    assert text == (
        "2 of 10 voices are longer than the 0.2 s that extract keeps, e.g. pond2.wav (0.30 s); "
        "--voice-option frames=61 keeps all"
    )
    assert of_kind(check(tmp_path / "manifest.csv", voice={"frames": 61}), "voice is cut") == []


def test_a_voice_that_extract_skips_as_too_short_is_a_problem(tmp_path: Path) -> None:
    write_voice(tmp_path / "pond0.wav", 5, seconds=0.01)
    (text,) = of_kind(audit(tmp_path, two_classes()), "unreadable")
    assert text.startswith("pond0.wav: lasts 0.0100 s, at least 0.0400 s are needed")


def test_a_wrong_root_is_said_once_with_the_right_one(tmp_path: Path) -> None:
    audit(tmp_path, two_classes())
    for sub in ("wrong/deep", "media"):
        (tmp_path / sub).mkdir(parents=True)
    for path in tmp_path.glob("*.wav"):
        path.rename(tmp_path / "media" / path.name)
    found = check(tmp_path / "manifest.csv", image_root=tmp_path / "wrong")
    assert of_kind(found, "missing") == []
    assert of_kind(found, "wrong image root") == [
        f"none of 10 images is below {tmp_path}/wrong, e.g. pond0.png; give --image-root {tmp_path}"
    ]
    assert of_kind(found, "wrong voice root") == [
        f"none of 10 voices is below {tmp_path}, e.g. pond0.wav; give --voice-root {tmp_path}/media"
    ]
    assert len(found.problems()) == 2
    assert len(found.problems()[0].items) == 10
