"""What the tests need besides Python packages: where it is, and how to get it.

Standard library only: `python -m tests.needs` runs before anything is installed.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from config.programs import postgres_bin, redis_server

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium() -> str | None:
    """The browser that the browser tests drive."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def ensurepip() -> bool:
    """Debian's python3 cannot make a virtual environment without one more package."""
    return importlib.util.find_spec("ensurepip") is not None


NEEDS: dict[str, Callable[[], object]] = {
    "chromium": chromium,
    "postgresql": postgres_bin,
    "redis-server": redis_server,
    "python3-venv": ensurepip,
}
"""Debian package -> finds what it brings."""


def missing() -> list[str]:
    return [package for package, find in NEEDS.items() if not find()]


def become_root() -> list[str] | None:
    """What to put before a command so that it runs as root; None if that takes a password."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0:
        return [sudo, "-n"]
    return None


def install(packages: list[str]) -> None:
    """Install Debian packages, if this is such a system and we may; otherwise do nothing."""
    root = become_root()
    if root is None or not shutil.which("apt-get"):
        return
    # A fresh machine may still be busy with updates of its own: wait for it.
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-qq"]
    apt += ["-o", "DPkg::Lock::Timeout=300"]
    sys.stderr.write(f"Installing {', '.join(packages)}\n")
    subprocess.run([*apt, "update"], check=False)
    subprocess.run([*apt, "install", "-y", "--no-install-recommends", *packages], check=False)


def main() -> None:
    if packages := missing():
        install(packages)
    if packages := missing():
        sys.exit(
            "The tests need Chromium, PostgreSQL, Redis and Python's venv. This machine "
            f"lacks: {', '.join(packages)}\n"
            f"On Debian or Ubuntu: apt-get install {' '.join(packages)}\n"
            "Elsewhere, put chromium, initdb and redis-server on the PATH."
        )


if __name__ == "__main__":
    main()
