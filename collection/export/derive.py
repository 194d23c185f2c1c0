"""The survey's columns, derived from what an instrument file asks."""

from collections.abc import Iterator
from dataclasses import replace

from collection.export import asked
from collection.export.columns import Column, choice, text
from collection.export.tables import FIXED
from surveys.instruments.released import (
    DECLINING,
    LANGUAGE,
    OTHER_TEXT,
    RECRUITMENT,
    column_of,
    companion,
    conditional,
    has_own_text,
    has_status,
    is_numeric,
    list_keys,
    may_be_unknown,
    may_decline,
    order_of,
    tells_declined,
)
from surveys.instruments.schema import (
    Attention,
    BaseQuestion,
    Block,
    Comprehension,
    Country,
    Date,
    FreeText,
    InstrumentFile,
    Likert,
    Matrix,
    Multiple,
    Number,
    Option,
    Ordinal,
    Page,
    Question,
    Ranking,
    Scale,
    Single,
    Slider,
    Sliders,
    pages_of,
)
from surveys.places import special_regions
from surveys.sheet import PAGES, block_scope, page_scope

PREFER_NOT_TO_SAY = "Prefer not to say"
DECLINED = "prefer not to say"
"""self_described of someone who chose not to say, and their status elsewhere."""
ANSWERED, NOT_SHOWN, SKIPPED = "answered", "not shown", "skipped"
"""What else a *_status column says."""

DATE_DIGITS = {"day": 10, "month": 7, "year": 4}


def survey_columns(file: InstrumentFile) -> tuple[Column, ...]:
    """What stands between consent_age and generated_datetime."""
    derived = (*_about(file), *asked.of_survey(file, _answers(file)))
    columns = {column.key: column for column in derived}
    columns |= {key: FIXED[key] for key in RECRUITMENT}
    listed = [key for key in file.release.columns if key in columns]
    return tuple(columns[key] for key in dict.fromkeys([*listed, *columns]))


def _about(file: InstrumentFile) -> Iterator[Column]:
    if len(file.languages) > 1:
        label = "Language of the answers"
        yield Column(
            LANGUAGE,
            "categorical",
            "meta",
            label,
            allowed=file.languages,
            notes="Released answers are in the language of the instrument all the same.",
            source="the participant's choice, or their browser's",
        )
    for variant in file.variants:
        yield Column(
            variant.code,
            "categorical",
            "meta",
            variant.label or f"Variant of the survey: {variant.code}",
            allowed=tuple(arm.code for arm in variant.arms),
            notes="".join(
                f"{arm.code}: {arm.label}. " for arm in variant.arms if arm.label
            ).strip(),
            source="drawn for each participant, in balance",
        )


def _answers(file: InstrumentFile) -> Iterator[Column]:
    behind = conditional(file)
    orders: list[Column] = []
    for question in file.questions():
        is_conditional = question.code in behind
        if question.release.form == "place":
            yield place_column(file, column_of(question))
        for column in columns_of(question, is_conditional=is_conditional):
            if column.key == order_of(question):
                orders.append(column)
            else:
                yield column
    yield from orders
    yield from _lists(file)


def columns_of(
    question: Question, *, is_conditional: bool, is_shown: bool = False
) -> tuple[Column, ...]:
    """All columns of one question, save the dict that places share.

    is_conditional: not everybody is shown it; is_shown: as they are for those who are.
    """
    form = question.release.form
    if form == "none":
        return ()
    lacks = (is_conditional and not is_shown) or not question.required
    found = [] if form == "place" else [*_main(question, lacks or is_silent(question))]
    if has_status(question, is_conditional=is_conditional):
        found.append(_status(question, can_hide=is_conditional and not is_shown))
    if question.is_shuffled:
        found.append(_order(question, nullable=is_conditional and not is_shown))
    return tuple(found)


def is_silent(question: Question) -> bool:
    """Whether declining leaves null."""
    return may_decline(question) and not tells_declined(question)


def _main(question: Question, lacks: bool) -> Iterator[Column]:
    """The question's column and those beside it; lacks: may be null."""
    label = label_of(question)
    match question:
        case Single() if question.release.form == "coded":
            yield _identity(question, lacks)
        case Single() | Ordinal() | Attention() | Comprehension():
            yield from _choices(question, lacks)
        case Country():
            iso = companion(question, "iso")
            yield replace(choice(column_of(question), label), nullable=lacks)
            yield replace(
                choice(iso, f"{label} (ISO 3166-1 alpha-3)", category="constructed"), nullable=lacks
            )
        case Multiple() | Sliders() | Likert() | Matrix() | Ranking():
            yield _parts(question, lacks)
        case Slider():
            yield replace(
                _line(question, column_of(question), label, lacks),
                category=question.release.category,
            )
        case FreeText():
            yield replace(text(column_of(question), label), nullable=lacks)
        case Number():
            yield Column(
                column_of(question),
                "float" if question.decimals else "int",
                question.release.category,
                label,
                nullable=lacks,
                low=question.minimum,
                high=question.maximum,
            )
        case Date():
            yield _date(question, lacks)


