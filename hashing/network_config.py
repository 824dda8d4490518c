"""Sizes of the networks that methods share; imports no torch."""

from dataclasses import dataclass
from typing import Literal, get_args

VoiceMean = Literal["kept", "removed"]
Activation = Literal["tanh", "linear"]


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the image head and of the voice refinement CNN.

    The DIVH paper names a refinement CNN and gives no layers; these were chosen on the validation
    splits of UC Merced (docs/results.md).

    Attributes:
        image_hidden: width of the hidden layer of the image head, 0 for a single linear layer.
        voice_pool: frames averaged into one before the first layer; 8 x 5 ms = 40 ms.
        voice_mean: kept, or removed: subtract the mean over its frames from each coefficient of a
            voice, which takes microphone and some of the speaker out of it.
        voice_warp: largest logarithm of the factor by which frequencies are changed in training.
        voice_stretch: largest logarithm of the factor by which voices are slowed down or sped up.
        voice_tilt: deviation of the logarithm of the factor of each coefficient.
        voice_channels: channels of the convolutions over time, one number a layer.
        voice_kernel: frames that each convolution sees.
        voice_stride: step of each convolution, one number a layer.
        voice_dilation: how many times as far apart each layer takes its frames as the layer before;
            1 for convolutions without gaps.
        output_norm: normalise the outputs of either end over the batch before the activation, so
            that a bit neither saturates nor settles on one side early. It balances the bits by
            itself, and leaves DIVH's L3 little to do.
        dropout: share of units left out before the last layer of either end while training.
        image_dropout: share of image vector entries left out while training.
        time_masks: stretches of frames hidden from the voice CNN while training (SpecAugment).
        time_mask_share: longest stretch, as a share of the frames of the voice.
        frequency_masks: runs of MFCC hidden while training.
        frequency_mask_share: longest run, as a share of the coefficients.
    """

    image_hidden: int = 512
    voice_pool: int = 8
    voice_channels: tuple[int, ...] = (128, 192, 256)
    voice_kernel: int = 5
    voice_stride: tuple[int, ...] = (2, 2, 2)
    voice_dilation: int = 1
    voice_mean: VoiceMean = "removed"
    voice_warp: float = 0.1
    voice_stretch: float = 0.15
    voice_tilt: float = 0.0
    output_norm: bool = True
    dropout: float = 0.2
    image_dropout: float = 0.2
    time_masks: int = 2
    time_mask_share: float = 0.15
    frequency_masks: int = 1
    frequency_mask_share: float = 0.25

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.voice_channels or len(self.voice_channels) != len(self.voice_stride):
            raise ValueError(
                f"voice_channels and voice_stride need one number a layer each, got "
                f"{self.voice_channels} and {self.voice_stride}"
            )
        if self.voice_kernel % 2 == 0:
            raise ValueError(f"voice_kernel must be odd, got {self.voice_kernel}")
        if self.voice_pool < 1:
            raise ValueError(f"voice_pool must be at least 1, got {self.voice_pool}")
        positive = (
            *self.voice_channels,
            *self.voice_stride,
            self.voice_kernel,
            self.voice_dilation,
        )
        if min(positive) < 1:
            raise ValueError(
                f"channels, strides, kernel and dilation must be at least 1, got {positive}"
            )
        if self.voice_mean not in get_args(VoiceMean):
            raise ValueError(f"voice_mean must be kept or removed, got {self.voice_mean!r}")
        for name in (
            "image_hidden",
            "time_masks",
            "frequency_masks",
            "voice_warp",
            "voice_stretch",
            "voice_tilt",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        for name in ("dropout", "image_dropout", "time_mask_share", "frequency_mask_share"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), got {getattr(self, name)}")
