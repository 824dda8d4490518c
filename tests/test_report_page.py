"""``ivr report`` on a run: the content and the structure of its page, not its bytes."""

import itertools
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import assert_one_line, succeeded
from conftest import ivr as command
from report_page import Element, addresses, hits_of, read_page
from tiny_world import SHORT, TINY, World, tiny_blueprint

import ivr
from ivr.features import encoders
from ivr.features.atomic_files import InTheWayError
from ivr.features.small_media import as_jpeg, short_clip, small_picture
from ivr.features.voice_file import Recording, recording_of
from ivr.pipeline.datasets.manifest import Manifest, ManifestRow, write_manifest
from ivr.pipeline.evaluation.hits import empty_lookups, relevant_items
from ivr.pipeline.evaluation.per_query import DIRECTIONS, read_queries
from ivr.pipeline.pictures.style import LIGHT, styled
from ivr.pipeline.report.caveats import SENTENCES, SYNTHETIC, Caveat, in_short
from ivr.pipeline.report.evaluated_run import EvaluatedRun, PageError, read_evaluated_run
from ivr.pipeline.report.media_budget import LEVELS, encode_media
from ivr.pipeline.report.media_files import Voice
from ivr.pipeline.report.query_cards import QueryCard, _distance, have_long_labels
from ivr.pipeline.report.render import _parts, _sentence
from ivr.pipeline.report.shown_queries import choose_queries

HOSTILE = '<img src=x onerror="alert(1)">$\\input{x}$ \u202egnp\x1b[31m \x07' + "a" * 300


