"""A cast for the release, made directly in the database: people, their answers and conversations.

alice did everything, bob only the survey, carla more of one type than of another, dana one of each.
"""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

from collection.conversations import messages_so_far
from collection.models import (
    Attempt,
    AttributeRating,
    Conversation,
    Feedback,
    Interaction,
    ModelCall,
    ModelEndpoint,
    Utterance,
)
from surveys.draws import shuffled
from surveys.instruments.load import FOLDER, read_consent, store
from surveys.instruments.schema import Country, FreeText, Multiple, Single, Sliders
from surveys.models import (
    Consent,
    ConsentText,
    Decline,
    Instrument,
    Order,
    Participant,
    Response,
    Study,
)

START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
ATTRIBUTES = (
    "values",
    "fluency",
    "factuality",
    "safety",
    "diversity",
    "creativity",
    "helpfulness",
)
PREFERENCES = (
    "values",
    "creativity",
    "fluency",
    "factuality",
    "diversity",
    "safety",
    "personalisation",
    "helpfulness",
    "other",
)
TYPES = ("unguided", "values guided", "controversy guided")


def make_study(slug: str = "prism", instrument: Instrument | None = None) -> Study:
    study = Study.objects.create(
        state=Study.State.LIVE,
        slug=slug,
        title="PRISM",
        instrument=instrument or store(FOLDER / "prism.yaml"),
        consent_document=read_consent(FOLDER / "prism-consent.yaml"),
        locale="us",
        contact_name="Ada",
        contact_email="ada@example.org",
        ethics_reference="REC-1",
        ethics_contact="rec@example.org",
    )
    study.endpoints.set([make_endpoint(letter) for letter in "abcde"])
    return study


def make_endpoint(letter: str) -> ModelEndpoint:
    endpoint, _created = ModelEndpoint.objects.get_or_create(
        long_name=f"vendor/model-{letter}",
        defaults={
            "short_name": f"model-{letter}",
            "longcode": letter.upper(),
            "model_family": "Test",
            "model_provider": "HuggingFace-API",
            "provider_code": "huggingface_api",
            "model_provider_type": "Open Access",
            "model_type": "Chat",
            "header": "You are a conversational assistant.",
            "default_params": {"temperature": 0.7, "max_tokens": None, "is_llama": False},
            "parameters": {"temperature": 1.0, "max_tokens": 256, "stop": ["\n"], "is_llama": 1},
        },
    )
    return endpoint


def make_person(
    study: Study,
    *,
    minute: int = 0,
    use: str = "yes",
    finished: bool = True,
    answers: dict[str, Any] | None = None,
    **fields: Any,
) -> Participant:
    """Someone who consented and, unless told otherwise, finished the survey `minute` after START.

    use: their answer to both questions on having used a model; answers: question code -> value.
    """
    shown_at = START + timedelta(minutes=minute)
    person = Participant.objects.create(
        study=study,
        instrument=study.instrument,
        consent_shown_at=shown_at,
        survey_finished_at=shown_at + timedelta(seconds=266.4) if finished else None,
        **fields,
    )
    give_consent(person)
    given = {"lm_indirect_use": choice(use), "lm_direct_use": choice(use)} | (answers or {})
    Response.objects.bulk_create(
        Response(
            participant=person,
            question=question.code,
            value=given.get(question.code, usual_answer(question)),
        )
        for question in person.file.questions()
    )
    for question in person.file.questions():
        if isinstance(question, Multiple | Sliders) and question.randomise:
            codes = [item.code for item in question.items if item is not question.other]
            drawn = shuffled(codes, person.seed, "order", question.code)
            Order.objects.create(participant=person, scope=question.code, codes=[*drawn, "other"])
    return person


def give_consent(person: Participant) -> None:
    text, _created = ConsentText.objects.get_or_create(
        study=person.study, sha256="f" * 64, defaults={"version": "2026-01", "document": {}}
    )
    Consent.objects.create(participant=person, text=text, version=text.version, sha256=text.sha256)


def choice(code: str, text: str | None = None) -> dict[str, str | None]:
    return {"choice": code, "text": text}


def usual_answer(question: Any) -> dict[str, Any]:
    """Valid for any question; frequency and use cases too, whether or not they were shown."""
    match question:
        case Single(self_describe="self_describe", code="religion" | "ethnicity"):
            return choice("self_describe", "  It's  Complicated! ")
        case Single():
            return choice(question.options[0].code)
        case Country():
            return choice("CAN")
        case Multiple():
            return {"chosen": [question.options[1].code], "other_text": None}
        case Sliders():
            scores = {item.code: 10 + place for place, item in enumerate(question.statements)}
            return {"scores": scores, "other_text": None}
        case FreeText():
            return {"text": " Be kind. \nBe brief. "}
    raise AssertionError(question)


def converse(
    person: Participant,
    kind: str = "unguided",
    *,
    scores: Sequence[Sequence[int]] = ((70, 20, 30, 40), (50, 60)),
    prompt: str = "What is a good soup?",
    reply: str = "Lentil.",
    state: Conversation.State = Conversation.State.COMPLETE,
    minute: int | None = None,
) -> Conversation:
    """A conversation with these scores in each turn; the first of the highest is chosen.

    minute: when it was finished, after START; by default an hour and its number.
    """
    number = person.conversations.count() + 1
    finished_at = START + timedelta(minutes=60 + number if minute is None else minute)
    is_over = state in (Conversation.State.COMPLETE, Conversation.State.FINISHED)
    conversation = Conversation.objects.create(
        participant=person,
        number=number,
        conversation_type=kind,
        state=state,
        started_at=finished_at - timedelta(seconds=401.0749),
        finished_at=finished_at if is_over else None,
    )
    models = list(person.study.endpoints.order_by("long_name"))
    for turn, turn_scores in enumerate(scores):
        best = turn_scores.index(max(turn_scores))
        add_turn(conversation, turn, turn_scores, models, prompt, reply)
        if turn == 0:
            conversation.endpoint = models[best]
            conversation.save(update_fields=["endpoint"])
            models = [models[best]] * 4
    if state == Conversation.State.COMPLETE:
        rate_attributes(conversation)
        Feedback.objects.create(conversation=conversation, open_feedback=" Too long. ")
    return conversation


