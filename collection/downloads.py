"""Releases for the desk: one file, or all of them as a zip. Each download is noted."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from django.contrib.admin.views.decorators import staff_member_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET

from collection.export.write import files_of, write_file, write_zip
from collection.models import Release
from surveys import access, audit
from surveys.errors import DomainError
from surveys.models import Study
from surveys.sending import resumable, streamed

WITH_PILOT = "-with-pilot"
"""In the names of files that hold a pilot's people."""


@staff_member_required
@require_GET
def download(request: HttpRequest, slug: str, name: str) -> StreamingHttpResponse:
    """One of the study's files, by name: survey, conversations, utterances, models, paradata."""
    study = exportable(request, slug)
    with_pilot = asks_for_pilot(request)
    if name not in files_of(study, with_pilot=with_pilot):
        raise Http404(name)
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it has been sent
    with told_in_words():
        write_file(study, name, file, with_pilot=with_pilot)
    audit.write(request.user, "exported", study, study, file=name, with_pilot=with_pilot)
    filename = f"{study.slug}{WITH_PILOT * with_pilot}-{name}.jsonl"
    return streamed(request, file, filename, "application/x-ndjson")


@staff_member_required
@require_GET
def download_all(request: HttpRequest, slug: str) -> StreamingHttpResponse:
    """All files and what describes them, as a zip."""
    study = exportable(request, slug)
    file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it has been sent
    with_pilot = asks_for_pilot(request)
    with told_in_words():
        write_zip(study, file, with_pilot=with_pilot)
    audit.write(request.user, "exported", study, study, file="zip", with_pilot=with_pilot)
    filename = f"{study.slug}{WITH_PILOT * with_pilot}.zip"
    return streamed(request, file, filename, "application/zip")


@contextmanager
def told_in_words() -> Iterator[None]:
    """Raises DomainError if there is no room to write what is to be sent."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        raise DomainError(
            "not_written",
            _("The release could not be written: %s. Please tell whoever runs this server.")
            % reason,
        ) from error


def asks_for_pilot(request: HttpRequest) -> bool:
    """Only on this very word are a pilot's people released."""
    return request.GET.get("pilot") == "with"


def exportable(request: HttpRequest, slug: str) -> Study:
    """The study, if the account may take its data away. Who has no part in it learns nothing."""
    study = get_object_or_404(access.studies(request.user, "see"), slug=slug)
    if not access.may(request.user, "export", study):
        raise PermissionDenied
    return study


@staff_member_required
@require_GET
def download_release(request: HttpRequest, slug: str, version: str) -> HttpResponseBase:
    """The archive of a release. A download that broke off may go on, and is noted once."""
    study = exportable(request, slug)
    edition, _dot, patch = version.partition(".")
    if not (edition.isdecimal() and patch.isdecimal()):
        raise Http404(version)
    release = get_object_or_404(study.releases, edition=int(edition), patch=int(patch))
    return send(request, release)


def send(request: HttpRequest, release: Release) -> HttpResponseBase:
    """Raises Http404 if it has no archive, or none any more."""
    if not release.is_whole or not release.path.is_file():
        raise Http404(release.version)
    response = resumable(
        request, release.path, f"{release.name}.zip", "application/zip", release.sha256
    )
    if response.status_code == 200 or response.headers.get("Content-Range", "").startswith(
        "bytes 0-"
    ):
        audit.write(request.user, "exported", release, release.study_id, version=release.version)
    return response
