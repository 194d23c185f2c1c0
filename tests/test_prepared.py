"""Prepared queries find what the same queries find when they are written anew."""

from datetime import UTC, datetime
from typing import Any

import pytest
from django.core.exceptions import FieldDoesNotExist
from django.db import IntegrityError, connection, transaction
from django.db.models import Count, Exists, OuterRef, QuerySet
from django.test.utils import CaptureQueriesContext

from collection.models import Conversation
from surveys.models import Draft, Participant, Response, Study
from surveys.prepared import insert, prepared, prepared_delete, prepared_update

pytestmark = pytest.mark.django_db


@pytest.fixture
def people(study: Study) -> list[Participant]:
    people = [
        Participant.objects.create(study=study, instrument=study.instrument, language=language)
        for language in ("en", "de", "en")
    ]
    for person in people[:2]:
        Response.objects.create(participant=person, question="age", value={"choice": "18-24"})
    return people


def of_language(language: str, slug: str) -> QuerySet[Participant]:
    rows = Participant.objects.filter(language=language, study__slug=slug)
    return rows.select_related("study").only("language", "study__slug").order_by("-pk")


def with_counts(person: int) -> QuerySet[Participant]:
    mine = Response.objects.filter(participant=OuterRef("pk"))
    rows = Participant.objects.annotate(n=Count("responses"), has_any=Exists(mine))
    return rows.filter(pk=person)


def values(person: int) -> QuerySet[Response, Any]:
    return Response.objects.filter(participant=person).values("question", "value", "answered_at")


def listed(person: int, question: str) -> QuerySet[Response, Any]:
    rows = Response.objects.filter(participant__lte=person, participant__gte=person)
    return rows.filter(question=question).values_list("value", "is_shown")[:1]


def flat(person: int) -> QuerySet[Participant, Any]:
    return Participant.objects.exclude(pk=person).order_by("pk").values_list("seed", flat=True)


def test_it_works(people: list[Participant], study: Study) -> None:
    """Whole rows with what belongs to them, again and again, each with one query."""
    ask = prepared(of_language)
    for language in ("en", "de", "fr", "en"):
        expected = list(of_language(language, study.slug))
        with CaptureQueriesContext(
            connection,
        ) as queries:
            found = ask(language, study.slug)
            assert [row.study.slug for row in found] == [study.slug] * len(expected)
        assert found == expected
        assert len(queries) == 1
    assert ask("en", "another") == []
    assert ask("en", study.slug)[0].get_deferred_fields() == expected[0].get_deferred_fields()


@pytest.mark.parametrize("build", [values, flat])
def test_values(people: list[Participant], build: Any) -> None:
    ask = prepared(build)
    for person in people:
        assert ask(person.pk) == list(build(person.pk))


def test_annotations(people: list[Participant]) -> None:
    ask = prepared(with_counts)
    found = [(row.n, row.has_any) for person in people for row in ask(person.pk)]  # type: ignore[attr-defined]
    assert found == [(1, True), (1, True), (0, False)]


def test_a_value_may_stand_in_several_places(people: list[Participant]) -> None:
    ask = prepared(listed)
    assert ask(people[1].pk, "age") == [({"choice": "18-24"}, True)]
    assert ask(people[1].pk, "sex") == ask(people[2].pk, "age") == []


def test_rows_can_be_locked(people: list[Participant]) -> None:
    @prepared
    def lock(person: int) -> QuerySet[Participant]:
        return Participant.objects.select_for_update().filter(pk=person)

    for person in people:
        with transaction.atomic():
            assert lock(person.pk) == [person]
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        lock(people[0].pk)
    assert ("FOR UPDATE" in queries[0]["sql"]) == connection.features.has_select_for_update


def test_its_sql_is_written_once(people: list[Participant]) -> None:
    built = []

    @prepared
    def ask(person: int) -> QuerySet[Participant]:
        built.append(person)
        return Participant.objects.filter(pk=person)

    assert [ask(person.pk) for person in people] == [[person] for person in people]
    assert len(built) == 1


def test_a_value_is_never_part_of_the_sql(people: list[Participant], study: Study) -> None:
    ask = prepared(of_language)
    assert ask("en' OR '1'='1", study.slug) == []
    assert ask("%s", study.slug) == []


def test_a_value_that_would_be_changed_is_refused(study: Study) -> None:
    @prepared
    def like(text: str) -> QuerySet[Participant]:
        return Participant.objects.filter(language__icontains=text)

    with pytest.raises(TypeError, match="stand nowhere"):
        like("e")


def test_a_value_may_be_several(people: list[Participant]) -> None:
    @prepared
    def among(keys: tuple[int, ...], language: str) -> QuerySet[Participant]:
        return Participant.objects.filter(pk__in=keys, language=language).order_by("pk")

    first, second, third = (person.pk for person in people)
    for keys in ((first, second, third), (third,), (second, third), (), (third, third, first)):
        expected = [person for person in people if person.pk in keys and person.language == "en"]
        assert among(keys, "en") == expected


def test_values_that_are_missing_are_no_query(people: list[Participant]) -> None:
    with pytest.raises(ValueError, match="shorter"):
        prepared(of_language)("en")  # type: ignore[call-arg]


