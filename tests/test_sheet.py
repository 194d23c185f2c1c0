"""One person's questionnaire: order, branches, what is expected, what is shown in the end."""

from collections.abc import Mapping
from typing import Any

import pytest

from surveys.draws import rng
from surveys.instruments.load import InstrumentError, parse
from surveys.instruments.schema import InstrumentFile, Page
from surveys.sheet import Sheet
from surveys.wording import filled

HEAD = """
instrument: garden
title: Gardens
language: en
attribution: Ours.
"""


def file(text: str) -> InstrumentFile:
    return parse("garden.yaml", HEAD + text).file


def choice(code: str, *options: str) -> str:
    listed = ", ".join(f"{{code: {option}, label: {option.title()}}}" for option in options)
    return f"{{code: {code}, type: single, text: Well, options: [{listed}]}}"


def page(code: str, *questions: str, more: str = "") -> str:
    return f"  - {{code: {code}, title: T, questions: [{', '.join(questions)}]{more}}}\n"


def sheet(text: str, seed: int = 1, **values: Mapping[str, Any]) -> Sheet:
    return Sheet(file(text), seed, {}, values)


def codes(pages: list[Page]) -> list[str]:
    return [page.code for page in pages]


BRANCHING = (
    "pages:\n"
    + page("one", choice("owns", "aye", "nay"))
    + page("two", choice("size", "big", "small"), more=", show_if: {question: owns, among: [aye]}")
    + page("three", choice("lawn", "aye", "nay"), more=", show_if: {question: size, among: [big]}")
    + page("four", choice("likes", "aye", "nay"))
)


def test_it_works() -> None:
    start = sheet(BRANCHING)
    assert codes(start.pages) == ["one", "four"]
    assert codes(start.expected()) == ["one", "two", "three", "four"]
    owner = sheet(BRANCHING, owns={"choice": "aye", "text": None})
    assert codes(owner.pages) == ["one", "two", "four"]
    assert codes(owner.expected()) == ["one", "two", "three", "four"]
    tenant = sheet(BRANCHING, owns={"choice": "nay", "text": None})
    assert codes(tenant.expected()) == ["one", "four"]


def test_an_answer_behind_a_closed_branch_neither_counts_nor_opens_others() -> None:
    changed = sheet(
        BRANCHING,
        owns={"choice": "nay", "text": None},
        size={"choice": "big", "text": None},
        lawn={"choice": "aye", "text": None},
    )
    assert codes(changed.pages) == ["one", "four"]
    assert set(changed.shown) == {"owns"}


SHUFFLED = (
    "randomise: true\npages:\n"
    + page("start", choice("a", "x", "z"), more=", anchor: first")
    + "  - block: middle\n    randomise: true\n    pages:\n"
    + "".join(
        page(code, choice(f"q{code}", "x", "z")).replace("  - ", "      - ")
        for code in ("m1", "m2", "m3", "m4")
    )
    + page("loose", choice("b", "x", "z"), choice("c", "x", "z"), more=", randomise: true")
    + page("end", choice("d", "x", "z"), more=", anchor: last")
)


def test_pages_blocks_and_questions_are_shuffled_between_their_anchors() -> None:
    seen = set()
    for seed in range(60):
        one = sheet(SHUFFLED, seed)
        order = codes(one.pages)
        assert order[0] == "start"
        assert order[-1] == "end"
        where = [order.index(code) for code in ("m1", "m2", "m3", "m4")]
        assert max(where) - min(where) == 3, "a block stays together"
        recorded = one.page_orders()
        block = recorded["block:middle"]
        assert [code for code in order if code in block] == block
        assert [
            code
            for entry in recorded["pages:"]
            for code in (block if entry == "middle" else [entry])
        ] == order
        loose = next(step for step in one.steps if step.page.code == "loose")
        assert one.orders(loose.page)["page:loose"] == [q.code for q in loose.questions]
        seen.add((*order, *(q.code for q in loose.questions)))
    assert len(seen) > 30


def test_a_person_gets_the_same_order_each_time_and_another_person_another() -> None:
    assert codes(sheet(SHUFFLED, 7).pages) == codes(sheet(SHUFFLED, 7).pages)
    assert len({tuple(codes(sheet(SHUFFLED, seed).pages)) for seed in range(20)}) > 5


