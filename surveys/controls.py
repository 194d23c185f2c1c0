"""The controls that a page has many of, as HTML.

In Python, because some pages have a hundred of them, and templates take much longer for each.
"""

from collections.abc import Collection, Iterable, Mapping

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from surveys.instruments.schema import BaseQuestion, Matrix, Multiple, Option, Single

RADIO = """\
<label class="choice"><input type="radio" name="{}" id="{}" value="{}"{}>\
 <span>{}{}</span></label>
{}"""
HINT = "<br><span>{}</span>"
OWN_WORDS = """\
<label class="sr" for="{name}">{label}</label>
<input class="own" type="text" id="{name}" name="{name}" data-own-words value="{text}"\
 maxlength="{most}" data-other-for="{option}" placeholder="{label}">
"""
BOX = """\
<label class="choice"><input type="checkbox" name="{}" value="{}"{}> <span>{}</span></label>"""
LABEL_AND_HINT = "<b>{}</b><br><span>{}</span>"
POINT = '<label class="choice"><input type="radio" name="{}" value="{}"{}> <span>{}</span></label>'
CELL = """\
<td><label class="choice"><input type="{}" name="{}" value="{}" aria-labelledby="{}-row {}-col-{}"\
{}{}> <span aria-hidden="true">{}</span></label></td>"""
DESCRIBED = ' aria-describedby="{}-error"'
IN_LIST = '<option value="{}"{}>{}</option>'
NOTHING = SafeString()
CHECKED = SafeString(" checked")
SELECTED = SafeString(" selected")


def flags(attributes: Mapping[str, bool]) -> SafeString:
    """Those attributes of a tag that hold, each after a space."""
    return SafeString("".join([f" {name}" for name, holds in attributes.items() if holds]))


def radios(
    question: BaseQuestion, options: Iterable[Option], chosen: Collection[str], text: str
) -> SafeString:
    """text: the words of one's own, beside the option that asks for them."""
    after = own_words(question, text) if isinstance(question, Single) else {}
    drawn = (
        (
            *(question.code, f"{question.code}-{option.code}", option.code),
            *(CHECKED if option.code in chosen else NOTHING, option.label),
            format_html(HINT, option.hint) if option.hint else NOTHING,
            after.get(option.code, NOTHING),
        )
        for option in options
    )
    return format_html_join("", RADIO, drawn)


def own_words(question: Single, text: str) -> dict[str, SafeString]:
    """The field below the option that asks for them, by that option's code."""
    if question.self_describe is None:
        return {}
    field = format_html(
        OWN_WORDS,
        name=f"{question.code}_text",
        label=_("In your own words"),
        text=text,
        most=question.max_length,
        option=f"{question.code}-{question.self_describe}",
    )
    return {question.self_describe: field}


def boxes(question: Multiple, options: Iterable[Option], chosen: Collection[str]) -> SafeString:
    """Without `other`, which the template sets apart."""
    drawn = (
        (
            *(question.code, option.code),
            flags({"data-exclusive": option.exclusive, "checked": option.code in chosen}),
            format_html(LABEL_AND_HINT, option.label, option.hint) if option.hint else option.label,
        )
        for option in options
        if option != question.other
    )
    return format_html_join("\n", BOX, drawn)


def points(name: str, options: Iterable[Option], chosen: Collection[str]) -> SafeString:
    """A row of a likert."""
    drawn = ((name, o.code, CHECKED if o.code in chosen else NOTHING, o.label) for o in options)
    return format_html_join("\n", POINT, drawn)


def cells(question: Matrix, name: str, chosen: Collection[str], error: str) -> SafeString:
    """A row of a matrix."""
    kind = "checkbox" if question.multiple else "radio"
    described = format_html(DESCRIBED, name) if error else NOTHING
    drawn = (
        (
            *(kind, name, option.code, name, question.code, option.code, described),
            *(CHECKED if option.code in chosen else NOTHING, option.label),
        )
        for option in question.columns
    )
    return format_html_join("\n", CELL, drawn)


def in_list(options: Iterable[Option], chosen: Collection[str]) -> SafeString:
    drawn = ((o.code, SELECTED if o.code in chosen else NOTHING, o.label) for o in options)
    return format_html_join("\n", IN_LIST, drawn)
