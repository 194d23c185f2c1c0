"""Submissions: what checks found in them, and what people decided."""

from typing import Any

from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.http import Http404
from rest_framework import serializers
from rest_framework.response import Response

from collection import quality, reviewing
from collection.api.base import ApiView, described
from collection.api.fields import Strict, Text, Truth, Whole, checked
from collection.api.once import once
from collection.api.pages import PageQuery, page, page_of
from collection.api.who import note, study_for
from collection.conversations import wanted
from collection.models import QualityRun, Review
from collection.reviewing import REASON_LIMIT, STATES
from collection.submissions import submitted
from surveys.models import Study

TAG = "Submissions"


class SignalShown(serializers.Serializer):
    """What a check found. It decides nothing."""

    check_name = serializers.CharField()
    version = serializers.IntegerField()
    severity = serializers.ChoiceField(QualityRun.Severity.values)
    title = serializers.CharField()
    words = serializers.CharField()


class SuggestionShown(serializers.Serializer):
    """What PRISM's rule would have done."""

    decision = serializers.ChoiceField(["approve", "return", "reject"])
    reasons = serializers.ListField(child=serializers.CharField())


class SubmissionShown(serializers.Serializer):
    """What one person handed in."""

    participant = serializers.IntegerField()
    completed_at = serializers.DateTimeField()
    is_pilot = serializers.BooleanField()
    is_simulated = serializers.BooleanField()
    state = serializers.ChoiceField(list(STATES))
    seen = serializers.IntegerField(
        help_text="Number of the newest decision, 0 for none: sent along with the next."
    )
    conversations_done = serializers.IntegerField()
    conversations_wanted = serializers.IntegerField()
    signals = SignalShown(many=True)
    suggestion = SuggestionShown()


class DecisionShown(serializers.Serializer):
    id = serializers.IntegerField()
    decision = serializers.ChoiceField(Review.Decision.values)
    wants_second_opinion = serializers.BooleanField()
    reason = serializers.CharField()
    reviewer = serializers.CharField()
    created_at = serializers.DateTimeField()


class SubmissionWhole(SubmissionShown):
    decisions = DecisionShown(many=True)


def rows_of(study: Study) -> QuerySet[Any]:
    """With all that a row shows, in a fixed number of queries."""
    newest = Review.objects.filter(participant=OuterRef("pk")).order_by("-pk").values("pk")[:1]
    signals = reviewing.current_signals().order_by("check_name")
    people = reviewing.with_weight(reviewing.with_decision(submitted(study)))
    rows: QuerySet[Any] = reviewing.with_conversations(people).annotate(seen=Subquery(newest))
    return rows.prefetch_related(
        "study", "instrument", "version", Prefetch("quality_runs", signals, to_attr="signals")
    )


def shown(row: Any) -> dict[str, Any]:
    total = wanted(row)
    suggestion = reviewing.suggest(row.signals, row.conversations_done, total)
    return {
        "participant": row.pk,
        "completed_at": row.completed_at,
        "is_pilot": row.is_pilot,
        "is_simulated": row.is_simulated,
        "state": row.decision,
        "seen": row.seen or 0,
        "conversations_done": row.conversations_done,
        "conversations_wanted": total,
        "signals": [signal(run) for run in row.signals],
        "suggestion": {"decision": suggestion.decision, "reasons": suggestion.reasons},
    }


def signal(run: QualityRun) -> dict[str, Any]:
    return {
        "check_name": run.check_name,
        "version": run.version,
        "severity": run.severity,
        "title": quality.title(run.check_name),
        "words": quality.in_words(run),
    }


def decision_shown(review: Review) -> dict[str, Any]:
    return {
        "id": review.pk,
        "decision": review.decision,
        "wants_second_opinion": review.wants_second_opinion,
        "reason": review.reason,
        "reviewer": review.reviewer_name,
        "created_at": review.created_at,
    }


def found(study: Study, key: int) -> Any:
    row = rows_of(study).filter(pk=key).first()
    if row is None:
        raise Http404
    return row


class SubmissionQuery(PageQuery):
    state = serializers.ChoiceField(list(STATES), required=False)
    signal = serializers.ChoiceField(
        ["any", "none", *quality.CHECKS],
        required=False,
        help_text="Those in which this check raised one; `any`, or `none`.",
    )


class Decided(Strict):
    decision = serializers.ChoiceField(Review.Decision.values)
    reason = Text(
        required=False,
        allow_blank=True,
        default="",
        max_length=REASON_LIMIT,
        help_text="Needed to reject, to ask for a return or for a second opinion.",
    )
    second_opinion = Truth(default=False)
    seen = Whole(
        required=False,
        min_value=0,
        max_value=2**63 - 1,
        help_text="As the submission had it: refused if somebody has decided since.",
    )


class Submissions(ApiView):
    @described(
        "submissions_list",
        "What was handed in, by participant",
        page_of(SubmissionShown),
        tag=TAG,
        query=SubmissionQuery,
    )
    def get(self, request: Any, slug: str) -> Response:
        study = study_for(request, slug, "read")
        query = checked(SubmissionQuery, request.query_params.dict())
        filters = reviewing.Filters(query.get("state", "all"), query.get("signal", ""))
        return page(request, filters.apply(rows_of(study)), query, shown)


class OneSubmission(ApiView):
    @described("submissions_read", "One of them, with all decisions", SubmissionWhole, tag=TAG)
    def get(self, request: Any, slug: str, key: int) -> Response:
        study = study_for(request, slug, "read")
        row = found(study, key)
        note(request, "saw", row, study)
        decisions = [decision_shown(review) for review in row.reviews.order_by("pk")]
        return Response(shown(row) | {"decisions": decisions})


class Decisions(ApiView):
    @described(
        "submissions_decide",
        "Decide",
        DecisionShown,
        tag=TAG,
        said="As at the desk: it is kept for ever, the newest counts, and the recruiter is told. "
        "The same again changes nothing.",
        sent=Decided,
        number=201,
        is_kept=True,
    )
    def post(self, request: Any, slug: str, key: int) -> Response:
        study = study_for(request, slug, "review")
        return once(request, lambda: self.decide(request, study, key))

    def decide(self, request: Any, study: Study, key: int) -> Response:
        values = checked(Decided, request.data)
        row = found(study, key)
        review = reviewing.decide(
            row,
            values["decision"],
            request.user,
            values["reason"],
            seen=values.get("seen"),
            second_opinion=values["second_opinion"],
        )
        note(request, "decided", row, study, decision=review.decision)
        return Response(decision_shown(review), status=201)
