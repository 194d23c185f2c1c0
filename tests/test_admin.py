"""The desk: what researchers see and may change; answers and identities stay as they are."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from collection.export.write import FILES
from collection.models import Conversation, ModelCall, ModelEndpoint, ProviderLimit, Utterance
from collection.standing import Stage
from config.journey import progress_of
from surveys import audit, decisions, enrolment, tokens
from surveys.instruments.load import keep
from surveys.models import (
    ApiToken,
    ConsentText,
    Decline,
    Identity,
    Instrument,
    Membership,
    Participant,
    QuotaTable,
    Recruitment,
    Response,
    Study,
    TranslationReview,
    WithdrawalReceipt,
)
from surveys.wording import item_labels
from tests.admin_pages import (
    endpoint_form,
    list_url,
    save_endpoint,
    save_study,
    study_form,
    url,
    words,
)
from tests.cast import HEADER, set_protocol, use_models
from tests.drafts import page, parsed
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db

OURS = [model for model in admin.site._registry if model.__module__.split(".")[0] != "django"]
EDITABLE = [Study, ModelEndpoint, ProviderLimit, QuotaTable, Membership, ApiToken, Recruitment]
READ_ONLY = [model for model in OURS if model not in EDITABLE]
ADDED = [Instrument]
"""Rows of which can be added, and never changed."""


@pytest.fixture
def alice(study: Study) -> Person:
    """At the hub, come through a recruiter, who is to be told something."""
    wave = Recruitment.objects.create(study=study, name="Wave 7", external_id="wave-7")
    person = Person(
        study, PROLIFIC_PID="pid-of-alice", STUDY_ID="wave-7", SESSION_ID="session-of-alice"
    ).ready()
    decisions.message(wave.submissions.get(), "Thank you.", "once")
    return person


@pytest.fixture
def talker(alice: Person, study: Study, model_server: ModelServer) -> Person:
    """Alice after a conversation with a failed slot, a tie, and a reply reported and hidden."""
    alice.row.responses.create(question="age", value={"choice": "age_18_24", "text": None})
    use_models(study, model_server, "ok", "ok", "http-500", "echo")
    alice.start("values guided")
    alice.prompt(0, "Is <b>soup</b> a drink?")
    number = alice.conversation.number
    alice.post(f"c/{number}/report/", {"position": 1, "reason": "It is <i>rude</i>", "hide": "on"})
    alice.rate(0, 91, 91, 7)
    alice.prompt(1, "And stew?")
    alice.rate(1, 30, 55)
    alice.finish()
    alice.feedback(open_feedback="Good on soup, weak on stew.")
    return alice


def reported(talker: Person) -> None:
    """A row of each kind that a conversation alone does not leave."""
    study, user = talker.study, User.objects.get()
    talker.post("problem/", {"text": "The page was blank.", "from_page": "/s/prism/hub/"})
    Decline.objects.create(study=study, date=timezone.now().date(), source="open link")
    WithdrawalReceipt.objects.create(study=study, code="ACDE-FGHJ-KLMN", by="participant")
    Membership.objects.create(study=study, user=user, role="reviewer")
    tokens.issue(user, "backup", ["see"], study, timezone.now())
    audit.write(user, "exported", study, study)


def test_it_works(admin_client: Client, talker: Person) -> None:
    reported(talker)
    ProviderLimit.objects.create(provider_code="openai", max_concurrent=20)
    QuotaTable.objects.create(study=talker.study, name="Gender", fields=["gender"])
    first = admin_client.get(reverse("admin:index"))
    assert first.headers["Location"] == list_url(Study)
    for model in OURS:
        assert words(admin_client.get(list_url(model)))
        row: Any = model._default_manager.first()
        assert row is not None, f"no page of {model.__name__} was looked at"
        assert words(admin_client.get(url(row)))


def test_strangers_and_participants_are_sent_to_the_login(client: Client, alice: Person) -> None:
    for visitor in (client, alice.client):
        response: Any = visitor.get(list_url(Participant))
        assert response.status_code == 302
        assert response.url.startswith(reverse("admin:login"))


@pytest.mark.parametrize("model", READ_ONLY, ids=lambda model: model.__name__)
def test_answers_are_read_only(admin_client: Client, talker: Person, model: Any) -> None:
    reported(talker)
    row = model._default_manager.earliest("pk")
    before = model._default_manager.values().get(pk=row.pk)
    if model not in ADDED:
        add = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")
        assert admin_client.get(add).status_code == 403
        assert admin_client.post(add, {}).status_code == 403
    assert admin_client.post(url(row), {"text": "changed", "score": 1}).status_code == 403
    assert admin_client.post(url(row, "delete"), {"post": "yes"}).status_code == 403
    selected = {"action": "delete_selected", "_selected_action": [row.pk], "post": "yes"}
    admin_client.post(list_url(model), selected)
    assert model._default_manager.values().get(pk=row.pk) == before


def test_what_holds_answers_is_read_only_or_not_there_at_all() -> None:
    names = {model.__name__ for model in OURS}
    assert {"Participant", "Response", "Conversation", "Utterance", "ModelCall"} <= names
    assert not names & {"Identity", "Draft"}
    assert {model.__name__ for model in EDITABLE} <= names


def test_what_identifies_people_is_on_no_page(admin_client: Client, talker: Person) -> None:
    secrets = ["pid-of-alice", "session-of-alice", talker.row.key]
    assert Identity.objects.get().external_id == secrets[0]
    pages = [url(talker.row), url(talker.conversation), url(talker.study), list_url(Study)]
    for address in [*pages, *map(list_url, OURS)]:
        text = words(admin_client.get(address))
        assert not any(secret in text for secret in secrets), address
    found = words(admin_client.get(list_url(Participant, f"?q={secrets[0]}")))
    assert "0 participants" in found


def at_welcome(person: Person) -> None:
    person.arrive()


def in_survey(person: Person) -> None:
    person.consent()
    person.get()
    person.answer()
    person.answer(use="no")


def at_instructions(person: Person) -> None:
    person.survey(use="no")


def in_conversations(person: Person) -> None:
    person.ready()
    person.converse()


def finished(person: Person) -> None:
    set_protocol(person.study, conversations_per_type=1)
    person.ready()
    for conversation_type in ("unguided", "values guided", "controversy guided"):
        person.converse(conversation_type)


def stopped(person: Person) -> None:
    person.ready()
    enrolment.stop(person.row)


def withdrawn(person: Person) -> None:
    in_conversations(person)
    enrolment.withdraw(person.row)


@pytest.mark.parametrize(
    ("walk", "stage", "shown"),
    [
        (at_welcome, Stage.WELCOME, "Welcome and consent"),
        (in_survey, Stage.SURVEY, "Survey, page 3 of 7"),
        (at_instructions, Stage.INSTRUCTIONS, "Instructions"),
        (in_conversations, Stage.CONVERSATIONS, "Conversations, 1 of 6 done"),
        (finished, Stage.DONE, "Done"),
        (stopped, Stage.STOPPED, "Stopped"),
        (withdrawn, Stage.WITHDRAWN, "Withdrawn"),
    ],
)
def test_a_participants_stage_is_shown_and_found(
    admin_client: Client,
    study: Study,
    walk: Callable[[Person], None],
    stage: Stage,
    shown: str,
) -> None:
    person = Person(study, PROLIFIC_PID="bob")
    walk(person)
    assert f">{shown}</td>" in words(admin_client.get(list_url(Participant)))
    for other in Stage:
        found = words(admin_client.get(list_url(Participant, f"?stage={other}")))
        assert ("1 participant" in found) == (other == stage)
    # The desk's words are those that the participant reads.
    assert stage == Stage.INSTRUCTIONS or progress_of(person.row).detail in shown


def enrol_many(study: Study, number: int) -> None:
    """People in all stages up to the survey's third page, with conversations for every third."""
    for index in range(number):
        person = enrolment.enrol(study, "", {}, simulated=False)
        if index % 3:
            enrolment.consent(person)
            person.responses.create(question="lm_direct_use", value={"choice": "no", "text": None})
            person.pages.create(page="primer", shown_at=timezone.now(), sent_at=timezone.now())
        else:
            person.conversations.create(
                number=1, conversation_type="unguided", started_at=timezone.now()
            )


