"""The quality checks of a submission: PRISM's (section 3.6 of its files' description) and more.

Each is one function here. It measures something, and raises a signal where that is unusual; none
decides anything. A change of what one finds is a new version of it.

Evidence has numbers, codes and places, never a participant's words: it may be logged and kept.
`places` lists where to look: {"question": code}, or {"conversation": n} with "turn".
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, pstdev
from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from collection import language
from collection.models import Interaction, QualityRun
from collection.submissions import PATTERN_CHECK, Cohort, Submission, Text, Usual, pattern
from surveys.instruments.conditions import is_answer, is_declined
from surveys.instruments.schema import Attention, FreeText, Likert, Matrix, Number, Slider, Sliders

Severity = QualityRun.Severity

FAST_SD = -3.0
"""PRISM's three standard deviations, here of the log seconds and robust."""
READING_WPM = 1000
"""Words per minute beyond which nobody reads; skimming ends near 700."""
FEEDBACK_SENTENCES = 2
"""The fewest that the feedback page asks for."""
FEW_WORDS = 5
"""Fewer on average in a survey's free texts are hardly sentences."""
REPEATED_WORDS = 3
"""Texts as short as "thank you" may come twice."""
FLAT_STATEMENTS = 5
"""Fewer alike say nothing."""
FLAT_REPLIES = 8
FLAT_RANGE = 2
"""Points of a hundred within which lines look the same."""
PASTED = 0.5
LANGUAGE_BYTES = 40
"""Of UTF-8; shorter texts are judged badly."""
LANGUAGE_SURE = 0.9
ALIKE_ANSWERS = 12
"""Two people agree in fewer closed answers by chance."""
PHONE_WIDTH = 600
"""CSS pixels; tablets are wider."""


@dataclass(frozen=True)
class Finding:
    """value: None if the check does not apply. severity: empty if nothing is unusual."""

    value: float | None = None
    severity: str = ""
    evidence: dict[str, Any] = field(default_factory=dict)


NOT_APPLICABLE = Finding()
Does = Callable[[Submission, Cohort], Finding]


@dataclass(frozen=True)
class Check:
    name: str
    version: int
    title: str | Promise
    words: str | Promise
    """What was found, filled in from the evidence."""
    compares: bool
    """Reads nothing but the cohort, so that others' submissions may change what it finds."""
    do: Does

    def in_words(self, evidence: dict[str, Any]) -> str:
        try:
            return str(self.words) % evidence
        except KeyError:  # of an earlier version, with other evidence
            pairs = (f"{key}: {value}" for key, value in evidence.items() if key != "places")
            return ", ".join(pairs)


CHECKS: dict[str, Check] = {}


def check(
    title: str | Promise, words: str | Promise, *, version: int = 1, compares: bool = False
) -> Callable[[Does], Does]:
    def register(do: Does) -> Does:
        CHECKS[do.__name__] = Check(do.__name__, version, title, words, compares, do)
        return do

    return register


def raised(condition: bool, severity: Severity = Severity.INVESTIGATE) -> str:
    return severity.value if condition else ""


def places(texts: Iterable[Text]) -> list[dict[str, Any]]:
    return [text.place for text in texts]


# Who it is


@check(gettext_lazy("No consent"), gettext_lazy("There is no record of this person's consent."))
def no_consent(one: Submission, _all: Cohort) -> Finding:
    missing = not hasattr(one.participant, "consent")
    return Finding(float(missing), raised(missing, Severity.REJECT))


@check(gettext_lazy("Under 18"), gettext_lazy("The answer on age says %(age)s."))
def under_age(one: Submission, _all: Cohort) -> Finding:
    """By the question `age`, as a number or as a choice whose code says so."""
    for question, row in one.asked:
        if question.code != "age" or not is_answer(row.value):
            continue
        age = row.value.get("number") if isinstance(question, Number) else row.value.get("choice")
        young = age < 18 if isinstance(age, int | float) else bool(re.search("under_?18", str(age)))
        return Finding(float(young), raised(young, Severity.REJECT), {"age": age})
    return NOT_APPLICABLE


