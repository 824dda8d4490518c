import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_VOICE

from ivr.features.store import StoreError, open_table, text_column, write_table
from ivr.pipeline.datasets.manifest import Manifest, ManifestError, ManifestRow, write_manifest
from ivr.pipeline.extraction.feature_dataset import STREAMS, open_features
from ivr.pipeline.extraction.feature_schema import IMAGES, VOICES


@pytest.fixture
def folder(tmp_path: Path, features: Path) -> Path:
    """A copy of the made-up features that a test may change."""
    return Path(shutil.copytree(features, tmp_path / "features"))


def test_every_item_of_the_manifest_is_found_by_its_name(features: Path) -> None:
    data = open_features(features)
    assert (len(data.image_items()), len(data.voice_items())) == (18, 36)
    assert data.images is not None
    assert data.voices is not None
    names = [item.name for item in data.image_items()][::-5]
    stored = dict(zip(data.images.text("names"), data.images.read("vectors"), strict=True))
    np.testing.assert_array_equal(data.image_vectors(names), [stored[name] for name in names])


def test_streams_are_chosen_by_name_in_the_order_asked_for(features: Path) -> None:
    data = open_features(features)
    assert data.voices is not None
    names = [data.voice_items()[row].name for row in (7, 3)]
    row = {name: row for row, name in enumerate(data.voices.text("names"))}
    shape = (3, TINY_VOICE.coefficients, TINY_VOICE.frames)
    stored = data.voices.read("vectors").reshape(-1, *shape)[[row[name] for name in names]]
    frames = data.voices.read("frames")[[row[name] for name in names]]
    for streams, chosen in {
        ("mfcc", "delta", "delta-delta"): [0, 1, 2],
        ("delta-delta", "mfcc"): [2, 0],
        ("delta",): [1],
    }.items():
        vectors, lengths = data.voice_vectors(names, streams)
        np.testing.assert_array_equal(vectors, stored[:, chosen])
        np.testing.assert_array_equal(lengths, frames)
    assert not np.array_equal(stored[:, 0], stored[:, 2])


def test_no_names_give_no_vectors(features: Path) -> None:
    data = open_features(features)
    assert data.image_vectors([]).shape == (0, 32)
    assert data.voice_vectors([], ("delta",))[0].shape == (0, 1, 5, 40)


def test_half_precision_images_come_back_as_float32_and_voices_as_stored(folder: Path) -> None:
    for kind, name in ((IMAGES, "images.h5"), (VOICES, "voices.h5")):
        table = open_table(folder / name, kind)
        columns = {column: table.read(column) for column in table.columns}
        columns["vectors"] = columns["vectors"].astype(np.float16)
        write_table(folder / name, kind, table.config, columns)
    data = open_features(folder)
    assert data.image_vectors([data.image_items()[0].name]).dtype == np.float32
    assert data.voice_vectors([data.voice_items()[0].name], ("mfcc",))[0].dtype == np.float16


def test_items_without_a_vector_are_left_out(folder: Path) -> None:
    rows = (
        ManifestRow("images/forest/0.png", "voices/forest/0_0.wav", "forest"),
        ManifestRow("images/damaged.png", "voices/damaged.wav", "forest"),
    )
    write_manifest(folder / "manifest.csv", Manifest(rows))
    data = open_features(folder)
    assert [item.name for item in data.image_items()] == ["images/forest/0.png"]
    assert [item.name for item in data.voice_items()] == ["voices/forest/0_0.wav"]


def test_digests_tell_features_apart(folder: Path) -> None:
    before = open_features(folder).digests()
    assert set(before) == {"images", "voices"}
    table = open_table(folder / "images.h5", IMAGES)
    vectors = table.read("vectors")
    vectors[0, 0] += 1
    write_table(
        folder / "images.h5",
        IMAGES,
        table.config,
        {name: table.read(name) for name in ("names", "stamps")} | {"vectors": vectors},
    )
    after = open_features(folder).digests()
    assert after["images"] != before["images"]
    assert after["voices"] == before["voices"]


