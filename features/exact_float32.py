"""Float32 on a GPU without rounding to TF32."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def exact_float32() -> Iterator[None]:
    """Compute float32 in float32: TF32 has ten bits of mantissa instead of 23.

    cuDNN convolves in TF32 unless told otherwise; products of matrices do if a caller allowed it.
    """
    cudnn: Any = torch.backends.cudnn  # not a module: it replaces itself by an object
    backends: list[Any] = [cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul]
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "ieee"
        yield
    finally:
        for backend, precision in zip(backends, before, strict=True):
            backend.fp32_precision = precision
