"""Reports to MLflow: one MLflow run per training, where MLflow's own settings say.

``MLFLOW_TRACKING_URI`` names the server or folder, ``MLFLOW_EXPERIMENT_NAME`` the experiment.
"""

import os
import time
from collections.abc import Mapping
from pathlib import Path

from mlflow.entities import Metric, Param, RunTag
from mlflow.tracking import MlflowClient

from .reports import Parameter

EXPERIMENT = "ivr"
"""Experiment if ``MLFLOW_EXPERIMENT_NAME`` names none."""
LONGEST = 6000
"""Characters of a parameter that MLflow takes."""


class MLflowReporter:
    """Writes parameters once and metrics by epoch."""

    def __init__(self) -> None:
        """Connect to the server or the folder that MLflow is set to."""
        self._client = MlflowClient()
        self._run = ""

    def begin(self, run: Path, parameters: Mapping[str, Parameter]) -> None:
        """Begin an MLflow run with the name of the folder ``run``."""
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        number = found.experiment_id if found else self._client.create_experiment(name)
        begun = self._client.create_run(number, run_name=run.name)
        self._run = begun.info.run_id
        values = [Param(name, str(value)[:LONGEST]) for name, value in parameters.items()]
        tags = [RunTag("ivr.folder", str(run.resolve()))]
        self._client.log_batch(self._run, params=values, tags=tags)

    def epoch(self, number: int, metrics: Mapping[str, float]) -> None:
        """Write the metrics of the epoch ``number``."""
        now = int(1000 * time.time())
        values = [Metric(name, value, now, number) for name, value in metrics.items()]
        self._client.log_batch(self._run, metrics=values)

    def end(self, finished: bool) -> None:
        """End the MLflow run as finished or failed."""
        self._client.set_terminated(self._run, "FINISHED" if finished else "FAILED")
