from ivr.pipeline.datasets.splits import SplitConfig
from ivr.pipeline.runs.run_config import RunConfig, with_run_options


def test_the_seed_of_a_call_is_the_seed_of_its_split() -> None:
    assert with_run_options(None, {"seed": 3}) == RunConfig(seed=3, split=SplitConfig(seed=3))
    base = RunConfig(bits=32, split=SplitConfig(test=0.3, seed=1))
    assert with_run_options(base, {"seed": "4"}).split == SplitConfig(test=0.3, seed=4)


def test_a_split_that_is_given_keeps_its_own_seed() -> None:
    split = SplitConfig(test=0.1, seed=7)
    assert with_run_options(None, {"seed": 3, "split": split}).split == split
    assert with_run_options(RunConfig(seed=2, split=split), {"bits": 16}).split == split
