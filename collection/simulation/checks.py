"""What the database has of a person, beside what the person saw and sent."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from collection.models import Conversation, Interaction, Utterance
from collection.simulation.people import OPEN_LINK_LABEL, Person, recruitment_id
from surveys import languages
from surveys.instruments.conditions import Value
from surveys.instruments.schema import Page, Question
from surveys.models import Decline, Participant, Study
from surveys.reading import as_fields

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
    layouts: dict[Turn, str] = field(default_factory=dict)
    """Columns of replies, and width and height of the window."""


def find(study: Study, person: Person) -> Participant | None:
    """The row of a simulated person, if they have arrived before."""
    label = (
        {"identity__external_id": person.label}
        if person.card.is_recruited
        else {f"identity__parameters__{OPEN_LINK_LABEL}": person.label}
    )
    return Participant.objects.filter(study=study, **label).first()


def languages_offered(study: Study) -> list[str]:
    """Codes, the instrument's own first."""
    return [language.code for language in languages.offered(study, study.instrument)]


def page_asked(participant_id: int, code: str) -> Page | None:
    """A page of the survey that a person answers; its questions say what they ask for."""
    participant = Participant.objects.select_related("instrument").get(pk=participant_id)
    return participant.file.page(code)


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
    if not Participant.objects.filter(pk=participant_id).exists():
        return ["the database no longer knows them"]
    stored = stored_of(participant_id)
    found: list[str] = []
    for name in ("answers", "prompts", "scores", "layouts"):
        expected, actual = getattr(sent, name), getattr(stored, name)
        found += [
            f"{name}: {key!r} was sent as {value!r} and is {actual.get(key)!r}"
            for key, value in expected.items()
            if actual.get(key) != value
        ]
        if is_all and name != "answers":
            found += [f"{name}: {key!r} was never sent" for key in actual.keys() - expected.keys()]
    return found + too_many(participant_id) + misdrawn(participant_id)


def stored_of(participant_id: int) -> Sent:
    participant = Participant.objects.get(pk=participant_id)
    stored = Sent()
    questions = {question.code: question for question in participant.file.questions()}
    for response in participant.responses.all():
        stored.answers |= answers_of(questions[response.question], response.value)
    utterances = Utterance.objects.filter(
        interaction__conversation__participant=participant, score__isnull=False
    ).values_list("interaction__conversation__number", "interaction__turn", "position", "score")
    for number, turn, position, score in utterances:
        assert score is not None
        stored.scores.setdefault((number, turn), {})[position] = score
    rated = Interaction.objects.filter(
        conversation__participant=participant, state=Interaction.State.RATED
    ).values_list("conversation__number", "turn", "layout")
    stored.layouts = {
        (number, turn): ",".join(str(layout[key]) for key in ("columns", "width", "height"))
        for number, turn, layout in rated
        if layout
    }
    prompts = participant.conversations.values_list(
        "number", "interactions__turn", "interactions__user_prompt"
    )
    stored.prompts = {(number, turn): prompt for number, turn, prompt in prompts if prompt}
    return stored


def answers_of(question: Question, value: Value) -> dict[str, str]:
    """A stored answer as the fields with one value that were sent for it."""
    fields = as_fields(question, value, {})
    return {name: values[0] for name, values in fields.items() if len(values) == 1 and values[0]}


def misdrawn(participant_id: int) -> list[str]:
    """Replies whose draw does not say how they came to be shown, and places on the screen."""
    found: list[str] = []
    places: dict[Turn, list[int]] = {}
    shown = Utterance.objects.filter(interaction__conversation__participant=participant_id)
    related = ("call__attempt", "interaction__conversation")
    for reply in shown.select_related(*related).defer("call__messages"):
        turn = (reply.interaction.conversation.number, reply.interaction.turn)
        places.setdefault(turn, []).append(reply.position)
        found += [f"{turn}: {problem}" for problem in draw_problems(reply)]
    return found + [
        f"{turn}: the replies stand at {taken}"
        for turn, taken in places.items()
        if sorted(taken) != list(range(len(taken)))
    ]


def draw_problems(reply: Utterance) -> Iterator[str]:
    attempt, model = reply.call.attempt, reply.endpoint_id
    if model not in attempt.eligible:
        yield f"model {model} could not be drawn"
    if (model in attempt.drawn) == reply.call.is_replacement:
        yield f"model {model} was drawn and is a replacement, or neither"
    if not reply.call.is_replacement and not 0 < attempt.inclusion.get(str(model), 0) <= 1:
        yield f"model {model} has no probability"
    if (attempt.strategy == "locked") == reply.interaction.is_opening:
        yield f"the strategy is {attempt.strategy}"


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
