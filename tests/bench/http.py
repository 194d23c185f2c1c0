"""The least that a browser does: cookies, one connection kept alive, gzip, redirects, sockets.

It shares its processor with the servers that it measures: httpx takes milliseconds per request,
this takes about a fifth of one.
"""

import asyncio
import re
import time
import zlib
from collections.abc import Iterator
from typing import NamedTuple

KEPT_ALIVE_S = 4.0
"""uvicorn closes a connection that was idle for five seconds."""
GZIP = 31  # zlib's way to say it
LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
LOCATION = re.compile(rb"\r\nlocation: *([^\r]+)", re.IGNORECASE)
COOKIE = re.compile(rb"\r\nset-cookie: *([^=]+)=([^;\r]*)", re.IGNORECASE)
ZIPPED = re.compile(rb"\r\ncontent-encoding: *gzip", re.IGNORECASE)
FROM_SCRIPT = b"HX-Request: true\r\n"
SOCKET_KEY = b"cmVmcmFjdC1iZW5jaC0xNg=="  # any sixteen bytes
TEXT_FRAME = 0x81


LOG_SHOWN = 10_000
"""Characters of what servers wrote last, where something went wrong."""


class BenchError(Exception):
    """The servers did something else than what was to be measured."""


class Page(NamedTuple):
    path: str
    text: str


class Browser:
    """ports: of the server's processes; each new connection goes to the next."""

    def __init__(self, ports: Iterator[int]) -> None:
        self.ports = ports
        self._cookies: dict[bytes, bytes] = {}
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter | None = None
        self._used_at = 0.0

    async def get(self, path: str, headers: bytes = b"") -> Page:
        return await self._page(path, b"GET", b"", headers)

    async def post(self, path: str, form: bytes, headers: bytes = b"") -> Page:
        """Send an urlencoded form; the page that it leads to."""
        return await self._page(path, b"POST", form, headers)

    def keep(self, name: str, value: str) -> None:
        """A cookie."""
        self._cookies[name.encode()] = value.encode()

    async def hear(self, path: str, opened: asyncio.Event) -> bool:
        """Open a WebSocket; whether a message came before it was closed."""
        port = next(self.ports)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(
                b"GET %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nOrigin: http://127.0.0.1:%d\r\n"
                b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                b"Sec-WebSocket-Key: %s\r\nCookie: %s\r\n\r\n"
                % (path.encode(), port, port, SOCKET_KEY, self._sent_cookies())
            )
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 101 "):
                raise BenchError(f"{path} opens no socket:\n{head.decode()}")
            opened.set()
            kind, length = await reader.readexactly(2)
            await reader.readexactly(length)
            return kind == TEXT_FRAME
        except asyncio.IncompleteReadError:
            return False
        finally:
            writer.close()

    def close(self) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    def _sent_cookies(self) -> bytes:
        return b"; ".join(b"%s=%s" % pair for pair in self._cookies.items())

    async def _page(self, path: str, method: bytes, form: bytes, headers: bytes) -> Page:
        """The page at the end of the redirects; without text if there is nothing new (204)."""
        head, body = await self._ask(path, method, form, headers)
        while head.startswith(b"HTTP/1.1 302 ") and (found := LOCATION.search(head)):
            path = found[1].decode()
            head, body = await self._ask(path, b"GET", b"", headers)
        if head.startswith(b"HTTP/1.1 204 "):
            return Page(path, "")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise BenchError(f"{path} answers {head[9:12].decode()}:\n{body.decode()}")
        return Page(path, body.decode())

    async def _ask(
        self, path: str, method: bytes, form: bytes, headers: bytes
    ) -> tuple[bytes, bytes]:
        """Head and body of one response."""
        reader, writer = await self._connection()
        writer.write(
            b"%s %s HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\nCookie: %s\r\n%s"
            b"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s"
            % (method, path.encode(), self._sent_cookies(), headers, len(form), form)
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = LENGTH.search(head)
        if length is None and not head.startswith(b"HTTP/1.1 204 "):
            raise BenchError(f"{path} does not say how long its page is:\n{head.decode()}")
        body = await reader.readexactly(int(length[1])) if length else b""
        self._used_at = time.monotonic()
        self._cookies.update(COOKIE.findall(head))
        return head, zlib.decompress(body, GZIP) if ZIPPED.search(head) else body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if time.monotonic() - self._used_at > KEPT_ALIVE_S:
            self.close()
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", next(self.ports)
            )
        return self._reader, self._writer
