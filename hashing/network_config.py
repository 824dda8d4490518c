"""Sizes of the networks that methods share; imports no torch."""

from typing import Literal

from pydantic import NonNegativeFloat, NonNegativeInt, PositiveInt

from ivr.config import Share, config

VoiceMean = Literal["kept", "removed"]
Activation = Literal["tanh", "linear"]


@config
class NetworkConfig:
    """Sizes of the image head and of the voice refinement CNN.

    The DIVH paper names a refinement CNN and gives no layers; these were chosen on the validation
    splits of UC Merced (docs/results.md). Sequences of a pretrained speech encoder go
    through one layer of the last ``voice_channels`` and are neither pooled nor centred, warped or
    tilted.

    Attributes:
        image_hidden: width of the hidden layer of the image head, 0 for a single linear layer.
        voice_pool: frames averaged into one before the first layer; 8 x 5 ms = 40 ms.
        voice_mean: kept, or removed: subtract the mean over its frames from each coefficient of a
            voice, which takes microphone and some of the speaker out of it.
        voice_warp: largest logarithm of the factor by which frequencies are changed in training.
        voice_stretch: largest logarithm of the factor by which voices are slowed down or sped up.
        voice_tilt: deviation of the logarithm of the factor of each coefficient.
        voice_channels: channels of the convolutions over time, one number per layer.
        voice_kernel: frames that each convolution sees.
        voice_stride: step of each convolution, one number per layer.
        voice_dilation: how many times as far apart each layer takes its frames as the layer before;
            1 for convolutions without gaps.
        output_norm: normalise the outputs of each encoder over the batch before the activation, so
            that a bit neither saturates nor settles on one side early. It balances the bits by
            itself, and leaves DIVH's L3 little to do.
        dropout: share of units left out before the last layer of each encoder while training.
        image_dropout: share of image vector entries left out while training.
        time_masks: stretches of frames hidden from the voice CNN while training (SpecAugment).
        time_mask_share: longest stretch, as a share of the frames of the voice.
        frequency_masks: runs of coefficients, or of bands of a spectrum, hidden while training.
        frequency_mask_share: longest run, as a share of the coefficients.
    """

    image_hidden: NonNegativeInt = 512
    voice_pool: PositiveInt = 8
    voice_channels: tuple[PositiveInt, ...] = (128, 192, 256)
    voice_kernel: PositiveInt = 5
    voice_stride: tuple[PositiveInt, ...] = (2, 2, 2)
    voice_dilation: PositiveInt = 1
    voice_mean: VoiceMean = "removed"
    voice_warp: NonNegativeFloat = 0.1
    voice_stretch: NonNegativeFloat = 0.15
    voice_tilt: NonNegativeFloat = 0.0
    output_norm: bool = True
    dropout: Share = 0.2
    image_dropout: Share = 0.2
    time_masks: NonNegativeInt = 2
    time_mask_share: Share = 0.15
    frequency_masks: NonNegativeInt = 1
    frequency_mask_share: Share = 0.25

    def __post_init__(self) -> None:
        """Check what the layers need together."""
        if not self.voice_channels or len(self.voice_channels) != len(self.voice_stride):
            raise ValueError(
                f"voice_channels and voice_stride need one number per layer each, got "
                f"{self.voice_channels} and {self.voice_stride}"
            )
        if self.voice_kernel % 2 == 0:
            raise ValueError(f"voice_kernel must be odd, got {self.voice_kernel}")