def test_small_numbers_have_a_place(people: list[Participant]) -> None:
    """A column of 16 bits equals no large number, which Django would know when it writes."""

    @prepared
    def numbered(number: int) -> QuerySet[Conversation]:
        return Conversation.objects.filter(number=number)

    assert numbered(1) == numbered(2) == []


@prepared_update
def answer(person: int, question: str) -> QuerySet[Response]:
    return Response.objects.filter(participant=person, question=question, is_shown=True)


def test_rows_can_be_changed(people: list[Participant]) -> None:
    """Values of any kind, as the rows then have them; how many rows there were."""
    at = datetime(2026, 2, 3, 4, 5, tzinfo=UTC)
    for value in ({"choice": "25-34"}, {"text": "50% or 'so'"}):
        assert answer(people[0].pk, "age", value=value, answered_at=at) == 1
        row = Response.objects.get(participant=people[0])
        assert (row.value, row.answered_at) == (value, at)
    assert Response.objects.get(participant=people[1]).value == {"choice": "18-24"}
    assert answer(people[0].pk, "sex", value={}) == answer(people[2].pk, "age", value={}) == 0


def test_a_value_can_be_taken_back(people: list[Participant]) -> None:
    @prepared_update
    def person(key: str) -> QuerySet[Participant]:
        return Participant.objects.filter(key=key)

    for at in (datetime(2026, 2, 3, 4, 5, tzinfo=UTC), None):
        assert person(people[0].key, stopped_at=at) == 1
        people[0].refresh_from_db()
        assert people[0].stopped_at == at


def test_a_change_is_one_statement_and_says_what_a_queryset_would(
    people: list[Participant],
) -> None:
    with CaptureQueriesContext(connection) as queries:
        rows = Response.objects.filter(participant=people[0], question="age", is_shown=True)
        rows.update(is_shown=False, value={"choice": "no"})
        answer(people[0].pk, "age", is_shown=False, value={"choice": "no"})
    django, ours = (query["sql"] for query in queries)
    assert django == ours


def test_a_change_of_what_is_no_field_is_refused(people: list[Participant]) -> None:
    with pytest.raises(FieldDoesNotExist):
        answer(people[0].pk, "age", colour="red")


@prepared_delete
def draft(person: int, page: str) -> QuerySet[Draft]:
    return Draft.objects.filter(participant=person, page=page)


def test_rows_can_be_deleted(people: list[Participant]) -> None:
    for person in people[:2]:
        for page in ("1", "2"):
            Draft.objects.create(participant=person, page=page, fields={})
    assert draft(people[0].pk, "2") == 1
    assert draft(people[0].pk, "2") == draft(people[2].pk, "1") == draft(people[0].pk, "%s") == 0
    left = Draft.objects.order_by("participant", "page").values_list("participant", "page")
    assert list(left) == [(people[0].pk, "1"), (people[1].pk, "1"), (people[1].pk, "2")]


def test_to_delete_is_one_statement(people: list[Participant]) -> None:
    with CaptureQueriesContext(connection) as queries:
        draft(people[0].pk, "1")
    assert [query["sql"].split()[0] for query in queries] == ["DELETE"]


def responses(person: Participant, values: list[Any]) -> list[Response]:
    return [
        Response(participant=person, question=f"q{number}", value=value)
        for number, value in enumerate(values)
    ]


def test_rows_can_be_added(people: list[Participant]) -> None:
    """With what their fields make of them; each has its key, and can be changed like any other."""
    values: list[Any] = [{"text": "50% or 'so'"}, {"choice": None}, {"choices": ["a", "b"]}]
    for number in (3, 1, 2, 3, 0):
        Response.objects.all().delete()
        made = insert(responses(people[2], values[:number]))
        kept = {row.pk: row for row in Response.objects.all()}
        assert [kept[row.pk].value for row in made] == values[:number]
        assert all(kept[row.pk].answered_at == row.answered_at for row in made)
        for row in made:
            row.question += " again"
            row.save()
        assert Response.objects.filter(question__endswith="again").count() == number


def test_rows_that_are_added_have_what_bulk_create_gives_them(people: list[Participant]) -> None:
    values: list[Any] = [{"choice": "x"}, {"choice": "y"}]
    ours = insert(responses(people[1], values))
    djangos = Response.objects.bulk_create(responses(people[2], values))
    fields = [f.attname for f in Response._meta.concrete_fields]
    same = [name for name in fields if name not in ("id", "participant_id", "answered_at")]
    for one, other in zip(ours, djangos, strict=True):
        rows = Response.objects.filter(pk__in=[one.pk, other.pk]).values(*same)
        assert rows[0] == rows[1]
        assert one._state.adding is other._state.adding is False
        assert one._state.db == other._state.db


def test_rows_are_added_with_one_statement(people: list[Participant]) -> None:
    with CaptureQueriesContext(connection) as queries:
        insert(responses(people[2], [{}, {}, {}]))
    assert [query["sql"].split()[0] for query in queries] == ["INSERT"]


def test_a_row_that_breaks_a_rule_is_refused(people: list[Participant]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        insert(responses(people[0], [{}]) + responses(people[0], [{}]))
