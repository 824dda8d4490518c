"""``ivr serve``: an archive over HTTP, with a page for operators."""

from pathlib import Path
from typing import Any

import click

from ivr.pipeline.serving.serve_config import ServeConfig

from .command import command
from .options import Shown, config_options
from .paths import FOLDER


@command()
@click.argument("archive", metavar="ARCHIVE")
@click.option(
    "--model",
    type=FOLDER,
    help="Packed model that encodes queries  [default: the one that ARCHIVE was created with].",
)
@config_options(
    ServeConfig,
    {
        "engine": Shown(metavar="postgres://..."),
        "table": Shown(metavar="NAME"),
        "threads": Shown(default="one per core"),
        "time_limit": Shown(metavar="SECONDS"),
        "voice_seconds": Shown(metavar="SECONDS"),
        "refresh": Shown(metavar="SECONDS"),
    },
)
def serve(archive: str, model: Path | None, options: dict[str, Any]) -> None:
    """Serve ARCHIVE over HTTP, with a page where operators speak and see what is found.

    The page is at http://127.0.0.1:8000/ : hold the button or the space bar and speak, or drop a
    recording or an image. New versions of the archive are picked up while it runs. POST /search
    answers programs; /openapi.json describes all routes, /health and /metrics serve monitoring.

    Only this machine can reach it unless --host says otherwise; then every request needs the token
    in the variable IVR_TOKEN. The service speaks plain HTTP; use a proxy for HTTPS.

    \b
    Example:
      ivr serve tiles
      ivr serve tiles --port 8080 --readers 4
      ivr serve model --engine postgres://me@localhost/tiles
      IVR_TOKEN=$(openssl rand -hex 16) ivr serve tiles --host 0.0.0.0
    """
    import ivr

    ivr.serve(archive, model=model, **options)
