"""The rows of ratings.jsonl: every line that was put somewhere, and how."""

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any

from collection.export.cells import cells
from collection.export.codebook import lines_of
from collection.export.loading import answering, answers_of, conversations
from collection.export.plan import Plan
from collection.export.selection import ReleasedUser
from collection.export.survey_rows import orders_of, said_by, sheet_of
from collection.models import AttributeRating, Conversation, Utterance
from collection.models.conversations import SliderRecord
from surveys.instruments.released import OTHER_TEXT, column_of
from surveys.instruments.schema import Question
from surveys.models import Participant
from surveys.sliders import Touch

Row = dict[str, Any]

REPLIES = Utterance.objects.only(
    *("interaction_id", "endpoint_id", "within_turn_id", "position", "score"),
    *("was_touched", "first_value", "first_by", "moves", "ms_to_first_touch"),
)
NOWHERE: Row = dict.fromkeys(("conversation_id", "interaction_id", "utterance_id", "item"))


def rating_rows(plan: Plan) -> Iterator[Row]:
    """The survey's lines by person; then by conversation its replies' scores and the attributes."""
    for values in chain(survey_lines(plan), conversation_lines(plan)):
        yield plan.book.ratings.row(values, plan.order)


# The survey's


def survey_lines(plan: Plan) -> Iterator[Row]:
    asked = {version.sha256: lines_of(version) for version in plan.book.versions}
    for user, person in answering(plan.selection.users, "orders"):
        questions = asked[person.instrument.sha256]
        if questions:
            yield from lines_of_person(user, person, questions)


def lines_of_person(
    user: ReleasedUser, person: Participant, questions: list[Question]
) -> Iterator[Row]:
    """Of the questions that were shown and answered."""
    sheet = sheet_of(person)
    released = cells(said_by(person, sheet))
    touches = {row.question: row.touches for row in answers_of(person)}
    orders = orders_of(person)
    for question in questions:
        value = sheet.shown.get(question.code) or {}
        given = value.get("scores") or ({"": value["score"]} if "score" in value else {})
        codes = [item.code for item in question.items] or [""]
        shown = orders.get(question.code) or codes
        column = column_of(question)
        for item in codes:
            is_own = bool(item) and item == question.last
            if item not in given or (is_own and released[column][OTHER_TEXT] is None):
                continue  # a line of one's own counts only beside a text
            yield {
                **NOWHERE,
                "user_id": user.id,
                "file": "survey",
                "column": column,
                "item": item or None,
                "position": shown.index(item) if item in shown else len(shown),
                "value": given[item],
                "is_na": given[item] is None,
                **as_touched(touches[question.code].get(item)),
            }


def as_touched(touch: Mapping[str, Any] | None) -> Row:
    """touch: an entry of `Response.touches`; None if the line was not touched."""
    record = touch or Touch().as_json()
    return {
        "was_touched": touch is not None,
        "first_value": record["first"],
        "moves": record["moves"],
        "ms_to_first_touch": record["ms"],
        "input": record["first_by"] or None,
    }


# The conversations'


def conversation_lines(plan: Plan) -> Iterator[Row]:
    numbers_of = plan.selection.utterance_numbers()
    for user, released, conversation in conversations(plan.selection, REPLIES, "attributes"):
        about = NOWHERE | {"user_id": user.id, "conversation_id": released.id}
        numbers = numbers_of(released)
        for interaction in conversation.interactions.all():
            turn = {"interaction_id": f"int{released.first_interaction + interaction.turn}"}
            for reply in interaction.utterances.all():
                ids = turn | {"utterance_id": f"ut{next(numbers)}"}
                yield about | ids | score_values(reply)
        yield from attribute_lines(about, conversation)


def score_values(reply: Utterance) -> Row:
    return {
        "file": "utterances",
        "column": "score",
        "position": reply.position,
        "value": reply.score,
        "is_na": False,
        **as_recorded(reply),
    }


def attribute_lines(about: Row, conversation: Conversation) -> Iterator[Row]:
    kinds = [kind.value for kind in AttributeRating.Kind]
    rows = conversation.attributes.all()
    for line in sorted(rows, key=lambda row: (kinds.index(row.kind), row.position)):
        yield about | {
            "file": "conversations",
            "column": f"{line.kind}_attributes",
            "item": line.attribute,
            "position": line.position,
            "value": line.value,
            "is_na": line.value is None,
            **as_recorded(line),
        }


def as_recorded(line: SliderRecord) -> Row:
    return {
        "was_touched": line.was_touched,
        "first_value": line.first_value,
        "moves": line.moves,
        "ms_to_first_touch": line.ms_to_first_touch,
        "input": line.first_by or None,
    }
