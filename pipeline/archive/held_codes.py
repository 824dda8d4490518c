"""The codes of one modality in memory, in blocks that successive versions of an archive share.

A new version copies no block: rows that left it are marked, and its new rows are a block of their
own. Afterwards :meth:`HeldCodes.tidier` rewrites one block at a time. So memory never holds all
codes twice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ivr.hashing.ranking import top_k

from .distances import SAMPLE

BLOCK = 1 << 20
"""Largest number of rows of a block: of 64-bit codes 16 MiB with their row ids."""


@dataclass(frozen=True)
class Block:
    """Rows in the order of their ids.

    Attributes:
        codes: packed codes [n, bits / 8], uint8.
        row_ids: uint64 [n], ascending.
        left: booleans [n], rows that left the archive; None for no row.
    """

    codes: np.ndarray
    row_ids: np.ndarray
    left: np.ndarray | None = None

    def __len__(self) -> int:
        """Return the number of rows that count."""
        return len(self.row_ids) - (0 if self.left is None else int(self.left.sum()))

    def places(self, row_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the place of each of ``row_ids`` [m], and whether it is a row that counts [m]."""
        first, last = self.row_ids[0], self.row_ids[-1]
        inside = (row_ids >= first) & (row_ids <= last)
        places = np.zeros(len(row_ids), np.int64)
        if last - first == len(self.row_ids) - 1:  # all ids in between: no search is needed
            places[inside] = row_ids[inside] - first
            found = inside
        elif inside.any():
            places[inside] = np.searchsorted(self.row_ids, row_ids[inside])
            found = inside & (self.row_ids[places] == row_ids)
        else:
            found = inside
        return places, found if self.left is None else found & ~self.left[places]

    def without(self, row_ids: np.ndarray) -> "Block":
        """Return the block with the rows of ``row_ids`` marked; it shares codes and ids."""
        places, found = self.places(row_ids)
        if not found.any():
            return self
        left = np.zeros(len(self.row_ids), bool) if self.left is None else self.left.copy()
        left[places[found]] = True
        return Block(self.codes, self.row_ids, left)

    def rewritten(self) -> "Block":
        """Return a block of the rows that count, with memory of its own."""
        if self.left is None:
            return self
        kept = ~self.left
        return Block(self.codes[kept], self.row_ids[kept])

    def nearest(self, code: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ids and distances of the nearest rows, see :meth:`HeldCodes.nearest`."""
        asked = count
        while True:
            places, distances = (found[0] for found in top_k(code[None], self.codes, asked))
            if self.left is not None:
                counts = ~self.left[places]
                places, distances = places[counts], distances[counts]
            if len(places) >= count or asked >= len(self.row_ids):
                return self.row_ids[places[:count]], distances[:count]
            asked *= 4


@dataclass(frozen=True)
class HeldCodes:
    """The codes of one modality of one version; nothing of it changes.

    Attributes:
        blocks: each with at least one row; a row counts in one of them.
        width: bytes per code.
    """

    blocks: tuple[Block, ...]
    width: int

    def __len__(self) -> int:
        """Return the number of rows."""
        return self._size

    @cached_property
    def _size(self) -> int:
        return sum(map(len, self.blocks))

    @cached_property
    def sample(self) -> np.ndarray:
        """At most :data:`SAMPLE` codes [n, bits / 8] from places all over the rows."""
        step, start, parts = -(-len(self) // SAMPLE) or 1, 0, [self._no_codes]
        for block in self.blocks:
            codes = block.codes if block.left is None else block.codes[~block.left]
            parts.append(codes[-start % step :: step])
            start += len(codes)
        return np.concatenate(parts)

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """Return copies of all codes [n, bits / 8] and row ids [n], in the order of the ids."""
        blocks = [block.rewritten() for block in self.blocks]
        codes = np.concatenate([self._no_codes, *(block.codes for block in blocks)])
        row_ids = np.concatenate([_NO_IDS, *(block.row_ids for block in blocks)])
        return _in_order(codes, row_ids)

    def nearest(self, code: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the row ids uint64 [k] and distances uint16 [k] of the rows nearest to ``code``.

        Args:
            code: packed code [bits / 8], uint8.
            count: largest number of rows.

        Returns:
            Nearest first, at equal distance in the order of the ids.
        """
        found = [block.nearest(code, count) for block in self.blocks]
        row_ids = np.concatenate([_NO_IDS, *(ids for ids, _ in found)])
        distances = np.concatenate([np.empty(0, np.uint16), *(some for _, some in found)])
        order = np.lexsort((row_ids, distances))[:count]
        return row_ids[order], distances[order]

    def codes_of(self, row_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return which of ``row_ids`` [m] are held, booleans [m], and the codes of these."""
        held = np.zeros(len(row_ids), bool)
        codes = np.empty((len(row_ids), self.width), np.uint8)
        for block in self.blocks:
            places, found = block.places(row_ids)
            codes[found] = block.codes[places[found]]
            held |= found
        return held, codes[held]

    def without(self, row_ids: np.ndarray) -> "HeldCodes":
        """Return the codes without the rows of ``row_ids``."""
        blocks = (block.without(row_ids) for block in self.blocks)
        return HeldCodes(tuple(block for block in blocks if len(block)), self.width)

    def with_rows(self, codes: np.ndarray, row_ids: np.ndarray) -> "HeldCodes":
        """Return the codes with more rows, none of which is held."""
        more = tuple(
            Block(*_in_order(codes[start : start + BLOCK], row_ids[start : start + BLOCK]))
            for start in range(0, len(row_ids), BLOCK)
        )
        return HeldCodes((*self.blocks, *more), self.width)

    def nothing_seen(self) -> list[np.ndarray]:
        """Return marks for :meth:`see`, one array of booleans per block."""
        return [np.zeros(len(block.row_ids), bool) for block in self.blocks]

    def see(self, row_ids: np.ndarray, marks: list[np.ndarray]) -> None:
        """Mark the rows of ``row_ids``."""
        for block, seen in zip(self.blocks, marks, strict=True):
            places, found = block.places(row_ids)
            seen[places[found]] = True

    def only_seen(self, marks: list[np.ndarray]) -> "HeldCodes":
        """Return the codes without the rows that are not marked."""
        blocks = (
            block.without(block.row_ids[~seen])
            for block, seen in zip(self.blocks, marks, strict=True)
        )
        return HeldCodes(tuple(block for block in blocks if len(block)), self.width)

    def tidier(self) -> "HeldCodes | None":
        """Return the same rows with one block less or one rewritten; None if all is tidy.

        A block whose rows left is rewritten; two neighbours are joined if the second one is more
        than half as large as the first, so that there are few small blocks.
        """
        for place, block in enumerate(self.blocks):
            if block.left is not None:
                return self._replaced(place, 1, block.rewritten())
        for place, (first, second) in enumerate(zip(self.blocks, self.blocks[1:], strict=False)):
            if len(first) < 2 * len(second) and len(first) + len(second) <= BLOCK:
                joint = _joined((first, second))
                return self._replaced(place, 2, joint)
        return None

    def _replaced(self, place: int, many: int, block: Block) -> "HeldCodes":
        blocks = (*self.blocks[:place], block, *self.blocks[place + many :])
        return HeldCodes(blocks, self.width)

    @property
    def _no_codes(self) -> np.ndarray:
        return np.empty((0, self.width), np.uint8)


_NO_IDS = np.empty(0, np.uint64)


class HeldCodesBuilder:
    """Takes rows one batch after the other; what it takes beside their blocks is one block."""

    def __init__(self, width: int) -> None:
        """Begin without rows; ``width`` is the number of bytes per code."""
        self._width = width
        self._blocks: list[Block] = []
        self._filled = 0
        self._begin()

    def add(self, codes: np.ndarray, row_ids: np.ndarray) -> None:
        """Take packed codes [m, bits / 8] and row ids [m]."""
        start = 0
        while start < len(row_ids):
            many = min(BLOCK - self._filled, len(row_ids) - start)
            part = slice(self._filled, self._filled + many)
            self._codes[part] = codes[start : start + many]
            self._row_ids[part] = row_ids[start : start + many]
            self._filled, start = self._filled + many, start + many
            if self._filled == BLOCK:
                self._blocks.append(Block(*_in_order(self._codes, self._row_ids)))
                self._begin()

    def held(self) -> HeldCodes:
        """Return all rows that were added."""
        rest = self._codes[: self._filled].copy(), self._row_ids[: self._filled].copy()
        blocks = [*self._blocks, *([Block(*_in_order(*rest))] if self._filled else [])]
        return HeldCodes(tuple(blocks), self._width)

    def _begin(self) -> None:
        self._codes = np.empty((BLOCK, self._width), np.uint8)
        self._row_ids = np.empty(BLOCK, np.uint64)
        self._filled = 0


def _joined(blocks: Sequence[Block]) -> Block:
    codes = np.concatenate([block.codes for block in blocks])
    return Block(*_in_order(codes, np.concatenate([block.row_ids for block in blocks])))


def _in_order(codes: np.ndarray, row_ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return rows in the order of their ids."""
    if not (row_ids[1:] < row_ids[:-1]).any():
        return codes, row_ids
    order = np.argsort(row_ids)
    return codes[order], row_ids[order]
