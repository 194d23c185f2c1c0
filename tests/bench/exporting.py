"""The five files of a release, by themselves: `python -m tests.bench.exporting STUDY FOLDER`.

In a process of its own, for its memory. Prints JSON: {"s": seconds, "mb": the most memory}.
"""

import json
import sys
import time
from pathlib import Path

import django

FIVE = ("survey", "conversations", "utterances", "metadata", "models")


def export(slug: str, folder: Path) -> float:
    """Seconds."""
    from collection.export.garbage import seldom_collected
    from collection.export.plan import make_plan
    from collection.export.write import snapshot, write_tables
    from surveys.models import Study

    began = time.monotonic()
    with seldom_collected(), snapshot():
        write_tables(make_plan(Study.objects.get(slug=slug)), FIVE, folder)
    return time.monotonic() - began


def most_memory() -> float:
    """MB that this process had at most. ru_maxrss would begin with that of who started it."""
    (line,) = (x for x in Path("/proc/self/status").read_text().splitlines() if "VmHWM" in x)
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    sys.path.append("platform")
    django.setup()
    took = export(sys.argv[1], Path(sys.argv[2]))
    sys.stdout.write(json.dumps({"s": took, "mb": most_memory()}))
