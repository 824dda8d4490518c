"""Choices of ``ivr compare``; the command line reads them, so this module imports no torch."""

from pydantic import NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.pipeline.datasets.split_config import Cut
from ivr.pipeline.runs.run_config import Voices


@config
class CompareConfig:
    """Choices of ``ivr compare``.

    Attributes:
        preset: Table to make, a name of :data:`ivr.pipeline.comparison.presets.PRESETS`.
        methods: Names of the methods to compare, or ``all``; by default those of the preset.
        bits: Lengths of the codes.
        seeds: Number of seeds, counted from ``first_seed``.
        first_seed: First seed, so that several calls can divide the seeds.
        streams: Voice streams to compare, each ``mfcc``, ``delta``, ``delta-delta`` or several of
            them separated by commas; ``each`` stands for the three streams and their stack. By
            default those of the preset.
        voices: Voices to train on: ``one`` per image, drawn by the seed, or ``all``.
        protocol: Protocol of the evaluation; by default that of the preset.
        split: Shares of the split if the manifest has none; by default those of the protocol.
        set: Settings of one method, ``divh.gamma=0.5``, or of the training of all methods,
            ``training.epochs=30``.
        epochs: Number of epochs of all methods that are trained in steps; short for the setting
            ``training.epochs``.
        metrics: Metrics to show, e.g. ``mAP``, ``H@1``; by default those of the preset.
        reference: Row that the others are compared with; by default the best one.
        jobs: Number of runs at once; 0 for one per core.
        threads: Threads of each run. Results depend on it in their last digits; they do not depend
            on ``jobs``.
        device: Device to train on: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    preset: str = "compare"
    methods: tuple[str, ...] = ()
    bits: tuple[int, ...] = (64,)
    seeds: PositiveInt = 5
    first_seed: NonNegativeInt = 0
    streams: tuple[str, ...] = ()
    voices: tuple[Voices, ...] = ("one",)
    protocol: str | None = None
    split: Cut | None = None
    set: tuple[str, ...] = ()
    epochs: int | None = None
    metrics: tuple[str, ...] = ()
    reference: str | None = None
    jobs: NonNegativeInt = 1
    threads: PositiveInt = 1
    device: str = "auto"
