"""Encoders of timm: their own preprocessing, weights of local files, vectors from the inside."""

import sys
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from ivr.features.blueprint import EncoderError
from ivr.features.encoder_table import describe_encoder
from ivr.features.image import Encoder, load_encoder
from ivr.features.image_bands import PixelConfig
from ivr.features.image_config import ImageConfig
from ivr.features.image_file import read_image
from ivr.features.timm_networks import timm_blueprint
from ivr.features.weights_file import WeightsError
from ivr.names import UnknownNameError

CPU = torch.device("cpu")
# timm's own tiny networks: a class token, convolutions with a layer behind the last stage.
VIT, CONVOLUTIONS = "test_vit.r160_in1k", "test_efficientnet.r160_in1k"


def network(name: str, **options: object) -> nn.Module:
    """Return a network of timm with drawn weights, and statistics that are not the initial ones."""
    torch.manual_seed(1)
    net: nn.Module = timm.create_model(name, pretrained=False, **options).eval()
    for key, tensor in net.state_dict().items():
        if tensor.is_floating_point():
            drawn = torch.randn_like(tensor) * 0.2 + tensor
            tensor.copy_(drawn.abs() + 0.5 if key.endswith("running_var") else drawn)
    return net


def saved(net: nn.Module, path: Path, start: str = "") -> str:
    save_file({start + key: tensor.clone() for key, tensor in net.state_dict().items()}, path)
    return str(path)


def encoder_of(name: str, weights: str, **options: object) -> Encoder:
    return load_encoder(ImageConfig(f"timm:{name}", weights, **options), CPU)


def some_pixels(encoder: Encoder) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (2, *encoder.input.shape)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


@pytest.mark.parametrize("name", [VIT, CONVOLUTIONS])
def test_vectors_are_those_of_timm_with_its_own_preprocessing(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(0, 256, (12, 9, 3)).astype(np.uint8)).resize((211, 300))
    soft.save(tmp_path / "scene.png")
    net = network(name)
    encoder = encoder_of(name, saved(net, tmp_path / "net.safetensors"))
    pixels = torch.from_numpy(read_image(tmp_path / "scene.png", encoder.input))[None]
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(net))
    images = transform(soft)[None]
    # timm resizes with Pillow, which differs by one grey level in some pixels.
    scaled = (pixels.float() - encoder.mean) / encoder.std
    assert (scaled - images).abs().max() < 1.01 * float(1 / encoder.std.min())
    with torch.inference_mode():
        features = net.forward_features(images)
        expected = net.forward_head(features, pre_logits=True)
    torch.testing.assert_close(encoder(pixels), expected, rtol=0.02, atol=0.02)
    assert encoder.provenance["encoder"] == f"timm:{name}"
    assert encoder.provenance["input"] == {
        "scaled": 168, "fit": "shorter", "interpolation": "bicubic"
    }  # fmt: skip


def test_a_description_without_weights_is_that_of_the_loaded_encoder(tmp_path: Path) -> None:
    weights = saved(network(VIT), tmp_path / "net.safetensors")
    for pooling in ("vector", "stages", "mean", "token"):
        config = ImageConfig(f"timm:{VIT}", weights, pooling=pooling)
        encoder = load_encoder(config, CPU)
        assert describe_encoder(config) == (encoder.dim, encoder.provenance)


def test_tokens_are_pooled_as_the_user_chooses(tmp_path: Path) -> None:
    net = network(VIT)
    weights = saved(net, tmp_path / "net.safetensors")
    encoder = encoder_of(VIT, weights, pooling="token")
    pixels = some_pixels(encoder)
    scaled = (pixels.float() - encoder.mean) / encoder.std
    with torch.inference_mode():
        tokens = net.forward_features(scaled)
        maps = net.forward_intermediates(scaled, intermediates_only=True)
    assert tokens.shape == (2, 101, 64)  # a class token before 10 x 10 of the picture
    torch.testing.assert_close(encoder(pixels), tokens[:, 0])
    torch.testing.assert_close(encoder_of(VIT, weights)(pixels), tokens[:, 0])
    mean = encoder_of(VIT, weights, pooling="mean")
    torch.testing.assert_close(mean(pixels), tokens[:, 1:].mean(1))
    values = [x for one in maps for x in (one.mean((2, 3)), one.std((2, 3), correction=0))]
    roots = [one.sign() * one.abs().sqrt() for one in values]
    stages = encoder_of(VIT, weights, pooling="stages")
    torch.testing.assert_close(stages(pixels), torch.cat(roots[-10:], 1))


def test_a_deep_transformer_gives_five_blocks_spread_evenly() -> None:
    blueprint = timm_blueprint("vit_tiny_patch16_224", device="meta")
    stages = blueprint.poolings["stages"](blueprint.net)
    assert stages.words == (
        "mean and deviation over blocks.2, blocks.4, blocks.7, blocks.9, blocks.11"
    )


def test_a_network_without_tokens_refuses_them(tmp_path: Path) -> None:
    weights = saved(network(CONVOLUTIONS), tmp_path / "net.safetensors")
    for pooling in ("token", "mean"):
        with pytest.raises(EncoderError, match="has no tokens: take --pooling vector or stages"):
            encoder_of(CONVOLUTIONS, weights, pooling=pooling)
    with pytest.raises(EncoderError, match="vgg16 has no tokens: take --pooling vector or stages"):
        load_encoder(ImageConfig("vgg16", "random", pooling="token"), CPU)


def test_the_classifier_of_the_weights_is_ignored(tmp_path: Path) -> None:
    net = network(VIT, num_classes=7)
    whole = encoder_of(VIT, saved(net, tmp_path / "seven.safetensors"))
    net.reset_classifier(0)
    bare = encoder_of(VIT, saved(net, tmp_path / "bare.safetensors"))
    torch.testing.assert_close(whole(some_pixels(whole)), bare(some_pixels(whole)), rtol=0, atol=0)


