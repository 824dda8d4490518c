"""``ivr prepare``: a manifest from files as they circulate."""

import shlex
from pathlib import Path

import click

from ivr.pipeline.datasets.layouts import LAYOUTS, Sources
from ivr.pipeline.datasets.prepare import PrepareConfig, Summary
from ivr.pipeline.datasets.prepare import prepare as run
from ivr.pipeline.datasets.splits import CUTS, SplitConfig

from .errors import one_line

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@click.argument("layout", type=click.Choice(list(LAYOUTS)))
@click.option("--images", type=FOLDER, required=True, help="Folder of the images.")
@click.option("--voices", type=FOLDER, help="Folder of the voices; without it, images alone.")
@click.option(
    "--captions",
    type=FILE,
    multiple=True,
    help="*_caps.txt, five lines an image; may be given several times.",
)
@click.option(
    "--class-lists", type=FOLDER, help="Folder of text files of image names, one a class."
)
@click.option("--json", "karpathy", type=FILE, help="dataset_*.json, for the layout karpathy.")
@click.option(
    "--table",
    type=FILE,
    help="CSV with columns image, voice and, where wanted, label and others: overrides the names.",
)
@click.option(
    "--split",
    "cut",
    type=click.Choice([*CUTS, "none"]),
    default=PrepareConfig.cut,
    show_default=True,
    help="Training and test side (and validation) to draw; none: train-hash draws its own.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=SplitConfig.seed,
    show_default=True,
    help="Seed of the draw.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="Manifest to write (CSV).",
)
@click.option("--dry-run", is_flag=True, help="Read and prove everything, write nothing.")
@click.option("--force", is_flag=True, help="Write over an existing manifest.")
def prepare(
    layout: str,
    images: Path,
    voices: Path | None,
    captions: tuple[Path, ...],
    class_lists: Path | None,
    karpathy: Path | None,
    table: Path | None,
    cut: str,
    seed: int,
    out: Path,
    dry_run: bool,
    force: bool,
) -> None:
    """Write a manifest from files as they circulate.

    \b
    Layouts:
      ucm       1.tif to 2100.tif, or <class>/<class>NN.tif
      sydney    1.tif to 613.tif
      rsicd     <class>_N.jpg, bare numbers with --class-lists
      folders   <class>/<name>.<ext>, voices in a mirrored tree
      karpathy  dataset_*.json (--json) beside images and voices

    Voices are named after their image: <name>S<k>, <name>_<k>, <name>-<k> or <name>. Where names do
    not prove what goes with what, one line says so and --table settles it.

    \b
    Example:
      ivr prepare ucm --images UCM/imgs --voices UCM/wav --split 80/20 --out manifest.csv
    """
    sources = Sources(images, voices, captions, class_lists, karpathy, table)
    config = PrepareConfig(layout, sources, out, cut, seed, force, dry_run)
    with one_line():
        summary = run(config)
    click.echo(_report(summary))
    if dry_run:
        click.echo("dry run: nothing written")
        return
    click.echo(f"written: {out}")
    roots = ["--image-root", str(images), "--voice-root", str(voices or images)]
    click.echo(f"next: {shlex.join(['ivr', 'check', str(out), *roots])}")


def _report(summary: Summary) -> str:
    counts = [f"{voices} ({images} images)" for voices, images in summary.images_by_voices.items()]
    sizes = [f"{split} {images}" for split, images in summary.images_by_split.items()]
    lines = [
        f"images: {summary.images}",
        f"voices: {summary.voices}",
        f"classes: {len(summary.images_by_class)}"
        + (f" (those of {summary.dataset})" if summary.dataset else ""),
        f"voices an image: {', '.join(counts)}",
        f"images a split: {', '.join(sizes) or 'none; train-hash draws its own'}",
    ]
    if summary.free_voices:
        lines.append(f"voices without an image: {summary.free_voices}")
    return "\n".join(lines)