@pytest.mark.parametrize("model", [Participant, Response, Conversation, Study])
def test_a_longer_list_takes_no_more_queries(
    admin_client: Client, study: Study, model: Any
) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(list_url(model))
        return len(captured)

    enrol_many(study, 3)
    queries()
    few = queries()
    enrol_many(study, 30)
    assert queries() == few


def test_a_participants_page_shows_answers_in_words(admin_client: Client, study: Study) -> None:
    bob = Person(study, PROLIFIC_PID="bob")
    bob.survey(use="no")
    bob.post("problem/", {"text": "The page was <blank>.", "from_page": "/s/prism/survey/"})
    text = words(admin_client.get(url(bob.row)))
    assert "Familiarity with LLMs" in text
    assert "<p>Not familiar at all</p>" in text
    assert "<p>Canada</p>" in text
    assert text.count("not shown</span>") == 2 + 2  # two pages, one question on each
    assert "...reflects my values or cultural perspectives" in text
    assert "first 70 by pointer after 0.9 s, 1 move" in text
    order = bob.row.orders.get(scope="stated_prefs").codes
    asked = next(q for q in bob.row.file.questions() if q.code == "stated_prefs")
    labels = item_labels(asked)
    shown_order = "".join(f"<li>{labels[code]}</li>" for code in order)
    assert shown_order in text
    consent = bob.row.consent
    assert consent.sha256 in text
    assert url(consent.text) in text
    assert "The page was &lt;blank&gt;." in text


