"""A Refract for simulated people to walk through, on a free port of this machine."""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO

import httpx
from django.conf import settings
from django.core.management import call_command

READY_WITHIN_S = 60.0
"""Much more than a start takes."""
STOPS_WITHIN_S = 30.0
"""It lets turns under way finish."""


class ServerError(Exception):
    """The server did not start; the message has what it wrote."""


@contextmanager
def running() -> Iterator[str]:
    """Start a server on the data of this process; its address. It stops at the end."""
    # Pages name their static files by hash; what was collected before may be of older code.
    call_command("collectstatic", interactive=False, verbosity=0)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(  # noqa: S603 (our own interpreter and application)
            command(port), env=environment(), stdout=log, stderr=log
        )
        try:
            wait_until_ready(url, process, log)
            yield url
        finally:
            stop(process)


def command(port: int) -> list[str]:
    return [
        *(sys.executable, "-m", "uvicorn", "--host", "127.0.0.1", "--port", str(port)),
        *("--lifespan", "on", "--ws", "websockets-sansio", "--log-level", "warning"),
        *("--timeout-graceful-shutdown", "5"),
        "config.asgi:application",
    ]


def environment() -> Mapping[str, str]:
    """This process's own, with what reaching the server over plain HTTP on this machine takes."""
    root = settings.BASE_DIR
    return {
        "REFRACT_DEMO_LATENCY": "0",
        **os.environ,
        "REFRACT_DATA": str(settings.DATA_DIR),
        "REFRACT_HOSTS": "127.0.0.1",
        "REFRACT_ORIGINS": "",
        "PYTHONPATH": os.pathsep.join([str(root), str(root / "platform")]),
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while not answers(url):
        if process.poll() is not None or time.monotonic() > give_up:
            log.seek(0)
            raise ServerError(log.read().decode(errors="replace")[-2000:])
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Whether anything answers there, be it with an error: then waiting longer is no use."""
    try:
        httpx.get(url, timeout=10, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
