"""The rules of conversations.jsonl beyond types: turns, choices, and what it says of people."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from collection.export import tables
from collection.export.check_survey import minutes_problems
from collection.export.codebook import Codebook
from collection.export.columns import Table
from collection.export.known import (
    Known,
    KnownConversation,
    KnownReply,
    KnownUser,
    digest,
    shared,
)
from collection.export.lines import Deviation, File, Line, Problem, note, show
from collection.export.shape import Sequence, is_sound, row_problems
from collection.export.tables import CONVERSATION_TYPES, EMPTY_TEXT, most_replies
from surveys.protocol import Protocol

Row = Mapping[str, Any]

USUAL_CONVERSATIONS = 6
CONTINUING_REPLIES = 2


@dataclass
class Turn:
    prompt: str
    replies: list[dict[str, Any]] = field(default_factory=list)

    def chosen(self) -> list[dict[str, Any]]:
        return [reply for reply in self.replies if reply["if_chosen"]]


def check(file: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    sequence = Sequence("c", has_gaps=known.has_gaps)
    strangers: set[str] = set()
    place = 0
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        row = line.row
        problems = list(row_problems(tables.CONVERSATIONS, row))
        conversation_id, user_id = row.get("conversation_id"), row.get("user_id")
        problems += sequence.problems(conversation_id, known.conversations)
        if isinstance(row.get("conversation_history"), list):
            problems += item_problems(row["conversation_history"], book.model_item)
        turns: list[Turn] | None = None
        if is_sound(problems):
            turns, meant = meaning(row, book.protocols)
            problems += meant
        if isinstance(user_id, str):
            problems += user_problems(known, strangers, line)
        if isinstance(conversation_id, str) and conversation_id not in known.conversations:
            conversation = known_conversation(row, line.number, turns, place)
            known.conversations[shared(conversation_id)] = conversation
            known.balanced_conversations += conversation.is_balanced
            known.are_conversations_sound &= conversation.is_sound
            place += len(conversation.replies)
            if conversation.is_sound and known.has_ratings:
                columns = (tables.PERFORMANCE.key, tables.CHOICE.key)
                known.attributes[conversation_id] = {key: row[key] for key in columns}
        yield from file.at(line.number, problems)


def item_problems(items: list[Any], reply: Table) -> Iterator[Problem]:
    for index, item in enumerate(items):
        where = f"conversation_history[{index}]"
        if not isinstance(item, dict):
            yield Problem("type", f"{where} is {show(item)}, no object")
            continue
        table = tables.USER_ITEM if item.get("role") == "user" else reply
        yield from row_problems(table, item, where)


def user_problems(known: Known, strangers: set[str], line: Line) -> Iterator[Problem]:
    """Count the conversation for its user; each unknown user is reported once."""
    row, user_id = line.row, line.row["user_id"]
    user = known.users.get(user_id)
    if user is None:
        if user_id not in strangers:
            strangers.add(user_id)
            yield Problem("reference", f"{show(user_id)} is not in survey.jsonl")
        return
    user.conversations += 1
    user.first_conversation_line = user.first_conversation_line or line.number
    kind = row.get("conversation_type")
    if isinstance(kind, str):
        user.by_type[kind] += 1
        user.balanced_by_type[kind] += row.get("included_in_balanced_subset") is True


def known_conversation(
    row: Row, line: int, turns: list[Turn] | None, first_place: int
) -> KnownConversation:
    if turns is None:
        return KnownConversation(line, is_sound=False)
    replies: dict[tuple[int, int], KnownReply] = {}
    for number, turn in enumerate(turns):
        prompt = digest(turn.prompt)
        for reply in turn.replies:
            replies.setdefault(
                (number, reply["within_turn_id"]),
                KnownReply(
                    place=first_place + len(replies),
                    prompt=prompt,
                    response=digest(reply["content"]),
                    model_name=shared(reply["model_name"]),
                    model_provider=shared(reply["model_provider"]),
                    score=reply["score"],
                    if_chosen=reply["if_chosen"],
                ),
            )
    return KnownConversation(
        line,
        is_sound=True,
        user_id=shared(row["user_id"]),
        conversation_type=shared(row["conversation_type"]),
        is_balanced=row["included_in_balanced_subset"],
        opening_prompt=digest(row["opening_prompt"]),
        replies=replies,
    )


def meaning(row: Row, protocols: tuple[Protocol, ...]) -> tuple[list[Turn] | None, list[Problem]]:
    """(the turns, or None if they can't be told apart; what is wrong with the row's values)"""
    problems = [*minutes_problems(row), *seconds_problems(row)]
    turns, broken = split(row["conversation_history"])
    if broken:
        return None, [*problems, broken]
    if row["conversation_turns"] != len(turns):
        found = f"conversation_turns is {row['conversation_turns']}, the history has {len(turns)}"
        problems.append(Problem("turns", found))
    elif len(turns) < 2:
        problems.append(Problem("turns", "fewer than two turns"))
    if turns and row["opening_prompt"] != turns[0].prompt:
        problems.append(Problem("opening-prompt", "opening_prompt is not the first user message"))
    for item in row["conversation_history"]:
        problems += text_problems(item)
    for number, turn in enumerate(turns):
        problems += reply_problems(number, turn, protocols)
        problems += choice_problems(number, turn)
    problems += locked_problems(turns)
    return turns, problems


def seconds_problems(row: Row) -> Iterator[Problem]:
    seconds = row["timing_duration_s"]
    if round(seconds, 2) != seconds:
        yield Problem("timing", f"timing_duration_s has more than two decimals: {seconds}")


def split(items: list[dict[str, Any]]) -> tuple[list[Turn], Problem | None]:
    """Turns in order, each one user item and then its model items."""
    turns: list[Turn] = []
    for index, item in enumerate(items):
        where = f"conversation_history[{index}]"
        if item["role"] == "user":
            if item["turn"] != len(turns):
                return turns, Problem(
                    "turns", f"{where} has turn {item['turn']}, expected {len(turns)}"
                )
            turns.append(Turn(item["content"]))
        elif not turns:
            return turns, Problem("turns", f"{where}: the history does not begin with the user")
        elif item["turn"] != len(turns) - 1:
            return turns, Problem(
                "turns", f"{where} has turn {item['turn']} within turn {len(turns) - 1}"
            )
        else:
            turns[-1].replies.append(item)
    return turns, None


def text_problems(item: Row) -> Iterator[Problem]:
    text = item["content"]
    if text.strip() in ("", "None"):
        yield Problem("empty-text", f"turn {item['turn']}: {show(text)} should read {EMPTY_TEXT}")
    elif text != text.strip():
        yield Problem("text", f"turn {item['turn']}: the {item['role']}'s text is not stripped")


def reply_problems(number: int, turn: Turn, protocols: tuple[Protocol, ...]) -> Iterator[Problem]:
    """A protocol may allow more replies of the first turn than PRISM's four, or repeated models."""
    replies = turn.replies
    if number == 0:
        most = max(map(most_replies, protocols))
        if not 1 <= len(replies) <= most:
            yield Problem("replies", f"turn 0 has {len(replies)} replies, not 1 to {most}")
        is_repeated = len({reply["model_name"] for reply in replies}) < len(replies)
        if is_repeated and not any(protocol.repeats_models for protocol in protocols):
            yield Problem("models-distinct", "turn 0 has two replies of one model")
    elif len(replies) != CONTINUING_REPLIES:
        yield Problem("replies", f"turn {number} has {len(replies)} replies, not 2")
    if [reply["within_turn_id"] for reply in replies] != list(range(len(replies))):
        yield Problem(
            "within-turn-id", f"turn {number}: within_turn_id is not 0 to n-1 in the list's order"
        )


