"""The programs that Refract consists of and those it stands on: where they are, how they start.

Standard library only: the tests read it before anything is installed.
"""

import os
import pwd
import shutil
import signal
import socket
import sys
from pathlib import Path

CLOSES_WITHIN_S = 5
"""How long uvicorn lets requests go on when it is to end; sockets are closed at once."""
SERVE = [
    *[sys.executable, "-m", "uvicorn", "--app-dir", "platform", "config.asgi:application"],
    *["--lifespan", "on", "--ws", "websockets-sansio", "--log-level", "warning"],
    *["--timeout-graceful-shutdown", str(CLOSES_WITHIN_S)],
]
# --skip-checks would import every view into the worker. Mingling and gossip are for workers that
# need to know of each other.
CELERY = [sys.executable, "-m", "celery", "--quiet", "--app", "config.celery", "--skip-checks"]
WORK = [*CELERY, "worker", "--without-mingle", "--without-gossip", "--without-heartbeat"]
WORK += ["--loglevel", "warning"]
BEAT = [*CELERY, "beat", "--pidfile=", "--loglevel", "warning"]

POSTGRES_HOMES = Path("/usr/lib/postgresql")  # Debian keeps initdb off the PATH


def postgres_bin() -> Path | None:
    """The folder of initdb and postgres, of the newest version there is."""
    homes = sorted(POSTGRES_HOMES.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    if homes:
        return homes[-1].parent
    initdb = shutil.which("initdb")
    return Path(initdb).resolve().parent if initdb else None


def redis_server() -> str | None:
    return shutil.which("redis-server")


def unprivileged_user() -> str:
    """Whom Postgres runs as: it refuses root. Empty for who we are."""
    if os.geteuid() != 0:
        return ""
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


def as_user(user: str, ends_on: signal.Signals | None = None) -> list[str]:
    """A prefix that runs a command as another user, ended by the kernel if its parent dies."""
    setpriv = shutil.which("setpriv")  # util-linux; elsewhere a killed parent leaves orphans
    if not setpriv:
        return []
    prefix = [setpriv]
    if user:
        group = pwd.getpwnam(user).pw_gid
        prefix += [f"--reuid={user}", f"--regid={group}", "--init-groups"]
    if ends_on:
        prefix += [f"--pdeathsig={ends_on.name.removeprefix('SIG')}"]
    return prefix if len(prefix) > 1 else []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