def many(code: str, kind: str, **other: Any) -> dict[str, Any]:
    """A question with the parts a, b and c."""
    key = {"likert": "statements", "matrix": "rows"}.get(kind, "options")
    parts = [{"code": part, "label": f"{code} {part}"} for part in "abc"]
    return {"code": code, "type": kind, "text": f"{code}?", key: parts} | other


GRADES = [{"code": "low", "label": "Low"}, {"code": "high", "label": "High"}]
LINE = {"type": "slider", "low": "Bad", "high": "Good", "na": True}
ALL_KINDS = page(
    "all",
    many("one", "single", prefer_not_to_say=True),
    many("check", "comprehension", correct=["a"], explanation="Once more."),
    many("rank", "ranking", randomise=False),
    many("agree", "likert", points=GRADES),
    many("grid", "matrix", columns=GRADES, multiple=True, required=False),
    {"code": "rate", "text": "Rate?"} | LINE,
    {"code": "none", "text": "None?"} | LINE,
    {"code": "age", "type": "number", "text": "Age?", "unit": "years"},
    {"code": "day", "type": "date", "text": "Day?", "required": False},
    {"code": "asked", "type": "text", "text": "Asked?"},
)
HIDDEN = page(
    "hidden",
    {"code": "late", "type": "text", "text": "Late?"},
    show_if={"question": "one", "answered": True},
)
VALUES: dict[str, dict[str, Any]] = {
    "one": {"declined": True},
    "check": {"choice": "a", "text": None},
    "rank": {"ranked": ["c", "a", "b"]},
    "agree": {"rows": {"a": "high", "b": "low", "c": "low"}},
    "grid": {"rows": {"a": ["low", "high"]}},
    "rate": {"score": 30},
    "none": {"score": None},
    "age": {"number": 41},
    "day": {"skipped": True},
    "late": {"text": "Too late."},
}


