"""What a probe found, as text, CSV, JSON and a picture."""

import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING

from ivr.features.atomic_files import replaced_text
from ivr.pipeline.pictures.captions import put_title
from ivr.pipeline.pictures.confusion import (
    ClassConfusion,
    confusion_rows,
    confusions_size,
    draw_confusions,
)
from ivr.pipeline.pictures.picture_files import Picture, write_picture
from ivr.pipeline.pictures.style import Theme, new_figure, shown_text
from ivr.pipeline.runtime.digests import rewriting
from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import counted

from .picture_subject import data_name
from .probe_result import ModalityProbe, ProbeResult

if TYPE_CHECKING:
    from ivr.pipeline.pictures.style import Figure

WIDTH, WIDE = 10, 15
COLUMNS = ("items", "accuracy", "± folds", "per class", "majority", "1 / C")


def probe_text(result: ProbeResult) -> str:
    """Return accuracies, confusions, ceiling and advice as a person reads them."""
    lines = [
        f"{result.features}: linear classifiers on the training side, "
        f"{counted(len(result.classes), 'class')}",
        "",
        _line("percent", COLUMNS),
    ]
    for name, found in result.modalities.items():
        numbers = (
            found.accuracy,
            found.deviation,
            found.macro_accuracy,
            found.majority,
            found.uniform,
        )
        lines.append(_line(name, (str(found.items), *(f"{number:.1f}" for number in numbers))))
    for name, found in result.modalities.items():
        lines += ["", f"{name}: most confused", *_confused_lines(found)]
        if found.of > found.items:
            lines.append(f"  {found.items} of {found.of} {name} were drawn")
    if result.ceilings is not None:
        lines += ["", _line("ceiling, mAP", ("image->voice", "voice->image"), WIDE)]
        for head, ceiling in (
            ("by probability", result.ceilings.by_probability),
            ("  perfect images", result.ceilings.perfect_images),
            ("  perfect voices", result.ceilings.perfect_voices),
            ("one code per class", result.ceilings.one_code_per_class),
        ):
            values = ceiling.image_to_voice, ceiling.voice_to_image
            lines.append(_line(f"  {head}", tuple(f"{value:.1f}" for value in values), WIDE))
    return "\n".join([*lines, "", result.advice])


def write_probe(folder: Path, result: ProbeResult) -> None:
    """Write ``probe.json``, ``confusion_images.csv``, ``confusion_voices.csv`` and a picture.

    Args:
        folder: where to write; it is made if it is missing.
        result: what was found; a modality that is missing has no CSV file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {name: folder / f"confusion_{name}.csv" for name in result.modalities}
    names = [
        *(path.name for path in tables.values()),
        "confusion.png",
        "confusion.csv",
        "probe.json",
    ]
    with rewriting(folder, names):
        for name, found in result.modalities.items():
            _write_table(tables[name], found)
        write_picture(folder, probe_picture(result))
        with replaced_text(folder / "probe.json") as file:
            file.write(json.dumps(result.to_dict(), indent=2, ensure_ascii=False) + "\n")


def _write_table(path: Path, found: ModalityProbe) -> None:
    with replaced_text(path) as file:
        writer = csv.writer(file)
        writer.writerow(["class", *found.classes])
        for label, counts in zip(found.classes, found.confusion.tolist(), strict=True):
            writer.writerow([label, *counts])


def _confused_lines(found: ModalityProbe) -> list[str]:
    pairs = found.most_confused()
    lines = [f"  {p.actual} taken for {p.taken_for}: {p.share:.1f} %" for p in pairs]
    return [visible(line) for line in lines] or ["  none"]


def _line(head: str, cells: tuple[str, ...], width: int = WIDTH) -> str:
    return f"{head:<22}" + "".join(f"{cell:>{width}}" for cell in cells)


def probe_picture(result: ProbeResult) -> Picture:
    """Return the confusion of classes of each modality."""
    title = f"Confusion of classes by linear classifiers, {_data(result)}"
    shown = [
        ClassConfusion(
            label=f"{name}, accuracy {found.accuracy:.1f} %, chance {found.uniform:.1f} %",
            classes=result.classes,
            share=found.shares,
            queries=found.confusion.sum(axis=1),
            ceiling=None,
            chance=None,
            nearest=None,
        )
        for name, found in result.modalities.items()
    ]

    def draw(theme: Theme) -> "Figure":
        figure = new_figure(*confusions_size(shown))
        draw_confusions(figure.subplots(1, len(shown), squeeze=False)[0], shown, theme)
        put_title(figure, title)
        return figure

    items = ", ".join(f"{found.items} {name}" for name, found in result.modalities.items())
    text = f"{title}: percent of the items of a class that are taken for each class; {items}."
    return Picture("confusion", title, text, confusion_rows(shown), draw)


def _data(result: ProbeResult) -> str:
    return shown_text(data_name({"features": {"folder": str(Path(result.features).resolve())}}), 60)
