"""Answering whatever a form asks, as one person would: by name where it is known, else by kind.

The same person gives the same answer to the same form, so that going back changes nothing.
"""

import json
from collections.abc import Mapping
from random import Random
from urllib.parse import urlsplit

from collection.simulation import words
from collection.simulation.pages import Field, Form
from collection.simulation.people import (
    DESCRIBED,
    LEANING_SD,
    LEANINGS,
    NOT_APPLICABLE,
    RARELY,
    USUAL_LEANING,
    Person,
)
from collection.simulation.understanding import NOTHING_SAID, Understood

Fields = dict[str, list[str]]
"""What is sent: name -> values."""

DECLINING = "prefer_not_to_say"
OFTEN_CHOSEN = 0.3
"""The share of options that are ticked where several may be."""
OWN_WORDS = 0.12
"""The share of people who use the field for something of their own."""


def fill(
    person: Person,
    form: Form,
    decided: Mapping[str, str],
    time: int = 0,
    understood: Understood = NOTHING_SAID,
) -> Fields:
    """Everything that a browser would send.

    decided: values that something else than the form decides. time: how often the person has sent
    this form before, which matters where buttons say different things.
    """
    occasion = f"{urlsplit(form.action).path}#{form.turn}"
    decided = {**understood.values, **ranked(person, form, occasion), **decided}
    declined = declines(person, form, occasion)
    empty = declined | understood.left_out
    filled: Fields = {f"{code}_declined": ["on"] for code in declined}
    for field in form.own():
        draw = person.draw("answer", occasion, field.name)
        if belongs(field.name, empty):
            filled |= emptied(field)
            continue
        match field.kind:
            case "radio" | "select":
                given = decided.get(field.name)
                filled[field.name] = [choose(person, draw, field) if given is None else given]
            case "checkbox" if field.name.endswith("_declined"):
                pass
            case "checkbox":
                filled[field.name] = ticked(draw, field, understood.limits.get(field.name))
            case "range":
                filled |= line(person, draw, form, field, decided)
            case "textarea":
                filled[field.name] = [decided.get(field.name) or composed(person, draw, field.name)]
            case "text":
                filled[field.name] = [decided.get(field.name, "")]
            case _:
                filled[field.name] = [field.value]
    describe(person, form, filled)
    press(person.draw("press", occasion, time), form, filled)
    return {name: kept(form, name, values) for name, values in filled.items() if values}


def declines(person: Person, form: Form, occasion: str) -> frozenset[str]:
    """The questions whose box for "Prefer not to say" is ticked."""
    boxes = [field.name for field in form.fields.values() if field.name.endswith("_declined")]
    ticked = [box for box in boxes if person.draw("answer", occasion, box).random() < RARELY]
    return frozenset(box.removesuffix("_declined") for box in ticked)


def belongs(name: str, codes: frozenset[str]) -> bool:
    """Whether a field belongs to one of the questions."""
    return any(name == code or name.startswith(f"{code}_") for code in codes)


def emptied(field: Field) -> Fields:
    """What a browser sends of a field that was left alone."""
    if field.kind in ("radio", "checkbox"):
        return {}
    return {field.name: [field.value if field.kind in ("hidden", "range") else ""]}


def ranked(person: Person, form: Form, occasion: str) -> dict[str, str]:
    """A place of its own for each item of a ranking, as long as there are places."""
    given: dict[str, str] = {}
    for names in form.rankings:
        places = sorted((o for o in form.fields[names[0]].options if o), key=int)
        # Drawn in the order of the alphabet: their order on the page is the server's draw.
        items = sorted(names)
        person.draw("answer", occasion, items[0], "ranking").shuffle(items)
        given |= dict.fromkeys(items, "") | dict(zip(items, places, strict=False))
    return given


def kept(form: Form, name: str, values: list[str]) -> list[str]:
    """What a field lets one type: not more than its limit."""
    limit = form.fields[name].limit if name in form.fields else None
    return [value[:limit].strip() for value in values] if limit else values


def choose(person: Person, draw: Random, field: Field) -> str:
    options = sorted(option for option in field.options if option)
    usual = person.choices.get(field.name)
    if usual in options:
        return usual
    telling = [option for option in options if option != DECLINING]
    return draw.choice(telling if telling and draw.random() > RARELY else options)


