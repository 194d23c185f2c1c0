"""The tables beside PRISM's: what it did not keep, and other forms of what it kept.

Each is a file of its own, so that the five of PRISM stay as analysts know them. All are keyed by
released ids. Lists of dicts have the same keys throughout: tools that infer types from the first
rows then read them.
"""

from dataclasses import replace

from collection.export import tables
from collection.export.columns import (
    Category,
    Column,
    Table,
    choice,
    count,
    flag,
    id_column,
    text,
)
from collection.models import ModelCall, QualityRun
from surveys.protocol import PRISM_OPENING_REPLIES
from surveys.sliders import BY

CALLS, RATINGS, CONSENTS, QUALITY = "calls", "ratings", "consents", "quality"
WIDE, BATTLES, PREFERENCES, UNPAIRED = "wide", "battles", "preferences", "unpaired"

DERIVED = (WIDE, BATTLES, PREFERENCES, UNPAIRED)
"""Other forms of utterances.jsonl, made from files already written."""

UTTERANCES = tables.utterances(PRISM_OPENING_REPLIES)
(
    _USER,
    _CONVERSATION,
    _INTERACTION,
    _UTTERANCE,
    _TURN,
    _TYPE,
    _NAME,
    _PROVIDER,
    _SCORE,
    _BALANCED,
) = (
    UTTERANCES.by_key[key]
    for key in (
        *("user_id", "conversation_id", "interaction_id", "utterance_id", "turn"),
        *("conversation_type", "model_name", "model_provider", "score"),
        "included_in_balanced_subset",
    )
)
OUTCOMES = tuple(value for value in ModelCall.Outcome.values if value != ModelCall.Outcome.PENDING)


def code(key: str, label: str, category: Category = "meta") -> Column:
    return Column(key, "categorical", category, label)


def _messages(key: str, label: str, *roles: str, least: int = 1) -> Column:
    parts = (
        choice("role", "Who wrote the message", *roles, category="meta"),
        text("content", "Text"),
    )
    return Column(key, "list of dicts", "direct", label, low=least, keys=parts)


def calls(replies: int) -> Table:
    """Every call of a model for somebody in the survey file. replies: the most of one turn."""
    place = tables.assignments(replies).by_key
    return Table(
        CALLS,
        (
            id_column("call_id", "call", "Unique call identifier"),
            _USER,
            replace(
                _CONVERSATION,
                nullable=True,
                label="Conversation identifier; null where the conversation is not released",
            ),
            replace(
                _INTERACTION,
                nullable=True,
                label="Interaction identifier; null where the turn is not released",
            ),
            _TYPE,
            _TURN,
            place["attempt"],
            place["draw_position"],
            count("try_number", "How many calls for this place in the draw had failed before"),
            _NAME,
            _PROVIDER,
            replace(
                place["arm"],
                label="Which of the protocol's system prompts was sent, or which of its sets of "
                "models the participant met",
            ),
            place["is_replacement"],
            choice("outcome", "How the call ended", *OUTCOMES, category="meta"),
            replace(code("error_class", "Kind of the error, if it ended in one"), nullable=True),
            replace(code("finish_reason", "Why the LLM stopped, in its words"), nullable=True),
            count("latency_ms", "How long the call took (in milliseconds)", nullable=True),
            count("queued_ms", "Of these, waiting for a place among the provider's calls"),
            count("prompt_tokens", "Tokens sent, as the provider counted", nullable=True),
            count("completion_tokens", "Tokens received, as the provider counted", nullable=True),
            Column(
                "cost_usd", "float", "constructed", "Cost (in US dollars)", nullable=True, low=0
            ),
            flag("was_repaired", "Whether characters that can't be stored became U+FFFD", "meta"),
            Column(
                "parameters",
                "list of dicts",
                "meta",
                "Parameters exactly as sent, by name",
                keys=(
                    text("name", "Name of the parameter", "meta"),
                    text("value", "Its value, as text", "meta"),
                ),
            ),
            replace(
                _messages(
                    "messages",
                    "Messages as sent, the system message first; null where the turn is not "
                    "released",
                    *("system", "user", "assistant"),
                ),
                nullable=True,
            ),
            flag("is_released", "Whether what it brought is in utterances.jsonl", "meta"),
            Column(
                "utterance_ids",
                "list",
                "meta",
                "The utterances that it brought; several where one call was asked for several",
                low=0,
                high=replies,
            ),
        ),
    )


FILES_WITH_LINES = ("survey", "conversations", "utterances")


def ratings(columns: tuple[str, ...], items: tuple[str, ...]) -> Table:
    """columns, items: of the survey's lines."""
    attributes = (tables.PERFORMANCE, tables.CHOICE)
    parts = (*items, *(part.key for part in tables.PERFORMANCE.keys))
    where = (*columns, *(column.key for column in attributes), _SCORE.key)
    return Table(
        RATINGS,
        (
            _USER,
            replace(_CONVERSATION, nullable=True),
            replace(_INTERACTION, nullable=True),
            replace(_UTTERANCE, nullable=True),
            choice("file", "File that has the value", *FILES_WITH_LINES, category="meta"),
            choice("column", "Its column there", *dict.fromkeys(where), category="meta"),
            Column(
                "item",
                "categorical",
                "meta",
                "Its key within the column; null where the column is the value itself",
                nullable=True,
                allowed=tuple(dict.fromkeys(parts)),
            ),
            count("position", "Place among the lines shown together, from 0"),
            Column(
                "value", "int", "direct", "What was rated; null for not applicable", nullable=True
            ),
            flag("is_na", "Whether the line was marked as not applicable", "direct"),
            flag(
                "was_touched",
                "Whether the line was touched; if not, the value is where it stood at rest",
                "meta",
            ),
            Column(
                "first_value",
                "int",
                "meta",
                "Where it was first put; null where no script ran",
                nullable=True,
            ),
            count("moves", "How often it came to rest; 0 where no script ran"),
            count(
                "ms_to_first_touch",
                "Time from the line being shown to its first touch (in milliseconds)",
                nullable=True,
            ),
            Column(
                "input",
                "categorical",
                "meta",
                "What it was first touched with; null where no script ran",
                nullable=True,
                allowed=BY,
            ),
        ),
    )


CONSENTS_TABLE = Table(
    CONSENTS,
    (
        _USER,
        code("version", "Version of the consent text"),
        text("sha256", "sha256 of the text exactly as it was shown", "meta"),
        Column("given_datetime", "datetime", "meta", "Recorded date of the consent"),
    ),
)

QUALITY_TABLE = Table(
    QUALITY,
    (
        _USER,
        code("check", "Name of the check"),
        Column("version", "int", "meta", "Version of the check", low=1),
        Column(
            "severity",
            "categorical",
            "meta",
            "What a finding of this kind is reason for; null: nothing unusual was found",
            nullable=True,
            allowed=tuple(QualityRun.Severity.values),
        ),
        Column("value", "float", "constructed", "What the check measured"),
        Column(
            "evidence",
            "list of dicts",
            "constructed",
            "What the value rests on: numbers and codes, never anybody's words",
            keys=(
                text("name", "What was counted or found", "meta"),
                Column("number", "float", "constructed", "If it is a number", nullable=True),
                replace(text("code", "If it is not", "constructed"), nullable=True),
            ),
        ),
        Column(
            "places",
            "list of dicts",
            "meta",
            "Where to look, as far as it is released",
            keys=(
                replace(code("question", "Question of the survey, by its code"), nullable=True),
                replace(_CONVERSATION, nullable=True),
                replace(_TURN, nullable=True),
            ),
        ),
    ),
)


# Other forms of utterances.jsonl

SUFFIXES = "abcdefgh"
FIXED = ("interaction_id", "conversation_id", "turn", "user_prompt", "user_id")
"""What all replies to one message share, in PRISM's order."""


def wide(replies: int) -> Table:
    """PRISM's `pivot_to_wide_format`: 5 + 9 * 4 columns. replies: the most of one turn."""
    source = tables.utterances(replies)
    letters = SUFFIXES[:replies]

    def columns(order: tuple[str, ...]) -> tuple[Column, ...]:
        shared = (source.by_key[key] for key in FIXED)
        own = (source.by_key[key] for key in order if key not in FIXED)
        return (*shared, *(_suffixed(column, at) for column in own for at in letters))

    github = tuple(column.key for column in columns(source.github))
    return Table(WIDE, columns(source.key_order), github=github)


def _suffixed(column: Column, letter: str) -> Column:
    label = f"{column.label} (reply {letter})"
    return replace(column, key=f"{column.key}_{letter}", label=label, nullable=letter != "a")


def _of(column: Column, which: str, words: str) -> Column:
    return replace(column, key=f"{column.key}_{which}", label=f"{column.label} ({words})")


BATTLES_TABLE = Table(
    BATTLES,
    (
        _INTERACTION,
        _CONVERSATION,
        _USER,
        _TURN,
        _TYPE,
        *(_of(_UTTERANCE, at, f"reply {at}") for at in "ab"),
        *(text(f"model_{at}", f"Name of LLM (reply {at})", "meta") for at in "ab"),
        *(_of(_SCORE, at, f"reply {at}") for at in "ab"),
        Column("margin", "int", "constructed", "score_a less score_b", low=-99, high=99),
        Column(
            "tie_within",
            "int",
            "constructed",
            "The rule: scores no further apart than this are a tie",
            low=0,
            high=99,
        ),
        choice("winner", "Which reply won", "model_a", "model_b", "tie", category="constructed"),
        Column(
            "untouched",
            "int",
            "meta",
            "How many of the two sliders were left where they stood",
            low=0,
            high=2,
        ),
        _BALANCED,
    ),
)

_ROLES = ("user", "assistant")
_PROMPT = _messages("prompt", "The conversation up to the message that was replied to", *_ROLES)


def _reply(key: str, label: str) -> Column:
    return replace(_messages(key, label, "assistant"), high=1)


# No column is called `margin`: trl's reward trainer would take it for one of its own settings.
PREFERENCES_TABLE = Table(
    PREFERENCES,
    (
        _PROMPT,
        _reply("chosen", "The reply with the higher score"),
        _reply("rejected", "The reply with the lower score"),
        *(_of(_SCORE, which, f"of the {which} reply") for which in ("chosen", "rejected")),
        *(
            text(f"model_{which}", f"Name of LLM (of the {which} reply)", "meta")
            for which in ("chosen", "rejected")
        ),
        *(_of(_UTTERANCE, which, f"of the {which} reply") for which in ("chosen", "rejected")),
        _INTERACTION,
        _CONVERSATION,
        _USER,
        _TURN,
        _TYPE,
        _BALANCED,
    ),
)

UNPAIRED_TABLE = Table(
    UNPAIRED,
    (
        _PROMPT,
        _reply("completion", "The reply"),
        flag("label", "Whether the score is in the upper half, above 50"),
        _SCORE,
        _NAME,
        _UTTERANCE,
        _INTERACTION,
        _CONVERSATION,
        _USER,
        _TURN,
        _TYPE,
        _BALANCED,
    ),
)
