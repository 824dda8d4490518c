"""Choices of ``ivr report``; the command line reads them, so this module imports no torch."""

from typing import Annotated

from pydantic import Field, NonNegativeInt, PositiveInt

from ivr.config import config


@config
class ReportConfig:
    """What a report shows.

    Attributes:
        queries: Number of best, of worst and of drawn queries per class and direction.
        most_queries: Largest number of queries per direction; of more, classes share them.
        hits: Number of items that are shown per query.
        seed: Seed for drawing queries.
        max_bytes: Largest size of the page, bytes; pictures and sounds become coarser, and then
            fewer, until it fits. It does not count what ``link_media`` writes beside the page.
        link_media: Write pictures and sounds into a folder beside the page instead of into it.
        evaluation: Evaluation to report, a folder in ``RUN/evaluations``; by default the
            run's own results.
        table: Table of a comparison to report, by the name of its files; by default ``compare``, or
            the only one.
        methods: Two rows of a comparison whose hits are shown side by side; by default the best
            and the second best.
    """

    queries: PositiveInt = 1
    most_queries: PositiveInt = 72
    hits: Annotated[int, Field(ge=1, le=100)] = 10
    seed: NonNegativeInt = 0
    max_bytes: Annotated[int, Field(ge=100_000)] = 10_000_000
    link_media: bool = False
    evaluation: str | None = None
    table: str | None = None
    methods: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a number of methods that cannot be put side by side."""
        if len(self.methods) not in (0, 2):
            raise ValueError(f"methods must be two, e.g. divh,csq, got {len(self.methods)}")
