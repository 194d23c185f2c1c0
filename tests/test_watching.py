"""The live page of a study: figures that add up, pictures, and few queries."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from collection import charts, watching
from collection.models import Conversation, ModelCall, Reservation
from config import chores
from surveys.models import Decline, Participant, Study
from tests.export_cast import converse, make_person, make_study
from tests.servers import Refract

WATCH_QUERIES = 15


@pytest.fixture
def study(db: None) -> Study:
    study = make_study()
    forget(study)
    return study


def forget(study: Study) -> None:
    """Keys of other tests' studies are the same."""
    kept = [f"counted/watching/{study.pk}/{what}" for what in ("kept", "watched")]
    cache.delete_many([f"watching/quick/{study.pk}", *kept])


def arrive(study: Study, ago: timedelta = timedelta(0), **fields: Any) -> Participant:
    """Somebody who came, and did nothing else unless told otherwise."""
    person = Participant.objects.create(study=study, instrument=study.instrument, **fields)
    Participant.objects.filter(pk=person.pk).update(arrived_at=timezone.now() - ago)
    return person


def quick(study: Study) -> watching.Quick:
    return watching.measure_quick(study, timezone.now())


def address(study: Study) -> str:
    return reverse("admin:surveys_study_watch", args=[study.pk])


def words(response: Any) -> str:
    assert response.status_code == 200, response
    return " ".join(response.content.decode().split())


def test_it_works(admin_client: Client, study: Study) -> None:
    done = make_person(study, completed_at=timezone.now())
    for kind in ("unguided", "values guided"):
        converse(done, kind)
    text = words(admin_client.get(address(study)))
    assert '<th scope="row">Survey finished</th>' in text
    assert "being counted" in text
    assert 'aria-label="The last 24 hours: 1 in all, at most 1 in an hour, 1 in this one"' in text
    part = words(admin_client.get(address(study), headers={"HX-Request": "true"}))
    assert "<html" not in part
    assert "From link to finish" in part
    for text in (part, words(admin_client.get(address(study)))):
        assert "unguided" in text
        assert "vendor/model-a" in text
        assert "being counted" not in text


def test_a_chore_counts_while_somebody_watches(admin_client: Client, study: Study) -> None:
    converse(make_person(study))
    chores.do("figures")
    assert watching.slow(study, may_wait=False) is None
    admin_client.get(address(study))
    chores.do("figures")
    found = watching.slow(study, may_wait=False)
    assert found is not None
    assert found.types == [("unguided", 1, 0, 0)]


def test_nobody_yet(admin_client: Client, study: Study) -> None:
    assert "Nobody has arrived yet." in words(admin_client.get(address(study)))


def test_the_funnel(study: Study) -> None:
    arrive(study)
    make_person(study, finished=False)
    some = make_person(study)
    converse(some)
    make_person(study, completed_at=timezone.now())
    found = [(step.name, step.people, step.kept) for step in quick(study).funnel]
    assert found == [
        ("Arrived", 4, None),
        ("Consented", 3, 75),
        ("Survey finished", 2, 67),
        ("Conversation 1 complete", 1, 50),
        ("Conversation 3 complete", 0, 0),
        ("Conversation 6 complete", 0, None),
        ("Finished", 1, None),
    ]


def test_where_people_are_and_where_they_left(study: Study) -> None:
    now = timezone.now()
    arrive(study)
    arrive(study, timedelta(minutes=20))
    arrive(study, timedelta(hours=3))
    arrive(study, timedelta(hours=3), stopped_at=now)
    asked = make_person(study, finished=False)
    Participant.objects.filter(pk=asked.pk).update(arrived_at=now - timedelta(days=1))
    asked.pages.create(page="self_description", shown_at=now - timedelta(minutes=40))
    found = quick(study)
    assert found.here == 2
    survey = "Survey, page “self_description”"
    assert found.stages == [("Welcome and consent", 2, 1), (survey, 1, 0)]
    assert [one.where for one in found.stuck] == [survey, "Welcome and consent"]


def test_who_talks_is_not_stuck(study: Study) -> None:
    talker = make_person(study)
    talker.instructed_at = timezone.now() - timedelta(days=1)
    talker.save()
    Participant.objects.update(arrived_at=timezone.now() - timedelta(days=1))
    assert [left for _place, _here, left in quick(study).stages] == [1]
    converse(talker)
    found = quick(study)
    assert found.stuck == []
    assert found.stages == [("Conversations", 1, 0)]


def test_per_hour(study: Study) -> None:
    arrive(study)
    arrive(study, timedelta(hours=2))
    arrive(study, timedelta(hours=30))
    make_person(study, completed_at=timezone.now())
    found = quick(study)
    assert len(found.arrivals) == len(found.hours) == 24
    assert (found.arrivals[-1], found.arrivals[-3], sum(found.arrivals)) == (2, 1, 3)
    assert (found.completions[-1], sum(found.completions)) == (1, 1)


def test_types_scores_and_days(study: Study) -> None:
    now = timezone.now()
    first = make_person(study, completed_at=now - timedelta(days=2))
    Participant.objects.update(arrived_at=now - timedelta(days=2))
    make_person(study, completed_at=now)
    converse(first, scores=((1, 10, 11, 100), (95, 50)))
    technical = Conversation.State.TECHNICAL
    converse(first, "values guided", state=technical, scores=((20,),))
    found = watching.measure_slow(study)
    assert found.types == [("unguided", 1, 0, 0), ("values guided", 0, 0, 1)]
    assert found.scores == [2, 2, 0, 0, 1, 0, 0, 0, 0, 2]
    assert [number for _day, number in found.days] == [1, 1, 2]


