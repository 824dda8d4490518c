"""How well the confidence of an answer tells known queries from unknown ones.

A quarter of the classes is left out of the training and of the archive. The archive holds all
images of the other classes; a fifth of these images, and their voices, are not trained on. Known
queries are these voices. Unknown queries are the voices of the classes that were left out, noise,
tones, silence, spoken sentences about other things (where espeak-ng is installed), and recordings
of other words, where a folder of them is given.

Printed per method: the area under the ROC curve of the confidence for known against each kind of
unknown queries, and the share of each kind whose confidence is at least 0.5.

    python benchmarks/confidence.py FEATURES --methods nested_codebook,csq --recordings digits/
"""

import argparse
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

import ivr
from ivr.features.mfcc import VoiceConfig
from ivr.features.voice import decode_recording, voice_vectors
from ivr.pipeline.archive.distances import UNCLEAR, confidence
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


def main(arguments: argparse.Namespace) -> None:
    """Train each method, ask all queries and print one table."""
    data = ivr.open_features(arguments.features)
    rng = np.random.default_rng(arguments.seed)
    classes = sorted({item.label for item in data.image_items()} - {""})
    left_out = set(classes[arguments.offset :: 4])
    known = [item for item in data.image_items() if item.label and item.label not in left_out]
    held = {known[place].name for place in rng.permutation(len(known))[: len(known) // 5]}
    row = {item.name: n for n, item in enumerate(i for i in known if i.name not in held)}
    labels = {item.name: item.label for item in known}
    voices = [voice for voice in data.voice_items() if voice.image in row]
    settings = dict(data.voice_settings())
    config = from_json(
        VoiceConfig,
        {name: settings[name] for name in VoiceConfig.__dataclass_fields__ if name in settings},
    )
    sounds = made_sounds(rng, config.sample_rate)
    sounds["other sentences"] = spoken_sentences(config.sample_rate)
    if arguments.recordings:
        files = sorted(arguments.recordings.rglob("*.wav"))
        sounds["other words"] = [decode_recording(path.read_bytes(), config) for path in files]

    lines = []
    for method in arguments.methods.split(","):
        streams, frames = data.voice_vectors([voice.name for voice in voices])
        model = ivr.fit(
            data.image_vectors(list(row)), streams[:, :1], [labels[name] for name in row],
            frames=frames, voice_image=[row[voice.image] for voice in voices], method=method,
            streams=["mfcc"], epochs=arguments.epochs, seed=arguments.seed,
        )  # fmt: skip
        gallery = model.encode_images(data.image_vectors([i.name for i in known]), packed=True)

        def of_items(names: Sequence[str], model: ivr.Model = model) -> np.ndarray:
            some, counts = data.voice_vectors(names)
            return model.encode_voices(some[:, :1], counts, packed=True)

        def of_sounds(waves: Sequence[np.ndarray], model: ivr.Model = model) -> np.ndarray:
            made = [voice_vectors(w.astype(np.float32), config.sample_rate, config) for w in waves]
            some = np.stack([vectors for vectors, _ in made])[:, :1]
            return model.encode_voices(some, np.array([n for _, n in made]), packed=True)

        queries = {
            "known": of_items([v.name for v in data.voice_items() if v.image in held]),
            "classes left out": of_items(
                [v.name for v in data.voice_items() if v.label in left_out]
            ),
            **{name: of_sounds(waves) for name, waves in sounds.items() if waves},
        }
        lines += table_lines(method, {name: scores(q, gallery) for name, q in queries.items()})
    print(markdown_table(("method", "queries", "number", "ROC", "at least 0.5"), lines))


def scores(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """Return the confidence of each query, as a search of the whole gallery gives it."""
    found = ivr.rank(queries, gallery, 1)
    pairs = zip(queries, found.distances[:, 0], strict=True)
    return np.array([confidence(query, gallery, int(first)).value for query, first in pairs])


def table_lines(method: str, values: dict[str, np.ndarray]) -> list[tuple[str, ...]]:
    """Return one line per kind of queries."""
    known, lines = values["known"], []
    for name, unknown in values.items():
        truth = np.r_[np.ones(len(known)), np.zeros(len(unknown))]
        area = roc_auc_score(truth, np.r_[known, unknown]) if name != "known" else None
        lines.append(
            (
                method, name, str(len(unknown)), "" if area is None else f"{100 * area:.1f} %",
                f"{100 * (unknown >= UNCLEAR).mean():.0f} %",
            )
        )  # fmt: skip
    return lines


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("features", type=Path, help="folder of features with labels and voices")
    parser.add_argument("--methods", default="nested_codebook,csq,ortho_hash")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--offset", type=int, default=0, help="first class that is left out")
    parser.add_argument("--recordings", type=Path, help="folder of recordings of other words")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args())
