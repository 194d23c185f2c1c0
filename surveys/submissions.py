"""Which recruitment somebody came by, what their recruiter counts, and the code they leave with."""

from collections.abc import Mapping
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import quote

from django.conf import settings
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext as _

from surveys.errors import DomainError
from surveys.models import (
    SETTLED,
    CompletionCode,
    Invitation,
    Outcome,
    Participant,
    Recruitment,
    Stage,
    Study,
    Submission,
)
from surveys.recruitment_table import money

RECRUITER_IDS = ("PROLIFIC_PID", "participant_label")
"""Parameters that name a person on any link, first match wins."""
VIA = "via"
INVITATION = "invitation"
STUDY_ID = "STUDY_ID"
SESSION_ID = "SESSION_ID"
OWN = (VIA, INVITATION, STUDY_ID, SESSION_ID)
PERSON_LIMIT = 200
SUBMISSION_LIMIT = 100
WITHOUT_CONSENT = timedelta(minutes=30)
"""How long somebody who has not consented yet keeps a place of a link with a cap."""
PROLIFIC_RETURN = f"{settings.PROLIFIC_SITE}/submissions/complete?cc={{code}}"
STAGES = (Stage.CONSENTED, Stage.SURVEY, Stage.CONVERSATIONS)


class Arrival(NamedTuple):
    """What a link says of where somebody comes from."""

    recruitment: Recruitment | None
    person: str
    """As the recruiter calls them; empty: nobody says who they are."""
    submission: str
    invitation: Invitation | None
    names: tuple[str, ...]
    """Parameters that were understood: they are not kept elsewhere."""

    @property
    def key(self) -> str:
        """Names the person within the study. Panels might give two people the same number."""
        if self.invitation:
            return f"invitation:{self.invitation.pk}"
        if self.person and self.recruitment and self.recruitment.kind == Recruitment.Kind.PANEL:
            return f"{self.recruitment.token}:{self.person}"[:PERSON_LIMIT]
        return self.person


FROM_NOWHERE = Arrival(None, "", "", None, ())


def read(study: Study, parameters: Mapping[str, str]) -> Arrival:
    """Raises DomainError for a link that names no recruitment or invitation of the study."""
    invitation = None
    if token := parameters.get(INVITATION):
        invitation = of_study(study, token)
        recruitment: Recruitment | None = invitation.recruitment
    elif token := parameters.get(VIA):
        recruitment = study.recruitments.filter(token=token).first()
        if recruitment is None:
            raise DomainError("unknown_link", _("This link is not complete."))
    else:
        recruitment = by_study_id(study, parameters.get(STUDY_ID, ""))
    names = list(RECRUITER_IDS)
    session = SESSION_ID
    if recruitment and recruitment.kind == Recruitment.Kind.PANEL:
        names = [recruitment.person_parameter, *names]
        session = recruitment.submission_parameter
    used = next((name for name in names if name and parameters.get(name)), "")
    person = parameters.get(used, "")[:PERSON_LIMIT]
    submission = parameters.get(session, "")[:SUBMISSION_LIMIT]
    return Arrival(recruitment, person, submission, invitation, (used, session))


def of_study(study: Study, token: str) -> Invitation:
    found = Invitation.objects.select_related("recruitment").filter(
        token=token, recruitment__study=study
    )
    if invitation := found.first():
        return invitation
    raise DomainError("unknown_link", _("This link is not complete."))


def by_study_id(study: Study, study_id: str) -> Recruitment | None:
    if not study_id:
        return None
    return study.recruitments.filter(external_id=study_id).first()


def take_place(recruitment: Recruitment | None) -> None:
    """Within a transaction: raises DomainError if no new person may come by this recruitment.

    Prolific counts its places itself, and whoever holds one may come even after a pause.
    """
    if recruitment is None or recruitment.is_prolific:
        return
    row = Recruitment.objects.select_for_update().get(pk=recruitment.pk)
    if row.state != Recruitment.State.LIVE:
        raise DomainError("closed", _("This study is not taking new participants at the moment."))
    if row.places is not None and taken(row) >= row.places:
        raise DomainError(
            "full", _("All places of this study are taken. Thank you for your interest.")
        )


def taken(recruitment: Recruitment) -> int:
    """Places held: by those who finished, and by those who may still."""
    here = Q(stopped_at=None, screened_at=None)
    fresh = Q(arrived_at__gt=timezone.now() - WITHOUT_CONSENT)
    holding = Q(completed_at__isnull=False) | here & (Q(consent__isnull=False) | fresh)
    return recruitment.people.filter(holding).count()


