"""How fast exact average precision is from histograms, beside sorting every list and beside FAISS.

Each way computes the mean average precision of the same queries. They are timed in turn in one
process, and each ratio is taken within one round, so that other work on the machine slows both
sides. The script prints the median ratio with its range, and the median time.

* sorting: float32 matrix product, argsort of every row, average precision along it (file order);
* numpy: histograms in plain NumPy and the closed form (expectation over the orders of the ties);
* numba: histograms by the fused kernel, on one thread and on as many as given;
* FAISS: no average precision, the 100 nearest alone (``faiss.IndexBinaryFlat``), for comparison.

    python benchmarks/ranking.py --items 1000000 --queries 20
    python benchmarks/ranking.py --table linear
"""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import faiss
import numpy as np
from timing import seconds, spread

from ivr.hashing.average_precision import average_precision
from ivr.hashing.codes import pack, sign
from ivr.hashing.histograms import Histograms, class_histograms, class_histograms_numpy

NEAREST = 100


@dataclass(frozen=True)
class Sample:
    """Codes and classes to be ranked.

    Attributes:
        queries: codes [q, bits], entries -1 or +1.
        query_labels: classes [q].
        gallery: codes [g, bits], entries -1 or +1.
        labels: classes [g].
    """

    queries: np.ndarray
    query_labels: np.ndarray
    gallery: np.ndarray
    labels: np.ndarray


def draw(items: int, queries: int, bits: int, classes: int, rng: np.random.Generator) -> Sample:
    """Return codes that scatter around a centre a class, as those of a trained model do."""
    centres = rng.standard_normal((classes, bits), dtype=np.float32)

    def codes(labels: np.ndarray) -> np.ndarray:
        noise = rng.standard_normal((len(labels), bits), dtype=np.float32)
        return sign(centres[labels] + 1.5 * noise)

    query_labels, labels = rng.integers(0, classes, queries), rng.integers(0, classes, items)
    return Sample(codes(query_labels), query_labels, codes(labels), labels)


def sorted_average_precision(sample: Sample) -> float:
    """Return mean average precision by sorting each list; ties fall as the sort leaves them."""
    gallery = sample.gallery.astype(np.float32)
    place = np.arange(1, len(gallery) + 1)
    values = []
    for code, label in zip(sample.queries.astype(np.float32), sample.query_labels, strict=True):
        ranked = sample.labels[np.argsort(-(gallery @ code))] == label
        values.append((np.cumsum(ranked) / place)[ranked].mean())
    return float(np.mean(values))


def contenders(sample: Sample, threads: int) -> dict[str, Callable[[], float]]:
    """Return the ways to mean average precision, by name; codes are packed beforehand."""
    arguments = (pack(sample.queries), sample.query_labels, pack(sample.gallery), sample.labels)

    def mean(hist: Histograms) -> float:
        return float(average_precision(hist).mean())

    index = faiss.IndexBinaryFlat(sample.gallery.shape[1])
    index.add(arguments[2])

    def nearest(count: int) -> float:
        faiss.omp_set_num_threads(count)
        return float(index.search(arguments[0], NEAREST)[0].mean())

    return {
        "sorting": lambda: sorted_average_precision(sample),
        "numpy": lambda: mean(class_histograms_numpy(*arguments)),
        "numba, 1 thread": lambda: mean(class_histograms(*arguments, threads=1)),
        f"numba, {threads} threads": lambda: mean(class_histograms(*arguments, threads)),
        f"FAISS top-{NEAREST}, 1 thread": lambda: nearest(1),
        f"FAISS top-{NEAREST}, {threads} threads": lambda: nearest(threads),
    }


def ratios(options: argparse.Namespace) -> None:
    """Print each way beside sorting, and beside FAISS with as many threads."""
    sample = draw(
        options.items, options.queries, options.bits, options.classes, np.random.default_rng(0)
    )
    ways = contenders(sample, options.threads)
    values = {name: work() for name, work in ways.items()}
    times = np.array([[seconds(work) for work in ways.values()] for _ in range(options.rounds)])
    print(
        f"{options.items} items, {options.queries} queries, {options.bits} bits, "
        f"{options.classes} classes, {options.rounds} rounds"
    )
    for column, (name, value) in enumerate(values.items()):
        found = f"mAP {100 * value:.3f}" if "FAISS" not in name else f"mean distance {value:.2f}"
        print(
            f"{name:<26} {spread(times[:, 0] / times[:, column])} times faster than sorting  "
            f"{1e3 * np.median(times[:, column]) / options.queries:8.3f} ms per query  {found}"
        )
    for ours, theirs, threads in ((2, 4, 1), (3, 5, options.threads)):
        print(
            f"time of numba / time of FAISS, {threads} threads: "
            f"{spread(times[:, ours] / times[:, theirs])}"
        )


def linear(options: argparse.Namespace) -> None:
    """Print the time an item of the gallery takes, for galleries of growing size."""
    for items in (10_000, 100_000, 1_000_000, 10_000_000):
        rng = np.random.default_rng(0)
        sample = draw(items, options.queries, options.bits, options.classes, rng)
        arguments = (pack(sample.queries), sample.query_labels, pack(sample.gallery), sample.labels)
        del sample
        repeats = max(1, 1_000_000 // items)

        def rank(arguments: tuple[np.ndarray, ...] = arguments, repeats: int = repeats) -> float:
            for _ in range(repeats):
                hist = class_histograms(*arguments, threads=1)
            return float(average_precision(hist).mean())

        rank()
        times = [seconds(rank) / repeats for _ in range(options.rounds)]
        an_item = 1e9 * np.array(times) / items / options.queries
        print(f"{items:>9} items: {spread(an_item)} ns an item and query")


def main() -> None:
    """Time the ways in turn and print the ratios, or one way over sizes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--table", choices=("ratios", "linear"), default="ratios")
    parser.add_argument("--items", type=int, default=100_000, help="gallery items")
    parser.add_argument("--queries", type=int, default=32)
    parser.add_argument("--bits", type=int, default=64)
    parser.add_argument("--classes", type=int, default=21)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2, help="threads of the last lines")
    options = parser.parse_args()
    {"ratios": ratios, "linear": linear}[options.table](options)


if __name__ == "__main__":
    main()
