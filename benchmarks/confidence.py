"""How well the confidence of an answer tells known queries from unknown ones.

Known queries are voices of the test split of a run. Unknown queries are noise, tones, silence,
spoken sentences about other things (where espeak-ng is installed) and recordings of other words
(where a folder of them is given). Archives of three sizes are asked: the test images, all images,
and all but the validation images as often as --copies says, each bit of a copy changed with the
probability 0.03. Two more archives hold one class only, and all but a quarter of the classes.

Printed per run and archive, for the calibrated confidence and for the one that compares with the
archive alone: its threshold, the share of known queries below it, and for each kind of unknown
queries the area under the ROC curve and the share that is not below the threshold. Both
confidences have a threshold of the same quantile, so that only what is compared differs.

    python benchmarks/confidence.py RUN [RUN ...] --recordings digits/

With --classes-left-out the first argument is a folder of features: each of --methods is trained
anew without a quarter of the classes, which are unknown queries too, and half of the images that
are held back calibrate.

    python benchmarks/confidence.py --classes-left-out FEATURES --methods nested_codebook,csq
"""

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

import ivr
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import decode_recording, voice_vectors
from ivr.pipeline.archive.distances import UNCLEAR, Confidence, against_known, confidence
from ivr.pipeline.packing.calibrate import run_calibrations
from ivr.pipeline.packing.calibration import Calibration, calibrated, from_stored
from ivr.pipeline.packing.code_maker import open_model
from ivr.pipeline.packing.search import STREAM, EncodedQuery
from ivr.pipeline.runs.codes_file import CodedItems, read_codes
from ivr.pipeline.runs.run_folder import CODES, read_config
from ivr.pipeline.runtime.config_options import from_json
from ivr.pipeline.runtime.text_tables import markdown_table

SENTENCES = (
    "What is the weather going to be like tomorrow morning",
    "Please remember to buy milk and bread on the way home",
    "The meeting was moved from Tuesday to next Friday",
    "My grandmother plays the piano every single evening",
    "How much does this bicycle cost in the shop",
    "He opened the window because it was too warm",
    "We listened to the radio while cooking dinner",
    "Could you tell me what time the museum closes",
    "The children laughed at the clown with the red nose",
    "I forgot my password and cannot log in any more",
)
FLIPPED = 0.03
"""Probability that a bit of a copy differs."""
HEADS = ("method", "archive", "compared with", "threshold", "queries", "number", "ROC", "not below")


@dataclass(frozen=True)
class Gallery:
    """The codes of an archive and what is asked.

    Attributes:
        name: the archive in words.
        codes: packed codes [n, bits / 8].
        queries: packed codes of the queries by kind, ``known`` first.
    """

    name: str
    codes: np.ndarray
    queries: Mapping[str, np.ndarray]


def made_sounds(rng: np.random.Generator, rate: int) -> dict[str, list[np.ndarray]]:
    """Return noise, tones and silence of one to five seconds, float32 [samples] each."""

    def length() -> int:
        return int(rate * rng.uniform(1, 5))

    def tone() -> np.ndarray:
        times = np.arange(length()) / rate
        wave = 0.3 * np.sin(2 * np.pi * rng.uniform(50, 2000) * times)
        return wave + rng.normal(0, 0.01, len(times))

    return {
        "noise": [rng.normal(0, 10 ** rng.uniform(-3, -0.7), length()) for _ in range(200)],
        "tones": [tone() for _ in range(100)],
        "silence": [rng.normal(0, 1e-4, length()) for _ in range(100)],
    }


def spoken_sentences(rate: int) -> list[np.ndarray]:
    """Return the sentences of four synthetic speakers, none without espeak-ng."""
    if find_spec("espeakng_loader") is None:
        return []
    import soxr

    from ivr.pipeline.demo.speech import SPEAKERS, speak

    voices = [speak(sentence, speaker) for sentence in SENTENCES for speaker in SPEAKERS[:4]]
    return [soxr.resample(v.samples / 32768, v.sample_rate, rate) for v in voices]


