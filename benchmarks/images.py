"""How close image extraction comes to the bare network, and to the classic PIL chain.

    python benchmarks/images.py FOLDER --encoder squeezenet1_0 --count 420
    python benchmarks/images.py FOLDER --encoder vgg16 --device cuda --precision bfloat16

FOLDER holds images of any supported format. Weights are random, since the arithmetic is the same.
All ways are timed in turn, and each ratio is taken within one round.

* bare: the encoder on tensors of one batch that are already on the device;
* ivr: all that ``ivr extract`` does for images, decoding, stamps, shards and the assembled file
  included, from the moment the weights are loaded;
* decoding: files to uint8 tensors, by ``ivr`` and by the classic chain (PIL, antialiased resize,
  float tensor, normalised), one thread each.
"""

import argparse
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from timing import seconds, spread
from torchvision import transforms

from ivr.features.encoder_batches import ImageBatches
from ivr.features.image import load_encoder
from ivr.features.image_config import ImageConfig
from ivr.features.image_file import read_image
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.doctor.rates import PEAKS, operations
from ivr.pipeline.extraction import modality
from ivr.pipeline.extraction.extract import extract
from ivr.pipeline.extraction.extract_config import ExtractConfig
from ivr.pipeline.runtime.device import choose_device


def classic(path: Path, size: int) -> torch.Tensor:
    """Return an image as many pipelines make it: PIL, resized, float, normalised."""
    chain = transforms.Compose(
        [
            transforms.Resize((size, size), antialias=True),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    with Image.open(path) as image:
        tensor: torch.Tensor = chain(image.convert("RGB"))
    return tensor


def main() -> None:
    """Time bare network, extraction and decoding in turn and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--encoder", default="squeezenet1_0")
    parser.add_argument("--count", type=int, default=420, help="images")
    parser.add_argument("--repeat", type=int, default=1, help="times that every image is extracted")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--batch-size", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    kinds = (".jpg", ".jpeg", ".png", ".tif")
    paths = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in kinds)
    paths = paths[: options.count]
    config = ExtractConfig(
        ImageConfig(options.encoder, "random", precision=options.precision),
        batch_size=options.batch_size,
        device=options.device,
    )
    device = choose_device(options.device)
    encoder = load_encoder(config.image, device)
    batches = ImageBatches(encoder)
    config = replace(config, batch_size=config.batch_size or batches.usual_size())
    modality.load_encoder = lambda *_: encoder  # loading is not what is measured
    work = Path(tempfile.mkdtemp())
    names = _copies(paths, work / "images", options.repeat)
    write_manifest(work / "all.csv", Manifest(tuple(ManifestRow(name, "", "a") for name in names)))
    first = [read_image(path, encoder.input) for path in paths[: config.batch_size]]
    pixels = torch.from_numpy(np.stack(first)).to(device)

    def bare() -> None:
        for _ in range(-(-len(names) // config.batch_size)):
            encoder(pixels)
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    def whole() -> None:
        shutil.rmtree(work / "out", ignore_errors=True)
        extract(work / "all.csv", work / "out", config, image_root=work / "images")

    bare()
    whole()
    times = [(seconds(bare), seconds(whole)) for _ in range(options.rounds)]
    passes = -(-len(names) // config.batch_size) * len(pixels)
    rates = [(passes / one, len(names) / other) for one, other in times]
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "processor"
    print(
        f"{options.encoder}, {options.precision}, {name}, {len(names)} images, "
        f"batches of {config.batch_size}"
    )
    print(f"bare network: {np.median([rate for rate, _ in rates]):.0f} images per second")
    print(
        f"ivr extract: {np.median([rate for _, rate in rates]):.0f} images per second, "
        f"{spread([other / one for one, other in rates])} of the bare network"
    )
    peak = next((value for key, value in PEAKS.items() if key in name), None)
    if peak:
        share = operations(encoder, device) * np.median([rate for rate, _ in rates]) / peak
        print(f"bare network: {100 * share:.1f} % of the bfloat16 peak")
    some = paths[: min(100, len(paths))]
    torch.set_num_threads(1)
    decoding = [
        seconds(lambda: [classic(p, encoder.input.side) for p in some])
        / seconds(lambda: [read_image(p, encoder.input) for p in some])
        for _ in range(options.rounds)
    ]
    print(f"decoding: {spread(decoding)} times as fast as the PIL chain, one thread")
    shutil.rmtree(work)


def _copies(paths: list[Path], folder: Path, repeat: int) -> list[str]:
    """Copy every file ``repeat`` times into ``folder`` and return the names."""
    folder.mkdir()
    names = []
    for number in range(repeat):
        for place, path in enumerate(paths):
            names.append(f"{number}-{place}{path.suffix}")
            shutil.copyfile(path, folder / names[-1])
    return names


if __name__ == "__main__":
    main()
