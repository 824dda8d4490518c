import pytest

from ivr.errors import IvrError
from ivr.names import UnknownNameError, suggestion, unknown


def test_a_name_that_is_close_to_others_is_answered_with_them() -> None:
    assert suggestion("dvih", ["csq", "divh", "lsh"]) == "did you mean divh?"
    assert suggestion("resnet5", ["resnet50", "resnet152", "vgg16"]).startswith(
        "did you mean resnet50 or resnet152?"
    )


def test_a_name_that_is_close_to_none_is_answered_with_the_first_ones() -> None:
    assert suggestion("svm", ["csq", "lsh"]) == "there are csq, lsh"
    many = suggestion("", map(str, range(30)))
    assert many.startswith("there are 0, 1, ") and many.endswith(", 19 and 10 more")


def test_the_error_is_one_line_that_says_what_else_can_be_given() -> None:
    error = unknown("method", "dvih", ["divh"], "or module:Class")
    assert str(error) == "no method 'dvih'; did you mean divh? (or module:Class)"
    with pytest.raises(IvrError):
        raise error
    assert isinstance(error, UnknownNameError)
