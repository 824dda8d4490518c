"""Rows of cells as aligned text and as a Markdown table."""

from collections.abc import Sequence


def aligned(rows: Sequence[Sequence[str]], left: int | None = None) -> list[str]:
    """Return one line per row of ``rows``, whose columns begin at the same place.

    Args:
        rows: cells, as many in each row.
        left: number of first columns that are aligned to the left, the others to the right; all to
            the left if None.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            f"{text:<{width}}" if left is None or place < left else f"{text:>{width}}"
            for place, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def markdown_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; bars in cells are escaped."""
    lines = [heads, ["---"] * len(heads), *rows]
    escaped = (" | ".join(cell.replace("|", "\\|") for cell in line) for line in lines)
    return "\n".join(f"| {line} |" for line in escaped)
