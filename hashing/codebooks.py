"""Fixed codes for classes, far apart from each other: what CSQ and OrthoHash train towards."""

import torch
from torch import Tensor

CANDIDATES = 256
BLOCK = 16
DRAWS = 1000


def codebook(classes: int, bits: int, generator: torch.Generator) -> Tensor:
    """Return one code per class [classes, bits], float32, entries -1 or +1, no two alike.

    Up to 2 x ``bits`` classes, where a Hadamard matrix of this size can be made: any two codes
    differ in half of the bits, or in all of them. Otherwise by :func:`spread_codes`.

    Raises:
        ValueError: more classes than there are codes of this length.
    """
    if classes > 2**bits:
        raise ValueError(f"{classes} classes need more than {bits} bits to have codes of their own")
    if classes <= 2 * bits and has_hadamard(bits):
        return hadamard_codes(classes, bits, generator)
    return spread_codes(classes, bits, generator)


def hadamard_codes(classes: int, bits: int, generator: torch.Generator) -> Tensor:
    """Return rows of a Hadamard matrix [classes, bits], and their negatives when rows run out.

    The rows are drawn and their signs too: neighbouring rows of Sylvester's matrix share columns
    (21 of 64 rows in order have 32 different bits, one of them constant). Neither changes a
    distance, since the rows stay orthogonal.
    """
    rows = hadamard(bits)[torch.randperm(bits, generator=generator)]
    rows = rows * (1 - 2 * torch.randint(2, (bits, 1), generator=generator))
    return torch.cat([rows, -rows])[:classes]


def spread_codes(classes: int, bits: int, generator: torch.Generator) -> Tensor:
    """Return codes drawn one by one [classes, bits], each the farthest from those before it.

    Of :data:`CANDIDATES` candidates the one is taken whose nearest code is farthest.
    """
    codes = _random_codes(1, bits, generator)
    while len(codes) < classes:
        candidates = _random_codes(CANDIDATES, bits, generator)
        nearest = (bits - candidates @ codes.T).amin(1)
        best = int(nearest.argmax())
        if nearest[best] > 0:
            codes = torch.cat([codes, candidates[best : best + 1]])
    return codes


def nested_codes(classes: int, bits: int, generator: torch.Generator) -> Tensor:
    """Return one code per class [classes, bits] whose first 16, 32, 48 ... bits are good codes too.

    Blocks of 16 bits one after the other. Up to 32 classes a block is made of the words of the
    first-order Reed-Muller code (rows of a Hadamard matrix and their negatives), which differ in
    8 or in 16 bits; with more classes, of :func:`spread_codes`. Of :data:`DRAWS` ways to give words
    to classes the one is taken that brings the nearest two codes, so far, farthest apart, then the
    one with fewest such pairs and the best balanced bits.

    Raises:
        ValueError: more classes than there are codes of this length.
    """
    codes = codebook(classes, min(BLOCK, bits), generator)
    while codes.shape[1] < bits:
        block = min(BLOCK, bits - codes.shape[1])
        words = torch.cat([hadamard(block), -hadamard(block)])
        if classes > len(words):
            # In a short last block classes share words: the bits before tell them apart.
            words = spread_codes(min(classes, 2 ** (block - 1)), block, generator)
            words = words.repeat(-(-classes // len(words)), 1)
        drawn = [
            words[torch.randperm(len(words), generator=generator)[:classes]] for _ in range(DRAWS)
        ]
        best = max(drawn, key=lambda chosen: _spread_of(torch.cat([codes, chosen], 1)))
        codes = torch.cat([codes, best], 1)
    return codes


def _spread_of(codes: Tensor) -> tuple[float, float, float]:
    """Return least distance of two codes, pairs that have it (negative), and balance (negative)."""
    distance = (codes.shape[1] - codes @ codes.T) / 2
    distance.fill_diagonal_(torch.inf)
    least = distance.min()
    return float(least), -float((distance == least).sum()), -float(codes.mean(0).abs().max())


def has_hadamard(order: int) -> bool:
    """Return whether :func:`hadamard` can make a matrix of this order."""
    if order in (1, 2):
        return True
    return order % 4 == 0 and (_is_prime(order - 1) or has_hadamard(order // 2))


def hadamard(order: int) -> Tensor:
    """Return a matrix [order, order], float32, entries -1 or +1, of orthogonal rows.

    By Paley's construction where ``order`` - 1 is a prime, else by Sylvester's doubling.
    """
    if order == 1:
        return torch.ones(1, 1)
    if order > 2 and _is_prime(order - 1):
        return _paley(order - 1)
    half = hadamard(order // 2)
    return torch.cat([torch.cat([half, half], 1), torch.cat([half, -half], 1)])


def _paley(prime: int) -> Tensor:
    """Return Paley's first matrix [prime + 1, prime + 1] for a prime of 3 modulo 4."""
    place = torch.arange(prime)
    is_square = torch.full((prime,), -1.0)
    is_square[place.square() % prime] = 1.0
    is_square[0] = 0.0
    matrix = torch.ones(prime + 1, prime + 1)
    matrix[1:, 1:] = is_square[(place[None, :] - place[:, None]) % prime] + torch.eye(prime)
    matrix[1:, 0] = -1.0
    return matrix


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % divisor for divisor in range(2, int(number**0.5) + 1))


def _random_codes(count: int, bits: int, generator: torch.Generator) -> Tensor:
    return torch.randint(2, (count, bits), generator=generator) * 2.0 - 1
