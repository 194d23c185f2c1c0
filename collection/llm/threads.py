"""The event loop's threads, without those that litellm asks for in vain."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any

AT_ONCE = "openai/"
"""Providers whose requests are written without asking anybody. Others may fetch a token first, and
keep everybody waiting for it."""


class Threads(ThreadPoolExecutor):
    """litellm writes each request in a thread, and awaits the answer on the loop. For most models
    writing is all that it does there: to go to a thread and back took a tenth of a turn."""

    def submit(self, work: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        if not is_writing(work):
            return super().submit(work, *args, **kwargs)
        done: Future[Any] = Future()
        try:
            done.set_result(work(*args, **kwargs))
        except Exception as error:
            done.set_exception(error)
        return done


def is_writing(work: Callable[..., Any]) -> bool:
    """Whether it is litellm's writing of a request that needs no thread."""
    match work:
        case partial(args=(partial(func=function, keywords={"model": str(model)}),)):
            from litellm import main

            return function is main.completion and model.startswith(AT_ONCE)
    return False
