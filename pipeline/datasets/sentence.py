"""When two captions are the same sentence: one rule for the audit and for training."""

import re


def sentence(caption: str) -> str:
    """Return the words of ``caption`` in lower case, separated by single spaces.

    Case, punctuation and repeated spaces are not heard, so captions that differ only in them are
    the same sentence. A caption without a word, ``""`` among them, gives ``""``.
    """
    return " ".join(re.findall(r"\w+", caption.casefold()))
