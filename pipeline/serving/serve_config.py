"""Choices of ``ivr serve``; the command line reads them, so this module imports nothing heavy."""

from typing import Annotated

from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt

from ivr.config import config

LOCAL = ("127.0.0.1", "::1", "localhost")
"""Addresses that only this machine can reach."""


@config
class ServeConfig:
    """How an archive is served.

    Attributes:
        host: Address to listen on; any other than that of this machine needs a token.
        port: Port to listen on; 0 takes a free one.
        readers: Number of processes that decode uploads and files of the archive.
        threads: Number of threads that encode one query.
        upload_megabytes: Largest upload in megabytes.
        voice_seconds: Longest recording that is searched with, in seconds.
        time_limit: Seconds after which a request is given up.
        requests: Largest number of requests at a time; further ones get status 503 and can be
            repeated.
        connections: Largest number of open connections. For one more, the connection that has
            waited longest for a request is closed.
        refresh: Seconds between looks for a new version of the archive; 0 keeps the first one.
        thumbnail: Longest side of a thumbnail in pixels.
        index: Ask the index of the archive, or of the database, instead of comparing every code; no
            code is held in memory, and hits may be missed.
        engine: Database that ivr export wrote, postgres://USER@HOST/DATABASE, to ask instead of
            codes in memory; ARCHIVE or a packed model then only encodes queries.
        table: Table of the database.
    """

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    readers: PositiveInt = 2
    threads: PositiveInt | None = None
    upload_megabytes: PositiveInt = 32
    voice_seconds: PositiveFloat = 60.0
    time_limit: PositiveFloat = 20.0
    requests: PositiveInt = 64
    connections: PositiveInt = 512
    refresh: NonNegativeFloat = 2.0
    thumbnail: Annotated[int, Field(ge=16, le=1024)] = 256
    index: bool = False
    engine: str | None = None
    table: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")] = "items"

    def __post_init__(self) -> None:
        """Refuse an engine that is no database."""
        if self.engine is not None and not self.engine.startswith(("postgres://", "postgresql://")):
            raise ValueError(f"engine must be postgres://USER@HOST/DATABASE, got {self.engine!r}")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the service."""
        return self.host in LOCAL
