"""What a probe finds: accuracies, confusions and the ceiling for mAP that follows from them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ivr.pipeline.runtime.results import TableResult


@dataclass(frozen=True)
class ConfusedPair:
    """Items of one class that are taken for another.

    Attributes:
        actual: class of the items.
        taken_for: class that they are taken for.
        share: percent of the items of ``actual``.
    """

    actual: str
    taken_for: str
    share: float


@dataclass(frozen=True, eq=False)
class ModalityProbe:
    """How well a linear classifier tells the classes of one modality apart.

    Attributes:
        classes: names of the classes, in the order of the confusion.
        confusion: [classes, classes], number of items of the row's class that are taken for the
            column's class, each by the classifier that did not learn from its fold.
        fold_accuracies: percent of the items of each fold that are taken for their class.
        groups: number of groups; a group is never divided between folds.
        dimensions: length of the vectors that were classified.
        of: number of items on the training side, of which ``items`` were drawn.
    """

    classes: tuple[str, ...]
    confusion: NDArray[np.int64]
    fold_accuracies: tuple[float, ...]
    groups: int
    dimensions: int
    of: int

    @property
    def items(self) -> int:
        """Number of items that were classified."""
        return int(self.confusion.sum())

    @property
    def accuracy(self) -> float:
        """Mean accuracy of the folds, percent."""
        return float(np.mean(self.fold_accuracies))

    @property
    def deviation(self) -> float:
        """Standard deviation of the accuracy over the folds, percent."""
        return float(np.std(self.fold_accuracies, ddof=1))

    @property
    def class_accuracies(self) -> dict[str, float | None]:
        """Percent of the items of each class that are taken for it; None for a class without."""
        counts, right = self.confusion.sum(axis=1), self.confusion.diagonal()
        return {
            name: 100 * float(correct) / int(count) if count else None
            for name, count, correct in zip(self.classes, counts, right, strict=True)
        }

    @property
    def macro_accuracy(self) -> float:
        """Mean of the accuracies of the classes that have items, percent."""
        return float(np.mean([a for a in self.class_accuracies.values() if a is not None]))

    @property
    def majority(self) -> float:
        """Accuracy of always answering the most frequent class, percent."""
        return 100 * float(self.confusion.sum(axis=1).max()) / self.items

    @property
    def uniform(self) -> float:
        """Accuracy of a guess among the classes that have items, percent."""
        return 100 / int((self.confusion.sum(axis=1) > 0).sum())

    @property
    def shares(self) -> NDArray[np.float64]:
        """The confusion in percent of each row; NaN for a class without items."""
        counts = self.confusion.sum(axis=1, keepdims=True)
        shares = np.full(self.confusion.shape, np.nan)
        np.divide(100 * self.confusion, counts, out=shares, where=counts > 0)
        return shares

    def most_confused(self, count: int = 5) -> tuple[ConfusedPair, ...]:
        """Return the ``count`` largest confusions of one class with another, largest first."""
        shares = np.nan_to_num(self.shares)
        np.fill_diagonal(shares, 0)
        order = np.argsort(-shares, axis=None, kind="stable")[:count]
        pairs = zip(*np.unravel_index(order, shares.shape), strict=True)
        return tuple(
            ConfusedPair(self.classes[row], self.classes[column], float(shares[row, column]))
            for row, column in pairs
            if shares[row, column] > 0
        )

    def to_dict(self) -> dict[str, Any]:
        """Return accuracies in percent and the confusion in items, as JSON values."""
        return {
            "items": self.items,
            "of": self.of,
            "groups": self.groups,
            "dimensions": self.dimensions,
            "accuracy": self.accuracy,
            "deviation": self.deviation,
            "fold_accuracies": list(self.fold_accuracies),
            "macro_accuracy": self.macro_accuracy,
            "majority": self.majority,
            "uniform": self.uniform,
            "class_accuracies": self.class_accuracies,
            "most_confused": [vars(pair) for pair in self.most_confused()],
            "confusion": self.confusion.tolist(),
        }


@dataclass(frozen=True)
class Ceiling:
    """Expected mAP of both directions, percent.

    Attributes:
        image_to_voice: images are the queries.
        voice_to_image: voices are the queries.
    """

    image_to_voice: float
    voice_to_image: float

    @property
    def mean(self) -> float:
        """Mean of both directions, percent."""
        return (self.image_to_voice + self.voice_to_image) / 2


@dataclass(frozen=True)
class Ceilings:
    """The mAP that follows from the classifiers, and what it would be if one end made no error.

    :mod:`ivr.pipeline.evaluation.retrieval_ceiling` states both models.

    Attributes:
        by_probability: items are ranked by the probability that they have the query's class.
        perfect_images: the same if the class of each image were certain.
        perfect_voices: the same if the class of each voice were certain.
        one_code_per_class: items are coded by the class they are taken for, and ranked by codes.
    """

    by_probability: Ceiling
    perfect_images: Ceiling
    perfect_voices: Ceiling
    one_code_per_class: Ceiling


@dataclass(frozen=True, eq=False, repr=False)
class ProbeResult(TableResult):
    """How well the features tell the classes apart by themselves, and what that allows.

    Attributes:
        features: folder of the features.
        classes: names of the classes, in alphabetical order.
        images: accuracy and confusion of the image vectors; None without images.
        voices: accuracy and confusion of the voices; None without voices.
        ceilings: mAP that follows; None where one modality is missing.
        advice: which end limits the result, in one line.
    """

    features: str
    classes: tuple[str, ...]
    images: ModalityProbe | None
    voices: ModalityProbe | None
    ceilings: Ceilings | None
    advice: str

    @property
    def modalities(self) -> dict[str, ModalityProbe]:
        """The modalities that were probed, by name."""
        both = {"images": self.images, "voices": self.voices}
        return {name: found for name, found in both.items() if found is not None}

    def rows(self) -> list[dict[str, Any]]:
        """Return one row per modality and class: its items, accuracy and largest confusion."""
        table = []
        for name, found in self.modalities.items():
            counts = found.confusion.sum(axis=1)
            worst = {pair.actual: pair for pair in reversed(found.most_confused(counts.size**2))}
            for label, count in zip(found.classes, counts, strict=True):
                pair = worst.get(label)
                table.append(
                    {
                        "modality": name,
                        "class": label,
                        "items": int(count),
                        "accuracy": found.class_accuracies[label],
                        "taken_for": pair.taken_for if pair else None,
                        "share": pair.share if pair else None,
                    }
                )
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return everything as JSON values, in percent; confusions in items."""
        values = super().to_dict()
        for name, found in self.modalities.items():
            values[name] = found.to_dict()
        return values

    def __repr__(self) -> str:
        """Return accuracies, ceiling and advice in one line."""
        parts = [
            f"{name} {found.accuracy:.1f} ± {found.deviation:.1f} %"
            for name, found in self.modalities.items()
        ]
        if self.ceilings is not None:
            top = self.ceilings.by_probability
            parts.append(f"ceiling {top.image_to_voice:.1f} / {top.voice_to_image:.1f} mAP")
        return f"{self.features}: {', '.join(parts)}; {self.advice}"
