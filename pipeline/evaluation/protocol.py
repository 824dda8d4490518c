"""The evaluation protocol: every choice that a retrieval metric depends on.

Imports no torch: the command line reads choices and defaults from here.
"""

from typing import Annotated, Literal

from pydantic import Field, NonNegativeInt, PositiveInt

from ivr.config import config
from ivr.hashing.distance_names import Distance

Classes = Literal["all", "seen", "unseen", "unseen-among-all"]
DIRECTIONS = ("image_to_voice", "voice_to_image")
"""Directions of retrieval, in the order of every table."""


@config
class Protocol:
    """Every choice that a retrieval metric depends on.

    Attributes:
        relevance: What makes an item relevant: ``class``, the class of the query, or ``pair``, that
            it belongs to the image of the query.
        database: Split that is searched: test, train (with validation), or all. Queries are always
            of the test split.
        voices: Voices on both sides: ``one`` per image, drawn by the seed, or ``all``.
        cutoff: Number of first places over which average precision is computed; by default the full
            list.
        denominator: Denominator of average precision at a cut-off: ``relevant`` for all relevant
            items, ``min`` for min(cut-off, relevant items), ``hits`` for the relevant items among
            the first places, as in the code of FIRe, DCMH and DeepHash.
        ties: How to rank items at equal distance: ``expectation`` averages over all their orders,
            ``file-order`` keeps the order of the manifest.
        empty: How to score a query that has no relevant item: ``zero`` counts it as 0, ``skip``
            leaves it out, ``error`` stops.
        distance: Distance to rank by: ``hamming`` between the codes, or the method's own
            ``euclidean`` or ``matching`` between its outputs; by default the method's own.
        radius: Hamming radius of ``P@r`` and ``R@r``: precision and recall of the items at this
            distance or nearer; a query with none there counts as 0.
        bits: Number of first bits of the codes to rank by, a multiple of 8; by default all.
        speaker: Use the voices of this speaker only; by default those of all.
        without_speaker: Use the voices of all known speakers except this one.
        classes: Classes to evaluate: ``all``; ``seen`` or ``unseen``, only items of classes that
            the run trained on, or that it did not train on; ``unseen-among-all``, queries of
            classes that it did not train on, and all items are searched.
        test: Share of the images that the protocol tests on; a different share in the data is
            reported.
        seed: Seed for choosing one voice per image; by default the run's.
        allow_trained: Also test on files that the run was trained on, which is refused otherwise.
    """

    relevance: Literal["class", "pair"] = "class"
    database: Literal["test", "train", "all"] = "test"
    voices: Literal["one", "all"] = "one"
    cutoff: PositiveInt | None = None
    denominator: Literal["relevant", "min", "hits"] = "relevant"
    ties: Literal["expectation", "file-order"] = "expectation"
    empty: Literal["zero", "skip", "error"] = "zero"
    distance: Distance | None = None
    radius: NonNegativeInt = 2
    bits: Annotated[int, Field(ge=8, multiple_of=8)] | None = None
    speaker: str | None = None
    without_speaker: str | None = None
    classes: Classes = "all"
    test: Annotated[float, Field(gt=0, lt=1)] | None = 0.2
    seed: NonNegativeInt | None = None
    allow_trained: bool = False

    def __post_init__(self) -> None:
        """Refuse a choice of voices that leaves none."""
        if self.speaker is not None and self.without_speaker is not None:
            raise ValueError("give speaker or without_speaker, not both")


# The protocols of papers and of other authors' code; docs/explanation/protocols.md says where a
# choice is ours.
PROTOCOLS = {
    "divh": Protocol(),
    "dvan": Protocol(test=0.1),  # by its text; by its results, 20 % of UC Merced and 19 % of Sydney
    "rsicd-150": Protocol(voices="all", cutoff=150, denominator="hits"),
    "pair": Protocol(relevance="pair", voices="all"),
    "dcmh": Protocol(database="train", ties="file-order", test=None),
    "fire": Protocol(database="train", cutoff=1000, denominator="hits", test=None),
    "deephash": Protocol(database="train", cutoff=5000, denominator="hits", test=None),
}
PROTOCOL_TEXTS = {
    "divh": "full list, one voice per image",
    "dvan": "the same with a tenth of the images for testing",
    "rsicd-150": "first 150 places, divided by the relevant items among them, all voices",
    "pair": "full list, relevance by pair, all voices",
    "dcmh": "full list of the training split, ties in file order",
    "fire": "first 1000 places of the training split, divided by the relevant items among them",
    "deephash": "the same with 5000 places, as mAP_found: queries that find nothing do not count",
}
"""What each protocol says of average precision, for the help."""
