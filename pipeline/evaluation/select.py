"""Step 1 of an evaluation: the queries and the items that are searched, as the protocol says."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ivr.errors import IvrError
from ivr.pipeline.datasets.canonical_names import as_spelled, find_spellings
from ivr.pipeline.datasets.voice_sampling import one_voice_per_image
from ivr.pipeline.runs.codes_file import CodedItems, Codes
from ivr.pipeline.runtime.progress import warn

from .per_query import DIRECTIONS
from .protocol import Protocol

TOLERANCE = 0.02
"""Difference of the share of test images from that of the protocol that gives no note."""


class EvaluateError(IvrError):
    """The codes cannot be evaluated as asked; the message is one line."""


@dataclass(frozen=True, eq=False)
class Selection:
    """The queries and the gallery of each direction.

    Attributes:
        protocol: every choice.
        queries: by direction, the images or voices that ask.
        galleries: by direction, the voices or images that are searched.
        class_numbers: number of each class from 0, in alphabetical order.
    """

    protocol: Protocol
    queries: Mapping[str, CodedItems]
    galleries: Mapping[str, CodedItems]
    class_numbers: Mapping[str, int]

    @property
    def images(self) -> tuple[CodedItems, CodedItems]:
        """The images that ask, and the images that are searched."""
        return self.queries["image_to_voice"], self.galleries["voice_to_image"]

    @property
    def voices(self) -> tuple[CodedItems, CodedItems]:
        """The voices that ask, and the voices that are searched."""
        return self.queries["voice_to_image"], self.galleries["image_to_voice"]

    @property
    def classes(self) -> list[str]:
        """The names of the classes, in alphabetical order."""
        return sorted({*self.class_numbers} - {""})


def select(codes: Codes, protocol: Protocol) -> Selection:
    """Return the queries and the gallery of each direction.

    Raises:
        EvaluateError: no query, nothing to search, or classes or speakers that the codes lack.
    """
    _require_one_spelling(codes)
    images = _first_bits(codes.images, protocol.bits)
    voices = _of_speakers(_first_bits(codes.voices, protocol.bits), protocol)
    if protocol.voices == "one":
        rows = one_voice_per_image(voices.names, voices.images, protocol.seed or 0)
        voices = voices.select(rows)
    images, voices = _labelled(images, "images", protocol), _labelled(voices, "voices", protocol)
    _note_split(images, protocol)
    asking, searched = _classes(codes, protocol)
    queries = (
        _test_split(_of_classes(images, asking), "image"),
        _test_split(_of_classes(voices, asking), "voice"),
    )
    images, voices = _of_classes(images, searched), _of_classes(voices, searched)
    galleries = _gallery(voices, "voice", protocol), _gallery(images, "image", protocol)
    names = sorted({*images.labels, *voices.labels})
    return Selection(
        protocol,
        dict(zip(DIRECTIONS, queries, strict=True)),
        dict(zip(DIRECTIONS, galleries, strict=True)),
        {name: number for number, name in enumerate(names)},
    )


def _require_one_spelling(codes: Codes) -> None:
    """Refuse codes of a manifest that spelled one name in several ways: they would be two classes.

    ``ivr extract`` refuses such manifests; earlier versions did not.
    """
    names = {
        "label": Counter((*codes.images.labels, *codes.voices.labels)),
        "speaker": Counter(codes.voices.speakers),
    }
    for column, counts in names.items():
        for spellings in find_spellings(column, counts):
            raise EvaluateError(
                f"the codes have several spellings of one name: {spellings}; "
                "extract again with --accept-spellings, then train and encode again"
            )


def _first_bits(items: CodedItems, bits: int | None) -> CodedItems:
    """Return ``items`` with the first ``bits`` of their codes."""
    if bits is None:
        return items
    if bits > 8 * items.codes.shape[1]:
        raise EvaluateError(f"the codes have {8 * items.codes.shape[1]} bits, not {bits}")
    return replace(items, codes=np.ascontiguousarray(items.codes[:, : bits // 8]))


def _of_speakers(voices: CodedItems, protocol: Protocol) -> CodedItems:
    """Return the voices of the speakers that the protocol uses."""
    only = protocol.speaker is not None
    named = protocol.speaker if only else protocol.without_speaker
    if named is None:
        return voices
    known = set(voices.speakers) - {""}
    (named,) = as_spelled([named], known)
    if named not in known:
        speakers = ", ".join(sorted(known)) or "none"
        raise EvaluateError(f"no voice of speaker {named!r}; the known speakers are {speakers}")
    kept = {named} if only else known - {named}
    if not kept:
        raise EvaluateError(f"all voices of known speakers are of {named!r}")
    return voices.select([row for row, name in enumerate(voices.speakers) if name in kept])


def _labelled(items: CodedItems, what: str, protocol: Protocol) -> CodedItems:
    if protocol.relevance == "pair":
        return items
    known = [row for row, label in enumerate(items.labels) if label]
    if items.labels and not known:
        raise EvaluateError(f"no {what} have a label; evaluate by pairs with --relevance pair")
    if len(known) < len(items.labels):
        warn(f"left out: {len(items.labels) - len(known)} {what} without a label")
    return items.select(known)


def _note_split(images: CodedItems, protocol: Protocol) -> None:
    """Warn of a split that differs from that of the protocol."""
    share = images.splits.count("test") / max(1, len(images.splits))
    if not any(images.splits):
        warn("no splits: every item is a query and is searched")
    elif protocol.test is not None and abs(share - protocol.test) > TOLERANCE:
        warn(
            f"note: {100 * share:.0f} % of the images are in the test split, the protocol has "
            f"{100 * protocol.test:.0f} %"
        )


def _classes(
    codes: Codes, protocol: Protocol
) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    """Return the classes of the queries, and the classes that are searched; None for all.

    Raises:
        EvaluateError: training saw all classes, or only one class would be searched.
    """
    if protocol.classes == "all":
        return None, None
    run = codes.config.get("run")
    if not isinstance(run, dict) or not isinstance(run.get("classes"), list):
        raise EvaluateError(
            "the codes do not name the classes of the training; make them with ivr encode"
        )
    labels = {*codes.images.labels, *codes.voices.labels} - {""}
    trained = as_spelled(map(str, run["classes"]), labels)
    kept = frozenset(labels & trained if protocol.classes == "seen" else labels - trained)
    if not kept:
        saw = "none of" if protocol.classes == "seen" else "all"
        raise EvaluateError(
            f"the run saw {saw} the classes; leave some out with train-hash --unseen-classes"
        )
    if protocol.classes == "unseen-among-all":
        return kept, None
    if len(kept) == 1 and protocol.relevance == "class":
        among_all = "all" if protocol.classes == "seen" else "unseen-among-all"
        raise EvaluateError(
            f"{min(kept)} is the only {protocol.classes} class, everything would be relevant; "
            f"search among all with --classes {among_all}"
        )
    return kept, kept


def _of_classes(items: CodedItems, labels: frozenset[str] | None) -> CodedItems:
    if labels is None:
        return items
    return items.select([row for row, label in enumerate(items.labels) if label in labels])


def _test_split(items: CodedItems, what: str) -> CodedItems:
    """Return the items of the test split; all without splits."""
    if not any(items.splits):
        return items
    rows = [row for row, split in enumerate(items.splits) if split == "test"]
    if not rows:
        raise EvaluateError(f"no {what} of the test split to query with")
    return items.select(rows)


def _gallery(items: CodedItems, what: str, protocol: Protocol) -> CodedItems:
    """Return the items of the splits that the protocol searches; all without splits."""
    if not any(items.splits) or protocol.database == "all":
        gallery = items
    else:
        wanted = ("test",) if protocol.database == "test" else ("train", "val")
        gallery = items.select([row for row, split in enumerate(items.splits) if split in wanted])
    if not gallery.names:
        raise EvaluateError(f"no {what} of database={protocol.database} to search")
    return gallery
