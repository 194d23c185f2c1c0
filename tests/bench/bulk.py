"""Many rows into the database, without a model instance for each: COPY, or one INSERT for all."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from typing import Any

from django.core.management.color import no_style
from django.db import connection, models, transaction
from django.db.models import Field, JSONField, Model

Values = Mapping[str, Any]
"""Attribute -> value, as an instance would have it; what is not named has its default."""
Rows = Mapping[type[Model], list[Values]]


class Json(str):
    """A value of a JSON column that is text already."""


class Table:
    """How rows of a model are written."""

    def __init__(self, model: type[Model]) -> None:
        self._fields = [(f.attname, converter(f)) for f in model._meta.concrete_fields]
        self._defaults = {f.attname: f.get_default() for f in model._meta.concrete_fields}
        self.name = connection.ops.quote_name(model._meta.db_table)
        columns = (f.column for f in model._meta.concrete_fields if f.column)
        self.columns = ", ".join(map(connection.ops.quote_name, columns))

    def row(self, values: Values) -> tuple[Any, ...]:
        if unknown := values.keys() - self._defaults.keys():
            raise TypeError(f"{self.name} has no {', '.join(sorted(unknown))}")
        whole = {**self._defaults, **values}
        return tuple(convert(whole[name]) for name, convert in self._fields)

    def insert(self, rows: Iterable[Values]) -> None:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                with cursor.copy(f"COPY {self.name} ({self.columns}) FROM STDIN") as copy:
                    for values in rows:
                        copy.write_row(self.row(values))
            else:
                marks = ", ".join("%s" for _field in self._fields)
                statement = f"INSERT INTO {self.name} ({self.columns}) VALUES ({marks})"
                cursor.executemany(statement, [self.row(values) for values in rows])


def converter(field: "Field[Any, Any]") -> Callable[[Any], Any]:
    if isinstance(field, JSONField):
        return as_json
    if isinstance(field, models.DateTimeField) and connection.vendor == "sqlite":
        return as_text
    if isinstance(field, models.DecimalField | models.DateField):
        return lambda value: field.get_db_prep_save(value, connection)
    return lambda value: value


def as_json(value: Any) -> str | None:
    return value if value is None or isinstance(value, Json) else json.dumps(value)


def as_text(moment: datetime | None) -> str | None:
    """As Django writes it to SQLite."""
    return None if moment is None else moment.isoformat(" ")[:-6]


@cache
def table_of(model: type[Model]) -> Table:
    return Table(model)


@contextmanager
def unchecked() -> Iterator[None]:
    """One transaction. References are believed, on Postgres: checking millions takes minutes."""
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL session_replication_role = replica")
        yield


def write(batches: Iterable[Rows]) -> None:
    """Rows come with their ids, which later rows continue."""
    written: dict[type[Model], None] = {}
    with unchecked():
        for batch in batches:
            for model, rows in batch.items():
                table_of(model).insert(rows)
                written[model] = None
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), list(written)):
                cursor.execute(statement)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    table_of.cache_clear()
