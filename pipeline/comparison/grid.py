"""The grid of a comparison: variants x bits x streams x voices, each trained with every seed."""

import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache, reduce
from typing import Any

from pydantic import NonNegativeInt

from ivr.config import config
from ivr.features.voice_streams import STREAMS
from ivr.hashing.method import TrainedMethod
from ivr.hashing.methods import method_entry
from ivr.hashing.trainer import resolved
from ivr.hashing.training_config import TrainConfig
from ivr.names import unknown
from ivr.pipeline.datasets.split_config import Cut, splits_of_cut
from ivr.pipeline.evaluation.protocol import PROTOCOLS, Protocol
from ivr.pipeline.runs.run_config import RunConfig, Voices
from ivr.pipeline.runtime.config_options import OptionError, configured

from .compare_config import CompareConfig
from .declaration import declaration_of, declared_rows, reference_of
from .generalisation import NOTHING, PLAIN_CHECK, Check, LeftOut
from .variants import TRAINING, Variant, with_settings

EACH_STREAM = (*((stream,) for stream in STREAMS), STREAMS)
CUTS: dict[str, Cut] = {"dvan": "80/10/10"}
"""Shares of the protocols that do not use 80/20."""

LONGEST = 60
"""Characters of settings in the name of a run folder; longer ones become a digest."""


@config
class GridRow:
    """What is trained with every seed.

    Attributes:
        variant: method and settings.
        bits: length of the codes.
        streams: streams of the voice input: MFCC, delta and delta-delta.
        voices: voices to train on, one per image or all.
        left_out: items that are kept from training.
    """

    variant: Variant
    bits: int
    streams: tuple[str, ...]
    voices: Voices
    left_out: LeftOut = NOTHING


@dataclass(frozen=True)
class EvaluationPlan:
    """One evaluation of a run.

    Attributes:
        folder: name of its folder, below ``evaluations`` of the run.
        check: the generalisation check that it belongs to.
        by_sign: the outputs of a real-valued method are ranked by their signs.
        protocol: every choice of the evaluation.
    """

    folder: str
    check: Check
    by_sign: bool
    protocol: Protocol


