"""The rows of a release, made from the database in batches: queries grow with batches, not people.

Codes become the codebook's words here, and only here.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import count, islice
from typing import Any, TypeVar

from django.db.models import Prefetch, Q

from collection.export import codebook
from collection.export.codebook import Column, KeyOrder, filled, keys, nulls
from collection.export.selection import ReleasedConversation, ReleasedUser, Selection
from collection.export.subsets import UK_REPRESENTATIVE, US_REPRESENTATIVE
from collection.models import (
    SHOWN,
    AttributeRating,
    Conversation,
    Interaction,
    ModelCall,
    ModelEndpoint,
    Utterance,
)
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    InstrumentFile,
    Multiple,
    Single,
    Sliders,
)
from surveys.models import Participant, Study
from surveys.places import place, special_region

T = TypeVar("T")
Row = dict[str, Any]
Answers = dict[str, dict[str, Any]]
"""Question code -> `Response.value`, of the questions that were shown."""

PEOPLE_AT_ONCE = 200
# 22 turns of four replies each: more conversations would ask SQLite for too many variables.
CONVERSATIONS_AT_ONCE = 100

CHOICES = (
    "lm_familiarity",
    "lm_indirect_use",
    "lm_direct_use",
    "lm_frequency_use",
    "age",
    "gender",
    "employment_status",
    "education",
    "marital_status",
    "english_proficiency",
)
"""Columns that hold the label of one chosen option."""
TEXTS = ("self_description", "system_string")
COUNTRIES = ("birth_country", "reside_country")
ASKED = (*CHOICES, *TEXTS, *COUNTRIES, "religion", "ethnicity", "lm_usecases", "stated_prefs")
"""All questions that the codebook has a column for."""


def survey_rows(study: Study, selection: Selection, order: KeyOrder) -> Iterator[Row]:
    for batch in batches(selection.users, PEOPLE_AT_ONCE):
        people = Participant.objects.prefetch_related(
            "instrument", "study", "responses", "orders"
        ).in_bulk([user.pk for user in batch])
        for user in batch:
            yield codebook.SURVEY.row(survey_values(user, people[user.pk]), order)


def conversation_rows(study: Study, selection: Selection, order: KeyOrder) -> Iterator[Row]:
    for user, released, conversation in conversations(selection, "attributes", "feedback"):
        values = conversation_values(user, released, conversation)
        yield codebook.CONVERSATIONS.row(values, order)


def utterance_rows(study: Study, selection: Selection, order: KeyOrder) -> Iterator[Row]:
    numbers = count()
    for user, released, conversation in conversations(selection):
        for values in utterance_values(user, released, conversation):
            values["utterance_id"] = f"ut{next(numbers)}"
            yield codebook.UTTERANCES.row(values, order)


def model_rows(study: Study, selection: Selection, order: KeyOrder) -> Iterator[Row]:
    """The study's endpoints, and any that left it since but are in the data.

    What PRISM's registry recorded is filled with what is known here: in_yaml is Yes, for whatever
    was drawn is registered; params_tested says whether any call brought a reply with text;
    endpoint_live and status follow from whether the endpoint may be drawn.
    """
    used = {c.pk for _user, c in selection.conversations()}
    appeared = set()
    seen = (
        Utterance.objects.filter(interaction__conversation__participant__study=study)
        .order_by()
        .values_list("endpoint_id", "interaction__conversation_id")
        .distinct()
    )
    for endpoint_id, conversation_id in seen.iterator():
        if conversation_id in used:
            appeared.add(endpoint_id)
    tested = set(
        ModelCall.objects.filter(outcome__in=SHOWN)
        .order_by()
        .values_list("endpoint_id", flat=True)
        .distinct()
    )
    # Distinct, because a many-to-many filter beside another repeats rows.
    endpoints = ModelEndpoint.objects.filter(Q(studies=study) | Q(pk__in=appeared)).distinct()
    for endpoint in sorted(endpoints, key=lambda e: (e.long_name.lower(), e.long_name)):
        yield codebook.MODELS.row(model_values(endpoint, endpoint.pk in tested), order)


MAKERS: dict[str, Callable[[Study, Selection, KeyOrder], Iterator[Row]]] = {
    "survey": survey_rows,
    "conversations": conversation_rows,
    "utterances": utterance_rows,
    "models": model_rows,
}


def batches(items: Sequence[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def conversations(
    selection: Selection, *related: str
) -> Iterator[tuple[ReleasedUser, ReleasedConversation, Conversation]]:
    """Every released conversation in file order: its rated turns, their replies, and `related`."""
    replies = (
        Utterance.objects.order_by("within_turn_id")
        .only("interaction", "endpoint", "within_turn_id", "model_response", "score", "if_chosen")
        .prefetch_related("endpoint")
    )
    turns = (
        Interaction.objects.filter(state=Interaction.State.RATED)
        .order_by("turn")
        .prefetch_related(Prefetch("utterances", replies))
    )
    found = Conversation.objects.prefetch_related(Prefetch("interactions", turns), *related)
    for batch in batches(list(selection.conversations()), CONVERSATIONS_AT_ONCE):
        loaded = found.in_bulk([released.pk for _user, released in batch])
        for user, released in batch:
            yield user, released, loaded[released.pk]


# Survey


def survey_values(user: ReleasedUser, participant: Participant) -> Row:
    file = participant.file
    answers = shown_answers(participant)
    finished_at = participant.survey_finished_at
    assert finished_at is not None
    started_at = participant.consent_shown_at or participant.arrived_at
    seconds = round(max(0.0, (finished_at - started_at).total_seconds()))
    return {
        "user_id": user.id,
        "survey_only": not user.conversations,
        "num_completed_conversations": len(user.conversations),
        "consent": codebook.CONSENT,
        "consent_age": codebook.CONSENT_AGE,
        **{code: chosen_label(file, answers, code) for code in CHOICES},
        **{code: typed_text(answers, code) for code in TEXTS},
        "study_id": participant.released_study_id,
        "study_locale": participant.study.locale.lower(),
        "religion": identity(codebook.RELIGION, codebook.RELIGIONS, file, answers),
        "ethnicity": identity(codebook.ETHNICITY, codebook.ETHNICITIES, file, answers),
        "location": location(answers),
        "lm_usecases": use_cases(answers),
        "stated_prefs": stated_prefs(answers),
        "order_lm_usecases": option_order(codebook.ORDER_LM_USECASES, participant, answers),
        "order_stated_prefs": option_order(codebook.ORDER_STATED_PREFS, participant, answers),
        "generated_datetime": as_datetime(finished_at),
        "timing_duration_s": seconds,
        "timing_duration_mins": round(seconds / 60, 2),
        "included_in_US_REP": US_REPRESENTATIVE,
        "included_in_UK_REP": UK_REPRESENTATIVE,
        "included_in_balanced_subset": any(c.is_balanced for c in user.conversations),
    }


def shown_answers(participant: Participant) -> Answers:
    """The answers to questions that the person's final choices lead to.

    Someone who went back and changed an earlier answer may have left others behind: those belong
    to questions that, in the end, were not asked.
    """
    given = {response.question: response.value for response in participant.responses.all()}
    answers: Answers = {}
    choices: dict[str, str] = {}
    for page in participant.file.pages:
        if page.show_if and not page.show_if.holds(choices):
            continue
        shown = [q.code for q in page.questions if not q.show_if or q.show_if.holds(choices)]
        for code in shown:
            if code in given:
                answers[code] = given[code]
        choices |= {c: answers[c]["choice"] for c in shown if "choice" in answers.get(c, {})}
    return answers


def chosen_label(file: InstrumentFile, answers: Answers, code: str) -> str | None:
    """The released label of the chosen option; None if not asked, or described in own words."""
    question = next((q for q in file.questions() if q.code == code), None)
    choice = answers.get(code, {}).get("choice")
    if not isinstance(question, Single) or choice == question.self_describe:
        return None
    return next((o.released_label for o in question.options if o.code == choice), None)


def typed_text(answers: Answers, code: str) -> str | None:
    text = answers.get(code, {}).get("text")
    return text.strip() if text is not None else None


def identity(
    column: Column, categories: dict[str, str], file: InstrumentFile, answers: Answers
) -> Row:
    """religion or ethnicity. What was typed waits to be coded: its categories are not known yet."""
    answer = answers.get(column.key, {})
    choice = answer.get("choice")
    if choice is None:
        return nulls(column)
    values: tuple[str, str | None, str | None]
    if choice == PREFER_NOT_TO_SAY:
        values = (codebook.DECLINED, codebook.PREFER_NOT_TO_SAY, codebook.PREFER_NOT_TO_SAY)
    elif label := chosen_label(file, answers, column.key):
        categorised = label if label in categories else None
        values = (cleaned(label), categorised, categories.get(label))
    else:
        values = (cleaned(answer.get("text") or ""), None, None)
    return filled(column, dict(zip(keys(column), values, strict=True)))


def cleaned(text: str) -> str:
    """A self-description as PRISM released it: lower case, without punctuation."""
    for mark in "?.'\"!,;":
        text = text.replace(mark, "")
    return text.lower().strip()


def location(answers: Answers) -> Row:
    birth = answers.get("birth_country", {}).get("choice")
    reside = answers.get("reside_country", {}).get("choice")
    values = side("birth", birth) | side("reside", reside)
    if birth is None or reside is None:
        values["same_birth_reside_country"] = None
    elif PREFER_NOT_TO_SAY in (birth, reside):
        values["same_birth_reside_country"] = codebook.PREFER_NOT_TO_SAY
    else:
        values["same_birth_reside_country"] = "Yes" if birth == reside else "No"
    if birth is None:
        values["special_region"] = None
    elif birth == PREFER_NOT_TO_SAY:
        values["special_region"] = codebook.PREFER_NOT_TO_SAY
    else:
        values["special_region"] = special_region(birth)
    return filled(codebook.LOCATION, values)


def side(name: str, choice: str | None) -> Row:
    """The four fields of the country of birth or of residence."""
    fields = (f"{name}_country", f"{name}_countryISO", f"{name}_region", f"{name}_subregion")
    if choice is None:
        return dict.fromkeys(fields)
    if choice == PREFER_NOT_TO_SAY:
        return dict.fromkeys(fields, codebook.PREFER_NOT_TO_SAY)
    home = place(choice)
    return dict(zip(fields, (home.name, home.iso3, home.region, home.subregion), strict=True))


def use_cases(answers: Answers) -> Row:
    column = codebook.LM_USECASES
    answer = answers.get(column.key)
    if answer is None:
        return nulls(column)
    values: Row = {key: int(key in answer["chosen"]) for key in keys(column)}
    values["other_text"] = answer["other_text"] or None
    return filled(column, values)


def stated_prefs(answers: Answers) -> Row:
    """Scores as stored; `other` counts only beside a typed text."""
    column = codebook.STATED_PREFS
    answer = answers.get(column.key)
    if answer is None:
        return nulls(column)
    values: Row = {key: answer["scores"].get(key) for key in keys(column)}
    values["other_text"] = answer["other_text"] or None
    if values["other_text"] is None:
        values["other"] = None
    return filled(column, values)


def option_order(column: Column, participant: Participant, answers: Answers) -> Row:
    """Where each option stood, from 1: as drawn for the person, else as in the instrument."""
    code = column.key.removeprefix("order_")
    if code not in answers:
        return nulls(column)
    drawn = next((o.codes for o in participant.orders.all() if o.question == code), None)
    if drawn is None:
        question = next(q for q in participant.file.questions() if q.code == code)
        assert isinstance(question, Multiple | Sliders)
        drawn = [item.code for item in question.items]
    places: Row = {shown: index for index, shown in enumerate(drawn, start=1)}
    return filled(column, {key: places.get(key) for key in keys(column)})


# Conversations and utterances


def conversation_values(
    user: ReleasedUser, released: ReleasedConversation, conversation: Conversation
) -> Row:
    items = history(conversation)
    finished_at = conversation.finished_at
    assert finished_at is not None
    seconds = round(max(0.0, (finished_at - conversation.started_at).total_seconds()), 2)
    return {
        "conversation_id": released.id,
        "user_id": user.id,
        "conversation_type": conversation.conversation_type,
        "opening_prompt": items[0]["content"],
        "conversation_turns": released.turns,
        "conversation_history": items,
        codebook.PERFORMANCE.key: attributes(codebook.PERFORMANCE, conversation),
        codebook.CHOICE.key: attributes(codebook.CHOICE, conversation),
        "open_feedback": conversation.feedback.open_feedback.strip(),
        "generated_datetime": as_datetime(finished_at),
        "timing_duration_s": seconds,
        "timing_duration_mins": round(seconds / 60, 2),
        "included_in_balanced_subset": released.is_balanced,
    }


def history(conversation: Conversation) -> list[Row]:
    """Each turn's prompt and then its replies, in draw order."""
    items: list[Row] = []
    for interaction in conversation.interactions.all():
        prompt = {
            "turn": interaction.turn,
            "role": "user",
            "content": shown_text(interaction.user_prompt),
        }
        items.append(codebook.USER_ITEM.row(prompt))
        items += [reply_item(interaction.turn, reply) for reply in interaction.utterances.all()]
    return items


