from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ivr.cli import main
from ivr.features.store import open_table, text_column, write_table
from ivr.pipeline.extraction.feature_schema import IMAGES


def ivr(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def features(tmp_path: Path) -> Path:
    vectors = np.array([[1, 2], [3, 4]], np.float32)
    columns = {"names": text_column(["a", "b"]), "vectors": vectors}
    write_table(tmp_path / "images.h5", IMAGES, {"settings": {}}, columns)
    return tmp_path


def test_a_whole_file_is_said_to_be_whole(features: Path) -> None:
    result = ivr("verify", features)
    assert (result.exit_code, result.stdout) == (0, f"{features / 'images.h5'}: whole\n")


def test_a_flipped_bit_of_a_vector_is_found(features: Path) -> None:
    path = features / "images.h5"
    place = open_table(path, IMAGES).columns["vectors"].offset
    content = bytearray(path.read_bytes())
    content[place + 5] ^= 1
    path.write_bytes(content)
    result = ivr("verify", features)
    assert result.exit_code == 1
    assert result.stdout == f"{path}: damaged, its content does not match its sha256\n"


def test_a_folder_without_files_of_ours_is_refused(tmp_path: Path) -> None:
    result = ivr("verify", tmp_path)
    assert result.exit_code == 1
    assert "holds neither digests.json nor images.h5, voices.h5, codes.h5" in result.stderr
