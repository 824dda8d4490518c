"""Names of the distances that a method can rank by; imports no torch."""

from typing import Literal

Distance = Literal["hamming", "euclidean", "matching"]
