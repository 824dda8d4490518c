"""What stands before the service: host names, the token, the size of a request and its time.

Plain ASGI middleware, so that a request is refused before its body is read.
"""

import asyncio
import hmac
import json
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .deadline import request_deadline
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
_READS = ("GET", "HEAD")


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
        count: Callable[[str, int], None],
    ) -> None:
        """Stand before ``app``.

        Args:
            app: the service.
            token: secret that a request must bear. With ``""`` for none, the Host header of a
                request must be a name of the local machine. This stops DNS rebinding, where another
                site lets its own name resolve to this machine.
            most_bytes: largest body of a request.
            time_limit: seconds after which a request is given up.
            most_requests: largest number of requests at a time.
            count: called with the route and the status of each answer.
        """
        self.app, self.token = app, token.encode()
        self.most_bytes, self.time_limit = most_bytes, time_limit
        self.free = most_requests
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        send = self._counted(scope, _with_headers(send))
        refusal = self._refusal(scope)
        if refusal is not None:
            await _answer(send, *refusal)
            return
        self.free -= 1
        try:
            with request_deadline(self.time_limit):
                await self._passed(scope, receive, send)
        finally:
            self.free += 1

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        headers = {name: value for name, value in scope["headers"]}
        host = _host_name(headers.get(b"host", b"").decode("latin-1"))
        if not self.token and host not in LOCAL:
            return 421, f"without a token this service is asked as {LOCAL[0]} only"
        if not _is_own(headers) and not (scope["path"] in OPEN and scope["method"] in _READS):
            return 403, "pages of other sites may not use this service"
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

    def _counted(self, scope: Scope, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.count(getattr(scope.get("route"), "path", "other"), message["status"])
            await send(message)

        return counted

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
    """Return the name in a Host header, in small letters, without its port and a last dot."""
    host = host.lower()
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return (host.rpartition(":")[0] if ":" in host else host).removesuffix(".")


def _is_own(headers: dict[bytes, bytes]) -> bool:
    """Return whether a request comes from the page of the service, or from no page at all.

    ``Sec-Fetch-Site`` is what browsers say of a request, and no page can change it; it is right
    behind a proxy, too, which may change the Host header. Browsers without it send ``Origin``.
    """
    site = headers.get(b"sec-fetch-site")
    if site is not None:
        return site.strip().lower() in (b"same-origin", b"none")
    origin = headers.get(b"origin")
    if origin is None:
        return True
    try:
        there = urlsplit(origin.decode("latin-1")).netloc.lower()
    except ValueError:
        return False
    return there != "" and there == headers.get(b"host", b"").decode("latin-1").lower()


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
