"""Features to an answer to the question what limits a result: images, voices or the method."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from joblib import cpu_count
from numpy.typing import NDArray

from ivr.errors import IvrError
from ivr.features.atomic_files import require_writable
from ivr.pipeline.datasets.manifest import Item, classes
from ivr.pipeline.datasets.splits import complete_splits
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, open_features
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.memory import room
from ivr.pipeline.runtime.progress import progress

from .linear_probe import group_folds, held_out_probabilities
from .probe_config import ProbeConfig
from .probe_report import write_probe
from .probe_result import Ceiling, Ceilings, ModalityProbe, ProbeResult
from .retrieval_ceiling import class_code_map, probability_map

VOICES_AT_ONCE = 256
COPIES = 4
"""Copies of its vectors that a job holds: training rows, standardised, projected, and held out."""
QUERIES = 2000
"""Most queries per direction that are ranked for a ceiling; of more, some are drawn."""
NEAR_PERFECT = 97.0
"""Ceiling, percent mAP, from which on neither end is worth changing."""
ALIKE = 1.0
"""Points of mAP that the two ends must differ by for one of them to be named."""


class ProbeError(IvrError):
    """Features that cannot be probed, in one line."""


@dataclass(frozen=True, eq=False)
class ClassifiedItems:
    """Items of one modality and what their classifiers make of them.

    Attributes:
        labels: classes [n].
        probabilities: probability of each class [n, classes], by a classifier that did not see the
            item.
        probe: accuracies and confusion.
    """

    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    probe: ModalityProbe

    def select(self, rows: NDArray[np.int64]) -> "ClassifiedItems":
        """Return the items in ``rows``; the accuracies stay those of all."""
        return ClassifiedItems(self.labels[rows], self.probabilities[rows], self.probe)

    def without_errors(self) -> "ClassifiedItems":
        """Return the items as if each classifier were certain of the right class."""
        certain = np.eye(self.probabilities.shape[1])[self.labels]
        return ClassifiedItems(self.labels, certain, self.probe)


def probe(
    features: str | Path,
    config: ProbeConfig | None = None,
    *,
    out: str | Path | None = None,
    **options: Any,
) -> ProbeResult:
    """Return how well cached vectors tell the classes apart, and the ceiling for mAP that follows.

    Each modality is classified by itself, by a linear classifier with cross-validation, on the
    training side alone: the images and voices that training with the same seed trains and validates
    on. Vectors of the test split are never read. A voice is summarised by the mean and deviation of
    every coefficient, over all its frames and over equal parts of them: the order of its sounds
    within a part is lost, so that a voice network may tell classes apart that the probe confuses.
    The models behind the ceiling are stated in :mod:`ivr.pipeline.evaluation.retrieval_ceiling`.

    Args:
        features: folder that ``ivr extract`` wrote.
        config: how to probe; None for the defaults.
        out: folder for ``probe.json``, the confusions as CSV and as a picture; None writes nothing.
        options: fields of :class:`ProbeConfig` by name, over ``config``.

    Raises:
        StoreError, ManifestError, OptionError: see their modules.
        UnwritableError: nothing can be written to ``out``.
        ProbeError: fewer than two classes or groups to tell apart.
    """
    chosen = with_options(config or ProbeConfig(), options)
    if out is not None:
        require_writable(Path(out))
    data = open_features(Path(features))
    splits = complete_splits(data.manifest, chosen.split.seeded(chosen.seed))
    images = _training_side(data.image_items(), splits)
    voices = _training_side(data.voice_items(), splits)
    names = classes([*images, *voices])
    if len(names) < 2:
        raise ProbeError(f"{features}: fewer than two classes on the training side to tell apart")
    image_end = _classified(data, images, "images", names, chosen) if images else None
    voice_end = _classified(data, voices, "voices", names, chosen) if voices else None
    ceilings = _ceilings(image_end, voice_end, chosen.seed) if image_end and voice_end else None
    result = ProbeResult(
        str(features),
        names,
        image_end.probe if image_end else None,
        voice_end.probe if voice_end else None,
        ceilings,
        advice(ceilings),
    )
    if out is not None:
        write_probe(Path(out), result)
    return result


def advice(ceilings: Ceilings | None) -> str:
    """Return which end limits the result, in one line."""
    if ceilings is None:
        return "one modality only: no ceiling for retrieval between images and voices"
    # In both directions, as the table above the advice has them.
    top, image_top, voice_top = (
        f"{ceiling.image_to_voice:.1f} / {ceiling.voice_to_image:.1f}"
        for ceiling in (ceilings.by_probability, ceilings.perfect_images, ceilings.perfect_voices)
    )
    images, voices = ceilings.perfect_images.mean, ceilings.perfect_voices.mean
    method = f"a run well below {top} mAP is limited by its method or its training"
    if ceilings.by_probability.mean >= NEAR_PERFECT:
        return f"neither end limits: {method}"
    if abs(images - voices) < ALIKE:
        return (
            f"both ends limit alike: perfect image vectors would raise the ceiling from {top} "
            f"to {image_top} mAP, perfect voices to {voice_top}; {method}"
        )
    if images > voices:
        return (
            f"the image encoder limits: perfect image vectors would raise the ceiling from "
            f"{top} to {image_top} mAP, perfect voices only to {voice_top}; {method}"
        )
    return (
        f"the voices limit: perfect voices would raise the ceiling from {top} to "
        f"{voice_top} mAP, perfect image vectors only to {image_top}; {method}"
    )


def _training_side(items: Sequence[Item], splits: Mapping[str, str]) -> list[Item]:
    """Return the labelled items that training learns from or validates on, by name."""
    kept = (item for item in items if item.label and splits[item.name] in ("train", "val"))
    return sorted(kept, key=lambda item: item.name)


def _classified(
    data: FeatureDataset,
    items: Sequence[Item],
    what: str,
    names: Sequence[str],
    config: ProbeConfig,
) -> ClassifiedItems:
    """Return ``items``, all images or all voices, with the classes they are taken for."""
    drawn = _drawn(items, config.rows, config.seed)
    groups = [item.group for item in drawn]
    count = len(set(groups))
    if count < config.folds:
        raise ProbeError(
            f"{data.folder}: the training side has {count} groups of {what}, "
            f"fewer than {config.folds} folds; give a smaller number of folds, 2 or more"
        )
    vectors = (
        data.image_vectors([item.name for item in drawn])
        if what == "images"
        else _voice_summaries(data, [item.name for item in drawn], config.segments)
    )
    numbers = {name: number for number, name in enumerate(names)}
    labels = np.array([numbers[item.label] for item in drawn], np.int64)
    fold_of = group_folds(labels, groups, config.folds, config.seed)
    jobs = _jobs(config, vectors.nbytes)
    found = held_out_probabilities(vectors, labels, len(names), fold_of, config.seed, jobs)
    predicted = found.argmax(axis=1)
    confusion = np.zeros((len(names), len(names)), np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    right = [100 * float((predicted == labels)[fold_of == f].mean()) for f in range(config.folds)]
    probe = ModalityProbe(
        tuple(names), confusion, tuple(right), count, vectors.shape[1], len(items)
    )
    return ClassifiedItems(labels, found, probe)


def _drawn(items: Sequence[Item], rows: int, seed: int) -> list[Item]:
    """Return about ``rows`` of ``items``: of each class the same share, in whole groups."""
    if len(items) <= rows:
        return list(items)
    rng = np.random.default_rng(seed)
    by_class: dict[str, dict[str, list[Item]]] = {}
    label_of: dict[str, str] = {}
    for item in items:
        label = label_of.setdefault(item.group, item.label)
        by_class.setdefault(label, {}).setdefault(item.group, []).append(item)
    kept: list[Item] = []
    for _, groups in sorted(by_class.items()):
        names = sorted(groups)
        wanted = sum(map(len, groups.values())) * rows / len(items)
        taken: list[Item] = []
        for place in rng.permutation(len(names)):
            if len(taken) >= wanted:
                break
            taken += groups[names[place]]
        kept += taken
    return sorted(kept, key=lambda item: item.name)


def _voice_summaries(
    data: FeatureDataset, names: Sequence[str], segments: int
) -> NDArray[np.float32]:
    """Return mean and deviation of every coefficient over time [n, dim], read in blocks."""
    import torch

    from ivr.hashing.canonical import voice_summary

    stored, rows, frames = data.mapped_voices(names)
    starts = range(0, len(rows), VOICES_AT_ONCE)
    blocks = []
    for start in progress(starts, len(starts), "blocks of voices"):
        block = slice(start, start + VOICES_AT_ONCE)
        voices = torch.from_numpy(np.array(stored[rows[block]]))
        blocks.append(voice_summary(voices, torch.from_numpy(frames[block]), segments).numpy())
    return np.concatenate(blocks)


def _jobs(config: ProbeConfig, size: int) -> int:
    """Return the number of folds computed at once that fit into memory."""
    fitting = int(room() // (COPIES * max(size, 1)))
    return max(1, min(config.jobs or cpu_count(), config.folds, fitting))


def _ceilings(images: ClassifiedItems, voices: ClassifiedItems, seed: int) -> Ceilings:
    rng = np.random.default_rng(seed)
    asked_images, asked_voices = (
        np.sort(rng.permutation(len(end.labels))[:QUERIES]) for end in (images, voices)
    )

    def by_probability(image_end: ClassifiedItems, voice_end: ClassifiedItems) -> Ceiling:
        return Ceiling(
            _probability_map(image_end.select(asked_images), voice_end),
            _probability_map(voice_end.select(asked_voices), image_end),
        )

    image_counts, voice_counts = images.probe.confusion, voices.probe.confusion
    return Ceilings(
        by_probability(images, voices),
        by_probability(images.without_errors(), voices),
        by_probability(images, voices.without_errors()),
        Ceiling(
            100 * class_code_map(image_counts, voice_counts),
            100 * class_code_map(voice_counts, image_counts),
        ),
    )


def _probability_map(queries: ClassifiedItems, gallery: ClassifiedItems) -> float:
    return 100 * probability_map(
        queries.probabilities, queries.labels, gallery.probabilities, gallery.labels
    )
