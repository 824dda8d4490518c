"""Serves an archive over HTTP until a signal ends it."""

import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ivr.pipeline.runtime.config_options import with_options
from ivr.pipeline.runtime.progress import say, warn

from .resident import ResidentArchive
from .serve_config import ServeConfig
from .service_errors import ServeError

TOKEN = "IVR_TOKEN"
"""Environment variable with the token; an option would be seen by other users of the machine."""
SHORTEST_TOKEN = 16
IDLE_SECONDS = 15.0
"""A connection that has sent no whole head of a request for as many seconds is closed."""
OTHER_HANDLES = 384
"""Handles of files and pipes beside those of the connections."""
EXTRA = "pip install 'image-voice-hashing[serve]'"


def serve(
    archive: str | Path,
    config: ServeConfig | None = None,
    *,
    model: str | Path | None = None,
    token: str | None = None,
    started: Callable[[str], None] | None = None,
    **options: Any,
) -> None:
    """Serve ``archive`` over HTTP until SIGINT or SIGTERM.

    Args:
        archive: an archive; with ``engine`` also a packed model.
        config: how it is served; the defaults if None.
        model: a packed model, by default the one that the archive was created with.
        token: secret that requests must bear, by default that in the variable ``IVR_TOKEN``.
        started: called with the address once the service answers.
        **options: single values in place of those of ``config``, e.g. ``port=8080``.

    Raises:
        OptionError: no such option.
        ServeError: no token for an address that others can reach, a port that is taken, or a
            missing library.
        ArchiveError, PackError, PostgresError: archive, model or database cannot be used.
    """
    config = with_options(config or ServeConfig(), options)
    secret = _token(config, token)
    try:
        import fastapi  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise ServeError(f"ivr serve needs {error.name}: {EXTRA}") from error
    from .application import application
    from .connections import limited_connections
    from .guards import Guards

    listener = _listening(config)
    resident = ResidentArchive(archive, config, model)
    try:
        app = application(resident)
        guarded = Guards(
            app,
            token=secret,
            most_bytes=config.upload_megabytes * 1_000_000,
            time_limit=config.time_limit,
            most_requests=config.requests,
            count=app.state.metrics.count,
        )
        settings = uvicorn.Config(
            guarded,
            http=limited_connections(
                most=_with_handles(config.connections),
                idle=IDLE_SECONDS,
                busy=config.time_limit + IDLE_SECONDS,
            ),
            backlog=128,  # so many connections are taken at a time, before they are counted
            log_level=logging.WARNING,
            access_log=False,
            server_header=False,
            timeout_keep_alive=int(IDLE_SECONDS),
            timeout_graceful_shutdown=5,
        )
        port = listener.getsockname()[1]
        host = f"[{config.host}]" if ":" in config.host else config.host
        address = f"http://{host}:{port}/"

        class Server(uvicorn.Server):
            async def startup(self, sockets: Any = None) -> None:
                await super().startup(sockets)
                say(f"{archive}: {address} (Ctrl-C ends it)")
                if started is not None:
                    started(address)

        server = Server(settings)
        try:
            server.run([listener])
        except KeyboardInterrupt:  # uvicorn repeats the signal that ended it
            if not server.should_exit:
                raise
    finally:
        resident.close()
        listener.close()


def _token(config: ServeConfig, token: str | None) -> str:
    secret = os.environ.get(TOKEN, "") if token is None else token
    if not secret and not config.is_local:
        raise ServeError(
            f"{config.host} can be reached from other machines; set a token in the variable "
            f"{TOKEN}, e.g. {TOKEN}=$(openssl rand -hex 16)"
        )
    if secret and (
        len(secret) < SHORTEST_TOKEN or not secret.isascii() or not secret.isprintable()
    ):
        raise ServeError(
            f"a token has at least {SHORTEST_TOKEN} plain characters; {TOKEN} has another one"
        )
    return secret


def _with_handles(connections: int) -> int:
    """Return how many connections there are handles for; the soft limit is raised if need be."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + OTHER_HANDLES
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return connections
    limit = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    most = min(connections, max(1, limit - OTHER_HANDLES))
    if most < connections:
        warn(f"{most} connections at a time instead of {connections}: the limit is {limit} files")
    return most


def _listening(config: ServeConfig) -> Any:
    """Return a socket that listens on the address of ``config``."""
    import socket

    try:
        family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
        listener = socket.create_server((config.host, config.port), family=family)
    except OSError as error:
        raise ServeError(
            f"{config.host}:{config.port}: cannot listen there ({error.strerror or error}); take "
            "another --port"
        ) from error
    # asyncio does not see that this is TCP; without it each answer waits 40 ms for the client.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener
