"""What TensorBoard shows of a run beside its curves: its choices, and the worst queries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from ivr.features.image_bands import PixelConfig
from ivr.features.image_file import read_image
from ivr.features.media import MediaError
from ivr.features.voice_file import read_voice
from ivr.hashing.histograms import class_histograms
from ivr.hashing.metrics import scores
from ivr.hashing.ranking import hamming_distance
from ivr.pipeline.datasets.manifest import ManifestError, resolve
from ivr.pipeline.extraction.recorded_settings import recorded_pixels
from ivr.pipeline.pictures.ranked_hits import Hit, ImageItem, VoiceItem, draw_hits, hits_size
from ivr.pipeline.pictures.style import new_figure
from ivr.pipeline.runtime.progress import detail

from .codes_file import CodedItems, read_codes
from .reports import PERCENT, Parameter
from .run_folder import CODES, EVENTS, MODEL, read_config, read_tensors

WORST = 4
"""Queries that are drawn."""
HITS = 5
"""Images that are drawn for each."""


def write_parameters(events: SummaryWriter, parameters: Mapping[str, Parameter]) -> None:
    """Write the choices of a run for the tab HPARAMS, where runs are compared by them."""
    metrics = {f"{PERCENT}/{direction}": 0.0 for direction in ("image_to_voice", "voice_to_image")}
    writer: Any = events.file_writer
    found: Any = hparams(dict(parameters), metrics)  # type: ignore[no-untyped-call]
    for summary in found:
        writer.add_summary(summary)


def write_worst_queries(run: Path) -> int:
    """Draw the validation voices with the least average precision and what they find.

    Each picture has waveform and spectrogram of the voice and its first images by their codes,
    wrong ones crossed out. The test split is not shown: what is seen here changes decisions.

    Args:
        run: a finished run folder; without TensorBoard events nothing is drawn.

    Returns:
        The number of queries that are drawn; 0 if their files are not around the features.
    """
    if not (run / EVENTS).is_dir():
        return 0
    codes, config = read_codes(run / CODES), read_config(run)
    images, voices = (_of_split(items, "val") for items in (codes.images, codes.voices))
    if not images.names or not voices.names:
        return 0
    root = _root(Path(config["features"]["folder"]), (*images.names, *voices.names))
    if root is None:
        detail("TensorBoard has no pictures of queries: their files are not around the features")
        return 0
    pixels = recorded_pixels(config["features"]["images"])
    epoch = int(read_tensors(run / MODEL)[1]["epoch"])
    with SummaryWriter(str(run / EVENTS)) as events:
        worst = _worst(voices, images)
        for place, row in enumerate(worst, 1):
            try:
                figure = _drawn(root, voices.select([row]), images, pixels)
            except (MediaError, ManifestError, OSError) as error:
                detail(f"no picture of {voices.names[row]}: {error}")
                continue
            events.add_figure(f"worst validation queries/{place}", figure, epoch)
            events.add_text(
                f"worst validation queries/{place}", voices.names[row].replace("|", " "), epoch
            )
    return len(worst)


def _of_split(items: CodedItems, split: str) -> CodedItems:
    return items.select([row for row, own in enumerate(items.splits) if own == split])


def _root(features: Path, names: tuple[str, ...]) -> Path | None:
    """Return the folder that ``names`` are relative to: that of the features or one above it."""
    around = (features, *features.parents[:2])
    return next((p for p in around if any((p / name).is_file() for name in names)), None)


def _worst(voices: CodedItems, images: CodedItems) -> list[int]:
    """Return the rows of the voices with the least average precision, the least first."""
    labels = {
        label: number for number, label in enumerate(sorted({*voices.labels, *images.labels}))
    }
    queries, gallery = (
        np.array([labels[label] for label in items.labels]) for items in (voices, images)
    )
    hist = class_histograms(voices.codes, queries, images.codes, gallery)
    precision = scores(hist, metrics=("mAP",)).average_precision
    return [int(row) for row in np.argsort(precision, kind="stable")[:WORST]]


def _drawn(root: Path, voice: CodedItems, images: CodedItems, pixels: PixelConfig) -> Any:
    distances = hamming_distance(voice.codes, images.codes)[0]
    nearest = np.argsort(distances, kind="stable")[:HITS].tolist()
    query = VoiceItem(
        voice.names[0],
        voice.labels[0],
        voice.captions[0],
        *read_voice(resolve(root, voice.names[0])),
    )
    hits = [
        Hit(
            ImageItem(
                images.names[row],
                images.labels[row],
                read_image(resolve(root, images.names[row]), None, pixels.shown).transpose(1, 2, 0),
            ),
            float(distances[row]),
            images.labels[row] == voice.labels[0],
        )
        for row in nearest
    ]
    figure = new_figure(*hits_size(len(hits)))
    draw_hits(figure, query, hits, f"of {8 * voice.codes.shape[1]} bits")
    return figure
