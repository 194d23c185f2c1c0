"""The desk, second part: studies, where participants stand, conversations and models.

The pages of a study and of a participant show both apps, so they are registered here.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin import SimpleListFilter, display
from django.core.exceptions import PermissionDenied
from django.db.models import (
    Case,
    Exists,
    IntegerField,
    ManyToManyField,
    OuterRef,
    Prefetch,
    QuerySet,
    Value,
    When,
    prefetch_related_objects,
)
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.defaultfilters import truncatechars
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from collection import budget, history, registry, standing, transcript, trials
from collection.desk_coding import CodingPages
from collection.desk_imported import ImportedDesk
from collection.desk_metadata import MetadataPages
from collection.desk_personal import PersonalPages
from collection.desk_registry import RegistryDesk
from collection.desk_releases import ReleasePages
from collection.desk_review import ReviewPages
from collection.desk_setup import GuidedSetup
from collection.desk_watch import WatchPages
from collection.export.cells import Said, cells
from collection.export.write import files_of
from collection.forms import EndpointForm
from collection.llm.demo import PROVIDER
from collection.models import (
    Conversation,
    Feedback,
    Interaction,
    ModelCall,
    ModelEndpoint,
    ProviderLimit,
    ReplyReport,
    Utterance,
)
from surveys import access, readout, retention, studies, versions
from surveys.admin import InstrumentAdmin
from surveys.counting import how_many
from surveys.desk import LINE, DeskAdmin, ReadOnlyAdmin, Veiled, link_to, tag, when
from surveys.desk_withdrawals import Withdrawals
from surveys.forms import StudyForm
from surveys.instruments.languages import in_language, languages_of
from surveys.instruments.load import FOLDER, read_consent
from surveys.instruments.released import conditional, keys_of
from surveys.languages import Language
from surveys.models import Decline, Instrument, Participant, Study
from surveys.preview import Preview
from surveys.protocol import PRESETS
from surveys.veil import Veil
from surveys.workshop import checked

Outcome = ModelCall.Outcome

PROLIFIC = "?PROLIFIC_PID={{%PROLIFIC_PID%}}&STUDY_ID={{%STUDY_ID%}}&SESSION_ID={{%SESSION_ID%}}"
"""What Prolific fills in for each person."""


@admin.register(Study)
class StudyAdmin(
    ImportedDesk,
    GuidedSetup,
    ReviewPages,
    WatchPages,
    CodingPages,
    PersonalPages,
    MetadataPages,
    ReleasePages,
    DeskAdmin,
):
    study_path = "pk"
    verbs = {**DeskAdmin.verbs, "view": "see"}
    form = StudyForm
    list_display = ["title", "link", "standing", "arrived", "consented", "surveyed", "complete"]
    list_display += ["declined", "active_models"]
    search_fields = ["title", "slug"]
    readonly_fields = ["state", "participant_link", "prolific_link", "is_demo"]
    list_before_template = "admin/surveys/study/begin.html"
    change_form_before_template = "admin/opened.html"
    prepopulated_fields = {"slug": ["title"]}
    fieldsets = [
        (None, {"fields": ["title", "slug", "state", "is_demo", "locale"]}),
        (gettext_lazy("Money"), {"fields": ["budget_usd", "expected_people"]}),
        (
            gettext_lazy("Recruitment"),
            {
                "fields": [
                    *["participant_link", "prolific_link", "platform_name", "payment"],
                    *["completion_code", "completion_url", "return_url", "withdrawal_days"],
                    "purge_identities_on",
                ]
            },
        ),
        (
            gettext_lazy("Contact and ethics"),
            {"fields": ["contact_name", "contact_email", "ethics_reference", "ethics_contact"]},
        ),
        (
            gettext_lazy("Questionnaire and protocol"),
            {"fields": ["instrument", "languages", "protocol_json"]},
        ),
        (gettext_lazy("Consent"), {"fields": ["consent_document", "reason"]}),
    ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Study]:
        people = Participant.objects.all()
        active = ModelEndpoint.studies.through.objects.filter(modelendpoint__is_active=True)
        rows: QuerySet[Study] = super().get_queryset(request)
        return rows.annotate(
            arrived=how_many(people),
            consented=how_many(people.consented()),
            surveyed=how_many(people.finished_survey()),
            complete=how_many(people.filter(completed_at__isnull=False)),
            declined=how_many(Decline.objects.all()),
            active_models=how_many(active),
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        """No role in a study gives the right to begin another."""
        return bool(request.user.has_perm("surveys.add_study"))

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        # The slug is in every link and cookie that people hold by now.
        return [*self.readonly_fields, *(["slug"] if obj and obj.arrived else [])]

    def get_prepopulated_fields(self, request: HttpRequest, obj: Any = None) -> dict[str, Any]:
        return {} if obj else self.prepopulated_fields

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """With ?instrument=…, what a study of that instrument begins with."""
        initial: dict[str, Any] = super().get_changeform_initial_data(request)
        key = str(initial.get("instrument", ""))
        row = Instrument.objects.filter(pk=key).first() if key.isdecimal() else None
        if row is None:
            return initial
        initial |= {"title": row.title, "slug": row.slug}
        if row.file.conversation is None:
            initial["protocol_json"] = PRESETS["survey"].model_dump(mode="json")
            initial["consent_document"] = consent_to_begin_with(row)
        return initial

    def page_context(self, row: Study) -> dict[str, Any]:
        if row.is_imported:
            return self.imported_context(row)
        pilot = row.participants.released(with_pilot=True)
        return {
            "retention": retention.in_words(row),
            "export_all": reverse("export-all", args=[row.slug]),
            "exports": [
                (name, reverse("export-file", args=[row.slug, name])) for name in files_of(row)
            ],
            "review": checked(row.instrument),
            "talks": row.instrument.file.conversation is not None,
            "money": budget.standing(row),
            "resting": resting(row.endpoints.filter(is_active=True)),
            "copy_slug": studies.free_slug(row.slug),
            "pilot_people": pilot.filter(is_pilot=True).count(),
            "version": row.versions.last(),
            "study": row,
            **self.state_context(row),
        }

    def save_model(self, request: HttpRequest, obj: Study, form: Any, change: bool) -> None:
        if change:
            if not self.has_change_permission(request, obj):
                raise PermissionDenied
            versions.keep_first(obj)
            obj.save(update_fields=form.changed_columns)
        else:
            super().save_model(request, obj, form, change)
            access.make_owner(request.user, obj)
        # The form asks for a reason where the edit itself makes a version.
        reason = form.cleaned_data.get("reason") or versions.FOUND
        made = versions.record(obj, reason, user_name(request))
        if made:
            messages.info(request, _("This is version %d now.") % made.number)
        others = obj.participants.exclude(instrument=obj.instrument_id).filter(
            survey_finished_at__isnull=True, stopped_at__isnull=True, screened_at__isnull=True
        )
        if "instrument" in form.changed_data and (number := others.count()):
            messages.info(
                request,
                ngettext(
                    "%d person has begun with an earlier version and finishes on that.",
                    "%d people have begun with an earlier version and finish on that.",
                    number,
                )
                % number,
            )

    @display(description=gettext_lazy("participant link"))
    def link(self, row: Study) -> SafeString:
        return SafeString() if row.is_imported else copyable(row.get_absolute_url(), is_short=True)

    @display(description=gettext_lazy("open link"))
    def participant_link(self, row: Study) -> SafeString:
        return copyable(row.get_absolute_url()) if row.pk else SafeString()

    @display(description=gettext_lazy("link for Prolific"))
    def prolific_link(self, row: Study) -> SafeString:
        return copyable(row.get_absolute_url() + PROLIFIC) if row.pk else SafeString()

    @display(description=gettext_lazy("arrived"), ordering="arrived")
    def arrived(self, row: Any) -> SafeString:
        url = reverse("admin:surveys_participant_changelist")
        return format_html(
            '<a class="desk-link" href="{}?study__id__exact={}">{}</a>', url, row.pk, row.arrived
        )

    @display(description=gettext_lazy("consented"), ordering="consented")
    def consented(self, row: Any) -> int:
        return int(row.consented)

    @display(description=gettext_lazy("finished survey"), ordering="surveyed")
    def surveyed(self, row: Any) -> int:
        return int(row.surveyed)

    @display(description=gettext_lazy("complete"), ordering="complete")
    def complete(self, row: Any) -> int:
        return int(row.complete)

    @display(description=gettext_lazy("declined"), ordering="declined")
    def declined(self, row: Any) -> int:
        return int(row.declined)

    @display(description=gettext_lazy("active models"), ordering="active_models")
    def active_models(self, row: Any) -> int:
        return int(row.active_models)


def user_name(request: HttpRequest) -> str:
    return str(request.user.get_username())


def consent_to_begin_with(instrument: Instrument) -> dict[str, Any]:
    """Of a survey alone, in more than English only where its questions are."""
    document = read_consent(FOLDER / "survey-consent.yaml")
    if len(instrument.file.spoken) > 1:
        return document
    own: dict[str, Any] = in_language(document, "en")
    del own["languages"]
    return own | {"title": instrument.title}


def copyable(link: str, *, is_short: bool = False) -> SafeString:
    """A path that the page shows and copies as a full address; a short one only copies it so."""
    return render_to_string("admin/copyable.html", {"link": link, "is_short": is_short})


class StageFilter(SimpleListFilter):
    """By the stage that the list shows."""

    title = gettext_lazy("stage")
    parameter_name = "stage"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return list(standing.Stage.choices)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(stage=self.value()) if self.value() else queryset


@admin.register(Instrument)
class ReleasedInstrumentAdmin(InstrumentAdmin):
    """With what the release would have of a preview's answers."""

    def released(self, preview: Preview) -> dict[str, Any]:
        sheet = replace(preview.sheet, file=preview.instrument.file)
        drawn = {
            scope: codes for page in sheet.pages for scope, codes in sheet.orders(page).items()
        }
        found = cells(Said(sheet.file, sheet.shown, preview.walk.attempts, drawn))
        behind = conditional(sheet.file)
        told = {
            key
            for question in sheet.file.questions()
            if question.code in sheet.shown
            for key in keys_of(question, is_conditional=question.code in behind)
        }
        return {key: value for key, value in found.items() if key in told}


