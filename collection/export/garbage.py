"""Looking for garbage less often, while rows are gone through by the hundred thousand."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

SELDOM = (10_000, 5, 5)
"""How many new objects, and collections of the younger generations, there are before Python looks
for garbage."""


@contextmanager
def seldom_collected() -> Iterator[None]:
    """A fifth of an export went into looking for garbage: among all that was imported, and each
    time that 700 objects had been made, of which hardly any are in a cycle. Where models are loaded
    with what belongs to them, some are: twice as seldom, and calls.jsonl would take 600 MB."""
    if gc.get_freeze_count():  # a server has done so for good, or another export is under way
        yield
        return
    usual = gc.get_threshold()
    gc.freeze()
    gc.set_threshold(*SELDOM)
    try:
        yield
    finally:
        gc.set_threshold(*usual)
        gc.unfreeze()
