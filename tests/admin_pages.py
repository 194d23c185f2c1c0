"""The desk's pages as tests ask for them, and its forms as a browser would send them."""

import json
from typing import Any

from django.test import Client
from django.urls import reverse

from collection.models import ModelEndpoint
from surveys.models import Study


def list_url(model: Any, query: str = "") -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist") + query


def url(row: Any, page: str = "change") -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_{page}", args=[row.pk])


def words(response: Any) -> str:
    """A page's text, with all runs of space as one."""
    assert response.status_code == 200, response
    return " ".join(response.content.decode().split())


def study_form(study: Study, **changes: Any) -> dict[str, Any]:
    """The study's edit form as its page would send it."""
    names = ["title", "slug", "locale", "contact_name", "contact_email", "ethics_reference"]
    names += ["ethics_contact", "payment", "platform_name", "completion_code", "completion_url"]
    names += ["return_url", "withdrawal_days"]
    documents = {
        "protocol_json": json.dumps(study.protocol_json),
        "consent_document": json.dumps(study.consent_document),
    }
    fields = {name: getattr(study, name) for name in names} | {"languages": study.languages}
    other = {"instrument": study.instrument_id, "reason": "It reads better so."}
    return fields | documents | other | changes


def save_study(client: Client, study: Study, **changes: Any) -> Any:
    response = client.post(url(study), study_form(study, **changes))
    study.refresh_from_db()
    for name in ("protocol",):
        study.__dict__.pop(name, None)
    return response


def endpoint_form(endpoint: ModelEndpoint, **changes: Any) -> dict[str, Any]:
    names = ["long_name", "short_name", "longcode", "model_family", "model_provider"]
    names += ["provider_code", "model_provider_type", "model_type", "link", "header"]
    names += ["litellm_model", "api_base", "key_name", "weight"]
    fields = {name: getattr(endpoint, name) for name in names}
    documents = {"parameters": json.dumps(endpoint.parameters), "default_params": "{}"}
    studies = list(endpoint.studies.values_list("pk", flat=True))
    other = {"studies": studies, "is_active": "on", "reason": "It answers better so."}
    return fields | documents | other | changes


def save_endpoint(client: Client, endpoint: ModelEndpoint, **changes: Any) -> Any:
    response = client.post(url(endpoint), endpoint_form(endpoint, **changes), follow=True)
    endpoint.refresh_from_db()
    return response
