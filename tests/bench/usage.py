"""What processes use, as Linux counts it."""

import os
import re
from collections.abc import Iterable
from pathlib import Path

PSS = re.compile(r"^Pss: +(\d+) kB", re.MULTILINE)
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def with_children(pids: Iterable[int]) -> list[int]:
    """The processes, what they have started, and so on."""
    found = list(pids)
    for pid in found:  # grows while it is read
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            found += map(int, children.read_text().split())
    return found


def pss_mb(pids: Iterable[int]) -> float:
    """Memory of processes; what several share counts once, a part for each."""
    maps = (Path(f"/proc/{pid}/smaps_rollup").read_text() for pid in pids)
    return sum(int(found[1]) for text in maps if (found := PSS.search(text))) / 1024


def cpu_s(pids: Iterable[int]) -> float:
    """Seconds of processor time so far, without those of children that have ended."""
    return sum(ticks(pid) for pid in pids) / TICKS_PER_S


def ticks(pid: int) -> int:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])
