"""The limit of a burst: the same calls through bare litellm, with nothing around them.

Its own process, as many as there are web processes: `python -m tests.bench.bare_calls URL`. For
each number that it reads, the calls of so many people are gathered at once; it answers with the
seconds that each person's took, as a line of JSON.
"""

import asyncio
import json
import sys
import time
from typing import Any

import litellm
from django.conf import settings

from collection import llm
from collection.llm.client import call_arguments
from tests.bench.stub import MODEL, PARAMETERS

CALLS = 4
WARM = 20
MESSAGES = [
    {"role": "system", "content": "You are a conversational assistant."},
    {"role": "user", "content": "Should I learn to cook?"},
]


async def person(arguments: dict[str, Any]) -> float:
    began = time.monotonic()
    calls = (litellm.acompletion(messages=MESSAGES, **arguments) for _slot in range(CALLS))
    await asyncio.gather(*calls)
    return time.monotonic() - began


async def people(arguments: dict[str, Any], number: int) -> list[float]:
    return list(await asyncio.gather(*(person(arguments) for _person in range(number))))


async def answer(url: str) -> None:
    arguments = call_arguments(llm.ModelSpec(MODEL, url, "", PARAMETERS), seed=1)
    await people(arguments, WARM)
    write([])  # warm
    while line := await asyncio.to_thread(sys.stdin.readline):
        write(await people(arguments, int(line)))


def write(seconds: list[float]) -> None:
    sys.stdout.write(f"{json.dumps(seconds)}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    assert settings.PRIVATE_ADDRESSES
    llm.warm()
    asyncio.run(answer(sys.argv[1]))
