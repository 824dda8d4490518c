from ivr.pipeline.datasets.split_config import SplitConfig
from ivr.pipeline.evaluation.probe_config import ProbeConfig
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runtime.config_options import with_options


def test_the_seed_of_a_run_is_the_seed_of_its_split_however_it_is_given() -> None:
    assert RunConfig(seed=3).seeded_split == SplitConfig(seed=3)
    assert with_options(RunConfig(), {"seed": 3}).seeded_split == SplitConfig(seed=3)
    own_shares = RunConfig(seed=3, split=SplitConfig(test=0.3))
    assert with_options(own_shares, {"seed": 4}).seeded_split == SplitConfig(test=0.3, seed=4)


def test_a_split_that_is_given_a_seed_keeps_it() -> None:
    split = SplitConfig(test=0.1, seed=7)
    assert RunConfig(seed=2, split=split).seeded_split == split
    assert with_options(RunConfig(split=split), {"seed": 3}).seeded_split == split
    assert RunConfig(seed=2, split=SplitConfig(seed=0)).seeded_split.seed == 0


def test_a_probe_draws_the_split_of_training_with_the_same_seed() -> None:
    chosen = ProbeConfig(seed=3, split=SplitConfig(test=0.3))
    assert chosen.split.seeded(chosen.seed) == SplitConfig(test=0.3, seed=3)
