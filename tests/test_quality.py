"""Quality checks: each has a case that raises its signal, and a near miss that does not."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from collection import checking, quality, submissions
from collection.models import (
    Attempt,
    AttributeRating,
    Conversation,
    Feedback,
    Interaction,
    QualityRun,
    Utterance,
)
from config import chores
from surveys import enrolment
from surveys.instruments.load import keep
from surveys.models import Consent, PageVisit, Participant, Study
from tests.drafts import page, parsed
from tests.export_cast import START, TYPES, choice, converse, make_person, make_study
from tests.servers import ROOT

pytestmark = pytest.mark.django_db

PROMPTS = (
    "What should I cook for four friends tonight?",
    "Is it fair that rents rise faster than wages?",
    "How do I tell my father that I am moving away?",
    "Should voting be compulsory for everybody?",
    "Explain how a heat pump works in a cold climate.",
    "Write a short poem about the first snow.",
)
FEEDBACK = "It was clear and to the point. I missed an example of number {number}."


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


def hand_in(study: Study, minute: int = 0, *, conversations: int = 6, **fields: Any) -> Participant:
    """A submission that nothing is wrong with, all its words its own."""
    number = study.participants.count()
    texts = {
        "self_description": {"text": f"I grew up in village {number}. Honesty comes first for me."},
        "system_string": {"text": f"Be brief and kind, says person {number}. Always name sources."},
        "lm_usecases": {"chosen": ["games"], "other_text": str(number)},
    }
    usual: dict[str, Any] = {"is_recruited": True, "completed_at": timezone.now()}
    fields = usual | fields
    answers = texts | fields.pop("answers", {})
    person = make_person(study, minute=minute, answers=answers, **fields)
    for row in person.responses.all():
        scores = row.value.get("scores", {})
        row.touches = {code: {"moves": 1} for code in scores}
        row.save()
    for place in range(conversations):
        talk = converse(person, TYPES[place % 3], scores=((70, 20, 30, 40), (50, 60), (40, 80)))
        polish(talk, f"{PROMPTS[place]} I am person {number}.")
        say(talk, FEEDBACK.format(number=f"{number}-{place}"))
    return person


def polish(talk: Conversation, prompt: str) -> None:
    for turn in talk.interactions.all():
        Interaction.objects.filter(pk=turn.pk).update(user_prompt=f"{prompt} Turn {turn.turn}.")
    Utterance.objects.filter(interaction__conversation=talk).update(was_touched=True)
    AttributeRating.objects.filter(conversation=talk).update(was_touched=True)


def say(talk: Conversation, text: str) -> None:
    Feedback.objects.filter(conversation=talk).update(open_feedback=text)


def answer(person: Participant, question: str, value: dict[str, Any], **fields: Any) -> None:
    person.responses.filter(question=question).update(value=value, **fields)


def check(person: Participant, name: str) -> QualityRun:
    """What a check finds now."""
    checking.check_study(person.study, again=True)
    return person.quality_runs.get(check_name=name, is_current=True)


def prompts(person: Participant) -> list[Interaction]:
    rows = Interaction.objects.filter(conversation__participant=person)
    return list(rows.order_by("conversation__number", "turn"))


def write(rows: Sequence[Interaction], text: str) -> None:
    Interaction.objects.filter(pk__in=[row.pk for row in rows]).update(user_prompt=text)


def test_it_works(study: Study) -> None:
    person = hand_in(study)
    assert checking.check_new() == 1
    runs = person.quality_runs.filter(is_current=True)
    assert {run.check_name for run in runs} == set(quality.CHECKS)
    assert [run.check_name for run in runs if run.severity] == []
    for run in runs:
        assert quality.in_words(run)


def test_running_again_changes_nothing(study: Study) -> None:
    for minute in range(3):
        hand_in(study, minute)
    assert checking.check_new() == 3
    before = list(QualityRun.objects.order_by("pk").values())
    assert checking.check_new() == 0
    assert checking.check_study(study, again=True) == 3
    assert list(QualityRun.objects.order_by("pk").values()) == before


def test_a_new_version_replaces_and_keeps_the_old(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = hand_in(study)
    checking.check_new()
    old = quality.CHECKS["few_turns"]
    newer = replace(
        old,
        version=old.version + 1,
        do=lambda _one, _all: quality.Finding(9.0, "investigate", {"turns": 3}),
    )
    monkeypatch.setitem(quality.CHECKS, "few_turns", newer)
    assert checking.check_new() == 1
    was, now = person.quality_runs.filter(check_name="few_turns").order_by("pk")
    assert (was.version, was.is_current, was.severity) == (1, False, "")
    assert (now.version, now.is_current, now.severity) == (2, True, "investigate")
    assert quality.in_words(now) == "turns: 3"
    assert checking.check_new() == 0


def test_what_changed_is_found_again(study: Study) -> None:
    person = hand_in(study)
    assert check(person, "few_conversations").severity == ""
    Conversation.objects.filter(participant=person, number=6).update(state="technical")
    assert check(person, "few_conversations").severity == "investigate"
    assert person.quality_runs.filter(check_name="few_conversations").count() == 2


def test_only_what_was_handed_in_is_checked(study: Study) -> None:
    hand_in(study, completed_at=None)
    hand_in(study, withdrawn_at=timezone.now())
    assert checking.check_new() == 0
    assert not QualityRun.objects.exists()


def test_withdrawing_takes_the_runs_along(study: Study) -> None:
    person = hand_in(study)
    checking.check_new()
    enrolment.withdraw(person)
    assert not QualityRun.objects.exists()


def test_evidence_has_no_words_of_the_participant(study: Study) -> None:
    person = hand_in(study, answers={"system_string": {"text": "Zebra."}})
    write(prompts(person), "Xylophone")
    checking.check_new()
    text = str(list(QualityRun.objects.values_list("evidence", flat=True))).lower()
    assert "zebra" not in text
    assert "xylophone" not in text


def test_the_chore_checks(study: Study) -> None:
    person = hand_in(study)
    chores.do("quality")
    assert person.quality_runs.count() == len(quality.CHECKS)


def test_batches_need_a_fixed_number_of_queries(study: Study) -> None:
    people = [hand_in(study, minute, conversations=2) for minute in range(3)]

    def queries(keys: list[int]) -> int:
        with CaptureQueriesContext(
            connection,
        ) as seen:
            alone = [c for c in quality.CHECKS.values() if not c.compares]
            checking.run(submissions.loaded(keys), alone, checking.NOBODY)
        return len(seen)

    assert queries([people[0].pk]) == queries([person.pk for person in people]) == 10


# Who it is


def test_no_consent(study: Study) -> None:
    person = hand_in(study)
    assert check(person, "no_consent").severity == ""
    Consent.objects.all().delete()
    assert check(person, "no_consent").severity == "reject"


@pytest.mark.parametrize(
    ("age", "severity"),
    [
        (choice("under_18"), "reject"),
        (choice("age_18_24"), ""),
        (choice("prefer_not_to_say"), ""),
    ],
)
def test_under_age(study: Study, age: dict[str, Any], severity: str) -> None:
    person = hand_in(study)
    answer(person, "age", age)
    assert check(person, "under_age").severity == severity


@pytest.mark.parametrize(("age", "severity"), [(17, "reject"), (18, "")])
def test_under_age_as_a_number(study: Study, age: int, severity: str) -> None:
    question = {"code": "age", "type": "number", "text": "How old are you?"}
    study.instrument = keep(parsed(page("first", question)))
    study.save()
    person = make_person_of(study, {"age": {"number": age}})
    assert check(person, "under_age").severity == severity


def make_person_of(study: Study, values: dict[str, Any]) -> Participant:
    """Of an instrument of the test's own."""
    person = Participant.objects.create(
        study=study,
        instrument=study.instrument,
        consent_shown_at=START,
        survey_finished_at=START + timedelta(minutes=9),
        completed_at=timezone.now(),
    )
    for question, value in values.items():
        person.responses.create(question=question, value=value)
    return person


