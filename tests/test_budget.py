"""Money: set aside at consent, settled call by call, and kind to those who come too late."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from collection import budget, endpoints
from collection.models import Attempt, ModelCall, ModelEndpoint, Reservation
from surveys.models import Participant, Study
from tests.cast import set_protocol, use_models
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def prices(study: Study) -> None:
    """Ten dollars per million tokens in, fifty out."""
    ModelEndpoint.objects.update(input_price=Decimal(10), output_price=Decimal(50))


def give(study: Study, people: int) -> Decimal:
    """Set a budget that is enough for so many people; what one is expected to cost."""
    one = budget.per_person(study)
    Study.objects.filter(pk=study.pk).update(budget_usd=one * people + one / 2)
    return one


def test_expected_cost_follows_the_price_list(study: Study) -> None:
    # Each reply has 64 tokens at most, as the endpoints' parameters say.
    opening = 4 * (150 * 10 + 64 * 50)
    continuing = sum(2 * ((150 + turn * (150 + 64)) * 10 + 64 * 50) for turn in (1, 2, 3))
    assert budget.per_person(study) == 6 * Decimal(opening + continuing) / 1_000_000


def test_it_works(study: Study) -> None:
    one = give(study, people=2)
    for name in ("ann", "ben"):
        Person(study, PROLIFIC_PID=name).consent()
    study.refresh_from_db()
    standing = budget.standing(study)
    assert standing is not None
    assert standing.spent == 0
    assert standing.reserved == pytest.approx(2 * one)
    assert not standing.has_room
    late = Person(study, PROLIFIC_PID="cleo").arrive()
    assert late.status_code == 403
    assert b"cannot take new participants at the moment" in late.content
    assert Participant.objects.count() == 2  # nothing about the third was kept


def test_who_has_arrived_but_not_consented_is_told_too(study: Study) -> None:
    give(study, people=1)
    ann, ben = Person(study, PROLIFIC_PID="ann"), Person(study, PROLIFIC_PID="ben")
    ann.arrive()
    ben.arrive()
    assert ann.consent().status_code == 200
    assert b"cannot take new participants" in ben.consent().content
    assert not hasattr(ben.row, "consent")
    assert Reservation.objects.count() == 1


def test_consenting_twice_reserves_once(study: Study) -> None:
    give(study, people=1)
    ann = Person(study, PROLIFIC_PID="ann")
    ann.consent()
    assert ann.consent().status_code == 200
    assert Reservation.objects.count() == 1


def test_calls_are_settled_as_they_end_and_nobody_is_cut_off(study: Study) -> None:
    give(study, people=1)
    ann = Person(study, PROLIFIC_PID="ann").ready()
    Study.objects.filter(pk=study.pk).update(budget_usd=Decimal("0.01"))
    ann.converse()
    cost = sum(call.cost_usd or 0 for call in ModelCall.objects.all())
    assert cost > 0
    assert Reservation.objects.get().spent_usd == cost
    assert ann.conversation.state == "complete"


def test_what_is_not_needed_is_given_back(study: Study) -> None:
    give(study, people=1)
    ann = Person(study, PROLIFIC_PID="ann").ready()
    ann.converse()
    assert budget.lapse() == 0
    ann.post("leave/")
    Participant.objects.update(stopped_at=timezone.now())
    assert budget.lapse() == 1
    study.refresh_from_db()
    standing = budget.standing(study)
    assert standing is not None
    assert standing.reserved == 0
    assert standing.spent == Reservation.objects.get().spent_usd


def test_who_is_silent_for_a_day_is_not_expected_back(study: Study) -> None:
    give(study, people=1)
    Person(study, PROLIFIC_PID="ann").consent()
    Reservation.objects.update(created_at=timezone.now() - timedelta(hours=25))
    assert budget.lapse() == 1
    assert Person(study, PROLIFIC_PID="ben").consent().status_code == 200


def test_what_people_really_cost_says_more_than_the_price_list(study: Study) -> None:
    now = timezone.now()
    for number in range(budget.ENOUGH_PEOPLE):
        participant = Participant.objects.create(
            study=study, instrument=study.instrument, completed_at=now
        )
        Reservation.objects.create(
            participant=participant,
            study=study,
            amount_usd=9,
            spent_usd=Decimal(number % 2),
            closed_at=now,
        )
    assert budget.per_person(study) == Decimal("0.5") * budget.MARGIN


def test_without_a_budget_nothing_is_asked(study: Study, django_assert_num_queries: Any) -> None:
    participant = Participant.objects.create(study=study, instrument=study.instrument)
    with django_assert_num_queries(0):
        budget.check_room(study)
        budget.reserve(participant)
    assert budget.standing(study) is None


def test_an_endpoint_whose_money_is_spent_is_not_drawn(
    study: Study, model_server: ModelServer
) -> None:
    cheap, dear, *_others = use_models(study, model_server, *["ok"] * 4)
    dear.input_price = dear.output_price = Decimal(100)
    dear.budget_usd = Decimal("0.001")
    dear.save()
    set_protocol(study, opening_models=3)
    ann = Person(study, PROLIFIC_PID="ann").ready()
    ann.start()
    ann.prompt(0)
    assert dear.pk not in Attempt.objects.get().eligible
    assert cheap.pk in Attempt.objects.get().eligible
    assert not endpoints.has_money(dear)
    dear.budget_usd = Decimal(1)
    assert endpoints.has_money(dear)
