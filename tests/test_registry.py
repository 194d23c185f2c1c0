"""Endpoints: loaded from presets and files, edited with versions, and how each has done."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from collection import history, presets
from collection.llm import addresses
from collection.models import EndpointVersion, ModelEndpoint
from surveys.models import Study, StudyVersion
from tests.admin_pages import endpoint_form, list_url, save_endpoint, url, words
from tests.cast import use_models
from tests.model_server import ModelServer
from tests.walk import Person

pytestmark = pytest.mark.django_db

OWN = """\
title: Ours
models:
  - long_name: us/model
    short_name: model
    longcode: OURS
    model_family: Us
    model_provider: Us
    provider_code: us
    model_provider_type: Open Access
    model_type: Chat
    header: Be kind.
    parameters: {temperature: 0.5}
    litellm_model: openai/model
    api_base: http://127.0.0.1:9/v1
    key_name: US
    tags: [ours]
"""


def test_it_works(capsys: Any, tmp_path: Path) -> None:
    call_command("load_endpoints", "prism")
    rows = ModelEndpoint.objects.all()
    assert len(rows) == 21
    assert not any(row.is_active for row in rows)
    retired = {row.long_name for row in rows if "retired" in row.tags}
    assert {"claude-2", "gpt-4", "command", "models/chat-bison-001"} <= retired
    assert all(row.note for row in rows)
    claude = rows.get(long_name="claude-2")
    assert claude.parameters["temperature"] == 1.0
    assert claude.default_params["temperature"] == "1.0"  # as it was published
    file = tmp_path / "own.yaml"
    file.write_text(OWN)
    call_command("load_endpoints", str(file))
    assert ModelEndpoint.objects.get(long_name="us/model").key_name == "US"
    assert "1 added, 0 as they were" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["prism", "current"])
def test_presets_can_all_be_loaded_and_sent(name: str) -> None:
    loaded = presets.load(presets.named(name).models)
    assert loaded.new
    for row in loaded.new:
        row.full_clean()
        assert row.spec.litellm_model


def test_loading_twice_changes_nothing(capsys: Any) -> None:
    call_command("load_endpoints", "current")
    ModelEndpoint.objects.filter(long_name="gpt-4.1").update(header="Ours.")
    call_command("load_endpoints", "current")
    assert "kept gpt-4.1, which has other settings here" in capsys.readouterr().out
    assert ModelEndpoint.objects.get(long_name="gpt-4.1").header == "Ours."
    assert ModelEndpoint.objects.count() == len(presets.named("current").models)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("    header: Be kind.\n", "", "own.yaml:3: models[0].header: Field required"),
        ("header: Be", "headers: Be", "headers: Extra inputs are not permitted; remove"),
        ("model_type: Chat", "model_type: Talk", "own.yaml:10: models[0].model_type"),
        ("temperature: 0.5", "api_key: sk", "Refract sends api_key itself"),
        (
            "key_name: US",
            "key_name: sk-secret",
            "own.yaml:15: models[0].key_name: write the NAME of",
        ),
        ("http://127", "ftp://127", "is not http:// or https://"),
        ("parameters: {", "parameters: [", "not valid YAML"),
        (OWN, "", "the file is empty"),
    ],
)
def test_a_wrong_file_is_refused_with_line_and_key(
    admin_client: Client, tmp_path: Path, old: str, new: str, problem: str
) -> None:
    assert old in OWN
    file = tmp_path / "own.yaml"
    file.write_text(OWN.replace(old, new))
    with pytest.raises(CommandError) as refused:
        call_command("load_endpoints", str(file))
    assert problem in str(refused.value)
    response = upload(admin_client, file.read_bytes())
    assert "own.yaml" in words(response)
    assert not ModelEndpoint.objects.exists()


def test_no_such_preset_names_those_there_are() -> None:
    with pytest.raises(CommandError, match="one of: current, prism"):
        call_command("load_endpoints", "prysm")


def upload(client: Client, data: bytes) -> Any:
    file = SimpleUploadedFile("own.yaml", data)
    return client.post(reverse("admin:collection_modelendpoint_load"), {"file": file}, follow=True)


def test_the_desk_loads_presets_and_files(admin_client: Client) -> None:
    load = reverse("admin:collection_modelendpoint_load")
    assert "The 21 models of PRISM" in words(admin_client.get(list_url(ModelEndpoint)))
    text = words(admin_client.post(load, {"preset": "prism"}, follow=True))
    assert "21 models were added." in text
    text = words(admin_client.post(load, {"preset": "prism"}, follow=True))
    assert "0 models were added. 21 were here already." in text
    upload(admin_client, OWN.encode())
    assert words(admin_client.get(list_url(ModelEndpoint, "?tag=ours"))).count("us/model</a>") == 1
    assert "claude-2</a>" not in words(admin_client.get(list_url(ModelEndpoint, "?tag=ours")))
    assert admin_client.post(load, {"preset": "../own"}).status_code == 404
    assert "Choose a file first." in words(admin_client.post(load, {}, follow=True))


def test_hosts_are_checked_against_the_allow_list(settings: Any) -> None:
    settings.MODEL_HOSTS = ["api.example.org", ".models.example"]
    settings.PRIVATE_ADDRESSES = True
    for good in ("https://api.example.org/v1", "https://eu.models.example"):
        addresses.check(good)
    for bad in ("https://example.org", "https://api.example.org.evil.example", "http://127.0.0.1"):
        with pytest.raises(addresses.AddressRefused, match="REFRACT_MODEL_HOSTS"):
            addresses.check(bad)


def test_an_edit_in_a_live_study_makes_versions(admin_client: Client, study: Study) -> None:
    alice = Person(study, PROLIFIC_PID="alice").ready()
    endpoint = study.endpoints.earliest("pk")
    refused = save_endpoint(admin_client, endpoint, header="Be brief.", reason="")
    assert "Please say why" in words(refused)
    assert not StudyVersion.objects.exists()
    save_endpoint(admin_client, endpoint, header="Be brief.", reason="Shorter replies.")
    first, second = EndpointVersion.objects.all()
    assert first.document["header"] == "You are a conversational assistant."
    assert (second.document["header"], second.reason, second.author) == (
        "Be brief.",
        "Shorter replies.",
        "admin",
    )
    last = study.versions.last()
    assert last is not None and last.number == 2
    assert last.reason == f"{endpoint}: Shorter replies."
    assert alice.row.version == study.versions.first()
    save_endpoint(admin_client, endpoint, link="https://example.org", reason="")
    assert study.versions.count() == 2  # nobody meets the link


def test_an_edit_of_what_no_study_uses_needs_no_reason(admin_client: Client, study: Study) -> None:
    Study.objects.update(state=Study.State.DRAFT)
    endpoint = study.endpoints.earliest("pk")
    save_endpoint(admin_client, endpoint, header="Be brief.", reason="")
    assert endpoint.header == "Be brief."
    assert not EndpointVersion.objects.exists()


def test_switching_off_in_the_list_makes_a_version(admin_client: Client, study: Study) -> None:
    rows = list(ModelEndpoint.objects.order_by("long_name"))
    boxes: dict[str, Any] = {f"form-{index}-id": row.pk for index, row in enumerate(rows)}
    boxes |= {f"form-{index}-is_active": "on" for index in range(1, len(rows))}
    count = {"form-TOTAL_FORMS": len(rows), "form-INITIAL_FORMS": len(rows), "_save": "Save"}
    admin_client.post(list_url(ModelEndpoint), boxes | count)
    first, second = study.versions.all()
    assert set(first.endpoints_json) - set(second.endpoints_json) == {rows[0].long_name}


def test_two_researchers_at_one_endpoint(admin_client: Client, study: Study) -> None:
    endpoint = study.endpoints.earliest("pk")
    page: Any = admin_client.get(url(endpoint))
    opened = page.context["adminform"].form["opened"].value()
    assert 'name="opened"' in words(page)
    save_endpoint(admin_client, endpoint, header="By Bob.", opened=opened)
    assert endpoint.header == "By Bob."
    text = words(
        save_endpoint(admin_client, endpoint, header="By Ada.", link="https://a.org", opened=opened)
    )
    assert "admin (" in text and "changed Header" in text
    assert "Header now has, by them: By Bob." in text
    assert "By Ada.</textarea>" in text and "https://a.org" in text  # nothing written is lost
    assert endpoint.header == "By Bob."


def test_an_endpoints_page_says_how_it_has_done(
    admin_client: Client, study: Study, model_server: ModelServer
) -> None:
    use_models(study, model_server, "ok", "http-500", "echo")
    alice = Person(study, PROLIFIC_PID="alice").ready()
    alice.start()
    alice.prompt(0)
    alice.rate(0, 90, 10)
    chosen = alice.conversation.endpoint
    assert chosen is not None
    found = history.of(chosen)
    assert (found.shown, found.won, found.openings) == (1, 1, 1)
    assert found.won_percent == 100 and found.share_of_wins == 100
    assert found.median_ms is not None
    assert found.days[0].calls >= 1 and found.days[0].failed == 0
    broken = study.endpoints.get(litellm_model="openai/http-500")
    admin_client.post(url(broken, "try"))
    text = words(admin_client.get(url(broken)))
    assert text.count("<b>InternalServerError</b>") == 2  # a participant's call, and the test
    assert "100 %" in text
    few = queries(admin_client, chosen)
    alice.rate(0)
    alice.prompt(1, "More?")
    assert queries(admin_client, chosen) == few


def queries(client: Client, row: ModelEndpoint) -> int:
    client.get(url(row))
    with CaptureQueriesContext(connection) as captured:
        client.get(url(row))
    return len(captured)


def test_tags_are_words_with_commas(admin_client: Client, study: Study) -> None:
    endpoint = study.endpoints.earliest("pk")
    save_endpoint(admin_client, endpoint, tags=" pilot, open  weights,pilot,")
    assert endpoint.tags == ["pilot", "open weights"]
    assert 'value="pilot, open weights"' in words(admin_client.get(url(endpoint)))
    response = admin_client.post(url(endpoint), endpoint_form(endpoint, tags="x" * 60))
    assert "put commas between tags" in words(response)
    assert json.dumps(endpoint.tags)
