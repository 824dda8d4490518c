"""What decides a run; imports no torch, so that the command line can read the defaults."""

from dataclasses import field
from typing import Literal

from pydantic import NonNegativeInt

from ivr.config import Share, config
from ivr.hashing.methods import method_entry, method_names
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.split_config import SplitConfig
from ivr.pipeline.runtime.config_options import configured

from .reporter_names import require_reporter

Voices = Literal["one", "all"]
BITS = (8, 16, 24, 32, 48, 64, 96, 128, 256, 512)


@config
class RunConfig:
    """What to train, and on which part of the data.

    Attributes:
        method: Hashing method: a name of :func:`ivr.hashing.methods.method_names` or
            ``module:Class``.
        bits: Length of the codes: 8, 16, 24, 32, 48, 64, 96, 128, 256 or 512.
        voices: Voices to train on: ``one`` per image, drawn by the seed as in DIVH, or ``all``.
        streams: Streams of the voice features that the voice network reads, e.g. mfcc, delta or
            delta-delta; by default all that the features have, or mfcc for ``dvan``, as in its
            paper.
        seed: Seed of the split, the drawn voices, the initial weights and the batches.
        split: Shares and seed of the split that is drawn if the manifest has none; its seed is
            ``seed``, unless it has one of its own.
        options: Options of the method, ``name=value`` each.
        training: How the method is trained.
        without_speakers: Speaker whose voices are neither trained on nor used to choose the model.
        without_classes: Class that is neither trained on nor used to choose the model.
        unseen_classes: Share of the classes, in [0, 1), that the seed draws and that are left out
            of training as well; unless it is 0, at least two classes are drawn.
        unseen_captions: Leave out of training every voice that speaks a sentence of the test split.
        augmented: Train also on the changed rows of the training voices (see ivr extract
            --augment).
        device: Device to train on: auto, cpu, cuda or cuda:N; auto takes cuda if there is one.
        report_to: Tracking server that is told of the epochs: ``mlflow``, or ``module:Class``.
    """

    method: str = "divh"
    bits: int = 64
    voices: Voices = "one"
    streams: tuple[str, ...] = ()
    seed: NonNegativeInt = 0
    split: SplitConfig = field(default_factory=SplitConfig)
    options: tuple[str, ...] = ()
    training: TrainConfig = field(default_factory=TrainConfig)
    without_speakers: tuple[str, ...] = ()
    without_classes: tuple[str, ...] = ()
    unseen_classes: Share = 0.0
    unseen_captions: bool = False
    augmented: bool = False
    device: str = "auto"
    report_to: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the choices."""
        self._check_method()
        for name in self.report_to:
            require_reporter(name)
        if self.bits not in BITS:
            raise ValueError(f"bits must be one of {', '.join(map(str, BITS))}, got {self.bits}")
        if len(set(self.streams)) < len(self.streams):
            raise ValueError(f"streams must be given once each, got {','.join(self.streams)}")

    @property
    def seeded_split(self) -> SplitConfig:
        """The split with its seed: that of the run, unless it has one of its own."""
        return self.split.seeded(self.seed)

    def _check_method(self) -> None:
        """Check the method, its options and its training; imports torch only where it must."""
        if self.method in method_names() and not self.options and self.training == TrainConfig():
            return
        entry = method_entry(self.method)
        configured(entry.config, self.options)
        if not entry.trained and self.training != TrainConfig():
            raise ValueError(f"{self.method} is not trained in steps: leave out how to train")
        if self.training.pairing == "class" and entry.build.needs_own_pairs:
            raise ValueError(
                f"{self.method} learns which voice belongs to which image: it takes pairing own"
            )
