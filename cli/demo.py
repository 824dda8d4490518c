"""``ivr demo``: the main job on a set that is drawn and spoken on the spot."""

from pathlib import Path

import click

from .command import command
from .errors import one_line, settings


@command()
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), default=Path("demo"),
              show_default=True, help="Folder for the set, its features and its run.")  # fmt: skip
@click.option("--images-per-class", type=int, default=24, show_default=True, help="Scenes drawn.")
@click.option("--voices-per-image", type=int, default=2, show_default=True, help="Captions spoken.")
@click.option("--classes", type=int, default=8, show_default=True, help="Kinds of scenes.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of drawings and speakers.")
def demo(out: Path, images_per_class: int, voices_per_image: int, classes: int, seed: int) -> None:
    """Draw overhead scenes, speak captions of them, then extract, train and evaluate.

    Needs no data and no network. The voices are synthetic (espeak-ng) and the image encoder has
    random weights: the figures show that the work is done, not how good retrieval can be.

    \b
    Example:
      ivr demo
      ivr demo --out /tmp/demo --images-per-class 40
    """
    with one_line():
        from ivr.pipeline.demo.demo_config import DemoConfig
        from ivr.pipeline.demo.main_job import run_demo

        with settings():
            config = DemoConfig(images_per_class, voices_per_image, classes, seed)
        table = run_demo(out, config)
    click.echo(table)
    click.echo(f"\nLook at {out / 'run' / 'curves.png'}, {out / 'set' / 'images'} and listen to "
               f"{out / 'set' / 'voices'}.")  # fmt: skip
