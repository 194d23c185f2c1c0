"""What a release's own files say of it, counted once for all that describe it."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from django.db.models import QuerySet

from collection.export import manifest, parquet
from collection.export.codebook import Codebook
from collection.export.columns import Column, Table
from collection.export.plan import Plan
from collection.models import Release
from surveys.models import Participant

TEXTS = {
    "system_string": "survey",
    "self_description": "survey",
    "user_prompt": "utterances",
    "model_response": "utterances",
    "open_feedback": "conversations",
}
"""Kind of text -> the file in which it stands."""


@dataclass
class Facts:
    """answers: path of a closed column of the survey -> value -> people; words: kind of text ->
    (how many, mean number of words); languages: code -> texts, empty where nothing was detected."""

    release: Release
    book: Codebook
    folder: Path
    rows: dict[str, int]
    """Of the JSON lines; Parquet has the same rows once more."""
    manifest: dict[str, Any]
    answers: dict[str, Counter[str]] = field(default_factory=dict)
    words: dict[str, tuple[int, float]] = field(default_factory=dict)
    languages: Counter[str] = field(default_factory=Counter)
    flagged: Counter[str] = field(default_factory=Counter)
    types: Counter[str] = field(default_factory=Counter)
    models: list[dict[str, Any]] = field(default_factory=list)
    minutes: float | None = None
    began: str = ""
    ended: str = ""
    changes: list[str] = field(default_factory=list)
    keys: QuerySet[Participant] | tuple[()] = ()
    """Of the people in it."""

    @property
    def people(self) -> int:
        return self.rows.get("survey.jsonl", 0)

    @property
    def simulated(self) -> int:
        return int(self.manifest["simulated"]["people"])

    @property
    def title(self) -> str:
        return self.release.study.title

    @property
    def version(self) -> str:
        return self.release.version

    @property
    def date(self) -> str:
        return self.release.created_at.date().isoformat()

    def said(self, name: str) -> str:
        """What the researchers wrote, in the release's own copy."""
        return str(self.release.option(name) or "").strip()

    @property
    def report_to(self) -> str:
        study = self.release.study
        return self.said("report_to") or f"{study.contact_name} <{study.contact_email}>"

    @property
    def people_languages(self) -> list[str]:
        """Most frequent first; those of the questionnaire where none was detected."""
        if self.languages:
            return [code for code, _number in self.languages.most_common()]
        found = [code for v in self.book.versions for code in v.file.languages]
        return list(dict.fromkeys(found)) or ["en"]

    def tables(self) -> Iterator[tuple[str, Table]]:
        """File -> its columns, of the files that the codebook knows and that hold rows."""
        known = self.book.tables
        for name, number in self.rows.items():
            table = known.get(name.removesuffix(".jsonl"))
            if table is not None and number:
                yield name, table

    @property
    def has_parquet(self) -> bool:
        return (self.folder / parquet.FOLDER).is_dir()

    def kept(self) -> dict[str, Any]:
        """What the next release is compared with."""
        return {
            "rows": self.rows,
            "has_parquet": self.has_parquet,
            "people": self.people,
            "simulated": self.simulated,
            "software": self.manifest["software"]["version"],
            "protocol": json.dumps(self.manifest["protocol"], sort_keys=True),
            "instruments": [row["sha256"] for row in self.manifest["instruments"]],
            "consents": [row["sha256"] for row in self.manifest["consent_texts"]],
            "columns": {name: list(table.key_order) for name, table in self.tables()},
            "changes": self.changes,
        }


def gather(release: Release, plan: Plan, folder: Path, rows: dict[str, int]) -> Facts:
    content = json.loads((folder / manifest.NAME).read_text(encoding="utf-8"))
    once = {name: number for name, number in rows.items() if name.endswith(".jsonl")}
    facts = Facts(release, plan.book, folder, once, content, keys=plan.people())
    read_survey(facts)
    read_texts(facts)
    read_metadata(facts)
    facts.models = list(read(folder, "models"))
    return facts


def read(folder: Path, name: str) -> Iterator[dict[str, Any]]:
    path = folder / f"{name}.jsonl"
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


def read_survey(facts: Facts) -> None:
    closed = list(closed_columns(facts.book.survey.columns))
    minutes, days = [], []
    for row in read(facts.folder, "survey"):
        for path in closed:
            value = at(row, path)
            facts.answers.setdefault(path, Counter())[str(value)] += value is not None
        minutes.append(row["timing_duration_mins"])
        days.append(row["generated_datetime"][:10])
    facts.minutes = median(minutes) if minutes else None
    facts.began, facts.ended = min(days, default=""), max(days, default="")


def closed_columns(columns: tuple[Column, ...], before: str = "") -> Iterator[str]:
    """Paths of what people chose among given answers, or was derived from it."""
    for column in columns:
        path = f"{before}{column.key}"
        if column.kind == "categorical" and column.key not in ("study_id", "consent"):
            yield path
        elif column.kind == "dict" and column.key in ("location", "religion", "ethnicity"):
            yield from closed_columns(column.keys, f"{path}.")


def at(row: Mapping[str, Any], path: str) -> Any:
    value: Any = row
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def read_texts(facts: Facts) -> None:
    """A prompt counts once, though each of its replies repeats it."""
    totals: dict[str, list[int]] = {}
    seen: set[str] = set()
    for file in dict.fromkeys(TEXTS.values()):
        kinds = [kind for kind, place in TEXTS.items() if place == file]
        for row in read(facts.folder, file):
            turn = row.get("interaction_id", "")
            for kind in kinds:
                text = row.get(kind)
                if not isinstance(text, str) or (kind == "user_prompt" and turn in seen):
                    continue
                totals.setdefault(kind, []).append(len(text.split()))
            seen.add(turn)
            if file == "conversations":
                facts.types[row["conversation_type"]] += 1
                facts.ended = max(facts.ended, row["generated_datetime"][:10])
    facts.words = {kind: (len(found), sum(found) / len(found)) for kind, found in totals.items()}


def read_metadata(facts: Facts) -> None:
    for row in read(facts.folder, "metadata"):
        if row["language_flag"]:
            facts.languages[row["language_flag"]] += 1
        facts.flagged["pii"] += bool(row["pii_flag"])
        moderated = row["moderation_flag"]
        facts.flagged["moderation"] += bool(moderated and moderated["flagged"])