@admin.register(Participant)
class ParticipantAdmin(Withdrawals, Veiled, ReadOnlyAdmin):
    """Where people stand, and what they told us."""

    study_path = "study"
    person_path = ""
    page_has_words = True

    list_display = ["number", "stage", "in_study", "recruitment_id", "arrived", "completed"]
    arrived = when("arrived_at", gettext_lazy("arrived"))
    completed = when("completed_at", gettext_lazy("complete"))
    list_filter = [StageFilter, "study", "is_pilot", "is_simulated", "is_recruited"]
    search_fields = ["=id", "recruitment_id"]
    search_help_text = gettext_lazy("Number of the participant, or study_id")
    ordering = ["-pk"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Participant]:
        return standing.with_stage(super().get_queryset(request))

    @display(description=gettext_lazy("participant"))
    def number(self, row: Participant) -> int:
        return row.pk

    @display(description=gettext_lazy("stage"))
    def stage(self, row: Participant) -> str:
        words = standing.in_words(row)
        marks = [(_("pilot"), row.is_pilot), (_("simulated"), row.is_simulated)]
        shown = [(tag(word),) for word, is_so in marks if is_so]
        return format_html("{} {}", words, format_html_join(" ", "{}", shown)) if shown else words

    @display(description=gettext_lazy("study"), ordering="study")
    def in_study(self, row: Participant) -> str:
        return row.study.slug

    def page_context(self, row: Any) -> dict[str, Any]:
        prefetch_related_objects([row], "responses", "problems")
        for response in row.responses.all():
            row.veil.row(row.pk, response, "value")
        for problem in row.problems.all():
            row.veil.row(row.pk, problem, "text")
        reports = ReplyReport.objects.filter(utterance__interaction__conversation__participant=row)
        conversations = with_turns(row.conversations.select_related("endpoint"))
        return {
            "stage": standing.in_words(row),
            "consent": getattr(row, "consent", None),
            "pages": readout.pages(row),
            "arms": readout.arms(row),
            "languages": languages_of(row.instrument.document),
            "language": Language(row.language or row.instrument.file.language).name,
            "talks": row.instrument.file.conversation is not None,
            "conversations": conversations.order_by("number"),
            "problems": row.problems.all(),
            "reports": [
                veiled(row.veil, row.pk, report, "reason")
                for report in reports.select_related("utterance__interaction__conversation")
            ],
            "times": times(row),
        }


