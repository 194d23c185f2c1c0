"""What a researcher asks of a recruiter: studies made, published, raised, paused.

Nothing is sent from here: `outbox` does, and once.
"""

import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from django.db import transaction
from django.utils.translation import gettext as _

from surveys import recruitment_table, submissions
from surveys.errors import DomainError
from surveys.models import (
    CompletionCode,
    Delivery,
    Invitation,
    Outcome,
    Recruitment,
    Stage,
    Study,
)
from surveys.requests import ask

Kind = Delivery.Kind

PARAMETERS = "?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
"""What Prolific fills in for each person."""

# Setting up


@transaction.atomic
def load_table(
    study: Study, data: bytes, table: str, currency: str = "GBP", description: str = ""
) -> list[Recruitment]:
    """All recruitments of a table, or none and TableErrors. The same `table` twice loads once."""
    Study.objects.select_for_update().get(pk=study.pk)
    known = list(study.recruitments.filter(table=table))
    if known:
        return known
    found = recruitment_table.read(study, data, currency)
    for row in found:
        row.table, row.description = table, description
        row.save()
        add_codes(row)
    return found


ENDINGS = (
    (Outcome.COMPLETE, ""),
    (Outcome.NO_CONSENT, ""),
    (Outcome.SCREENED_OUT, ""),
    (Outcome.FAILED_CHECKS, ""),
    (Outcome.PARTIAL, Stage.CONSENTED),
    (Outcome.PARTIAL, Stage.SURVEY),
    (Outcome.PARTIAL, Stage.CONVERSATIONS),
    (Outcome.TECHNICAL, ""),
)


def add_codes(recruitment: Recruitment) -> None:
    """A code for every way to end, where there is none. Only finishing is paid until told so."""
    known = {(row.outcome, row.stage) for row in recruitment.codes.all()}
    for outcome, stage in ENDINGS:
        if (outcome, stage) not in known:
            pay = recruitment.reward if outcome == Outcome.COMPLETE else 0
            recruitment.codes.create(outcome=outcome, stage=stage, pay=pay)


def siblings(recruitment: Recruitment) -> list[Recruitment]:
    """The others of its table: they exclude each other's participants."""
    if not recruitment.table:
        return []
    same = Recruitment.objects.filter(study=recruitment.study_id, table=recruitment.table)
    return list(same.exclude(pk=recruitment.pk))


def obstacles(recruitment: Recruitment, base_url: str) -> list[str]:
    """Why the study can't be made at Prolific yet, in sentences."""
    found = []
    if not base_url.startswith("https://") and not is_local(base_url):
        found.append(_("People at Prolific must reach this site by https: set REFRACT_URL."))
    if not recruitment.places:
        found.append(_("It has no number of places."))
    if not recruitment.reward:
        found.append(_("It has no reward."))
    if not (recruitment.description or recruitment.study.payment):
        found.append(_("It has no description for people at Prolific."))
    if not recruitment.codes.filter(outcome=Outcome.COMPLETE).exists():
        found.append(_("It has no completion code for those who finish."))
    return found


def is_local(url: str) -> bool:
    return url.startswith(("http://127.0.0.1", "http://localhost", "http://testserver"))


# What is sent


def study_at_prolific(recruitment: Recruitment, base_url: str) -> dict[str, Any]:
    """The study as Prolific's API wants it; filters still have labels where it wants ids."""
    study = recruitment.study
    body: dict[str, Any] = {
        "name": recruitment.title or study.title,
        "internal_name": recruitment.internal_name,
        "description": recruitment.description or study.payment,
        "external_study_url": base_url.rstrip("/") + study.get_absolute_url() + PARAMETERS,
        "prolific_id_option": "url_parameters",
        "completion_codes": [code_at_prolific(row) for row in recruitment.codes.all()],
        "total_available_places": recruitment.places,
        "estimated_completion_time": recruitment.minutes,
        "reward": recruitment.reward,
        "device_compatibility": ["desktop", "tablet", "mobile"],
        "filters": [*recruitment.filters],
    }
    if recruitment.sample == recruitment_table.BALANCED:
        body["study_type"] = "QUOTA"
        body["filters"].append(
            {"filter_id": "sex", "labels": ["Male", "Female"], "weights": [1, 1]}
        )
    elif recruitment.sample:
        body["study_type"] = recruitment.sample
    return body


