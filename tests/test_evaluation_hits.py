"""The first hits of queries: what is told of ties does not depend on the order of the items."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation_world import ALL, distances, random_codes, same_class

from ivr.pipeline.evaluation.hits import RankedHits, empty_lookups, ranked_hits, relevant_items
from ivr.pipeline.evaluation.select import Selection, select
from ivr.pipeline.report.query_cards import first_hit

WAYS = ("image_to_voice", "voice_to_image")


def found(selection: Selection, direction: str, count: int) -> RankedHits:
    rows = range(len(selection.queries[direction].names))
    return ranked_hits(selection, direction, None, rows, count)


@pytest.mark.parametrize("direction", WAYS)
@pytest.mark.parametrize("count", [1, 3, 10])
def test_the_expected_number_of_right_hits_is_the_mean_over_random_orders(
    direction: str, count: int
) -> None:
    selection = select(random_codes(3, images=12, voices_each=2), replace(ALL, database="all"))
    queries, gallery = selection.queries[direction], selection.galleries[direction]
    away, right = distances(queries, gallery), same_class(queries, gallery)
    rng, seen = np.random.default_rng(0), []
    for _ in range(3000):
        order = np.lexsort((rng.random(away.shape), away), axis=1)[:, :count]
        seen.append(np.take_along_axis(right, order, axis=1).sum(axis=1))
    hits = found(selection, direction, count)
    assert hits.expected_relevant == pytest.approx(np.mean(seen, axis=0), abs=0.12)
    assert (hits.expected_relevant != hits.relevant.sum(axis=1)).any()


@pytest.mark.parametrize("direction", WAYS)
def test_a_first_hit_is_right_wrong_or_tied_whatever_the_order_of_the_items(direction: str) -> None:
    selection = select(random_codes(5, images=15), replace(ALL, database="all"))
    gallery = selection.galleries[direction]
    other = gallery.select(np.random.default_rng(1).permutation(len(gallery.names)))
    turned = replace(selection, galleries={**selection.galleries, direction: other})
    hits, again = found(selection, direction, 1), found(turned, direction, 1)
    rows = range(len(hits.rows))
    told = [first_hit(hits, row) for row in rows]
    assert told == [first_hit(again, row) for row in rows]
    assert set(told) == {"right", "wrong", "tied"}
    assert (hits.relevant[:, 0] != again.relevant[:, 0]).any()  # the order shown does depend on it
    assert all(
        told[row] == "tied" for row in rows if hits.relevant[row, 0] != again.relevant[row, 0]
    )


@pytest.mark.parametrize("direction", WAYS)
def test_the_nearest_item_of_the_image_of_a_query_has_its_ranks(direction: str) -> None:
    selection = select(random_codes(2, images=9, voices_each=3), replace(ALL, database="all"))
    queries, gallery = selection.queries[direction], selection.galleries[direction]
    away, hits = distances(queries, gallery), found(selection, direction, 2)
    for row, image in enumerate(queries.images):
        own = [place for place, other in enumerate(gallery.images) if other == image]
        least = min(away[row, own])
        assert hits.own[row] in own
        assert hits.own_distance[row] == least
        assert hits.own_first_rank[row] == (away[row] < least).sum() + 1
        assert hits.own_last_rank[row] == (away[row] <= least).sum()
    rest = gallery.select([r for r, image in enumerate(gallery.images) if image != "3.png"])
    without = replace(selection, galleries={**selection.galleries, direction: rest})
    lacking = [image == "3.png" for image in queries.images]
    assert (found(without, direction, 2).own < 0).tolist() == lacking


@pytest.mark.parametrize("direction", WAYS)
def test_empty_lookups_and_relevant_items_are_those_of_the_distances(direction: str) -> None:
    selection = select(random_codes(7, images=9), replace(ALL, database="all"))
    queries, gallery = selection.queries[direction], selection.galleries[direction]
    away, right = distances(queries, gallery), same_class(queries, gallery)
    nothing = empty_lookups(selection, direction, 2)
    assert nothing.tolist() == (away > 2).all(axis=1).tolist()
    assert 0 < nothing.sum() < len(nothing)
    assert relevant_items(selection, direction).tolist() == right.sum(axis=1).tolist()
