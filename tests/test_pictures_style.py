"""The style of the pictures: colours under simulated colour blindness, line styles, markers, text.

Colour blindness is simulated with the matrices of Machado, Oliveira and Fernandes, "A
Physiologically-based Model for Simulation of Color Vision Deficiency", IEEE Transactions on
Visualization and Computer Graphics 15(6), 2009, for full severity, on linear RGB; grey keeps the
luminance alone. Distances are those of CIELAB (1976), where about 2.3 can just be seen.
"""

import itertools

import matplotlib
import numpy as np
import pytest
from matplotlib.colors import to_hex

from ivr.pipeline.pictures.confusion import ClassConfusion, draw_confusion
from ivr.pipeline.pictures.style import (
    DARK,
    DISTINCT,
    LIGHT,
    THEMES,
    Theme,
    line_style,
    marker_places,
    new_figure,
    shown_text,
    styled,
    text_colour,
)

LUMINANCE = np.array([0.2126729, 0.7151522, 0.0721750])
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array([
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ]),
    "deuteranopia": np.array([
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ]),
    "tritanopia": np.array([
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ]),
    "grey": np.tile(LUMINANCE, (3, 1)),
}  # fmt: skip
XYZ = np.array([
    [0.4124564, 0.3575761, 0.1804375], LUMINANCE, [0.0193339, 0.1191920, 0.9503041],
])  # fmt: skip


def linear(colour: str) -> np.ndarray:
    """Return the linear RGB of sRGB ``#rrggbb``."""
    channels = np.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    low = channels <= 0.04045
    return np.where(low, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """Return the CIELAB of linear RGB under the white of sRGB."""
    t = (XYZ @ np.clip(rgb, 0, 1)) / (XYZ @ np.ones(3))
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def seen_distance(one: str, other: str, sight: str) -> float:
    seen = [lab(SIGHT[sight] @ linear(colour)) for colour in (one, other)]
    return float(np.linalg.norm(seen[0] - seen[1]))


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of WCAG 2, 1 to 21."""
    dark, light = sorted(float(LUMINANCE @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def looks(number: int) -> tuple[str, str]:
    """Return line style and marker: what is left of a line without its colour."""
    style = line_style(number)
    return str(style["linestyle"]), style["marker"]


def test_red_and_green_are_one_colour_to_the_simulation_and_black_and_white_are_not() -> None:
    # Of equal luminance to normal eyes: the simulation has to take their difference away.
    assert seen_distance("#c04000", "#5f6a00", "normal") > 40
    assert seen_distance("#c04000", "#5f6a00", "protanopia") < 25
    for sight in SIGHT:
        assert seen_distance("#000000", "#ffffff", sight) == pytest.approx(100, abs=1)


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
@pytest.mark.parametrize("sight", [sight for sight in SIGHT if sight != "grey"])
def test_the_colours_of_lines_stay_apart_for_every_kind_of_eye(theme: Theme, sight: str) -> None:
    pairs = itertools.combinations(theme.lines, 2)
    nearest = min(pairs, key=lambda pair: seen_distance(*pair, sight))
    assert seen_distance(*nearest, sight) > 12, nearest


@pytest.mark.parametrize("sight", SIGHT)
def test_lines_with_one_look_have_colours_that_stay_apart_even_in_grey(sight: str) -> None:
    for one, other in itertools.combinations(range(2 * DISTINCT), 2):
        if looks(one) == looks(other):
            colours = line_style(one)["color"], line_style(other)["color"]
            assert seen_distance(*colours, sight) > 2.3, (one, other, *colours)


def test_no_line_is_known_by_its_colour_alone() -> None:
    assert len({looks(number) for number in range(DISTINCT)}) == DISTINCT
    # Two that follow each other differ in both.
    for number in range(DISTINCT - 1):
        assert all(a != b for a, b in zip(looks(number), looks(number + 1), strict=True))


@pytest.mark.parametrize("theme", THEMES.values(), ids=lambda theme: theme.name)
def test_text_guides_and_the_first_lines_stand_out_from_the_background(theme: Theme) -> None:
    assert contrast(theme.ink, theme.paper) > 7
    assert contrast(theme.guide, theme.paper) > 4.5
    assert all(contrast(colour, theme.paper) > 3 for colour in theme.lines[:4])
    assert contrast(theme.out_of_reach, theme.paper) < 1.5


def test_the_style_is_left_as_it_was() -> None:
    before = dict(matplotlib.rcParams)
    with styled(THEMES["dark"]):
        assert matplotlib.rcParams["svg.fonttype"] == "none"
        assert matplotlib.rcParams["text.color"] == THEMES["dark"].ink
    assert dict(matplotlib.rcParams) == before


def test_settings_of_a_user_do_not_reach_the_files() -> None:
    with matplotlib.rc_context({"lines.linewidth": 20, "axes.titlesize": 40}), styled(LIGHT):
        assert matplotlib.rcParams["lines.linewidth"] == 1.5
        assert matplotlib.rcParams["axes.titlesize"] == 9.5


def test_markers_of_lines_that_coincide_lie_on_different_points() -> None:
    assert set(marker_places(0, 200)).isdisjoint(marker_places(1, 200))
    for points in (1, 2, 7, 200):
        for number in range(18):
            places = marker_places(number, points, 18)
            assert places
            assert max(places) < points


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb", r"a\nb"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("x" * 300, "x" * 27 + "…"),
        ("<b>&", "<b>&"),
    ],
)
def test_names_are_on_one_line_and_short_and_show_what_acts(text: str, shown: str) -> None:
    assert shown_text(text) == shown


def test_a_new_sheet_belongs_to_no_window() -> None:
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    new_figure(2, 1)
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=lambda theme: theme.name)
def test_every_number_of_a_confusion_stands_out_from_its_square(theme: Theme) -> None:
    shares = np.linspace(1, 100, 100).reshape(10, 10)
    names = tuple("abcdefghij")
    chance = np.full(10, 10.0)
    shown = ClassConfusion("voices", names, shares, np.ones(10), None, chance, nearest=10)
    with styled(theme):
        axes = new_figure(4, 4).subplots()
        image = draw_confusion(axes, shown, theme)
    assert len(axes.texts) == 110
    for text in axes.texts:
        column, row = text.get_position()
        ground = image.to_rgba(np.append(shares, [chance], axis=0)[int(row), int(column)])
        assert contrast(str(text.get_color()), to_hex(ground)) >= 4.5
    assert text_colour(1, 1, 1) == "#000000"
    assert text_colour(0, 0, 0) == "#ffffff"