@pytest.mark.parametrize(
    ("recruitment", "recruited", "severity"),
    [("wave-7", False, "return"), ("wave-7", True, ""), ("", False, "")],
)
def test_no_recruiter_id(study: Study, recruitment: str, recruited: bool, severity: str) -> None:
    person = hand_in(study, recruitment_id=recruitment, is_recruited=recruited)
    assert check(person, "no_recruiter_id").severity == severity


@pytest.mark.parametrize(("finished", "severity"), [(False, "return"), (True, "")])
def test_survey_missing(study: Study, finished: bool, severity: str) -> None:
    assert check(hand_in(study, finished=finished), "survey_missing").severity == severity


@pytest.mark.parametrize(
    ("number", "missing", "few"),
    [(0, "return", "investigate"), (1, "", "investigate"), (5, "", "investigate"), (6, "", "")],
)
def test_conversations_missing_and_few(study: Study, number: int, missing: str, few: str) -> None:
    person = hand_in(study, conversations=number)
    assert check(person, "conversations_missing").severity == missing
    found = check(person, "few_conversations")
    assert (found.value, found.severity) == (number, few)


@pytest.mark.parametrize(
    ("width", "touch", "severity"),
    [(390, "touch", "investigate"), (390, "mouse", ""), (820, "touch", "")],
)
def test_phone(study: Study, width: int, touch: str, severity: str) -> None:
    person = hand_in(study)
    note(person, "about_you", viewport_width=width, input=touch)
    assert check(person, "phone").severity == severity


