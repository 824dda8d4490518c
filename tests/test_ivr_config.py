import dataclasses
import json
import pickle
from dataclasses import asdict, field, replace
from typing import Annotated, Literal

import pytest
from pydantic import Field, NonNegativeInt, PositiveFloat, PositiveInt

from ivr.config import OptionError, Share, choices_of, config, limits_text
from ivr.errors import IvrError


@config
class Layers:
    """Layers of a network.

    Attributes:
        widths: one number per layer.
    """

    widths: tuple[PositiveInt, ...] = (4,)


@config
class Choices:
    """One field of every kind of limit."""

    count: PositiveInt = 1
    seed: NonNegativeInt = 0
    scale: PositiveFloat = 1.0
    share: Share | None = None
    least: Annotated[int, Field(ge=8, multiple_of=8)] = 8
    fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    shape: Literal["round", "square"] = "round"
    mode: Literal["a", "b", "c"] | None = None
    fast: bool = False
    layers: Layers = field(default_factory=Layers)

    def __post_init__(self) -> None:
        if self.fast and self.count > 5:
            raise ValueError(f"fast takes at most 5, got {self.count}")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"count": 1.5}, "count must be of type int, got 1.5"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"scale": 0.0}, "scale must be above 0, got 0.0"),
        ({"scale": float("nan")}, "scale must be a finite number, got nan"),
        ({"scale": "big"}, "scale must be of type float, got 'big'"),
        ({"share": 1.0}, "share must be in [0, 1), got 1.0"),
        ({"least": 12}, "least must be a multiple of 8 and at least 8, got 12"),
        ({"fraction": 0.0}, "fraction must be in (0, 1], got 0.0"),
        ({"shape": "oval"}, "shape must be round or square, got 'oval'"),
        ({"mode": "d"}, "mode must be one of a, b, c, got 'd'"),
        ({"fast": "maybe"}, "fast must be true or false, got 'maybe'"),
        ({"fast": True, "count": 6}, "fast takes at most 5, got 6"),
        ({"layers": {"widths": [4, 0]}}, "layers.widths must be at least 1, got 0"),
        ({"layers": {"width": [4]}}, "no option 'layers.width'; there are widths"),
        ({"layers": 3}, "layers must be options of Layers by name, got 3"),
        ({"sead": 3}, "no option 'sead'; did you mean seed?"),
    ],
)
def test_a_value_that_a_config_refuses_is_one_line(values: dict[str, object], words: str) -> None:
    with pytest.raises(OptionError) as caught:
        Choices(**values)  # type: ignore[arg-type]
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, IvrError)


def test_a_change_of_a_config_is_checked_too() -> None:
    with pytest.raises(OptionError, match="count must be at least 1, got 0"):
        replace(Choices(), count=0)


def test_json_of_a_config_makes_the_config_again() -> None:
    made = Choices(count=3, share=0.25, layers=Layers((8, 16)))
    assert Choices(**json.loads(json.dumps(asdict(made)))) == made


def test_a_config_is_frozen_hashable_and_survives_pickle() -> None:
    made = Choices(layers=Layers((8, 16)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        made.count = 3  # type: ignore[misc]
    assert hash(made) == hash(Choices(layers=Layers((8, 16))))
    assert pickle.loads(pickle.dumps(made)) == made


def test_limits_and_choices_of_a_field_can_be_read() -> None:
    assert limits_text(Share | None) == "in [0, 1)"
    assert limits_text(int) == ""
    assert choices_of(Literal["a", "b"] | None) == ("a", "b")
    assert choices_of(float) == ()