Voices = tuple[np.ndarray, np.ndarray]
"""Streams [n, 3, coefficients, frames] and their true frames [n]."""


def unknown_sounds(
    rng: np.random.Generator, config: VoiceConfig, recordings: Path | None
) -> dict[str, Voices]:
    """Return the sounds that are about nothing, by kind."""
    sounds = made_sounds(rng, config.sample_rate)
    sounds["other sentences"] = spoken_sentences(config.sample_rate)
    if recordings:
        files = sorted(recordings.rglob("*.wav"))
        sounds["other words"] = [decode_recording(path.read_bytes(), config) for path in files]
    found = {}
    for kind, waves in sounds.items():
        made = [voice_vectors(w.astype(np.float32), config.sample_rate, config) for w in waves]
        if made:
            found[kind] = np.stack([one for one, _ in made]), np.array([n for _, n in made])
    return found


def confidences(queries: np.ndarray, gallery: np.ndarray, known: Calibration | None) -> np.ndarray:
    """Return the confidence of each query, as a search of the whole gallery gives it."""
    firsts = ivr.rank(queries, gallery, 1).distances[:, 0]
    sample = gallery[np.linspace(0, len(gallery) - 1, min(len(gallery), 1 << 14)).astype(int)]

    def value(code: np.ndarray, first: int) -> float:
        if known is None:
            return confidence(code, sample, first).value
        found = against_known(
            Confidence(0.0, first, 0.0), EncodedQuery(STREAM, code[None], (), known)
        )
        assert found is not None
        return found.value

    return np.array([value(q, int(d)) for q, d in zip(queries, firsts, strict=True)])


def table_lines(method: str, gallery: Gallery, known: Calibration) -> Iterator[tuple[str, ...]]:
    """Yield one line per confidence and kind of queries."""
    for compared, calibration in (("known items", known), ("archive", None)):
        values = {
            kind: confidences(codes, gallery.codes, calibration)
            for kind, codes in gallery.queries.items()
        }
        for kind, found in values.items():
            truth = np.r_[np.ones(len(values["known"])), np.zeros(len(found))]
            area = roc_auc_score(truth, np.r_[values["known"], found]) if kind != "known" else None
            yield (
                method, gallery.name, compared, f"{known.threshold:.2f}", kind, str(len(found)),
                "" if area is None else f"{100 * area:.1f} %",
                f"{100 * (found >= known.threshold).mean():.0f} %"
                f" ({UNCLEAR:g}: {100 * (found >= UNCLEAR).mean():.0f} %)",
            )  # fmt: skip


def run_galleries(
    images: CodedItems, voices: CodedItems, unknown: Mapping[str, np.ndarray], copies: int
) -> Iterator[Gallery]:
    """Yield the archives that a run is measured with; known queries are its test voices."""
    rng = np.random.default_rng(0)
    split, labels = np.array(images.splits), np.array(images.labels)
    tested = voices.select([row for row, name in enumerate(voices.splits) if name == "test"][::3])
    asked = np.array(tested.labels)
    known = {"known": tested.codes, **unknown}
    yield Gallery("test images", images.codes[split == "test"], known)
    yield Gallery("all images", images.codes, known)
    many = np.repeat(images.codes[split != "val"], copies, axis=0)
    changes = rng.random((len(many), 8 * many.shape[1])) < FLIPPED
    yield Gallery(f"{len(many)} images", many ^ np.packbits(changes, axis=1), known)
    classes = sorted(set(labels) - {""})
    missing = set(classes[::4])
    for name, there in (("one class", {classes[3]}), ("a quarter missing", {*classes} - missing)):
        inside = np.isin(asked, [*there])
        yield Gallery(
            name,
            images.codes[np.isin(labels, [*there])],
            {"known": tested.codes[inside], "missing": tested.codes[~inside], **unknown},
        )


