"""Connections without a request: how long they last, and how many there may be."""

import asyncio
import contextlib
import resource
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import uvicorn

from ivr.pipeline.serving.connections import limited_connections
from ivr.pipeline.serving.serve import OTHER_HANDLES, _with_handles

IDLE = 0.6
HEAD = b"GET / HTTP/1.1\r\nhost: localhost\r\n"


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """Answer with ``ok`` once the body is there; ``/slow`` takes longer, ``/large`` is so."""
    if scope["path"] == "/slow":
        await asyncio.sleep(2 * IDLE)
    body = b"ok" if scope["path"] != "/large" else bytes(30_000_000)
    length = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """A server that allows four connections."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        answering,
        http=limited_connections(most=4, idle=IDLE, busy=4 * IDLE),
        lifespan="off",
        log_level="error",
        timeout_keep_alive=60,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    yield listener.getsockname()
    server.should_exit = True
    thread.join(20)
    listener.close()


def opened(address: tuple[str, int]) -> socket.socket:
    connection = socket.create_connection(address, timeout=10)
    connection.settimeout(10)
    return connection


def seconds_until_closed(connection: socket.socket, dripped: bytes = b"") -> float:
    """Return after how many seconds the server closes; meanwhile it gets ``dripped`` by bytes."""
    begun, connection_timeout = time.monotonic(), 0.05
    connection.settimeout(connection_timeout)
    drops = iter(dripped)
    while time.monotonic() - begun < 8 * IDLE:
        with contextlib.suppress(TimeoutError):
            try:
                if not connection.recv(1 << 16):
                    break
            except ConnectionError:
                break
        drop = next(drops, None)
        with contextlib.suppress(ConnectionError):
            connection.sendall(b"" if drop is None else bytes([drop]))
    return time.monotonic() - begun


@pytest.mark.parametrize(
    ("first", "dripped"),
    [
        (b"", b""),
        (HEAD, b""),
        (HEAD, b"x-more: " + 1000 * b"y"),
        (HEAD + b"\r\n" + HEAD, 1000 * b"y"),
        (b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5000\r\n\r\n", 1000 * b"y"),
    ],
    ids=[
        "silent",
        "half a head",
        "a head byte by byte",
        "a second head",
        "a body that is not read",
    ],
)
def test_a_connection_without_a_request_is_closed(
    address: tuple[str, int], first: bytes, dripped: bytes
) -> None:
    with opened(address) as connection:
        connection.sendall(first)
        assert 0.8 * IDLE < seconds_until_closed(connection, dripped) < 3 * IDLE


def test_a_request_that_takes_longer_is_answered(address: tuple[str, int]) -> None:
    with opened(address) as connection:
        connection.sendall(HEAD.replace(b"/ ", b"/slow ") + b"\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200")


def test_an_answer_that_is_not_read_does_not_hold_its_connection(address: tuple[str, int]) -> None:
    with opened(address) as connection:
        connection.sendall(HEAD.replace(b"/ ", b"/large ") + b"\r\n")
        time.sleep(8 * IDLE)
        taken = 0
        with contextlib.suppress(ConnectionError):
            while part := connection.recv(1 << 20):
                taken += len(part)
        assert taken < 30_000_000


def test_a_new_connection_takes_the_place_of_the_one_that_waits_longest(
    address: tuple[str, int],
) -> None:
    with ExitStack() as stack:
        waiting = [stack.enter_context(opened(address)) for _ in range(4)]
        time.sleep(0.1)
        with opened(address) as connection:
            connection.sendall(HEAD + b"\r\n")
            assert connection.recv(1000).startswith(b"HTTP/1.1 200")
        waiting[0].settimeout(0.2)
        with contextlib.suppress(ConnectionError):
            assert waiting[0].recv(10) == b""
        waiting[3].sendall(HEAD + b"\r\n")
        assert waiting[3].recv(1000).startswith(b"HTTP/1.1 200")


def test_no_answer_is_broken_off_for_a_new_connection(address: tuple[str, int]) -> None:
    with ExitStack() as stack:
        working = [stack.enter_context(opened(address)) for _ in range(4)]
        for one in working:
            one.sendall(HEAD.replace(b"/ ", b"/slow ") + b"\r\n")
        time.sleep(0.3)
        with opened(address) as connection:
            assert connection.recv(1000).startswith(b"HTTP/1.1 503")
        for one in working:
            assert one.recv(1000).startswith(b"HTTP/1.1 200")


def test_connections_leave_handles_for_files(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = [256, 600]

    def set_limit(_: int, given: tuple[int, int]) -> None:
        limits[:] = given

    monkeypatch.setattr(resource, "getrlimit", lambda _: tuple(limits))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    assert _with_handles(100) == 100
    assert limits == [100 + OTHER_HANDLES, 600]
    assert _with_handles(512) == 600 - OTHER_HANDLES
    assert limits == [600, 600]