@check(
    gettext_lazy("No recruiter's id"),
    gettext_lazy("Nothing says which of the recruiter's submissions this is."),
)
def no_recruiter_id(one: Submission, _all: Cohort) -> Finding:
    """Only where the link was the recruiter's: its STUDY_ID came, the person's id did not."""
    person = one.participant
    if not person.recruitment_id and not person.is_recruited:
        return NOT_APPLICABLE
    return Finding(float(not person.is_recruited), raised(not person.is_recruited, Severity.RETURN))


@check(gettext_lazy("Survey not finished"), gettext_lazy("%(answers)d answers, and no last page."))
def survey_missing(one: Submission, _all: Cohort) -> Finding:
    missing = one.participant.survey_finished_at is None
    evidence = {"answers": len(one.answers)}
    return Finding(float(missing), raised(missing, Severity.RETURN), evidence)


@check(gettext_lazy("No conversation"), gettext_lazy("%(done)d of %(wanted)d conversations."))
def conversations_missing(one: Submission, _all: Cohort) -> Finding:
    if not one.talks:
        return NOT_APPLICABLE
    done = len(one.conversations)
    evidence = {"done": done, "wanted": one.wanted}
    return Finding(done, raised(done == 0, Severity.RETURN), evidence)


@check(gettext_lazy("Few conversations"), gettext_lazy("%(done)d of %(wanted)d conversations."))
def few_conversations(one: Submission, _all: Cohort) -> Finding:
    if not one.talks:
        return NOT_APPLICABLE
    done = len(one.conversations)
    evidence = {"done": done, "wanted": one.wanted}
    return Finding(done, raised(done < one.wanted), evidence)


@check(
    gettext_lazy("On a phone"),
    gettext_lazy("The window was %(width)d px wide and was touched."),
)
def phone(one: Submission, _all: Cohort) -> Finding:
    """PRISM asked phones to return, for its pages did not fit them; these do."""
    widths = [note["viewport_width"] for note in one.page_notes if note["input"] == "touch"]
    if not one.page_notes:
        return NOT_APPLICABLE
    width = max(widths, default=0)
    return Finding(width, raised(0 < width < PHONE_WIDTH), {"width": width})


# Time


def speed(seconds: float | None, usual: Usual | None, severity: Severity) -> Finding:
    if not seconds or seconds < 0:
        return NOT_APPLICABLE
    if usual is None:
        return Finding(round(seconds), evidence={"seconds": round(seconds)})
    deviation = round(usual.deviation(seconds), 1)
    evidence = {"seconds": round(seconds), "median": usual.seconds, "deviation": deviation}
    return Finding(round(seconds), raised(deviation < FAST_SD, severity), evidence)


TOO_FAST = gettext_lazy(
    "%(seconds)d s; half of all take longer than %(median)d s (%(deviation).1f robust SD)."
)


@check(gettext_lazy("Survey very fast"), TOO_FAST, compares=True)
def survey_too_fast(one: Submission, everyone: Cohort) -> Finding:
    """PRISM's, mended: its mean less three SD was below zero and could never be reached."""
    seconds = everyone.survey_s.get(one.participant.pk)
    return speed(seconds, everyone.usual_survey, Severity.REJECT)


@check(gettext_lazy("Conversations very fast"), TOO_FAST, compares=True)
def conversations_too_fast(one: Submission, everyone: Cohort) -> Finding:
    seconds = everyone.talk_s.get(one.participant.pk)
    return speed(seconds, everyone.usual_talk, Severity.INVESTIGATE)


