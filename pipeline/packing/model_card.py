"""The model card: data, protocol, metrics with chance, limits and licence, as Markdown."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ivr.errors import IvrError
from ivr.pipeline.runs.run_folder import RESULTS, read_json, run_method
from ivr.pipeline.runtime.visible_text import visible

from .pack_config import PackConfig

METRICS = ("mAP", "P@1", "P@10")
UNKNOWN = "not stated"


def model_card(
    run: Path, config: Mapping[str, Any], description: Mapping[str, Any], chosen: PackConfig
) -> str:
    """Return the model card of ``run``.

    Args:
        run: the run folder; its results are in the card if they are of this model.
        config: content of its ``config.json``.
        description: content of ``model.json``.
        chosen: how it was packed, with the licences that the user states.
    """
    sections = (
        _head(config, description),
        _use(description),
        _data(config),
        _results(run, description),
        _checks(description),
        _limits(config, description),
        _licence(chosen),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _head(config: Mapping[str, Any], description: Mapping[str, Any]) -> list[str]:
    method = run_method(config).build
    note = f"; reconstruction, {method.reconstruction}" if method.reconstruction else ""
    return [
        f"# Image-voice hashing model: {config['method']}, {config['bits']} bits",
        "",
        "A spoken sentence finds remote sensing images, and an image finds spoken sentences, by "
        "Hamming distance of short codes.",
        "",
        f"* method: {config['method']} ({method.source}{note})",
        f"* image encoder: {_encoder(description)}",
        f"* identity: `{description['identity']}`",
        f"* weights of the run, sha256: `{description['model_sha256']}`",
    ]


def _encoder(description: Mapping[str, Any]) -> str:
    images = description["images"]
    name = f"{images.get('encoder', UNKNOWN)}, {images.get('layer', UNKNOWN)}"
    weights = f"weights {visible(str(description['weights']))}"
    packed = "" if description["encoder"] else "; not packed: this model answers voices only"
    return f"{name}, {weights}, sha256 `{images.get('sha256', UNKNOWN)}`{packed}"


def _use(description: Mapping[str, Any]) -> list[str]:
    image = ["ivr search THIS_FOLDER --codes CODES.h5 --image scene.png"]
    return [
        "## Use",
        "",
        "```",
        "ivr search THIS_FOLDER --codes CODES.h5 --voice question.wav",
        *(image if description["encoder"] else ()),
        "ivr verify THIS_FOLDER",
        "```",
        "",
        "`CODES.h5` comes from `ivr encode` of the same run. Neither torch nor librosa is needed; "
        "`requirements.txt` lists what is.",
    ]


def _data(config: Mapping[str, Any]) -> list[str]:
    classes = [visible(str(name)) for name in config["classes"]]
    left_out = config.get("left_out") or {}
    withheld = [
        f"{key.replace('_', ' ')}: {', '.join(map(visible, map(str, value)))}"
        for key, value in left_out.items()
        if isinstance(value, list) and value
    ]
    return [
        "## Data",
        "",
        f"* {len(classes)} classes: {', '.join(classes)}",
        f"* voices in training: {config['voices']} per image; seed {config['seed']}",
        f"* split, unless the manifest has one: {_pairs(config['split'])}",
        *(f"* left out of training, {line}" for line in withheld),
    ]


def _results(run: Path, description: Mapping[str, Any]) -> list[str]:
    """Return the metrics of ``results.json``, or why there are none."""
    head = ["## Results", ""]
    path = run / RESULTS
    if not path.is_file():
        return [*head, f"Not evaluated; `ivr evaluate {run.name}` does, then pack again."]
    try:
        found = read_json(path)
        if found["codes"]["model_sha256"] != description["model_sha256"]:
            return [*head, "The results of the run are of other weights and not shown."]
        rows = _metric_rows(found)
        words = [str(found["protocol_in_words"]), f"Data set: {found['dataset']}."]
    except (IvrError, LookupError, TypeError) as error:
        return [*head, f"The results of the run cannot be read ({type(error).__name__})."]
    note = "Metrics in percent, of the run's float32 codes. Protocol: "
    return [*head, f"{note}{visible(words[0])}. {visible(words[1])}", "", *rows]


def _metric_rows(results: Mapping[str, Any]) -> list[str]:
    rows = ["| direction | metric | measured | chance |", "|---|---|---|---|"]
    for direction in ("image_to_voice", "voice_to_image"):
        for name in METRICS:
            if name in results[direction]:
                chance = results["chance"][direction].get(name)
                beside = UNKNOWN if chance is None else f"{chance:.2f}"
                shown = direction.replace("_", " ")
                rows.append(f"| {shown} | {name} | {results[direction][name]:.2f} | {beside} |")
    return rows


def _checks(description: Mapping[str, Any]) -> list[str]:
    lines = ["## Packed codes beside those of the run", ""]
    for check in description["checks"]:
        lines.append(
            f"* `{check['network']}`: {check['differ']} of {check['bits']} bits differ "
            f"({check['inputs']} inputs, {check['source']}); the outputs of bits that differ are "
            "float noise around 0"
        )
    if description["int8"] is None:
        return lines
    lines += ["", "8-bit weights, mAP in percent on the test split, all voices, by class:", ""]
    lines += ["| direction | float32 | int8 queries on codes of the run | int8 on both sides |"]
    lines += ["|---|---|---|---|"]
    for direction, loss in description["int8"]["mAP"].items():
        shown = direction.replace("_", " ")
        values = f"{loss['float32']:.2f} | {loss['queries']:.2f} | {loss['both']:.2f}"
        lines.append(f"| {shown} | {values} |")
    return lines


def _limits(config: Mapping[str, Any], description: Mapping[str, Any]) -> list[str]:
    voices = description["voices"]
    seconds = voices["frames"] * voices["hop"] / voices["sample_rate"]
    lines = [
        "## Limits",
        "",
        f"* It knows the classes above. Every query has nearest items: a sentence about something "
        f"else, or a silent recording, also gets {config['bits']} bits and hits.",
        f"* Of a recording the first {seconds:g} s are used.",
        "* Speakers, microphones and sensors unlike those of the training data cost precision; "
        "`ivr compare --preset generalisation` measures it.",
    ]
    lines += [
        f"* With a confidence below {one['threshold']:.2f}, a query by {modality} is probably "
        f"about nothing known. Threshold: {one['computed']}."
        for modality, one in description["confidence"].items()
    ]
    if description["distance"] != "hamming":
        lines.append(
            f"* {config['method']} itself ranks by {description['distance']}; these are the signs "
            "of its outputs, compared by Hamming distance."
        )
    return lines


def _licence(chosen: PackConfig) -> list[str]:
    return [
        "## Licence",
        "",
        f"* model: {visible(chosen.licence) or UNKNOWN}",
        f"* data: {visible(chosen.data_licence) or UNKNOWN}",
        f"* questions to: {visible(chosen.author) or UNKNOWN}",
    ]


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
