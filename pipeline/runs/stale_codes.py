"""Whether the codes of a run are still those of its features."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivr.features.atomic_files import file_digest
from ivr.features.store import open_table
from ivr.pipeline.extraction.feature_dataset import FeatureDataset
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES

from .run_folder import RunError

KINDS = {"images": IMAGES, "voices": VOICES}
MANIFEST = "manifest"
"""Key in the config of a codes file: sha256 of the manifest whose labels stand in it."""


def manifest_sha256(data: FeatureDataset) -> str:
    """Return the sha256 of the manifest beside the features ``data``."""
    return file_digest(data.folder / "manifest.csv")


def require_current_codes(
    codes: Path, made_from: Mapping[str, Any], run: Path, config: Mapping[str, Any]
) -> None:
    """Refuse codes of a run whose features or manifest were extracted anew since.

    Features that are no longer in their folder are not compared.

    Args:
        codes: the codes file of the run, for the message.
        made_from: config of the codes file; one of an earlier version says nothing of its manifest.
        run: the run folder.
        config: the content of its ``config.json``.

    Raises:
        RunError: the vectors, labels or splits in the folder of features are others now.
        StoreError: a file in the folder of features is not a feature file.
    """
    folder = Path(config["features"]["folder"])
    manifest = folder / "manifest.csv"
    if MANIFEST not in made_from or not manifest.is_file():
        return
    tables = {name: (folder / f"{name}.h5", kind) for name, kind in KINDS.items()}
    same = all(
        open_table(*tables[name]).sha256 == sha256
        for name, sha256 in made_from["features"].items()
        if tables[name][0].is_file()
    )
    if not same or file_digest(manifest) != made_from[MANIFEST]:
        what = "labels, splits or rows of the manifest" if same else "vectors"
        raise RunError(
            f"{codes}: the {what} in {folder} are others now; make it again with ivr encode {run}"
        )
