"""The rules of assignments.jsonl: one row per utterance, and what a turn's say together."""

from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from collection.export.check_calls import digest_of_draw
from collection.export.codebook import Codebook
from collection.export.known import Known, KnownUtterance, digest
from collection.export.lines import Deviation, File, Line, Problem, show
from collection.export.shape import Sequence, is_sound, row_problems
from collection.export.tables import LOCKED
from surveys.protocol import Protocol

Row = Mapping[str, Any]

ABOUT_TURN = ("candidates", "strategy", "anchor", "attempt", "eligible", "layout")
EQUAL = 1e-9
"""Probabilities this close are one: they are sums of fractions."""


@dataclass(frozen=True)
class Reply:
    """A sound row, and the utterance that it is about."""

    line: int
    row: Row
    utterance: KnownUtterance

    @property
    def id(self) -> str:
        return str(self.row["utterance_id"])

    @property
    def model(self) -> str | None:
        return self.utterance.model_name


def check(file: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    checker = Checker(known, book)
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        yield from file.at(line.number, checker.problems(line))
        if turn := checker.whole_turn(line.row.get("utterance_id")):
            yield from file.at(turn[0].line, checker.turn_problems(turn))
    missing = [one for one in known.utterances if one not in checker.seen]
    if missing:
        message = f"{len(missing)} utterances have no row, first {missing[0]}"
        yield from file.at(0, [Problem("missing", message)])


class Checker:
    """Goes through the rows and puts the turns together."""

    def __init__(self, known: Known, book: Codebook) -> None:
        self.known = known
        self.table = book.assignments
        self.protocols = book.protocols
        self.sequence = Sequence("ut", has_gaps=known.has_gaps)
        self.seen: set[str] = set()
        self.turns: dict[str, list[Reply]] = {}
        """interaction_id -> its rows, until all are there."""
        self.anchors: dict[str, str | None] = {}
        self.arms: dict[str, str | None] = {}
        """conversation_id -> of its first turn, and of the reply that was chosen there."""

    def problems(self, line: Line) -> Iterator[Problem]:
        row = line.row
        shape = list(row_problems(self.table, row))
        yield from shape
        utterance_id = row.get("utterance_id")
        yield from self.sequence.problems(utterance_id, self.seen)
        if not isinstance(utterance_id, str) or utterance_id in self.seen:
            return
        self.seen.add(utterance_id)
        utterance = self.known.utterances.get(utterance_id)
        if utterance is None:
            yield Problem("reference", f"{show(utterance_id)} is not in utterances.jsonl")
            return
        if not is_sound(shape) or utterance.model_name is None:
            return
        self.known.draws[utterance_id] = (digest_of_draw(row), row["screen_position"])
        yield from self.agreement_problems(row, utterance)
        yield from draw_problems(row, utterance)
        yield from flag_problems(row)
        yield from self.reference_problems(row)
        reply = Reply(line.number, row, utterance)
        self.turns.setdefault(utterance.interaction_id, []).append(reply)

    def whole_turn(self, utterance_id: Any) -> list[Reply] | None:
        """The turn of an utterance if all of its rows are there, and are sound."""
        if not isinstance(utterance_id, str) or utterance_id not in self.known.utterances:
            return None
        interaction_id = self.known.utterances[utterance_id].interaction_id
        is_whole = len(self.turns.get(interaction_id, ())) == self.known.replies[interaction_id]
        return self.turns.pop(interaction_id) if is_whole else None

    def agreement_problems(self, row: Row, utterance: KnownUtterance) -> Iterator[Problem]:
        conversation_id = self.known.interactions.get(utterance.interaction_id)
        conversation = self.known.conversations.get(str(conversation_id))
        expected = {
            "interaction_id": utterance.interaction_id,
            "conversation_id": conversation_id,
            "turn": utterance.turn,
            "within_turn_id": utterance.within_turn_id,
        }
        if conversation and conversation.is_sound:
            expected["user_id"] = conversation.user_id
        differing = [key for key, value in expected.items() if row[key] != value]
        if differing:
            yield Problem(
                "agreement",
                f"{', '.join(differing)} differs from {row['utterance_id']} of utterances.jsonl",
            )

    def reference_problems(self, row: Row) -> Iterator[Problem]:
        """What the row names must be in models.jsonl or in the protocol."""
        listed = self.known.model_providers
        unlisted = [name for name in row["eligible"] if listed is not None and name not in listed]
        if unlisted:
            yield Problem("reference", f"eligible: {show(unlisted[0])} is not in models.jsonl")
        known: dict[str, Container[str | None]] = {
            "arm": {arm for protocol in self.protocols for arm in arms_of(protocol)},
            "anchor": {None, *(a.code for protocol in self.protocols for a in protocol.anchors)},
        }
        for key, codes in known.items():
            if row[key] not in codes:
                yield Problem("protocol", f"the protocol does not have the {key} {show(row[key])}")
        if row["is_replacement"] and all(p.on_failure != "replace" for p in self.protocols):
            yield Problem("protocol", "is_replacement, but the protocol replaces no model")

    def turn_problems(self, turn: list[Reply]) -> Iterator[Problem]:
        turn = sorted(turn, key=lambda reply: reply.utterance.within_turn_id)
        first = turn[0].row
        for key in ABOUT_TURN:
            if any(reply.row[key] != first[key] for reply in turn):
                yield Problem("turn", f"{key} is not the same throughout {first['interaction_id']}")
                return
        yield from position_problems(turn)
        yield from tie_problems(turn)
        yield from pair_problems(turn)
        if turn[0].utterance.turn == 0:
            yield from self.opening_problems(turn)
        else:
            yield from locked_problems(turn)
        yield from self.conversation_problems(turn)

    def opening_problems(self, turn: list[Reply]) -> Iterator[Problem]:
        row = turn[0].row
        said = [f"{p.candidates} drawn {p.assignment}" for p in self.protocols]
        drawn = f"{row['candidates']} drawn {row['strategy']}"
        if drawn not in said:
            yield Problem("protocol", f"{drawn}, the protocol says {' or '.join(said)}")
        is_one = row["candidates"] != "models"
        if is_one and len({reply.model for reply in turn}) > 1:
            yield Problem("candidates", f"{row['candidates']} are of one model, not of several")
        arms = [reply.row["arm"] for reply in turn]
        sets = [p.model_sets[arms[0]] for p in self.protocols if arms[0] in p.model_sets]
        if row["candidates"] == "prompts":
            if len(set(arms)) < len(arms):
                yield Problem("arm", "two replies are of one system prompt")
        elif len(set(arms)) > 1:
            yield Problem("arm", "replies to one person are of several arms")
        elif sets and not any(set(row["eligible"]) <= set(models) for models in sets):
            yield Problem("eligible", f"not all are in the protocol's set {show(arms[0])}")
        if row["strategy"] in ("uniform", "fixed"):
            yield from uniform_problems(turn)

    def conversation_problems(self, turn: list[Reply]) -> Iterator[Problem]:
        """The anchor is the conversation's; the arm goes on with the reply that was chosen."""
        row = turn[0].row
        conversation_id = str(self.known.interactions.get(turn[0].utterance.interaction_id))
        if turn[0].utterance.turn == 0:
            self.anchors[conversation_id] = row["anchor"]
            chosen = [reply.row["arm"] for reply in turn if reply.utterance.if_chosen]
            if len(chosen) == 1:
                self.arms[conversation_id] = chosen[0]
            yield from self.anchor_problems(conversation_id, row["anchor"])
            return
        if row["anchor"] != self.anchors.get(conversation_id, row["anchor"]):
            yield Problem("anchor", "not that of the conversation's first turn")
        arm = self.arms.get(conversation_id, row["arm"])
        if any(reply.row["arm"] != arm for reply in turn):
            yield Problem("arm", f"not that of the reply chosen first, {show(arm)}")

    def anchor_problems(self, conversation_id: str, code: str | None) -> Iterator[Problem]:
        """The conversation opens with the words that the protocol has under the code."""
        conversation = self.known.conversations.get(conversation_id)
        given = {
            digest(a.text.strip()) for p in self.protocols for a in p.anchors if a.code == code
        }
        if not given or conversation is None or not conversation.is_sound:
            return
        if conversation.opening_prompt not in given:
            yield Problem("anchor", f"{conversation_id} does not open with {show(code)}")


def arms_of(protocol: Protocol) -> Iterable[str | None]:
    return protocol.system_prompts or protocol.model_sets or (None,)


def draw_problems(row: Row, utterance: KnownUtterance) -> Iterator[Problem]:
    """What one row says of the draw."""
    eligible = [name for name in row["eligible"] if isinstance(name, str)]
    if row["eligible"] != sorted(set(eligible)):
        yield Problem("eligible", "not sorted, or a name stands there twice")
    if utterance.model_name not in eligible:
        yield Problem("eligible", f"{show(utterance.model_name)} is not among those that could be")
    chances = (row["inclusion_probability"], row["replacement_probability"])
    if [chance is None for chance in chances] != [row["is_replacement"], not row["is_replacement"]]:
        yield Problem(
            "replacement",
            "a replacement has a replacement_probability alone, any other an inclusion_probability",
        )
    given = [*chances, *row["pair_probabilities"].values()]
    if any(chance is not None and chance <= 0 for chance in given):
        yield Problem("probability", "what was drawn had a chance above 0")


def flag_problems(row: Row) -> Iterator[Problem]:
    if row["was_masked"] and not row["self_named"]:
        yield Problem("flags", "was_masked, but not self_named")
    if row["was_hidden"] and not row["was_reported"]:
        yield Problem("flags", "was_hidden, but not was_reported")


def position_problems(turn: list[Reply]) -> Iterator[Problem]:
    shown = sorted(reply.row["screen_position"] for reply in turn)
    if shown != list(range(len(turn))):
        yield Problem("positions", f"screen_position is {show(shown)}, not 0 to n-1, each once")
    drawn = [reply.row["draw_position"] for reply in turn]
    is_one_call = turn[0].row["candidates"] == "varied"
    if drawn != ([0] * len(turn) if is_one_call else sorted(set(drawn))):
        yield Problem("positions", f"draw_position is {show(drawn)}, not rising as within_turn_id")


def tie_problems(turn: list[Reply]) -> Iterator[Problem]:
    scores = [reply.utterance.score or 0 for reply in turn]
    best = max(scores)
    tied = [score == best and scores.count(best) > 1 for score in scores]
    if [reply.row["was_tied"] for reply in turn] != tied:
        yield Problem("tie", f"was_tied does not go with the scores {show(scores)}")


def pair_problems(turn: list[Reply]) -> Iterator[Problem]:
    for reply in turn:
        others = {other.id for other in turn} - {reply.id}
        if set(reply.row["pair_probabilities"]) != others:
            yield Problem("pairs", f"those of {reply.id} are not with the turn's other replies")
            return
    for one, other in combinations(turn, 2):
        yield from one_pair_problems(one, other)


def one_pair_problems(one: Reply, other: Reply) -> Iterator[Problem]:
    both = one.row["pair_probabilities"][other.id]
    name = f"the pair of {one.id} and {other.id}"
    if both != other.row["pair_probabilities"][one.id]:
        yield Problem("pairs", f"{name} has another probability in the other row")
        return
    chances = [reply.row["inclusion_probability"] for reply in (one, other)]
    was_drawn = one.model != other.model and None not in chances
    if was_drawn and both is None:
        yield Problem("pairs", f"{name} has no probability")
    elif both is not None and not was_drawn:
        yield Problem("pairs", f"{name} was not drawn as one, but has a probability")
    elif both is not None and not is_possible(both, *chances):
        yield Problem("pairs", f"{name} is {show(both)}, which {show(chances)} do not allow")


def is_possible(both: float, one: float, other: float) -> bool:
    """Whether a joint probability lies within the bounds that its margins set (Fréchet)."""
    return one + other - 1 - EQUAL <= both <= min(one, other) + EQUAL


def uniform_problems(turn: list[Reply]) -> Iterator[Problem]:
    """k of n, each set as likely as any other: k/n for each model, k(k-1)/n(n-1) for a pair."""
    n = len(turn[0].row["eligible"])
    drawn = [reply for reply in turn if reply.row["inclusion_probability"] is not None]
    if not drawn:
        return
    k = round(drawn[0].row["inclusion_probability"] * n)
    if k < len({reply.model for reply in drawn}):
        yield Problem("uniform", f"{k} of {n} were drawn, and more are shown")
    elif not all(is_near(reply.row["inclusion_probability"], k / n) for reply in drawn):
        yield Problem("uniform", f"a chance is not {k} of {n}, which a uniform draw has")
    else:
        pairs = [p for reply in drawn for p in reply.row["pair_probabilities"].values()]
        if any(p is not None and not is_near(p, k * (k - 1) / (n * (n - 1))) for p in pairs):
            yield Problem("uniform", f"a pair's chance is not that of a uniform draw of {k} of {n}")


def is_near(one: float, other: float) -> bool:
    return abs(one - other) < EQUAL


def locked_problems(turn: list[Reply]) -> Iterator[Problem]:
    """Later turns: the model that was chosen, for certain."""
    expected: dict[str, Callable[[Any], bool]] = {
        "strategy": lambda value: value == LOCKED,
        "candidates": lambda value: value == "samples",
        "eligible": lambda value: value == [turn[0].model],
        "inclusion_probability": lambda value: value == 1,
        "is_replacement": lambda value: value is False,
    }
    for key, is_right in expected.items():
        if not all(is_right(reply.row[key]) for reply in turn):
            yield Problem("locked", f"{key} is {show(turn[0].row[key])} in a later turn")
