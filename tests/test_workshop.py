"""Instruments at the desk: bringing one in, comparing two, vouching for a translation."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from surveys import studies
from surveys.instruments.load import FOLDER, LENGTH_LIMIT, keep, store
from surveys.models import Instrument, Study, TranslationReview
from surveys.protocol import PRESETS
from tests.drafts import page, parsed, single, text
from tests.walk import Person

pytestmark = pytest.mark.django_db

JOB = single("job", "yes", "no")
SPANISH = {"en": "Work", "es": "Trabajo"}


def words(response: Any) -> str:
    assert response.status_code == 200, response
    return " ".join(response.content.decode().split())


def change_url(row: Instrument) -> str:
    return reverse("admin:surveys_instrument_change", args=[row.pk])


def upload(client: Client, given: str | bytes, button: str = "check", **other: Any) -> Any:
    fields: dict[str, Any] = {button: "on"} | other
    if isinstance(given, bytes):
        fields["file"] = SimpleUploadedFile("mine.yaml", given)
    else:
        fields["text"] = given
    return client.post(reverse("admin:surveys_instrument_add"), fields, follow=True)


def test_it_works(admin_client: Client) -> None:
    text_ = words(admin_client.get(reverse("admin:surveys_instrument_add")))
    assert "instrument.schema.json" in text_
    checked = words(upload(admin_client, text(page("one", JOB))))
    assert "1 page, 1 question, about 1 min" in checked
    assert "Nothing found" in checked
    assert not Instrument.objects.exists()
    stored = words(upload(admin_client, text(page("one", JOB)), "store"))
    assert "Stored. A study can use it now." in stored
    row = Instrument.objects.get()
    assert row.sha256 == parsed(page("one", JOB)).sha256
    assert f'href="{reverse("admin:surveys_instrument_preview", args=[row.sha256])}"' in stored


def test_a_file_is_as_good_as_its_text(admin_client: Client) -> None:
    upload(admin_client, text(page("one", JOB)).replace("\n", "\r\n").encode(), "store")
    upload(admin_client, text(page("one", JOB)), "store")
    assert Instrument.objects.count() == 1
    prism = (FOLDER / "prism.yaml").read_bytes()
    upload(admin_client, b"\xef\xbb\xbf" + prism, "store")
    assert Instrument.objects.get(slug="prism") == store(FOLDER / "prism.yaml")


def test_a_version_that_exists_says_so(admin_client: Client) -> None:
    row = keep(parsed(page("one", JOB)))
    assert "This very version is stored." in words(upload(admin_client, text(page("one", JOB))))
    response = upload(admin_client, text(page("one", JOB)), "store")
    assert "This version is stored already" in words(response)
    assert response.redirect_chain[-1][0] == change_url(row)


def test_findings_are_shown_before_it_is_stored(admin_client: Client) -> None:
    hidden = page("two", JOB | {"code": "x"}, show_if={"question": "job", "declined": True})
    assert "nobody can reach it" in words(upload(admin_client, text(page("one", JOB), hidden)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "Choose a file, or paste the text of one."),
        (b"", "Choose a file, or paste the text of one."),
        ("instrument: [", "text:1: not valid YAML"),
        (b"instrument: {", "mine.yaml:1: not valid YAML"),
        (b"\xff\xfe", "mine.yaml: not UTF-8"),
        (b"a: b\0", "mine.yaml"),
        (b"x" * (4 * LENGTH_LIMIT + 1), "mine.yaml: longer than 1000000 characters"),
        ("- <b>1</b>", "text"),
    ],
)
def test_what_cannot_be_used_is_refused(
    admin_client: Client, given: str | bytes, message: str
) -> None:
    for button in ("check", "preview", "store"):
        assert message in words(upload(admin_client, given, button))
    assert not Instrument.objects.exists()


def test_errors_name_line_and_remedy_and_the_text_is_kept(admin_client: Client) -> None:
    wrong = text(page("one", JOB)).replace("text: job?", "text: job?\n    txet: <b>soup</b>")
    line = wrong.split("\n").index("    txet: <b>soup</b>") + 1
    shown = words(upload(admin_client, wrong.encode(), "store"))
    assert f"mine.yaml:{line}: pages[0].questions[0].txet: Extra inputs are not permitted" in shown
    assert f"<code>{line} | txet: &lt;b&gt;soup&lt;/b&gt;</code>" in shown
    assert "txet: &lt;b&gt;soup&lt;/b&gt; options:" in shown  # in the field
    assert not Instrument.objects.exists()


def test_only_those_who_may_add_do(client: Client) -> None:
    add = reverse("admin:surveys_instrument_add")
    helper = User.objects.create_user("helper", is_staff=True)
    helper.user_permissions.add(Permission.objects.get(codename="view_instrument"))
    client.force_login(helper)
    row = keep(parsed(page("one", JOB)))
    assert "Preview" in words(client.get(change_url(row)))
    assert client.get(add).status_code == 403
    assert client.post(add, {"text": text(page("one", JOB)), "store": "on"}).status_code == 403


# Comparing


def compare(client: Client, old: str, new: str) -> Any:
    return client.get(reverse("admin:surveys_instrument_compare"), {"old": old, "new": new})


def test_two_versions_are_compared(admin_client: Client) -> None:
    old = keep(parsed(page("one", JOB)))
    new = keep(parsed(page("one", JOB | {"text": "Your <job>?"})))
    link = f"?old={old.sha256}&amp;new={new.sha256}"
    assert link in words(admin_client.get(change_url(new)))
    assert link not in words(admin_client.get(change_url(old)))
    shown = words(compare(admin_client, old.sha256, new.sha256))
    assert "<del>job?</del><ins>Your &lt;job&gt;?</ins>" in shown
    assert "Nothing: both say the same." in words(compare(admin_client, old.sha256, old.sha256))
    assert compare(admin_client, old.sha256, "").status_code == 404


def test_an_unsaved_version_is_compared_with_the_latest(admin_client: Client) -> None:
    old = keep(parsed(page("one", JOB)))
    more = [page("one", JOB), page("two", text=["Thank you."])]
    link = f"?old={old.sha256}&amp;new={parsed(*more).sha256}"
    assert link in words(upload(admin_client, text(*more)))
    shown = words(compare(admin_client, old.sha256, parsed(*more).sha256))
    assert '<span class="kind">page</span> <b>Two</b>' in shown
    assert "not stored" in shown


# Translations


@pytest.fixture
def spanish() -> Instrument:
    labelled = [{"code": code, "label": {"en": code, "es": code}} for code in ("yes", "no")]
    asked = page("one", JOB | {"text": SPANISH, "options": labelled}, title=SPANISH)
    return keep(parsed(asked, title=SPANISH, languages=["en", "es", "fr"]))


def vouch(client: Client, row: Instrument, **fields: str) -> str:
    address = reverse("admin:surveys_instrument_vouch", args=[row.pk])
    return words(client.post(address, fields, follow=True))


def test_a_translation_is_approved_and_withdrawn(admin_client: Client, spanish: Instrument) -> None:
    page_ = words(admin_client.get(change_url(spanish)))
    assert page_.count(">Draft</span>") == 2
    assert "5 texts are missing" in page_  # French has none
    assert "Reviewed by Ada, " in vouch(admin_client, spanish, language="es", reviewer="  Ada ")
    review = TranslationReview.objects.get()
    assert (review.language, review.reviewer) == ("es", "Ada")
    assert "is withdrawn" in vouch(admin_client, spanish, language="es", withdraw="on")
    assert not TranslationReview.objects.exists()


def test_a_review_needs_a_name_and_all_texts(admin_client: Client, spanish: Instrument) -> None:
    nameless = vouch(admin_client, spanish, language="es", reviewer=" ")
    assert "Please write who reviewed the translation." in nameless
    assert "Français misses texts." in vouch(admin_client, spanish, language="fr", reviewer="Ada")
    address = reverse("admin:surveys_instrument_vouch", args=[spanish.pk])
    for language in ("en", "de", ""):
        response = admin_client.post(address, {"language": language, "reviewer": "Ada"})
        assert response.status_code == 404
    assert admin_client.get(address).status_code == 405
    assert not TranslationReview.objects.exists()


def test_only_those_who_may_review_do(client: Client, spanish: Instrument) -> None:
    address = reverse("admin:surveys_instrument_vouch", args=[spanish.pk])
    client.force_login(User.objects.create_user("helper", is_staff=True))
    assert client.post(address, {"language": "es", "reviewer": "Ada"}).status_code == 403
    TranslationReview.objects.create(instrument=spanish, language="es", reviewer="Ada")
    assert client.post(address, {"language": "es", "withdraw": "on"}).status_code == 403
    assert TranslationReview.objects.count() == 1


SETTINGS = {
    "state": "live",
    "locale": "us",
    "contact_name": "Ada",
    "contact_email": "ada@example.org",
    "ethics_reference": "REC-1",
    "ethics_contact": "rec@example.org",
}


def begun(client: Client, row: Instrument) -> dict[str, Any]:
    """What the form of a new study holds that the instrument's page leads to."""
    link = f"{reverse('admin:surveys_study_add')}?instrument={row.pk}"
    assert link in words(client.get(change_url(row)))
    form = client.get(link).context["adminform"].form
    return {field.name: field.value() for field in form if field.value() is not None}


def test_a_survey_becomes_a_study(admin_client: Client) -> None:
    row = keep(parsed(page("one", JOB), title="My work"))
    fields = begun(admin_client, row) | SETTINGS
    assert fields["title"] == "My work"
    consent = json.loads(fields["consent_document"])
    assert consent["title"] == "My work"
    assert "languages" not in consent  # the questions have one
    saved = admin_client.post(reverse("admin:surveys_study_add"), fields)
    assert saved.status_code == 302, saved.context["errors"]
    study = Study.objects.get()
    assert (study.protocol, study.state) == (PRESETS["survey"], Study.State.DRAFT)
    studies.launch(study, "ada")
    somebody = Person(study)
    somebody.survey()
    assert somebody.row.completed_at


def test_an_instrument_with_conversations_begins_as_prism_does(admin_client: Client) -> None:
    fields = begun(admin_client, store(FOLDER / "prism.yaml"))
    assert json.loads(fields["protocol_json"])["name"] == "prism"
    assert "six conversations" in fields["consent_document"]


@pytest.mark.parametrize("key", ["", "x", "0", "99999", "²"])
def test_a_study_of_no_known_instrument_begins_as_any(admin_client: Client, key: str) -> None:
    response = admin_client.get(f"{reverse('admin:surveys_study_add')}?instrument={key}")
    assert response.status_code == 200
