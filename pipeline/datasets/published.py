"""The public image-voice data sets: their classes, and the results that papers give on them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .canonical_names import canonical_key


@dataclass(frozen=True)
class PublishedResult:
    """The result of one method on one data set in a paper, by class relevance.

    Attributes:
        method: name in the paper.
        image_to_voice: mAP, percent.
        voice_to_image: mAP, percent.
        image_to_voice_precision: P@1, P@5, P@10, percent; empty if the paper has none.
        voice_to_image_precision: P@1, P@5, P@10, percent; empty if the paper has none.
        source: the paper.
        voices: what the queries are; results on recorded voices stand beside synthetic ones only
            with a mark.
        runs: number of trainings behind a value.
    """

    method: str
    image_to_voice: float
    voice_to_image: float
    image_to_voice_precision: tuple[float, ...] = ()
    voice_to_image_precision: tuple[float, ...] = ()
    source: str = "DIVH paper, IEEE JSTARS 2022, 10.1109/JSTARS.2022.3216333"
    voices: str = "recorded"
    runs: str = "single"


@dataclass(frozen=True)
class DataSet:
    """A public image-voice data set.

    Attributes:
        title: name in text.
        classes: names of the classes, spelled as :func:`spelling` returns them.
        published: results of papers.
        images_per_class: class -> number of images, in the order of the image numbers; empty if the
            class of an image does not follow from its number.
    """

    title: str
    classes: tuple[str, ...]
    published: tuple[PublishedResult, ...]
    images_per_class: Mapping[str, int] = field(default_factory=dict)


_UCM_CLASSES = (
    "agricultural",
    "airplane",
    "baseballdiamond",
    "beach",
    "buildings",
    "chaparral",
    "denseresidential",
    "forest",
    "freeway",
    "golfcourse",
    "harbor",
    "intersection",
    "mediumresidential",
    "mobilehomepark",
    "overpass",
    "parkinglot",
    "river",
    "runway",
    "sparseresidential",
    "storagetanks",
    "tenniscourt",
)
_SYDNEY_IMAGES = {
    "residential": 242,
    "airport": 22,
    "meadow": 50,
    "river": 45,
    "ocean": 92,
    "industrial": 96,
    "runway": 66,
}
_RSICD_CLASSES = (
    "airport",
    "bareland",
    "baseballfield",
    "beach",
    "bridge",
    "center",
    "church",
    "commercial",
    "denseresidential",
    "desert",
    "farmland",
    "forest",
    "industrial",
    "meadow",
    "mediumresidential",
    "mountain",
    "park",
    "parking",
    "playground",
    "pond",
    "port",
    "railwaystation",
    "resort",
    "river",
    "school",
    "sparseresidential",
    "square",
    "stadium",
    "storagetanks",
    "viaduct",
)

DATASETS = {
    "ucm": DataSet(
        "UC Merced",
        _UCM_CLASSES,
        (
            PublishedResult("SIFT+M", 8.55, 6.66),
            PublishedResult("DVAN", 36.79, 32.38),
            PublishedResult("CMIR-NET", 45.82, 40.37),
            PublishedResult("DIVR", 50.94, 45.34),
            PublishedResult("SePHklr", 61.47, 57.50),
            PublishedResult("DTBH", 64.27, 60.13),
            PublishedResult(
                "DIVH, 64 bits", 67.87, 65.24, (73.66, 74.99, 74.47), (84.10, 81.20, 79.77)
            ),
            PublishedResult("DIVH without L2, L3", 61.28, 60.15),
        ),
        images_per_class=dict.fromkeys(_UCM_CLASSES, 100),
    ),
    "sydney": DataSet(
        "Sydney",
        tuple(_SYDNEY_IMAGES),
        (
            PublishedResult("SIFT+M", 31.67, 26.50),
            PublishedResult("DVAN", 71.77, 63.88),
            PublishedResult("CMIR-NET", 78.44, 71.28),
            PublishedResult("DIVR", 81.35, 75.97),
            PublishedResult("SePHklr", 88.18, 85.93),
            PublishedResult("DTBH", 92.45, 87.49),
            PublishedResult(
                "DIVH, 64 bits", 93.93, 93.35, (95.23, 94.65, 93.07), (95.20, 93.84, 93.55)
            ),
            PublishedResult("DIVH without L2, L3", 85.33, 84.52),
        ),
        images_per_class=_SYDNEY_IMAGES,
    ),
    "rsicd": DataSet(
        "RSICD",
        _RSICD_CLASSES,
        (
            PublishedResult("SIFT+M", 5.04, 4.85),
            PublishedResult("DVAN", 16.29, 15.71),
            PublishedResult("CMIR-NET", 17.78, 17.25),
            PublishedResult("DIVR", 19.62, 18.58),
            PublishedResult("SePHklr", 21.52, 20.91),
            PublishedResult("DTBH", 23.46, 22.72),
            PublishedResult(
                "DIVH, 64 bits", 27.42, 29.18, (30.81, 28.36, 27.04), (32.42, 31.83, 30.28)
            ),
            PublishedResult("DIVH without L2, L3", 19.53, 18.72),
        ),
    ),
}


def spelling(label: str) -> str:
    """Return the key of ``label`` without spaces, hyphens and underscores, as papers join words."""
    return canonical_key(label).replace("-", "").replace("_", "").replace(" ", "")


def known_dataset(labels: Iterable[str]) -> str | None:
    """Return the key of :data:`DATASETS` whose classes ``labels`` are, else ``None``.

    Args:
        labels: class names, repeated or not; case, spaces, hyphens and underscores do not count.
    """
    found = {spelling(label) for label in labels}
    for name, dataset in DATASETS.items():
        if found == set(dataset.classes):
            return name
    return None
