"""Speech encoders of a few hundred random weights, in folders as transformers saves them."""

import json
from pathlib import Path
from typing import Any

import torch
import transformers

WIDTH, LAYERS = 16, 2
KINDS = ("whisper", "hubert", "wav2vec2", "wavlm")
CONVOLUTIONS: dict[str, Any] = {
    "conv_dim": [8, 8, 8],
    "conv_kernel": [10, 8, 4],
    "conv_stride": [5, 8, 8],
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "vocab_size": 5,
}


def speech_model(kind: str) -> Any:
    """The model of this kind: hubert has a normalisation over time, wav2vec2 one in each layer."""
    torch.manual_seed(0)
    if kind == "whisper":
        sizes = {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
        sizes |= {"encoder_layers": LAYERS, "decoder_layers": 1, "decoder_start_token_id": 1}
        sizes |= {"encoder_ffn_dim": 24, "decoder_ffn_dim": 24, "vocab_size": 9, "d_model": WIDTH}
        tokens = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
        config = transformers.WhisperConfig(max_source_positions=300, **sizes, **tokens)
        return transformers.WhisperForConditionalGeneration(config)
    if kind == "hubert":
        return transformers.HubertModel(transformers.HubertConfig(**CONVOLUTIONS))
    if kind == "wavlm":
        return transformers.WavLMModel(transformers.WavLMConfig(**CONVOLUTIONS))
    norms = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
    return transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**CONVOLUTIONS, **norms))


def write_speech_model(folder: Path, kind: str) -> Path:
    """Save the model of this kind, and how its input is normalised, to the new ``folder``."""
    model = speech_model(kind)
    for name, weights in model.named_parameters():
        if "layer_norm" in name:  # they start as the identity, which would hide a missing one
            weights.data += 0.3 * torch.randn_like(weights)
    model.save_pretrained(folder)
    if kind != "whisper":
        said = {"do_normalize": kind != "wavlm", "sampling_rate": 16_000}
        (folder / "preprocessor_config.json").write_text(json.dumps(said), encoding="utf-8")
    return folder
