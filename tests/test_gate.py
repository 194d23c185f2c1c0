"""The line in front of a provider."""

import asyncio
import gc
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from weakref import ref

import pytest
from asgiref.sync import async_to_sync

from collection import llm
from collection.llm import client
from collection.llm.gate import Gate, Held, gate_of
from tests.model_server import ModelServer


def run(work: Callable[[], Awaitable[None]]) -> None:
    async_to_sync(work)()


def test_it_works() -> None:
    """No more at once than the limit, first come first served, and all get through."""
    at_once: list[int] = []
    order: list[int] = []

    async def work() -> None:
        gate, inside = Gate(), 0

        async def call(number: int) -> None:
            nonlocal inside
            async with gate.place(2, 10):
                order.append(number)
                inside += 1
                at_once.append(inside)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*map(call, range(9)))

    run(work)
    assert max(at_once) == 2
    assert order == list(range(9))


def test_who_gives_up_in_the_line_takes_no_place() -> None:
    async def work() -> None:
        gate = Gate()
        inside, go = asyncio.Event(), asyncio.Event()

        async def call() -> None:
            async with gate.place(1, 10):
                inside.set()
                await go.wait()

        first = asyncio.create_task(call())
        await inside.wait()
        waiting = [asyncio.create_task(call()) for _i in range(3)]
        await asyncio.sleep(0)
        waiting[0].cancel()
        waiting[2].cancel()
        go.set()
        done = await asyncio.gather(first, *waiting, return_exceptions=True)
        assert [isinstance(end, asyncio.CancelledError) for end in done] == [
            *(False, True),
            *(False, True),
        ]
        async with asyncio.timeout(5), gate.place(1, 10):
            pass  # all places are free again

    run(work)


def test_who_is_cut_gives_the_place_back() -> None:
    async def work() -> None:
        gate = Gate()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), gate.place(1, 10):
                await asyncio.Event().wait()
        async with asyncio.timeout(5), gate.place(1, 10):
            pass

    run(work)


async def turns_of_the_loop() -> None:
    for _turn in range(5):
        await asyncio.sleep(0)


