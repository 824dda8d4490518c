"""What an extraction would do; imports torch only for encoders that need it for their settings."""

from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.encoder_table import require_known
from ivr.pipeline.datasets.manifest import read_manifest
from ivr.pipeline.runtime.config_options import with_options

from .extract_config import ExtractConfig
from .extract_result import ExtractPlan, PlannedModality
from .feature_schema import held_tables
from .finished_rows import finished_rows, say_kept_changes
from .kept_manifest import require_place_of_manifest
from .other_settings import require_settings_of_each
from .target import Target, of_each_modality, roots_of, voice_target
from .vocabulary import planned_images, with_known_vocabulary


def plan(
    manifest: str | Path,
    out: str | Path,
    config: ExtractConfig | None = None,
    *,
    image_root: str | Path | None = None,
    voice_root: str | Path | None = None,
    root: str | Path | None = None,
    **options: Any,
) -> ExtractPlan:
    """Return what :func:`ivr.pipeline.extraction.extract.extract` would do with the same arguments.

    Writes nothing, and neither loads nor downloads weights.

    Raises:
        OptionError, EncoderError, ManifestError, WeightsError, StoreError, VocabularyError: see
            their modules.
        ExtractError: ``out`` holds features of other settings and ``overwrite`` is not set.
    """
    config = with_options(config or ExtractConfig(), options)
    require_known(config.image.encoder)
    path = Path(manifest)
    folder = config.shard.folder(Path(out)) if config.shard else Path(out)
    roots = roots_of(path, image_root, voice_root, root)
    content = read_manifest(path, accept_spellings=config.accept_spellings)
    require_place_of_manifest(folder, content, path)
    config = with_known_vocabulary(config, Path(out))
    images, voices = of_each_modality(content, folder, roots, config, planned_images, voice_target)
    require_settings_of_each((images, voices), Path(out), config)
    return ExtractPlan(
        _plan(images, config) if images else None, _plan(voices, config) if voices else None
    )


def _plan(target: Target, config: ExtractConfig) -> PlannedModality:
    _, finished = finished_rows(target, held_tables(target.path, target.kind))
    say_kept_changes(target, finished)
    done = len(finished.intersection(target.names)) if finished else 0
    size = len(target.names) * target.dim * np.dtype(target.config["settings"]["stored"]).itemsize
    return PlannedModality(target.path, len(target.names), done, size)
