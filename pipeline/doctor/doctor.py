"""Stage: a machine to checks of its arithmetic and, if wanted, its rates."""

import json
import tempfile
from pathlib import Path
from typing import Any

from ivr.features.atomic_files import replaced_text, require_writable
from ivr.features.encoders import require_encoder
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.device import choose_device
from ivr.pipeline.runtime.progress import logging_to, say

from .device_checks import device_checks
from .doctor_config import DoctorConfig
from .doctor_result import DoctorResult
from .machine import device_text, machine_checks, machine_facts
from .rates import measured_rates
from .references import reference_checks


def doctor(
    config: DoctorConfig | None = None, *, out: str | Path | None = None, **options: Any
) -> DoctorResult:
    """Return whether this machine computes what other machines compute, and how fast.

    The arithmetic is compared with independent implementations (librosa, NumPy). With a GPU, the
    whole main job runs on a small drawn set on the GPU and on the CPU, and vectors, codes and ranks
    are compared. Interrupted and repeated work must give the same result. Nothing is downloaded.

    Args:
        config: what to check and to measure; None for the defaults.
        out: folder for ``doctor.json`` and ``doctor.md``; None writes nothing.
        options: fields of :class:`DoctorConfig` by name, over ``config``.

    Raises:
        OptionError, EncoderError, DeviceError, UnwritableError: see their modules.
    """
    chosen = with_options(config or DoctorConfig(), options)
    if out is not None:
        require_writable(Path(out))
    for encoder in chosen.encoders:
        require_encoder(encoder)
    device = choose_device(chosen.device)
    with tempfile.TemporaryDirectory(prefix="ivr-doctor-") as name:
        folder = Path(name)
        say("checking the arithmetic of this machine")
        with logging_to(folder / "log.txt"):
            checks = (
                *machine_checks(),
                *reference_checks(device),
                *device_checks(device, folder),
            )
        say("measuring rates" if chosen.speed else "rates are not measured; --speed measures them")
        with logging_to(folder / "log.txt"):
            rates = tuple(measured_rates(device, folder, chosen)) if chosen.speed else ()
        result = DoctorResult(device_text(device), tuple(machine_facts(device)), checks, rates)
    if out is not None:
        _write(Path(out), result)
    return result


def _write(folder: Path, result: DoctorResult) -> None:
    """Write ``doctor.json`` and ``doctor.md`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "doctor.json": json.dumps(result.to_dict(), indent=2) + "\n",
        "doctor.md": result.markdown(),
    }
    for name, text in texts.items():
        with replaced_text(folder / name) as file:
            file.write(text)
