"""The five files of a release, by themselves: `python -m tests.bench.exporting STUDY FOLDER`.

In a process of its own, for its memory. Prints JSON: {"s": seconds, "mb": the most memory,
"files": {file: seconds}}.
"""

import json
import resource
import sys
import time
from pathlib import Path

import django

FIVE = ("survey", "conversations", "utterances", "metadata", "models")


def export(slug: str, folder: Path) -> dict[str, float]:
    """File -> seconds."""
    from collection.export.plan import make_plan
    from collection.export.write import line, rows_of, snapshot
    from surveys.models import Study

    seconds: dict[str, float] = {}
    with snapshot():
        began = time.monotonic()
        plan = make_plan(Study.objects.get(slug=slug))
        for name in FIVE:
            with (folder / f"{name}.jsonl").open("w", encoding="utf-8", newline="\n") as file:
                file.writelines(map(line, rows_of(plan, name)))
            seconds[name], began = time.monotonic() - began, time.monotonic()
    return seconds


if __name__ == "__main__":
    sys.path.append("platform")
    django.setup()
    found = export(sys.argv[1], Path(sys.argv[2]))
    mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(json.dumps({"s": sum(found.values()), "mb": mb, "files": found}))
