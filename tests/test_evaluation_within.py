"""Metrics within a modality, where the query itself is left out."""

from dataclasses import replace

import numpy as np
import pytest
from evaluation_world import ALL, distances, over_orders, random_codes, same_class, same_image

from ivr.hashing.histograms import score_histograms
from ivr.hashing.metrics import scores
from ivr.pipeline.evaluation.evaluate import evaluate_codes
from ivr.pipeline.evaluation.protocol import PROTOCOLS
from ivr.pipeline.evaluation.report_tables import results_table
from ivr.pipeline.runs.codes_file import CodedItems, Codes


def test_within_a_modality_the_query_is_left_out_by_hand() -> None:
    # One byte per code; a is near a, the two b are far apart.
    bits = {"a0": 0b00000000, "a1": 0b00000001, "b0": 0b00000011, "b1": 0b11111111}
    packed = np.array(list(bits.values()), np.uint8)[:, None]
    names, blank = tuple(bits), ("",) * 4
    images = CodedItems(names, packed, tuple("aabb"), ("test",) * 4, names, blank, blank)
    voices = replace(images, names=tuple(f"{name}.wav" for name in names))
    results = evaluate_codes(Codes(images, voices, {}), replace(ALL, test=None)).results
    # a0 finds a1 first. a1 is at 1 from a0 and from b0: place 1 or 2. b0: a1, a0, b1. b1: b0.
    expected = 100 * (1 + (1 + 1 / 2) / 2 + 1 / 3 + 1) / 4
    chance = 100 * (1 + 1 / 2 + 1 / 3) / 3
    for name in ("image_to_image", "voice_to_voice"):
        assert results[name]["mAP"] == pytest.approx(expected)
        assert results[name]["chance"] == pytest.approx(chance)
        assert (results[name]["queries"], results[name]["gallery"], results[name]["n"]) == (4, 4, 4)
    line = f"image -> image {expected:.2f} (chance {chance:.2f}), voice -> voice {expected:.2f}"
    assert f"mAP of the codes within a modality, the query left out: {line}" in results_table(
        results
    )


def test_within_a_modality_agrees_with_a_gallery_without_the_query() -> None:
    codes = random_codes(3, images=9, voices_each=2, test=4)
    for database in ("test", "train", "all"):
        results = evaluate_codes(codes, replace(ALL, database=database, cutoff=3)).results
        for name, side in (("image_to_image", codes.images), ("voice_to_voice", codes.voices)):
            test = [row for row, split in enumerate(side.splits) if split == "test"]
            kept = {"test": ("test",), "train": ("train",), "all": ("test", "train")}[database]
            searched = [row for row, split in enumerate(side.splits) if split in kept]
            values = []
            for row in test:
                query, gallery = side.select([row]), side.select([n for n in searched if n != row])
                relevant = same_class(query, gallery)
                if relevant.any():
                    hist = score_histograms(distances(query, gallery), relevant)
                    values.append(scores(hist, at=3).mAP)
            assert results[name]["mAP"] == pytest.approx(100 * np.mean(values))
            assert results[name]["n"] == len(values)
            assert results[name]["queries_with_nothing_relevant"] == len(test) - len(values)


def test_by_pairs_other_voices_of_the_image_are_relevant_and_images_have_none() -> None:
    codes = random_codes(4, images=3, voices_each=2)
    protocol = replace(PROTOCOLS["pair"], seed=0, test=None)
    results = evaluate_codes(codes, protocol).results
    assert results["image_to_image"] is None
    table = distances(codes.voices, codes.voices)
    relevant = same_image(codes.voices, codes.voices)
    rows = [
        over_orders(np.delete(table[n], n), np.delete(relevant[n], n), None, "relevant")["mAP"]
        for n in range(6)
    ]
    assert results["voice_to_voice"]["mAP"] == pytest.approx(np.mean(rows))
    assert "image -> image" not in results_table(results)


def test_within_a_modality_a_class_of_one_item_is_no_error() -> None:
    codes = random_codes(0, images=4)
    one = Codes(
        replace(codes.images, labels=("a", "a", "b", "c")),
        replace(codes.voices, labels=("a", "a", "b", "c")),
        {},
    )
    results = evaluate_codes(one, replace(ALL, empty="error")).results
    assert results["image_to_image"]["queries_with_nothing_relevant"] == 2
    assert results["image_to_image"]["n"] == 2
