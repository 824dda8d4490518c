"""Generalisation checks: items kept from training, and the evaluation on them."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from ivr.features.waveform_augmentation import TALKERS, parse_change
from ivr.pipeline.datasets.manifest import classes
from ivr.pipeline.evaluation.protocol import Classes, Protocol

from .check_kinds import CHECK_KINDS, CheckKind

if TYPE_CHECKING:
    from ivr.pipeline.extraction.feature_dataset import FeatureDataset

SHARE = 0.25  # share of the classes that is left out
NOISES = {
    "noise": "Noise: the plain run; queries and database are its voices in white noise.",
    "babble": "Babble: the plain run; queries and database are its voices while "
    f"{TALKERS} others speak.",
}
"""Kinds of changes whose value is a signal-to-noise ratio, dB, and what a note says of them."""
LONGEST = 40  # characters of a speaker in the name of a run


@dataclass(frozen=True)
class LeftOut:
    """Items that a run neither trains on nor uses to choose the epoch.

    Attributes:
        captions: leave out every sentence of the test split.
        classes: share of the classes that is left out, drawn by the seed.
        speakers: speakers of whom the seed leaves out one.
    """

    captions: bool = False
    classes: float = 0.0
    speakers: tuple[str, ...] = ()

    def speaker(self, seed: int) -> str:
        """Return the speaker who is left out; consecutive seeds leave out one after another."""
        return self.speakers[seed % len(self.speakers)]

    def choices(self, seed: int) -> dict[str, Any]:
        """Return the fields of a run's config that leave the items out."""
        return {
            "unseen_captions": self.captions,
            "unseen_classes": self.classes,
            "without_speakers": (self.speaker(seed),) if self.speakers else (),
        }

    def name(self, seed: int) -> str:
        """Return the part of the name of a run folder, ``""`` if nothing is left out."""
        parts = (
            "unseen_captions" if self.captions else "",
            f"unseen_classes={self.classes:g}" if self.classes else "",
            f"without={_plain(self.speaker(seed))}" if self.speakers else "",
        )
        return ",".join(filter(None, parts))


NOTHING = LeftOut()


@dataclass(frozen=True)
class Check:
    """One evaluation of every method, after training without some items.

    Attributes:
        label: name in the table.
        left_out: items that are kept from training.
        name: name of the folder of the results; ``""`` if the protocol is not changed.
        voices: use all voices; None for the voices of the protocol.
        classes: see :class:`ivr.pipeline.evaluation.protocol.Protocol`.
        speaker: use the voices of the speaker who is left out, or of all others; None for all.
        change: change of the voices of queries and database, ``""`` for none.
    """

    label: str = "plain"
    left_out: LeftOut = NOTHING
    name: str = ""
    voices: Literal["all"] | None = None
    classes: Classes = "all"
    speaker: Literal["left out", "others"] | None = None
    change: str = ""

    def protocol(self, plain: Protocol, seed: int) -> Protocol:
        """Return ``plain`` with the changes of the check."""
        asked = replace(plain, voices=self.voices or plain.voices, classes=self.classes)
        if self.speaker is None:
            return asked
        named = self.left_out.speaker(seed)
        if self.speaker == "left out":
            return replace(asked, speaker=named)
        return replace(asked, without_speaker=named)


PLAIN_CHECK = Check()


def checks_of(
    data: "FeatureDataset", kinds: Sequence[CheckKind] = CHECK_KINDS
) -> tuple[Check, ...]:
    """Return the plain check, and those of ``kinds`` that ``data`` allows, in that order.

    Raises:
        ChangeError: voices with a noise that cannot be read.
    """
    found = {
        "voices": _voice_checks,
        "noise": _noise_checks,
        "sentences": _sentence_checks,
        "classes": _class_checks,
        "speakers": _speaker_checks,
    }
    return (PLAIN_CHECK, *(check for kind in kinds for check in found[kind](data)))


def _voice_checks(data: "FeatureDataset") -> list[Check]:
    return [Check("all voices of an image", name="all-voices", voices="all")]


