"""What is held about one participant: in words and counts for their page, and all of it as JSON.

Nothing about anybody else. Which model wrote which reply, and which arm somebody is in, is told
once the study is closed: others are still to rate without knowing.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, Q
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext, ngettext_lazy

from collection.models import Conversation, Interaction, ModelCall, ReplyReport, Utterance
from surveys.models import Identity, Participant, Response, Study
from surveys.wording import words


class Part(NamedTuple):
    """One kind of thing that is held, in words."""

    title: str
    text: str


def parts(participant: Participant) -> list[Part]:
    """What the page says, one part after the other."""
    return [Part(title, " ".join(filter(None, text))) for title, text in told(participant)]


def told(participant: Participant) -> Iterator[tuple[str, list[str]]]:
    consent = participant.consent
    yield (
        _("Consent"),
        [
            _("You agreed to version %(version)s of the study’s information on %(day)s.")
            % {"version": consent.version, "day": day(consent.given_at)}
        ],
    )
    answers, visits = participant.responses.count(), participant.pages.count()
    drafts = participant.drafts.count()
    yield (
        _("Survey"),
        [
            ngettext("%d answer.", "%d answers.", answers) % answers,
            ngettext(
                "When you opened and sent %d page, and how you used it.",
                "When you opened and sent %d pages, and how you used them.",
                visits,
            )
            % visits,
            ngettext(
                "What you typed on %d page and have not sent.",
                "What you typed on %d pages and have not sent.",
                drafts,
            )
            % drafts
            if drafts
            else "",
        ],
    )
    if participant.file.conversation:
        yield _("Conversations"), list(talked(participant))
    reports = participant.problems.count() + reply_reports(participant).count()
    if reports:
        yield _("Reports"), [ngettext("%d report.", "%d reports.", reports) % reports]
    yield _("Who you are"), list(identified(participant))


def talked(participant: Participant) -> Iterator[str]:
    mine = Conversation.objects.filter(participant=participant)
    number = mine.count()
    turns = Interaction.objects.filter(conversation__in=mine).count()
    replies = Utterance.objects.filter(interaction__conversation__in=mine).aggregate(
        all=Count("pk"), rated=Count("pk", filter=Q(score__isnull=False))
    )
    calls = ModelCall.objects.filter(attempt__interaction__conversation__in=mine).count()
    yield ngettext("%d conversation.", "%d conversations.", number) % number
    if not number:
        return
    yield ngettext("%d message of yours.", "%d messages of yours.", turns) % turns
    yield (
        ngettext("%d reply that you were shown.", "%d replies that you were shown.", replies["all"])
        % replies["all"]
    )
    yield ngettext("%d rating.", "%d ratings.", replies["rated"]) % replies["rated"]
    yield (
        ngettext(
            "What was sent to a model and came back, %d time.",
            "What was sent to the models and came back, %d times.",
            calls,
        )
        % calls
    )


def identified(participant: Participant) -> Iterator[str]:
    study, identity = participant.study, Identity.objects.filter(participant=participant).first()
    if identity is None:
        yield _("Nothing that says who you are.")
        return
    if identity.external_id:
        yield _("The id that %s gave you, apart from your answers.") % study.platform_name
    elif identity.parameters or identity.session_id:
        yield _("What the link you came with carried, apart from your answers.")
    yield _("It is never published.")
    on = Study.objects.values_list("purge_identities_on", flat=True).get(pk=study.pk)
    if on:
        yield _("It is deleted on %s.") % date_format(on, _("j F Y"))


def reply_reports(participant: Participant) -> Any:
    mine = {"utterance__interaction__conversation__participant": participant}
    return ReplyReport.objects.filter(**mine)


def day(at: datetime) -> str:
    return date_format(at, _("j F Y"))


KINDS = {
    "response": ngettext_lazy("%d answer", "%d answers"),
    "conversation": ngettext_lazy("%d conversation", "%d conversations"),
    "interaction": ngettext_lazy("%d message", "%d messages"),
    "utterance": ngettext_lazy("%d reply with its rating", "%d replies with their ratings"),
    "modelcall": ngettext_lazy("%d call of a model", "%d calls of models"),
    "pagevisit": ngettext_lazy("%d note on how a page was used", "%d notes on how pages were used"),
    "draft": ngettext_lazy("%d page not sent yet", "%d pages not sent yet"),
    "problemreport": ngettext_lazy("%d report", "%d reports"),
    "identity": ngettext_lazy(
        "%d id from a recruiter or a link", "%d ids from a recruiter or a link"
    ),
}
"""Kind of row on a receipt -> its words. The rest are parts of these."""


def erased(counts: Mapping[str, int]) -> list[str]:
    """A receipt's counts in words."""
    return [str(KINDS[kind] % counts[kind]) for kind in KINDS if kind in counts]


