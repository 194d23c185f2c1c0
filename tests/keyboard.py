"""Somebody who has a keyboard and nothing else, and what a page must show them at every key."""

from typing import Any

from playwright.sync_api import Page

KEYS_A_PAGE = 400
"""More than any page takes: whoever needs them all is caught somewhere."""

HERE = """() => {
    const at = document.activeElement;
    const button = at.closest('button');
    const group = at.type === 'radio' || at.type === 'checkbox'
        ? [...document.querySelectorAll(`input[name="${CSS.escape(at.name)}"]`)] : [];
    const option = document.getElementById(at.dataset.otherFor ?? '');
    return {
        tag: at.tagName.toLowerCase(),
        kind: at.getAttribute('role') ?? at.type ?? '',
        name: at.name ?? '',
        value: at.value ?? '',
        numeric: at.inputMode || '',
        limit: at.maxLength ?? -1,
        chosen: group.filter((one) => one.checked).length,
        options: group.length,
        verb: button?.dataset.verb ?? '',
        isAsked: !at.readOnly && (option ? option.checked : !at.closest('[data-optional]')),
        isSending: Boolean(button?.matches('main form > .actions > .btn:first-child')),
        rated: at.closest('.vas')?.dataset.state ?? '',
        lost: at === document.body,
    };
}"""

# A ring counts on the control itself or on the label around it.
SEEN = r"""() => {
    const at = document.activeElement;
    if (at === document.body) return 'nothing has the focus';
    const around = [at, at.closest('label')].filter(Boolean);
    const hasRing = around.some((one) => {
        const style = getComputedStyle(one);
        const [, alpha] = style.outlineColor.match(/^rgba.*, ([\d.]+)\)$/) ?? [];
        return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2
            && alpha !== '0';
    });
    if (!hasRing) return 'no ring';
    const box = at.getClientRects()[0];
    if (!box) return 'no box';
    const [x, y] = [box.left + box.width / 2, box.top + Math.min(box.height, 40) / 2];
    if (x < 0 || y < 0 || x > innerWidth || y > innerHeight) return `out of sight at ${x}, ${y}`;
    const top = document.elementFromPoint(x, y);
    const isOurs = around.some((one) => one.contains(top) || top?.contains(one) && top === one);
    return isOurs ? '' : `under ${top?.outerHTML.slice(0, 120)}`;
}"""

# The first thing that a refused page complains of has the focus, and says why.
AT_FIRST_ERROR = """() => {
    const isShown = (one) => one.checkVisibility();
    const wrong = [...document.querySelectorAll(
        'main [id$="-error"], main .error, main .vas[data-missing]')].find(isShown);
    const at = document.activeElement;
    if (!wrong) return 'nothing is said to be wrong';
    const line = wrong.closest('.vas');
    if (line) return line.contains(at) ? '' : `not on the line, but on ${at.outerHTML}`;
    const said = `[aria-describedby~="${CSS.escape(wrong.id)}"]`;
    return at.closest(said) ? '' : `${wrong.outerHTML} is not said of ${at.outerHTML}`;
}"""


def press(page: Page, key: str) -> None:
    """A key of the page's own: it has them once it has its script."""
    page.wait_for_load_state()
    page.keyboard.press(key)


class Keyboard:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.unseen: list[str] = []
        """Where the focus could not be seen."""

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)

    def here(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate(HERE)
        trouble = self.page.evaluate(SEEN)
        if trouble:
            self.unseen.append(f"{self.page.url}: {found}: {trouble}")
        return found

    def tab(self) -> dict[str, Any]:
        self.press("Tab")
        return self.here()

    def to_button(self, *, answering: bool) -> None:
        """Go on, control by control, to the button that sends the page; answer on the way."""
        at = self.here() if answering and not self.page.evaluate(HERE)["lost"] else self.tab()
        for _key in range(KEYS_A_PAGE):
            if at["isSending"]:
                return
            if answering:
                self.answer(at)
            at = self.tab()
        raise AssertionError(f"no way to the button of {self.page.url}: {at}")

    def send(self) -> None:
        with self.page.expect_navigation():
            self.press("Enter")

    def answer(self, at: dict[str, Any]) -> None:
        kind, tag = at["kind"], at["tag"]
        if kind == "radio" and not at["chosen"]:
            self.press("Space", "ArrowDown", "ArrowUp")  # there and back: the arrows work
        elif kind == "checkbox" and at["chosen"] < min(2, at["options"]):
            if not at["name"].endswith(("_na", "_declined")):
                self.press("Space")
        elif kind == "combobox" and not at["value"]:
            self.press("ArrowDown", "ArrowDown", "Enter")
        elif tag == "select":
            if not at["value"]:
                self.press("ArrowDown")
        elif kind == "range" and at["rated"] == "unrated" and at["isAsked"]:
            self.press("ArrowRight", "PageUp")
        elif at["verb"] == "place":
            self.place()
        elif (tag == "textarea" or kind == "text") and at["isAsked"] and not at["value"]:
            self.page.keyboard.type(words_for(at))

    def place(self) -> None:
        """Put every item in its place: the focus goes on to the next one by itself."""
        for _item in range(KEYS_A_PAGE):
            self.press("Enter")
            if self.here()["verb"] != "place":
                return
        raise AssertionError("the order is never complete")


def words_for(at: dict[str, Any]) -> str:
    if not at["numeric"]:
        return "Kindness matters to me. I try to be fair."
    return {2: "3", 4: "2001"}.get(at["limit"], "7")
