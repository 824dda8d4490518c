"""Whether the codes of a run are still those of its features."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ivr.features.atomic_files import file_digest
from ivr.features.store import Table, open_table
from ivr.pipeline.extraction.feature_dataset import FeatureDataset, voices_digest
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES

from .run_folder import CODES, RunError, is_another_run

KINDS = {"images": IMAGES, "voices": VOICES}
MANIFEST = "manifest"
"""Key in the config of a codes file: sha256 of the manifest whose labels stand in it."""
CHANGES = "changes"
"""Key in the config of a codes file: the changes that the features held; others may be added."""


def made_from(data: FeatureDataset) -> dict[str, Any]:
    """Return what a codes file records of the features ``data``."""
    return {
        "features": data.digests(),
        CHANGES: list(data.held_changes()),
        MANIFEST: file_digest(data.folder / "manifest.csv"),
    }


def require_no_other_codes(out: Path | None, run: Path) -> None:
    """Refuse to write codes of ``run`` to ``out`` in the place of those of another run.

    Raises:
        RunError: they have their place there.
    """
    if out is not None and out.name == CODES and is_another_run(out.parent, run):
        raise RunError(
            f"{out}: the codes of another run, which are not replaced by those of {run}; "
            "give another --out"
        )


def require_current_codes(
    codes: Path, recorded: Mapping[str, Any], run: Path, config: Mapping[str, Any]
) -> None:
    """Refuse codes of a run whose features or manifest were extracted anew since.

    Features that are no longer in their folder are not compared.

    Args:
        codes: the codes file of the run, for the message.
        recorded: config of the codes file; one of an earlier version says nothing of its
            manifest, or of changes of the voices: then those of the run are taken.
        run: the run folder.
        config: the content of its ``config.json``.

    Raises:
        RunError: the vectors, labels or splits in the folder of features are others now.
        StoreError: a file in the folder of features is not a feature file.
    """
    folder = Path(config["features"]["folder"])
    manifest = folder / "manifest.csv"
    if MANIFEST not in recorded or not manifest.is_file():
        return
    tables = {name: (folder / f"{name}.h5", kind) for name, kind in KINDS.items()}
    changes = recorded.get(CHANGES, config["features"].get("changes"))
    same = all(
        _is_still(open_table(*tables[name]), sha256, changes if name == "voices" else None)
        for name, sha256 in recorded["features"].items()
        if tables[name][0].is_file()
    )
    if not same or file_digest(manifest) != recorded[MANIFEST]:
        what = "labels, splits or rows of the manifest" if same else "vectors"
        raise RunError(
            f"{codes}: the {what} in {folder} are others now; make it again with ivr encode {run}"
        )


def _is_still(table: Table, sha256: str, changes: Sequence[str] | None) -> bool:
    """Return whether ``table`` is as it was, apart from added rows of other ``changes``."""
    if table.sha256 == sha256 or changes is None:
        return table.sha256 == sha256
    return voices_digest(table, changes) == sha256
