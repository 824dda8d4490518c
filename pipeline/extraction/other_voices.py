"""Which other voices of a manifest are mixed into a voice, e.g. as the babble around it."""

import hashlib
from bisect import bisect
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from ivr.errors import IvrError
from ivr.features.waveform_augmentation import change_of, file_of, mixed_in
from ivr.pipeline.datasets.manifest import Item, Manifest

Others = Callable[[str], tuple[str, ...]]
"""Takes the name of a row and returns the names of the voices that are mixed into it."""


class FewVoicesError(IvrError):
    """A manifest with too few voices to mix some into each, in one line."""


def no_others(_: str) -> tuple[str, ...]:
    """Return that no voice is mixed into a row."""
    return ()


@dataclass(frozen=True)
class _Circle:
    """The voices of one split in the order of a hash of their names.

    Attributes:
        hashes: the hashes, rising.
        voices: the voices, in the order of their hashes.
    """

    hashes: list[int]
    voices: list[str]


class OtherVoices:
    """The voices of a manifest as voices to mix into each other.

    A voice is mixed with voices of its own split alone, and of other images, so that a training
    voice contains nothing of a test voice. Which they are depends on the names of the voices, not
    on the order of the manifest or on the change: the voices lie on a circle by a hash of their
    names, and further hashes of a voice point to those that it is mixed with (consistent hashing,
    Karger et al., STOC 1997). So a voice that is added to the manifest changes few rows of others.
    """

    def __init__(self, manifest: Manifest) -> None:
        """Take the voices of ``manifest``; nothing is computed before it is asked for."""
        self._manifest = manifest

    def of(self, name: str) -> tuple[str, ...]:
        """Return the voices that are mixed into the row ``name`` of a voice of the manifest.

        Returns:
            As many as its change mixes in, or none if there are too few.
        """
        count = mixed_in(change_of(name))
        voice = self._voices[file_of(name)] if count else None
        if voice is None or self._number_for(voice) < count:
            return ()
        chosen: list[str] = []
        for number in range(count):
            chosen.append(self._next(voice, number, chosen))
        return tuple(chosen)

    def require_enough(self, changes: Iterable[str]) -> None:
        """Refuse ``changes`` that mix more voices into a voice than there are for it.

        Raises:
            FewVoicesError: there are too few.
        """
        change = max(changes, key=mixed_in, default="")
        count = mixed_in(change)
        if not count:
            return
        voice = min(self._voices.values(), key=self._number_for, default=None)
        if voice is not None and self._number_for(voice) < count:
            split = self._split_of(voice)
            where = f" in the split {split}" if split else ""
            raise FewVoicesError(
                f"{change} mixes {count} voices of other images{where} into each voice, there are "
                f"{self._number_for(voice)} for {voice.name}; add voices or leave {change} out"
            )

    def _next(self, voice: Item, number: int, chosen: Iterable[str]) -> str:
        """Return the voice that the hash ``number`` of ``voice`` points to, or one after it."""
        circle = self._circles[self._split_of(voice)]
        place = bisect(circle.hashes, _hash(f"{voice.name}//{number}"))
        there = len(circle.voices)
        after = (circle.voices[step % there] for step in range(place, place + there))
        return next(
            other for other in after if other not in chosen and _may_mix(voice, self._voices[other])
        )

    def _number_for(self, voice: Item) -> int:
        """Return how many voices may be mixed into ``voice``."""
        split = self._split_of(voice)
        own = self._of_image[split, voice.image] if voice.image else 1
        return len(self._circles[split].voices) - own

    def _split_of(self, voice: Item) -> str:
        """Return the split of ``voice`` or of its group, ``""`` if the manifest gives none."""
        return voice.split or self._split_of_group.get(voice.group, "")

    @cached_property
    def _voices(self) -> dict[str, Item]:
        return {voice.name: voice for voice in self._manifest.voices()}

    @cached_property
    def _split_of_group(self) -> dict[str, str]:
        items = (*self._manifest.images(), *self._manifest.voices())
        return {item.group: item.split for item in items if item.split}

    @cached_property
    def _of_image(self) -> Counter[tuple[str, str]]:
        return Counter((self._split_of(voice), voice.image) for voice in self._voices.values())

    @cached_property
    def _circles(self) -> dict[str, _Circle]:
        found = defaultdict[str, list[tuple[int, str]]](list)
        for voice in self._voices.values():
            found[self._split_of(voice)].append((_hash(voice.name), voice.name))
        pairs = {split: sorted(some) for split, some in found.items()}
        return {
            split: _Circle([place for place, _ in some], [name for _, name in some])
            for split, some in pairs.items()
        }


def _may_mix(voice: Item, other: Item) -> bool:
    return other.name != voice.name and (not voice.image or other.image != voice.image)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
