"""Releases: asked for, watched while they are built, published, and fetched with resume."""

from typing import Any

from django.http import Http404
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.response import Response

from collection import releases
from collection.api.base import ApiView, described
from collection.api.fields import Strict, Truth, checked
from collection.api.once import once
from collection.api.pages import PageQuery, page, page_of
from collection.api.who import note, study_for
from collection.downloads import send
from collection.models import Release
from surveys.models import Study

TAG = "Releases"
SAME = (
    *("version", "state", "reason", "step", "progress", "is_public", "leave_out_recent"),
    *("with_pilot", "counts", "size", "sha256", "asked_by", "created_at", "built_at"),
    "published_at",
)


class ReleaseShown(serializers.Serializer):
    """A release: an edition, or a patch that mends one and keeps its ids."""

    version = serializers.CharField(help_text="edition.patch")
    state = serializers.ChoiceField(Release.State.values)
    reason = serializers.CharField(help_text="Why it failed or was taken back.")
    step = serializers.CharField()
    progress = serializers.IntegerField(help_text="Per cent.")
    is_public = serializers.BooleanField()
    leave_out_recent = serializers.BooleanField()
    with_pilot = serializers.BooleanField()
    counts = serializers.DictField(help_text="File -> rows, and what else is counted.")
    size = serializers.IntegerField(allow_null=True, help_text="Of its archive, in bytes.")
    sha256 = serializers.CharField(help_text="Of its archive.")
    is_whole = serializers.BooleanField(help_text="Whether there is something to fetch.")
    asked_by = serializers.CharField()
    created_at = serializers.DateTimeField()
    built_at = serializers.DateTimeField(allow_null=True)
    published_at = serializers.DateTimeField(allow_null=True)


def shown(row: Release) -> dict[str, Any]:
    return {name: getattr(row, name) for name in SAME} | {"is_whole": row.is_whole}


def found(study: Study, version: str) -> Release:
    edition, _dot, patch = version.partition(".")
    if not (edition.isdecimal() and patch.isdecimal() and len(version) < 12):
        raise Http404(version)
    rows = study.releases.select_related("study", "first")
    row = rows.filter(edition=int(edition), patch=int(patch)).first()
    if row is None:
        raise Http404(version)
    return row


class ReleaseAsked(Strict):
    is_public = Truth(default=False)
    leave_out_recent = Truth(
        default=False, help_text="Whether people who may still withdraw stay out."
    )
    with_pilot = Truth(default=False)


class Nothing(Strict):
    """An empty object: the address says it all."""


class Releases(ApiView):
    @described(
        "releases_list",
        "A study's releases",
        page_of(ReleaseShown),
        tag=TAG,
        query=PageQuery,
    )
    def get(self, request: Any, slug: str) -> Response:
        rows = study_for(request, slug, "see").releases.all()
        query = checked(PageQuery, request.query_params.dict())
        return page(request, rows, query, shown)

    @described(
        "releases_build",
        "Ask for the next one",
        ReleaseShown,
        tag=TAG,
        said="It is built in the background: read it again until its state is `ready`. One that is "
        "being built with the same options is not begun twice. A public one is refused with "
        "`not_public` and what stands in its way.",
        sent=ReleaseAsked,
        number=202,
        is_kept=True,
    )
    def post(self, request: Any, slug: str) -> Response:
        study = study_for(request, slug, "export")
        return once(request, lambda: self.ask(request, study))

    def ask(self, request: Any, study: Study) -> Response:
        options = checked(ReleaseAsked, request.data)
        release = releases.ask(study, request.user.get_username(), **options)
        note(request, "asked for", release, study, **options)
        return Response(shown(release), status=202)


class OneRelease(ApiView):
    @described("releases_read", "One release, and how far it is", ReleaseShown, tag=TAG)
    def get(self, request: Any, slug: str, version: str) -> Response:
        return Response(shown(found(study_for(request, slug, "see"), version)))


class Publishing(ApiView):
    @described(
        "releases_publish",
        "Publish",
        ReleaseShown,
        tag=TAG,
        said="It changes no more. A second time changes nothing.",
        sent=Nothing,
        is_kept=True,
    )
    def post(self, request: Any, slug: str, version: str) -> Response:
        study = study_for(request, slug, "export")
        return once(request, lambda: self.publish(request, study, version))

    def publish(self, request: Any, study: Study, version: str) -> Response:
        checked(Nothing, request.data)
        release = found(study, version)
        releases.publish(release, request.user)
        return Response(shown(release))


class Archive(ApiView):
    is_heavy = True
    http_method_names = ["get"]

    @described(
        "releases_fetch",
        "Its archive",
        {
            (200, "application/zip"): OpenApiTypes.BINARY,
            (206, "application/zip"): OpenApiTypes.BINARY,
        },
        tag=TAG,
        said="A download that broke off goes on with `Range`: `curl -C - -OJ`.",
    )
    def get(self, request: Any, slug: str, version: str) -> HttpResponseBase:
        study = study_for(request, slug, "export")
        return send(request._request, found(study, version))
