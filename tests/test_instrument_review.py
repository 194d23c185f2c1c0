"""The static check: what can't be reached, isn't exported, misses a translation or takes long."""

from typing import Any

import pytest

from surveys.instruments import possible
from surveys.instruments.conditions import Condition
from surveys.instruments.load import FOLDER, read_file
from surveys.instruments.review import Review, review
from tests.drafts import page, parsed, single

JOB = single("job", "yes", "no")
NOTE = {"code": "note", "type": "text", "text": "Note?"}


def found(*pages: dict[str, Any], **other: Any) -> Review:
    what = parsed(*pages, **other)
    return review(what.document, what.file)


def lines(*pages: dict[str, Any], **other: Any) -> list[str]:
    return [str(finding) for finding in found(*pages, **other).findings]


def after(asked: dict[str, Any], show_if: dict[str, Any], **other: Any) -> list[str]:
    """Findings of a page with a condition on a question that is asked before."""
    return lines(page("one", asked), page("two", NOTE, show_if=show_if), **other)


def test_it_works() -> None:
    prism = read_file(FOLDER / "prism.yaml")
    checked = review(prism.document, prism.file)
    assert (checked.pages, checked.questions) == (9, 18)
    assert not checked.having("error")
    assert not checked.having("warning")
    assert after(JOB, {"question": "job", "among": ["yes"]}) == []


NUMBER = {"code": "years", "type": "number", "text": "Years?", "minimum": 0, "maximum": 10}
MANY: dict[str, Any] = {
    "code": "many",
    "type": "multiple",
    "text": "Many?",
    "options": [
        {"code": "a", "label": "A"},
        {"code": "b", "label": "B"},
        {"code": "none", "label": "None", "exclusive": True},
    ],
}
MOOD = {"code": "mood", "type": "slider", "text": "Mood?", "low": "Bad", "high": "Good"}
DAY = {"code": "day", "type": "date", "text": "Day?", "earliest": "1950", "latest": "1999-12-31"}
RANK = {
    "code": "rank",
    "type": "ranking",
    "text": "Rank?",
    "top": 1,
    "options": [{"code": code, "label": code} for code in ("a", "b", "c")],
}
TABLE = {
    "code": "table",
    "type": "likert",
    "text": "Agree?",
    "statements": [{"code": "pay", "label": "Pay"}, {"code": "team", "label": "Team"}],
    "points": [{"code": "agree", "label": "Agree"}, {"code": "not", "label": "Not"}],
}
HOME = {"code": "home", "type": "country", "text": "Home?"}
QUIZ = single(
    "quiz", "right", "wrong", type="comprehension", correct=["right"], explanation="Read."
)


def both(*conditions: dict[str, Any]) -> dict[str, Any]:
    return {"all": list(conditions)}


@pytest.mark.parametrize(
    ("asked", "show_if"),
    [
        (JOB, both({"question": "job", "among": ["yes"]}, {"question": "job", "among": ["no"]})),
        (JOB, {"question": "job", "declined": True}),
        (JOB, {"question": "job", "answered": False}),
        (JOB, {"not": {"question": "job", "answered": True}}),
        (NUMBER, {"question": "years", "above": 10}),
        (NUMBER, {"question": "years", "equals": 2.5}),
        (NUMBER, {"question": "years", "equals": "2000-01-01"}),
        (NUMBER, {"question": "years", "above": 3, "below": 4}),
        (NUMBER, both({"question": "years", "below": 3}, {"question": "years", "at_least": 3})),
        (MOOD, {"question": "mood", "at_least": 101}),
        (DAY, {"question": "day", "below": "1950-01-01"}),
        (DAY, {"question": "day", "above": "1999-12-31"}),
        (MANY, both({"question": "many", "among": ["none"]}, {"question": "many", "among": ["a"]})),
        (RANK, both({"question": "rank", "among": ["a"]}, {"question": "rank", "among": ["b"]})),
        (QUIZ, {"question": "quiz", "among": ["wrong"]}),
        (
            HOME,
            both({"question": "home", "among": ["CAN"]}, {"question": "home", "among": ["GBR"]}),
        ),
        (
            TABLE,
            both(
                {"question": "table", "item": "pay", "among": ["agree"]},
                {"question": "table", "item": "pay", "among": ["not"]},
            ),
        ),
    ],
)
def test_a_page_that_nobody_can_reach_is_found(
    asked: dict[str, Any], show_if: dict[str, Any]
) -> None:
    (line,) = after(asked, show_if)
    assert line.startswith("error: page two: nobody can reach it: ")


