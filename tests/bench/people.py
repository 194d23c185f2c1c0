"""People who have done their survey, made at once, and what the database has of them in the end.

Runs inside the Refract that is measured, by `manage.py shell`; prints JSON.
"""

import json
import sys
from collections import Counter

from django.db.models import Count, Q
from django.utils import timezone

from collection import releases
from collection.models import (
    Attempt,
    Conversation,
    Interaction,
    ModelCall,
    ModelEndpoint,
    Release,
    Utterance,
)
from surveys import enrolment
from surveys.models import Consent, Participant, Study
from surveys.visitor import cookie_name, signer
from tests.bench.stub import MODEL, PARAMETERS, TEXT
from tests.bench.talk import WORDS

SLUG = "prism"
ENDPOINTS = 8
"""Four are drawn from them."""
HEADER = "You are a conversational assistant. Limit your answers to around 50 words."
OK = ModelCall.Outcome.OK


def use_stub(url: str) -> None:
    """Give the study models that the stub answers for, and no others."""
    made = [
        ModelEndpoint.objects.create(
            long_name=f"stub/model-{number}",
            short_name=f"model-{number}",
            longcode=f"M{number}",
            model_family="Stub",
            model_provider="Stub",
            provider_code="stub",
            model_provider_type="Open Access",
            model_type="Chat",
            header=HEADER,
            parameters=PARAMETERS,
            litellm_model=MODEL,
            api_base=url,
        )
        for number in range(ENDPOINTS)
    ]
    Study.objects.get(slug=SLUG).endpoints.set(made)


def come(number: int) -> None:
    """New people who have chosen a type and are about to write. Prints their cookies."""
    tell([cookie(person) for person in arrive(number)])


def arrive(number: int) -> list[Participant]:
    study = Study.objects.get(slug=SLUG)
    now = timezone.now()
    # Pilots: they never answered the survey, and a release may be built while they talk.
    first = Participant.objects.create(study=study, instrument=study.instrument, is_pilot=True)
    enrolment.consent(first)
    agreed = first.consent
    people = Participant.objects.bulk_create(
        Participant(
            study=study,
            instrument=study.instrument,
            consent_shown_at=now,
            survey_finished_at=now,
            instructed_at=now,
            is_pilot=True,
        )
        for _person in range(number)
    )
    Consent.objects.bulk_create(
        Consent(participant=person, text=agreed.text, version=agreed.version, sha256=agreed.sha256)
        for person in people
    )
    chosen = study.instrument.file.task.types[0].code
    Conversation.objects.bulk_create(
        Conversation(participant=person, number=1, conversation_type=chosen, started_at=now)
        for person in people
    )
    return people


def cookie(person: Participant) -> list[str]:
    """Its name and value."""
    return [cookie_name(SLUG), signer(SLUG).sign(f"{person.key}:trusted")]


def talk_long(turns: int) -> None:
    """Somebody with so many rated turns. Prints their cookie."""
    tell(cookie(long_talker(turns)))


def long_talker(turns: int) -> Participant:
    [person] = arrive(1)
    conversation = person.conversations.get()
    endpoints = list(person.study.endpoints.all())[:4]
    for turn in range(turns):
        exchange(conversation, turn, endpoints if turn == 0 else [endpoints[0]] * 2)
    Conversation.objects.filter(pk=conversation.pk).update(endpoint=endpoints[0])
    return person


def exchange(conversation: Conversation, turn: int, endpoints: list[ModelEndpoint]) -> None:
    """A rated turn, whose first reply was chosen."""
    now = timezone.now()
    interaction = Interaction.objects.create(
        conversation=conversation,
        turn=turn,
        user_prompt=WORDS,
        state=Interaction.State.RATED,
        rated_at=now,
    )
    ids = [endpoint.pk for endpoint in endpoints]
    attempt = Attempt.objects.create(
        interaction=interaction,
        number=0,
        eligible=ids,
        drawn=ids,
        started_at=now,
        deadline=now,
        settled_at=now,
    )
    for slot, endpoint in enumerate(endpoints):
        call = ModelCall.objects.create(
            attempt=attempt,
            slot=slot,
            endpoint=endpoint,
            messages=[],
            parameters=PARAMETERS,
            outcome=OK,
            text=TEXT,
            started_at=now,
            ended_at=now,
        )
        Utterance.objects.create(
            interaction=interaction,
            call=call,
            endpoint=endpoint,
            within_turn_id=slot,
            position=slot,
            model_response=TEXT,
            score=90 - slot,
            if_chosen=slot == 0,
        )


def count() -> None:
    """Prints what became of the prompts that were sent; rated ones are `talk_long`'s."""
    sent = Interaction.objects.exclude(state=Interaction.State.RATED)
    whole = sent.filter(state=Interaction.State.SETTLED).annotate(
        calls=Count("attempts__calls"),
        ok=Count("attempts__calls", filter=Q(attempts__calls__outcome=OK)),
    )
    calls = ModelCall.objects.filter(attempt__interaction__in=sent)
    tell(
        {
            "prompts": sent.count(),
            "whole": whole.filter(calls=4, ok=4).count(),
            "replies": Utterance.objects.filter(interaction__in=sent).count(),
            "outcomes": Counter(calls.order_by().values_list("outcome", flat=True)),
        }
    )


def ask_release() -> None:
    """Asks for a release of everybody, as one click at the desk does. Prints its key."""
    tell(releases.ask(Study.objects.get(slug=SLUG), "bench").pk)


def state_of_release(key: str) -> None:
    row = Release.objects.get(pk=key)
    tell([row.state, row.reason])


def tell(found: object) -> None:
    sys.stdout.write(json.dumps(found))