@check(
    gettext_lazy("Too fast to read"),
    gettext_lazy("%(fast)d of %(turns)d turns rated faster than %(limit)d words a minute."),
)
def too_fast_to_read(one: Submission, _all: Cohort) -> Finding:
    """From the replies being ready to their being rated, against their words."""
    speeds = [
        (talk.number, turn.turn, speed)
        for talk, turn in one.turns
        if (speed := words_per_minute(turn)) is not None
    ]
    if len(speeds) < 4:
        return NOT_APPLICABLE
    fast = [row for row in speeds if row[2] > READING_WPM]
    evidence = {
        "fast": len(fast),
        "turns": len(speeds),
        "limit": READING_WPM,
        "places": [{"conversation": number, "turn": turn} for number, turn, _speed in fast],
    }
    share = len(fast) / len(speeds)
    return Finding(round(share, 3), raised(share >= 0.5), evidence)


def words_per_minute(turn: Interaction) -> float | None:
    """None where nobody knows when the replies were ready, or there was hardly anything to read."""
    ready = [row.settled_at for row in turn.attempts.all() if row.settled_at]
    words = sum(len(reply.text_shown.split()) for reply in turn.utterances.all())
    if not ready or turn.rated_at is None or words < 20:
        return None
    return words / max((turn.rated_at - max(ready)).total_seconds(), 0.1) * 60


# Answers


@check(
    gettext_lazy("Prefers not to say"),
    gettext_lazy("%(declined)d of %(questions)d questions that allow it."),
)
def prefers_not_to_say(one: Submission, _all: Cohort) -> Finding:
    """PRISM's count; a signal if it is most of them."""
    may = [(q, r) for q, r in one.asked if q.prefer_not_to_say or may_decline(q)]
    if not may:
        return NOT_APPLICABLE
    declined = [question for question, row in may if is_declined(row.value)]
    evidence = {
        "declined": len(declined),
        "questions": len(may),
        "places": [{"question": question.code} for question in declined],
    }
    return Finding(len(declined), raised(len(declined) > len(may) / 2), evidence)


def may_decline(question: Any) -> bool:
    """PRISM has it as one of the options; a country always offers it."""
    codes = {option.code for option in question.choices}
    return question.type == "country" or "prefer_not_to_say" in codes


@check(
    gettext_lazy("Survey lines untouched"),
    gettext_lazy("%(untouched)d of %(lines)d lines were stored where they stood."),
)
def untouched_in_survey(one: Submission, _all: Cohort) -> Finding:
    """PRISM counted lines at 50, which one may mean; here it is those that nobody touched."""
    lines = [
        (question.code, item in row.touches)
        for question, row in one.asked
        if isinstance(question, Sliders | Slider)
        for item, value in scores(row.value).items()
        if value is not None
    ]
    return untouched([{"question": code} for code, touched in lines if not touched], len(lines))


def scores(value: dict[str, Any]) -> dict[str, int | None]:
    """Of a set of lines, or of one; empty if none was rated."""
    if "scores" in value:
        return dict(value["scores"])
    return {"": value["score"]} if "score" in value else {}


@check(
    gettext_lazy("Conversation lines untouched"),
    gettext_lazy("%(untouched)d of %(lines)d lines were stored where they stood."),
)
def untouched_in_conversations(one: Submission, _all: Cohort) -> Finding:
    """PRISM's, mended: it looked in the wrong columns and always found none."""
    lines = [
        (conversation.number, line.was_touched)
        for conversation in one.conversations
        for line in (
            *(reply for turn in rated(one, conversation) for reply in turn.utterances.all()),
            *(row for row in conversation.attributes.all() if row.value is not None),
        )
    ]
    where = sorted({number for number, touched in lines if not touched})
    found = [{"conversation": number} for number in where]
    return untouched(found, len(lines), sum(not touched for _number, touched in lines))


def rated(one: Submission, conversation: Any) -> list[Interaction]:
    return [turn for talk, turn in one.turns if talk.pk == conversation.pk]


