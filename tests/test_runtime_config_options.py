import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from ivr.config import config
from ivr.features.mfcc import VoiceConfig
from ivr.hashing.methods import method_entry, method_names
from ivr.hashing.methods.divh import DIVHConfig
from ivr.hashing.network_config import NetworkConfig
from ivr.hashing.networks import Sizes
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.runtime.config_options import (
    OptionError,
    StoredConfigError,
    configured,
    describe,
    from_json,
    with_options,
)


@config
class Inner:
    """Sizes that belong together.

    Attributes:
        channels: one number a layer.
        stride: one number a layer.
    """

    channels: tuple[int, ...] = (4, 4)
    stride: tuple[int, ...] = (1, 2)

    def __post_init__(self) -> None:
        if len(self.channels) != len(self.stride):
            raise ValueError(f"one number a layer each, got {self.channels} and {self.stride}")


@config
class Choices:
    """One field of every type.

    Attributes:
        count: how many,
            on two lines.
        weight: how much: with a colon.
        name: what it is called.
        fast: whether to hurry.
        limit: at most, or None.
        shape: round or square.
        words: some words.
        inner: sizes.
    """

    count: int = 3
    weight: float = 0.5
    name: str = "plain"
    fast: bool = False
    limit: float | None = None
    shape: Literal["round", "square"] = "round"
    words: tuple[str, ...] = ("a", "b")
    inner: Inner = field(default_factory=Inner)


@pytest.mark.parametrize(
    ("setting", "name", "value"),
    [
        ("count=-7", "count", -7),
        (" count = 7 ", "count", 7),
        ("weight=1e-3", "weight", 0.001),
        ("weight=2", "weight", 2.0),
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("fast=TRUE", "fast", True),
        ("fast=false", "fast", False),
        ("limit=0.25", "limit", 0.25),
        ("limit=none", "limit", None),
        ("limit=", "limit", None),
        ("shape=square", "shape", "square"),
        ("words=x, y ,z", "words", ("x", "y", "z")),
    ],
)
def test_a_setting_is_read_as_the_type_of_its_field(setting: str, name: str, value: Any) -> None:
    found = getattr(configured(Choices, [setting]), name)
    assert found == value
    assert type(found) is type(value)


def test_what_is_not_set_keeps_its_default() -> None:
    assert configured(Choices, []) == Choices()
    assert configured(Choices, ["weight=9"]) == Choices(weight=9.0)


def test_two_values_for_one_name_are_refused() -> None:
    with pytest.raises(OptionError, match="count is given twice, as 1 and as 2; give one"):
        configured(Choices, ["count=1", "weight=9", "count = 2"])


def test_a_field_of_a_field_is_reached_with_a_dot() -> None:
    found = configured(Choices, ["inner.channels=8,16"])
    assert found.inner == Inner(channels=(8, 16))


def test_settings_that_hold_only_together_can_be_given_in_any_order() -> None:
    expected = Choices(inner=Inner((8, 8, 8), (1, 1, 1)))
    settings = ["inner.channels=8,8,8", "inner.stride=1,1,1"]
    assert configured(Choices, settings) == expected
    assert configured(Choices, settings[::-1]) == expected


