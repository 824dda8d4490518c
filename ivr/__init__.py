"""Deep image-voice hashing for remote sensing: a spoken sentence finds images by short codes.

The functions below do what the commands do, on paths; ``help(ivr.extract)`` explains each. Every
name is imported at its first use, so that ``import ivr`` loads neither torch nor librosa.
"""

import os
from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from ivr.errors import IvrError

if TYPE_CHECKING:
    from ivr.features.image_config import ImageConfig
    from ivr.features.mfcc import VoiceConfig
    from ivr.features.visual_words import VocabularyConfig
    from ivr.features.voice_encoder_config import VoiceEncoderConfig
    from ivr.hashing import array_metrics as metrics
    from ivr.hashing.array_ranking import rank
    from ivr.hashing.network_config import NetworkConfig
    from ivr.hashing.training_config import TrainConfig
    from ivr.pipeline.archive.add import archive_add
    from ivr.pipeline.archive.add_config import AddConfig
    from ivr.pipeline.archive.archive import open_archive
    from ivr.pipeline.archive.compact import archive_compact
    from ivr.pipeline.archive.create import archive_create
    from ivr.pipeline.archive.export import export
    from ivr.pipeline.archive.export_config import ExportConfig
    from ivr.pipeline.archive.index import archive_index
    from ivr.pipeline.archive.info import archive_info
    from ivr.pipeline.archive.locate import locate
    from ivr.pipeline.archive.locate_config import LocateConfig
    from ivr.pipeline.archive.remove import archive_remove
    from ivr.pipeline.archive.replace_model import archive_replace_model
    from ivr.pipeline.archive.search import search
    from ivr.pipeline.archive.update import archive_update
    from ivr.pipeline.archive.verify import archive_verify
    from ivr.pipeline.comparison.compare import compare
    from ivr.pipeline.comparison.compare_config import CompareConfig
    from ivr.pipeline.datasets.audit import check
    from ivr.pipeline.datasets.check_config import CheckConfig
    from ivr.pipeline.datasets.manifest import read_manifest
    from ivr.pipeline.datasets.prepare import prepare
    from ivr.pipeline.datasets.prepare_config import PrepareConfig
    from ivr.pipeline.datasets.split_config import SplitConfig
    from ivr.pipeline.demo.demo_config import DemoConfig
    from ivr.pipeline.demo.main_job import demo
    from ivr.pipeline.doctor.doctor import doctor
    from ivr.pipeline.doctor.doctor_config import DoctorConfig
    from ivr.pipeline.evaluation.evaluate import evaluate
    from ivr.pipeline.evaluation.probe import probe
    from ivr.pipeline.evaluation.probe_config import ProbeConfig
    from ivr.pipeline.evaluation.protocol import Protocol
    from ivr.pipeline.extraction.extract import extract
    from ivr.pipeline.extraction.extract_config import ExtractConfig
    from ivr.pipeline.extraction.feature_dataset import open_features
    from ivr.pipeline.extraction.merge import merge
    from ivr.pipeline.packing.pack import pack
    from ivr.pipeline.packing.pack_config import PackConfig
    from ivr.pipeline.plotting import plot
    from ivr.pipeline.report.report import report
    from ivr.pipeline.report.report_config import ReportConfig
    from ivr.pipeline.runs.encode import encode
    from ivr.pipeline.runs.model import Model, fit, load
    from ivr.pipeline.runs.run_config import RunConfig
    from ivr.pipeline.runs.train import train
    from ivr.pipeline.runs.verify import verify
    from ivr.pipeline.serving.serve import serve
    from ivr.pipeline.serving.serve_config import ServeConfig

# Threads that wait for each other sleep instead of spinning: on an idle machine training takes a
# fifth longer, beside another process it is nearly twice as fast or better (docs/benchmarks.md).
# OpenMP reads this when torch is loaded.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__version__ = version("image-voice-hashing")
__all__ = [
    "AddConfig",
    "CheckConfig",
    "CompareConfig",
    "DemoConfig",
    "DoctorConfig",
    "ExportConfig",
    "ExtractConfig",
    "ImageConfig",
    "IvrError",
    "LocateConfig",
    "Model",
    "NetworkConfig",
    "PackConfig",
    "PrepareConfig",
    "ProbeConfig",
    "Protocol",
    "ReportConfig",
    "RunConfig",
    "ServeConfig",
    "SplitConfig",
    "TrainConfig",
    "VocabularyConfig",
    "VoiceConfig",
    "VoiceEncoderConfig",
    "__version__",
    "archive_add",
    "archive_compact",
    "archive_create",
    "archive_index",
    "archive_info",
    "archive_remove",
    "archive_replace_model",
    "archive_update",
    "archive_verify",
    "check",
    "compare",
    "demo",
    "doctor",
    "encode",
    "evaluate",
    "export",
    "extract",
    "fit",
    "load",
    "locate",
    "merge",
    "metrics",
    "open_archive",
    "open_features",
    "pack",
    "plot",
    "prepare",
    "probe",
    "rank",
    "read_manifest",
    "report",
    "search",
    "serve",
    "train",
    "verify",
]

