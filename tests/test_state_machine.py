"""A conversation in any order: whatever is pressed, repeated, late or lost, it stays whole.

A machine walks the real pages at random. Beside the database it keeps a ledger of what was
acknowledged, and after every step the database must say the same, within the rules of PRISM's
files; in the end the release must be valid.
"""

import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
from asgiref.sync import async_to_sync
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from collection import generation
from collection.conversations import Asking
from collection.export.validate import validate
from collection.export.write import write_release
from collection.generation import Work
from collection.models import Conversation, Interaction, ModelCall
from surveys.instruments.load import FOLDER, store
from surveys.models import Instrument
from tests.cast import set_protocol, use_models
from tests.export_cast import make_study
from tests.model_server import ModelServer
from tests.walk import Person, feedback_fields, mark

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Seen

pytestmark = pytest.mark.django_db

TYPES = ("unguided", "values guided", "controversy guided")
MODELS = tuple(f"moody-{number}" for number in range(5))
MOODS = ("http-500", "empty", "bad-json", "close", "filtered-empty", "filtered", "length")
POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {"min_opening_replies": 1, "further_tries": 1},
    {"on_failure": "replace", "max_turns": 4},
    {"on_failure": "hold", "hold_for": 2, "candidates": "models"},
)
NO_MORE = ("complete", "technical")

numbers = itertools.count()
turns = st.integers(0, 4)
scores = st.lists(st.integers(1, 100), min_size=4, max_size=4)
M = TypeVar("M", bound="AnyOrder")


def at(*places: str) -> Callable[[Any], Any]:
    """A rule for people at these places only."""
    return precondition(lambda machine: machine.place in places)


