"""Stage: codes to retrieval metrics under a stated protocol, with chance beside them.

Four steps, in this order: :mod:`.select` queries and galleries, :mod:`.rank` the galleries,
:mod:`.score` the rankings, :mod:`.report` the scores.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ivr.features.atomic_files import file_digest, require_writable
from ivr.hashing.distances import Measure, measure_of
from ivr.names import unknown
from ivr.pipeline.pictures.picture_files import FORMATS, Format
from ivr.pipeline.runs.codes_file import Codes, known_quantisation_error, read_codes
from ivr.pipeline.runs.run_folder import (
    CODES,
    EVALUATIONS,
    MODEL,
    RunError,
    begun,
    is_another_run,
    load_model,
    locked_run,
    read_config,
    run_method,
)
from ivr.pipeline.runs.stale_codes import require_current_codes
from ivr.pipeline.runs.training_epochs import training_history
from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.lock import only_writer

from .evaluation_folder import evaluation_folder
from .evaluation_result import EvaluationResult
from .protocol import PROTOCOLS, Protocol
from .report import Report, report, write_report
from .score import score
from .select import EvaluateError, select
from .untrained import require_untrained


def evaluate(
    run: str | Path,
    protocol: Protocol | str | None = None,
    *,
    codes: str | Path | None = None,
    out: str | Path | None = None,
    pictures: Sequence[str] = ("png",),
    **options: Any,
) -> EvaluationResult:
    """Evaluate the codes of a run, write the results and return them.

    Writes ``results.json``, ``queries.h5``, ``curves.csv`` and ``pictures/``. The results of the
    default protocol go to ``run``; those of each other protocol, of other options and of other
    codes go to a folder of their own in ``run/evaluations``.

    Args:
        run: a run folder.
        protocol: every choice, or the name of one of
            :data:`~ivr.pipeline.evaluation.protocol.PROTOCOLS`; ``divh`` if None.
        codes: a codes file, ``RUN/codes.h5`` by default.
        out: folder to write to in place of these.
        pictures: formats of the pictures: png, svg, pdf; each picture has a CSV file of its data
            too, whatever its formats.
        **options: single fields in place of those of the protocol, e.g. ``relevance="pair"``.

    Raises:
        BusyError: another process writes into the folder.
        UnwritableError: nothing can be written to ``out``.
        RunError: the run has no codes yet, or codes of features that were extracted anew since.
        StoreError: not a codes file.
        OptionError: the protocol has no such option, or refuses its value.
        UnknownNameError: no such protocol, or no such format of pictures.
        EvaluateError: codes of another model, a distance that the method does not have, no queries,
            nothing to search, test items that the run was trained on, other options in the place
            of the run's own results, or ``out`` in another run.
    """
    run = Path(run)
    chosen, formats = with_options(_asked(protocol), options), _formats(pictures)
    file = None if codes is None else Path(codes)
    if out is not None:
        _require_no_other_run(Path(out), run)
        require_writable(Path(out))
    elsewhere = out is not None and not Path(out).resolve().is_relative_to(run.resolve())
    if elsewhere:
        found, folder = _evaluated(run, chosen, file), Path(out or run)
        with only_writer(folder):
            write_report(folder, found, formats)
        return EvaluationResult(folder, found.results)
    read_config(begun(run))
    with locked_run(run):
        config = read_config(run)
        presets = {name: completed(preset, config) for name, preset in PROTOCOLS.items()}
        own = evaluation_folder(run, completed(chosen, config), presets, file)
        folder = own if out is None else Path(out)
        if folder.resolve() == run.resolve() and own != run:
            raise EvaluateError(
                f"{run}: its own results are not replaced by those of other options; leave out "
                f"--out for {own}, or give another folder"
            )
        found = _evaluated(run, chosen, file)
        write_report(folder, found, formats)
    return EvaluationResult(folder, found.results)


def _require_no_other_run(folder: Path, run: Path) -> None:
    """Refuse ``folder`` if the results of another run than ``run`` have their place there."""
    place = folder.resolve()
    other = place.parent.parent if place.parent.name == EVALUATIONS else place
    if is_another_run(other, run):
        raise EvaluateError(
            f"{folder}: holds another run, whose results are not replaced by those of {run}; "
            "give another folder"
        )


def _evaluated(run: Path, protocol: Protocol, codes: Path | None) -> Report:
    """Return what the evaluation of ``codes``, by default those of ``run``, finds."""
    config = read_config(run)
    path = codes or run / CODES
    if not path.is_file():
        raise RunError(f"{path}: no codes; make them with ivr encode {run}")
    asked = completed(protocol, config)
    coded = read_codes(path)
    _require_fit(coded, path, run, config, asked)
    if path.resolve() == (run / CODES).resolve():
        require_current_codes(path, coded.config, run, config)
    require_untrained(coded, path, run, config, asked)
    found = evaluate_codes(coded, asked, measure_of_run(run, config, asked))
    found.results.update(_provenance(config, path, coded))
    return replace(found, history=training_history(run))


def evaluate_codes(codes: Codes, protocol: Protocol, measure: Measure | None = None) -> Report:
    """Return the results, curves and average precisions of both directions.

    Args:
        codes: coded items, with outputs if there is a measure.
        protocol: every choice.
        measure: compares outputs; None ranks by the Hamming distance of the codes.

    Raises:
        EvaluateError: no queries, or nothing to search.
    """
    if measure is None:
        protocol = replace(protocol, distance="hamming")
    selection = select(codes, protocol)
    scored = score(selection, measure)
    return report(selection, scored, known_quantisation_error(codes, protocol.bits))


def _asked(protocol: Protocol | str | None) -> Protocol:
    """Return ``protocol``, or the preset of that name."""
    if isinstance(protocol, Protocol):
        return protocol
    name = protocol or "divh"
    if name not in PROTOCOLS:
        raise unknown("protocol", name, PROTOCOLS)
    return PROTOCOLS[name]


def _formats(names: Sequence[str]) -> tuple[Format, ...]:
    """Return ``names`` as formats of pictures, each once.

    Raises:
        UnknownNameError: a name that is no format.
    """
    for name in names:
        if name not in FORMATS:
            raise unknown("format of pictures", name, FORMATS)
    return tuple(name for name in FORMATS if name in names)


def completed(protocol: Protocol, config: Mapping[str, Any]) -> Protocol:
    """Return ``protocol`` with the run's seed and the method's distance if it names none.

    Raises:
        EvaluateError: a distance that the method does not have.
    """
    own = run_method(config).build.distance
    if protocol.distance not in (None, "hamming", own):
        raise EvaluateError(
            f"{config['method']} ranks by {own}, not by {protocol.distance}; "
            "codes of any method can be ranked by hamming"
        )
    seed = config["seed"] if protocol.seed is None else protocol.seed
    return replace(protocol, seed=seed, distance=protocol.distance or own)


def _require_fit(
    codes: Codes, path: Path, run: Path, config: Mapping[str, Any], protocol: Protocol
) -> None:
    """Refuse codes of another model, and codes that cannot be ranked as the protocol says."""
    if codes.config["model"] != file_digest(run / MODEL):
        raise EvaluateError(f"{path}: not made with the model of {run}; make it with ivr encode")
    if protocol.distance != "hamming" and protocol.bits is not None:
        raise EvaluateError(f"{config['method']} does not rank by bits; take --distance hamming")
    if protocol.distance != "hamming" and codes.images.outputs is None:
        raise EvaluateError(f"{path}: has no outputs to rank by; make it again with ivr encode")


def measure_of_run(run: Path, config: Mapping[str, Any], protocol: Protocol) -> Measure | None:
    """Return how outputs are compared; None if codes are."""
    if protocol.distance == "hamming":
        return None
    return measure_of(load_model(run, config, torch.device("cpu")))


def _provenance(config: Mapping[str, Any], path: Path, codes: Codes) -> dict[str, Any]:
    """Return the sections of results.json that say what was evaluated."""
    method = run_method(config).build
    run = {
        "method": config["method"],
        "source": method.source,
        "reconstruction": method.reconstruction,
    } | {name: config[name] for name in ("bits", "voices", "seed", "split", "options")}
    return {
        "run": run,
        "features": config["features"],
        "codes": {
            "file": str(path),
            "model_sha256": codes.config["model"],
            "features_sha256": codes.config["features"],
            "change": codes.config.get("change", ""),
        },
    }