def test_options_keep_their_anchors_and_the_rest_is_uniform() -> None:
    text = (
        "pages:\n  - code: p\n    title: T\n    questions:\n"
        "      - code: q\n        type: multiple\n"
        "        text: Which?\n        randomise: true\n        options:\n"
        "          - {code: top, label: Top, anchor: first}\n          - {code: a, label: A}\n"
        "          - {code: b, label: B}\n          - {code: none, label: None, anchor: last}\n"
        "        other: {code: other, label: Other}\n"
    )
    instrument = file(text)
    question = next(instrument.questions())
    orders = [
        [item.code for item in Sheet(instrument, rng(9, "p", n).getrandbits(62)).items(question)]
        for n in range(400)
    ]
    assert {(o[0], o[3], o[4]) for o in orders} == {("top", "none", "other")}
    first = sum(o[1] == "a" for o in orders)
    assert 160 < first < 240  # 200 expected, sd 10


def test_variants_open_pages() -> None:
    text = (
        "variants: [{code: frame, arms: [{code: gain}, {code: loss}]}]\npages:\n"
        + page("g", choice("a", "x", "z"), more=", show_if: {variant: frame, among: [gain]}")
        + page("l", choice("b", "x", "z"), more=", show_if: {variant: frame, among: [loss]}")
    )
    assert codes(Sheet(file(text), 1, {"frame": "gain"}).pages) == ["g"]
    assert codes(Sheet(file(text), 1, {"frame": "loss"}).expected()) == ["l"]


def test_a_text_repeats_an_earlier_answer_or_its_fallback() -> None:
    text = (
        "pages:\n"
        + page("one", choice("flower", "rose", "tulip"))
        + "  - {code: two, title: T, text: ['You like {{ flower }}.', 'A {{flower | plant}}!']}\n"
    )
    empty = sheet(text)
    two = empty.file.pages[1]
    assert filled(two, empty).text == ("You like ….", "A plant!")
    given = sheet(text, flower={"choice": "rose", "text": None})
    assert filled(two, given).text == ("You like Rose.", "A Rose!")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            page("p", choice("a", "x", "z"), more=", show_if: {question: b, among: [x]}")
            + page("r", choice("b", "x", "z"), more=", show_if: {question: a, among: [x]}"),
            "show_if goes in a circle: a needs b needs a",
        ),
        (
            page("p", choice("a", "x", "z"), more=", show_if: {question: a, among: [x]}"),
            "show_if goes in a circle: a needs a",
        ),
        (
            page("p", choice("a", "x", "z"), more=", show_if: {question: b, among: [x]}")
            + page("r", choice("b", "x", "z")),
            "show_if needs 'b', not asked before",
        ),
        (
            page("p", choice("a", "x", "z"))
            + page("r", choice("b", "x", "z"), more=", show_if: {question: a, among: [w]}"),
            "'a' has no option w",
        ),
        (
            page("p", choice("a", "x", "z"))
            + page("r", choice("b", "x", "z"), more=", show_if: {question: a, above: 3}"),
            "'a' has no amount to compare",
        ),
        (
            page("p", choice("a", "x", "z"))
            + page("r", choice("b", "x", "z"), more=", show_if: {variant: v, among: [x]}"),
            "show_if needs variant 'v'; give it under variants",
        ),
        (
            page("p", choice("a", "x", "z"), choice("a_text", "x", "z")),
            "'a_text' begins like 'a' of the same page; rename one of them",
        ),
        (
            page("p", choice("a", "x", "x")),
            "option codes must differ; given twice: x",
        ),
        (
            "  - {code: p, title: T, text: ['{{ later }}']}\n"
            + page("r", choice("later", "x", "z")),
            "a text repeats the answer to later, not asked before",
        ),
        (
            "  - block: b\n    randomise: true\n    pages:\n"
            + page("p", choice("a", "x", "z")).replace("  - ", "      - ")
            + page("r", choice("c", "x", "z"), more=", show_if: {question: a, among: [x]}").replace(
                "  - ", "      - "
            ),
            "show_if needs 'a', not asked before",
        ),
    ],
)
def test_unsound_branches_are_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(InstrumentError, match=r"garden\.yaml:\d+: \w+") as caught:
        file("pages:\n" + text)
    assert message in str(caught.value)
