"""Private servers for the tests: real processes, on free loopback ports, in folders of their own.

All end with the process that started them, even if that is killed. Nothing here imports Django:
the test settings start Postgres and Redis before Django reads them.
"""

import atexit
import itertools
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from functools import cache, partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import psycopg

from config.programs import SERVE as SERVE
from config.programs import as_user, postgres_bin, redis_server, unprivileged_user
from config.programs import free_port as free_port

ROOT = Path(__file__).parents[1]
DATABASE = "refract.sqlite3"
"""In the data folder, where there is no Postgres."""
READY_WITHIN_S = 60.0
"""Much more than a start takes: it is reached only when something is wrong."""
STOPS_WITHIN_S = 30.0
"""A server lets turns under way finish, within 25 s or so."""


def is_setting(name: str) -> bool:
    """Whether a variable of the environment sets something in Refract; no test inherits those."""
    return name.removesuffix("_FILE") in {"DATABASE_URL", "REDIS_URL"} or (
        name.startswith("REFRACT_") and not name.startswith("REFRACT_TEST_")
    )


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


class Process:
    """One server process and its log. Ends when told, or with the process that started it."""

    def __init__(
        self,
        argv: list[str],
        log: Path,
        *,
        ends_on: signal.Signals = signal.SIGTERM,
        user: str = "",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._log = log
        self._ends_on = ends_on
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*as_user(user, ends_on), *argv],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=ROOT,
                env=env,
                start_new_session=True,  # Ctrl-C reaches pytest, which then ends this in order
            )
        atexit.register(self.kill9)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_until(self, is_ready: Callable[[], object]) -> None:
        """Poll until ready. Raises RuntimeError, with the log, if it ends or takes too long."""
        give_up = time.monotonic() + READY_WITHIN_S
        while not is_ready():
            if self._process.poll() is not None or time.monotonic() > give_up:
                self.kill9()
                raise RuntimeError(f"{self._process.args!r} did not start:\n{self.log}")
            time.sleep(0.02)

    def stop(self) -> None:
        """End it the way an operator would; kill it if it won't."""
        self._process.send_signal(self._ends_on)
        try:
            self._process.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            self.kill9()
        atexit.unregister(self.kill9)

    def kill9(self) -> None:
        """What a crash or a power cut does."""
        self._process.kill()
        self._process.wait()


class Postgres:
    """A Postgres cluster of its own, without durability. kept: where its data stay."""

    def __init__(self, kept: Path | None = None) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="refract-postgres-")
        folder = Path(self._folder.name)
        binaries = postgres_bin()
        if binaries is None:
            raise RuntimeError("initdb not found: run python -m tests.needs")
        user = unprivileged_user()
        if user:
            shutil.chown(folder, user)
        data = kept or folder / "data"
        if not (data / "PG_VERSION").exists():
            if kept:
                kept.mkdir(parents=True, exist_ok=True)
                shutil.chown(kept, user or os.getuid())
            initialise(binaries / "initdb", data, user, folder)
        self.port = free_port()
        self._process = Process(
            [
                str(binaries / "postgres"),
                *["-D", str(data)],
                f"--unix_socket_directories={folder}",
                f"--port={self.port}",
                "--fsync=off",
                "--full_page_writes=off",
            ],
            folder / "log",
            ends_on=signal.SIGINT,  # ends sessions too; SIGTERM would wait for them
            user=user,
        )
        self._process.wait_until(self._answers)
        atexit.register(self.stop)

    def url(self, database: str) -> str:
        return f"postgres://refract@127.0.0.1:{self.port}/{database}"

    def create(self, database: str, template: str = "template1") -> str:
        """A new database, a copy of the template; its URL. Nobody may be connected to that."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{database}" TEMPLATE "{template}"')
        return self.url(database)

    def count_nothing(self) -> None:
        """Never look at tables by itself. Tests fill them within transactions: what it counted
        before, a row or none, made plans that took minutes, on some days."""
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("ALTER SYSTEM SET autovacuum = off")
            connection.execute("SELECT pg_reload_conf()")

    def stop(self) -> None:
        self._process.stop()
        self._folder.cleanup()

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True


def initialise(initdb: Path, data: Path, user: str, folder: Path) -> None:
    """folder: to work in, readable by the user."""
    subprocess.run(
        [
            *as_user(user),
            str(initdb),
            f"--pgdata={data}",
            "--username=refract",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
        ],
        check=True,
        capture_output=True,
        cwd=folder,
    )


class Redis:
    """A Redis of its own that keeps nothing."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="refract-redis-")
        binary = redis_server()
        if binary is None:
            raise RuntimeError("redis-server not found: run python -m tests.needs")
        self.port = free_port()
        self._process = Process(
            [
                *[binary, "--port", str(self.port), "--bind", "127.0.0.1"],
                *["--save", "", "--dir", self._folder.name],
            ],
            Path(self._folder.name, "log"),
        )
        self._process.wait_until(lambda: accepts(self.port))
        self._databases = itertools.cycle(range(16))
        atexit.register(self.stop)

    def url(self) -> str:
        """One of its sixteen databases, the next each time."""
        return f"redis://127.0.0.1:{self.port}/{next(self._databases)}"

    def stop(self) -> None:
        self._process.stop()
        self._folder.cleanup()


