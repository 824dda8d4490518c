"""How well a linear classifier tells classes apart, by cross-validation; imports no torch.

The classifier is multinomial logistic regression on standardised vectors that are projected on
their whitened principal components. Whitening makes the solver converge in some ten steps, and on
UC Merced the classifier is as accurate as with all dimensions.
"""

import warnings
from collections.abc import Sequence

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray

COMPONENTS = 512
"""Most principal components that the classifier sees."""
ROWS_PER_COMPONENT = 2
"""Fewest training rows per component: with more components whitening keeps nothing but noise."""
REGULARISATION = 0.03
"""C of scikit-learn's ``LogisticRegression``."""


def group_folds(
    labels: NDArray[np.int64], groups: Sequence[str], folds: int, seed: int
) -> NDArray[np.int64]:
    """Return the fold of each row [n]; a group stays in one fold, and classes are spread evenly.

    Args:
        labels: class of each row [n].
        groups: group of each row [n].
        folds: number of folds, 2 or more and at most the number of groups.
        seed: seed of the order in which groups are dealt out.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    found = np.empty(len(labels), np.int64)
    with warnings.catch_warnings():
        # A class of fewer groups than folds is missing in some folds; the result names it.
        warnings.filterwarnings("ignore", message="The least populated class")
        for fold, (_, rows) in enumerate(splitter.split(np.empty(len(labels)), labels, groups)):
            found[rows] = fold
    return found


def held_out_probabilities(
    vectors: NDArray[np.float32],
    labels: NDArray[np.int64],
    classes: int,
    fold_of: NDArray[np.int64],
    seed: int,
    jobs: int,
) -> NDArray[np.float64]:
    """Return the probability of each class for each row, by a classifier that did not see its fold.

    Args:
        vectors: [n, dim].
        labels: class of each row [n], integers from 0.
        classes: number of classes.
        fold_of: fold of each row [n].
        seed: seed of the randomised principal components.
        jobs: folds that are computed at once; the result does not depend on it.

    Returns:
        Probabilities [n, classes]; 0 for a class that the other folds lack.
    """
    folds = range(int(fold_of.max()) + 1)
    found = np.zeros((len(labels), classes))
    done = Parallel(n_jobs=jobs)(
        delayed(_probabilities)(vectors, labels, fold_of == fold, seed) for fold in folds
    )
    for fold, (seen, probabilities) in zip(folds, done, strict=True):
        found[np.ix_(fold_of == fold, seen)] = probabilities
    return found


def _probabilities(
    vectors: NDArray[np.float32], labels: NDArray[np.int64], held_out: NDArray[np.bool_], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return the classes of the other folds, and their probabilities for each held-out row."""
    from sklearn.decomposition import PCA
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from threadpoolctl import threadpool_limits

    seen = np.unique(labels[~held_out])
    if len(seen) == 1:
        return seen, np.ones((int(held_out.sum()), 1))
    rows, width = int((~held_out).sum()), vectors.shape[1]
    components = max(1, min(COMPONENTS, width, rows // ROWS_PER_COMPONENT))
    classifier = make_pipeline(
        StandardScaler(),
        PCA(components, whiten=True, random_state=seed),
        LogisticRegression(C=REGULARISATION, max_iter=300),
    )
    # One thread: sums in another order would make the result depend on the number of jobs.
    # Vectors that are all equal have no variance to explain: NaN in a ratio that nothing reads.
    quiet = np.errstate(invalid="ignore")
    with threadpool_limits(1), quiet, warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        classifier.fit(vectors[~held_out], labels[~held_out])
        return seen, np.asarray(classifier.predict_proba(vectors[held_out]), np.float64)
