"""A waiting page in Chromium: how it hears of the replies, and what it does meanwhile."""

from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from django.template.loader import render_to_string
from playwright.sync_api import Page, Route, WebSocketRoute, expect

from tests.static_site import Site, serving

ARRIVED = """<title>Rate the replies | Refract</title><div class="page">
<h1 id="heading" tabindex="-1">Rate the replies</h1>
<p class="sr" role="status">Four replies have arrived.</p></div>"""
COUNTS = """
    window.swaps = window.underWay = window.lost = 0;
    document.addEventListener('htmx:afterSwap', () => { window.swaps += 1; });
    document.addEventListener('htmx:beforeSend', () => { window.underWay += 1; });
    document.addEventListener('htmx:afterRequest', () => { window.underWay -= 1; });
    window.WebSocket = class extends WebSocket {
        constructor(url) {
            super(url);
            window.underWay += 1;
            const answered = new AbortController();
            for (const event of ['open', 'close']) this.addEventListener(event, () => {
                window.underWay -= 1;
                answered.abort();
            }, { signal: answered.signal });
            this.addEventListener('close', () => { window.lost += 1; });
        }
    };
"""
"""Of the page: contents swapped, requests and sockets without an answer yet, sockets closed."""
HIDE = """isHidden => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => isHidden });
    document.dispatchEvent(new Event('visibilitychange'));
}"""


LISTENS_WITHIN_MS = 500
A_MOMENT_MS = 50
LOOKS = 100


