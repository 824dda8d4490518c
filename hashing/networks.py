"""The trainable parts that methods share: a head on image vectors, a refinement CNN on MFCC.

Both standardise their input with the statistics of the training split (buffers, so that they travel
with the weights) and end in one linear layer of the width the method asks for.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .cepstral_augmentation import (
    Scale,
    stretched,
    tilted,
    warped,
    with_coefficients_hidden,
    with_frames_hidden,
)
from .network_config import Activation, NetworkConfig


@dataclass(frozen=True)
class Sizes:
    """The sizes of a model that follow from the data and the user's choices.

    Attributes:
        image_dim: length of an image vector.
        voice_shape: streams (MFCC, delta, delta-delta), coefficients and frames of a voice.
        bits: length of the code.
        classes: number of classes in the training split.
        mels: number of bands that the voices were computed from, the mel bands of MFCC or the bands
            of a spectrum; 0 for sequences whose numbers have no order of frequencies, e.g. of a
            pretrained speech encoder.
        sample_rate: sample rate of the voices, Hz.
        scale: what the numbers of a frame are: cepstra, or bands that are evenly spaced in mel or
            in hertz.
    """

    image_dim: int
    voice_shape: tuple[int, int, int]
    bits: int
    classes: int
    mels: int = 64
    sample_rate: int = 16_000
    scale: Scale = "cepstra"


class Standardise(nn.Module):
    """Subtract the mean and divide by the deviation of the training split."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, *shape: int) -> None:
        """Start as the identity; ``shape`` is that of the mean."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("deviation", torch.ones(shape))

    def set(self, mean: Tensor, deviation: Tensor) -> None:
        """Take the statistics; a constant entry is only centred."""
        self.mean.copy_(mean)
        self.deviation.copy_(torch.where(deviation > 1e-6, deviation, torch.ones_like(deviation)))

    def forward(self, values: Tensor) -> Tensor:
        """Return standardised ``values`` [n, ...] of the same shape."""
        return (values - self.mean) / self.deviation


class ImageHead(nn.Module):
    """CNN vector [n, image_dim] to real outputs [n, width]."""

    def __init__(self, image_dim: int, width: int, config: NetworkConfig) -> None:
        """Build the layers; the weights are torch's default initialisation."""
        super().__init__()
        self.standardise = Standardise(image_dim)
        layers: list[nn.Module] = [nn.Dropout(config.image_dropout)]
        if config.image_hidden:
            layers += [nn.Linear(image_dim, config.image_hidden), nn.ReLU()]
            layers += [nn.Dropout(config.dropout)]
        layers += [nn.Linear(config.image_hidden or image_dim, width), output_norm(width, config)]
        self.layers = nn.Sequential(*layers)

    def forward(self, images: Tensor) -> Tensor:
        """Return outputs [n, width] for image vectors [n, image_dim]."""
        outputs: Tensor = self.layers(self.standardise(images))
        return outputs

    def fit_inputs(self, mean: Tensor, deviation: Tensor) -> None:
        """Take mean and deviation [image_dim] of the training vectors."""
        self.standardise.set(mean, deviation)


