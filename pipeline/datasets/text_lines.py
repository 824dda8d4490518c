"""Lines of the text files that come with data sets."""

from pathlib import Path

from ivr.features.regular_files import UnreadableFileError, read_regular

from .manifest import ManifestError
from .spreadsheet import MOST_BYTES


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without the spaces around them.

    Raises:
        ManifestError: the file cannot be read as UTF-8 text.
    """
    try:
        text = read_regular(path, MOST_BYTES).decode("utf-8-sig")
    except (UnreadableFileError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not a readable text file ({error})") from error
    return [line.strip() for line in text.splitlines()]
