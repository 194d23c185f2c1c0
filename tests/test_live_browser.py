"""A conversation in Chromium against a real server: nothing is lost, whatever fails meanwhile."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, Request, Route, WebSocketRoute, expect

from tests.conftest import AT_ONCE, Run, running
from tests.model_server import TEXTS, ModelServer
from tests.servers import Refract, Template

SOON_MS = 60_000  # on a busy machine; the models have 30 s
SET_UP = """
import json
from django.utils import timezone
from collection.models import ModelEndpoint
from surveys import enrolment
from surveys.models import Participant, Study
from surveys.protocol import PRESETS

study = Study.objects.get(slug="prism")
study.protocol_json = PRESETS["prism"].model_dump(mode="json") | PROTOCOL
study.save()
study.endpoints.clear()
for number, behaviour in enumerate(BEHAVIOURS, start=ModelEndpoint.objects.count()):
    study.endpoints.create(
        long_name=f"vendor/model-{number}", short_name=f"model-{number}",
        model_provider_type="Open Access", model_type="Chat",
        litellm_model=f"openai/{behaviour}", api_base=MODELS,
    )
person = enrolment.arrive(study, {}, None)
enrolment.show_consent(person)
enrolment.consent(person)
now = timezone.now()
Participant.objects.filter(pk=person.pk).update(survey_finished_at=now, instructed_at=now)
print(json.dumps(f"/s/prism/p/{person.key}/"))
"""
WORD = "W" * 50_000
HOSTILE = (
    '<script>document.title = "no"</script><img src="//a.example/x.png" onerror="document.title=1">'
    "\n\u202eturned \u2067and turned\n[x](javascript:alert(1)) ![y](https://a.example/y.png)"
)


@pytest.fixture(scope="module")
def models() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


@pytest.fixture(scope="module")
def refract(
    embedded_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Refract]:
    with running(embedded_template, tmp_path_factory.mktemp("live")) as run:
        yield run(AT_ONCE)


def someone(
    refract: Refract,
    models: ModelServer,
    *behaviours: str,
    protocol: dict[str, object] = {},  # noqa: B006
) -> str:
    """A new person's link, at the hub; from now on the study's models are these."""
    names = f"MODELS, BEHAVIOURS, PROTOCOL = {models.url!r}, {behaviours!r}, {protocol!r}\n"
    printed = refract.manage("shell", "-v0", "-c", names + SET_UP)
    return refract.url + str(json.loads(printed.strip().splitlines()[-1]))


def start(page: Page, link: str) -> None:
    page.goto(link)
    page.get_by_role("button", name="Start").first.click()
    expect(page.get_by_label("Your first message")).to_be_visible()
    page.wait_for_load_state()  # before its scripts are there, a form is sent as by a plain page


def send(page: Page, text: str) -> None:
    page.locator("#prompt").fill(text)
    page.get_by_role("button", name="Send").click()


def heading(page: Page, text: str) -> None:
    expect(page.locator("#heading")).to_have_text(text, timeout=SOON_MS)


def arrived(page: Page, replies: int = 4) -> None:
    expect(page.locator(".replies > .reply")).to_have_count(replies, timeout=SOON_MS)


def rate(page: Page) -> None:
    for line in page.locator(".vas input[type=range]").all():
        line.press("ArrowRight")
    page.locator("#rating button.btn:not(.plain)").click()


def count_loads(page: Page) -> list[str]:
    """Pages that are asked for from now on."""
    loads: list[str] = []

    def note(request: Request) -> None:
        if request.is_navigation_request():
            loads.append(request.url)

    page.on("request", note)
    return loads


def test_it_works(page: Page, refract: Refract, models: ModelServer) -> None:
    """A whole conversation on one page, by keyboard, with the focus where reading goes on."""
    frames: list[str | bytes] = []
    page.on(
        "websocket", lambda socket: socket.on("framereceived", lambda frame: frames.append(frame))
    )
    start(page, someone(refract, models, *["delay-0.5"] * 4))
    here = page.url
    loads = count_loads(page)
    page.locator("#prompt").press_sequentially("Is soup a drink?")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    heading(page, "The models are writing.")
    expect(page.locator("#heading")).to_be_focused()
    expect(page).to_have_title("The models are writing | Refract")
    arrived(page)
    expect(page.locator("#heading")).to_be_focused()
    expect(page.locator("#spoken")).to_have_text("Four replies have arrived.")
    bar = page.locator(".bar").inner_html()
    with page.expect_request("**/rate/") as sent:
        rate(page)
    assert "layout=2%2C1280%2C720" in (sent.value.post_data or "")
    expect(page.get_by_label("Your next message")).to_be_visible()
    assert page.locator(".bar").inner_html() != bar  # the header goes along
    send(page, "Why?")
    arrived(page, 2)
    rate(page)
    page.get_by_role("button", name="Finish").click()
    heading(page, "Feedback on this conversation")
    expect(page.locator("#heading")).to_be_focused()
    expect(page.locator(".where")).to_contain_text("feedback")
    assert (page.url, loads) == (here, [])
    assert set(frames) == {"settled"}
    page.go_back()
    expect(page).to_have_url(here)  # whoever is under way is led back
    heading(page, "Feedback on this conversation")
    assert (
        page.evaluate("Object.keys(localStorage).filter((key) => key.startsWith('refract/'))") == []
    )


def test_a_refusal_keeps_the_words_and_has_the_focus(
    page: Page, refract: Refract, models: ModelServer
) -> None:
    start(page, someone(refract, models, *["ok"] * 4))
    loads = count_loads(page)
    send(page, "   ")
    expect(page.locator("#prompt-error")).to_have_text("Please write a message before you send it.")
    expect(page.locator("#prompt")).to_be_focused()
    page.locator("#prompt").evaluate("(area) => { area.removeAttribute('maxlength'); }")
    send(page, "s" * 4001)
    expect(page.locator("#prompt-error")).to_contain_text("1 character too long")
    expect(page.locator("#prompt")).to_have_value("s" * 4001)
    page.locator("#prompt").evaluate("(area) => { area.value = 'a\\0b'; }")
    page.get_by_role("button", name="Send").click()
    expect(page.locator("#prompt-error")).to_contain_text("a character that cannot be saved")
    with page.expect_response("**/draft/"):
        pass
    page.reload()
    expect(page.locator("#prompt")).to_have_value("ab")
    send(page, "Is soup a drink?")
    arrived(page)
    assert len(loads) == 1


def test_nothing_is_sent_twice(page: Page, refract: Refract, models: ModelServer) -> None:
    start(page, someone(refract, models, *["delay-1"] * 4))
    page.locator("#prompt").fill("Is soup a drink?")
    posts: list[str] = []

    def note(request: Request) -> None:
        if request.url.endswith("/prompt/"):
            posts.append(request.method)

    page.on("request", note)
    page.get_by_role("button", name="Send").dblclick()
    arrived(page)
    assert posts == ["POST"]


def test_a_server_that_is_killed_while_a_page_waits(
    page: Page, run_embedded: Run, models: ModelServer
) -> None:
    """The page sees it through by itself, and the other process asks what was lost."""
    refract = run_embedded(AT_ONCE)
    start(page, someone(refract, models, *["delay-3"] * 4))
    loads = count_loads(page)
    send(page, "Is soup a drink?")
    heading(page, "The models are writing.")
    refract.kill9()
    expect(page.locator("#away")).to_be_visible(timeout=SOON_MS)
    refract.start()
    expect(page.locator(".replies > .reply")).to_have_count(4, timeout=SOON_MS)
    assert loads == []


def test_a_server_that_is_away_when_a_message_is_sent(
    page: Page, run_embedded: Run, models: ModelServer
) -> None:
    refract = run_embedded(AT_ONCE)
    start(page, someone(refract, models, *["ok"] * 4))
    refract.kill9()
    send(page, "Is soup a drink?")
    expect(page.locator("#trouble")).to_contain_text("This could not be sent just now.")
    expect(page.locator("#prompt")).to_have_value("Is soup a drink?")
    refract.start()
    page.get_by_role("button", name="Send").click()
    arrived(page)
    expect(page.locator("#trouble")).to_be_empty()
    expect(page.locator(".you")).to_contain_text("Is soup a drink?")


def test_without_sockets(page: Page, refract: Refract, models: ModelServer) -> None:
    page.route_web_socket("**/socket/", lambda socket: socket.close())
    start(page, someone(refract, models, *["delay-1"] * 4))
    loads = count_loads(page)
    send(page, "Is soup a drink?")
    heading(page, "The models are writing.")
    arrived(page)
    assert loads == []


def test_with_the_socket_alone(page: Page, refract: Refract, models: ModelServer) -> None:
    """No poll is needed: what the page asks before it is told goes nowhere."""
    told: list[str | bytes] = []
    asked: list[str] = []

    def relay(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def hear(message: str | bytes) -> None:
            told.append(message)
            socket.send(message)

        server.on_message(hear)

    def answer(route: Route) -> None:
        asked.append("told" if told else "untold")
        if told:
            route.continue_()
        else:
            route.abort()

    page.route_web_socket("**/socket/", relay)
    page.route("**/live/", answer)
    start(page, someone(refract, models, *["delay-3"] * 4))
    send(page, "Is soup a drink?")
    arrived(page)
    assert asked.count("told") == 1


def test_without_a_script(browser: Browser, refract: Refract, models: ModelServer) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    start(page, someone(refract, models, *["delay-1"] * 4))
    send(page, " ")
    expect(page.locator("#prompt-error")).to_be_visible()
    send(page, "Is soup a drink?")
    arrived(page)
    context.close()


@pytest.mark.parametrize("markup", ["plain", "markdown"])
@pytest.mark.parametrize("width", [360, 1280])
def test_whatever_is_said_stays_in_its_place(
    page: Page, refract: Refract, models: ModelServer, markup: str, width: int
) -> None:
    """A long word, a megabyte, scripts, letters that turn the line, a wide table, deep quotes."""
    said = {
        "word": WORD,
        "megabyte": "soup of the day, " * 60_000,
        "hostile": HOSTILE,
        "table": f"|{'wide column|' * 20}\n|{'---|' * 20}\n|{'cell|' * 20}\n\n{'> ' * 15}deep"
        f"\n\n    {'code' * 200}\n\nZ{chr(0x300) * 300}",
    }
    for name, text in said.items():
        TEXTS[f"said-{name}"] = (text, "stop")
    requested: list[str] = []
    page.on("request", lambda request: requested.append(request.url))
    page.set_viewport_size({"width": width, "height": 800})
    behaviours = [f"said-{name}" for name in said]
    start(page, someone(refract, models, *behaviours, protocol={"markup": markup}))
    send(page, HOSTILE)
    arrived(page)
    assert page.title() == "Rate the replies | Refract"
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.locator(".talk script, .prose script, .prose img, .prose a, .talk img").count() == 0
    for card in page.locator(".reply").all():
        box = card.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= width
        expect(card.get_by_role("heading", level=2)).to_have_css("direction", "ltr")
    assert not [url for url in requested if "a.example" in url]
    shown = page.locator(".reply").filter(has_text="turned").locator(".prose").inner_text()
    assert '<script>document.title = "no"</script>' in shown
    expect(page.locator(".you .plain")).to_have_text(HOSTILE, use_inner_text=False)