class AnyOrder(RuleBasedStateMachine):
    def __init__(self, server: ModelServer, instrument: Instrument) -> None:
        super().__init__()
        self.server = server
        self.patch = pytest.MonkeyPatch()
        self.launch = generation.launch
        self.patch.setattr(generation, "launch", self.launch_or_die)
        self.patch.setattr(generation, "REPEAT_PAUSE_S", 0.01)
        # Seeds of the machine's own: an example can be repeated.
        drawn = SimpleNamespace(randbits=random.Random(1).getrandbits)
        self.patch.setattr("surveys.draws.secrets", drawn)
        self.study = make_study(f"any-order-{next(numbers)}", instrument)
        use_models(self.study, server, *MODELS)
        self.all_is_well()
        self.answered_until_death: int | None = None
        self.lost: list[Work] = []
        self.sent: list[tuple[int, str, dict[str, Any]]] = []
        self.words = (f"Prompt number {number}." for number in itertools.count())
        self.prompts: dict[tuple[int, int], str] = {}
        self.scores: dict[tuple[int, int], dict[int, int]] = {}
        self.feedback: dict[int, str] = {}
        self.replies: dict[tuple[int, int, int], tuple[int, str, int]] = {}
        self.outcomes: dict[int, tuple[str, str]] = {}
        self.headers: dict[str, str] = {}
        self.conversations: list[Conversation] = []
        self.place = "before"

    @initialize(
        policy=st.sampled_from(POLICIES),
        has_script=st.booleans(),
        moods=st.dictionaries(st.sampled_from(MODELS), st.sampled_from(MOODS), max_size=3),
        steps=st.integers(0, 9),
    )
    def arrives(
        self, policy: dict[str, Any], has_script: bool, moods: dict[str, str], steps: int
    ) -> None:
        set_protocol(self.study, conversations_per_type=1, **policy)
        self.study.refresh_from_db()
        self.headers = {"HX-Request": "true"} if has_script else {}
        self.person = Person(self.study, PROLIFIC_PID="alice")
        self.person.survey()
        self.person.post("instructions/")
        self.look()
        self.server.behaviours |= moods
        self.goes_on(steps, [50, 90, 90, 10])

    # What the database says

    def look(self) -> None:
        """Everything that is stored of the person's conversations, and where they are."""
        self.row = self.person.row
        found = self.row.conversations.order_by("number").prefetch_related(
            "interactions__utterances", "interactions__attempts__calls", "attributes", "feedback"
        )
        self.conversations = list(found)
        self.place = self.place_now()

    def place_now(self) -> str:
        """over, hub, opening, finished, or the state of the last interaction."""
        if self.row.stopped_at or self.row.completed_at:
            return "over"
        current = [c for c in self.conversations if c.state not in NO_MORE]
        if not current:
            return "hub"
        if current[0].state == "finished":
            return "finished"
        last = last_of(current[0])
        return str(last.state) if last else "opening"

    def facts(self) -> list[Any]:
        """All that a refused, repeated or late request must leave as it was."""
        return [
            (
                (c.number, c.state, c.conversation_type, c.endpoint_id, c.finished_at),
                [(i.turn, i.state, i.user_prompt, i.rated_at) for i in c.interactions.all()],
                [(u.pk, u.score, u.if_chosen) for i, u in replies_of(c)],
                [(call.pk, call.outcome, call.text) for i, call in calls_of(c)],
                [(a.kind, a.attribute, a.value) for a in c.attributes.all()],
            )
            for c in self.conversations
        ]

    @property
    def number(self) -> int:
        return len(self.conversations) or 1

    @property
    def last(self) -> Interaction | None:
        return last_of(self.conversations[-1]) if self.conversations else None

    @property
    def next_turn(self) -> int:
        return self.last.turn + 1 if self.last else 0

    # What people send, and what is to become of it

    def send(self, verb: str, fields: dict[str, Any], number: int | None = None) -> "Seen":
        """Post a form of a conversation: it counts and is kept, or it changes nothing."""
        number = self.number if number is None else number
        self.sent.append((number, verb, fields))
        counts = self.counts(number, verb, fields)
        before, tries = self.facts(), self.tries()
        path = f"{self.person.root}c/{number}/{verb}/"
        response = self.person.client.post(path, fields, follow=True, headers=self.headers)
        assert response.status_code in (200, 404 if number > self.number else 422)
        self.look()
        if counts:
            assert self.facts() != before
            assert self.tries() == tries + (verb in ("prompt", "again"))
            self.keep(number, verb, fields)
        else:
            assert self.facts() == before
        return response

    def tries(self) -> int:
        return sum(len(i.attempts.all()) for c in self.conversations for i in c.interactions.all())

    def counts(self, number: int, verb: str, fields: dict[str, Any]) -> bool:
        """Whether a form is the right one at this moment, and complete."""
        if self.place in ("over", "hub") or number != self.number:
            return False
        last, protocol = self.last, self.row.protocol
        match verb:
            case "prompt":
                is_next = fields["turn"] == self.next_turn < (protocol.max_turns or 99)
                return self.place in ("opening", "rated") and is_next and bool(fields["prompt"])
            case "again":
                tried = len(last.attempts.all()) if last else 0
                is_last = fields["attempt"] == tried - 1 and tried <= protocol.further_tries
                return self.place == "failed" and is_last and fields.get("prompt") != ""
            case "rate":
                replies = last.utterances.all() if last else []
                is_all = all(f"score_{reply.position}_rated" in fields for reply in replies)
                return self.place == "settled" and fields["turn"] == self.next_turn - 1 and is_all
            case "finish":
                rated = [i for i in self.conversations[-1].interactions.all() if i.rated_at]
                return self.place in ("rated", "failed") and len(rated) >= protocol.min_turns
            case "feedback":
                is_all = feedback_fields().keys() <= fields.keys()
                return self.place == "finished" and is_all and bool(fields["open_feedback"])
        raise AssertionError(verb)

    def keep(self, number: int, verb: str, fields: dict[str, Any]) -> None:
        """Into the ledger: this was acknowledged."""
        turn = self.next_turn - 1
        match verb:
            case "prompt":
                self.prompts[number, turn] = fields["prompt"]
            case "again":
                self.prompts[number, turn] = fields.get("prompt", self.prompts[number, turn])
            case "rate":
                assert self.last
                names = {u.position: f"score_{u.position}" for u in self.last.utterances.all()}
                self.scores[number, turn] = {p: int(fields[name]) for p, name in names.items()}
            case "feedback":
                self.feedback[number] = fields["open_feedback"]

    # The way it is meant

    @rule(steps=st.integers(1, 6), values=scores)
    def goes_on(self, steps: int, values: list[int]) -> None:
        """The right steps in a row: random ones alone would seldom come far."""
        for _step in range(steps):
            match self.place:
                case "hub":
                    done = [c.conversation_type for c in self.conversations if c.closed_at]
                    self.starts(next((kind for kind in TYPES if kind not in done), TYPES[0]))
                case "rated" if self.next_turn > 1 and values[0] % 2:
                    self.finishes()
                case "opening" | "rated":
                    self.says()
                case "pending":
                    self.another_process_takes_over()
                case "settled":
                    self.rates(values)
                case "failed":
                    self.tries_again(False)
                case "finished":
                    self.gives_feedback()

    @rule(kind=st.sampled_from(TYPES))
    @at("hub", "opening")
    def starts(self, kind: str) -> None:
        is_done = any(
            c.conversation_type == kind and c.state == "complete" for c in self.conversations
        )
        before = self.facts()
        self.person.start(kind)
        self.look()
        if is_done:
            assert self.facts() == before
        else:
            assert self.place == "opening"
            assert self.conversations[-1].conversation_type == kind

    @rule()
    @at("opening", "rated")
    def says(self) -> None:
        words = next(self.words)
        page = self.send("prompt", {"turn": self.next_turn, "prompt": words})
        is_shown = self.place in ("pending", "settled", "failed")
        assert words in page.content.decode() or not is_shown

    @rule(values=scores)
    @at("settled")
    def rates(self, values: list[int]) -> None:
        self.send("rate", self.rating(self.next_turn - 1, values))

    def rating(self, turn: int, values: list[int]) -> dict[str, Any]:
        """As many marks as the page has lines, or as a page of that turn would have had."""
        count = len(self.last.utterances.all()) if self.place == "settled" and self.last else 4
        fields: dict[str, Any] = {"turn": turn}
        for position, value in enumerate(values[:count]):
            fields |= mark(f"score_{position}", value)
        return fields

    @rule()
    @at("rated", "failed")
    def finishes(self) -> None:
        self.send("finish", {})

    @rule()
    @at("finished")
    def gives_feedback(self) -> None:
        self.send("feedback", feedback_fields() | {"open_feedback": f"Good. {next(self.words)}"})

    @rule(has_other_words=st.booleans())
    @at("failed")
    def tries_again(self, has_other_words: bool) -> None:
        assert self.last
        words = {"prompt": next(self.words)} if has_other_words else {}
        self.send("again", {"attempt": len(self.last.attempts.all()) - 1, **words})

    # Other ways

    @rule(turn=turns, words=st.sampled_from(["Out of turn.", "", " \n "]))
    @precondition(lambda self: self.conversations)
    def says_whatever_the_turn(self, turn: int, words: str) -> None:
        self.send("prompt", {"turn": turn, "prompt": words.strip() and f"{words} {turn}"})

    @rule(attempt=turns, words=st.sampled_from(["Other words.", "", None]))
    @precondition(lambda self: self.conversations)
    def tries_again_whatever_failed(self, attempt: int, words: str | None) -> None:
        self.send("again", {"attempt": attempt} | ({} if words is None else {"prompt": words}))

    @rule(turn=turns, values=scores, left_out=st.integers(0, 3))
    @precondition(lambda self: self.conversations)
    def rates_whatever_the_turn(self, turn: int, values: list[int], left_out: int) -> None:
        fields = self.rating(turn, values)
        self.send("rate", {k: v for k, v in fields.items() if k != f"score_{left_out}_rated"})

    @rule()
    @precondition(lambda self: self.conversations)
    def finishes_whenever(self) -> None:
        self.send("finish", {})

    @rule(
        left_out=st.sampled_from(["open_feedback", "choice_safety_na", "performance_values_rated"])
    )
    @precondition(lambda self: self.conversations)
    def gives_half_the_feedback(self, left_out: str) -> None:
        fields = feedback_fields() | {"open_feedback": "Half."}
        fields.pop(left_out)
        self.send("feedback", fields | {"open_feedback": fields.get("open_feedback", "")})

    @rule(data=st.data())
    @precondition(lambda self: self.sent)
    def sends_an_earlier_page_again(self, data: st.DataObject) -> None:
        back = data.draw(st.integers(1, len(self.sent)))
        number, verb, fields = self.sent[-back]
        self.send(verb, fields, number)

    @rule()
    @precondition(lambda self: self.sent)
    def presses_twice(self) -> None:
        number, verb, fields = self.sent[-1]
        self.send(verb, fields, number)

    @rule()
    def reloads(self) -> None:
        before = self.facts()
        page = self.person.get()
        assert page.status_code == 200
        if self.place in ("pending", "settled", "failed"):
            assert self.prompts[self.number, self.next_turn - 1] in page.content.decode()
        self.look()
        assert self.facts() == before

    @rule()
    @precondition(lambda self: self.conversations)
    def polls(self) -> None:
        before = self.facts()
        address = f"{self.person.root}c/{self.number}/live/"
        page = self.person.client.get(address, headers=self.headers)
        assert (page.status_code == 204) == (self.place == "pending")
        self.look()
        assert self.facts() == before

    @rule(sure=st.integers(0, 15))
    @precondition(lambda self: len(self.sent) > 15)
    def stops(self, sure: int) -> None:
        if sure == 11:
            self.person.post("stop/")
            self.look()
            assert self.place == "over"

    # Models and processes

    @rule(models=st.sets(st.sampled_from(MODELS), min_size=1), mood=st.sampled_from(MOODS))
    def models_turn_moody(self, models: set[str], mood: str) -> None:
        self.server.behaviours |= dict.fromkeys(models, mood)
        self.goes_on(2, [80, 80, 20, 30])

    @rule()
    def all_is_well(self) -> None:
        self.server.behaviours |= dict.fromkeys(MODELS, "ok")

    @rule(after=st.integers(0, 4))
    def the_process_will_die(self, after: int) -> None:
        """… in the next turn, when so many models have answered."""
        self.answered_until_death = after
        if self.place in ("opening", "rated"):
            self.says()

    def launch_or_die(self, asking: Asking) -> None:
        after, self.answered_until_death = self.answered_until_death, None
        if after is None:
            self.launch(asking)
            return
        work = generation.of_asking(asking)
        async_to_sync(generation.ask_all)(replace(work, slots=work.slots[:after]))
        self.lost.append(replace(work, slots=work.slots[after:]))

    @rule()
    @at("pending")
    def another_process_looks_too_early(self) -> None:
        before = self.facts()
        generation.renew([self.attempt])
        assert self.attempt not in generation.abandoned()
        async_to_sync(generation.run)(self.attempt)
        self.look()
        assert self.facts() == before

    @rule()
    @at("pending")
    def another_process_takes_over(self) -> None:
        generation.free_leases([self.attempt])
        assert self.attempt in generation.abandoned()
        async_to_sync(generation.run)(self.attempt)
        self.look()
        assert self.place in ("settled", "failed", "hub")

    @property
    def attempt(self) -> int:
        """Id of the latest."""
        assert self.last
        return max(attempt.pk for attempt in self.last.attempts.all())

    @rule()
    @precondition(lambda self: self.lost)
    def the_process_only_hung(self) -> None:
        """It goes on with what it knows, whether or not another has taken over meanwhile."""
        async_to_sync(generation.finish)(self.lost.pop())
        self.look()

    # What holds after every step

    @invariant()
    def all_is_whole(self) -> None:
        self.check_ledger()
        self.check_earlier_replies()
        self.check_earlier_outcomes()
        assert [c.number - 1 for c in self.conversations] == [*range(len(self.conversations))]
        assert sum(c.state not in NO_MORE for c in self.conversations) <= 1
        for conversation in self.conversations:
            check_turns(conversation)
            check_calls(conversation)
            check_feedback(conversation)
            for interaction in conversation.interactions.all():
                check_replies(conversation, interaction)
                check_choice(conversation, interaction)

    def check_ledger(self) -> None:
        """Nothing acknowledged is lost or changed, and nothing else is there."""
        stored = {(c.number, i.turn): i for c in self.conversations for i in c.interactions.all()}
        assert {key: i.user_prompt for key, i in stored.items()} == self.prompts
        assert self.scores == {
            key: {reply.position: reply.score for reply in i.utterances.all()}
            for key, i in stored.items()
            if i.state == "rated"
        }
        given = {c.number: c.feedback for c in self.conversations if hasattr(c, "feedback")}
        assert {number: f.open_feedback for number, f in given.items()} == self.feedback

    def check_earlier_replies(self) -> None:
        now = {
            (c.number, i.turn, u.within_turn_id): (u.position, u.model_response, u.endpoint_id)
            for c in self.conversations
            for i, u in replies_of(c)
        }
        assert self.replies.items() <= now.items()
        self.replies = now

    def check_earlier_outcomes(self) -> None:
        calls = [call for c in self.conversations for _interaction, call in calls_of(c)]
        now = {call.pk: (call.outcome, call.text) for call in calls if call.outcome != "pending"}
        assert self.outcomes.items() <= now.items()
        self.outcomes = now

    def teardown(self) -> None:
        self.patch.undo()
        for model in MODELS:
            self.server.behaviours.pop(model, None)
        self.release()

    def release(self) -> None:
        """It is valid and holds all that was completed."""
        whole = [c for c in self.conversations if c.state == "complete"]
        with TemporaryDirectory() as folder:
            rows = write_release(self.study, Path(folder))
            assert [found for found in validate(Path(folder)) if not found.is_note] == []
        assert rows["conversations.jsonl"] == len(whole)
        rated = [u for c in whole for i, u in replies_of(c) if i.state == "rated"]
        assert rows["utterances.jsonl"] == len(rated)


