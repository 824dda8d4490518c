"""Odd pictures, one for each seed: every kind of file, whole or damaged."""

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from io import BytesIO
from multiprocessing import get_context
from typing import Any

import imagecodecs
import numpy as np
import rasterio
import tifffile
from PIL import Image
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning

ORIENTATION, NO_DATA = 274, 42113
DAMAGES = ("", "", "", "cut", "flipped", "zeroed", "appended")


@dataclass(frozen=True)
class OddFile:
    """A file and what is right for it.

    Attributes:
        kind: what it is, in words.
        damage: what was done to it, ``""`` for nothing.
        data: its content.
        truth: what a reader must see if the damage does not touch it; None if the kind is lossy.
        reference: returns what an independent reader sees in ``data``; None if it refuses.
    """

    kind: str
    damage: str
    data: bytes
    truth: np.ndarray | None
    reference: Callable[[bytes], np.ndarray | None]


def odd_picture(seed: int) -> OddFile:
    """Return the picture of ``seed``; what is right is uint8 [3, height, width]."""
    rng = np.random.default_rng([seed, 1])
    make = rng.choice([_tiff, _tiff, _tiff, _jpeg, _png, _jpeg_2000])  # type: ignore[arg-type]
    whole = make(rng)
    damage = str(rng.choice(DAMAGES))
    return replace(whole, damage=damage, data=damaged(whole.data, damage, rng))


def damaged(data: bytes, damage: str, rng: np.random.Generator) -> bytes:
    """Return ``data`` after ``damage``."""
    place = int(rng.integers(8, len(data)))
    if damage == "cut":
        return data[:place]
    if damage == "flipped":
        return data[:place] + bytes([data[place] ^ 1 << int(rng.integers(8))]) + data[place + 1 :]
    if damage == "zeroed":
        count = min(int(rng.integers(1, 200)), len(data) - place)
        return data[:place] + bytes(count) + data[place + count :]
    if damage == "appended":
        return data + rng.bytes(int(rng.integers(1, 300)))
    return data


def _tiff(rng: np.random.Generator) -> OddFile:
    dtype = str(rng.choice(["u1", "u1", "u2", "u4", "i1", "i2", "i4", "f4", "f8"]))
    photometric = str(rng.choice(["minisblack", "miniswhite", "rgb"]))
    bands = {"rgb": int(rng.integers(3, 5))}.get(photometric, int(rng.choice([1, 1, 3, 5])))
    if photometric == "miniswhite":
        bands, dtype = 1, dtype.replace("f", "u").replace("i", "u").replace("u8", "u4")
    values = _values(rng, dtype, (bands, *rng.integers(17, 41, 2)))
    no_data = rng.choice([None, 7])  # type: ignore[arg-type]
    tags = [(ORIENTATION, 3, 1, int(rng.integers(1, 9)), True)]
    if no_data:
        tags.append((NO_DATA, 2, 0, str(no_data), True))
    options: dict[str, Any] = {
        "photometric": photometric,
        "compression": rng.choice([None, "lzw", "deflate", "packbits", "zstd"]),
        "extratags": tags,
    }
    if bands > 1:
        options["planarconfig"] = str(rng.choice(["contig", "separate"]))
        options["extrasamples"] = ["unspecified"] * (bands - (3 if photometric == "rgb" else 1))
    if rng.random() < 0.3:
        options["tile"] = (16, 16)
    elif rng.random() < 0.5:
        options["rowsperstrip"] = int(rng.integers(1, 20))
    if options["compression"] in ("lzw", "deflate", "zstd") and dtype[0] != "f":
        options["predictor"] = bool(rng.integers(2))
    laid = values if options.get("planarconfig") == "separate" else values.transpose(1, 2, 0)
    buffer = BytesIO()
    form = {"byteorder": str(rng.choice(["<", ">"])), "bigtiff": bool(rng.integers(2))}
    with tifffile.TiffWriter(buffer, **form) as file:
        file.write(laid if bands > 1 else values[0], metadata=None, **options)
        if rng.random() < 0.2:
            file.write(np.zeros((4, 4), np.uint8), subfiletype=1, metadata=None)
    valid = values != no_data if no_data else np.ones(values.shape, bool)
    inverted = photometric == "miniswhite"
    truth = shown(values[:3], valid[:3], inverted=inverted)
    words = ("tiff", dtype, f"{bands} bands", photometric, options["compression"] or "plain")
    return OddFile(" ".join(map(str, words)), "", buffer.getvalue(), truth, _by_gdal("GTiff"))


def _values(rng: np.random.Generator, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    if dtype[0] == "f":
        return rng.normal(0, 100, shape).round().astype(dtype)
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -30_000), min(limits.max, 30_000)
    return rng.integers(low, high, shape, endpoint=True).astype(dtype)


