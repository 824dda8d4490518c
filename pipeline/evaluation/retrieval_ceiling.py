r"""The mAP that follows from how well either end tells the classes apart, by two models.

**One code per class.** Every item is coded by the class that its classifier takes it for, and the
codes of different classes are equally far apart. A query of class c that is taken for j finds the
items taken for j first, in random order, and all others behind them, in random order. With
:math:`G_{dj}` the number of gallery items of class d that are taken for j, the average precision of
the query is that of two tied buckets: :math:`\sum_d G_{dj}` items, :math:`G_{cj}` of them relevant,
then the rest.

**By probability.** A query with class probabilities p ranks the gallery items, with probabilities
q, by :math:`\sum_c p_c q_c`: the probability that both have one class, if the classifiers are right
about their doubts. No ranking that knows only these probabilities has a higher expected precision
(the probability ranking principle), so that this is the ceiling of what the two classifiers know.

Both are estimates for linear classifiers. A method exceeds them where its networks tell the classes
apart better than a linear classifier does.

Reference:
    Robertson, "The probability ranking principle in IR", Journal of Documentation 1977.
"""

import numpy as np
from numpy.typing import NDArray

from ivr.hashing.average_precision import average_precision
from ivr.hashing.histograms import Histograms, score_histograms

QUERIES_AT_ONCE = 64


def class_code_map(queries: NDArray[np.int64], gallery: NDArray[np.int64]) -> float:
    """Return the mAP, 0 to 1, of items that are coded by the class they are taken for.

    Queries of a class that the gallery lacks are left out.

    Args:
        queries: [classes, classes], number of queries of the row's class that are taken for the
            column's class.
        gallery: the same of the gallery.
    """
    found = gallery.sum(axis=1) > 0
    asked, taken_for = np.nonzero(queries * found[:, None])
    first = gallery.sum(axis=0)[taken_for]
    first_relevant = gallery[asked, taken_for]
    relevant = gallery.sum(axis=1)[asked]
    histograms = Histograms(
        np.stack([first, gallery.sum() - first], axis=1),
        np.stack([first_relevant, relevant - first_relevant], axis=1),
    )
    weights = queries[asked, taken_for]
    return float(np.average(average_precision(histograms), weights=weights))


def probability_map(
    queries: NDArray[np.float64],
    query_labels: NDArray[np.int64],
    gallery: NDArray[np.float64],
    gallery_labels: NDArray[np.int64],
) -> float:
    """Return the mAP, 0 to 1, of ranking by the probability that query and item have one class.

    Queries of a class that the gallery lacks are left out.

    Args:
        queries: class probabilities [q, classes].
        query_labels: classes [q].
        gallery: class probabilities [g, classes].
        gallery_labels: classes [g].
    """
    asked = np.flatnonzero(np.isin(query_labels, gallery_labels))
    precisions = []
    for start in range(0, len(asked), QUERIES_AT_ONCE):
        rows = asked[start : start + QUERIES_AT_ONCE]
        relevant = query_labels[rows, None] == gallery_labels
        histograms = score_histograms(-queries[rows] @ gallery.T, relevant)
        precisions.append(average_precision(histograms))
    return float(np.concatenate(precisions).mean())
