"""The audit log: who saw, changed, exported or decided what, and which row.

Never a participant's words: details are names of fields, numbers and codes.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib.auth import get_user_model
from django.db.models import Model

from surveys.models import AuditEntry, Study

PARTICIPANT = "the participant"
SERVER = "the server"
"""What a chore or a command did, who has no account."""
TEXT_LIMIT = 200


def write(
    actor: Any,
    verb: str,
    row: Model | type[Model],
    study: Study | int | None = None,
    **details: Any,
) -> AuditEntry:
    """Note what somebody did.

    actor: an account, or in words who has none. row: what they did it to, or the model of many
    rows. details: see the module.
    """
    entry = entry_of(actor, verb, row, study, details)
    entry.save()
    return entry


def saw_list(actor: Any, model: type[Model], shown: Iterable[tuple[int, int | None]]) -> None:
    """Note a list that shows people's words. shown: (key, key of its study) of each row."""
    by_study: dict[int | None, list[int]] = {}
    for key, study in shown:
        by_study.setdefault(study, []).append(key)
    AuditEntry.objects.bulk_create(
        entry_of(actor, "saw", model, study, {"rows": keys}) for study, keys in by_study.items()
    )


def entry_of(
    actor: Any,
    verb: str,
    row: Model | type[Model],
    study: Study | int | None,
    details: dict[str, Any],
) -> AuditEntry:
    is_row = isinstance(row, Model)
    account = None if isinstance(actor, str) or not actor.pk else actor
    return AuditEntry(
        actor_id=account.pk if account else None,
        actor_name=account.get_username() if account else str(actor),
        verb=verb,
        object_type=row._meta.label_lower,
        object_id=str(row.pk) if is_row and row.pk is not None else "",
        study_id=study.pk if isinstance(study, Study) else study,
        details={name: checked(value) for name, value in details.items()},
    )


def checked(value: Any) -> Any:
    """Short codes, numbers and lists of them. Longer texts could only be somebody's words."""
    if isinstance(value, list | tuple):
        return [checked(part) for part in value]
    if isinstance(value, dict):
        return {str(key): checked(part) for key, part in value.items()}
    if isinstance(value, bool | int | float) or value is None:
        return value
    text = str(value)
    if len(text) > TEXT_LIMIT:
        raise ValueError(f"too long for the audit log: {len(text)} characters")
    return text


def fields_of(message: Any) -> dict[str, Any]:
    """What Django's admin says of a change, as details: which fields, never their values."""
    if isinstance(message, str):
        return {"note": message[:TEXT_LIMIT]} if message else {}
    fields = [name for part in message for change in part.values() for name in named(change)]
    return {"fields": fields} if fields else {}


def named(change: dict[str, Any]) -> Iterator[str]:
    yield from map(str, change.get("fields", ()))
    if "name" in change:  # a row of an inline form
        yield str(change["name"])


def signed_in(sender: object, user: Any, **_signal: Any) -> None:
    write(user, "signed in", user)


def failed_to_sign_in(sender: object, credentials: dict[str, Any], **_signal: Any) -> None:
    """Of accounts that there are: any other name could be a password in the wrong field."""
    user = get_user_model().objects.filter(username=credentials.get("username", "")).first()
    if user is not None:
        write(user.get_username(), "failed to sign in", user)
