from collections import Counter

import pytest

from ivr.names import UnknownNameError
from ivr.pipeline.datasets.manifest import Item, Manifest, ManifestError, ManifestRow
from ivr.pipeline.datasets.split_config import CUTS, SplitConfig, splits_of_cut
from ivr.pipeline.datasets.splits import complete_splits, draw_splits


def item(name: str, label: str, group: str = "", split: str = "") -> Item:
    return Item(name, name, label, split, group or name, "", "")


def images(label: str, count: int) -> list[Item]:
    return [item(f"{label}_{number}.tif", label) for number in range(count)]


def sides(splits: dict[str, str], label: str) -> Counter[str]:
    return Counter(split for name, split in splits.items() if name.startswith(label))


def test_a_split_without_a_seed_is_drawn_with_seed_0_each_time() -> None:
    items = images("a", 20) + images("b", 20)
    assert draw_splits(items, SplitConfig()) == draw_splits(items, SplitConfig(seed=0))


def test_every_class_is_cut_72_8_20_by_default() -> None:
    splits = draw_splits(images("beach", 100) + images("river", 50), SplitConfig())
    assert sides(splits, "beach") == {"train": 72, "val": 8, "test": 20}
    assert sides(splits, "river") == {"train": 36, "val": 4, "test": 10}


def test_the_cut_80_10_10_gives_ten_and_ten_of_a_hundred() -> None:
    splits = draw_splits(images("a", 100) + images("b", 100), splits_of_cut("80/10/10", 3))
    assert sides(splits, "a") == {"train": 80, "val": 10, "test": 10}


def test_the_cut_80_20_is_the_default_and_takes_the_seed() -> None:
    assert splits_of_cut("80/20", 7) == SplitConfig(seed=7)
    assert CUTS["80/20"].seed is None


def test_an_unknown_cut_is_named_with_those_there_are() -> None:
    with pytest.raises(UnknownNameError, match="no cut '70/30'; did you mean 80/20"):
        splits_of_cut("70/30", 0)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (1, {"train": 1}),
        (2, {"train": 1, "test": 1}),
        (3, {"train": 2, "test": 1}),
        (4, {"train": 2, "val": 1, "test": 1}),
        (8, {"train": 5, "val": 1, "test": 2}),
    ],
)
def test_a_small_class_has_one_group_on_each_side_that_it_can_fill(
    count: int, expected: dict[str, int]
) -> None:
    splits = draw_splits(images("small", count) + images("large", 50), SplitConfig())
    assert sides(splits, "small") == expected


def test_no_validation_is_drawn_where_its_share_is_0() -> None:
    splits = draw_splits(images("a", 20) + images("b", 20), SplitConfig(val=0))
    assert set(splits.values()) == {"train", "test"}


def test_the_order_of_rows_does_not_change_the_draw() -> None:
    items = images("a", 30) + images("b", 30)
    assert draw_splits(items, SplitConfig()) == draw_splits(items[::-1], SplitConfig())


def test_the_same_seed_draws_the_same_and_another_seed_another() -> None:
    items = images("a", 30) + images("b", 30)
    assert draw_splits(items, SplitConfig(seed=1)) == draw_splits(items, SplitConfig(seed=1))
    assert draw_splits(items, SplitConfig(seed=1)) != draw_splits(items, SplitConfig(seed=2))


def test_the_draw_is_not_the_alphabetical_head_of_each_class() -> None:
    splits = draw_splits(images("a", 30) + images("b", 30), SplitConfig())
    first = sorted(name for name in splits if name.startswith("a"))[:6]
    assert [splits[name] for name in first] != ["test"] * 6


def test_items_of_one_group_are_drawn_once() -> None:
    tiles = [item(f"a{n}.tif", "a", group=f"scene{n // 4}") for n in range(40)]
    splits = draw_splits(tiles + images("b", 10), SplitConfig())
    assert sides(splits, "scene") == {"train": 7, "val": 1, "test": 2}


def test_a_group_with_two_labels_counts_as_its_most_frequent_one() -> None:
    mixed = [item("m1", "a", "scene"), item("m2", "b", "scene"), item("m3", "b", "scene")]
    one_each = [item("a1", "a"), item("b1", "b")]
    splits = draw_splits(mixed + one_each, SplitConfig())
    # a is left with a single group, which trains; b has two groups, one on each side.
    assert splits["a1"] == "train"
    assert {splits["scene"], splits["b1"]} == {"train", "test"}


def test_unlabelled_items_get_no_split() -> None:
    splits = draw_splits([*images("a", 5), *images("b", 5), item("new.tif", "")], SplitConfig())
    assert splits["new.tif"] == ""


def test_one_class_is_refused() -> None:
    with pytest.raises(ManifestError, match="'beach' is the only class"):
        draw_splits(images("beach", 9), SplitConfig())


def test_no_label_at_all_is_refused() -> None:
    with pytest.raises(ManifestError, match="no item has a label"):
        draw_splits(images("", 9), SplitConfig())


