"""What is published of the three image-voice data sets: class names and retrieval figures."""

from collections.abc import Iterable
from dataclasses import dataclass

UCM_CLASSES = (
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

# In the order of the image numbers, with the number of images of each.
SYDNEY_IMAGES = {
    "residential": 242,
    "airport": 22,
    "meadow": 50,
    "river": 45,
    "ocean": 92,
    "industrial": 96,
    "runway": 66,
}
SYDNEY_CLASSES = tuple(SYDNEY_IMAGES)

RSICD_CLASSES = (
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

DATASETS = {"ucm": UCM_CLASSES, "sydney": SYDNEY_CLASSES, "rsicd": RSICD_CLASSES}


@dataclass(frozen=True)
class PublishedFigure:
    """What a paper gives for one method on one data set, class relevance.

    Attributes:
        method: name as in the paper.
        image_to_voice: mAP, percent.
        voice_to_image: mAP, percent.
        image_to_voice_precision: P@1, P@5, P@10, percent; empty where not given.
        voice_to_image_precision: P@1, P@5, P@10, percent; empty where not given.
        source: where the figures stand.
        voices: what the queries were; never set these beside synthetic voices without a mark.
        runs: how many trainings are behind a figure.
    """

    method: str
    image_to_voice: float
    voice_to_image: float
    image_to_voice_precision: tuple[float, ...] = ()
    voice_to_image_precision: tuple[float, ...] = ()
    source: str = "DIVH paper, IEEE JSTARS 2022, 10.1109/JSTARS.2022.3216333"
    voices: str = "recorded"
    runs: str = "single"


PUBLISHED: dict[str, tuple[PublishedFigure, ...]] = {
    "sydney": (
        PublishedFigure("SIFT+M", 31.67, 26.50),
        PublishedFigure("DVAN", 71.77, 63.88),
        PublishedFigure("CMIR-NET", 78.44, 71.28),
        PublishedFigure("DIVR", 81.35, 75.97),
        PublishedFigure("SePHklr", 88.18, 85.93),
        PublishedFigure("DTBH", 92.45, 87.49),
        PublishedFigure(
            "DIVH, 64 bits", 93.93, 93.35, (95.23, 94.65, 93.07), (95.20, 93.84, 93.55)
        ),
        PublishedFigure("DIVH without L2, L3", 85.33, 84.52),
    ),
    "ucm": (
        PublishedFigure("SIFT+M", 8.55, 6.66),
        PublishedFigure("DVAN", 36.79, 32.38),
        PublishedFigure("CMIR-NET", 45.82, 40.37),
        PublishedFigure("DIVR", 50.94, 45.34),
        PublishedFigure("SePHklr", 61.47, 57.50),
        PublishedFigure("DTBH", 64.27, 60.13),
        PublishedFigure(
            "DIVH, 64 bits", 67.87, 65.24, (73.66, 74.99, 74.47), (84.10, 81.20, 79.77)
        ),
        PublishedFigure("DIVH without L2, L3", 61.28, 60.15),
    ),
    "rsicd": (
        PublishedFigure("SIFT+M", 5.04, 4.85),
        PublishedFigure("DVAN", 16.29, 15.71),
        PublishedFigure("CMIR-NET", 17.78, 17.25),
        PublishedFigure("DIVR", 19.62, 18.58),
        PublishedFigure("SePHklr", 21.52, 20.91),
        PublishedFigure("DTBH", 23.46, 22.72),
        PublishedFigure(
            "DIVH, 64 bits", 27.42, 29.18, (30.81, 28.36, 27.04), (32.42, 31.83, 30.28)
        ),
        PublishedFigure("DIVH without L2, L3", 19.53, 18.72),
    ),
}


def spelling(label: str) -> str:
    """Return ``label`` without case, spaces, hyphens and underscores."""
    return "".join(label.casefold().replace("-", " ").replace("_", " ").split())


def known_dataset(labels: Iterable[str]) -> str | None:
    """Return ``ucm``, ``sydney`` or ``rsicd`` where ``labels`` are its classes, else ``None``.

    Args:
        labels: class names, repeated or not; case, spaces, hyphens and underscores do not count.
    """
    found = {spelling(label) for label in labels}
    for name, classes in DATASETS.items():
        if found == set(classes):
            return name
    return None
