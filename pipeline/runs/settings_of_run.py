"""Features that a run can encode: those of the settings that it was trained on."""

from collections.abc import Mapping
from typing import Any

from ivr.features.image_file import READER
from ivr.pipeline.extraction.feature_dataset import FeatureDataset
from ivr.pipeline.extraction.feature_schema import NOT_RECORDED, different_settings

from .run_folder import RunError


def require_same_settings(config: Mapping[str, Any], data: FeatureDataset) -> None:
    """Refuse features that were made with other settings than those of the run.

    Args:
        config: config of a run.
        data: features to encode; for a run that was fitted on arrays their shape alone counts.

    Raises:
        RunError: they were.
    """
    settings_of = {"images": data.image_settings(), "voices": data.voice_settings()}
    for kind, settings in settings_of.items():
        trained_on = config["features"][kind]
        if settings and not trained_on:  # fitted on arrays: only the shape is known
            _require_same_shape(config["sizes"], data, kind)
            continue
        found = different_settings(trained_on, settings) if settings else []
        if found:
            name, before, now = found[0]
            advice = "extract with the run's settings"
            if kind == "images" and trained_on.get("reader") != READER:
                advice = (
                    "the features of the run come from another reader of images: "
                    "train a new run on these features, or encode those of the run"
                )
            raise RunError(
                f"{data.folder}: {kind} were made with {name} {now}, the run was trained on "
                f"{name + ' ' if before == NOT_RECORDED else ''}{before}; {advice}"
            )


def _require_same_shape(sizes: Mapping[str, Any], data: FeatureDataset, kind: str) -> None:
    if kind == "images":
        wanted, found = [sizes["image_dim"]], list(data.image_settings()["shape"])
    else:
        wanted, found = list(sizes["voice_shape"])[1:], list(data.voice_settings()["shape"])[1:]
    if wanted != found:
        raise RunError(
            f"{data.folder}: {kind} have the shape {found}, the model was fitted on {wanted}"
        )
