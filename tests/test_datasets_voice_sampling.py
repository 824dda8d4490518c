from collections import Counter

import numpy as np

from ivr.pipeline.datasets.voice_sampling import one_voice_per_image

IMAGES = [f"{number // 5}.png" for number in range(50)]
NAMES = [f"{number // 5}S{number % 5}.wav" for number in range(50)]


def drawn(names: list[str], images: list[str], seed: int) -> set[str]:
    return {names[row] for row in one_voice_per_image(names, images, seed)}


def test_every_image_has_one_voice_and_it_is_its_own() -> None:
    rows = one_voice_per_image(NAMES, IMAGES, seed=3)
    assert [IMAGES[row] for row in rows] == sorted({*IMAGES})
    assert rows == sorted(rows)


def test_the_draw_does_not_depend_on_the_order_of_the_rows() -> None:
    expected = drawn(NAMES, IMAGES, seed=3)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(50)
        names, images = [NAMES[row] for row in order], [IMAGES[row] for row in order]
        assert drawn(names, images, seed=3) == expected


def test_another_seed_draws_other_voices() -> None:
    assert len({frozenset(drawn(NAMES, IMAGES, seed)) for seed in range(5)}) == 5


def test_every_voice_of_an_image_is_drawn_about_as_often() -> None:
    takes = Counter(
        name.removesuffix(".wav")[-1] for seed in range(200) for name in drawn(NAMES, IMAGES, seed)
    )
    # 2000 draws of five: five deviations are 5 sqrt(2000 x 0.2 x 0.8) = 89.
    assert len(takes) == 5
    assert all(abs(count - 400) < 89 for count in takes.values())


def test_voices_without_an_image_stand_for_themselves() -> None:
    assert one_voice_per_image(["a.wav", "b.wav", "c.wav"], ["", "", "x.png"], seed=0) == [0, 1, 2]


def test_no_voices_are_no_rows() -> None:
    assert one_voice_per_image([], [], seed=0) == []
