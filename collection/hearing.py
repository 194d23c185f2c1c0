"""Pages of this process that wait for their turn to settle, and how it is heard of.

All processes are in one group of the channel layer. A group for each page would have every socket
join, wait on a channel of its own and leave: more than all else that it does.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from secrets import token_hex

from channels.layers import get_channel_layer

log = logging.getLogger("refract.sockets")

GROUP = "settled"
AGAIN_AFTER_S = 1.0
ECHO_EVERY_S = 0.2
"""A process that has just started may not listen yet."""

_waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)
_untold: list[str] = []


@contextmanager
def heard(page: str) -> Iterator[asyncio.Event]:
    """Set when the latest turn of a page settles."""
    event = asyncio.Event()
    _waiting[page].add(event)
    try:
        yield event
    finally:
        _waiting[page].discard(event)
        if not _waiting[page]:
            del _waiting[page]


async def tell(page: str) -> None:
    """Tell whoever waits, in any process. May raise what the channel layer raises."""
    _untold.append(page)
    await asyncio.sleep(0)  # what has settled in one transaction is told in one message
    if _untold:
        pages = _untold.copy()
        _untold.clear()
        _say(pages)  # at once, and also if the layer is away
        await get_channel_layer().group_send(GROUP, {"type": "settled", "pages": pages})


async def echo() -> None:
    """Returns once this process has heard itself over the layer. May raise what that raises."""
    name = f"echo-{token_hex(8)}"
    with heard(name) as event:
        while not event.is_set():
            await get_channel_layer().group_send(GROUP, {"type": "settled", "pages": [name]})
            with suppress(TimeoutError):
                async with asyncio.timeout(ECHO_EVERY_S):
                    await event.wait()


async def listen_for_ever() -> None:
    """Until cancelled; a layer that is away for a while is listened to again."""
    while True:
        try:
            await _listen()
        except Exception:
            log.warning("pages can only poll: the channel layer is away", exc_info=True)
            await asyncio.sleep(AGAIN_AFTER_S)


async def _listen() -> None:
    layer = get_channel_layer()
    channel = await layer.new_channel()
    await layer.group_add(GROUP, channel)
    while True:
        message = await layer.receive(channel)
        _say(message["pages"])


def _say(pages: Iterable[str]) -> None:
    """To those who wait in this process."""
    for page in pages:
        for event in _waiting.get(page, ()):
            event.set()
