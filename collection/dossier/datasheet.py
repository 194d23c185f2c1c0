"""The data statement, in the sections of PRISM's (App. B), filled where Refract knows the answer.

The form is Bender and Friedman's. What a person must write is marked, and asked for at the desk.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import NamedTuple

from collection.dossier.facts import Facts

TO_WRITE = "**To be written by the researchers.**"
MOST_VALUES = 30
"""Of a column with more, the most frequent are listed."""


class Section(NamedTuple):
    """wanted: what only the researchers know; facts: paragraphs from the release itself."""

    code: str
    title: str
    wanted: str
    facts: Callable[[Facts], Iterator[str]]


def text(facts: Facts) -> str:
    parts = [f"# Data statement: {facts.title}, release {facts.version}"]
    for number, section in enumerate(SECTIONS, start=1):
        parts.append(f"## {number}. {section.title}")
        parts += section.facts(facts)
        parts.append(answer(facts, section))
    return "\n\n".join(parts) + "\n"


def answer(facts: Facts, section: Section) -> str:
    found = (facts.release.option("answers") or {}).get(section.code, "").strip()
    return found or f"{TO_WRITE} {section.wanted}"


def unanswered(answers: dict[str, str]) -> list[Section]:
    return [section for section in SECTIONS if not answers.get(section.code, "").strip()]


# What Refract knows


def rationale(facts: Facts) -> Iterator[str]:
    study = facts.release.study
    yield (
        f"The data were collected in the study “{study.title}” (`{study.slug}`) with Refract "
        f"{facts.manifest['software']['version']}. This is release {facts.version} of "
        f"{facts.date}. The protocol is `{facts.manifest['protocol']['name']}`; all of it stands "
        "in `manifest.json`, what was asked in `instrument.json`, and what people agreed to in "
        "`consent.json`."
    )
    counts = [f"{number:,} rows in `{name}`" for name, number in facts.rows.items() if number]
    yield f"It has {', '.join(counts)}." if counts else "It has no rows."
    if facts.simulated:
        yield f"**{facts.simulated} of its {facts.people} people are simulated.**"
    left = facts.manifest["not_released"]["people"]
    if left:
        reasons = "; ".join(f"{reason}: {number}" for reason, number in left.items())
        yield f"People who are not in it, by reason: {reasons}."


def language(facts: Facts) -> Iterator[str]:
    asked = ", ".join(facts.people_languages if not facts.languages else questioned(facts))
    yield f"Languages in which the questions could be read: {asked}."
    if facts.languages:
        total = facts.languages.total()
        shares = [f"{code} {100 * n / total:.1f} %" for code, n in facts.languages.most_common(10)]
        yield f"Detected in {total:,} texts by software: {', '.join(shares)}."
    else:
        yield "The language of the texts was not detected."
    yield "Which varieties of a language are represented was not recorded."


def questioned(facts: Facts) -> list[str]:
    return list(dict.fromkeys(c for v in facts.book.versions for c in v.file.languages)) or ["en"]


def speakers(facts: Facts) -> Iterator[str]:
    yield f"**Participants.** {facts.people} people, as they described themselves:"
    for path, counts in facts.answers.items():
        if counts := +counts:
            yield table_of(path, counts, facts.people)
    yield (
        f"**Models.** The replies come from {len(facts.models)} language models. Their parameters "
        "and system headers are in `models.jsonl`."
    )
    rows = [
        f"| {m['long_name']} | {m['model_provider']} | {m['model_provider_type']} | "
        f"{m['model_type']} |"
        for m in facts.models
    ]
    if rows:
        yield "\n".join(["| Model | Provider | Access | Type |", "|---|---|---|---|", *rows])


def table_of(path: str, counts: Counter[str], people: int) -> str:
    shown = counts.most_common(MOST_VALUES)
    lines = [f"| {cell(value)} | {n} | {100 * n / people:.1f} % |" for value, n in shown]
    rest = counts.total() - sum(n for _value, n in shown)
    if rest:
        lines.append(f"| {len(counts) - len(shown)} further values | {rest} | |")
    if silent := people - counts.total():
        lines.append(f"| *no answer, or not asked* | {silent} | |")
    return "\n".join([f"| `{path}` | People | Share |", "|---|---:|---:|", *lines])


def cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())


def annotators(facts: Facts) -> Iterator[str]:
    yield (
        "Replies were rated by the participants who had asked for them: annotators and speakers "
        "are the same people. See the section before."
    )


def situation(facts: Facts) -> Iterator[str]:
    study = facts.release.study
    if facts.began:
        yield f"Collected from {facts.began} to {facts.ended} (UTC)."
    paid = f" Payment, in the words of the information page: {study.payment}." * bool(study.payment)
    yield f"People were recruited through {study.platform_name}.{paid}"
    if facts.minutes is not None:
        yield f"The survey took {facts.minutes:g} minutes (median)."
    yield (
        "Text was typed in a browser. Conversations took place at once, over live connections to "
        "the models; people did not know which model they talked to. Neither answers nor prompts "
        "nor replies were edited, save where a reviewer found personal information, which is "
        "`[REDACTED]`."
    )


def characteristics(facts: Facts) -> Iterator[str]:
    if facts.words:
        lines = [f"| `{kind}` | {n:,} | {mean:.1f} |" for kind, (n, mean) in facts.words.items()]
        yield "\n".join(["| Text | Number | Mean words |", "|---|---:|---:|", *lines])
    if facts.types:
        kinds = ", ".join(f"{kind}: {number}" for kind, number in sorted(facts.types.items()))
        yield f"Conversations by type: {kinds}."
    if facts.flagged.total():
        yield (
            f"Flagged by software: {facts.flagged['moderation']} texts by moderation, "
            f"{facts.flagged['pii']} as possible personal information. Each text's flags are in "
            "`metadata.jsonl`."
        )


def quality(facts: Facts) -> Iterator[str]:
    ended: Counter[str] = Counter()
    for kinds in facts.manifest["calls"].values():
        for outcomes in kinds.values():
            ended.update(outcomes)
    if ended:
        said = ", ".join(f"{outcome} {number:,}" for outcome, number in ended.most_common())
        yield f"How the calls of models ended: {said}. By model: `calls` in `manifest.json`."
    left = facts.manifest["not_released"]["conversations"]
    if left:
        reasons = "; ".join(f"{reason}: {number}" for reason, number in left.items())
        yield f"Conversations that are not in it, by reason: {reasons}."


def nothing(_facts: Facts) -> Iterator[str]:
    yield from ()


def ethics(facts: Facts) -> Iterator[str]:
    study = facts.release.study
    versions = ", ".join(
        f"{row['version']} ({row['people']} people)" for row in facts.manifest["consent_texts"]
    )
    yield (
        f"Ethics reference: {study.ethics_reference}. Everybody in the data consented"
        f"{f', to version {versions}' if versions else ''}, and could withdraw for "
        f"{study.withdrawal_days} days after finishing. Who withdraws later is taken out of every "
        "stored release; `tombstones.json` lists the ids that are gone."
    )
    yield (
        "Ids are pseudonyms, drawn anew for each edition. What a recruiter knows people by is "
        "stored apart and never released: each release is searched for it."
    )
    yield (
        "People wrote freely, and were asked about values and controversies in some "
        "conversations: the texts may be personal, and some are offensive. They were not moderated."
    )


def limits(facts: Facts) -> Iterator[str]:
    yield (
        "Scores are on a visual scale from 1 to 100 without numbers, and are not comparable "
        "between people without care. Models were drawn at random; the probabilities are in "
        "`assignments.jsonl`."
    )


SECTIONS = (
    Section(
        "curation",
        "Curation rationale",
        "Why the data were collected, for which purposes, and who paid for it.",
        rationale,
    ),
    Section(
        "language",
        "Language variety",
        "Which languages and varieties to expect, and why.",
        language,
    ),
    Section(
        "speakers",
        "Speaker demographics",
        "Whom the sample represents and whom it does not; whether people may have had models "
        "write for them, and what was done about it.",
        speakers,
    ),
    Section(
        "annotators",
        "Annotator demographics",
        "Who else labelled anything: coded identities, judged flags.",
        annotators,
    ),
    Section(
        "situation",
        "Speech situation",
        "What happened at the time that may have shaped the topics; whom people thought they "
        "wrote for.",
        situation,
    ),
    Section("texts", "Text characteristics", "Topics, style, anything unusual.", characteristics),
    Section(
        "quality",
        "Recording quality",
        "Interruptions and faults while the data were collected.",
        quality,
    ),
    Section(
        "authors",
        "Author characteristics and positionality",
        "Who the researchers are, and how that may have shaped the study.",
        nothing,
    ),
    Section(
        "ethics",
        "Ethical considerations",
        "Risks for the people in the data and for others, and what was done about them.",
        ethics,
    ),
    Section(
        "limits",
        "Technical and design limitations",
        "What the data cannot show.",
        limits,
    ),
)
