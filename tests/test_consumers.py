"""The socket of a waiting page: it says one word, to the right person."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from channels.layers import get_channel_layer

from collection import generation, hearing
from collection.models import Attempt
from config.asgi import application
from surveys.models import Study
from tests.walk import Person

pytestmark = pytest.mark.django_db
Listen = Callable[[ApplicationCommunicator], Awaitable[None]]


@pytest.fixture
def alice(study: Study, monkeypatch: pytest.MonkeyPatch) -> Person:
    """Waiting for her first replies."""
    person = Person(study, PROLIFIC_PID="alice").ready()
    person.start()
    with monkeypatch.context() as patch:
        patch.setattr(generation, "launch", lambda attempt: None)
        person.prompt(0)
    generation.free_leases()
    return person


def open_socket(listen: Listen, cookie: str, origin: str = "http://127.0.0.1:8000") -> None:
    scope = {
        "type": "websocket",
        "path": "/s/prism/c/1/socket/",
        "headers": [(b"origin", origin.encode()), (b"cookie", cookie.encode())],
        "query_string": b"",
        "subprotocols": [],
    }

    async def run() -> None:
        socket = ApplicationCommunicator(application, scope)  # type: ignore[no-untyped-call]
        listening = asyncio.create_task(hearing.listen_for_ever())
        await hear(socket, "websocket.connect")
        await listen(socket)
        await socket.wait(timeout=10)  # type: ignore[no-untyped-call]
        listening.cancel()

    async_to_sync(run)()


def cookie_of(person: Person) -> str:
    return f"refract_prism={person.client.cookies['refract_prism'].value}"


async def hear(socket: ApplicationCommunicator, kind: str) -> None:
    await socket.send_input({"type": kind, "code": 1000})  # type: ignore[no-untyped-call]


async def said(socket: ApplicationCommunicator) -> str:
    """The text of the next message to the page, or its kind if it has none."""
    message = await socket.receive_output(timeout=10)  # type: ignore[no-untyped-call]
    return str(message.get("text") or message["type"])


async def refused(socket: ApplicationCommunicator) -> None:
    assert await said(socket) == "websocket.close"
    await hear(socket, "websocket.disconnect")


def test_it_works(alice: Person) -> None:
    attempt = Attempt.objects.get()

    async def listen(socket: ApplicationCommunicator) -> None:
        assert await said(socket) == "websocket.accept"
        nothing = await socket.receive_nothing(timeout=0.2)  # type: ignore[no-untyped-call]
        assert nothing
        await generation.run(attempt.pk)
        assert await said(socket) == "settled"
        assert await said(socket) == "websocket.close"
        await hear(socket, "websocket.disconnect")

    open_socket(listen, cookie_of(alice))


def test_a_page_of_this_process_hears_it_without_the_layer(
    alice: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = Attempt.objects.get()

    class Away:
        async def group_send(self, _group: str, _message: dict[str, Any]) -> None:
            raise ConnectionError("the layer is away")

    async def listen(socket: ApplicationCommunicator) -> None:
        assert await said(socket) == "websocket.accept"
        monkeypatch.setattr(hearing, "get_channel_layer", Away)
        await generation.run(attempt.pk)
        assert await said(socket) == "settled"
        await hear(socket, "websocket.disconnect")

    open_socket(listen, cookie_of(alice))


def test_a_layer_that_is_away_at_first_is_listened_to_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Away:
        async def new_channel(self) -> str:
            raise ConnectionError("the layer is away")

    answers = [Away(), Away()]

    def layer() -> Any:
        return answers.pop() if answers else get_channel_layer()

    monkeypatch.setattr(hearing, "AGAIN_AFTER_S", 0.05)
    monkeypatch.setattr(hearing, "get_channel_layer", layer)

    async def hear_oneself() -> None:
        listening = asyncio.create_task(hearing.listen_for_ever())
        await asyncio.sleep(0)
        async with asyncio.timeout(10):
            while answers:
                await asyncio.sleep(0.01)
            await hearing.echo()
        listening.cancel()

    async_to_sync(hear_oneself)()


def test_who_listens_can_be_ended_at_any_moment() -> None:
    """Else a server would not."""

    async def listen(moments: int) -> bool:
        listening = asyncio.create_task(hearing.listen_for_ever())
        for _moment in range(moments):
            await asyncio.sleep(0)
        listening.cancel()
        ended, _others = await asyncio.wait([listening], timeout=10)
        return bool(ended)

    for moments in range(40):
        assert async_to_sync(listen)(moments)


def test_what_settled_before_the_socket_opened_is_told_at_once(alice: Person) -> None:
    async_to_sync(generation.run)(Attempt.objects.get().pk)

    async def listen(socket: ApplicationCommunicator) -> None:
        assert await said(socket) == "websocket.accept"
        assert await said(socket) == "settled"

        await hear(socket, "websocket.disconnect")

    open_socket(listen, cookie_of(alice))


def test_strangers_are_refused(alice: Person) -> None:
    open_socket(refused, "refract_prism=forged:trusted:x")
    open_socket(refused, "")


def test_somebody_without_that_conversation_is_refused(alice: Person, study: Study) -> None:
    bob = Person(study, PROLIFIC_PID="bob").ready()
    open_socket(refused, cookie_of(bob))


def test_other_sites_are_refused(alice: Person) -> None:
    open_socket(refused, cookie_of(alice), origin="https://elsewhere.example")
