"""Tells Prolific what lies in the outbox: each thing once, however often the connection breaks.

What was sent and not answered is looked up before it is sent again. A payment that can't be found
is never repeated by itself: a person decides.
"""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import Case, Q, When
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from surveys.models import SETTLED, Delivery, Recruitment, Submission
from surveys.prolific import (
    Limited,
    NotConnected,
    Prolific,
    Refused,
    Unanswered,
    Unreachable,
    named,
)
from surveys.recruiting import ACTIONS, excluded, siblings
from surveys.requests import add_bonus
from surveys.statuses import follow_study, learn, status_of

log = logging.getLogger("refract.recruiting")
Clock = Callable[[], datetime]
Kind = Delivery.Kind
State = Delivery.State
Json = dict[str, Any]

LEASE = timedelta(minutes=10)
"""A delivery that is being sent for so long has lost its process."""
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
WAIT_FOR_OTHERS = timedelta(minutes=1)
AT_ONCE = 200
"""Deliveries of a round."""
BROKEN = 3
"""Calls in a row without an answer that end a round: Prolific is down."""
LOOKED_FOR = timedelta(hours=2)
"""Bonuses are paid "in the following minutes"; one not listed after so long needs a person."""

CLOCKS_DIFFER = timedelta(minutes=5)


class NotYet(Exception):
    """Something else has to happen first, which is no failure."""


def send_due(clock: Clock = timezone.now, connect: Callable[[], Prolific] = Prolific) -> int:
    """Everything that is due. Returns how many deliveries ended. Never raises ProlificError."""
    due = list(waiting(clock()).values_list("pk", flat=True)[:AT_ONCE])
    if not due:
        return 0
    try:
        with connect() as prolific:
            return send_all(prolific, due, clock)
    except NotConnected as error:
        waiting(clock()).update(last_error=error.message)
        return 0


def waiting(now: datetime) -> Any:
    """The least tried first, so that one that always fails holds up no other; of these, studies to
    be made before all else, which may wait for one of them."""
    states = [State.DUE, State.UNSURE, State.SENDING]
    rows = Delivery.objects.filter(state__in=states, next_try_at__lte=now)
    makes = Case(When(kind=Delivery.Kind.CREATE, then=0), default=1)
    return rows.order_by("tries", makes, "pk")


def send_all(prolific: Prolific, due: list[int], clock: Clock) -> int:
    ended = broken = 0
    for pk in due:
        delivery = claim(pk, clock())
        if delivery is None:
            continue
        state = attempt(prolific, delivery, clock)
        ended += state in (State.DONE, State.REFUSED, State.UNCLEAR)
        broken = broken + 1 if state == State.UNSURE else 0
        if state is None or broken == BROKEN:
            break
    return ended


@transaction.atomic
def claim(pk: int, now: datetime) -> Delivery | None:
    """Mark it as being sent; None if somebody else has it. `was_sent`: it may have happened."""
    row = (
        Delivery.objects.select_for_update(of=("self",))
        .select_related("recruitment__study", "submission")
        .filter(pk=pk, next_try_at__lte=now, state__in=[State.DUE, State.UNSURE, State.SENDING])
        .first()
    )
    if row is None:
        return None
    if has_rival(row):
        Delivery.objects.filter(pk=pk).update(next_try_at=now + WAIT_FOR_OTHERS)
        return None
    row.was_sent = row.state != State.DUE
    row.state, row.tries, row.next_try_at = State.SENDING, row.tries + 1, now + LEASE
    row.save(update_fields=["state", "tries", "next_try_at"])
    return row


def has_rival(delivery: Delivery) -> bool:
    """Two bonuses of a submission under way at once could not be told apart."""
    if delivery.kind != Kind.BONUS:
        return False
    others = Delivery.objects.filter(submission=delivery.submission, kind=Kind.BONUS)
    under_way = Q(state__in=[State.SENDING, State.UNSURE, State.UNCLEAR])
    return others.exclude(pk=delivery.pk).filter(under_way).exists()


