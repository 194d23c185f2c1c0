"""The rules of calls.jsonl: what it says of replies and turns that the other files have too."""

from collections.abc import Iterator, Mapping
from typing import Any

from collection.export.codebook import Codebook
from collection.export.known import Known, digest
from collection.export.lines import Deviation, File, Line, Problem, show
from collection.export.rows import shown_text
from collection.export.shape import Sequence, is_sound, row_problems
from collection.export.tables import RELEASED
from collection.models import SHOWN

Row = Mapping[str, Any]

ABOUT_DRAW = (
    *("attempt", "draw_position", "try_number", "arm", "is_replacement", "outcome", "latency_ms"),
)
"""What assignments.jsonl says of a call as well."""
PLACE = ("user_id", "conversation_id", "turn", "attempt", "draw_position")


def check(file: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    checker = Checker(known, book)
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
        else:
            yield from file.at(line.number, checker.problems(line))
    missing = [one for one in known.utterances if one not in checker.brought]
    if missing:
        message = f"{len(missing)} utterances were brought by no call, first {missing[0]}"
        yield from file.at(0, [Problem("missing", message)])


class Checker:
    """Goes through the rows and counts them."""

    def __init__(self, known: Known, book: Codebook) -> None:
        self.known = known
        self.table = book.calls
        self.sequence = Sequence("call", has_gaps=known.has_gaps)
        self.ids: set[str] = set()
        self.places: set[tuple[Any, ...]] = set()
        self.before: tuple[Any, ...] = ()
        self.brought: set[str] = set()

    def problems(self, line: Line) -> Iterator[Problem]:
        row = line.row
        shape = list(row_problems(self.table, row))
        yield from shape
        yield from self.sequence.problems(row.get("call_id"), self.ids)
        if isinstance(row.get("call_id"), str):
            self.ids.add(row["call_id"])
        utterances = row.get("utterance_ids")
        if isinstance(utterances, list):
            yield from self.brought_problems(utterances)
        if not is_sound(shape):
            return
        self.known.calls[row["model_name"], row["conversation_type"], row["outcome"]] += 1
        yield from self.reference_problems(row)
        yield from self.try_problems(row)
        yield from ending_problems(row)
        yield from self.message_problems(row)
        for utterance_id in utterances or ():
            yield from self.reply_problems(row, utterance_id)

    def brought_problems(self, utterances: list[Any]) -> Iterator[Problem]:
        for utterance_id in (one for one in utterances if isinstance(one, str)):
            if utterance_id not in self.known.utterances:
                yield Problem("reference", f"{show(utterance_id)} is not in utterances.jsonl")
            elif utterance_id in self.brought:
                yield Problem("unique", f"{utterance_id} was brought by an earlier call")
            self.brought.add(utterance_id)

    def reference_problems(self, row: Row) -> Iterator[Problem]:
        """Who and what a call was for."""
        conversation_id, interaction_id = row["conversation_id"], row["interaction_id"]
        if row["user_id"] not in self.known.users:
            yield Problem("reference", f"{show(row['user_id'])} is not in survey.jsonl")
        if conversation_id is not None:
            conversation = self.known.conversations.get(conversation_id)
            if conversation is None:
                yield Problem("reference", f"{show(conversation_id)} is not in conversations.jsonl")
            elif conversation.is_sound:
                said = (row["user_id"], row["conversation_type"])
                if said != (conversation.user_id, conversation.conversation_type):
                    yield Problem(
                        "agreement", f"{conversation_id} is another's, or of another type"
                    )
        if interaction_id is not None:
            if self.known.interactions.get(interaction_id) != conversation_id:
                yield Problem("reference", f"{show(interaction_id)} is not in {conversation_id}")
            elif self.known.turns.get(interaction_id) != row["turn"]:
                yield Problem("agreement", f"{interaction_id} is another turn than {row['turn']}")
        name, listed = row["model_name"], self.known.model_providers
        if listed is not None and name not in listed:
            yield Problem("reference", f"model_name {show(name)} is not in models.jsonl")
        provider = self.known.providers.setdefault(name, row["model_provider"])
        if provider != row["model_provider"]:
            yield Problem("provider", f"{name} is of {show(provider)} elsewhere")

    def try_problems(self, row: Row) -> Iterator[Problem]:
        """Tries follow each other: a place in the draw is called until it answers."""
        place, tried = tuple(row[key] for key in PLACE), row["try_number"]
        if row["interaction_id"] is not None:
            if (*place, tried) in self.places:
                yield Problem("unique", "an earlier row has the same try for the same place")
            self.places.add((*place, tried))
        if tried and self.before != (*place, tried - 1):
            yield Problem("tries", f"try_number {tried} does not follow {tried - 1}")
        self.before = (*place, tried)

    def message_problems(self, row: Row) -> Iterator[Problem]:
        messages, interaction_id = row["messages"], row["interaction_id"]
        if (messages is None) != (interaction_id is None):
            yield Problem("messages", "of a turn that is released, and of no other")
        if not messages:
            return
        roles = [message["role"] for message in messages]
        talk = roles[1:] if roles[0] == "system" else roles
        if talk != [("user", "assistant")[n % 2] for n in range(len(talk))] or not len(talk) % 2:
            yield Problem("messages", f"the roles are {show(roles)}")
        elif len(talk) != 2 * row["turn"] + 1:
            yield Problem("messages", f"{len(talk)} messages for turn {row['turn']}")
        prompt = self.known.prompts.get(interaction_id)
        if prompt is not None and prompt != digest(shown_text(messages[-1]["content"])):
            yield Problem("messages", f"the last is not the user_prompt of {interaction_id}")

    def reply_problems(self, row: Row, utterance_id: str) -> Iterator[Problem]:
        utterance = self.known.utterances.get(utterance_id)
        if utterance is None or utterance.model_name is None:
            return
        if utterance.interaction_id != row["interaction_id"]:
            yield Problem("agreement", f"{utterance_id} is of {utterance.interaction_id}")
        if utterance.model_name != row["model_name"]:
            yield Problem("agreement", f"{utterance_id} is of {show(utterance.model_name)}")
        draw = self.known.draws.get(utterance_id)
        if draw is not None and draw[0] != digest_of_draw(row):
            yield Problem(
                "agreement",
                f"{', '.join(ABOUT_DRAW)}: not all as assignments.jsonl has them of {utterance_id}",
            )


def digest_of_draw(row: Row) -> int:
    """Of a row of calls.jsonl or of assignments.jsonl."""
    return hash(tuple(row[key] for key in ABOUT_DRAW))


def ending_problems(row: Row) -> Iterator[Problem]:
    if row["is_released"] != bool(row["utterance_ids"]):
        yield Problem("released", "is_released is not whether there are utterance_ids")
    if row["is_released"] and row["outcome"] not in RELEASED:
        yield Problem("outcome", f"{show(row['outcome'])} brings nothing that could be released")
    if row["outcome"] in SHOWN and row["error_class"] is not None:
        yield Problem(
            "outcome", f"{show(row['outcome'])} with the error {show(row['error_class'])}"
        )