def check_turns(conversation: Conversation) -> None:
    interactions = list(conversation.interactions.all())
    assert [i.turn for i in interactions] == [*range(len(interactions))]
    assert all(i.state == "rated" for i in interactions[:-1])


def check_calls(conversation: Conversation) -> None:
    """A slot is asked again only after a call that brought nothing."""
    slots: dict[tuple[int, int], list[ModelCall]] = {}
    for _interaction, call in calls_of(conversation):
        slots.setdefault((call.attempt_id, call.slot), []).append(call)
    for calls in slots.values():
        assert [call.try_number for call in calls] == [*range(len(calls))]
        assert not any(call.is_shown or call.outcome == "pending" for call in calls[:-1])


def check_feedback(conversation: Conversation) -> None:
    is_complete = conversation.state == "complete"
    assert hasattr(conversation, "feedback") == is_complete
    assert len(conversation.attributes.all()) == (14 if is_complete else 0)
    rated = [i for i in conversation.interactions.all() if i.state == "rated"]
    assert len(rated) >= 2 or conversation.state in ("open", "technical")
    assert (conversation.finished_at is None) == (conversation.state in ("open", "technical"))


def check_replies(conversation: Conversation, interaction: Interaction) -> None:
    replies = sorted(interaction.utterances.all(), key=lambda u: u.within_turn_id)
    if interaction.state in ("pending", "failed"):
        assert replies == []
        return
    places = [*range(len(replies))]
    assert [u.within_turn_id for u in replies] == sorted(u.position for u in replies) == places
    assert all(u.model_response.strip() for u in replies)
    models = [u.endpoint_id for u in replies]
    if interaction.is_opening:
        least = conversation.participant.protocol.min_opening_replies
        assert least <= len(set(models)) == len(models) <= 4
    else:
        assert models == [conversation.endpoint_id] * 2


