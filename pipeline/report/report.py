"""``ivr report``: a run or a comparison as one page that opens from the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivr.features.atomic_files import (
    FileKind,
    replaced_text,
    require_replaceable,
    require_writable,
)
from ivr.pipeline.comparison.table_file import table_files
from ivr.pipeline.pictures.picture_files import Picture
from ivr.pipeline.runs.begun_runs import CONFIG, begun
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.results import Result
from ivr.pipeline.runtime.words import counted

from .compared import first_run, read_comparison
from .comparison_curves import comparison_pictures
from .comparison_page import comparison_page, comparison_pairs
from .evaluated_run import PageError, read_evaluated_run
from .page_media import PageMedia, embedded_media, linked_media, read_page_media
from .page_pictures import PagePicture, embedded_pictures, linked_pictures
from .query_cards import QueryCard, media_of, shown_cards
from .render import GENERATOR, render
from .report_config import ReportConfig
from .run_page import run_page

PAGE = FileKind(
    "a report of ivr",
    lambda head: f'<meta name="generator" content="{GENERATOR}">'.encode() in head,
)


PER_NAME = 900
"""Bytes that a page takes for each picture or voice besides its file: its bars and its label."""


@dataclass(frozen=True, repr=False)
class ReportResult(Result):
    """A report that was written.

    Attributes:
        path: the page.
        folder: the folder of its pictures and sounds; None if they are in the page.
        size: bytes of the page.
        queries: number of queries that are shown.
        pictures: number of images that are shown.
        sounds: number of voices that can be played.
        missing: files that could not be read, one line per file.
        left_out: number of files that were left out because of the size of the page.
        cards: the queries with their hits.
    """

    path: Path
    folder: Path | None
    size: int
    queries: int
    pictures: int
    sounds: int
    missing: tuple[str, ...]
    left_out: int
    cards: tuple[QueryCard, ...]

    def __repr__(self) -> str:
        """Return what was written in one line."""
        beside = f", pictures and sounds in {self.folder}" if self.folder else ""
        lacking = f", {counted(len(self.missing), 'file')} not there" if self.missing else ""
        left_out = f", {self.left_out} left out for its size" if self.left_out else ""
        return (
            f"{self.path}: {counted(self.queries, 'query')}, {counted(self.pictures, 'picture')}, "
            f"{counted(self.sounds, 'voice')}, {self.size / 1e6:.1f} MB{beside}{lacking}{left_out}"
        )


@dataclass(frozen=True, eq=False)
class _Draft:
    """A page without its media."""

    template: str
    values: Mapping[str, Any]
    cards: Sequence[QueryCard]
    pictures: Sequence[Picture]
    config: Mapping[str, Any]


def report(
    place: str | Path,
    out: str | Path = "report.html",
    config: ReportConfig | None = None,
    *,
    media_root: str | Path | None = None,
    **options: Any,
) -> ReportResult:
    """Write the report of a run or of a comparison and return what it holds.

    Reads results, codes and media; nothing of the run is changed or measured anew. A query is
    ranked as ``ivr evaluate`` ranked it, and refused if its average precision is another.

    Args:
        place: a run with an evaluation, or the folder of a comparison.
        out: the page to write; an earlier report is replaced.
        config: what it shows; None for the defaults.
        media_root: folder that the names of images and voices are relative to, if they have moved
            since the extraction.
        options: fields of :class:`ReportConfig`, which override ``config``.

    Raises:
        PageError: not evaluated, results of other codes, or a page that cannot be made so small.
        RunError, CompareError, StoreError: files of the run are missing or damaged.
        InTheWayError, UnwritableError: something else than a report lies at ``out``, or it cannot
            be written.
        OptionError: no such option.
    """
    place, path = Path(place), Path(out)
    chosen = with_options(config or ReportConfig(), options)
    require_writable(path.parent)
    require_replaceable(path, PAGE)
    draft = _draft(place, chosen)
    files = read_page_media(
        media_of(draft.cards), draft.config, None if media_root is None else Path(media_root)
    )
    folder = path.with_name(f"{path.stem}_files") if chosen.link_media else None
    if folder is None:
        pictures = embedded_pictures(draft.pictures)
        bare = len(_text(draft, pictures, PageMedia(), linked=False).encode())
        names = len(files.pictures) + len(files.voices)
        media = embedded_media(files, chosen.max_bytes - bare - PER_NAME * names)
    else:
        pictures = linked_pictures(draft.pictures, folder)
        media = linked_media(files, folder)
    text = _text(draft, pictures, media, linked=folder is not None)
    size = len(text.encode())
    if size > chosen.max_bytes:
        raise PageError(
            f"{path}: takes {size} bytes even without pictures and sounds; allow more with "
            "--max-bytes, or show fewer with --most-queries"
        )
    with replaced_text(path, PAGE) as file:
        file.write(text)
    return ReportResult(
        path,
        folder,
        size,
        len(draft.cards),
        len(media.pictures),
        len(media.sounds),
        media.skipped,
        media.left_out,
        tuple(draft.cards),
    )


def _draft(place: Path, config: ReportConfig) -> _Draft:
    """Return the page of ``place`` without its media."""
    if not (begun(place) / CONFIG).is_file() and table_files(place):
        compared = read_comparison(place, config)
        pairs = comparison_pairs(compared, config)
        cards = [card for pair in pairs for _, card in pair.sides]
        run = compared.sides[0][1] if compared.sides else first_run(compared)
        page = comparison_page(compared, pairs)
        drawn = comparison_pictures(compared)
        return _Draft("comparison.html", page, cards, drawn, run.config)
    run = read_evaluated_run(place, config.evaluation)
    cards = shown_cards(run, config)
    return _Draft("run.html", run_page(run, cards, config), cards, run.pictures(), run.config)


def _text(draft: _Draft, pictures: Sequence[PagePicture], media: PageMedia, *, linked: bool) -> str:
    values = {**draft.values, "pictures": pictures, "media": media, "linked": linked}
    return render(draft.template, values, linked=linked)
