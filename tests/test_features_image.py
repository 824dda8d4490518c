import hashlib
import math
import os
import pickle
import socket
import subprocess
import sys
import zlib
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from safetensors.torch import save_file
from scipy.io import savemat
from torch import Tensor, nn

from ivr.features import encoders
from ivr.features.blueprint import Blueprint
from ivr.features.cnn_f import CnnF, read_matconvnet
from ivr.features.image import Encoder, load_encoder
from ivr.features.image_config import ImageConfig
from ivr.features.weights_file import WeightsError
from ivr.names import UnknownNameError

CPU = torch.device("cpu")
SHARED = Path(os.environ.get("IVR_SHARED", Path(__file__).parents[2] / "shared"))
NARROW = (4, 6, 8, 6, 5)
POOLED = (nn.AdaptiveAvgPool2d(1), nn.Flatten())
FILTERS = {
    "conv1": (11, 11, 3, 4),
    "conv2": (5, 5, 4, 6),
    "conv3": (3, 3, 6, 8),
    "conv4": (3, 3, 8, 6),
    "conv5": (3, 3, 6, 5),
    "fc6": (6, 6, 5, 16),
    "fc7": (1, 1, 16, 16),
    "fc8": (1, 1, 16, 7),
}


def load(encoder: str, weights: str | Path = "random", **options: bool | str) -> Encoder:
    return load_encoder(ImageConfig(encoder, str(weights), **options), CPU)  # type: ignore[arg-type]


def pictures(count: int, size: int = 224) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def normalised(images: Tensor) -> Tensor:
    mean = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
    return (images / 255 - mean) / torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    # Single images on a shared machine: more threads wait for each other longer than they work.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def squeezenet() -> nn.Module:
    torch.manual_seed(3)
    net: nn.Module = torchvision.models.squeezenet1_0(weights=None).eval()
    return net


@pytest.fixture(scope="module")
def squeezenet_file(squeezenet: nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "squeezenet.pth"
    torch.save(squeezenet.state_dict(), path)
    return path


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def own_encoder(monkeypatch: pytest.MonkeyPatch, net: Callable[[], nn.Module], url: str) -> None:
    def blueprint() -> Blueprint:
        made, imagenet = net(), "Own.V1" if url else ""
        layers = [
            name for name, part in made.named_modules() if isinstance(part, nn.Linear | nn.Conv2d)
        ]
        zeros, ones = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
        readers = {".mat": read_matconvnet}
        return Blueprint(
            made, layers[-1], 224, zeros, ones, "none", imagenet=imagenet, url=url, readers=readers
        )

    monkeypatch.setitem(encoders.ENCODERS, "cnn_f", blueprint)


# --- what comes out ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoder", "size", "dim"),
    [
        ("squeezenet1_0", 224, 512),
        ("resnet50", 224, 2048),
        ("googlenet", 224, 1024),
        ("inception_v3", 299, 2048),
        ("densenet121", 224, 1024),
        ("mobilenet_v3_small", 224, 1024),
        ("shufflenet_v2_x0_5", 224, 1024),
        ("efficientnet_b0", 224, 1280),
        ("regnet_y_400mf", 224, 440),
        ("mnasnet0_5", 224, 1280),
        ("convnext_tiny", 224, 768),
        ("swin_t", 224, 768),
        ("vit_b_32", 224, 768),
    ],
)
def test_every_family_gives_one_vector_an_image(encoder: str, size: int, dim: int) -> None:
    net = load(encoder)
    vectors = net(pictures(1, size))
    assert (net.input.side, net.dim) == (size, dim)
    assert vectors.shape == (1, dim)
    assert vectors.dtype == torch.float32
    assert bool(vectors.isfinite().all())


def test_vgg16_gives_4096_values_after_the_relu() -> None:
    net = load("vgg16")
    vectors = net(pictures(2))
    assert vectors.shape == (2, net.dim) == (2, 4096)
    assert float(vectors.min()) == 0.0
    assert 0.2 < float((vectors > 0).float().mean()) < 0.8
    assert net.provenance["layer"] == "input of classifier.6"


def test_after_the_relu_is_what_is_before_it_without_the_negative_part() -> None:
    after, before = load("alexnet"), load("alexnet", relu=False)
    images = pictures(2)
    assert before(images).shape == (2, 4096)
    assert float(before(images).min()) < 0
    assert torch.equal(after(images), before(images).clamp(min=0))
    assert (after.provenance["relu"], before.provenance["relu"]) == (True, False)


