import pytest

from ivr.pipeline.datasets.canonical_names import (
    as_spelled,
    canonical_key,
    caption_key,
    find_spellings,
)


@pytest.mark.parametrize(
    "caption", ["ship dock", "Ship, dock.", " ship  dock ", "ship-dock!", '"Ship"; dock']
)
def test_case_punctuation_and_spaces_do_not_make_another_caption_key(caption: str) -> None:
    assert caption_key(caption) == "ship dock"


@pytest.mark.parametrize("caption", ["shipdock", "dock ship", "ships dock", ""])
def test_other_words_are_another_caption_key(caption: str) -> None:
    assert caption_key(caption) != "ship dock"


@pytest.mark.parametrize("caption", ["", " ", ".", " - "])
def test_a_caption_without_a_word_is_no_caption_key(caption: str) -> None:
    assert caption_key(caption) == ""


@pytest.mark.parametrize(
    "names",
    [
        ("1", "1.0", "01", "+1", "1.", "\uff11", "1,0", "\u0661"),
        ("-1", "\u22121", "-1.0", "-01"),
        ("0", "-0", "0.0", "00"),
        ("2.5", "2.50", "02.5"),
        ("beach", "Beach", "BEACH ", "\ufeffbeach", "be\u00adach", "beach\u200b", "\uff42each"),
        ("Z\u00fcrich", "Zu\u0308rich", "Z\u00dcRICH"),
        ("stra\u00dfe", "STRASSE"),
        ("golf course", "golf_course", "Golf-Course", "golf \u2013 course", "golf\u00a0course"),
        ("O'Brien", "O\u2019Brien"),
    ],
)
def test_spellings_of_one_name_have_one_key(names: tuple[str, ...]) -> None:
    assert len(set(map(canonical_key, names))) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1", "-1"),
        ("1", "10"),
        ("1", "1.1"),
        ("1", "1,000"),
        ("1e3", "1000"),
        ("A", "A-"),
        ("A-", "A+"),
        ("tile_1_2", "tile_12"),
        ("zurich", "Z\u00fcrich"),
        ("beach", "beaches"),
        ("12345678901234567890123456789012", "12345678901234567890123456789013"),
    ],
)
def test_other_names_have_other_keys(one: str, other: str) -> None:
    assert canonical_key(one) != canonical_key(other)


@pytest.mark.parametrize("name", ["", " ", "\u200b", "\ufeff\u00ad"])
def test_a_name_without_a_visible_character_has_no_key(name: str) -> None:
    assert canonical_key(name) == ""


@pytest.mark.parametrize(
    ("counts", "kept"),
    [
        ({"Beach": 9, "beach": 1}, "beach"),
        ({"BEACH": 2, "Beach": 3}, "Beach"),
        ({"Zu\u0308rich": 5, "Z\u00fcrich": 1}, "Z\u00fcrich"),
        ({"1.0": 5, "01": 5, "1": 1}, "1"),
        ({"B-C": 1, "B-c": 1}, "B-C"),
    ],
)
def test_the_plainest_spelling_is_kept(counts: dict[str, int], kept: str) -> None:
    assert [one.kept for one in find_spellings("label", counts)] == [kept]


def test_names_of_the_user_are_found_in_the_spelling_of_the_data() -> None:
    assert as_spelled(["SLT", "1.0", "new"], ["slt", "1", "kal"]) == {"slt", "1", "new"}


def test_composed_and_decomposed_captions_are_one_sentence() -> None:
    assert caption_key("Zu\u0308rich lake\u200bside") == caption_key("z\u00fcrich, lakeside!")
