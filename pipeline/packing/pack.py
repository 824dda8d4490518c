"""Stage: a run to a folder with everything that a query needs, and nothing else."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivr.features.atomic_files import file_digest, replaced_text, require_writable
from ivr.features.encoder_batches import USUAL
from ivr.features.image import Encoder
from ivr.features.image_config import SIFT
from ivr.hashing.method import Method
from ivr.hashing.trainer import encode_images, encode_voices
from ivr.pipeline.runs.query_vectors import QueryVectors
from ivr.pipeline.runs.run_folder import CONFIG, MODEL, load_model, read_config, write_json
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.digests import DIGESTS, record_digests
from ivr.pipeline.runtime.lock import only_writer
from ivr.pipeline.runtime.placed_together import finish, new_aside, place, remove_aside
from ivr.pipeline.runtime.progress import progress, warn

from .calibrate import run_calibrations
from .check_inputs import MADE_UP, OF_RUN, check_inputs, features_of_run, picture_blocks
from .code_check import CodeCheck, compared, in_parts
from .int8 import int8_losses, store_int8, tested_items
from .model_card import model_card
from .model_folder import (
    CARD,
    DESCRIPTION,
    ENCODER,
    FORMAT,
    IMAGE_END,
    REQUIREMENTS,
    VOICE_END,
    WEIGHTS,
    PackError,
    is_packed,
    model_identity,
)
from .onnx_export import export_encoder, export_image_end, export_voice_end
from .onnx_sessions import CPU, Network, load_network
from .pack_config import PackConfig
from .pack_result import Int8Loss, PackPlan, PackResult, loss_rows
from .requirements import requirements_text

ASIDE = ".packing"
FILES = (DESCRIPTION, VOICE_END, IMAGE_END, CARD, REQUIREMENTS)
ENCODER_FILES = (ENCODER, f"{ENCODER}{WEIGHTS}")
OWN_FILES = (*FILES, *ENCODER_FILES, DIGESTS)
"""Files that ``ivr pack`` writes; no other file of the folder is ever removed."""


@dataclass(frozen=True, eq=False)
class _Source:
    """The run that is packed.

    Attributes:
        run: the run folder.
        config: content of its ``config.json``.
        method: its method with its weights, on the processor.
        encoder: its image encoder, None if it is left out.
        queries: the settings of its images and voices.
        model_sha256: sha256 of its weights.
    """

    run: Path
    config: Mapping[str, Any]
    method: Method
    encoder: Encoder | None
    queries: QueryVectors
    model_sha256: str


def pack(
    run: str | Path,
    out: str | Path,
    config: PackConfig | None = None,
    *,
    weights: str | None = None,
    image_root: str | Path | None = None,
    overwrite: bool = False,
    **options: Any,
) -> PackResult:
    """Write the trained model of a run as a folder that answers queries without torch.

    Holds voice end, image end and image encoder as ONNX, their preprocessing as data, a model card
    and the sha256 of every file. The codes of the packed networks are compared with those of the
    run, bit by bit; the folder appears as a whole or not at all.

    Args:
        run: a run folder with a trained model.
        out: the folder to write.
        config: how to pack; the defaults if None.
        weights: weights file of the image encoder, if the features were made with a file that has
            moved.
        image_root: folder that image names are relative to, by default the one that the extraction
            recorded: the image encoder is compared on these images, and the loss of 8-bit weights
            is measured on them. Without any the encoder is compared on made-up ones.
        overwrite: replace the packed model in ``out``, which stays until the new one is complete.
        **options: single fields in place of those of the config, e.g. ``int8=True``.

    Raises:
        PackError: the run cannot be packed, a packed network gives other codes, or ``out`` holds
            something else.
        BusyError: another process writes into ``out``.
        RunError: no finished run, or one that was fitted on arrays.
        OptionError, WeightsError, MediaError: see their modules.
    """
    chosen = with_options(config or PackConfig(), options)
    run, out = Path(run), Path(out)
    _require_place(run, out, overwrite=overwrite)
    require_writable(out)
    source = _source(run, chosen, weights)
    with only_writer(out):
        finish(out, ASIDE, _remove_own)
        _require_place(run, out, overwrite=overwrite)
        with _aside(out) as work:
            result = _packed(source, work, chosen, image_root)
            record_digests(work, [path.name for path in work.iterdir()])
            files = {path.name: path.stat().st_size for path in sorted(work.iterdir())}
            place(out, ASIDE, _remove_own)
    checks, losses, identity = result
    bits = source.method.sizes.bits
    return PackResult(out, str(source.config["method"]), bits, identity, files, checks, losses)


def plan(
    run: str | Path,
    out: str | Path,
    config: PackConfig | None = None,
    *,
    overwrite: bool = False,
    **options: Any,
) -> PackPlan:
    """Return what :func:`pack` would do with the same arguments; writes nothing.

    Raises:
        PackError, RunError, OptionError: as :func:`pack`, as far as no network is loaded.
    """
    chosen = with_options(config or PackConfig(), options)
    run, out = Path(run), Path(out)
    found = read_config(run)
    if not (run / MODEL).is_file():
        load_model(run, found, torch.device("cpu"))  # says what is missing
    _require_place(run, out, overwrite=overwrite)
    _require_packable(found, chosen)
    files = (*FILES, *(ENCODER_FILES if chosen.encoder else ()), DIGESTS)
    kind = OF_RUN if features_of_run(found) is not None else MADE_UP
    return PackPlan(out, is_packed(out), files, kind)


def _require_place(run: Path, out: Path, *, overwrite: bool) -> None:
    """Refuse to write where something else lies."""
    if out.resolve() == run.resolve():
        raise PackError(f"{out}: is the run itself; give another folder with --out")
    if not out.exists():
        return
    held = [path.name for path in out.iterdir() if not path.name.startswith(".")]
    if held and not is_packed(out):
        raise PackError(f"{out}: holds something else than a packed model; give another folder")
    if held and not overwrite:
        raise PackError(f"{out}: holds a packed model already; replace it with --overwrite")


def _require_packable(config: Mapping[str, Any], chosen: PackConfig) -> None:
    """Refuse an image encoder that onnxruntime does not compute, or computes otherwise."""
    if chosen.encoder and config["features"]["images"].get("encoder") == SIFT:
        raise PackError(
            "its image vectors come from SIFT, which ONNX does not have; pack with --no-encoder "
            "for voices alone, or search, encode and serve with the run itself"
        )
    precision = config["features"]["images"].get("precision", "float32")
    if chosen.encoder and precision != "float32":
        raise PackError(
            f"its image vectors were made in {precision}, which onnxruntime computes otherwise; "
            "extract with --precision float32, or pack with --no-encoder"
        )


def _source(run: Path, chosen: PackConfig, weights: str | None) -> _Source:
    """Return the run with its networks on the processor."""
    config = read_config(run)
    _require_packable(config, chosen)
    cpu = torch.device("cpu")
    method = load_model(run, config, cpu).eval()
    queries = QueryVectors(config, str(run / CONFIG), weights)
    if queries.voice_encoder().load is not None:
        raise PackError(
            f"{run}: its voices come from a pretrained speech encoder, which is not packed yet; "
            "search, encode and serve with the run itself"
        )
    encoder = queries.image_encoder(cpu) if chosen.encoder else None
    return _Source(run, config, method, encoder, queries, file_digest(run / MODEL))


@contextmanager
def _aside(out: Path) -> Iterator[Path]:
    """Yield a new hidden folder of ``out``; what is left of it is removed."""
    work = new_aside(out, ASIDE)
    try:
        yield work
    finally:
        remove_aside(out, ASIDE)


def _packed(
    source: _Source, work: Path, chosen: PackConfig, image_root: str | Path | None
) -> tuple[tuple[CodeCheck, ...], tuple[Int8Loss, ...], str]:
    """Write all files but the digests to ``work``; return checks, losses and identity."""
    tested = tested_items(source.run, source.config) if chosen.int8 else None
    steps = iter(progress(range(4), 4, "steps of packing"))
    next(steps)
    export_voice_end(source.method, work / VOICE_END)
    export_image_end(source.method, work / IMAGE_END)
    next(steps)
    if source.encoder is not None:
        export_encoder(source.encoder, work / ENCODER)
    next(steps)
    checks = _checks(source, work, chosen, image_root)
    next(steps)
    losses: tuple[Int8Loss, ...] = ()
    int8: dict[str, str] | None = None
    if tested is not None:
        changed = store_int8(work)
        losses = int8_losses(tested, source.config, source.queries, work, changed, image_root)
        int8 = {name: file_digest(work / name) for name in changed}
    next(steps, None)
    if source.method.distance != "hamming":
        warn(
            f"note: {source.config['method']} ranks by {source.method.distance}; the packed model "
            "makes its sign codes, which are compared by Hamming distance"
        )
    identity = model_identity(source.config, source.model_sha256, int8)
    description = _description(source, identity, checks, losses, int8)
    write_json(work / DESCRIPTION, description)
    for name, text in (
        (CARD, model_card(source.run, source.config, description, chosen)),
        (REQUIREMENTS, requirements_text()),
    ):
        with replaced_text(work / name) as file:
            file.write(text)
    return checks, losses, identity


def _checks(
    source: _Source, work: Path, chosen: PackConfig, image_root: str | Path | None
) -> tuple[CodeCheck, ...]:
    """Return how the packed networks differ from those of the run.

    Raises:
        PackError: a bit differs that is not float noise.
        MediaError: an image of the run cannot be read.
    """
    inputs = check_inputs(source.config, chosen.inputs)
    bits, threads = source.method.sizes.bits, torch.get_num_threads()
    voice, image = (load_network(work / name, CPU, threads) for name in (VOICE_END, IMAGE_END))
    streams, frames = torch.from_numpy(inputs.streams), torch.from_numpy(inputs.frames)
    expected = encode_voices(source.method, streams, frames)[:, :bits]
    found = in_parts(
        lambda some, counts: voice.run(streams=some, frames=counts), inputs.streams, inputs.frames
    )
    checks = [compared(VOICE_END, inputs.source, expected, found)]
    expected = encode_images(source.method, torch.from_numpy(inputs.vectors))[:, :bits]
    found = in_parts(lambda some: image.run(vectors=some), inputs.vectors)
    checks.append(compared(IMAGE_END, inputs.source, expected, found))
    if source.encoder is not None:
        checks.append(_encoder_check(source, work, image, chosen, image_root))
    return tuple(checks)


def _encoder_check(
    source: _Source,
    work: Path,
    image_end: Network,
    chosen: PackConfig,
    image_root: str | Path | None,
) -> CodeCheck:
    """Return how the packed encoder with the image end differs from the run, from the pixels on."""
    assert source.encoder is not None
    packed = load_network(work / ENCODER, CPU, torch.get_num_threads())
    kind, blocks = picture_blocks(source.config, source.queries, image_root, chosen.pictures, USUAL)
    began, expected, found = time.monotonic(), [], []
    for pixels in blocks:
        expected.append(_outputs_of_pixels(source.method, source.encoder, pixels))
        found.append(image_end.run(vectors=packed.run(images=pixels)))
        if time.monotonic() - began > chosen.picture_seconds:
            break
    name = f"{ENCODER} and {IMAGE_END}"
    return compared(name, kind, np.concatenate(expected), np.concatenate(found))


def _outputs_of_pixels(method: Method, encoder: Encoder, pixels: np.ndarray) -> np.ndarray:
    """Return the outputs [n, bits] of ``pixels`` by torch."""
    parts = torch.split(torch.from_numpy(pixels), USUAL)
    vectors = torch.cat([encoder(part) for part in parts])
    return encode_images(method, vectors)[:, : method.sizes.bits]


def _description(
    source: _Source,
    identity: str,
    checks: tuple[CodeCheck, ...],
    losses: tuple[Int8Loss, ...],
    int8: Mapping[str, str] | None,
) -> dict[str, Any]:
    """Return the content of ``model.json``."""
    config, features = source.config, source.config["features"]
    return {
        "format": FORMAT,
        "identity": identity,
        "method": config["method"],
        "distance": source.method.distance,
        "bits": config["bits"],
        "classes": list(config["classes"]),
        "streams": list(config["streams"]),
        "voice_shape": list(source.method.sizes.voice_shape),
        "image_dim": source.method.sizes.image_dim,
        "size": source.queries.image_input().side,
        "model_sha256": source.model_sha256,
        "images": dict(features["images"]),
        "voices": dict(features["voices"]),
        "encoder": source.encoder is not None,
        "weights": features["weights"],
        "int8": None if int8 is None else {"files": dict(int8), "mAP": loss_rows(losses)},
        "checks": [vars(check) for check in checks],
        "confidence": run_calibrations(source.run, config, source.model_sha256),
        "versions": dict(config["versions"]),
    }


def _remove_own(folder: Path) -> None:
    for name in OWN_FILES:
        path = folder / name
        if path.is_symlink() or not path.is_dir():
            path.unlink(missing_ok=True)
