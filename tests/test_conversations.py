"""A conversation through its pages: types, prompts, failures, the cap, finishing."""

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from collection import conversations
from collection.models import Conversation, Interaction, ModelCall, Utterance
from surveys.models import Study
from tests.cast import HEADER, set_protocol, use_models
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(study: Study) -> Person:
    return Person(study, PROLIFIC_PID="alice").ready()


def test_it_works(alice: Person) -> None:
    alice.start()
    page = alice.prompt(0, "Is soup a drink?")
    assert b"Rate the model responses." in page.content
    assert b"Is soup a drink?" in page.content
    alice.rate(0, 10, 95, 30, 40)
    conversation = alice.conversation
    opening = conversation.interactions.get(turn=0)
    best = opening.utterances.get(if_chosen=True)
    assert (best.position, best.score, best.was_touched) == (1, 95, True)
    assert conversation.endpoint == best.endpoint
    page = alice.prompt(1, "Why?")
    assert page.content.count(b'type="range"') == 2
    alice.rate(1, 50, 20)
    alice.finish()
    response = alice.feedback()
    assert response.redirect_chain[-1][0] == "/s/prism/conversations/"
    conversation = alice.conversation
    assert conversation.state == Conversation.State.COMPLETE
    assert conversation.finished_at and conversation.closed_at
    assert conversation.attributes.count() == 14
    assert conversation.attributes.filter(value=None).count() == 2
    assert conversation.feedback.open_feedback == "Good answers, a little long."


def test_no_page_names_a_model(alice: Person) -> None:
    alice.start()
    pages = [alice.prompt(0), alice.rate(0, 1, 2, 3, 4), alice.prompt(1), alice.rate(1, 1, 2)]
    pages.append(alice.finish())
    assert not any(b"vendor/" in page.content or b"model-" in page.content for page in pages)


def test_the_opening_draw_is_stored(alice: Person, study: Study, model_server: ModelServer) -> None:
    endpoints = use_models(study, model_server, *["ok"] * 6)
    endpoints[0].is_active = False
    endpoints[0].save()
    alice.start()
    alice.prompt(0)
    attempt = alice.conversation.interactions.get().attempts.get()
    assert attempt.eligible == [e.pk for e in endpoints[1:]]
    assert attempt.strategy == "uniform"
    assert attempt.inclusion == {str(pk): pytest.approx(4 / 5) for pk in attempt.drawn}
    assert [row[2] for row in attempt.pairs] == [pytest.approx(3 / 5)] * 6
    calls = list(attempt.calls.all())
    assert [call.endpoint_id for call in calls] == attempt.drawn
    assert len(set(attempt.drawn)) == 4


def test_exactly_what_is_sent(alice: Person) -> None:
    alice.start()
    alice.prompt(0, "First?")
    alice.rate(0, 90, 10, 10, 10)
    alice.prompt(1, "Second?")
    interaction = alice.conversation.interactions.get(turn=1)
    chosen = Utterance.objects.get(interaction__turn=0, if_chosen=True)
    calls = ModelCall.objects.filter(attempt__interaction=interaction)
    assert len(calls) == 2
    for call in calls:
        assert call.endpoint == chosen.endpoint
        assert call.messages == [
            {"role": "system", "content": HEADER},
            {"role": "user", "content": "First?"},
            {"role": "assistant", "content": chosen.model_response},
            {"role": "user", "content": "Second?"},
        ]
        assert call.parameters == {"temperature": 1.0, "max_tokens": 64}


def test_replies_stand_in_a_recorded_order_independent_of_the_draw(alice: Person) -> None:
    orders = []
    for conversation_type in ("unguided", "values guided", "controversy guided"):
        alice.converse(conversation_type)
        opening = alice.conversation.interactions.get(turn=0)
        orders.append(list(opening.utterances.values_list("position", flat=True)))
        assert sorted(orders[-1]) == [0, 1, 2, 3]
    assert orders != [[0, 1, 2, 3]] * 3


def test_a_tie_is_broken_and_recorded(alice: Person) -> None:
    alice.start()
    alice.prompt(0)
    alice.rate(0, 70, 70, 70, 10)
    replies = Utterance.objects.all()
    assert [r.was_tied for r in replies.order_by("position")] == [True, True, True, False]
    assert replies.filter(if_chosen=True).get().score == 70


def test_every_reply_must_be_rated(alice: Person) -> None:
    alice.start()
    alice.prompt(0)
    response = alice.rate(0, 70, 20, 30)
    assert response.status_code == 422
    assert response.content.decode().count("data-missing") == 1
    assert response.content.decode().count("data-rated") == 3
    assert not Utterance.objects.filter(score__isnull=False).exists()


