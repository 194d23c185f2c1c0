"""Which of litellm's work goes to a thread, and that it ends alike with and without one."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from collection.llm import warm
from collection.llm.threads import Threads

MESSAGES = [{"role": "user", "content": "What is a prism?"}]


@pytest.fixture(scope="module", autouse=True)
def warmed() -> None:
    warm()


def said(threads: ThreadPoolExecutor, model: str, mock: Any) -> str:
    import litellm

    async def ask() -> Any:
        asyncio.get_running_loop().set_default_executor(threads)
        return await litellm.acompletion(model, MESSAGES, mock_response=mock, api_key="none")

    return str(asyncio.run(ask()).choices[0].message.content)


@pytest.mark.parametrize(
    ("model", "started"), [("openai/gpt-4o-mini", 0), ("anthropic/claude-3-haiku-20240307", 1)]
)
def test_it_works(model: str, started: int) -> None:
    threads = Threads()
    assert said(threads, model, "A prism refracts.") == "A prism refracts."
    assert len(threads._threads) == started


def test_an_error_is_the_same_in_either() -> None:
    from litellm.exceptions import RateLimitError

    refusal = RateLimitError("slowly", "openai", "gpt-4o-mini")
    for threads in (Threads(), ThreadPoolExecutor()):
        with pytest.raises(RateLimitError, match="slowly"):
            said(threads, "openai/gpt-4o-mini", refusal)


def test_other_work_has_a_thread() -> None:
    async def work() -> threading.Thread:
        asyncio.get_running_loop().set_default_executor(Threads())
        return await asyncio.to_thread(threading.current_thread)

    assert asyncio.run(work()) is not threading.current_thread()