# The file


def document(participant: Participant) -> dict[str, Any]:
    """All of it, ready to be written as JSON."""
    row = Participant.objects.select_related("study", "instrument", "consent__text").get(
        pk=participant.pk
    )
    row.language = participant.language
    is_over = row.study.state == Study.State.CLOSED
    return {
        "study": {"title": row.study.title, "link": row.study.slug, "contact": contact(row.study)},
        "about": about(is_over),
        "you": you(row),
        "consent": consent(row),
        "answers": [answer(row, given) for given in row.responses.order_by("answered_at", "pk")],
        "pages": [
            *row.pages.order_by("shown_at").values("page", "shown_at", "sent_at", "paradata")
        ],
        "drafts": [*row.drafts.order_by("page").values("page", "fields", "saved_at")],
        "conversations": [
            conversation(row, one, is_over) for one in row.conversations.order_by("number")
        ],
        "problem_reports": [
            *row.problems.order_by("created_at").values("page", "text", "created_at")
        ],
        "what_detectors_found": [
            *row.detections.order_by("pk").values(
                *("kind", "row", "detector", "version", "result", "found_at")
            )
        ],
    } | ({"arms": dict(row.assignments.values_list("variant", "arm"))} if is_over else {})


def about(is_over: bool) -> str:
    text = _("Everything that this study holds about you, and nothing about anybody else.")
    if is_over:
        return text
    later = _("Which model wrote which reply is told when the study is closed.")
    return f"{text} {later}"


def contact(study: Study) -> str:
    return f"{study.contact_name} <{study.contact_email}>"


def you(row: Participant) -> dict[str, Any]:
    identity = Identity.objects.filter(participant=row).first()
    moments = ["arrived_at", "consent_shown_at", "survey_finished_at", "instructed_at"]
    moments += ["completed_at", "screened_at", "stopped_at"]
    return {
        "language": row.language,
        "recruitment": row.recruitment_id,
        **{name: getattr(row, name) for name in moments if getattr(row, name)},
        "recruiter": {
            "id": identity.external_id,
            "session": identity.session_id,
            "link": identity.parameters,
        }
        if identity
        else None,
    }


def consent(row: Participant) -> dict[str, Any]:
    given = row.consent
    return {"given_at": given.given_at, "version": given.version, "text": given.text.document}


def answer(row: Participant, given: Response) -> dict[str, Any]:
    question = next((q for q in row.file.questions() if q.code == given.question), None)
    return {
        "question": given.question,
        "text": question.text if question else "",
        "in_words": words(question, given.value) if question else [],
        "value": given.value,
        "how_it_was_given": given.touches,
        "attempts": given.attempts,
        "language": given.language,
        "answered_at": given.answered_at,
    }


def conversation(row: Participant, talk: Conversation, is_over: bool) -> dict[str, Any]:
    kind = row.file.task.type(talk.conversation_type)
    feedback = getattr(talk, "feedback", None)
    turns = talk.interactions.order_by("turn").prefetch_related(
        "utterances__endpoint", "utterances__report"
    )
    return {
        "number": talk.number,
        "type": kind.label if kind else talk.conversation_type,
        "started_at": talk.started_at,
        "finished_at": talk.finished_at,
        "turns": [turn(one, is_over) for one in turns],
        "attributes": [*talk.attributes.values("kind", "attribute", "value")],
        "open_feedback": feedback.open_feedback if feedback else None,
    }


def turn(exchange: Interaction, is_over: bool) -> dict[str, Any]:
    shown = sorted(exchange.utterances.all(), key=lambda reply: reply.position)
    return {
        "asked_at": exchange.created_at,
        "your_message": exchange.user_prompt,
        "replies": [reply(one, is_over) for one in shown],
    }


def reply(one: Utterance, is_over: bool) -> dict[str, Any]:
    report = getattr(one, "report", None)
    told = {
        "letter": one.letter,
        "text": one.text_shown if one.hidden_at is None else None,
        "your_rating": one.score,
        "highest": one.if_chosen,
    }
    if report:
        told["your_report"] = report.reason
    return told | ({"model": one.endpoint.long_name} if is_over else {})
