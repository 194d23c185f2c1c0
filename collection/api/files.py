"""What a study's release would hold now: its files, one by one or all together."""

import tempfile
from typing import Any

from django.http import Http404, StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from rest_framework import serializers
from rest_framework.response import Response

from collection.api.base import ApiView, described
from collection.api.fields import Strict, checked
from collection.api.who import note, study_for
from collection.export.write import files_of, write_file, write_zip
from surveys.sending import streamed

TAG = "Files"
LINES = "application/x-ndjson"


class FilesQuery(Strict):
    pilot = serializers.ChoiceField(
        ["with", "without"], default="without", help_text="Whether a pilot's people are in it."
    )


class FilesShown(serializers.Serializer):
    files = serializers.ListField(child=serializers.CharField())


class Files(ApiView):
    @described(
        "files_list", "The files that a release would have", FilesShown, tag=TAG, query=FilesQuery
    )
    def get(self, request: Any, slug: str) -> Response:
        study = study_for(request, slug, "export")
        query = checked(FilesQuery, request.query_params.dict())
        return Response({"files": list(files_of(study, with_pilot=query["pilot"] == "with"))})


class OneFile(ApiView):
    is_heavy = True
    http_method_names = ["get"]

    @described(
        "files_read",
        "One of them as JSON lines",
        {(200, LINES): OpenApiTypes.STR},
        tag=TAG,
        said="As the study stands: the same data give the same bytes.",
        query=FilesQuery,
    )
    def get(self, request: Any, slug: str, name: str) -> StreamingHttpResponse:
        study = study_for(request, slug, "export")
        with_pilot = checked(FilesQuery, request.query_params.dict())["pilot"] == "with"
        if name not in files_of(study, with_pilot=with_pilot):
            raise Http404
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it has been sent
        write_file(study, name, file, with_pilot=with_pilot)
        note(request, "exported", study, study, file=name, with_pilot=with_pilot)
        return streamed(request._request, file, f"{study.slug}-{name}.jsonl", LINES)


class Zip(ApiView):
    is_heavy = True
    http_method_names = ["get"]

    @described(
        "files_zip",
        "All of them and what describes them, as a zip",
        {(200, "application/zip"): OpenApiTypes.BINARY},
        tag=TAG,
        query=FilesQuery,
    )
    def get(self, request: Any, slug: str) -> StreamingHttpResponse:
        study = study_for(request, slug, "export")
        with_pilot = checked(FilesQuery, request.query_params.dict())["pilot"] == "with"
        file = tempfile.TemporaryFile()  # noqa: SIM115 -- closed when it has been sent
        write_zip(study, file, with_pilot=with_pilot)
        note(request, "exported", study, study, file="zip", with_pilot=with_pilot)
        return streamed(request._request, file, f"{study.slug}.zip", "application/zip")