def test_median_times(study: Study) -> None:
    now = timezone.now()
    for minutes in (10, 20, 30):
        make_person(study, completed_at=now)
        last = Participant.objects.latest("pk")
        shown = now - timedelta(hours=1)
        done = shown + timedelta(minutes=minutes)
        Participant.objects.filter(pk=last.pk).update(
            consent_shown_at=shown, survey_finished_at=done
        )
    make_person(study)  # has not finished
    assert ("Consent and survey", 900, 1200, 1500) in watching.measure_slow(study).times


def test_models_and_their_errors(study: Study) -> None:
    converse(make_person(study), scores=((70, 20, 30, 40),))
    calls = list(ModelCall.objects.filter(endpoint__long_name="vendor/model-a"))
    calls += [
        ModelCall.objects.create(
            attempt=calls[0].attempt,
            slot=0,
            try_number=number,
            endpoint=calls[0].endpoint,
            messages=[],
            parameters={},
            cost_usd=Decimal("0.5"),
            latency_ms=1000 * number,
            ended_at=timezone.now(),
            outcome=outcome,
            error_message=error,
        )
        for number, (outcome, error) in enumerate(
            [("ok", ""), ("timeout", ""), ("error", "529 Overloaded\n at line 3")], start=1
        )
    ]
    found = watching.measure_slow(study)
    row = next(row for row in found.models if row.name == "vendor/model-a")
    assert (row.calls, row.failed, row.timeouts, row.errors) == (4, 2, 1, 1)
    assert (row.answered, row.median_s, row.spent) == (50.0, 1.0, Decimal("1.5"))
    assert found.spent == Decimal("1.5")
    errors = [(model, said) for _at, model, said in quick(study).errors]
    assert errors == [
        ("vendor/model-a", "error: 529 Overloaded"),
        ("vendor/model-a", "over the time limit"),
    ]


def test_other_studies_do_not_count(study: Study) -> None:
    other = make_study("other")
    person = make_person(other, completed_at=timezone.now())
    converse(person)
    Decline.objects.create(study=other, date=timezone.now().date(), source="open link")
    found, all_of_it = quick(study), watching.measure_slow(study)
    assert (found.funnel[0].people, found.declined, sum(found.arrivals)) == (0, 0, 0)
    assert (all_of_it.types, sum(all_of_it.scores), all_of_it.days) == ([], 0, [])
    assert {row.calls for row in all_of_it.models} == {0}


def test_spend_against_the_budget(admin_client: Client, study: Study) -> None:
    person = make_person(study)
    Study.objects.filter(pk=study.pk).update(budget_usd=50)
    Reservation.objects.create(participant=person, study=study, amount_usd=1, spent_usd=39)
    assert "78 % of $50.00" in words(admin_client.get(address(study)))


def test_many_watchers_are_served_from_the_cache(admin_client: Client, study: Study) -> None:
    arrive(study)
    with CaptureQueriesContext(connection) as first:
        admin_client.get(address(study))
    with CaptureQueriesContext(connection) as second:
        admin_client.get(address(study))
    assert len(second) <= 5 < len(first)


def test_a_fixed_number_of_queries(study: Study) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            quick(study)
            watching.measure_slow(study)
        return len(seen)

    person = make_person(study, completed_at=timezone.now())
    converse(person)
    few = queries()
    for _number in range(3):
        arrive(study, timedelta(minutes=20))
        converse(make_person(study, completed_at=timezone.now()))
    assert queries() == few == WATCH_QUERIES


def test_not_for_everybody(client: Client, study: Study) -> None:
    assert client.get(address(study)).status_code == 302
    client.force_login(User.objects.create_user("bea", is_staff=True))
    assert client.get(address(study)).status_code == 403


@pytest.mark.parametrize(
    ("most", "top"), [(0, 2), (1, 2), (3, 4), (5, 10), (11, 20), (25, 40), (41, 100), (900, 1000)]
)
def test_scales_end_at_round_numbers(most: int, top: int) -> None:
    assert charts.ceiling([0, most]) == top


def test_pictures_say_what_they_show() -> None:
    drawn = charts.bars([0, 1, 4], ["a", "<b>"], 'At "most" 4')
    assert drawn.count("<rect") == 2
    assert 'height="100.0"' in drawn
    assert 'aria-label="At &quot;most&quot; 4"' in drawn
    assert "&lt;b&gt;" in drawn
    assert 'points="0.00,50.0 100.00,0.0"' in charts.line([1, 2], ["a"], "b")


ADA = """
from django.contrib.auth.models import User
User.objects.create_superuser("ada", password="pw")
"""
ONE_MORE = """
from surveys.models import Study
from tests.export_cast import make_person
make_person(Study.objects.get(slug="prism"))
"""


def test_the_page_updates_itself(embedded: Refract, page: Page) -> None:
    embedded.manage("shell", "-c", ADA + ONE_MORE)
    page.goto(f"{embedded.url}/admin/login/?next=/admin/surveys/study/1/live/")
    page.fill("#id_username", "ada")
    page.fill("#id_password", "pw")
    page.keyboard.press("Enter")
    arrived = page.locator(".funnel tbody tr").first.locator("td.num").first
    expect(arrived).to_have_text("1", timeout=30_000)
    embedded.manage("shell", "-c", ONE_MORE)
    expect(arrived).to_have_text("2", timeout=60_000)
