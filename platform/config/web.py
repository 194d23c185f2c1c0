"""The web processes behind one port: `python -m config.web --port 8000 --processes 2`.

Not `uvicorn --workers`: the sockets of its connections wait for an acknowledgement between the head
and the body of a page (Nagle's algorithm), which took 44 ms on a kept connection instead of 0.6.
And when its own first process is killed, the others keep the port and nobody can start it anew.
"""

import os
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Mapping

from config import settings
from config.children import Child, Stop, keep_running
from config.programs import SERVE

BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
    """The socket that all web processes accept from: while one is started anew, people wait in it.

    Its connections take the option over from it; asyncio would set it only where it knows that a
    socket is TCP, and from a file descriptor uvicorn makes one that is not.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        sys.exit(f"Nobody can listen on {host}, port {port}: {error.strerror}.")
    listener.listen(BACKLOG)
    return listener


def children(
    listener: socket.socket, processes: int, env: Mapping[str, str] | None = None
) -> list[Child]:
    fd = listener.fileno()
    command = [*SERVE, "--fd", str(fd)]
    return [Child(f"web {n}", command, env=env, pass_fds=[fd]) for n in range(1, processes + 1)]


def forget_counts() -> None:
    """What is counted is of processes that have ended; no other may be running yet."""
    for file in settings.METRICS_DIR.glob("*.db"):
        file.unlink()


def add_arguments(parser: ArgumentParser, processes: int) -> None:
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--processes", type=int, default=processes, metavar="N")


def main() -> None:
    parser = ArgumentParser(prog="python -m config.web")
    add_arguments(parser, processes=1)
    options = parser.parse_args()
    forget_counts()
    if options.processes == 1:
        where = ["--host", options.host, "--port", str(options.port)]
        os.execv(sys.executable, [*SERVE, *where])  # noqa: S606 (our own program)
    if not settings.FULL_STACK:
        sys.exit("More than one process needs Postgres and Redis: DATABASE_URL and REDIS_URL.")
    keep_running([children(listen(options.host, options.port), options.processes)], Stop())


if __name__ == "__main__":
    main()
