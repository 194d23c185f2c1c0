"""What the live page of a study shows, in figures."""

from typing import Any

from rest_framework import serializers
from rest_framework.response import Response

from collection import watching
from collection.api.base import ApiView, described
from collection.api.who import study_for
from collection.models import Alert
from collection.watching import Quick, Slow
from surveys.models import Study

TAG = "Progress"


class StepShown(serializers.Serializer):
    name = serializers.CharField()
    people = serializers.IntegerField()
    kept_percent = serializers.IntegerField(
        allow_null=True, help_text="Of those at the stage before."
    )


class StageShown(serializers.Serializer):
    name = serializers.CharField()
    here = serializers.IntegerField()
    left = serializers.IntegerField()


class StuckShown(serializers.Serializer):
    participant = serializers.IntegerField()
    where = serializers.CharField()
    since = serializers.DateTimeField()


class HourShown(serializers.Serializer):
    hour = serializers.DateTimeField()
    arrivals = serializers.IntegerField()
    completions = serializers.IntegerField()


class MoneyShown(serializers.Serializer):
    """In US dollars."""

    budget = serializers.FloatField()
    spent = serializers.FloatField()
    reserved = serializers.FloatField(help_text="Set aside for people under way.")
    next_person = serializers.FloatField()


class ErrorShown(serializers.Serializer):
    at = serializers.DateTimeField()
    model = serializers.CharField()
    words = serializers.CharField()


class AlertShown(serializers.Serializer):
    kind = serializers.ChoiceField(Alert.Kind.values)
    subject = serializers.CharField()
    words = serializers.CharField()
    began_at = serializers.DateTimeField()


class TypeShown(serializers.Serializer):
    type = serializers.CharField()
    complete = serializers.IntegerField()
    under_way = serializers.IntegerField()
    technical = serializers.IntegerField()


class ModelShown(serializers.Serializer):
    """By the study's last calls."""

    name = serializers.CharField()
    state = serializers.CharField(help_text="Empty: as it should be.")
    calls = serializers.IntegerField()
    failed = serializers.IntegerField()
    median_s = serializers.FloatField(allow_null=True)
    p95_s = serializers.FloatField(allow_null=True)
    spent_usd = serializers.FloatField()


class TimeShown(serializers.Serializer):
    stage = serializers.CharField()
    quartile_s = serializers.IntegerField()
    median_s = serializers.IntegerField()
    third_quartile_s = serializers.IntegerField()


class CompletionsShown(serializers.Serializer):
    day = serializers.DateField()
    completions = serializers.IntegerField(help_text="So far.")


class ProgressShown(serializers.Serializer):
    """Counted a few seconds ago; what goes over all that was said, within some minutes."""

    at = serializers.DateTimeField()
    state = serializers.ChoiceField(Study.State.values)
    here = serializers.IntegerField(help_text="Heard of in the last half hour.")
    declined = serializers.IntegerField()
    funnel = StepShown(many=True)
    places = StageShown(many=True)
    stuck = StuckShown(many=True)
    hours = HourShown(many=True)
    money = MoneyShown(allow_null=True)
    errors = ErrorShown(many=True)
    alerts = AlertShown(many=True)
    types = TypeShown(many=True)
    models = ModelShown(many=True)
    scores = serializers.ListField(
        child=serializers.IntegerField(), help_text="How many in each ten of the hundred."
    )
    days = CompletionsShown(many=True)
    times = TimeShown(many=True)


def of(study: Study) -> dict[str, Any]:
    found = watching.slow(study, may_wait=True)
    assert found is not None
    return {"state": study.state, **quick(watching.quick(study)), **slow(found)}


def quick(found: Quick) -> dict[str, Any]:
    hours = zip(found.hours, found.arrivals, found.completions, strict=True)
    money = found.money
    return {
        "at": found.at,
        "here": found.here,
        "declined": found.declined,
        "funnel": [
            {"name": s.name, "people": s.people, "kept_percent": s.kept} for s in found.funnel
        ],
        "places": [{"name": n, "here": here, "left": left} for n, here, left in found.stages],
        "stuck": [
            {"participant": s.participant, "where": s.where, "since": s.since} for s in found.stuck
        ],
        "hours": [{"hour": h, "arrivals": a, "completions": c} for h, a, c in hours],
        "money": money
        and {
            "budget": float(money.budget),
            "spent": float(money.spent),
            "reserved": float(money.reserved),
            "next_person": float(money.next_person),
        },
        "errors": [{"at": at, "model": model, "words": words} for at, model, words in found.errors],
        "alerts": [
            {"kind": a.kind, "subject": a.subject, "words": a.words, "began_at": a.began_at}
            for a in found.alerts
        ],
    }


def slow(found: Slow) -> dict[str, Any]:
    return {
        "types": [
            {"type": kind, "complete": complete, "under_way": going, "technical": technical}
            for kind, complete, going, technical in found.types
        ],
        "models": [
            {
                "name": row.name,
                "state": row.state,
                "calls": row.calls,
                "failed": row.failed,
                "median_s": row.median_s,
                "p95_s": row.p95_s,
                "spent_usd": float(row.spent),
            }
            for row in found.models
        ],
        "scores": found.scores,
        "days": [{"day": day, "completions": number} for day, number in found.days],
        "times": [
            {"stage": stage, "quartile_s": low, "median_s": middle, "third_quartile_s": high}
            for stage, low, middle, high in found.times
        ],
    }


class Progress(ApiView):
    @described(
        "progress",
        "What the live page shows: people, pace, money, models",
        ProgressShown,
        tag=TAG,
    )
    def get(self, request: Any, slug: str) -> Response:
        return Response(of(study_for(request, slug, "see")))
