"""The voice end on sequences of a pretrained speech encoder: a small head on each frame."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from .cepstral_augmentation import stretched, with_coefficients_hidden, with_frames_hidden
from .network_config import NetworkConfig
from .networks import Sizes, Standardise, frame_mask, frame_statistics, output_norm


class SequenceHead(nn.Module):
    """Sequences [m, streams, width, frames] to real outputs [m, width].

    The speech encoder has put each sound into its context already: one layer on each frame, then
    mean and maximum over the frames that the voice really has, say more about unknown speakers than
    convolutions over time (docs/how-to/speech-encoders.md). Its input is neither averaged, centred,
    warped nor tilted, as that of :class:`~ivr.hashing.networks.VoiceRefinement` is: its frames were
    averaged when they were made, their mean says what is spoken, and their numbers have no order of
    frequencies that a vocal tract could shift.
    """

    def __init__(self, sizes: Sizes, width: int, config: NetworkConfig) -> None:
        """Build the layers; the weights are torch's default initialisation."""
        super().__init__()
        streams, numbers, _ = sizes.voice_shape
        self.config = config
        channels = config.voice_channels[-1]
        self.standardise = Standardise(streams, numbers, 1)
        self.layer = nn.Conv1d(streams * numbers, channels, 1)
        self.norm = nn.BatchNorm1d(channels)
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(2 * channels, width),
            output_norm(width, config),
        )

    def forward(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return outputs [m, width].

        Args:
            voices: [m, streams, width, frames], padded with anything.
            frames: [m] number of frames that each voice really has.
        """
        count = frames
        if self.training:
            voices, count = stretched(voices, count, self.config.voice_stretch)
        if not torch.compiler.is_exporting():  # an exported network has one length
            voices = voices[..., : int(count.max())]
        mask = frame_mask(count, voices.shape[-1])
        hidden = self.standardise(voices) * mask[:, None, None, :]
        if self.training:
            hidden = self._masked(hidden, count)
        hidden = torch.relu(self.norm(self.layer(hidden.flatten(1, 2)))) * mask[:, None, :]
        mean = hidden.sum(-1) / count[:, None]
        outputs: Tensor = self.head(torch.cat([mean, hidden.amax(-1)], dim=1))
        return outputs

    def pool(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the voices without what pads them, and their numbers of frames, at least 1."""
        count = frames.clamp(1, voices.shape[-1])
        padding = frame_mask(count, voices.shape[-1])[:, None, None, :] == 0
        return voices.float().masked_fill(padding, 0), count

    def fit_inputs(self, chunks: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Compute mean and deviation per number of the training voices."""
        self.standardise.set(*frame_statistics(self.pool(*chunk) for chunk in chunks))

    def _masked(self, voices: Tensor, frames: Tensor) -> Tensor:
        config = self.config
        some = with_frames_hidden(voices, frames, config.time_masks, config.time_mask_share)
        return with_coefficients_hidden(some, config.frequency_masks, config.frequency_mask_share)
