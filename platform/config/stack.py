"""The whole stack on this machine, from locally installed servers: `make stack`.

Not a command of manage.py: Django's settings choose the database while they load, and here there
is none yet. DATABASE_URL and REDIS_URL, where they are set, are used instead of servers of our own.
"""

import os
import secrets
import shlex
import shutil
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path

import psycopg
import redis

from config import settings, web
from config.children import Child, Stop, end, keep_running, say
from config.programs import (
    BEAT,
    WORK,
    as_user,
    free_port,
    postgres_bin,
    redis_server,
    unprivileged_user,
)

READY_WITHIN_S = 60.0
DATABASE = "refract"
ENV_FILE = settings.DATA_DIR / "stack.env"
"""To run commands of manage.py beside the stack."""


def secret(file: Path) -> str:
    """A password made once and kept for its owner alone: other people may use this machine too."""
    if not file.exists():
        write_private(file, secrets.token_urlsafe(24))
    return file.read_text()


def write_private(file: Path, text: str) -> None:
    file.touch(0o600)
    file.write_text(text)


def postgres(folder: Path) -> tuple[Child, str]:
    """A Postgres whose data stay in the folder, and the address of our database on it."""
    binaries = postgres_bin()
    if binaries is None:
        sys.exit("There is no PostgreSQL: apt-get install postgresql, or set DATABASE_URL.")
    user = unprivileged_user()
    folder.mkdir(exist_ok=True)
    if user:
        shutil.chown(folder, user)
    password = secret(settings.DATA_DIR / "postgres.password")
    if not (folder / "data" / "PG_VERSION").exists():
        make_cluster(binaries, folder / "data", user, password)
    port = free_port()
    options = [f"--port={port}", "--listen_addresses=127.0.0.1", "--unix_socket_directories="]
    child = Child(
        "postgres",
        [str(binaries / "postgres"), "-D", str(folder / "data"), *options],
        ends_on=signal.SIGINT,  # ends its sessions too; SIGTERM would wait for them
        user=user,
        log=settings.DATA_DIR / "postgres.log",
    )
    server = f"postgres://{DATABASE}:{password}@127.0.0.1:{port}"
    start(child, lambda: psycopg.connect(f"{server}/postgres", connect_timeout=2).close())
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE])
        if known.fetchone() is None:
            connection.execute(f'CREATE DATABASE "{DATABASE}"')
    return child, f"{server}/{DATABASE}"


def make_cluster(binaries: Path, data: Path, user: str, password: str) -> None:
    given = data.parent / "password"
    write_private(given, password)
    if user:
        shutil.chown(given, user)
    command = [
        *[str(binaries / "initdb"), f"--pgdata={data}", f"--username={DATABASE}"],
        *["--auth=scram-sha-256", f"--pwfile={given}", "--encoding=UTF8", "--locale=C"],
    ]
    made = subprocess.run(  # noqa: S603 (our own command)
        [*as_user(user), *command], check=False, capture_output=True, text=True, cwd=data.parent
    )
    given.unlink()
    if made.returncode:
        who = f" It runs as {user}, who must be able to get there." if user else ""
        sys.exit(f"The database could not be made in {data}.{who}\n{made.stderr}")


def redis_of_our_own(folder: Path) -> tuple[Child, str]:
    """A Redis that keeps nothing: whatever must last is in Postgres."""
    binary = redis_server()
    if binary is None:
        sys.exit("There is no Redis: apt-get install redis-server, or set REDIS_URL.")
    folder.mkdir(exist_ok=True)
    password = secret(settings.DATA_DIR / "redis.password")
    port = free_port()
    lines = {"port": port, "bind": "127.0.0.1", "requirepass": password, "dir": f'"{folder}"'}
    lines |= {"save": '""', "appendonly": "no"}
    # In a file, for every user of the machine can read a command line.
    configuration = folder / "redis.conf"
    write_private(configuration, "".join(f"{name} {value}\n" for name, value in lines.items()))
    log = settings.DATA_DIR / "redis.log"
    child = Child("redis", [binary, str(configuration)], log=log)
    url = f"redis://:{password}@127.0.0.1:{port}/0"
    start(child, lambda: redis.Redis.from_url(url).ping())
    return child, url


def start(child: Child, use: Callable[[], object]) -> None:
    """Start a server and wait until it can be used. Ends the program if that fails."""
    child.start()
    give_up = time.monotonic() + READY_WITHIN_S
    while True:
        try:
            use()
        except (psycopg.OperationalError, redis.RedisError) as error:
            if not child.is_alive or time.monotonic() > give_up:
                child.kill()
                sys.exit(f"{child.name} did not start ({error}). It wrote to {child.log}.")
            time.sleep(0.1)
        else:
            return


def manage(env: dict[str, str], *arguments: str) -> None:
    command = [sys.executable, str(settings.BASE_DIR / "manage.py"), *arguments]
    done = subprocess.run(command, check=False, env=env)  # noqa: S603 (our own command)
    if done.returncode:
        sys.exit(f"manage.py {arguments[0]} has failed.")


def servers(env: dict[str, str]) -> list[Child]:
    """Those that are missing, started; their addresses go into the environment."""
    started = []
    if not settings.DATABASE_URL:
        child, env["DATABASE_URL"] = postgres(settings.DATA_DIR / "postgres")
        started.append(child)
    if not settings.REDIS_URL:
        child, env["REDIS_URL"] = redis_of_our_own(settings.DATA_DIR / "redis")
        started.append(child)
    return started


def tell(env: dict[str, str], base_url: str) -> None:
    names = ("DATABASE_URL", "REDIS_URL", "REFRACT_DATA")
    known = {name: env[name] for name in names if name in env}
    lines = (f"export {name}={shlex.quote(value)}\n" for name, value in known.items())
    write_private(ENV_FILE, "".join(lines))
    say(f"  Refract       {base_url}/  (the desk: {base_url}/admin/)")
    say(f"  Commands      . {ENV_FILE}; {sys.executable} manage.py …")
    say("  To end it     Ctrl-C; once more to end it at once")


def main() -> None:
    parser = ArgumentParser(prog="python -m config.stack", description=__doc__)
    web.add_arguments(parser, processes=2)
    options = parser.parse_args()
    stop = Stop()
    root = settings.BASE_DIR
    env = {**os.environ, "REFRACT_DATA": str(settings.DATA_DIR)}
    env["PYTHONPATH"] = os.pathsep.join([str(root), str(root / "platform")])
    listener = web.listen(options.host, options.port)  # first: what else is for nothing if it fails
    base_url = f"http://{options.host}:{listener.getsockname()[1]}"
    below: list[Child] = []
    try:
        below += servers(env)
        manage(env, "migrate", "--verbosity", "0")
        manage(env, "collectstatic", "--noinput", "--verbosity", "0")
        manage(env, "demo", "--if-empty", "--base-url", base_url)
    except SystemExit:
        end([below], stop)
        raise
    web.forget_counts()
    tell(env, base_url)
    chores = [Child("worker", WORK, env=env), Child("beat", BEAT, env=env)]
    keep_running([below, chores, web.children(listener, options.processes, env)], stop)
    ENV_FILE.unlink()


if __name__ == "__main__":
    main()
