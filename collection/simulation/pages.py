"""Reading a page as a browser would: its forms, their fields, its links, what it waits for."""

from dataclasses import dataclass, field
from functools import cached_property
from urllib.parse import urljoin, urlsplit

from bs4 import BeautifulSoup
from bs4.element import Tag

ENDS = ("done", "stopped", "declined", "screened")
"""Addresses at which there is nothing more to do."""


def attribute(tag: Tag, name: str, default: str = "") -> str:
    value = tag.get(name)
    return default if value is None else str(value)


@dataclass
class Field:
    """Everything under one name in a form.

    kind: hidden, text, textarea, range, select, radio, checkbox. options: what can be chosen;
    chosen: what is; exclusive: what goes with nothing else; limit: of characters; opened_by: the
    (name, option) that a text belongs to.
    """

    name: str
    kind: str
    value: str = ""
    options: list[str] = field(default_factory=list)
    chosen: list[str] = field(default_factory=list)
    exclusive: list[str] = field(default_factory=list)
    minimum: int = 0
    maximum: int = 100
    limit: int | None = None
    opened_by: tuple[str, str] | None = None


@dataclass
class Form:
    """A form with its fields in page order; `buttons` are those that send a (name, value)."""

    action: str
    method: str = "post"
    fields: dict[str, Field] = field(default_factory=dict)
    buttons: list[tuple[str, str]] = field(default_factory=list)
    rankings: list[list[str]] = field(default_factory=list)
    """The lists that give places to the items of a ranking, by name."""
    draft: str = ""
    """The name under which a half-filled form is kept, and where to send it."""
    draft_url: str = ""

    @property
    def purpose(self) -> str:
        """The last word of the address it is sent to: prompt, rate, finish, …"""
        return last_word(self.action)

    @property
    def turn(self) -> int | None:
        hidden = self.fields.get("turn")
        return int(hidden.value) if hidden else None

    def lines(self) -> list[Field]:
        """The measuring lines."""
        return [field for field in self.fields.values() if field.kind == "range"]

    def attempts(self) -> dict[str, int]:
        """Question -> which try at it this is; the page says so of comprehension checks."""
        return {
            name.removesuffix("_attempt"): int(field.value)
            for name, field in self.fields.items()
            if name.endswith("_attempt")
        }

    def own(self) -> list[Field]:
        """The fields that a person sees as such: not those that a script fills beside a line."""
        beside = {
            f"{line.name}_{part}" for line in self.lines() for part in ("rated", "na", "record")
        }
        return [field for name, field in self.fields.items() if name not in beside]


@dataclass
class Waiting:
    """A page that waits for replies: where to ask, and the longest wait it promises."""

    url: str
    limit_s: float