def test_every_kind_of_answer_can_be_read(admin_client: Client, study: Study) -> None:
    variants = [
        {"code": "tone", "arms": [{"code": "warm", "label": "Warm tone"}, {"code": "cold"}]}
    ]
    study.instrument = keep(parsed(ALL_KINDS, HIDDEN, variants=variants))
    study.save()
    row = enrolment.enrol(study, "", {}, simulated=False)
    for code, value in VALUES.items():
        row.responses.create(question=code, value=value)
    row.responses.filter(question="check").update(attempts=["b", "a"])
    assert "Warm tone" not in words(admin_client.get(url(row)))
    assert not row.assignments.exists()  # looking draws nothing
    row.assignments.create(variant="tone", arm="warm", counts={})
    text = words(admin_client.get(url(row)))
    assert "<div><dt>tone</dt><dd>Warm tone</dd></div>" in text
    for shown in (
        "<p><i>Prefer not to say</i></p>",
        'attempt 1</span> check b <span class="desk-tag bad">wrong</span>',
        'attempt 2</span> check a <span class="desk-tag good">correct</span>',
        "<ol><li>rank c</li><li>rank a</li><li>rank b</li></ol>",
        "<dt>agree a</dt><dd>High</dd>",
        "<dt>grid a</dt><dd>Low, High</dd>",
        '<dt>grid b</dt><dd><span class="hint">not answered</span></dd>',
        "--v:30.0",
        "<b>N/A</b>",
        "<p>41 years</p>",
        '<span class="hint">skipped</span>',
        '<span class="hint">not answered</span>',
        "released as not shown</span></p> <p>Too late.</p>",
    ):
        assert shown in text, shown


def test_own_texts_follow_their_options(admin_client: Client, study: Study) -> None:
    carol = Person(study)
    carol.survey()
    row = carol.row
    row.responses.filter(question="lm_usecases").update(
        value={"chosen": ["research", "other"], "other_text": "Naming <cats>"}
    )
    row.responses.filter(question="stated_prefs").update(
        value={"scores": {"values": 0, "other": 100}, "other_text": "is funny"}, touches={}
    )
    text = words(admin_client.get(url(row)))
    assert "<p>Research</p><p>Other</p><p>Naming &lt;cats&gt;</p>" in text
    assert "...other [Please type] is funny" in text
    assert "--v:0.0" in text
    assert "--v:100.0" in text
    assert text.count("<small>not touched</small>") == 2
    assert "Naming &lt;cats&gt;" in words(admin_client.get(list_url(Response)))


def test_a_conversation_reads_as_a_transcript(admin_client: Client, talker: Person) -> None:
    conversation = talker.conversation
    text = words(admin_client.get(url(conversation)))
    assert "Conversation 1, values guided" in text
    assert "Is &lt;b&gt;soup&lt;/b&gt; a drink?" in text
    for utterance in Utterance.objects.all():
        assert utterance.endpoint.long_name in text
        assert f"shown as reply {utterance.letter}" in text
        assert f"--v:{utterance.score}" in text
    assert text.count("Chosen</span>") == 2
    assert text.count("Tied</span>") == 2
    assert text.count("Reported</span>") == text.count("Hidden</span>") == 1
    assert "It is &lt;i&gt;rude&lt;/i&gt;" in text
    failed = ModelCall.objects.exclude(outcome="ok").get()
    assert failed.endpoint.long_name in text
    assert text.count(", not shown</span>") == 1
    assert f"<b>{failed.error_class}</b>" in text
    assert "Good on soup, weak on stew." in text
    assert text.count("N/A</td>") == 2
    assert url(talker.row) in text


def test_attempts_that_gave_too_few_replies_are_kept_in_view(
    admin_client: Client, alice: Person, study: Study, model_server: ModelServer
) -> None:
    use_models(study, model_server, "http-500", "http-503", "empty")
    alice.start()
    alice.prompt(0)
    text = words(admin_client.get(url(alice.conversation)))
    assert "too few replies" in text
    assert "which gave too few replies" not in text
    ModelEndpoint.objects.update(litellm_model="openai/ok")
    alice.post("c/1/again/", {"attempt": 0})
    text = words(admin_client.get(url(alice.conversation)))
    assert "Attempt 1, which gave too few replies" in text
    assert "empty reply</span>" in text
    assert text.count("shown as reply") == 3


