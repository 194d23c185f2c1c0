"""Studies: read, made as drafts, changed while they are drafts, moved from state to state."""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import OuterRef, Prefetch, QuerySet, Subquery
from django.forms.models import model_to_dict
from django.http import HttpResponse
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import exceptions, serializers
from rest_framework.response import Response

from collection import protocol_file, readiness
from collection.api.base import ApiView, described
from collection.api.errors import Conflict
from collection.api.fields import Address, Document, Number, Strict, Text, Whole, checked
from collection.api.once import once
from collection.api.pages import PageQuery, page, page_of
from collection.api.who import may, note, studies, study_for
from collection.models import ModelEndpoint
from collection.setup_forms import shipped
from surveys import access, forms, versions
from surveys import studies as states
from surveys.instruments.languages import in_language
from surveys.instruments.load import FOLDER, LENGTH_LIMIT, read_consent, store
from surveys.models import Instrument, Study, StudyVersion, fingerprint
from surveys.protocol import PRESETS, Protocol

TAG = "Studies"
PLAIN = (
    *("title", "locale", "contact_name", "contact_email", "ethics_reference", "ethics_contact"),
    *("payment", "platform_name", "completion_url", "return_url", "withdrawal_days"),
    *("purge_identities_on", "expected_people"),
)
"""Fields of Study that are taken as they are."""
CHANGED = ("protocol_json", "consent_document", "instrument", "budget_usd", *PLAIN)


@extend_schema_field({"$ref": "#/components/schemas/Protocol"})
class ProtocolField(Document):
    def to_internal_value(self, data: Any) -> Any:
        try:
            return forms.checked(Protocol, super().to_internal_value(data))
        except ValidationError as error:
            raise serializers.ValidationError(error.messages) from error


# What is shown


class InstrumentShown(serializers.Serializer):
    slug = serializers.CharField()
    title = serializers.CharField()
    sha256 = serializers.CharField()


class ConsentShown(serializers.Serializer):
    version = serializers.CharField()
    sha256 = serializers.CharField(help_text="Of the document before a study's settings are in it.")


class StudyShown(serializers.Serializer):
    """A study as it is set now. Nothing in it opens a page or pays anybody."""

    slug = serializers.CharField()
    title = serializers.CharField()
    state = serializers.ChoiceField(Study.State.values)
    steps = serializers.ListField(
        child=serializers.ChoiceField(list(states.STEPS)),
        help_text="What can be done about its state now.",
    )
    is_demo = serializers.BooleanField()
    created_at = serializers.DateTimeField()
    version = serializers.IntegerField(
        allow_null=True, help_text="The number of the newest version; a draft has none."
    )
    mark = serializers.CharField(
        help_text="Of its settings: sent back with a change, that refuses to undo somebody else's."
    )
    locale = serializers.CharField()
    contact_name = serializers.CharField()
    contact_email = serializers.CharField()
    ethics_reference = serializers.CharField()
    ethics_contact = serializers.CharField()
    payment = serializers.CharField()
    platform_name = serializers.CharField()
    completion_url = serializers.CharField()
    return_url = serializers.CharField()
    withdrawal_days = serializers.IntegerField()
    purge_identities_on = serializers.DateField(allow_null=True)
    budget_usd = serializers.FloatField(allow_null=True)
    expected_people = serializers.IntegerField(allow_null=True)
    languages = serializers.ListField(child=serializers.CharField())
    instrument = InstrumentShown()
    consent = ConsentShown()
    protocol = ProtocolField()
    endpoints = serializers.ListField(
        child=serializers.CharField(), help_text="Released names of its models."
    )


def with_all(rows: QuerySet[Study]) -> QuerySet[Any]:
    """With what `shown` reads, in a fixed number of queries."""
    last = StudyVersion.objects.filter(study=OuterRef("pk")).order_by("-number")
    named = Prefetch("endpoints", ModelEndpoint.objects.only("long_name"))
    newest = Subquery(last.values("number")[:1])
    return rows.annotate(newest=newest).prefetch_related("instrument", named)


def shown_now(study: Study) -> dict[str, Any]:
    return shown(with_all(Study.objects.all()).get(pk=study.pk))


def shown(study: Any) -> dict[str, Any]:
    instrument = study.instrument
    return {
        "slug": study.slug,
        "title": study.title,
        "state": study.state,
        "steps": states.steps_from(study.state),
        "is_demo": study.is_demo,
        "created_at": study.created_at,
        "version": study.newest,
        "mark": mark(study),
        **{name: getattr(study, name) for name in PLAIN},
        "budget_usd": None if study.budget_usd is None else float(study.budget_usd),
        "languages": study.languages,
        "instrument": {
            "slug": instrument.slug,
            "title": instrument.title,
            "sha256": instrument.sha256,
        },
        "consent": {
            "version": in_language(study.consent_document, "")["version"],
            "sha256": fingerprint(study.consent_document),
        },
        "protocol": study.protocol.model_dump(mode="json"),
        "endpoints": names_of(study),
    }


