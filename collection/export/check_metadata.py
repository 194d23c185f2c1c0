"""The rules of metadata.jsonl: one row per text, with what detectors found in it."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from collection.export.codebook import Codebook
from collection.export.known import Known
from collection.export.lines import NAN, Deviation, File, Problem, note, show
from collection.export.shape import is_sound, row_problems

Row = Mapping[str, Any]

IDS = ("user_id", "conversation_id", "interaction_id", "utterance_id")
LANGUAGE = re.compile("[a-z]{2,3}")
DEPTH = {"open_feedback": 2, "user_prompt": 3, "model_response": 4}
"""column_id -> how many of IDS a row has; the last of them names the text. The survey's texts have
one."""


class Told(NamedTuple):
    """What metadata.jsonl says of a text; None: nothing."""

    pii: bool | None
    language: str | None
    moderation: bool | None
    is_reviewed: bool


def told_by(row: Row) -> Told:
    moderation = row["moderation_flag"]
    return Told(
        row["pii_flag"],
        row["language_flag"],
        moderation["flagged"] if moderation else None,
        row["pii_manual_flag"] is not None,
    )


def text_of(row: Row) -> tuple[str, str]:
    """What names a text: its column and the last of its ids."""
    column = row["column_id"]
    return column, row[IDS[DEPTH.get(column, 1) - 1]] or ""


def check(file: File, known: Known, book: Codebook) -> Iterator[Deviation]:
    seen: dict[str, set[str]] = {column: set() for column in (*book.texts, *DEPTH)}
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        row = line.row
        problems: list[Problem] = []
        if NAN in row.values():
            problems += nan_problems(row)
        shape = list(row_problems(book.metadata, row))
        problems += shape
        if is_sound(shape) and row["column_id"] in seen:
            problems += id_problems(row, known)
            problems += once_problems(row, seen)
            problems += flag_problems(row)
            problems += moderation_problems(row["moderation_flag"])
            known.told.setdefault(text_of(row), told_by(row))
        yield from file.at(line.number, problems)
    yield from file.at(0, missing_problems(seen, known))


def nan_problems(row: dict[str, Any]) -> Iterator[Problem]:
    """PRISM wrote its nulls as NaN: they become nulls here."""
    for key in [key for key, value in row.items() if value is NAN]:
        row[key] = None
        yield note("nan", f"{key} is NaN, as PRISM wrote its nulls", once=True)


def id_problems(row: Row, known: Known) -> Iterator[Problem]:
    """Which ids a row has depends on its text; they must name one and the same place."""
    depth = DEPTH.get(row["column_id"], 1)
    for index, key in enumerate(IDS):
        if (row[key] is not None) != (index < depth):
            expected = "an id" if index < depth else "null"
            yield Problem("ids", f"{row['column_id']}: {key} should be {expected}")
            return
    user, conversation, interaction, utterance = (row[key] for key in IDS)
    if user not in known.users:
        yield Problem("reference", f"{show(user)} is not in survey.jsonl")
    if depth >= 2:
        found = known.conversations.get(conversation)
        if found is None:
            yield Problem("reference", f"{show(conversation)} is not in conversations.jsonl")
        elif found.is_sound and found.user_id != user:
            yield Problem("reference", f"{conversation} is of {found.user_id}, not {show(user)}")
    if depth >= 3 and known.interactions.get(interaction) != conversation:
        yield Problem("reference", f"{show(interaction)} is not in {show(conversation)}")
    if depth >= 4 and known_interaction(utterance, known) != interaction:
        yield Problem("reference", f"{show(utterance)} is not in {show(interaction)}")


def known_interaction(utterance_id: str, known: Known) -> str | None:
    found = known.utterances.get(utterance_id)
    return found.interaction_id if found else None


def once_problems(row: Row, seen: dict[str, set[str]]) -> Iterator[Problem]:
    column = row["column_id"]
    text_id = row[IDS[DEPTH.get(column, 1) - 1]]
    if text_id is None:
        return
    if text_id in seen[column]:
        yield Problem("unique", f"{column} of {text_id} has an earlier row")
    seen[column].add(text_id)


def flag_problems(row: Row) -> Iterator[Problem]:
    language, is_english = row["language_flag"], row["en_flag"]
    if (language is None) != (is_english is None):
        yield Problem("en-flag", "only one of language_flag and en_flag is null")
    elif language is not None and is_english != (language == "en"):
        yield Problem("en-flag", f"en_flag is {show(is_english)} for language {show(language)}")
    if language is not None and not LANGUAGE.fullmatch(language):
        yield Problem("value", f"language_flag is {show(language)}, no code of a language")
    if row["pii_manual_flag"] is not None:
        if row["column_id"] == "model_response":
            yield Problem("pii-manual", "pii_manual_flag is set for a model's text")
        elif not row["pii_flag"]:
            yield Problem("pii-manual", "pii_manual_flag is set without pii_flag")


def moderation_problems(moderation: Row | None) -> Iterator[Problem]:
    """Scores are rounded as PRISM's are, and a text is flagged if a category is."""
    if moderation is None:
        return
    if moderation["flagged"] != any(moderation["categories"].values()):
        yield Problem(
            "moderation", f"flagged is {show(moderation['flagged'])}, its categories differ"
        )
    for name, score in moderation["category_scores"].items():
        if round(score, 2) != score:
            yield Problem("moderation", f"{name} has more than two decimals: {score}")


def missing_problems(seen: dict[str, set[str]], known: Known) -> Iterator[Problem]:
    """Every text has its row."""
    everything: dict[int, Iterable[str]] = {
        2: known.conversations,
        3: known.interactions,
        4: known.utterances,
    }
    for column, found in seen.items():
        expected = everything[DEPTH[column]] if column in DEPTH else known.texts.get(column, ())
        missing = [text_id for text_id in expected if text_id not in found]
        if missing:
            yield Problem("missing", f"{column}: {len(missing)} have no row, first {missing[0]}")