def test_a_transcript_takes_few_queries_however_long(admin_client: Client, talker: Person) -> None:
    def queries(conversation: Conversation) -> int:
        with CaptureQueriesContext(connection) as captured:
            admin_client.get(url(conversation))
        return len(captured)

    queries(talker.conversation)
    short = queries(talker.conversation)
    talker.converse("unguided", turns=5)
    assert queries(talker.conversation) == short


def test_a_study_counts_its_people_once(admin_client: Client, study: Study) -> None:
    Person(study).arrive()
    Person(study).survey()
    today = timezone.now().date()
    Decline.objects.bulk_create(Decline(study=study, date=today, source="x") for _i in range(3))
    ModelEndpoint.objects.filter(pk=ModelEndpoint.objects.first().pk).update(is_active=False)  # type: ignore[union-attr]
    response: Any = admin_client.get(list_url(Study))
    (row,) = response.context["cl"].result_list
    counts = (row.arrived, row.consented, row.surveyed, row.complete, row.declined)
    assert counts == (2, 1, 1, 0, 3)
    assert row.active_models == 3
    assert "/s/prism/" in words(response)


def test_a_study_can_be_edited(admin_client: Client, study: Study) -> None:
    changed = study.protocol_json | {"conversations_per_type": 1}
    response = save_study(admin_client, study, title="Wave 2", protocol_json=json.dumps(changed))
    assert response.status_code == 302
    assert study.title == "Wave 2"
    assert study.protocol.conversations_per_type == 1


def test_a_study_can_be_added(admin_client: Client, study: Study) -> None:
    add = reverse("admin:surveys_study_add")
    text = words(admin_client.get(add))
    assert "Your feedback on AI language models" in text  # a consent text to begin with
    study.slug = "second"
    study.completion_code = "ABCDEFGH"
    assert admin_client.post(add, study_form(study)).status_code == 302
    assert Study.objects.get(slug="second").protocol == study.protocol


@pytest.mark.parametrize(
    ("field", "document", "message"),
    [
        ("protocol_json", '{"name": "x",\n "a" 1}', "line 2, column 6"),
        ("protocol_json", '{"name": "x", "oops": 1}', "oops: Extra inputs are not permitted"),
        ("protocol_json", '{"name": "x", "reply_limit_s": 0}', "reply_limit_s: "),
        ("protocol_json", '{"name": "x", "reply_limit_s": NaN}', "cannot be stored"),
        ("protocol_json", "[1]", "Input should be a valid dictionary"),
        ("protocol_json", "", "This field is required"),
        ("consent_document", '{"version": "2"}', "title: Field required; add this key"),
        ("consent_document", '{"version": "\\u0000"}', "cannot be stored"),
        ("consent_document", '{"version": "\\ud800"}', "cannot be stored"),
    ],
)
def test_a_document_that_is_wrong_is_refused_with_its_place(
    admin_client: Client, study: Study, field: str, document: str, message: str
) -> None:
    before = getattr(study, field)
    response = save_study(admin_client, study, title="Not saved", **{field: document})
    assert message in words(response)
    assert study.title == "PRISM"
    assert getattr(study, field) == before


def test_a_consent_text_that_people_agreed_to_keeps_its_version(
    admin_client: Client, study: Study
) -> None:
    first = study.consent_document["version"]
    changed = study.consent_document | {"lede": "Another text."}
    Person(study).consent()
    refused = save_study(admin_client, study, consent_document=json.dumps(changed))
    assert f"People have consented to version {first}." in words(refused)
    changed["version"] = "another"
    response = save_study(admin_client, study, consent_document=json.dumps(changed))
    assert response.status_code == 302
    assert study.consent_document["lede"] == "Another text."
    Person(study).consent()
    assert set(ConsentText.objects.values_list("version", flat=True)) == {first, "another"}


SPANISH = {"en": "Hello.", "es": "Hola."}