class VoiceRefinement(nn.Module):
    """MFCC streams [m, streams, coefficients, frames] to real outputs [m, width].

    Convolutions over time, then mean and maximum over the frames that the voice really has, so
    that padding changes no output. (In training, the statistics of batch normalisation do count
    padded frames, as is usual.)
    """

    def __init__(self, sizes: Sizes, width: int, config: NetworkConfig) -> None:
        """Build the layers; the weights are torch's default initialisation."""
        super().__init__()
        streams, coefficients, _ = sizes.voice_shape
        self.sizes, self.config = sizes, config
        self.standardise = Standardise(streams, coefficients, 1)
        widths = (streams * coefficients, *config.voice_channels)
        self.convolutions = nn.ModuleList(
            _convolution(before, after, stride, config.voice_dilation**layer, config.voice_kernel)
            for layer, (before, after, stride) in enumerate(
                zip(widths, config.voice_channels, config.voice_stride, strict=False)
            )
        )
        self.norms = nn.ModuleList(nn.BatchNorm1d(channels) for channels in config.voice_channels)
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(2 * widths[-1], width),
            output_norm(width, config),
        )

    def forward(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return outputs [m, width].

        Args:
            voices: voices that :meth:`pool` returned, [m, streams, coefficients, runs].
            frames: [m] number of runs that each voice really has.
        """
        count = frames
        if self.training:
            voices, count = self._changed(voices, count)
        if not torch.compiler.is_exporting():  # an exported network has one length
            voices = voices[..., : int(count.max())]
        mask = frame_mask(count, voices.shape[-1])
        hidden = self.standardise(voices) * mask[:, None, None, :]
        if self.training:
            hidden = self._masked(hidden, count)
        hidden = hidden.flatten(1, 2)
        for convolution, norm, stride in zip(
            self.convolutions, self.norms, self.config.voice_stride, strict=True
        ):
            hidden = torch.relu(norm(convolution(hidden)))
            count = (count + stride - 1) // stride
            mask = frame_mask(count, hidden.shape[-1])
            hidden = hidden * mask[:, None, :]
        mean = hidden.sum(-1) / count[:, None]
        outputs: Tensor = self.head(torch.cat([mean, hidden.amax(-1)], dim=1))
        return outputs

    def pool(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of runs of frames, and how many runs a voice really has.

        Args:
            voices: [m, streams, coefficients, frames], padded with anything.
            frames: [m] number of frames that each voice really has.
        """
        pooled, count = pool_frames(voices.float(), frames, self.config.voice_pool)
        if self.config.voice_mean == "removed":
            pooled = remove_mean(pooled, count)
        return pooled, count

    def fit_inputs(self, chunks: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Compute mean and deviation per coefficient of the pooled training voices."""
        self.standardise.set(*frame_statistics(self.pool(*chunk) for chunk in chunks))

    def _changed(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return voices as another speaker might have spoken them, and their numbers of runs."""
        config, sizes = self.config, self.sizes
        voices = warped(voices, config.voice_warp, sizes.mels, sizes.sample_rate, sizes.scale)
        return stretched(tilted(voices, config.voice_tilt), frames, config.voice_stretch)

    def _masked(self, voices: Tensor, frames: Tensor) -> Tensor:
        config = self.config
        some = with_frames_hidden(voices, frames, config.time_masks, config.time_mask_share)
        return with_coefficients_hidden(some, config.frequency_masks, config.frequency_mask_share)


def frame_statistics(chunks: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Return mean and deviation [streams, coefficients, 1] over the true frames of all voices.

    Args:
        chunks: voices [m, streams, coefficients, frames], padded with anything, and the number of
            frames [m] that each really has; some voices at a time.
    """
    total = squares = torch.zeros(1, dtype=torch.float64)
    count = 0
    for voices, frames in chunks:
        lengths = frames.clamp(1, voices.shape[-1])
        padding = frame_mask(lengths, voices.shape[-1])[:, None, None, :] == 0
        values = voices.double().masked_fill(padding, 0)
        total = total + values.sum((0, 3)).cpu()
        squares = squares + values.square().sum((0, 3)).cpu()
        count += int(lengths.sum())
    mean = total / count
    deviation = (squares / count - mean.square()).clamp(min=0).sqrt()
    return mean[..., None].float(), deviation[..., None].float()


def frame_mask(frames: Tensor, length: int) -> Tensor:
    """Return 1.0 where a voice has a frame, else 0.0: [m, length] for counts [m]."""
    return (torch.arange(length, device=frames.device) < frames[:, None]).float()


def pool_frames(voices: Tensor, frames: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the mean of each run of ``size`` frames, and how many runs a voice really has.

    Args:
        voices: [m, streams, coefficients, frames], padded with anything.
        frames: [m] number of frames that each voice really has; the mean is over these only.
        size: frames in a run.

    Returns:
        [m, streams, coefficients, ceil(frames / size)], 0 where a voice has no frame, and [m].
    """
    length = voices.shape[-1]
    count = frames.clamp(1, length)
    mask = frame_mask(count, length)
    kept = voices.masked_fill(mask[:, None, None, :] == 0, 0)
    filled = _sum_of_runs(mask, size).clamp(min=1)
    return _sum_of_runs(kept, size) / filled[:, None, None, :], (count + size - 1) // size


def remove_mean(voices: Tensor, frames: Tensor) -> Tensor:
    """Return ``voices`` less the mean of each coefficient over the frames that a voice has.

    Args:
        voices: [m, streams, coefficients, frames], 0 where a voice has no frame, as in the result.
        frames: [m] number of frames that each voice really has.
    """
    mean = voices.sum(-1, keepdim=True) / frames[:, None, None, None]
    return (voices - mean) * frame_mask(frames, voices.shape[-1])[:, None, None, :]


def _sum_of_runs(values: Tensor, size: int) -> Tensor:
    """Return the sum of each run of ``size`` entries of the last axis, the last run filled up."""
    padded = F.pad(values, (0, -values.shape[-1] % size))
    return padded.reshape(*values.shape[:-1], -1, size).sum(-1)


def _convolution(before: int, after: int, stride: int, dilation: int, kernel: int) -> nn.Conv1d:
    """Return a convolution over time that puts out ceil(frames / stride) frames."""
    return nn.Conv1d(before, after, kernel, stride, dilation * (kernel // 2), dilation)


def output_norm(width: int, config: NetworkConfig) -> nn.Module:
    """Return what normalises the outputs [n, width] of an encoder, if ``config`` says so."""
    return nn.BatchNorm1d(width, affine=False) if config.output_norm else nn.Identity()


def activate(outputs: Tensor, activation: Activation) -> Tensor:
    """Return the outputs after the hash layer's activation."""
    if activation == "tanh":
        return torch.tanh(outputs)
    if activation == "linear":
        return outputs
    raise ValueError(f"activation must be tanh or linear, got {activation!r}")