def keep(arrival: Arrival, participant: Participant) -> None:
    """Note a submission of the person. Each is kept once, and never given to somebody else."""
    if arrival.invitation:
        Invitation.objects.filter(pk=arrival.invitation.pk, participant=None).update(
            participant=participant
        )
    submission = arrival.submission or (arrival.person if is_panel(arrival) else "")
    if arrival.recruitment is None or not (submission or arrival.person):
        return
    found, is_new = Submission.objects.get_or_create(
        recruitment=arrival.recruitment,
        external_id=submission,
        **({} if submission else {"person": arrival.person}),
        defaults={
            "person": arrival.person,
            "participant": participant,
            "started_at": timezone.now(),
        },
    )
    if not is_new and found.participant_id is None and found.person in ("", arrival.person):
        found.participant, found.person = participant, arrival.person
        found.save(update_fields=["participant", "person"])


def is_panel(arrival: Arrival) -> bool:
    return arrival.recruitment is not None and (arrival.recruitment.kind == Recruitment.Kind.PANEL)


def current(participant: Participant) -> Submission | None:
    """The one that the person is working on: the latest that is not settled, else the latest."""
    rows = list(participant.submissions.select_related("recruitment").order_by("-pk"))
    unsettled = [row for row in rows if row.status not in SETTLED]
    return next(iter([*unsettled, *rows]), None)


def forget(participant: Participant) -> None:
    """Of somebody who declined: nothing about them is kept. Called before their row goes."""
    participant.submissions.filter(deliveries=None).delete()
    participant.submissions.update(person="")


# Leaving


class Ending(NamedTuple):
    """What an end page says: the code, where it leads, and what is paid for it."""

    code: str
    link: str
    pay: str
    """£1.50, or empty."""


def note_outcome(participant: Participant, outcome: Outcome, stage: str = "") -> None:
    """How the person's current submission ended here. What finished stays finished."""
    submission = current(participant)
    if submission and submission.outcome != Outcome.COMPLETE:
        submission.outcome, submission.stage = outcome, stage
        submission.save(update_fields=["outcome", "stage"])


def note_stopping(participant: Participant, is_technical: bool) -> None:
    if participant.completed_at or participant.stopped_at or participant.screened_at:
        return
    stage = stage_of(participant)
    if stage is None:
        note_outcome(participant, Outcome.NO_CONSENT)
    elif is_technical:
        note_outcome(participant, Outcome.TECHNICAL)
    else:
        note_outcome(participant, Outcome.PARTIAL, stage)


def stage_of(participant: Participant) -> Stage | None:
    """How far somebody came; None before consent."""
    if not hasattr(participant, "consent"):
        return None
    if participant.survey_finished_at is None:
        return Stage.CONSENTED
    # Conversations are another app's; its relation is known here as in `enrolment.withdraw`.
    talks = participant.__class__.objects.filter(pk=participant.pk, conversations__state="complete")
    return Stage.CONVERSATIONS if talks.exists() else Stage.SURVEY


def ending(participant: Participant, outcome: Outcome) -> Ending | None:
    """Of somebody who came by a recruitment that has a code for it; else the study's own holds."""
    submission = current(participant)
    recruitment = submission.recruitment if submission else participant.came_by
    if recruitment is None:
        return None
    if outcome == Outcome.PARTIAL and submission and submission.outcome:
        outcome, stage = Outcome(submission.outcome), submission.stage
    else:
        stage = ""
    return ending_of(recruitment, outcome, stage, submission)


def ending_of(
    recruitment: Recruitment,
    outcome: Outcome,
    stage: str = "",
    submission: Submission | None = None,
) -> Ending | None:
    code = code_for(recruitment, outcome, stage)
    if code is None:
        return None
    pay = money(code.pay, recruitment.currency) if code.pay else ""
    if outcome == Outcome.COMPLETE:
        pay = ""  # it was named before consent
    return Ending(code.code, link_to(recruitment, code.code, submission), pay)


def code_for(recruitment: Recruitment, outcome: Outcome, stage: str) -> CompletionCode | None:
    """For a stage without a code of its own, that of the stage before."""
    codes = {(row.outcome, row.stage): row for row in recruitment.codes.all()}
    if not stage:
        return codes.get((outcome, ""))
    reached = STAGES[: STAGES.index(Stage(stage)) + 1]
    return next((codes[outcome, s] for s in reversed(reached) if (outcome, s) in codes), None)


def link_to(recruitment: Recruitment, code: str, submission: Submission | None) -> str:
    """Where the button leads; empty: nowhere."""
    own = recruitment.study.completion_url
    link = recruitment.return_url or own or (PROLIFIC_RETURN if recruitment.is_prolific else "")
    filled = {
        "code": code,
        "person": submission.person if submission else "",
        "submission": submission.external_id if submission else "",
    }
    for name, value in filled.items():
        link = link.replace("{" + name + "}", quote(value, safe=""))
    return link