def veiled(veil: Veil, person: int, row: Any, *fields: str) -> Any:
    """The row, to be shown, with what a reviewer marked in its texts covered."""
    if row is not None:
        veil.row(person, row, *fields)
    return row


def times(participant: Participant) -> list[tuple[str, datetime]]:
    """What happened when, as far as it did, in the order of the stages."""
    moments = [
        (_("Arrived"), participant.arrived_at),
        (_("Consent shown"), participant.consent_shown_at),
        (_("Survey finished"), participant.survey_finished_at),
        (_("Instructions read"), participant.instructed_at),
        (_("Completed"), participant.completed_at),
        (screened_in_words(participant), participant.screened_at),
        (_("Stopped"), participant.stopped_at),
        (_("Withdrawn"), participant.withdrawn_at),
        (_("Rejected"), participant.rejected_at),
    ]
    return [(label, at) for label, at in moments if at]


def screened_in_words(participant: Participant) -> str:
    reason = participant.screen_reason or Participant.ScreenReason.CHECK
    label = Participant.ScreenReason(reason).label
    return _("Thanked and let go: %(reason)s") % {"reason": label}


def with_turns(rows: QuerySet[Conversation]) -> QuerySet[Conversation]:
    """Adds `turns`, the complete ones."""
    rated = Interaction.objects.filter(state=Interaction.State.RATED)
    return rows.annotate(turns=how_many(rated, "conversation"))