def speak_spanish(study: Study) -> Instrument:
    """Give the study an instrument and a consent document with Spanish, not reviewed yet."""
    study.instrument = keep(
        parsed(page("hello", title=SPANISH, text=[SPANISH]), title=SPANISH, languages=["en", "es"])
    )
    study.consent_document = {
        **study.consent_document,
        "lede": SPANISH,
        "languages": ["en", "es"],
        "version": "2",
    }
    return study.instrument


def test_a_language_needs_questionnaire_consent_and_reviewer(
    admin_client: Client, study: Study
) -> None:
    text = words(save_study(admin_client, study, languages=["es"]))
    assert "The questionnaire has no texts in Español." in text
    assert "The consent document has no texts in Español." in text
    instrument = speak_spanish(study)
    text = words(save_study(admin_client, study, languages=["es"]))
    assert "Nobody has reviewed the questionnaire in Español yet" in text
    study.refresh_from_db()
    assert study.languages == []
    speak_spanish(study)
    TranslationReview.objects.create(instrument=instrument, language="es", reviewer="Ada")
    assert save_study(admin_client, study, languages=["es"]).status_code == 302
    assert study.languages == ["es"]
    assert study.consent_document["lede"] == SPANISH  # as it was written, not in one language


def test_closed_and_demo_studies_may_wait_for_a_reviewer(
    admin_client: Client, study: Study
) -> None:
    Study.objects.update(state=Study.State.PAUSED)
    speak_spanish(study)
    assert save_study(admin_client, study, languages=["es"]).status_code == 302
    text = words(admin_client.get(url(study)))
    assert "Nobody has reviewed the questionnaire in Español yet" in text
    Study.objects.update(state=Study.State.LIVE)
    assert save_study(admin_client, study, languages=["es"]).status_code == 200
    Study.objects.update(is_demo=True)
    assert save_study(admin_client, study, languages=["es"]).status_code == 302


def test_a_consent_text_is_checked_in_each_language(admin_client: Client, study: Study) -> None:
    placeholder = {"en": "Hello.", "es": "Hola, {nombre}."}
    document = study.consent_document | {"lede": placeholder, "languages": ["en", "es"]}
    response = save_study(admin_client, study, consent_document=json.dumps(document))
    assert "lede: unknown placeholder nombre" in words(response)
    response = save_study(admin_client, study, languages=["tlh"])
    assert "tlh is not one of the available choices" in words(response)


def test_another_version_is_for_newcomers(admin_client: Client, study: Study) -> None:
    person = Person(study)
    in_survey(person)
    other = keep(parsed(page("hello", text=["Hello."])))
    response = admin_client.post(url(study), study_form(study, instrument=other.pk), follow=True)
    assert "1 person has begun with an earlier version and finishes on that." in words(response)
    assert person.row.instrument == study.instrument
    study.refresh_from_db()
    assert study.instrument == other


def test_a_version_that_asks_otherwise_under_the_same_code_is_refused(
    admin_client: Client, study: Study
) -> None:
    asked = {"code": "lm_familiarity", "type": "text", "text": "How familiar?"}
    other = keep(parsed(page("familiarity", asked)))
    person = Person(study)
    person.consent()
    assert save_study(admin_client, study, instrument=other.pk).status_code == 302
    save_study(admin_client, study, instrument=person.row.instrument_id)
    in_survey(person)
    text = words(save_study(admin_client, study, instrument=other.pk))
    assert "another kind of answer belongs to lm_familiarity" in text
    assert study.instrument == person.row.instrument


def test_a_link_that_people_hold_cannot_change(admin_client: Client, study: Study) -> None:
    save_study(admin_client, study, slug="before-anybody")
    assert study.slug == "before-anybody"
    Person(study).arrive()
    save_study(admin_client, study, slug="after-somebody")
    assert study.slug == "before-anybody"


def test_a_study_with_participants_cannot_be_deleted(admin_client: Client, study: Study) -> None:
    Person(study).consent()
    admin_client.post(url(study, "delete"), {"post": "yes"})
    assert Study.objects.filter(pk=study.pk).exists()
    assert Participant.objects.count() == 1


def test_a_studys_page_leads_to_its_release(admin_client: Client, talker: Person) -> None:
    text = words(admin_client.get(url(talker.study)))
    addresses = [reverse("export-all", args=["prism"])]
    addresses += [reverse("export-file", args=["prism", name]) for name in FILES]
    for address in addresses:
        assert f'href="{address}"' in text
        assert admin_client.get(address).status_code == 200


def test_an_instrument_reads_as_its_pages(admin_client: Client, study: Study) -> None:
    text = words(admin_client.get(url(Instrument.objects.get())))
    for question in study.instrument.file.questions():
        assert f"<code>{question.code}</code>" in text
    assert "...was factual and informative" in text


@pytest.fixture
def endpoint(study: Study) -> ModelEndpoint:
    return study.endpoints.earliest("pk")


def test_a_model_can_be_added_and_switched_off(
    admin_client: Client, study: Study, endpoint: ModelEndpoint
) -> None:
    fields = endpoint_form(endpoint, long_name="vendor/new", parameters='{"temperature": 0.5}')
    admin_client.post(reverse("admin:collection_modelendpoint_add"), fields)
    new = ModelEndpoint.objects.get(long_name="vendor/new")
    assert new.parameters == {"temperature": 0.5}
    assert list(new.studies.all()) == [study]

    rows = list(ModelEndpoint.objects.order_by("long_name"))
    boxes = {f"form-{index}-id": row.pk for index, row in enumerate(rows)}
    boxes |= {f"form-{i}-is_active": "on" for i, row in enumerate(rows) if row != new}  # type: ignore[misc]
    count = {"form-TOTAL_FORMS": len(rows), "form-INITIAL_FORMS": len(rows), "_save": "Save"}
    admin_client.post(list_url(ModelEndpoint), boxes | count)
    assert set(ModelEndpoint.objects.filter(is_active=True)) == set(rows) - {new}


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ('{"api_key": "sk-secret"}', "Refract sends api_key itself"),
        ('{"model": "other", "messages": []}', "Refract sends messages, model itself"),
        ("[1]", "Write names and values in braces"),
        ("{,}", "Not valid JSON in line 1"),
    ],
)
def test_parameters_that_cannot_be_sent_are_refused(
    admin_client: Client, endpoint: ModelEndpoint, parameters: str, message: str
) -> None:
    before = endpoint.parameters
    response = save_endpoint(admin_client, endpoint, parameters=parameters)
    assert message in words(response)
    assert endpoint.parameters == before


def test_keys_are_chosen_by_name_and_never_shown(
    admin_client: Client, endpoint: ModelEndpoint, settings: Any
) -> None:
    settings.MODEL_KEYS = {"ACME": "sk-secret"}
    text = words(admin_client.get(url(endpoint)))
    assert '<option value="ACME"' in text
    assert "sk-secret" not in text
    save_endpoint(admin_client, endpoint, key_name="ACME")
    assert endpoint.key_name == "ACME"
    save_endpoint(admin_client, endpoint, key_name="UNHEARD_OF")
    assert endpoint.key_name == "ACME"
    settings.MODEL_KEYS = {}
    assert "ACME is not set" in words(admin_client.get(list_url(ModelEndpoint)))
    response = save_endpoint(admin_client, endpoint, link="https://example.org")
    assert endpoint.key_name == "ACME"
    assert "The key ACME is not set on this server." in words(response)


def test_demo_models_are_plainly_labelled(admin_client: Client, endpoint: ModelEndpoint) -> None:
    assert "Demo</span>" not in words(admin_client.get(list_url(ModelEndpoint)))
    save_endpoint(admin_client, endpoint, litellm_model="refract-demo/terse")
    assert endpoint.is_demo
    assert words(admin_client.get(list_url(ModelEndpoint))).count("Demo</span>") == 1
    assert "This is no language model" in words(admin_client.get(url(endpoint)))
    save_endpoint(admin_client, endpoint, litellm_model="openai/ok")
    assert not endpoint.is_demo


def test_changing_what_people_met_is_allowed_with_a_warning(
    admin_client: Client, talker: Person
) -> None:
    endpoint = talker.conversation.endpoint
    assert endpoint is not None
    quiet = save_endpoint(admin_client, endpoint, link="https://example.org")
    assert "made with the earlier settings" not in words(quiet)
    response = save_endpoint(admin_client, endpoint, header="Be brief.")
    assert "3 calls were made with the earlier settings." in words(response)
    assert endpoint.header == "Be brief."


def test_draws_and_outcomes_are_counted(admin_client: Client, talker: Person) -> None:
    response: Any = admin_client.get(list_url(ModelEndpoint))
    rows = [row for row in response.context["cl"].result_list if row.draws]
    failed = next(row for row in rows if row.litellm_model == "openai/http-500")
    assert (failed.draws, failed.draws_of_all) == (1, 4)
    assert (failed.ended_error, failed.ended_ok) == (1, 0)
    locked = next(row for row in rows if row == talker.conversation.endpoint)
    assert (locked.draws, locked.ended_ok) == (1, 3)
    text = words(response)
    assert "1 (25 %)" in text
    assert "1 error" in text
    assert "3 ok" in text


def try_it(client: Client, endpoint: ModelEndpoint) -> HttpResponse:
    return client.post(url(endpoint, "try"))  # type: ignore[return-value]


def test_a_model_is_tried_with_one_click(
    admin_client: Client, endpoint: ModelEndpoint, model_server: ModelServer
) -> None:
    button = f'form="try-form" formaction="{url(endpoint, "try")}"'
    assert button in words(admin_client.get(list_url(ModelEndpoint)))
    endpoint.litellm_model = "openai/echo"
    endpoint.save()
    text = words(try_it(admin_client, endpoint))
    sent = model_server.requests[-1]
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert sent["messages"][0]["content"] == HEADER
    assert sent["temperature"] == 1.0
    prompt = sent["messages"][1]["content"]
    assert text.count(prompt) == 2  # sent, and echoed
    assert "ok</span>" in text
    assert " ms</dd>" in text
    assert not ModelCall.objects.exists()


def test_a_model_that_fails_its_test_shows_why(
    admin_client: Client, endpoint: ModelEndpoint
) -> None:
    endpoint.litellm_model = "openai/http-500"
    endpoint.save()
    text = words(try_it(admin_client, endpoint))
    assert 'desk-tag bad">error' in text
    assert "InternalServerError" in text
    endpoint.key_name = "UNHEARD_OF"
    endpoint.save()
    assert "REFRACT_KEY_UNHEARD_OF" in words(try_it(admin_client, endpoint))


def test_a_test_costs_money_so_it_takes_a_post_and_the_right_to_change(
    admin_client: Client, admin_user: User, endpoint: ModelEndpoint, model_server: ModelServer
) -> None:
    before = len(model_server.requests)
    assert admin_client.get(url(endpoint, "try")).status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert try_it(strict, endpoint).status_code == 403
    reader = User.objects.create_user("reader", is_staff=True)
    Membership.objects.create(user=reader, study=endpoint.studies.get(), role="read_only")
    looking = Client()
    looking.force_login(reader)
    assert try_it(looking, endpoint).status_code == 403
    text = words(looking.get(url(endpoint)))
    assert "Send a test message" not in text
    assert len(model_server.requests) == before
    assert admin_client.post("/admin/collection/modelendpoint/99999/try/").status_code == 404


def test_accounts_can_be_made(admin_client: Client) -> None:
    assert words(admin_client.get(reverse("admin:auth_user_add")))
    fields = {"username": "eve", "usable_password": "true"}
    fields |= {"password1": "long-enough-7", "password2": "long-enough-7"}
    admin_client.post(reverse("admin:auth_user_add"), fields)
    eve = User.objects.get(username="eve")
    assert not eve.is_staff
    assert words(admin_client.get(url(eve)))