def names_of(study: Study) -> list[str]:
    return sorted(endpoint.long_name for endpoint in study.endpoints.all())


def mark(study: Study) -> str:
    """Of all that a change may touch."""
    fields = model_to_dict(study, fields=CHANGED)
    budget = fields["budget_usd"]
    fields["budget_usd"] = None if budget is None else str(Decimal(budget).normalize())
    fields["purge_identities_on"] = str(fields["purge_identities_on"])
    return fingerprint([fields, names_of(study)])[:16]


# What is sent


class StudyChanges(Strict):
    """Settings of a draft. What is left out stays as it is."""

    title = Text(required=False, max_length=200)
    locale = Text(required=False, max_length=50, help_text="Released as study_locale, lower case.")
    contact_name = Text(required=False, max_length=200)
    contact_email = serializers.EmailField(required=False, max_length=254)
    ethics_reference = Text(required=False, max_length=200)
    ethics_contact = serializers.EmailField(required=False, max_length=254)
    payment = Text(required=False, max_length=200, allow_blank=True)
    platform_name = Text(required=False, max_length=50)
    completion_url = Address(
        required=False, max_length=200, allow_blank=True, help_text="{code} becomes the code."
    )
    return_url = Address(required=False, max_length=200, allow_blank=True)
    withdrawal_days = Whole(required=False, min_value=0, max_value=32767)
    purge_identities_on = serializers.DateField(required=False, allow_null=True)
    budget_usd = Number(required=False, allow_null=True, min_value=0, max_value=9_999_999_999)
    expected_people = Whole(required=False, allow_null=True, min_value=0, max_value=1_000_000)
    instrument = Text(
        required=False,
        max_length=64,
        help_text="sha256 of a stored version, or the name of one that ships with Refract: prism.",
    )
    protocol = ProtocolField(required=False, help_text="In full: what is left out is the usual.")
    consent = Document(required=False, help_text="Version, sections and margin notes.")
    endpoints = serializers.ListField(
        child=Text(max_length=100),
        required=False,
        max_length=200,
        help_text="Released names of models of the registry that are switched on.",
    )
    mark = Text(
        required=False,
        max_length=16,
        help_text="Of the study as you saw it. If somebody has changed it since, nothing is done.",
    )

    def validate_instrument(self, value: str) -> Instrument:
        row = Instrument.objects.filter(sha256=value).first()
        if row is None:
            files = shipped()
            path = files.get(value) or next((p for p in files.values() if p.stem == value), None)
            row = store(path) if path else None
        if row is None:
            raise serializers.ValidationError(
                _("There is no such version here; add its file at the desk, under Instruments.")
            )
        return row

    def validate_consent(self, value: Any) -> Any:
        try:
            return forms.checked_texts(value)
        except ValidationError as error:
            raise serializers.ValidationError(error.messages) from error

    def validate_endpoints(self, value: list[str]) -> list[ModelEndpoint]:
        study = self.context.get("study")
        own = set(study.endpoints.values_list("long_name", flat=True)) if study else set()
        found = {row.long_name: row for row in ModelEndpoint.objects.filter(long_name__in=value)}
        usable = {name for name, row in found.items() if row.is_active} | own
        if lacking := [name for name in value if name not in usable]:
            raise serializers.ValidationError(
                [_("There is no such model that is switched on: %s.") % n for n in lacking]
            )
        return [found[name] for name in value]


class NewStudy(StudyChanges):
    """A draft, from a preset's protocol or from a study's file; settings beside it count more."""

    slug = serializers.RegexField(
        r"^[-a-zA-Z0-9_]{1,50}\Z", help_text="Part of every participant link."
    )
    preset = serializers.ChoiceField(list(PRESETS), required=False)
    file = Text(
        required=False,
        max_length=LENGTH_LIMIT,
        help_text="The text of a study's YAML file, as `/design/` gives it.",
    )
    mark: Any = None

    def validate(self, values: dict[str, Any]) -> dict[str, Any]:
        if "file" in values and {"preset", "protocol"} & set(values):
            raise serializers.ValidationError({"file": [_("Give a file or a protocol, not both.")]})
        return values


class Step(Strict):
    step = serializers.ChoiceField(list(states.STEPS))


class MadeShown(serializers.Serializer):
    study = StudyShown()
    notes = serializers.ListField(
        child=serializers.CharField(), help_text="What a researcher has to look at."
    )


# Making and changing


