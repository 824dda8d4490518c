"""The main job on the demonstration set: what a person does with data of their own, in one call."""

from pathlib import Path

from ivr.features.image_config import ImageConfig
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.train import remove_run, train_run
from ivr.pipeline.runtime.progress import say

from .demo_config import DemoConfig
from .demo_set import write_demo_set

# Random weights need no network, and drawings differ enough for them: a demonstration of the work,
# not of the retrieval that weights trained on ImageNet give.
ENCODER = ImageConfig("alexnet", "random")
TRAINING = TrainConfig(epochs=120, batch_size=32, validate_every=10)


def run_demo(folder: Path, config: DemoConfig) -> str:
    """Draw, speak, extract, train and evaluate below ``folder``; return the table of metrics.

    A second call draws and extracts nothing again, but trains anew.

    Raises:
        DemoError, SpeechError, ExtractError, RunError: see their modules.
    """
    say(f"drawing and speaking {config.classes} classes of {config.images_per_class} images")
    manifest = write_demo_set(folder / "set", config)
    say("extracting features: AlexNet with random weights (nothing is downloaded), and MFCC")
    extract(manifest, folder / "features", ExtractConfig(image=ENCODER))
    say("training DIVH, 64 bits, on all voices")
    remove_run(folder / "run")
    train_run(folder / "features", folder / "run", RunConfig(voices="all", training=TRAINING))
    return repr(evaluate(folder / "run"))
