"""What the database has of a person, beside what the person saw and sent."""

from dataclasses import dataclass, field
from typing import Any

from collection.models import Conversation, Utterance
from collection.simulation.people import OPEN_LINK_LABEL, Person, recruitment_id
from surveys.models import Decline, Participant, Study

Turn = tuple[int, int]
"""(number of the conversation, turn)."""


@dataclass
class Sent:
    """What a person sent, save what was to be refused."""

    answers: dict[str, str] = field(default_factory=dict)
    """Survey field -> value, of fields that have one value."""
    prompts: dict[Turn, str] = field(default_factory=dict)
    scores: dict[Turn, dict[int, int]] = field(default_factory=dict)
    """By position on the screen."""


def find(study: Study, person: Person) -> Participant | None:
    """The row of a simulated person, if they have arrived before."""
    label = (
        {"identity__external_id": person.label}
        if person.card.is_recruited
        else {f"identity__parameters__{OPEN_LINK_LABEL}": person.label}
    )
    return Participant.objects.filter(study=study, **label).first()


def declines(study: Study, seed: int) -> int:
    """How many people of this seed declined. Nothing says which, so they are interchangeable."""
    return Decline.objects.filter(study=study, source=recruitment_id(seed)).count()


def models_shown(participant_id: int, turn: Turn) -> dict[int, str]:
    """Which model wrote the reply at each position: what no page says."""
    shown = Utterance.objects.filter(
        interaction__conversation__participant=participant_id,
        interaction__conversation__number=turn[0],
        interaction__turn=turn[1],
    )
    return dict(shown.values_list("position", "endpoint__long_name"))


def completed_conversations(participant_id: int) -> int:
    complete = Conversation.objects.filter(state=Conversation.State.COMPLETE)
    return complete.filter(participant=participant_id).count()


def differences(participant_id: int, sent: Sent, *, is_all: bool) -> list[str]:
    """What was lost, doubled or changed between the person and the database.

    is_all: the person sent everything in this run, so that nothing more may be there.
    """
    stored = stored_of(participant_id)
    found: list[str] = []
    for name in ("answers", "prompts", "scores"):
        expected, actual = getattr(sent, name), getattr(stored, name)
        found += [
            f"{name}: {key!r} was sent as {value!r} and is {actual.get(key)!r}"
            for key, value in expected.items()
            if actual.get(key) != value
        ]
        if is_all and name != "answers":
            found += [f"{name}: {key!r} was never sent" for key in actual.keys() - expected.keys()]
    return found + too_many(participant_id)


def stored_of(participant_id: int) -> Sent:
    participant = Participant.objects.get(pk=participant_id)
    stored = Sent()
    for response in participant.responses.all():
        stored.answers |= answers_of(response.question, response.value)
    utterances = Utterance.objects.filter(
        interaction__conversation__participant=participant, score__isnull=False
    ).values_list("interaction__conversation__number", "interaction__turn", "position", "score")
    for number, turn, position, score in utterances:
        assert score is not None
        stored.scores.setdefault((number, turn), {})[position] = score
    prompts = participant.conversations.values_list(
        "number", "interactions__turn", "interactions__user_prompt"
    )
    stored.prompts = {(number, turn): prompt for number, turn, prompt in prompts if prompt}
    return stored


def answers_of(question: str, value: dict[str, Any]) -> dict[str, str]:
    """A stored answer as the fields that were sent for it."""
    if "choice" in value:
        fields = {question: value["choice"], f"{question}_text": value["text"]}
    elif "text" in value:
        fields = {question: value["text"]}
    else:
        scores = value.get("scores", {})
        fields = {f"{question}_{code}": str(score) for code, score in scores.items()}
        fields[f"{question}_other_text"] = value["other_text"]
    return {name: text for name, text in fields.items() if text is not None}


def too_many(participant_id: int) -> list[str]:
    """Conversations beyond what the protocol asks of a person."""
    participant = Participant.objects.select_related("study", "instrument").get(pk=participant_id)
    quota = participant.protocol.conversations_per_type
    counts: dict[str, int] = {}
    complete = participant.conversations.filter(state=Conversation.State.COMPLETE)
    for code in complete.values_list("conversation_type", flat=True):
        counts[code] = counts.get(code, 0) + 1
    if participant.is_recruited:
        return [f"{n} conversations {code}" for code, n in counts.items() if n > quota]
    return []
