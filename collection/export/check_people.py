"""The rules of consents.jsonl and quality.jsonl."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from collection.export.codebook import Codebook
from collection.export.further_tables import CONSENTS_TABLE, QUALITY_TABLE
from collection.export.known import Known
from collection.export.lines import Deviation, File, Problem, show
from collection.export.person_rows import CODES
from collection.export.shape import is_sound, row_problems

Row = Mapping[str, Any]

SHA256 = re.compile("[0-9a-f]{64}")


def check_consents(file: File, known: Known) -> Iterator[Deviation]:
    """One row for each person, in the order of the survey."""
    left = iter(known.users)
    hash_of: dict[str, str] = {}
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        row, problems = line.row, list(row_problems(CONSENTS_TABLE, line.row))
        expected = next(left, None)
        if row.get("user_id") != expected:
            said = expected or "nobody"
            problems.append(Problem("people", f"{show(row.get('user_id'))}, expected {said}"))
        if is_sound(problems):
            known.consents[row["version"], row["sha256"]] += 1
            if not SHA256.fullmatch(row["sha256"]):
                problems.append(Problem("value", "sha256 is no hash of 64 hexadecimal digits"))
            elif hash_of.setdefault(row["sha256"], row["version"]) != row["version"]:
                problems.append(Problem("version", "this text has another version elsewhere"))
        yield from file.at(line.number, problems)
    missing = list(left)
    if missing:
        message = f"{len(missing)} people have no row, first {missing[0]}"
        yield from file.at(0, [Problem("missing", message)])


def check_quality(file: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    questions = {q.code for version in book.versions for q in version.file.questions()}
    order = {user_id: place for place, user_id in enumerate(known.users)}
    last: tuple[int, str] = (-1, "")
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        row, problems = line.row, list(row_problems(QUALITY_TABLE, line.row))
        if is_sound(problems):
            place = (order.get(row["user_id"], -1), row["check"])
            if place[0] < 0:
                message = f"{show(row['user_id'])} is not in survey.jsonl"
                problems.append(Problem("reference", message))
            elif place <= last:
                message = f"{show(row['check'])} of {row['user_id']} stands before, or was here"
                problems.append(Problem("order", message))
            else:
                last = place
            problems += evidence_problems(row)
            for one in row["places"]:
                problems += place_problems(row["user_id"], one, known, questions)
        yield from file.at(line.number, problems)


def evidence_problems(row: Row) -> Iterator[Problem]:
    names = [one["name"] for one in row["evidence"]]
    if names != sorted(set(names)):
        yield Problem("evidence", "not sorted, or a name stands there twice")
    for one in row["evidence"]:
        if (one["number"] is None) == (one["code"] is None):
            yield Problem("evidence", f"{show(one['name'])} is a number or a code")
        elif one["code"] is not None and one["name"] not in CODES:
            yield Problem(
                "evidence", f"{show(one['name'])} has words: only numbers may stand there"
            )


def place_problems(
    user_id: str, place: Row, known: Known, questions: set[str]
) -> Iterator[Problem]:
    conversation_id = place["conversation_id"]
    if (place["question"] is None) == (conversation_id is None):
        yield Problem("places", "a place is a question or in a conversation")
    elif place["question"] is not None and place["question"] not in questions:
        yield Problem("reference", f"{show(place['question'])} is no question of the instrument")
    elif conversation_id is None:
        if place["turn"] is not None:
            yield Problem("places", "a turn of no conversation")
    else:
        conversation = known.conversations.get(conversation_id)
        if conversation is None:
            yield Problem("reference", f"{show(conversation_id)} is not in conversations.jsonl")
        elif conversation.is_sound and conversation.user_id != user_id:
            yield Problem("agreement", f"{conversation_id} is of {conversation.user_id}")
