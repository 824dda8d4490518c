"""Which queries and galleries a protocol chooses."""

from dataclasses import replace
from typing import Any

import pytest
from evaluation_world import (
    ALL,
    OUTPUTS,
    assert_metrics,
    brute_force,
    distances,
    mean_metrics,
    over_orders,
    random_codes,
    read_codes_of_speakers,
    results_and_curves,
    same_class,
    same_image,
    trained_on,
    with_a_stranger,
    with_outputs,
)

from ivr.hashing.buckets import MetricsError
from ivr.hashing.distances import euclidean_distance
from ivr.pipeline.datasets.voice_sampling import one_voice_per_image
from ivr.pipeline.evaluation.evaluate import evaluate_codes
from ivr.pipeline.evaluation.protocol import DIRECTIONS, PROTOCOLS
from ivr.pipeline.evaluation.report_tables import results_table
from ivr.pipeline.evaluation.select import EvaluateError
from ivr.pipeline.runs.codes_file import Codes


def test_a_pair_is_relevant_and_its_class_is_not() -> None:
    codes = random_codes(4, images=3, voices_each=2)
    protocol = replace(PROTOCOLS["pair"], seed=0)
    results = evaluate_codes(codes, protocol).results
    image, voice = codes.images, codes.voices
    assert_metrics(
        results["image_to_voice"], brute_force(image, voice, same_image(image, voice), protocol)
    )
    assert_metrics(
        results["voice_to_image"], brute_force(voice, image, same_image(voice, image), protocol)
    )


def test_a_voice_without_an_image_has_no_pair() -> None:
    codes = random_codes(4, images=3)
    voices = replace(codes.voices, images=("", *codes.voices.images[1:]))
    protocol = replace(PROTOCOLS["pair"], seed=0)
    results = evaluate_codes(replace(codes, voices=voices), protocol).results
    assert results["image_to_voice"]["queries_with_nothing_relevant"] == 1
    assert results["voice_to_image"]["queries_with_nothing_relevant"] == 1
    relevant = same_image(voices, codes.images)
    assert_metrics(results["voice_to_image"], brute_force(voices, codes.images, relevant, protocol))


def test_queries_are_of_the_test_split_and_the_database_is_what_the_protocol_says() -> None:
    codes = random_codes(6, images=7, test=3)
    images = codes.images
    rows = {"test": [4, 5, 6], "train": [0, 1, 2, 3], "all": list(range(7))}
    for database, gallery_rows in rows.items():
        results = evaluate_codes(codes, replace(ALL, database=database)).results
        found = results["image_to_voice"]
        assert (found["queries"], found["gallery"]) == (3, len(gallery_rows))
        queries, gallery = images.select(rows["test"]), codes.voices.select(gallery_rows)
        assert_metrics(found, brute_force(queries, gallery, same_class(queries, gallery), ALL))


def test_the_training_database_includes_what_the_model_was_chosen_on() -> None:
    codes = random_codes(6, images=6, test=2)
    splits = ("train", "train", "val", "", "test", "test")
    codes = replace(
        codes,
        images=replace(codes.images, splits=splits),
        voices=replace(codes.voices, splits=splits),
    )
    results = evaluate_codes(codes, replace(ALL, database="train")).results
    assert results["image_to_voice"]["gallery"] == 3


def test_one_voice_per_image_is_the_one_that_the_seed_draws() -> None:
    codes = random_codes(7, images=5, voices_each=4)
    found = []
    for seed in (0, 1):
        protocol = replace(ALL, voices="one", seed=seed)
        results = evaluate_codes(codes, protocol).results
        rows = one_voice_per_image(codes.voices.names, codes.voices.images, seed)
        voices = codes.voices.select(rows)
        assert len(voices.names) == 5
        relevant = same_class(codes.images, voices)
        assert_metrics(
            results["image_to_voice"], brute_force(codes.images, voices, relevant, protocol)
        )
        assert results["voice_to_image"]["queries"] == 5
        found.append(results["image_to_voice"]["mAP"])
    assert found[0] != found[1]


