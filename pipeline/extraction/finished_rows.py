"""Which rows of a feature file are finished, and which are still to be made."""

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain, groupby
from pathlib import Path

from ivr.features.store import Table
from ivr.features.waveform_augmentation import (
    change_of,
    changed_name,
    changes_of,
    file_of,
    mixed_in,
)
from ivr.pipeline.runtime.progress import warn

from .earlier_stamps import has_earlier_stamps, restamped
from .feature_schema import same_settings
from .file_stamps import joint_stamp
from .target import Target


def has_settings_of(table: Table, target: Target) -> bool:
    """Return whether ``table`` has the settings of ``target``, of weights as far as they are known.

    A plan knows the first digits of the sha256 only if the weights are not downloaded yet.
    """
    wanted = target.config["settings"]
    digest = str(table.config["settings"].get("sha256", ""))
    if "sha256" in wanted and digest.startswith(wanted["sha256"]):
        wanted = {**wanted, "sha256": digest}
    return same_settings(table.config, {"settings": wanted})


def finished_rows(
    target: Target, tables: Sequence[Table], stopped: Callable[[], bool] = lambda: False
) -> tuple[list[Table], set[str]]:
    """Return the tables whose rows were made with these settings, and the names finished in them.

    A name is not finished if its file has another content now (for example of a second data set
    that also calls its images 1.tif, 2.tif ...), or if other voices are mixed into it now. A file
    that is gone keeps its row.

    Args:
        target: the feature file.
        tables: the feature file, if it exists, and its shards.
        stopped: whether to give up reading the files.

    Raises:
        KeyboardInterrupt: ``stopped`` returned True.
    """
    same = [
        restamped(table, target.files) if has_earlier_stamps(table) else table
        for table in tables
        if has_settings_of(table, target)
    ]
    if not same:
        return [], set()
    stamps: dict[str, int] = {}
    for table in same:
        stamps |= zip(table.text("names"), table.read("stamps").tolist(), strict=True)
    wanted = set(map(file_of, target.names))
    held = [name for name in stamps if file_of(name) in wanted]
    mixed = {name: target.others(name) for name in held if mixed_in(change_of(name))}
    now = target.files.now(chain(map(file_of, held), *mixed.values()), stopped)
    # All rows of such a file go, also those of changes that this call does not make.
    replaced = {
        name
        for name in held
        if name not in mixed and now[file_of(name)] not in (None, stamps[name])
    }
    replaced |= {
        name for name, others in mixed.items() if not has_its_voices(name, others, stamps, now)
    }
    return same, set(stamps) - replaced


def has_its_voices(
    name: str, others: Sequence[str], stamps: Mapping[str, int], now: Mapping[str, int | None]
) -> bool:
    """Return whether the row ``name`` was made from what it and ``others`` hold now.

    Args:
        name: name of a row with other voices.
        others: the voices that are mixed into it now, none if there are too few.
        stamps: stamps of rows.
        now: stamps that the files have now; None or none where that is not known.
    """
    own = now.get(file_of(name))
    # A file that is gone held what its row as recorded was made from.
    last = [stamps.get(other) if now.get(other) is None else now[other] for other in others]
    known = [(other, stamp) for other, stamp in zip(others, last, strict=True) if stamp is not None]
    if own is None or len(known) < len(others):
        return True
    return bool(known) and stamps[name] == joint_stamp(own, known)


def missing_batches(names: Sequence[str], finished: Collection[str], size: int) -> list[list[str]]:
    """Return the names that are not finished, those of one batch of ``names`` together.

    The last bits of a vector depend on how many images share its forward pass. So batches are cut
    from the manifest, not from what is missing, and a call that continues makes the same bits; and
    from each change alone, so that the other changes do not matter.
    """
    groups = [list(group) for _, group in groupby(names, change_of)]
    batches = [
        group[start : start + size] for group in groups for start in range(0, len(group), size)
    ]
    missing = [[name for name in batch if name not in finished] for batch in batches]
    return [batch for batch in missing if batch]


def begun_batch_size(tables: Sequence[Table], whole: Path) -> int:
    """Return the batch size of an earlier call whose shards are to be continued, 0 for none.

    The last bits of a vector depend on the batch size: the rest is made with the same one.

    Args:
        tables: the feature file and its shards.
        whole: path of the feature file.
    """
    for table in tables:
        size = table.config.get("made_with", {}).get("batch_size")
        if table.path != whole and type(size) is int and size > 0:
            return size
    return 0


def say_kept_changes(target: Target, finished: Collection[str]) -> None:
    """Name the changes that this call does not make although some of its voices lack them."""
    kept = changes_of(finished) - changes_of(target.names) if finished else set()
    if not kept:
        return
    recorded = [name for name in target.names if not change_of(name)]
    lacking = {
        change
        for change in kept
        if any(changed_name(name, change) not in finished for name in recorded)
    }
    if lacking:
        warn(f"{target.path}: not all voices have rows of {changes_as_options(lacking)}")


def changes_as_options(changes: Collection[str]) -> str:
    """Return the names of ``changes``, and the options of ivr extract that make their rows."""
    named = sorted(changes)
    return f"{', '.join(named)}; make them with {' '.join(f'--augment {name}' for name in named)}"
