"""Names of reporters, checked before a training begins; imports no torch."""

from importlib.util import find_spec

from ivr.errors import IvrError
from ivr.extensions import extension_names, is_reference
from ivr.names import unknown

GROUP = "ivr.reporters"
OWN = {"mlflow": "ivr.pipeline.runs.mlflow_reporter:MLflowReporter"}
"""Reporters of this package, each with the library of its own name, an extra."""


class ReportError(IvrError):
    """A tracking server that a training cannot report to, in one line."""


def require_reporter(name: str) -> None:
    """Refuse a reporter that does not exist or lacks its library.

    Raises:
        UnknownNameError: no such reporter.
        ReportError: its library is not installed.
    """
    if name in OWN:
        if find_spec(name) is None:
            raise ReportError(f"{name} is not installed: pip install 'image-voice-hashing[{name}]'")
    elif not is_reference(name) and name not in extension_names(GROUP):
        raise unknown("reporter", name, (*OWN, *extension_names(GROUP)), "or module:Class")