def label_of(question: BaseQuestion) -> str:
    return question.label or question.text


# One choice


def _choices(
    question: Single | Ordinal | Attention | Comprehension, lacks: bool
) -> Iterator[Column]:
    label = label_of(question)
    yield replace(
        _cell(question, column_of(question), label, lacks or may_be_unknown(question)),
        category=question.release.category,
    )
    if has_own_text(question):
        yield replace(
            text(companion(question, "text"), f"{label} (typed text)"),
            nullable=True,
        )
    if isinstance(question, Attention):
        yield Column(
            companion(question, "passed"),
            "binary",
            "constructed",
            f"{label} (whether the right answer was given)",
            nullable=lacks or may_decline(question),
        )
    if isinstance(question, Comprehension):
        yield Column(
            companion(question, "attempts"),
            "int",
            "meta",
            f"{label} (number of attempts)",
            nullable=lacks,
            low=1,
            high=question.attempts,
        )


def _cell(question: Question, key: str, label: str, lacks: bool) -> Column:
    """One of the question's choices: as text, or as a number if all are released as numbers."""
    return Column(
        key,
        "int" if is_numeric(question) else "categorical",
        "direct",
        label,
        nullable=lacks,
        allowed=tuple(dict.fromkeys(_released(question))),
    )


def _released(question: Question) -> Iterator[str | int]:
    for option in question.choices:
        value = released_value(question, option)
        if value is not None and is_told(question, option.code):
            yield value
    if question.prefer_not_to_say and tells_declined(question):
        yield PREFER_NOT_TO_SAY


def is_told(question: Question, code: str) -> bool:
    """Whether a choice is released: all but own words that wait to be coded."""
    is_own = isinstance(question, Single) and code == question.self_describe
    return not is_own or question.release.own_text


def released_value(question: Question, option: Option) -> str | int | None:
    """None: declining, where all other choices are numbers."""
    if not is_numeric(question):
        return str(option.released_value)
    is_declining = option.code == DECLINING and may_decline(question)
    return None if is_declining else option.released


# Dicts


def _parts(question: Multiple | Sliders | Likert | Matrix | Ranking, lacks: bool) -> Column:
    parts = [_part(question, item, lacks) for item in question.items]
    if question.last is not None:
        own = next(item for item in question.items if item.code == question.last)
        typed = question.release.labels.get(OTHER_TEXT, f"{own.label} (typed text)")
        parts.append(replace(text(OTHER_TEXT, typed), nullable=True))
    return Column(
        column_of(question),
        "dict",
        question.release.category,
        label_of(question),
        keys=tuple(parts),
    )


def _part(
    question: Multiple | Sliders | Likert | Matrix | Ranking, item: Option, lacks: bool
) -> Column:
    label = _part_label(question, item)
    match question:
        case Multiple():
            return Column(item.code, "int", "direct", label, nullable=lacks, allowed=(0, 1))
        case Sliders():
            return _line(question, item.code, label, lacks or item.code == question.last)
        case Matrix(multiple=True):
            cell = _cell(question, item.code, label, lacks)
            return replace(cell, kind="list", low=1, high=len(question.columns))
        case Likert() | Matrix():
            return _cell(question, item.code, label, lacks)
        case Ranking():
            is_partial = question.places < len(question.options)
            return Column(
                item.code,
                "int",
                "direct",
                label,
                nullable=lacks or is_partial,
                low=1,
                high=question.places,
            )


def _part_label(question: BaseQuestion, item: Option) -> str:
    is_own = item.code == question.last
    return question.release.labels.get(
        item.code, f"{item.label} (selected)" if is_own else item.label
    )


def _line(question: Scale, key: str, label: str, lacks: bool) -> Column:
    return Column(
        key,
        "int",
        "direct",
        label,
        nullable=lacks or question.na,
        low=question.minimum,
        high=question.maximum,
    )


def _date(question: Date, lacks: bool) -> Column:
    digits = DATE_DIGITS[question.precision]
    latest = None if question.latest == "today" else question.latest
    return Column(
        column_of(question),
        "date",
        question.release.category,
        label_of(question),
        nullable=lacks,
        low=question.earliest[:digits] if question.earliest else None,
        high=latest[:digits] if latest else None,
        digits=digits,
    )


def _identity(question: Single, lacks: bool) -> Column:
    key, categories = column_of(question), question.release.categories
    name = f"participant {key}"

    def coded(part: str, label: str, values: list[str]) -> Column:
        allowed = tuple(dict.fromkeys([*values, PREFER_NOT_TO_SAY]))
        return Column(part, "categorical", "constructed", label, nullable=True, allowed=allowed)

    return Column(
        key,
        "dict",
        "NA",
        label_of(question),
        keys=(
            replace(text("self_described", "Participant self-description"), nullable=lacks),
            coded("categorised", f"Granular categories of {name}", sorted(categories)),
            coded(
                "simplified", f"Simplified categories of {name}", sorted(set(categories.values()))
            ),
        ),
    )


