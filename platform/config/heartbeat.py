"""The sign that chores are being done: a time in the cache, which whoever does them renews.

`python -m config.heartbeat` tells whether it is late, for containers without a web server.
"""

import sys
import time

from django.core.cache import cache

EVERY_S = 5.0
LATE_S = 90.0
"""Long enough for a worker to be started anew."""
_KEY = "heartbeat"


def beat() -> None:
    """A time of the wall: it is compared with the clocks of other machines."""
    cache.set(_KEY, time.time(), timeout=None)


def age_s() -> float | None:
    """None: there never was one."""
    beaten = cache.get(_KEY)
    return None if beaten is None else max(0.0, time.time() - beaten)


def what_is_wrong() -> str:
    """In words; empty if nothing is."""
    age = age_s()
    if age is None:
        return "no heartbeat yet"
    return f"last heartbeat {age:.0f} seconds ago" if age > LATE_S else ""


if __name__ == "__main__":
    sys.exit(what_is_wrong() or None)
