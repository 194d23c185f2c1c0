"""The promises of the house: what may lie where, what may import what, what must start quickly."""

import os
import re
import socket
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tests.servers import ROOT, is_setting

OLDEST = "3.11.2"
"""Debian 12's Python."""
TEST_SETTINGS = {"DJANGO_SETTINGS_MODULE": "tests.settings"}
NOT_OURS = {".git", ".hypothesis", ".venv", "var", "node_modules", "__pycache__"}
REGISTRIES = re.compile(r"[p]ythonhosted\.org|[p]ypi\.org/simple|[n]pmjs\.org|[i]ndex-url")
MACHINE_PATH = re.compile(r"(?<![\w.:/-])/(?:home|root|Users|work|mnt)/\w")
LOCKS = ["requirements.txt", "requirements-dev.txt"]


def our_files() -> Iterator[Path]:
    """Every text file of the project. Not asked of git, which refuses other people's clones."""
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [
            name for name in folders if name not in NOT_OURS and not name.endswith("_cache")
        ]
        for path in (Path(folder, name) for name in files):
            if b"\0" not in path.read_bytes()[:1024]:
                yield path


def run_python(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A fresh Python at the top of the project, as a developer would start it."""
    inherited = {name: value for name, value in os.environ.items() if not is_setting(name)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**inherited, **env},
        capture_output=True,
        text=True,
    )


def lines_that_match(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{number}: {line}"
        for path in our_files()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]


def test_platform_is_the_standard_librarys() -> None:
    assert not (ROOT / "platform" / "__init__.py").exists()
    code = "import sys; sys.path.insert(0, '.'); import platform; print(platform.python_version())"
    assert run_python("-c", code).stdout.startswith("3.")


def test_platform_is_the_standard_librarys_in_a_server() -> None:
    """The server has both the project and the source root before the standard library."""
    code = "import sys; sys.path[:0] = ['platform', '.']; import config, platform; platform.node()"
    assert run_python("-c", code).stderr == ""


def test_no_file_names_a_package_registry() -> None:
    assert lines_that_match(REGISTRIES) == []


def test_no_file_names_a_path_of_one_machine() -> None:
    assert lines_that_match(MACHINE_PATH) == []


def test_imports_go_one_way() -> None:
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    done = run_python("-c", lint, PYTHONPATH="platform")
    assert done.returncode == 0, done.stdout


def test_settings_alone_read_the_environment() -> None:
    """The others name the settings module, or hand the environment on to a server."""
    readers = {
        str(path.relative_to(ROOT))
        for folder in ("collection", "surveys", "platform")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"\bos\.environ|\bgetenv", path.read_text())
    }
    assert readers == {
        "platform/config/settings.py",
        "platform/config/asgi.py",
        "platform/config/celery.py",
        "platform/config/stack.py",
        "collection/simulation/server.py",
    }


def locked(lock: str) -> dict[str, str]:
    return dict(line.split("==") for line in (ROOT / lock).read_text().splitlines())


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_names_and_versions_alone(lock: str) -> None:
    lines = (ROOT / lock).read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[a-z0-9-]+==[\w.+!]+", line)] == []


def test_what_is_tested_is_what_runs() -> None:
    runs, tests = locked("requirements.txt"), locked("requirements-dev.txt")
    assert runs.items() <= tests.items()


def test_the_locks_serve_the_oldest_python() -> None:
    """A lock made on a newer Python may hold releases that the oldest can't install."""
    names = locked("requirements-dev.txt")
    needed = {name: "".join(metadata(name).get_all("Requires-Python", [])) for name in names}
    assert {n: need for n, need in needed.items() if OLDEST not in SpecifierSet(need)} == {}


def test_the_locks_follow_pyproject() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = map(Requirement, project["dependencies"] + project["optional-dependencies"]["test"])
    versions = locked("requirements-dev.txt")
    assert [
        str(want)
        for want in wanted
        if versions.get(canonicalize_name(want.name), "") not in want.specifier
    ] == []


def test_no_migration_is_missing() -> None:
    # --dry-run because --check alone would still ask about renamed fields.
    done = run_python("manage.py", "makemigrations", "--check", "--dry-run", **TEST_SETTINGS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_check_loads_nothing_heavy() -> None:
    """Importing litellm takes five seconds; the others are for servers and workers."""
    code = (
        "import runpy, sys; sys.argv = ['manage.py', 'check'];"
        "runpy.run_path('manage.py', run_name='__main__');"
        "sys.exit(' '.join({'litellm', 'celery', 'uvicorn'} & set(sys.modules)) or 0)"
    )
    done = run_python("-c", code, **TEST_SETTINGS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_documents_name_targets_that_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    documents = [ROOT / "README.md", ROOT / "CONTRIBUTING.md"]
    named = {t for d in documents for t in re.findall(r"`make ([a-z-]+)", d.read_text())}
    assert "demo" in named
    assert named - targets == set()


@pytest.mark.parametrize("reach", ["connect", "connect_ex"])
def test_no_test_connects_beyond_this_machine(reach: str) -> None:
    with (
        socket.socket() as probe,
        pytest.raises(RuntimeError, match=r"tried to reach .*192\.0\.2\.1"),
    ):
        getattr(probe, reach)(("192.0.2.1", 80))


def test_no_test_looks_up_a_name() -> None:
    with pytest.raises(RuntimeError, match=r"look up example\.org"):
        socket.create_connection(("example.org", 80))
