"""Releases of what is odd, broken off or too much: right or absent, and what was there stays."""

import errno
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from collection.export import handover, write
from collection.export.validate import validate
from collection.export.write import write_release
from collection.models import Conversation, ModelCall, Utterance
from surveys import enrolment
from surveys.instruments.load import FOLDER, keep, parse
from surveys.models import Study
from tests.export_cast import (
    add_failed_turn,
    converse,
    make_cast,
    make_person,
    make_study,
)
from tests.test_import_release import PRISM

pytestmark = pytest.mark.django_db

Row = dict[str, Any]


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


def released(study: Study, folder: Path) -> dict[str, list[Row]]:
    """The files of a release, which is sound, read as JSON lines are: at LF alone."""
    write_release(study, folder)
    assert [str(d) for d in validate(folder) if not d.is_note] == []
    return {
        path.stem: [json.loads(line) for line in path.read_bytes().split(b"\n") if line]
        for path in folder.glob("*.jsonl")
    }


def a_thing_or_two(folder: Path) -> dict[str, bytes]:
    """All files by name, also those in folders, none of them hidden."""
    names = {p: p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {name: p.read_bytes() for p, name in names.items() if not name.startswith(".")}


# Odd studies


def test_nobody(study: Study, tmp_path: Path) -> None:
    found = released(study, tmp_path)
    assert {name: len(rows) for name, rows in found.items() if rows} == {"models": 5}


def test_one_participant(study: Study, tmp_path: Path) -> None:
    make_person(study)
    found = released(study, tmp_path)
    assert (len(found["survey"]), found["conversations"]) == (1, [])
    assert found["survey"][0]["survey_only"] is True


def test_half_finished_people(study: Study, tmp_path: Path) -> None:
    make_person(study, finished=False)
    converse(make_person(study, minute=1), state=Conversation.State.OPEN)
    last = make_person(study, minute=2)
    converse(last, scores=((70, 20),))
    add_failed_turn(converse(last), 2)
    found = released(study, tmp_path)
    assert [row["num_completed_conversations"] for row in found["survey"]] == [0, 1]
    assert [row["conversation_turns"] for row in found["conversations"]] == [2]


def test_everybody_withdrew(study: Study, tmp_path: Path) -> None:
    for minute in range(2):
        person = make_person(study, minute=minute)
        converse(person)
        enrolment.withdraw(person)
    found = released(study, tmp_path)
    assert (found["survey"], found["conversations"], found["utterances"]) == ([], [], [])
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["not_released"]["people"] == {"withdrawn": 2}


PLANES = "".join(chr(plane * 0x10000 + 0x41) for plane in (*range(4), *range(14, 17)))
ODD = [
    pytest.param(PLANES, id="every plane"),
    pytest.param("a\u2028b\u2029c\u0085d\x1ee\x0bf\x0cg", id="ends of lines that are none"),
    pytest.param(
        "e\u0301 \u202eleft\u202c \ufeff \u200b \ufdd0 \uffff", id="marks and noncharacters"
    ),
    pytest.param('\\"\\u0041\\n{}</script>\t\r\n.', id="escapes"),
    pytest.param("é" * 1_000_000, id="a million characters"),
]


@pytest.mark.parametrize("text", ODD)
def test_odd_texts(study: Study, tmp_path: Path, text: str) -> None:
    person = make_person(study, answers={"self_description": {"text": text}})
    talk = converse(person, prompt=text, reply=text)
    talk.feedback.open_feedback = text
    talk.feedback.save()
    found = released(study, tmp_path)
    assert found["survey"][0]["self_description"] == text.strip()
    assert found["utterances"][0]["model_response"].startswith(text.strip())
    assert found["conversations"][0]["opening_prompt"].startswith(text.strip())
    assert found["conversations"][0]["open_feedback"] == text.strip()


def test_a_reply_that_failed_has_no_row(study: Study, tmp_path: Path) -> None:
    """Its slot and its call are kept, and the others are numbered without it."""
    talk = converse(make_person(study))
    lost = Utterance.objects.get(interaction__conversation=talk, interaction__turn=0, score=20)
    ModelCall.objects.filter(pk=lost.call_id).update(outcome=ModelCall.Outcome.TIMEOUT)
    place = lost.within_turn_id
    opening = lost.interaction
    lost.delete()
    for reply in opening.utterances.filter(within_turn_id__gt=place).order_by("within_turn_id"):
        reply.within_turn_id -= 1
        reply.save()
    for position, reply in enumerate(opening.utterances.order_by("position")):
        reply.position = position
        reply.save()
    found = released(study, tmp_path)
    items = [i for i in found["conversations"][0]["conversation_history"] if i["turn"] == 0]
    assert [item["score"] for item in items[1:]] == [70, 30, 40]
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert {"timeout": 1} in [
        {k: v for k, v in kinds["unguided"].items() if k == "timeout"}
        for kinds in manifest["calls"].values()
    ]


def test_a_turn_that_was_never_scored_is_left_out(study: Study, tmp_path: Path) -> None:
    talk = converse(make_person(study))
    turn = talk.interactions.create(turn=2, user_prompt="More?", state="settled")
    assert not turn.utterances.exists()
    found = released(study, tmp_path)
    assert found["conversations"][0]["conversation_turns"] == 2


def test_an_instrument_that_changed_in_between(study: Study, tmp_path: Path) -> None:
    make_person(study)
    text = (FOLDER / "prism.yaml").read_text(encoding="utf-8")
    newer = keep(parse("newer", text.replace("label: Very familiar", "label: Most familiar")))
    Study.objects.filter(pk=study.pk).update(instrument=newer)
    study.refresh_from_db()
    make_person(study, minute=1)
    found = released(study, tmp_path)
    assert [row["instrument"] for row in found["survey"]][1] == newer.sha256
    assert len(json.loads((tmp_path / "instrument.json").read_text())) == 2


# Broken off


def fails(error: OSError, after: int) -> Callable[..., Any]:
    """A file's write that fails when so many lines are written."""
    real = write.line
    written = 0

    def line(row: Row) -> str:
        nonlocal written
        written += 1
        if written > after:
            raise error
        return real(row)

    return line


@pytest.mark.parametrize("after", [0, 5, 60])
def test_a_full_disk(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    make_cast(study)
    write_release(study, tmp_path)
    before = a_thing_or_two(tmp_path)
    make_person(study, minute=9)
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(write, "line", fails(error, after))
    with pytest.raises(CommandError, match=r"Cannot write the release: .*No space left"):
        call_command("export", study.slug, "--out", tmp_path)
    assert a_thing_or_two(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_disk_that_is_full_when_files_are_moved(
    study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next export, or whatever settles the folder, goes on where this one ended."""
    make_cast(study)
    write_release(study, tmp_path / "right")
    make_person(study, minute=9)
    write_release(study, tmp_path / "newer")
    folder = tmp_path / "right"
    moved = 0
    real = Path.replace

    def replace(path: Path, target: Any) -> Path:
        nonlocal moved
        moved += 1
        if moved == 4:
            raise OSError(errno.EIO, "broken")
        return real(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", replace)
        with pytest.raises(OSError, match="broken"):
            write_release(study, folder)
    assert not (folder / "manifest.json").exists()
    assert "unfinished" in [deviation.rule for deviation in validate(folder)]
    handover.settle(folder)
    assert a_thing_or_two(folder) == a_thing_or_two(tmp_path / "newer")
    assert [p.name for p in folder.iterdir() if p.name.startswith(".")] == []


def test_a_download_says_why_there_is_none(
    study: Study, monkeypatch: pytest.MonkeyPatch, admin_client: Client
) -> None:
    make_person(study)
    error = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    monkeypatch.setattr(write, "line", fails(error, 0))
    for name in ("", "survey.jsonl"):
        answer = admin_client.get(f"/desk/{study.slug}/export/{name}")
        assert answer.status_code < 500
        assert "No space left on device" in answer.content.decode()


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {root!r})
from collection.export import handover
folder = Path({folder!r})
real, left = Path.replace, {moves}
def replace(path, target):
    global left
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    return real(path, target)
with handover.aside(folder) as aside:
    for name in ("a", "b", "manifest.json"):
        (aside / name).write_text("new")
    if {moves} < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    Path.replace = replace
    handover.hand_over(aside, folder, ["a", "b", "manifest.json"], ["old"])
"""


@pytest.mark.parametrize("moves", [-1, 0, 1, 2, 3])
def test_a_process_that_is_killed(tmp_path: Path, moves: int) -> None:
    """Before the list is there, what was there stays; after it, the new release comes whole."""
    for name in ("a", "b", "old", "manifest.json", "notes.txt"):
        (tmp_path / name).write_text("before")
    script = KILLED.format(root=str(Path(__file__).parents[1]), folder=str(tmp_path), moves=moves)
    ended = subprocess.run([sys.executable, "-c", script], check=False)
    assert ended.returncode == -signal.SIGKILL
    handover.settle(tmp_path)
    left = {name: text.decode() for name, text in a_thing_or_two(tmp_path).items()}
    before = dict.fromkeys(("a", "b", "old", "manifest.json", "notes.txt"), "before")
    new = dict.fromkeys(("a", "b", "manifest.json"), "new") | {"notes.txt": "before"}
    assert left == (before if moves < 1 else new)
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_somebody_else_is_writing(study: Study, tmp_path: Path) -> None:
    """Their files stay where they are until they are whole."""
    with handover.aside(tmp_path) as theirs:
        (theirs / "survey.jsonl").write_text("half")
        write_release(study, tmp_path)
        assert (theirs / "survey.jsonl").read_text() == "half"
    assert [d for d in validate(tmp_path) if not d.is_note] == []


def is_there(folder: Path, pattern: str) -> bool:
    return any(folder.glob(pattern))


@pytest.mark.servers
def test_a_real_export_that_is_killed(embedded: Any, tmp_path: Path) -> None:
    """kill -9 at its beginning and in its middle; what was there stays, the next one is whole."""
    embedded.manage("import_release", str(PRISM), "--study", "old")
    folder = tmp_path / "out"
    argv = ["export", "old", "--out", str(folder)]
    embedded.manage(*argv)
    before = a_thing_or_two(folder)
    for sign in (".release-*", ".release-*/utterances.jsonl"):
        export = embedded.beside("export", [sys.executable, "manage.py", *argv])
        with suppress(RuntimeError):  # it had ended before anybody looked
            export.wait_until(partial(is_there, folder, sign))
        export.kill9()
        handover.settle(folder)
        assert a_thing_or_two(folder) == before
    embedded.manage(*argv)
    assert a_thing_or_two(folder) == before
    assert not list(folder.glob(".release-*"))
