"""The networks of pretrained speech encoders; the one module that imports transformers.

Whisper hears silence after a voice, the other models nothing. Padding of a batch changes no vector:
attention does not see it, and the one normalisation over time (of the first layer of the smaller
HuBERT, wav2vec 2.0 and WavLM) counts true frames only.
"""

import os
import warnings
from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor, nn

from ivr.errors import first_line

from .exact_float32 import exact_float32
from .speech_readers import SILENCE
from .voice_blueprint import VoiceEncoderError

REFUSED = (ImportError, KeyError, OSError, RuntimeError, TypeError, ValueError)
"""What transformers raises for a folder that it cannot use."""
UNUSED = ("masked_spec_embed",)
"""Weights that matter in the training of a speech encoder only; some folders lack them."""


class SpeechNetwork(nn.Module):
    """A frozen speech encoder, cut after a layer, and the average of runs of frames."""

    def __init__(self, pooling: int) -> None:
        """Average ``pooling`` frames into one."""
        super().__init__()
        self.pooling = pooling

    def forward(self, inputs: Tensor, lengths: Tensor) -> Tensor:
        """Return sequences [n, width, frames], 0 where a voice has no frame.

        Args:
            inputs: inputs of voices, padded with anything at the end of the last axis.
            lengths: [n] true length of that axis.
        """
        hidden, counts = self.hidden(inputs, lengths)
        kept = hidden * frames_mask(counts, hidden.shape[1])[:, :, None]
        size = self.pooling
        padded = F.pad(kept, (0, 0, 0, -hidden.shape[1] % size))
        sums = padded.reshape(len(hidden), -1, size, hidden.shape[2]).sum(2)
        starts = size * torch.arange(sums.shape[1], device=counts.device)
        filled = (counts[:, None] - starts).clamp(1, size)
        return (sums / filled[:, :, None]).transpose(1, 2)

    @abstractmethod
    def hidden(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the layer [n, frames, width] and true numbers of frames [n]."""

    @abstractmethod
    def counts(self, lengths: Tensor) -> Tensor:
        """Return the number of frames [n] of inputs of true ``lengths`` [n], before pooling."""


class WhisperNetwork(SpeechNetwork):
    """The encoder of Whisper on windows as long as they need to be.

    A window of fewer than 30 s has the first rows of the position table, and costs as much less.
    """

    def __init__(self, model: Any, layer: int, pooling: int) -> None:
        """Take the encoder of ``model`` up to ``layer``, from 1."""
        super().__init__(pooling)
        encoder = model.encoder
        self.conv1, self.conv2 = encoder.conv1, encoder.conv2
        self.positions = encoder.embed_positions
        self.layers = encoder.layers[:layer]
        self.norm = encoder.layer_norm if layer == len(encoder.layers) else nn.Identity()

    def hidden(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the layer for log-mel spectra [n, mels, time]."""
        made = F.gelu(self.conv2(F.gelu(self.conv1(inputs)))).transpose(1, 2)
        made = made[:, : self.positions.weight.shape[0]]
        made = made + self.positions.weight[: made.shape[1]]
        heard = frames_mask(self.counts(lengths) + SILENCE, made.shape[1])
        unheard = ((1 - heard) * torch.finfo(made.dtype).min)[:, None, None, :]
        for layer in self.layers:
            made = layer(made, unheard)
        return self.norm(made), self.counts(lengths)

    def counts(self, lengths: Tensor) -> Tensor:
        """Return the positions of the voice: without silence, and without the last position."""
        return lengths // 2 - 1 - SILENCE


class WaveNetwork(SpeechNetwork):
    """HuBERT, wav2vec 2.0 or WavLM."""

    def __init__(self, model: Any, layer: int, pooling: int) -> None:
        """Take ``model`` up to ``layer``, from 1."""
        super().__init__(pooling)
        self.convolutions = model.feature_extractor.conv_layers
        self.projection, self.encoder = model.feature_projection, model.encoder
        last = layer == len(self.encoder.layers)
        self.encoder.layers = self.encoder.layers[:layer]
        if model.config.do_stable_layer_norm and not last:
            self.encoder.layer_norm = nn.Identity()  # it belongs to the outputs of the last layer

    def hidden(self, inputs: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the outputs of the layer for samples [n, time]."""
        made, counts = inputs[:, None], lengths
        for layer in self.convolutions:
            counts = _after(layer.conv, counts)
            norm = getattr(layer, "layer_norm", None)
            if isinstance(norm, nn.GroupNorm):
                made = layer.activation(_normalised(layer.conv(made), counts, norm))
            else:
                made = layer(made)
        projected = self.projection(made.transpose(1, 2))
        if isinstance(projected, tuple):  # with the frames before it; HuBERT returns them alone
            projected = projected[0]
        heard = frames_mask(counts, projected.shape[1]) == 1
        outputs = self.encoder(projected * heard[:, :, None], attention_mask=heard)
        return outputs.last_hidden_state, counts

    def counts(self, lengths: Tensor) -> Tensor:
        """Return what the convolutions leave of ``lengths`` samples."""
        for layer in self.convolutions:
            lengths = _after(layer.conv, lengths)
        return lengths


class SpeechEncoder:
    """Turns inputs of voices into sequences; batches that need too much memory are halved."""

    def __init__(self, network: SpeechNetwork, device: torch.device) -> None:
        """Use ``network`` on ``device``."""
        self.network = network.to(device).requires_grad_(False).eval()
        self.device = device

    def __call__(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the sequence [1, width, n] of each of ``inputs``, float32.

        Raises:
            VoiceEncoderError: the device has no memory for one voice.
        """
        if not inputs:
            return []
        try:
            return self._sequences(inputs)
        except torch.OutOfMemoryError as error:
            if len(inputs) == 1:
                raise VoiceEncoderError(f"{self.device}: no memory for one voice") from error
        torch.cuda.empty_cache()
        half = len(inputs) // 2
        return [*self(inputs[:half]), *self(inputs[half:])]

    @torch.inference_mode()
    def _sequences(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        lengths = [one.shape[-1] for one in inputs]
        batch = np.zeros((len(inputs), *inputs[0].shape[:-1], max(lengths)), np.float32)
        for row, one in zip(batch, inputs, strict=True):
            row[..., : one.shape[-1]] = one
        true = torch.tensor(lengths, device=self.device)
        with exact_float32(), warnings.catch_warnings():
            # WavLM masks by booleans beside its real-valued bias of positions.
            warnings.filterwarnings("ignore", "Support for mismatched key_padding_mask")
            made = self.network(torch.from_numpy(batch).to(self.device), true)
        counts = -(-self.network.counts(true) // self.network.pooling)
        pairs = zip(made.cpu().numpy(), counts.tolist(), strict=True)
        return [sequence[None, :, :count] for sequence, count in pairs]


def load_speech_encoder(
    folder: Path, name: str, layer: int, pooling: int, device: str
) -> SpeechEncoder:
    """Return the speech encoder in ``folder`` on ``device``.

    Args:
        folder: a folder of transformers with safetensors.
        name: class of the model.
        layer: the layer whose outputs are taken, from 1.
        pooling: number of frames that are averaged.
        device: name of a torch device.

    Raises:
        VoiceEncoderError: it cannot be loaded, or weights are missing.
    """
    return SpeechEncoder(load_speech_network(folder, name, layer, pooling), torch.device(device))


def load_speech_network(folder: Path, name: str, layer: int, pooling: int) -> SpeechNetwork:
    """Return the network of :func:`load_speech_encoder` on the processor."""
    model = _model(folder, name)
    kind = WhisperNetwork if name == "WhisperModel" else WaveNetwork
    return kind(model, layer, pooling)


def _model(folder: Path, name: str) -> Any:
    """Return the model, float32; transformers neither asks a network nor runs code of the folder.

    Weights that are not in the files would be random: they are an error.
    """
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    import transformers

    messages: Any = transformers.utils.logging
    shown, level = messages.is_progress_bar_enabled(), messages.get_verbosity()
    messages.disable_progress_bar()
    messages.set_verbosity_error()
    try:
        model, found = getattr(transformers, name).from_pretrained(
            str(folder),
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (*REFUSED, SafetensorError) as error:
        raise VoiceEncoderError(f"{folder}: cannot be loaded ({first_line(error, 200)})") from error
    finally:
        messages.set_verbosity(level)
        if shown:
            messages.enable_progress_bar()
    part = "encoder." if name == "WhisperModel" else ""
    lacking = sorted(
        key for key in found["missing_keys"] if key.startswith(part) and key not in UNUSED
    )
    if lacking:
        raise VoiceEncoderError(
            f"{folder}: lacks {len(lacking)} weights of the encoder, e.g. {lacking[0]}"
        )
    return model


def frames_mask(counts: Tensor, length: int) -> Tensor:
    """Return 1.0 where a voice has a frame, else 0.0: [n, length] for counts [n]."""
    return (torch.arange(length, device=counts.device) < counts[:, None]).float()


def _after(convolution: nn.Conv1d, lengths: Tensor) -> Tensor:
    """Return the lengths after a convolution that pads nothing."""
    (kernel,), (stride,) = convolution.kernel_size, convolution.stride
    return (lengths - kernel) // stride + 1


def _normalised(values: Tensor, counts: Tensor, norm: nn.GroupNorm) -> Tensor:
    """Return what ``norm``, of one channel per group, makes of the true frames [n, channels, time].

    A clip gives the same values alone and padded.
    """
    mask = frames_mask(counts, values.shape[-1])[:, None]
    number = counts[:, None, None]
    mean = (values * mask).sum(-1, keepdim=True) / number
    variance = ((values - mean).square() * mask).sum(-1, keepdim=True) / number
    scaled = (values - mean) / (variance + norm.eps).sqrt()
    return scaled * norm.weight[:, None] + norm.bias[:, None]
