import pytest

from ivr.pipeline.datasets.canonical_names import caption_key


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