class Server:
    """Answers what the page asks: nothing yet, until told otherwise."""

    def __init__(self, page: Page) -> None:
        self.asked = 0
        self.status = 204
        self.body = ""
        self.headers: dict[str, str] = {}
        self.held: list[Route] = []
        self.holds = False
        self.sockets: list[WebSocketRoute] = []
        page.route("**/live/", self.answer)
        self.has_sockets = True
        page.route_web_socket("**/socket/", self.open)

    def open(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        if not self.has_sockets:
            socket.close()

    def answer(self, route: Route) -> None:
        self.asked += 1
        if self.holds:
            self.held.append(route)
        else:
            self.fulfil(route)

    def fulfil(self, route: Route) -> None:
        route.fulfill(
            status=self.status, body=self.body, headers=self.headers, content_type="text/html"
        )

    def arrive(self, body: str = ARRIVED) -> None:
        self.status, self.body, self.headers = 200, body, {}


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site


def wait(page: Page, site: Site, waited: int = 3) -> Server:
    """Open a waiting page. Time passes only in run_for."""
    server = Server(page)
    study = SimpleNamespace(slug="prism", contact_email="ada@example.org")
    context = {
        "base": "base.html",
        "study": study,
        "participant": SimpleNamespace(pk=7, consent=True, protocol=SimpleNamespace(paste="")),
        "conversation": SimpleNamespace(number=1),
        "interaction": SimpleNamespace(user_prompt="Is soup a drink?"),
        "type": SimpleNamespace(label="Unguided"),
        "limit_s": 30,
        "waited_s": waited,
    }
    site.pages["/"] = render_to_string("collection/waiting.html", context)
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.add_init_script(COUNTS)
    page.goto(site.url)
    page.wait_for_function("window.htmx")
    run(page, 10)  # htmx says that it is there
    assert not server.sockets
    run(page, LISTENS_WITHIN_MS)
    assert len(server.sockets) == 1
    return server


def run(page: Page, ms: int, held: int = 0) -> None:
    """Let time pass in steps, with room for what the network does. held: requests, by the test."""
    while ms > 0:
        page.clock.run_for(min(ms, 500))
        ms -= 500
        page.wait_for_function("held => window.underWay <= held", arg=held)


def without_socket(page: Page, server: Server) -> None:
    """The one there is is lost, and no other can be had."""
    server.has_sockets = False
    server.sockets[0].close()
    page.wait_for_function("window.lost")


def asked(page: Page, server: Server, times: int) -> None:
    """It is about to have asked so often, and not more often."""
    for _look in range(LOOKS):
        if server.asked >= times:
            break
        page.wait_for_timeout(A_MOMENT_MS)
    page.wait_for_timeout(A_MOMENT_MS)
    assert server.asked == times


def heading(page: Page, text: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(text)


def test_it_works(page: Page, site: Site) -> None:
    """The socket says so; the replies are fetched once, and reading goes on at the heading."""
    server = wait(page, site)
    heading(page, "The models are writing.")
    server.arrive()
    server.sockets[0].send("settled")
    heading(page, "Rate the replies")
    run(page, 100)
    expect(page.get_by_role("heading", level=1)).to_be_focused()
    expect(page).to_have_title("Rate the replies | Refract")
    expect(page.locator("#spoken")).to_have_text("Four replies have arrived.")
    expect(page.locator("main [role=status]")).to_have_count(0)
    run(page, 40_000)
    assert (server.asked, len(server.sockets), page.evaluate("swaps")) == (1, 1, 1)


def test_without_a_socket_it_asks(page: Page, site: Site) -> None:
    server = wait(page, site)
    without_socket(page, server)
    run(page, 10_000)
    assert 3 <= server.asked <= 7
    server.arrive()
    run(page, 3000)
    heading(page, "Rate the replies")
    assert page.evaluate("swaps") == 1


def test_beside_a_socket_it_asks_seldom(page: Page, site: Site) -> None:
    server = wait(page, site)
    run(page, 7000)
    assert server.asked == 0
    run(page, 25_000)
    assert 2 <= server.asked <= 4


def test_a_socket_that_died_unnoticed(page: Page, site: Site) -> None:
    server = wait(page, site)
    server.arrive()
    run(page, 13_000)
    heading(page, "Rate the replies")


def test_a_lost_socket_is_opened_again_ever_more_slowly(page: Page, site: Site) -> None:
    server = wait(page, site)
    without_socket(page, server)
    run(page, 5000)
    assert 3 <= len(server.sockets) <= 5
    run(page, 57_000)
    assert 6 <= len(server.sockets) <= 8
    server.has_sockets = True
    run(page, 40_000)
    before = server.asked
    run(page, 7000)
    assert server.asked <= before + 1  # beside a socket again


def test_a_server_in_trouble_is_asked_ever_less(page: Page, site: Site) -> None:
    server = wait(page, site)
    without_socket(page, server)
    server.status = 503
    run(page, 3000)
    expect(page.locator("#away")).to_be_visible()
    run(page, 60_000)
    assert 3 <= server.asked <= 8
    server.status = 204
    run(page, 40_000)
    expect(page.locator("#away")).to_be_hidden()
    before = server.asked
    run(page, 10_000)
    assert 3 <= server.asked - before <= 7
    server.arrive()
    run(page, 3000)
    heading(page, "Rate the replies")


def test_a_server_may_say_when_to_ask_again(page: Page, site: Site) -> None:
    server = wait(page, site)
    without_socket(page, server)
    server.status, server.headers = 429, {"Retry-After": "20"}
    run(page, 3000)
    assert server.asked == 1
    server.arrive()
    run(page, 16_000)
    assert server.asked == 1
    run(page, 6000)
    heading(page, "Rate the replies")


def test_one_question_at_a_time_and_none_forgotten(page: Page, site: Site) -> None:
    """Told while it asks, it asks again: the answer under way may be from before."""
    server = wait(page, site)
    server.holds = True
    for _time in range(3):
        server.sockets[0].send("settled")
    asked(page, server, 1)
    server.holds = False
    server.fulfil(server.held[0])  # nothing yet
    asked(page, server, 2)
    server.arrive()
    server.holds = True
    server.sockets[0].send("settled")
    asked(page, server, 3)
    server.sockets[0].send("settled")
    run(page, 15_000, held=1)
    assert len(server.held) == 2
    server.fulfil(server.held[1])
    heading(page, "Rate the replies")
    run(page, 15_000)
    assert (server.asked, page.evaluate("swaps")) == (3, 1)


def test_a_hidden_tab_waits_for_its_reader(page: Page, site: Site) -> None:
    server = wait(page, site)
    without_socket(page, server)
    page.evaluate(HIDE, arg=True)
    run(page, 2600)  # the question already due
    before = server.asked
    run(page, 20_000)
    assert server.asked == before
    page.evaluate(HIDE, arg=False)
    asked(page, server, before + 1)


def test_a_hidden_tab_hears_the_socket(page: Page, site: Site) -> None:
    server = wait(page, site)
    page.evaluate(HIDE, arg=True)
    server.arrive()
    server.sockets[0].send("settled")
    run(page, 100)
    expect(page).to_have_title("Rate the replies | Refract")


def test_the_wait_is_told_in_fives(page: Page, site: Site) -> None:
    wait(page, site)
    told = page.locator("#elapsed")
    run(page, 1000)
    expect(told).to_be_empty()
    run(page, 1500)
    expect(told).to_have_text("5 seconds so far")
    run(page, 3500)
    expect(told).to_have_text("5 seconds so far")
    expect(page.locator("#waited")).to_have_js_property("value", 9)
    run(page, 21_000)
    expect(told).to_have_text("30 seconds so far")


def test_a_wait_beyond_its_limit_says_why(page: Page, site: Site) -> None:
    """Work that a server left half done is taken up by another, and its time starts afresh."""
    wait(page, site, waited=30)
    told = page.locator("#elapsed")
    expect(told).to_have_text("30 seconds so far")
    run(page, 4000)
    expect(told).to_contain_text("may have been interrupted")
    expect(told).to_contain_text("30 seconds more at most")


def test_a_lost_connection_is_told_and_recovers(page: Page, site: Site) -> None:
    server = wait(page, site)
    without_socket(page, server)
    expect(page.locator("#lost")).to_be_hidden()
    page.context.set_offline(True)
    expect(page.locator("#lost")).to_be_visible()
    run(page, 5000)
    expect(page.locator("#lost")).to_be_visible()
    expect(page.locator("#away")).to_be_hidden()
    server.arrive()
    page.context.set_offline(False)
    heading(page, "Rate the replies")


def test_a_whole_page_is_gone_to(page: Page, site: Site) -> None:
    """A stranger now: the answer is the front door, which does not belong into this page."""
    server = wait(page, site)
    server.arrive("<!doctype html><title>Door</title><h1>Welcome</h1>")
    server.sockets[0].send("settled")
    page.wait_for_url("**/live/")
    heading(page, "Welcome")
    expect(page.locator("header")).to_have_count(0)


def test_without_htmx_the_page_looks_anew(page: Page, site: Site) -> None:
    page.route("**/htmx*.js", lambda route: route.abort())
    server = Server(page)
    site.pages["/"] = (
        '<!doctype html><script src="/static/refract/page.js" defer></script><div id="waiting"'
        ' data-max="30" data-words="" data-late=""><progress max="30" value="0"></progress></div>'
    )
    page.goto(site.url)
    site.pages["/"] = "<!doctype html><h1>Rate the replies</h1>"
    heading(page, "Rate the replies")
    assert server.asked == 0
