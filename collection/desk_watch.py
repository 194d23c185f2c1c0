"""A study as it runs, at the desk: one page that updates itself."""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from collection import charts, transcript, watching
from surveys import access
from surveys.models import Study

EVERY_S = 10
TONES = {"errors": "bad", "resting": "bad"}


class WatchPages:
    """The live page of a study; mixed into its admin."""

    admin_site: Any
    opts: Any
    media: Any

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.watch)
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [path("<int:pk>/live/", view, name="surveys_study_watch"), *urls]

    def watch(self, request: HttpRequest, pk: int) -> HttpResponse:
        """The page; to htmx only what changes."""
        if not access.may(request.user, "see", pk):
            raise PermissionDenied
        study = get_object_or_404(Study.objects.select_related("instrument"), pk=pk)
        is_part = request.headers.get("HX-Request") == "true"
        shown = figures(study, may_wait=is_part)
        if is_part:
            return TemplateResponse(request, "admin/surveys/study/_watch.html", shown)
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        own = {"title": _("%s, live") % study, "every": EVERY_S}
        return TemplateResponse(request, "admin/surveys/study/watch.html", shared | own | shown)


def figures(study: Study, *, may_wait: bool) -> dict[str, Any]:
    quick, slow = watching.quick(study), watching.slow(study, may_wait=may_wait)
    return {
        "study": study,
        "quick": quick,
        "slow": slow,
        "every": EVERY_S,
        "funnel": [(step, charts.bar(step.share)) for step in quick.funnel],
        "alerts": [(alert, TONES.get(alert.kind, "warn")) for alert in quick.alerts],
        "left": sum(left for _place, _here, left in quick.stages),
        "pictures": pictures(quick, slow),
        "spend": spend(quick, slow),
        "times": [(name, *map(in_words, seconds)) for name, *seconds in slow.times] if slow else [],
    }


def in_words(seconds: int) -> str:
    start = datetime.min.replace(tzinfo=UTC)
    return transcript.span(start, start + timedelta(seconds=seconds))


def spend(quick: watching.Quick, slow: watching.Slow | None) -> dict[str, Any]:
    money = quick.money
    if money is None or not money.budget:
        return {"spent": slow.spent if slow else None}
    share = 100 * money.spent / money.budget
    return {
        "spent": money.spent,
        "budget": money.budget,
        "share": share,
        "bar": charts.bar(float(share)),
    }


def pictures(quick: watching.Quick, slow: watching.Slow | None) -> list[tuple[str, SafeString]]:
    """(title, picture) of each series."""
    ends = [f"{hour:%H:%M}" for hour in (quick.hours[0], quick.hours[len(quick.hours) // 2])]
    ends.append(_("now"))
    found = [
        (_("Arrived per hour"), charts.bars(quick.arrivals, ends, per_hour(quick.arrivals))),
        (_("Finished per hour"), charts.bars(quick.completions, ends, per_hour(quick.completions))),
    ]
    if slow is None:
        return found
    if len(slow.days) > 1:
        days = [number for _day, number in slow.days]
        label = _("Finished so far, by day: %(last)d on %(day)s") % {
            "last": days[-1],
            "day": slow.days[-1][0],
        }
        edge = [slow.days[0][0], slow.days[-1][0]]
        found.append((_("Finished so far"), charts.line(days, edge, label)))
    if any(slow.scores):
        found.append(
            (_("Scores of replies"), charts.bars(slow.scores, ["1", "100"], of_scores(slow.scores)))
        )
    return found


def per_hour(values: list[int]) -> str:
    words = _("The last 24 hours: %(all)d in all, at most %(most)d in an hour, %(now)d in this one")
    return words % {"all": sum(values), "most": max(values), "now": values[-1]}


def of_scores(tens: list[int]) -> str:
    parts = (f"{10 * place + 1}–{10 * place + 10}: {number}" for place, number in enumerate(tens))
    said = ngettext("%d score", "%d scores", sum(tens)) % sum(tens)
    return f"{said}; {', '.join(parts)}"