CODE_TYPES = {
    Outcome.COMPLETE: "COMPLETED",
    Outcome.NO_CONSENT: "NO_CONSENT",
    Outcome.SCREENED_OUT: "OTHER",
    Outcome.FAILED_CHECKS: "FAILED_ATTENTION_CHECK",
    Outcome.PARTIAL: "OTHER",
    Outcome.TECHNICAL: "OTHER",
}
RETURN_REASONS = {
    Outcome.NO_CONSENT: "Withdrew consent",
    Outcome.SCREENED_OUT: "Did not fit this study",
    Outcome.PARTIAL: "Didn't finish the study",
    Outcome.TECHNICAL: "Encountered technical problems",
}


def code_at_prolific(row: CompletionCode) -> dict[str, Any]:
    """What entering the code sets off there. Pay other than the whole follows as a bonus."""
    outcome = Outcome(row.outcome)
    if outcome == Outcome.SCREENED_OUT and row.pay:
        action: dict[str, Any] = {
            "action": "FIXED_SCREEN_OUT_PAYMENT",
            "fixed_screen_out_reward": row.pay,
            "slots": row.recruitment.places,
        }
        return {"code": row.code, "code_type": "FIXED_SCREENOUT", "actions": [action]}
    if outcome in RETURN_REASONS:
        action = {"action": "REQUEST_RETURN", "return_reason": RETURN_REASONS[outcome]}
    else:
        action = {"action": "MANUALLY_REVIEW"}
    return {"code": row.code, "code_type": CODE_TYPES[outcome], "actions": [action]}


class Planned(NamedTuple):
    """One call, as the dry run shows it."""

    what: str
    method: str
    path: str
    body: Mapping[str, Any]
    notes: tuple[str, ...] = ()


def dry_run(recruitments: Iterable[Recruitment], base_url: str) -> Iterator[Planned]:
    """All calls that creating and publishing would make, in order."""
    todo = [row for row in recruitments if row.is_prolific]
    for row in todo:
        if not row.external_id:
            body = study_at_prolific(row, base_url)
            note = _("Labels of filters are replaced by Prolific's ids, read from /filters/.")
            what = _("Create %s") % row
            yield Planned(what, "POST", "/studies/", body, (note, *obstacles(row, base_url)))
    for row in todo:
        if row.state in (Recruitment.State.DRAFT, Recruitment.State.CREATED):
            at = f"/studies/{row.external_id or _('(id of %s)') % row}/"
            if others := siblings(row):
                body = {"filters": [*study_at_prolific(row, base_url)["filters"], excluded(others)]}
                yield Planned(_("Exclude the others’ participants"), "PATCH", at, body)
            yield Planned(_("Publish %s") % row, "POST", f"{at}transition/", {"action": "PUBLISH"})


def excluded(others: Iterable[Recruitment]) -> dict[str, Any]:
    ids = [row.external_id or _("(id of %s)") % row for row in others]
    return {"filter_id": "previous_studies_blocklist", "selected_values": ids}


# Asking


def create(recruitment: Recruitment, base_url: str, by: str = "") -> Delivery:
    """Have the study made at Prolific, unpublished. Raises DomainError with what is missing."""
    needs_prolific(recruitment)
    if found := obstacles(recruitment, base_url):
        raise DomainError("not_ready", f"{recruitment}: {' '.join(found)}")
    body = study_at_prolific(recruitment, base_url)
    return ask(recruitment, Kind.CREATE, f"create:{recruitment.pk}", body, by)


def publish(recruitment: Recruitment, base_url: str, by: str = "") -> Delivery:
    """Start recruiting; what was not made yet is made first."""
    needs_prolific(recruitment)
    if recruitment.state not in (Recruitment.State.DRAFT, Recruitment.State.CREATED):
        raise DomainError("published", _("%s is published already.") % recruitment)
    if not recruitment.study.is_open:
        raise DomainError("study_closed", _("The study takes nobody: make it a pilot or live."))
    if not recruitment.external_id:
        create(recruitment, base_url, by)
    body = {"filters": study_at_prolific(recruitment, base_url)["filters"]}
    return ask(recruitment, Kind.PUBLISH, f"publish:{recruitment.pk}", body, by)