@admin.register(Conversation)
class ConversationAdmin(Veiled, ReadOnlyAdmin):
    """A conversation, read as a transcript with all that was recorded of it."""

    study_path = "participant__study"
    page_has_words = True

    list_display = ["__str__", "conversation_type", "state", "turns", "endpoint"]
    list_display += ["participant_link", "study", "started"]
    started = when("started_at", gettext_lazy("started"))
    list_filter = ["state", ("conversation_type", admin.AllValuesFieldListFilter), "endpoint"]
    list_filter += ["participant__study", "participant__is_simulated"]
    list_select_related = ["participant__study", "endpoint"]
    search_fields = ["=participant__id"]
    search_help_text = gettext_lazy("Number of the participant")
    ordering = ["-pk"]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Conversation]:
        return with_turns(super().get_queryset(request))

    @display(description=gettext_lazy("turns"), ordering="turns")
    def turns(self, row: Any) -> int:
        return int(row.turns)

    @display(description=gettext_lazy("participant"), ordering="participant")
    def participant_link(self, row: Conversation) -> SafeString:
        return link_to(row.participant)

    @display(description=gettext_lazy("study"), ordering="participant__study")
    def study(self, row: Conversation) -> str:
        return row.participant.study.slug

    def page_context(self, row: Any) -> dict[str, Any]:
        feedback = Feedback.objects.filter(conversation=row).first()
        return {
            "siblings": row.participant.conversations.order_by("number"),
            "type": row.participant.file.task.type(row.conversation_type),
            "texts": row.participant.file.task,
            "talked": transcript.span(row.started_at, row.finished_at),
            "turns": [veiled_turn(row.veil, row.participant_id, t) for t in transcript.turns(row)],
            "attributes": transcript.attributes(row),
            "feedback": veiled(row.veil, row.participant_id, feedback, "open_feedback"),
        }


