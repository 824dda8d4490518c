"""The public image-voice data sets and their classes."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .canonical_names import canonical_key


@dataclass(frozen=True)
class DataSet:
    """A public image-voice data set.

    Attributes:
        title: name in text.
        classes: names of the classes, spelled as :func:`spelling` returns them.
        images_per_class: class -> number of images, in the order of the image numbers; empty if the
            class of an image does not follow from its number.
    """

    title: str
    classes: tuple[str, ...]
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
        images_per_class=dict.fromkeys(_UCM_CLASSES, 100),
    ),
    "sydney": DataSet(
        "Sydney",
        tuple(_SYDNEY_IMAGES),
        images_per_class=_SYDNEY_IMAGES,
    ),
    "rsicd": DataSet(
        "RSICD",
        _RSICD_CLASSES,
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
