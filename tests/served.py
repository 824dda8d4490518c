"""A tiny archive in memory, as the tests of the service and of its page use it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from starlette.testclient import TestClient

from ivr.pipeline.serving.application import application
from ivr.pipeline.serving.guards import Guards
from ivr.pipeline.serving.resident import ResidentArchive
from ivr.pipeline.serving.serve_config import ServeConfig

LIMITS: dict[str, Any] = {
    "token": "",
    "most_bytes": 1_000_000,
    "time_limit": 60.0,
    "most_requests": 8,
    "count": lambda _path, _status: None,
}


@contextmanager
def served(archive: Path, config: ServeConfig | None = None, **limits: Any) -> Iterator[TestClient]:
    """Yield a client of ``archive``, which is served as ``ivr serve`` does."""
    resident = ResidentArchive(archive, config or ServeConfig(readers=1, refresh=0, threads=1))
    try:
        app = application(resident)
        counted = {"count": app.state.metrics.count}
        guarded = Guards(app, **{**LIMITS, **counted, **limits})
        with TestClient(guarded, base_url="http://127.0.0.1") as client:
            yield client
    finally:
        resident.close()