def test_a_query_without_a_relevant_item_counts_zero_is_left_out_or_is_an_error() -> None:
    codes = with_a_stranger()
    relevant = same_class(codes.images, codes.voices)
    rows = [
        over_orders(d, r, None, "relevant")
        for d, r in zip(distances(codes.images, codes.voices)[:2], relevant[:2], strict=True)
    ]
    zero, zero_curves = results_and_curves(codes, replace(ALL, empty="zero"))
    skip, skip_curves = results_and_curves(codes, replace(ALL, empty="skip"))
    mean = mean_metrics(rows)
    assert_metrics(skip["image_to_voice"], mean)
    assert_metrics(zero["image_to_voice"], {name: value * 2 / 3 for name, value in mean.items()})
    assert zero["image_to_voice"]["queries_with_nothing_relevant"] == 1
    assert zero["image_to_voice"]["per_class"]["unseen"] == 0
    assert "unseen" not in skip["image_to_voice"]["per_class"]
    for results, curves in ((zero, zero_curves), (skip, skip_curves)):
        curve = curves["image_to_voice"]
        assert 100 * curve.precision[0] == pytest.approx(results["image_to_voice"]["P@1"])
        assert 100 * curve.chance == pytest.approx(results["chance"]["image_to_voice"]["P@1"])
    with pytest.raises(MetricsError, match="1 of 3 queries have no relevant item"):
        evaluate_codes(codes, replace(ALL, empty="error"))


def test_outputs_are_needed_to_rank_by_them() -> None:
    with pytest.raises(EvaluateError, match="have no outputs to rank by"):
        evaluate_codes(random_codes(1), OUTPUTS, euclidean_distance)


def test_items_without_a_label_are_left_out_of_class_relevance_and_a_note_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    codes = random_codes(1)
    partly = replace(codes, images=replace(codes.images, labels=("", *codes.images.labels[1:])))
    results = evaluate_codes(partly, ALL).results
    assert "left out: 1 images without a label" in caplog.text
    queries = codes.images.select(range(1, 6))
    expected = brute_force(queries, codes.voices, same_class(queries, codes.voices), ALL)
    assert_metrics(results["image_to_voice"], expected)
    pairs = evaluate_codes(partly, replace(ALL, relevance="pair")).results
    assert pairs["image_to_voice"]["queries"] == 6
    assert "" not in pairs["image_to_voice"]["per_class"]


def test_items_without_any_label_are_evaluated_by_pairs_only() -> None:
    codes = random_codes(1)
    bare = Codes(
        replace(codes.images, labels=("",) * 6), replace(codes.voices, labels=("",) * 6), {}
    )
    with pytest.raises(EvaluateError, match="no images have a label; evaluate by pairs"):
        evaluate_codes(bare, ALL)
    results = evaluate_codes(bare, replace(ALL, relevance="pair")).results
    relevant = same_image(codes.images, codes.voices)
    expected = brute_force(codes.images, codes.voices, relevant, ALL)
    assert_metrics(results["image_to_voice"], expected)
    found = results["image_to_voice"]
    assert found["R@1"] <= found["H@1"] <= found["H@10"] == 100  # among six, any is
    assert "any partner found" in results_table(results)
    assert "any partner found" not in results_table(evaluate_codes(codes, ALL).results)


def test_ranks_are_shown_with_their_bounds_by_pairs_only_and_are_no_percentages() -> None:
    codes = random_codes(4, images=30)
    results = evaluate_codes(codes, replace(ALL, relevance="pair")).results
    table = results_table(results)
    for direction, arrow in (
        ("image_to_voice", "image -> voice"),
        ("voice_to_image", "voice -> image"),
    ):
        found, chance = results[direction], results["chance"][direction]
        mean, median = found["mean rank"], found["median rank"]
        assert f"{arrow}{mean:>19.2f}{median:>13.2f}\n" in table
        assert chance["mean rank"] == chance["median rank"] == (30 + 1) / 2
        assert found["mean rank_lower"] < mean < found["mean rank_upper"] < 30
    bounds = [
        results[way][f"median rank{end}"] for way in DIRECTIONS for end in ("_lower", "_upper")
    ]
    words = "image -> voice {:.2f} to {:.2f}, voice -> image {:.2f} to {:.2f}".format(*bounds)
    assert f"median rank over any order of the ties: {words}\n" in table
    assert results["ceiling"]["voice_to_image"]["median rank"] == 1
    ranks = [name for name, unit in results["units"].items() if unit == "rank"]
    assert ranks == [
        f"{a} rank{end}" for a in ("mean", "median") for end in ("", "_lower", "_upper")
    ]
    assert {*results["units"]} == {*results["chance"]["image_to_voice"]}
    by_class = evaluate_codes(codes, ALL).results
    assert "median rank" in by_class["image_to_voice"]
    assert "n rank" not in results_table(by_class)


