"""Every page of the desk that a study's owner can open, from the URLconf and the admin itself.

Runs inside the Refract that is measured, by `manage.py shell`, and in a test.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db.models import Model
from django.http import HttpResponseBase
from django.template.response import TemplateResponse
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from collection import counted, personal
from collection.models import Description
from surveys.desk import DeskAdmin
from surveys.models import Participant, Study
from tests.bench.crowd import OWNER, SLUG

DESK = ("admin:", "two-factor")
"""Beginnings of the names of its addresses."""
ROW = re.compile(r"^admin/(\w+)/(\w+)/")
APP = "admin/<app_label>/"
"""Django's own is a regular expression."""
OF_STUDY = "/study/<int:pk>/"
PARAMETER = re.compile(r"<(?:\w+:)?(\w+)>")
LIVE = "admin:surveys_study_watch"
HTML = "text/html"
SEARCHED = "e"
"""A word that finds nearly everything has the most to sort."""
NOT_MEASURED = {
    *("admin:logout", "admin:login", "admin:view_on_site"),
    "admin:autocomplete",  # of fields that no page of ours has
}
OTHER_VALUES = {
    "app_label": "surveys",
    "step": "check",
    "form": "csv",
    "what": "approve",
    "deed": "mend",
}

QUERIES = {
    "admin:search": f"?s={SEARCHED}",
    "admin:surveys_instrument_compare": "?old=<sha256>&new=<sha256>",
}


class Page(NamedTuple):
    name: str
    """As in the URLconf, and what of it: `admin:surveys_response_changelist last`."""
    path: str


class Answer(NamedTuple):
    page: Page
    response: HttpResponseBase


def addresses(
    resolver: URLResolver | None = None, before: str = "", space: str = ""
) -> Iterator[tuple[str, str]]:
    """(name, whole route) of all that the URLconf has."""
    for entry in (resolver or get_resolver()).url_patterns:
        route = before + str(entry.pattern)
        if isinstance(entry, URLResolver):
            inner = f"{space}{entry.namespace}:" if entry.namespace else space
            yield from addresses(entry, route, inner)
        elif isinstance(entry, URLPattern) and entry.name:
            yield f"{space}{entry.name}", route


def asked(study: Study) -> Iterator[Page]:
    """Of the desk's addresses, one each with values of the study's rows."""
    for name, found in addresses():
        route = APP if name == "admin:app_list" else found
        if name.startswith(DESK) and name not in NOT_MEASURED:
            values = values_of(route, study)
            if values is not None:
                yield Page(name, f"/{filled(route, values)}{filled(QUERIES.get(name, ''), values)}")


def filled(route: str, values: Mapping[str, Any]) -> str:
    return PARAMETER.sub(lambda found: str(values[found[1]]), route)


def values_of(route: str, study: Study) -> Mapping[str, Any] | None:
    """For the parameters of a route; None if there is no row of its model."""
    names = PARAMETER.findall(route)
    page = study.instrument.file.pages[0].code
    values = {
        **OTHER_VALUES,
        "slug": study.slug,
        "name": "survey",
        "sha256": study.instrument.sha256,
        "code": page,
        "page_code": page,
        "number": 1,
        "language": "en",
    }
    values |= of_texts(study) | of_release(study)
    done = Participant.objects.filter(completed_at__isnull=False).order_by("pk").last()
    values["person"] = done.pk if done else 0
    if (found := ROW.match(route)) and found[2] in apps.all_models.get(found[1], {}):
        row = row_of(apps.get_model(found[1], found[2]), study)
        if row is None and {"pk", "id", "object_id"} & {*names}:
            return None
        key = study.pk if OF_STUDY in route else row.pk if row else 0
        values |= {"pk": key, "id": key, "object_id": key}
    return values


def of_texts(study: Study) -> dict[str, Any]:
    """Words that somebody codes, and a text that somebody looks at."""
    described = Description.objects.filter(study=study).order_by("-pk").first()
    review = personal.reviews(study).order_by("-pk").first()
    kind, key = personal.kind_and_key(review) if review else ("answer", 0)
    question = described.question if described else "none"
    return {"question": question, "kind": kind, "key": key}


def of_release(study: Study) -> dict[str, Any]:
    newest = study.releases.first()
    return {"edition": newest.edition if newest else 0, "patch": newest.patch if newest else 0}


def row_of(model: type[Model], study: Study) -> Model | None:
    """The study's newest; of people, one who went through everything."""
    page = admin.site._registry.get(model)
    path = page.study_path if isinstance(page, DeskAdmin) else ""
    rows = model._default_manager.filter(**({path: study.pk} if path else {})).order_by("-pk")
    if model is Participant:
        rows = rows.filter(completed_at__isnull=False)
    return rows.first()


def answers(client: Client, study: Study) -> Iterator[Answer]:
    for page in asked(study):
        yield Answer(page, client.get(page.path))


def is_page(answer: Answer) -> bool:
    is_html = answer.response.headers.get("Content-Type", "").startswith(HTML)
    return answer.response.status_code == 200 and is_html


def pages(client: Client, study: Study) -> list[Page]:
    """With lists searched, filtered by each of their filters, and at their end."""
    found: list[Page] = []
    for answer in answers(client, study):
        if is_page(answer):
            found += [answer.page, *ways(answer)]
    return found


def ways(answer: Answer) -> Iterator[Page]:
    """Further ways to ask for a list."""
    page, response = answer
    context = response.context_data if isinstance(response, TemplateResponse) else None
    listed = (context or {}).get("cl")
    if listed is None:
        return
    if listed.search_fields:
        yield Page(f"{page.name} searched", f"{page.path}?q={SEARCHED}")
    if listed.paginator.num_pages > 1:
        yield Page(f"{page.name} last", f"{page.path}?p={listed.paginator.num_pages}")
    for spec in listed.filter_specs:
        queries = [choice.get("query_string") for choice in spec.choices(listed)]
        if query := next((query for query in reversed(queries) if query), None):
            yield Page(f"{page.name} by {spec.title}", page.path + query)


def signed_in() -> Client:
    client = Client(headers={"host": "127.0.0.1"})
    client.force_login(User.objects.get(username=OWNER))
    return client


def tell() -> None:
    """Prints {"cookie": [name, value], "pages": [[name, path]], "live": path}."""
    study = Study.objects.get(slug=SLUG)
    client = signed_in()
    found = pages(client, study)
    counted.count_watched()  # as the chore does while somebody watches
    live = next(page.path for page in found if page.name == LIVE)
    cookie = client.cookies["sessionid"]
    told = {"cookie": [cookie.key, cookie.value], "pages": found, "live": live}
    sys.stdout.write(json.dumps(told))
