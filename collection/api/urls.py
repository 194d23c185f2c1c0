"""Addresses of the API. The schema and its page are public; all else takes a token or a session."""

from django.urls import URLPattern, path, re_path

from collection.api import (
    endpoints,
    files,
    live,
    participants,
    progress,
    quotas,
    releases,
    schema,
    studies,
    submissions,
)
from collection.api.base import Nowhere

OF_STUDY = "v1/studies/<slug:slug>/"


def one(route: str, view: object, name: str) -> URLPattern:
    return path(route, view.as_view(), name=f"api-{name}")  # type: ignore[attr-defined]


urlpatterns = [
    path("schema/", schema.schema, name="api-schema"),
    path("docs/", schema.docs, name="api-docs"),
    one("v1/account/", studies.Account, "account"),
    one("v1/studies/", studies.Studies, "studies"),
    one(OF_STUDY, studies.OneStudy, "study"),
    one(f"{OF_STUDY}state/", studies.State, "study-state"),
    one(f"{OF_STUDY}check/", studies.Check, "study-check"),
    one(f"{OF_STUDY}versions/", studies.Versions, "study-versions"),
    one(f"{OF_STUDY}design/", studies.Design, "study-design"),
    one(f"{OF_STUDY}progress/", progress.Progress, "progress"),
    one(f"{OF_STUDY}quotas/", quotas.Quotas, "quotas"),
    one(f"{OF_STUDY}quotas/<int:key>/", quotas.OneQuota, "quota"),
    one(f"{OF_STUDY}participants/", participants.Participants, "participants"),
    one(f"{OF_STUDY}participants/<int:key>/", participants.OneParticipant, "participant"),
    one(f"{OF_STUDY}submissions/", submissions.Submissions, "submissions"),
    one(f"{OF_STUDY}submissions/<int:key>/", submissions.OneSubmission, "submission"),
    one(f"{OF_STUDY}submissions/<int:key>/decisions/", submissions.Decisions, "decisions"),
    one(f"{OF_STUDY}live/", live.Live, "live"),
    one(f"{OF_STUDY}releases/", releases.Releases, "releases"),
    one(f"{OF_STUDY}releases/<str:version>/", releases.OneRelease, "release"),
    one(f"{OF_STUDY}releases/<str:version>/publish/", releases.Publishing, "release-publish"),
    one(f"{OF_STUDY}releases/<str:version>/archive/", releases.Archive, "release-archive"),
    one(f"{OF_STUDY}files/", files.Files, "files"),
    one(f"{OF_STUDY}files/all/", files.Zip, "files-zip"),
    one(f"{OF_STUDY}files/<slug:name>/", files.OneFile, "file"),
    one("v1/endpoints/", endpoints.Endpoints, "endpoints"),
    one("v1/endpoints/<int:key>/", endpoints.OneEndpoint, "endpoint"),
    re_path(r"^.*$", Nowhere.as_view(), name="api-nowhere"),
]
