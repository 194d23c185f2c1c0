"""Conditions: every test they know, mixes of them, and what was not answered."""

from typing import Any

import pytest
from pydantic import ValidationError

from surveys.instruments.conditions import Condition

VALUES: dict[str, dict[str, Any]] = {
    "age": {"number": 40},
    "income": {"declined": True},
    "notes": {"skipped": True},
    "born": {"date": "1984-02-29"},
    "party": {"choice": "green", "text": None},
    "gender": {"choice": "prefer_not_to_say", "text": None},
    "uses": {"chosen": ["work", "play"], "other_text": None},
    "trust": {"score": None},
    "prefs": {"scores": {"kind": 30, "fast": None}, "other_text": None},
    "agree": {"rows": {"tax": "yes", "war": ["no", "unsure"]}},
    "order": {"ranked": ["a", "b"]},
}
ARMS = {"frame": "gain"}


def holds(**rule: Any) -> bool:
    return Condition.model_validate(rule).holds(VALUES, ARMS)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ({"question": "party", "among": ["green", "red"]}, True),
        ({"question": "party", "among": ["red"]}, False),
        ({"question": "uses", "among": ["play"]}, True),
        ({"question": "order", "among": ["b"]}, True),
        ({"question": "agree", "item": "tax", "among": ["yes"]}, True),
        ({"question": "agree", "item": "war", "among": ["unsure"]}, True),
        ({"question": "agree", "item": "war", "among": ["yes"]}, False),
        ({"question": "income", "among": ["prefer_not_to_say"]}, True),
        ({"question": "age", "at_least": 40}, True),
        ({"question": "age", "above": 40}, False),
        ({"question": "age", "at_least": 18, "below": 40}, False),
        ({"question": "age", "at_most": 40, "above": 39.5}, True),
        ({"question": "age", "equals": 40.0}, True),
        ({"question": "prefs", "item": "kind", "below": 50}, True),
        ({"question": "prefs", "item": "fast", "below": 50}, False),
        ({"question": "trust", "at_least": 0}, False),
        ({"question": "born", "below": "1990"}, True),
        ({"question": "born", "at_least": "1984-02-29", "at_most": "1984-02-29"}, True),
        ({"question": "born", "above": 1980}, False),
        ({"question": "age", "answered": True}, True),
        ({"question": "income", "answered": True}, False),
        ({"question": "notes", "answered": False}, True),
        ({"question": "nowhere", "answered": False}, True),
        ({"question": "income", "declined": True}, True),
        ({"question": "gender", "declined": True}, True),
        ({"question": "age", "declined": False}, True),
        ({"question": "nowhere", "declined": True}, False),
        ({"question": "nowhere", "at_least": 1}, False),
        ({"question": "income", "at_least": 1}, False),
        ({"variant": "frame", "among": ["gain"]}, True),
        ({"variant": "frame", "among": ["loss"]}, False),
    ],
)
def test_it_works(rule: dict[str, Any], expected: bool) -> None:
    assert holds(**rule) is expected
    assert holds(**{"not": rule}) is not expected
    assert holds(any=[{"question": "party", "among": ["red"]}, rule]) is expected
    assert holds(all=[{"question": "party", "among": ["green"]}, rule]) is expected


def test_leaves_are_the_single_tests() -> None:
    rule = {
        "any": [
            {"question": "age", "at_least": 18},
            {
                "all": [
                    {"variant": "frame", "among": ["gain"]},
                    {"not": {"question": "party", "answered": True}},
                ]
            },
        ]
    }
    leaves = Condition.model_validate(rule).leaves()
    assert [leaf.question or leaf.variant for leaf in leaves] == ["age", "frame", "party"]


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"question": "age"},
        {"question": "age", "at_least": 1, "among": ["x"]},
        {"question": "age", "answered": True, "declined": False},
        {"question": "age", "at_least": 1, "variant": "frame"},
        {"variant": "frame"},
        {"variant": "frame", "answered": True},
        {"any": [], "all": []},
        {"any": [{"question": "age", "answered": True}], "item": "x"},
        {"not": {"question": "age", "answered": True}, "at_most": 3},
        {"question": "age", "atleast": 3},
    ],
)
def test_a_condition_has_one_form(rule: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Condition.model_validate(rule)
