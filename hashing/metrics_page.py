"""The page of the documentation that lists every metric, written from the table of metrics."""

from .metrics import METRICS, Metric

HEAD = """\
# Metrics

Every metric that `ivr evaluate` writes to `results.json` and that `ivr compare` can show. This
page is written from the table `METRICS` in `hashing/metrics.py`; `python -m
ivr.hashing.metrics_page > docs/reference/metrics.md` writes it again after a change.

Values are in percent, or ranks: places in the list, of which 1 is the first. The last column says
whether a value is the mean or the median over the queries. A query without a relevant item counts
as `--empty` says ([protocols](../explanation/protocols.md)). Hamming distances are often equal:
items at equal distance are tied, and the table says how each metric counts them. With `--ties
file-order` there are no ties. The chance value of a metric is its value for a random order of the
same gallery, which is the value if all items are tied.

| metric | definition | tied items | best | cut-offs | unit | over the queries |
|---|---|---|---|---|---|---|
"""

FOOT = """
A metric of the order of the items is computed for every method. A metric within a Hamming radius
needs Hamming distances: it is absent for a method that ranks by its outputs. Its chance value keeps
the distances and draws anew which items are relevant, so that each method has its own: a table of
several methods leaves it out. `ivr evaluate --radius` sets the radius.

To add a metric, add one entry to the table: its name, its definition, and a function from
histograms (`hashing/histograms.py`) to one value per query.
"""


def metrics_page() -> str:
    """Return the page as Markdown text."""
    return HEAD + "".join(f"{_row(metric)}\n" for metric in METRICS.values()) + FOOT


def _row(metric: Metric) -> str:
    best = "greatest" if metric.more_is_better else "least"
    of_protocol = "that of the protocol" if metric.unit == "%" else "none"
    cutoffs = ", ".join(map(str, metric.cutoffs)) or of_protocol
    cells = (metric.name, metric.definition, metric.ties, best, cutoffs, metric.unit)
    return f"| {' | '.join(cells)} | {metric.aggregate.name} |"


if __name__ == "__main__":
    print(metrics_page(), end="")
