"""What decides the codes of an archive; kept with its table, so that it can never be mixed up."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from ivr.pipeline.runtime.config_options import StoredConfigError, from_json
from ivr.pipeline.runtime.json_files import ContentError, of_kind

from .lance_library import ArchiveError

FORMAT = 1
"""Version of the format that this version of ivr writes."""
KEY = b"ivr archive"
"""Key of the settings in the metadata of the table's schema."""


@dataclass(frozen=True)
class ArchiveSettings:
    """What decides the codes of an archive.

    Attributes:
        format: version of the format.
        bits: bits per code.
        identity: sha256 over all that decides a code, see
            :class:`ivr.pipeline.packing.code_maker.CodeMaker`.
        method: method that the model was trained with.
        classes: names of the classes that the model knows.
        model: absolute path of the run or of the packed model that the archive was created with,
            ``""`` if a copy of the packed model lies in the archive.
        made: random text that tells this archive from one that is made anew at its place; ``""`` in
            older archives.
    """

    format: int
    bits: int
    identity: str
    method: str
    classes: tuple[str, ...]
    model: str = ""
    made: str = ""


def as_metadata(settings: ArchiveSettings) -> dict[bytes, bytes]:
    """Return the metadata of a schema that holds ``settings``."""
    return {KEY: json.dumps(asdict(settings)).encode()}


def from_metadata(metadata: dict[bytes, bytes] | None, place: str) -> ArchiveSettings:
    """Return the settings in the metadata of a schema.

    Args:
        metadata: metadata of the schema of a table.
        place: the archive, for messages.

    Raises:
        ArchiveError: there are none, or they were written by a later version of ivr.
    """
    text = (metadata or {}).get(KEY)
    if text is None:
        raise ArchiveError(f"{place}: a Lance table that ivr did not make; name another place")
    try:
        values: dict[str, Any] = of_kind(json.loads(text), dict[str, Any])
    except (ContentError, json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArchiveError(f"{place}: its settings are damaged ({error})") from error
    if values.get("format") != FORMAT:
        raise ArchiveError(
            f"{place}: an archive of format {values.get('format')}, this version of ivr reads "
            f"{FORMAT}; install the version that wrote it"
        )
    try:
        return from_json(ArchiveSettings, values)
    except StoredConfigError as error:
        raise ArchiveError(f"{place}: its settings are damaged ({error})") from error
