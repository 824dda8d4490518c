"""Networks in ONNX files, run by onnxruntime: imports no torch."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ivr.errors import first_line
from ivr.pipeline.runtime.device import DeviceError
from ivr.pipeline.runtime.progress import warn

from .model_folder import LONGEST_REASON, PackError

EXTRA = "pip install 'image-voice-hashing[serve]'"


@dataclass(frozen=True)
class Provider:
    """Where onnxruntime computes.

    Attributes:
        name: name of the execution provider.
        options: its options.
        required: whether the user asked for it, so that another one is an error.
    """

    name: str
    options: dict[str, Any]
    required: bool = True


CPU = Provider("CPUExecutionProvider", {})


class Network:
    """A network that is loaded; it may be used by several threads."""

    def __init__(self, session: Any, path: Path) -> None:
        """Use ``session``, which was loaded from ``path``."""
        self._session, self._path = session, path

    def run(self, **inputs: np.ndarray) -> np.ndarray:
        """Return the output [n, width], float32, for ``inputs`` by name.

        Raises:
            PackError: onnxruntime cannot compute it, e.g. for want of memory.
        """
        import onnxruntime

        try:
            found: np.ndarray = self._session.run(None, inputs)[0]
        except _errors(onnxruntime) as error:
            raise PackError(
                f"{self._path}: onnxruntime fails ({first_line(error, LONGEST_REASON)})"
            ) from error
        return found


def choose_provider(device: str) -> Provider:
    """Return where to compute for ``device``: auto (CUDA if there is one), cpu, cuda or cuda:N.

    Raises:
        DeviceError: no such device, or onnxruntime was built without CUDA.
        PackError: onnxruntime is not installed.
    """
    match = re.fullmatch(r"auto|cpu|cuda(?::(\d+))?", device)
    if match is None:
        raise DeviceError(f"device must be auto, cpu, cuda or cuda:N, got {device!r}")
    there = "CUDAExecutionProvider" in _onnxruntime().get_available_providers()
    if device == "cpu" or (device == "auto" and not there):
        return CPU
    if not there:
        raise DeviceError(
            f"{device}: this onnxruntime has no CUDA; install onnxruntime-gpu in place of "
            "onnxruntime, or take --device cpu"
        )
    # TF32 has ten bits of mantissa: its codes would be others.
    options = {"device_id": int(match[1] or 0), "use_tf32": 0}
    return Provider("CUDAExecutionProvider", options, required=device != "auto")


def load_network(path: Path, provider: Provider, threads: int | None) -> Network:
    """Return the network in ``path``.

    Args:
        path: an ONNX file.
        provider: where to compute.
        threads: threads of one pass, by default one per core.

    Raises:
        PackError: not a network that onnxruntime can load.
        DeviceError: the GPU that was asked for cannot be used.
    """
    onnxruntime = _onnxruntime()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # its warnings are for those who build networks
    options.intra_op_num_threads = threads or 0
    options.inter_op_num_threads = 1
    # Threads that wait sleep, as those of torch do (ivr/__init__.py).
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = onnxruntime.InferenceSession(
            str(path), options, providers=[(provider.name, provider.options)]
        )
    except _errors(onnxruntime) as error:
        raise PackError(
            f"{path}: onnxruntime cannot load it ({first_line(error, LONGEST_REASON)})"
        ) from error
    if provider.name not in session.get_providers():
        if provider.required:
            raise DeviceError(
                "cuda: onnxruntime cannot use CUDA on this machine (python -c 'import onnxruntime'"
                " says why); repair it, or take --device cpu"
            )
        warn("note: onnxruntime cannot use CUDA on this machine; it computes on the processor")
    return Network(session, path)


def _onnxruntime() -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise PackError(f"a packed model needs onnxruntime: {EXTRA}") from error
    return onnxruntime


def _errors(onnxruntime: Any) -> tuple[type[Exception], ...]:
    """Return the exceptions of onnxruntime, which have no class in common but Exception."""
    state = onnxruntime.capi.onnxruntime_pybind11_state
    names = (
        *("EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf"),
        *("ModelLoaded", "NoModel", "NoSuchFile", "NotImplemented", "RuntimeException"),
    )
    return tuple(getattr(state, name) for name in names)