@pytest.mark.parametrize(
    ("asked", "show_if"),
    [
        (JOB | {"required": False}, {"question": "job", "answered": False}),
        (JOB | {"prefer_not_to_say": True}, {"question": "job", "declined": True}),
        (NUMBER, {"question": "years", "above": 9}),
        (NUMBER | {"decimals": 1}, {"question": "years", "above": 3, "below": 4}),
        (MOOD | {"na": True}, {"not": {"question": "mood", "at_least": 0}}),
        (DAY, {"question": "day", "at_least": "1999-12-31"}),
        (DAY | {"precision": "year"}, {"question": "day", "at_most": "1950"}),
        (MANY, both({"question": "many", "among": ["b"]}, {"question": "many", "among": ["a"]})),
        (
            RANK | {"top": 2},
            both({"question": "rank", "among": ["a"]}, {"question": "rank", "among": ["b"]}),
        ),
        (QUIZ, {"any": [{"question": "quiz", "among": ["right"]}]}),
        (
            TABLE,
            both(
                {"question": "table", "item": "pay", "among": ["agree"]},
                {"question": "table", "item": "team", "among": ["not"]},
            ),
        ),
        (HOME, {"question": "home", "declined": True}),
        (HOME, {"question": "home", "among": ["CAN", "GBR"]}),
    ],
)
def test_a_page_that_somebody_can_reach_is_not(
    asked: dict[str, Any], show_if: dict[str, Any]
) -> None:
    assert not [line for line in after(asked, show_if) if "nobody can reach" in line]


def test_what_a_branch_hides_is_reasoned_through() -> None:
    """`job` is asked only of those who study, so nobody who works does not study."""
    pages = (
        page("one", single("study", "yes", "no")),
        page("two", JOB, show_if={"question": "study", "among": ["yes"]}),
        page(
            "three",
            NOTE,
            show_if=both(
                {"question": "job", "among": ["yes"]}, {"question": "study", "among": ["no"]}
            ),
        ),
    )
    (line,) = lines(*pages)
    assert line.startswith("error: page three: nobody can reach it")


def test_a_block_a_question_and_an_arm_can_be_unreachable_too() -> None:
    nobody = both({"variant": "tone", "among": ["warm"]}, {"variant": "tone", "among": ["cold"]})
    variants = [{"code": "tone", "arms": [{"code": "warm"}, {"code": "cold"}]}]
    block = {"block": "extra", "show_if": nobody, "pages": [page("two", NOTE)]}
    (line,) = lines(page("one", JOB), block, variants=variants)
    assert line.startswith("error: block extra: nobody can reach it")
    asked = page("one", JOB, NOTE | {"show_if": nobody})
    (line,) = lines(asked, variants=variants)
    assert line.startswith("error: question note: nobody can reach it")


def test_a_test_that_never_comes_true_is_found_where_others_do() -> None:
    lost = {"question": "years", "above": 10}
    (line,) = after(NUMBER, {"any": [{"question": "years", "below": 3}, lost]})
    assert line == (
        "warning: page two: years is more than 10 can never be true (answers go from 0 to 10)"
    )


def test_a_condition_that_always_holds_is_found() -> None:
    (line,) = after(JOB, {"question": "job", "among": ["yes", "no"]})
    assert line.startswith("warning: page two: its condition always holds (job is yes or no)")


def test_options_that_lead_nowhere_are_found() -> None:
    (line,) = after(QUIZ, {"question": "quiz", "among": ["right", "wrong"]})[1:]
    assert line == (
        "warning: page two: nobody comes here with quiz wrong, since those who do not answer it "
        "correctly leave"
    )


def test_an_empty_page_is_found() -> None:
    hidden = NOTE | {"show_if": {"question": "job", "among": ["yes"]}}
    (line,) = lines(page("one", JOB), page("two", hidden))
    assert "page two: some people see it with nothing on it" in line
    assert lines(page("one", JOB), page("two", hidden, text=["Thank you."])) == []


def test_arms_that_see_the_same_are_found() -> None:
    arms = [{"code": code} for code in ("warm", "cold", "icy")]
    (line,) = lines(
        page("one", JOB),
        page("two", NOTE, show_if={"variant": "tone", "among": ["warm"]}),
        variants=[{"code": "tone", "arms": arms}],
    )
    assert line == (
        "warning: variant tone: no condition tells cold and icy apart: they see the same"
    )


