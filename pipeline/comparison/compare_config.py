"""Choices of ``ivr compare``; the command line reads them, so this module imports no torch."""

from pathlib import Path

from pydantic import NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.pipeline.datasets.split_config import Cut
from ivr.pipeline.runs.run_config import Voices


@config
class CompareConfig:
    """Choices of ``ivr compare``.

    Attributes:
        preset: Table to make, a name of :func:`ivr.pipeline.comparison.declaration.preset_names`;
            by default ``compare``.
        grid: YAML file that declares a table, in place of a preset.
        methods: Names of the methods to compare, or ``all``; by default those of the preset.
        variants: Rows to compare in place of methods, each ``LABEL`` or ``LABEL: NAME=VALUE, ...``
            with options as in ``set``; without a method those of the one in ``methods``, else of
            divh.
        sweep: Option and its values, ``divh.gamma=0.01,0.1,1``, as rows in place of methods; two of
            them give all combinations.
        bits: Lengths of the codes.
        seeds: Number of seeds, counted from ``first_seed``.
        first_seed: First seed, so that several calls can divide the seeds.
        streams: Voice streams to compare, each ``mfcc``, ``delta``, ``delta-delta`` or several of
            them separated by commas; ``each`` stands for the three streams and their stack. By
            default those of the preset, else all that the features have, or for ``dvan`` mfcc.
        voices: Voices to train on: ``one`` per image, drawn by the seed, or ``all``.
        protocol: Protocol of the evaluation; by default that of the preset.
        split: Shares of the split if the manifest has none; by default those of the protocol.
        set: Settings of one method, ``divh.gamma=0.5``, or of the training of all methods,
            ``training.epochs=30``.
        epochs: Number of epochs of all methods that are trained in steps; short for the setting
            ``training.epochs``.
        data: Name of the data set in titles; by default that of a public data set, else of the
            folder of the features, or of the folder above one that is called ``features``.
        columns: Columns of the table, names of metrics, e.g. ``mAP``, ``H@1``, or ``difference``;
            by default those of the preset.
        name: Name of the files of the table and of its label in LaTeX; by default that of the
            preset or of the grid. A table does not replace another one that shows more.
        reference: Row that the others are compared with, or ``best``; by default the first one of
            variants or a sweep, and the best one of methods.
        jobs: Number of runs at once; 0 for one per core.
        threads: Threads of each run. Results depend on it in their last digits; they do not depend
            on ``jobs``.
        device: Device to train on: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        report_to: Tracking server that is told of the epochs of each run: ``mlflow``, or
            ``module:Class``.
    """

    preset: str | None = None
    grid: Path | None = None
    methods: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    sweep: tuple[str, ...] = ()
    bits: tuple[int, ...] = (64,)
    seeds: PositiveInt = 5
    first_seed: NonNegativeInt = 0
    streams: tuple[str, ...] = ()
    voices: tuple[Voices, ...] = ("one",)
    protocol: str | None = None
    split: Cut | None = None
    set: tuple[str, ...] = ()
    epochs: int | None = None
    data: str | None = None
    columns: tuple[str, ...] = ()
    name: str | None = None
    reference: str | None = None
    jobs: NonNegativeInt = 1
    threads: PositiveInt = 1
    device: str = "auto"
    report_to: tuple[str, ...] = ()