def test_without_splits_every_item_is_a_query_and_is_searched(
    caplog: pytest.LogCaptureFixture,
) -> None:
    codes = random_codes(1)
    blank = ("",) * 6
    whole = Codes(replace(codes.images, splits=blank), replace(codes.voices, splits=blank), {})
    results = evaluate_codes(whole, ALL).results
    assert results["image_to_voice"]["queries"] == results["image_to_voice"]["gallery"] == 6
    assert "no splits: every item is a query and is searched" in caplog.text


@pytest.mark.parametrize(
    ("splits", "database", "words"),
    [
        (("train",) * 6, "test", "no image of the test split to query with"),
        (("test",) * 6, "train", "no voice of database=train to search"),
    ],
)
def test_a_side_that_is_empty_is_one_line(
    splits: tuple[str, ...], database: str, words: str
) -> None:
    codes = random_codes(1)
    empty = Codes(replace(codes.images, splits=splits), replace(codes.voices, splits=splits), {})
    with pytest.raises(EvaluateError, match=words):
        evaluate_codes(empty, replace(ALL, database=database))


def test_codes_of_images_alone_cannot_be_evaluated() -> None:
    codes = random_codes(1)
    with pytest.raises(EvaluateError, match="no voice of database=test to search"):
        evaluate_codes(replace(codes, voices=codes.voices.select([])), ALL)


def test_nothing_relevant_to_any_query_is_one_line() -> None:
    codes = random_codes(1)
    apart = replace(codes, voices=replace(codes.voices, labels=("z",) * 6))
    with pytest.raises(MetricsError, match="no query has a relevant item"):
        evaluate_codes(apart, ALL)


def test_another_share_of_test_items_than_that_of_the_protocol_gives_a_note(
    caplog: pytest.LogCaptureFixture,
) -> None:
    codes = random_codes(2, images=10, test=2)
    evaluate_codes(codes, ALL)
    assert "note" not in caplog.text
    evaluate_codes(codes, replace(ALL, test=0.1))
    assert "note: 20 % of the images are in the test split, the protocol has 10 %" in (caplog.text)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"relevance": "any"}, "relevance must be class or pair, got 'any'"),
        ({"database": "val"}, "database must be one of test, train, all, got 'val'"),
        ({"voices": "two"}, "voices must be one or all"),
        ({"denominator": "all"}, "denominator must be one of relevant, min, hits"),
        ({"ties": "random"}, "ties must be expectation or file-order"),
        ({"empty": "one"}, "empty must be one of zero, skip, error"),
        ({"classes": "new"}, "classes must be one of all, seen, unseen, unseen-among-all"),
        (
            {"distance": "cosine"},
            "distance must be one of hamming, euclidean, matching, got 'cosine'",
        ),
        ({"cutoff": 0}, "cutoff must be at least 1, got 0"),
    ],
)
def test_a_protocol_that_cannot_be_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        replace(ALL, **changes)


def test_only_one_speaker_is_evaluated_if_asked() -> None:
    codes = read_codes_of_speakers()
    protocol = replace(PROTOCOLS["divh"], voices="all", speaker="ann", test=None)
    results = evaluate_codes(codes, protocol).results
    assert results["voice_to_image"]["queries"] == 2
    assert results["image_to_voice"]["gallery"] == 2
    spelled = evaluate_codes(codes, replace(protocol, speaker="ANN")).results
    assert spelled["voice_to_image"] == results["voice_to_image"]
    with pytest.raises(
        EvaluateError, match="no voice of speaker 'eve'; the known speakers are ann, bob"
    ):
        evaluate_codes(codes, replace(protocol, speaker="eve"))


