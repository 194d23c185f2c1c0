"""A small cast for tests: the PRISM study, whose models are a local server that behaves as told."""

from collections.abc import Iterator

import pytest

from collection import llm
from collection.models import ModelEndpoint
from surveys.instruments.load import FOLDER, read_consent, store
from surveys.models import Study
from surveys.protocol import PRESETS
from tests.model_server import ModelServer

HEADER = "You are a conversational assistant."


@pytest.fixture(scope="session")
def model_server() -> Iterator[ModelServer]:
    llm.warm()  # the first call of a run should not wait for an import
    with ModelServer() as server:
        yield server


@pytest.fixture
def kept_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels closes old connections around each call; the test's transaction lives on this one.

    Django's test client does the same for requests.
    """
    monkeypatch.setattr("channels.db.close_old_connections", lambda: None)


@pytest.fixture
def study(db: None, kept_connection: None, model_server: ModelServer) -> Study:
    """PRISM with four models that answer at once."""
    study = Study.objects.create(
        state=Study.State.LIVE,
        slug="prism",
        title="PRISM",
        instrument=store(FOLDER / "prism.yaml"),
        consent_document=read_consent(FOLDER / "prism-consent.yaml"),
        locale="us",
        contact_name="Ada",
        contact_email="ada@example.org",
        ethics_reference="REC-1",
        ethics_contact="rec@example.org",
        payment="£9.00",
        completion_url="https://recruiter.example/done?cc={code}",
        return_url="https://recruiter.example/return",
    )
    use_models(study, model_server, "ok", "ok", "ok", "ok")
    return study


def use_models(study: Study, server: ModelServer, *behaviours: str) -> list[ModelEndpoint]:
    """Give the study one model per behaviour of the server, and no others."""
    endpoints = [
        ModelEndpoint.objects.create(
            long_name=f"vendor/model-{number}-{behaviour}",
            short_name=f"model-{number}",
            longcode=f"M{number}",
            model_family="Test",
            model_provider="OpenAI",
            provider_code="openai",
            model_provider_type="Open Access",
            model_type="Chat",
            header=HEADER,
            parameters={"temperature": 1.0, "max_tokens": 64},
            litellm_model=f"openai/{behaviour}",
            api_base=server.url,
        )
        for number, behaviour in enumerate(behaviours, start=ModelEndpoint.objects.count())
    ]
    study.endpoints.set(endpoints)
    return endpoints


def set_protocol(study: Study, **changes: object) -> None:
    base = PRESETS["prism"].model_dump(mode="json")
    Study.objects.filter(pk=study.pk).update(protocol_json=base | changes)
