"""Releases built by real processes beside a running server: finished, killed, taken up again."""

import os
import re
import signal
import sqlite3
import time
import zipfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import httpx

from tests.conftest import AT_ONCE, Run
from tests.servers import DATABASE, READY_WITHIN_S, Refract

CAST = """
from django.db import transaction
from django.utils import timezone
from collection.models import Attempt
from surveys.models import Study
from tests.export_cast import make_cast
with transaction.atomic():
    make_cast(Study.objects.get(slug="prism"))
    Attempt.objects.update(settled_at=timezone.now())
"""
"""Settled, or the server would call their models anew."""
STATES = "SELECT edition || '.' || patch, state, file_name FROM collection_release ORDER BY id"


def signed_in(refract: Refract) -> httpx.Client:
    client = httpx.Client(base_url=refract.url, follow_redirects=True, trust_env=False, timeout=30)
    page = client.get("/admin/login/")
    fields = {"username": "researcher", "password": refract.password, "next": "/admin/"}
    assert client.post("/admin/login/", data=fields | token(page)).status_code == 200
    return client


def token(page: httpx.Response) -> dict[str, str]:
    found = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
    assert found
    return {"csrfmiddlewaretoken": found[1]}


def ask(client: httpx.Client, refract: Refract) -> httpx.Response:
    [(study,)] = refract.rows("SELECT id FROM surveys_study WHERE slug = 'prism'")
    pages = f"/admin/surveys/study/{study}/releases/"
    return client.post(pages, data=token(client.get(pages)))


def wait_until(is_so: Callable[[], object]) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while not is_so():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def builders(refract: Refract) -> list[int]:
    """Processes that build a release of this data folder."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            is_builder = b"build_release" in (folder / "cmdline").read_bytes()
            if is_builder and str(refract.data).encode() in (folder / "environ").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it has ended
            continue
    return found


def test_it_works_and_a_kill_leaves_nothing_half(run_embedded: Run, tmp_path: Path) -> None:
    refract = run_embedded(AT_ONCE)
    refract.manage("shell", "--no-imports", "--command", CAST)
    client = signed_in(refract)
    page = ask(client, refract)
    assert "<progress" in page.text
    wait_until(lambda: refract.rows(STATES) == [("1.0", "ready", "prism-1.0.zip")])
    archive = client.get("/desk/prism/release/1.0.zip").content
    (tmp_path / "1.zip").write_bytes(archive)
    with zipfile.ZipFile(tmp_path / "1.zip") as zipped:
        zipped.extractall(tmp_path)
    refract.manage("validate", str(tmp_path / "prism-1.0"))  # or it raises

    ask(client, refract)
    wait_until(lambda: refract.rows(STATES)[1][1] == "building")
    with closing(sqlite3.connect(refract.data / DATABASE, isolation_level=None)) as database:
        database.execute("BEGIN IMMEDIATE")  # it cannot end now
        wait_until(lambda: builders(refract))
        for pid in builders(refract):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not builders(refract))
        database.execute("ROLLBACK")
        assert refract.rows(STATES)[1] == ("2.0", "building", "")
        # A minute without a word goes by.
        database.execute("UPDATE collection_release SET heard_at = '2026-01-01' WHERE edition = 2")
    wait_until(lambda: refract.rows(STATES)[1] == ("2.0", "ready", "prism-2.0.zip"))
    assert [tries for (tries,) in refract.rows("SELECT tries FROM collection_release")] == [1, 2]
    assert client.get("/desk/prism/release/1.0.zip").content == archive
    wait_until(lambda: not builders(refract))
    left = sorted(path.name for path in (refract.data / "releases").iterdir())
    assert left == ["prism-1.0.zip", "prism-2.0.zip"]