def note(person: Participant, page_code: str, **fields: Any) -> None:
    """Paradata of a page."""
    load = {
        "visible_ms": 60_000,
        "focus_losses": 0,
        "viewport_width": 1280,
        "viewport_height": 800,
        "input": "mouse",
        "nth": 0,
        "questions": {},
    }
    PageVisit.objects.create(
        participant=person, page=page_code, shown_at=START, paradata={"0" * 16: load | fields}
    )


# Time


def with_times(study: Study, people: int) -> list[Participant]:
    """Submissions without conversations, whose surveys took between 20 and 40 minutes."""
    rows = []
    for number in range(people):
        person = hand_in(study, conversations=0)
        take(person, 60 * (20 + number % 21))
        rows.append(person)
    return rows


def take(person: Participant, seconds: float) -> None:
    person.survey_finished_at = START + timedelta(seconds=seconds)
    person.consent_shown_at = START
    person.save()


def test_survey_too_fast(study: Study) -> None:
    """One who left it open overnight made PRISM's mean less three SD negative."""
    fast, slow, *_others = with_times(study, 22)
    take(slow, 16 * 3600)
    take(fast, 100)
    found = check(fast, "survey_too_fast")
    assert (found.severity, found.value) == ("reject", 100)
    assert found.evidence["deviation"] < -3
    take(fast, 15 * 60)
    assert check(fast, "survey_too_fast").severity == ""
    assert check(slow, "survey_too_fast").severity == ""


def test_few_submissions_say_nothing_about_time(study: Study) -> None:
    fast, *_others = with_times(study, 19)
    take(fast, 1)
    found = check(fast, "survey_too_fast")
    assert (found.severity, found.value) == ("", 1)
    assert quality.in_words(found)


def test_a_newcomer_lets_those_who_wait_be_compared_again(study: Study) -> None:
    fast, *_others = with_times(study, 19)
    take(fast, 100)
    checking.check_new()
    assert fast.quality_runs.get(check_name="survey_too_fast").severity == ""
    hand_in(study, conversations=0)
    assert checking.check_new() == 1
    assert fast.quality_runs.get(check_name="survey_too_fast", is_current=True).severity == "reject"


def test_conversations_too_fast(study: Study) -> None:
    people = with_times(study, 21)
    for number, person in enumerate(people):
        talk = converse(person)
        talk.finished_at = talk.started_at + timedelta(seconds=300 + 10 * number)
        talk.save()
    hasty = people[0]
    assert check(hasty, "conversations_too_fast").severity == ""
    talk = hasty.conversations.get()
    Conversation.objects.filter(pk=talk.pk).update(
        finished_at=talk.started_at + timedelta(seconds=30)
    )
    assert check(hasty, "conversations_too_fast").severity == "investigate"