def shown(values: np.ndarray, valid: np.ndarray, *, inverted: bool = False) -> np.ndarray:
    """Return the picture of values [1 or 3, height, width] as the documentation says."""
    if inverted:
        values = np.iinfo(values.dtype).max - values
    if values.dtype == np.uint8:
        picture = np.where(valid, values, 0)
    else:
        low, high = np.percentile(values[valid].astype(np.float64), (2, 98))
        known = np.where(valid, values, low).astype(np.float64)
        scaled = (known - low) * (255 / max(high - low, 1e-30))
        picture = np.where(valid, np.rint(np.clip(scaled, 0, 255)), 0)
    return np.broadcast_to(picture, (3, *values.shape[1:])).astype(np.uint8)


def _jpeg(rng: np.random.Generator) -> OddFile:
    mode = str(rng.choice(["L", "RGB", "CMYK"]))
    channels = {"L": (), "RGB": (3,), "CMYK": (4,)}[mode]
    pixels = rng.integers(0, 256, (*rng.integers(17, 41, 2), *channels), np.uint8)
    options = {
        "quality": int(rng.integers(30, 100)),
        "progressive": bool(rng.integers(2)),
        "restart_marker_rows": int(rng.integers(0, 3)),
    }
    if mode == "RGB":
        options["subsampling"] = int(rng.integers(0, 3))
    exif = Image.Exif()
    exif[ORIENTATION] = int(rng.integers(1, 9))
    buffer = BytesIO()
    Image.fromarray(pixels, mode).save(buffer, "JPEG", exif=exif, **options)
    kind = f"jpeg {mode} {'progressive' if options['progressive'] else 'sequential'}"
    return OddFile(kind, "", buffer.getvalue(), None, _by_pil("JPEG"))


def _png(rng: np.random.Generator) -> OddFile:
    mode = str(rng.choice(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]))
    size = tuple(int(n) for n in rng.integers(17, 41, 2))
    if mode == "I;16":
        deep = rng.integers(0, 65_536, (1, *size), np.uint16)
        image, truth = Image.fromarray(deep[0]), shown(deep, np.ones(deep.shape, bool))
    else:
        colours = rng.integers(0, 256, (*size, 4), np.uint8)
        image = Image.fromarray(colours, "RGBA").convert(mode)
        rgba = np.asarray(image.convert("RGBA"))
        truth = np.where(rgba[..., 3:] > 0, rgba[..., :3], 0).transpose(2, 0, 1).astype(np.uint8)
    buffer = BytesIO()
    image.save(buffer, "PNG", optimize=bool(rng.integers(2)))
    return OddFile(f"png {mode}", "", buffer.getvalue(), truth, _by_pil("PNG"))


def _jpeg_2000(rng: np.random.Generator) -> OddFile:
    dtype, bands = str(rng.choice(["u1", "u2"])), int(rng.choice([1, 3]))
    values = _values(rng, dtype, (bands, *rng.integers(17, 41, 2)))
    laid = values.transpose(1, 2, 0) if bands > 1 else values[0]
    form = str(rng.choice(["jp2", "j2k"]))
    data = imagecodecs.jpeg2k_encode(
        np.ascontiguousarray(laid), level=0, reversible=True, codecformat=form
    )
    truth = shown(values, np.ones(values.shape, bool))
    kind = f"jpeg 2000 {form} {dtype} {bands} bands"
    return OddFile(kind, "", bytes(data), truth, _by_gdal("JP2OpenJPEG"))


# --- independent readers --------------------------------------------------------------------------


def _by_pil(kind: str) -> Callable[[bytes], np.ndarray | None]:
    def read(data: bytes) -> np.ndarray | None:
        try:
            image = Image.open(BytesIO(data), formats=(kind,))
            if image.mode == "I;16":
                deep = np.asarray(image)[None]
                return shown(deep, np.ones(deep.shape, bool))
            rgba = np.asarray(image.convert("RGBA"))
        except Exception:  # whatever it is, it is a refusal
            return None
        picture = np.where(rgba[..., 3:] > 0, rgba[..., :3], 0)
        return np.ascontiguousarray(picture.transpose(2, 0, 1))

    return read


def _by_gdal(driver: str) -> Callable[[bytes], np.ndarray | None]:
    def read(data: bytes) -> np.ndarray | None:
        # In a process of its own: damaged files may crash GDAL.
        with ProcessPoolExecutor(1, get_context("spawn")) as pool:
            try:
                found = pool.submit(gdal_bands, data, driver).result(120)
            except Exception:  # a crash is a refusal too
                return None
        return None if found is None else shown(**found)

    return read


def gdal_bands(data: bytes, driver: str) -> Mapping[str, Any] | None:
    """Return the arguments of :func:`shown` as GDAL reads them; None if it refuses."""
    try:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        with rasterio.MemoryFile(data) as file, file.open(driver=driver) as dataset:
            values, masks = dataset.read(), dataset.read_masks() != 0
            white = dataset.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE") == "YES"
            colours = list(dataset.colorinterp)
    except Exception:
        return None
    kept = [band for band, colour in enumerate(colours) if colour is not ColorInterp.alpha]
    return {"values": values[kept[:3]], "valid": masks[kept[:3]], "inverted": white}
