"""The registry of models, without keys, their names, or the addresses of servers."""

from decimal import Decimal
from typing import Any

from django.db.models import Prefetch, Q, QuerySet, Sum
from django.http import Http404
from rest_framework import serializers
from rest_framework.response import Response

from collection import history
from collection.api.base import ApiView, described
from collection.api.fields import checked
from collection.api.pages import PageQuery, page, page_of
from collection.api.who import studies
from collection.models import ModelCall, ModelEndpoint

TAG = "Endpoints"
FACTS = (
    *("id", "long_name", "short_name", "longcode", "model_family", "model_provider"),
    *("provider_code", "model_provider_type", "model_type", "link", "header", "default_params"),
    *("parameters", "litellm_model", "is_active", "weight", "tags", "note", "is_demo"),
    "resting_until",
)


class EndpointShown(serializers.ModelSerializer):
    """One model as it is called."""

    default_params = serializers.DictField()
    parameters = serializers.DictField()
    tags = serializers.ListField(child=serializers.CharField())
    input_price = serializers.FloatField(allow_null=True, help_text="US dollars, million tokens.")
    output_price = serializers.FloatField(allow_null=True, help_text="US dollars, million tokens.")
    studies = serializers.ListField(
        child=serializers.CharField(), help_text="Slugs, of those that you may see."
    )

    class Meta:
        model = ModelEndpoint
        fields: tuple[str, ...] = (*FACTS, "input_price", "output_price", "studies")


class DayShown(serializers.Serializer):
    day = serializers.DateField()
    calls = serializers.IntegerField()
    failed = serializers.IntegerField()
    latency_ms = serializers.FloatField(allow_null=True)


class HistoryShown(serializers.Serializer):
    """How it has done in the studies of everybody, and what it cost in yours."""

    days = DayShown(many=True)
    median_ms = serializers.IntegerField(allow_null=True)
    p95_ms = serializers.IntegerField(allow_null=True)
    shown = serializers.IntegerField(help_text="Rated replies to opening prompts …")
    won = serializers.IntegerField(help_text="… and those of them that were chosen.")
    spent_usd = serializers.FloatField(help_text="In the studies that you may see.")


class EndpointWhole(EndpointShown):
    history = HistoryShown()

    class Meta(EndpointShown.Meta):
        fields = (*EndpointShown.Meta.fields, "history")


def shown(row: ModelEndpoint) -> dict[str, Any]:
    prices = {
        name: None if getattr(row, name) is None else float(getattr(row, name))
        for name in ("input_price", "output_price")
    }
    own = sorted(study.slug for study in row.own_studies)  # type: ignore[attr-defined]
    return {**{name: getattr(row, name) for name in FACTS}, **prices, "studies": own}


def history_of(row: ModelEndpoint) -> dict[str, Any]:
    found = history.of(row)
    own = row.own_studies  # type: ignore[attr-defined]
    of_study = "attempt__interaction__conversation__participant__study__in"
    spent = ModelCall.objects.filter(endpoint=row, **{of_study: own}).aggregate(
        usd=Sum("cost_usd")
    )["usd"]
    days = [
        {"day": d.day, "calls": d.calls, "failed": d.failed, "latency_ms": d.latency_ms}
        for d in found.days
    ]
    return {
        "days": days,
        "median_ms": found.median_ms,
        "p95_ms": found.p95_ms,
        "shown": found.shown,
        "won": found.won,
        "spent_usd": float(spent or Decimal(0)),
    }


def visible(request: Any) -> QuerySet[ModelEndpoint]:
    """As at the desk: those of a study that the caller may see; administrators see all."""
    seen = studies(request, "see")
    rows = ModelEndpoint.objects.filter(
        Q(
            pk__in=ModelEndpoint.studies.through.objects.filter(study__in=seen).values(
                "modelendpoint"
            )
        )
    )
    if request.user.is_superuser and (request.auth is None or request.auth.study_id is None):
        rows = ModelEndpoint.objects.all() if may_see(request) else rows
    return rows.prefetch_related(Prefetch("studies", seen, to_attr="own_studies"))


def may_see(request: Any) -> bool:
    return request.auth is None or "see" in request.auth.scopes


class EndpointQuery(PageQuery):
    study = serializers.SlugField(required=False, help_text="Of this study alone.")
    tag = serializers.CharField(required=False, max_length=50)
    is_active = serializers.ChoiceField(["true", "false"], required=False)


class Endpoints(ApiView):
    @described(
        "endpoints_list",
        "The models of your studies",
        page_of(EndpointShown),
        tag=TAG,
        query=EndpointQuery,
        refusals=(),
    )
    def get(self, request: Any) -> Response:
        query = checked(EndpointQuery, request.query_params.dict())
        rows = visible(request)
        if "study" in query:
            rows = rows.filter(studies__in=studies(request, "see").filter(slug=query["study"]))
        if "is_active" in query:
            rows = rows.filter(is_active=query["is_active"] == "true")
        if "tag" in query:  # JSON lists can't be searched alike on both databases
            tagged = [row.pk for row in rows if query["tag"] in row.tags]
            rows = rows.filter(pk__in=tagged)
        return page(request, rows, query, shown)


class OneEndpoint(ApiView):
    @described("endpoints_read", "One model, and how it has done", EndpointWhole, tag=TAG)
    def get(self, request: Any, key: int) -> Response:
        row = visible(request).filter(pk=key).first()
        if row is None:
            raise Http404
        return Response(shown(row) | {"history": history_of(row)})
