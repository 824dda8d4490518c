"""Networks of a run as ONNX files, by torch's exporter; the one module that imports onnx."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ivr.errors import first_line
from ivr.features.atomic_files import flush
from ivr.features.image import Encoder
from ivr.hashing.method import Method

from .model_folder import LONGEST_REASON, WEIGHTS, PackError

EXTRA = "pip install 'image-voice-hashing[pack]'"
EXAMPLES = 4
"""Rows of the example that a network is exported with; the files take any number."""


class VoiceEnd(nn.Module):
    """Streams and true frames to the real outputs of the bits, pooling included."""

    def __init__(self, method: Method) -> None:
        """Use the weights of ``method``."""
        super().__init__()
        self.method = method

    def forward(self, streams: Tensor, frames: Tensor) -> Tensor:
        """Return outputs [m, bits] of [m, streams, coefficients, frames] and [m]."""
        outputs = self.method.encode_voices(*self.method.pool(streams, frames))
        return outputs[:, : self.method.sizes.bits]


class ImageEnd(nn.Module):
    """Vectors of images to the real outputs of the bits."""

    def __init__(self, method: Method) -> None:
        """Use the weights of ``method``."""
        super().__init__()
        self.method = method

    def forward(self, vectors: Tensor) -> Tensor:
        """Return outputs [n, bits] of [n, image_dim]."""
        return self.method.encode_images(vectors)[:, : self.method.sizes.bits]


class ImageNetwork(nn.Module):
    """Pixels to the vectors of an encoder, scaling and views included."""

    def __init__(self, encoder: Encoder) -> None:
        """Use the weights of ``encoder``."""
        super().__init__()
        self.encoder = encoder

    def forward(self, images: Tensor) -> Tensor:
        """Return vectors [n, dim] of uint8 [n, 3, side, side]."""
        return self.encoder.vectors(images)


def export_voice_end(method: Method, path: Path) -> None:
    """Write the voice end of ``method`` to the new file ``path``.

    Raises:
        PackError: the exporter is missing or cannot export this method.
    """
    streams, coefficients, length = method.sizes.voice_shape
    example = {
        "streams": torch.zeros(EXAMPLES, streams, coefficients, length),
        "frames": torch.tensor([length, 1 + length // 2, length, 1 + length // 3]),
    }
    _export(VoiceEnd(method), example, path, outside=False)


def export_image_end(method: Method, path: Path) -> None:
    """Write the image end of ``method`` to the new file ``path``.

    Raises:
        PackError: as :func:`export_voice_end`.
    """
    example = {"vectors": torch.zeros(EXAMPLES, method.sizes.image_dim)}
    _export(ImageEnd(method), example, path, outside=False)


def export_encoder(encoder: Encoder, path: Path) -> None:
    """Write ``encoder`` to the new file ``path``, and its weights to ``PATH.data`` beside it.

    The weights stand in a file of their own, which onnxruntime maps into memory: an ONNX file is
    read as a whole, twice its size, and holds 2 GB at most.

    Raises:
        PackError: as :func:`export_voice_end`.
    """
    example = {"images": torch.zeros((EXAMPLES, *encoder.input.shape), dtype=torch.uint8)}
    _export(ImageNetwork(encoder), example, path, outside=True)


def _export(network: nn.Module, example: dict[str, Tensor], path: Path, *, outside: bool) -> None:
    _require_exporter()
    names: Sequence[str] = list(example)
    network = network.eval().requires_grad_(False)
    rows = torch.export.Dim.DYNAMIC
    try:
        with _quiet():
            program: Any = torch.onnx.export(
                network,
                tuple(example.values()),
                dynamo=True,
                input_names=names,
                output_names=["outputs"],
                dynamic_shapes=tuple({0: rows} for _ in names),
                verbose=False,
            )
    except (RuntimeError, TypeError, ValueError, NotImplementedError) as error:
        reason = first_line(error, LONGEST_REASON)
        raise PackError(
            f"{path.name}: this network cannot be exported to ONNX ({reason}); a "
            "method or an encoder may not choose by the values of its input"
        ) from error
    _forget_sources(program.model)
    program.save(str(path), external_data=outside)
    for made in (path, path.with_name(f"{path.name}{WEIGHTS}")):
        if made.exists():
            flush(made)


def _forget_sources(model: Any) -> None:
    """Remove the places in the source that the exporter notes: they hold paths of this machine."""
    for node in model.graph.all_nodes():
        node.metadata_props.clear()
        for value in node.outputs:
            value.metadata_props.clear()
    for function in model.functions.values():
        for node in function.all_nodes():
            node.metadata_props.clear()


def _require_exporter() -> None:
    try:
        import onnx  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise PackError(f"packing needs onnx and onnxscript: {EXTRA}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Hold back what the exporter says about its own work."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
