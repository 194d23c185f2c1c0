"""Coding what people typed about themselves, at the desk: judging blind, settling, agreement."""

import csv
from collections.abc import Iterable
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import Count
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST, require_safe

from collection import budget, coding, suggesting
from collection.models import CodingPlan, Description, Judgement, ModelEndpoint
from surveys import access, audit, veil
from surveys.errors import DomainError
from surveys.instruments.schema import Question
from surveys.models import Study

PER_PAGE = 50
KEYS = "123456789acdefghiklmnopqrstuvwxyz"
"""Of the categories, in their order; b goes back, j on."""
Show = CodingPlan.Show


class PlanForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = CodingPlan
        fields = ["endpoint", "show"]
        labels = {
            "endpoint": gettext_lazy("Ask this model for suggestions"),
            "show": gettext_lazy("Its suggestions are shown"),
        }

    def __init__(self, *args: Any, study: Study, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        endpoints: Any = self.fields["endpoint"]
        endpoints.queryset = ModelEndpoint.objects.filter(studies=study, is_active=True)
        endpoints.empty_label = _("none")


class CodingPages:
    """The pages of a study's coding; mixed into its admin."""

    admin_site: Any
    opts: Any
    media: Any

    def get_urls(self) -> list[URLPattern]:
        question = "<int:pk>/coding/<slug:question>/"
        pages: list[tuple[str, Any, str]] = [
            ("<int:pk>/coding/", require_safe(self.coding_overview), ""),
            ("<int:pk>/coding-plan/", require_POST(self.coding_plan), "_plan"),
            ("<int:pk>/coding-suggest/", require_POST(self.coding_suggest), "_suggest"),
            ("<int:pk>/coding.csv", require_safe(self.coding_csv), "_csv"),
            (question, require_safe(self.coding_list), "_list"),
            (f"{question}judge/", self.coding_judge, "_judge"),
            (f"{question}settle/", self.coding_settle, "_settle"),
            (f"{question}again/", require_POST(self.coding_again), "_again"),
        ]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_study_coding{name}")
            for at, view, name in pages
        ]
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [*own, *urls]

    def coding_page(
        self, request: HttpRequest, name: str, context: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        study = context["study"]
        may = {
            "may_judge": access.may(request.user, "review", study),
            "may_change": access.may(request.user, "change", study),
            "may_export": access.may(request.user, "export", study),
        }
        template = f"admin/surveys/study/{name}.html"
        return TemplateResponse(request, template, shared | may | context, status=status)

    def coding_overview(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "see")
        coding.sync(study)
        return self.coding_page(request, "coding", overview(request, study))

    def coding_plan(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "change")
        plan = CodingPlan.objects.filter(study=study).first() or CodingPlan(study=study)
        form = PlanForm(request.POST, instance=plan, study=study)
        if not form.is_valid():
            context = overview(request, study) | {"form": form}
            return self.coding_page(request, "coding", context, status=422)
        CodingPlan.objects.update_or_create(
            study=study, defaults={name: form.cleaned_data[name] for name in ("endpoint", "show")}
        )
        audit.write(request.user, "changed", plan, study, fields=form.changed_data)
        messages.success(request, _("Saved."))
        return redirect("admin:surveys_study_coding", pk)

    def coding_suggest(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "change")
        if budget.is_used_up(study):
            messages.error(request, _("The study's budget is used up: nothing was asked about."))
            return redirect("admin:surveys_study_coding", pk)
        number = suggesting.suggest(study)
        audit.write(request.user, "asked a model", Description, study, number=number)
        said = ngettext("%d string was asked about.", "%d strings were asked about.", number)
        messages.success(request, said % number)
        return redirect("admin:surveys_study_coding", pk)

    def coding_csv(self, request: HttpRequest, pk: int) -> HttpResponse:
        """All strings with what both said, for whoever checks the coding or works on it."""
        study = study_to(request, pk, "export")
        coding.sync(study)
        answer = HttpResponse(content_type="text/csv; charset=utf-8")
        answer["Content-Disposition"] = f'attachment; filename="coding-{study.slug}.csv"'
        csv.writer(answer).writerows(table(study))
        audit.write(request.user, "exported", Description, study)
        return answer

    def coding_list(self, request: HttpRequest, pk: int, question: str) -> HttpResponse:
        study = study_to(request, pk, "read")
        asked = question_of(study, question)
        coding.sync(study)
        rows = strings(study, question)
        page = Paginator(rows, PER_PAGE).get_page(request.GET.get("page"))
        names = coding.choices(asked)
        audit.saw_list(request.user, Description, [(row.pk, study.pk) for row in page])
        context = heading(study, asked) | {
            "page": page,
            "rows": in_words(list(page), names),
        }
        return self.coding_page(request, "coding_list", context)

    def coding_judge(self, request: HttpRequest, pk: int, question: str) -> HttpResponse:
        study = study_to(request, pk, "review")
        asked = question_of(study, question)
        if request.method == "POST":
            return self.answer(request, study, asked, coding.judge, "judged", "judge")
        coding.sync(study)
        name = request.user.get_username()
        mine = coding.this_round().filter(
            description__study=study, description__question=question, researcher_name=name
        )
        waiting = coding.to_judge(study, question, name)
        row = wanted(request, study, question, mine) or waiting.first()
        before = mine.exclude(description=row).order_by("-pk").first()
        context = self.one(request, study, asked, row, Show.JUDGING) | {
            "left": waiting.count(),
            "mine": mine.filter(description=row).first() if row else None,
            "before": before.description_id if before else None,
        }
        return self.coding_page(request, "coding_judge", context)

    def coding_settle(self, request: HttpRequest, pk: int, question: str) -> HttpResponse:
        study = study_to(request, pk, "review")
        asked = question_of(study, question)
        if request.method == "POST":
            together = {"together": "together" in request.POST}
            return self.answer(request, study, asked, coding.settle, "settled", "settle", together)
        waiting = coding.to_settle(study, question)
        asked_for = number_of(request.GET.get("unit")) or 0
        row = waiting.filter(pk=asked_for).first() or waiting.first()
        names = coding.choices(asked)
        said = list(row.judgements.filter(round=row.round)) if row else []
        after = waiting.filter(pk__gt=row.pk).first() if row else None
        context = self.one(request, study, asked, row, Show.SETTLING) | {
            "left": waiting.count(),
            "said": [(each.researcher_name, names.get(each.category, "")) for each in said],
            "is_judge": request.user.get_username() in {each.researcher_name for each in said},
            "after": after.pk if after else None,
        }
        return self.coding_page(request, "coding_settle", context)

    def answer(
        self,
        request: HttpRequest,
        study: Study,
        asked: Question,
        verb: Any,
        noted: str,
        page: str,
        options: dict[str, Any] | None = None,
    ) -> HttpResponse:
        """Keep a judgement, or what settles two, and go on to the next."""
        at = reverse(f"admin:surveys_study_coding_{page}", args=[study.pk, asked.code])
        row = Description.objects.filter(
            pk=number_of(request.POST.get("unit")) or 0, study=study, question=asked.code
        ).first()
        if row is None:
            messages.error(request, _("Whoever typed this has withdrawn. Here is the next one."))
            return redirect(at)
        category = request.POST.get("category", "")
        try:
            verb(row, category, request.user, coding.choices(asked), **(options or {}))
        except DomainError as error:
            messages.error(request, error.message)
            stays = error.code in ("own", "category")
            return redirect(f"{at}?unit={row.pk}" if stays else at)
        audit.write(request.user, noted, row, study, category=category)
        return redirect(at)

    def coding_again(self, request: HttpRequest, pk: int, question: str) -> HttpResponse:
        study = study_to(request, pk, "review")
        asked = question_of(study, question)
        row = get_object_or_404(
            Description, pk=number_of(request.POST.get("unit")), study=study, question=asked.code
        )
        coding.open_again(row)
        audit.write(request.user, "opened again", row, study)
        messages.success(request, _("Two researchers judge it anew. What was said is kept."))
        return redirect("admin:surveys_study_coding_list", pk, question)

    def one(
        self,
        request: HttpRequest,
        study: Study,
        asked: Question,
        row: Description | None,
        moment: Show,
    ) -> dict[str, Any]:
        """What the pages of one string share."""
        context = heading(study, asked)
        if row is None:
            return context
        audit.write(request.user, "saw", row, study)
        names = coding.choices(asked)
        return context | {
            "row": row,
            "text": texts([row])[row.pk],
            "people": row.typed.count(),
            "choices": [
                (code, label, KEYS[at] if at < len(KEYS) else "")
                for at, (code, label) in enumerate(names.items())
            ],
            "suggestion": names.get(coding.suggestion_for(row, moment), ""),
        }


def study_to(request: HttpRequest, pk: int, verb: access.Verb) -> Study:
    """The study, for those who may."""
    if not access.may(request.user, verb, pk):
        raise PermissionDenied
    return get_object_or_404(Study.objects.select_related("instrument"), pk=pk)


def question_of(study: Study, code: str) -> Question:
    found = coding.questions(study).get(code)
    if found is None:
        raise Http404
    return found


def number_of(raw: str | None) -> int | None:
    return int(raw) if raw and len(raw) < 12 and raw.isascii() and raw.isdigit() else None


def wanted(request: HttpRequest, study: Study, question: str, mine: Any) -> Description | None:
    """One of one's own judgements, to be looked at again; or what the address names and is open."""
    key = number_of(request.GET.get("unit"))
    if key is None:
        return None
    own = mine.filter(description=key).values("description")
    rows = Description.objects.filter(study=study, question=question)
    judged = rows.filter(pk__in=own).first()
    return (
        judged
        or coding.to_judge(study, question, request.user.get_username()).filter(pk=key).first()
    )


def heading(study: Study, asked: Question) -> dict[str, Any]:
    name = asked.text or asked.label
    return {
        "title": _("Coding of %(question)s in %(study)s")
        % {"question": asked.code, "study": study},
        "study": study,
        "question": asked,
        "name": name,
    }


def overview(request: HttpRequest, study: Study) -> dict[str, Any]:
    name = request.user.get_username()
    plan = CodingPlan.objects.filter(study=study).first() or CodingPlan(study=study)
    rows = [
        (asked, coding.standing(study, code), coding.to_judge(study, code, name).count())
        for code, asked in coding.questions(study).items()
    ]
    return {
        "title": _("Coding of %s") % study,
        "study": study,
        "rows": rows,
        "plan": plan,
        "form": PlanForm(instance=plan, study=study),
        "suggested": suggesting.figures(study),
    }


def strings(study: Study, question: str) -> Any:
    rows = Description.objects.filter(study=study, question=question, typed__isnull=False)
    return rows.annotate(people=Count("typed")).order_by("-people", "pk")


def texts(rows: Iterable[Description]) -> dict[int, str]:
    """Description -> its text, covered where a reviewer marked something in it."""
    found = {row.pk: row.text for row in rows}
    people: dict[int, list[int]] = {}
    from_people = Description.objects.filter(pk__in=found, typed__isnull=False)
    for pk, person in from_people.values_list("pk", "typed__response__participant"):
        people.setdefault(pk, []).append(person)
    passages = veil.passages_of({each for some in people.values() for each in some})
    for pk, some in people.items():
        marked = [each for person in some for each in passages.get(person, ())]
        if marked:
            found[pk] = coding.covered(found[pk], marked)
    return found


def in_words(rows: list[Any], names: dict[str, str]) -> list[dict[str, Any]]:
    """What two said is told once both have: before that it would not be blind."""
    said: dict[int, list[Judgement]] = {}
    for each in coding.this_round().filter(description__in=rows):
        said.setdefault(each.description_id, []).append(each)
    shown = texts(rows)
    return [
        {
            "row": row,
            "text": shown[row.pk],
            "category": names.get(row.category, row.category),
            "judged": len(said.get(row.pk, ())),
            "said": [
                (each.researcher_name, names.get(each.category, each.category))
                for each in said.get(row.pk, ())
            ]
            if len(said.get(row.pk, ())) >= coding.JUDGES
            else [],
        }
        for row in rows
    ]


def table(study: Study) -> Iterable[list[Any]]:
    yield ["question", "self_described", "recruiter", "people", "coded", "how", "first", "second"]
    for code, asked in coding.questions(study).items():
        for each in in_words(list(strings(study, code)), coding.choices(asked)):
            row = each["row"]
            said = [category for _name, category in each["said"]]
            cells = [code, each["text"], row.recruiter_said, row.people, each["category"], row.way]
            yield [harmless(cell) for cell in [*cells, *said]]


def harmless(cell: Any) -> Any:
    """Spreadsheets would run a text that begins like a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in tuple("=+-@\t\r") else cell
