"""What stands before the service: host names, the token, the size of a request and its time.

Plain ASGI middleware, so that a request is refused before its body is read.
"""

import asyncio
import hmac
import json
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .serve_config import LOCAL

CONTENT_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": CONTENT_POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "cache-control": "no-store",
}
OPEN = ("/", "/page.js", "/page.css", "/favicon.ico", "/health")
"""Paths that need no token: the page, which asks for it, and the health check."""


class Guards:
    """Refuses what the service shall not even read, and adds the headers of every answer."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        token: str,
        most_bytes: int,
        time_limit: float,
        most_requests: int,
    ) -> None:
        """Stand before ``app``.

        Args:
            app: the service.
            token: secret that a request must bear. With ``""`` for none, requests must name this
                machine as localhost does: another name is that of another site, which was pointed
                here so that its pages can ask.
            most_bytes: largest body of a request.
            time_limit: seconds after which a request is given up.
            most_requests: largest number of requests at a time.
        """
        self.app, self.token = app, token.encode()
        self.most_bytes, self.time_limit = most_bytes, time_limit
        self.free = most_requests

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(_with_headers(send), *refusal)
            return
        self.free -= 1
        try:
            await self._passed(scope, receive, _with_headers(send))
        finally:
            self.free += 1

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name: value for name, value in scope["headers"]}
        host = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if not self.token and host not in LOCAL:
            return 421, f"without a token this service is asked as {LOCAL[0]} only"
        if self.token and scope["path"] not in OPEN and not self._is_authorised(headers):
            return 401, "a token is needed: Authorization: Bearer TOKEN"
        length = headers.get(b"content-length", b"0")
        if not length.isdigit() or int(length) > self.most_bytes:
            return 413, f"at most {self.most_bytes} bytes are taken"
        if self.free < 1:
            return 503, "too many requests at a time; come back in a second"
        return None

    def _is_authorised(self, headers: dict[bytes, bytes]) -> bool:
        kind, _, given = headers.get(b"authorization", b"").partition(b" ")
        return kind.lower() == b"bearer" and hmac.compare_digest(given.strip(), self.token)

    async def _passed(self, scope: Scope, receive: Receive, send: Send) -> None:
        taken, begun, refused = 0, False, False

        async def limited() -> Message:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > self.most_bytes:
                raise ConnectionAbortedError
            return message

        async def noted(message: Message) -> None:
            # The application makes an answer of its own of the error in its reading.
            nonlocal begun, refused
            refused = refused or (taken > self.most_bytes and not begun)
            begun = True
            if not refused:
                await send(message)

        try:
            async with asyncio.timeout(self.time_limit):
                await self.app(scope, limited, noted)
        except ConnectionAbortedError:
            refused = not begun
        except TimeoutError:
            if not begun:
                await _answer(send, 504, f"not answered within {self.time_limit:g} s")
        if refused:
            await _answer(send, 413, f"at most {self.most_bytes} bytes are taken")


def _host_name(host: str) -> str:
    """Return the name in a Host header, without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0] if ":" in host else host


def _with_headers(send: Send) -> Send:
    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = {name.lower() for name, _ in message.get("headers", ())}
            more = [
                (name.encode(), value.encode())
                for name, value in HEADERS.items()
                if name.encode() not in given
            ]
            message = {**message, "headers": [*message.get("headers", ()), *more]}
        await send(message)

    return sent


async def _answer(send: Send, status: int, text: str) -> None:
    body = json.dumps({"error": text}).encode()
    headers: list[Any] = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"connection", b"close"),
        *([(b"retry-after", b"1")] if status == 503 else []),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
