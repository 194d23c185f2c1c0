"""Recruiting at the desk: tables in, dry runs, submissions to decide on, and the outbox."""

import json
import secrets
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import display
from django.core.exceptions import PermissionDenied
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST
from unfold.admin import TabularInline

from surveys import access, decisions, invitations, recruiting, requests, submissions
from surveys.counting import how_many
from surveys.desk import DeskAdmin, ReadOnlyAdmin, link_to, tag, when
from surveys.errors import DomainError
from surveys.forms import (
    AmountForm,
    PeopleForm,
    PlacesForm,
    RecruitmentForm,
    RejectionForm,
    TableForm,
    WordsForm,
)
from surveys.models import (
    SETTLED,
    CompletionCode,
    Delivery,
    Participant,
    Recruitment,
    Study,
    Submission,
)
from surveys.recruitment_table import TableErrors, money

UNDER_WAY = (Delivery.State.DUE, Delivery.State.SENDING, Delivery.State.UNSURE)
TO_START = (Recruitment.State.DRAFT, Recruitment.State.CREATED)
FIXED_AT_PROLIFIC = (
    *("places", "reward", "currency", "minutes", "title", "description", "filters", "sample"),
    "external_id",
)
"""Fields that change nothing there any more once the study is made."""


def base_url(request: HttpRequest) -> str:
    return settings.PUBLIC_URL or request.build_absolute_uri("/").rstrip("/")


def name_of(request: HttpRequest) -> str:
    return request.user.get_username()[:150]


def each(
    request: HttpRequest,
    rows: Iterable[Any],
    do: Callable[[Any], object],
    done: Callable[[int], str],
) -> None:
    """Do it with all rows; say how many, and each refusal once."""
    refusals: Counter[str] = Counter()
    number = 0
    for row in rows:
        try:
            do(row)
        except DomainError as error:
            refusals[error.message] += 1
        else:
            number += 1
    if number:
        messages.success(request, done(number))
    for words in list(refusals)[:20]:
        messages.error(request, words)


def asked(number: int) -> str:
    return (
        ngettext(
            "%d thing lies in the outbox; it is sent within seconds.",
            "%d things lie in the outbox; they are sent within seconds.",
            number,
        )
        % number
    )


