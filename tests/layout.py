"""What must hold of a page at any width: nothing sideways, cut off or covered."""

from playwright.sync_api import Page

WIDTHS = (320, 360, 640, 768, 1280, 1920)
"""CSS pixels: WCAG's reflow, a small phone, 1280 at 200 %, a tablet, and two desktops."""
HEIGHT = 800

# Each control can be reached: inside the window, and itself what is found at its middle. Each
# text is inside the window and not under another. Scrolled to first, clear of the header.
TROUBLES = r"""() => {
    const found = [];
    const short = (one) => one.outerHTML.replace(/\s+/g, ' ').slice(0, 160);
    const LONGEST_UNBROKEN = 12; // letters: a longer word may need two lines on a phone
    const root = document.documentElement;
    const tooWide = root.scrollWidth - innerWidth;
    if (tooWide > 0) found.push(`scrolls sideways by ${tooWide}`);

    const isShown = (one) => !one.closest('.sr, .skip, .toast, [hidden]')
        && one.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    const names = (one) => [one, ...(one.labels ?? []), one.closest('label')].filter(Boolean);
    const isRelated = (one, top) => one.contains(top) || top.contains(one);

    function check(one, box, isOurs, what) {
        if (box.left < -0.5 || box.right > innerWidth + 0.5) {
            found.push(`${what} beyond the edge: ${short(one)}`);
            return;
        }
        const x = box.left + box.width / 2;
        const y = box.top + box.height / 2;
        if (y < 0 || y > innerHeight) return;
        const top = document.elementFromPoint(x, y);
        if (top && isOurs(top)) return;
        found.push(`${what} covered: ${short(one)} by ${top && short(top)}`);
    }

    const controls = 'a[href], button, input:not([type=hidden]), select, textarea, summary';
    for (const one of document.querySelectorAll(controls)) {
        if (!isShown(one)) continue;
        one.scrollIntoView({ block: 'center' });
        const own = names(one);
        const isOurs = (top) => own.some((name) => name.contains(top));
        check(one, one.getClientRects()[0], isOurs, 'control');
    }

    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let text = walker.nextNode(); text; text = walker.nextNode()) {
        const one = text.parentElement;
        if (!text.data.trim() || one.closest('script, style, template, select')) continue;
        if (!isShown(one)) continue;
        const range = document.createRange();
        range.selectNodeContents(text);
        one.scrollIntoView({ block: 'center' });
        const [box] = [...range.getClientRects()].filter((rect) => rect.width > 1);
        if (box) check(one, box, (top) => isRelated(one, top), 'text');
        for (const word of text.data.matchAll(/[\p{Script=Latin}\d]+/gu)) {
            if (word[0].length > LONGEST_UNBROKEN) continue;
            range.setStart(text, word.index);
            range.setEnd(text, word.index + word[0].length);
            const lines = new Set([...range.getClientRects()].map((rect) => Math.round(rect.top)));
            if (lines.size > 1) found.push(`word broken: ${word[0]} in ${short(one)}`);
        }
    }

    // Lines of text that a box cuts off; a field of one line may hold more than it shows.
    for (const one of document.querySelectorAll('body *')) {
        const style = getComputedStyle(one);
        if (one.matches('input, textarea, select, .sr, .sr *') || !isShown(one)) continue;
        const isCut = style.overflowX !== 'visible' && one.scrollWidth > one.clientWidth + 1;
        if (isCut && one.clientWidth) found.push(`cut off: ${short(one)}`);
    }
    scrollTo(0, 0);
    return found;
}"""


class Tape:
    """Measures every stop of a tour at every width."""

    def __init__(self, page: Page, *widths: int) -> None:
        self.page = page
        self.widths = widths
        self.found: list[str] = []

    def look(self, stop: str) -> None:
        own = self.page.viewport_size
        assert own
        for width in self.widths:
            self.page.set_viewport_size({"width": width, "height": HEIGHT})
            troubles = self.page.evaluate(TROUBLES)
            self.found += [f"{stop} at {width}: {trouble}" for trouble in troubles]
        self.page.set_viewport_size(own)
