import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from ivr.features.atomic_files import InTheWayError, file_digest
from ivr.features.image_file import READER
from ivr.features.store import StoreError, open_table, write_table
from ivr.hashing.codes import unpack
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, read_manifest, write_manifest
from ivr.pipeline.extraction.feature_dataset import open_features
from ivr.pipeline.runs import encode as stage
from ivr.pipeline.runs.codes_file import CodedItems, read_codes
from ivr.pipeline.runs.encode import encode_run
from ivr.pipeline.runs.run_config import RunConfig
from ivr.pipeline.runs.run_folder import (
    RunError,
    load_model,
    read_config,
    read_json,
    write_tensors,
)
from ivr.pipeline.runs.train import train_run

CONFIG = RunConfig(
    bits=24,
    streams=("mfcc", "delta"),
    options=("network.voice_channels=8", "network.voice_stride=1", "network.voice_kernel=3"),
    training=TrainConfig(epochs=1, batch_size=6, learning_rate=0.01),
    device="cpu",
)


@pytest.fixture(scope="module")
def run(features: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run, read only."""
    return train_run(features, tmp_path_factory.mktemp("runs") / "run", CONFIG)


@pytest.fixture
def archive(features: Path, tmp_path: Path) -> Path:
    """Features made with the settings of the run, of six other images and ten voices."""
    folder = Path(shutil.copytree(features, tmp_path / "archive"))
    rows = []
    for number, row in enumerate(read_manifest(folder / "manifest.csv").rows[:11]):
        rows.append(ManifestRow(row.image, row.voice if number else "", "", speaker=f"s{number}"))
    write_manifest(folder / "manifest.csv", Manifest(tuple(rows)))
    for name, kind, count in (
        ("images.h5", "image features", 6),
        ("voices.h5", "voice features", 11),
    ):
        table = open_table(folder / name, kind)
        columns = {column: table.read(column)[:count] for column in table.columns}
        write_table(folder / name, kind, table.config, columns)
    return folder


def made_with(features: Path, folder: Path, name: str, **settings: object) -> Path:
    """A copy of ``features`` whose table ``name`` says that it was made with ``settings``."""
    shutil.copytree(features, folder)
    table = open_table(folder / f"{name}s.h5", f"{name} features")
    columns = {column: table.read(column) for column in table.columns}
    config = {**table.config, "settings": {**table.config["settings"], **settings}}
    write_table(folder / f"{name}s.h5", table.kind, config, columns)
    return folder


def model_outputs(run: Path, features: Path) -> tuple[np.ndarray, np.ndarray]:
    """What the model of ``run`` puts out for every item, one by one."""
    model, data = (
        load_model(run, read_config(run), torch.device("cpu")).eval(),
        open_features(features),
    )
    images, voices = [], []
    with torch.no_grad():
        for item in data.image_items():
            images.append(model.encode_images(torch.tensor(data.image_vectors([item.name]))))
        for item in data.voice_items():
            vectors, frames = data.voice_vectors([item.name], ("mfcc", "delta"))
            voices.append(
                model.encode_voices(*model.pool(torch.tensor(vectors), torch.tensor(frames)))
            )
    return torch.cat(images).numpy(), torch.cat(voices).numpy()


def expected_codes(outputs: np.ndarray) -> np.ndarray:
    return np.where(outputs < 0, -1, 1)


def test_the_codes_in_the_file_are_the_signs_of_the_outputs(features: Path, run: Path) -> None:
    codes = read_codes(run / "codes.h5")
    images, voices = model_outputs(run, features)
    np.testing.assert_array_equal(unpack(codes.images.codes, 24), expected_codes(images))
    np.testing.assert_array_equal(unpack(codes.voices.codes, 24), expected_codes(voices))
    assert codes.images.codes.shape == (18, 3)


def test_items_stand_beside_their_codes_with_all_that_the_manifest_says(
    features: Path, run: Path
) -> None:
    codes, data = read_codes(run / "codes.h5"), open_features(features)
    splits = read_json(run / "splits.json")
    for coded, items in ((codes.images, data.image_items()), (codes.voices, data.voice_items())):
        assert coded.names == tuple(item.name for item in items)
        assert coded.labels == tuple(item.label for item in items)
        assert coded.images == tuple(item.image for item in items)
        assert coded.splits == tuple(splits[item.name] for item in items)


def test_the_file_says_which_model_and_which_features_it_was_made_from(
    features: Path, run: Path
) -> None:
    config = read_codes(run / "codes.h5").config
    assert config["model"] == file_digest(run / "model.safetensors")
    assert config["features"] == open_features(features).digests()
    assert config["run"]["bits"] == 24


def test_codes_do_not_depend_on_the_block_in_which_they_are_made(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "BLOCK", 5)
    path = encode_run(run, out=tmp_path / "codes.h5", device="cpu")
    ours, theirs = (read_codes(file) for file in (run / "codes.h5", path))
    assert ours.images.names == theirs.images.names
    np.testing.assert_array_equal(ours.images.codes, theirs.images.codes)
    np.testing.assert_array_equal(ours.voices.codes, theirs.voices.codes)


def test_the_runs_own_features_keep_its_splits_wherever_the_codes_go(
    run: Path, tmp_path: Path
) -> None:
    path = encode_run(run, out=tmp_path / "new" / "codes.h5", device="cpu")
    own = read_codes(run / "codes.h5")
    assert read_codes(path).images.splits == own.images.splits
    assert set(own.images.splits) == {"train", "val", "test"}


def test_the_runs_own_features_are_known_wherever_they_lie(
    features: Path, run: Path, tmp_path: Path
) -> None:
    run = Path(shutil.copytree(run, tmp_path / "run"))
    moved = Path(shutil.copytree(features, tmp_path / "moved"))
    before = (run / "codes.h5").read_bytes()
    (run / "codes.h5").unlink()
    assert encode_run(run, features=moved, device="cpu") == run / "codes.h5"
    assert read_codes(run / "codes.h5").images.splits == splits_of(before, tmp_path)


def splits_of(content: bytes, folder: Path) -> tuple[str, ...]:
    (folder / "before.h5").write_bytes(content)
    return read_codes(folder / "before.h5").images.splits


def test_an_archive_is_encoded_to_a_file_of_its_own(
    run: Path, archive: Path, tmp_path: Path
) -> None:
    with pytest.raises(RunError, match=r"archive: not the features of .*say where .* --out"):
        encode_run(run, features=archive, device="cpu")
    path = encode_run(run, features=archive, out=tmp_path / "codes.h5", device="cpu")
    codes, own = read_codes(path), read_codes(run / "codes.h5")
    assert len(codes.images.names) == 6
    assert len(codes.voices.names) == 10
    assert set(codes.images.splits) == {""}
    assert codes.voices.speakers == tuple(f"s{number}" for number in range(1, 11))
    np.testing.assert_array_equal(codes.images.codes, own.images.codes[:6])
    np.testing.assert_array_equal(codes.voices.codes, own.voices.codes[1:11])


def test_an_archive_of_images_alone_is_encoded(run: Path, archive: Path, tmp_path: Path) -> None:
    rows = [
        ManifestRow(row.image, "", "") for row in read_manifest(archive / "manifest.csv").rows[::2]
    ]
    write_manifest(archive / "manifest.csv", Manifest(tuple(rows)))
    (archive / "voices.h5").unlink()
    codes = read_codes(encode_run(run, features=archive, out=tmp_path / "codes.h5", device="cpu"))
    assert (len(codes.images.names), len(codes.voices.names)) == (6, 0)
    assert codes.voices.codes.shape == (0, 3)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("image", {"encoder": "resnet50"}, "images were made with encoder resnet50, .* made up"),
        (
            "image",
            {"layer": "pool"},
            "images were made with layer pool, .* trained on layer not recorded",
        ),
        ("voice", {"hop": 160}, "voices were made with hop 160, .* trained on 80"),
    ],
)
def test_features_made_with_other_settings_are_refused(
    features: Path, run: Path, tmp_path: Path, name: str, settings: dict[str, object], words: str
) -> None:
    other = made_with(features, tmp_path / "other", name, **settings)
    with pytest.raises(RunError, match=words) as caught:
        encode_run(run, features=other, out=tmp_path / "codes.h5", device="cpu")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "codes.h5").exists()


def test_a_run_on_images_of_an_earlier_reader_is_not_sent_to_extract_them_again(
    features: Path, tmp_path: Path
) -> None:
    settings = {"reader": "1", "pixels": {"bands": []}}
    earlier = made_with(features, tmp_path / "earlier", "image", **settings)
    run = train_run(earlier, tmp_path / "run", CONFIG)
    now = made_with(features, tmp_path / "now", "image", **{**settings, "reader": READER})
    advice = "train a new run on these features, or encode those of the run$"
    with pytest.raises(RunError, match=advice):
        encode_run(run, features=now, out=tmp_path / "codes.h5", device="cpu")
    encode_run(run, features=earlier, out=tmp_path / "codes.h5", device="cpu")


@pytest.mark.parametrize("backend", ["fast", "torch", "librosa"])
def test_features_of_another_backend_are_encoded(
    run: Path, features: Path, tmp_path: Path, backend: str
) -> None:
    """Earlier versions kept the backend in the settings; it does not decide the vectors."""
    other = made_with(features, tmp_path / "other", "voice", backend=backend)
    path = encode_run(run, features=other, out=tmp_path / "codes.h5")
    np.testing.assert_array_equal(
        read_codes(path).voices.codes, read_codes(run / "codes.h5").voices.codes
    )


def test_a_run_that_has_not_learnt_yet_says_how_to_finish_it(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    (copy / "model.safetensors").unlink()
    with pytest.raises(RunError, match=r"no trained model yet; finish it with .* --resume"):
        encode_run(copy, device="cpu")


def test_an_output_that_is_not_a_number_has_no_code(run: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    weights = stage.load_model(copy, read_config(copy), torch.device("cpu")).state_dict()
    broken = {name: torch.full_like(t, float("nan")) if t.is_floating_point() else t
              for name, t in weights.items()}  # fmt: skip
    write_tensors(copy / "model.safetensors", broken)
    with pytest.raises(ValueError, match="NaN in the outputs of 18 of 18 items") as caught:
        encode_run(copy, device="cpu")
    assert type(caught.value).__module__.startswith("ivr.")


@pytest.mark.parametrize("name", ["model.safetensors", "images.h5", "nothing.h5"])
def test_a_file_that_holds_no_codes_is_refused(
    features: Path, run: Path, tmp_path: Path, name: str
) -> None:
    for folder in (run, features):
        if (folder / name).exists():
            shutil.copy(folder / name, tmp_path)
    with pytest.raises(StoreError, match=f"{name}: (not a readable HDF5|holds '?image|no such)"):
        read_codes(tmp_path / name)


def test_selected_items_keep_their_columns_together() -> None:
    items = CodedItems(
        ("a", "b", "c"), np.array([[1], [2], [3]], np.uint8), ("x", "y", "z"),
        ("train", "val", "test"), ("i", "j", "k"), ("p", "q", "r"), ("s", "t", "u"),
    )  # fmt: skip
    chosen = items.select([2, 0])
    assert chosen.codes.tolist() == [[3], [1]]
    assert [getattr(chosen, name) for name in ("names", "labels", "splits", "images")] == [
        ("c", "a"), ("z", "x"), ("test", "train"), ("k", "i"),
    ]  # fmt: skip
    assert (chosen.speakers, chosen.captions) == (("r", "p"), ("u", "s"))


@pytest.mark.parametrize("place", ["model.safetensors", "config.json", "images.h5", "link.h5"])
def test_codes_replace_nothing_but_codes(
    features: Path, run: Path, tmp_path: Path, place: str
) -> None:
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    shutil.copy(features / "images.h5", copy / "images.h5")
    (copy / "link.h5").symlink_to(copy / "codes.h5")
    before = {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    with pytest.raises(InTheWayError, match=f"{place}: "):
        encode_run(copy, out=copy / place, device="cpu")
    assert before == {path.name: path.read_bytes() for path in copy.iterdir() if path.is_file()}
    encode_run(copy, out=copy / "codes.h5", device="cpu")
