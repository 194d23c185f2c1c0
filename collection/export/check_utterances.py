"""The rules of utterances.jsonl: it repeats the conversations, reply by reply."""

from collections.abc import Iterator, Mapping
from typing import Any

from collection.export.codebook import Codebook
from collection.export.known import (
    Known,
    KnownConversation,
    KnownReply,
    KnownUtterance,
    digest,
    shared,
)
from collection.export.lines import Deviation, File, Line, Problem, note, show
from collection.export.shape import Sequence, id_number, is_integer, is_sound, row_problems

Row = Mapping[str, Any]
Place = tuple[str, int]
"""A conversation's id and a turn."""


def check(file: File, conversations: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    checker = Checker(known, book)
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
        else:
            yield from file.at(line.number, checker.problems(line))
    yield from checker.rank_deviations(file)
    for conversation_id, conversation in known.conversations.items():
        if conversation.replies:
            turn, position = next(iter(conversation.replies))
            left = len(conversation.replies)
            message = (
                f"{left} of the replies in {conversation_id} have no row in utterances.jsonl, "
                f"first turn {turn}, within_turn_id {position}"
            )
            yield from conversations.at(conversation.line, [Problem("utterances", message)])


class Checker:
    """Goes through the rows and remembers where it is in the conversations."""

    def __init__(self, known: Known, book: Codebook) -> None:
        self.known = known
        self.table = book.utterances
        self.sequence = Sequence("ut", has_gaps=known.has_gaps)
        self.place = -1
        self.strangers: set[str] = set()
        self.providers = known.providers
        self.is_spelling_noted = False
        self.interaction_at: dict[Place, str] = {}
        self.first_line: dict[str, tuple[Place, int]] = {}
        """interaction_id -> (its place, line)."""

    def problems(self, line: Line) -> Iterator[Problem]:
        row = line.row
        shape = list(row_problems(self.table, row))
        yield from shape
        utterance_id = row.get("utterance_id")
        yield from self.sequence.problems(utterance_id, self.known.utterances)
        if isinstance(utterance_id, str) and utterance_id not in self.known.utterances:
            found = known_utterance(row, is_sound=is_sound(shape))
            self.known.utterances[utterance_id] = found
            self.known.replies[found.interaction_id] += 1
        conversation_id = row.get("conversation_id")
        if not isinstance(conversation_id, str):
            return
        conversation = self.known.conversations.get(conversation_id)
        if conversation is None and conversation_id not in self.strangers:
            self.strangers.add(conversation_id)
            yield Problem("reference", f"{show(conversation_id)} is not in conversations.jsonl")
        reply = take(conversation, row)
        if not is_sound(shape):
            return
        yield from self.interaction_problems(line)
        yield from self.model_problems(row)
        if conversation is not None and conversation.is_sound:
            yield from self.agreement_problems(row, conversation, reply)

    def interaction_problems(self, line: Line) -> Iterator[Problem]:
        """One interaction_id for each turn of a conversation, and the other way round."""
        row = line.row
        interaction_id = shared(row["interaction_id"])
        place = (shared(row["conversation_id"]), row["turn"])
        first_id = self.interaction_at.setdefault(place, interaction_id)
        if first_id != interaction_id:
            yield Problem(
                "interaction",
                f"{interaction_id} is turn {place[1]} of {place[0]}, as {first_id} was before",
            )
            return
        self.known.interactions.setdefault(interaction_id, place[0])
        self.known.turns.setdefault(interaction_id, row["turn"])
        self.known.prompts.setdefault(interaction_id, digest(row["user_prompt"]))
        first_place, _line = self.first_line.setdefault(interaction_id, (place, line.number))
        if first_place != place:
            yield Problem(
                "interaction",
                f"{interaction_id} was turn {first_place[1]} of {first_place[0]} before",
            )

    def model_problems(self, row: Row) -> Iterator[Problem]:
        name, provider = row["model_name"], row["model_provider"]
        if self.providers.setdefault(name, provider) != provider:
            yield Problem(
                "provider", f"{name} is of {show(self.providers[name])} elsewhere in this file"
            )
        listed = self.known.model_providers
        if listed is None:
            return
        if name not in listed:
            yield Problem("reference", f"model_name {show(name)} is not in models.jsonl")
        elif listed[name] != provider and not self.is_spelling_noted:
            self.is_spelling_noted = True
            yield note(
                "provider-spelling",
                f"{show(provider)} here, {show(listed[name])} in models.jsonl, and so on",
            )

    def agreement_problems(
        self, row: Row, conversation: KnownConversation, reply: KnownReply | None
    ) -> Iterator[Problem]:
        if reply is None:
            yield Problem(
                "utterances",
                f"turn {row['turn']}, within_turn_id {row['within_turn_id']} of "
                f"{row['conversation_id']} is not in its history, or has a row already",
            )
            return
        if reply.place < self.place:
            yield Problem("utterances", "out of the order of conversations.jsonl")
        self.place = max(self.place, reply.place)
        pairs = {
            "user_id": (row["user_id"], conversation.user_id),
            "conversation_type": (row["conversation_type"], conversation.conversation_type),
            "user_prompt": (digest(row["user_prompt"]), reply.prompt),
            "model_response": (digest(row["model_response"]), reply.response),
            "model_name": (row["model_name"], reply.model_name),
            "model_provider": (row["model_provider"], reply.model_provider),
            "score": (row["score"], reply.score),
            "if_chosen": (row["if_chosen"], reply.if_chosen),
            "included_in_balanced_subset": (
                row["included_in_balanced_subset"],
                conversation.is_balanced,
            ),
        }
        differing = [key for key, (here, there) in pairs.items() if here != there]
        if differing:
            yield Problem(
                "agreement",
                f"{', '.join(differing)} differs from line {conversation.line} of "
                "conversations.jsonl",
            )

    def rank_deviations(self, file: File) -> Iterator[Deviation]:
        """int… counts (conversation_id as text, turn) from 0 without gaps."""
        numbered = [
            (number, place, line)
            for interaction_id, (place, line) in self.first_line.items()
            if (number := id_number("int", interaction_id)) is not None
        ]
        last, last_place = -1, ("", -1)
        for number, place, line in sorted(numbered):
            if place < last_place:
                message = (
                    f"int{number} is turn {place[1]} of {place[0]}, but int{last} is turn "
                    f"{last_place[1]} of {last_place[0]}: not in the order of ids as text"
                )
                yield from file.at(line, [Problem("interaction-rank", message)])
            elif number != last + 1 and not self.known.has_gaps:
                message = f"int{number} comes after int{last}" if last >= 0 else "int0 is missing"
                yield from file.at(line, [Problem("interaction-rank", message)])
            last, last_place = number, place


def known_utterance(row: Row, *, is_sound: bool) -> KnownUtterance:
    if not is_sound:
        return KnownUtterance(str(row.get("interaction_id")), -1, -1)
    keys = KnownUtterance._fields
    return KnownUtterance(*(shared(row[key]) for key in keys))


def take(conversation: KnownConversation | None, row: Row) -> KnownReply | None:
    """The reply that a row repeats; each can be taken once."""
    turn, position = row.get("turn"), row.get("within_turn_id")
    if conversation is None or not is_integer(turn) or not is_integer(position):
        return None
    return conversation.replies.pop((turn, position), None)
