import dataclasses
import json
import pickle
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveFloat, PositiveInt

from ivr.config import OptionError, Share, choices_of, config, limits_text
from ivr.errors import IvrError
from ivr.pipeline.runtime.config_options import with_options


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
    views: Literal[1, 2, 4] = 1
    word: str = ""
    place: Path | None = None
    fast: bool = False
    layers: Layers = field(default_factory=Layers)

    def __post_init__(self) -> None:
        if self.fast and self.count > 5:
            raise ValueError(f"fast takes at most 5, got {self.count}")


@dataclasses.dataclass(frozen=True)
class Plain:
    """The config of a plug-in, which is no config of ours."""

    count: int = 1
    scale: float = 1.0
    share: Share | None = None
    fast: bool = False
    views: Literal[1, 2, 4] = 1
    word: str = ""
    place: Path | None = None
    layers: Layers = field(default_factory=Layers)


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


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"count": True}, "count must be of type int, got True"),
        ({"count": 2.0}, "count must be of type int, got 2.0"),
        ({"count": "2"}, "count must be of type int, got '2'"),
        ({"scale": "0.5"}, "scale must be of type float, got '0.5'"),
        ({"scale": True}, "scale must be of type float, got True"),
        ({"share": False}, "share must be of type float, got False"),
        ({"fast": 1}, "fast must be true or false, got 1"),
        ({"fast": "yes"}, "fast must be true or false, got 'yes'"),
        ({"views": True}, "views must be one of 1, 2, 4, got True"),
        ({"views": 2.0}, "views must be one of 1, 2, 4, got 2.0"),
        ({"word": b"a"}, "word must be of type str, got b'a'"),
        ({"place": 3}, "place must be of type Path, got 3"),
        ({"layers": {"widths": {8}}}, "layers.widths must be a list or a tuple, got {8}"),
        ({"layers": {"widths": "8"}}, "layers.widths must be a list or a tuple, got '8'"),
        ({"layers": {"widths": (True,)}}, "layers.widths must be of type int, got True"),
    ],
)
def test_a_value_of_another_type_is_refused_however_it_is_given(
    values: dict[str, object], words: str
) -> None:
    for make in (
        lambda: Choices(**values),  # type: ignore[arg-type]
        lambda: with_options(Choices(), values),
        lambda: with_options(Plain(), values),
    ):
        with pytest.raises(OptionError) as caught:
            make()
        assert str(caught.value) == words


def test_an_option_given_by_position_is_checked_too() -> None:
    with pytest.raises(OptionError, match=r"widths must be a list or a tuple, got \{8\}"):
        Layers({8})  # type: ignore[arg-type]


def test_a_field_with_a_validator_of_its_own_decides_what_it_takes() -> None:
    @config
    class Bands:
        """Bands of a picture."""

        bands: Annotated[tuple[str, ...], BeforeValidator(lambda text: text.split(","))] = ()

    assert Bands("3,2,1").bands == ("3", "2", "1")  # type: ignore[arg-type]


def test_numbers_of_numpy_and_whole_numbers_for_floats_are_taken() -> None:
    made = Choices(count=np.int64(3), scale=2, share=np.float32(0.5), layers=Layers([8]))  # type: ignore[arg-type]
    assert (made.count, made.scale, made.share) == (3, 2.0, 0.5)
    assert made.layers.widths == (8,)


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
