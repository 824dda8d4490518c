"""Weights of packed networks as 8-bit integers, and what that costs in mean average precision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivr.hashing.codes import packed_signs
from ivr.pipeline.evaluation.evaluate import evaluate_codes
from ivr.pipeline.evaluation.protocol import PROTOCOLS
from ivr.pipeline.extraction.feature_dataset import FeatureDataset
from ivr.pipeline.runs.codes_file import CodedItems, Codes, read_codes
from ivr.pipeline.runs.query_vectors import QueryVectors
from ivr.pipeline.runs.run_folder import CODES
from ivr.pipeline.runs.stale_codes import require_current_codes
from ivr.pipeline.runtime.progress import progress

from .check_inputs import features_of_run, image_folder, in_blocks, pictures_of
from .code_check import in_parts
from .model_folder import ENCODER, IMAGE_END, VOICE_END, PackError
from .onnx_quantisation import quantised
from .onnx_sessions import CPU, load_network
from .pack_result import Int8Loss

NETWORKS = (VOICE_END, IMAGE_END, ENCODER)
BLOCK = 32
"""Images that are read and encoded at a time."""


def store_int8(work: Path) -> tuple[str, ...]:
    """Store the weights of the matrices of all networks in ``work`` as int8.

    Convolutions keep float32: their weights are few, and their sums in int8 are slower on most
    processors. A network without matrices stays as it is.

    Returns:
        Names of the networks that were changed.

    Raises:
        PackError: onnxruntime cannot quantise a network.
    """
    there = [name for name in NETWORKS if (work / name).is_file()]
    return tuple(name for name in there if quantised(work / name, outside=name == ENCODER))


@dataclass(frozen=True, eq=False)
class TestedItems:
    """The test split that the loss of int8 is measured on.

    Attributes:
        images: its images with the codes of the run.
        voices: its voices with the codes of the run.
        data: their vectors.
    """

    images: CodedItems
    voices: CodedItems
    data: FeatureDataset


def tested_items(run: Path, config: Mapping[str, Any]) -> TestedItems:
    """Return the test split of ``run``.

    Args:
        run: the run folder, with its codes.
        config: content of its ``config.json``.

    Raises:
        PackError: the codes, the features or the test split of the run are not there.
        RunError: the codes are of features that were extracted anew since.
    """
    path = run / CODES
    if not path.is_file():
        raise PackError(f"{path}: missing; --int8 measures its loss on it: ivr encode {run}")
    whole = read_codes(path)
    require_current_codes(path, whole.config, run, config)
    data = features_of_run(config)
    if data is None:
        raise PackError(
            f"{config['features']['folder']}: the features of the run are gone or others now; "
            "--int8 measures its loss on them"
        )
    found = TestedItems(_tested(whole.images), _tested(whole.voices), data)
    if not found.images.names or not found.voices.names:
        raise PackError(f"{run}: has no test split to measure the loss of --int8 on")
    return found


def int8_losses(
    tested: TestedItems,
    config: Mapping[str, Any],
    queries: QueryVectors,
    work: Path,
    changed: Sequence[str],
    image_root: str | Path | None,
) -> tuple[Int8Loss, ...]:
    """Return what the int8 networks in ``work`` cost on the items ``tested``.

    Args:
        tested: the test split.
        config: content of the ``config.json`` of the run.
        queries: the settings of its images.
        work: folder of the networks.
        changed: names of the networks that are int8.
        image_root: folder that image names are relative to, None for the one that the extraction
            recorded; its images are needed if the encoder is int8.

    Raises:
        PackError: the images of the run are not there.
        MediaError: an image cannot be read.
    """
    images, voices, data = tested.images, tested.voices, tested.data
    bits = int(config["bits"])
    threads = torch.get_num_threads()
    image_end, voice_end = (load_network(work / n, CPU, threads) for n in (IMAGE_END, VOICE_END))
    if ENCODER in changed:
        root = image_folder(data, images.names, image_root)
        vectors = _vectors(images.names, queries, work, root, threads)
    else:
        vectors = data.image_vectors(images.names)
    streams, frames = data.voice_vectors(voices.names, config["streams"])
    found = in_parts(lambda some: image_end.run(vectors=some), vectors)
    coded_images = replace(images, codes=packed_signs(found, bits))
    found = in_parts(
        lambda some, counts: voice_end.run(streams=some.astype(np.float32), frames=counts),
        streams,
        frames,
    )
    coded_voices = replace(voices, codes=packed_signs(found, bits))
    plain = _scores(images, voices)
    both = _scores(coded_images, coded_voices)
    asked = {
        "image_to_voice": _scores(coded_images, voices)["image_to_voice"],
        "voice_to_image": _scores(images, coded_voices)["voice_to_image"],
    }
    return tuple(Int8Loss(name, plain[name], asked[name], both[name]) for name in plain)


def _tested(items: CodedItems) -> CodedItems:
    """Return the items of the test split, without outputs: all are ranked by their codes."""
    rows = [row for row, split in enumerate(items.splits) if split == "test"]
    return replace(items.select(rows), outputs=None)


def _vectors(
    names: Sequence[str],
    queries: QueryVectors,
    work: Path,
    root: Path | None,
    threads: int,
) -> np.ndarray:
    """Return the vectors [n, dim] of the images ``names`` by the int8 encoder."""
    if root is None:
        raise PackError(
            "--int8 measures the loss of the image encoder on the images of the test split, which "
            "are not where they were extracted from; say where they are with --image-root"
        )
    encoder = load_network(work / ENCODER, CPU, threads)
    pictures = pictures_of(names, root, queries.image_input(), queries.pixel_config())
    blocks = progress(
        in_blocks(pictures, BLOCK), -(-len(names) // BLOCK), "blocks of images to encode with int8"
    )
    return np.concatenate([encoder.run(images=block) for block in blocks])


def _scores(images: CodedItems, voices: CodedItems) -> dict[str, float]:
    """Return the mAP of both directions, percent, by the default protocol and Hamming distance."""
    protocol = replace(PROTOCOLS["divh"], distance="hamming", voices="all", seed=0, test=None)
    found = evaluate_codes(Codes(images, voices, {}), protocol).results
    return {
        name: round(float(found[name]["mAP"]), 2) for name in ("image_to_voice", "voice_to_image")
    }
