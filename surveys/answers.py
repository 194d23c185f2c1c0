"""The survey: which page comes next, in which order its options stand, and what was answered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext as _

from surveys.draws import shuffled
from surveys.errors import DomainError, FieldErrors
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    Country,
    FreeText,
    Multiple,
    Option,
    Page,
    Question,
    Single,
    Sliders,
)
from surveys.models import OptionOrder, PageVisit, Participant, Response
from surveys.places import choices as country_choices
from surveys.sliders import Mark, read_mark
from surveys.texts import clean_text


def choices_of(participant: Participant) -> dict[str, str]:
    """Question code -> chosen option code, of every single choice answered so far."""
    rows = participant.responses.values_list("question", "value")
    return {question: value["choice"] for question, value in rows if "choice" in value}


def flow(participant: Participant, choices: Mapping[str, str] | None = None) -> list[Page]:
    """The pages this person gets to see, given their answers so far."""
    chosen = dict(choices_of(participant) if choices is None else choices)
    return [
        page for page in participant.file.pages if not page.show_if or page.show_if.holds(chosen)
    ]


def pages_to_expect(participant: Participant) -> list[Page]:
    """The pages shown, and those that an answer still to come may open: "page 4 of 9"."""
    choices = choices_of(participant)
    return [
        page
        for page in participant.file.pages
        if not page.show_if
        or page.show_if.holds(choices)
        or not {name for name, _codes in page.show_if.leaves()} <= set(choices)
    ]


def questions_on(page: Page, choices: Mapping[str, str]) -> list[Question]:
    return [q for q in page.questions if not q.show_if or q.show_if.holds(dict(choices))]


def pending_page(participant: Participant) -> Page | None:
    """The first page that was not sent yet, or None at the survey's end."""
    sent = set(participant.pages.filter(sent_at__isnull=False).values_list("page", flat=True))
    return next((page for page in flow(participant) if page.code not in sent), None)


def open_page(participant: Participant, page: Page) -> None:
    """Note that a page is shown, and draw the order of its options once."""
    PageVisit.objects.get_or_create(
        participant=participant, page=page.code, defaults={"shown_at": timezone.now()}
    )
    for question in page.questions:
        if isinstance(question, Multiple | Sliders) and question.randomise:
            OptionOrder.objects.get_or_create(
                participant=participant,
                question=question.code,
                defaults={"codes": drawn_order(participant.seed, question)},
            )


def drawn_order(seed: int, question: Multiple | Sliders) -> list[str]:
    """All codes in a drawn order, one's own ("other") always last."""
    own = question.other
    codes = [item.code for item in question.items if item is not own]
    return shuffled(codes, seed, "order", question.code) + ([own.code] if own else [])


def ordered_items(participant: Participant, question: Multiple | Sliders) -> list[Option]:
    items = {item.code: item for item in question.items}
    row = participant.orders.filter(question=question.code).first()
    return [items[code] for code in (row.codes if row else items)]


@dataclass
class Answer:
    """A checked answer, ready to store: see `Response.value` for its shapes."""

    value: dict[str, Any]
    touches: dict[str, Any] = field(default_factory=dict)


def record(participant: Participant, page: Page, data: QueryDict) -> None:
    """Store all answers of a page, or none and raise FieldErrors.

    Sending a page again replaces its answers; the last page ends the survey for good.
    """
    choices = choices_of(participant)
    answers: dict[str, Answer] = {}
    errors: dict[str, str] = {}
    untouched = participant.protocol.untouched_counts
    for question in questions_on(page, choices):
        try:
            answers[question.code] = read(question, data, untouched)
        except FieldErrors as error:
            errors |= error.errors
        except DomainError as error:
            errors[question.code] = error.message
    if errors:
        raise FieldErrors(errors)
    _store(participant, page, answers)