def reply_item(turn: int, utterance: Utterance) -> Row:
    return codebook.MODEL_ITEM.row(
        {
            "turn": turn,
            "role": "model",
            "content": shown_text(utterance.model_response),
            "model_provider": utterance.endpoint.provider_code,
            "model_name": utterance.endpoint.long_name,
            "score": utterance.score,
            "if_chosen": utterance.if_chosen,
            "within_turn_id": utterance.within_turn_id,
        }
    )


def utterance_values(
    user: ReleasedUser, released: ReleasedConversation, conversation: Conversation
) -> Iterator[Row]:
    """One row for each reply in the history, without its own id."""
    prompt = ""
    for item in history(conversation):
        if item["role"] == "user":
            prompt = item["content"]
            continue
        yield {
            "interaction_id": f"int{released.first_interaction + item['turn']}",
            "conversation_id": released.id,
            "user_id": user.id,
            "turn": item["turn"],
            "within_turn_id": item["within_turn_id"],
            "conversation_type": conversation.conversation_type,
            "user_prompt": prompt,
            "model_response": item["content"],
            "model_name": item["model_name"],
            "model_provider": item["model_provider"],
            "score": item["score"],
            "if_chosen": item["if_chosen"],
            "included_in_balanced_subset": released.is_balanced,
        }


