"""Limits on connections: how many are open, and how long each may wait without a request.

Whoever can connect needs no token for it, so that neither silent connections nor heads that come
byte by byte may use up the handles of the process.
"""

import asyncio
import time
from typing import Any

from uvicorn.protocols.http.h11_impl import H11Protocol

_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n"
    b"content-length: 0\r\n\r\n"
)


class LimitedConnection(H11Protocol):
    """One connection; see :func:`limited_connections`."""

    most: int
    idle: float
    busy: float

    def connection_made(self, transport: Any) -> None:
        """Make room for the connection, or refuse it."""
        self._timer: asyncio.TimerHandle | None = None
        self._state: Any = None
        self._since = time.monotonic()
        super().connection_made(transport)
        if len(self.connections) > self.most and not self._close_longest_waiting():
            transport.write(_FULL)
            transport.close()
        self._follow()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request."""
        if not self.transport.is_closing():
            super().data_received(data)
            self._follow()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._follow()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        if self._timer is not None:
            self._timer.cancel()
        super().connection_lost(exc)

    @property
    def waits(self) -> bool:
        """Whether the connection has no request that is being answered."""
        return self.cycle is None or self.cycle.response_complete

    def _close_longest_waiting(self) -> bool:
        others = [
            one
            for one in self.connections
            if isinstance(one, LimitedConnection) and one is not self and one.waits
        ]
        if not others:
            return False
        longest = min(others, key=lambda one: one._since)
        self.connections.discard(longest)
        longest.transport.abort()
        return True

    def _follow(self) -> None:
        """Start the time of a state that is another one than before."""
        state = (self.cycle, self.waits)
        if state != self._state:
            self._state, self._since = state, time.monotonic()
            self._wait(self.transport.get_write_buffer_size())

    def _wait(self, unread: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        seconds = self.idle if self.waits else self.busy
        self._timer = self.loop.call_later(seconds, self._overdue, unread)

    def _overdue(self, before: int) -> None:
        unread = self.transport.get_write_buffer_size()
        if 0 < unread < before:
            self._wait(unread)
        else:
            self.transport.abort()


def limited_connections(*, most: int, idle: float, busy: float) -> type[H11Protocol]:
    """Return a protocol for uvicorn whose connections have limits.

    Args:
        most: largest number of open connections. For one more, that which has waited longest for a
            request is closed; if none waits, the new one gets status 503.
        idle: seconds until a whole head of a request must be there, from the opening of the
            connection or the end of the last answer.
        busy: seconds until a request must be answered, from its head. A client that reads an answer
            slowly gets the same time again as long as it reads.
    """
    limits = {"most": most, "idle": idle, "busy": busy}
    return type("LimitedConnection", (LimitedConnection,), limits)