def test_a_modality_that_the_manifest_lacks_is_none(folder: Path) -> None:
    write_manifest(
        folder / "manifest.csv", Manifest((ManifestRow("", "voices/forest/0_0.wav", "a"),))
    )
    data = open_features(folder)
    assert data.images is None
    assert data.image_settings() == {}
    assert data.voice_settings()["shape"] == [3, 5, 40]
    assert set(data.digests()) == {"voices"}
    with pytest.raises(StoreError, match=r"has no images\.h5"):
        data.image_vectors(["a"])
    write_manifest(
        folder / "manifest.csv", Manifest((ManifestRow("images/forest/0.png", "", "a"),))
    )
    with pytest.raises(StoreError, match=r"has no voices\.h5"):
        open_features(folder).voice_vectors(["a"], ("mfcc",))


def test_what_is_no_finished_folder_is_told_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(
        StoreError, match="no features here; make them with ivr extract MANIFEST --out"
    ):
        open_features(tmp_path)
    (folder / "voices.h5").unlink()
    with pytest.raises(StoreError, match=r"voices\.h5: not finished; call the same ivr extract"):
        open_features(folder)
    (folder / "manifest.csv").write_text("image,voice\n")
    with pytest.raises(ManifestError, match="no column label"):
        open_features(folder)


def test_images_in_the_place_of_voices_are_refused(folder: Path) -> None:
    shutil.copy(folder / "images.h5", folder / "voices.h5")
    with pytest.raises(StoreError, match="holds 'image features', not 'voice features'"):
        open_features(folder)


NAMES, VECTORS = text_column(["a", "b"]), np.zeros((2, 4), np.float32)


@pytest.mark.parametrize(
    ("settings", "columns"),
    [
        ({"shape": [4]}, {"vectors": VECTORS}),
        ({"shape": [4]}, {"names": NAMES}),
        ({"shape": [4]}, {"names": VECTORS, "vectors": VECTORS}),
        ({"shape": [4]}, {"names": NAMES, "vectors": VECTORS.astype(np.int32)}),
        ({"shape": [4]}, {"names": NAMES, "vectors": VECTORS.reshape(2, 2, 2)}),
        ({"shape": [4]}, {"names": NAMES, "vectors": VECTORS, "frames": np.zeros(2, np.int32)}),
        ({"shape": [5]}, {"names": NAMES, "vectors": VECTORS}),
        ({"shape": [4.0]}, {"names": NAMES, "vectors": VECTORS}),
        ({"shape": "4"}, {"names": NAMES, "vectors": VECTORS}),
        ({}, {"names": NAMES, "vectors": VECTORS}),
        ([], {"names": NAMES, "vectors": VECTORS}),
    ],
)
def test_a_table_that_extract_does_not_write_is_refused(
    folder: Path, settings: object, columns: dict[str, np.ndarray]
) -> None:
    write_table(folder / "images.h5", IMAGES, {"settings": settings}, columns)
    with pytest.raises(StoreError, match=r"images\.h5: not a table that ivr extract writes"):
        open_features(folder)


def test_a_folder_with_rows_still_in_shards_is_not_trained_on(folder: Path) -> None:
    (folder / "voices.shards").mkdir()
    with pytest.raises(StoreError, match=r"voices\.h5: not finished; call the same ivr extract"):
        open_features(folder)


def test_names_without_a_vector_are_refused_in_one_line(features: Path) -> None:
    data = open_features(features)
    with pytest.raises(
        StoreError, match=r"3 of 3 names have no image vector, e\.g\. 0; take names"
    ):
        data.image_vectors(np.arange(3))  # type: ignore[arg-type]
    voice = data.voice_items()[0].name
    with pytest.raises(StoreError, match=r"1 of 2 names have no voice vector, e\.g\. a\.wav; take"):
        data.voice_vectors([voice, "a.wav"], STREAMS)
