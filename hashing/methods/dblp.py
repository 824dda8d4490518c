r"""DBLP: images and spectrograms in one space, learnt from pairs and drawn impostors.

Reference:
    Harwath, Torralba and Glass, "Unsupervised Learning of Spoken Language with Visual Context",
    NIPS 2016: the row DBLP of DIVH's Tables II-IV. Layers and impostors as in the authors' public
    code (dharwath/DAVEnet-pytorch, ``models/AudioModels.py`` and ``sampled_margin_rank_loss`` of
    ``steps/util.py``).

With S the inner product of the outputs of an image and a voice, a pair i costs

.. math:: \max(0, m + S_{ji} - S_{ii}) + \max(0, m + S_{ik} - S_{ii})

with an image j and a voice k of other pairs of the batch, both drawn. The paper knows no classes:
an impostor may be of the same class (``impostors`` any).
"""

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, PositiveFloat, PositiveInt
from torch import Tensor, nn

from ivr.config import config
from ivr.hashing.losses import same_class
from ivr.hashing.method import Batch, MethodEntry, TrainedMethod
from ivr.hashing.networks import Sizes, Standardise, frame_mask, frame_statistics, pool_frames
from ivr.hashing.pairs import Pairs
from ivr.hashing.triplets import drawn

# Frames that each convolution of the paper sees.
KERNELS = (1, 11, 17, 17, 17)

Widths = Annotated[tuple[PositiveInt, ...], Field(min_length=4, max_length=4)]


@config
class DBLPConfig:
    """The choices of DBLP.

    Attributes:
        width: length of the outputs, at least the number of bits; the paper has 1024.
        channels: widths of the first four convolutions. The paper has 128, 256, 512 and 512, with
            some thirty times as many products.
        frame_pool: frames averaged into one before the network. The paper has a frame every 10 ms;
            with the usual 5 ms, 4 makes a frame of 20 ms.
        margin: m.
        impostors: images and voices that a pair is compared with: those of ``other-class``, or
            ``any`` other pair of the batch, as in the paper.
    """

    width: PositiveInt = 256
    channels: Widths = (32, 64, 64, 64)
    frame_pool: PositiveInt = 4
    margin: PositiveFloat = 1.0
    impostors: Literal["other-class", "any"] = "other-class"


class DBLP(TrainedMethod):
    """A linear map of image vectors, and five convolutions over the frames of a spectrum."""

    source = "Harwath et al., NIPS 2016, dharwath/DAVEnet-pytorch"
    differences = (
        "DIVH gives no settings for its row; outputs of unit length, of both signs; batch "
        "normalisation; fewer channels and frames of 20 ms; impostors of other classes "
        "(`impostors` any is the paper's form)"
    )
    distance = "euclidean"
    config: DBLPConfig

    def __init__(self, config: DBLPConfig, sizes: Sizes) -> None:
        """Build the layers.

        Raises:
            ValueError: more bits than outputs to take the signs of.
        """
        if sizes.bits > config.width:
            raise ValueError(f"width must be at least bits={sizes.bits}, got {config.width}")
        super().__init__(config, sizes)
        self.standardise = Standardise(sizes.image_dim)
        self.image = nn.Linear(sizes.image_dim, config.width)
        self.voice = SpectrumNetwork(sizes.voice_shape, config)

    @property
    def width(self) -> int:
        """Length of the outputs."""
        return int(self.config.width)

    def fit_inputs(self, training: Pairs) -> None:
        """Compute the statistics with which both encoders standardise."""
        self.standardise.set(*training.image_statistics())
        pooled = (self.pool(*chunk) for chunk in training.voice_chunks())
        self.voice.standardise.set(*frame_statistics(pooled))

    def pool(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of runs of ``frame_pool`` frames, and how many runs a voice has."""
        return pool_frames(voices.float(), frames, self.config.frame_pool)

    def encode_images(self, images: Tensor) -> Tensor:
        """Return outputs [n, width] of unit length."""
        return F.normalize(self.image(self.standardise(images)))

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return outputs [m, width] of unit length."""
        return F.normalize(self.voice(voices, frames))

    def losses(self, batch: Batch) -> dict[str, Tensor]:
        """Return the two terms of the margin: an impostor image, and an impostor voice."""
        similarity = self.encode_images(batch.images) @ (
            self.encode_voices(batch.voices, batch.frames).T
        )
        if self.config.impostors == "any":
            others = ~torch.eye(len(similarity), dtype=torch.bool, device=similarity.device)
        else:
            others = ~same_class(batch.labels, batch.labels)
        margin = self.config.margin
        return {
            "image": ranking_cost(similarity.T, others, margin),
            "voice": ranking_cost(similarity, others, margin),
        }


class SpectrumNetwork(nn.Module):
    """The paper's five convolutions: voices [m, streams, bands, frames] to [m, width].

    The first one sees all bands of one frame, the others run over time. All but the last are
    rectified, and all but the first and the last are followed by a maximum over three frames, every
    second one kept. The authors rectify the last one too: then all signs of a voice are alike, and
    it has no code.
    The result is the mean over the frames that the voice really has. The batch normalisation is
    ours: without it twelve epochs on UC Merced taught nothing.
    """

    def __init__(self, voice_shape: tuple[int, int, int], config: DBLPConfig) -> None:
        """Build the layers; the weights are torch's default initialisation."""
        super().__init__()
        streams, bands, _ = voice_shape
        self.standardise = Standardise(streams, bands, 1)
        widths = (streams * bands, *config.channels, config.width)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, after, kernel, padding=kernel // 2)
            for before, after, kernel in zip(widths, widths[1:], KERNELS, strict=False)
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(after) for after in widths[1:])

    def forward(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return [m, width]; what pads a voice changes nothing.

        Args:
            voices: runs of frames [m, streams, bands, frames], padded with anything.
            frames: [m] number of runs that each voice really has.
        """
        count = frames.clamp(1, voices.shape[-1])
        if not torch.compiler.is_exporting():  # an exported network has one length
            voices = voices[..., : int(count.max())]
        hidden = self.standardise(voices).flatten(1, 2)
        hidden = hidden * frame_mask(count, hidden.shape[-1])[:, None, :]
        last = len(self.convolutions) - 1
        for layer, (convolution, norm) in enumerate(
            zip(self.convolutions, self.norms, strict=True)
        ):
            hidden = norm(convolution(hidden))
            hidden = torch.relu(hidden) if layer < last else hidden
            hidden = hidden * frame_mask(count, hidden.shape[-1])[:, None, :]
            if 0 < layer < last:
                hidden = F.max_pool1d(hidden, 3, stride=2, padding=1)
                count = (count + 1) // 2
        mean: Tensor = hidden.sum(-1) / count[:, None]
        return mean


def ranking_cost(similarity: Tensor, others: Tensor, margin: float) -> Tensor:
    """Return the mean of max(0, margin + S of a drawn impostor - S of the own pair), 0 of none.

    Args:
        similarity: S [n, n] of anchors (rows) and items (columns); own pairs on the diagonal.
        others: booleans [n, n], the impostors that may be drawn for each anchor.
        margin: by how much the own pair should be ahead.
    """
    anchors = others.any(1).nonzero()[:, 0]
    if not len(anchors):
        return similarity.sum() * 0
    impostor = drawn(others[anchors])
    ahead = similarity[anchors, anchors] - similarity[anchors, impostor]
    return torch.relu(margin - ahead).mean()


METHOD = MethodEntry(build=DBLP, config=DBLPConfig)
