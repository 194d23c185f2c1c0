"""What a thread does about its connection to Postgres before it answers a request."""

from contextlib import closing

import pytest
from django.db import connection

from config import connecting

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def on_postgres() -> None:
    if connection.vendor != "postgresql":
        pytest.skip("a file has no connection that could be lost")


def served_by() -> int:
    """Id of the server's process."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def test_a_connection_that_stands_is_kept_and_not_asked() -> None:
    before = served_by()
    connection.close_if_unusable_or_obsolete()  # as when a request begins
    connecting.look_at_each()
    assert connection.health_check_done  # type: ignore[attr-defined]  # else Django would ask
    assert served_by() == before


def test_one_that_the_server_has_closed_is_not_used_again() -> None:
    before = served_by()
    with closing(connection.copy()) as another, another.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 10000)", [before])
    connecting.look_at_each()
    assert served_by() != before


def test_one_that_was_closed_here_is_made_anew() -> None:
    served_by()
    connection.connection.close()
    connecting.look_at_each()
    assert served_by()