def test_the_first_complete_rating_stands(alice: Person) -> None:
    alice.start()
    alice.prompt(0)
    alice.rate(0, 70, 20, 30, 40)
    alice.rate(0, 1, 2, 3, 4)
    assert Utterance.objects.get(if_chosen=True).score == 70


@pytest.mark.parametrize("prompt", ["", "   \n ", "\u2003"])
def test_an_empty_prompt_is_asked_for(alice: Person, prompt: str) -> None:
    alice.start()
    response = alice.prompt(0, prompt)
    assert response.status_code == 422
    assert b"Please write a message before you send it." in response.content
    assert not Interaction.objects.exists()


def test_too_long_a_prompt_comes_back(alice: Person) -> None:
    alice.start()
    response = alice.prompt(0, "z" * 4001)
    assert response.status_code == 422
    assert b"z" * 4001 in response.content
    assert not Interaction.objects.exists()


def test_a_prompt_sent_twice_is_sent_once(alice: Person, model_server: ModelServer) -> None:
    alice.start()
    before = len(model_server.requests)
    for _time in range(3):
        alice.prompt(0)
    assert Interaction.objects.count() == 1
    assert len(model_server.requests) - before == 4


@pytest.mark.parametrize("turn", ["1", "-1", "x", "", "9" * 50, "٣"])
def test_a_turn_out_of_order_leads_to_where_they_are(alice: Person, turn: str) -> None:
    alice.start()
    response = alice.post("c/1/prompt/", {"turn": turn, "prompt": "Hello"})
    assert response.status_code == 200
    assert not Interaction.objects.exists()


def test_finish_is_offered_from_the_second_turn_on(alice: Person) -> None:
    alice.start()
    alice.prompt(0)
    page = alice.rate(0, 1, 2, 3, 4)
    assert b"Finish</button>" not in page.content
    alice.finish()
    assert alice.conversation.state == Conversation.State.OPEN
    alice.prompt(1)
    alice.finish()  # replies await rating
    assert alice.conversation.state == Conversation.State.OPEN
    page = alice.rate(1, 1, 2)
    assert b"Finish</button>" in page.content


def test_the_protocols_cap(alice: Person, study: Study) -> None:
    set_protocol(study, max_turns=3)
    alice.start()
    alice.prompt(0)
    alice.rate(0, 1, 2, 3, 4)
    for turn in (1, 2):
        alice.prompt(turn)
        page = alice.rate(turn, 1, 2)
    assert b"longest length" in page.content
    alice.prompt(3)
    assert alice.conversation.interactions.count() == 3
    alice.finish()
    alice.feedback()
    assert alice.conversation.state == Conversation.State.COMPLETE


def test_a_full_type_cannot_be_chosen(alice: Person) -> None:
    alice.converse()
    alice.converse()
    page = alice.get("conversations/")
    assert b"Both done" in page.content
    assert b'value="unguided"' not in page.content
    assert alice.start("unguided").status_code == 422
    assert alice.row.conversations.count() == 2


def test_an_unknown_type_is_refused(alice: Person) -> None:
    assert alice.start("small talk").status_code == 422
    assert not alice.row.conversations.exists()


def test_volunteers_choose_freely(study: Study) -> None:
    bob = Person(study).ready()
    for _time in range(6):
        bob.converse("unguided")
    assert bob.get().redirect_chain[-1][0] == "/s/prism/done/"


def test_the_sixth_conversation_ends_the_study(alice: Person, study: Study) -> None:
    for conversation_type in ("unguided", "values guided", "controversy guided") * 2:
        page = alice.converse(conversation_type)
    assert page.redirect_chain[-1][0] == "/s/prism/done/"
    assert study.completion_code in page.content.decode()
    assert study.completion_link in page.content.decode()
    assert alice.row.completed_at
    alice.start("unguided")
    assert alice.row.conversations.count() == 6


def test_the_type_can_change_until_the_first_message(alice: Person) -> None:
    alice.start("unguided")
    alice.start("values guided")
    assert alice.conversation.conversation_type == "values guided"
    alice.prompt(0)
    alice.start("unguided")
    assert alice.conversation.conversation_type == "values guided"
    assert alice.row.conversations.count() == 1


def test_a_locked_conversation_locks_nobody_else(alice: Person) -> None:
    """Else a tab that starts one and a tab that talks wait for each other's row."""
    alice.start()
    with transaction.atomic(), CaptureQueriesContext(connection) as sent:
        conversations.lock(alice.conversation)
    assert "surveys_participant" not in sent[-1]["sql"]


def test_types_stand_in_an_order_of_ones_own(study: Study) -> None:
    people = [Person(study, PROLIFIC_PID=f"p{n}").ready().row for n in range(6)]
    orders = {tuple(c.type.code for c in conversations.type_counts(row)) for row in people}
    assert len(orders) > 1
    set_protocol(study, type_order="fixed")
    row = people[0].__class__.objects.get(pk=people[0].pk)
    assert conversations.type_counts(row)[0].type.code == "unguided"


