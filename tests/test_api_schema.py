"""What the API says of itself: true of every answer that it gives, and readable offline."""

import json
import traceback
from collections import Counter
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import schemathesis
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from collection.api import schema, throttle
from collection.api.urls import urlpatterns
from collection.models import ModelEndpoint
from surveys.models import Participant, QuotaTable, Study
from tests import export_cast
from tests.api import Program, member

pytestmark = pytest.mark.django_db


def operations() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, methods in schema.document()["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_it_works() -> None:
    response = Client().get("/api/schema/")
    assert response["Content-Type"].startswith("application/vnd.oai.openapi+json")
    document = response.json()
    assert document["openapi"] == "3.1.0"
    assert document == json.loads(json.dumps(schema.document()))


def test_every_address_is_described() -> None:
    """Each of the URLconf, but the two public ones and the one for all that are none."""
    described = {path for path, _method, _operation in operations()}
    assert len(described) == len(urlpatterns) - 3


def test_every_operation_says_who_may_and_what_is_refused() -> None:
    names = [operation["operationId"] for _p, _m, operation in operations()]
    assert len(names) == len(set(names))
    for path, method, operation in operations():
        assert operation["security"] == [{"token": []}, {"session": []}], path
        assert {"401", "403", "429"} <= set(operation["responses"])
        assert operation["summary"]
        if method != "get":
            assert {"400", "409", "413", "415"} <= set(operation["responses"])
            headers = [one for one in operation["parameters"] if one["in"] == "header"]
            assert [one["name"] for one in headers] == ["Idempotency-Key"]


def test_every_example_is_as_described() -> None:
    document = schema.document()
    found = 0
    for _path, _method, operation in operations():
        parts = [operation.get("requestBody", {}), *operation["responses"].values()]
        for media in (m for part in parts for m in part.get("content", {}).values()):
            if "example" in media:
                own = {"components": document["components"], **media["schema"]}
                jsonschema.Draft202012Validator(own).validate(media["example"])
                found += 1
    assert found > 100


def test_the_page_has_everything_and_needs_nobody() -> None:
    response = Client().get("/api/docs/")
    text = response.content.decode()
    for _path, _method, operation in operations():
        assert f'id="{operation["operationId"]}"' in text
    assert "default-src 'none'" in response["Content-Security-Policy"]
    assert "<script" not in text
    assert "style=" not in text
    assert "//cdn" not in text


# schemathesis, against the application itself


@pytest.fixture
def program(study: Study) -> Program:
    """A study with a row of everything that can be asked for."""
    person = export_cast.make_cast(study)["alice"]
    person.completed_at = person.survey_finished_at
    person.save()
    program = Program(member(study, "owner", "ada"))
    program.post("studies/prism/quotas/", {"name": "Gender", "csv": "gender,target\nfemale,9\n"})
    return program


@pytest.fixture
def kept_open(program: Program) -> Iterator[None]:
    """Requests through WSGI would close the connection that the test's transaction is on."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def api(kept_open: None, program: Program) -> Any:
    document = json.loads(json.dumps(schema.document()))
    headers = {"Authorization": f"Bearer {program.secret}", "Accept-Encoding": "identity"}
    config = SchemathesisConfig.from_dict({"seed": 1, "headers": headers})
    found = schemathesis.openapi.from_dict(document, config=config)
    found.app = WSGIHandler()
    return found


EXAMPLES = 6
"""Requests for each operation in each way to make them up."""
MADE_UP = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)


LEFT_OUT = [positive_data_acceptance, ignored_auth]
"""The rules of a CSV, of a protocol or of what may follow what are more than a schema can say. A
made-up cookie beside a token that holds counts as a way in; test_access asks as nobody."""


def test_no_answer_is_other_than_described(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bodies and queries made up from the schema, sound and not, for rows that there are."""
    monkeypatch.setattr(throttle, "RATE", 10**6)
    monkeypatch.setattr(throttle, "HEAVY_RATE", 10**6)
    numbers: Counter[int] = Counter()
    failures: list[str] = []
    for result in api.get_all_operations():
        operation = result.ok()
        rows = {"path_parameters": rows_of(operation)}
        for mode in GenerationMode if can_be_wrong(operation) else [GenerationMode.POSITIVE]:
            try:
                numbers += tried(operation.as_strategy(mode, **rows))
            except BaseExceptionGroup as error:
                failures.append("".join(traceback.format_exception(error, limit=0)))
    if failures:
        pytest.fail("\n\n".join(failures), pytrace=False)
    assert numbers.total() > 200
    assert {200, 201, 400, 409} <= set(numbers)


def rows_of(operation: Any) -> dict[str, Any]:
    names = {part.name for part in operation.path_parameters}
    rows = {"slug": "prism", "name": "survey", "key": 0}
    if "quotas" in operation.path:
        rows["key"] = QuotaTable.objects.earliest("pk").pk
    elif "endpoints" in operation.path:
        rows["key"] = ModelEndpoint.objects.earliest("pk").pk
    else:
        rows["key"] = Participant.objects.earliest("pk").pk
    return {name: value for name, value in rows.items() if name in names}


def can_be_wrong(operation: Any) -> bool:
    return bool(len(operation.query) or len(operation.body))


def tried(cases: Any) -> Counter[int]:
    """Status -> how often. Raises schemathesis's failures."""
    numbers: Counter[int] = Counter()

    @MADE_UP
    @given(case=cases)
    def ask(case: Any) -> None:
        point = transaction.savepoint()
        response = case.call()
        transaction.savepoint_rollback(point)
        numbers[response.status_code] += 1
        case.validate_response(response, excluded_checks=LEFT_OUT)

    ask()
    return numbers
