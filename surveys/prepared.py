"""Queries whose SQL is written once.

Django writes a query's SQL anew each time it is asked. For four queries of a survey step that was
a fifth of all that a web process did.
"""

from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any, NamedTuple, ParamSpec, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import QuerySet
from django.db.models.sql import Query
from django.db.models.sql.compiler import SQLCompiler

P = ParamSpec("P")
Row = TypeVar("Row")

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
    values: tuple[Any, ...]

    def get_compiler(self, *args: Any, **kwargs: Any) -> SQLCompiler:
        compiler: SQLCompiler = super().get_compiler(*args, **kwargs)
        sql, fixed, taken, known = self.written
        vars(compiler).update(known)
        params = list(fixed)
        for index, value in taken.items():
            params[index] = self.values[value]
        vars(compiler)["as_sql"] = lambda: (sql, tuple(params))
        return compiler


def prepared(build: Callable[P, QuerySet[Any, Row]]) -> Callable[P, list[Row]]:
    """Asks what `build` asks. The SQL is written when it is asked first.

    build: from parameters, each int or str and given by position, to a queryset that compares
    something with them as they are. It is called once for each kind of database, so nothing else
    may decide what it builds. Raises TypeError then if the SQL has no place for a parameter.
    Numbers must fit their columns: Django, which knows that nothing equals one that is too large,
    is not asked again.
    """
    parameters = signature(build, eval_str=True).parameters.values()
    places = [PLACES[one.annotation](number) for number, one in enumerate(parameters)]
    querysets: dict[str, QuerySet[Any, Row]] = {}

    @wraps(build)
    def ask(*values: P.args, **_none: P.kwargs) -> list[Row]:
        vendor = connections[DEFAULT_DB_ALIAS].vendor
        if vendor not in querysets:
            querysets[vendor] = write(build(*places), places)  # type: ignore[call-arg]
        queryset = querysets[vendor].all()
        query = queryset.query
        assert isinstance(query, PreparedQuery)
        query.values = values
        return list(queryset)

    return ask


def write(queryset: QuerySet[Any, Row], places: list[Any]) -> QuerySet[Any, Row]:
    compiler = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
    sql, params = compiler.as_sql()
    taken = {index: places.index(param) for index, param in enumerate(params) if param in places}
    if missing := {*range(len(places))} - {*taken.values()}:
        raise TypeError(f"parameters {missing} stand nowhere in {sql}")
    query: Any = queryset.query.chain(PreparedQuery)
    query.written = Written(sql, params, taken, {name: vars(compiler)[name] for name in KNOWN})
    vars(queryset)["_query"] = query  # the property would make values of a values_list
    return queryset
