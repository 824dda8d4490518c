"""The evaluation protocol: every choice that a retrieval metric depends on.

Imports no torch: the command line reads choices and defaults from here.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.hashing.distance_names import Distance

Classes = Literal["all", "seen", "unseen", "unseen-among-all"]


@config
class Protocol:
    """Every choice that a retrieval figure depends on.

    Attributes:
        relevance: an item is relevant if it has the query's class, or if it is its pair.
        database: split that is searched: test, train, or all. Queries are always of the test split.
        voices: one draws one voice an image by ``seed``, all takes every voice; on both sides.
        cutoff: average precision over the first so many places, None for the full list.
        denominator: of average precision at a cut-off: all relevant items, min(cutoff, relevant
            items), or the hits among the first ``cutoff``.
        ties: expectation over all orders of items at one distance, or file-order, in which items
            of one distance keep the order of the manifest.
        empty: a query with nothing relevant counts as zero, is left out, or is an error.
        distance: what is ranked by: hamming, by the codes, or the method's own euclidean or
            matching, by its outputs; None for the method's own.
        bits: rank by the first so many bits of the codes, None for all.
        speaker: use the voices of this speaker only, None for those of all.
        without_speaker: use the voices of all known speakers but this one, None for those of all.
        classes: all; seen or unseen, only items of classes that the run trained on, or never saw,
            on both sides; unseen-among-all, queries of classes that it never saw, all is searched.
        test: share of the images that the protocol tests on, None for any; only compared.
        seed: of the drawn voices, None for the run's.
    """

    relevance: Literal["class", "pair"] = "class"
    database: Literal["test", "train", "all"] = "test"
    voices: Literal["one", "all"] = "one"
    cutoff: PositiveInt | None = None
    denominator: Literal["relevant", "min", "hits"] = "relevant"
    ties: Literal["expectation", "file-order"] = "expectation"
    empty: Literal["zero", "skip", "error"] = "zero"
    distance: Distance | None = None
    bits: Annotated[int, Field(ge=8, multiple_of=8)] | None = None
    speaker: str | None = None
    without_speaker: str | None = None
    classes: Classes = "all"
    test: Annotated[float, Field(gt=0, lt=1)] | None = 0.2
    seed: NonNegativeInt | None = None

    def __post_init__(self) -> None:
        """Refuse a choice of voices that leaves none."""
        if self.speaker is not None and self.without_speaker is not None:
            raise ValueError("give speaker or without_speaker, not both")


# What the papers evaluate; where one is silent, the choice is ours (docs/explanation/protocols.md).
PROTOCOLS = {
    "divh": Protocol(),
    "dvan": Protocol(test=0.1),
    "rsicd-150": Protocol(voices="all", cutoff=150, denominator="hits"),
    "pair": Protocol(relevance="pair", voices="all"),
}
