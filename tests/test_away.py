"""While the database is away."""

import pytest
from django.db import OperationalError

from surveys import visitor
from surveys.models import Study
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("method", ["get", "post"])
def test_it_says_so_kindly(study: Study, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    alice = Person(study, PROLIFIC_PID="alice").ready()

    def broken(*_args: object) -> None:
        raise OperationalError("terminating connection due to administrator command")

    with monkeypatch.context() as patch:
        patch.setattr(visitor, "find", broken)
        page = getattr(alice.client, method)("/s/prism/conversations/")
    assert page.status_code == 503
    assert page["Retry-After"] == "5"
    assert (b'http-equiv="refresh"' in page.content) == (method == "get")
    assert b"administrator" not in page.content
    assert alice.get().status_code == 200
