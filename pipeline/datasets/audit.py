"""An audit of a manifest and its files: what is broken, what leaks, and what chance would give."""

import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from joblib import Parallel, cpu_count, delayed

from ivr.features.atomic_files import file_digest
from ivr.features.media import MediaError, read_image, read_voice
from ivr.features.mfcc import VoiceConfig
from ivr.hashing.metrics import average_precision
from ivr.hashing.ranking import Histograms, chance_histograms
from ivr.pipeline.runtime.progress import progress

from .manifest import Item, Manifest, ManifestError, read_manifest, resolve
from .published import known_dataset, spelling
from .sentence import sentence
from .splits import SplitConfig, complete_splits

SILENCE = 10 ** (-60 / 20)
"""Peak of a voice below which it is silent: -60 dBFS, the hiss of an open microphone."""

SHOWN = 20
"""Findings of a kind that are printed; the JSON has all."""

NAMED = 4
"""Copies of one file that are named in a line; the JSON has all."""

BAR = 40
"""Characters of the bar of the largest class."""

COPY = re.compile(r"(?i)([-_ ]*(aug|rot|flip|hflip|vflip|mirror|crop|copy)[-_ ]*\d*|\s*\(\d+\))+$")
"""What tools append to the name of a copy of an image."""


@dataclass(frozen=True)
class CheckConfig:
    """What to audit.

    Attributes:
        manifest: the CSV file.
        image_root: folder that the images' paths are below.
        voice_root: folder that the voices' paths are below.
        jobs: threads that read files, ``None`` for one a core.
    """

    manifest: Path
    image_root: Path
    voice_root: Path
    jobs: int | None = None


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, or that may be.

    Attributes:
        kind: what it is, in a few words.
        items: names of all images, voices or labels that it is about.
        text: one line that names the first of them and says how.
        grave: a problem; else a warning.
    """

    kind: str
    items: tuple[str, ...]
    text: str
    grave: bool


@dataclass(frozen=True)
class File:
    """What reading one file gave.

    Attributes:
        item: the image or voice.
        digest: sha256 of its bytes, ``""`` where it could not be read.
        finding: why it cannot be used, ``None`` where it can.
        seconds: length of a voice, 0 for an image.
    """

    item: Item
    digest: str
    finding: Finding | None
    seconds: float = 0.0


@dataclass(frozen=True)
class Durations:
    """Lengths of the voices that could be read, seconds.

    Attributes:
        minimum: of the shortest.
        median: half of them are shorter.
        percentile_95: 95 % of them are shorter.
        maximum: of the longest.
        limit: length that ``ivr extract`` keeps by default; longer voices are cut.
        longer: number of voices that are longer.
    """

    minimum: float
    median: float
    percentile_95: float
    maximum: float
    limit: float
    longer: int


@dataclass(frozen=True)
class Chance:
    """Expected mAP of a random order of the test split, by class, one voice an image; 0 to 1."""

    image_to_voice: float
    voice_to_image: float


@dataclass(frozen=True)
class Audit:
    """What a manifest and its files hold and what was found.

    Attributes:
        images: number of images.
        voices: number of voices.
        images_by_class: class -> number of images (of voices, where there is no image).
        dataset: ``ucm``, ``sydney``, ``rsicd`` where the classes are its own, else ``None``.
        durations: of the voices, ``None`` where none could be read.
        chance: ``None`` where no split can be drawn.
        findings: problems first.
    """

    images: int
    voices: int
    images_by_class: dict[str, int]
    dataset: str | None
    durations: Durations | None
    chance: Chance | None
    findings: tuple[Finding, ...]

    def problems(self) -> tuple[Finding, ...]:
        """Return the findings that are certainly wrong."""
        return tuple(one for one in self.findings if one.grave)

    def warnings(self) -> tuple[Finding, ...]:
        """Return the findings that may be as they should."""
        return tuple(one for one in self.findings if not one.grave)


def check(config: CheckConfig) -> Audit:
    """Return the audit of a manifest: every file is opened, every row looked at.

    Raises:
        ManifestError: a manifest that cannot be read at all.
    """
    manifest = read_manifest(config.manifest)
    images, voices = manifest.images(), manifest.voices()
    image_files = _read_all(images, config.image_root, _read_image, config.jobs, "images")
    voice_files = _read_all(voices, config.voice_root, _read_voice, config.jobs, "voices")
    chance, unsplit = _chance(manifest)
    findings = [
        *(file.finding for file in (*image_files, *voice_files) if file.finding),
        *find_labels(images + voices),
        *unsplit,
        *find_unpaired(images, voices),
        *find_copies(image_files, what="image"),
        *find_copies(voice_files, what="voice"),
        *find_groups_on_two_sides(images + voices),
        *find_names_on_two_sides(images),
        *find_captions_on_two_sides(voices),
    ]
    labels = Counter(item.label for item in images or voices if item.label)
    return Audit(
        images=len(images),
        voices=len(voices),
        images_by_class=dict(sorted(labels.items())),
        dataset=known_dataset(labels),
        durations=_durations([file.seconds for file in voice_files if file.seconds]),
        chance=chance,
        findings=tuple(sorted(findings, key=lambda one: not one.grave)),
    )


def find_labels(items: Sequence[Item]) -> list[Finding]:
    """Return missing labels, spellings of one label, and classes too small to be tested."""
    spellings: dict[str, set[str]] = defaultdict(set)
    groups: dict[str, set[str]] = defaultdict(set)
    for item in items:
        if item.label:
            spellings[spelling(item.label)].add(item.label)
            groups[item.label].add(item.group)
    near = [sorted(labels) for labels in spellings.values() if len(labels) > 1]
    small = sorted(label for label, members in groups.items() if len(members) == 1)
    return [
        *(
            _problem("labels of one spelling", labels, " and ".join(map(repr, labels)))
            for labels in near
        ),
        *(_warning("no label", [item.name], item.name) for item in items if not item.label),
        *(
            _warning("class of one group", [label], f"{label} cannot be both trained and tested on")
            for label in small
        ),
    ]


def find_unpaired(images: Sequence[Item], voices: Sequence[Item]) -> list[Finding]:
    """Return images without a voice and voices without an image."""
    spoken = {voice.image for voice in voices}
    return [
        *(
            _warning("image without a voice", [image.name], image.name)
            for image in images
            if image.name not in spoken
        ),
        *(
            _warning("voice without an image", [voice.name], voice.name)
            for voice in voices
            if not voice.image
        ),
    ]


def find_copies(files: Iterable[File], what: str) -> list[Finding]:
    """Return files of the same bytes; on two sides of the split they leak.

    Args:
        files: all images, or all voices.
        what: ``"image"``, whose copies may not have two labels, or ``"voice"``: one recording of a
            sentence may describe two classes.
    """
    by_digest: dict[str, list[Item]] = defaultdict(list)
    for file in files:
        if file.digest:
            by_digest[file.digest].append(file.item)
    copies = [items for items in by_digest.values() if len(items) > 1]
    return [finding for items in copies for finding in _find_copy(items, what)]


def find_groups_on_two_sides(items: Iterable[Item]) -> list[Finding]:
    """Return the groups whose items are on several sides of the split."""
    by_group: dict[str, list[Item]] = defaultdict(list)
    for item in items:
        by_group[item.group].append(item)
    return [
        _problem("group on two sides", _item_names(members), f"{group}: {_with_sides(members)}")
        for group, members in by_group.items()
        if len(_sides(members)) > 1
    ]


def find_names_on_two_sides(images: Iterable[Item]) -> list[Finding]:
    """Return images on two sides whose names say that one is a copy of the other."""
    by_name: dict[tuple[str, str], list[Item]] = defaultdict(list)
    for image in images:
        stem = COPY.sub("", Path(image.name).stem)
        by_name[image.label, stem].append(image)
    return [
        _warning("name on two sides", _item_names(members), _with_sides(members))
        for members in by_name.values()
        if len(_sides(members)) > 1
    ]


def find_captions_on_two_sides(voices: Sequence[Item]) -> list[Finding]:
    """Return the share of test sentences that are also trained on, as one warning."""
    spoken: dict[str, list[str]] = defaultdict(list)
    for voice in voices:
        if sentence(voice.caption):
            spoken[voice.split].append(sentence(voice.caption))
    trained = set(spoken["train"])
    shared = sum(caption in trained for caption in spoken["test"])
    if not shared:
        return []
    total = len(spoken["test"])
    text = f"{shared} of {total} test sentences ({shared / total:.1%}) are also spoken in training"
    return [_warning("captions on two sides", (), text)]


def expected_map(queries: Mapping[str, int], gallery: Mapping[str, int]) -> float:
    """Return the expected mAP of a random order, from 0 to 1, items of the same class relevant.

    Args:
        queries: class -> number of queries; at least one.
        gallery: class -> number of items to be found; at least one.
    """
    labels = sorted(queries)
    relevant = np.array([[gallery.get(label, 0)] for label in labels], dtype=np.int64)
    tied = chance_histograms(Histograms(np.full_like(relevant, sum(gallery.values())), relevant))
    weights = np.array([queries[label] for label in labels])
    return float(np.average(average_precision(tied), weights=weights))


def audit_in_words(audit: Audit) -> str:
    """Return the audit as lines to print: figures, classes, then what was found."""
    lines = [f"images: {audit.images}", f"voices: {audit.voices}", *_class_lines(audit)]
    if audit.durations:
        lines.append(_durations_in_words(audit.durations))
    if audit.chance:
        lines.append(
            f"chance mAP (class, test split, one voice an image): "
            f"image->voice {audit.chance.image_to_voice:.2%}, "
            f"voice->image {audit.chance.voice_to_image:.2%}"
        )
    lines += _finding_lines("problem", audit.problems())
    lines += _finding_lines("warning", audit.warnings())
    lines.append(f"{len(audit.problems())} problems, {len(audit.warnings())} warnings")
    return "\n".join(lines)


def audit_as_json(audit: Audit) -> str:
    """Return the whole audit as one JSON object."""
    return json.dumps(asdict(audit), indent=2, ensure_ascii=False)


def _read_all(
    items: Sequence[Item],
    root: Path,
    read: Callable[[Item, Path], File],
    jobs: int | None,
    what: str,
) -> list[File]:
    # Threads: decoders and hashes let go of the interpreter. Two read 2100 images of 256 x 256 in
    # 0.6 of one's time; two processes in 11 times of it, most of it to import torch.
    tasks = (delayed(_read_below)(item, root, read) for item in items)
    files = Parallel(n_jobs=jobs or cpu_count(), prefer="threads", return_as="generator")(tasks)
    return list(progress(files, len(items), what))


def _read_below(item: Item, root: Path, read: Callable[[Item, Path], File]) -> File:
    try:
        path = resolve(root, item.name)
        if not path.is_file():
            return File(item, "", _problem("missing", [item.name], item.name))
        return read(item, path)
    except ManifestError as error:
        return File(item, "", _problem("outside the root", [item.name], str(error)))
    except MediaError as error:
        return File(item, "", _problem("unreadable", [item.name], f"{item.name}: {error}"))


def _read_image(item: Item, path: Path) -> File:
    read_image(path)
    return File(item, file_digest(path), None)


def _read_voice(item: Item, path: Path) -> File:
    samples, rate = read_voice(path)
    peak = float(np.abs(samples).max())
    silent = _silent(item.name, peak) if peak < SILENCE else None
    return File(item, file_digest(path), silent, len(samples) / rate)


def _silent(name: str, peak: float) -> Finding:
    loudness = f"{20 * np.log10(peak):.0f} dBFS at its peak" if peak else "zeros only"
    return _problem("silent", [name], f"{name}: {loudness}")


def _find_copy(items: Sequence[Item], what: str) -> list[Finding]:
    """Return what is wrong with several files of the same bytes."""
    names = _item_names(items)
    if len(_sides(items)) > 1:
        text = f"{_with_sides(items)} (same bytes)"
        return [_problem(f"{what} on two sides", names, text)]
    labels = sorted({item.label for item in items})
    if what == "image" and len(labels) > 1:
        text = f"{_some(names)}: {' and '.join(map(repr, labels))}"
        return [_problem("copies with two labels", names, text)]
    if len({item.group for item in items}) > 1:
        return [_warning(f"{what} copied, not in one group", names, _some(names))]
    return []


def _chance(manifest: Manifest) -> tuple[Chance | None, list[Finding]]:
    """Return the chance of the test split, or why there is no such split."""
    items = manifest.images() + manifest.voices()
    if not any(item.label for item in items):
        return None, []
    try:
        splits = complete_splits(manifest, SplitConfig())
    except ManifestError as error:
        return None, [_problem("no split", (), str(error))]
    spoken = {voice.image: voice.label for voice in manifest.voices() if voice.image}
    tested = [image for image in manifest.images() if splits[image.name] == "test" and image.label]
    images = Counter(image.label for image in tested)
    voices = Counter(image.label for image in tested if image.name in spoken)
    if not voices:
        return None, []
    return Chance(expected_map(images, voices), expected_map(voices, images)), []


def _durations(seconds: Sequence[float]) -> Durations | None:
    if not seconds:
        return None
    config = VoiceConfig()
    limit = config.frames * config.hop / config.sample_rate
    shortest, median, most, longest = np.percentile(seconds, (0, 50, 95, 100)).tolist()
    return Durations(
        shortest, median, most, longest, limit, sum(length > limit for length in seconds)
    )


def _problem(kind: str, items: Sequence[str], text: str) -> Finding:
    return Finding(kind, tuple(items), text, grave=True)


def _warning(kind: str, items: Sequence[str], text: str) -> Finding:
    return Finding(kind, tuple(items), text, grave=False)


def _item_names(items: Iterable[Item]) -> list[str]:
    return [item.name for item in items]


def _sides(items: Iterable[Item]) -> set[str]:
    return {item.split for item in items} - {""}


def _with_sides(items: Iterable[Item]) -> str:
    return _some([f"{item.name} ({item.split or 'no split'})" for item in items])


def _some(names: Sequence[str]) -> str:
    shown = " = ".join(names[:NAMED])
    return f"{shown} = {len(names) - NAMED} more" if len(names) > NAMED else shown


def _class_lines(audit: Audit) -> list[str]:
    known = f" (those of {audit.dataset})" if audit.dataset else ""
    lines = [f"classes: {len(audit.images_by_class)}{known}"]
    width = max(map(len, audit.images_by_class), default=0)
    largest = max(audit.images_by_class.values(), default=1)
    for label, count in audit.images_by_class.items():
        bar = "#" * max(1, round(BAR * count / largest))
        lines.append(f"  {label:<{width}} {bar} {count}")
    return lines


def _durations_in_words(durations: Durations) -> str:
    return (
        f"seconds a voice: {durations.minimum:.2f} to {durations.maximum:.2f}, "
        f"median {durations.median:.2f}, 95 % below {durations.percentile_95:.2f}; "
        f"{durations.longer} longer than the {durations.limit:g} s that extract keeps"
    )


def _finding_lines(severity: str, findings: Sequence[Finding]) -> list[str]:
    by_kind: dict[str, list[str]] = defaultdict(list)
    for finding in findings:
        by_kind[finding.kind].append(finding.text)
    lines = []
    for kind, texts in by_kind.items():
        lines += [f"{severity}: {kind}: {text}" for text in texts[:SHOWN]]
        if len(texts) > SHOWN:
            lines.append(f"{severity}: {kind}: and {len(texts) - SHOWN} more (--json has all)")
    return lines