def test_squeezenet_is_the_average_of_torchvision_s_feature_map(
    squeezenet: nn.Module, squeezenet_file: Path
) -> None:
    images = pictures(2)
    with torch.no_grad():
        expected = squeezenet.features(normalised(images)).mean((2, 3))
    assert torch.allclose(load("squeezenet1_0", squeezenet_file)(images), expected, atol=1e-5)


@pytest.mark.parametrize("encoder", ["squeezenet1_0", "resnet18", "densenet121"])
def test_a_vector_that_is_pooled_after_the_relu_has_none_to_leave_out(encoder: str) -> None:
    with pytest.raises(ValueError, match=f"vector of {encoder} does not come straight from a ReLU"):
        load(encoder, relu=False)


class OutOfOrder(nn.Module):
    """Its ReLU stands before the last layer in the list of layers, not in the computation."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.relu, self.last = nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)

    def forward(self, images: Tensor) -> Tensor:
        vectors: Tensor = self.last(1 - self.relu(self.first(images.mean((2, 3)))))
        return vectors


def test_a_relu_is_left_out_only_where_its_output_is_the_vector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    own_encoder(monkeypatch, OutOfOrder, "")
    with pytest.raises(ValueError, match="does not come straight from a ReLU"):
        load("cnn_f", relu=False)


def test_a_dropout_after_the_relu_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    head = (nn.ReLU(), nn.Dropout(0.9), nn.Linear(64, 2))
    own_encoder(monkeypatch, lambda: nn.Sequential(*POOLED, nn.Linear(3, 64), *head), "")
    before, after = load("cnn_f", relu=False)(pictures(2)), load("cnn_f")(pictures(2))
    assert float(before.min()) < 0
    assert torch.equal(after, before.clamp(min=0))


def test_input_is_normalised_by_the_mean_and_deviation_of_imagenet() -> None:
    net = load("squeezenet1_0")
    net.net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    constant = torch.tensor([204, 102, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    red, green, blue = net(constant.expand(1, 3, 224, 224))[0].tolist()
    assert red == pytest.approx((0.8 - 0.485) / 0.229, abs=1e-4)
    assert green == pytest.approx((0.4 - 0.456) / 0.224, abs=1e-4)
    assert blue == pytest.approx((0.2 - 0.406) / 0.225, abs=1e-4)


def test_batch_size_does_not_change_the_vectors(squeezenet_file: Path) -> None:
    net = load("squeezenet1_0", squeezenet_file)
    images = pictures(5)
    single = torch.cat([net(row[None]) for row in images])
    assert torch.allclose(net(images), single, atol=1e-5)


def test_lower_precision_gives_nearly_the_same_vectors_as_float32(squeezenet_file: Path) -> None:
    full = load("squeezenet1_0", squeezenet_file)(pictures(1))
    half = load("squeezenet1_0", squeezenet_file, precision="bfloat16")(pictures(1))
    assert half.dtype == torch.float32
    assert 1e-6 < float((half - full).norm() / full.norm()) < 2e-2


def float32_precisions() -> list[str]:
    """Precision of float32 in convolutions, recurrent layers and products of matrices on a GPU."""
    cudnn: Any = torch.backends.cudnn
    return [part.fp32_precision for part in (cudnn.conv, cudnn.rnn, torch.backends.cuda.matmul)]


def test_float32_is_never_rounded_to_tf32() -> None:
    seen = []
    net = load("squeezenet1_0")
    net.net.register_forward_hook(lambda *_: seen.append(float32_precisions()))
    matmul = torch.backends.cuda.matmul
    usual = matmul.fp32_precision
    matmul.fp32_precision = "tf32"
    try:
        net(pictures(1))
        assert seen == [["ieee", "ieee", "ieee"]]
        assert float32_precisions() == ["tf32", "tf32", "tf32"]
    finally:
        matmul.fp32_precision = usual
    net(pictures(1))
    assert float32_precisions()[2] == usual
    assert torch.backends.cudnn.allow_tf32  # the older name of the setting can be read again


def test_images_of_another_type_or_size_are_refused() -> None:
    net = load("squeezenet1_0")
    with pytest.raises(ValueError, match=r"uint8 images \[n, 3, 224, 224\], got float32"):
        net(pictures(1).float())
    with pytest.raises(ValueError, match=r"got uint8 \[1, 3, 256, 256\]"):
        net(pictures(1, 256))


def test_a_net_that_gives_a_map_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    own_encoder(monkeypatch, lambda: nn.Sequential(nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)), "")
    with pytest.raises(ValueError, match=r"gives \[2, 2, 224, 224\] for two images"):
        load("cnn_f")


# --- what is chosen ---------------------------------------------------------------------------


def test_an_unknown_encoder_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(UnknownNameError, match=r"no encoder 'vgg61'; did you mean .*vgg16"):
        load("vgg61")
    with pytest.raises(UnknownNameError, match=r"there are cnn_f, sift, alexnet, .* and \d+ more"):
        load("")


def test_precision_and_weights_are_checked() -> None:
    with pytest.raises(ValueError, match="one of float32, bfloat16, float16, got 'fp16'"):
        ImageConfig(precision="fp16")
    with pytest.raises(ValueError, match="weights must be imagenet, random or the path"):
        ImageConfig(weights="")


def test_random_weights_are_the_same_every_time_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(11)
    first = load("squeezenet1_0")
    drawn = torch.rand(1)
    second = load("squeezenet1_0")
    torch.manual_seed(11)
    assert torch.equal(drawn, torch.rand(1))
    assert torch.equal(first(pictures(1)), second(pictures(1)))
    assert first.provenance["sha256"] == second.provenance["sha256"]
    assert first.provenance["weights"] == "random, seed 0"


def test_provenance_names_the_file_and_its_sha256(squeezenet_file: Path) -> None:
    provenance = load("squeezenet1_0", squeezenet_file).provenance
    assert provenance["weights"] == "squeezenet.pth"
    assert provenance["sha256"] == hashlib.sha256(squeezenet_file.read_bytes()).hexdigest()
    assert provenance["mean"] == [255 * 0.485, 255 * 0.456, 255 * 0.406]
    assert provenance["resize"] == ("whole image squashed to 224 x 224, bilinear, antialias, uint8")


# --- files of weights -------------------------------------------------------------------------


def test_weights_are_read_however_they_are_wrapped(
    squeezenet: nn.Module, squeezenet_file: Path, tmp_path: Path
) -> None:
    state = squeezenet.state_dict()
    parallel = {f"module.{name}": tensor for name, tensor in state.items()}
    torch.save({"state_dict": parallel, "epoch": 3}, tmp_path / "wrapped.pt")
    save_file(state, tmp_path / "plain.safetensors")
    expected = load("squeezenet1_0", squeezenet_file)(pictures(1))
    for name in ("wrapped.pt", "plain.safetensors"):
        assert torch.equal(load("squeezenet1_0", tmp_path / name)(pictures(1)), expected)


def test_a_net_fine_tuned_to_other_classes_is_accepted(
    squeezenet: nn.Module, squeezenet_file: Path, tmp_path: Path
) -> None:
    state = squeezenet.state_dict()
    state["classifier.1.weight"] = torch.zeros(21, 512, 1, 1)
    del state["classifier.1.bias"]
    torch.save(state, tmp_path / "tuned.pth")
    expected = load("squeezenet1_0", squeezenet_file)(pictures(1))
    assert torch.equal(load("squeezenet1_0", tmp_path / "tuned.pth")(pictures(1)), expected)


def test_weights_of_another_net_are_refused_with_its_name(squeezenet_file: Path) -> None:
    # resnet18: 20 convolutions, 4 tensors for each of 20 normalisations; squeezenet: 2 for each of
    # 26 convolutions. No name is in both.
    with pytest.raises(WeightsError, match=r"not weights of resnet18, 152 tensors do not") as info:
        load("resnet18", squeezenet_file)
    assert "(conv1.weight is missing; features.0.weight is not of this net)" in str(info.value)
    assert str(info.value).endswith("they fit --encoder squeezenet1_0")
    assert "\n" not in str(info.value)


def test_a_tensor_of_another_shape_or_kind_is_refused(
    squeezenet: nn.Module, tmp_path: Path
) -> None:
    shape, kind = torch.zeros(96, 3, 3, 3), torch.zeros(96, dtype=torch.int64)
    for other, words in (
        (
            {"features.0.weight": shape},
            r"1 tensor does not fit \(features.0.weight is float32 \[96, 3, 3, 3\], "
            r"needs float32 \[96, 3, 7, 7\]",
        ),
        (
            {"features.0.bias": kind},
            r"1 tensor does not fit \(features.0.bias is int64 \[96\], needs float32",
        ),
        ({"features.0.weight": shape, "features.0.bias": kind}, "2 tensors do not fit"),
    ):
        torch.save(squeezenet.state_dict() | other, tmp_path / "w.pth")
        with pytest.raises(WeightsError, match=words):
            load("squeezenet1_0", tmp_path / "w.pth")


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(
    squeezenet: nn.Module, tmp_path: Path, value: float
) -> None:
    state = {name: tensor.clone() for name, tensor in squeezenet.state_dict().items()}
    state["features.3.squeeze.bias"][2] = value
    torch.save(state, tmp_path / "w.pth")
    with pytest.raises(WeightsError, match=r"damaged, features.3.squeeze.bias holds values that"):
        load("squeezenet1_0", tmp_path / "w.pth")


class Trap:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


def test_a_pickle_is_never_executed(tmp_path: Path) -> None:
    plain = pickle.dumps(Trap(tmp_path / "sprung"), protocol=2)
    (tmp_path / "plain.pkl").write_bytes(plain)
    torch.save({"w": Trap(tmp_path / "sprung")}, tmp_path / "net.pth")
    for name in ("plain.pkl", "net.pth"):
        with pytest.raises(WeightsError, match=f"{name}: .*Python objects in it, which are never"):
            load("squeezenet1_0", tmp_path / name)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors", ".mat"])
@pytest.mark.parametrize("cut", [0, 1, 100, 0.5])
def test_a_damaged_file_ends_in_one_line(
    squeezenet: nn.Module, tmp_path: Path, suffix: str, cut: float
) -> None:
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(squeezenet.state_dict(), path)
    elif suffix == ".safetensors":
        save_file(squeezenet.state_dict(), path)
    else:
        savemat(path, {"layers": np.zeros((300, 300))})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(cut * len(whole)) if cut < 1 else int(cut)])
    with pytest.raises(WeightsError, match=f"w{suffix}: ") as info:
        load("cnn_f" if suffix == ".mat" else "squeezenet1_0", path)
    assert "\n" not in str(info.value)


def test_a_file_of_torch_before_1_6_cut_anywhere_ends_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"w": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(WeightsError, match=r"w\.pth: "):
            load("squeezenet1_0", path)


def test_what_is_no_file_of_weights_is_named(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="holds no state_dict"):
        load("squeezenet1_0", tmp_path / "list.pth")
    with pytest.raises(WeightsError, match="a folder, not a weights file"):
        load("squeezenet1_0", tmp_path)
    with pytest.raises(WeightsError, match="imagnet: no such file; weights are imagenet, random"):
        load("squeezenet1_0", "imagnet")
    with pytest.raises(WeightsError, match="cannot be read"):
        load("squeezenet1_0", "x" * 5000)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(WeightsError, match="a device or pipe, not a weights file"):
        load("squeezenet1_0", tmp_path / "pipe")


def dense_and_attentive() -> nn.Sequential:
    dense = OrderedDict(norm1=nn.BatchNorm2d(3), conv1=nn.Conv2d(3, 3, 1))
    block = OrderedDict(mlp=nn.Sequential(*(nn.Linear(3, 3) for _ in range(4))))
    return nn.Sequential(
        OrderedDict(
            pool=nn.AdaptiveAvgPool2d(1),
            denselayer1=nn.Sequential(dense),
            flatten=nn.Flatten(),
            block=nn.Sequential(block),
            head=nn.Linear(3, 2),
        )
    ).eval()


def test_names_of_torchvision_s_first_files_are_understood(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch.manual_seed(4)
    net = dense_and_attentive()
    state = net.state_dict()
    for today, first in {
        "denselayer1.norm1.weight": "denselayer1.norm.1.weight",
        "denselayer1.norm1.running_var": "denselayer1.norm.1.running_var",
        "denselayer1.conv1.bias": "denselayer1.conv.1.bias",
        "block.mlp.0.weight": "block.mlp.linear_1.weight",
        "block.mlp.3.bias": "block.mlp.linear_2.bias",
    }.items():
        state[first] = state.pop(today)
    del state["denselayer1.norm1.num_batches_tracked"]
    torch.save(state, tmp_path / "w.pth")
    own_encoder(monkeypatch, dense_and_attentive, "")
    vectors = load("cnn_f", tmp_path / "w.pth")(pictures(2))
    assert torch.allclose(vectors, net[:-1](pictures(2).float()), rtol=1e-5)


def test_googlenet_drops_the_heads_of_training_and_keeps_its_own_input(tmp_path: Path) -> None:
    torch.manual_seed(2)
    net = torchvision.models.googlenet(transform_input=True, init_weights=False).eval()
    assert any(name.startswith("aux1.") for name in net.state_dict())
    torch.save(net.state_dict(), tmp_path / "googlenet.pth")
    net.fc = nn.Identity()
    with torch.no_grad():
        expected = net(normalised(pictures(1)))
    vectors = load("googlenet", tmp_path / "googlenet.pth")(pictures(1))
    assert torch.allclose(vectors, expected, rtol=1e-4, atol=1e-9)


# --- weights from the network -----------------------------------------------------------------


def test_without_a_network_the_address_and_the_place_are_named(offline: Path) -> None:
    with pytest.raises(WeightsError) as info:
        load("squeezenet1_0", "imagenet")
    assert "https://download.pytorch.org/models/squeezenet1_0-b66bff10.pth" in str(info.value)
    assert f"at {offline / 'squeezenet1_0-b66bff10.pth'}" in str(info.value)
    assert "--weights FILE or --weights random" in str(info.value)
    assert "Network is unreachable" in str(info.value)
    assert "\n" not in str(info.value)
    assert list(offline.iterdir()) == []


def test_a_silent_server_is_given_up_after_half_a_minute(
    monkeypatch: pytest.MonkeyPatch, offline: Path
) -> None:
    def silent(*_: object) -> None:
        raise TimeoutError(f"silent for {socket.getdefaulttimeout()} s")

    before = socket.getdefaulttimeout()
    monkeypatch.setattr(torch.hub, "download_url_to_file", silent)
    with pytest.raises(WeightsError, match=r"could not be downloaded \(silent for 30.0 s\)"):
        load("squeezenet1_0", "imagenet")
    assert socket.getdefaulttimeout() == before


def test_a_file_put_in_its_place_needs_no_network(
    monkeypatch: pytest.MonkeyPatch, offline: Path
) -> None:
    torch.manual_seed(5)
    net = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.Linear(4, 2))
    offline.mkdir(parents=True)
    torch.save(net.state_dict(), offline / "net.pth")
    sha256 = hashlib.sha256((offline / "net.pth").read_bytes()).hexdigest()
    path = (offline / "net.pth").rename(offline / f"net-{sha256[:8]}.pth")
    own_encoder(
        monkeypatch,
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4), nn.ReLU()),
        f"https://weights.invalid/{path.name}",
    )
    with pytest.raises(WeightsError, match=r"3.weight is not of this net"):
        load("cnn_f", "imagenet")
    own_encoder(
        monkeypatch,
        lambda: nn.Sequential(*net[:2], nn.Linear(3, 4), nn.Linear(4, 2)),
        f"https://weights.invalid/{path.name}",
    )
    loaded = load("cnn_f", "imagenet")
    assert torch.allclose(loaded(pictures(2)), net[:3](pictures(2).float()), atol=1e-3)
    assert loaded.provenance["weights"] == "Own.V1"
    assert loaded.provenance["sha256"] == sha256


def test_a_damaged_download_is_refused(offline: Path, squeezenet_file: Path) -> None:
    offline.mkdir(parents=True)
    path = offline / "squeezenet1_0-b66bff10.pth"
    path.write_bytes(squeezenet_file.read_bytes())
    with pytest.raises(WeightsError, match=r"b66bff10.pth: damaged, its sha256 .* delete it"):
        load("squeezenet1_0", "imagenet")


def test_the_shared_weights_give_the_vectors_of_torchvision() -> None:
    path = SHARED / "weights" / "squeezenet1_0-imagenet.pth"
    if not path.exists():
        pytest.skip(f"{path} is not there; set IVR_SHARED to the folder of shared files")
    net = torchvision.models.squeezenet1_0(weights=None).eval()
    net.load_state_dict(torch.load(path, weights_only=True))
    with torch.no_grad():
        expected = net.features(normalised(pictures(2))).mean((2, 3))
    vectors = load("squeezenet1_0", path)(pictures(2))
    assert torch.allclose(vectors, expected, rtol=1e-5, atol=1e-5)


# --- CNN-F ------------------------------------------------------------------------------------


def test_cnn_f_has_the_layers_of_the_paper() -> None:
    with torch.device("meta"):
        net = CnnF()
        assert net(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
    shapes = {name: tuple(tensor.shape) for name, tensor in net.named_parameters()}
    assert {name: shape for name, shape in shapes.items() if name.endswith("weight")} == {
        "conv1.weight": (64, 3, 11, 11),
        "conv2.weight": (256, 64, 5, 5),
        "conv3.weight": (256, 256, 3, 3),
        "conv4.weight": (256, 256, 3, 3),
        "conv5.weight": (256, 256, 3, 3),
        "fc6.weight": (4096, 9216),
        "fc7.weight": (4096, 4096),
        "fc8.weight": (1000, 4096),
    }


def matconvnet_normalisation(x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    for channel in range(x.shape[1]):
        window = x[:, max(0, channel - 2) : channel + 3]
        y[:, channel] = x[:, channel] * (2 + 1e-4 * (window**2).sum(1)) ** -0.75
    return y


def test_response_normalisation_equals_matconvnet_s_formula() -> None:
    x = 300 * torch.rand(2, 9, 3, 4, generator=torch.Generator().manual_seed(0))
    net = CnnF(NARROW, 16, 7)
    for layer in (net.norm1, net.norm2):
        assert torch.allclose(layer(x), matconvnet_normalisation(x), rtol=1e-5)


def matconvnet_pool(x: Tensor) -> Tensor:
    return F.max_pool2d(F.pad(x, (0, 1, 0, 1), value=-math.inf), 3, 2)


def by_hand(images: Tensor, filters: dict[str, np.ndarray], average: np.ndarray) -> Tensor:
    """fc7 after its ReLU, every layer as MatConvNet defines it: all layers convolve."""
    weights = {
        name: torch.from_numpy(np.einsum("hwio->oihw", array).copy())
        for name, array in filters.items()
    }
    bias = {name: torch.full((len(w),), 0.1) for name, w in weights.items()}
    x = images - torch.from_numpy(np.einsum("hwc->chw", average).copy())
    x = F.conv2d(x, weights["conv1"], bias["conv1"], stride=4)
    x = matconvnet_pool(matconvnet_normalisation(x.relu()))
    x = F.conv2d(x, weights["conv2"], bias["conv2"], padding=2)
    x = matconvnet_pool(matconvnet_normalisation(x.relu()))
    for name in ("conv3", "conv4", "conv5"):
        x = F.conv2d(x, weights[name], bias[name], padding=1).relu()
    x = matconvnet_pool(x)
    for name in ("fc6", "fc7"):
        x = F.conv2d(x, weights[name], bias[name]).relu()
    return x[:, :, 0, 0]


def narrow_filters() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        name: (rng.standard_normal(shape) / math.sqrt(np.prod(shape[:3]) / 2)).astype(np.float32)
        for name, shape in FILTERS.items()
    }


def cell(items: list[object]) -> np.ndarray:
    array = np.empty((1, len(items)), dtype=object)
    array[0, :] = items
    return array


def write_matconvnet(path: Path, filters: dict[str, np.ndarray], average: np.ndarray) -> None:
    """As MatConvNet writes since 2015: everything in ``net``, ``weights``, ``meta``."""
    layers: list[object] = []
    for name, array in filters.items():
        bias = np.full((1, array.shape[3]), 0.1, dtype=np.float32)
        pair = np.empty((1, 2), dtype=object)
        pair[0, 0], pair[0, 1] = array, bias
        layers.append({"name": name, "type": "conv", "weights": pair, "stride": 1})
        layers.append({"name": f"relu{name[-1]}", "type": "relu", "weights": np.empty((0, 0))})
    meta = {"normalization": {"averageImage": average, "imageSize": [224, 224, 3]}}
    savemat(path, {"net": {"layers": cell(layers), "meta": meta}}, do_compression=True)


def write_first_matconvnet(path: Path, filters: dict[str, np.ndarray], average: np.ndarray) -> None:
    """As MatConvNet wrote before: no ``net``, ``filters`` and ``biases``, no ``meta``."""
    layers: list[object] = []
    for name, array in filters.items():
        bias = np.full((1, array.shape[3]), 0.1, dtype=np.float32)
        layers.append({"name": name, "type": "conv", "filters": array, "biases": bias})
        layers.append({"name": f"relu{name[-1]}", "type": "relu"})
    savemat(path, {"layers": cell(layers), "normalization": {"averageImage": average}})


@pytest.mark.parametrize("write", [write_matconvnet, write_first_matconvnet])
@pytest.mark.parametrize("sides", [(224, 224), (1, 1)])
def test_matconvnet_weights_give_the_vectors_of_matconvnet(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    write: Callable[[Path, dict[str, np.ndarray], np.ndarray], None],
    sides: tuple[int, int],
) -> None:
    average = np.random.default_rng(1).uniform(90, 130, (*sides, 3)).astype(np.float32)
    write(tmp_path / "imagenet-vgg-f.mat", narrow_filters(), average)
    own_encoder(monkeypatch, lambda: CnnF(NARROW, 16, 7), "")
    vectors = load("cnn_f", tmp_path / "imagenet-vgg-f.mat")(pictures(2))
    expected = by_hand(pictures(2), narrow_filters(), average)
    assert vectors.shape == (2, 16)
    assert float(expected.max()) > 0.1
    assert torch.allclose(vectors, expected, rtol=1e-4, atol=1e-4)


def test_cnn_f_gives_its_vector_before_the_relu_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_matconvnet(tmp_path / "w.mat", narrow_filters(), np.full((1, 1, 3), 100, np.float32))
    own_encoder(monkeypatch, lambda: CnnF(NARROW, 16, 7), "")
    before = load("cnn_f", tmp_path / "w.mat", relu=False)(pictures(2))
    after = load("cnn_f", tmp_path / "w.mat")(pictures(2))
    assert float(before.min()) < 0
    assert torch.equal(after, before.clamp(min=0))


def test_a_mat_file_of_another_net_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    own_encoder(monkeypatch, lambda: CnnF(NARROW, 16, 7), "")
    filters = OrderedDict(narrow_filters()) | {"conv3": np.zeros((3, 3, 6, 9), np.float32)}
    write_matconvnet(tmp_path / "w.mat", filters, np.zeros((227, 227, 3), np.float32))
    with pytest.raises(WeightsError, match=r"3 tensors do not fit .*average is float32") as info:
        load("cnn_f", tmp_path / "w.mat")
    assert "[3, 227, 227], needs float32 [3, 224, 224]" in str(info.value)


def test_a_mat_file_that_ends_early_or_has_another_version_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "w.mat", {"layers": np.zeros((30, 30))})
    whole = (tmp_path / "w.mat").read_bytes()
    (tmp_path / "w.mat").write_bytes(whole[:-8])
    with pytest.raises(ValueError, match="ends early"):
        read_matconvnet(tmp_path / "w.mat")
    (tmp_path / "w.mat").write_bytes(whole[:125] + b"\x02" + whole[126:])
    with pytest.raises(ValueError, match="no MATLAB file of version 5 to 7; save it with -v7"):
        read_matconvnet(tmp_path / "w.mat")


def test_a_mat_file_without_a_net_is_refused(tmp_path: Path) -> None:
    savemat(tmp_path / "w.mat", {"x": 1})
    with pytest.raises(ValueError, match="no MatConvNet network: it has neither"):
        read_matconvnet(tmp_path / "w.mat")
    savemat(tmp_path / "w.mat", {"layers": cell([{"name": "conv1"}]), "normalization": {"x": 1}})
    with pytest.raises(ValueError, match=r"not the fields of a MatConvNet network \(.*average"):
        read_matconvnet(tmp_path / "w.mat")


@pytest.mark.parametrize("compressed", [False, True])
def test_no_changed_byte_of_a_mat_file_ends_in_more_than_an_error(
    tmp_path: Path, compressed: bool
) -> None:
    path = tmp_path / "w.mat"
    ones = np.ones((2, 2, 3, 1), np.float32)
    layers = cell([{"name": "conv1", "filters": ones, "biases": ones[0, 0, 0]}])
    contents = {"layers": layers, "normalization": {"averageImage": ones[:1, :1, :, 0]}}
    savemat(path, contents, do_compression=compressed)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    places = range(124, len(whole), 2)
    for place in places:
        changed = bytearray(whole)
        changed[place] ^= rng.integers(1, 256)
        path.write_bytes(changed)
        try:
            read_matconvnet(path)
        except (ValueError, zlib.error):
            refused += 1
    assert refused > (0.9 if compressed else 0.3) * len(places)


def test_mat_files_are_read_for_cnn_f_only(tmp_path: Path) -> None:
    savemat(tmp_path / "w.mat", {"x": 1})
    with pytest.raises(WeightsError, match="squeezenet1_0 has no reader of MatConvNet weights"):
        load("squeezenet1_0", tmp_path / "w.mat")


@pytest.mark.usefixtures("offline")
def test_advice_on_weights_fits_the_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WeightsError) as info:
        load("cnn_f", "imagenet")
    assert str(info.value) == (
        "no ImageNet weights of cnn_f can be downloaded: download imagenet-vgg-f.mat from "
        "https://www.vlfeat.org/matconvnet/pretrained/ and give the file with --weights FILE, "
        "or take --weights random"
    )
    own_encoder(monkeypatch, lambda: nn.Sequential(*POOLED, nn.Linear(3, 2)), "")
    with pytest.raises(WeightsError) as info:
        load("cnn_f", "imagenet")
    assert str(info.value) == (
        "no ImageNet weights of cnn_f can be downloaded; give a file with --weights FILE, "
        "or take --weights random"
    )


class TestStages:
    """Vectors of mean and deviation of the last stages, over turned views."""

    def test_they_are_those_of_the_maps_of_squeezenet(self) -> None:
        config = ImageConfig("squeezenet1_0", "random", pooling="stages")
        encoder = load_encoder(config, CPU)
        images = torch.randint(0, 256, (2, 3, 224, 224), dtype=torch.uint8)
        bare = load_encoder(ImageConfig("squeezenet1_0", "random"), CPU)
        maps, expected = (images.float() - bare.mean) / bare.std, []
        with torch.inference_mode():
            for number, part in enumerate(bare.net.features):  # type: ignore[arg-type]
                maps = part(maps)
                if number in (7, 8, 9, 10, 12):
                    mean = maps.mean((2, 3))
                    deviation = (maps.square().mean((2, 3)) - mean.square()).clamp(min=0).sqrt()
                    expected.append(torch.cat([mean, deviation], 1).sqrt())
        found = encoder(images)
        assert found.shape == (2, encoder.dim) == (2, 4096)
        torch.testing.assert_close(found, torch.cat(expected, 1), rtol=1e-3, atol=1e-3)
        assert "features.7" in str(encoder.provenance["layer"])

    @pytest.mark.parametrize("views", [1, 2, 4, 8])
    def test_a_vector_is_the_mean_over_views(self, views: int) -> None:
        options = {"pooling": "stages", "size": 64}
        one = load_encoder(ImageConfig("resnet18", "random", **options), CPU)  # type: ignore[arg-type]
        many = load_encoder(ImageConfig("resnet18", "random", views=views, **options), CPU)  # type: ignore[arg-type]
        images = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
        turned = [images.rot90(n, (2, 3)) for n in range(4)]
        all_views = [*turned, *(view.flip(3) for view in turned)]
        chosen = {1: (0,), 2: (0, 5), 4: (0, 5, 2, 7), 8: range(8)}[views]
        expected = torch.stack([one(all_views[view].contiguous()) for view in chosen]).mean(0)
        torch.testing.assert_close(many(images), expected, rtol=1e-4, atol=1e-4)

    def test_eight_views_do_not_tell_how_a_picture_lies(self) -> None:
        encoder = load_encoder(ImageConfig("resnet18", "random", views=8, size=64), CPU)
        images = torch.randint(0, 256, (1, 3, 64, 64), dtype=torch.uint8)
        for other in (images.rot90(1, (2, 3)), images.flip(2)):
            torch.testing.assert_close(
                encoder(images), encoder(other.contiguous()), rtol=1e-3, atol=1e-3
            )

    @pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
    def test_a_network_without_maps_is_refused(self, name: str) -> None:
        with pytest.raises(ValueError, match=f"{name} has no 5 stages that give maps"):
            load_encoder(ImageConfig(name, "random", pooling="stages"), CPU)

    def test_a_network_of_one_size_is_not_given_another(self) -> None:
        with pytest.raises(ValueError, match="cnn_f takes pictures of 224 pixels only, not 256"):
            load_encoder(ImageConfig("cnn_f", "random", size=256), CPU)

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"pooling": "max"}, "pooling must be one of vector, stages, token, mean, got 'max'"),
            ({"views": 3}, "views must be one of 1, 2, 4, 8, got 3"),
            ({"size": 4}, "size must be 0 or from 8 to 4096 pixels, got 4"),
        ],
    )
    def test_what_there_is_not_is_refused(self, values: dict[str, object], words: str) -> None:
        with pytest.raises(ValueError, match=words):
            ImageConfig(weights="random", **values)  # type: ignore[arg-type]


def test_configurations_of_extraction_import_no_torch() -> None:
    program = (
        "import sys, ivr.features.image_config, ivr.features.mfcc\n"
        "import ivr.features.waveform_augmentation, ivr.pipeline.extraction.extract_config\n"
        "print(*{'torch', 'torchvision', 'librosa', 'scipy.signal'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split() == []
