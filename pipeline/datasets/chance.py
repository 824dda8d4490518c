"""The mAP of a random order: what retrieval without any knowledge reaches."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ivr.hashing.average_precision import average_precision
from ivr.hashing.histograms import Histograms, chance_histograms

from .manifest import Item


@dataclass(frozen=True)
class Chance:
    """Expected mAP of a random order of the test split, by class, one voice per image; 0 to 1."""

    image_to_voice: float
    voice_to_image: float


def chance_of_test_split(images: Sequence[Item], voices: Sequence[Item]) -> Chance | None:
    """Return the chance of the items in the split ``test``; None if no voice is tested."""
    spoken = {voice.image for voice in voices if voice.image}
    tested = [image for image in images if image.split == "test" and image.label]
    image_counts = Counter(image.label for image in tested)
    voice_counts = Counter(image.label for image in tested if image.name in spoken)
    if not voice_counts:
        return None
    return Chance(
        image_to_voice=expected_map(image_counts, voice_counts),
        voice_to_image=expected_map(voice_counts, image_counts),
    )


def expected_map(queries: Mapping[str, int], gallery: Mapping[str, int]) -> float:
    """Return the expected mAP of a random order, from 0 to 1; items of one class are relevant.

    Args:
        queries: class -> number of queries; at least one query in all.
        gallery: class -> number of items to be found; at least one item in all.
    """
    labels = sorted(queries)
    relevant = np.array([[gallery.get(label, 0)] for label in labels], dtype=np.int64)
    tied = chance_histograms(Histograms(np.full_like(relevant, sum(gallery.values())), relevant))
    weights = np.array([queries[label] for label in labels])
    return float(np.average(average_precision(tied), weights=weights))
