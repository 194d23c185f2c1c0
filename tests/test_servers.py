"""The servers that other tests stand on, and what is promised about starting one."""

import time

import httpx
import pytest
from playwright.sync_api import Page

from tests.conftest import Run
from tests.servers import Refract

FIRST_PAGE_WITHIN_S = 60.0


def get(url: str) -> int:
    return httpx.get(url, timeout=10).status_code


def in_shell(refract: Refract, code: str) -> str:
    return refract.manage("shell", "--verbosity", "0", "--command", code).strip()


def test_it_works(stack: Refract) -> None:
    assert [get(url) for url in stack.urls] == [200] * len(stack.urls)
    assert get(f"{stack.url}/s/prism/") == 302
    assert get(f"{stack.url}/admin/login/") == 200
    assert get(f"{stack.url}/s/no-such-study/") == 404


def test_embedded_runs_on_sqlite(embedded: Refract) -> None:
    code = "from django.db import connection as c; print(c.vendor)"
    assert in_shell(embedded, code) == "sqlite"


def test_full_stack_runs_on_postgres(full_stack: Refract) -> None:
    code = "from django.db import connection as c; print(c.vendor)"
    assert in_shell(full_stack, code) == "postgresql"


def test_the_printed_password_opens_the_desk(stack: Refract) -> None:
    code = (
        "from django.contrib.auth import authenticate;"
        f"print(authenticate(username='researcher', password={stack.password!r}))"
    )
    assert in_shell(stack, code) == "researcher"


def test_demo_a_second_time_keeps_what_there_is(embedded: Refract) -> None:
    assert "password" not in embedded.manage("demo")
    code = "from surveys.models import Study as S; print(*S.objects.values_list('slug', flat=True))"
    assert in_shell(embedded, code) == "prism values"


def test_each_run_has_data_of_its_own(run_embedded: Run) -> None:
    first, second = run_embedded(), run_embedded()
    in_shell(first, "from surveys.models import Study as S; S.objects.update(title='Changed')")
    code = "from surveys.models import Study as S; print(S.objects.first().title)"
    assert in_shell(first, code) == "Changed"
    assert in_shell(second, code) != "Changed"


@pytest.mark.parametrize("end", ["stop", "kill9"])
def test_it_comes_back_at_the_same_address(run_embedded: Run, end: str) -> None:
    refract = run_embedded()
    getattr(refract, end)()
    with pytest.raises(httpx.ConnectError):
        get(refract.url)
    refract.start()
    assert get(refract.url) == 200


def test_a_command_that_fails_says_why(embedded: Refract) -> None:
    with pytest.raises(RuntimeError, match="no_such_command"):
        embedded.manage("no_such_command")


def test_a_server_that_cannot_start_says_why(run_embedded: Run) -> None:
    with pytest.raises(RuntimeError, match="no-such-file"):
        run_embedded(env={"REFRACT_SECRET_KEY_FILE": "no-such-file"})


def test_the_first_page_waits_for_nothing(run_embedded: Run) -> None:
    """Such as an answer from the network: a wide limit, for slow machines."""
    begun = time.monotonic()
    run_embedded()
    assert time.monotonic() - begun < FIRST_PAGE_WITHIN_S


def test_a_server_writes_no_warnings(run_embedded: Run) -> None:
    refract = run_embedded()
    get(refract.url)
    refract.stop()
    assert refract.log == ""


def test_chromium_opens_the_front_page(embedded: Refract, page: Page) -> None:
    reply = page.goto(embedded.url)
    assert reply is not None
    assert reply.ok
    assert "Refract" in page.title()
