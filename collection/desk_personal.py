"""Personal information in people's texts, at the desk: what is flagged, and marking it."""

from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe

from collection import personal
from collection.models import TextReview
from surveys import access, audit, veil
from surveys.errors import DomainError
from surveys.models import Study

PER_PAGE = 50
OPEN, CLEAN, MARKED = "open", "clean", "marked"
STATES: dict[str, Callable[[], str]] = {
    OPEN: lambda: _("To review"),
    MARKED: lambda: _("Personal information"),
    CLEAN: lambda: _("None"),
}
ANSWERS = {OPEN: None, CLEAN: False, MARKED: True}


class PersonalPages:
    """The pages of a study's personal information; mixed into its admin."""

    admin_site: Any
    opts: Any
    media: Any

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, Any, str]] = [
            ("<int:pk>/personal/", require_safe(self.personal_queue), ""),
            ("<int:pk>/personal/scan/", require_POST(self.personal_scan), "_scan"),
            ("<int:pk>/personal/<slug:kind>/<int:key>/", self.personal_one, "_one"),
        ]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_study_personal{name}")
            for at, view, name in pages
        ]
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        return [*own, *urls]

    def personal_page(
        self, request: HttpRequest, name: str, context: dict[str, Any], status: int = 200
    ) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        may = {"may_judge": access.may(request.user, "review", context["study"])}
        template = f"admin/surveys/study/{name}.html"
        return TemplateResponse(request, template, shared | may | context, status=status)

    def personal_queue(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "read")
        state = state_of(request)
        page = Paginator(queue(study, state), PER_PAGE).get_page(request.GET.get("page"))
        rows = [line(study, row) for row in page]
        audit.saw_list(request.user, TextReview, [(row.pk, study.pk) for row in page])
        number = personal.reviews(study)
        context = {
            "title": _("Personal information in %s") % study,
            "study": study,
            "state": state,
            "tabs": [
                (code, name(), number.filter(is_personal=ANSWERS[code]).count())
                for code, name in STATES.items()
            ],
            "page": page,
            "rows": rows,
            "scan": getattr(study, "text_scan", None),
        }
        return self.personal_page(request, "personal", context)

    def personal_scan(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = study_to(request, pk, "review")
        try:
            number = personal.scan(study)
        except DomainError as error:
            messages.error(request, error.message)
        else:
            said = ngettext("%d text more is flagged.", "%d texts more are flagged.", number)
            messages.success(request, said % number)
        return redirect("admin:surveys_study_personal", pk)

    def personal_one(self, request: HttpRequest, pk: int, kind: str, key: int) -> HttpResponse:
        """One text. Whoever reviews sees it until it is said to hold personal information; then
        the reviewer who said so does, and who may uncover it."""
        study = study_to(request, pk, "review")
        text = personal.text_of(study, kind, key)
        if text is None:
            raise Http404
        if request.method == "POST":
            return self.judged(request, study, text)
        audit.write(request.user, "saw", TextReview, study, text=text.source)
        return self.personal_page(request, "personal_one", one(request, study, text))

    def judged(self, request: HttpRequest, study: Study, text: personal.Text) -> HttpResponse:
        if not may_see(request, study, text):
            raise PermissionDenied
        is_personal = request.POST.get("answer") == "personal"
        typed = request.POST.get("passages", "")
        error = ""
        upcoming = next_of(study, text)
        if is_personal and not typed.strip():
            error = _("Please mark what is personal, or say that nothing is.")
        elif not is_personal and request.POST.get("answer") != "none":
            error = _("Please choose one of the answers.")
        else:
            try:
                row = personal.judge(
                    text,
                    typed.splitlines() if is_personal else [],
                    request.user,  # type: ignore[arg-type]
                    request.POST.get("mark", ""),
                )
            except DomainError as refused:
                error = refused.message
        if error:
            context = one(request, study, text) | {"error": error, "passages": typed}
            return self.personal_page(request, "personal_one", context, status=422)
        audit.write(request.user, "judged", row, study, text=text.source, personal=is_personal)
        messages.success(
            request,
            _("Marked: it reads [REDACTED] in releases and at the desk.")
            if is_personal
            else _("Noted: no personal information."),
        )
        if upcoming is None or "stay" in request.POST:
            return redirect("admin:surveys_study_personal", study.pk)
        return redirect(address(study, *personal.kind_and_key(upcoming)))


def study_to(request: HttpRequest, pk: int, verb: access.Verb) -> Study:
    """The study, for those who may."""
    if not access.may(request.user, verb, pk):
        raise PermissionDenied
    return get_object_or_404(Study.objects.select_related("instrument"), pk=pk)


def state_of(request: HttpRequest) -> str:
    state = request.GET.get("state", OPEN)
    return state if state in STATES else OPEN


def address(study: Study, kind: str, key: int) -> str:
    return reverse("admin:surveys_study_personal_one", args=[study.pk, kind, key])


def queue(study: Study, state: str) -> QuerySet[TextReview]:
    rows = personal.reviews(study).filter(is_personal=ANSWERS[state])
    return rows.select_related("participant", *personal.FIELDS.values()).order_by("pk")


def next_of(study: Study, text: personal.Text) -> TextReview | None:
    """The next that waits, and after the last the first; asked before a judgement is kept."""
    rows = personal.reviews(study).filter(is_personal=None).order_by("pk")
    here = personal.review_of(text)
    rest = rows.exclude(pk=here.pk) if here else rows
    return (rest.filter(pk__gt=here.pk).first() if here else None) or rest.first()


def line(study: Study, row: TextReview) -> dict[str, Any]:
    """A row of the list; which words were found is told on the text's own page."""
    kind, key = personal.kind_and_key(row)
    return {
        "row": row,
        "url": address(study, kind, key),
        "where": where(row, kind),
        "found": sorted({what.replace("_", " ").lower() for what, _start, _end in row.found}),
    }


def where(row: TextReview, kind: str) -> str:
    if kind == "answer" and row.response:
        return row.response.question
    return _("message") if kind == "prompt" else _("open feedback")


def may_see(request: HttpRequest, study: Study, text: personal.Text) -> bool:
    row = personal.review_of(text)
    if row is None or not row.is_personal:
        return True
    return row.reviewer_id == request.user.pk or access.may(request.user, "uncover", study)


def one(request: HttpRequest, study: Study, text: personal.Text) -> dict[str, Any]:
    row = personal.review_of(text)
    marked = personal.passages_in(text)
    is_open = may_see(request, study, text)
    found = [(start, end) for _name, start, end in row.found] if row else []
    shown = marked or [text.text[start:end] for start, end in found]
    every = veil.passages_of([text.participant]).get(text.participant, [])
    upcoming = next_of(study, text)
    return {
        "title": _("A text of participant %d") % text.participant,
        "study": study,
        "text": text,
        "row": row,
        "is_open": is_open,
        "where": where_in_words(text),
        "shown": highlighted(text.text, shown) if is_open else veil.covered(text.text, every),
        "passages": "\n".join(dict.fromkeys(" ".join(each.split()) for each in shown))
        if is_open
        else "",
        "left": personal.reviews(study).filter(is_personal=None).count(),
        "next": address(study, *personal.kind_and_key(upcoming)) if upcoming else None,
        "elsewhere": max(0, len(set(every) - set(marked))),
    }


def where_in_words(text: personal.Text) -> str:
    if text.kind == "answer":
        return _("Answer to %s") % text.column
    return _("Message to the models") if text.kind == "prompt" else _("Open feedback")


def highlighted(text: str, passages: veil.Passages) -> SafeString:
    parts: list[SafeString] = []
    at = 0
    for start, end in veil.spans(text, passages):
        parts.append(format_html("{}<mark>{}</mark>", text[at:start], text[start:end]))
        at = end
    return format_html("{}{}", format_html_join("", "{}", ((part,) for part in parts)), text[at:])