@dataclass
class Page:
    """One answer of the server, at the address that it was found under.

    around: the page that this is a new middle of, if it is one; its header is still seen.
    """

    url: str
    status: int
    text: str
    around: "Page | None" = None

    @cached_property
    def soup(self) -> BeautifulSoup:
        return BeautifulSoup(self.text, "html.parser")

    @cached_property
    def forms(self) -> list[Form]:
        """The forms that send something."""
        controls = self.soup.find_all(["input", "textarea", "select", "button"])
        forms = self.soup.find_all("form")
        owners = {attribute(form, "id"): form for form in forms if form.has_attr("id")}
        found = []
        for form in forms:
            own = [control for control in controls if owner(control, owners) is form]
            found.append(read_form(form, own, self.url))
        return [form for form in found if form.method == "post"]

    def form(self, purpose: str) -> Form | None:
        return next((form for form in self.forms if form.purpose == purpose), None)

    @property
    def end(self) -> str | None:
        """Which of the ends this is, if it is one."""
        word = last_word(self.url)
        return word if word in ENDS else None

    @property
    def language(self) -> str | None:
        """What the page says it is written in; None for a part of a page."""
        tag = self.soup.find("html")
        return attribute(tag, "lang") if isinstance(tag, Tag) else None

    def switch(self, language: str) -> tuple[str, Form] | None:
        """Where the button for a language sends its form, and this form."""
        button = self.soup.select_one(f".languages button[lang={language}]")
        form = self.form("language")
        return (
            (urljoin(self.url, attribute(button, "formaction")), form) if button and form else None
        )

    @property
    def heading(self) -> str:
        """What a person would say the page says."""
        for name in ("h1", "title"):
            tag = self.soup.find(name)
            if isinstance(tag, Tag):
                return tag.get_text(" ", strip=True)
        return self.text[:200]

    @property
    def errors(self) -> list[str]:
        """What the page says is missing or wrong."""
        found = self.soup.select(".error, .notice.bad")
        return [tag.get_text(" ", strip=True) for tag in found]

    @property
    def eyebrow(self) -> str:
        """The word above the heading: on an opening page, the type of conversation."""
        tag = self.soup.select_one(".eyebrow")
        return tag.get_text(" ", strip=True).lower() if tag else ""

    @property
    def given_words(self) -> str:
        """The message that the study gives, on a page without a field for one's own."""
        tag = self.soup.select_one("form .talk .you div")
        return tag.get_text() if tag else ""

    def link(self, word: str) -> str | None:
        """The address of the first link whose path ends in a word."""
        for tag in self.soup.find_all("a", href=True):
            url = urljoin(self.url, attribute(tag, "href"))
            if last_word(url) == word and not attribute(tag, "href").startswith("#"):
                return url
        return self.around.link(word) if self.around else None

    @property
    def waiting(self) -> Waiting | None:
        tag = self.soup.find(id="waiting")
        if not isinstance(tag, Tag):
            return None
        url = urljoin(self.url, attribute(tag, "hx-get"))
        return Waiting(url, float(attribute(tag, "data-max", "30")))


def last_word(url: str) -> str:
    return urlsplit(url).path.rstrip("/").rpartition("/")[2]


def owner(control: Tag, by_id: dict[str, Tag]) -> Tag | None:
    """The form that a control belongs to: the one it names, else the one it stands in."""
    named = attribute(control, "form")
    return by_id.get(named) if named else control.find_parent("form")


def read_form(tag: Tag, controls: list[Tag], url: str) -> Form:
    form = Form(
        action=urljoin(url, attribute(tag, "action", url) or url),
        method=attribute(tag, "method", "get").lower(),
        draft=attribute(tag, "data-draft"),
        draft_url=urljoin(url, attribute(tag, "data-draft-url")),
    )
    by_id: dict[str, tuple[str, str]] = {}
    for control in controls:
        name = attribute(control, "name")
        if control.name == "button":
            if name and attribute(control, "type", "submit") == "submit":
                form.buttons.append((name, attribute(control, "value")))
        elif name and not control.has_attr("disabled"):
            read_control(form, control, name)
            by_id[attribute(control, "id")] = (name, attribute(control, "value", "on"))
    for ranking in tag.select("[data-ranking]"):
        form.rankings.append([attribute(one, "name") for one in ranking.find_all("select")])
    for control in controls:
        own_text = form.fields.get(attribute(control, "name"))
        if own_text and control.has_attr("data-other-for"):
            own_text.opened_by = by_id.get(attribute(control, "data-other-for"))
    return form


def read_control(form: Form, control: Tag, name: str) -> None:
    kind = attribute(control, "type", "text") if control.name == "input" else control.name
    known = form.fields.setdefault(name, Field(name, kind))
    if kind in ("radio", "checkbox"):
        value = attribute(control, "value", "on")
        known.options.append(value)
        if control.has_attr("data-exclusive"):
            known.exclusive.append(value)
        if control.has_attr("checked"):
            known.chosen.append(value)
    elif kind == "select":
        for option in control.find_all("option"):
            value = attribute(option, "value", option.get_text(strip=True))
            known.options.append(value)
            if option.has_attr("selected"):
                known.chosen.append(value)
    elif kind == "textarea":
        # A browser drops the line break that follows the tag.
        known.value = control.get_text().removeprefix("\n")
    else:
        known.value = attribute(control, "value")
    if control.has_attr("maxlength"):
        known.limit = int(attribute(control, "maxlength"))
    if kind == "range":
        known.minimum = int(attribute(control, "min", "0"))
        known.maximum = int(attribute(control, "max", "100"))