@pytest.fixture(scope="module")
def run(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run of the tiny world, evaluated."""
    folder = tmp_path_factory.mktemp("report") / "run"
    shutil.copytree(world.run, folder)
    ivr.evaluate(folder, database="all", voices="all")
    return folder


def evaluation(run: Path) -> Path:
    """The folder of the evaluation of ``run``."""
    return run / "evaluations" / "divh-database=all-voices=all"


@pytest.fixture
def no_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the pictures of results, which take most of the time."""
    monkeypatch.setattr(EvaluatedRun, "pictures", lambda self: [])


@pytest.fixture(scope="module")
def page(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Element:
    path = tmp_path_factory.mktemp("page") / "report.html"
    ivr.report(run, path, hits=100, queries=2)
    return read_page(path)


def expected_average_precision(query: Element) -> float:
    """Mean over all orders of the ties, by brute force from what the page shows."""
    hits, total, values = hits_of(query), 0, []
    groups = [list(some) for _, some in itertools.groupby(hits, lambda hit: hit.first)]
    assert [group[0].first for group in groups] == np.cumsum([1, *map(len, groups[:-1])]).tolist()
    total = sum(hit.right for hit in hits)
    orders = [set(itertools.permutations([hit.right for hit in group])) for group in groups]
    weights = []
    for order in itertools.product(*orders):
        ranked = list(itertools.chain(*order))
        precisions = [
            sum(ranked[: place + 1]) / (place + 1) for place, right in enumerate(ranked) if right
        ]
        values.append(sum(precisions) / total)
        weights.append(1.0)
    return float(np.average(values, weights=weights))


def test_the_ranking_on_the_page_has_the_average_precision_of_the_evaluation(
    run: Path, page: Element
) -> None:
    recorded = read_queries(evaluation(run) / "queries.h5")
    compared = 0
    for query in page.all("article", class_="query"):
        direction = query.attributes["data-direction"]
        shown = float(query.attributes["data-ap"])
        found = recorded[direction]
        assert 100 * np.abs(found.average_precision - shown / 100).min() < 1e-4
        if all(hit.last - hit.first < 6 for hit in hits_of(query)):
            assert 100 * expected_average_precision(query) == pytest.approx(shown, abs=1e-4)
            compared += 1
    assert compared >= 4


@pytest.mark.usefixtures("no_pictures")
def test_codes_that_are_not_those_of_the_evaluation_are_refused(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other)
    wrong = ivr.evaluate(other, database="all", voices="all", relevance="pair")
    shutil.copy(wrong.folder / "queries.h5", evaluation(other) / "queries.h5")
    shutil.rmtree(wrong.folder)
    with pytest.raises(PageError, match="not the results of the present codes; evaluate again"):
        ivr.report(other, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


@pytest.mark.usefixtures("no_pictures")
def test_a_run_that_is_not_evaluated_says_what_to_call(world: World, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(world.run, other, ignore=shutil.ignore_patterns("results.json", "evaluations"))
    result = command("report", other, "--out", tmp_path / "report.html")
    assert_one_line(result, f"{other}: not evaluated; call ivr evaluate {other} first")


@pytest.mark.usefixtures("no_pictures")
def test_a_report_reads_and_changes_nothing(run: Path, tmp_path: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {str(p): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}

    before = contents()
    ivr.report(run, tmp_path / "report.html")
    assert contents() == before


def test_equal_runs_give_equal_bytes(run: Path, tmp_path: Path) -> None:
    pages = []
    for name in ("one.html", "two.html"):
        ivr.report(run, tmp_path / name)
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]


def test_the_page_loads_nothing_and_says_so_to_the_browser(page: Element) -> None:
    policy = page.one("meta", http_equiv="Content-Security-Policy").attributes["content"]
    assert policy.startswith("default-src 'none'; img-src data:; media-src data:;")
    assert "unsafe-inline" not in policy.partition("script-src")[2]
    outside = [one for one in addresses(page) if not one.startswith(("data:", "#"))]
    assert outside == []
    sounds = json.loads(page.one("script", id="sounds").text)
    assert sounds
    assert all(one.startswith("data:audio/") for one in sounds.values())


def test_every_link_inside_the_page_leads_somewhere(page: Element) -> None:
    there = [element.attributes["id"] for element in page.all() if "id" in element.attributes]
    assert len(there) == len(set(there))
    inside = {one[1:] for one in addresses(page) if one.startswith("#")}
    assert inside <= set(there)
    assert {query.attributes["id"] for query in page.all("article")} <= inside


def test_headings_tables_pictures_and_buttons_have_names(page: Element) -> None:
    levels = [int(one.tag[1]) for one in page.all() if re.fullmatch(r"h[1-6]", one.tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))
    assert all(table.one("caption").text for table in page.all("table"))
    assert all(one.attributes["aria-label"] for one in page.all(role="img"))
    assert all(one.attributes["alt"] for one in page.all("img"))
    assert all(one.attributes.get("aria-label") or one.text for one in page.all("button"))
    for section in page.all("section"):
        assert section.one(id=section.attributes["aria-labelledby"]).text
    assert page.one("html").attributes["lang"] == "en"


def test_the_numbers_are_those_of_the_evaluation_with_chance_and_the_best_possible(
    run: Path, page: Element
) -> None:
    results = json.loads((evaluation(run) / "results.json").read_text())
    table = page.one(id="numbers").all("table")[0]
    heads = [cell.text for cell in table.one("thead").all("th")][1:]
    rows = {
        (row.one("th").text, number): [cell.text for cell in row.all("td")]
        for number, row in enumerate(table.one("tbody").all("tr"))
    }
    voice = results["voice_to_image"]
    assert rows["voice finds images", 0] == [f"{voice[name]:.2f}" for name in heads]
    chance = results["chance"]["voice_to_image"]
    assert rows["chance", 1] == [f"{chance[name]:.2f}" for name in heads]
    # Three classes of four: the four relevant items in the first ten places.
    best = dict(zip(heads, rows["best possible", 2], strict=True))
    assert best["mAP"] == "100.00"
    assert best["P@10"] == "40.00"
    assert "P@10 cannot exceed 40.0 %" in page.one(id="summary").text


def test_what_the_numbers_do_not_show_is_counted(run: Path, page: Element) -> None:
    told = page.one(id="limits").text
    assert "Captions are not known" in told
    assert "Few queries" in told
    assert "The image encoder has random weights" in told
    assert "ivr check MANIFEST" in told


def test_what_was_run_is_said_with_machine_versions_and_checksums(run: Path, page: Element) -> None:
    config = json.loads((run / "config.json").read_text())
    told = page.one(id="run").text
    for words in (config["features"]["sha256"]["voices"], *config["machine"].values()):
        assert words in told
    assert config["versions"]["torch"] in told
    assert "training.epochs" in told
    assert re.search(r"Training ?2 epochs in 0:0\d", told)


def test_every_class_gives_its_worst_and_best_query(page: Element) -> None:
    for direction in DIRECTIONS:
        for label in ("forest", "pond", "river"):
            kinds = [
                query.attributes["data-kind"]
                for query in page.all("article", data_direction=direction, data_class=label)
            ]
            assert kinds == sorted(kinds, key=("worst", "drawn", "best").index)


def test_the_best_the_worst_and_a_seeded_sample_are_chosen_by_class() -> None:
    labels = ["a"] * 6 + ["b"] * 2
    values = np.array([0.6, 0.1, 0.9, 0.5, 0.3, np.nan, 0.2, 0.8])
    chosen = choose_queries(labels, values, 1, 99, np.random.default_rng(0))
    assert [(one.row, one.kind) for one in chosen if one.kind != "drawn"] == [
        (1, "worst"), (2, "best"), (6, "worst"), (7, "best"),
    ]  # fmt: skip
    (drawn,) = [one.row for one in chosen if one.kind == "drawn"]
    assert drawn in (0, 3, 4)
    assert chosen == choose_queries(labels, values, 1, 99, np.random.default_rng(0))
    few = choose_queries(labels, values, 3, 3, np.random.default_rng(0))
    assert [(one.row, one.kind) for one in few][:1] == [(1, "worst")]
    assert {labels[one.row] for one in few} == {"a", "b"}


@pytest.mark.usefixtures("no_pictures")
def test_media_that_are_gone_are_counted_and_do_not_break_the_page(
    run: Path, tmp_path: Path
) -> None:
    found = ivr.report(run, tmp_path / "report.html", media_root=tmp_path)
    assert len(found.missing) == 24
    assert found.pictures == found.sounds == 0
    page = read_page(tmp_path / "report.html")
    assert "24 files could not be read" in page.one(id="missing").text
    assert page.all(class_="absent")
    assert page.all("article", class_="query")


def test_pictures_and_sounds_can_lie_beside_the_page(run: Path, tmp_path: Path) -> None:
    ivr.report(run, tmp_path / "my page.html", link_media=True)
    page = read_page(tmp_path / "my page.html")
    linked = [one for one in addresses(page) if not one.startswith("#")]
    linked += json.loads(page.one("script", id="sounds").text).values()
    assert len(linked) > 24
    names = set()
    for address in linked:
        folder, name = address.split("/")
        assert folder == "my%20page_files"
        names.add(name)
        assert (tmp_path / "my page_files" / name).stat().st_size
    (tmp_path / "my page_files" / f"{'0' * 16}.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "my page_files" / "mine.txt").write_text("stays")
    ivr.report(run, tmp_path / "my page.html", link_media=True)
    assert {p.name for p in (tmp_path / "my page_files").iterdir()} == names | {"mine.txt"}


@pytest.mark.usefixtures("no_pictures")
def test_only_a_report_is_replaced(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text("<!DOCTYPE html><p>my own page</p>")
    with pytest.raises(InTheWayError, match="something else than a report of ivr"):
        ivr.report(run, path)
    path.unlink()
    ivr.report(run, path)
    ivr.report(run, path)


def test_a_page_that_cannot_be_so_small_says_what_to_do(run: Path, tmp_path: Path) -> None:
    with pytest.raises(PageError, match="even without pictures and sounds; allow more with --max"):
        ivr.report(run, tmp_path / "report.html", max_bytes=100_000)


def test_pictures_become_coarser_and_then_fewer_until_they_fit() -> None:
    rng = np.random.default_rng(0)
    pictures = {f"{n}.png": rng.integers(0, 255, (3, 160, 160), np.uint8) for n in range(8)}
    noise = rng.normal(0, 3000, 32_000).astype(np.int16)
    voices = {f"{n}.wav": Voice(noise, 2.0) for n in range(8)}
    whole = encode_media(pictures, voices, None)
    assert whole.level == LEVELS[0]
    sizes = [whole.page_bytes]
    for share in (0.7, 0.4, 0.05):
        most = int(share * whole.page_bytes)
        found = encode_media(pictures, voices, most)
        assert found.page_bytes <= most
        sizes.append(found.page_bytes)
        assert found.left_out == 16 - len(found.pictures) - len(found.sounds)
    assert found.left_out
    assert not found.sounds  # they go first
    assert list(found.pictures) == [f"{n}.png" for n in range(len(found.pictures))]
    assert sizes == sorted(sizes, reverse=True)


def test_clips_and_thumbnails_are_what_they_were() -> None:
    tone = np.sin(2 * np.pi * 500 * np.arange(24_000) / 8000).astype(np.float32) * 0.5
    clip = short_clip(Recording(tone, 8000), 16_000, 2.0)
    assert len(clip) == 32_000
    encoded = encode_media({}, {"a": Voice(clip, 3.0)}, None)
    assert encoded.sounds == encode_media({}, {"a": Voice(clip, 3.0)}, None).sounds
    again = recording_of(encoded.sounds["a"])
    spectrum = np.abs(np.fft.rfft(again.samples))
    loudest = spectrum.argmax() * again.sample_rate / len(again.samples)
    assert abs(loudest - 500) < 5
    picture = np.zeros((3, 40, 80), np.uint8)
    picture[0] = 200
    assert small_picture(picture, 20).shape == (3, 10, 20)
    assert as_jpeg(picture).startswith(b"\xff\xd8\xff")


@pytest.mark.usefixtures("no_pictures")
def test_hostile_names_break_nothing(world: World, tmp_path: Path) -> None:
    """Labels, captions and names with markup, formulas, controls and overrides of direction."""
    media = tmp_path / "media"
    media.mkdir()
    caption = HOSTILE
    rows = []
    for source in sorted(world.media.glob("*.png")):
        stem = source.stem
        label = f"</script><b>{stem.partition('_')[0]}</b> $x_1$"
        image, voice = f"<u>{stem}'&quot;.png", f'"{stem}" onclick=x.wav'
        shutil.copy(source, media / image)
        shutil.copy(source.with_suffix(".wav"), media / voice)
        rows.append(ManifestRow(image, voice, label, caption=f"{caption} {stem}"))
    write_manifest(media / "manifest.csv", Manifest(tuple(rows)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(encoders.ENCODERS, "tiny", tiny_blueprint)
        succeeded(command("extract", media / "manifest.csv", "--out", tmp_path / "f", *TINY))
        succeeded(command("train-hash", tmp_path / "f", "--out", tmp_path / "run", *SHORT))
    ivr.evaluate(tmp_path / "run")
    found = ivr.report(tmp_path / "run", tmp_path / "report.html")
    assert found.missing == ()
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    page = read_page(tmp_path / "report.html")
    assert not set("\u202e\x1b\x07") & set(text)
    assert len(page.all("script")) == 2
    assert not page.all("u")
    assert {one.text for one in page.one(id="classes").all("th", scope="row")} == {
        f"</script><b>{label}</b> $x_1$" for label in ("forest", "pond", "river")
    }
    assert not [one for one in page.all() if {"onerror", "onclick"} & set(one.attributes)]
    shown = page.all("article", class_="query")[0].one("h3").text
    assert '<img src=x onerror="alert(1)">$\\input{x}$ \\u202egnp\\u001b[31m' in shown


@pytest.mark.usefixtures("no_pictures")
def test_the_command_prints_one_line_or_json(run: Path, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    result = succeeded(command("report", run, "--out", path))
    assert re.fullmatch(
        rf"{re.escape(str(path))}: \d+ queries, 12 pictures, 12 voices, \d\.\d MB\n", result.stdout
    )
    told = json.loads(succeeded(command("report", run, "--out", path, "--json")).stdout)
    assert told["path"] == str(path)
    assert told["size"] == path.stat().st_size
    assert told["cards"][0]["hits"][0]["rank"]


@pytest.mark.usefixtures("no_pictures")
def test_an_unknown_evaluation_is_named_with_those_there_are(run: Path, tmp_path: Path) -> None:
    result = command("report", run, "--evaluation", "nearby", "--out", tmp_path / "report.html")
    assert_one_line(result, "no evaluation 'nearby'; ")


@pytest.mark.usefixtures("no_pictures")
def test_the_date_is_that_of_the_evaluation(run: Path, tmp_path: Path) -> None:
    other = tmp_path / "run"
    shutil.copytree(run, other)
    os.utime(evaluation(other) / "results.json", (1_000_000_000, 1_000_000_000))
    ivr.report(other, tmp_path / "report.html")
    assert (
        "2001-09-09 01:46 UTC"
        in read_page(tmp_path / "report.html").one("header", class_="top").text
    )


@pytest.mark.usefixtures("no_pictures")
def test_a_media_folder_that_moved_is_named_by_the_user(
    run: Path, world: World, tmp_path: Path
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(world.media, moved)
    found = ivr.report(run, tmp_path / "report.html", media_root=moved)
    assert found.missing == ()
    assert (found.pictures, found.sounds) == (12, 12)


@pytest.mark.usefixtures("no_pictures")
def test_a_card_tells_of_ties_and_shows_the_own_image_of_a_voice(run: Path, tmp_path: Path) -> None:
    found = ivr.report(run, tmp_path / "report.html", hits=3, queries=4)
    shown = read_page(tmp_path / "report.html").all("article", class_="query")
    assert len(shown) == len(found.cards)
    cut = 0
    for card, article in zip(found.cards, shown, strict=True):
        assert article.attributes["data-first"] == card.first
        assert bool(article.all(class_="tied")) == (card.first == "tied")
        told = article.one("p", class_="meta").text
        if card.cut:
            cut += 1
            assert f"Ranks {card.cut} are tied" in article.one(class_="cut").text
        else:
            assert card.expected == card.right
        if card.expected == card.right:
            assert f"{card.right} of the first 3 right (" in told
        else:
            assert f"{card.expected:.1f} of the first 3 right, mean over ties" in told
        if card.medium.is_voice:
            assert card.own is not None
            own = article.one(class_="own").text
            assert f"{card.own.medium.name}: rank {card.own.rank} of {card.gallery}" in own
            assert card.own.medium.name.split(".")[0] == card.medium.name.split(".")[0]
        else:
            assert card.own is None
    assert cut


def test_the_top_of_the_page_tells_chance_interval_and_tie_bounds_apart(page: Element) -> None:
    for tile in page.all(class_="tile"):
        assert len(tile.all("rect", class_="chance")) == len(tile.all("rect", class_="interval"))
        assert "chance 95 % interval over queries" in tile.one(class_="key").text
        assert "Tie bounds, no interval" in tile.text


def test_captions_on_the_page_do_not_repeat_the_protocol(run: Path, page: Element) -> None:
    section = page.one(id="pictures").text
    protocol = "ties: mean over all orders"
    assert section.count(protocol) == 1
    captions = [one.text for one in page.one(id="pictures").all("figcaption")]
    assert len(captions) >= 8
    assert all(len(one) > 40 for one in captions)
    kept = read_evaluated_run(run).pictures()
    assert sum(protocol in one.caption for one in kept) >= 8


@pytest.mark.usefixtures("no_pictures")
def test_classes_are_sorted_by_value_with_n_and_chance(run: Path, page: Element) -> None:
    results = json.loads((evaluation(run) / "results.json").read_text())
    means, labels = [], []
    for row in page.one(id="classes").one("tbody").all("tr"):
        label, cells = row.one("th").text, [cell.text for cell in row.all("td")]
        for way, (value, _, chance, n) in zip(
            ("voice_to_image", "image_to_voice"), (cells[:4], cells[4:]), strict=True
        ):
            told = results[way]
            assert value == f"{told['per_class'][label]:.1f}"
            assert chance == f"{told['per_class_chance'][label]:.1f}"
            assert n == str(told["per_class_queries"][label])
        means.append(sum(results[way]["per_class"][label] for way in DIRECTIONS))
        labels.append(label)
    assert means == sorted(means, reverse=True)
    assert labels != sorted(labels) or len(set(means)) < 3


def test_numbers_of_queries_are_counted_and_not_bounded(run: Path, page: Element) -> None:
    text = page.one("main").text
    assert "At least" not in text
    assert "per direction at most" not in page.one(id="hits").text  # none was left out
    assert "P@10 cannot exceed 40.0 %: every query has fewer than ten relevant items" in text
    found = read_evaluated_run(run)
    for way in DIRECTIONS:
        relevant = relevant_items(found.selection, way)
        assert set(relevant.tolist()) == {4}
    if any(empty_lookups(found.selection, way, 2).any() for way in DIRECTIONS):
        assert "queries with no item within 2 bits count as 0" in page.one(id="numbers").text
    assert "Split drawn by ivr: test" in page.one(id="run").text.replace(
        "Splitdrawn", "Split drawn"
    )


def test_the_top_of_the_page_repeats_that_voices_are_synthetic_and_sentences_known() -> None:
    told = [Caveat("limit", SENTENCES, "a."), Caveat("limit", "One training", "b."),
            Caveat("limit", SYNTHETIC, "c.")]  # fmt: skip
    assert in_short(told) == ["Sentences that repeat: a.", "Synthetic voices: c."]
    assert in_short([Caveat("unknown", SYNTHETIC, "d."), Caveat("fine", SENTENCES, "e.")]) == []


def test_a_picture_of_one_panel_takes_half_of_the_page_and_text_has_one_size(
    run: Path, page: Element
) -> None:
    wide = {}
    for picture in read_evaluated_run(run).pictures():
        with styled(LIGHT):
            wide[picture.name] = picture.draw(LIGHT).get_figwidth()
    for figure in page.one(id="pictures").all("figure"):
        name = figure.attributes["id"].removeprefix("picture-").rpartition("-")[0]
        assert ("wide" in figure.attributes["class"].split()) == (wide[name] >= 7)
        width = int(figure.one("img").attributes["width"])
        assert width == pytest.approx(92 * wide[name], abs=1)
    assert wide["confusion"] >= 7


def test_names_break_at_their_parts_and_options_of_commands_do_not(page: Element) -> None:
    assert str(_parts("a/b_c-<d>.wav")) == "a/<wbr>b_<wbr>c-&lt;d&gt;.wav"
    told = str(_sentence("ivr compare --preset <b>, not a--b"))
    assert told == 'ivr compare <span class="option">--preset</span> &lt;b&gt;, not a--b'
    assert page.one(id="queries").all("wbr")
    assert str(_parts("nested_codebook")) == "nested_<wbr>codebook"


def test_long_class_names_are_told_by_their_longest_word(run: Path) -> None:
    found = ivr.report(run, run.parent / "labels.html", queries=1, hits=2)

    def named(label: str) -> list[QueryCard]:
        return [
            replace(card, hits=tuple(replace(hit, medium=replace(hit.medium, label=label))
                                     for hit in card.hits))
            for card in found.cards
        ]  # fmt: skip

    assert not have_long_labels(named("dense forest area"))
    assert have_long_labels(named("a denseresidential"))


def test_one_bit_is_said_in_the_singular(page: Element) -> None:
    assert [_distance(bits, in_bits=True) for bits in (0, 1, 2)] == ["0 bits", "1 bit", "2 bits"]
    said = re.findall(r"\b(\d+) (bits?)\b", page.one(id="queries").text)
    assert said
    assert all(noun == ("bit" if number == "1" else "bits") for number, noun in said)


def test_the_summary_links_to_the_worst_of_the_queries_that_show_a_wrong_hit(
    page: Element,
) -> None:
    queries = {query.attributes["id"]: query for query in page.all("article", class_="query")}
    failed = {
        name: float(query.attributes["data-ap"])
        for name, query in queries.items()
        if not all(hit.right for hit in hits_of(query))
    }
    links = [one.attributes["href"].removeprefix("#") for one in page.one(id="weakest").all("a")]
    assert [failed[name] for name in links] == sorted(failed.values())[:5]
