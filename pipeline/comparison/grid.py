"""What is compared: methods x bits x voice streams x voices, each trained with every seed."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic import NonNegativeInt

from ivr.config import config
from ivr.hashing.methods import method_entry, method_names
from ivr.hashing.training_config import TrainConfig
from ivr.pipeline.datasets.splits import splits_of_cut
from ivr.pipeline.evaluation.protocol import PROTOCOLS, Protocol
from ivr.pipeline.extraction.feature_dataset import STREAMS
from ivr.pipeline.runs.run_config import RunConfig, Voices
from ivr.pipeline.runtime.config_options import OptionError, configured

from .generalisation import NOTHING, PLAIN_CHECK, Check, LeftOut

LOOP = "training"
EACH_STREAM = (*((stream,) for stream in STREAMS), STREAMS)
CUTS = {"dvan": "80/10/10"}  # of protocols that name another one than 80/20
LONGEST = 60  # characters of settings in the name of a run


@dataclass(frozen=True)
class Variant:
    """A method with its settings, as one line of a table names it.

    Attributes:
        label: in the table.
        method: a name that :func:`ivr.hashing.methods.method_entry` knows.
        settings: ``NAME=VALUE`` of the method, ``training.NAME=VALUE`` of its training; of two with
            one name the last holds.
    """

    label: str
    method: str
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a method that is not there."""
        method_entry(self.method)

    def last_settings(self) -> tuple[str, ...]:
        """Return the settings that hold, in alphabetical order."""
        by_name = {setting.partition("=")[0]: setting for setting in self.settings}
        return tuple(by_name[name] for name in sorted(by_name))

    def departs(self, setting: str) -> bool:
        """Return whether ``setting`` is another than the default."""
        kind, rest = method_entry(self.method).config, setting
        if setting.startswith(f"{LOOP}."):
            kind, rest = TrainConfig, setting.removeprefix(f"{LOOP}.")
        try:
            return bool(configured(kind, [rest]) != kind())
        except OptionError:  # it needs others beside it
            return True


@config
class GridRow:
    """What is trained with every seed.

    Attributes:
        variant: method and settings.
        bits: length of the codes.
        streams: of MFCC, delta and delta-delta.
        voices: that are trained on, one an image or all.
        left_out: what it never sees.
    """

    variant: Variant
    bits: int
    streams: tuple[str, ...]
    voices: Voices
    left_out: LeftOut = NOTHING


