"""Databases with a crowd, kept between runs: ten times PRISM takes minutes to make.

In $REFRACT_DATA/bench. They are made anew when what makes them, or a migration, has changed.
"""

import shutil
import sys
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from pathlib import Path

import psycopg

from tests.bench.data import DATA
from tests.bench.http import BenchError
from tests.servers import DATABASE, ROOT, Postgres, Refract, redis

FOLDER = DATA / "bench"
PRISM_PEOPLE = 1_500
TEN_TIMES = 10 * PRISM_PEOPLE
MAKERS = ("tests/bench/crowd.py", "tests/bench/bulk.py", "*/migrations/*.py")
MAKE = "from tests.bench import crowd; crowd.make({})"


@cache
def postgres() -> Postgres:
    return Postgres(FOLDER / "postgres")


@cache
def mark() -> str:
    """Of all that the databases are made from."""
    paths = sorted(path for pattern in MAKERS for path in ROOT.glob(pattern))
    return sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]


def full(people: int, data: Path, processes: int = 1) -> Refract:
    """A full stack, not started, on a Postgres with so many people. data: a new folder."""
    data.mkdir()
    name = f"crowd_{people}_{mark()}"
    with psycopg.connect(postgres().url("postgres"), autocommit=True) as connection:
        found = connection.execute("SELECT datname FROM pg_database").fetchall()
        names = {row[0] for row in found}
        for old in names:
            if old.startswith(f"crowd_{people}_") and old != name:
                connection.execute(f'DROP DATABASE "{old}"')
    is_new = name not in names
    url = postgres().create(f"{name}_new") if is_new else postgres().url(name)
    if is_new:
        fill(Refract(data, {"DATABASE_URL": url}), people)
        with psycopg.connect(postgres().url("postgres"), autocommit=True) as connection:
            # Whatever was made half has another name.
            connection.execute(f'ALTER DATABASE "{name}_new" RENAME TO "{name}"')
    env = {"DATABASE_URL": postgres().url(name), "REDIS_URL": redis().url()}
    return Refract(data, env, processes)


def copied(people: int, data: Path, env: Mapping[str, str], processes: int) -> Refract:
    """A full stack, not started, on a copy that may be written to. data: a new folder."""
    kept = full(people, data, processes)
    name = f"copy_{people}"
    with psycopg.connect(postgres().url("postgres"), autocommit=True) as connection:
        connection.execute(f'DROP DATABASE IF EXISTS "{name}"')
    url = postgres().create(name, f"crowd_{people}_{mark()}")
    kept.env |= {"DATABASE_URL": url, **env}
    kept.manage("collectstatic", "--noinput", "--verbosity", "0")
    return kept


def embedded(people: int) -> Refract:
    """An embedded Refract, not started, on a SQLite with so many people."""
    data = FOLDER / f"sqlite-{people}-{mark()}"
    if not data.is_dir():
        for old in FOLDER.glob(f"sqlite-{people}-*"):
            shutil.rmtree(old)
        new = data.with_name(f"new-{data.name}")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        fill(Refract(new, {}), people)
        new.rename(data)
    if not (data / DATABASE).is_file():
        raise BenchError(f"{data} has no database")
    return Refract(data, {})


def fill(refract: Refract, people: int) -> None:
    sys.stderr.write(f"A study with {people} people is made, once.\n")
    refract.manage("migrate", "--verbosity", "0")
    refract.manage("shell", "--verbosity", "0", "--command", MAKE.format(people))