def measured_run(run: Path, recordings: Path | None, copies: int) -> Iterator[tuple[str, ...]]:
    """Yield the lines of a finished run."""
    maker, codes = open_model(run), read_codes(run / CODES)
    sounds = unknown_sounds(np.random.default_rng(0), maker.voices.reader.config, recordings)
    unknown = {
        kind: maker.codes_of_streams(maker.voices.of_inputs(list(streams)), frames)
        for kind, (streams, frames) in sounds.items()
    }
    stored = run_calibrations(run, read_config(run), maker.model_sha256)
    known = from_stored(stored, maker.bits)["voice"]
    for gallery in run_galleries(codes.images, codes.voices, unknown, copies):
        yield from table_lines(maker.method, gallery, known)


def measured_classes(arguments: argparse.Namespace) -> Iterator[tuple[str, ...]]:
    """Yield the lines of methods that are trained without a quarter of the classes."""
    data = ivr.open_features(arguments.folders[0])
    rng = np.random.default_rng(arguments.seed)
    classes = sorted({item.label for item in data.image_items()} - {""})
    left_out = set(classes[arguments.offset :: 4])
    known = [item for item in data.image_items() if item.label and item.label not in left_out]
    held = [known[place].name for place in rng.permutation(len(known))[: len(known) // 5]]
    calibrating, asking = set(held[::2]), set(held[1::2])
    row = {item.name: n for n, item in enumerate(i for i in known if i.name not in set(held))}
    labels = {item.name: item.label for item in known}
    voices = [voice for voice in data.voice_items() if voice.image in row][:: arguments.every]
    settings = dict(data.voice_settings())
    config = from_json(
        VoiceConfig,
        {name: settings[name] for name in VoiceConfig.__dataclass_fields__ if name in settings},
    )
    sounds = unknown_sounds(rng, config, arguments.recordings)
    names: dict[str, list[str]] = {
        "calibrating": [v.name for v in data.voice_items() if v.image in calibrating],
        "known": [v.name for v in data.voice_items() if v.image in asking],
        "classes left out": [v.name for v in data.voice_items() if v.label in left_out][::3],
    }
    owners = np.array([v.image for v in data.voice_items() if v.image in calibrating])
    for method in arguments.methods.split(","):
        streams, frames = data.voice_vectors([voice.name for voice in voices])
        model = ivr.fit(
            data.image_vectors(list(row)), streams[:, :1], [labels[name] for name in row],
            frames=frames, voice_image=[row[voice.image] for voice in voices], method=method,
            streams=["mfcc"], epochs=arguments.epochs, seed=arguments.seed,
        )  # fmt: skip

        def of_voices(found: Voices, model: ivr.Model = model) -> np.ndarray:
            return model.encode_voices(found[0][:, :1], found[1], packed=True)

        asked = {kind: of_voices(data.voice_vectors(some)) for kind, some in names.items()}
        asked |= {kind: of_voices(some) for kind, some in sounds.items()}
        items = sorted(calibrating)
        found = calibrated(
            asked.pop("calibrating"),
            model.encode_images(data.image_vectors(items), packed=True),
            owners[:, None] == np.array(items)[None],
        )
        assert found is not None
        rest = [item.name for item in known if item.name not in calibrating]
        codes = model.encode_images(data.image_vectors(rest), packed=True)
        yield from table_lines(method, Gallery("known classes", codes, asked), found)


def main(arguments: argparse.Namespace) -> None:
    """Measure and print one table."""
    if arguments.classes_left_out:
        lines = list(measured_classes(arguments))
    else:
        lines = [
            line
            for run in arguments.folders
            for line in measured_run(run, arguments.recordings, arguments.copies)
        ]
    print(markdown_table(HEADS, lines))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", help="runs, or one folder of features")
    parser.add_argument("--classes-left-out", action="store_true", help="train without classes")
    parser.add_argument("--recordings", type=Path, help="folder of recordings of other words")
    parser.add_argument("--copies", type=int, default=50, help="copies in the largest archive")
    parser.add_argument("--methods", default="nested_codebook,csq")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--every", type=int, default=1, help="train on each n-th voice only")
    parser.add_argument("--offset", type=int, default=0, help="first class that is left out")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
