"""Write features/encoder_table.json for the release of torchvision that is installed.

    python docs/write_encoder_table.py

Run it when a new release of torchvision is the usual one; tests/test_features_encoder_table.py
compares the table with the networks.
"""

import json
from dataclasses import asdict
from pathlib import Path

from ivr.features.encoder_table import TABLE, KnownEncoder, release
from ivr.features.encoders import ENCODERS, encoder_blueprint
from ivr.features.image import described_by_network
from ivr.features.image_config import SIFT, ImageConfig
from ivr.features.torchvision_networks import torchvision_names


def known(name: str) -> KnownEncoder:
    """Return what the network of an encoder says of it."""
    blueprint = encoder_blueprint(name, device="meta")
    # Any file stands for the weights: length and settings do not depend on them.
    dim, _ = described_by_network(ImageConfig(name, __file__))
    return KnownEncoder(
        dim,
        blueprint.classifier,
        blueprint.size,
        blueprint.mean,
        blueprint.std,
        blueprint.normalisation,
        blueprint.imagenet,
        blueprint.url,
        blueprint.weights_help,
        tuple(sorted(blueprint.readers)),
    )


def main() -> None:
    """Write the table."""
    # The vectors of sift are as long as its vocabulary.
    names = (name for name in (*ENCODERS, *torchvision_names()) if name != SIFT)
    encoders = {name: asdict(known(name)) for name in names}
    content = {"torchvision": release("torchvision"), "encoders": encoders}
    path = Path(__file__).parents[1] / "features" / TABLE
    lines = ",\n".join(f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in encoders.items())
    head = json.dumps(content["torchvision"])
    path.write_text(f'{{"torchvision": {head}, "encoders": {{\n{lines}\n}}}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
