"""Participants by number alone: no recruiter's id, nothing that opens a page, no words."""

from typing import Any

from django.db.models import Count, F, Q, QuerySet
from django.http import Http404
from rest_framework import serializers
from rest_framework.response import Response

from collection.api.base import ApiView, described
from collection.api.fields import checked
from collection.api.pages import PageQuery, page, page_of
from collection.api.who import study_for
from collection.models import Conversation
from collection.standing import STAGE, Stage
from surveys.models import QuotaClaim, Study

TAG = "Participants"
MOMENTS = (
    *("arrived_at", "consent_shown_at", "survey_finished_at", "instructed_at", "completed_at"),
    *("screened_at", "stopped_at", "withdrawn_at", "rejected_at"),
)


class ParticipantShown(serializers.Serializer):
    """Somebody in a study, and how far they have come."""

    id = serializers.IntegerField(help_text="As at the desk; releases have numbers of their own.")
    stage = serializers.ChoiceField(Stage.values)
    language = serializers.CharField(help_text="Empty: the questionnaire's own.")
    locale = serializers.CharField(help_text="Released as study_locale.")
    version = serializers.IntegerField(allow_null=True, help_text="Of the study, as they met it.")
    is_recruited = serializers.BooleanField()
    is_pilot = serializers.BooleanField()
    is_simulated = serializers.BooleanField()
    screen_reason = serializers.CharField()
    conversations_done = serializers.IntegerField()
    arrived_at = serializers.DateTimeField()
    consent_shown_at = serializers.DateTimeField(allow_null=True)
    survey_finished_at = serializers.DateTimeField(allow_null=True)
    instructed_at = serializers.DateTimeField(allow_null=True)
    completed_at = serializers.DateTimeField(allow_null=True)
    screened_at = serializers.DateTimeField(allow_null=True)
    stopped_at = serializers.DateTimeField(allow_null=True)
    withdrawn_at = serializers.DateTimeField(allow_null=True)
    rejected_at = serializers.DateTimeField(allow_null=True)


class ConversationShown(serializers.Serializer):
    number = serializers.IntegerField(help_text="1 for their first.")
    conversation_type = serializers.CharField()
    state = serializers.ChoiceField(Conversation.State.values)
    turns = serializers.IntegerField(help_text="Those that were rated.")
    started_at = serializers.DateTimeField()
    finished_at = serializers.DateTimeField(allow_null=True)


class PlaceShown(serializers.Serializer):
    table = serializers.CharField()
    state = serializers.ChoiceField(QuotaClaim.State.values)
    why = serializers.CharField(help_text="Of a place that was given back.")


class ParticipantWhole(ParticipantShown):
    conversations = ConversationShown(many=True)
    places = PlaceShown(many=True)


def people_of(study: Study) -> QuerySet[Any]:
    done = Q(conversations__state=Conversation.State.COMPLETE)
    rows: QuerySet[Any] = study.participants.annotate(
        stage=STAGE,
        conversations_done=Count("conversations", filter=done),
        number=F("version__number"),
    )
    # Not joined: each row would bring its study's documents along.
    return rows.prefetch_related("came_by", "study")


def shown(row: Any) -> dict[str, Any]:
    return {
        "id": row.pk,
        "stage": row.stage,
        "language": row.language,
        "locale": row.released_locale,
        "version": row.number,
        "is_recruited": row.is_recruited,
        "is_pilot": row.is_pilot,
        "is_simulated": row.is_simulated,
        "screen_reason": row.screen_reason,
        "conversations_done": row.conversations_done,
        **{name: getattr(row, name) for name in MOMENTS},
    }


def whole(row: Any) -> dict[str, Any]:
    rated = Q(interactions__state="rated")
    talks = row.conversations.annotate(turns=Count("interactions", filter=rated))
    names = ("number", "conversation_type", "state", "turns", "started_at", "finished_at")
    claims = row.quota_claims.select_related("table").order_by("table")
    return shown(row) | {
        "conversations": [{name: getattr(talk, name) for name in names} for talk in talks],
        "places": [{"table": c.table.name, "state": c.state, "why": c.why} for c in claims],
    }


class ParticipantQuery(PageQuery):
    stage = serializers.ChoiceField(Stage.values, required=False)
    is_pilot = serializers.ChoiceField(["true", "false"], required=False)
    is_simulated = serializers.ChoiceField(["true", "false"], required=False)


class Participants(ApiView):
    @described(
        "participants_list",
        "Who is in a study, by number",
        page_of(ParticipantShown),
        tag=TAG,
        query=ParticipantQuery,
    )
    def get(self, request: Any, slug: str) -> Response:
        study = study_for(request, slug, "read")
        query = checked(ParticipantQuery, request.query_params.dict())
        rows = people_of(study)
        for name in ("is_pilot", "is_simulated"):
            if name in query:
                rows = rows.filter(**{name: query[name] == "true"})
        if "stage" in query:
            rows = rows.filter(stage=query["stage"])
        return page(request, rows, query, shown)


class OneParticipant(ApiView):
    @described(
        "participants_read",
        "One of them, with conversations and places in quotas",
        ParticipantWhole,
        tag=TAG,
    )
    def get(self, request: Any, slug: str, key: int) -> Response:
        row = people_of(study_for(request, slug, "read")).filter(pk=key).first()
        if row is None:
            raise Http404
        return Response(whole(row))