def untouched(found: Sequence[dict[str, Any]], lines: int, number: int | None = None) -> Finding:
    if not lines:
        return NOT_APPLICABLE
    number = len(found) if number is None else number
    once = list({str(place): place for place in found}.values())
    evidence = {"untouched": number, "lines": lines, "places": once}
    return Finding(number, raised(number >= 3 and number >= lines / 3), evidence)


@check(
    gettext_lazy("Same answer throughout the survey"),
    gettext_lazy("%(flat)d of %(sets)d sets of statements have the same answer throughout."),
)
def straight_lining(one: Submission, _all: Cohort) -> Finding:
    sets = [
        (question.code, values)
        for question, row in one.asked
        if isinstance(question, Likert | Matrix | Sliders)
        and len(values := side_by_side(question, row.value)) >= FLAT_STATEMENTS
    ]
    if not sets:
        return NOT_APPLICABLE
    flat = [code for code, values in sets if max(values) - min(values) <= FLAT_RANGE]
    evidence = {
        "flat": len(flat),
        "sets": len(sets),
        "places": [{"question": code} for code in flat],
    }
    return Finding(len(flat), raised(bool(flat)), evidence)


def side_by_side(question: Any, value: dict[str, Any]) -> list[float]:
    """Values of a set's statements; of a scale or a table, the place of what was chosen."""
    if "scores" in value:
        low, high = question.minimum, question.maximum
        given = [score for score in value["scores"].values() if score is not None]
        return [(score - low) / (high - low) * 100 for score in given]
    order = {option.code: place * 100.0 for place, option in enumerate(question.choices)}
    rows = value.get("rows", {}).values()
    return [order[cell] for cell in rows if isinstance(cell, str) and cell in order]


@check(
    gettext_lazy("Same score for all replies"),
    gettext_lazy("All %(replies)d replies were scored from %(low)d to %(high)d."),
)
def flat_scores(one: Submission, _all: Cohort) -> Finding:
    given = [reply.score for reply in one.replies if reply.score is not None]
    if len(given) < FLAT_REPLIES:
        return NOT_APPLICABLE
    spread = max(given) - min(given)
    evidence = {"replies": len(given), "low": min(given), "high": max(given)}
    return Finding(spread, raised(spread <= FLAT_RANGE), evidence)


@check(
    gettext_lazy("Attributes not applicable"),
    gettext_lazy("N/A for %(declined)d of %(lines)d attributes."),
)
def not_applicable(one: Submission, _all: Cohort) -> Finding:
    rows = [(c.number, row) for c in one.conversations for row in c.attributes.all()]
    if not rows:
        return NOT_APPLICABLE
    declined = Counter(number for number, row in rows if row.value is None)
    evidence = {
        "declined": declined.total(),
        "lines": len(rows),
        "places": [{"conversation": number} for number in sorted(declined)],
    }
    return Finding(declined.total(), raised(declined.total() > len(rows) / 2), evidence)


@check(gettext_lazy("Attention checks"), gettext_lazy("%(failed)d of %(asked)d not passed."))
def attention(one: Submission, _all: Cohort) -> Finding:
    """One may slip; recruiters take two failed ones as a reason to reject."""
    asked = [(q, row) for q, row in one.asked if isinstance(q, Attention)]
    if not asked:
        return NOT_APPLICABLE
    failed = [q.code for q, row in asked if row.value.get("choice") not in q.correct]
    evidence = {
        "failed": len(failed),
        "asked": len(asked),
        "places": [{"question": code} for code in failed],
    }
    severity = Severity.REJECT if len(failed) > 1 else Severity.INVESTIGATE
    return Finding(len(failed), raised(bool(failed), severity), evidence)


# Texts


def lengths(texts: Sequence[Text]) -> dict[str, Any]:
    """PRISM's three measures, as means."""
    return {
        "texts": len(texts),
        "characters": round(mean(len(text.text) for text in texts), 1),
        "words": round(mean(len(text.words) for text in texts), 1),
        "sentences": round(mean(text.sentences for text in texts), 1),
    }


