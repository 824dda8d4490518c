"""A run on an encoder of timm: extraction with its input, and the same codes when packed."""

import json
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from tiny_world import SHORT, World, ivr

from ivr.features.image_input import ImageInput
from ivr.features.store import open_table
from ivr.pipeline.extraction.feature_schema import IMAGES
from ivr.pipeline.packing.code_maker import open_model

NAME = "test_efficientnet.r160_in1k"
VOICES = (
    "--device", "cpu", "--jobs", "1", "--voice-option", "frames=16",
    "--voice-option", "coefficients=3", "--voice-option", "mels=8",
)  # fmt: skip


@pytest.mark.parametrize("pooling", ["vector", "stages"])
def test_a_packed_network_of_timm_gives_the_codes_of_the_run(
    pooling: str, world: World, tmp_path: Path
) -> None:
    weights = tmp_path / "net.safetensors"
    torch.manual_seed(0)
    net = timm.create_model(NAME, pretrained=False)
    save_file(net.state_dict(), weights)
    features, run, model = (tmp_path / name for name in ("features", "run", "model"))
    encoder = ("--encoder", f"timm:{NAME}", "--weights", weights, "--pooling", pooling)
    extract = ("extract", world.media / "manifest.csv", "--out", features, *encoder, *VOICES)
    ivr(*extract)
    made = open_table(features / "images.h5", IMAGES)
    assert made.config["settings"]["input"]["scaled"] == 168
    assert made.config["made_with"]["timm"] == timm.__version__
    before = (features / "images.h5").stat().st_ino
    ivr(*extract)  # every row is there, so nothing is made
    assert (features / "images.h5").stat().st_ino == before
    ivr("train-hash", features, "--out", run, *SHORT)
    ivr("pack", run, "--out", model)
    checks = json.loads((model / "model.json").read_text())["checks"]
    assert checks[-1]["network"] == "encoder.onnx and image.onnx" and checks[-1]["inputs"] > 0

    rng = np.random.default_rng(1)
    for number in range(3):
        scene = Image.fromarray(rng.integers(0, 256, (9, 14, 3)).astype(np.uint8))
        scene.resize((300, 180 + 40 * number)).save(tmp_path / f"{number}.png")
    packed, plain = open_model(model), open_model(run, device="cpu")
    assert packed.input == plain.input == ImageInput(160, 168, "shorter", "bicubic")
    data = [(tmp_path / f"{number}.png").read_bytes() for number in range(3)]
    pixels = np.stack([packed.pixels(one) for one in data])
    np.testing.assert_array_equal(pixels, np.stack([plain.pixels(one) for one in data]))
    np.testing.assert_array_equal(packed.codes_of_pixels(pixels), plain.codes_of_pixels(pixels))
