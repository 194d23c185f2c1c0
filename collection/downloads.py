"""Releases for the desk: one file, or all of them as a zip.

Written to a temporary file first: an error is an error page, never half a release.
"""

import asyncio
import tempfile
from collections.abc import AsyncIterator, Iterator
from typing import IO

from django.contrib.admin.views.decorators import staff_member_required
from django.core.handlers.asgi import ASGIRequest
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET

from collection.export.write import files_of, write_file, write_zip
from surveys.models import Study

PIECE = 1 << 16
"""Bytes read and sent at a time."""
WITH_PILOT = "-with-pilot"
"""In the names of files that hold a pilot's people."""


@staff_member_required
@require_GET
def download(request: HttpRequest, slug: str, name: str) -> StreamingHttpResponse:
    """One of the study's files, by name: survey, conversations, utterances, models, paradata."""
    study = get_object_or_404(Study, slug=slug)
    with_pilot = asks_for_pilot(request)
    if name not in files_of(study, with_pilot=with_pilot):
        raise Http404(name)
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it has been sent
    write_file(study, name, file, with_pilot=with_pilot)
    filename = f"{study.slug}{WITH_PILOT * with_pilot}-{name}.jsonl"
    return streamed(request, file, filename, "application/x-ndjson")


@staff_member_required
@require_GET
def download_all(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """All files and what describes them, as a zip."""
    study = get_object_or_404(Study, slug=slug)
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it has been sent
    with_pilot = asks_for_pilot(request)
    write_zip(study, file, with_pilot=with_pilot)
    filename = f"{study.slug}{WITH_PILOT * with_pilot}.zip"
    return streamed(request, file, filename, "application/zip")


def asks_for_pilot(request: HttpRequest) -> bool:
    """Only on this very word are a pilot's people released."""
    return request.GET.get("pilot") == "with"


def streamed(
    request: HttpRequest, file: IO[bytes], filename: str, content_type: str
) -> StreamingHttpResponse:
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
