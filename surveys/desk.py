"""What all pages of the desk share: their look, who may open them, and that it is noted."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from django.contrib.admin import RelatedFieldListFilter, display
from django.core.exceptions import PermissionDenied
from django.core.paginator import Page, Paginator
from django.db.models import CASCADE, PROTECT, RESTRICT, Model, QuerySet, URLField
from django.db.models.constants import LOOKUP_SEP
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import smart_split, unescape_string_literal
from django.utils.timezone import localtime
from unfold.admin import ModelAdmin

from surveys import access, audit
from surveys.models import Participant, Study
from surveys.veil import Veil, behind_the_veil

LINE = 90
"""Characters of a text in a list."""
COUNTED = 10_000
"""Rows of a list that are counted; nobody pages further, and counting a million takes a second."""
QUOTES = "\"'"
LISTED = 100
"""Rows that a page lists that asks whether to delete them all."""


def tag(text: Any, kind: str = "") -> SafeString:
    """A word in a box. kind: good, warn or bad, or none of them."""
    return format_html('<span class="desk-tag {}">{}</span>', kind, text)


def when(field: str, description: Any) -> Callable[[Any, Any], SafeString | None]:
    """A list column with a time to the minute."""

    @display(description=description, ordering=field)
    def column(_admin: Any, row: Any) -> SafeString | None:
        at = getattr(row, field)
        return at and format_html("<time>{}</time>", date_format(localtime(at), "Y-m-d H:i"))

    return column


def link_to(row: Any, text: Any = None) -> SafeString:
    """A link to a row's page at the desk."""
    url = reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])
    return format_html('<a class="desk-link" href="{}">{}</a>', url, text or row)


class OwnRows(RelatedFieldListFilter):
    """A filter that offers only what the account may see."""

    def field_choices(
        self, field: Any, request: HttpRequest, model_admin: Any
    ) -> list[tuple[str, Any]]:
        ordering = self.field_admin_ordering(field, request, model_admin)
        admin = model_admin.admin_site._registry.get(field.remote_field.model)
        limit = {}
        if isinstance(admin, DeskAdmin) and not access.is_everywhere(request.user):
            limit = {"pk__in": list(admin.own_rows(request).values_list("pk", flat=True))}
        choices: list[tuple[str, Any]] = field.get_choices(
            include_blank=False, ordering=ordering, limit_choices_to=limit
        )
        return choices


class CappedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts and reaches so many rows; the page says where there are more."""

    template_name = "admin/pagination_capped.html"
    is_capped = False

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return len(rows)
        # By their keys alone: what a list shows beside its rows would be worked out for each.
        found = rows.order_by().values("pk")[: COUNTED + 1].count()
        self.is_capped = found > COUNTED
        return min(found, COUNTED)

    def page(self, number: Any) -> Page:  # type: ignore[type-arg]
        """Its keys first, and then its rows: those of all pages before it are not looked up."""
        rows = self.object_list
        if not isinstance(rows, QuerySet):
            return super().page(number)
        number = self.validate_number(number)
        first = (number - 1) * self.per_page
        last = min(first + self.per_page, self.count)
        keys = list(rows.values_list("pk", flat=True)[first:last])
        return Page(rows.filter(pk__in=keys), number, self)


class DeskAdmin(ModelAdmin):  # type: ignore[misc]
    """A page of the desk; its template gets what `page_context` returns.

    With `study_path`, the lookup from a row to its study, a role in that study decides who may do
    what; without, Django's own permissions do. Every change is noted in the audit log, and every
    look at a page, or a list, that has people's words.
    """

    list_per_page = 50
    paginator = CappedPaginator
    show_full_result_count = False
    compressed_fields = True
    warn_unsaved_form = True
    formfield_overrides: Any = {URLField: {"assume_scheme": "https"}}

    study_path = ""
    verbs: dict[str, access.Verb] = {
        "view": "read",
        "add": "change",
        "change": "change",
        "delete": "delete",
    }
    """What Django asks -> what `access` calls it."""
    page_has_words = False
    list_has_words = False

    class Media:
        css = {"all": ["refract/desk.css"]}

    # Who may

    def own(self, request: HttpRequest, rows: QuerySet[Any]) -> QuerySet[Any]:
        """Of some rows, those that the account may see."""
        if not self.study_path:
            return rows
        return access.scoped(rows, request.user, self.verbs["view"], self.study_path)

    def own_rows(self, request: HttpRequest) -> QuerySet[Any]:
        """Without anything added to them, as `get_queryset` may."""
        return self.own(request, self.model._default_manager.all())

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return self.own(request, super().get_queryset(request))

    def study_of(self, row: Any) -> int | None:
        """The key of a row's study."""
        if not self.study_path:
            return None
        *steps, last = self.study_path.split(LOOKUP_SEP)
        for step in steps:
            row = getattr(row, step)
        key = row.pk if last == "pk" else getattr(row, f"{last}_id")
        return None if key is None else int(key)

    def may(self, request: HttpRequest, what: str, row: Any = None) -> bool:
        verb = self.verbs[what]
        if row is None:
            return access.may_anywhere(request.user, verb)
        return access.may(request.user, verb, self.study_of(row))

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if self.study_path:
            return self.may(request, "view", obj) or self.has_change_permission(request, obj)
        return bool(super().has_view_permission(request, obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        if self.study_path:
            return self.may(request, "add")
        return bool(super().has_add_permission(request))

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if self.study_path:
            return self.may(request, "change", obj)
        return bool(super().has_change_permission(request, obj))

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        if self.study_path:
            return self.may(request, "delete", obj)
        return bool(super().has_delete_permission(request, obj))

    def has_module_permission(self, request: HttpRequest) -> bool:
        if self.study_path:
            return self.has_view_permission(request) or self.has_add_permission(request)
        return bool(super().has_module_permission(request))

    def get_list_filter(self, request: HttpRequest) -> list[Any]:
        return [self.own_filter(entry) for entry in super().get_list_filter(request)]

    def own_filter(self, entry: Any) -> Any:
        is_related = isinstance(entry, str) and field_of(self.model, entry).is_relation
        return (entry, OwnRows) if is_related else entry

    def formfield_for_foreignkey(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(
            db_field, request, **own_studies(db_field, request, kwargs)
        )

    def formfield_for_manytomany(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(
            db_field, request, **own_studies(db_field, request, kwargs)
        )

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        # A list with editable columns asks about all its rows at once.
        if change and not self.has_change_permission(request, obj):
            raise PermissionDenied
        super().save_model(request, obj, form, change)

    # What is noted

    def note(self, request: HttpRequest, verb: str, row: Any, **details: Any) -> None:
        audit.write(request.user, verb, row, self.study_of(row), **details)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self.note(request, "added", obj, **audit.fields_of(message))
        return super().log_addition(request, obj, message)

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> Any:
        self.note(request, "changed", obj, **audit.fields_of(message))
        return super().log_change(request, obj, message)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        for row in queryset:
            self.note(request, "deleted", row)
        return super().log_deletions(request, queryset)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        response: HttpResponse = super().changelist_view(request, extra_context)
        if self.list_has_words and isinstance(response, TemplateResponse):
            shown = (response.context_data or {}).get("cl")
            rows = shown.result_list if shown else ()
            keys = [(row.pk, self.study_of(row)) for row in rows]
            audit.saw_list(request.user, self.model, keys)
        return response

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        """Counted, where there are too many to list: Django would load a study's people one by
        one, to say that it cannot be deleted."""
        rows = list(objs)
        many = dependents(self.model, rows)
        if not many:
            found: tuple[Any, Any, Any, Any] = super().get_deleted_objects(rows, request)
            return found
        kept = [words for words, is_kept, _model in many if is_kept]
        gone = [words for words, is_kept, _model in many if not is_kept]
        admins = self.admin_site._registry
        needed = {
            model._meta.verbose_name
            for _words, is_kept, model in many
            if not is_kept and model in admins
            if not admins[model].has_delete_permission(request)
        }
        numbers = {self.opts.verbose_name_plural: len(rows)}
        # The page names what lacks a permission before it names what stands in the way.
        return [*map(str, rows), *gone], numbers, set() if kept else needed, kept

    def page_context(self, row: Any) -> dict[str, Any]:
        return {}

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context["original"]
        if row is not None:
            context |= self.page_context(row)
            if self.page_has_words and request.method == "GET":
                self.note(request, "saw", row)
        response: HttpResponse = super().render_change_form(request, context, *args, **kwargs)
        return response


class ReadOnlyAdmin(DeskAdmin):
    """Looking only."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class Veiled:
    """Mixed in where people's words are shown: what reviewers marked in them is covered.

    Rows of one page are changed in memory, and never saved: read-only pages alone.
    """

    person_path = "participant"
    """From a row to the participant; empty: it is one."""
    veiled: tuple[str, ...] = ()
    """Fields with their words."""
    search_fields: Sequence[str]

    def people_of(self, rows: Iterable[Any]) -> list[Participant]:
        return [follow(row, self.person_path) for row in rows]

    def veil(self, request: HttpRequest, rows: Sequence[Any]) -> Veil:
        people = {person.pk: person.study_id for person in self.people_of(rows)}
        found = Veil(request.user, people.items())
        for row, person in zip(rows, self.people_of(rows), strict=True):
            self.cover(found, person.pk, row)
        return found

    def cover(self, veil: Veil, person: int, row: Any) -> None:
        veil.row(person, row, *self.veiled)

    def get_object(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        row = super().get_object(request, *args, **kwargs)  # type: ignore[misc]
        if row is not None:
            row.veil = self.veil(request, [row])
            study = self.people_of([row])[0].study_id
            row.may_mark = access.may(request.user, "review", study)
        return row

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Without rows that only covered words would bring: a search must not tell them."""
        found, may_repeat = super().get_search_results(  # type: ignore[misc]
            request, queryset, search_term
        )
        if not search_term or not self.veiled:
            return found, may_repeat
        people = behind_the_veil(request.user)
        if not people:
            return found, may_repeat
        of_them = found.filter(**{f"{self.person_path}__in": people})
        rows = list(of_them.select_related(self.person_path))
        self.veil(request, rows)
        hidden = [row.pk for row in rows if not self.is_found(row, search_term)]
        return found.exclude(pk__in=hidden), may_repeat

    def is_found(self, row: Any, search_term: str) -> bool:
        """As Django searches: every word of the term stands in one of the fields."""
        fields = [name.lstrip("=^@") for name in self.search_fields]
        said = [str(follow(row, name)).casefold() for name in fields]
        wanted = [
            unescape_string_literal(word) if word[0] in QUOTES and word[0] == word[-1] else word
            for word in smart_split(search_term)
        ]
        return all(any(word.casefold() in text for text in said) for word in wanted)

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        shown = super().get_changelist_instance(request)  # type: ignore[misc]
        shown.result_list = list(shown.result_list)
        if self.veiled:
            self.veil(request, shown.result_list)
        return shown


def follow(row: Any, lookup: str) -> Any:
    """The row at the end of a lookup path."""
    for step in lookup.split(LOOKUP_SEP) if lookup else ():
        row = getattr(row, step)
    return row


def dependents(model: type[Model], rows: list[Any]) -> list[tuple[str, bool, type[Model]]]:
    """(words, whether they stand in the way, what they are) of rows that go with these, or keep
    them from going. Empty unless there are more of one kind than a page can list."""
    found = []
    is_many = False
    for relation in model._meta.related_objects:
        on_delete = getattr(relation, "on_delete", None)
        if on_delete not in (CASCADE, PROTECT, RESTRICT):
            continue
        other = relation.related_model
        number = other._base_manager.filter(**{f"{relation.field.name}__in": rows}).count()
        if number:
            words = f"{number} {other._meta.verbose_name_plural}"
            found.append((words, on_delete is not CASCADE, other))
            is_many = is_many or number > LISTED
    return found if is_many else []


def field_of(model: Any, lookup: str) -> Any:
    """The field at the end of a lookup path."""
    *steps, last = lookup.split(LOOKUP_SEP)
    for step in steps:
        model = model._meta.get_field(step).related_model
    return model._meta.get_field(last)


def own_studies(db_field: Any, request: HttpRequest, kwargs: dict[str, Any]) -> dict[str, Any]:
    """A form offers only studies that its reader may change."""
    if db_field.remote_field.model is not Study:
        return kwargs
    return {"queryset": access.studies(request.user, "change"), **kwargs}