def veiled_turn(veil: Veil, person: int, turn: transcript.Turn) -> transcript.Turn:
    """Everything of it that its page shows."""
    veil.row(person, turn.interaction, "user_prompt")
    for attempt in filter(None, [turn.attempt, *turn.earlier]):
        for call in attempt.calls.all():
            veil.row(person, call, "text")
            for reply in call.utterances.all():
                veil.row(person, reply, "model_response", "shown_text")
                veiled(veil, person, getattr(reply, "report", None), "reason")
    return turn


@admin.register(Utterance)
class UtteranceAdmin(Veiled, ReadOnlyAdmin):
    """Every reply that was shown."""

    study_path = "interaction__conversation__participant__study"
    person_path = "interaction__conversation__participant"
    veiled = ("model_response", "shown_text")
    page_has_words = list_has_words = True

    list_display = ["words", "score", "if_chosen", "was_tied", "endpoint", "turn"]
    list_display += ["conversation_link"]
    list_filter = ["if_chosen", "was_tied", "endpoint"]
    list_select_related = ["endpoint", "interaction__conversation__participant"]
    search_fields = ["model_response"]
    ordering = ["-pk"]

    @display(description=gettext_lazy("reply"))
    def words(self, row: Utterance) -> str:
        return truncatechars(row.model_response, LINE)

    @display(description=gettext_lazy("turn"))
    def turn(self, row: Utterance) -> int:
        return row.interaction.turn

    @display(description=gettext_lazy("conversation"))
    def conversation_link(self, row: Utterance) -> SafeString:
        return link_to(row.interaction.conversation)


@admin.register(ModelCall)
class ModelCallAdmin(Veiled, ReadOnlyAdmin):
    """Every call of a model, whatever became of it, exactly as it was sent."""

    study_path = "attempt__interaction__conversation__participant__study"
    person_path = "attempt__interaction__conversation__participant"
    veiled = ("messages", "text", "parts")
    page_has_words = True

    list_display = ["endpoint", "ending", "latency_ms", "prompt_tokens", "completion_tokens"]
    list_display += ["cost_usd", "error_class", "started", "conversation_link"]
    started = when("started_at", gettext_lazy("started"))
    list_filter = ["outcome", "endpoint", "started_at"]
    list_select_related = ["endpoint", "attempt__interaction__conversation__participant"]
    search_fields = ["error_class", "error_message"]
    ordering = ["-pk"]

    @display(description=gettext_lazy("outcome"), ordering="outcome")
    def ending(self, row: ModelCall) -> str:
        label = row.get_outcome_display()
        is_fine = row.is_shown or row.outcome == Outcome.PENDING
        return label if is_fine else tag(label, "bad")

    @display(description=gettext_lazy("conversation"))
    def conversation_link(self, row: ModelCall) -> SafeString:
        return link_to(row.attempt.interaction.conversation)


@admin.register(Feedback)
class FeedbackAdmin(Veiled, ReadOnlyAdmin):
    """The open feedback of all conversations side by side."""

    study_path = "conversation__participant__study"
    person_path = "conversation__participant"
    veiled = ("open_feedback",)
    page_has_words = list_has_words = True

    list_display = ["created", "words", "conversation_link"]
    created = when("created_at", gettext_lazy("written"))
    list_filter = ["conversation__participant__study", "conversation__endpoint"]
    list_select_related = ["conversation__participant"]
    search_fields = ["open_feedback"]
    ordering = ["-pk"]

    @display(description=gettext_lazy("open feedback"))
    def words(self, row: Feedback) -> str:
        return truncatechars(row.open_feedback, LINE)

    @display(description=gettext_lazy("conversation"))
    def conversation_link(self, row: Feedback) -> SafeString:
        return link_to(row.conversation)


