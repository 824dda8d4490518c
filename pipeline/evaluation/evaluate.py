"""Stage: codes to figures under a stated protocol, with chance and published rows beside them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ivr.errors import IvrError
from ivr.features.atomic_files import file_digest
from ivr.hashing.distances import Measure, measure_of
from ivr.hashing.health import confusion, pair_distances
from ivr.hashing.histograms import (
    Histograms,
    chance_histograms,
    class_histograms,
    file_order_histograms,
    pair_histograms,
    score_histograms,
)
from ivr.hashing.metrics import (
    Scores,
    class_average_precision,
    join_scores,
    matching_accuracy,
    scores,
)
from ivr.hashing.ranking import hamming_distance
from ivr.hashing.retrieval_curves import (
    PrecisionRecall,
    precision_over_retrieved,
    precision_recall_curve,
)
from ivr.pipeline.datasets.published import known_dataset
from ivr.pipeline.datasets.voice_sampling import one_voice_per_image
from ivr.pipeline.runs.encode import (
    CodedItems,
    Codes,
    known_quantisation_error,
    read_codes,
)
from ivr.pipeline.runs.run_folder import (
    CODES,
    CURVES,
    MODEL,
    QUERIES,
    RESULTS,
    RunError,
    load_model,
    read_config,
    run_method,
    write_json,
)
from ivr.pipeline.runtime.digests import record_digests
from ivr.pipeline.runtime.progress import warn

from .code_health import Confusion, Health, code_health, direction_health, draw_health
from .curves import Curves, draw_curves, write_curves
from .per_query import DIRECTIONS, QueryFigures, write_queries
from .protocol import Protocol
from .report_tables import run_title

QUERIES_AT_ONCE = 16_384
CELLS_AT_ONCE = 1 << 22
CURVE_POINTS = 200
PAIRS_AT_ONCE = 64
# Distances of queries and gallery that are computed anew for the confusion of classes, of codes and
# of outputs; of more, only a share, so that it takes a few percent of the time of the ranking.
CONFUSION_PAIRS, CONFUSION_PAIRS_OF_OUTPUTS, CONFUSION_SHARE = 1 << 25, 1 << 23, 1 / 64
NEAREST = 10


class EvaluateError(IvrError):
    """Codes that cannot be evaluated as asked, in one line."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """All that an evaluation finds.

    Attributes:
        results: in percent, as they stand in ``results.json``.
        curves: of either direction.
        queries: average precision of every query, of either direction.
        health: of the codes of the queries; ``results`` have what it says too.
    """

    results: dict[str, Any]
    curves: dict[str, Curves]
    queries: dict[str, QueryFigures]
    health: Health


def evaluate_run(
    run: Path, protocol: Protocol, *, codes: Path | None = None, out: Path | None = None
) -> dict[str, Any]:
    """Return the results, in percent, and write them with curves and average precisions.

    The files are ``results.json``, ``queries.h5``, ``curves.csv``, ``curves.png``, ``health.png``.

    Args:
        run: a run folder.
        protocol: every choice.
        codes: a codes file, ``RUN/codes.h5`` by default.
        out: folder to write to, ``run`` by default.

    Raises:
        RunError: no codes yet.
        StoreError: not a codes file.
        EvaluateError: codes of another model, a distance that the method does not have, nothing to
            query with, or nothing to search.
    """
    config = read_config(run)
    path = codes or run / CODES
    if not path.is_file():
        raise RunError(f"{path}: no codes; make them with ivr encode {run}")
    protocol = completed(protocol, config)
    coded = read_codes(path)
    if coded.config["model"] != file_digest(run / MODEL):
        raise EvaluateError(f"{path}: not made with the model of {run}; make it with ivr encode")
    if coded.config.get("change") and out is None:
        raise EvaluateError(
            f"{path}: codes of voices changed by {coded.config['change']}; "
            "say where to write the figures with --out"
        )
    if protocol.distance != "hamming" and protocol.bits is not None:
        raise EvaluateError(f"{config['method']} does not rank by bits; take --distance hamming")
    if protocol.distance != "hamming" and coded.images.outputs is None:
        raise EvaluateError(f"{path}: has no outputs to rank by; make it anew with ivr encode")
    measure = _measure(run, config, protocol)
    found = judge(coded, protocol, measure)
    results = found.results
    method = run_method(config).build
    results["run"] = {
        "method": config["method"],
        "source": method.source,
        "reconstruction": method.reconstruction,
    } | {name: config[name] for name in ("bits", "voices", "seed", "split", "options")}
    results["features"] = config["features"]
    results["codes"] = {
        "file": str(path),
        "model_sha256": coded.config["model"],
        "features_sha256": coded.config["features"],
        "change": coded.config.get("change", ""),
    }
    folder = out or run
    folder.mkdir(parents=True, exist_ok=True)
    write_queries(folder / QUERIES, {"protocol": asdict(protocol)}, found.queries)
    write_curves(folder / CURVES, found.curves)
    draw_curves(folder / "curves.png", found.curves, run_title(results))
    draw_health(folder / "health.png", found.health, run_title(results))
    write_json(folder / RESULTS, results)  # last: where it is whole, the others are
    record_digests(folder, (QUERIES, CURVES, "curves.png", "health.png", RESULTS))
    return results


def completed(protocol: Protocol, config: Mapping[str, Any]) -> Protocol:
    """Return ``protocol`` with the run's seed and the method's distance where it names none."""
    own = run_method(config).build.distance
    if protocol.distance not in (None, "hamming", own):
        raise EvaluateError(
            f"{config['method']} ranks by {own}, not by {protocol.distance}; "
            "codes of any method can be ranked by hamming"
        )
    seed = config["seed"] if protocol.seed is None else protocol.seed
    return replace(protocol, seed=seed, distance=protocol.distance or own)


def _measure(run: Path, config: Mapping[str, Any], protocol: Protocol) -> Measure | None:
    """Return how outputs are compared, None where codes are."""
    if protocol.distance == "hamming":
        return None
    return measure_of(load_model(run, config, torch.device("cpu")))


def evaluate(
    codes: Codes, protocol: Protocol, measure: Measure | None = None
) -> tuple[dict[str, Any], dict[str, Curves]]:
    """Return results in percent and curves of both directions, see :func:`judge`."""
    found = judge(codes, protocol, measure)
    return found.results, found.curves


def judge(codes: Codes, protocol: Protocol, measure: Measure | None = None) -> Judgement:
    """Return results, curves and average precisions of both directions.

    Args:
        codes: coded items, with outputs where there is a measure.
        protocol: every choice.
        measure: of outputs; None ranks codes by Hamming distance.

    Raises:
        EvaluateError: nothing to query with, or nothing to search.
    """
    if measure is None:
        protocol = replace(protocol, distance="hamming")
    images, voices = _drawn(codes, protocol)
    images, voices = _labelled(images, "images", protocol), _labelled(voices, "voices", protocol)
    _say_departures(images, protocol)
    asking, searched = _classes(codes, protocol)
    queries = {
        "image_to_voice": _queries(_of_classes(images, asking), "image"),
        "voice_to_image": _queries(_of_classes(voices, asking), "voice"),
    }
    images, voices = _of_classes(images, searched), _of_classes(voices, searched)
    galleries = {
        "image_to_voice": _gallery(voices, "voice", protocol),
        "voice_to_image": _gallery(images, "image", protocol),
    }
    numbers = {label: n for n, label in enumerate(sorted({*images.labels, *voices.labels}))}
    results: dict[str, Any] = {}
    chance: dict[str, Any] = {}
    curves: dict[str, Curves] = {}
    judged: dict[str, QueryFigures] = {}
    health: dict[str, dict[str, Any]] = {}
    for direction in DIRECTIONS:
        query, gallery = queries[direction], galleries[direction]
        ranker = _Ranker(protocol, numbers, _outputs_distance(direction, measure))
        found, random, curves[direction], by_distance = _direction(query, gallery, ranker)
        results[direction] = found.to_percent() | {
            "per_class": _per_class(found, query, numbers),
            "queries": len(query.names),
            "gallery": len(gallery.names),
            "queries_with_nothing_relevant": found.empty_queries,
        }
        chance[direction] = random.to_percent()
        judged[direction] = QueryFigures(
            query.names,
            tuple(image or name for image, name in zip(query.images, query.names, strict=True)),
            found.average_precision,
        )
        health[direction] = direction_health(
            pair_distances(by_distance), ranker.confusion(query, gallery)
        )
    found_health = code_health(
        queries["image_to_voice"],
        queries["voice_to_image"],
        sorted({*numbers} - {""}),
        known_quantisation_error(codes, protocol.bits),
        health,
    )
    results["health"] = found_health.section
    results["chance"] = chance
    if measure is not None and protocol.distance == "matching":
        results |= _matching(
            queries["image_to_voice"], queries["voice_to_image"], measure, protocol.seed or 0
        )
    results["protocol"] = asdict(protocol)
    whole = protocol.classes == "all"  # published figures are of all classes
    labels = {*images.labels, *voices.labels} - {""}
    results["dataset"] = known_dataset(labels) if whole else None
    return Judgement(results, curves, judged, found_health)


def _cut(items: CodedItems, bits: int | None) -> CodedItems:
    """Return ``items`` with the first ``bits`` of their codes."""
    if bits is None:
        return items
    if bits > 8 * items.codes.shape[1]:
        raise EvaluateError(f"the codes have {8 * items.codes.shape[1]} bits, not {bits}")
    return replace(items, codes=np.ascontiguousarray(items.codes[:, : bits // 8]))


def _spoken(voices: CodedItems, protocol: Protocol) -> CodedItems:
    """Return the voices of the speakers that the protocol takes."""
    only = protocol.speaker is not None
    named = protocol.speaker if only else protocol.without_speaker
    if named is None:
        return voices
    known = set(voices.speakers) - {""}
    if named not in known:
        there = ", ".join(sorted(known)) or "nobody"
        raise EvaluateError(f"no voice of {named!r}; there are voices of {there}")
    kept = {named} if only else known - {named}
    if not kept:
        raise EvaluateError(f"there are voices of {named!r} only")
    return voices.select([row for row, name in enumerate(voices.speakers) if name in kept])


def _classes(
    codes: Codes, protocol: Protocol
) -> tuple[frozenset[str] | None, frozenset[str] | None]:
    """Return the classes that are asked with, and those that are searched; None for any.

    Raises:
        EvaluateError: the run saw all classes, or nothing else is searched than one class.
    """
    if protocol.classes == "all":
        return None, None
    run = codes.config.get("run")
    if not isinstance(run, dict) or not isinstance(run.get("classes"), list):
        raise EvaluateError("the codes do not say what was trained on; make them with ivr encode")
    trained = set(map(str, run["classes"]))
    labels = {*codes.images.labels, *codes.voices.labels} - {""}
    kept = frozenset(labels & trained if protocol.classes == "seen" else labels - trained)
    if not kept:
        saw = "none of" if protocol.classes == "seen" else "all"
        raise EvaluateError(
            f"the run saw {saw} the classes; leave some out with train-hash --unseen-classes"
        )
    if protocol.classes == "unseen-among-all":
        return kept, None
    if len(kept) == 1 and protocol.relevance == "class":
        among_all = "all" if protocol.classes == "seen" else "unseen-among-all"
        raise EvaluateError(
            f"{min(kept)} is the only {protocol.classes} class, everything would be relevant; "
            f"search among all with --classes {among_all}"
        )
    return kept, kept


def _of_classes(items: CodedItems, labels: frozenset[str] | None) -> CodedItems:
    if labels is None:
        return items
    return items.select([row for row, label in enumerate(items.labels) if label in labels])


def _drawn(codes: Codes, protocol: Protocol) -> tuple[CodedItems, CodedItems]:
    """Return images, and the voices that the protocol uses, with the bits that it uses."""
    codes = replace(
        codes,
        images=_cut(codes.images, protocol.bits),
        voices=_spoken(_cut(codes.voices, protocol.bits), protocol),
    )
    if protocol.voices == "all":
        return codes.images, codes.voices
    seed = protocol.seed or 0
    return codes.images, codes.voices.select(
        one_voice_per_image(codes.voices.names, codes.voices.images, seed)
    )


def _labelled(items: CodedItems, what: str, protocol: Protocol) -> CodedItems:
    if protocol.relevance == "pair":
        return items
    known = [row for row, label in enumerate(items.labels) if label]
    if items.labels and not known:
        raise EvaluateError(f"no {what} have a label; judge by pairs with --relevance pair")
    if len(known) < len(items.labels):
        warn(f"left out: {len(items.labels) - len(known)} {what} without a label")
    return items.select(known)


def _queries(items: CodedItems, what: str) -> CodedItems:
    if not any(items.splits):
        return items
    rows = [row for row, split in enumerate(items.splits) if split == "test"]
    if not rows:
        raise EvaluateError(f"no {what} of the test split to query with")
    return items.select(rows)


def _gallery(items: CodedItems, what: str, protocol: Protocol) -> CodedItems:
    if not any(items.splits) or protocol.database == "all":
        gallery = items
    else:
        wanted = ("test",) if protocol.database == "test" else ("train", "val")
        gallery = items.select([row for row, split in enumerate(items.splits) if split in wanted])
    if not gallery.names:
        raise EvaluateError(f"no {what} of database={protocol.database} to search")
    return gallery


def _say_departures(images: CodedItems, protocol: Protocol) -> None:
    share = images.splits.count("test") / max(1, len(images.splits))
    if not any(images.splits):
        warn("no splits: every item is a query and is searched")
    elif protocol.test is not None and abs(share - protocol.test) > 0.02:
        warn(
            f"note: {100 * share:.0f} % of the images are tested on, the protocol has "
            f"{100 * protocol.test:.0f} %"
        )


@dataclass(frozen=True)
class _Ranker:
    """How the queries of one direction are ranked.

    Attributes:
        protocol: every choice.
        numbers: of the classes, by name.
        distance: of the outputs of queries and gallery [q, g]; None where codes are ranked.
    """

    protocol: Protocol
    numbers: Mapping[str, int]
    distance: Callable[[CodedItems, CodedItems], np.ndarray] | None

    def queries_at_once(self, gallery: int) -> int:
        """Return how many queries are ranked together: without codes each takes a row of cells."""
        if self.protocol.ties == "expectation" and self.distance is None:
            return QUERIES_AT_ONCE
        return max(1, CELLS_AT_ONCE // gallery)

    def histograms(self, queries: CodedItems, gallery: CodedItems) -> Histograms:
        """Return what lies at each distance from each query."""
        if self.distance is not None:
            return score_histograms(
                self.distance(queries, gallery), self.relevant(queries, gallery)
            )
        if self.protocol.relevance == "pair":
            return pair_histograms(queries.codes, gallery.codes, _pairs(queries, gallery))
        return class_histograms(
            queries.codes,
            _numbered(queries, self.numbers),
            gallery.codes,
            _numbered(gallery, self.numbers),
        )

    def file_order(self, queries: CodedItems, gallery: CodedItems) -> Histograms:
        """Return the same with ties in the order of the gallery."""
        return file_order_histograms(
            self.distances(queries, gallery), self.relevant(queries, gallery)
        )

    def distances(self, queries: CodedItems, gallery: CodedItems) -> np.ndarray:
        """Return what is ranked by [q, g]."""
        if self.distance is None:
            return hamming_distance(queries.codes, gallery.codes)
        return self.distance(queries, gallery)

    def relevant(self, queries: CodedItems, gallery: CodedItems) -> np.ndarray:
        """Return booleans [q, g]."""
        if self.protocol.relevance == "class":
            numbers = _numbered(queries, self.numbers), _numbered(gallery, self.numbers)
            same: np.ndarray = numbers[0][:, None] == numbers[1][None, :]
            return same
        relevant = np.zeros((len(queries.names), len(gallery.names)), bool)
        for row, rows in enumerate(_pairs(queries, gallery)):
            relevant[row, rows] = True
        return relevant

    def pooled(self, hist: Histograms, rows: np.ndarray) -> Histograms:
        """Return the sum [1, buckets] of the queries in ``rows`` (booleans [q]).

        Hamming distances mean the same for every query and stay apart, others do not.
        """
        hist = hist if self.distance is None else chance_histograms(hist)
        return Histograms(
            hist.items[rows].sum(0, keepdims=True), hist.relevant[rows].sum(0, keepdims=True)
        )

    def by_codes(self, queries: CodedItems, gallery: CodedItems) -> Histograms:
        """Return what lies at each Hamming distance, a row [bits + 1] a block of queries."""
        by_codes = replace(self, distance=None)
        blocks = (
            by_codes.histograms(block, gallery) for block in _query_blocks(queries, QUERIES_AT_ONCE)
        )
        return _together([by_codes.pooled(hist, np.ones(len(hist.items), bool)) for hist in blocks])

    def confusion(self, queries: CodedItems, gallery: CodedItems) -> Confusion | None:
        """Return which classes queries find first; None without a class.

        Ranked as the figures are, but ties by expectation in every case.
        """
        # "" sorts before every name: where it has the number 0, no class has it.
        unknown = int("" in self.numbers)
        classes = len(self.numbers) - unknown
        if not classes:
            return None
        fewest = CONFUSION_PAIRS if self.distance is None else CONFUSION_PAIRS_OF_OUTPUTS
        pairs = len(queries.names) * len(gallery.names)
        share, asked = confusion(
            lambda rows: self.distances(queries.select(rows), gallery),
            _numbered(queries, self.numbers) - unknown,
            _numbered(gallery, self.numbers) - unknown,
            classes,
            nearest=NEAREST,
            pairs=max(fewest, int(CONFUSION_SHARE * pairs)),
            at_once=CELLS_AT_ONCE,
        )
        return Confusion(NEAREST, share, asked)


def _outputs_distance(
    direction: str, measure: Measure | None
) -> Callable[[CodedItems, CodedItems], np.ndarray] | None:
    """Return ``measure``, which takes images first, of queries and gallery."""
    if measure is None:
        return None
    if direction == "image_to_voice":
        return lambda queries, gallery: measure(_outputs(queries), _outputs(gallery))
    return lambda queries, gallery: measure(_outputs(gallery), _outputs(queries)).T


def _outputs(items: CodedItems) -> np.ndarray:
    if items.outputs is None:
        raise EvaluateError("the codes have no outputs to rank by; make them with ivr encode")
    return items.outputs


def _direction(
    queries: CodedItems, gallery: CodedItems, ranker: _Ranker
) -> tuple[Scores, Scores, Curves, Histograms]:
    """Return figures, chance, curves, and the Hamming distances of all queries counted together."""
    protocol = ranker.protocol
    found, random, total, pooled = [], [], [], []
    points = curve_points(len(gallery.names))
    for block in _query_blocks(queries, ranker.queries_at_once(len(gallery.names))):
        by_distance = ranker.histograms(block, gallery)
        hist = by_distance if protocol.ties == "expectation" else ranker.file_order(block, gallery)
        found.append(_scores(hist, protocol))
        random.append(_scores(chance_histograms(hist), protocol))
        counted = ~np.isnan(found[-1].average_precision)
        if counted.any():
            precision = precision_over_retrieved(hist, points, protocol.empty)
            total.append(np.count_nonzero(counted) * precision)
            pooled.append(ranker.pooled(by_distance, counted))
    figures, chance = join_scores(found), join_scores(random)
    if not pooled:
        raise EvaluateError("no query has a relevant item in the database")
    together = _together(pooled)
    judged = ~np.isnan(figures.average_precision)
    precision = np.sum(total, axis=0) / np.count_nonzero(judged)
    random_precision = float(chance.of("P@1")[judged].mean())
    if ranker.distance is None:
        within = precision_recall_curve(together)
        curves = Curves(points, precision, within, "radius", random_precision)
        return figures, chance, curves, together
    within = _precision_recall_by_rank(points, np.sum(total, axis=0), together)
    curves = Curves(points, precision, within, "rank", random_precision)
    by_codes = ranker.by_codes(queries.select(np.flatnonzero(judged)), gallery)
    return figures, chance, curves, by_codes


def _query_blocks(queries: CodedItems, step: int) -> Iterator[CodedItems]:
    """Yield the queries, at most ``step`` at a time."""
    for start in range(0, len(queries.names), step):
        yield queries.select(range(start, min(start + step, len(queries.names))))


def _together(parts: Sequence[Histograms]) -> Histograms:
    return Histograms(
        np.concatenate([hist.items for hist in parts]),
        np.concatenate([hist.relevant for hist in parts]),
    )


def _precision_recall_by_rank(
    points: Sequence[int], precision: np.ndarray, together: Histograms
) -> PrecisionRecall:
    """Return precision and recall among the first n items of every query, pooled.

    Args:
        points: values of n [p].
        precision: sums over the queries of P@n [p].
        together: what all queries have [blocks, 1].
    """
    relevant = together.relevant.sum()
    if relevant == 0:
        raise EvaluateError("no query has a relevant item in the database")
    ranks = np.array(points, np.int64)
    queries = together.items.sum() / points[-1]
    return PrecisionRecall(ranks, precision / queries, precision * ranks / relevant)


def _matching(
    images: CodedItems, voices: CodedItems, measure: Measure, seed: int
) -> dict[str, Any]:
    """Return how often pairs of the test split are told from strangers, in percent (DVAN).

    Every voice with its own image, and with an image of another class drawn by ``seed``. Nothing
    where there are no such pairs.
    """
    rng = np.random.default_rng(seed)
    labels = np.array(images.labels)
    row = {name: number for number, name in enumerate(images.names)}
    own, other, spoken = [], [], []
    for number, (image, label) in enumerate(zip(voices.images, voices.labels, strict=True)):
        strangers = np.flatnonzero(labels != label)
        if image in row and label and len(strangers):
            own.append(row[image])
            other.append(int(rng.choice(strangers)))
            spoken.append(number)
    if not spoken:
        warn("note: no matching accuracy, no labelled voice has its image and others to tell from")
        return {}
    accuracy = matching_accuracy(
        *(_pair_odds(images.select(rows), voices.select(spoken), measure) for rows in (own, other))
    )
    return {"matching": {"accuracy": 100 * accuracy, "pairs": 2 * len(spoken)}}


def _pair_odds(images: CodedItems, voices: CodedItems, measure: Measure) -> np.ndarray:
    """Return the log-odds [n] of a match of image and voice, row for row."""
    sides = _outputs(images), _outputs(voices)
    parts = [
        -np.diagonal(measure(*(side[start : start + PAIRS_AT_ONCE] for side in sides)))
        for start in range(0, len(sides[0]), PAIRS_AT_ONCE)
    ]
    return np.concatenate(parts)


def _scores(hist: Histograms, protocol: Protocol) -> Scores:
    return scores(hist, at=protocol.cutoff, denominator=protocol.denominator, empty=protocol.empty)


def _pairs(queries: CodedItems, gallery: CodedItems) -> list[np.ndarray]:
    rows: dict[str, list[int]] = {}
    for row, image in enumerate(gallery.images):
        if image:
            rows.setdefault(image, []).append(row)
    return [np.array(rows.get(image, []), np.int64) for image in queries.images]


def _numbered(items: CodedItems, numbers: Mapping[str, int]) -> np.ndarray:
    return np.array([numbers[label] for label in items.labels], np.int64)


def _per_class(found: Scores, queries: CodedItems, numbers: Mapping[str, int]) -> dict[str, float]:
    names = sorted(numbers, key=lambda label: numbers[label])
    means = class_average_precision(found.average_precision, _numbered(queries, numbers))
    return {names[number]: 100 * value for number, value in means.items() if names[number]}


def curve_points(gallery: int) -> tuple[int, ...]:
    """Return the numbers of retrieved items at which precision is taken: all, or about 200."""
    if gallery <= CURVE_POINTS:
        return tuple(range(1, gallery + 1))
    return tuple(int(n) for n in np.unique(np.geomspace(1, gallery, CURVE_POINTS).round()))