_PLACES = {
    "AddConfig": "ivr.pipeline.archive.add_config:AddConfig",
    "CheckConfig": "ivr.pipeline.datasets.check_config:CheckConfig",
    "CompareConfig": "ivr.pipeline.comparison.compare_config:CompareConfig",
    "DemoConfig": "ivr.pipeline.demo.demo_config:DemoConfig",
    "DoctorConfig": "ivr.pipeline.doctor.doctor_config:DoctorConfig",
    "ExportConfig": "ivr.pipeline.archive.export_config:ExportConfig",
    "ExtractConfig": "ivr.pipeline.extraction.extract_config:ExtractConfig",
    "ImageConfig": "ivr.features.image_config:ImageConfig",
    "LocateConfig": "ivr.pipeline.archive.locate_config:LocateConfig",
    "Model": "ivr.pipeline.runs.model:Model",
    "NetworkConfig": "ivr.hashing.network_config:NetworkConfig",
    "PackConfig": "ivr.pipeline.packing.pack_config:PackConfig",
    "PrepareConfig": "ivr.pipeline.datasets.prepare_config:PrepareConfig",
    "ProbeConfig": "ivr.pipeline.evaluation.probe_config:ProbeConfig",
    "Protocol": "ivr.pipeline.evaluation.protocol:Protocol",
    "ReportConfig": "ivr.pipeline.report.report_config:ReportConfig",
    "ServeConfig": "ivr.pipeline.serving.serve_config:ServeConfig",
    "RunConfig": "ivr.pipeline.runs.run_config:RunConfig",
    "SplitConfig": "ivr.pipeline.datasets.split_config:SplitConfig",
    "TrainConfig": "ivr.hashing.training_config:TrainConfig",
    "VocabularyConfig": "ivr.features.visual_words:VocabularyConfig",
    "VoiceConfig": "ivr.features.mfcc:VoiceConfig",
    "VoiceEncoderConfig": "ivr.features.voice_encoder_config:VoiceEncoderConfig",
    "archive_add": "ivr.pipeline.archive.add:archive_add",
    "archive_compact": "ivr.pipeline.archive.compact:archive_compact",
    "archive_create": "ivr.pipeline.archive.create:archive_create",
    "archive_index": "ivr.pipeline.archive.index:archive_index",
    "archive_info": "ivr.pipeline.archive.info:archive_info",
    "archive_remove": "ivr.pipeline.archive.remove:archive_remove",
    "archive_replace_model": "ivr.pipeline.archive.replace_model:archive_replace_model",
    "archive_update": "ivr.pipeline.archive.update:archive_update",
    "archive_verify": "ivr.pipeline.archive.verify:archive_verify",
    "check": "ivr.pipeline.datasets.audit:check",
    "compare": "ivr.pipeline.comparison.compare:compare",
    "demo": "ivr.pipeline.demo.main_job:demo",
    "doctor": "ivr.pipeline.doctor.doctor:doctor",
    "encode": "ivr.pipeline.runs.encode:encode",
    "evaluate": "ivr.pipeline.evaluation.evaluate:evaluate",
    "export": "ivr.pipeline.archive.export:export",
    "extract": "ivr.pipeline.extraction.extract:extract",
    "fit": "ivr.pipeline.runs.model:fit",
    "load": "ivr.pipeline.runs.model:load",
    "locate": "ivr.pipeline.archive.locate:locate",
    "merge": "ivr.pipeline.extraction.merge:merge",
    "metrics": "ivr.hashing.array_metrics",
    "open_archive": "ivr.pipeline.archive.archive:open_archive",
    "open_features": "ivr.pipeline.extraction.feature_dataset:open_features",
    "pack": "ivr.pipeline.packing.pack:pack",
    "plot": "ivr.pipeline.plotting.plot",
    "prepare": "ivr.pipeline.datasets.prepare:prepare",
    "probe": "ivr.pipeline.evaluation.probe:probe",
    "rank": "ivr.hashing.array_ranking:rank",
    "read_manifest": "ivr.pipeline.datasets.manifest:read_manifest",
    "report": "ivr.pipeline.report.report:report",
    "serve": "ivr.pipeline.serving.serve:serve",
    "search": "ivr.pipeline.archive.search:search",
    "train": "ivr.pipeline.runs.train:train",
    "verify": "ivr.pipeline.runs.verify:verify",
}
"""Where each name that is imported at its first use stands: ``module:name``, or a module."""


def __getattr__(name: str) -> Any:
    """Return the public object ``name``; imports its module."""
    if name not in _PLACES:
        raise AttributeError(f"module 'ivr' has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    found = getattr(import_module(module), attribute) if attribute else import_module(module)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
