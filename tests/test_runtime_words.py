import pytest

from ivr.pipeline.runtime.words import counted


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [
        (1, "problem", "1 problem"),
        (0, "problem", "0 problems"),
        (2, "class", "2 classes"),
        (1, "query", "1 query"),
        (3, "query", "3 queries"),
    ],
)
def test_a_noun_is_in_the_plural_unless_its_number_is_one(
    number: int, noun: str, text: str
) -> None:
    assert counted(number, noun) == text