def attempt(prolific: Prolific, delivery: Delivery, clock: Clock) -> str | None:
    """One try. Returns the state it led to; None: Prolific wants to be left alone for now."""
    try:
        happened = None
        if delivery.was_sent:
            happened = LOOK_UP[Kind(delivery.kind)](prolific, delivery, clock)
        result = happened if happened is not None else send(prolific, delivery, clock)
    except NotYet as wait:
        return put_back(delivery, clock() + WAIT_FOR_OTHERS, str(wait), is_failure=False)
    except Limited as error:
        hold(delivery, clock(), error.message, error.retry_after_s)
        return None
    except (Unreachable, NotConnected) as error:
        hold(delivery, clock(), error.message, None)
        return None
    except Unanswered as error:
        return unanswered(delivery, clock(), error.message)
    except Refused as error:
        return end(delivery, State.REFUSED, clock(), error.message)
    return succeed(delivery, result, clock())


def send(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json:
    # From here on an outcome that nobody hears of may have happened.
    delivery.was_sent = True
    try:
        return SEND[Kind(delivery.kind)](prolific, delivery, clock)
    except (Limited, Unreachable, NotConnected, Refused, NotYet):
        delivery.was_sent = False
        raise


def wait_after(tries: int) -> timedelta:
    wait: timedelta = FIRST_WAIT * 2 ** min(tries - 1, 10)
    return min(LONGEST_WAIT, wait)


def put_back(delivery: Delivery, at: datetime, why: str, is_failure: bool = True) -> str:
    state = State.UNSURE if delivery.was_sent else State.DUE
    tries = delivery.tries if is_failure else delivery.tries - 1
    Delivery.objects.filter(pk=delivery.pk).update(
        state=state, next_try_at=at, last_error=why[:1000], tries=tries
    )
    return state


def hold(delivery: Delivery, now: datetime, why: str, retry_after_s: float | None) -> None:
    """Put it back, and let all others wait as long: they would fare no better."""
    asked = timedelta(seconds=retry_after_s or 0)
    until = now + max(asked, wait_after(delivery.tries))
    put_back(delivery, until, why)
    others = Delivery.objects.filter(state__in=[State.DUE, State.UNSURE], next_try_at__lt=until)
    others.update(next_try_at=until)


def unanswered(delivery: Delivery, now: datetime, why: str) -> str:
    began = parse_datetime(delivery.result.get("paying_at", ""))
    if began and now - began > LOOKED_FOR:
        return end(
            delivery,
            State.UNCLEAR,
            now,
            "The answer to a payment was lost, and Prolific does not list it. Look there, then "
            "say here whether it was paid.",
        )
    return put_back(delivery, now + wait_after(delivery.tries), why)


def end(delivery: Delivery, state: State, now: datetime, why: str) -> str:
    Delivery.objects.filter(pk=delivery.pk).update(
        state=state, last_error=why[:1000], done_at=now if state == State.DONE else None
    )
    log.info("delivery %s ended as %s", delivery.pk, state)
    return state


@transaction.atomic
def succeed(delivery: Delivery, result: Json, now: datetime) -> str:
    delivery.result = {**delivery.result, **result}
    delivery.save(update_fields=["result"])
    after = AFTER.get(Kind(delivery.kind))
    if after:
        after(delivery, now)
    return end(delivery, State.DONE, now, "")


# Each kind: how it is sent, how one finds out whether it happened, what follows


def create(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json:
    body = {**delivery.payload, "filters": with_ids(prolific, delivery.payload["filters"])}
    found = prolific.create_study(body)
    return {"id": str(named(found, "id")), "status": found.get("status", "UNPUBLISHED")}


def created(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json | None:
    name = delivery.payload["internal_name"]
    for row in prolific.studies():
        if row.get("internal_name") == name:
            return {"id": str(named(row, "id")), "status": row.get("status", "")}
    return None


def with_ids(prolific: Prolific, filters: list[Json]) -> list[Json]:
    """Prolific's ids in place of its labels. Raises Refused for a label it does not have."""
    if not any("labels" in row for row in filters):
        return filters
    known = {str(row.get("filter_id")): row for row in prolific.filters()}
    return [one_with_ids(known, row) if "labels" in row else row for row in filters]


def one_with_ids(known: Mapping[str, Json], row: Json) -> Json:
    found = known.get(row["filter_id"])
    if found is None:
        raise Refused(f"Prolific has no filter “{row['filter_id']}”.", 404)
    choices = {str(label).casefold(): key for key, label in (found.get("choices") or {}).items()}
    ids = []
    for label in row["labels"]:
        if label.casefold() not in choices:
            some = ", ".join(list((found.get("choices") or {}).values())[:8])
            raise Refused(
                f"Prolific's filter “{row['filter_id']}” has no “{label}”. It has: {some} …", 404
            )
        ids.append(choices[label.casefold()])
    made: Json = {"filter_id": row["filter_id"], "selected_values": ids}
    if "weights" in row:
        made["weightings"] = dict(zip(ids, row["weights"], strict=True))
    return made


def study_id(delivery: Delivery) -> str:
    """Raises NotYet until the study exists."""
    recruitment = Recruitment.objects.get(pk=delivery.recruitment_id)
    if not recruitment.external_id:
        raise NotYet(f"Waits until the study of {recruitment} exists at Prolific.")
    return recruitment.external_id


def publish(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json:
    """Its table's other studies are excluded first, so all of them have to exist."""
    own = study_id(delivery)
    others = [row for row in siblings(delivery.recruitment) if row.state != "closed"]
    if missing := [str(row) for row in others if not row.external_id]:
        raise NotYet(f"Waits until these studies exist at Prolific too: {', '.join(missing)}.")
    if others:
        filters = with_ids(prolific, delivery.payload["filters"])
        prolific.change_study(own, {"filters": [*filters, excluded(others)]})
    return {"status": prolific.transition_study(own, "PUBLISH").get("status", "ACTIVE")}


def published(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json | None:
    status = prolific.study(study_id(delivery)).get("status", "")
    return None if status in ("", "UNPUBLISHED") else {"status": status}


def raise_places(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json:
    prolific.change_study(study_id(delivery), delivery.payload)
    return {}


def places_raised(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json | None:
    there = prolific.study(study_id(delivery)).get("total_available_places") or 0
    return {} if there >= delivery.payload["total_available_places"] else None


def switch(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json:
    found = prolific.transition_study(study_id(delivery), delivery.payload["action"])
    return {"status": found.get("status", "")}


SWITCHED = {"PAUSE": ("PAUSED",), "START": ("ACTIVE",), "STOP": ("COMPLETED", "AWAITING REVIEW")}


def switched(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json | None:
    status = prolific.study(study_id(delivery)).get("status", "")
    return {"status": status} if status in SWITCHED[delivery.payload["action"]] else None


def submission_of(delivery: Delivery) -> Submission:
    assert delivery.submission is not None
    return delivery.submission


def decide(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json:
    found = prolific.transition_submission(submission_of(delivery).external_id, delivery.payload)
    return {"status": found.get("status", "")}


def decided(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json | None:
    found = prolific.submission(submission_of(delivery).external_id)
    status = status_of(found.get("status", ""))
    return {"status": found["status"]} if status in SETTLED else None


def request_return(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json:
    submission = submission_of(delivery)
    prolific.request_return(submission.external_id, delivery.payload["reason"])
    return {}


def return_requested(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json | None:
    found = prolific.submission(submission_of(delivery).external_id)
    is_over = status_of(found.get("status", "")) == Submission.Status.RETURNED
    return {} if found.get("return_requested") or is_over else None


def pay(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json:
    """What was paid before is noted first, and that money is on its way before it is."""
    submission, amount = submission_of(delivery), delivery.payload["amount"]
    before = paid(prolific, submission)
    study = Recruitment.objects.get(pk=delivery.recruitment_id).external_id
    csv = f"{submission.external_id},{amount // 100}.{amount % 100:02}"
    payment = prolific.prepare_bonus(study, csv)
    note(delivery, {"before": before, "payment": payment, "paying_at": clock().isoformat()})
    try:
        prolific.pay_bonus(payment)
    except (Limited, Unreachable, NotConnected, Refused):
        note(delivery, {})  # nothing was paid
        raise
    return {}


def paid(prolific: Prolific, submission: Submission) -> list[float]:
    return list(prolific.submission(submission.external_id).get("bonus_payments") or [])


def note(delivery: Delivery, result: Json) -> None:
    delivery.result = result
    delivery.save(update_fields=["result"])


def was_paid(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json | None:
    """None only if no payment was ever begun."""
    if "paying_at" not in delivery.result:
        return None
    amount = delivery.payload["amount"]
    now = paid(prolific, submission_of(delivery))
    if now.count(amount) > delivery.result["before"].count(amount):
        return {}
    raise Unanswered("A payment was begun; its answer was lost, and Prolific does not list it yet.")


def write(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json:
    study = Recruitment.objects.get(pk=delivery.recruitment_id).external_id
    prolific.send_message(submission_of(delivery).person, study, delivery.payload["body"])
    return {}


def written(prolific: Prolific, delivery: Delivery, clock: Clock) -> Json | None:
    wanted = delivery.payload["body"].split()
    since = delivery.created_at - CLOCKS_DIFFER
    for row in prolific.messages(submission_of(delivery).person):
        at = parse_datetime(str(row.get("sent_at") or row.get("datetime_created") or ""))
        if str(row.get("body", "")).split() == wanted and (at is None or at >= since):
            return {}
    return None


Step = Callable[[Prolific, Delivery, Clock], Json]
Look = Callable[[Prolific, Delivery, Clock], Json | None]

SEND: dict[Kind, Step] = {
    Kind.CREATE: create,
    Kind.PUBLISH: publish,
    Kind.PLACES: raise_places,
    Kind.PAUSE: switch,
    Kind.RESUME: switch,
    Kind.STOP: switch,
    Kind.APPROVE: decide,
    Kind.REJECT: decide,
    Kind.RETURN: request_return,
    Kind.BONUS: pay,
    Kind.MESSAGE: write,
}
LOOK_UP: dict[Kind, Look] = {
    Kind.CREATE: created,
    Kind.PUBLISH: published,
    Kind.PLACES: places_raised,
    Kind.PAUSE: switched,
    Kind.RESUME: switched,
    Kind.STOP: switched,
    Kind.APPROVE: decided,
    Kind.REJECT: decided,
    Kind.RETURN: return_requested,
    Kind.BONUS: was_paid,
    Kind.MESSAGE: written,
}


def keep_study(delivery: Delivery, now: datetime) -> None:
    row = delivery.recruitment
    row.external_id, row.state = delivery.result["id"], Recruitment.State.CREATED
    row.external_status, row.external_status_at = delivery.result["status"], now
    row.save(update_fields=["external_id", "state", "external_status", "external_status_at"])


def keep_study_status(delivery: Delivery, now: datetime) -> None:
    action = ACTIONS.get(Kind(delivery.kind))
    state = action[1] if action else Recruitment.State.LIVE
    rows = Recruitment.objects.filter(pk=delivery.recruitment_id)
    rows.update(state=state, read_due_at=None)
    follow_study(rows.get(), delivery.result["status"], now)


def keep_places(delivery: Delivery, now: datetime) -> None:
    places = delivery.payload["total_available_places"]
    Recruitment.objects.filter(pk=delivery.recruitment_id).update(places=places)


def keep_decision(delivery: Delivery, now: datetime) -> None:
    if status := delivery.result.get("status"):
        learn(submission_of(delivery), status, now)


def keep_return(delivery: Delivery, now: datetime) -> None:
    rows = Submission.objects.filter(pk=submission_of(delivery).pk, return_requested_at=None)
    rows.update(return_requested_at=now)


def keep_bonus(delivery: Delivery, now: datetime) -> None:
    add_bonus(submission_of(delivery), delivery.payload["amount"])


AFTER: dict[Kind, Callable[[Delivery, datetime], None]] = {
    Kind.CREATE: keep_study,
    Kind.PUBLISH: keep_study_status,
    Kind.PLACES: keep_places,
    Kind.PAUSE: keep_study_status,
    Kind.RESUME: keep_study_status,
    Kind.STOP: keep_study_status,
    Kind.APPROVE: keep_decision,
    Kind.REJECT: keep_decision,
    Kind.RETURN: keep_return,
    Kind.BONUS: keep_bonus,
}