@pytest.mark.parametrize("path", ["c/2/", "c/99999999999/", "c/2/live/"])
def test_a_conversation_that_is_not_theirs(alice: Person, path: str) -> None:
    alice.start()
    assert alice.get(path).status_code == 404


def test_failed_models_leave_no_gap(alice: Person, study: Study, model_server: ModelServer) -> None:
    use_models(study, model_server, "ok", "http-500", "ok", "empty")
    alice.start()
    page = alice.prompt(0).content.decode()
    assert "Reply A" in page and "Reply B" in page and "Reply C" not in page
    replies = Utterance.objects.all()
    assert sorted(r.within_turn_id for r in replies) == [0, 1]
    outcomes = sorted(ModelCall.objects.values_list("outcome", flat=True))
    assert outcomes == ["empty", "error", "ok", "ok"]


def test_when_all_fail_the_prompt_is_kept_and_tried_afresh(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    use_models(study, model_server, *["http-500"] * 8)
    alice.start()
    page = alice.prompt(0, "Please keep me")
    assert b"Please keep me" in page.content
    assert b"You have 3 tries left" in page.content
    for attempt, left in ((0, b"2 tries left"), (1, b"1 try left")):
        page = alice.post("c/1/again/", {"attempt": attempt})
        assert left in page.content
    draws = [tuple(a.drawn) for a in Interaction.objects.get().attempts.all()]
    assert len(set(draws)) == 3
    page = alice.post("c/1/again/", {"attempt": 2})
    assert page.redirect_chain[-1][0] == "/s/prism/conversations/"
    assert b"That conversation could not be started." in page.content
    assert alice.conversation.state == Conversation.State.TECHNICAL
    assert ModelCall.objects.filter(outcome="error").count() == 16
    alice.start()
    assert alice.conversation.number == 2


def test_another_try_may_change_the_words_and_succeed(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    endpoints = use_models(study, model_server, *["http-500"] * 4)
    alice.start()
    alice.prompt(0, "First words")
    for endpoint in endpoints:
        endpoint.litellm_model = "openai/ok"
        endpoint.save()
    for _double_click in range(2):
        alice.post("c/1/again/", {"attempt": "0", "prompt": "Other words"})
    interaction = Interaction.objects.get()
    assert (interaction.user_prompt, interaction.state) == ("Other words", "settled")
    assert interaction.attempts.count() == 2
    assert interaction.utterances.count() == 4


def test_one_reply_is_too_few_for_prism_and_enough_for_prism_2023(
    study: Study, model_server: ModelServer
) -> None:
    use_models(study, model_server, "ok", "http-500", "empty", "http-500")
    alice = Person(study, PROLIFIC_PID="alice").ready()
    alice.start()
    assert b"The models did not answer." in alice.prompt(0).content
    set_protocol(study, min_opening_replies=1)
    bob = Person(study, PROLIFIC_PID="bob").ready()
    bob.start()
    assert b"Rate the model responses." in bob.prompt(0).content


def test_a_failed_continuation_is_asked_again_within_the_limit(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    use_models(study, model_server, *["flaky-then-ok"] * 4)
    alice.start()
    alice.prompt(0)
    if alice.conversation.interactions.get().state == "failed":
        alice.post("c/1/again/", {"attempt": 0})
    alice.rate(0, 1, 2, 3, 4)
    model_server.fail_next("flaky-then-ok", 1)
    alice.prompt(1)
    interaction = alice.conversation.interactions.get(turn=1)
    assert interaction.state == "settled"
    calls = ModelCall.objects.filter(attempt__interaction=interaction)
    assert sorted(calls.values_list("outcome", flat=True)) == ["error", "ok", "ok"]


def test_a_continuation_that_fails_keeps_what_is_complete(
    alice: Person, study: Study, model_server: ModelServer
) -> None:
    set_protocol(study, further_tries=1, reply_limit_s=3)
    alice.start()
    alice.prompt(0)
    alice.rate(0, 1, 2, 3, 4)
    alice.prompt(1)
    alice.rate(1, 1, 2)
    locked = alice.conversation.endpoint
    assert locked
    locked.litellm_model = "openai/http-500"
    locked.save()
    page = alice.prompt(2)
    assert b"Try again" in page.content and b"Finish</button>" in page.content
    page = alice.post("c/1/again/", {"attempt": 0})
    assert b"Try again" not in page.content and b"Finish</button>" in page.content
    alice.finish()
    alice.feedback()
    assert alice.conversation.state == Conversation.State.COMPLETE


def test_a_second_turn_that_never_comes_closes_the_conversation(
    alice: Person, study: Study
) -> None:
    set_protocol(study, further_tries=0, reply_limit_s=3)
    alice.start()
    alice.prompt(0)
    alice.rate(0, 1, 2, 3, 4)
    locked = alice.conversation.endpoint
    assert locked
    locked.litellm_model = "openai/empty"
    locked.save()
    page = alice.prompt(1)
    assert page.redirect_chain[-1][0] == "/s/prism/conversations/"
    assert alice.conversation.state == Conversation.State.TECHNICAL


def test_a_study_without_models_says_so_and_keeps_the_message(alice: Person, study: Study) -> None:
    study.endpoints.clear()
    alice.start()
    response = alice.prompt(0, "My words")
    assert response.status_code == 422
    assert b"No model can be reached" in response.content
    assert b"My words" in response.content


def test_prism_2023_counts_untouched_lines_at_the_middle(study: Study) -> None:
    set_protocol(study, slider_start="middle")
    alice = Person(study, PROLIFIC_PID="alice").ready()
    alice.start()
    alice.prompt(0)
    alice.post("c/1/rate/", {"turn": 0} | {f"score_{n}": 50 for n in range(4)})
    assert list(Utterance.objects.values_list("score", "was_touched")) == [(50, False)] * 4


def test_a_reply_can_be_reported_and_hidden(alice: Person) -> None:
    alice.start()
    alice.prompt(0)
    reply = Utterance.objects.get(position=2)
    for _time in range(2):
        page = alice.post("c/1/report/", {"position": 2, "reason": "Rude", "hide": "on"})
    assert reply.model_response not in page.content.decode() or "it is hidden" in (
        page.content.decode()
    )
    reply.refresh_from_db()
    assert reply.hidden_at
    assert reply.report.reason == "Rude"


def test_a_report_of_nothing_is_ignored(alice: Person) -> None:
    alice.start()
    assert alice.post("c/1/report/", {"position": "7"}).status_code == 200


def test_feedback_must_be_whole_and_nothing_is_lost(alice: Person) -> None:
    alice.start()
    alice.prompt(0)
    alice.rate(0, 1, 2, 3, 4)
    alice.prompt(1)
    alice.rate(1, 1, 2)
    alice.finish()
    response = alice.feedback(open_feedback=" ")
    assert response.status_code == 422
    assert b"Please write a few words about the conversation." in response.content
    assert response.content.decode().count("data-rated") == 12
    assert alice.conversation.state == Conversation.State.FINISHED
    alice.feedback()
    alice.feedback(open_feedback="Again")
    assert alice.conversation.feedback.open_feedback == "Good answers, a little long."
    assert alice.conversation.attributes.count() == 14


def test_attributes_stand_in_an_order_of_ones_own(alice: Person) -> None:
    alice.converse()
    rows = alice.conversation.attributes
    performance = list(rows.filter(kind="performance").values_list("attribute", flat=True))
    alice.converse()
    again = alice.conversation.attributes.filter(kind="performance")
    assert list(again.values_list("attribute", flat=True)) == performance


def test_reload_and_second_tab_show_the_same(alice: Person) -> None:
    alice.start()
    alice.prompt(0)
    number = alice.conversation.number
    first, second = alice.get(f"c/{number}/"), alice.get()
    assert first.status_code == second.status_code == 200
    replies = list(Utterance.objects.order_by("position").values_list("model_response", flat=True))
    for page in (first.content.decode(), second.content.decode()):
        assert [page.index(f"Reply {letter}<") for letter in "ABCD"] == sorted(
            page.index(f"Reply {letter}<") for letter in "ABCD"
        )
        assert all(reply.split()[0] in page for reply in replies)


def test_half_given_scores_come_back(alice: Person) -> None:
    alice.start()
    alice.prompt(0)
    fields = {"page": "c/1/0/rate", "score_1": "33", "score_1_rated": "on"}
    alice.post("draft/", fields)
    page = alice.get().content.decode()
    assert page.count("data-rated") == 1
    assert 'value="33"' in page


@pytest.mark.parametrize("verb", ["prompt", "again", "rate", "finish", "feedback", "report"])
def test_a_reloaded_verb_shows_the_conversation(alice: Person, verb: str) -> None:
    alice.start()
    assert alice.get(f"c/1/{verb}/").redirect_chain == [("/s/prism/c/1/", 302)]


def test_the_hub_counts_in_all_where_fewer_are_wanted_than_the_types_allow(study: Study) -> None:
    set_protocol(study, max_conversations=2)
    recruited = Person(study, PROLIFIC_PID="p1")
    page = recruited.ready().get("conversations/").content.decode()
    assert "You have 2 conversations left in all" in page
    assert "Two left" not in page and "two of each type" not in page
    set_protocol(study, max_conversations=1)
    assert "You have one conversation left." in recruited.get("conversations/").content.decode()
    set_protocol(study, max_conversations=6)  # as many as the types allow
    page = recruited.get("conversations/").content.decode()
    assert "left in all" not in page
    assert "Two left" in page