def test_repeated_answers_need_words_for_those_who_gave_none() -> None:
    repeats = NOTE | {"text": "You said {{ years }}."}
    (line,) = lines(page("one", NUMBER | {"required": False}), page("two", repeats))
    assert line.startswith("warning: question note: repeats the answer to years")
    assert lines(page("one", NUMBER), page("two", repeats)) == []
    careful = NOTE | {"text": "You said {{ years | nothing }}."}
    assert lines(page("one", NUMBER | {"required": False}), page("two", careful)) == []


@pytest.mark.parametrize(
    ("question", "message"),
    [
        (single("job", "yes", "no") | {"release": {"form": "none"}}, "never exported"),
        (
            JOB | {"options": [{"code": "a", "label": "Often"}, {"code": "b", "label": "often "}]},
            "two of its items read “Often”",
        ),
        (
            JOB
            | {
                "options": [
                    {"code": "a", "label": "A", "released": 1},
                    {"code": "b", "label": "B", "released": 1},
                ]
            },
            "2 options are exported as “1” and cannot be told apart",
        ),
        (
            JOB
            | {
                "options": [{"code": "a", "label": "A", "released": 1}, {"code": "b", "label": "B"}]
            },
            "some options are exported as numbers and others as texts",
        ),
        (
            MANY | {"options": [o | {"exclusive": True} for o in MANY["options"]]},
            "every option is exclusive",
        ),
        (MANY | {"minimum": 3}, "only 2 options can be chosen together, fewer than its minimum, 3"),
        (DAY | {"latest": "1940"}, "nobody can answer it: no date lies between"),
        (
            NUMBER | {"minimum": 0.2, "maximum": 0.8},
            "nobody can answer it: no number with 0 decimals",
        ),
        (QUIZ | {"correct": ["right", "wrong"]}, "every option is correct"),
        (JOB | {"anchor": "last"}, "the page's questions are not randomised"),
        (single("job", "me", "you", self_describe="me", release={"own_text": False}), "own words"),
    ],
)
def test_questions_that_are_easily_meant_otherwise_are_found(
    question: dict[str, Any], message: str
) -> None:
    assert message in "\n".join(lines(page("one", question)))


def test_missing_translations_are_counted_and_placed() -> None:
    spanish = {"en": "One", "es": "Uno"}
    (line,) = lines(
        page("one", NOTE | {"text": spanish}, title="Notes"),
        languages=["en", "es"],
        title=spanish,
    )
    assert line.startswith("warning: language es: 1 text is missing: one.title.")


def test_a_long_page_is_found() -> None:
    essays = [NOTE | {"code": f"note{n}", "sentences": [5, 10]} for n in range(3)]
    (line,) = lines(page("one", *essays))
    assert line.startswith("note: page one: a long page: about 16 minutes, 3 things to answer")


def test_minutes_say_how_the_shortest_and_the_longest_way_differ() -> None:
    essay = NOTE | {"sentences": [5, 5]}
    asked = page("one", JOB)
    always = found(asked, page("two", essay))
    some = found(asked, page("two", essay, show_if={"question": "job", "among": ["yes"]}))
    assert always.minutes == "4"
    assert some.minutes == "1 to 4"
    assert always.seconds.most == some.seconds.most


def test_more_mixes_than_can_be_tried_are_said_to_be() -> None:
    asked = [single(f"q{n}", *"abcdef") for n in range(12)]
    conditions = [{"question": f"q{n}", "among": [c]} for n in range(12) for c in "abcde"]
    review_ = found(page("one", *asked), page("two", NOTE, show_if={"any": conditions}))
    (finding,) = review_.findings
    assert finding.severity == "note"
    assert "too many answers to try them all" in finding.words
    assert review_.seconds.least < review_.seconds.most


def test_answers_are_tried_once_for_each_way_they_come_out() -> None:
    file = parsed(page("one", MANY)).file
    question = next(file.questions())
    tests = [Condition(question="many", among=("a",)), Condition(question="many", among=("b",))]
    assert len(possible.answers(question, [])) == 1
    found_ = possible.answers(question, tests)
    outcomes = {tuple(test.holds({"many": value}, {}) for test in tests) for value in found_}
    assert outcomes == {(True, True), (True, False), (False, True), (False, False)}
    assert len(found_) == 4
