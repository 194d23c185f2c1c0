"""Instruments and answers drawn at random, for property-based tests."""

from dataclasses import dataclass
from datetime import date
from typing import Any

from hypothesis import strategies as st

from surveys.instruments.conditions import Value
from surveys.instruments.schema import (
    PREFER_NOT_TO_SAY,
    Check,
    Country,
    Date,
    FreeText,
    Likert,
    Matrix,
    Multiple,
    Number,
    Ordinal,
    Question,
    Ranking,
    Single,
    Slider,
    Sliders,
)
from surveys.reading import DECLINED, RADIO, SKIPPED, Answer

WORDS = st.text(
    st.characters(exclude_categories=("Cs", "Cc", "Zl", "Zp")) | st.just("\n"),
    min_size=1,
    max_size=60,
).filter(lambda text: text.strip() == text and text != "")
"""What people type, in any script, as it is kept: without blank ends and control characters."""
LABELS = st.text(st.characters(categories=("L", "Nd", "Zs")), min_size=1, max_size=20).filter(
    lambda text: text.strip() != "" and not text.isnumeric()
)


def options(prefix: str, least: int, most: int) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Options PREFIX0, PREFIX1, …; some anchored."""
    anchors = st.sampled_from([None, None, None, "first", "last"])
    each = st.fixed_dictionaries({"label": LABELS, "anchor": anchors})
    return st.lists(each, min_size=least, max_size=most).map(
        lambda found: [
            {"code": f"{prefix}{n}", **{k: v for k, v in one.items() if v is not None}}
            for n, one in enumerate(found)
        ]
    )


def shuffled_or_not() -> dict[str, st.SearchStrategy[Any]]:
    return {"randomise": st.booleans()}


def bounds() -> st.SearchStrategy[dict[str, int]]:
    return st.tuples(st.integers(-200, 200), st.integers(1, 300)).map(
        lambda pair: {"minimum": pair[0], "maximum": pair[0] + pair[1]}
    )


LINE = {"low": LABELS, "high": LABELS, "na": st.booleans()}
OWN = st.just({"code": "other", "label": "Other"})

TYPES: dict[str, st.SearchStrategy[dict[str, Any]]] = {
    "single": st.fixed_dictionaries(
        {"options": options("o", 2, 5), **shuffled_or_not()},
        optional={"self_describe": st.just("o1")},
    ),
    "ordinal": st.fixed_dictionaries({"points": options("p", 2, 5)}),
    "attention": st.fixed_dictionaries({"options": options("o", 2, 4), "correct": st.just(["o0"])}),
    "country": st.fixed_dictionaries({"display": st.sampled_from(["dropdown", "typeahead"])}),
    "multiple": st.fixed_dictionaries(
        {"options": options("o", 2, 6), **shuffled_or_not()},
        optional={"other": OWN},
    ),
    "sliders": st.tuples(
        st.fixed_dictionaries(
            {"stem": LABELS, "statements": options("s", 1, 4), **LINE, **shuffled_or_not()},
            optional={"other": OWN},
        ),
        bounds(),
    ).map(lambda pair: pair[0] | pair[1]),
    "slider": st.tuples(st.fixed_dictionaries(LINE), bounds()).map(lambda p: p[0] | p[1]),
    "likert": st.fixed_dictionaries(
        {"statements": options("s", 1, 4), "points": options("p", 2, 5), **shuffled_or_not()}
    ),
    "matrix": st.fixed_dictionaries(
        {
            "rows": options("r", 1, 4),
            "columns": options("c", 2, 5),
            "multiple": st.booleans(),
            **shuffled_or_not(),
        }
    ),
    "ranking": st.fixed_dictionaries(
        {"options": options("o", 2, 5), **shuffled_or_not()},
        optional={"top": st.integers(1, 2)},
    ),
    "text": st.fixed_dictionaries({"long": st.booleans()}),
    "number": st.tuples(st.integers(0, 3), bounds()).map(lambda p: {"decimals": p[0]} | p[1]),
    "date": st.fixed_dictionaries({"precision": st.sampled_from(["day", "month", "year"])}),
}


@st.composite
def questions(draw: st.DrawFn, code: str, *, types: tuple[str, ...] = tuple(TYPES)) -> Any:
    kind = draw(st.sampled_from(types))
    shape = draw(TYPES[kind])
    if not draw(st.booleans()):
        shape["required"] = False
    if kind != "country" and draw(st.booleans()):
        shape["prefer_not_to_say"] = True
    return {"code": code, "type": kind, "text": draw(LABELS), "label": f"Question {code}", **shape}


@st.composite
def documents(draw: st.DrawFn) -> dict[str, Any]:
    """A sound instrument: a gate first, then pages, some behind conditions, some in a block."""
    gate = {"code": "gate", "type": "single", "text": "Gate", "options": _gate_options()}
    pages: list[dict[str, Any]] = [{"code": "start", "title": "Start", "questions": [gate]}]
    for number in range(draw(st.integers(1, 3))):
        asked = [draw(questions(f"q{number}x{n}")) for n in range(draw(st.integers(1, 3)))]
        page: dict[str, Any] = {"code": f"page{number}", "title": f"{number}", "questions": asked}
        if draw(st.booleans()):
            page["randomise"] = True
        if draw(st.booleans()):
            page["show_if"] = draw(st.sampled_from(GATES))
        elif draw(st.booleans()):
            asked[-1]["show_if"] = draw(st.sampled_from(GATES))
        pages.append(page)
    if draw(st.booleans()):
        pages[1:] = [{"block": "rest", "randomise": True, "pages": pages[1:]}]
    return {
        "instrument": "drawn",
        "title": "Drawn",
        "language": "en",
        "attribution": "Drawn at random.",
        "pages": pages,
    }


def _gate_options() -> list[dict[str, str]]:
    return [{"code": code, "label": code.title()} for code in ("open", "shut", "ajar")]


GATES: list[dict[str, Any]] = [
    {"question": "gate", "among": ["open"]},
    {"not": {"question": "gate", "among": ["shut", "ajar"]}},
    {"any": [{"question": "gate", "among": ["ajar"]}, {"question": "gate", "among": ["open"]}]},
    {"all": [{"question": "gate", "answered": True}, {"question": "gate", "among": ["shut"]}]},
]


@dataclass(frozen=True)
class Said:
    """An answer somebody means to give."""

    value: Value
    touches: dict[str, Any]


def said(question: Question) -> st.SearchStrategy[Said]:
    """Any valid answer to a question."""
    ways = [_given(question).map(lambda answer: Said(answer.value, answer.touches))]
    if question.prefer_not_to_say:
        ways.append(st.just(Said(dict(DECLINED), {})))
    if not question.required:
        ways.append(st.just(Said(dict(SKIPPED), {})))
    return st.one_of(ways)


def touches() -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {
            "first": st.integers(-200, 500),
            "first_by": st.sampled_from(["pointer", "keyboard"]),
            "moves": st.integers(0, 50),
            "ms": st.integers(0, 1_000_000),
        }
    ).map(lambda touch: {key: touch[key] for key in ("first", "first_by", "moves", "ms")})


@st.composite
def _given(draw: st.DrawFn, question: Question) -> Answer:
    match question:
        case Single() | Ordinal() | Check():
            choice = draw(st.sampled_from([option.code for option in question.choices]))
            own = isinstance(question, Single) and choice == question.self_describe
            return Answer({"choice": choice, "text": draw(WORDS) if own else None})
        case Country():
            return Answer({"choice": draw(st.sampled_from(["CAN", "EGY", "TWN"])), "text": None})
        case Multiple():
            codes = [item.code for item in question.items]
            chosen = draw(st.sets(st.sampled_from(codes), min_size=1))
            own_text = draw(st.none() | WORDS) if "other" in chosen else None
            return Answer({"chosen": [c for c in codes if c in chosen], "other_text": own_text})
        case Sliders():
            return draw(_sliders(question))
        case Slider():
            score, touch = draw(_mark(question))
            return Answer({"score": score}, {"": touch} if touch else {})
        case Likert():
            cell = st.sampled_from([point.code for point in question.points])
            return Answer({"rows": {item.code: draw(cell) for item in question.items}})
        case Matrix():
            codes = [column.code for column in question.columns]
            if not question.multiple:
                one = st.sampled_from(codes)
                return Answer({"rows": {item.code: draw(one) for item in question.items}})
            some = st.sets(st.sampled_from(codes), min_size=1).map(
                lambda found: [code for code in codes if code in found]
            )
            return Answer({"rows": {item.code: draw(some) for item in question.items}})
        case Ranking():
            order = draw(st.permutations([item.code for item in question.items]))
            return Answer({"ranked": list(order[: question.places])})
        case FreeText():
            text = draw(WORDS)
            return Answer({"text": text if question.long else text.replace("\n", " ")})
        case Number():
            return draw(_number(question))
        case Date():
            day = draw(st.dates(_day(question.earliest, date.min), _latest(question))).isoformat()
            return Answer({"date": day[: {"day": 10, "month": 7, "year": 4}[question.precision]]})


def _day(bound: str | None, default: date) -> date:
    return date.fromisoformat(bound + "0000-01-01"[len(bound) :]) if bound else default


def _latest(question: Date) -> date:
    return _day(None if question.latest == "today" else question.latest, date(2020, 1, 1))


@st.composite
def _number(draw: st.DrawFn, question: Number) -> Answer:
    low = -1000 if question.minimum is None else int(question.minimum)
    high = low + 1000 if question.maximum is None else int(question.maximum)
    steps = 10**question.decimals
    number = draw(st.integers(low * steps, high * steps))
    return Answer({"number": number / steps if question.decimals else number})


@st.composite
def _mark(draw: st.DrawFn, question: Slider | Sliders) -> tuple[int | None, dict[str, Any] | None]:
    if question.na and draw(st.booleans()):
        return None, None
    return draw(st.integers(question.minimum, question.maximum)), draw(touches())


@st.composite
def _sliders(draw: st.DrawFn, question: Sliders) -> Answer:
    scores: dict[str, int | None] = {}
    records: dict[str, Any] = {}
    own_text = draw(st.none() | WORDS) if question.other else None
    own_text = own_text.replace("\n", " ") if own_text else None
    for item in question.items:
        if item.code == question.last and not own_text:
            continue
        scores[item.code], touch = draw(_mark(question))
        if touch:
            records[item.code] = touch
    return Answer({"scores": scores, "other_text": own_text}, records)


def is_radio(question: Question) -> bool:
    return isinstance(question, RADIO)


JUNK = st.sampled_from(
    [
        *("", " ", "o0", "o99", "p1", "-1", "1e400", "99999999999999999999999", "nan", "٣", "1,5"),
        *(
            "on",
            "null",
            "{}",
            "x" * 30_000,
            "\x00",
            "\ud800",
            "<script>",
            "true",
            PREFER_NOT_TO_SAY,
        ),
        *("\x07\x1b[0m", "2024-02-30", "\u202e", "{{ gate }}", "%s", "'; DROP TABLE--"),
    ]
)
