"""What litellm's connections may do: answer. Not lead elsewhere, and not without end."""

import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import httpx

from collection.llm.client import MalformedResponse

LARGEST_BODY = 16 * 2**20
"""Bytes. The longest reply that is kept takes a fortieth of it, even if written as escapes."""
SSL = re.compile(r" ssl:(<[^>]*>|\S+)")
"""In aiohttp's messages: the address of an object in memory."""


class Redirected(Exception):
    """A server sent us elsewhere. Participants' words and keys go to the endpoint that is set."""


class BodyTooLarge(Exception):
    """A server goes on and on."""


class ConnectionFailed(Exception):
    """There is no such server, or it hung up, or what it sent is not HTTP."""


def restrict(transport: Any) -> None:
    """Make a class of httpx transports refuse redirects and endless bodies, once.

    litellm has no setting for either: it follows up to twenty redirects, anywhere, with the
    messages.
    """
    transport.handle_async_request = restricted(transport.handle_async_request)


Handle = Callable[[Any, httpx.Request], Awaitable[httpx.Response]]


def restricted(handle: Handle) -> Handle:
    async def handle_restricted(self: Any, request: httpx.Request) -> httpx.Response:
        response = await handle(self, request)
        if response.has_redirect_location:
            await response.aclose()
            raise Redirected(f"status {response.status_code}, to another address")
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = Bounded(response.stream)
        return response

    return handle_restricted


class Bounded(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for chunk in self._stream:
            received += len(chunk)
            if received > LARGEST_BODY:
                raise BodyTooLarge(f"more than {LARGEST_BODY >> 20} MiB")
            yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


def cause_of(error: BaseException) -> Exception | None:
    """What really happened, where litellm's name for it depends on the provider or hides it."""
    for each in chain(error):
        match each:
            case httpx.HTTPStatusError():
                return None  # the server spoke, and litellm names what it said
            case Redirected() | BodyTooLarge():
                return each
            case json.JSONDecodeError():
                return MalformedResponse(f"not JSON: {each}")
            case httpx.RequestError() if not isinstance(each, httpx.TimeoutException):
                return ConnectionFailed(SSL.sub("", str(each)))
    return None


def chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
