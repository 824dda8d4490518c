"""Whether the items that an evaluation tests on are files that the run was trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ivr.pipeline.extraction.earlier_stamps import NO_STAMP
from ivr.pipeline.runs.codes_file import SPLITS_OF_RUN, CodedItems, Codes
from ivr.pipeline.runs.run_items import read_run_items
from ivr.pipeline.runtime.progress import warn

from .protocol import Protocol
from .select import EvaluateError


def require_untrained(
    codes: Codes, path: Path, run: Path, config: Mapping[str, Any], protocol: Protocol
) -> None:
    """Refuse to test on files that the run was trained on, whatever they are called.

    Under the split of the run itself, files with the same content on both sides are a property of
    the data set: they are counted in a note. So are they if the protocol asks for trained items.

    Args:
        codes: coded items.
        path: their file, for messages.
        run: the run folder.
        config: the content of its ``config.json``.
        protocol: every choice.

    Raises:
        EvaluateError: a query is a file that the run was trained on.
    """
    of_run = codes.config.get(
        SPLITS_OF_RUN, codes.config["features"] == config["features"]["sha256"]
    )
    known, sides = read_run_items(run), (codes.images, codes.voices)
    if known is None or any(
        not len(files.all) or side.stamps is None or not side.stamps.any()
        for files, side in zip(known, sides, strict=True)
        if side.names
    ):
        if not of_run:
            warn(
                "not checked whether test items were trained on: the features of the run or of "
                "the codes, or the run itself, are of an earlier version"
            )
        return
    named = []
    examples = []
    for what, side, files in zip(("images", "voices"), sides, known, strict=True):
        tested = _tested(side)
        stamps = np.array([stamp for _, stamp in tested], np.uint64)
        rows = np.flatnonzero(np.isin(stamps, files.trained))
        trained = [tested[row][0] for row in rows]
        if trained:
            named.append(f"{len(trained)} of {len(tested)} test {what}")
            examples += trained[:1]
    if not named:
        return
    text = f"{' and '.join(named)} are files that {run} was trained on (e.g. {examples[0]})"
    if of_run or protocol.allow_trained or protocol.database == "train":
        warn(f"note: {text}")
        return
    raise EvaluateError(
        f"{path}: {text}; leave them out, search the training items with --database train, or "
        "evaluate them anyway with --allow-trained"
    )


def _tested(items: CodedItems) -> list[tuple[str, int]]:
    """Return name and stamp of the items of the test split; of all without splits."""
    assert items.stamps is not None
    split = "test" if any(items.splits) else ""
    found = zip(items.names, items.stamps.tolist(), items.splits, strict=True)
    return [(name, stamp) for name, stamp, own in found if own == split and stamp != NO_STAMP]