@admin.register(ReplyReport)
class ReplyReportAdmin(Veiled, ReadOnlyAdmin):
    """Replies that participants reported."""

    study_path = "utterance__interaction__conversation__participant__study"
    person_path = "utterance__interaction__conversation__participant"
    veiled = ("reason",)
    page_has_words = list_has_words = True

    list_display = ["created", "reason_words", "reply", "hidden", "endpoint"]
    list_display += ["conversation_link"]
    created = when("created_at", gettext_lazy("reported"))
    list_filter = ["utterance__endpoint", "created_at"]
    list_select_related = [
        "utterance__endpoint",
        "utterance__interaction__conversation__participant",
    ]
    search_fields = ["reason", "utterance__model_response"]
    ordering = ["-pk"]

    def cover(self, veil: Veil, person: int, row: Any) -> None:
        super().cover(veil, person, row)
        veil.row(person, row.utterance, "model_response", "shown_text")

    @display(description=gettext_lazy("reason"))
    def reason_words(self, row: ReplyReport) -> str:
        return truncatechars(row.reason, LINE) or _("none given")

    @display(description=gettext_lazy("reply"))
    def reply(self, row: ReplyReport) -> str:
        return truncatechars(row.utterance.model_response, LINE)

    @display(description=gettext_lazy("hidden"), boolean=True)
    def hidden(self, row: ReplyReport) -> bool:
        return row.utterance.hidden_at is not None

    @display(description=gettext_lazy("model"), ordering="utterance__endpoint")
    def endpoint(self, row: ReplyReport) -> str:
        return str(row.utterance.endpoint)

    @display(description=gettext_lazy("conversation"))
    def conversation_link(self, row: ReplyReport) -> SafeString:
        return link_to(row.utterance.interaction.conversation)


