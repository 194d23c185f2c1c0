"""The rows of metadata.jsonl, one for each text, and of flags.jsonl, one for each detector.

What is kept of a text holds if it is of the same words and of the detector's version of today. What
is not there is found while the file is written, by the local detectors: so a file is complete
whatever happened since they ran, and with them it is only a matter of time.
"""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from django.db.models import QuerySet

from collection import detecting, personal
from collection.detectors import Detector, Refused, Result, Unavailable, local_detectors_of
from collection.detectors.moderation import MODERATION
from collection.export import tables
from collection.export.loading import PEOPLE_AT_ONCE, answers_of, let_go, load_answering
from collection.export.plan import Plan, batches
from collection.export.selection import ReleasedConversation, ReleasedUser
from collection.export.survey_rows import sheet_of
from collection.models import Detection, Feedback, Interaction, Utterance
from collection.written import Reader, Written
from surveys.instruments.conditions import is_answer
from surveys.instruments.released import column_of
from surveys.instruments.schema import FreeText
from surveys.models import Participant, Response

log = logging.getLogger("refract.export")

Row = dict[str, Any]
Kind = Detection.Kind

PII, LANGUAGE = personal.PII, "language"
ENGLISH = "en"
FEEDBACK_AT_ONCE = 500
CONVERSATIONS_AT_ONCE = 100

Talk = tuple[ReleasedUser, ReleasedConversation]
Numbers = Callable[[ReleasedConversation], Iterator[int]]


class Placed(NamedTuple):
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
    for text, found in findings(plan, with_times=True):
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


class Batch(NamedTuple):
    """Texts of one kind. rows: a query for the keys of these, and perhaps of more: to name each
    key to the database takes longer than to find what is known of it."""

    kind: str
    texts: list[Placed]
    rows: "QuerySet[Any, Any]"


def findings(plan: Plan, *, with_times: bool = False) -> Iterator[tuple[Placed, Findings]]:
    """Every text in the order of the file, with what is known of it."""
    detectors = local_detectors_of(plan.study)
    versions = {one.name: one.version for one in detectors}
    for batch in texts(plan):
        kept = detecting.known(batch.kind, batch.rows, with_times=with_times)
        found = [what_holds(text.written, kept, versions) for text in batch.texts]
        for detector in detectors:
            find_now(detector, batch.texts, found)
        yield from zip(batch.texts, found, strict=True)


def what_holds(
    text: Written, kept: detecting.Known, versions: Mapping[str, str]
) -> dict[str, detecting.Found]:
    """What was found in other words than these says nothing of them, nor what a local detector
    found in another version. versions: of the local ones."""
    digest = text.digest
    return {
        name: one
        for name, one in kept.get(text.row, {}).items()
        if one.digest == digest and one.version == versions.get(name, one.version)
    }


def find_now(
    detector: Detector, batch: Sequence[Placed], found: Sequence[dict[str, detecting.Found]]
) -> None:
    """Add what a detector says of texts that it has not seen. Nothing is written: this reads a
    snapshot. So it has no time, which would differ each time the file is written."""
    pairs = zip(batch, found, strict=True)
    missing = [(text.written, known) for text, known in pairs if detector.name not in known]
    for part in detecting.parts_of(missing, detector.at_once):
        try:
            said = detecting.detect(detector, [text for text, _known in part])
        except (Unavailable, Refused) as error:
            log.warning("%s did not run: %s", detector.name, error)
            break
        for (_text, known), (text, result) in zip(part, said, strict=True):
            known[detector.name] = detecting.Found(detector.version, text.digest, result)


# The texts of the release


