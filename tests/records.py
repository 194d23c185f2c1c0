"""What tests of durability need of the database of a running Refract: people, and what is there.

Runs inside that Refract, by `manage.py shell`; prints JSON.
"""

import json
import sys
from typing import Any

from django.db.models import Sum

from collection.models import Attempt, Conversation, ModelCall, Reservation
from surveys.models import Consent, Participant, Response, Study
from surveys.visitor import cookie_name, signer
from tests.cast import set_protocol
from tests.walk import Person

SLUG = "prism"


def prepare(people: int, models: str, delay_s: float) -> None:
    """People about to choose their first conversation of three. Prints their keys and cookies.

    One has answered the survey, and the others have given the same answers.
    models: address of a model server, where each model has a name of its own, and a price. Half are
    quick and half are slow, so that most turns have some of their replies before the others.
    """
    study = Study.objects.get(slug=SLUG)
    set_protocol(study, conversations_per_type=1)
    Study.objects.filter(pk=study.pk).update(budget_usd=1000)
    for number, endpoint in enumerate(study.endpoints.all()):
        takes_s = delay_s * (1.7 if number % 2 else 0.3) + number / 1000
        endpoint.litellm_model = f"openai/delay-{takes_s:.3f}"
        endpoint.api_base = models
        endpoint.input_price = endpoint.output_price = 1
        endpoint.save()
    first = Person(study)
    first.client.defaults["SERVER_NAME"] = "localhost"
    first.survey()
    first.post("instructions/")
    tell([cookie(person) for person in [first.row, *copies(first.row, people - 1)]])


def copies(first: Participant, number: int) -> list[Participant]:
    moments = ("consent_shown_at", "survey_finished_at", "instructed_at")
    known = {name: getattr(first, name) for name in ("study", "instrument", *moments)}
    people = Participant.objects.bulk_create(Participant(**known) for _person in range(number))
    agreed, answers = first.consent, list(first.responses.all())
    Consent.objects.bulk_create(
        Consent(participant=person, text=agreed.text, version=agreed.version, sha256=agreed.sha256)
        for person in people
    )
    Reservation.objects.bulk_create(
        Reservation(participant=person, study=person.study, amount_usd=1) for person in people
    )
    Response.objects.bulk_create(
        Response(participant=person, question=a.question, value=a.value, touches=a.touches)
        for person in people
        for a in answers
    )
    return people


def cookie(person: Participant) -> list[str]:
    """Key of the person, name and value of the cookie."""
    return [person.key, cookie_name(SLUG), signer(SLUG).sign(f"{person.key}:trusted")]


def everything() -> None:
    """Prints who has finished, what is stored of each conversation, all attempts and all calls."""
    people = Participant.objects.filter(study__slug=SLUG)
    conversations = Conversation.objects.select_related("participant", "feedback")
    calls = ModelCall.objects.order_by("attempt", "slot", "try_number")
    tell(
        {
            "finished": list(people.exclude(completed_at=None).values_list("key", flat=True)),
            "conversations": [as_stored(conversation) for conversation in conversations],
            "spent": {
                "by call": float(calls.aggregate(sum=Sum("cost_usd"))["sum"]),
                "by person": float(Reservation.objects.aggregate(sum=Sum("spent_usd"))["sum"]),
            },
            "attempts": [times(attempt) for attempt in Attempt.objects.all()],
            "calls": [
                {
                    "slot": [call.attempt_id, call.slot],
                    "sent": [call.endpoint.litellm_model, call.messages],
                    "outcome": call.outcome,
                    "error_class": call.error_class,
                }
                for call in calls.select_related("endpoint")
            ],
        }
    )


def as_stored(conversation: Conversation) -> dict[str, Any]:
    """In the same shape as a Talker's notes."""
    turns = []
    for interaction in conversation.interactions.order_by("turn"):
        replies = list(interaction.utterances.order_by("position"))
        turns.append(
            {
                "prompt": interaction.user_prompt,
                "replies": [reply.text_shown for reply in replies],
                "scores": [reply.score for reply in replies],
            }
        )
    ratings = conversation.attributes.order_by("kind", "attribute")
    feedback = getattr(conversation, "feedback", None)
    return {
        "person": conversation.participant.key,
        "number": conversation.number,
        "turns": turns,
        "attributes": list(ratings.values_list("kind", "attribute", "value")),
        "feedback": feedback.open_feedback if feedback else None,
    }


def times(attempt: Attempt) -> list[float | None]:
    """When it began and when it was settled, in seconds since 1970."""
    settled = attempt.settled_at
    return [attempt.started_at.timestamp(), settled.timestamp() if settled else None]


def tell(found: object) -> None:
    sys.stdout.write(json.dumps(found))