def test_the_layers_of_the_voice_network_can_be_changed_in_number() -> None:
    settings = ["network.voice_channels=64,128", "network.voice_stride=4,2"]
    network = configured(DIVHConfig, settings).network
    assert (network.voice_channels, network.voice_stride) == ((64, 128), (4, 2))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("count", "'count' is not of the form NAME=VALUE"),
        ("count=two", "count must be of type int, got 'two'"),
        ("count=2.5", "count must be of type int, got '2.5'"),
        ("weight=much", "weight must be of type float, got 'much'"),
        ("limit=much", "limit must be of type float, got 'much'"),
        ("fast=maybe", "fast must be true or false, got 'maybe'"),
        ("shape=oval", "shape must be round or square, got 'oval'"),
        ("inner.stride=1,x", "inner.stride must be of type int, got 'x'"),
        ("inner.stride=1", r"one number a layer each, got \(4, 4\) and \(1,\)"),
        ("cuont=1", "no option 'cuont'; did you mean count"),
        ("inner.chanels=1", r"no option 'inner.chanels'; did you mean inner.channels"),
        ("channels=1", "no option 'channels'; did you mean inner.channels"),
        ("zzzzzz=1", "no option 'zzzzzz'; there are count, weight, .*inner.stride"),
        ("inner=1", "no option 'inner'"),
        ("count.deep=1", "no option 'count.deep'"),
        ("=1", "no option ''; there are count"),
        ("__doc__=1", "no option '__doc__'"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_with_what_can(setting: str, words: str) -> None:
    with pytest.raises(OptionError, match=words) as caught:
        configured(Choices, [setting])
    assert "\n" not in str(caught.value)


def test_describe_gives_name_default_and_text_of_every_field_in_order() -> None:
    assert describe(Choices) == [
        ("count", "3", "how many, on two lines."),
        ("weight", "0.5", "how much: with a colon."),
        ("name", "plain", "what it is called."),
        ("fast", "false", "whether to hurry."),
        ("limit", "None", "at most, or None."),
        ("shape", "round", "round or square."),
        ("words", "a,b", "some words."),
        ("inner.channels", "4,4", "one number a layer."),
        ("inner.stride", "1,2", "one number a layer."),
    ]


def test_describe_reads_docstrings_without_their_indent_as_python_3_13_gives_them() -> None:
    plain = type("Plain", (), {})
    plain.__annotations__ = {"count": int}
    plain.count = 1  # type: ignore[attr-defined]
    plain.__doc__ = "Title.\n\nAttributes:\n    count: how many,\n        on two lines.\n"
    assert describe(dataclass(plain)) == [("count", "1", "how many, on two lines.")]


@pytest.mark.parametrize(
    "kind",
    [
        *(method_entry(name).config for name in method_names()),
        NetworkConfig,
        TrainConfig,
        VoiceConfig,
    ],
)
def test_every_option_of_the_product_has_a_text_and_takes_its_own_default(kind: type[Any]) -> None:
    rows = describe(kind)
    assert rows
    for name, default, text in rows:
        assert text.endswith("."), name
        assert configured(kind, [f"{name}={default}"]) == kind()


def test_what_json_keeps_of_a_config_gives_the_config_back() -> None:
    config = Choices(count=9, limit=0.5, words=("x",), inner=Inner((1,), (2,)))
    assert from_json(Choices, json.loads(json.dumps(asdict(config)))) == config


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"colour": 1}, "Choices cannot be read: no option 'colour'; there are count"),
        ({"inner": {"kernel": 1}}, "no option 'inner.kernel'; there are channels, stride"),
        ({"inner": 5}, "inner must be options of Inner by name, got 5"),
        ({"inner": {"stride": [1]}}, "Choices cannot be read: one number a layer each"),
    ],
)
def test_json_that_is_no_config_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(StoredConfigError, match=words):
        from_json(Choices, values)


def test_json_that_lacks_what_has_no_default_is_refused() -> None:
    with pytest.raises(StoredConfigError, match=r"Sizes cannot be read: classes is missing"):
        from_json(Sizes, {"image_dim": 1, "voice_shape": [1, 1, 1], "bits": 8})


def test_options_by_keyword_reach_nested_configs() -> None:
    config = with_options(Choices(weight=2.0), {"count": 5, "channels": (1, 2), "stride": (1, 1)})

    assert config == Choices(count=5, weight=2.0, inner=Inner(channels=(1, 2), stride=(1, 1)))


def test_an_outer_option_goes_before_a_nested_one_of_the_same_name() -> None:
    @dataclass(frozen=True)
    class Outer:
        inner: Inner = field(default_factory=Inner)
        stride: int = 0

    assert with_options(Outer(), {"stride": 3}) == Outer(stride=3)


def test_options_by_keyword_that_do_not_exist_or_are_refused_say_so() -> None:
    with pytest.raises(OptionError, match=r"no option .chanels.; did you mean channels\?"):
        with_options(Choices(), {"chanels": (1,)})
    with pytest.raises(OptionError, match="one number a layer each"):
        with_options(Choices(), {"channels": (1, 2, 3)})