# Places

SIDE_FIELDS = {
    "birth": ("country", "countryISO", "region", "subregion"),
    "reside": ("country", "region", "subregion", "countryISO"),
}
"""PRISM's order."""
SIDE_NAMES = {"birth": "birth", "reside": "residence"}
SAME = "same_birth_reside_country"
SPECIAL = "special_region"


def sides_of(file: InstrumentFile, key: str) -> dict[str, Country]:
    """Side -> the question that a dict of places has it from."""
    return {
        question.release.side: question
        for question in file.questions()
        if isinstance(question, Country)
        and question.release.side is not None
        and column_of(question) == key
    }


def place_column(file: InstrumentFile, key: str, *, is_shown: bool = False) -> Column:
    """is_shown: as it is for those who are shown both questions."""
    behind, sides = conditional(file), sides_of(file, key)
    parts: list[Column] = []
    lacking: set[str] = set()
    for side in SIDE_FIELDS:
        if side in sides:
            question = sides[side]
            is_hidden = question.code in behind and not is_shown
            if is_hidden or not question.required:
                lacking.add(side)
            parts += _side(question, side, nullable=side in lacking)
    if len(sides) > 1:
        same = "Whether the participant was born and resides in the same country"
        parts.append(_place_fact(SAME, same, "Yes", "No", nullable=bool(lacking)))
    if "birth" in sides:
        adjusted = "Adjusted regional categories for unique sample properties"
        is_lacking = "birth" in lacking
        parts.append(_place_fact(SPECIAL, adjusted, *special_regions(), nullable=is_lacking))
    return Column(key, "dict", "NA", f"Dictionary of {key} information.", keys=tuple(parts))


def _place_fact(key: str, label: str, *values: str, nullable: bool) -> Column:
    found = choice(key, label, *values, PREFER_NOT_TO_SAY, category="constructed")
    return replace(found, nullable=nullable)


def _side(question: Country, side: str, *, nullable: bool) -> Iterator[Column]:
    name = SIDE_NAMES[side]
    labels = {
        "country": label_of(question),
        "countryISO": f"ISO 3166-1 alpha-3 code for the country of {name}",
        "region": f"Participant region of {name}",
        "subregion": f"Participant sub-region of {name}",
    }
    for part in SIDE_FIELDS[side]:
        yield Column(
            f"{side}_{part}",
            "categorical",
            "direct" if part == "country" else "constructed",
            labels[part],
            nullable=nullable,
        )


# Beside the answers


def _status(question: Question, *, can_hide: bool) -> Column:
    values = [ANSWERED]
    if may_decline(question):
        values.append(DECLINED)
    if can_hide:
        values.append(NOT_SHOWN)
    if not question.required:
        values.append(SKIPPED)
    label = f"{label_of(question)} (what a null means)"
    status = choice(companion(question, "status"), label, *values, category="meta")
    return replace(status, absent=NOT_SHOWN)


def _order(question: Question, *, nullable: bool) -> Column:
    """Where each option stood, from 1; anchored ones and one's own at their end."""
    own = [item for item in question.items if item.code == question.last]
    others = [item for item in question.items if item.code != question.last]
    first = [item for item in others if item.anchor == "first"]
    last = [*(item for item in others if item.anchor == "last"), *own]
    size = len(question.items)
    fixed = {item.code: n for n, item in enumerate(first, start=1)}
    fixed |= {item.code: n for n, item in enumerate(last, start=size - len(last) + 1)}
    parts = tuple(
        Column(
            item.code,
            "int",
            "meta",
            _part_label(question, item),
            nullable=nullable,
            low=fixed.get(item.code, len(first) + 1),
            high=fixed.get(item.code, size - len(last)),
        )
        for item in question.items
    )
    label = f"{label_of(question)} (order of options presented in survey)"
    return Column(order_of(question), "dict", "meta", label, keys=parts)


def _lists(file: InstrumentFile) -> Iterator[Column]:
    """The drawn orders of questions, pages and blocks."""
    names = list_keys(file)
    for entry in file.entries:
        if isinstance(entry, Block) and entry.randomise:
            codes = [page.code for page in entry.pages]
            label = f"Order of pages in block {entry.code}"
            yield _list(names[block_scope(entry)], label, codes, nullable=True)
        for page in pages_of(entry):
            if page.randomise:
                yield _page_list(names[page_scope(page)], entry, page)
    if file.randomise:
        codes = [entry.code for entry in file.entries]
        yield _list(names[PAGES], "Order of pages and blocks", codes, nullable=False)


def _page_list(key: str, entry: Page | Block, page: Page) -> Column:
    codes = [question.code for question in page.questions]
    nullable = bool(entry.show_if or page.show_if)
    return _list(key, f"Order of questions on page {page.code}", codes, nullable=nullable)


def _list(key: str, label: str, codes: list[str], *, nullable: bool) -> Column:
    return Column(
        key,
        "list",
        "meta",
        label,
        nullable=nullable,
        allowed=tuple(codes),
        low=len(codes),
        high=len(codes),
    )
