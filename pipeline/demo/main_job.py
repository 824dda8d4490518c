"""``ivr demo``: draw, speak, extract, train, evaluate, search and report in one call."""

from pathlib import Path
from typing import Any

from ivr.features.image_config import ImageConfig
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.evaluation.evaluate import evaluate
from ivr.pipeline.evaluation.evaluation_result import EvaluationResult
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.train import replace_run
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.progress import say
from ivr.pipeline.runtime.words import counted

from .demo_archive import MODEL, TILES, search_demo_archive, write_demo_archive
from .demo_config import DemoConfig
from .demo_report import report_demo
from .demo_set import require_own_folder, write_demo_set

# Random weights need no download, and drawings differ enough for them. The result shows that the
# commands work, not how well weights trained on ImageNet retrieve.
ENCODER = ImageConfig("alexnet", "random")
SET, FEATURES, RUN = "set", "features", "run"
TRAINING = TrainConfig(epochs=120, batch_size=32, validate_every=10)


def demo(
    folder: str | Path = "demo", config: DemoConfig | None = None, **options: Any
) -> EvaluationResult:
    """Draw, speak, extract, train, evaluate, search and report; return the metrics.

    A second call uses the present drawings, voices and features, and trains again.

    Args:
        folder: folder of the set, its features, its run and its report.
        config: size and seed of the set; None for the defaults.
        options: fields of :class:`DemoConfig`, which override ``config``.

    Raises:
        DemoError: ``folder`` holds a set, features or a run that the demo did not make.
        SpeechError, ExtractError, RunError: see their modules.
        OptionError: no such option, or a value that is not possible.
    """
    folder, config = Path(folder), with_options(config or DemoConfig(), options)
    require_own_folder(folder, SET, (FEATURES, RUN, MODEL, TILES))
    size = counted(config.images_per_class, "image")
    say(f"drawing and speaking {counted(config.classes, 'class')} of {size}")
    manifest = write_demo_set(folder / SET, config)
    say(
        "no two voices are copies; sentences repeat, as in the public sets, so most of the test "
        "split are spoken in training too (ivr check warns of it)"
    )
    say("extracting features: AlexNet with random weights (nothing is downloaded), and MFCC")
    extract(manifest, folder / FEATURES, ExtractConfig(image=ENCODER, overwrite=True))
    say("training DIVH, 64 bits, on all voices")
    replace_run(folder / FEATURES, folder / RUN, RunConfig(voices="all", training=TRAINING))
    result = evaluate(folder / RUN)
    if write_demo_archive(folder, manifest, folder / RUN):
        search_demo_archive(folder, folder / RUN)
    report_demo(folder, folder / RUN, result.results)
    return result
