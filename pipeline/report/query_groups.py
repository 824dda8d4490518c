"""Spoken queries in groups: by speaker, and by whether training heard the same sentence."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ivr.pipeline.datasets.canonical_names import caption_key
from ivr.pipeline.datasets.manifest import Item

from .caveats import interval_over_images, items_of, trained_voices
from .evaluated_run import EvaluatedRun

ASKED_BY_VOICE = "voice_to_image"
UNKNOWN = "not known"


@dataclass(frozen=True)
class QueryGroup:
    """The spoken queries of one group.

    Attributes:
        name: the speaker, or what is true of the sentences.
        trained: training has voices of the speaker, or the same sentences; None if that is not
            known, or the name says it.
        queries: number of queries that the mean is over.
        value: mean average precision, percent.
        chance: that of a random order, percent.
        interval: 95 % interval of ``value`` over queries, percent; None for a single image.
    """

    name: str
    trained: bool | None
    queries: int
    value: float
    chance: float
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class GroupTable:
    """Groups of one kind, at least two.

    Attributes:
        title: what tells the groups apart.
        head: head of the column of their names.
        groups: the groups.
    """

    title: str
    head: str
    groups: tuple[QueryGroup, ...]


def group_tables(found: EvaluatedRun) -> list[GroupTable]:
    """Return the spoken queries by speaker and by sentence, where there are two groups or more.

    Values are means of the average precision that ``ivr evaluate`` recorded for each query.
    """
    queries = found.selection.queries[ASKED_BY_VOICE]
    trained = trained_voices(found, items_of(found.codes.voices))
    tables = [
        GroupTable("By speaker", "Speaker", _by_speaker(found, queries.speakers, trained)),
        GroupTable("By sentence", "Sentence", _by_sentence(found, queries.captions, trained)),
    ]
    return [table for table in tables if len(table.groups) > 1]


def _by_speaker(
    found: EvaluatedRun, speakers: Sequence[str], trained: Sequence[Item]
) -> tuple[QueryGroup, ...]:
    if not any(speakers):
        return ()
    heard = {voice.speaker for voice in trained} - {""}
    groups = [
        _group(found, name, name in heard if heard else None, [own == name for own in speakers])
        for name in sorted({*speakers} - {""})
    ]
    return _known([*groups, _group(found, UNKNOWN, None, [not own for own in speakers])])


def _by_sentence(
    found: EvaluatedRun, captions: Sequence[str], trained: Sequence[Item]
) -> tuple[QueryGroup, ...]:
    heard = {caption_key(voice.caption) for voice in trained} - {""}
    keys = [caption_key(caption) for caption in captions]
    if not heard or not any(keys):
        return ()
    rows: Mapping[str, list[bool]] = {
        "spoken in training too": [key in heard for key in keys],
        "new": [bool(key) and key not in heard for key in keys],
        UNKNOWN: [not key for key in keys],
    }
    return _known([_group(found, name, None, members) for name, members in rows.items()])


def _group(
    found: EvaluatedRun, name: str, trained: bool | None, members: Sequence[bool]
) -> QueryGroup | None:
    metrics = found.queries[ASKED_BY_VOICE]
    chance = found.evaluated.chance[ASKED_BY_VOICE]
    rows = np.flatnonzero(np.array(members) & ~np.isnan(metrics.average_precision))
    if not len(rows):
        return None
    own = metrics.average_precision[rows]
    images = [metrics.images[row] for row in rows]
    return QueryGroup(
        name,
        trained,
        len(rows),
        100 * float(own.mean()),
        100 * float(chance[rows].mean()),
        interval_over_images(own, images),
    )


def _known(groups: Sequence[QueryGroup | None]) -> tuple[QueryGroup, ...]:
    return tuple(group for group in groups if group is not None)
