"""Of generated odd files each is read as an independent reader reads it, or refused in one line.

``IVR_FUZZ_FILES`` is the number of files of each modality; ``make fuzz`` takes 400.
"""

import os
from collections import Counter

import numpy as np
import pytest
from odd_pictures import OddFile, odd_picture
from odd_voices import LENGTHLESS, odd_voice
from sound_files import by_soundfile, truth_of, whole_numbers

from ivr.features.image_file import decode_image
from ivr.features.media import MediaError
from ivr.features.voice_file import recording_of

FILES = int(os.environ.get("IVR_FUZZ_FILES", "40"))


def picture_outcome(file: OddFile) -> str:
    """Return ``refused`` or ``read``; fails if the picture is not what a reader must see."""
    try:
        found = decode_image(file.data)
    except MediaError as error:
        assert file.damage, f"{file.kind}: a whole file is refused: {error}"
        assert "\n" not in str(error)
        return "refused"
    if not file.damage and file.truth is not None:
        np.testing.assert_array_equal(found, file.truth, file.kind)
        return "read"
    reference = file.reference(file.data)
    same_as_whole = file.truth is not None and np.array_equal(found, file.truth)
    assert same_as_whole or (reference is not None and np.array_equal(found, reference)), (
        f"{file.kind}, {file.damage}: neither the whole picture nor what the reference reads"
    )
    return "read"


def voice_outcome(file: OddFile) -> str:
    """Return ``refused`` or ``read``; fails if the samples are not what a reader must hear."""
    try:
        found = recording_of(file.data).samples
    except MediaError as error:
        assert file.damage, f"{file.kind}: a whole file is refused: {error}"
        assert "\n" not in str(error)
        return "refused"
    if file.truth is not None and np.array_equal(found, file.truth):
        return "read"
    assert file.damage or file.truth is None, f"{file.kind}: other samples"
    reference = file.reference(file.data)
    assert reference is not None, f"{file.kind}, {file.damage}: the reference refuses it"
    assert len(found) == len(reference), (
        f"{file.kind}, {file.damage}: {len(found)} samples, the reference has {len(reference)}"
    )
    np.testing.assert_allclose(found, reference, atol=1e-6, err_msg=f"{file.kind}, {file.damage}")
    if file.damage == "cut":
        assert file.kind.startswith(LENGTHLESS), f"{file.kind}: cut, and read as a shorter one"
    return "read"


@pytest.mark.parametrize("seed", range(FILES))
def test_an_odd_picture_is_read_as_gdal_or_pil_read_it_or_refused(seed: int) -> None:
    picture_outcome(odd_picture(seed))


@pytest.mark.parametrize("seed", range(FILES))
def test_an_odd_voice_is_read_as_libsndfile_or_ffmpeg_read_it_or_refused(seed: int) -> None:
    voice_outcome(odd_voice(seed))


def test_bytes_after_the_end_of_an_au_file_are_no_sound() -> None:
    integers = whole_numbers(500, 16)
    data = by_soundfile((integers << 16).astype(np.int32), 16_000, "AU", "PCM_16")
    np.testing.assert_array_equal(
        recording_of(data + bytes(range(200))).samples, truth_of(integers, 16)
    )


def test_whole_and_damaged_files_of_many_kinds_are_drawn() -> None:
    for draw in (odd_picture, odd_voice):
        drawn = [draw(seed) for seed in range(40)]
        assert len({file.kind for file in drawn}) >= 15
        counts = Counter(bool(file.damage) for file in drawn)
        assert min(counts[True], counts[False]) >= 10


def main(files: int) -> None:
    """Print how many of ``files`` files per modality are read and refused; fail as the tests do."""
    print("modality | whole, read | damaged, read as the reference | damaged, refused")
    for what, draw, outcome in (
        ("pictures", odd_picture, picture_outcome),
        ("voices", odd_voice, voice_outcome),
    ):
        drawn = map(draw, range(files))
        counts = Counter((bool(file.damage), outcome(file)) for file in drawn)
        cells = counts[False, "read"], counts[True, "read"], counts[True, "refused"]
        print(" | ".join(map(str, (what, *cells))))


if __name__ == "__main__":
    main(FILES)
