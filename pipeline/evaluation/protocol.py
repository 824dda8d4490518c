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
    """Every choice that a retrieval metric depends on.

    Attributes:
        relevance: class, an item is relevant if it has the query's class; or pair, if it belongs to
            the query's image.
        database: split that is searched: test, train (with validation), or all. Queries are always
            of the test split.
        voices: one takes one voice per image, drawn by ``seed``; all takes every voice; as queries
            and in the database.
        cutoff: average precision over the first places up to this one, None for the full list.
        denominator: of average precision at a cut-off: all relevant items (relevant), min(cutoff,
            relevant items) (min), or the relevant items among the first ``cutoff`` (hits).
        ties: expectation, the mean over all orders of items at equal distance; or file-order, in
            which items at equal distance keep the order of the manifest.
        empty: a query without a relevant item counts as zero (zero), is left out (skip), or is an
            error (error).
        distance: distance to rank by: hamming, of the codes; or the method's own euclidean or
            matching, of its outputs; None for the method's own.
        bits: rank by the first bits of the codes, this many, None for all.
        speaker: use only the voices of this speaker, None for all speakers.
        without_speaker: use the voices of all known speakers but this one, None for all.
        classes: all; seen or unseen, only items of classes that training saw or did not see, as
            queries and in the database; unseen-among-all, queries of classes that training did not
            see, searched for among all.
        test: share of the images that the protocol tests on, None for any; only compared.
        seed: seed for choosing one voice per image, None for that of the run.
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


# The protocols of the papers; docs/explanation/protocols.md says where a choice is ours.
PROTOCOLS = {
    "divh": Protocol(),
    "dvan": Protocol(test=0.1),
    "rsicd-150": Protocol(voices="all", cutoff=150, denominator="hits"),
    "pair": Protocol(relevance="pair", voices="all"),
}