def check_choice(conversation: Conversation, interaction: Interaction) -> None:
    replies = list(interaction.utterances.all())
    chosen = [u for u in replies if u.if_chosen]
    if interaction.state != "rated":
        assert chosen == []
        assert all(u.score is None for u in replies)
        return
    (best,) = chosen
    assert best.score == max(u.score or 0 for u in replies) > 0
    assert best.endpoint_id == conversation.endpoint_id


def last_of(conversation: Conversation) -> Interaction | None:
    return max(conversation.interactions.all(), key=lambda i: i.turn, default=None)


def replies_of(conversation: Conversation) -> list[tuple[Interaction, Any]]:
    return [(i, reply) for i in conversation.interactions.all() for reply in i.utterances.all()]


def calls_of(conversation: Conversation) -> list[tuple[Interaction, ModelCall]]:
    return [
        (i, call)
        for i in conversation.interactions.all()
        for attempt in i.attempts.all()
        for call in attempt.calls.all()
    ]


def test_any_order(db: None, kept_connection: None, model_server: ModelServer) -> None:
    instrument = store(FOLDER / "prism.yaml")
    run_state_machine_as_test(
        lambda: AnyOrder(model_server, instrument),  # type: ignore[arg-type]
        settings=settings(
            max_examples=25,
            stateful_step_count=30,
            phases=[Phase.explicit, Phase.generate],  # shrinking over HTTP would take minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