@cache
def postgres() -> Postgres:
    """The Postgres of this test run."""
    return Postgres()


@cache
def redis() -> Redis:
    """The Redis of this test run."""
    return Redis()


class Refract:
    """Refract as people run it: one or more server processes on one data folder.

    env: settings of the app, DATABASE_URL and REDIS_URL among them. `url` is the first
    process's address, `urls` has all.
    """

    settings = "config.settings"
    serve = SERVE

    def __init__(self, data: Path, env: Mapping[str, str], processes: int = 1) -> None:
        self.data = data
        self.ports = [free_port() for _i in range(processes)]
        self.env = {
            **{name: value for name, value in os.environ.items() if not is_setting(name)},
            **env,
            "DJANGO_SETTINGS_MODULE": self.settings,
            "REFRACT_DATA": str(data),
        }
        self._processes: list[Process] = []
        self.password = ""
        """Of the account `researcher`."""

    @property
    def urls(self) -> list[str]:
        return [f"http://127.0.0.1:{port}" for port in self.ports]

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def pids(self) -> list[int]:
        """Of the server processes."""
        return [process.pid for process in self._processes]

    @property
    def log(self) -> str:
        """What the server processes have written so far."""
        return "\n".join(process.log for process in self._processes)

    def manage(self, *arguments: str) -> str:
        """Run a command of manage.py on this data; what it printed. Raises if it fails."""
        done = subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=self.env,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise RuntimeError(f"manage.py {' '.join(arguments)}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a query of SQL finds, on either database."""
        url = self.env.get("DATABASE_URL")
        connection = psycopg.connect(url) if url else sqlite3.connect(self.data / DATABASE)
        with closing(connection):
            return connection.execute(query).fetchall()

    def beside(self, name: str, argv: list[str]) -> Process:
        """Another process on this data, such as a Celery worker; whoever starts it stops it."""
        source_roots = os.pathsep.join([str(ROOT), str(ROOT / "platform")])
        env = {**self.env, "PYTHONPATH": source_roots}
        return Process(argv, self.data / f"{name}.log", env=env)

    def start(self) -> None:
        self._processes = [
            Process(
                [*self.serve, "--port", str(port)],
                self.data / f"server-{port}.log",
                env=self.env,
            )
            for port in self.ports
        ]
        for process, port in zip(self._processes, self.ports, strict=True):
            process.wait_until(partial(front_page, port))
            if (status := front_page(port)) != 200:
                raise RuntimeError(f"the front page answers {status}:\n{process.log}")

    def stop(self) -> None:
        for process in self._processes:
            process.stop()

    def kill9(self) -> None:
        for process in self._processes:
            process.kill9()

    def restart(self) -> None:
        self.stop()
        self.start()


def front_page(port: int) -> int:
    """Its HTTP status, 0 if nobody serves. By http.client: a proxy may be set for all else."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


class Template:
    """A Refract with the demo study, made once and copied for every test that starts a server."""

    def __init__(self, data: Path, *, full: bool) -> None:
        self._data = data
        self._full = full
        self._copies = itertools.count(1)
        made = Refract(data, self._services("template"))
        made.manage("migrate", "--verbosity", "0")
        made.manage("collectstatic", "--noinput", "--verbosity", "0")
        printed = made.manage("demo")
        found = re.search(r"password (\S+)", printed)
        if not found:
            raise RuntimeError(f"manage.py demo printed no password:\n{printed}")
        self.password = found[1]

    def copy(self, data: Path, env: Mapping[str, str], processes: int = 1) -> Refract:
        shutil.copytree(self._data, data)
        services = self._services(f"copy{next(self._copies)}", "template")
        refract = Refract(data, {**services, **env}, processes)
        refract.password = self.password
        return refract

    def _services(self, database: str, template: str = "template1") -> dict[str, str]:
        if not self._full:
            return {}
        return {
            "DATABASE_URL": postgres().create(database, template),
            "REDIS_URL": redis().url(),
        }
