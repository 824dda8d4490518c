"""``ivr check``: an audit of a manifest and its files."""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.datasets.check_config import CheckConfig

from .command import command
from .errors import SKIPPED
from .messages import show
from .options import CommaList, Shown, config_options
from .paths import EXISTING_FOLDER, FILE


@command()
@click.argument("manifest", type=FILE)
@click.option(
    "--root",
    type=EXISTING_FOLDER,
    help="Folder that image and voice names are relative to  [default: the manifest's folder].",
)
@click.option(
    "--image-root",
    type=EXISTING_FOLDER,
    help="Folder that image names are relative to  [default: --root].",
)
@click.option(
    "--voice-root",
    type=EXISTING_FOLDER,
    help="Folder that voice names are relative to  [default: --root].",
)
@config_options(
    CheckConfig,
    {
        "bands": Shown(metavar="R,G,B", type=CommaList()),
        "stretch": Shown(metavar="HOW"),
        "jobs": Shown(default="one per core"),
        "voice": Shown(
            ("--voice-option",),
            "MFCC setting such as frames=600, as for ivr extract, repeatable.",
            settings=True,
        ),
        "trim_silence": Shown(),
    },
)
@click.option("--json", "as_json", is_flag=True, help="Print everything found as JSON.")
@click.option("--strict", is_flag=True, help="Exit with status 3 for warnings as for problems.")
@click.pass_context
def check(
    context: click.Context,
    manifest: Path,
    root: Path | None,
    image_root: Path | None,
    voice_root: Path | None,
    as_json: bool,
    strict: bool,
    options: dict[str, Any],
) -> None:
    """Audit a manifest and its files: what is broken, what leaks, what chance would give.

    Every image and voice is read as extract reads it: a file that check passes is not skipped. The
    audit names files that are missing, unreadable, blank, silent, cut or copies of another; several
    spellings of one name; captions and classes that cannot be told apart or are never trained; and
    images (also those that only look the same), groups, names and captions on two sides of the
    split that training uses, which is printed. Nothing is written.

    \b
    Exit status:
      0  nothing wrong
      1  a manifest that cannot be used
      3  problems found (with --strict: or warnings)

    \b
    Example:
      ivr check manifest.csv --image-root UCM/imgs --voice-root UCM/wav
    """
    import ivr

    audit = ivr.check(manifest, root=root, image_root=image_root, voice_root=voice_root, **options)
    show(json.dumps(audit.to_dict(), indent=2, ensure_ascii=False) if as_json else audit)
    if audit.problems() or (strict and audit.warnings()):
        context.exit(SKIPPED)