def _noise_checks(data: "FeatureDataset") -> list[Check]:
    found = [parse_change(name) for name in data.changes() if _kind(name) in NOISES]
    found.sort(key=lambda change: (list(NOISES).index(change.kind), -change.value))
    return [Check(f"{each.kind} at {each.value:g} dB", change=str(each)) for each in found]


def _sentence_checks(data: "FeatureDataset") -> list[Check]:
    told = any(voice.caption for voice in data.voice_items())
    return [Check("sentences never heard", LeftOut(captions=True))] if told else []


def _class_checks(data: "FeatureDataset") -> list[Check]:
    if len(classes(data.manifest.images())) < 4:  # two to train on, two to tell apart
        return []
    left = LeftOut(classes=SHARE)
    return [
        Check("classes never seen", left, "unseen", classes="unseen"),
        Check("- among all classes", left, "among-all", classes="unseen-among-all"),
        Check("- same model, classes it saw", left, "seen", classes="seen"),
    ]


def _speaker_checks(data: "FeatureDataset") -> list[Check]:
    speakers = tuple(sorted({voice.speaker for voice in data.voice_items()} - {""}))
    if len(speakers) < 2:
        return []
    left = LeftOut(speakers=speakers)
    return [
        Check("speaker never heard", left, "never-heard", voices="all", speaker="left out"),
        Check("- same model, others", left, "known", voices="all", speaker="others"),
    ]


def check_notes(
    checks: tuple[Check, ...], seeds: tuple[int, ...], kinds: Sequence[CheckKind] = CHECK_KINDS
) -> list[str]:
    """Return the notes below a table of ``checks`` with ``seeds``.

    Args:
        checks: the checks of the table, those that the data allows of ``kinds``.
        seeds: seeds of the runs.
        kinds: what was to be checked.
    """
    left = {check.left_out for check in checks}
    speakers = next((found for found in left if found.speakers), None)
    noisy = {_kind(check.change) for check in checks if check.change}
    lacking = [
        name
        for kind, name, there in (
            ("noise", "noise (no voices with it: ivr extract --augment noise=20)", bool(noisy)),
            (
                "sentences",
                "sentences (no captions in the manifest)",
                any(each.captions for each in left),
            ),
            ("classes", "classes (fewer than four)", any(each.classes for each in left)),
            ("speakers", "speakers (fewer than two in the manifest)", speakers is not None),
        )
        if kind in kinds and not there
    ]
    notes = [
        "Items that were never heard or seen were neither trained on nor used to choose the "
        "epoch. 'of plain' is the share of the mAP of the plain run with the same seed; chance "
        "differs between the checks, since they search other items.",
    ]
    if any(found.classes for found in left):
        share = f"{100 * SHARE:.0f} %"
        notes.append(f"Classes: the seed draws {share} of them; config.json names them.")
    notes += [note for kind, note in NOISES.items() if kind in noisy]
    if speakers is not None:
        notes.append(_speaker_note(speakers, seeds))
    if lacking:
        notes.append(f"Not checked: {'; '.join(lacking)}.")
    return notes


def _speaker_note(left_out: LeftOut, seeds: tuple[int, ...]) -> str:
    told = {seed: left_out.speaker(seed) for seed in seeds}
    rest = [name for name in left_out.speakers if name not in told.values()]
    named = ", ".join(f"{name} (seed {seed})" for seed, name in told.items())
    missing = f"; never left out: {', '.join(rest)} (give more --seeds)" if rest else ""
    return (
        f"Speakers, one per seed: {named}{missing}. Queries and database are all voices of the "
        "speaker who was left out, or of all others."
    )


def _kind(change: str) -> str:
    return change.partition("=")[0]


def _plain(name: str) -> str:
    """Return ``name`` as part of the name of a folder; different names stay different."""
    kept = re.sub(r"[^\w.+]", "_", name)[:LONGEST]
    return kept if kept == name else f"{kept}_{hashlib.sha256(name.encode()).hexdigest()[:6]}"
