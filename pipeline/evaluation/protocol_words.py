"""The evaluation protocol as one sentence, for tables and reports."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from .protocol import Protocol

DISTANCES = {
    "hamming": "Hamming distance of the codes",
    "euclidean": "Euclidean distance of the outputs",
    "matching": "matching probability",
}
DATABASES = {
    "test": "the test split",
    "train": "the training and validation splits",
    "all": "all splits",
}
TIES = {"expectation": "mean over all orders", "file-order": "file order"}
DIVISORS = {
    "relevant": "all relevant items",
    "min": "the relevant items or the cut-off, whichever is less",
    "hits": "the relevant items among them",
}
CLASSES = {
    "all": "",
    "seen": "only classes that training saw",
    "unseen": "only classes that training did not see",
    "unseen-among-all": "queries of classes that training did not see",
}
EMPTY = {
    "zero": "",
    "skip": "queries without a relevant item left out",
    "error": "queries without a relevant item refused",
}


def protocol_in_words(protocol: Mapping[str, Any]) -> str:
    """Return the choices of a protocol as one sentence.

    Args:
        protocol: fields of :class:`Protocol` by name, as results.json has them; a field that an
            older version did not write has its default.
    """
    found = asdict(Protocol()) | dict(protocol)
    by = DISTANCES.get(found["distance"], "the distance of the method")
    bits = f" (the first {found['bits']} bits)" if found["bits"] else ""
    words = (
        f"relevance by {found['relevance']}",
        f"searched: {DATABASES[found['database']]}",
        CLASSES[found["classes"]],
        _voices_in_words(found),
        _precision_in_words(found),
        f"ranked by {by}{bits}",
        f"ties: {TIES[found['ties']]}",
        EMPTY[found["empty"]],
        "tests on items of the training too" if found["allow_trained"] else "",
    )
    return "; ".join(filter(None, words))


def _voices_in_words(protocol: Mapping[str, Any]) -> str:
    voices = {"one": "one voice per image", "all": "all voices"}[protocol["voices"]]
    if protocol["speaker"] is not None:
        return f"{voices}, only speaker {protocol['speaker']}"
    if protocol["without_speaker"] is not None:
        return f"{voices}, all speakers but {protocol['without_speaker']}"
    return voices


def _precision_in_words(protocol: Mapping[str, Any]) -> str:
    if protocol["cutoff"] is None:
        return "AP over the full list"
    divisor = DIVISORS[protocol["denominator"]]
    return f"AP over the first {protocol['cutoff']}, divided by {divisor}"