def raise_places(recruitment: Recruitment, places: int, by: str = "") -> Delivery | None:
    """None: nothing has to be told to anybody."""
    if recruitment.places is not None and places <= recruitment.places:
        raise DomainError(
            "not_raised",
            _("%(name)s has %(places)d places; they can only be raised.")
            % {"name": recruitment, "places": recruitment.places},
        )
    protocol = recruitment.study.protocol.name
    if recruitment.is_prolific and protocol.startswith(recruitment_table.PRISM):
        check_prism_cap(places)
    if not (recruitment.is_prolific and recruitment.external_id):
        recruitment.places = places
        recruitment.save(update_fields=["places"])
        return None
    key = f"places:{recruitment.pk}:{places}"
    return ask(recruitment, Kind.PLACES, key, {"total_available_places": places}, by)


def check_prism_cap(places: int) -> None:
    try:
        recruitment_table.number_of_places(str(places), recruitment_table.PRISM)
    except recruitment_table.Refusal as refusal:
        raise DomainError("too_many", str(refusal)) from refusal


ACTIONS = {
    Kind.PAUSE: (Recruitment.State.LIVE, Recruitment.State.PAUSED, "PAUSE"),
    Kind.RESUME: (Recruitment.State.PAUSED, Recruitment.State.LIVE, "START"),
    Kind.STOP: (None, Recruitment.State.CLOSED, "STOP"),
}
"""Kind -> the state it needs (None: any but closed), the state it leads to, Prolific's word."""


def switch(recruitment: Recruitment, kind: Kind, key: str, by: str = "") -> Delivery | None:
    """Pause, go on or stop. key: of this one click. None: nothing has to be told to anybody."""
    needed, leads_to, action = ACTIONS[kind]
    is_fit = recruitment.state == needed if needed else recruitment.state != leads_to
    if not is_fit:
        raise DomainError(
            "wrong_state",
            _("%(name)s is in the state “%(state)s”.")
            % {"name": recruitment, "state": recruitment.get_state_display()},
        )
    if recruitment.is_prolific and recruitment.external_id:
        key = f"{kind}:{recruitment.pk}:{key}"
        return ask(recruitment, kind, key, {"action": action}, by)
    recruitment.state = leads_to
    recruitment.save(update_fields=["state"])
    return None


def open_link(recruitment: Recruitment) -> None:
    """Let people in by a panel's link, personal links or an open link."""
    if recruitment.is_prolific:
        raise DomainError("prolific", _("A study at Prolific is published instead."))
    if recruitment.kind == Recruitment.Kind.PANEL and not recruitment.person_parameter:
        raise DomainError(
            "no_parameter", _("Say first which parameter of the panel's links names the person.")
        )
    recruitment.state = Recruitment.State.LIVE
    recruitment.save(update_fields=["state"])


def needs_prolific(recruitment: Recruitment) -> None:
    if not recruitment.is_prolific:
        raise DomainError("not_prolific", _("%s does not recruit at Prolific.") % recruitment)


def read_now(recruitment: Recruitment) -> None:
    needs_prolific(recruitment)
    Recruitment.objects.filter(pk=recruitment.pk).update(read_due_at=None)


def link_of(recruitment: Recruitment, base_url: str, invitation: Invitation | None = None) -> str:
    """The link that people follow; a panel fills in what stands in braces."""
    link = base_url.rstrip("/") + recruitment.study.get_absolute_url()
    if recruitment.is_prolific:
        return link + PARAMETERS
    if invitation:
        return f"{link}?{submissions.INVITATION}={invitation.token}"
    link += f"?{submissions.VIA}={recruitment.token}"
    for name in (recruitment.person_parameter, recruitment.submission_parameter):
        link += f"&{name}={{{name}}}" if name else ""
    return link


def new_table() -> str:
    return secrets.token_hex(8)
