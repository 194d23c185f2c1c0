"""Personal information in people's own texts: looked for, judged by a reviewer, covered, purged.

Every free text of whoever finished the survey is looked through: answers, what was typed beside
"other" and about oneself, messages and open feedback.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import coding
from collection.detectors import Detector, Refused, Unavailable, local_detectors_of
from collection.models import (
    Conversation,
    Description,
    Feedback,
    Interaction,
    ModelCall,
    TextReview,
    TextScan,
    Utterance,
)
from surveys import veil
from surveys.errors import DomainError
from surveys.models import Draft, Participant, ProblemReport, Redaction, Response, Study

OVERLAP = timedelta(hours=1)
"""Looked through again each time: what was written meanwhile may have become visible later."""
PASSAGES, PASSAGE_LIMIT = 50, 500
PII = "pii"
"""Name of the detector of personal information."""

KINDS = ("answer", "prompt", "feedback")
FIELDS = {"answer": "response", "prompt": "interaction", "feedback": "feedback"}
"""Kind of text -> the field of its review."""


@dataclass(frozen=True)
class Text:
    """One free text of a person. kind and key name it; column: as metadata.jsonl calls it."""

    kind: str
    key: int
    participant: int
    column: str
    text: str

    @property
    def source(self) -> str:
        return f"{self.kind}:{self.key}"

    @property
    def mark(self) -> str:
        return mark_of(self.text)


def mark_of(text: str) -> str:
    return sha256(text.encode()).hexdigest()


# Which texts there are


def people_of(study: Study) -> QuerySet[Participant]:
    return study.participants.finished_survey().filter(withdrawn_at__isnull=True)


def texts(study: Study, since: datetime | None = None) -> Iterator[Text]:
    """All that people of the study wrote, or what came since then."""
    people = people_of(study).order_by()
    new = people if since is None else people.filter(survey_finished_at__gte=since)
    yield from answers(Response.objects.filter(participant__in=new.values("pk"), is_shown=True))
    turns = Interaction.objects.filter(conversation__participant__in=people.values("pk"))
    written = Feedback.objects.filter(conversation__participant__in=people.values("pk"))
    if since is not None:
        turns, written = turns.filter(created_at__gte=since), written.filter(created_at__gte=since)
    yield from prompts(turns)
    yield from feedback(written)


def answers(rows: QuerySet[Response]) -> Iterator[Text]:
    # Only these have words of the person's own; the rest are codes and numbers.
    typed = Q(value__has_key="text") | Q(value__has_key="other_text")
    found = rows.filter(typed).order_by("pk")
    for pk, person, question, value in found.values_list(
        "pk", "participant_id", "question", "value"
    ).iterator():
        if text := own_words(value):
            yield Text("answer", pk, person, question, text)


def own_words(value: dict[str, Any]) -> str:
    """A question has one field for them at most."""
    return value.get("text") or value.get("other_text") or ""


def prompts(rows: QuerySet[Interaction]) -> Iterator[Text]:
    """Not those that the study gave."""
    found = rows.exclude(Q(turn=0) & ~Q(conversation__anchor="")).order_by("pk")
    for pk, person, text in found.values_list(
        "pk", "conversation__participant_id", "user_prompt"
    ).iterator():
        yield Text("prompt", pk, person, "user_prompt", text)


def feedback(rows: QuerySet[Feedback]) -> Iterator[Text]:
    for pk, person, text in (
        rows.order_by("pk")
        .values_list("pk", "conversation__participant_id", "open_feedback")
        .iterator()
    ):
        yield Text("feedback", pk, person, "open_feedback", text)


def text_of(study: Study, kind: str, key: int) -> Text | None:
    """One text of the study; None if there is no such, or no longer."""
    people = people_of(study).order_by().values("pk")
    by_kind: dict[str, Iterator[Text]] = {
        "answer": answers(Response.objects.filter(pk=key, participant__in=people)),
        "prompt": prompts(Interaction.objects.filter(pk=key, conversation__participant__in=people)),
        "feedback": feedback(Feedback.objects.filter(pk=key, conversation__participant__in=people)),
    }
    return next(by_kind[kind], None) if kind in by_kind else None


# Looking through them

Finding = tuple[str, int, int]
"""What it is, and where it begins and ends."""


class Finder:
    """The detector that fills `pii_flag` of metadata.jsonl, so that reviewers see what it flags."""

    def __init__(self, study: Study) -> None:
        found = (one for one in local_detectors_of(study) if one.name == PII)
        self._detector: Detector | None = next(found, None)

    @property
    def version(self) -> str:
        """As `TextScan.detectors` has room for it."""
        return self._detector.version[:200] if self._detector else ""

    def find(self, text: str) -> list[Finding]:
        """In the order of the text. Raises Unavailable, and Refused if the text is the reason."""
        if self._detector is None:
            return []
        (result,) = self._detector.detect([text])
        return [(what, start, end) for start, end, what in (result or {}).get("found", ())]

    def found_now(self, text: str) -> list[Finding] | None:
        """None if it cannot say."""
        try:
            return self.find(text)
        except (Refused, Unavailable):
            return None


def scan_all() -> int:
    """Every study with people; how many texts were newly flagged."""
    return sum(scan(study) for study in Study.objects.filter(participants__isnull=False).distinct())


def scan(study: Study) -> int:
    """Put before reviewers what detectors flag in texts that came since the last time.

    Twice or at the same time does no more than once. Raises DomainError if they cannot run now.
    """
    before, _created = TextScan.objects.get_or_create(study=study)
    began = timezone.now()
    finder = Finder(study)
    is_same = before.detectors == finder.version and before.until is not None
    since = before.until - OVERLAP if is_same and before.until else None
    try:
        new = sum(put(text, found) for text, found in flagged(finder, texts(study, since)))
    except Unavailable as error:
        raise DomainError("unavailable", str(error)) from error
    TextScan.objects.filter(study=study).update(until=began, detectors=finder.version)
    return new


def flagged(finder: Finder, some: Iterable[Text]) -> Iterator[tuple[Text, list[Finding]]]:
    """Raises Unavailable."""
    for text in some:
        try:
            found = finder.find(text.text)
        except Refused:  # in metadata.jsonl it has no flag either
            continue
        if found:
            yield text, found


@transaction.atomic
def put(text: Text, found: Sequence[Finding]) -> bool:
    """Whether it is new to the reviewers. A text that changed is judged anew."""
    if not Participant.objects.select_for_update().filter(
        pk=text.participant, withdrawn_at__isnull=True
    ):
        return False
    where = {f"{FIELDS[text.kind]}_id": text.key}
    seen = TextReview.objects.filter(**where).first()
    if seen is not None and seen.mark == text.mark:
        if not seen.is_flagged:  # marked by a reviewer before any detector found it
            TextReview.objects.filter(pk=seen.pk).update(found=found, is_flagged=True)
        return False
    if seen is not None:
        Redaction.objects.filter(participant=text.participant, source=text.source).delete()
        seen.delete()
    TextReview.objects.create(
        participant_id=text.participant,
        mark=text.mark,
        found=[list(each) for each in found],
        is_flagged=bool(found),
        **where,
    )
    return True


# Judging


def reviews(study: Study) -> QuerySet[TextReview]:
    return TextReview.objects.filter(participant__study=study, participant__withdrawn_at=None)


def kind_and_key(review: TextReview) -> tuple[str, int]:
    for kind, name in FIELDS.items():
        key = getattr(review, f"{name}_id")
        if key is not None:
            return kind, key
    raise AssertionError(review)


def review_of(text: Text) -> TextReview | None:
    """What was said of the text as it is now."""
    return TextReview.objects.filter(
        **{f"{FIELDS[text.kind]}_id": text.key}, mark=text.mark
    ).first()


def passages_in(text: Text) -> list[str]:
    """Those that were marked in this text."""
    rows = Redaction.objects.filter(participant=text.participant, source=text.source)
    return list(rows.order_by("pk").values_list("passage", flat=True))


@transaction.atomic
def judge(text: Text, passages: Iterable[str], reviewer: User, seen: str) -> TextReview:
    """Keep a reviewer's answer: these passages are personal information, or none is.

    seen: the mark of the text on the reviewer's page. The same answer again changes nothing.
    Raises DomainError.
    """
    # The lock that the purge and a withdrawal take too.
    locked = Participant.objects.select_for_update().filter(
        pk=text.participant, withdrawn_at__isnull=True
    )
    if not locked or seen != text.mark:
        raise DomainError("changed", _("This text has changed or gone. Please look again."))
    marked = list(dict.fromkeys(" ".join(passage.split()) for passage in passages))
    marked = [passage for passage in marked if passage]
    check(text, marked)
    mine = Redaction.objects.filter(participant=text.participant, source=text.source)
    mine.exclude(passage__in=marked).delete()
    Redaction.objects.bulk_create(
        [
            Redaction(participant_id=text.participant, source=text.source, passage=passage)
            for passage in marked
        ],
        ignore_conflicts=True,
    )
    row, _created = TextReview.objects.get_or_create(
        **{f"{FIELDS[text.kind]}_id": text.key},
        defaults={"participant_id": text.participant, "mark": text.mark},
    )
    if (row.is_personal, row.reviewer_id) != (bool(marked), reviewer.pk) or row.mark != text.mark:
        row.mark, row.is_personal = text.mark, bool(marked)
        row.reviewer, row.reviewer_name = reviewer, reviewer.get_username()
        row.reviewed_at = timezone.now()
        row.save()
    return row


def check(text: Text, marked: Sequence[str]) -> None:
    if len(marked) > PASSAGES:
        raise DomainError("many", _("Please mark at most %d passages.") % PASSAGES)
    for passage in marked:
        if len(passage) > PASSAGE_LIMIT:
            raise DomainError(
                "long",
                _("Please keep each passage to %d characters; several may cover a longer one.")
                % PASSAGE_LIMIT,
            )
        if not veil.spans(text.text, [passage]):
            raise DomainError(
                "not_found",
                _("“%s” does not stand in the text as words of its own. Please copy it exactly.")
                % (passage if len(passage) <= 60 else passage[:59] + "…"),
            )


def manual_flags(study: Study) -> dict[tuple[str, int], bool]:
    """(kind, key) of each reviewed text -> pii_manual_flag; see `Text` for kind and key."""
    rows = reviews(study).filter(is_personal__isnull=False)
    return {kind_and_key(row): bool(row.is_personal) for row in rows.iterator()}


# The purge

REWRITTEN: dict[Any, tuple[str, tuple[str, ...]]] = {
    Response: ("participant", ("value",)),
    Draft: ("participant", ("fields",)),
    ProblemReport: ("participant", ("text",)),
    Interaction: ("conversation__participant", ("user_prompt",)),
    Feedback: ("conversation__participant", ("open_feedback",)),
    ModelCall: (
        "attempt__interaction__conversation__participant",
        ("messages", "text", "parts"),
    ),
}
"""Where a person's words stand, and those of models that may repeat them: path to the person,
fields. Replies, which have places marked in them, are done apart."""


def purge(study: Study, **_signal: Any) -> tuple[str, int]:
    """Write [REDACTED] into the texts themselves and forget the passages. A receiver of
    `retention.purging`; whoever talks still is left for the next time, since models are sent what
    was said before."""
    talking = Conversation.objects.filter(state=Conversation.State.OPEN).values("participant")
    due = Redaction.objects.filter(participant__study=study).exclude(participant__in=talking)
    people = sorted(set(due.order_by().values_list("participant", flat=True)))
    number = 0
    finder = Finder(study)
    for person in people:
        number += purge_person(person, finder)
    Description.objects.filter(study=study).exclude(recruiter_said="").update(recruiter_said="")
    return "redaction", number


@transaction.atomic
def purge_person(person: int, finder: Finder) -> int:
    list(Participant.objects.select_for_update().filter(pk=person))
    rows = Redaction.objects.filter(participant=person)
    passages = list(rows.values_list("passage", flat=True))
    for model, (path, fields) in REWRITTEN.items():
        for row in model._default_manager.filter(**{path: person}):
            rewrite(row, fields, passages)
    for reply in Utterance.objects.filter(interaction__conversation__participant=person):
        rewrite_reply(reply, passages)
    for review in TextReview.objects.filter(participant=person):
        remark(review, finder)
    rewrite_descriptions(person, passages)
    return rows.delete()[0]


def rewrite(row: Any, fields: Iterable[str], passages: veil.Passages) -> None:
    changed = {
        name: new
        for name in fields
        if (new := veil.deep(old := getattr(row, name), lambda text: veil.covered(text, passages)))
        != old
    }
    if changed:
        type(row)._default_manager.filter(pk=row.pk).update(**changed)


def rewrite_reply(reply: Utterance, passages: veil.Passages) -> None:
    cut = veil.spans(reply.model_response, passages)
    moved = [[shifted(at, cut) for at in span] for span in reply.self_named]
    if cut:
        Utterance.objects.filter(pk=reply.pk).update(self_named=moved)
    rewrite(reply, ("model_response", "shown_text"), passages)


def shifted(at: int, cut: Sequence[tuple[int, int]]) -> int:
    """Where a place in a text is, once what was cut out of it has become the mark."""
    by = 0
    for start, end in cut:
        if end <= at:
            by += len(veil.REDACTED) - (end - start)
        elif start < at:  # inside: its end
            return start + by + len(veil.REDACTED)
    return at + by


def remark(review: TextReview, finder: Finder) -> None:
    """What was said of a text holds for what it has become. What nobody has judged, and has
    nothing to judge any more, is gone: another text's passages covered it."""
    for text in of_review(review):
        found = finder.found_now(text.text)
        if review.is_personal is None and found == []:
            review.delete()
        else:
            TextReview.objects.filter(pk=review.pk).update(mark=text.mark, found=found or [])


def of_review(review: TextReview) -> Iterator[Text]:
    """Its text."""
    kind, key = kind_and_key(review)
    if kind == "answer":
        yield from answers(Response.objects.filter(pk=key))
    elif kind == "prompt":
        yield from prompts(Interaction.objects.filter(pk=key))
    else:
        yield from feedback(Feedback.objects.filter(pk=key))


def rewrite_descriptions(person: int, passages: veil.Passages) -> None:
    for row in Description.objects.filter(typed__response__participant=person):
        text = coding.covered(row.text, passages)
        if text != row.text:
            # Its hash would still tell; nobody types the mark, so nothing needs to find it.
            Description.objects.filter(pk=row.pk).update(text=text, mark=f"purged {row.pk}")
