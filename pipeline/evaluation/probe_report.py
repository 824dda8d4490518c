"""What a probe found, as text, CSV, JSON and a picture."""

import csv
import json
import warnings
from pathlib import Path

from ivr.features.atomic_files import PNG, replaced, replaced_text
from ivr.pipeline.runtime.digests import rewriting
from ivr.pipeline.runtime.visible_text import visible
from ivr.pipeline.runtime.words import counted

from .confusion_picture import NAMED, draw_confusion
from .probe_result import ModalityProbe, ProbeResult

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
    """Write ``probe.json``, ``confusion_images.csv``, ``confusion_voices.csv``, ``confusion.png``.

    Args:
        folder: where to write; it is made if it is missing.
        result: what was found; a modality that is missing has no CSV file.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tables = {name: folder / f"confusion_{name}.csv" for name in result.modalities}
    names = [*(path.name for path in tables.values()), "confusion.png", "probe.json"]
    with rewriting(folder, names):
        for name, found in result.modalities.items():
            _write_table(tables[name], found)
        _draw(folder / "confusion.png", result)
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


def _draw(path: Path, result: ProbeResult) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    size = 3.0 + 0.22 * max(12, min(NAMED, len(result.classes)))
    figure = Figure(figsize=(size * len(result.modalities), size), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(result.modalities), sharey=True, squeeze=False)[0]
    for axes, (name, found) in zip(panels, result.modalities.items(), strict=True):
        picture = draw_confusion(axes, result.classes, found.shares)
        axes.set(xlabel="taken for")
        axes.set_title(f"{name}, accuracy {found.accuracy:.1f} %", fontsize=10)
    panels[0].set_ylabel("class")
    figure.colorbar(picture, ax=list(panels), shrink=0.6, aspect=30, ticks=[0, 1, 5, 20, 50, 100])
    with warnings.catch_warnings():
        # A character that the font lacks becomes an empty box; that needs no warning.
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        with replaced(path, PNG) as picture_file:
            figure.savefig(picture_file, dpi=110, format="png")