@transaction.atomic
def _store(participant: Participant, page: Page, answers: dict[str, Answer]) -> None:
    # Lock, then look: a second tab may have ended the survey in the meantime.
    row = Participant.objects.select_for_update().get(pk=participant.pk)
    if row.survey_finished_at is not None:
        return
    now = timezone.now()
    for code, answer in answers.items():
        Response.objects.update_or_create(
            participant=row,
            question=code,
            defaults={"value": answer.value, "touches": answer.touches},
        )
    PageVisit.objects.update_or_create(
        participant=row,
        page=page.code,
        defaults={"sent_at": now},
        create_defaults={"shown_at": now, "sent_at": now},
    )
    row.drafts.filter(page=draft_page(page)).delete()
    if pending_page(row) is None:
        row.survey_finished_at = now
        row.save(update_fields=["survey_finished_at"])


def draft_page(page: Page) -> str:
    return f"survey/{page.code}"


def read(question: Question, data: QueryDict, untouched_counts: bool) -> Answer:
    """The answer to one question. Raises DomainError or FieldErrors in the person's words."""
    match question:
        case Single():
            return read_single(question, data)
        case Country():
            return read_country(question, data)
        case Multiple():
            return read_multiple(question, data)
        case Sliders():
            return read_sliders(question, data, untouched_counts)
        case FreeText():
            return read_text(question, data)


def read_single(question: Single, data: QueryDict) -> Answer:
    choice = data.get(question.code, "")
    if choice not in {option.code for option in question.options}:
        raise DomainError("missing", _("Please choose one answer."))
    if choice != question.self_describe:
        return Answer({"choice": choice, "text": None})
    text = clean_text(data.get(f"{question.code}_text", ""), question.max_length)
    if not text:
        raise DomainError("missing", _("Please describe it in your own words, or choose another."))
    return Answer({"choice": choice, "text": text})


def read_country(question: Country, data: QueryDict) -> Answer:
    choice = data.get(question.code, "")
    if choice != PREFER_NOT_TO_SAY and choice not in dict(country_choices()):
        raise DomainError("missing", _("Please choose a country from the list."))
    return Answer({"choice": choice, "text": None})


def read_multiple(question: Multiple, data: QueryDict) -> Answer:
    known = [item.code for item in question.items]
    chosen = set(data.getlist(question.code))
    text = clean_text(data.get(f"{question.code}_other_text", ""), question.max_length)
    if not chosen or not chosen <= set(known):
        raise DomainError("missing", _("Please choose at least one answer."))
    if not question.other or question.other.code not in chosen:
        text = ""
    return Answer(
        {"chosen": [code for code in known if code in chosen], "other_text": text or None}
    )


def read_sliders(question: Sliders, data: QueryDict, untouched_counts: bool) -> Answer:
    errors: dict[str, str] = {}
    marks: dict[str, Mark] = {}
    other_text = ""
    try:
        other_text = clean_text(data.get(f"{question.code}_other_text", ""), question.max_length)
    except DomainError as error:
        errors[f"{question.code}_other_text"] = error.message
    for item in question.items:
        name = f"{question.code}_{item.code}"
        is_own = item is question.other
        try:
            mark = read_mark(
                data,
                name,
                minimum=question.minimum,
                maximum=question.maximum,
                untouched_counts=untouched_counts,
            )
        except DomainError as error:
            errors[name] = error.message
            continue
        if is_own and not other_text:
            continue  # a line moved without a statement rates nothing
        if mark.is_missing:
            errors[name] = _("Please rate this")
        else:
            marks[item.code] = mark
    if errors:
        raise FieldErrors(errors)
    return Answer(
        {
            "scores": {code: mark.value for code, mark in marks.items()},
            "other_text": other_text or None,
        },
        {code: mark.touch.as_json() for code, mark in marks.items() if mark.is_touched},
    )


def read_text(question: FreeText, data: QueryDict) -> Answer:
    text = clean_text(data.get(question.code, ""), question.max_length)
    if not text:
        raise DomainError("missing", _("Please write a few words."))
    return Answer({"text": text})
