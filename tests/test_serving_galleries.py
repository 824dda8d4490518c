"""What the service searches as the archive changes."""

import shutil
from pathlib import Path

import numpy as np
from archive_rows import empty_archive, item_rows

import ivr
from ivr.pipeline.archive.archive import Archive, open_archive
from ivr.pipeline.archive.lance_library import ArchiveError
from ivr.pipeline.packing.search import STREAM, EncodedQuery
from ivr.pipeline.serving.galleries import ArchiveGallery, Asked

QUERY = EncodedQuery(STREAM, np.zeros((1, 2), np.uint8), ())


def archive_of_two(place: Path) -> Archive:
    archive = empty_archive(place)
    archive.append(item_rows(["a", "b"], [[0, 1], [0, 0]]))
    return archive


def names(gallery: ArchiveGallery) -> list[str]:
    return [hit.name for hit in gallery.nearest(QUERY, "image", Asked(), None).hits]


def test_a_gallery_follows_the_archive(tmp_path: Path) -> None:
    gallery = ArchiveGallery(archive_of_two(tmp_path / "tiles"), index=False)
    assert (names(gallery), gallery.counts()) == (["b", "a"], {"image": 2, "voice": 0})
    gallery.refresh()
    writer = open_archive(tmp_path / "tiles")
    writer.append(item_rows(["c"], [[255, 255]]))
    writer.remove("name = 'b'")
    gallery.refresh()
    assert (names(gallery), gallery.counts()) == (["a", "c"], {"image": 2, "voice": 0})
    assert gallery.version == writer.version


def test_a_gallery_with_an_index_holds_no_codes(tmp_path: Path) -> None:
    gallery = ArchiveGallery(archive_of_two(tmp_path / "tiles"), index=True)
    open_archive(tmp_path / "tiles").append(item_rows(["c"], [[255, 255]]))
    gallery.refresh()
    assert gallery.counts() == {"image": 3, "voice": 0}
    assert gallery.archive._codes == {}
    try:
        names(gallery)
    except ArchiveError as error:
        assert "has no index; make one with ivr archive index" in str(error)
    else:
        raise AssertionError("an archive without an index was searched by it")


def test_a_version_that_a_compaction_dropped_is_left_for_the_newest(tmp_path: Path) -> None:
    gallery = ArchiveGallery(archive_of_two(tmp_path / "tiles"), index=False)
    (hit,) = gallery.nearest(QUERY, "image", Asked(count=1), None).hits
    writer = open_archive(tmp_path / "tiles")
    writer.append(item_rows(["c"], [[255, 255]]))
    ivr.archive_compact(tmp_path / "tiles", days=0)
    assert names(gallery) == ["b", "a", "c"]
    assert gallery.version > 2

    writer.append(item_rows(["d"], [[255, 255]]))
    ivr.archive_compact(tmp_path / "tiles", days=0)
    assert gallery.file_row(hit.row_id)["file"] == "b"


def test_an_archive_that_is_gone_is_told_as_such(tmp_path: Path) -> None:
    gallery = ArchiveGallery(archive_of_two(tmp_path / "tiles"), index=False)
    error = ArchiveError("of another kind")
    assert not gallery.is_gone(error)
    shutil.rmtree(tmp_path / "tiles")
    assert gallery.is_gone(error)