@pytest.mark.parametrize(("seconds", "severity"), [(2, "investigate"), (10, "")])
def test_too_fast_to_read(study: Study, seconds: int, severity: str) -> None:
    """100 words in 2 s, or in 10 s, which is 600 a minute."""
    person = hand_in(study, conversations=2)
    rated = Interaction.objects.filter(conversation__participant=person)
    rated.update(rated_at=START + timedelta(seconds=seconds))
    Attempt.objects.filter(interaction__in=rated).update(settled_at=START)
    for turn in rated:
        turn.utterances.update(model_response="word " * (100 // turn.utterances.count()))
    found = check(person, "too_fast_to_read")
    assert found.severity == severity
    assert found.evidence["turns"] == 6


def test_short_replies_are_read_fast(study: Study) -> None:
    person = hand_in(study, conversations=2)
    rated = Interaction.objects.filter(conversation__participant=person)
    rated.update(rated_at=START + timedelta(seconds=0.5))
    Attempt.objects.filter(interaction__in=rated).update(settled_at=START)
    assert check(person, "too_fast_to_read").value is None


# Answers


def test_prefers_not_to_say(study: Study) -> None:
    person = hand_in(study)
    may = [
        question
        for question, _row in submissions.Submission(person).asked
        if question.prefer_not_to_say or quality.may_decline(question)
    ]
    half = len(may) // 2
    for question in may[:half]:
        answer(person, question.code, choice("prefer_not_to_say"))
    found = check(person, "prefers_not_to_say")
    assert (found.value, found.severity) == (half, "")
    for question in may[half : half + 2]:
        answer(person, question.code, choice("prefer_not_to_say"))
    assert check(person, "prefers_not_to_say").severity == "investigate"


def test_untouched_in_survey(study: Study) -> None:
    """A line at 50 that was touched is an answer; one that was not is none, wherever it stands."""
    person = hand_in(study)
    lines = dict.fromkeys(person.responses.get(question="stated_prefs").value["scores"], 50)
    touched = {code: {"moves": 1} for code in lines}
    answer(person, "stated_prefs", {"scores": lines, "other_text": None}, touches=touched)
    assert check(person, "untouched_in_survey").severity == ""
    answer(person, "stated_prefs", {"scores": lines, "other_text": None}, touches={})
    found = check(person, "untouched_in_survey")
    assert (found.value, found.severity) == (len(lines), "investigate")
    assert found.evidence["places"] == [{"question": "stated_prefs"}]


def test_untouched_in_conversations(study: Study) -> None:
    person = hand_in(study, conversations=1)
    replies = Utterance.objects.filter(interaction__conversation__participant=person)
    few = replies.values_list("pk", flat=True)[:3]
    replies.filter(pk__in=list(few)).update(was_touched=False)
    found = check(person, "untouched_in_conversations")
    assert (found.value, found.severity) == (3, "")
    replies.update(was_touched=False)
    AttributeRating.objects.filter(value__lt=6).update(was_touched=False)
    found = check(person, "untouched_in_conversations")
    assert (found.value, found.severity) == (16, "investigate")
    assert found.evidence["places"] == [{"conversation": 1}]


@pytest.mark.parametrize(("last", "severity"), [(40, "investigate"), (43, "")])
def test_straight_lining(study: Study, last: int, severity: str) -> None:
    person = hand_in(study)
    codes = [*person.responses.get(question="stated_prefs").value["scores"]]
    scores = dict.fromkeys(codes, 40) | {codes[-1]: last}
    answer(person, "stated_prefs", {"scores": scores, "other_text": None})
    assert check(person, "straight_lining").severity == severity


@pytest.mark.parametrize(("last", "severity"), [("a", "investigate"), ("b", "")])
def test_straight_lining_in_a_table(study: Study, last: str, severity: str) -> None:
    question = {
        "code": "views",
        "type": "likert",
        "text": "How far do you agree?",
        "statements": [{"code": f"s{n}", "label": f"Statement {n}"} for n in range(5)],
        "points": [{"code": "a", "label": "No"}, {"code": "b", "label": "Yes"}],
    }
    study.instrument = keep(parsed(page("first", question)))
    study.save()
    rows = {f"s{n}": "a" for n in range(4)} | {"s4": last}
    person = make_person_of(study, {"views": {"rows": rows}})
    assert check(person, "straight_lining").severity == severity


def test_flat_scores(study: Study) -> None:
    person = hand_in(study, conversations=1)
    replies = Utterance.objects.filter(interaction__conversation__participant=person)
    replies.update(score=50)
    replies.filter(pk=replies[0].pk).update(score=52)
    assert check(person, "flat_scores").severity == "investigate"
    replies.filter(pk=replies[0].pk).update(score=53)
    assert check(person, "flat_scores").severity == ""


def test_not_applicable(study: Study) -> None:
    person = hand_in(study, conversations=1)
    rows = AttributeRating.objects.filter(conversation__participant=person).order_by("pk")
    rows.filter(pk__in=[row.pk for row in rows[:7]]).update(value=None)
    rows.filter(pk__in=[row.pk for row in rows[7:]]).update(value=5)
    assert check(person, "not_applicable").severity == ""
    rows.filter(pk=rows[7].pk).update(value=None)
    assert check(person, "not_applicable").severity == "investigate"


@pytest.mark.parametrize(
    ("answers", "severity"),
    [(("blue", "blue"), ""), (("blue", "red"), "investigate"), (("red", "red"), "reject")],
)
def test_attention(study: Study, answers: tuple[str, str], severity: str) -> None:
    questions = [
        {
            "code": code,
            "type": "attention",
            "text": "Please choose blue.",
            "options": [{"code": "blue", "label": "Blue"}, {"code": "red", "label": "Red"}],
            "correct": ["blue"],
        }
        for code in ("one", "two")
    ]
    study.instrument = keep(parsed(page("first", *questions)))
    study.save()
    values = dict(zip(("one", "two"), map(choice, answers), strict=True))
    assert check(make_person_of(study, values), "attention").severity == severity


# Texts


@pytest.mark.parametrize(
    ("text", "severity"), [("Be kind.", "investigate"), ("Be kind to us all.", "")]
)
def test_short_texts(study: Study, text: str, severity: str) -> None:
    person = hand_in(study)
    for code in ("self_description", "system_string"):
        answer(person, code, {"text": text})
    assert check(person, "short_texts").severity == severity


@pytest.mark.parametrize(
    ("text", "severity"), [("Good", "investigate"), ("Good. Long, though", "")]
)
def test_short_feedback(study: Study, text: str, severity: str) -> None:
    person = hand_in(study)
    for talk in person.conversations.exclude(number__in=(1, 2)):
        say(talk, text)
    assert check(person, "short_feedback").severity == severity


def test_repeated_texts(study: Study) -> None:
    person = hand_in(study)
    first, second, *_others = person.conversations.order_by("number")
    say(first, "Great.  Thanks!")
    say(second, "great, thanks")
    assert check(person, "repeated_texts").severity == ""
    say(first, "This was really good. I liked it.")
    say(second, "this was really good, I liked it")
    found = check(person, "repeated_texts")
    assert (found.value, found.severity) == (1, "investigate")
    assert found.evidence["places"] == [{"conversation": 2}]


def test_repeated_prompts(study: Study) -> None:
    person = hand_in(study, conversations=3)
    rows = prompts(person)
    write(rows[:3], "Tell me another one.")
    assert check(person, "repeated_prompts").severity == ""
    write(rows[:4], "Tell me another one.")
    found = check(person, "repeated_prompts")
    assert (found.value, found.severity) == (3, "investigate")


def test_openings_that_the_study_gave_are_nobodys_own(study: Study) -> None:
    person = hand_in(study, conversations=3)
    for number, talk in enumerate(person.conversations.all()):
        Conversation.objects.filter(pk=talk.pk).update(anchor="soup")
        write(list(talk.interactions.filter(turn=0)), "What makes a good soup in winter?")
        write(list(talk.interactions.filter(turn=1)), f"And what about number {number}?")
    assert check(person, "repeated_prompts").value == 0


@pytest.mark.parametrize(("number", "severity"), [(2, ""), (3, "investigate")])
def test_one_word_prompts(study: Study, number: int, severity: str) -> None:
    person = hand_in(study, conversations=3)
    write(prompts(person)[:number], "More")
    assert check(person, "one_word_prompts").severity == severity


def test_chinese_prompts_have_more_than_one_word(study: Study) -> None:
    person = hand_in(study, conversations=3)
    write(prompts(person), "请你帮我写一封感谢老师的信并且说明我为什么感谢他")
    assert check(person, "one_word_prompts").severity == ""


@pytest.mark.parametrize(
    ("text", "words"),
    [("Don't, well-known", 2), ("诚实最重要", 5), ("AI很好", 3), ("مهم جدا", 2), ("1 + 1 = 2?", 3)],
)
def test_words_of_any_language(text: str, words: int) -> None:
    assert len(submissions.Text(text, {}).words) == words


def test_the_manual_has_every_check() -> None:
    manual = (ROOT / "docs" / "reviewing.md").read_text()
    missing = [str(c.title) for c in quality.CHECKS.values() if f"| {c.title} |" not in manual]
    assert missing == []


def test_few_turns(study: Study) -> None:
    person = hand_in(study, conversations=2)
    assert check(person, "few_turns").severity == ""
    Interaction.objects.filter(turn=2).delete()
    found = check(person, "few_turns")
    assert (found.value, found.severity) == (2, "investigate")


@pytest.mark.parametrize(("share", "severity"), [(0.5, "investigate"), (0.49, "")])
def test_pasted_texts(study: Study, share: float, severity: str) -> None:
    person = hand_in(study)
    found = {"visible_ms": 9, "changes": 1, "pastes": 1, "pasted_share": share}
    note(person, "system_string", questions={"system_string": found})
    assert check(person, "pasted_texts").severity == severity


@pytest.mark.parametrize(("german", "severity"), [(3, ""), (6, "investigate")])
def test_other_language(study: Study, german: int, severity: str) -> None:
    """Some try a model out in another language; only most of the texts count."""
    person = hand_in(study, conversations=2)
    write(prompts(person)[:german], "Ich möchte gerne wissen, wie man eine gute Suppe kocht.")
    for talk in person.conversations.all()[: german // 3]:
        say(talk, "Die Antwort war gut und verständlich. Ein Beispiel hätte mir sehr geholfen.")
    found = check(person, "other_language")
    assert found.severity == severity
    assert found.evidence["found"] == "de"


def test_a_person_may_answer_in_a_language_of_the_study(study: Study) -> None:
    person = hand_in(study, conversations=2, language="de")
    write(prompts(person), "Ich möchte gerne wissen, wie man eine gute Suppe kocht.")
    for talk in person.conversations.all():
        say(talk, "Die Antwort war gut und verständlich. Ein Beispiel hätte mir sehr geholfen.")
    assert check(person, "other_language").severity == ""


# Beside others


def test_identical_texts(study: Study) -> None:
    ann, ben = hand_in(study), hand_in(study)
    common = "What is the capital city of France today?"
    write(prompts(ann)[3:4], common)
    write(prompts(ben)[4:5], "What is the capital city of Spain today?")
    assert check(ann, "identical_texts").severity == ""
    write(prompts(ben)[4:5], f" {common.upper()} ")
    for person, turn in ((ann, 0), (ben, 1)):
        found = check(person, "identical_texts")
        assert (found.value, found.severity) == (1, "investigate")
        assert found.evidence["places"] == [{"conversation": 2, "turn": turn}]


def test_identical_texts_of_answers_and_feedback(study: Study) -> None:
    ann, ben, cleo = hand_in(study), hand_in(study), hand_in(study)
    words = {"text": "An assistant should be honest above all. It should be brief."}
    answer(ann, "system_string", words)
    answer(ben, "system_string", words)
    for person in (ben, cleo):
        say(person.conversations.get(number=2), "The very best chat that I ever had. Thank you.")
    assert check(ann, "identical_texts").evidence["places"] == [{"question": "system_string"}]
    assert check(ben, "identical_texts").value == 2
    assert check(cleo, "identical_texts").evidence["places"] == [{"conversation": 2}]


def test_short_texts_may_be_those_of_others(study: Study) -> None:
    ann, ben = hand_in(study), hand_in(study)
    for person in (ann, ben):
        write(prompts(person)[:1], "What is love?")
    assert check(ann, "identical_texts").severity == ""


def test_identical_answers(study: Study) -> None:
    ann, ben = hand_in(study), hand_in(study)
    assert check(ann, "identical_answers").severity == ""
    same = {"chosen": ["games"], "other_text": "chess"}
    for person in (ann, ben):
        answer(person, "lm_usecases", same)
    for person in (ann, ben):
        found = check(person, "identical_answers")
        assert (found.value, found.severity) == (1, "investigate")
