"""Files for downloading, sent piece by piece.

Written to a temporary file first: an error is an error page, never half a file.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import IO

from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase

PIECE = 1 << 16
"""Bytes read and sent at a time."""


class Part:
    """So many bytes of an open file, from where it stands."""

    def __init__(self, file: IO[bytes], left: int) -> None:
        self.file = file
        self.left = left

    def read(self, most: int) -> bytes:
        piece = self.file.read(min(most, self.left))
        self.left -= len(piece)
        return piece

    def __enter__(self) -> "Part":
        return self

    def __exit__(self, *_raised: object) -> None:
        self.file.close()


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


def pieces(file: IO[bytes] | Part) -> Iterator[bytes]:
    with file:
        while piece := file.read(PIECE):
            yield piece


async def async_pieces(file: IO[bytes] | Part) -> AsyncIterator[bytes]:
    with file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


# Files that stay: a download that broke off goes on where it was


def resumable(
    request: HttpRequest, path: Path, filename: str, content_type: str, sha256: str
) -> HttpResponseBase:
    """A file that never changes, or the part of it that is asked for. sha256: of the whole.

    Of several ranges in one request the whole is sent, as the standard allows.
    """
    etag = f'"{sha256}"'
    size = path.stat().st_size
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": etag,
        "Content-Disposition": f'attachment; filename="{filename}"',
        # Compressed once more by a middleware its ranges would be of something else.
        "Content-Encoding": "identity",
    }
    if request.headers.get("If-None-Match") in (etag, "*"):
        return HttpResponse(status=304, headers={"ETag": etag})
    asked = request.headers.get("Range", "")
    if request.headers.get("If-Range", etag) != etag:
        asked = ""
    span = span_of(asked, size)
    if span is None:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    start, stop = span
    is_part = bool(asked) and (start, stop) != (0, size)
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    headers["Content-Length"] = str(stop - start)
    file = path.open("rb")
    file.seek(start)
    part = Part(file, stop - start)
    content = async_pieces(part) if isinstance(request, ASGIRequest) else pieces(part)
    return StreamingHttpResponse(
        content, status=206 if is_part else 200, content_type=content_type, headers=headers
    )


RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def span_of(asked: str, size: int) -> tuple[int, int] | None:
    """(first byte, the one after the last); all of it if nothing sensible was asked for; None:
    beyond the end."""
    found = RANGE.fullmatch(asked.replace(" ", ""))
    if found is None or not (found[1] or found[2]):
        return 0, size
    if not found[1]:  # so many at the end
        return (max(0, size - int(found[2])), size) if int(found[2]) and size else None
    start = int(found[1])
    stop = min(size, int(found[2]) + 1) if found[2] else size
    if found[2] and int(found[2]) < start:
        return 0, size
    return (start, stop) if start < size else None