@dataclass(frozen=True)
class Judging:
    """How the runs of a row are judged with one seed.

    Attributes:
        folder: name of that of the figures.
        check: what is asked of them.
        by_sign: the outputs of a real-valued method are ranked by their signs.
        protocol: every choice.
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
        streams: what voice ends see.
        voices: that are trained on.
        seeds: of splits, drawn voices, weights and batches.
        protocol: of :data:`ivr.pipeline.evaluation.protocol.PROTOCOLS`, for all.
        cut: of the images, 80/20 or 80/10/10; ``""`` for that of the protocol.
        device: to train on.
        checks: what is asked of every method; those that leave out the same share a run.
    """

    variants: tuple[Variant, ...]
    bits: tuple[int, ...] = (64,)
    streams: tuple[tuple[str, ...], ...] = (STREAMS,)
    voices: tuple[Voices, ...] = ("one",)
    seeds: tuple[NonNegativeInt, ...] = (0, 1, 2, 3, 4)
    protocol: str = "divh"
    cut: str = ""
    device: str = "auto"
    checks: tuple[Check, ...] = (PLAIN_CHECK,)

    def __post_init__(self) -> None:
        """Check the choices, those of every run among them."""
        for name in ("variants", "bits", "streams", "voices", "seeds", "checks"):
            values = getattr(self, name)
            if not values or len(set(values)) < len(values):
                raise ValueError(f"{name} must be given, each once, got {_listed(values)}")
        if self.protocol not in PROTOCOLS:
            raise ValueError(f"no protocol {self.protocol!r}; there are {', '.join(PROTOCOLS)}")
        for row in self.rows():
            self.config(row, self.seeds[0])

    def rows(self) -> list[GridRow]:
        """Return the rows, those of one number of bits together."""
        return [
            GridRow(variant, bits, streams, voices, left_out)
            for bits in self.bits
            for voices in self.voices
            for streams in self.streams
            for variant in self.variants
            for left_out in dict.fromkeys(check.left_out for check in self.checks)
        ]

    def share(self) -> str:
        """Return the cut of the images."""
        return self.cut or CUTS.get(self.protocol, "80/20")

    def config(self, row: GridRow, seed: int) -> RunConfig:
        """Return what is trained for ``row`` with ``seed``."""
        settings = row.variant.last_settings()
        loop = [setting for setting in settings if setting.startswith(f"{LOOP}.")]
        return RunConfig(
            method=row.variant.method,
            bits=row.bits,
            voices=row.voices,
            streams=row.streams,
            seed=seed,
            split=splits_of_cut(self.share(), seed),
            options=tuple(setting for setting in settings if setting not in loop),
            training=configured(TrainConfig, [s.removeprefix(f"{LOOP}.") for s in loop]),
            device=self.device,
            **row.left_out.choices(seed),
        )

    def name(self, row: GridRow, seed: int) -> str:
        """Return the name of the run folder, which says all that is not a default."""
        settings = ",".join(filter(row.variant.departs, row.variant.last_settings()))
        if len(settings) > LONGEST or not re.fullmatch(r"[\w=.,+-]*", settings):
            settings = hashlib.sha256(settings.encode()).hexdigest()[:12]
        cut = "" if self.share() == "80/20" else self.share().replace("/", "+")
        parts = (row.variant.method, row.bits, streams_name(row.streams), row.voices, settings, cut)
        named = (*parts, row.left_out.name(seed), seed)
        return "-".join(str(part) for part in named if part != "")

    def judgings(self, row: GridRow, seed: int) -> list[Judging]:
        """Return how a run of ``row`` is judged: by its own distance, and after sign."""
        real = method_entry(row.variant.method).build.distance != "hamming"
        found = []
        for check in self.checks:
            if check.left_out == row.left_out:
                own = check.protocol(PROTOCOLS[self.protocol], seed)
                name = "-".join(filter(None, (check.name, check.change)))
                end = f"-{name}" if name else ""
                found.append(Judging(f"{self.protocol}-own{end}", check, False, own))
                if real:
                    signs = replace(own, distance="hamming")
                    found.append(Judging(f"{self.protocol}-hamming{end}", check, True, signs))
        return found


def plain_variants(methods: Sequence[str]) -> tuple[Variant, ...]:
    """Return ``methods`` as they are; ``all`` stands for every method.

    Raises:
        ValueError: no such method.
    """
    names = method_names() if tuple(methods) == ("all",) else tuple(methods)
    return tuple(Variant(name, name) for name in names)


def with_settings(variants: Sequence[Variant], given: Sequence[str]) -> tuple[Variant, ...]:
    """Return ``variants`` with what the user sets, which a variant's own settings override.

    Args:
        variants: methods with their settings.
        given: ``METHOD.NAME=VALUE`` for one method, ``training.NAME=VALUE`` for how all those are
            trained that are trained at all.

    Raises:
        OptionError: of no method that is compared.
    """
    compared = {variant.method for variant in variants}
    for setting in given:
        # A method of the form module:Class may have dots itself.
        head = next((m for m in compared if setting.startswith(f"{m}.")), setting.partition(".")[0])
        dot, rest = setting[len(head) : len(head) + 1], setting[len(head) + 1 :]
        if not dot or "=" in head or "=" not in rest:
            raise OptionError(
                f"{setting!r} is not of the form METHOD.NAME=VALUE or {LOOP}.NAME=VALUE"
            )
        if head != LOOP and head not in compared:
            raise OptionError(
                f"{setting}: {head} is not compared; compared are {', '.join(sorted(compared))}"
            )
    return tuple(
        Variant(
            variant.label,
            variant.method,
            (*_of_method(variant.method, given), *variant.settings),
        )
        for variant in variants
    )


def streams_name(streams: Sequence[str]) -> str:
    """Return ``stack`` for all three streams, else their names."""
    return "stack" if tuple(streams) == STREAMS else "+".join(streams)


def _of_method(method: str, given: Sequence[str]) -> list[str]:
    trained = method_entry(method).trained
    own = [s.removeprefix(f"{method}.") for s in given if s.startswith(f"{method}.")]
    loop = [s for s in given if s.startswith(f"{LOOP}.")]
    return [*(loop if trained else []), *own]


def _listed(values: Sequence[object]) -> str:
    return ", ".join(str(getattr(value, "label", value)) for value in values) or "nothing"