class CodesInline(TabularInline):  # type: ignore[misc]
    model = CompletionCode
    extra = 0
    fields = ["outcome", "stage", "code", "pay"]
    tab = False

    def is_fixed(self, obj: Recruitment | None) -> bool:
        return obj is not None and is_made(obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.is_fixed(obj) and bool(super().has_change_permission(request, obj))

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.is_fixed(obj) and bool(super().has_add_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return not self.is_fixed(obj) and bool(super().has_delete_permission(request, obj))


RECRUITS: dict[str, access.Verb] = {
    "view": "see",
    "add": "recruit",
    "change": "recruit",
    "delete": "recruit",
}
"""What the pages of recruitments ask -> what `access` calls it."""


def is_made(row: Recruitment) -> bool:
    """Whether Prolific has its study, or is about to."""
    gone = [Delivery.State.REFUSED, Delivery.State.CANCELLED]
    making = row.deliveries.filter(kind=Delivery.Kind.CREATE).exclude(state__in=gone)
    return row.is_prolific and (bool(row.external_id) or making.exists())


@admin.register(Recruitment)
class RecruitmentAdmin(DeskAdmin):
    form = RecruitmentForm
    study_path = "study"
    verbs = RECRUITS
    list_display = ["name", "study", "kind", "state_tag", "people_of_places", "to_review", "locale"]
    list_filter = ["study", "kind", "state"]
    list_select_related = ["study"]
    search_fields = ["name", "locale"]
    inlines = [CodesInline]
    readonly_fields = ["state"]
    fieldsets = [
        (
            None,
            {
                "fields": [
                    *["study", "kind", "name", "state", "locale", "places"],
                    *["return_url", "page_script"],
                ]
            },
        ),
        (
            gettext_lazy("Prolific"),
            {
                "fields": [
                    *["title", "description", "reward", "currency", "minutes"],
                    *["filters", "sample", "external_id"],
                ]
            },
        ),
        (gettext_lazy("Panel"), {"fields": ["person_parameter", "submission_parameter"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Recruitment]:
        rows: QuerySet[Recruitment] = super().get_queryset(request)
        waiting = Submission.objects.filter(status=Submission.Status.AWAITING_REVIEW)
        return rows.annotate(
            number=how_many(Participant.objects.all(), "came_by"),
            waiting=how_many(waiting, "recruitment"),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        fields = list(self.readonly_fields)
        if obj is not None:
            fields += ["study", "kind", *(FIXED_AT_PROLIFIC if is_made(obj) else ())]
        return fields

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        is_used = obj is not None and (obj.people.exists() or obj.deliveries.exists())
        return not is_used and bool(super().has_delete_permission(request, obj))

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        if not change:
            recruiting.add_codes(form.instance)

    @display(description=gettext_lazy("state"), ordering="state")
    def state_tag(self, row: Recruitment) -> SafeString:
        kind = {"live": "good", "paused": "warn"}.get(row.state, "")
        return tag(row.get_state_display(), "bad" if row.read_error else kind)

    @display(description=gettext_lazy("people"))
    def people_of_places(self, row: Any) -> str:
        return f"{row.number} / {row.places}" if row.places else str(row.number)

    @display(description=gettext_lazy("to review"), ordering="waiting")
    def to_review(self, row: Any) -> SafeString | str:
        if not row.waiting:
            return "–"
        url = reverse("admin:surveys_submission_changelist")
        query = f"?recruitment__id__exact={row.pk}&status__exact=awaiting_review"
        return format_html('<a class="desk-link" href="{}">{}</a>', url + query, row.waiting)

    def page_context(self, row: Recruitment) -> dict[str, Any]:
        return {
            "statuses": statuses([row]),
            "taken": submissions.taken(row),
            "outbox": row.deliveries.filter(state__in=[*UNDER_WAY, *BROKEN]).order_by("pk")[:20],
            "invited": row.invitations.count(),
            "money": money(row.reward, row.currency),
        }

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        if row := context["original"]:
            context |= {
                "link": recruiting.link_of(row, base_url(request)),
                "places_form": PlacesForm(),
                "people_form": PeopleForm(),
                "nonce": nonce(),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    # Pages of a study's recruitments

    def get_urls(self) -> list[URLPattern]:
        pages: list[tuple[str, Any, str]] = [
            ("study/<int:pk>/", self.of_study, "study"),
            ("study/<int:pk>/table/", self.table, "table"),
            ("study/<int:pk>/dry-run/", self.dry_run, "dry_run"),
            ("study/<int:pk>/send/", require_POST(self.send), "send"),
            ("<int:pk>/do/", require_POST(self.do), "do"),
            ("<int:pk>/links.csv", self.links, "links"),
        ]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_recruitment_{name}")
            for at, view, name in pages
        ]
        return [*own, *super().get_urls()]

    def show(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        at = f"admin/surveys/recruitment/{template}"
        return TemplateResponse(request, at, shared | context)

    def study_to_see(self, request: HttpRequest, pk: int) -> Study:
        return get_object_or_404(access.studies(request.user, "see"), pk=pk)

    def study_to_change(self, request: HttpRequest, pk: int) -> Study:
        return get_object_or_404(access.studies(request.user, "recruit"), pk=pk)

    def of_study(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self.study_to_see(request, pk)
        rows = list(self.get_queryset(request).filter(study=study))
        by_row = counts_by_recruitment(rows)
        context = {
            "title": _("Recruiting for %s") % study,
            "study": study,
            "rows": [(row, by_row[row.pk]) for row in rows],
            "statuses": statuses(rows),
            "outbox": outbox_counts(study),
            "connected": bool(settings.PROLIFIC_TOKEN),
            "hooked": bool(settings.PROLIFIC_WEBHOOK_SECRET),
            "may_change": access.may(request.user, "recruit", study),
            "open_link": request.build_absolute_uri(study.get_absolute_url()),
        }
        return self.show(request, "study.html", context)

    def table(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self.study_to_change(request, pk)
        form = TableForm(request.POST or None, request.FILES or None, initial={"nonce": nonce()})
        context = {"title": _("Countries from a table"), "study": study, "form": form}
        if request.method == "POST" and form.is_valid():
            try:
                rows = recruiting.load_table(
                    study,
                    form.data_given,
                    form.cleaned_data["nonce"],
                    form.cleaned_data["currency"],
                    form.cleaned_data["description"],
                )
            except TableErrors as error:
                context["problems"] = error.problems
            else:
                for row in rows:
                    self.log_addition(request, row, "From a table")
                messages.success(
                    request,
                    ngettext("%d recruitment is stored.", "%d recruitments are stored.", len(rows))
                    % len(rows),
                )
                return redirect("admin:surveys_recruitment_dry_run", pk)
        return self.show(request, "table.html", context)

    def dry_run(self, request: HttpRequest, pk: int) -> HttpResponse:
        study = self.study_to_see(request, pk)
        rows = [row for row in study.recruitments.all() if row.is_prolific]
        planned = [
            (call, json.dumps(call.body, indent=2, ensure_ascii=False))
            for call in recruiting.dry_run(rows, base_url(request))
        ]
        context = {
            "title": _("Dry run"),
            "study": study,
            "planned": planned,
            "cost": cost(row for row in rows if row.state in TO_START),
            "may_change": access.may(request.user, "recruit", study),
        }
        return self.show(request, "dry_run.html", context)

    def send(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Put what the dry run showed into the outbox."""
        study = self.study_to_change(request, pk)
        ask = recruiting.publish if "publish" in request.POST else recruiting.create
        states = [Recruitment.State.DRAFT]
        if ask is recruiting.publish:
            states.append(Recruitment.State.CREATED)
        rows = study.recruitments.filter(kind=Recruitment.Kind.PROLIFIC, state__in=states)
        by = name_of(request)
        each(request, rows, lambda row: ask(row, base_url(request), by), asked)
        return redirect("admin:surveys_recruitment_study", pk)

    # What a recruitment's own page does

    def do(self, request: HttpRequest, pk: int) -> HttpResponse:
        rows = access.scoped(Recruitment.objects.all(), request.user, "recruit", "study")
        row = get_object_or_404(rows, pk=pk)
        try:
            messages.success(request, self.done(request, row))
        except TableErrors as error:
            for problem in error.problems[:20]:
                messages.error(request, str(problem))
        except DomainError as error:
            messages.error(request, error.message)
        return redirect("admin:surveys_recruitment_change", pk)

    def done(self, request: HttpRequest, row: Recruitment) -> str:
        """Does what the button says. Returns what is to be said about it."""
        by, key = name_of(request), request.POST.get("nonce", "")[:40]
        sent: Delivery | None = None
        match request.POST.get("what", ""):
            case "create":
                sent = recruiting.create(row, base_url(request), by)
            case "publish":
                sent = recruiting.publish(row, base_url(request), by)
            case "open":
                recruiting.open_link(row)
            case "pause" | "resume" | "stop" as kind:
                sent = recruiting.switch(row, Delivery.Kind(kind), key, by)
            case "places":
                sent = recruiting.raise_places(row, number_from(PlacesForm(request.POST)), by)
            case "read":
                recruiting.read_now(row)
                return _("Its submissions are read within a minute.")
            case "invite":
                form = PeopleForm(request.POST, request.FILES)
                if not form.is_valid():
                    raise DomainError("missing", _("Please choose a CSV file."))
                made = invitations.invite(row, form.cleaned_data["file"].read())
                return ngettext("%d person is invited.", "%d people are invited.", len(made)) % len(
                    made
                )
            case _what:
                raise DomainError("unknown", _("That button is not known."))
        self.log_change(request, row, request.POST["what"])
        return asked(1) if sent else _("Done.")

    def links(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Addresses and links: for those who may change recruitments only."""
        rows = access.scoped(Recruitment.objects.all(), request.user, "recruit", "study")
        row = get_object_or_404(rows, pk=pk)
        response = HttpResponse(
            invitations.links_csv(row, base_url(request)), content_type="text/csv; charset=utf-8"
        )
        response["Content-Disposition"] = f'attachment; filename="links-{row.pk}.csv"'
        return response


def number_from(form: PlacesForm) -> int:
    if not form.is_valid():
        raise DomainError("number", _("Please give the new number of places."))
    return int(form.cleaned_data["places"])


def nonce() -> str:
    """Of one form: sent twice, it does its work once."""
    return secrets.token_hex(8)


BROKEN = (Delivery.State.REFUSED, Delivery.State.UNCLEAR)


def counts_by_recruitment(rows: Sequence[Recruitment]) -> dict[int, Counter[str]]:
    found: dict[int, Counter[str]] = {row.pk: Counter() for row in rows}
    grouped = Submission.objects.filter(recruitment__in=rows).values_list("recruitment", "status")
    for pk, status, number in grouped.annotate(n=Count("pk")).order_by():
        found[pk][status] = number
    return found


def statuses(rows: Sequence[Recruitment]) -> list[tuple[str, int]]:
    total = sum(counts_by_recruitment(rows).values(), Counter[str]())
    return [(str(label), total[code]) for code, label in Submission.Status.choices if total[code]]


def outbox_counts(study: Study) -> list[tuple[str, str, int]]:
    """(state, its label, how many) of what is not over."""
    rows = Delivery.objects.filter(recruitment__study=study)
    found = dict(rows.values_list("state").annotate(n=Count("pk")).order_by())
    shown = [*UNDER_WAY, *BROKEN]
    return [(state, str(state.label), found[state]) for state in shown if found.get(state)]


def cost(rows: Iterable[Recruitment]) -> str:
    """Of all places, without what Prolific adds."""
    total: Counter[str] = Counter()
    for row in rows:
        total[row.currency] += row.reward * (row.places or 0)
    return ", ".join(money(amount, currency) for currency, amount in total.items() if amount)


class Ask(NamedTuple):
    """A bulk action on submissions: its page's words, its form, and what it does with a row."""

    title: Any
    hint: Any
    form: type[Any] | None
    do: Callable[[Submission, dict[str, Any], str, str], object]


ASKS: dict[str, Ask] = {
    "approve": Ask(
        gettext_lazy("Approve"),
        gettext_lazy("They are paid their whole reward. This can't be undone."),
        None,
        lambda row, _data, _key, by: decisions.approve(row, by),
    ),
    "return": Ask(
        gettext_lazy("Ask to return"),
        gettext_lazy("Prolific writes to them. They are not paid, and their place is free again."),
        WordsForm,
        lambda row, data, _key, by: decisions.request_return(row, data["text"], by),
    ),
    "reject": Ask(
        gettext_lazy("Reject"),
        gettext_lazy("They are not paid, and it counts against them. Prolific checks the reason."),
        RejectionForm,
        lambda row, data, _key, by: decisions.reject(row, data["category"], data["text"], by),
    ),
    "bonus": Ask(
        gettext_lazy("Pay a bonus"),
        gettext_lazy("Each of them gets this amount, whatever was decided."),
        AmountForm,
        lambda row, data, key, by: decisions.pay_bonus(row, data["minor"], key, by),
    ),
    "part": Ask(
        gettext_lazy("Pay for the part"),
        gettext_lazy("What the completion codes promise those who stopped part-way, once."),
        None,
        lambda row, _data, _key, by: decisions.pay_for_part(row, by),
    ),
    "message": Ask(
        gettext_lazy("Write to them"),
        gettext_lazy("Each of them gets this message at Prolific."),
        WordsForm,
        lambda row, data, key, by: decisions.message(row, data["text"], key, by),
    ),
}


@admin.register(Submission)
class SubmissionAdmin(ReadOnlyAdmin):
    """What a recruiter calls people is never shown; an exact number finds its submission."""

    study_path = "recruitment__study"

    list_display = ["number", "recruitment", "status_tag", "ended", "person_link", "decided"]
    list_display += ["paid", "started", "finished"]
    list_filter = ["recruitment__study", "recruitment", "status", "outcome", "decision"]
    list_select_related = ["recruitment", "participant"]
    search_fields = ["=external_id", "=person", "=id"]
    actions = ["ask_approve", "ask_return", "ask_reject", "ask_bonus", "ask_part", "ask_message"]
    fields = ["recruitment", "status", "status_at", "ended", "person_link", "started_at"]
    fields += ["completed_at", "return_requested_at", "paid", "decision", "decided_by"]
    fields += ["decided_at", "sent"]
    readonly_fields = fields
    started = when("started_at", gettext_lazy("began"))
    finished = when("completed_at", gettext_lazy("handed in"))

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return access.may_anywhere(request.user, "recruit")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.decide))
        own = path("decide/<slug:what>/", view, name="surveys_submission_decide")
        return [own, *super().get_urls()]

    def page_of(
        self, request: HttpRequest, what: str, rows: QuerySet[Submission], form: Any = None
    ) -> HttpResponse:
        ask = ASKS[what]
        rows = self.to_decide(request, rows).select_related("recruitment", "participant")
        if form is None and ask.form:
            form = ask.form()
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "media": self.media,
            "title": ask.title,
            "ask": ask,
            "what": what,
            "rows": rows,
            "form": form,
            "nonce": request.POST.get("nonce") or nonce(),
            "settled": sum(row.status in SETTLED for row in rows),
            "again": several(rows),
        }
        return TemplateResponse(request, "admin/surveys/submission/decide.html", context)

    def decide(self, request: HttpRequest, what: str) -> HttpResponse:
        if not self.has_decide_permission(request) or what not in ASKS:
            raise PermissionDenied
        chosen = [pk for pk in request.POST.getlist("row") if pk.isdecimal()]
        rows = self.to_decide(request, Submission.objects.filter(pk__in=chosen))
        ask, data = ASKS[what], {}
        if ask.form:
            form = ask.form(request.POST)
            if not form.is_valid():
                return self.page_of(request, what, rows, form)
            data = form.cleaned_data
        key, by = request.POST.get("nonce", "")[:40], name_of(request)
        for row in rows:
            self.note(request, "decided", row, what=what)
        each(request, rows, lambda row: ask.do(row, data, key, by), asked)
        return redirect("admin:surveys_submission_changelist")

    def to_decide(self, request: HttpRequest, rows: QuerySet[Submission]) -> QuerySet[Submission]:
        return access.scoped(rows, request.user, "recruit", self.study_path)

    @display(description=gettext_lazy("submission"), ordering="pk")
    def number(self, row: Submission) -> str:
        return str(row.pk)

    @display(description=gettext_lazy("at the recruiter"), ordering="status")
    def status_tag(self, row: Submission) -> SafeString:
        kinds = {"approved": "good", "awaiting_review": "warn", "rejected": "bad"}
        return tag(row.get_status_display(), kinds.get(row.status, ""))

    @display(description=gettext_lazy("ended here"), ordering="outcome")
    def ended(self, row: Submission) -> str:
        words = [row.get_outcome_display(), row.get_stage_display()]
        return ", ".join(str(word) for word in words if word) or "–"

    @display(description=gettext_lazy("participant"), ordering="participant")
    def person_link(self, row: Submission) -> SafeString | str:
        return link_to(row.participant) if row.participant else _("never came")

    @display(description=gettext_lazy("decision"), ordering="decision")
    def decided(self, row: Submission) -> str:
        return str(row.get_decision_display()) if row.decision else "–"

    @display(description=gettext_lazy("bonus"), ordering="bonus_paid")
    def paid(self, row: Submission) -> str:
        return money(row.bonus_paid, row.recruitment.currency) if row.bonus_paid else "–"

    @display(description=gettext_lazy("sent about it"))
    def sent(self, row: Submission) -> SafeString:
        lines = [
            format_html(
                "<li>{}: {} {}</li>", d.get_kind_display(), d.get_state_display(), d.last_error
            )
            for d in row.deliveries.order_by("pk")
        ]
        return format_html("<ul>{}</ul>", SafeString("").join(lines)) if lines else SafeString("–")


def several(rows: Iterable[Submission]) -> int:
    """How many of them are of people who have another submission."""
    people = [row.participant_id for row in rows if row.participant_id]
    with_more = Participant.objects.filter(pk__in=people).annotate(n=Count("submissions"))
    return with_more.filter(n__gt=1).count()


def action_of(what: str) -> Callable[..., HttpResponse]:
    """An entry of the list's menu, which leads to the page of that name."""

    @admin.action(description=ASKS[what].title, permissions=["decide"])
    def act(
        self: SubmissionAdmin, request: HttpRequest, rows: QuerySet[Submission]
    ) -> HttpResponse:
        return self.page_of(request, what, rows)

    act.__name__ = f"ask_{what}"
    return act


for _what in ASKS:
    setattr(SubmissionAdmin, f"ask_{_what}", action_of(_what))


NEXT_TRY = when("next_try_at", gettext_lazy("next try"))


@admin.register(Delivery)
class DeliveryAdmin(ReadOnlyAdmin):
    """The outbox."""

    study_path = "recruitment__study"

    list_display = ["number", "what", "recruitment", "about", "state_tag", "tries", "words"]
    list_display += ["next_try", "asked_by"]
    list_filter = ["recruitment__study", "state", "kind", "recruitment"]
    list_select_related = ["recruitment", "submission"]
    actions = ["try_again", "cancel", "it_happened", "it_did_not"]
    fields = ["what", "recruitment", "about", "state_tag", "tries", "words", "next_try"]
    fields += ["asked_by", "created_at", "done_at", "content"]
    readonly_fields = fields

    def has_send_permission(self, request: HttpRequest) -> bool:
        return access.may_anywhere(request.user, "recruit")

    @admin.action(description=gettext_lazy("Try again now"), permissions=["send"])
    def try_again(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        each(request, self.to_send(request, rows), requests.try_again, asked)

    @admin.action(description=gettext_lazy("Cancel"), permissions=["send"])
    def cancel(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        each(request, self.to_send(request, rows), requests.cancel, settled_words)

    @admin.action(description=gettext_lazy("It was paid: I looked"), permissions=["send"])
    def it_happened(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        chosen = self.to_send(request, rows)
        each(request, chosen, lambda row: requests.settle(row, happened=True), settled_words)

    @admin.action(description=gettext_lazy("It was not paid: send it again"), permissions=["send"])
    def it_did_not(self, request: HttpRequest, rows: QuerySet[Delivery]) -> None:
        chosen = self.to_send(request, rows)
        each(request, chosen, lambda row: requests.settle(row, happened=False), asked)

    def to_send(self, request: HttpRequest, rows: QuerySet[Delivery]) -> QuerySet[Delivery]:
        return access.scoped(rows, request.user, "recruit", self.study_path)

    @display(description=gettext_lazy("number"), ordering="pk")
    def number(self, row: Delivery) -> str:
        return str(row.pk)

    @display(description=gettext_lazy("what"), ordering="kind")
    def what(self, row: Delivery) -> str:
        amount = row.payload.get("amount")
        words = str(row.get_kind_display())
        return f"{words}, {money(amount, row.recruitment.currency)}" if amount else words

    @display(description=gettext_lazy("about"), ordering="submission")
    def about(self, row: Delivery) -> SafeString | str:
        return link_to(row.submission) if row.submission else "–"

    @display(description=gettext_lazy("state"), ordering="state")
    def state_tag(self, row: Delivery) -> SafeString:
        kinds = {"done": "good", "refused": "bad", "unclear": "bad", "unsure": "warn"}
        if requests.is_late(row, timezone.now()):
            return tag(_("waiting for over a day"), "bad")
        return tag(row.get_state_display(), kinds.get(row.state, ""))

    @display(description=gettext_lazy("last error"), ordering="last_error")
    def words(self, row: Delivery) -> str:
        return row.last_error or "–"

    @display(description=gettext_lazy("next try"), ordering="next_try_at")
    def next_try(self, row: Delivery) -> SafeString | str | None:
        is_coming = row.state in (Delivery.State.DUE, Delivery.State.UNSURE)
        return NEXT_TRY(self, row) if is_coming else "–"

    @display(description=gettext_lazy("content"))
    def content(self, row: Delivery) -> SafeString:
        text = json.dumps(row.payload, indent=2, ensure_ascii=False)
        return format_html('<pre class="desk-json">{}</pre>', text)


def settled_words(number: int) -> str:
    return ngettext("%d is settled.", "%d are settled.", number) % number