def make(values: dict[str, Any]) -> tuple[Study, list[str]]:
    """Raises Conflict if the slug is taken; InstrumentError if the file cannot be used."""
    slug = values["slug"]
    taken = Conflict(_("There is a study with this slug already; choose another."), code="slug")
    if Study.objects.filter(slug=slug).exists():
        raise taken
    try:
        with transaction.atomic():
            study, notes = begin(values)
            change(study, values)
    except IntegrityError as error:
        raise taken from error
    return study, notes


def begin(values: dict[str, Any]) -> tuple[Study, list[str]]:
    if "file" in values:
        file = protocol_file.read("file", values["file"])
        made = protocol_file.make_draft("file", file, values["slug"])
        return made.study, made.notes
    preset = values.get("preset", "prism")
    talks = preset != "survey"
    instrument = values.get("instrument") or store(FOLDER / "prism.yaml")
    consent = FOLDER / ("prism-consent.yaml" if talks else "survey-consent.yaml")
    study = Study.objects.create(
        slug=values["slug"],
        title=values.get("title", values["slug"]),
        instrument=instrument,
        protocol_json=PRESETS[preset].model_dump(mode="json"),
        consent_document=read_consent(consent),
    )
    return study, []


def change(study: Study, values: dict[str, Any]) -> list[str]:
    """Store what is in values; the names of the fields that were not so before."""
    before = model_to_dict(study, fields=CHANGED)
    for name in (*PLAIN, "instrument"):
        if name in values:
            setattr(study, name, values[name])
    if "protocol" in values:
        study.protocol_json = values["protocol"]
        study.__dict__.pop("protocol", None)
    if "consent" in values:
        study.consent_document = values["consent"]
    if "budget_usd" in values:
        budget = values["budget_usd"]
        study.budget_usd = None if budget is None else round(Decimal(str(budget)), 2)
    after = model_to_dict(study, fields=CHANGED)
    changed = [name for name in CHANGED if before[name] != after[name]]
    if changed:
        study.save(update_fields=changed)
    if "endpoints" in values and {e.pk for e in values["endpoints"]} != own_keys(study):
        study.endpoints.set(values["endpoints"])
        changed.append("endpoints")
    return changed


def own_keys(study: Study) -> set[int]:
    return set(study.endpoints.values_list("pk", flat=True))


@transaction.atomic
def change_draft(study: Study, values: dict[str, Any]) -> list[str]:
    """Raises Conflict if it is no draft any more, or not as the caller saw it."""
    row = Study.objects.select_for_update(of=("self",)).get(pk=study.pk)
    if row.state != Study.State.DRAFT:
        raise Conflict(
            _("This study is no draft any more: it is changed at the desk, with a reason."),
            code="not_draft",
        )
    if values.get("mark", mark(row)) != mark(row):
        raise Conflict(
            _("Somebody has changed this study since you read it. Read it again."), code="changed"
        )
    return change(row, values)


def may_begin(request: Any) -> bool:
    """As at the desk: no role in a study gives the right to begin another."""
    token = request.auth
    if token is not None and ("change" not in token.scopes or token.study_id is not None):
        return False
    return bool(request.user.has_perm("surveys.add_study"))


# Addresses


class StudyQuery(PageQuery):
    state = serializers.ChoiceField(Study.State.values, required=False)


class Studies(ApiView):
    @described(
        "studies_list",
        "The studies in which you may see something",
        page_of(StudyShown),
        tag=TAG,
        query=StudyQuery,
        refusals=(),
    )
    def get(self, request: Any) -> Response:
        query = checked(StudyQuery, request.query_params.dict())
        rows = with_all(studies(request, "see"))
        if "state" in query:
            rows = rows.filter(state=query["state"])
        return page(request, rows, query, shown)

    @described(
        "studies_create",
        "Make a draft",
        MadeShown,
        tag=TAG,
        said="From a preset (`prism` unless you name one), or from the YAML file of a study. You "
        "become its owner. Needs the right to begin studies at the desk, and a token for all "
        "studies with the scope `change`.",
        sent=NewStudy,
        number=201,
        refusals=(),
        is_kept=True,
    )
    def post(self, request: Any) -> Response:
        if not may_begin(request):
            raise exceptions.PermissionDenied(_("This account or token may not begin studies."))
        return once(request, lambda: self.make(request))

    def make(self, request: Any) -> Response:
        study, notes = make(checked(NewStudy, request.data))
        access.make_owner(request.user, study)
        note(request, "added", study, study)
        return Response({"study": shown_now(study), "notes": notes}, status=201)


class OneStudy(ApiView):
    @described("studies_read", "One study", StudyShown, tag=TAG)
    def get(self, request: Any, slug: str) -> Response:
        return Response(shown_now(study_for(request, slug, "see")))

    @described(
        "studies_change",
        "Change a draft",
        StudyShown,
        tag=TAG,
        said="A study that people have met is changed at the desk, where a version is kept with "
        "the reason.",
        sent=StudyChanges,
        is_kept=True,
    )
    def patch(self, request: Any, slug: str) -> Response:
        study = study_for(request, slug, "change")
        return once(request, lambda: self.change(request, study))

    def change(self, request: Any, study: Study) -> Response:
        values = checked(StudyChanges, request.data, context={"study": study})
        fields = change_draft(study, values)
        if fields:
            note(request, "changed", study, study, fields=fields)
        return Response(shown_now(study))