def test_classes_of_one_group_each_leave_nothing_to_test_on() -> None:
    with pytest.raises(ManifestError, match="none is left to test on"):
        draw_splits(images("a", 1) + images("b", 1), SplitConfig())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"test": 0.0}, "test"), ({"test": 1.0}, "test"), ({"val": 1.0}, "val"), ({"seed": -1}, "s")],
)
def test_shares_that_leave_a_side_empty_are_refused(
    arguments: dict[str, float], words: str
) -> None:
    with pytest.raises(ValueError, match=f"{words}.* got"):
        SplitConfig(**arguments)  # type: ignore[arg-type]


def manifest(*rows: tuple[str, str, str, str]) -> Manifest:
    return Manifest(tuple(ManifestRow(*row) for row in rows))


def numbered(label: str, count: int, split: str) -> list[tuple[str, str, str, str]]:
    names = [f"{label}_{split}{number}" for number in range(count)]
    return [(f"{name}.tif", f"{name}.wav", label, split) for name in names]


def test_a_voice_is_on_the_side_of_its_image() -> None:
    rows = [
        (f"{label}{n}.tif", f"{label}{n}S{k}.wav", label, "")
        for label in "ab"
        for n in range(10)
        for k in range(5)
    ]
    splits = complete_splits(manifest(*rows), SplitConfig())
    assert len(splits) == 20 + 100
    for image, voice, *_ in rows:
        assert splits[voice] == splits[image] != ""


def test_splits_of_the_manifest_are_kept_as_they_are() -> None:
    rows = [
        row
        for label in "ab"
        for split, count in (("train", 3), ("val", 2), ("test", 1))
        for row in numbered(label, count, split)
    ]
    splits = complete_splits(manifest(*rows), SplitConfig())
    for image, voice, _, split in rows:
        assert splits[image] == splits[voice] == split


def test_validation_is_cut_from_train_and_never_from_test() -> None:
    rows = [
        row
        for label in "ab"
        for split, count in (("train", 20), ("test", 20))
        for row in numbered(label, count, split)
    ]
    splits = complete_splits(manifest(*rows), SplitConfig())
    for label in "ab":
        assert sides(splits, f"{label}_train") == {"train": 2 * 18, "val": 2 * 2}
        assert sides(splits, f"{label}_test") == {"test": 2 * 20}


def test_rows_without_a_split_are_drawn_beside_those_with_one() -> None:
    rows = numbered("a", 4, "train") + numbered("a", 4, "test") + numbered("b", 10, "")
    splits = complete_splits(manifest(*rows), SplitConfig(val=0))
    assert sides(splits, "a_train") == {"train": 8}
    assert sides(splits, "b_") == {"train": 2 * 8, "test": 2 * 2}


def test_a_row_without_a_split_follows_its_group() -> None:
    rows = (
        ManifestRow("a.tif", "", "a", "test", group="scene"),
        ManifestRow("a2.tif", "", "a", "", group="scene"),
        ManifestRow("b.tif", "", "b", "train"),
    )
    assert complete_splits(Manifest(rows), SplitConfig())["a2.tif"] == "test"


def test_an_unlabelled_image_stays_out() -> None:
    rows = [*numbered("a", 5, ""), *numbered("b", 5, ""), ("new.tif", "", "", "")]
    assert complete_splits(manifest(*rows), SplitConfig())["new.tif"] == ""


def test_an_unlabelled_image_stays_out_also_in_the_group_of_a_labelled_one() -> None:
    rows = [
        ManifestRow(f"{label}{n}.tif", "", label, group=f"{label}{n}")
        for label in "ab"
        for n in "12"
    ]
    rows.append(ManifestRow("new.tif", "", "", group="a1"))
    splits = complete_splits(Manifest(tuple(rows)), SplitConfig())
    assert splits["new.tif"] == ""
    assert splits["a1.tif"] != ""


def test_a_group_on_two_sides_is_refused() -> None:
    rows = (
        ManifestRow("a.tif", "", "a", "test", group="scene"),
        ManifestRow("b.tif", "", "b", "train", group="scene"),
    )
    with pytest.raises(ManifestError, match="group scene is in test and in train"):
        complete_splits(Manifest(rows), SplitConfig())


def test_a_manifest_without_a_test_side_is_refused() -> None:
    rows = numbered("a", 4, "train") + numbered("b", 4, "val")
    with pytest.raises(ManifestError, match="no item is in split test"):
        complete_splits(manifest(*rows), SplitConfig())


def test_one_class_is_refused_also_where_splits_are_given() -> None:
    rows = numbered("a", 4, "train") + numbered("a", 4, "test")
    with pytest.raises(ManifestError, match="'a' is the only class"):
        complete_splits(manifest(*rows), SplitConfig())


def test_one_name_for_an_image_and_a_voice_of_two_sides_is_refused() -> None:
    rows = [("x", "v1", "a", "train"), ("y", "x", "b", "test")]
    with pytest.raises(ManifestError, match="x names an image and a voice on two sides"):
        complete_splits(manifest(*rows), SplitConfig(val=0))