def ticked(draw: Random, field: Field, limits: tuple[int, int] | None = None) -> list[str]:
    """A box on its own is ticked, unless it would delete everything; of several, some are."""
    if len(field.options) == 1:
        return [] if field.name == "withdraw" else list(field.options)
    # Drawn in the order of the alphabet: their order on the page is the server's draw.
    some = [option for option in sorted(field.options) if draw.random() < OFTEN_CHOSEN]
    some = some or [draw.choice(sorted(field.options))]
    alone = [option for option in some if option in field.exclusive]
    if alone:
        return alone[:1] if len(some) == 1 else within(draw, field, set(some) - {*alone}, limits)
    return within(draw, field, set(some), limits)


def within(draw: Random, field: Field, some: set[str], limits: tuple[int, int] | None) -> list[str]:
    """Not fewer and not more than the question asks for."""
    least, most = limits or (1, len(field.options))
    others = sorted(set(field.options) - some - {*field.exclusive})
    more = draw.sample(others, max(0, least - len(some)))
    chosen = sorted(some) + more
    return sorted(draw.sample(chosen, most)) if len(chosen) > most else chosen


def line(
    person: Person, draw: Random, form: Form, field: Field, decided: Mapping[str, str]
) -> Fields:
    """A mark as the page's script sends it: with what it recorded of how the mark was placed."""
    own_text = f"{field.name}_text"
    if own_text in form.fields and draw.random() > OWN_WORDS:
        return {}  # nothing of one's own to rate
    is_na = draw.random() < NOT_APPLICABLE.get(field.name.rpartition("_")[2], RARELY)
    if f"{field.name}_na" in form.fields and is_na:
        return {f"{field.name}_na": ["on"]}
    at = int(decided.get(field.name) or leaning(person, draw, field))
    at = min(max(at, field.minimum), field.maximum)
    moves = min(1 + int(draw.expovariate(0.8)), 12)
    # The first key starts from the middle; a pointer starts near where it ends.
    middle = (field.minimum + field.maximum + 1) // 2
    near = round(at + draw.gauss(0, 8)) if moves > 1 else at
    first = middle if person.first_by == "keyboard" else near
    record = {
        "first": min(max(first, field.minimum), field.maximum),
        "first_by": person.first_by,
        "moves": moves,
        "ms": round(1000 * draw.lognormvariate(1.6, 0.7)),
    }
    return {
        field.name: [str(at)],
        f"{field.name}_rated": ["on"],
        f"{field.name}_record": [json.dumps(record)],
    }


def leaning(person: Person, draw: Random, field: Field) -> int:
    return round(
        draw.gauss(LEANINGS.get(field.name, USUAL_LEANING + 5 * person.leniency), LEANING_SD)
    )


def composed(person: Person, draw: Random, name: str) -> str:
    """Two to five sentences; a question nobody has foreseen is answered with what one believes."""
    write = {
        "system_string": words.system_string,
        "open_feedback": words.open_feedback,
    }.get(name, words.self_description)
    return person.styled(write(draw))


def describe(person: Person, form: Form, filled: Fields) -> None:
    """Own words, where what was chosen asks for them; else the field stays empty."""
    for name, field in form.fields.items():
        if field.kind != "text" or filled.get(name, [""])[0]:
            continue
        opener, option = field.opened_by or (name.removesuffix("_text"), None)
        is_open = option in filled.get(opener, []) if option else f"{opener}_rated" in filled
        if is_open:
            draw = person.draw("own words", name)
            filled[name] = [draw.choice(DESCRIBED.get(name, words.VALUES))]


def press(draw: Random, form: Form, filled: Fields) -> None:
    """The button: where each says something else, one of them."""
    if form.buttons:
        name, value = draw.choice(sorted(form.buttons))
        filled[name] = [value]


def leave_one_out(
    draw: Random, form: Form, filled: Fields, optional: frozenset[str] = frozenset()
) -> Fields | None:
    """The same form with one answer missing that it asks for; None if it asks for none."""
    asked = [
        field.name
        for field in form.own()
        if is_required(form, field, filled) and not belongs(field.name, optional)
    ]
    if not asked:
        return None
    name = draw.choice(asked)
    left_out = {name, f"{name}_rated", f"{name}_record"}
    return {key: values for key, values in filled.items() if key not in left_out}


def is_required(form: Form, field: Field, filled: Fields) -> bool:
    """Whether an answer given is one that the form insists on."""
    if not any(filled.get(field.name, ())) or field.kind in ("hidden", "text"):
        return False
    if field.kind != "range":
        return True
    return f"{field.name}_rated" in filled and f"{field.name}_text" not in form.fields
