"""Sockets and the end of a server, as people's pages meet them."""

import asyncio
import re
import socket
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Origin

from config import web
from config.serving import GOING_AWAY, Sockets
from tests.conftest import Run
from tests.servers import Refract

LONGER_THAN_REDIS_WAITS_S = 9.0
EVEN = ("chatty", "hedger", "poet", "expert")
"""Demo models that take 0.6 to 1.5 s, times what REFRACT_DEMO_LATENCY says."""
USE = """
from collection.models import ModelEndpoint
from surveys.models import Study
models = [f"refract-demo/{name}" for name in %r]
found = ModelEndpoint.objects.filter(litellm_model__in=models)
assert len(found) == 4, found
Study.objects.get(slug="prism").endpoints.set(found)
"""
SKIP_THE_SURVEY = """
from django.utils import timezone as t
from surveys.models import Participant
Participant.objects.update(survey_finished_at=t.now(), instructed_at=t.now())
"""


def waiting(refract: Refract) -> str:
    """Somebody who has sent a prompt; their cookies."""
    refract.manage("shell", "--command", USE % (EVEN,))
    with httpx.Client(base_url=refract.url, follow_redirects=True, timeout=30) as client:

        def post(path: str, **fields: object) -> None:
            token = {"X-CSRFToken": client.cookies["csrftoken"]}
            client.post(f"/s/prism/{path}", data=fields, headers=token).raise_for_status()

        client.get("/s/prism/", params={"PROLIFIC_PID": "alice"})
        post("consent/", consent_age="on", consent="on")
        refract.manage("shell", "--command", SKIP_THE_SURVEY)
        client.get("/s/prism/conversations/")
        post("conversations/", type="unguided")
        post("c/1/prompt/", turn=0, prompt="What is a good soup?")
        return "; ".join(f"{name}={value}" for name, value in client.cookies.items())


def listen(url: str, cookies: str) -> ClientConnection:
    page: ClientConnection = connect(
        f"{url.replace('http', 'ws')}/s/prism/c/1/socket/",
        additional_headers={"Cookie": cookies},
        origin=Origin(url),
        proxy=None,
    )
    return page


def test_an_idle_socket_hears_what_settles_later(run_full_stack: Run) -> None:
    """On another process than the one that asks the models, so through Redis."""
    refract = run_full_stack(env={"REFRACT_DEMO_LATENCY": "19"}, processes=2)
    with listen(refract.urls[1], waiting(refract)) as page:
        with pytest.raises(TimeoutError):
            page.recv(timeout=LONGER_THAN_REDIS_WAITS_S)
        assert page.recv(timeout=30) == "settled"
        with pytest.raises(ConnectionClosed):
            page.recv(timeout=10)
    refract.stop()
    assert "websocket" not in refract.log


def test_a_server_that_ends_closes_sockets_and_lets_turns_finish(run_embedded: Run) -> None:
    refract = run_embedded(env={"REFRACT_DEMO_LATENCY": "4"})
    with listen(refract.url, waiting(refract)) as page:
        refract.stop()
        with pytest.raises(ConnectionClosed) as closed:
            page.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == GOING_AWAY
    assert not re.search(r"websocket|Traceback|ASGI", refract.log), refract.log
    states = (
        "from collection.models import Interaction as I;"
        "print(*I.objects.values_list('state', flat=True))"
    )
    assert refract.manage("shell", "--verbosity", "0", "--command", states).strip() == "settled"


Messages = list[dict[str, Any]]


def said_by(app: Any, *heard: dict[str, Any]) -> Messages:
    """What a server gets of an app behind Sockets; what comes after "gone" raises as uvicorn's."""
    said: Messages = []
    inbox = list(heard)

    async def receive() -> dict[str, Any]:
        return inbox.pop(0)

    async def send(message: dict[str, Any]) -> None:
        if message.get("text") == "gone":
            raise OSError("the client has disconnected")
        assert not any(m["type"] == "websocket.close" for m in said), "sent after close"
        said.append(message)

    asyncio.run(Sockets(app)({}, receive, send))
    return said


ACCEPT = {"type": "websocket.accept"}
CLOSE = {"type": "websocket.close"}


def text(words: str) -> dict[str, Any]:
    return {"type": "websocket.send", "text": words}


def test_nothing_is_sent_after_close() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        for message in (ACCEPT, text("settled"), CLOSE, text("settled"), CLOSE):
            await send(message)

    assert said_by(app) == [ACCEPT, text("settled"), CLOSE]


def test_nothing_is_sent_to_who_has_gone() -> None:
    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await receive()
        await send(text("settled"))

    assert said_by(app, {"type": "websocket.disconnect", "code": 1001}) == [ACCEPT]


def test_a_consumer_lives_to_hear_that_its_page_has_gone() -> None:
    heard = []

    async def app(_scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send(text("gone"))
        heard.append((await receive())["type"])

    said_by(app, {"type": "websocket.disconnect", "code": 1001})
    assert heard == ["websocket.disconnect"]


def test_after_an_error_the_page_is_told_to_come_again() -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send(ACCEPT)
        raise ConnectionError("Redis is away")

    assert said_by(app) == [ACCEPT, {"type": "websocket.close", "code": GOING_AWAY}]


def test_pages_wait_for_no_acknowledgement_between_head_and_body() -> None:
    listener = web.listen("127.0.0.1", 0)
    with listener, socket.create_connection(listener.getsockname()):
        accepted, _address = listener.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_port_in_use_is_named() -> None:
    with web.listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(SystemExit, match=str(port)):
            web.listen("127.0.0.1", port)
