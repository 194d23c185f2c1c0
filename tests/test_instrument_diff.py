"""Two versions side by side: what was added, removed, moved and reworded."""

from typing import Any

import pytest

from surveys.instruments.diff import Difference, compare, incompatible, word_by_word
from surveys.instruments.load import FOLDER, read_file
from tests.drafts import page, parsed, single

NOTE = {"code": "note", "type": "text", "text": "What do you think of soup?"}
JOB = single("job", "yes", "no", "unsure")


def difference(old: list[Any], new: list[Any], **other: Any) -> Difference:
    return compare(parsed(*old, **other).document, parsed(*new, **other).document)


def told(found: Difference, depth: int = 0) -> list[str]:
    """Every part that differs and how, in lines."""
    lines = [f"{'  ' * depth}{found.state} {found.kind} {found.code} {found.moved}".rstrip()]
    for field in found.fields:
        marks = {"same": "{}", "added": "[+{}]", "removed": "[-{}]"}
        pieces = "".join(marks[piece.state].format(piece.text) for piece in field.pieces)
        lines.append(f"{'  ' * depth}: {field.name} {field.language} {pieces}")
    return lines + [line for part in found.parts for line in told(part, depth + 1)]


def test_it_works() -> None:
    prism = read_file(FOLDER / "prism.yaml").document
    assert compare(prism, prism).is_empty
    changed = NOTE | {"text": "What do you think of a good soup?"}
    assert told(difference([page("one", NOTE)], [page("one", changed)])) == [
        "same instrument",
        "  same page one",
        "    changed question note",
        "    : text  What do you think of [+a good ]soup?",
    ]


def test_parts_are_added_and_removed() -> None:
    options = [option for option in JOB["options"] if option["code"] != "no"]
    fewer = JOB | {"options": [*options, {"code": "often", "label": "Often"}]}
    lines = told(difference([page("one", JOB), page("two", NOTE)], [page("one", fewer)]))
    assert lines[:5] == [
        "same instrument",
        "  same page one",
        "    same question job",
        "      added option often",
        "      removed option no",
    ]
    assert "  removed page two" in lines


def test_parts_are_moved() -> None:
    old = [page("one", JOB), page("two", NOTE), page("three", single("x", "a", "b"))]
    assert told(difference(old, [old[2], old[0], old[1]])) == [
        "same instrument",
        "  moved page three to another place in its list",
    ]
    new = [page("one", text=["Hello."]), page("two", NOTE, JOB), old[2]]
    lines = told(difference(old, new))
    assert "    moved question job from page one" in lines
    assert not [line for line in lines if "removed question" in line]


def test_an_option_of_another_question_is_no_moved_one() -> None:
    other = single("x", "a", "b")
    more = other | {"options": [*other["options"], {"code": "no", "label": "No"}]}
    fewer = JOB | {"options": JOB["options"][:1] + JOB["options"][2:]}
    lines = told(difference([page("one", JOB, other)], [page("one", fewer, more)]))
    assert "      added option no" in lines
    assert "      removed option no" in lines


def test_conditions_are_compared_in_words() -> None:
    old = [page("one", JOB), page("two", NOTE, show_if={"question": "job", "among": ["yes"]})]
    among = {"question": "job", "among": ["yes", "no"]}
    new = [page("one", JOB), page("two", NOTE, show_if=among)]
    assert "  : show_if  job is yes[+ or no]" in [
        line.replace("[-yes][+yes or no]", "yes[+ or no]") for line in told(difference(old, new))
    ]
    gone = told(difference(old, [page("one", JOB), page("two", NOTE)]))
    assert "  : show_if  [-job is yes]" in gone


def test_each_language_is_compared() -> None:
    def asked(spanish: str) -> list[Any]:
        return [page("one", NOTE | {"text": {"en": "Soup?", "es": spanish}})]

    lines = told(difference(asked("¿Sopa?"), asked("¿Sopas?"), languages=["en", "es"]))
    assert lines[3:] == ["    : text es [-¿Sopa?][+¿Sopas?]"]
    before = parsed(page("one", NOTE | {"text": "Soup?"})).document
    after = parsed(*asked("¿Sopa?"), languages=["en", "es"]).document
    lines = told(compare(before, after))
    assert "    : text es [-Soup?][+¿Sopa?]" in lines
    assert not [line for line in lines if "text en" in line]


def test_what_is_said_outright_equals_what_is_left_out() -> None:
    assert difference([page("one", NOTE)], [page("one", NOTE | {"required": True})]).is_empty


def test_chinese_is_compared_by_character() -> None:
    pieces = list(word_by_word("你喜欢汤吗", "你喜欢热汤吗"))
    assert [(piece.state, piece.text) for piece in pieces] == [
        ("same", "你喜欢"),
        ("added", "热"),
        ("same", "汤吗"),
    ]


@pytest.mark.parametrize(
    ("new", "codes"),
    [
        (JOB, []),
        (JOB | {"text": "Other words?", "required": False}, []),
        (single("job", "yes"[:3], "new"), []),
        ({"code": "job", "type": "text", "text": "Job?"}, ["job"]),
        (JOB | {"release": {"form": "none"}}, ["job"]),
        (JOB | {"code": "work"}, []),
    ],
)
def test_questions_that_became_of_another_kind_are_named(
    new: dict[str, Any], codes: list[str]
) -> None:
    old = parsed(page("one", JOB)).file
    assert incompatible(old, parsed(page("one", new)).file) == codes