class Calls:
    """Through one gate, each until `let_go`."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.inside: list[str] = []
        self.held: list[str] = []
        self._goes: dict[str, asyncio.Event] = {}

    async def come(self, name: str, limit: int | None, patience_s: float = 10) -> "Task":
        self._goes[name] = asyncio.Event()
        task = asyncio.create_task(self._call(name, limit, patience_s))
        await turns_of_the_loop()
        return task

    async def _call(self, name: str, limit: int | None, patience_s: float) -> None:
        try:
            async with self.gate.place(limit, patience_s):
                self.inside.append(name)
                await self._goes[name].wait()
            self.inside.remove(name)
        except Held:
            self.held.append(name)

    async def let_go(self, name: str) -> None:
        self._goes[name].set()
        await turns_of_the_loop()


Task = asyncio.Task[None]


def test_a_limit_that_is_raised_counts_at_once_for_those_in_front_too() -> None:
    async def work() -> None:
        calls = Calls()
        for name in "abc":
            await calls.come(name, 1)
        assert calls.inside == ["a"]
        await calls.come("d", 2)
        assert calls.inside == ["a", "b"]
        await calls.come("e", None)
        assert sorted(calls.inside) == ["a", "b", "c", "d", "e"]

    run(work)


def test_a_limit_that_is_lowered_lets_those_inside_finish() -> None:
    async def work() -> None:
        calls = Calls()
        for name in "abc":
            await calls.come(name, 3)
        await calls.come("d", 1)
        await calls.let_go("a")
        await calls.let_go("b")
        assert calls.inside == ["c"]
        await calls.let_go("c")
        assert calls.inside == ["d"]

    run(work)


def test_nobody_comes_in_before_those_who_wait() -> None:
    """Not even in the moment between one call's end and the next one's beginning."""

    async def work() -> None:
        calls = Calls()
        await calls.come("a", 1)
        await calls.come("b", 1)
        calls._goes["a"].set()
        calls._goes["c"] = asyncio.Event()
        newcomer = asyncio.create_task(calls._call("c", 1, 10))
        await turns_of_the_loop()
        assert calls.inside == ["b"]
        newcomer.cancel()

    run(work)


def test_who_is_cut_in_the_moment_of_being_let_in_passes_the_place_on() -> None:
    async def work() -> None:
        calls = Calls()
        first = await calls.come("a", 1)
        second = await calls.come("b", 1)
        await calls.come("c", 1)
        first.cancel()
        await asyncio.sleep(0)  # the first has left: the second is in, but does not know it yet
        second.cancel()
        await turns_of_the_loop()
        assert calls.inside[-1] == "c"
        await calls.let_go("c")
        await calls.come("d", 1)
        assert calls.inside[-1] == "d"

    run(work)


def test_those_in_line_wait_for_the_provider_if_they_can() -> None:
    async def work() -> None:
        calls = Calls()
        await calls.come("a", 1)
        await calls.come("patient", 1)
        await calls.come("hurried", 1, 0.2)
        calls.gate.hold(0.3)
        await calls.come("late", 1, 0.2)
        assert calls.held == ["hurried", "late"]
        await calls.let_go("a")
        assert calls.inside == []
        async with asyncio.timeout(10):
            while not calls.inside:
                await asyncio.sleep(0.01)
        assert calls.inside == ["patient"]
        assert calls.gate.held_s == 0

    run(work)


def test_a_hold_that_is_shorter_changes_nothing() -> None:
    async def work() -> None:
        gate = Gate()
        gate.hold(60)
        gate.hold(1)
        assert gate.held_s > 50

    run(work)


def test_clocks_that_jump_hold_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> None:
        gate = Gate()
        gate.hold(0.05)
        monkeypatch.setattr("time.time", lambda: 0.0)
        async with asyncio.timeout(5), gate.place(1, 10):
            assert gate.held_s == 0

    run(work)


def test_a_gate_ends_with_its_loop() -> None:
    async def work() -> "ref[Gate]":
        gate = gate_of("somebody")
        assert gate_of("somebody") is gate
        assert gate_of("somebody else") is not gate
        with suppress(TimeoutError):
            async with gate.place(1, 10), asyncio.timeout(0.01), gate.place(1, 10):
                pass
        gate.hold(60)
        with suppress(TimeoutError):
            async with asyncio.timeout(0.01), gate.place(1, 600):
                pass
        return ref(gate)

    gate = asyncio.run(work())
    gc.collect()
    assert gate() is None


def test_a_provider_that_wants_more_time_than_there_is_is_not_asked() -> None:
    async def work() -> None:
        gate = Gate()
        gate.hold(60)
        with pytest.raises(Held, match="another 60 s"):
            async with gate.place(None, 30):
                pytest.fail("it was let through")

    run(work)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with ModelServer() as server:
        yield server


def spec(server: ModelServer, model: str) -> llm.ModelSpec:
    return llm.ModelSpec(f"openai/{model}", server.url, "", {}, provider=f"gate-{model}")


MESSAGES = [{"role": "user", "content": "Hello?"}]


def test_a_refusal_says_how_long_to_wait(server: ModelServer) -> None:
    async def work() -> None:
        busy = spec(server, "http-429")
        reply = await llm.complete(busy, MESSAGES, limit_s=10, seed=0)
        assert (reply.outcome, reply.retry_after_s) == ("error", 1.0)
        # The next call of the same provider is not even made, for there is no time to wait.
        before = server.count("http-429")
        reply = await llm.complete(busy, MESSAGES, limit_s=0.5, seed=0)
        assert (reply.outcome, reply.error_class) == ("error", "Held")
        assert reply.retry_after_s is not None and 0.5 < reply.retry_after_s <= 1
        assert server.count("http-429") == before

        # Another one has nothing to do with it, and who can wait does.
        other = replace(spec(server, "ok"), provider="gate-of-others")
        assert (await llm.complete(other, MESSAGES, limit_s=10, seed=0)).queued_ms < 500
        same = replace(other, provider=busy.provider)
        reply = await llm.complete(same, MESSAGES, limit_s=20, seed=0)
        assert reply.outcome == "ok" and reply.queued_ms > 0

    run(work)


def test_an_endpoint_of_no_named_provider_has_a_gate_of_its_own(server: ModelServer) -> None:
    async def work() -> None:
        busy, free = (replace(spec(server, m), provider="") for m in ("http-429", "ok"))
        assert (await llm.complete(busy, MESSAGES, limit_s=10, seed=0)).retry_after_s == 1
        assert (await llm.complete(free, MESSAGES, limit_s=0.9, seed=0)).outcome == "ok"

    run(work)


@pytest.mark.parametrize("provider", ["openai", "hosted_vllm", "mistral"])
@pytest.mark.parametrize(
    ("status", "said", "seconds"),
    [
        (429, "7", 7.0),
        (503, "0.5", 0.5),
        (429, "0", 0.0),
        (429, "999999999", 3600.0),
        (429, "9" * 400, None),
        (429, "Wed, 21 Oct 2015 07:28:30 GMT", 30.0),  # by the server's own clock
        (503, "Wed, 21 Oct 2015 07:28:30 -0000", 30.0),
        (429, "Wed, 21 Oct 1915 07:28:30 GMT", 0.0),
        (429, "Wed, 21 Oct 9015 07:28:30 GMT", 3600.0),
        (429, "Wed, 99 Oct 2015 07:28:30 GMT", None),
        (429, "-5", None),
        (429, "soon", None),
        (429, "", None),
        (500, "7", None),
    ],
)
def test_how_long_a_server_asks_to_wait(
    server: ModelServer, provider: str, status: int, said: str, seconds: float | None
) -> None:
    async def work() -> None:
        # No gate but its own: the next of these must be asked, too.
        model = f"http-{status}"
        busy = llm.ModelSpec(f"{provider}/{model}", server.url, "", {}, provider=said)
        reply = await llm.complete(busy, MESSAGES, limit_s=20, seed=0)
        assert (reply.outcome, reply.retry_after_s) == ("error", seconds)

    server.retry_after = said
    run(work)


def test_a_date_without_the_servers_clock_is_read_by_ours() -> None:
    error = RateLimited()
    error.litellm_response_headers = {"retry-after": format_datetime(now_plus(90), usegmt=True)}
    assert client.retry_after(error) == pytest.approx(90, abs=30)


class RateLimited(Exception):
    status_code = 429
    litellm_response_headers: dict[str, str]


def now_plus(seconds: float) -> datetime:
    return datetime.now(UTC) + timedelta(seconds=seconds)


def test_waiting_in_line_counts_towards_the_limit(server: ModelServer) -> None:
    async def work() -> None:
        slow = replace(spec(server, "hang"), max_concurrent=1)
        both = [llm.complete(slow, MESSAGES, limit_s=limit, seed=0) for limit in (1.0, 0.4)]
        first, second = await asyncio.gather(*both)
        assert (first.outcome, first.error_class) == ("timeout", "TimeLimit")
        assert (second.outcome, second.error_class) == ("timeout", "Queue")
        assert second.queued_ms == second.latency_ms >= 400
        assert first.queued_ms < 400

    before = server.count("hang")
    run(work)
    assert server.count("hang") == before + 1