class State(ApiView):
    @described(
        "studies_step",
        "Open, launch, pause, resume or close",
        StudyShown,
        tag=TAG,
        said="Refused with `not_ready` and all that has to be mended, or with `step` where the "
        "state does not allow it. A step that was taken already changes nothing.",
        sent=Step,
        is_kept=True,
    )
    def post(self, request: Any, slug: str) -> Response:
        study = study_for(request, slug, "change")
        return once(request, lambda: self.take(request, study))

    def take(self, request: Any, study: Study) -> Response:
        step, before = checked(Step, request.data)["step"], study.state
        getattr(states, step)(study, request.user.get_username())
        if study.state != before:
            note(request, "changed", study, study, note=f"{before} to {study.state}")
        return Response(shown_now(study))


class FindingShown(serializers.Serializer):
    level = serializers.ChoiceField(["ok", "warn", "stop"])
    words = serializers.CharField()
    remedy = serializers.CharField()


class CheckShown(serializers.Serializer):
    is_ready = serializers.BooleanField(help_text="Nothing of it stops the study.")
    findings = FindingShown(many=True)


class Check(ApiView):
    @described(
        "studies_check", "What is ready before people come, and what is not", CheckShown, tag=TAG
    )
    def get(self, request: Any, slug: str) -> Response:
        found = readiness.check(study_for(request, slug, "see"))
        rows = [{"level": f.level, "words": f.words, "remedy": f.remedy} for f in found]
        is_ready = all(row["level"] != "stop" for row in rows)
        return Response({"is_ready": is_ready, "findings": rows})


class VersionShown(serializers.Serializer):
    number = serializers.IntegerField()
    reason = serializers.CharField()
    author = serializers.CharField()
    created_at = serializers.DateTimeField()
    instrument = serializers.CharField(help_text="sha256")
    people = serializers.IntegerField(help_text="How many came in it.")


class Versions(ApiView):
    @described(
        "studies_versions",
        "What people met, version by version",
        page_of(VersionShown),
        tag=TAG,
        query=PageQuery,
    )
    def get(self, request: Any, slug: str) -> Response:
        study = study_for(request, slug, "see")
        people = dict(versions.people_of(study))
        rows = study.versions.select_related("instrument")

        def show(row: Any) -> dict[str, Any]:
            return {
                "number": row.number,
                "reason": row.reason,
                "author": row.author,
                "created_at": row.created_at,
                "instrument": row.instrument.sha256,
                "people": people.get(row.pk, 0),
            }

        return page(request, rows, checked(PageQuery, request.query_params.dict()), show)


class Design(ApiView):
    @described(
        "studies_design",
        "The study's design as a YAML file",
        {(200, "application/yaml"): OpenApiTypes.OBJECT},
        tag=TAG,
        said="As a paper's appendix carries it, and as another server reads it.",
    )
    def get(self, request: Any, slug: str) -> HttpResponse:
        study = study_for(request, slug, "see")
        return HttpResponse(
            protocol_file.written(study), content_type="application/yaml; charset=utf-8"
        )


def account(request: Any) -> dict[str, Any]:
    token = request.auth
    mine = studies(request, "see")
    return {
        "account": request.user.get_username(),
        "token": token
        and {
            "name": token.name,
            "prefix": token.prefix,
            "scopes": token.scopes,
            "expires_at": token.expires_at,
        },
        "may_begin_studies": may_begin(request),
        "studies": [
            {"slug": s.slug, "may": [v for v in access.VERBS if may(request, v, s)]} for s in mine
        ],
    }


class TokenShown(serializers.Serializer):
    name = serializers.CharField()
    prefix = serializers.CharField()
    scopes = serializers.ListField(child=serializers.ChoiceField(list(access.TOKEN_VERBS)))
    expires_at = serializers.DateTimeField()


class RightsShown(serializers.Serializer):
    slug = serializers.CharField()
    may = serializers.ListField(child=serializers.ChoiceField(list(access.VERBS)))


class AccountShown(serializers.Serializer):
    account = serializers.CharField()
    token = TokenShown(allow_null=True)
    may_begin_studies = serializers.BooleanField()
    studies = RightsShown(many=True)


class Account(ApiView):
    @described(
        "account",
        "Who you are here, and what you may do in which study",
        AccountShown,
        tag="Account",
        refusals=(),
    )
    def get(self, request: Any) -> Response:
        return Response(account(request))
