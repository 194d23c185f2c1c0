"""Queries and changes whose SQL is written once.

Django writes SQL anew each time. For four queries of a survey step that was a fifth of all that a
web process did.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import wraps
from inspect import signature
from itertools import chain, count
from typing import Any, NamedTuple, ParamSpec, TypeVar, get_args, get_origin

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Field, Model, QuerySet, TextField, Value
from django.db.models.sql import DeleteQuery, Query, UpdateQuery
from django.db.models.sql.compiler import SQLCompiler

P = ParamSpec("P")
Row = TypeVar("Row")
M = TypeVar("M", bound=Model)

PLACES: dict[type, Callable[[int], Any]] = {
    int: lambda number: 32_749 - number,
    str: lambda number: f"\ue000{number}\ue001",
}
"""Values that no query has. They show where in the SQL a parameter stands, and fit each column."""
KNOWN = ("select", "klass_info", "annotation_col_map", "col_count", "has_extra_select")
"""What a compiler has learnt of its columns once it has written; to read rows, Django needs it."""


class Written(NamedTuple):
    sql: str
    params: tuple[Any, ...]
    taken: dict[int, int]
    """Index of a parameter -> that of the value which stands there."""
    known: dict[str, Any]


class PreparedQuery(Query):
    """Not to be changed any more, only to be asked with other values."""

    written: Written
    values: list[Any]

    def get_compiler(self, *args: Any, **kwargs: Any) -> SQLCompiler:
        compiler: SQLCompiler = super().get_compiler(*args, **kwargs)
        sql, fixed, taken, known = self.written
        vars(compiler).update(known)
        params = tuple(with_values(fixed, taken, self.values))
        vars(compiler)["as_sql"] = lambda: (sql, params)
        return compiler


def prepared(build: Callable[P, QuerySet[Any, Row]]) -> Callable[P, list[Row]]:
    """Asks what `build` asks. The SQL is written when it is asked first.

    build: from parameters given by position, each int, str or, for `__in`, tuple[int | str, ...],
    to a queryset that compares something with them as they are. It is called once for each kind of
    database and each length of a tuple, so nothing else may decide what it builds; an empty tuple
    finds nothing. Raises TypeError then if the SQL has no place for a parameter.
    Numbers must fit their columns: Django, which knows that nothing equals one that is too large,
    is not asked again.
    """
    kinds = kinds_of(build)
    querysets: dict[Any, QuerySet[Any, Row]] = {}

    @wraps(build)
    def ask(*values: P.args, **_none: P.kwargs) -> list[Row]:
        if () in values:
            return []
        form = form_of(values)
        if form not in querysets:
            places = places_of(kinds, values)
            querysets[form] = write(build(*places), flat(places))  # type: ignore[call-arg]
        queryset = querysets[form].all()
        query = queryset.query
        assert isinstance(query, PreparedQuery)
        query.values = flat(values)
        return list(queryset)

    return ask


def kinds_of(build: Callable[..., Any]) -> list[Any]:
    return [one.annotation for one in signature(build, eval_str=True).parameters.values()]


def form_of(values: Iterable[Any]) -> tuple[Any, ...]:
    """What the SQL depends on."""
    lengths = (len(value) for value in values if isinstance(value, tuple))
    return (connections[DEFAULT_DB_ALIAS].vendor, *lengths)


def places_of(kinds: Iterable[Any], values: Iterable[Any]) -> list[Any]:
    number = count()

    def place(kind: Any, value: Any) -> Any:
        if get_origin(kind) is tuple:
            return tuple(place(get_args(kind)[0], each) for each in value)
        return PLACES[kind](next(number))

    return [place(kind, value) for kind, value in zip(kinds, values, strict=True)]


def flat(values: Iterable[Any]) -> list[Any]:
    several = (value if isinstance(value, tuple) else (value,) for value in values)
    return list(chain.from_iterable(several))


def write(queryset: QuerySet[Any, Row], places: list[Any]) -> QuerySet[Any, Row]:
    compiler = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
    sql, params = compiler.as_sql()
    taken = taken_by(params, places, sql)
    query: Any = queryset.query.chain(PreparedQuery)
    query.written = Written(sql, params, taken, {name: vars(compiler)[name] for name in KNOWN})
    vars(queryset)["_query"] = query  # the property would make values of a values_list
    return queryset


def taken_by(params: tuple[Any, ...], places: list[Any], sql: str) -> dict[int, int]:
    taken = {index: places.index(param) for index, param in enumerate(params) if param in places}
    if missing := {*range(len(places))} - {*taken.values()}:
        raise TypeError(f"parameters {missing} stand nowhere in {sql}")
    return taken


def with_values(params: Iterable[Any], taken: dict[int, int], values: list[Any]) -> list[Any]:
    """Parameters as `taken_by` knows them, with values where they are due."""
    filled = list(params)
    for index, value in taken.items():
        filled[index] = values[value]
    return filled


class WrittenUpdate(NamedTuple):
    sql: str
    params: tuple[Any, ...]
    fields: list["Field[Any, Any]"]
    """Of the first parameters, in order."""
    taken: dict[int, int]


def prepared_update(build: Callable[..., QuerySet[Any]]) -> Callable[..., int]:
    """Changes the rows of a table that `build`, as in `prepared`, finds; how many there were.

    Its parameters are given by position, new values (no expressions) by the names of their fields,
    as to a queryset's `update`.
    """
    kinds = kinds_of(build)
    updates: dict[tuple[Any, ...], WrittenUpdate] = {}

    @wraps(build)
    def update(*values: Any, **changes: Any) -> int:
        form = (*form_of(values), *changes)
        if form not in updates:
            places = places_of(kinds, values)
            updates[form] = write_update(build(*places), flat(places), list(changes))
        sql, fixed, fields, taken = updates[form]
        connection = connections[DEFAULT_DB_ALIAS]
        params = with_values(fixed, taken, flat(values))
        for index, (field, value) in enumerate(zip(fields, changes.values(), strict=True)):
            params[index] = field.get_db_prep_save(value, connection)
        with connection.cursor() as cursor:
            cursor.execute(sql, params)
            return int(cursor.rowcount)

    return update


def write_update(queryset: QuerySet[Any], places: list[Any], names: list[str]) -> WrittenUpdate:
    query: Any = queryset.query.chain(UpdateQuery)
    query.add_update_values({name: Value("", TextField()) for name in names})
    sql, params = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
    fields = [queryset.model._meta.get_field(name) for name in names]
    return WrittenUpdate(sql, params, fields, taken_by(params, places, sql))


def prepared_delete(build: Callable[P, QuerySet[Any]]) -> Callable[P, int]:
    """Deletes the rows that `build`, as in `prepared`, finds; how many there were.

    Rows of other tables must not refer to them: what else goes, or may not go, is not looked for.
    """
    kinds = kinds_of(build)
    deletes: dict[Any, tuple[str, tuple[Any, ...], dict[int, int]]] = {}

    @wraps(build)
    def delete(*values: P.args, **_none: P.kwargs) -> int:
        form = form_of(values)
        if form not in deletes:
            places = places_of(kinds, values)
            query: Any = build(*places).query.chain(DeleteQuery)  # type: ignore[call-arg]
            sql, params = query.get_compiler(DEFAULT_DB_ALIAS).as_sql()
            deletes[form] = (sql, params, taken_by(params, flat(places), sql))
        sql, fixed, taken = deletes[form]
        with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
            cursor.execute(sql, with_values(fixed, taken, flat(values)))
            return int(cursor.rowcount)

    return delete


class WrittenInsert(NamedTuple):
    sql: str
    fields: list["Field[Any, Any]"]
    """Of the parameters of each row, in order."""


_inserts: dict[tuple[str, type[Model], int], WrittenInsert] = {}


def insert(rows: Sequence[M]) -> list[M]:
    """The rows, new ones of one model, once they are in its table and have their keys.

    As `bulk_create`, in one statement: a few of them, with values that are no expressions.
    """
    if not rows:
        return []
    connection = connections[DEFAULT_DB_ALIAS]
    form = (connection.vendor, type(rows[0]), len(rows))
    if form not in _inserts:
        _inserts[form] = write_insert(type(rows[0]), len(rows))
    sql, fields = _inserts[form]
    params = [
        field.get_db_prep_save(field.pre_save(row, True), connection)
        for row in rows
        for field in fields
    ]
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        keys = cursor.fetchall()
    for row, (key,) in zip(rows, keys, strict=True):
        row.pk = key
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS
    return list(rows)


def write_insert(model: type[Model], rows: int) -> WrittenInsert:
    operations: Any = connections[DEFAULT_DB_ALIAS].ops
    table = model._meta
    fields = [field for field in table.concrete_fields if not field.primary_key]
    columns = ", ".join(operations.quote_name(field.column) for field in fields)
    values = operations.bulk_insert_sql(fields, [["%s"] * len(fields)] * rows)
    returned, _params = operations.return_insert_columns([table.pk])
    into = f"{operations.insert_statement()} {operations.quote_name(table.db_table)}"
    return WrittenInsert(f"{into} ({columns}) {values} {returned}", fields)
