"""Shared by most methods: an image head and a voice refinement CNN of one width."""

from typing import Any

from torch import Tensor

from ivr.hashing.networks import ImageHead, Sizes, VoiceRefinement
from ivr.hashing.pairs import Pairs

from .method import TrainedMethod
from .sequence_head import SequenceHead


class DualEncoder(TrainedMethod):
    """The two encoders of :mod:`ivr.hashing.networks`; a subclass adds a loss.

    Sequences that are no cepstra have a voice end of their own
    (:class:`~ivr.hashing.sequence_head.SequenceHead`).

    Its config has the field ``network``, a :class:`~ivr.hashing.network_config.NetworkConfig`.
    """

    def __init__(self, config: Any, sizes: Sizes, encoder_width: int | None = None) -> None:
        """Build both encoders with torch's default initialisation.

        Args:
            config: the method's choices.
            sizes: sizes of the data and the code.
            encoder_width: output width of each encoder if layers follow; by default the number of
                bits.
        """
        super().__init__(config, sizes)
        width = encoder_width or sizes.bits
        self.image = ImageHead(sizes.image_dim, width, config.network)
        kind = VoiceRefinement if sizes.mels else SequenceHead
        self.voice: VoiceRefinement | SequenceHead = kind(sizes, width, config.network)

    def fit_inputs(self, training: Pairs) -> None:
        """Compute the statistics with which both encoders standardise."""
        self.image.fit_inputs(*training.image_statistics())
        self.voice.fit_inputs(training.voice_chunks())

    def pool(self, voices: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """Return the means of runs of frames, and how many there are."""
        return self.voice.pool(voices, frames)

    def encode_images(self, images: Tensor) -> Tensor:
        """Return the outputs of the image encoder after :meth:`activation`."""
        return self.activation(self.image(images))

    def encode_voices(self, voices: Tensor, frames: Tensor) -> Tensor:
        """Return the outputs of the voice encoder after :meth:`activation`."""
        return self.activation(self.voice(voices, frames))

    def activation(self, outputs: Tensor) -> Tensor:
        """Return what each encoder does with its last layer: nothing, unless a subclass says so."""
        return outputs
