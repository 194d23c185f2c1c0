"""Putting a whole release in the place of another, file by file, so that no end of the process
leaves a mixture for good.

A release is written aside, in a folder within the one it is for: its parent may be another file
system, where no rename can come from. Once it is whole, a list of what is to be moved makes it so:
whoever comes next finishes the moving. What has no list is thrown away. A lock, which the system
gives back when a process ends however it ends, tells the dead from those who are still writing.
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PREFIX = ".release-"
LIST = "to-move.json"


@contextmanager
def aside(folder: Path) -> Iterator[Path]:
    """A folder to write into, gone at the end. Raises OSError if it cannot be made."""
    path = Path(tempfile.mkdtemp(prefix=PREFIX, dir=folder))
    try:
        with _locked(path):
            yield path
    finally:
        if not (path / LIST).exists():
            shutil.rmtree(path, ignore_errors=True)


def hand_over(path: Path, folder: Path, names: Sequence[str], stale: Sequence[str]) -> None:
    """Move the files into the folder, the last of them last, and take away those that are stale.

    Until the last is there the folder has no file of that name, so that nobody takes a mixture
    for a release. Raises OSError; then `settle` can go on.
    """
    listed = path / f"{LIST}.new"
    listed.write_text(json.dumps({"names": list(names), "stale": list(stale)}), encoding="utf-8")
    for name in (*names, listed.name):
        _to_disk(path / name)
    listed.replace(path / LIST)
    _move(path, folder)


def settle(folder: Path) -> None:
    """Finish what was whole when its process ended, and throw away what was not."""
    for path in sorted(folder.glob(f"{PREFIX}*")):
        try:
            with _locked(path):
                if (path / LIST).exists():
                    _move(path, folder)
                else:
                    shutil.rmtree(path, ignore_errors=True)
        except (BlockingIOError, FileNotFoundError):
            continue  # somebody is writing there, or just cleared it away


def is_unfinished(folder: Path) -> bool:
    return any((path / LIST).exists() for path in folder.glob(f"{PREFIX}*"))


def _move(path: Path, folder: Path) -> None:
    with _locked(folder, wait=True):
        content = json.loads((path / LIST).read_text(encoding="utf-8"))
        names = content["names"]
        if (path / names[-1]).exists():
            (folder / names[-1]).unlink(missing_ok=True)
        for name in content["stale"]:
            (folder / name).unlink(missing_ok=True)
        for name in names:
            if (path / name).exists():  # or an earlier try has moved it
                (folder / name).parent.mkdir(exist_ok=True)
                (path / name).replace(folder / name)
    shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _locked(path: Path, *, wait: bool = False) -> Iterator[None]:
    """Raises BlockingIOError if somebody else has it and `wait` is not set."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(handle)


def _to_disk(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())
