"""The rules of models.jsonl."""

from collections.abc import Iterator

from collection.export import tables
from collection.export.known import Known
from collection.export.lines import Deviation, File, Problem
from collection.export.shape import row_problems


def check(file: File, known: Known) -> Iterator[Deviation]:
    providers: dict[str, str] = {}
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        yield from file.at(line.number, row_problems(tables.MODELS, line.row))
        name = line.row.get("long_name")
        if not isinstance(name, str):
            continue
        if name in providers:
            yield from file.at(line.number, [Problem("unique", f"{name} has an earlier row")])
        providers[name] = str(line.row.get("model_provider"))
    known.model_providers = providers
