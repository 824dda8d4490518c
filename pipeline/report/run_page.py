"""The page of one run: everything that its template reads."""

from collections import Counter
from typing import Any

from ivr.pipeline.evaluation.per_query import DIRECTIONS
from ivr.pipeline.evaluation.picture_subject import data_name, method_name, subject_of
from ivr.pipeline.pictures.captions import protocol_sentences
from ivr.pipeline.runtime.words import counted

from .caveats import caveats, in_short
from .evaluated_run import EvaluatedRun
from .query_cards import (
    DIRECTION_WORDS,
    FIRST_WORDS,
    KIND_WORDS,
    QueryCard,
    classes_of,
    have_long_labels,
    kinds_of,
    weakest,
)
from .query_groups import group_tables
from .report_config import ReportConfig
from .run_facts import bits_in_words, date_of, digests, facts, options
from .run_numbers import (
    class_rows,
    headlines,
    limited_metrics,
    lookup_words,
    number_tables,
    published_rows,
)

SECTIONS = (
    ("summary", "In short"),
    ("limits", "What these numbers do not show"),
    ("hits", "Queries and hits"),
    ("numbers", "All metrics"),
    ("pictures", "Curves and codes"),
    ("classes", "By class, speaker and sentence"),
    ("run", "What was run"),
)


def run_page(found: EvaluatedRun, cards: list[QueryCard], config: ReportConfig) -> dict[str, Any]:
    """Return what the template of a run reads, but for its media.

    Args:
        found: the run.
        cards: the queries that are shown.
        config: choices of the report.
    """
    told = caveats(found)
    method = f"{method_name(found.results)}, {bits_in_words(found)}"
    return {
        "title": f"{data_name(found.results)}: {method}",
        "kind": "Report of one run",
        "lead": f"{found.results['protocol_in_words']}. Evaluated {date_of(found.folder)}.",
        "sections": SECTIONS,
        "headlines": headlines(found),
        "limited": limited_metrics(found),
        "caveats": told,
        "in_short": in_short(told),
        "lookups": lookup_words(found),
        "shared_caption": protocol_sentences(subject_of(found.results)),
        "tables": number_tables(found),
        "published": published_rows(found.results),
        "class_rows": class_rows(found),
        "group_tables": group_tables(found),
        "facts": facts(found),
        "digests": digests(found),
        "options": options(found.config),
        "query_cards": cards,
        "weakest": weakest(cards),
        "shown_words": shown_words(found, cards, config),
        "classes": classes_of(cards),
        "kinds": kinds_of(cards),
        "long_labels": have_long_labels(cards),
        "direction_words": DIRECTION_WORDS,
        "kind_words": KIND_WORDS,
        "first_words": FIRST_WORDS,
        "ways": tuple(reversed(DIRECTIONS)),
    }


def shown_words(found: EvaluatedRun, cards: list[QueryCard], config: ReportConfig) -> str:
    """Return which queries are shown, and how their hits are marked, as sentences."""
    total = sum(len(metrics.names) for metrics in found.queries.values())
    most = max(Counter(card.direction for card in cards).values(), default=0)
    limit = f", {most} per direction at most" if most == config.most_queries else ""
    relevance = {
        "class": "of the class of the query",
        "pair": "of the image of the query",
    }[found.results["protocol"]["relevance"]]
    return (
        f"{counted(len(cards), 'query')} of {total}: by class and direction the "
        f"{config.queries} worst, {config.queries} drawn at random (seed {config.seed}) and "
        f"{config.queries} best by average precision{limit}. "
        f"A hit is right if it is {relevance}. Items at equal distance share their ranks: any "
        "order of them is as good, and they stand in that of the manifest. A first hit is tied "
        "if some of the items at the least distance are right and some wrong."
    )
