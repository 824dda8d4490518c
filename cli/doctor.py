"""``ivr doctor``: does this machine compute what others compute, and how fast?"""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.doctor.doctor_config import DoctorConfig

from .command import command
from .config_file import write_choices
from .messages import show
from .options import config_options
from .paths import FOLDER


@command()
@config_options(DoctorConfig)
@click.option("--out", type=FOLDER, help="Folder for doctor.json and doctor.md.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the tables.")
def doctor(out: Path | None, as_json: bool, options: dict[str, Any]) -> None:
    """Check the arithmetic of this machine, and measure how fast it is.

    Compares the MFCC with librosa and the ranking with NumPy. With a GPU, runs the main job on a
    small drawn set on the GPU and on the CPU and compares vectors, codes and ranks. Interrupted and
    repeated work must give the same result. Takes about a minute, needs no data and no network; the
    exit status is 1 if a check failed.

    \b
    Example:
      ivr doctor
      ivr doctor --device cuda --speed --out doctor
    """
    import ivr

    result = ivr.doctor(out=out, **options)
    if out is not None:
        write_choices(out)
    show(json.dumps(result.to_dict()) if as_json else result)
    if result.failed:
        names = ", ".join(check.name for check in result.failed)
        raise click.ClickException(f"failed: {names}")