LENGTHS = gettext_lazy(
    "%(texts)d texts, on average %(sentences).1f sentences, %(words).1f words, "
    "%(characters).1f characters."
)


@check(gettext_lazy("Short survey texts"), LENGTHS)
def short_texts(one: Submission, _all: Cohort) -> Finding:
    if not one.survey_texts:
        return NOT_APPLICABLE
    found = lengths(one.survey_texts)
    short = [text for text in one.survey_texts if len(text.words) < FEW_WORDS]
    evidence = found | {"places": places(short)}
    return Finding(found["words"], raised(found["words"] < FEW_WORDS), evidence)


@check(gettext_lazy("Feedback shorter than asked"), LENGTHS)
def short_feedback(one: Submission, _all: Cohort) -> Finding:
    """A signal if most of it is."""
    if not one.feedback:
        return NOT_APPLICABLE
    short = [text for text in one.feedback if text.sentences < FEEDBACK_SENTENCES]
    evidence = lengths(one.feedback) | {"places": places(short)}
    share = len(short) / len(one.feedback)
    return Finding(round(share, 3), raised(share > 0.5), evidence)


@check(
    gettext_lazy("Repeats own texts"),
    gettext_lazy("%(repeated)d of %(texts)d answers and feedbacks were written before."),
)
def repeated_texts(one: Submission, _all: Cohort) -> Finding:
    return repetition([*one.survey_texts, *one.feedback], at_least=1)


@check(
    gettext_lazy("Repeats prompts"),
    gettext_lazy("%(repeated)d of %(texts)d prompts were written before."),
)
def repeated_prompts(one: Submission, _all: Cohort) -> Finding:
    """Some ask again on purpose, to compare replies: a signal from a third on."""
    return repetition(one.own_prompts, at_least=max(2, len(one.own_prompts) / 3))


def repetition(texts: Sequence[Text], at_least: float) -> Finding:
    if not texts:
        return NOT_APPLICABLE
    long = [text for text in texts if len(text.words) >= REPEATED_WORDS]
    first = {text.plain: text for text in reversed(long)}
    again = [text for text in long if first[text.plain] is not text]
    evidence = {"repeated": len(again), "texts": len(texts), "places": places(again)}
    return Finding(len(again), raised(len(again) >= at_least), evidence)


@check(
    gettext_lazy("One-word prompts"),
    gettext_lazy("%(short)d of %(prompts)d prompts have one word or none."),
)
def one_word_prompts(one: Submission, _all: Cohort) -> Finding:
    prompts = one.own_prompts
    if not prompts:
        return NOT_APPLICABLE
    short = [text for text in prompts if len(text.words) <= 1 and len(text.text) < 20]
    evidence = {"short": len(short), "prompts": len(prompts), "places": places(short)}
    share = len(short) / len(prompts)
    return Finding(round(share, 3), raised(share >= 1 / 3), evidence)


@check(
    gettext_lazy("Shortest conversations"),
    gettext_lazy("%(mean).1f turns on average (SD %(sd).1f), in %(conversations)d conversations."),
)
def few_turns(one: Submission, _all: Cohort) -> Finding:
    """A signal if no conversation has more turns than it must."""
    turns = Counter(conversation.number for conversation, _turn in one.turns)
    numbers = list(turns.values())
    if len(numbers) < 2:
        return NOT_APPLICABLE
    evidence = {
        "conversations": len(numbers),
        "mean": round(mean(numbers), 2),
        "sd": round(pstdev(numbers), 2),
    }
    least = one.participant.protocol.min_turns
    return Finding(round(mean(numbers), 2), raised(max(numbers) <= least), evidence)


