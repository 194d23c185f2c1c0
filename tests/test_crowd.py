"""The study that `make bench` measures with, at a small size."""

from pathlib import Path

import pytest

from collection.export.validate import validate
from collection.export.write import write_release
from surveys.models import Participant
from tests.bench import crowd

pytestmark = pytest.mark.django_db

PEOPLE = 20


def test_it_works(tmp_path: Path) -> None:
    rows = write_release(crowd.make(PEOPLE), tmp_path)
    size = crowd.size_for(PEOPLE)
    names = ("survey", "conversations", "utterances")
    found = tuple(rows[f"{name}.jsonl"] for name in names)
    assert found == (size.people, size.conversations, size.replies)
    assert [str(deviation) for deviation in validate(tmp_path) if not deviation.is_note] == []
    assert Participant.objects.count() > PEOPLE


def test_it_is_the_same_each_time(tmp_path: Path) -> None:
    def size_of_all(people: int) -> crowd.Size:
        talks = crowd.talks_of_all(crowd.size_for(people))
        flat = [talk for of_one in talks for talk in of_one]
        turns = sum(talk.turns for talk in flat)
        opening = sum(talk.opening_replies for talk in flat)
        return crowd.Size(len(talks), len(flat), turns, opening + 2 * (turns - len(flat)))

    assert size_of_all(crowd.PRISM.people) == crowd.PRISM
    assert crowd.PRISM.texts == 106_554
    assert size_of_all(15_000) == crowd.size_for(15_000)