def texts(plan: Plan) -> Iterator[Batch]:
    """Survey, feedback, prompts, replies; each in the order of its own file."""
    reader = Reader(plan.study)
    for users in batches(plan.selection.users, PEOPLE_AT_ONCE):
        yield survey_texts(users, plan.book.texts, reader)
    talks = plan.selection.conversations
    for part in batches(talks(), FEEDBACK_AT_ONCE):
        yield feedback_texts(part, reader)
    for part in batches(talks(), CONVERSATIONS_AT_ONCE):
        yield prompt_texts(part, reader)
    numbers_of = plan.selection.utterance_numbers()
    for part in batches(talks(), CONVERSATIONS_AT_ONCE):
        yield reply_texts(part, reader, numbers_of)


def survey_texts(users: Sequence[ReleasedUser], columns: Sequence[str], reader: Reader) -> Batch:
    keys = [user.pk for user in users]
    people = load_answering(keys)
    placed = [
        Placed(reader.read(Kind.ANSWER, row, user.pk, text), column, user.id)
        for user in users
        for row, column, text in answered(people[user.pk], columns)
    ]
    let_go(people.values())
    return Batch(Kind.ANSWER, placed, Response.objects.filter(participant__in=keys))


def answered(person: Participant, columns: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """(key of the answer, column, words) of each text that the person's survey row has."""
    sheet = sheet_of(person)
    rows = {row.question: row.pk for row in answers_of(person)}
    mine = {column_of(q): q for q in sheet.file.questions() if isinstance(q, FreeText)}
    for column in columns:
        code = mine[column].code if column in mine else ""
        value = sheet.shown.get(code)
        if value is not None and is_answer(value):
            yield rows[code], column, value["text"]


def feedback_texts(talks: Sequence[Talk], reader: Reader) -> Batch:
    rows = Feedback.objects.filter(conversation__in=[released.pk for _user, released in talks])
    found = {
        conversation: (pk, text)
        for conversation, pk, text in rows.values_list("conversation", "pk", "open_feedback")
    }
    placed = []
    for user, released in talks:
        row, text = found[released.pk]
        words = reader.read(Kind.FEEDBACK, row, user.pk, text)
        placed.append(Placed(words, "open_feedback", user.id, released.id))
    return Batch(Kind.FEEDBACK, placed, rows)


def prompt_texts(talks: Sequence[Talk], reader: Reader) -> Batch:
    keys = [released.pk for _user, released in talks]
    rows = Interaction.objects.filter(conversation__in=keys, state=Interaction.State.RATED)
    fields = ("conversation", "pk", "turn", "user_prompt")
    found = by_conversation(rows.order_by("turn").values_list(*fields))
    placed = [
        Placed(
            reader.read(Kind.PROMPT, row, user.pk, text),
            *("user_prompt", user.id, released.id),
            f"int{released.first_interaction + turn}",
        )
        for user, released in talks
        for row, turn, text in found[released.pk]
    ]
    return Batch(Kind.PROMPT, placed, rows)


def reply_texts(talks: Sequence[Talk], reader: Reader, numbers_of: Numbers) -> Batch:
    rows = Utterance.objects.filter(
        interaction__conversation__in=[released.pk for _user, released in talks],
        interaction__state=Interaction.State.RATED,
    )
    fields = ("interaction__conversation", "pk", "interaction__turn", "model_response")
    ordered = rows.order_by("interaction__turn", "within_turn_id")
    found = by_conversation(ordered.values_list(*fields))
    placed = []
    for user, released in talks:
        numbers = numbers_of(released)
        for row, turn, text in found[released.pk]:
            placed.append(
                Placed(
                    reader.read(Kind.REPLY, row, user.pk, text),
                    *("model_response", user.id, released.id),
                    f"int{released.first_interaction + turn}",
                    f"ut{next(numbers)}",
                )
            )
    return Batch(Kind.REPLY, placed, rows)


def by_conversation(rows: Iterable[tuple[Any, ...]]) -> dict[int, list[tuple[int, int, str]]]:
    """Key of a conversation -> (key, turn, text) of its rows."""
    found: dict[int, list[tuple[int, int, str]]] = defaultdict(list)
    for conversation, row, turn, text in rows:
        found[conversation].append((row, turn, text))
    return found
