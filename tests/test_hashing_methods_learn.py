"""Every method learns classes that lie far apart."""

import pytest
import torch

from ivr.hashing.method import ClosedFormMethod, TrainedMethod
from ivr.hashing.methods import method_entry, method_names
from ivr.hashing.networks import Sizes
from ivr.hashing.pairs import Pairs
from ivr.hashing.trainer import fit, make_optimiser, train
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.runtime.config_options import configured

CLASSES, IMAGES, STREAMS, FRAMES = 3, 24, 2, 12
SMALL = ("network.voice_channels=8", "network.voice_stride=1", "network.voice_kernel=3",
         "network.image_hidden=16",
         # The classes of these voices are nothing but their means.
         "network.voice_mean=kept", "network.voice_warp=0", "network.voice_stretch=0",
         "network.voice_tilt=0", "network.voice_pool=4")  # fmt: skip
OPTIONS = {
    "dvan": ("hidden=64", "audio=16", "length=64"),
    "cmir_net": (*SMALL, "features=16"),
    "dtbh": (*SMALL, "features=16"),
    "dqh": (*SMALL, "features=16"),
    "dblp": ("width=16", "channels=8,8,8,8", "frame_pool=1"),
}
TRAINING = TrainConfig(epochs=24, batch_size=6, learning_rate=0.01, validate_every=24)
# Trained networks had less than this with one of 8 seeds of one method (ortho_hash, 0.87), and
# 1.00 with most; networks that were not trained had 0.27 to 0.76. So one seed of several must have
# it: that all of them fail is no bad luck, and that one of them passes untrained no good luck.
LEAST, SEEDS = 0.9, 6


def far_apart() -> Pairs:
    """Images and voices whose classes are 40 times as far apart as their noise is wide."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(IMAGES) % CLASSES
    voice_image = torch.arange(IMAGES).repeat_interleave(2)
    centres = 4 * torch.eye(CLASSES)
    images = centres[labels].repeat(1, 2)
    voices = centres[labels[voice_image]][:, None, :, None].repeat(1, STREAMS, 1, FRAMES)
    return Pairs(
        images + 0.1 * torch.randn(images.shape, generator=generator),
        labels,
        voices + 0.1 * torch.randn(voices.shape, generator=generator),
        torch.full((len(voices),), FRAMES),
        voice_image,
    )


def score(name: str, pairs: Pairs, seed: int) -> float:
    """Mean of both mAP on the pairs that were learnt."""
    entry = method_entry(name)
    torch.manual_seed(seed)
    options = OPTIONS.get(name, SMALL) if entry.trained else ()
    sizes = Sizes(2 * CLASSES, (STREAMS, CLASSES, FRAMES), 16, CLASSES)
    model = entry.build(configured(entry.config, options), sizes)
    if isinstance(model, TrainedMethod):
        model.fit_inputs(pairs)
        pooled = pairs.pooled_by(model.pool, float("inf"))
        optimiser = make_optimiser(model, TRAINING)
        *_, epoch = train(model, optimiser, pooled, pooled, TRAINING, seed=seed)
    else:
        assert isinstance(model, ClosedFormMethod)
        epoch = fit(model, pairs, pairs, seed=seed)
    assert epoch.score is not None
    return epoch.score


@pytest.mark.parametrize("name", method_names())
def test_every_method_learns_classes_that_lie_far_apart(name: str) -> None:
    pairs = far_apart()
    assert any(score(name, pairs, seed) > LEAST for seed in range(SEEDS))
