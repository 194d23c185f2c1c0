"""Quota tables: how they stand, uploaded as CSV, changed."""

from collections.abc import Mapping
from typing import Any

from django.http import Http404
from django.utils.translation import gettext as _
from rest_framework import serializers
from rest_framework.response import Response

from collection.api.base import ApiView, described
from collection.api.errors import WHOLE
from collection.api.fields import Strict, Text, Whole, checked
from collection.api.once import once
from collection.api.pages import PageQuery, page, page_of
from collection.api.who import note, study_for
from surveys import quota_tables, quotas
from surveys.errors import DomainError
from surveys.models import QuotaClaim, QuotaTable, Study
from surveys.quota_forms import QuotaForm
from surveys.quota_tables import MOST_LETTERS, MOST_PLACES
from surveys.quotas import CellStand, TableStand

TAG = "Quotas"


class CellShown(serializers.Serializer):
    values = serializers.DictField(
        child=serializers.ListField(child=serializers.CharField()),
        help_text="Field -> what fits, one of a list; an empty list takes all.",
    )
    target = serializers.IntegerField()
    filled = serializers.IntegerField(help_text="Who finished.")
    in_progress = serializers.IntegerField()
    left = serializers.IntegerField()
    turned_away = serializers.IntegerField()


class QuotaShown(serializers.Serializer):
    """A table as it stands."""

    id = serializers.IntegerField()
    name = serializers.CharField()
    fields_ = serializers.ListField(child=serializers.CharField())
    others = serializers.ChoiceField(
        QuotaTable.Others.values, help_text="What becomes of people who fit no cell."
    )
    timeout_hours = serializers.IntegerField()
    payment = serializers.CharField(help_text="Of those who find no place.")
    version = serializers.IntegerField(help_text="Counts changes; a change names the one it saw.")
    people = serializers.ChoiceField(QuotaClaim.People.values)
    cells = CellShown(many=True)
    outside = serializers.IntegerField(help_text="People who fit no cell and took part.")

    def get_fields(self) -> dict[str, Any]:
        # `fields` is DRF's own name on the class, not in the data.
        found = super().get_fields()
        return {"fields" if name == "fields_" else name: field for name, field in found.items()}


def shown(stand: TableStand, people: str) -> dict[str, Any]:
    table = stand.table
    return {
        "id": table.pk,
        "name": table.name,
        "fields": table.fields,
        "others": table.others,
        "timeout_hours": table.timeout_hours,
        "payment": table.payment,
        "version": table.version,
        "people": people,
        "cells": [cell_shown(table, cell) for cell in stand.cells],
        "outside": stand.outside.reserved,
    }


def cell_shown(table: QuotaTable, stand: CellStand) -> dict[str, Any]:
    assert stand.cell is not None
    return {
        "values": {name: stand.cell.values[name] for name in table.fields},
        "target": stand.target,
        "filled": stand.filled,
        "in_progress": stand.in_progress,
        "left": stand.left,
        "turned_away": stand.turned_away,
    }


class QuotaSent(Strict):
    """A table: its settings, and its cells as CSV."""

    name = Text(max_length=100)
    csv = Text(
        max_length=MOST_LETTERS,
        help_text="Columns: the fields, and last `target` (people) or `share` (of `total`).",
    )
    total = Whole(
        required=False,
        allow_null=True,
        min_value=0,
        max_value=MOST_PLACES,
        help_text="People wanted in all: needed with shares; targets are checked by it.",
    )
    others = serializers.ChoiceField(QuotaTable.Others.values, default=QuotaTable.Others.ADMIT)
    timeout_hours = Whole(default=24, min_value=1, max_value=32767)
    payment = Text(required=False, allow_blank=True, max_length=100, default="")
    completion_code = Text(required=False, allow_blank=True, max_length=20, default="")


class QuotaChanged(QuotaSent):
    version = Whole(min_value=1, max_value=2**31 - 1, help_text="Of the table as you saw it.")


class QuotaQuery(Strict):
    people = serializers.ChoiceField(
        QuotaClaim.People.values,
        required=False,
        help_text="Each kind has all the places for itself; left out: those who came last.",
    )