@check(
    gettext_lazy("Pasted texts"),
    gettext_lazy("%(pasted)d of %(texts)d survey texts; of the most, %(percent)d %% were pasted."),
)
def pasted_texts(one: Submission, _all: Cohort) -> Finding:
    """Known of the survey's pages only, where the protocol has their use noted."""
    shares = {
        code: note["pasted_share"]
        for page in one.page_notes
        for code, note in page["questions"].items()
        if note["pasted_share"] is not None
    }
    if not shares:
        return NOT_APPLICABLE
    pasted = [code for code, share in shares.items() if share >= PASTED]
    most = max(shares.values())
    evidence = {
        "pasted": len(pasted),
        "texts": len(shares),
        "percent": round(100 * most),
        "places": [{"question": code} for code in pasted],
    }
    return Finding(round(most, 3), raised(bool(pasted)), evidence)


@check(
    gettext_lazy("Another language"),
    gettext_lazy("%(other)d of %(judged)d longer texts are not in %(language)s, but in %(found)s."),
)
def other_language(one: Submission, _all: Cohort) -> Finding:
    """A signal if most of what can be judged is: one text to try a model out is not."""
    judged = [
        (text, language.detect(text.text))
        for text in one.texts
        if len(text.text.encode()) >= LANGUAGE_BYTES
    ]
    sure = [(text, code) for text, (code, share) in judged if share >= LANGUAGE_SURE]
    if not sure:
        return NOT_APPLICABLE
    other = [(text, code) for text, code in sure if code != one.language]
    evidence = {
        "other": len(other),
        "judged": len(sure),
        "language": one.language,
        "found": ", ".join(sorted({code for _text, code in other})) or "–",
        "detector": language.DETECTOR,
        "places": places(text for text, _code in other),
    }
    return Finding(len(other), raised(len(other) > len(sure) / 2), evidence)


# Beside others


@check(
    gettext_lazy("Same texts as others"),
    gettext_lazy("%(shared)d texts are those of others too; one of %(most)d others."),
    compares=True,
)
def identical_texts(one: Submission, everyone: Cohort) -> Finding:
    shared = everyone.shared.get(one.participant.pk, [])
    evidence = {
        "shared": len(shared),
        "most": max((others for _place, others in shared), default=0),
        "places": sorted((place for place, _others in shared), key=str),
    }
    return Finding(len(shared), raised(bool(shared)), evidence)


@check(gettext_lazy("Closed answers"), gettext_lazy("%(answers)d that can be compared."))
def closed_answers(one: Submission, _all: Cohort) -> Finding:
    """Raises nothing: leaves the fingerprint that `identical_answers` compares."""
    closed = [
        (question.code, sorted(row.value.items(), key=str))
        for question, row in one.asked
        if not isinstance(question, Attention | FreeText)
    ]
    has_lines = any(isinstance(question, Sliders | Slider) for question, _row in one.asked)
    if len(closed) < ALIKE_ANSWERS or not has_lines:
        return NOT_APPLICABLE  # without a line, people who are alike answer alike
    return Finding(len(closed), evidence={"answers": len(closed), "pattern": pattern(closed)})


assert closed_answers.__name__ == PATTERN_CHECK


@check(
    gettext_lazy("Same answers as others"),
    gettext_lazy("All closed answers are those of others too: %(others)d."),
    compares=True,
)
def identical_answers(one: Submission, everyone: Cohort) -> Finding:
    found = everyone.pattern_of.get(one.participant.pk)
    if found is None:
        return NOT_APPLICABLE
    others = everyone.pattern_counts[found] - 1
    return Finding(others, raised(others > 0), {"others": others})


def title(name: str) -> str:
    """Of a check, also of one that is no more."""
    return str(CHECKS[name].title) if name in CHECKS else name.replace("_", " ")


def in_words(run: QualityRun) -> str:
    if run.value is None:
        return _("Does not apply.")
    known = CHECKS.get(run.check_name)
    return known.in_words(run.evidence) if known else ""
