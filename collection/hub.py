"""Pushing a published release to the Hugging Face hub: the only module that speaks to it.

What is pushed is the archive, unpacked: the very bytes that were built. A patch takes the place of
what it mends there, too: old tags go and the history is squashed, or the rows of people who
withdrew would stay in it.
"""

import importlib.util
import logging
import tempfile
from pathlib import Path
from typing import Any
from zipfile import ZipFile

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from collection.models import Release
from surveys import audit
from surveys.errors import DomainError

log = logging.getLogger("refract.releases")

KEPT = {".gitattributes"}
"""The hub's own."""
WAITING, PUSHING, DONE, FAILED = "waiting", "pushing", "done", "failed"


def is_there() -> bool:
    """Whether the client library, an optional extra, is installed."""
    return importlib.util.find_spec("huggingface_hub") is not None


def obstacle() -> str:
    """Why nothing can be pushed from this server, in words; empty if it can."""
    if not settings.HUB_TOKEN:
        return _("REFRACT_HUB_TOKEN is not set on this server.")
    if not is_there():
        return _("This server lacks the library: pip install 'refract[hub]'.")
    return ""


@transaction.atomic
def ask(release: Release, by: Any) -> None:
    """Queue the push of a published release. A second time, while it waits, changes nothing.

    Raises DomainError if it is not published, or there is nowhere to push it.
    """
    row = Release.objects.select_for_update(of=("self",)).get(pk=release.pk)
    repository = row.study.statement.hub_repository
    if row.state != Release.State.PUBLISHED:
        raise DomainError("not_published", _("Publish it first: what is pushed is public."))
    if words := obstacle():
        raise DomainError("no_hub", words)
    if not repository:
        raise DomainError("no_repository", _("Say in the statement to which repository it goes."))
    if row.push_state in (WAITING, PUSHING):
        return
    row.push_to, row.push_state, row.push_reason = repository, WAITING, ""
    row.save(update_fields=["push_to", "push_state", "push_reason"])
    audit.write(by, "asked to push", row, row.study_id, version=row.version)


def run(key: int) -> bool:
    """Push a release that waits for it, in this process; whether it did."""
    waiting = Release.objects.filter(pk=key, push_state__in=(WAITING, PUSHING))
    if not waiting.update(push_state=PUSHING, push_heard_at=timezone.now()):
        return False
    release = Release.objects.select_related("study", "first").get(pk=key)
    mine = Release.objects.filter(pk=key, push_state=PUSHING)
    try:
        push(release)
    except Exception as error:
        log.exception("release %s could not be pushed", key)
        mine.update(push_state=FAILED, push_reason=in_words(error)[:500])
    else:
        mine.update(push_state=DONE, push_reason="", pushed_at=timezone.now())
        audit.write(audit.SERVER, "pushed", release, release.study_id, version=release.version)
    return True


def in_words(error: Exception) -> str:
    status: int | None = getattr(getattr(error, "response", None), "status_code", None)
    if status in (401, 403):
        return _("The hub refuses REFRACT_HUB_TOKEN for this repository.")
    if status is not None:
        return _("The hub answered with status %d.") % status
    if isinstance(error, FileNotFoundError):
        return _("Its archive is gone.")
    return _("The hub could not be reached: %s.") % type(error).__name__


def push(release: Release) -> None:
    """A repository that there is not yet is made private: opening it is done at the hub."""
    from huggingface_hub import HfApi

    api = HfApi(endpoint=settings.HUB_URL, token=settings.HUB_TOKEN, library_name="refract")
    at: dict[str, Any] = {"repo_id": release.push_to, "repo_type": "dataset"}
    api.create_repo(**at, private=True, exist_ok=True)
    if not is_newest(release):
        # What is shown there is a later edition; of this one nothing may stay that was mended.
        forget_earlier(api, at, release)
        return
    with tempfile.TemporaryDirectory(dir=settings.RELEASES_DIR) as folder:
        with ZipFile(release.path) as archive:
            archive.extractall(folder)
        commit(api, at, Path(folder) / release.name, f"Release {release.version}")
    if release.patch:
        forget_earlier(api, at, release)
    api.create_tag(**at, tag=release.version, exist_ok=True)


def commit(api: Any, at: dict[str, Any], folder: Path, message: str) -> None:
    """The repository then holds what the folder holds, from one moment to the next: the client's
    upload_folder makes several commits, and a reader might meet half a release."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    paths = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    gone = set(api.list_repo_files(**at)) - paths.keys() - KEPT
    operations = [
        *(CommitOperationAdd(name, path) for name, path in sorted(paths.items())),
        *(CommitOperationDelete(name) for name in sorted(gone)),
    ]
    api.create_commit(**at, operations=operations, commit_message=message)


def is_newest(release: Release) -> bool:
    later = Release.objects.filter(
        study=release.study_id, push_to=release.push_to, edition__gt=release.edition
    )
    return not later.filter(push_state=DONE).exists()


def forget_earlier(api: Any, at: dict[str, Any], release: Release) -> None:
    """The versions that a patch mends, and all history in which their rows are."""
    gone = {f"{release.edition}.{patch}" for patch in range(release.patch)}
    for ref in api.list_repo_refs(**at).tags:
        if ref.name in gone:
            api.delete_tag(**at, tag=ref.name)
    api.super_squash_history(**at)
