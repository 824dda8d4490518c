"""What decides a run; imports no torch, so that the command line can read the defaults."""

from dataclasses import field
from typing import Literal

from pydantic import NonNegativeInt

from ivr.config import Share, config
from ivr.hashing.methods import method_entry, method_names
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.splits import SplitConfig
from ivr.pipeline.extraction.feature_dataset import STREAMS
from ivr.pipeline.runtime.config_options import configured

Voices = Literal["one", "all"]
BITS = (8, 16, 24, 32, 48, 64, 96, 128, 256, 512)


@config
class RunConfig:
    """What a run is.

    Attributes:
        method: a name of :func:`ivr.hashing.methods.method_names`, or ``module:Class``.
        bits: length of the codes.
        voices: one draws one voice an image by the seed, as DIVH does; all uses every voice.
        streams: which of MFCC, delta and delta-delta the voice end sees.
        seed: of the split, the drawn voices, the initial weights and the batches.
        split: shares and seed of the split, where the manifest leaves it open.
        options: of the method, ``name=value`` each.
        training: how it is trained.
        without_speakers: whose voices are neither trained on nor used to choose the model.
        without_classes: that are neither trained on nor used to choose the model.
        unseen_classes: share of the classes, in [0, 1), that the seed draws to be left out as well;
            two at least, so that one can be told from another, unless it is 0.
        unseen_captions: leave out of training every voice whose sentence the test split speaks.
        augmented: train on the changed rows of the training voices too (``ivr extract --augment``).
        device: auto takes cuda when there is one.
    """

    method: str = "divh"
    bits: int = 64
    voices: Voices = "one"
    streams: tuple[str, ...] = STREAMS
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

    def __post_init__(self) -> None:
        """Check the choices."""
        self._check_method()
        if self.bits not in BITS:
            raise ValueError(f"bits must be one of {', '.join(map(str, BITS))}, got {self.bits}")
        once = len(set(self.streams)) == len(self.streams)
        if not self.streams or not once or not set(self.streams) <= set(STREAMS):
            raise ValueError(
                f"streams must be of {', '.join(STREAMS)}, each once, got {','.join(self.streams)}"
            )

    def _check_method(self) -> None:
        """Check the method, its options and its training; imports torch only where it must."""
        if self.method in method_names() and not self.options and self.training == TrainConfig():
            return
        entry = method_entry(self.method)
        configured(entry.config, self.options)
        if not entry.trained and self.training != TrainConfig():
            raise ValueError(f"{self.method} is not trained in steps: leave out how to train")