def test_a_speaker_can_be_left_out_and_unknown_speakers_are_left_out_with_it() -> None:
    codes = read_codes_of_speakers()
    protocol = replace(PROTOCOLS["divh"], voices="all", without_speaker="ann", test=None)
    others = evaluate_codes(codes, replace(protocol, without_speaker=None, speaker="bob")).results
    results = evaluate_codes(codes, protocol).results
    assert results["voice_to_image"] == others["voice_to_image"]
    assert results["image_to_voice"] == others["image_to_voice"]
    unknown = replace(codes, voices=replace(codes.voices, speakers=("ann", "", "bob", "")))
    assert evaluate_codes(unknown, protocol).results["voice_to_image"]["queries"] == 1
    with pytest.raises(
        EvaluateError, match="no voice of speaker 'eve'; the known speakers are ann, bob"
    ):
        evaluate_codes(codes, replace(protocol, without_speaker="eve"))
    alone = replace(codes, voices=replace(codes.voices, speakers=("ann",) * 4))
    with pytest.raises(EvaluateError, match="all voices of known speakers are of 'ann'"):
        evaluate_codes(alone, protocol)
    for empty in ({"without_speaker": ""}, {"without_speaker": None, "speaker": ""}):
        with pytest.raises(
            EvaluateError, match="no voice of speaker ''; the known speakers are ann, bob"
        ):
            evaluate_codes(unknown, replace(protocol, **empty))
    with pytest.raises(ValueError, match="give speaker or without_speaker, not both"):
        replace(protocol, speaker="ann")


@pytest.mark.parametrize(
    ("column", "names"), [("labels", ("1", "1.0", "2", "2")), ("speakers", ("ann", "Ann", "", ""))]
)
def test_codes_with_two_spellings_of_one_name_are_not_evaluated(
    column: str, names: tuple[str, ...]
) -> None:
    codes = read_codes_of_speakers()
    spelled = replace(codes, voices=replace(codes.voices, **{column: names}))
    with pytest.raises(EvaluateError, match=r"several spellings of one name.*--accept-"):
        evaluate_codes(spelled, replace(PROTOCOLS["divh"], voices="all", test=None))


@pytest.mark.parametrize("relevance", ["class", "pair"])
@pytest.mark.parametrize("outputs", [False, True])
def test_only_classes_that_were_seen_or_were_not_are_asked_and_searched(
    relevance: Any, outputs: bool
) -> None:
    codes = trained_on(random_codes(4, images=24, voices_each=2, test=12), "a")
    codes, measure = (with_outputs(codes), euclidean_distance) if outputs else (codes, None)
    protocol = replace(ALL, relevance=relevance, test=None)

    def only(classes: str) -> Codes:
        sides = (codes.images, codes.voices)
        kept = [[row for row, name in enumerate(s.labels) if name in classes] for s in sides]
        return Codes(codes.images.select(kept[0]), codes.voices.select(kept[1]), {})

    for choice, classes in (("seen", "a"), ("unseen", "bc")):
        if (choice, relevance) == ("seen", "class"):  # one class: nothing to tell apart
            continue
        found = evaluate_codes(codes, replace(protocol, classes=choice), measure).results  # type: ignore[arg-type]
        expected = evaluate_codes(only(classes), protocol, measure).results
        for direction in ("image_to_voice", "voice_to_image"):
            assert found[direction] == expected[direction]
            assert found["chance"][direction] == expected["chance"][direction]


def test_queries_of_classes_never_seen_are_those_of_all_among_all() -> None:
    codes = trained_on(random_codes(4, images=24, voices_each=2, test=12), "a", "b")
    whole = evaluate_codes(codes, replace(ALL, test=None)).results
    found = evaluate_codes(codes, replace(ALL, test=None, classes="unseen-among-all")).results
    for direction in ("image_to_voice", "voice_to_image"):
        assert found[direction]["gallery"] == whole[direction]["gallery"]
        assert found[direction]["per_class"] == {"c": whole[direction]["per_class"]["c"]}
    assert "queries of classes that training did not see; " in results_table(found)


def test_classes_that_cannot_be_chosen_are_one_line() -> None:
    codes = random_codes(4)
    for trained, choice, words in (
        ("abc", "unseen", "the run saw all the classes; leave some out with train-hash"),
        ("abc", "unseen-among-all", "the run saw all the classes"),
        ("x", "seen", "the run saw none of the classes"),
        ("ab", "unseen", "c is the only unseen class, everything .* --classes unseen-among-all$"),
        ("c", "seen", "c is the only seen class, everything .* --classes all$"),
    ):
        with pytest.raises(EvaluateError, match=words):
            evaluate_codes(trained_on(codes, *trained), replace(ALL, classes=choice))  # type: ignore[arg-type]
    for config in ({}, {"run": 3}, {"run": {"classes": None}}):
        with pytest.raises(EvaluateError, match="do not name the classes of the training"):
            evaluate_codes(replace(codes, config=config), replace(ALL, classes="unseen"))
