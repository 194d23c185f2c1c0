"""The rows of metadata.jsonl, one for each text, and of flags.jsonl, one for each detector.

What is kept of a text holds if it is of the same words and of the detector's version of today. What
is not there is found while the file is written, by the local detectors: so a file is complete
whatever happened since they ran, and with them it is only a matter of time.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from collection import detecting, personal
from collection.detectors import Detector, Refused, Result, Unavailable, local_detectors_of
from collection.detectors.moderation import MODERATION
from collection.export import tables
from collection.export.plan import Plan, batches
from collection.export.survey_rows import people, sheet_of
from collection.models import Detection, Feedback, Interaction, Utterance
from collection.written import Reader, Written
from surveys.instruments.conditions import is_answer
from surveys.instruments.released import column_of
from surveys.instruments.schema import FreeText
from surveys.models import Participant

log = logging.getLogger("refract.export")

Row = dict[str, Any]
Kind = Detection.Kind

PII, LANGUAGE = personal.PII, "language"
ENGLISH = "en"
TEXTS_AT_ONCE = 500
CONVERSATIONS_AT_ONCE = 100


@dataclass(frozen=True)
class Placed:
    """A text of the release: its column and the released ids that it has."""

    written: Written
    column: str
    user: str
    conversation: str | None = None
    interaction: str | None = None
    utterance: str | None = None

    @property
    def ids(self) -> Row:
        return {
            "column_id": self.column,
            "user_id": self.user,
            "conversation_id": self.conversation,
            "interaction_id": self.interaction,
            "utterance_id": self.utterance,
        }


Findings = Mapping[str, detecting.Found]
"""Name of a detector -> what it found in a text."""


def metadata_rows(plan: Plan) -> Iterator[Row]:
    judged = personal.manual_flags(plan.study)
    for text, found in findings(plan):
        values = text.ids | flags(found) | {"pii_manual_flag": None}
        verdict = judged.get((text.written.kind, text.written.row))
        if verdict is not None:  # what a reviewer saw, a detector may have missed
            values |= {"pii_flag": True, "pii_manual_flag": verdict}
        yield plan.book.metadata.row(values, plan.order)


def flag_rows(plan: Plan) -> Iterator[Row]:
    for text, found in findings(plan):
        for name in sorted(found):
            one = found[name]
            values = {
                "detector": name,
                "version": one.version,
                "detected_datetime": one.found_at and f"{one.found_at:{tables.DATETIME}}",
                "result": one.result,
            }
            yield plan.book.flags.row(text.ids | values, plan.order)


def flags(found: Findings) -> Row:
    pii, language = result(found, PII), result(found, LANGUAGE)
    code = language.get("language") if language else None
    return {
        "pii_flag": bool(pii.get("found")) if pii is not None else None,
        "language_flag": code,
        "en_flag": None if code is None else code == ENGLISH,
        "moderation_flag": moderation(result(found, MODERATION)),
    }


def result(found: Findings, name: str) -> Result:
    return found[name].result if name in found else None


def moderation(judged: Result) -> Row | None:
    """PRISM's eleven categories. Null from an endpoint that has not all of them: what it says
    instead is in flags.jsonl, and a category that nobody judged is not one that was not found."""
    if judged is None:
        return None
    categories, scores = judged["categories"], judged["category_scores"]
    if not all(name in categories and name in scores for name in tables.MODERATION):
        return None
    mine = {name: categories[name] for name in tables.MODERATION}
    return {
        "flagged": any(mine.values()),
        "categories": mine,
        "category_scores": {name: round(scores[name], 2) for name in tables.MODERATION},
    }


# What was found


def findings(plan: Plan) -> Iterator[tuple[Placed, Findings]]:
    """Every text in the order of the file, with what is known of it."""
    detectors = local_detectors_of(plan.study)
    for batch in batches_of_kind(texts(plan)):
        kept = detecting.known_of([text.written for text in batch])
        new = {one.name: found_now(one, batch, kept) for one in detectors}
        for text in batch:
            yield text, what_holds(text.written, detectors, kept, new)


def what_holds(
    text: Written,
    detectors: Sequence[Detector],
    kept: detecting.Known,
    new: Mapping[str, Mapping[int, detecting.Found]],
) -> Findings:
    """What was found in other words than these says nothing of them."""
    local = {one.name for one in detectors}
    found = {
        name: one
        for name, one in kept.get(text.row, {}).items()
        if one.digest == text.digest and name not in local
    }
    for each in detectors:
        if text.row in new[each.name]:
            found[each.name] = new[each.name][text.row]
        elif detecting.is_current(each, text, kept):
            found[each.name] = kept[text.row][each.name]
    return found


def found_now(
    detector: Detector, batch: Sequence[Placed], kept: detecting.Known
) -> dict[int, detecting.Found]:
    """Row -> what a detector says of a text that it has not seen. Nothing is written: this reads a
    snapshot. So it has no time, which would differ each time the file is written."""
    missing = detecting.lacking(detector, [text.written for text in batch], kept)
    found: dict[int, detecting.Found] = {}
    for part in detecting.parts_of(missing, detector.at_once):
        try:
            for text, said in detecting.detect(detector, part):
                found[text.row] = detecting.Found(detector.version, text.digest, said, None)
        except (Unavailable, Refused) as error:
            log.warning("%s did not run: %s", detector.name, error)
            break
    return found


def batches_of_kind(placed: Iterable[Placed]) -> Iterator[list[Placed]]:
    """Of one kind each: rows are numbered by kind."""
    batch: list[Placed] = []
    for text in placed:
        if batch and (batch[0].written.kind != text.written.kind or len(batch) >= TEXTS_AT_ONCE):
            yield batch
            batch = []
        batch.append(text)
    if batch:
        yield batch


# The texts of the release


def texts(plan: Plan) -> Iterator[Placed]:
    """Survey, feedback, prompts, replies; each in the order of its own file."""
    yield from survey_texts(plan)
    yield from feedback_texts(plan)
    yield from prompt_texts(plan)
    yield from reply_texts(plan)


def survey_texts(plan: Plan) -> Iterator[Placed]:
    reader = Reader(plan.study)
    for user, person in people(plan, "responses", "assignments"):
        for row, column, text in answered(person, plan.book.texts):
            yield Placed(reader.read(Kind.ANSWER, row, person.pk, text), column, user.id)


def answered(person: Participant, columns: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """(key of the answer, column, words) of each text that the person's survey row has."""
    sheet = sheet_of(person)
    rows = {row.question: row.pk for row in person.responses.all()}
    mine = {column_of(q): q for q in sheet.file.questions() if isinstance(q, FreeText)}
    for column in columns:
        code = mine[column].code if column in mine else ""
        value = sheet.shown.get(code)
        if value is not None and is_answer(value):
            yield rows[code], column, value["text"]


