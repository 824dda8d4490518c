import numpy as np
import pytest
from scipy import stats

from ivr.hashing import bootstrap
from ivr.hashing.bootstrap import paired_bootstrap


def plain_loop(
    differences: np.ndarray, units: np.ndarray, rng: np.random.Generator, resamples: int
) -> tuple[float, float, float]:
    """Interval and p of one column, drawn unit after unit."""
    total, means = units.max() + 1, []
    for _ in range(resamples):
        rows = [row for unit in rng.integers(total, size=total)
                for row in np.flatnonzero(units == unit)]  # fmt: skip
        means.append(sum(differences[row] for row in rows) / len(rows))
    below, above = sum(m <= 0 for m in means), sum(m >= 0 for m in means)
    p = min(1.0, 2 * (1 + min(below, above)) / (1 + resamples))
    return float(np.quantile(means, 0.025)), float(np.quantile(means, 0.975)), p


@pytest.mark.parametrize("cells", [1, 100, 1 << 22])
def test_it_is_a_plain_loop_over_resamples_whatever_fits_into_memory(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr(bootstrap, "CELLS", cells)
    rng = np.random.default_rng(0)
    units = np.array([0, 1, 1, 2, 3, 4, 4, 4, 5, 6])
    differences = rng.normal(0.2, 1, (10, 3))
    found = paired_bootstrap(differences, units, np.random.default_rng(7), 200)
    for column, ours in zip(differences.T, found, strict=True):
        low, high, p = plain_loop(column, units, np.random.default_rng(7), 200)
        assert (ours.low, ours.high, ours.p) == pytest.approx((low, high, p))
        assert ours.mean == pytest.approx(column.mean())


def test_the_interval_of_many_normal_differences_is_that_of_students_t() -> None:
    values = np.random.default_rng(1).normal(0.02, 0.3, 2000)
    (found,) = paired_bootstrap(values[:, None], np.arange(2000), np.random.default_rng(0))
    student = stats.ttest_1samp(values, 0)
    interval = student.confidence_interval()
    assert (found.low, found.high) == pytest.approx((interval.low, interval.high), abs=1e-3)
    assert found.p == pytest.approx(student.pvalue, abs=0.02)


def test_rows_of_one_unit_are_no_independent_witnesses() -> None:
    values = np.random.default_rng(2).normal(0, 1, 30)
    (once,) = paired_bootstrap(values[:, None], np.arange(30), np.random.default_rng(0))
    five = np.repeat(values, 5)[:, None]
    (together,) = paired_bootstrap(five, np.repeat(np.arange(30), 5), np.random.default_rng(0))
    (apart,) = paired_bootstrap(five, np.arange(150), np.random.default_rng(0))
    assert together.high - together.low == pytest.approx(once.high - once.low)
    assert apart.high - apart.low < 0.6 * (once.high - once.low)


def test_no_difference_has_p_one_and_a_difference_everywhere_the_least_p_there_is() -> None:
    columns = np.stack([np.zeros(8), np.ones(8)], axis=1)
    nothing, everywhere = paired_bootstrap(columns, np.arange(8), np.random.default_rng(0), 999)
    assert (nothing.mean, nothing.low, nothing.high, nothing.p) == (0, 0, 0, 1)
    assert (everywhere.mean, everywhere.low, everywhere.high) == (1, 1, 1)
    assert everywhere.p == pytest.approx(2 / 1000)


def test_the_same_seed_gives_the_same_interval() -> None:
    values = np.random.default_rng(3).normal(0, 1, (40, 1))
    first, again, other = (
        paired_bootstrap(values, np.arange(40), np.random.default_rng(seed), 500)
        for seed in (0, 0, 1)
    )
    assert first == again != other


@pytest.mark.parametrize("units", [[0, 2], [0], [0, 1, 2]])
def test_units_that_do_not_fit_the_rows_are_refused(units: list[int]) -> None:
    with pytest.raises(ValueError, match="units without gaps"):
        paired_bootstrap(np.zeros((2, 1)), np.array(units), np.random.default_rng(0))
