"""What each role may do at the desk and through the API: the only place that says it.

Superusers may do everything. Whoever has no role in a study sees nothing of it.
"""

from typing import Any, Literal, TypeVar, get_args

from django.contrib.auth.models import AnonymousUser, User
from django.db.models import Model, QuerySet

from surveys.models import ApiToken, Membership, Study

Role = Membership.Role
Verb = Literal[
    "see",  # the study's settings and its figures
    "read",  # what participants wrote and did
    "change",  # settings, models, quotas, states
    "recruit",  # places, payments, messages
    "review",  # decide on submissions, code identities, judge flags
    "export",  # take data away
    "withdraw",  # erase a participant's data at their wish
    "audit",  # read the audit log
    "people",  # roles and tokens of others
    "uncover",  # read what was marked as personal information
    "delete",
]
VERBS: tuple[Verb, ...] = get_args(Verb)
CHANGING = frozenset[Verb]({"change", "recruit", "review", "withdraw"})
"""What nobody may do in a study that is a release somebody loaded."""
Somebody = User | AnonymousUser
M = TypeVar("M", bound=Model)

ROLES: dict[str, frozenset[Verb]] = {
    Role.OWNER: frozenset(VERBS),
    Role.RESEARCHER: frozenset(VERBS) - {"people", "uncover", "delete"},
    Role.REVIEWER: frozenset({"see", "read", "review"}),
    Role.READ_ONLY: frozenset({"see", "read"}),
    # By token alone, and then within its scopes: this role opens no page of the desk.
    Role.API_CLIENT: frozenset({"see", "read", "change", "recruit", "review", "export"}),
}
TOKEN_VERBS: tuple[Verb, ...] = ("see", "read", "change", "recruit", "review", "export")
"""What a token may be given: never withdrawals, other people's roles or the log."""


def may(user: Any, verb: Verb, study: Study | int | None) -> bool:
    """Whether an account may do this in a study (or its key) at the desk."""
    if study is None:
        return False
    if verb in CHANGING and is_read_only(study, user):
        return False
    return is_everywhere(user) or verb in at_desk(user, key_of(study))


def may_anywhere(user: Any, verb: Verb) -> bool:
    return is_everywhere(user) or any(verb in at_desk(user, study) for study in roles(user))


def token_may(token: ApiToken, verb: Verb, study: Study | int) -> bool:
    """Whether a token that `tokens.holder` accepted may do this: it never exceeds its account."""
    key = key_of(study)
    if verb not in token.scopes or token.study_id not in (None, key):
        return False
    if verb in CHANGING and is_read_only(study, token.user):
        return False
    return is_everywhere(token.user) or verb in ROLES.get(roles(token.user).get(key, ""), ())


def token_studies(token: ApiToken, verb: Verb) -> QuerySet[Study]:
    """Those in which `token_may` would say yes."""
    if verb not in token.scopes:
        return Study.objects.none()
    of = {study for study, role in roles(token.user).items() if verb in ROLES.get(role, ())}
    everywhere = is_everywhere(token.user)
    found = Study.objects.all() if everywhere else Study.objects.filter(pk__in=of)
    return found if token.study_id is None else found.filter(pk=token.study_id)


def studies(user: Any, verb: Verb) -> QuerySet[Study]:
    """Those in which an account may do this at the desk."""
    return scoped(Study.objects.all(), user, verb, "pk")


def scoped(rows: QuerySet[M], user: Any, verb: Verb, path: str) -> QuerySet[M]:
    """Of some rows, those whose study, by a lookup path, lets the account do this."""
    if not is_everywhere(user):
        return rows.filter(**{f"{path}__in": study_keys(user, verb)})
    if verb in CHANGING and (keys := read_only(user)):
        return rows.exclude(**{f"{path}__in": keys})
    return rows


def study_keys(user: Any, verb: Verb) -> list[int]:
    """Of the studies in which the account has a role that may; superusers have none."""
    keys = [study for study in roles(user) if verb in at_desk(user, study)]
    return [key for key in keys if key not in own_imports(user)] if verb in CHANGING else keys


def at_desk(user: Any, study: int) -> frozenset[Verb]:
    role = roles(user).get(study, "")
    return frozenset() if role == Role.API_CLIENT else ROLES.get(role, frozenset())


def is_everywhere(user: Any) -> bool:
    return bool(user.is_active and user.is_superuser)


def is_read_only(study: Study | int, user: Any) -> bool:
    if isinstance(study, Study):
        return study.is_imported
    return study in (read_only(user) if is_everywhere(user) else own_imports(user))


def read_only(user: Any) -> frozenset[int]:
    """Keys of studies that were imported. Read once for each request, as `roles` are."""
    known: frozenset[int] | None = user.__dict__.get("_read_only")
    if known is None:
        found = Study.objects.filter(is_imported=True).order_by()
        known = frozenset(found.values_list("pk", flat=True))
        user.__dict__["_read_only"] = known
    return known


MINE = ("study", "role", "study__is_imported")


def own_imports(user: Any) -> frozenset[int]:
    """`read_only`, of the studies in which the account has a role."""
    return user.__dict__["_imports"] if roles(user) else frozenset()


def roles(user: Any) -> dict[int, str]:
    """Key of a study -> role in it. Read once for each request, whose user is its own object."""
    if not user.is_authenticated or not user.is_active:
        return {}
    known: dict[int, str] | None = user.__dict__.get("_roles")
    if known is None:
        rows = list(Membership.objects.filter(user=user).values_list(*MINE))
        known = {study: role for study, role, _is_imported in rows}
        user.__dict__["_roles"] = known
        user.__dict__["_imports"] = frozenset(study for study, _role, is_so in rows if is_so)
    return known


def make_owner(user: Any, study: Study) -> None:
    """Of the study that an account has just made. A second time changes nothing."""
    Membership.objects.get_or_create(user=user, study=study, defaults={"role": Role.OWNER})
    user.__dict__.pop("_roles", None)


def is_last_owner(membership: Membership) -> bool:
    owners = Membership.objects.filter(study=membership.study_id, role=Role.OWNER)
    is_owner = owners.filter(pk=membership.pk).exists()
    return is_owner and not owners.exclude(pk=membership.pk).exists()


def key_of(study: Study | int) -> int:
    return study.pk if isinstance(study, Study) else study
