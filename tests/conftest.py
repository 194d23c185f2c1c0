"""Fixtures that start what a test needs, and the rule that nothing leaves this machine."""

import ipaddress
import socket
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from channels.layers import channel_layers
from playwright.sync_api import Browser, Page, sync_playwright

import config.urls  # noqa: F401  # finds the desk's pages, which some tests ask admin.site for
from tests import needs
from tests.servers import Refract, Template

pytest_plugins = ["tests.cast"]

# The same examples each time: a red run can be repeated. `--hypothesis-profile=default` looks on.
hypothesis.settings.register_profile("repeatable", derandomize=True, database=None, deadline=None)
hypothesis.settings.load_profile("repeatable")

STARTS_SERVERS = {"embedded", "full_stack", "stack", "run_embedded", "run_full_stack"}
AT_ONCE = {"REFRACT_DEMO_LATENCY": "0"}
DRIVES_CHROMIUM = {"browser"}
Run = Callable[..., Refract]
"""run(env={...}, processes=1): starts a Refract with a fresh copy of the demo study."""


@pytest.hookimpl(tryfirst=True)  # before -m selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what starts servers or Chromium, and leave Chromium to the end.

    While Playwright runs, an event loop runs in this thread, and Django's ORM and async_to_sync
    refuse to work there.
    """
    for item in items:
        fixtures = set(getattr(item, "fixturenames", ()))
        if fixtures & STARTS_SERVERS:
            item.add_marker("servers")
        if fixtures & DRIVES_CHROMIUM:
            item.add_marker("browser")
    items.sort(key=lambda item: item.get_closest_marker("browser") is not None)


def is_loopback(address: Any) -> bool:
    """Whether a socket address stays on this machine. Unix sockets, whose address is text, do."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host in ("", "localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@pytest.fixture(scope="session", autouse=True)
def only_loopback() -> Iterator[None]:
    """No test reaches beyond this machine: neither by connecting nor by asking for a name."""

    def guard(name: str) -> Callable[..., Any]:
        original = getattr(socket.socket, name)

        def guarded(self: socket.socket, address: Any) -> Any:
            if not is_loopback(address):
                raise RuntimeError(f"a test tried to reach {address}")
            return original(self, address)

        return guarded

    look_up = socket.getaddrinfo

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not is_loopback((name,)):
            raise RuntimeError(f"a test tried to look up {name}")
        return look_up(host, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        for name in ("connect", "connect_ex"):
            patch.setattr(socket.socket, name, guard(name))
        patch.setattr(socket, "getaddrinfo", guarded_look_up)
        yield


@pytest.fixture(autouse=True)
def own_channel_layer() -> Iterator[None]:
    """A layer on Redis has locks of the event loop that used them first, and every test has a loop
    of its own."""
    yield
    channel_layers.backends.clear()


@pytest.fixture(scope="session")
def embedded_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("embedded"), full=False)


@pytest.fixture(scope="session")
def full_template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    return Template(tmp_path_factory.mktemp("full"), full=True)


_live: list[Refract] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Put what the servers wrote under a test that failed."""
    report = yield
    if report.failed:
        report.sections += [(f"log of {refract.url}", refract.log) for refract in _live]
    return report


@contextmanager
def running(template: Template, folder: Path) -> Iterator[Run]:
    """What starts copies of a template; all that it started has stopped in the end."""
    started: list[Refract] = []

    def run(env: Mapping[str, str] | None = None, processes: int = 1) -> Refract:
        refract = template.copy(folder / f"data{len(started)}", env or {}, processes)
        started.append(refract)
        _live.append(refract)
        refract.start()
        return refract

    try:
        yield run
    finally:
        for refract in started:
            refract.stop()
            _live.remove(refract)


@pytest.fixture
def run_embedded(embedded_template: Template, tmp_path: Path) -> Iterator[Run]:
    """Starts an embedded Refract of the test's own, with settings of its own."""
    with running(embedded_template, tmp_path) as run:
        yield run


@pytest.fixture
def run_full_stack(full_template: Template, tmp_path: Path) -> Iterator[Run]:
    """The same on Postgres and Redis."""
    with running(full_template, tmp_path) as run:
        yield run


@pytest.fixture(scope="module")
def embedded(
    embedded_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Refract]:
    """A running Refract on SQLite with the study `prism`; one per module."""
    with running(embedded_template, tmp_path_factory.mktemp("run")) as run:
        yield run(AT_ONCE)


@pytest.fixture(scope="module")
def full_stack(
    full_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Refract]:
    """A running Refract on Postgres and Redis, two processes, with the study `prism`."""
    with running(full_template, tmp_path_factory.mktemp("run")) as run:
        yield run(AT_ONCE, processes=2)


@pytest.fixture(scope="module", params=["embedded", "full"])
def stack(request: pytest.FixtureRequest) -> Refract:
    """Each of the two ways to run, one after the other."""
    name = "embedded" if request.param == "embedded" else "full_stack"
    refract: Refract = request.getfixturevalue(name)
    return refract


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """The system's Chromium, without a window and without calls of its own to anywhere."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=needs.chromium(),
            args=[
                "--no-sandbox",  # Chromium's sandbox refuses root
                "--disable-gpu",
                "--disable-quic",
                "--no-first-run",
                "--disable-background-networking",
                "--disable-component-update",
                "--disable-sync",
            ],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own. The test fails if a script on it does."""
    errors: list[str] = []
    context = browser.new_context(locale="en-GB")
    page = context.new_page()
    page.on("pageerror", lambda error: errors.append(str(error)))
    yield page
    context.close()
    assert errors == []
