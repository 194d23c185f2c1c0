"""The rows of every file as they leave: what reviewers marked as personal information is covered.

Nothing else writes rows, so that no file can have what another lacks.
"""

from collections.abc import Callable, Iterable
from typing import Any

from collection.export.cells import cleaned
from collection.export.columns import Column
from collection.export.plan import Plan
from surveys import veil

Row = dict[str, Any]

CLEANED = "self_described"
"""In small letters and without punctuation, so passages are looked for in that form too."""
CONTENT = "content"
"""The text of a message in a conversation's history."""


def coverer(plan: Plan, name: str) -> Callable[[Row], Row]:
    """What becomes of the rows of one file. People are told by user_id; a row without one has no
    person's words."""
    marked = veil.passages_of_study(plan.study)
    by_user = {user.id: marked[user.pk] for user in plan.selection.users if user.pk in marked}
    columns = plan.book.tables[name].columns

    def covered(row: Row) -> Row:
        passages = by_user.get(row.get("user_id", ""))
        return cover(row, columns, passages) if passages else row

    return covered


def cover(row: Row, columns: Iterable[Column], passages: veil.Passages) -> Row:
    texts = {column.key: column for column in columns}
    return {
        key: cell(texts[key], value, passages) if key in texts else value
        for key, value in row.items()
    }


def cell(column: Column, value: Any, passages: veil.Passages) -> Any:
    """Texts are covered, at any depth; ids, categories and numbers stay as they are."""
    if value is None:
        return None
    if column.kind == "history":
        return [item | {CONTENT: veil.covered(item[CONTENT], passages)} for item in value]
    if column.kind == "dict":
        return cover(value, column.keys, passages)
    if column.kind == "list of dicts":
        return [cover(item, column.keys, passages) for item in value]
    if column.kind == "string":
        both = [*passages, *filter(None, map(cleaned, passages))]
        return veil.covered(value, both if column.key == CLEANED else passages)
    return value
