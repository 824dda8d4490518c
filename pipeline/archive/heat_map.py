"""Heat map of a query over a scene, and its best places."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from ivr.features.scene_windows import WindowGrid

SHARED = 0.25
"""Windows that share at least this part of their area are one place: the nearer one is kept."""


@dataclass(frozen=True)
class Peak:
    """One of the best windows.

    Attributes:
        row: place among the rows of windows.
        column: place among the columns of windows.
        distance: Hamming distance to the query, bits.
    """

    row: int
    column: int
    distance: int


def heat_map(grid: WindowGrid, distances: np.ndarray) -> np.ndarray:
    """Return the distance of each cell of a scene, whose sides are the stride of the windows.

    The value of a cell is the mean distance of the windows that cover it, weighted by the area of
    the cell that each covers.

    Args:
        grid: where the windows lie.
        distances: [rows, columns] of windows, bits; NaN for a window without data.

    Returns:
        float32 [cell rows, cell columns], bits; NaN where no window with data lies.
    """
    down = _covered(grid.rows, grid.size[1], grid.height, grid.stride)
    across = _covered(grid.columns, grid.size[0], grid.width, grid.stride).T
    known = np.isfinite(distances)
    sums = down @ np.where(known, distances, 0.0) @ across
    areas = down @ known.astype(np.float64) @ across
    with np.errstate(invalid="ignore"):
        found: np.ndarray = np.where(areas > 0, sums / areas, np.nan).astype(np.float32)
    return found


def best_places(
    grid: WindowGrid, distances: np.ndarray, heat: np.ndarray, count: int
) -> list[Peak]:
    """Return the nearest windows, nearest first, without neighbours of one that is nearer.

    Windows at equal distance are ordered by the mean of the heat map over them, then by row and
    column.

    Args:
        grid: where the windows lie.
        distances: [rows, columns] of windows, bits; NaN for a window without data.
        heat: the heat map of these distances.
        count: largest number of places.
    """
    width, height = grid.size
    around = _means(grid, heat)
    rows, columns = np.nonzero(np.isfinite(distances))
    order = np.lexsort((columns, rows, around[rows, columns], distances[rows, columns]))
    xs, ys = np.array(grid.columns)[columns], np.array(grid.rows)[rows]
    left = np.ones(len(order), bool)
    found: list[Peak] = []
    for one in order:
        if not left[one]:
            continue
        row, column = int(rows[one]), int(columns[one])
        found.append(Peak(row, column, int(distances[row, column])))
        if len(found) == count:
            break
        shared_x = np.clip(width - abs(xs - xs[one]), 0, None)
        shared_y = np.clip(height - abs(ys - ys[one]), 0, None)
        left &= shared_x * shared_y < SHARED * width * height
    return found


def _means(grid: WindowGrid, heat: np.ndarray) -> np.ndarray:
    """Return the mean of ``heat`` over each window, [rows, columns]."""
    down = _covered(grid.rows, grid.size[1], grid.height, grid.stride).T
    across = _covered(grid.columns, grid.size[0], grid.width, grid.stride)
    known = np.isfinite(heat)
    sums = down @ np.where(known, heat, 0.0).astype(np.float64) @ across
    areas = down @ known.astype(np.float64) @ across
    means: np.ndarray = np.divide(sums, areas, out=np.full(sums.shape, np.nan), where=areas > 0)
    return means.round(6)  # so that ties stay ties, whatever the order of the sums


def _covered(edges: tuple[int, ...], size: int, length: int, stride: int) -> sparse.csr_matrix:
    """Return how many pixels of each cell each window covers, sparse [cells, windows]."""
    cells = -(-length // stride)
    at, windows, pixels = [], [], []
    for window, edge in enumerate(edges):
        for cell in range(edge // stride, min(cells, -(-(edge + size) // stride))):
            at.append(cell)
            windows.append(window)
            pixels.append(min(edge + size, (cell + 1) * stride) - max(edge, cell * stride))
    values = np.array(pixels, np.float64)
    return sparse.csr_matrix((values, (at, windows)), shape=(cells, len(edges)))
