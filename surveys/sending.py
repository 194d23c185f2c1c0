"""Files for downloading, sent piece by piece.

Written to a temporary file first: an error is an error page, never half a file.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import IO

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, StreamingHttpResponse

PIECE = 1 << 16
"""Bytes read and sent at a time."""


def streamed(
    request: HttpRequest, file: IO[bytes], filename: str, content_type: str
) -> StreamingHttpResponse:
    """A file that was written to its end; it is closed when it has been sent."""
    # An ASGI server would read all of an ordinary iterator into memory, a WSGI one of the other.
    is_async = isinstance(request, ASGIRequest)
    size = file.tell()
    file.seek(0)
    return StreamingHttpResponse(
        async_pieces(file) if is_async else pieces(file),
        content_type=content_type,
        headers={
            "Content-Length": str(size),
            "Content-Disposition": f'attachment; filename="{filename}"',
        },
    )


def pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


async def async_pieces(file: IO[bytes]) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece
