"""A study's design as one YAML file: out of one server and into another, or refused by key."""

from typing import Any

import pytest
import yaml
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from collection import protocol_file
from collection.models import ModelEndpoint
from collection.setup_forms import ModelsForm
from surveys.instruments.load import InstrumentError
from surveys.models import Instrument, Study
from tests.admin_pages import words
from tests.cast import set_protocol

pytestmark = pytest.mark.django_db


@pytest.fixture
def file(study: Study) -> dict[str, Any]:
    set_protocol(study, opening_models=3, reply_limit_s=12.5)
    ModelEndpoint.objects.update(key_name="OURS")
    found: dict[str, Any] = yaml.safe_load(protocol_file.written(Study.objects.get()))
    return found


def draft_of(document: Any, slug: str = "again") -> protocol_file.Imported:
    text = yaml.safe_dump(document, sort_keys=False)
    return protocol_file.make_draft("study.yaml", protocol_file.read("study.yaml", text), slug)


def test_it_works(study: Study, file: dict[str, Any]) -> None:
    study.refresh_from_db()
    made = draft_of(file)
    again = made.study
    assert made.notes == []
    assert (again.state, again.protocol.opening_models) == ("draft", 3)
    assert again.protocol_json == study.protocol_json
    assert again.instrument == study.instrument
    assert again.consent_document == study.consent_document
    assert set(again.endpoints.all()) == set(study.endpoints.all())
    assert yaml.safe_load(protocol_file.written(again)) == file


def test_it_has_no_addresses_keys_or_people(file: dict[str, Any]) -> None:
    text = yaml.safe_dump(file)
    for secret in ("127.0.0.1", "OURS", "ada@example.org"):
        assert secret not in text
    assert file["consent"].keys() == {"name", "sha256"}
    assert file["endpoints"][0]["parameters"] == {"temperature": 1.0, "max_tokens": 64}


def test_into_an_empty_server(study: Study, file: dict[str, Any]) -> None:
    """What ships with Refract is found by its hash; models come without keys, switched off."""
    study.delete()
    ModelEndpoint.objects.all().delete()
    Instrument.objects.all().delete()
    made = draft_of(file)
    assert made.study.instrument.sha256 == file["instrument"]["sha256"]
    assert made.study.endpoints.count() == 4
    assert not made.study.endpoints.filter(is_active=True).exists()
    assert "switched off until you have given them keys" in made.notes[0]
    form = ModelsForm({"endpoints": list(made.study.endpoints.all())}, instance=made.study)
    assert "(switched off" in str(form["endpoints"])
    assert form.is_valid(), form.errors  # the set-up does not lose them
    form.save()
    assert made.study.endpoints.count() == 4


def test_a_consent_text_that_is_not_here_is_named(file: dict[str, Any]) -> None:
    file["consent"] = {"name": "theirs", "sha256": "0" * 64}
    assert "consent text theirs" in draft_of(file).notes[0]


@pytest.mark.parametrize(
    ("at", "value", "problem"),
    [
        (("protocol", "opening_models"), 9, "protocol.opening_models: "),
        (("protocol", "oops"), 1, "protocol.oops: Extra inputs are not permitted; remove this key"),
        (("instrument", "sha256"), "0" * 64, "instrument.sha256: this server has no such version"),
        (("refract",), 2, "refract: "),
        (("endpoints", 0, "header"), "Other.", "endpoints[0].header: vendor/model-"),
        (("endpoints", 1, "model_type"), "Talk", "endpoints[1].model_type: "),
    ],
)
def test_a_wrong_file_is_refused_by_key_and_nothing_is_kept(
    file: dict[str, Any], at: tuple[Any, ...], value: Any, problem: str
) -> None:
    part: Any = file
    for key in at[:-1]:
        part = part[key]
    part[at[-1]] = value
    before = ModelEndpoint.objects.count()
    with pytest.raises(InstrumentError) as refused:
        draft_of(file)
    assert "study.yaml" in str(refused.value)
    assert problem in str(refused.value)
    assert Study.objects.count() == 1
    assert ModelEndpoint.objects.count() == before


def test_the_desk_writes_and_reads_it(admin_client: Client, study: Study) -> None:
    text = admin_client.get(reverse("admin:surveys_study_file", args=[study.pk])).content
    address = reverse("admin:surveys_study_from_file")
    upload = SimpleUploadedFile("study.yaml", text)
    response = admin_client.post(address, {"slug": "again", "file": upload}, follow=True)
    assert "Set up a study" in words(response)
    assert Study.objects.get(slug="again").protocol == study.protocol
    for slug, data, said in (
        ("again", text, "There is a study with this slug already"),
        ("third", b"refract: [1", "study.yaml:1: not valid YAML"),
        ("third", b"\xff\xfe", "not UTF-8"),
        ("third", text.replace(b"opening_models: 4", b"opening_models: 99"), "opening_models"),
    ):
        upload = SimpleUploadedFile("study.yaml", data)
        response = admin_client.post(address, {"slug": slug, "file": upload}, follow=True)
        assert said in words(response)
    assert not Study.objects.filter(slug="third").exists()
