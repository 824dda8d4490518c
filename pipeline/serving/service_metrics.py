"""What Prometheus asks of the service."""

from functools import partial
from typing import Any

from ivr.pipeline.archive.item_columns import MODALITIES

from .resident import Answer, ResidentArchive

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)
"""Bounds of the histograms, seconds."""


class ServiceMetrics:
    """Counts and times of one service, in a registry of its own."""

    def __init__(self, resident: ResidentArchive) -> None:
        """Count what ``resident`` answers."""
        import prometheus_client as prometheus

        self._prometheus = prometheus
        self.registry = prometheus.CollectorRegistry()
        more: dict[str, Any] = {"registry": self.registry}
        self._requests = prometheus.Counter(
            "ivr_requests", "Requests by path and status.", ["path", "status"], **more
        )
        self._stages = prometheus.Histogram(
            "ivr_stage_seconds", "Time of a stage of a query.", ["stage"], buckets=BUCKETS, **more
        )
        items = prometheus.Gauge("ivr_items", "Items of the archive.", ["modality"], **more)
        version = prometheus.Gauge("ivr_archive_version", "Version that is searched.", **more)
        lost = prometheus.Gauge("ivr_lost_readers", "Readers that died or were ended.", **more)
        for modality in MODALITIES:
            items.labels(modality).set_function(partial(_count, resident, modality))
        version.set_function(lambda: resident.gallery.version)
        lost.set_function(lambda: resident.lost_readers)

    def count(self, path: str, status: int) -> None:
        """Count a request that was answered with ``status``; ``path`` is that of its route."""
        self._requests.labels(path, str(status)).inc()

    def time(self, answer: Answer) -> None:
        """Note the times of the stages of ``answer``."""
        for stage, seconds in answer.seconds.items():
            self._stages.labels(stage).observe(seconds)

    def page(self) -> bytes:
        """Return the metrics in the text format of Prometheus."""
        found: bytes = self._prometheus.generate_latest(self.registry)
        return found


def _count(resident: ResidentArchive, modality: str) -> int:
    return resident.gallery.counts()[modality]