def feedback_texts(plan: Plan) -> Iterator[Placed]:
    reader = Reader(plan.study)
    for batch in batches(list(plan.selection.conversations()), TEXTS_AT_ONCE):
        keys = [released.pk for _user, released in batch]
        rows = Feedback.objects.filter(conversation__in=keys)
        found = {
            conversation: (pk, text)
            for conversation, pk, text in rows.values_list("conversation", "pk", "open_feedback")
        }
        for user, released in batch:
            row, text = found[released.pk]
            words = reader.read(Kind.FEEDBACK, row, user.pk, text)
            yield Placed(words, "open_feedback", user.id, released.id)


def prompt_texts(plan: Plan) -> Iterator[Placed]:
    reader = Reader(plan.study)
    for batch in batches(list(plan.selection.conversations()), CONVERSATIONS_AT_ONCE):
        keys = [released.pk for _user, released in batch]
        rows = Interaction.objects.filter(conversation__in=keys, state=Interaction.State.RATED)
        found: dict[int, list[tuple[int, int, str]]] = {}
        ordered = rows.order_by("conversation", "turn")
        for conversation, *rest in ordered.values_list("conversation", "pk", "turn", "user_prompt"):
            found.setdefault(conversation, []).append(tuple(rest))  # type: ignore[arg-type]
        for user, released in batch:
            for row, turn, text in found[released.pk]:
                yield Placed(
                    reader.read(Kind.PROMPT, row, user.pk, text),
                    *("user_prompt", user.id, released.id),
                    f"int{released.first_interaction + turn}",
                )


def reply_texts(plan: Plan) -> Iterator[Placed]:
    reader = Reader(plan.study)
    numbers_of = plan.selection.utterance_numbers()
    for batch in batches(list(plan.selection.conversations()), CONVERSATIONS_AT_ONCE):
        keys = [released.pk for _user, released in batch]
        rows = Utterance.objects.filter(
            interaction__conversation__in=keys, interaction__state=Interaction.State.RATED
        ).order_by("interaction__conversation", "interaction__turn", "within_turn_id")
        found: dict[int, list[tuple[int, int, str]]] = {}
        fields = ("interaction__conversation", "pk", "interaction__turn", "model_response")
        for conversation, *rest in rows.values_list(*fields):
            found.setdefault(conversation, []).append(tuple(rest))
        for user, released in batch:
            numbers = numbers_of(released)
            for row, turn, text in found.get(released.pk, ()):
                yield Placed(
                    reader.read(Kind.REPLY, row, user.pk, text),
                    *("model_response", user.id, released.id),
                    f"int{released.first_interaction + turn}",
                    f"ut{next(numbers)}",
                )
