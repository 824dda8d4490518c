"""``ivr demo``: a whole run and an archive of drawn images and synthetic voices."""

from pathlib import Path
from typing import Any

import click

from ivr.pipeline.demo.demo_config import DemoConfig

from .command import command
from .config_file import write_choices
from .messages import show
from .options import config_options
from .paths import FOLDER


@command()
@click.option(
    "--out",
    type=FOLDER,
    default=Path("demo"),
    show_default=True,
    help="Folder for the set, its features, its run and its report.",
)
@config_options(DemoConfig)
def demo(out: Path, options: dict[str, Any]) -> None:
    """Draw overhead scenes, speak captions of them, then extract, train, evaluate and search.

    Needs no data and no network. The voices are synthetic (espeak-ng) and the image encoder has
    random weights: the numbers show that everything works, not how good retrieval can be.

    \b
    Example:
      ivr demo
      ivr demo --out /tmp/demo --images-per-class 40
    """
    import ivr

    result = ivr.demo(out, DemoConfig(**options))
    write_choices(out)
    show(repr(result))
    show(f"\nOpen {out / 'report.html'} in a browser: it shows what the queries find.")
    show(
        f"Look at {out / 'run' / 'pictures'} and {out / 'set' / 'images'}, and listen to "
        f"{out / 'set' / 'voices'}."
    )
    if (out / "tiles").is_dir():
        show(
            f"Speak to it: ivr serve {out / 'tiles'}, then open http://127.0.0.1:8000/ in a "
            "browser on this machine."
        )
