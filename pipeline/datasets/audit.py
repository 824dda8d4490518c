"""An audit of a manifest and its files: faults, leaks between the splits, and chance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ivr.features.mfcc import VoiceConfig
from ivr.pipeline.runtime.config_options import with_options

from .audit_result import Audit, Durations
from .audited_files import items_by_digest, read_image_files, read_voice_files
from .chance import chance_of_test_split
from .check_config import CheckConfig
from .file_findings import file_findings, find_cut_voices, find_near_images, seconds_kept
from .findings import (
    Finding,
    find_captions_of_several_classes,
    find_captions_on_two_sides,
    find_copies,
    find_groups_on_two_sides,
    find_labels,
    find_names_on_two_sides,
    find_spellings,
    find_unpaired,
    find_untrained_classes,
    problem,
)
from .manifest import SPLITS, Item, Manifest, ManifestError, read_manifest
from .public_datasets import known_dataset
from .severity import SEVERITIES
from .split_config import splits_of_cut
from .splits import complete_splits


def check(
    manifest: str | Path,
    config: CheckConfig | None = None,
    *,
    root: str | Path | None = None,
    image_root: str | Path | None = None,
    voice_root: str | Path | None = None,
    **options: Any,
) -> Audit:
    """Return the audit of a manifest: opens every file and reads every row.

    Leaks are looked for in the split that training uses: the split column of the manifest where it
    has one, and otherwise the split that training draws from the same shares and seed.

    Args:
        manifest: the manifest, CSV or Parquet.
        config: choices of the audit; None for the defaults.
        root: folder of images and voices; None for the folder of the manifest.
        image_root: folder of the images; None for ``root``.
        voice_root: folder of the voices; None for ``root``.
        options: fields of :class:`CheckConfig`, which override ``config``.

    Raises:
        ManifestError: the manifest cannot be read.
        OptionError: no such option.
    """
    chosen = with_options(config or CheckConfig(), options)
    beside = Path(root) if root is not None else Path(manifest).parent
    rows = read_manifest(manifest, accept_spellings=True)
    splits, audited, unsplit = _audited_split(rows, chosen)
    images = [replace(item, split=splits[item.name]) for item in rows.images()]
    voices = [replace(item, split=splits[item.name]) for item in rows.voices()]
    roots = Path(image_root or beside), Path(voice_root or beside)
    image_files = read_image_files(images, roots[0], chosen.jobs, chosen.pixels)
    voice_files = read_voice_files(voices, roots[1], chosen.jobs, chosen.voice)
    findings = [
        *file_findings(image_files, roots[0], "image"),
        *file_findings(voice_files, roots[1], "voice"),
        *find_cut_voices(voice_files, chosen.voice),
        *find_spellings(rows.merged, accepted=chosen.accept_spellings),
        *find_labels(images + voices),
        *unsplit,
        *find_unpaired(images, voices),
        *find_copies(items_by_digest(image_files), what="image"),
        *find_copies(items_by_digest(voice_files), what="voice"),
        *find_groups_on_two_sides(images + voices),
        *find_near_images(image_files),
        *find_names_on_two_sides(images),
        *find_untrained_classes(images or voices),
        *find_captions_of_several_classes(voices),
        *find_captions_on_two_sides(voices),
    ]
    labels = Counter(item.label for item in images or voices if item.label)
    return Audit(
        images=len(images),
        voices=len(voices),
        images_by_class=dict(sorted(labels.items())),
        dataset=known_dataset(labels),
        durations=_durations([f.seconds for f in voice_files if f.seconds], chosen.voice),
        chance=chance_of_test_split(images, voices),
        split=audited,
        images_by_split=_by_split(images),
        findings=tuple(sorted(findings, key=lambda one: SEVERITIES.index(one.severity))),
    )


def _audited_split(
    manifest: Manifest, config: CheckConfig
) -> tuple[dict[str, str], str, list[Finding]]:
    """Return the split of every item by name, its description, and why it cannot be completed."""
    items = manifest.images() + manifest.voices()
    given = {item.name: item.split for item in items}
    column = "column split of the manifest" if any(given.values()) else "none"
    if not any(item.label for item in items):
        return given, column, []
    try:
        splits = complete_splits(manifest, splits_of_cut(config.split, config.seed))
    except ManifestError as error:
        return given, column, [problem("no split", (), str(error))]
    drawn = f"drawn {config.split} with seed {config.seed}, as training draws it"
    if not any(given.values()):
        return splits, drawn, []
    if all(given[name] == split for name, split in splits.items()):
        return splits, column, []
    return splits, f"{column}, the rest {drawn}", []


def _by_split(images: Sequence[Item]) -> dict[str, int]:
    counts = Counter(image.split for image in images)
    return {split: counts[split] for split in SPLITS if counts[split]}


def _durations(seconds: Sequence[float], config: VoiceConfig) -> Durations | None:
    if not seconds:
        return None
    limit = seconds_kept(config)
    shortest, median, most, longest = np.percentile(seconds, (0, 50, 95, 100)).tolist()
    return Durations(
        shortest, median, most, longest, limit, sum(length > limit for length in seconds)
    )