class QuotaListQuery(PageQuery, QuotaQuery):
    pass


def stored(study: Study, values: Mapping[str, Any], table: QuotaTable | None) -> QuotaTable:
    """Raises ValidationError; DomainError if somebody changed it meanwhile, or people hold places
    that would be gone."""
    sent = {name: "" if value is None else value for name, value in values.items()}
    form = QuotaForm({**sent, "text": sent["csv"]}, study=study, instance=table)
    if not form.is_valid():
        raise serializers.ValidationError(problems(form))
    # Without a look at the form, which has filled the instance in already.
    row = QuotaTable.objects.get(pk=table.pk) if table else None
    return quota_tables.store(study, form.draft, form.settings, row, values.get("version"))


def problems(form: QuotaForm) -> dict[str, list[str]]:
    if form.problems:
        return {"csv": form.problems}
    names = {"__all__": WHOLE, "text": "csv"}
    return {names.get(name, name): list(map(str, said)) for name, said in form.errors.items()}


def stand_of(study: Study, key: int, people: str) -> dict[str, Any]:
    found = next((s for s in quotas.stand(study, people) if s.table.pk == key), None)
    if found is None:
        raise Http404
    return shown(found, people)


def kind_of(study: Study, query: Mapping[str, Any]) -> str:
    return query.get("people") or quotas.kinds_of_people(study)[0]


class Quotas(ApiView):
    @described(
        "quotas_list",
        "A study's quota tables as they stand",
        page_of(QuotaShown),
        tag=TAG,
        query=QuotaListQuery,
    )
    def get(self, request: Any, slug: str) -> Response:
        study = study_for(request, slug, "read")
        query = checked(QuotaListQuery, request.query_params.dict())
        people = kind_of(study, query)
        stands = {stand.table.pk: stand for stand in quotas.stand(study, people)}
        rows = QuotaTable.objects.filter(study=study, pk__in=stands)
        return page(request, rows, query, lambda row: shown(stands[row.pk], people))

    @described(
        "quotas_create",
        "Upload a table",
        QuotaShown,
        tag=TAG,
        said="All of it or, with every problem named by line and column, nothing. The same sent "
        "twice is stored once.",
        sent=QuotaSent,
        number=201,
        is_kept=True,
    )
    def post(self, request: Any, slug: str) -> Response:
        study = study_for(request, slug, "change")
        return once(request, lambda: self.store(request, study))

    def store(self, request: Any, study: Study) -> Response:
        values = checked(QuotaSent, request.data)
        table = stored(study, values, None)
        note(request, "added", table, study, note="Uploaded")
        return Response(stand_of(study, table.pk, kind_of(study, {})), status=201)


class OneQuota(ApiView):
    @described("quotas_read", "One table as it stands", QuotaShown, tag=TAG, query=QuotaQuery)
    def get(self, request: Any, slug: str, key: int) -> Response:
        study = study_for(request, slug, "read")
        query = checked(QuotaQuery, request.query_params.dict())
        return Response(stand_of(study, key, kind_of(study, query)))

    @described(
        "quotas_change",
        "Change a table",
        QuotaShown,
        tag=TAG,
        said="Refused with `changed` if somebody else has changed it since the version you saw, "
        "and with `held` if people hold places that would be gone.",
        sent=QuotaChanged,
        is_kept=True,
    )
    def put(self, request: Any, slug: str, key: int) -> Response:
        study = study_for(request, slug, "change")
        return once(request, lambda: self.store(request, study, key))

    def store(self, request: Any, study: Study, key: int) -> Response:
        values = checked(QuotaChanged, request.data)
        table = study.quotas.filter(pk=key).first()
        if table is None:
            raise Http404
        try:
            row = stored(study, values, table)
        except DomainError as error:
            raise told(error) from error
        note(request, "changed", row, study)
        return Response(stand_of(study, key, kind_of(study, {})))


def told(error: DomainError) -> DomainError:
    """Without the desk's “below is how it stands now”."""
    if error.code != "changed":
        return error
    words = _("Somebody has changed this table since the version you saw. Read it again.")
    return DomainError("changed", words)
