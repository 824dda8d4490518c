"""Declarations of comparison tables, one YAML file each; imports no torch.

The tables of ``ivr compare --preset`` are files of this package; a table of the user's own is the
same file given with ``--grid``.
"""

from collections.abc import Mapping
from dataclasses import field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ivr.config import OptionError, config
from ivr.errors import IvrError
from ivr.names import unknown
from ivr.pipeline.datasets.published_results import Kind
from ivr.pipeline.evaluation.protocol import PROTOCOLS
from ivr.pipeline.runtime.config_options import from_json
from ivr.pipeline.runtime.json_files import load_yaml

from .check_kinds import CHECK_KINDS, CheckKind
from .columns import ACCURACY, OF_SOURCE, Column, Source, chosen_columns, default_columns
from .sweep import Sweep, parsed_axes, sweep_of
from .variants import (
    USUAL_METHOD,
    Variant,
    flat_settings,
    named_variants,
    parsed_variants,
    plain_variants,
    require_label,
)

if TYPE_CHECKING:
    from .compare_config import CompareConfig

FOLDER = Path(__file__).with_name("presets")
USUAL_PRESET = "compare"
RENAMED = {"honest-checks": "generalisation"}
"""Earlier names of presets, which are still accepted."""
BEST = "best"
GENERALISATION: Source = "generalisation"