class TagFilter(SimpleListFilter):
    """By the words that researchers gave endpoints."""

    title = gettext_lazy("tag")
    parameter_name = "tag"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, Any]]:
        return [(tag, tag) for tag in registry.tags_in_use()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        # By hand: SQLite cannot look into a JSON list, and there are tens of endpoints.
        wanted = self.value()
        if not wanted:
            return queryset
        rows = ModelEndpoint.objects.values_list("pk", "tags")
        return queryset.filter(pk__in=[pk for pk, tags in rows if wanted in tags])


@admin.register(ModelEndpoint)
class ModelEndpointAdmin(RegistryDesk, DeskAdmin):
    """Models: added, switched off, and tried with one click.

    One in no study yet is everybody's who may change a study; one in several takes the right to
    change all of them.
    """

    study_path = "studies"
    verbs = {**DeskAdmin.verbs, "view": "see", "delete": "change"}

    form = EndpointForm
    list_display = ["long_name", "demo", "tagged", "is_active", "state", "key", "used_in", "drawn"]
    list_display += ["outcomes", "try_button"]
    list_editable = ["is_active"]
    list_filter = [TagFilter, "is_active", "is_demo", "studies", "model_family"]
    list_before_template = "admin/collection/modelendpoint/load.html"
    change_form_before_template = "admin/opened.html"
    list_after_template = "admin/collection/modelendpoint/try_form.html"
    search_fields = ["long_name", "short_name", "litellm_model"]
    readonly_fields = ["is_demo"]
    formfield_overrides = {
        **DeskAdmin.formfield_overrides,
        ManyToManyField: {"widget": UnfoldAdminCheckboxSelectMultipleWidget},
    }
    fieldsets = [
        (
            None,
            {
                "fields": [
                    *["long_name", "short_name", "is_active", "is_demo", "studies", "tags"],
                    *["note", "reason"],
                ]
            },
        ),
        (
            gettext_lazy("How it is called"),
            {"fields": ["litellm_model", "api_base", "key_name", "parameters", "header", "weight"]},
        ),
        (
            gettext_lazy("What it costs"),
            {"fields": ["input_price", "output_price", "budget_usd"]},
        ),
        (
            gettext_lazy("As released"),
            {
                "fields": [
                    *["longcode", "model_family", "model_provider", "provider_code"],
                    *["model_provider_type", "model_type", "link", "default_params"],
                ]
            },
        ),
    ]

    def own(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        if access.is_everywhere(request.user):
            return rows
        used = ModelEndpoint.studies.through.objects.filter(modelendpoint=OuterRef("pk"))
        # Subqueries: a join would count each call once for every study.
        own = Exists(used.filter(study__in=access.study_keys(request.user, "see")))
        if access.may_anywhere(request.user, "change"):
            return rows.filter(own | ~Exists(used))
        return rows.filter(own)

    def may(self, request: HttpRequest, what: str, row: Any = None) -> bool:
        if row is None or row.pk is None:
            return super().may(request, what)
        keys = used_in(row)
        if what != "view":  # an import keeps its models' rows itself
            keys = [key for key in keys if key not in access.read_only(request.user)]
        if not keys:
            return access.may_anywhere(request.user, "change")
        verb = self.verbs[what]
        each = (access.may(request.user, verb, key) for key in keys)
        return any(each) if what == "view" else all(each)

    def study_of(self, row: Any) -> int | None:
        """The one that it is in, if it is in one."""
        keys = used_in(row)
        return keys[0] if len(keys) == 1 else None

    def get_queryset(self, request: HttpRequest) -> QuerySet[ModelEndpoint]:
        rows: QuerySet[ModelEndpoint] = super().get_queryset(request)
        draws, endings = registry.calls_so_far()
        return rows.annotate(
            draws=by_key(draws),
            draws_of_all=Value(sum(draws.values())),
            **{f"ended_{outcome}": by_key(endings.get(outcome, {})) for outcome in Outcome.values},
        ).prefetch_related(Prefetch("studies", access.studies(request.user, "see")))

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.try_once))
        urls: list[URLPattern] = super().get_urls()
        return [path("<int:pk>/try/", view, name="collection_modelendpoint_try"), *urls]

    def save_model(self, request: HttpRequest, obj: ModelEndpoint, form: Any, change: bool) -> None:
        obj.is_demo = obj.litellm_model.startswith(f"{PROVIDER}/")
        before = ModelEndpoint.objects.get(pk=obj.pk).as_met if change else None
        # save_related, which comes next, needs them: the studies are stored there.
        form.studies_before = registry.before_edit(obj.pk)
        form.met_before = before
        super().save_model(request, obj, form, change)
        calls = obj.calls.count() if change and TREATMENT & set(form.changed_data) else 0
        if calls:
            messages.warning(
                request,
                ngettext(
                    "%d call was made with the earlier settings. A new endpoint keeps them apart.",
                    "%d calls were made with the earlier settings. A new endpoint keeps them "
                    "apart.",
                    calls,
                )
                % calls,
            )
        if obj.key_name and obj.key_name not in settings.MODEL_KEYS:
            messages.warning(request, _("The key %s is not set on this server.") % obj.key_name)

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        reason = form.cleaned_data.get("reason") or SWITCHED
        studies_before = form.studies_before
        registry.after_edit(
            form.instance, form.met_before, studies_before, reason, user_name(request)
        )

    def page_context(self, row: ModelEndpoint) -> dict[str, Any]:
        return {
            "drawn": self.drawn(row),
            "outcomes": endings(row),
            "rest": rest_of(row),
            "history": history.of(row),
        }

    @display(description=gettext_lazy("mark"), ordering="is_demo")
    def demo(self, row: ModelEndpoint) -> SafeString | None:
        return tag(_("Demo")) if row.is_demo else None

    @display(description=gettext_lazy("tags"))
    def tagged(self, row: ModelEndpoint) -> str:
        return ", ".join(row.tags)

    @display(description=gettext_lazy("state"), ordering="resting_until")
    def state(self, row: ModelEndpoint) -> SafeString | None:
        rest = rest_of(row)
        return tag(rest, "bad") if rest else None

    @display(description=gettext_lazy("key"), ordering="key_name")
    def key(self, row: ModelEndpoint) -> str | None:
        if row.key_name and row.key_name not in settings.MODEL_KEYS:
            return tag(_("%s is not set") % row.key_name, "bad")
        return row.key_name or None

    @display(description=gettext_lazy("studies"))
    def used_in(self, row: ModelEndpoint) -> str:
        return ", ".join(study.slug for study in row.studies.all())

    @display(description=gettext_lazy("share of draws"), ordering="draws")
    def drawn(self, row: Any) -> str:
        share = 100 * row.draws / row.draws_of_all if row.draws_of_all else 0
        return f"{row.draws} ({share:.0f} %)"

    @display(description=gettext_lazy("outcomes of calls"))
    def outcomes(self, row: Any) -> str:
        return ", ".join(f"{number} {label}" for label, number in endings(row)) or _("none yet")

    @display(description="")
    def try_button(self, row: ModelEndpoint) -> SafeString:
        url = reverse("admin:collection_modelendpoint_try", args=[row.pk])
        return format_html(
            '<button class="desk-button" form="try-form" formaction="{}">{}</button>', url, _("Try")
        )

    def try_once(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Send one short message to the model as participants' messages are sent, and show all."""
        endpoint = get_object_or_404(self.own_rows(request), pk=pk)
        if not self.has_change_permission(request, endpoint):
            raise PermissionDenied
        [(_test, reply)] = trials.run([endpoint], user_name(request))
        self.log_change(request, endpoint, f"Tried: {reply.outcome}")
        context = self.admin_site.each_context(request) | {
            "opts": self.opts,
            "title": _("Test of %s") % endpoint,
            "endpoint": endpoint,
            "sent": trials.messages_to(endpoint),
            "reply": reply,
            "outcome": Outcome(reply.outcome),
            "media": self.media,
        }
        return TemplateResponse(request, "admin/collection/modelendpoint/try.html", context)


def used_in(row: ModelEndpoint) -> list[int]:
    """Keys of all its studies, also those that whoever asks may not see: `studies` leaves them out
    in the lists of the desk."""
    links = ModelEndpoint.studies.through.objects.filter(modelendpoint=row.pk)
    return list(links.values_list("study_id", flat=True))


SWITCHED = "Switched on or off in the list."

TREATMENT = {"header", "parameters", "litellm_model", "api_base", "long_name"}
"""Fields that say what participants met."""


def by_key(numbers: Mapping[int, int]) -> Case:
    """A number of each row, by which a list can be sorted."""
    cases = [When(pk=key, then=Value(number)) for key, number in numbers.items()]
    return Case(*cases, default=Value(0), output_field=IntegerField())


def endings(row: Any) -> list[tuple[str, int]]:
    """(label, number) of every outcome that calls of this endpoint had."""
    counted = [(outcome.label, getattr(row, f"ended_{outcome}")) for outcome in Outcome]
    return [(str(label), number) for label, number in counted if number]


def rest_of(row: ModelEndpoint) -> str:
    """Why an endpoint is not drawn at the moment, and until when; empty if it is."""
    if not row.is_resting(timezone.now()) or row.resting_until is None:
        return ""
    return _("Rests until %(time)s UTC: %(reason)s") % {
        "time": f"{row.resting_until:%H:%M:%S}",
        "reason": row.rest_reason,
    }


def resting(rows: Iterable[ModelEndpoint]) -> list[str]:
    return [f"{row}: {rest}" for row in rows if (rest := rest_of(row))]


@admin.register(ProviderLimit)
class ProviderLimitAdmin(DeskAdmin):
    """How many calls a provider may have at once."""

    list_display = ["provider_code", "max_concurrent"]