def test_the_image_tower_of_a_larger_model_is_found(tmp_path: Path) -> None:
    net = network(CONVOLUTIONS)
    plain = encoder_of(CONVOLUTIONS, saved(net, tmp_path / "plain.safetensors"))
    state = {f"visual.trunk.{key}": tensor for key, tensor in net.state_dict().items()}
    torch.save({**state, "text.positional": torch.zeros(3)}, tmp_path / "clip.pt")
    tower = encoder_of(CONVOLUTIONS, str(tmp_path / "clip.pt"))
    pixels = some_pixels(plain)
    torch.testing.assert_close(plain(pixels), tower(pixels), rtol=0, atol=0)


def test_weights_in_the_layout_of_dinov2_are_converted(tmp_path: Path) -> None:
    """Its files name layers as timm does, and add a token of training that no encoder has."""
    name = "vit_tiny_patch16_224"
    plain = network(name)
    expected = encoder_of(name, saved(plain, tmp_path / "plain.safetensors"))
    state = {**plain.state_dict(), "mask_token": torch.zeros(1, 192)}
    torch.save(state, tmp_path / "dino.pth")
    found = encoder_of(name, str(tmp_path / "dino.pth"))
    pixels = some_pixels(expected)
    torch.testing.assert_close(expected(pixels), found(pixels), rtol=0, atol=0)


def test_another_size_resizes_the_positions_of_a_transformer_as_timm_does(tmp_path: Path) -> None:
    net = network(VIT)
    weights = saved(net, tmp_path / "net.safetensors")
    encoder = encoder_of(VIT, weights, size=96)
    overlay = {"file": weights}
    own = timm.create_model(
        VIT, pretrained=True, pretrained_cfg_overlay=overlay, num_classes=0, img_size=96
    ).eval()
    pixels = some_pixels(encoder)
    assert encoder.input.shape == (3, 96, 96) and encoder.input.scaled == 101
    with torch.inference_mode():
        expected = own((pixels.float() - encoder.mean) / encoder.std)
    torch.testing.assert_close(encoder(pixels), expected)
    with pytest.raises(EncoderError, match=r"no such vector of pictures of 100 pixels .*--image-s"):
        describe_encoder(ImageConfig("timm:maxvit_tiny_tf_224", weights, size=100))
    with pytest.raises(EncoderError, match=r"timm cannot make it with .*img_size=100.*--image-si"):
        describe_encoder(ImageConfig("timm:xcit_nano_12_p8_224", weights, size=100))


def test_weights_that_do_not_fit_name_what_differs_and_what_to_do(tmp_path: Path) -> None:
    state = network(VIT).state_dict()
    del state["blocks.1.norm1.weight"], state["blocks.1.norm1.bias"]
    state["blocks.9.norm1.weight"] = torch.ones(64)
    state["norm.weight"] = torch.ones(5)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(WeightsError) as info:
        encoder_of(VIT, str(tmp_path / "other.pth"))
    assert str(info.value) == (
        f"{tmp_path}/other.pth: not weights of timm:{VIT}, 4 tensors do not fit "
        "(blocks.1.norm1.weight is missing; blocks.9.norm1.weight is not of this net; "
        "norm.weight is float32 [5], needs float32 [64]); save "
        f"timm.create_model('{VIT}', pretrained=True).state_dict() where there is a network"
    )


def test_weights_for_more_bands_take_as_many_bands_of_the_images(tmp_path: Path) -> None:
    net = network(CONVOLUTIONS, in_chans=5)
    weights = saved(net, tmp_path / "five.safetensors")
    with pytest.raises(
        WeightsError,
        match=r"conv_stem.weight, takes 5 bands, and the images have 3: choose 5 bands with --ban",
    ):
        encoder_of(CONVOLUTIONS, weights)
    bands = PixelConfig(bands="1,2,3,4,5")
    encoder = encoder_of(CONVOLUTIONS, weights, pixels=bands)
    pixels = some_pixels(encoder)
    assert pixels.shape[1] == 5
    net.reset_classifier(0)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(pixels), net(pixels.float() / 255))
    with pytest.raises(EncoderError, match="vgg16 takes 3 bands, not 5: choose as many with --ban"):
        load_encoder(ImageConfig("vgg16", "random", pixels=bands), CPU)


def test_without_a_file_the_message_says_how_to_get_one() -> None:
    with pytest.raises(WeightsError, match=r"save timm.create_model\('test_vit'.* and give the fi"):
        load_encoder(ImageConfig("timm:test_vit"), CPU)


def test_an_unknown_network_is_refused_with_near_names() -> None:
    with pytest.raises(UnknownNameError, match=r"no encoder 'timm:resnet51'; did you mean .*res"):
        load_encoder(ImageConfig("timm:resnet51", "random"), CPU)
    for name in ("timm:hf-hub:someone/something", "timm:", "timm:resnet50.nothing"):
        with pytest.raises(UnknownNameError):
            load_encoder(ImageConfig(name, "random"), CPU)


def test_without_timm_the_message_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from ivr.features import timm_networks

    timm_networks._timm_names.cache_clear()
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(EncoderError, match=r"pip install 'image-voice-hashing\[timm\]'"):
        load_encoder(ImageConfig("timm:resnet50", "random"), CPU)


def test_pictures_that_are_no_squares_are_refused() -> None:
    with pytest.raises(EncoderError, match="not squares: take another encoder"):
        timm_blueprint("deepseek_vit_412m", device="meta")