@config
class TableDeclaration:
    """A comparison table: its rows, its columns and where its values come from.

    Attributes:
        text: One line about its content, for the help.
        title: Subject of the table; by default from its rows.
        metrics: Metrics that it shows; by default those that methods are compared by.
        source: Where the values come from.
        checks: What a table of generalisation checks beside the plain result, in this order of
            rows: all voices of an image, noise, sentences, classes and speakers; by default all.
        methods: Methods that it compares if the user names none; by default all.
        variants: Rows in place of methods: name -> option -> value. The option ``method`` names the
            method of a row, by default divh.
        sweep: Rows in place of methods: one or two options with their values.
        streams: Voice streams if the user names none, each as in ``--streams``.
        protocol: Protocol if the user names none.
        reference: Row that the others are compared with: its name, or ``best``; by default the
            first of ``variants`` or ``sweep``, and the best of ``methods``.
        published: Kind of the published rows of known data sets that it shows, or ``none``.
        by_sign: Show real-valued methods by the signs of their outputs too.
        differences: Show the difference of the mAP of each row from that of the reference.
        picture: Draw precision over retrieved items; a sweep is always drawn.
        unit: Unit of the values.
        notes: Lines below the table.
    """

    text: str = ""
    title: str = ""
    metrics: tuple[str, ...] = ()
    source: Source = "results"
    checks: tuple[CheckKind, ...] = ()
    methods: tuple[str, ...] = ()
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    sweep: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    streams: tuple[str, ...] = ()
    protocol: str = "divh"
    reference: str | None = None
    published: Kind | Literal["none"] = "methods"
    by_sign: bool = True
    differences: bool = True
    picture: Literal["curves"] | None = None
    unit: str = "Percent"
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the choices that depend on each other."""
        if self.variants and self.sweep:
            raise ValueError("variants and a sweep exclude each other; give one of them")
        if self.protocol not in PROTOCOLS:
            raise ValueError(str(unknown("protocol", self.protocol, PROTOCOLS)))
        if self.checks and self.source != GENERALISATION:
            raise ValueError(f"checks are rows of a table with source: {GENERALISATION}")
        if len(set(self.checks)) < len(self.checks):
            raise ValueError(f"each check once, got {', '.join(self.checks)}")
        for label, found in self.variants.items():
            require_label(label)
            flat_settings(found)
        self.columns()

    def columns(self, relevance: str = "class") -> tuple[Column, ...]:
        """Return the columns for a protocol with ``relevance`` if the user chooses none."""
        if self.metrics and self.source in OF_SOURCE:
            raise ValueError(f"a table of {self.source} has metrics of its own: omit metrics")
        if tuple(self.metrics) != (ACCURACY,):
            chosen_columns(self.metrics, self.source, (), differences=False)
        return default_columns(self.source, self.metrics, relevance)

    def check_kinds(self) -> tuple[CheckKind, ...]:
        """Return the generalisation checks of the table, none for other tables."""
        return (self.checks or CHECK_KINDS) if self.source == GENERALISATION else ()

    def own_rows(self) -> bool:
        """Return whether it names its rows itself, as variants or as a sweep."""
        return bool(self.variants or self.sweep)


def preset_names() -> tuple[str, ...]:
    """Return the names of the presets, the default first."""
    names = sorted(path.stem for path in FOLDER.glob("*.yaml"))
    return (USUAL_PRESET, *(name for name in names if name != USUAL_PRESET))


def preset_text(name: str) -> str:
    """Return the YAML of the preset ``name``, which ``--grid`` reads.

    Raises:
        UnknownNameError: no such preset.
    """
    return _preset_path(name).read_text(encoding="utf-8")


@cache
def read_preset(name: str) -> TableDeclaration:
    """Return the preset ``name``; an earlier name stands for the present one.

    Raises:
        UnknownNameError: no such preset.
    """
    return read_declaration(_preset_path(name))


def read_declaration(path: Path) -> TableDeclaration:
    """Return the table that the YAML file ``path`` declares.

    Raises:
        OptionError: a file that cannot be read, or that declares no possible table.
    """
    try:
        return from_json(TableDeclaration, load_yaml(path, dict[str, Any]))
    except IvrError as error:
        cause = error.__cause__ if isinstance(error.__cause__, OptionError) else error
        raise OptionError(f"{path}: {cause}") from error


def declaration_of(chosen: "CompareConfig") -> TableDeclaration:
    """Return the table that ``chosen`` asks for, with the rows that it names itself.

    Raises:
        OptionError, UnknownNameError: a choice that is not possible.
    """
    if chosen.grid is not None and chosen.preset is not None:
        raise OptionError("a grid and a preset are both tables; give one of them")
    table = (
        read_declaration(chosen.grid)
        if chosen.grid is not None
        else read_preset(chosen.preset or USUAL_PRESET)
    )
    rows: dict[str, Any] = {}
    if chosen.variants:
        rows["variants"] = parsed_variants(chosen.variants)
    if chosen.sweep:
        rows["sweep"] = {name: tuple(values) for name, values in parsed_axes(chosen.sweep).items()}
    if rows and table.own_rows():
        name = chosen.preset or chosen.grid
        raise OptionError(f"{name} has rows of its own: omit {' and '.join(rows)}")
    return _with_rows(table, rows) if rows else table


def table_name(chosen: "CompareConfig") -> str:
    """Return the name of the files of the table that ``chosen`` asks for."""
    if chosen.name is not None:
        return chosen.name
    if chosen.grid is not None:
        return chosen.grid.stem
    name = chosen.preset or USUAL_PRESET
    return RENAMED.get(name, name)


def declared_rows(
    table: TableDeclaration, methods: tuple[str, ...]
) -> tuple[tuple[Variant, ...], Sweep | None]:
    """Return the rows of ``table``, and the sweep if they are one.

    Args:
        table: the declaration.
        methods: the methods that the user names; they replace those of the declaration.

    Raises:
        OptionError, UnknownNameError, MethodError: rows that are not possible.
    """
    asked = methods or table.methods
    if table.sweep:
        sweep = sweep_of(table.sweep, tuple(name for name in asked if name != "all"))
        return sweep.variants(), sweep
    if table.variants:
        if len(asked) > 1:
            raise OptionError(
                f"variants are of one method, got {', '.join(asked)}; give one, or the option "
                "method=NAME in a variant"
            )
        variants = named_variants(table.variants, asked[0] if asked else USUAL_METHOD)
        compared = dict.fromkeys(variant.method for variant in variants)
        if asked and asked[0] not in compared:
            raise OptionError(f"the rows are variants of {', '.join(compared)}: omit methods")
        return variants, None
    return plain_variants(asked or ("all",)), None


def reference_of(table: TableDeclaration, asked: str | None, labels: list[str]) -> str | None:
    """Return the label of the row that the others are compared with, None for the best one.

    Raises:
        UnknownNameError: no such row.
    """
    first = labels[0] if table.own_rows() else BEST
    name = asked or table.reference or first
    if name != BEST and name not in labels:
        raise unknown("row", name, labels)
    return None if name == BEST and BEST not in labels else name


def subject_of(table: TableDeclaration, sweep: Sweep | None) -> str:
    """Return the beginning of the title of the table."""
    if table.title:
        return table.title
    if sweep is not None:
        return f"Metrics over {' and '.join(sweep.names)}"
    return "Metrics by variant" if table.variants else "Metrics by method"


def _with_rows(table: TableDeclaration, rows: Mapping[str, Any]) -> TableDeclaration:
    values = {name: getattr(table, name) for name in TableDeclaration.__dataclass_fields__}
    title = table.title.replace("by method", "by variant")
    return TableDeclaration(**{**values, "title": title, "methods": (), **rows})


def _preset_path(name: str) -> Path:
    current = RENAMED.get(name, name)
    if current not in preset_names():
        raise unknown("preset", name, preset_names())
    return FOLDER / f"{current}.yaml"
