"""The rows of a release written by json.dumps, or read by json.loads, with nothing around them.

`python -m tests.bench.bare_json dumps|loads FOLDER` prints the seconds. In a process of its own:
all rows of a file are in memory, and what the bench starts later would be charged with it.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any


def dump(path: Path) -> float:
    """Seconds to write a file's rows again, from memory."""
    with path.open(encoding="utf-8") as file:
        rows: list[Any] = [json.loads(line) for line in file]
    again = path.with_suffix(".again")
    began = time.monotonic()
    with again.open("w", encoding="utf-8") as file:
        for row in rows:
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
    took = time.monotonic() - began
    again.unlink()
    return took


def load(path: Path) -> float:
    began = time.monotonic()
    with path.open(encoding="utf-8") as file:
        for line in file:
            json.loads(line)
    return time.monotonic() - began


if __name__ == "__main__":
    measure = {"dumps": dump, "loads": load}[sys.argv[1]]
    sys.stdout.write(str(sum(map(measure, Path(sys.argv[2]).glob("*.jsonl")))))
