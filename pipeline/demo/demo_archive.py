"""The archive of the demonstration: its run packed, its images added, and one search."""

import shutil
from importlib.util import find_spec
from pathlib import Path

from ivr.pipeline.archive.add import archive_add
from ivr.pipeline.archive.create import archive_create
from ivr.pipeline.archive.search import search
from ivr.pipeline.packing.pack import pack
from ivr.pipeline.runs.codes_file import read_codes
from ivr.pipeline.runtime.progress import say

MODEL, TILES = "model", "tiles"
LIBRARIES = ("lancedb", "onnx", "onnxruntime", "onnxscript")
PICTURES = 32
"""Images that the packed encoder is compared on; a thousand take longer than the demonstration."""


def write_demo_archive(folder: Path, manifest: Path, run: Path) -> bool:
    """Write ``model`` and ``tiles`` into ``folder``, replacing those of an earlier demonstration.

    Args:
        folder: folder of the demonstration.
        manifest: manifest of its set.
        run: its run.

    Returns:
        False if libraries that this needs are not installed; they are named in a message.
    """
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        say(
            f"no archive is made: {', '.join(missing)} not installed "
            "(pip install 'image-voice-hashing[demo]')"
        )
        return False
    say("packing the run, and adding the set to an archive")
    pack(run, folder / MODEL, overwrite=True, pictures=PICTURES)
    shutil.rmtree(folder / TILES, ignore_errors=True)
    archive_create(folder / TILES, folder / MODEL)
    archive_add(folder / TILES, manifest)
    return True


def search_demo_archive(folder: Path, run: Path) -> None:
    """Search the archive in ``folder`` with a voice of the test split, and say what is found."""
    voices = read_codes(run / "codes.h5").voices
    place = voices.splits.index("test")
    voice = folder / "set" / voices.names[place]
    found = search(folder / TILES, voice=voice, count=5)
    say(f'ivr search {folder / TILES} --voice {voice} --count 5\n"{voices.captions[place]}"')
    say(repr(found))
