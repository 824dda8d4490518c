"""What the numbers of a run do not show, counted from its codes, splits and results."""

import re
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ivr.hashing.bootstrap import paired_bootstrap
from ivr.pipeline.datasets.canonical_names import caption_key
from ivr.pipeline.datasets.findings import (
    find_captions_of_several_classes,
    find_names_on_two_sides,
    find_untrained_classes,
)
from ivr.pipeline.datasets.manifest import Item
from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.extraction.earlier_stamps import NO_STAMP
from ivr.pipeline.runs.codes_file import SPLITS_OF_RUN, CodedItems
from ivr.pipeline.runs.run_items import SIDES
from ivr.pipeline.runs.training_data import voices_to_train_on
from ivr.pipeline.runtime.words import counted

from .evaluated_run import EvaluatedRun
from .query_cards import DIRECTION_WORDS

FEW_QUERIES = 100
"""Fewer queries than this are called few."""
SENTENCES, SYNTHETIC = "Sentences that repeat", "Synthetic voices"
"""Titles of the caveats that the top of a page repeats."""
_SYNTHESISER = re.compile(
    r"(?i)\b(flite|espeak(-ng)?|festival|mbrola|piper|polly|coqui|bark|vits|tacotron|tts|"
    r"text-to-speech|synthetic|synthesi[sz]ed)\b|^[a-z]{2,3}(-[a-z-]+)?\+\w+$"
)
"""Names of speech synthesisers, and names as espeak-ng gives its voices: ``en-us+adam``."""


@dataclass(frozen=True)
class Caveat:
    """One thing that a reader must know beside the numbers.

    Attributes:
        severity: ``limit`` for something that limits what the numbers say; ``fine`` for something
            that was looked for and is in order; ``unknown`` for something that cannot be told.
        title: what it is about.
        text: one or two sentences.
    """

    severity: Literal["limit", "fine", "unknown"]
    title: str
    text: str


def caveats(found: EvaluatedRun) -> list[Caveat]:
    """Return what the numbers of a run do not show, the limits first."""
    return _ordered([*_of_data(found), *_of_the_run(found)])


def in_short(some: Iterable[Caveat]) -> list[str]:
    """Return the caveats without which the numbers mislead, as sentences for the top of a page."""
    return [
        f"{one.title}: {one.text}"
        for one in some
        if one.severity == "limit" and one.title in (SENTENCES, SYNTHETIC)
    ]


def data_caveats(found: EvaluatedRun) -> list[Caveat]:
    """Return what the numbers of every run on the data of ``found`` do not show."""
    return _ordered(_of_data(found))


def _of_data(found: EvaluatedRun) -> list[Caveat]:
    images, voices = items_of(found.codes.images), items_of(found.codes.voices)
    asked = {name for side in found.selection.queries.values() for name in side.names}
    tested = [voice for voice in voices if voice.name in asked]
    trained = trained_voices(found, voices)
    return [
        *_trained_by_accident(found, images, voices, asked),
        _sentences(tested, trained),
        _speakers(tested, trained),
        _synthetic(tested),
        *_of_the_set(images, voices),
        *_of_weights(found),
    ]


def _ordered(some: Iterable[Caveat]) -> list[Caveat]:
    order = ("limit", "unknown", "fine")
    return sorted(some, key=lambda one: order.index(one.severity))


def has_synthetic_voices(found: EvaluatedRun) -> bool:
    """Return whether voices of the queries have speakers named as those of a synthesiser."""
    asked = {*found.selection.queries["voice_to_image"].names}
    voices = (voice for voice in items_of(found.codes.voices) if voice.name in asked)
    return any(_SYNTHESISER.search(voice.speaker) for voice in voices)


def items_of(coded: CodedItems) -> list[Item]:
    """Return ``coded`` as items of a manifest; groups are not known."""
    groups = coded.images
    columns = (coded.names, coded.images, coded.labels, coded.splits, groups)
    return [Item(*row) for row in zip(*columns, coded.speakers, coded.captions, strict=True)]


def interval_of_map(found: EvaluatedRun, direction: str) -> tuple[float, float] | None:
    """Return the 95 % interval of mAP over queries, percent; None for a single image."""
    metrics = found.queries[direction]
    rows = np.flatnonzero(~np.isnan(metrics.average_precision))
    return interval_over_images(
        metrics.average_precision[rows], [metrics.images[row] for row in rows]
    )


def interval_over_images(
    average_precision: np.ndarray, images: Sequence[str]
) -> tuple[float, float] | None:
    """Return the 95 % interval of the mean over queries, percent; None for a single image.

    Queries of one image are drawn together. The interval covers other queries of the same kind, not
    other trainings.

    Args:
        average_precision: [n], 0 to 1.
        images: image of each query [n].
    """
    if len(set(images)) < 2:
        return None
    units = np.unique(images, return_inverse=True)[1]
    values = 100 * average_precision[:, None]
    (interval,) = paired_bootstrap(values, units, np.random.default_rng(0))
    return interval.low, interval.high


def trained_voices(found: EvaluatedRun, voices: Sequence[Item]) -> list[Item]:
    """Return the voices that the run may have been trained on; none for codes of other features."""
    if not found.codes.config.get(SPLITS_OF_RUN, True):
        return []
    splits = {voice.name: voice.split for voice in voices}
    kept = voices_to_train_on(voices, splits, found.config.get("left_out", {}), found.run)
    return [voice for voice in kept if voice.split in SIDES]


