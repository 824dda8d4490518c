"""Lines of the text files that come with data sets."""

from pathlib import Path

from .manifest import ManifestError


def text_lines(path: Path) -> list[str]:
    """Return the lines of a text file, without the spaces around them.

    Raises:
        ManifestError: the file cannot be read as UTF-8 text.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ManifestError(f"{path}: not a readable text file ({error})") from error
    return [line.strip() for line in text.splitlines()]
