"""Float32 on a GPU without rounding to TF32."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

_lock = threading.Lock()
_inside = 0
_before: list[str] = []


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 in float32: TF32 has ten bits of mantissa instead of 23.

    cuDNN convolves in TF32 unless told otherwise; products of matrices do if a caller allowed it.
    The setting is that of the process: the first thread changes it, and the last one restores it.
    """
    global _inside, _before
    with _lock:
        if not _inside:
            _before = [backend.fp32_precision for backend in _backends()]
            for backend in _backends():
                backend.fp32_precision = "ieee"
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                for backend, precision in zip(_backends(), _before, strict=True):
                    backend.fp32_precision = precision


def _backends() -> list[Any]:
    cudnn: Any = torch.backends.cudnn  # not a module: it replaces itself by an object
    return [cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul]