def _sentences(tested: Sequence[Item], trained: Sequence[Item]) -> Caveat:
    title = SENTENCES
    known = [key for voice in tested if (key := caption_key(voice.caption))]
    heard = {caption_key(voice.caption) for voice in trained} - {""}
    if not known or not heard:
        text = "Captions are not known, so sentences that repeat could not be counted."
        return Caveat("unknown", title, text)
    repeated = sum(key in heard for key in known)
    share = f"{repeated} of {len(known)} sentences of the queries ({repeated / len(known):.0%})"
    if not repeated:
        return Caveat("fine", title, "No sentence of the queries is spoken in training.")
    return Caveat(
        "limit",
        title,
        f"{share} are spoken word for word in training. How well new sentences are understood is "
        "measured by ivr compare --preset generalisation.",
    )


def _speakers(tested: Sequence[Item], trained: Sequence[Item]) -> Caveat:
    title = "Speakers in training"
    known = [voice.speaker for voice in tested if voice.speaker]
    heard = {voice.speaker for voice in trained} - {""}
    if not known or not heard:
        text = "Speakers are not known: whether a new speaker is understood is not measured."
        return Caveat("unknown", title, text)
    repeated = sum(speaker in heard for speaker in known)
    if not repeated:
        return Caveat("fine", title, "No speaker of the queries speaks in training.")
    return Caveat(
        "limit",
        title,
        f"{repeated} of {len(known)} voices of the queries are of speakers who also speak in "
        f"training ({counted(len(heard), 'speaker')}). A new speaker may do worse.",
    )


def _synthetic(tested: Iterable[Item]) -> Caveat:
    title = SYNTHETIC
    speakers = [voice.speaker for voice in tested]
    named = [speaker for speaker in speakers if _SYNTHESISER.search(speaker)]
    if named:
        text = (
            f"{len(named)} of {len(speakers)} voices of the queries have speakers named as those "
            f"of a synthesiser ({counted(len({*named}), 'speaker')}, for example {min(named)}). "
            "Recorded speech has noise, accents and hesitation; published results are on recorded "
            "voices."
        )
        return Caveat("limit", title, text)
    text = "The manifest does not say whether the voices are recorded or synthetic."
    return Caveat("unknown", title, text)


def _trained_by_accident(
    found: EvaluatedRun, images: Sequence[Item], voices: Sequence[Item], asked: Set[str]
) -> list[Caveat]:
    """Return whether files of the test split have the content of a file of the other splits."""
    parts, title = [], "The same file on both sides"
    sides = (("image", found.codes.images, images), ("voice", found.codes.voices, voices))
    for what, coded, items in sides:
        if coded.stamps is None or not (coded.stamps != NO_STAMP).any():
            text = "Not checked: the features are of an earlier version."
            return [Caveat("unknown", title, text)]
        of_split = np.array([item.split for item in items])
        known = coded.stamps != NO_STAMP
        trained = coded.stamps[known & np.isin(of_split, SIDES)]
        tested = known & (of_split == "test")
        copied = tested & np.isin(coded.stamps, trained)
        if copied.any():
            used = sum(items[row].name in asked for row in np.flatnonzero(copied).tolist())
            parts.append(
                f"{copied.sum()} of {counted(int(tested.sum()), what)} of the test split ({used} "
                "among the queries)"
            )
    if parts:
        text = f"{' and '.join(parts)} have the same content as one in training."
        return [Caveat("limit", title, text)]
    return [Caveat("fine", title, "No file of the test split has the content of one in training.")]


def _of_the_set(images: Sequence[Item], voices: Sequence[Item]) -> list[Caveat]:
    findings = [
        ("Copies by name", find_names_on_two_sides(images)),
        ("Captions of several classes", find_captions_of_several_classes(voices)),
        ("Classes without training", find_untrained_classes(images or voices)),
    ]
    told = []
    for title, some in findings:
        if some:
            more = f"; and {len(some) - 1} more" if len(some) > 1 else ""
            told.append(Caveat("limit", title, f"{some[0].text}{more}."))
    near = (
        "Images that are nearly the same in training and test were not looked for here: "
        "ivr check MANIFEST finds them."
    )
    return [*told, Caveat("unknown", "Near duplicates", near)]


def few_queries(found: EvaluatedRun) -> Caveat:
    """Return how many queries a run has, with the interval of its mAP over them."""
    numbers = [found.results[direction]["queries"] for direction in DIRECTIONS]
    fewest = min(numbers)
    spans = [
        f"{low:.1f} to {high:.1f} ({DIRECTION_WORDS[direction]})"
        for direction in reversed(DIRECTIONS)
        if (interval := interval_of_map(found, direction))
        for low, high in [interval]
    ]
    text = f"{counted(fewest, 'query')} per direction"
    if len({*numbers}) > 1:
        text = "; ".join(
            f"{counted(number, 'query')} ({DIRECTION_WORDS[direction]})"
            for direction, number in zip(DIRECTIONS, numbers, strict=True)
        )
    if spans:
        text += f"; the 95 % interval of mAP over queries is {' and '.join(spans)}"
    few = "Few queries" if fewest < FEW_QUERIES else "Number of queries"
    return Caveat("limit", few, f"{text}. It covers other queries of the same kind.")


def _of_the_run(found: EvaluatedRun) -> list[Caveat]:
    told = [few_queries(found)]
    seed = found.config["seed"]
    told.append(
        Caveat(
            "limit",
            "One training",
            f"One run with the seed {seed}: another seed gives another split and other weights. "
            "ivr compare FEATURES trains several seeds.",
        )
    )
    reconstruction = found.results.get("run", {}).get("reconstruction", "")
    if reconstruction:
        told.append(Caveat("limit", "Reconstruction", f"{reconstruction}."))
    return told


def _of_weights(found: EvaluatedRun) -> list[Caveat]:
    if not str(found.config["features"]["weights"]).startswith("random"):
        return []
    text = (
        "The image encoder has random weights: the numbers show that everything works, not how "
        "well images are retrieved."
    )
    return [Caveat("limit", "Untrained image encoder", text)]
