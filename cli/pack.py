"""``ivr pack``: a trained run as a folder that answers queries without torch."""

import json
from pathlib import Path
from typing import Any

import click

from ivr.pipeline.packing.pack_config import PackConfig

from .command import command
from .messages import show
from .options import Shown, config_options
from .paths import FOLDER


@command()
@click.argument("run", type=FOLDER)
@click.option("--out", type=FOLDER, required=True, help="Folder to write the model to.")
@config_options(
    PackConfig,
    {
        "encoder": Shown(
            names=("--no-encoder",),
            off=True,
            help=("Leave out the image encoder; the model then answers voices only."),
        )
    },
)
@click.option(
    "--weights",
    help="Weights file of the image encoder, if the features were made with a file that has moved.",
)
@click.option(
    "--image-root",
    type=FOLDER,
    help="Folder that image names are relative to; the encoder is compared on its images, and "
    "--int8 measures the loss of the encoder on them  [default: where they were extracted from].",
)
@click.option("--overwrite", is_flag=True, help="Replace the packed model in the folder.")
@click.option("--dry-run", is_flag=True, help="Print what would be done without doing it.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of lines.")
def pack(
    run: Path,
    out: Path,
    weights: str | None,
    image_root: Path | None,
    overwrite: bool,
    dry_run: bool,
    as_json: bool,
    options: dict[str, Any],
) -> None:
    """Write the model of RUN as a folder of ONNX files that needs no torch.

    Voice end, image end and image encoder, their preprocessing, a model card and the sha256 of
    every file. Codes of the packed networks are compared with those of RUN, bit by bit.

    \b
    Example:
      ivr pack run --out model
      ivr pack run --out model --licence Apache-2.0 --data-licence CC-BY-4.0
      ivr pack run --out small --int8 --image-root images    # if the images have moved
      ivr search model --codes run/codes.h5 --voice question.wav
    """
    import ivr
    from ivr.pipeline.packing.pack import plan

    if dry_run:
        planned = plan(run, out, overwrite=overwrite, **options)
        show(json.dumps(planned.to_dict()) if as_json else repr(planned))
        return
    found = ivr.pack(
        run, out, weights=weights, image_root=image_root, overwrite=overwrite, **options
    )
    show(json.dumps(found.to_dict()) if as_json else repr(found))