def add_turn(
    conversation: Conversation,
    turn: int,
    scores: Sequence[int],
    models: Sequence[ModelEndpoint],
    prompt: str,
    reply: str,
) -> None:
    interaction = Interaction.objects.create(
        conversation=conversation,
        turn=turn,
        user_prompt=f"{prompt} {turn}" if prompt.strip() else prompt,
        state=Interaction.State.RATED,
    )
    eligible = sorted({model.pk for model in models})
    drawn = [model.pk for model in models[:4]] if turn == 0 else eligible * 2
    n, k = len(eligible), len(set(drawn))
    attempt = Attempt.objects.create(
        interaction=interaction,
        number=0,
        eligible=eligible,
        drawn=drawn,
        strategy="uniform" if turn == 0 else "locked",
        inclusion=dict.fromkeys(drawn, k / n),
        pairs=[
            [*sorted(pair), k * (k - 1) / (n * (n - 1))] for pair in combinations(set(drawn), 2)
        ],
        started_at=START,
        deadline=START,
    )
    best = scores.index(max(scores))
    for place, score in enumerate(scores):
        call = ModelCall.objects.create(
            attempt=attempt,
            slot=place,
            endpoint=models[place],
            messages=sent(interaction),
            parameters=models[place].parameters,
            outcome=ModelCall.Outcome.OK,
        )
        Utterance.objects.create(
            interaction=interaction,
            call=call,
            endpoint=models[place],
            within_turn_id=place,
            position=len(scores) - 1 - place,
            model_response=reply if reply in ("", "None") else f"{reply} {place}",
            score=score,
            if_chosen=place == best,
            was_tied=score == max(scores) and scores.count(score) > 1,
            was_touched=True,
            first_value=score,
            first_by="pointer",
            moves=1,
            ms_to_first_touch=900 + place,
        )


def sent(interaction: Interaction) -> list[dict[str, str]]:
    """The messages of a call, as they are sent."""
    header = {"role": "system", "content": "You are a conversational assistant."}
    return [header, *messages_so_far(interaction)]


def rate_attributes(conversation: Conversation) -> None:
    """Every attribute 1, 2, 3 …, the second N/A."""
    AttributeRating.objects.bulk_create(
        AttributeRating(
            conversation=conversation,
            kind=kind,
            attribute=attribute,
            position=place,
            value=None if place == 1 else place + 1,
            was_touched=place != 1,
        )
        for kind in ("performance", "choice")
        for place, attribute in enumerate(ATTRIBUTES)
    )


def add_failed_turn(conversation: Conversation, turn: int) -> None:
    """The models did not answer a further message; the person finished without it."""
    Interaction.objects.create(
        conversation=conversation,
        turn=turn,
        user_prompt="Is anyone there?",
        state=Interaction.State.FAILED,
    )


def make_cast(study: Study) -> dict[str, Participant]:
    """Four released people with 13 conversations: c0-c5 alice's, c6-c9 carla's, c10-c12 dana's."""
    alice = make_person(study, minute=0, recruitment_id="65a000000000000000000001")
    for kind in TYPES * 2:
        converse(alice, kind)
    bob = make_person(
        study,
        minute=1,
        use="unsure",
        answers={
            "gender": choice("self_describe", "Agender"),
            "birth_country": choice("prefer_not_to_say"),
            "religion": choice("prefer_not_to_say"),
            "ethnicity": choice("prefer_not_to_say"),
            "age": choice("prefer_not_to_say"),
        },
    )
    carla = make_person(
        study,
        minute=2,
        answers={
            "birth_country": choice("MEX"),
            "reside_country": choice("GBR"),
            "gender": choice("female"),
            "stated_prefs": {
                "scores": dict.fromkeys(PREFERENCES, 100),
                "other_text": "is funny",
            },
            "lm_usecases": {"chosen": ["games", "other"], "other_text": "chess"},
        },
    )
    for kind in ("unguided", "unguided", "values guided", "controversy guided"):
        converse(carla, kind, scores=((5, 5), (1, 100), (50, 49)))
    dana = make_person(study, minute=3, answers={"lm_direct_use": choice("no")})
    for kind in TYPES:
        converse(dana, kind, scores=((9,), (3, 2)), prompt="a\u2028b", reply="Ja – “so”")
    return {"alice": alice, "bob": bob, "carla": carla, "dana": dana}


def add_left_out(study: Study) -> None:
    """People and conversations that are not released, one for each reason."""
    Decline.objects.create(study=study, date=START.date(), source="open link")
    make_person(study, minute=10, withdrawn_at=START)
    rejected = make_person(study, minute=11, rejected_at=START)
    make_person(study, finished=False)
    Participant.objects.create(study=study, instrument=study.instrument)
    converse(rejected)
    for state in (
        Conversation.State.OPEN,
        Conversation.State.FINISHED,
        Conversation.State.TECHNICAL,
    ):
        converse(make_person(study, minute=20), state=state)
    last = make_person(study, minute=21)
    converse(last, scores=((70, 20),))
    converse(last).attributes.filter(attribute="values", kind="choice").delete()
    Feedback.objects.filter(conversation=converse(last)).delete()