def attributes(column: Column, conversation: Conversation) -> Row:
    """performance_attributes or choice_attributes: 1-100, None for N/A."""
    kind = AttributeRating.Kind(column.key.removesuffix("_attributes"))
    rated = {row.attribute: row.value for row in conversation.attributes.all() if row.kind == kind}
    return filled(column, {key: rated[key] for key in keys(column)})


def shown_text(text: str) -> str:
    """A prompt or reply as released: stripped, and `EMPTY STRING` if nothing or None is left."""
    text = text.strip()
    return codebook.EMPTY_TEXT if text in ("", "None") else text


# Models


def model_values(endpoint: ModelEndpoint, is_tested: bool) -> Row:
    return {
        "long_name": endpoint.long_name,
        "short_name": endpoint.short_name,
        "longcode": endpoint.longcode,
        "model_family": endpoint.model_family,
        "model_provider": endpoint.model_provider,
        "model_provider_type": endpoint.model_provider_type,
        "model_type": endpoint.model_type,
        "default_params": as_parameters(endpoint.default_params),
        "selected_params": as_parameters(endpoint.parameters),
        "header": endpoint.header,
        "link": endpoint.link,
        "in_yaml": "Yes",
        "params_tested": "Yes" if is_tested else "No",
        "endpoint_live": "Yes" if endpoint.is_active else "No",
        "status": "Deployed Successfully" if endpoint.is_active else "Switched off",
    }


def as_parameters(parameters: dict[str, Any]) -> Row:
    """Values as text, as PRISM wrote them; only its is_* switches are numbers, 0 or 1."""
    return {
        name: int(value) if name.startswith("is_") and isinstance(value, int) else as_text(value)
        for name, value in parameters.items()
    }


def as_text(value: Any) -> str:
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def as_datetime(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime(codebook.DATETIME)