def choice_problems(number: int, turn: Turn) -> Iterator[Problem]:
    """One reply is chosen, with the highest score.

    PRISM compared texts with the kept reply, so identical replies of a later turn are all chosen.
    """
    chosen = turn.chosen()
    if not turn.replies:
        return
    if not chosen:
        yield Problem("if-chosen", f"turn {number}: no reply is chosen")
        return
    if len(chosen) > 1:
        if number > 0 and len({reply["content"] for reply in chosen}) == 1:
            yield note("if-chosen", f"turn {number}: identical replies are all chosen")
        else:
            yield Problem("if-chosen", f"turn {number}: {len(chosen)} replies are chosen")
    best = max(reply["score"] for reply in turn.replies)
    if all(reply["score"] < best for reply in chosen):
        yield Problem(
            "if-chosen",
            f"turn {number}: the chosen reply has score {chosen[0]['score']}, the best {best}",
        )


def locked_problems(turns: list[Turn]) -> Iterator[Problem]:
    """Later turns continue with the model that was chosen in the opening."""
    chosen = turns[0].chosen() if turns else []
    if len(chosen) != 1:
        return
    locked = (chosen[0]["model_name"], chosen[0]["model_provider"])
    for number, turn in enumerate(turns[1:], start=1):
        for reply in turn.replies:
            if (reply["model_name"], reply["model_provider"]) != locked:
                yield Problem(
                    "locked-model",
                    f"turn {number}: {show(reply['model_name'])} of "
                    f"{show(reply['model_provider'])}, but turn 0 chose {show(locked[0])} of "
                    f"{show(locked[1])}",
                )
                break


def check_people(survey: File, file: File, known: Known) -> Iterator[Deviation]:
    """What the two files say about the same people."""
    for user_id, user in known.users.items():
        if user.is_sound:
            yield from survey.at(user.line, count_problems(user_id, user))
        if user.first_conversation_line:
            yield from file.at(user.first_conversation_line, balance_problems(user_id, user))


def count_problems(user_id: str, user: KnownUser) -> Iterator[Problem]:
    if user.completed != user.conversations:
        yield Problem(
            "conversation-count",
            f"num_completed_conversations is {user.completed}, "
            f"conversations.jsonl has {user.conversations} of {user_id}",
        )
    if user.is_balanced != (user.balanced_by_type.total() > 0):
        yield Problem(
            "balanced-subset",
            "included_in_balanced_subset differs from the conversations' flags",
        )
    if user.conversations > USUAL_CONVERSATIONS:
        yield note("conversation-count", f"{user_id} has {user.conversations} conversations")


def balance_problems(user_id: str, user: KnownUser) -> Iterator[Problem]:
    """Equally many of each type: as many as the type has that the person did least often."""
    expected = min(user.by_type[kind] for kind in CONVERSATION_TYPES)
    found = [user.balanced_by_type[kind] for kind in CONVERSATION_TYPES]
    if found != [expected] * len(found):
        yield Problem(
            "balanced-subset",
            f"{user_id} has {', '.join(map(str, found))} conversations of the three types in the "
            f"balanced subset, expected {expected} of each",
        )