@config
class Grid:
    """Everything that is compared.

    Attributes:
        variants: methods with their settings.
        bits: lengths of the codes.
        streams: voice streams of the voice input; empty for those that each method reads if none
            are named.
        voices: voices to train on.
        seeds: seeds of splits, drawn voices, weights and batches.
        protocol: a name of :data:`ivr.pipeline.evaluation.protocol.PROTOCOLS`, for all rows.
        cut: shares of the split, 80/20 or 80/10/10; ``""`` for those of the protocol.
        device: device to train on.
        report_to: reporters that are told of the epochs of each run.
        checks: generalisation checks of every method; checks that leave out the same share a run.
        held: voice streams that the features have.
    """

    variants: tuple[Variant, ...]
    bits: tuple[int, ...] = (64,)
    streams: tuple[tuple[str, ...], ...] = ((),)
    voices: tuple[Voices, ...] = ("one",)
    seeds: tuple[NonNegativeInt, ...] = (0, 1, 2, 3, 4)
    protocol: str = "divh"
    cut: Cut | str = ""
    device: str = "auto"
    checks: tuple[Check, ...] = (PLAIN_CHECK,)
    report_to: tuple[str, ...] = ()
    held: tuple[str, ...] = STREAMS

    def __post_init__(self) -> None:
        """Check the choices, including those of every run."""
        for name in ("variants", "bits", "streams", "voices", "seeds", "checks"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise OptionError(f"{name} must be given, each once, got {_listed(values)}")
        if self.protocol not in PROTOCOLS:
            raise unknown("protocol", self.protocol, PROTOCOLS)
        for row in self.rows():
            self.config(row, self.seeds[0])

    def rows(self) -> list[GridRow]:
        """Return the rows, those with one number of bits together."""
        return [
            GridRow(variant, bits, streams or self._own_streams(variant), voices, left_out)
            for bits in self.bits
            for voices in self.voices
            for streams in self.streams
            for variant in self.variants
            for left_out in dict.fromkeys(check.left_out for check in self.checks)
        ]

    def share(self) -> str:
        """Return the shares of the split."""
        return self.cut or CUTS.get(self.protocol, "80/20")

    def config(self, row: GridRow, seed: int) -> RunConfig:
        """Return the configuration of the run of ``row`` with ``seed``."""
        return RunConfig(
            method=row.variant.method,
            bits=row.bits,
            voices=row.voices,
            streams=row.streams,
            seed=seed,
            split=splits_of_cut(self.share(), seed),
            options=tuple(row.variant.method_settings()),
            training=configured(TrainConfig, row.variant.training_settings()),
            device=self.device,
            report_to=self.report_to,
            **row.left_out.choices(seed),
        )

    def name(self, row: GridRow, seed: int) -> str:
        """Return the name of the run folder: all choices that differ from the defaults."""
        return self._name(row, seed, settings_that_differ(row.variant))

    def earlier_name(self, row: GridRow, seed: int) -> str:
        """Return the name that earlier versions gave to the run folder.

        They compared each setting with the default as written, before the method's own defaults of
        training were filled in.
        """
        settings = filter(
            lambda setting: _written_otherwise(row.variant.method, setting),
            row.variant.last_settings(),
        )
        return self._name(row, seed, tuple(settings))

    def evaluation_plans(self, row: GridRow, seed: int) -> list[EvaluationPlan]:
        """Return the evaluations of a run of ``row``: by its own distance, and after sign."""
        real = method_entry(row.variant.method).build.distance != "hamming"
        found = []
        for check in self.checks:
            if check.left_out == row.left_out:
                own = check.protocol(PROTOCOLS[self.protocol], seed)
                name = "-".join(filter(None, (check.name, check.change)))
                end = f"-{name}" if name else ""
                found.append(EvaluationPlan(f"{self.protocol}-own{end}", check, False, own))
                if real:
                    signs = replace(own, distance="hamming")
                    found.append(
                        EvaluationPlan(f"{self.protocol}-hamming{end}", check, True, signs)
                    )
        return found

    def _own_streams(self, variant: Variant) -> tuple[str, ...]:
        return method_entry(variant.method).build.streams_of(self.held)

    def _name(self, row: GridRow, seed: int, settings: Sequence[str]) -> str:
        text = ",".join(settings)
        if len(text) > LONGEST or not re.fullmatch(r"[\w=.,+-]*", text):
            text = hashlib.sha256(text.encode()).hexdigest()[:12]
        cut = "" if self.share() == "80/20" else self.share().replace("/", "+")
        parts = (row.variant.method, row.bits, streams_name(row.streams), row.voices, text, cut)
        return "-".join(str(part) for part in (*parts, row.left_out.name(seed), seed) if part != "")


def grid_of(
    chosen: CompareConfig,
    checks: tuple[Check, ...] = (PLAIN_CHECK,),
    held: tuple[str, ...] = STREAMS,
) -> Grid:
    """Return the grid that ``chosen`` describes, completed by its preset.

    Args:
        chosen: what is compared.
        checks: generalisation checks of every method.
        held: voice streams that the features have.

    Raises:
        ValueError: a choice that is not possible (most of them an OptionError).
    """
    table = declaration_of(chosen)
    variants, _ = declared_rows(table, chosen.methods)
    reference_of(table, chosen.reference, [variant.label for variant in variants])
    streams: list[tuple[str, ...]] = []
    for text in chosen.streams or table.streams:
        streams += EACH_STREAM if text == "each" else (tuple(text.split(",")),)
    epochs = () if chosen.epochs is None else (f"{TRAINING}.epochs={chosen.epochs}",)
    return Grid(
        with_settings(variants, (*chosen.set, *epochs)),
        tuple(chosen.bits),
        tuple(streams) or ((),),
        tuple(chosen.voices),
        tuple(range(chosen.first_seed, chosen.first_seed + chosen.seeds)),
        chosen.protocol or table.protocol,
        chosen.split or "",
        chosen.device,
        checks,
        chosen.report_to,
        held,
    )


@cache
def settings_that_differ(variant: Variant) -> tuple[str, ...]:
    """Return the settings of ``variant`` that differ from the defaults, in one spelling each.

    A setting is left out if the run is the same without it; the defaults of training are those of
    the method. ``gamma=0.50`` is returned as ``gamma=0.5``.
    """
    entry = method_entry(variant.method)

    def own(settings: Sequence[str]) -> Any:
        return configured(entry.config, settings)

    def training(settings: Sequence[str]) -> Any:
        chosen = configured(TrainConfig, settings)
        return resolved(chosen, entry.build) if issubclass(entry.build, TrainedMethod) else chosen

    loop = _needed(training, variant.training_settings())
    found = [*_needed(own, variant.method_settings()), *(f"{TRAINING}.{text}" for text in loop)]
    return tuple(sorted(found, key=lambda setting: setting.partition("=")[0]))


def streams_name(streams: Sequence[str]) -> str:
    """Return ``stack`` for all streams of the features, else their names."""
    return "stack" if tuple(streams) == STREAMS else "+".join(streams)


def _needed(make: Callable[[Sequence[str]], Any], settings: Sequence[str]) -> list[str]:
    """Return the settings without which ``make`` gives another config, their values as text."""
    whole, kept = make(settings), list(settings)
    for setting in settings:
        rest = [other for other in kept if other != setting]
        try:
            if make(rest) == whole:
                kept = rest
        except OptionError:  # the others are refused without it
            continue
    names = [setting.partition("=")[0].strip() for setting in kept]
    return [f"{name}={_text(reduce(getattr, name.split('.'), whole))}" for name in names]


def _text(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_text, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return str(value).removesuffix(".0")


def _written_otherwise(method: str, setting: str) -> bool:
    """Return whether ``setting`` by itself changes the default config as it is written."""
    kind, rest = method_entry(method).config, setting
    if setting.startswith(f"{TRAINING}."):
        kind, rest = TrainConfig, setting.removeprefix(f"{TRAINING}.")
    try:
        return bool(configured(kind, [rest]) != kind())
    except OptionError:  # it needs others beside it
        return True


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(getattr(value, "label", value)) for value in values) or "nothing"
