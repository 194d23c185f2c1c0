"""Instruments at the desk: bring one in, compare two, walk through one, vouch for a translation."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect, render
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import translation
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_POST, require_safe

from surveys import access
from surveys.draws import new_seed
from surveys.forms import InstrumentForm
from surveys.instruments import published
from surveys.instruments.diff import compare
from surveys.instruments.explain import in_words
from surveys.instruments.languages import languages_of, missing
from surveys.instruments.load import Parsed, keep
from surveys.instruments.review import Review, readable, review
from surveys.instruments.schema import (
    Arm,
    Block,
    InstrumentFile,
    Page,
    Question,
    Variant,
    pages_of,
)
from surveys.languages import INTERFACE, Language
from surveys.models import Instrument, TranslationReview
from surveys.preview import Preview, Walk

UNSAVED = "unsaved instrument"
"""Where the session keeps the last one that was checked and not stored."""
ANSWERS_KEPT = 3
"""Walks through different versions that a session keeps."""


@dataclass(frozen=True)
class Translation:
    """One language of an instrument, as its page shows it."""

    language: Language
    is_own: bool
    is_spoken: bool
    """Whether the pages around the questions speak it."""
    missing: list[str]
    review: TranslationReview | None


def translations(instrument: Instrument) -> list[Translation]:
    """Of a stored version, its own language first."""
    document = instrument.document
    own, *others = languages_of(document)
    lacking: dict[str, list[str]] = {}
    for place, language in missing(document):
        lacking.setdefault(language, []).append(readable(document, place))
    reviews = {found.language: found for found in instrument.reviews.all()}
    return [
        Translation(
            Language(code), code == own, code in INTERFACE, lacking.get(code, []), reviews.get(code)
        )
        for code in (own, *others)
    ]


@dataclass(frozen=True)
class PageOutline:
    """A page with its conditions in words, and each of its questions with its own."""

    page: Page
    block: str
    conditions: list[str]
    questions: list[tuple[Question, str]]


def outline(file: InstrumentFile) -> Iterator[PageOutline]:
    for entry in file.entries:
        for page in pages_of(entry):
            parts = (entry, page) if isinstance(entry, Block) else (page,)
            yield PageOutline(
                page,
                entry.code if isinstance(entry, Block) else "",
                [in_words(part.show_if) for part in parts if part.show_if],
                [(q, in_words(q.show_if) if q.show_if else "") for q in page.questions],
            )


def checked(instrument: Instrument) -> Review:
    return review(instrument.document, instrument.file)


def as_row(parsed: Parsed) -> Instrument:
    """A row that is not stored."""
    return Instrument(
        slug=parsed.file.instrument,
        title=parsed.file.title,
        sha256=parsed.sha256,
        document=parsed.document,
    )


class Workshop:
    """The pages of an instrument at the desk besides its own; mixed into its admin."""

    admin_site: Any
    opts: Any
    media: Any
    has_add_permission: Any
    has_view_permission: Any
    log_addition: Any
    log_change: Any

    def get_urls(self) -> list[URLPattern]:
        pages = [
            ("compare/", self.compare_versions, "compare"),
            ("preview/<slug:sha256>/", self.preview_start, "preview"),
            ("preview/<slug:sha256>/end/", self.preview_end, "preview_end"),
            ("preview/<slug:sha256>/<slug:code>/page/", self.preview_page, "preview_page"),
            ("preview/<slug:sha256>/<slug:code>/frame/", self.preview_frame, "preview_frame"),
            ("<int:pk>/translation/", require_POST(self.vouch), "vouch"),
        ]
        urls: list[URLPattern] = super().get_urls()  # type: ignore[misc]
        own = [
            path(at, self.admin_site.admin_view(view), name=f"surveys_instrument_{name}")
            for at, view, name in pages
        ]
        return [*own, *urls]

    def show(self, request: HttpRequest, template: str, context: dict[str, Any]) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "media": self.media}
        return TemplateResponse(request, f"admin/surveys/instrument/{template}", shared | context)

    def check_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    # Bringing one in

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        """A file or a pasted text: checked, tried out, stored."""
        if not self.has_add_permission(request):
            raise PermissionDenied
        kept = request.session.get(UNSAVED, {})
        context: dict[str, Any] = {"title": _("Add an instrument")}
        if request.method != "POST":
            text = kept.get("text", "") if "again" in request.GET else ""
            return self.show(request, "add.html", context | {"form": InstrumentForm(text=text)})
        form = InstrumentForm(request.POST, request.FILES)
        if not form.is_valid() or form.parsed is None:
            return self.show(request, "add.html", context | {"form": form})
        row = as_row(form.parsed)
        request.session[UNSAVED] = {
            "sha256": row.sha256,
            "document": row.document,
            "text": form.text,
        }
        if "store" in request.POST:
            return self.stored(request, form.parsed)
        if "preview" in request.POST:
            return redirect("admin:surveys_instrument_preview", row.sha256)
        same = versions().filter(slug=row.slug)
        return self.show(
            request,
            "add.html",
            context
            | {
                "form": form,
                "checked": row,
                "review": checked(row),
                "known": same.filter(sha256=row.sha256).first(),
                "latest": same.exclude(sha256=row.sha256).last(),
            },
        )

    def stored(self, request: HttpRequest, parsed: Parsed) -> HttpResponse:
        known = Instrument.objects.filter(sha256=parsed.sha256).first()
        row = known or keep(parsed)
        if known:
            messages.info(request, _("This version is stored already; here it is."))
        else:
            self.log_addition(request, row, "Uploaded")
            messages.success(request, _("Stored. A study can use it now."))
        request.session.pop(UNSAVED, None)
        return redirect("admin:surveys_instrument_change", row.pk)

    # Comparing two

    def compare_versions(self, request: HttpRequest) -> HttpResponse:
        self.check_view(request)
        old, new = (self.find(request, request.GET.get(name, "")) for name in ("old", "new"))
        context = {
            "title": _("Compare two versions"),
            "old": old,
            "new": new,
            "versions": versions(),
            "difference": compare(old.document, new.document),
        }
        return self.show(request, "compare.html", context)

    def find(self, request: HttpRequest, sha256: str) -> Instrument:
        """A stored version, or the session's unsaved one. Raises Http404."""
        row = Instrument.objects.filter(sha256=sha256).first()
        if row is not None:
            return row
        kept = request.session.get(UNSAVED, {})
        if not sha256 or kept.get("sha256") != sha256:
            raise Http404
        document = kept["document"]
        file = Instrument(sha256=sha256, document=document).file
        return Instrument(slug=file.instrument, title=file.title, sha256=sha256, document=document)

    # Walking through one

    def released(self, preview: Preview) -> Mapping[str, Any]:
        """Column -> value, of the answers so far."""
        return {}

    def around(self, preview: Preview) -> dict[str, Any]:
        """What every page of a preview shows beside the participant's page."""
        cells = [
            (column, json.dumps(value, ensure_ascii=False))
            for column, value in self.released(preview).items()
        ]
        return walk_context(preview) | {"released": cells}

    def preview(self, request: HttpRequest, sha256: str) -> Preview:
        self.check_view(request)
        row = self.find(request, sha256)
        walks = request.session.get("previews", {})
        walk = Walk.from_json(walks[sha256]) if sha256 in walks else Walk()
        return Preview(row, walk)

    def remember(self, request: HttpRequest, preview: Preview) -> None:
        walks: dict[str, Any] = request.session.get("previews", {})
        walks.pop(preview.instrument.sha256, None)
        kept = list(walks.items())[1 - ANSWERS_KEPT :]
        request.session["previews"] = {
            **dict(kept),
            preview.instrument.sha256: preview.walk.as_json(),
        }

    def preview_start(self, request: HttpRequest, sha256: str) -> HttpResponse:
        """To the first page that was not sent yet; a POST changes the walk's settings."""
        preview = self.preview(request, sha256)
        page = request.POST.get("page", "")
        if request.method == "POST":
            change_walk(preview, request.POST)
        self.remember(request, preview)
        if request.method == "POST" and "restart" not in request.POST and preview.file.page(page):
            return to_page(preview, page)
        return to_page(preview, preview.pending.code if preview.pending else None)

    def preview_page(self, request: HttpRequest, sha256: str, code: str) -> HttpResponse:
        """The frame with a participant's page, and around it what the researcher wants to know."""
        preview = self.preview(request, sha256)
        page = page_of(preview, code)
        if request.method == "POST":
            is_accepted = preview.send(page, request.POST)
            self.remember(request, preview)
            if not is_accepted:
                return to_page(preview, code)
            after = None if preview.walk.is_screened else preview.after(page)
            return to_page(preview, after.code if after else None)
        step = preview.sheet.step(page)
        return self.show(
            request,
            "preview.html",
            self.around(preview)
            | {
                "page": page,
                "step": step,
                "rules": list(preview.rules(page)),
                "decided": list(preview.decided(page)),
                "orders": preview.orders(page),
            },
        )

    def preview_end(self, request: HttpRequest, sha256: str) -> HttpResponse:
        preview = self.preview(request, sha256)
        return self.show(request, "preview.html", self.around(preview))

    @property
    def preview_frame(self) -> Any:
        return xframe_options_sameorigin(never_cache(self.participants_page))

    def participants_page(self, request: HttpRequest, sha256: str, code: str) -> HttpResponse:
        """What a participant would see, in the language of the walk."""
        preview = self.preview(request, sha256)
        page = page_of(preview, code)
        with translation.override(preview.walk.language or preview.file.language):
            shown, questions = preview.shown(page)
            earlier = preview.before(page)
            sheet = preview.sheet
            codes = [known.code for known in sheet.pages]
            context = {
                "page": shown,
                "questions": questions,
                "version": sha256,
                "place": codes.index(code) + 1 if code in codes else "–",
                "pages": len(sheet.expected()),
                "action": page_url(sha256, code),
                "back": earlier and page_url(sha256, earlier.code),
            }
            return render(request, "admin/surveys/instrument/preview_frame.html", context)

    # Vouching for a translation

    def vouch(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Add a named reviewer of one language, or withdraw the one there is."""
        row = get_object_or_404(Instrument, pk=pk)
        language = request.POST.get("language", "")
        found = next((t for t in translations(row) if t.language.code == language), None)
        if found is None or found.is_own:
            raise Http404
        if "withdraw" in request.POST:
            self.withdraw(request, row, found)
        else:
            self.approve(request, row, found)
        return redirect(reverse("admin:surveys_instrument_change", args=[pk]) + "#languages")

    def approve(self, request: HttpRequest, row: Instrument, found: Translation) -> None:
        check_may_vouch(request, "surveys.add_translationreview")
        reviewer = " ".join(request.POST.get("reviewer", "").replace("\x00", "").split())
        if not reviewer:
            messages.error(request, _("Please write who reviewed the translation."))
        elif found.missing:
            messages.error(
                request,
                _("%(language)s misses texts. Add them in a new version; then it can be reviewed.")
                % {"language": found.language.name},
            )
        else:
            TranslationReview.objects.update_or_create(
                instrument=row, language=found.language.code, defaults={"reviewer": reviewer[:200]}
            )
            self.log_change(request, row, f"{found.language.code} reviewed by {reviewer[:200]}")
            messages.success(
                request,
                _("%(language)s is reviewed by %(reviewer)s.")
                % {"language": found.language.name, "reviewer": reviewer[:200]},
            )

    def withdraw(self, request: HttpRequest, row: Instrument, found: Translation) -> None:
        check_may_vouch(request, "surveys.delete_translationreview")
        if found.review:
            found.review.delete()
            self.log_change(request, row, f"Review of {found.language.code} withdrawn")
            messages.success(
                request,
                _("The review of %(language)s is withdrawn. Studies offer it no longer.")
                % {"language": found.language.name},
            )


def check_may_vouch(request: HttpRequest, permission: str) -> None:
    if not (request.user.has_perm(permission) or access.may_anywhere(request.user, "change")):
        raise PermissionDenied


def versions() -> QuerySet[Instrument]:
    return Instrument.objects.defer("document").order_by("slug", "created_at")


def page_url(sha256: str, code: str) -> str:
    return reverse("admin:surveys_instrument_preview_page", args=[sha256, code])


def to_page(preview: Preview, code: str | None) -> HttpResponse:
    """To a page, or to the end if there is none."""
    sha256 = preview.instrument.sha256
    if code is None:
        return redirect("admin:surveys_instrument_preview_end", sha256)
    return redirect(page_url(sha256, code))


def page_of(preview: Preview, code: str) -> Page:
    page = preview.file.page(code)
    if page is None:
        raise Http404
    return page


def change_walk(preview: Preview, data: QueryDict) -> None:
    """What the form around the preview sets."""
    walk, file = preview.walk, preview.file
    if (language := str(data.get("language"))) in languages_of(preview.instrument.document):
        walk.language = language
    for variant in file.variants:
        arm = data.get(f"arm_{variant.code}", "")
        if arm in {known.code for known in variant.arms}:
            walk.chosen[variant.code] = arm
        elif f"arm_{variant.code}" in data:
            walk.chosen.pop(variant.code, None)
    if "width" in data:
        walk.is_narrow = data["width"] == "narrow"
    if "new_seed" in data:
        walk.seed = new_seed()
    elif re.fullmatch(r"\d{1,19}", seed := str(data.get("seed", "")).strip(), re.ASCII):
        walk.seed = int(seed)
    if "restart" in data:
        walk.restart()
    preview.__dict__.pop("file", None)  # it may speak another language now


def walk_context(preview: Preview) -> dict[str, Any]:
    return {
        "title": _("Preview of %s") % preview.instrument.title,
        "preview": preview,
        "walk": preview.walk,
        "instrument": preview.instrument,
        "steps": preview.sheet.steps,
        "arms": list(arms(preview)),
        "languages": [Language(code) for code in languages_of(preview.instrument.document)],
        "language": preview.walk.language or preview.file.language,
        "answers": preview.answered(),
    }


def arms(preview: Preview) -> Iterator[tuple[Variant, Arm, str]]:
    """Each variant with the walk's arm, and the code of the one that was chosen, if any."""
    for variant in preview.file.variants:
        code = preview.arms[variant.code]
        arm = next(arm for arm in variant.arms if arm.code == code)
        yield variant, arm, preview.walk.chosen.get(variant.code, "")


@require_safe
def instrument_schema(request: HttpRequest) -> HttpResponse:
    """For editors, which complete and check instrument files with it. Public, as the code is."""
    return HttpResponse(published.FILE.read_bytes(), content_type="application/schema+json")
