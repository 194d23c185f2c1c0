"""README.md: the dataset card of the Hugging Face hub. Its front matter makes load_dataset work."""

from collections.abc import Iterable
from typing import Any

import yaml

from collection.dossier import citation
from collection.dossier.facts import Facts
from collection.export import tables
from collection.export.codebook import Codebook
from collection.export.columns import Column, Kind

DEFAULT = "utterances"
"""What load_dataset gives if nobody says which file."""
FREE: set[Kind] = {"dict by question", "dict by utterance", "parameters", "json"}
"""Dicts whose keys differ by row: the library finds their types by itself."""
TYPES: dict[Kind, str] = {
    "binary": "bool",
    "int": "int64",
    "float": "float64",
    "datetime": "timestamp[s]",
}
"""Of all others: string."""
SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
SIZE_NAMES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "n>10M")


def text(facts: Facts) -> str:
    head = yaml.safe_dump(front_matter(facts), sort_keys=False, allow_unicode=True, width=100)
    return f"---\n{head}---\n\n{body(facts)}"


def front_matter(facts: Facts) -> dict[str, Any]:
    found = list(facts.tables())
    names = [name.removesuffix(".jsonl") for name, _table in found]
    default = DEFAULT if DEFAULT in names else next(iter(names), "")
    licences = [facts.said("human_licence").lower(), facts.said("model_licence").lower()]
    content: dict[str, Any] = {
        "pretty_name": f"{facts.title} {facts.version}",
        "license": list(dict.fromkeys(licences)),
        "language": [code.partition("-")[0] for code in facts.people_languages],
        "size_categories": [size_name(facts.rows.values())],
        "tags": ["human-feedback", "preferences", "survey", "conversations"],
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": "train", "path": f"{name}.jsonl"}],
                **({"default": True} if name == default else {}),
            }
            for name in names
        ],
    }
    described = [(name, table) for (name, table) in found if not is_free(table.columns)]
    content["dataset_info"] = [
        {
            "config_name": name.removesuffix(".jsonl"),
            "features": [feature(column, facts.book) for column in table.columns],
        }
        for name, table in described
    ]
    return content


def size_name(rows: Iterable[int]) -> str:
    most = max(rows, default=0)
    return SIZE_NAMES[sum(most >= size for size in SIZES)]


def is_free(columns: Iterable[Column]) -> bool:
    return any(column.kind in FREE or is_free(column.keys) for column in columns)


def feature(column: Column, book: Codebook) -> dict[str, Any]:
    """In the form that `datasets` reads. Without types it would guess them from the first rows,
    and fail where those have nulls alone."""
    match column.kind:
        case "dict":
            inner: Any = {"struct": [feature(part, book) for part in column.keys]}
        case "history":
            inner = {"list": [feature(part, book) for part in items_of(book)]}
        case "list of dicts":
            inner = {"list": [feature(part, book) for part in column.keys]}
        case "list":
            inner = {"list": "string"}
        case "date" if column.digits == 10:
            inner = {"dtype": "timestamp[s]"}
        case kind:
            inner = {"dtype": TYPES.get(kind, "string")}
    return {"name": column.key, **inner}


def items_of(book: Codebook) -> list[Column]:
    """All keys that a message of a history may have."""
    found: dict[str, Column] = {}
    for table in (tables.USER_ITEM, book.model_item):
        found |= table.by_key
    return list(found.values())


def body(facts: Facts) -> str:
    files = "\n".join(
        f"| `{name}` | {number:,} | {label(name)} |" for name, number in facts.rows.items()
    )
    if facts.has_parquet:
        files += "\n\nThe folder `parquet` has the same files as Parquet."
    warning = (
        f"> **{facts.simulated} of the {facts.people} people in these data are simulated.**\n\n"
        if facts.simulated
        else ""
    )
    return f"""# {facts.title}, release {facts.version}

{warning}Human preferences over live conversations with language models, linked to a survey of who \
the people are: {facts.people:,} people, {facts.rows.get("conversations.jsonl", 0):,} conversations.

| File | Rows | One row for each |
|---|---:|---|
{files}

```python
from datasets import load_dataset
import pandas as pd

survey = load_dataset("DIR", "survey", split="train")  # DIR: this folder, or its name
utterances = pd.read_json("DIR/utterances.jsonl", lines=True)
```

All files share released ids: `user_id`, `conversation_id`, `interaction_id`, `utterance_id`.

- **What the columns mean:** `codebook.json`; `datapackage.json` (Frictionless) and `croissant.json`
  (Croissant) say the same to programs.
- **What people were asked, and agreed to:** `instrument.json`, `study.yaml`, `consent.json`.
- **Who is in the data, and what to beware of:** `DATASHEET.md`.
- **What you may do with them:** `TERMS.md`, `LICENSE.md`. Don't try to find out who anybody is.
- **What has changed:** `CHANGELOG.md`; `tombstones.json` lists people whose rows are to be deleted.
- **Is the copy whole?** `sha256sum --check SHA256SUMS`.

Some of these conversations are offensive or distressing.

## Citation

{citation.line(facts)}

Problems, and wishes to be removed: {facts.report_to}
"""


ROWS = {
    "survey": "person",
    "conversations": "conversation",
    "utterances": "reply of a model",
    "models": "model",
    "metadata": "text, with what detectors said of it",
    "assignments": "reply: how it was drawn and shown",
    "paradata": "page of the survey and person",
}


def label(name: str) -> str:
    return ROWS.get(name.removesuffix(".jsonl"), "")
