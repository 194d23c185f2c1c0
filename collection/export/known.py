"""What the check of one file leaves behind for the check of the others: ids and little else."""

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple


@dataclass
class KnownUser:
    """A survey row. is_sound: its own values can be compared with the other files."""

    line: int
    is_sound: bool
    completed: int = 0
    is_balanced: bool = False
    conversations: int = 0
    by_type: Counter[str] = field(default_factory=Counter)
    balanced_by_type: Counter[str] = field(default_factory=Counter)
    first_conversation_line: int = 0


class KnownReply(NamedTuple):
    """A model item of a conversation. place: its rank among all model items of the file."""

    place: int
    prompt: int
    response: int
    model_name: str
    model_provider: str
    score: int
    if_chosen: bool


@dataclass
class KnownConversation:
    """A conversations row. replies: (turn, within_turn_id) -> what utterances must repeat."""

    line: int
    is_sound: bool
    user_id: str = ""
    conversation_type: str = ""
    is_balanced: bool = False
    opening_prompt: int = 0
    replies: dict[tuple[int, int], KnownReply] = field(default_factory=dict)


class KnownUtterance(NamedTuple):
    """An utterances row. model_name, score: None if the row is not sound."""

    interaction_id: str
    turn: int
    within_turn_id: int
    model_name: str | None = None
    score: int | None = None
    if_chosen: bool = False


@dataclass
class Known:
    """Ids of everything seen so far."""

    has_gaps: bool = False
    """Whether ids may be missing between others, as in a patch."""
    has_ratings: bool = True
    """Whether there are rows to compare with `attributes` and `lines`, which else are not kept."""
    users: dict[str, KnownUser] = field(default_factory=dict)
    texts: dict[str, list[str]] = field(default_factory=dict)
    """Column of the survey with a free text -> ids of those who have one."""
    conversations: dict[str, KnownConversation] = field(default_factory=dict)
    interactions: dict[str, str] = field(default_factory=dict)
    """interaction_id -> conversation_id."""
    utterances: dict[str, KnownUtterance] = field(default_factory=dict)
    replies: Counter[str] = field(default_factory=Counter)
    """interaction_id -> number of utterances."""
    turns: dict[str, int] = field(default_factory=dict)
    """interaction_id -> turn."""
    prompts: dict[str, int] = field(default_factory=dict)
    """interaction_id -> digest of its user_prompt."""
    providers: dict[str, str] = field(default_factory=dict)
    """model_name -> model_provider of utterances.jsonl."""
    draws: dict[str, tuple[int, int]] = field(default_factory=dict)
    """utterance_id -> digest of what assignments.jsonl says of its call, its screen_position."""
    attributes: dict[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    """conversation_id -> column -> attribute -> value, of sound rows."""
    lines: dict[str, dict[tuple[str, str | None], Any]] = field(default_factory=dict)
    """user_id -> column and key of each line of the survey -> value, of sound rows."""
    calls: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """(model, type of conversation, outcome) -> rows of calls.jsonl."""
    consents: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(version, sha256) -> rows of consents.jsonl."""
    model_providers: dict[str, str] | None = None
    """long_name -> model_provider of models.jsonl; None without that file."""
    told: dict[tuple[str, str], Any] = field(default_factory=dict)
    """Column and id of a text -> what metadata.jsonl says of it."""
    balanced_conversations: int = 0
    are_conversations_sound: bool = True


def shared(value: Any) -> Any:
    """One copy of a text that many rows repeat: json makes a new one for each."""
    return sys.intern(value) if isinstance(value, str) else value


def digest(text: str) -> int:
    """Enough to compare two texts without keeping them."""
    return hash(text)
