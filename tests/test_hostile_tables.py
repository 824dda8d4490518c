"""Crafted HDF5 files end every command in one line, and no file that they point to is opened.

Each of them points to a pipe that nobody writes to: whoever opens it waits until the alarm.
"""

import os
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from child_calls import Call, outcomes
from tiny_world import SHORT, TINY, World, tiny_nets

PIPE = "pipe"
Craft = Callable[[h5py.File, Path], None]


def external_link(file: h5py.File, pipe: Path) -> None:
    del file["vectors"]
    file["vectors"] = h5py.ExternalLink(str(pipe), "vectors")


def further_external_link(file: h5py.File, pipe: Path) -> None:
    file["extra"] = h5py.ExternalLink(str(pipe), "vectors")


def external_names(file: h5py.File, pipe: Path) -> None:
    del file["names"]
    file["names"] = h5py.ExternalLink(str(pipe), "names")


def external_storage(file: h5py.File, pipe: Path) -> None:
    shape, dtype = file["vectors"].shape, file["vectors"].dtype
    del file["vectors"]
    external = [(str(pipe), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("vectors", shape, dtype, external=external)


def virtual(file: h5py.File, pipe: Path) -> None:
    shape, dtype = file["vectors"].shape, file["vectors"].dtype
    del file["vectors"]
    layout = h5py.VirtualLayout(shape, dtype)
    layout[:] = h5py.VirtualSource(str(pipe), "vectors", shape)
    file.create_virtual_dataset("vectors", layout)


def soft_link(file: h5py.File, pipe: Path) -> None:
    file.move("vectors", "hidden")
    file["vectors"] = h5py.SoftLink("/hidden")


def circle_of_links(file: h5py.File, pipe: Path) -> None:
    del file["vectors"]
    file["vectors"] = h5py.SoftLink("/circle")
    file["circle"] = h5py.SoftLink("/vectors")


def sparse_giant(file: h5py.File, pipe: Path) -> None:
    del file["vectors"]
    file.create_dataset("vectors", (12, 2**40), "f4")


def chunked_giant(file: h5py.File, pipe: Path) -> None:
    del file["vectors"]
    file.create_dataset("vectors", (12, 2**40), "f4", chunks=(1, 1024))


def gzip_bomb(file: h5py.File, pipe: Path) -> None:
    del file["vectors"]
    zeros = np.zeros((12, 2**20), "f4")
    file.create_dataset("vectors", data=zeros, compression="gzip", chunks=(12, 2**20))


def object_references(file: h5py.File, pipe: Path) -> None:
    del file["vectors"]
    file.create_dataset("vectors", data=[file["names"].ref] * 12, dtype=h5py.ref_dtype)


def region_references(file: h5py.File, pipe: Path) -> None:
    region = file["names"].regionref[:]
    del file["vectors"]
    file.create_dataset("vectors", data=[region] * 12, dtype=h5py.regionref_dtype)


def variable_text(file: h5py.File, pipe: Path) -> None:
    del file["names"]
    file.create_dataset("names", data=["a"] * 12, dtype=h5py.string_dtype())


def variable_arrays(file: h5py.File, pipe: Path) -> None:
    del file["vectors"]
    file.create_dataset("vectors", (12,), h5py.vlen_dtype(np.float32))


def committed_type(file: h5py.File, pipe: Path) -> None:
    file["extra"] = np.dtype("f4")


def group(file: h5py.File, pipe: Path) -> None:
    file.create_group("extra")


def vast_attribute(file: h5py.File, pipe: Path) -> None:
    del file.attrs["config"]
    file.attrs["config"] = np.bytes_(b"[" * 60_000)


def array_attribute(file: h5py.File, pipe: Path) -> None:
    del file.attrs["config"]
    file.attrs["config"] = np.full(30_000, b"{}")


def attribute_of_variable_length(file: h5py.File, pipe: Path) -> None:
    config = file.attrs["config"].decode()
    del file.attrs["config"]
    file.attrs["config"] = config


def attribute_of_references(file: h5py.File, pipe: Path) -> None:
    del file.attrs["kind"]
    file.attrs.create("kind", file["names"].ref, dtype=h5py.ref_dtype)


CRAFTS: list[Craft] = [
    external_link,
    further_external_link,
    external_names,
    external_storage,
    virtual,
    soft_link,
    circle_of_links,
    sparse_giant,
    chunked_giant,
    gzip_bomb,
    object_references,
    region_references,
    variable_text,
    variable_arrays,
    committed_type,
    group,
    vast_attribute,
    array_attribute,
    attribute_of_variable_length,
    attribute_of_references,
]


@pytest.mark.parametrize("name", ["images.h5", "voices.h5"])
def test_a_crafted_table_is_refused_by_every_command_and_leads_nowhere(
    name: str, world: World, tmp_path: Path
) -> None:
    pipe, calls = tmp_path / PIPE, []
    os.mkfifo(pipe)
    for craft in CRAFTS:
        folder = tmp_path / craft.__name__
        table = tmp_path / f"{craft.__name__}.h5"
        table.write_bytes((world.features / name).read_bytes())
        with h5py.File(table, "r+") as file:
            craft(file, pipe)
        calls += [
            Call(arguments, world.features, folder, name, table.read_bytes())
            for arguments in (
                ("verify", f"{folder}"),
                ("train-hash", f"{folder}", "--out", f"{folder}/run", *SHORT),
                ("encode", f"{world.run}", "--features", f"{folder}", "--out", f"{folder}/out.h5"),
                ("extract", f"{world.media}/manifest.csv", "--out", f"{folder}", *TINY),
            )
        ]
    for one in outcomes(calls, tiny_nets):
        assert not one.fault()
        assert one.status == 1, one.call
        said = one.stdout if one.call.arguments[0] == "verify" else one.error
        assert f"{one.call.folder / name}: " in said, one
        assert len(one.stderr.splitlines()) <= 2  # the note on random weights, and the error


def test_a_pipe_in_place_of_a_manifest_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / PIPE)
    (found,) = outcomes([Call(("check", str(tmp_path / PIPE)))])
    assert not found.fault()
    assert (found.status, found.error) == (1, f"Error: {tmp_path / PIPE}: not a file")
