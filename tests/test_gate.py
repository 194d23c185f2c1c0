"""The line in front of a provider."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from asgiref.sync import async_to_sync

from collection import llm
from collection.llm.gate import Gate, Held
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


def test_a_limit_that_is_raised_counts_at_once() -> None:
    async def work() -> None:
        gate = Gate()
        async with gate.place(1, 10), asyncio.timeout(5):
            async with gate.place(2, 10):
                pass
            async with gate.place(None, 10):
                pass

    run(work)


def test_a_provider_that_wants_more_time_than_there_is_is_not_asked() -> None:
    async def work() -> None:
        gate = Gate()
        gate.hold(60)
        with pytest.raises(Held, match="another 60 s"):
            async with gate.place(None, 30):
                pytest.fail("it was let through")

    run(work)


def spec(server: ModelServer, model: str) -> llm.ModelSpec:
    return llm.ModelSpec(f"openai/{model}", server.url, "", {}, provider=f"gate-{model}")


MESSAGES = [{"role": "user", "content": "Hello?"}]


def test_a_refusal_says_how_long_to_wait(model_server: ModelServer) -> None:
    async def work() -> None:
        busy = spec(model_server, "http-429")
        reply = await llm.complete(busy, MESSAGES, limit_s=10, seed=0)
        assert (reply.outcome, reply.retry_after_s) == ("error", 1.0)
        # The next call of the same provider is not even made, for there is no time to wait.
        before = model_server.count("http-429")
        reply = await llm.complete(busy, MESSAGES, limit_s=0.5, seed=0)
        assert (reply.outcome, reply.error_class) == ("error", "Held")
        assert model_server.count("http-429") == before

    run(work)


def test_waiting_in_line_counts_towards_the_limit(model_server: ModelServer) -> None:
    async def work() -> None:
        slow = replace(spec(model_server, "hang"), max_concurrent=1)
        both = [llm.complete(slow, MESSAGES, limit_s=limit, seed=0) for limit in (1.0, 0.4)]
        first, second = await asyncio.gather(*both)
        assert (first.outcome, first.error_class) == ("timeout", "TimeLimit")
        assert (second.outcome, second.error_class) == ("timeout", "Queue")
        assert second.queued_ms == 400
        assert first.queued_ms < 400

    before = model_server.count("hang")
    run(work)
    assert model_server.count("hang") == before + 1
