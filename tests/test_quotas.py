"""Quotas: a place is taken once its fields are known, and never more places than there are."""

import asyncio
import itertools
import random
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from collection import conversations
from collection.export.selection import select
from config import chores
from surveys import quota_tables, quotas
from surveys.errors import DomainError
from surveys.instruments.load import keep, parse
from surveys.models import (
    Participant,
    QuotaCell,
    QuotaClaim,
    QuotaTable,
    Recruitment,
    Study,
    Submission,
)
from surveys.quota_tables import TableError
from surveys.statuses import learn
from tests.bench.http import Browser, Page
from tests.cast import set_protocol
from tests.drafts import page, single
from tests.drafts import text as instrument_text
from tests.servers import Refract
from tests.talkers import TOKEN
from tests.walk import Person

State, Why = QuotaClaim.State, QuotaClaim.Why
GENDERS = ("female", "male", "other", "prefer_not_to_say")
COUNTRIES = {"code": "home", "type": "country", "text": "Where do you live?"}
AGE = {"code": "years", "type": "number", "text": "How old are you?", "minimum": 18}
MOOD = {
    "code": "mood",
    "type": "ordinal",
    "text": "How are you?",
    "points": [{"code": code, "label": code.title()} for code in ("low", "fair", "high")],
}
WORDS = {"code": "faith", "type": "text", "text": "What do you believe in?"}
FREE = single("roots", "own", "prefer_not_to_say", self_describe="own")
OWN = single("pronoun", "she", "he", "own", self_describe="own")
ASKED = (
    page("you", single("gender", *GENDERS), COUNTRIES),
    page("more", AGE, MOOD),
    page("words", WORDS, FREE, OWN),
)


@pytest.fixture
def survey(study: Study) -> Study:
    """A survey of three pages: gender and country; age and mood; what people write themselves."""
    row = keep(parse("draft.yaml", instrument_text(*ASKED)))
    Study.objects.update(instrument=row)
    study.refresh_from_db()
    return study


def table_of(study: Study, csv: str, total: int | None = None, **settings: Any) -> QuotaTable:
    draft = quota_tables.read(csv, study.instrument.file, total)
    return quota_tables.store(study, draft, {"name": "Table", **settings})


def problems(study: Study, csv: str, total: int | None = None) -> list[str]:
    with pytest.raises(TableError) as refused:
        quota_tables.read(csv, study.instrument.file, total)
    return refused.value.problems


numbers = itertools.count(1)


def arrived(study: Study, **link: str) -> Person:
    person = Person(study, PROLIFIC_PID=f"p{next(numbers)}", **link)
    person.consent()
    return person


def you(person: Person, gender: str = "female", home: str = "GBR") -> Any:
    return person.post("survey/you/", {"gender": gender, "home": home})


def more(person: Person, years: int = 30, mood: str = "fair") -> Any:
    return person.post("survey/more/", {"years": years, "mood": mood})


def words(person: Person) -> Any:
    return person.post(
        "survey/words/", {"faith": "Tea", "roots": "own", "roots_text": "Kent", "pronoun": "she"}
    )


def place(response: Any) -> str:
    """Where a page led: the last word of its address."""
    return str(response.request["PATH_INFO"]).strip("/").rpartition("/")[2]


def states(study: Study) -> list[tuple[str, str]]:
    rows = QuotaClaim.objects.filter(table__study=study).order_by("pk")
    return list(rows.values_list("state", "why"))


@pytest.mark.django_db
def test_it_works(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,1\nmale,1")
    alice = arrived(survey)
    assert states(survey) == []
    assert place(you(alice)) == "more"
    claim = QuotaClaim.objects.get()
    assert (str(claim.cell), claim.state, claim.people) == ("female", "claimed", "live")
    carol = arrived(survey)
    assert place(you(carol)) == "screened"
    assert place(you(arrived(survey), "male")) == "more"
    more(alice)
    assert place(words(alice)) == "done"
    assert states(survey) == [("confirmed", ""), ("released", "full"), ("claimed", "")]


@pytest.mark.django_db
def test_a_place_is_taken_at_consent_where_the_link_tells_all(survey: Study) -> None:
    table_of(survey, "link.Gender,target\nFemale,1")
    alice, bea = (
        Person(survey, PROLIFIC_PID="a", gender="female"),
        Person(survey, PROLIFIC_PID="b", gender=" FEMALE "),
    )
    assert place(alice.consent()) == "you"
    assert place(bea.consent()) == "screened"
    assert bea.row.screen_reason == "quota"


@pytest.mark.django_db
def test_consenting_twice_takes_one_place(survey: Study) -> None:
    table_of(survey, "link.gender,target\nfemale,2")
    alice = arrived(survey, gender="female")
    alice.post("consent/", {"consent_age": "on", "consent": "on"})
    assert states(survey) == [("claimed", "")]


@pytest.mark.django_db
def test_the_database_keeps_one_place_per_person_and_table(survey: Study) -> None:
    table = table_of(survey, "gender,target\nfemale,2")
    alice = arrived(survey).row
    row: Any = {"participant": alice, "table": table, "people": "live", "state": "claimed"}
    QuotaClaim.objects.create(**row)
    with pytest.raises(IntegrityError), transaction.atomic():
        QuotaClaim.objects.create(**row)


@pytest.mark.django_db
def test_joint_cells_wait_for_all_their_fields(survey: Study) -> None:
    table_of(survey, "gender,home,years,link.panel,target\nfemale,GBR|USA,25-34,a,1\n*,*,35+,,1")
    alice = arrived(survey, panel="A")
    you(alice)
    assert states(survey) == []
    assert place(more(alice, 34)) == "words"
    bea = arrived(survey, panel="a")
    you(bea, home="USA")
    assert place(more(bea, 25)) == "screened"
    zoe = arrived(survey, panel="z")
    you(zoe, "male", "ZAF")
    assert place(more(zoe, 70)) == "words"


@pytest.mark.django_db
@pytest.mark.parametrize(("others", "led"), [("admit", "more"), ("screen", "screened")])
def test_people_who_fit_no_cell(survey: Study, others: str, led: str) -> None:
    table_of(survey, "gender,target\nfemale,1", others=others)
    people = [arrived(survey) for _person in range(2)]
    assert [place(you(person, "other")) for person in people] == [led, led]
    assert set(QuotaClaim.objects.values_list("cell", flat=True)) == {None}
    shown = people[0].get().content.decode()
    assert ("you are in none of them" in shown) == (others == "screen")


@pytest.mark.django_db
def test_declining_to_say_is_an_answer_of_its_own(survey: Study) -> None:
    table_of(survey, "gender,target\nprefer_not_to_say,1\n")
    assert place(you(arrived(survey), "prefer_not_to_say")) == "more"
    assert place(you(arrived(survey), "prefer_not_to_say")) == "screened"


@pytest.mark.django_db
def test_a_place_in_each_of_two_tables_or_in_none(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,2\nmale,2", name="Gender")
    table_of(survey, "mood,target\nlow,9\nfair,1\nhigh,9", name="Mood")
    alice, bea = arrived(survey), arrived(survey)
    for person in (alice, bea):
        you(person)
    assert place(more(alice)) == "words"
    assert place(more(bea)) == "screened"
    assert states(survey) == [
        ("claimed", ""),
        ("released", "elsewhere"),
        ("claimed", ""),
        ("released", "full"),
    ]
    assert place(you(arrived(survey))) == "more"  # the place that bea held is free again


@pytest.mark.django_db
def test_a_changed_answer_changes_the_place(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,1\nmale,1")
    alice, bob = arrived(survey), arrived(survey)
    you(alice)
    you(alice, "male")
    assert str(QuotaClaim.objects.get().cell) == "male"
    assert place(you(bob, "male")) == "screened"
    assert place(you(arrived(survey))) == "more"
    assert place(you(alice)) == "screened"


@pytest.mark.django_db
def test_the_page_is_kind_says_of_pay_and_comes_again(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,0\nmale,5", payment="£0.15", completion_code="FULL1")
    alice = arrived(survey)
    shown = you(alice).content.decode()
    assert "Thank you for coming." in shown
    assert "You are paid £0.15 for the time you gave." in shown
    assert "https://recruiter.example/done?cc=FULL1" in shown
    before = QuotaClaim.objects.values().get()
    for address in ("next/", "survey/more/", "screened/", ""):
        assert "£0.15" in alice.get(address).content.decode()
    assert QuotaClaim.objects.values().get() == before


@pytest.mark.django_db
def test_without_pay_the_submission_is_returned(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,0")
    shown = you(arrived(survey)).content.decode()
    assert "We are sorry that we can’t pay for this visit." in shown
    assert "https://recruiter.example/return" in shown


@pytest.mark.django_db
def test_who_was_turned_away_is_not_released(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,0\nmale,1")
    you(arrived(survey))
    bob = arrived(survey)
    you(bob, "male")
    more(bob)
    words(bob)
    found = select(survey)
    assert [user.pk for user in found.users] == [bob.row.pk]
    assert found.people_left_out == {"no place left in a quota": 1}


@pytest.mark.django_db
@pytest.mark.parametrize("way", ["stop", "withdraw", "reject", "return"])
def test_who_leaves_gives_the_place_back(survey: Study, way: str) -> None:
    table_of(survey, "gender,target\nfemale,1")
    alice = arrived(survey)
    you(alice)
    if way in ("stop", "withdraw"):
        alice.post("stop/", {"withdraw": "on"} if way == "withdraw" else {})
    elif way == "return":
        quotas.release(alice.row, Why.RETURNED)
    else:
        more(alice)
        words(alice)
        Participant.objects.filter(pk=alice.row.pk).update(rejected_at=timezone.now())
        chores.do("quotas")
    assert not QuotaClaim.objects.held().exists()
    assert QuotaClaim.objects.count() == (0 if way == "withdraw" else 1)
    assert place(you(arrived(survey))) == "more"


@pytest.mark.django_db
def test_who_fails_a_check_gives_the_place_back(survey: Study) -> None:
    check = single(
        "task",
        "rate",
        "buy",
        type="comprehension",
        correct=["rate"],
        attempts=1,
        explanation="You rate.",
    )
    row = keep(parse("draft.yaml", instrument_text(ASKED[0], page("check", check))))
    Study.objects.update(instrument=row)
    survey.refresh_from_db()
    table_of(survey, "gender,target\nfemale,1")
    alice = arrived(survey)
    you(alice)
    assert place(alice.post("survey/check/", {"task": "buy"})) == "screened"
    assert states(survey) == [("released", "check")]
    assert (alice.row.screen_reason, "in the same way" in alice.get().content.decode()) == (
        "check",
        True,
    )


@pytest.mark.django_db
def test_a_place_is_given_away_after_a_time(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,1", timeout_hours=2)
    alice = arrived(survey)
    you(alice)
    age(alice, hours=1)
    chores.do("quotas")
    assert states(survey) == [("claimed", "")]
    age(alice, hours=2)
    assert quotas.lapse() == 1
    assert quotas.lapse() == 0
    assert states(survey) == [("released", "timeout")]


@pytest.mark.django_db
def test_who_comes_back_takes_a_place_again(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,1")
    alice = arrived(survey)
    you(alice)
    age(alice, hours=25)
    quotas.lapse()
    assert place(more(alice)) == "words"
    assert states(survey) == [("claimed", "")]
    assert alice.row.lapsed_at is None
    assert quotas.lapse() == 0


@pytest.mark.django_db
@pytest.mark.parametrize(("word", "why"), [("RETURNED", "returned"), ("TIMED-OUT", "timeout")])
def test_a_submission_that_is_given_up_frees_its_place(
    survey: Study,
    word: str,
    why: str,
    django_capture_on_commit_callbacks: Any,
) -> None:
    table_of(survey, "gender,target\nfemale,1")
    alice = arrived(survey)
    you(alice)
    recruitment = Recruitment.objects.create(study=survey, name="UK")
    one, two = (
        Submission.objects.create(recruitment=recruitment, participant=alice.row, external_id=key)
        for key in ("one", "two")
    )
    with django_capture_on_commit_callbacks(execute=True):
        learn(one, word, timezone.now())
    assert states(survey) == [("claimed", "")]  # they came again
    with django_capture_on_commit_callbacks(execute=True):
        learn(two, word, timezone.now())
    assert states(survey) == [("released", why)]
    assert place(more(alice)) == "words"
    assert states(survey) == [("claimed", "")]


@pytest.mark.django_db
def test_who_comes_back_too_late_is_told_kindly(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,1")
    alice = arrived(survey)
    you(alice)
    more(alice)
    Participant.objects.filter(pk=alice.row.pk).update(survey_finished_at=timezone.now())
    age(alice, hours=25)
    quotas.lapse()
    assert place(you(arrived(survey))) == "more"
    shown = alice.get()
    assert place(shown) == "screened"
    assert "Thank you for coming back." in shown.content.decode()
    assert alice.row.screen_reason == "lapsed"
    assert select(survey).users == []
    assert select(survey).people_left_out["stayed away and found no place left in a quota"] == 1


def age(person: Person, hours: int) -> None:
    """Let the time since everything that a person did be longer by so much."""
    by, row = timedelta(hours=hours), person.row
    Participant.objects.filter(pk=row.pk).update(arrived_at=row.arrived_at - by)
    for visit in row.pages.all():
        visit.shown_at -= by
        visit.sent_at = visit.sent_at and visit.sent_at - by
        visit.save()
    for claim in row.quota_claims.exclude(claimed_at=None):
        claim.claimed_at = timezone.now() - by
        claim.save()
    row.drafts.all().delete()


@pytest.mark.django_db
def test_pilot_and_simulated_people_have_places_of_their_own(survey: Study) -> None:
    table_of(survey, "gender,target\nfemale,1")
    Study.objects.update(state="pilot")
    assert place(you(arrived(survey))) == "more"
    assert place(you(arrived(survey))) == "screened"
    Study.objects.update(state="live")
    assert place(you(arrived(survey))) == "more"
    assert place(you(arrived(survey))) == "screened"
    assert quotas.kinds_of_people(survey) == ["live", "pilot"]


# Reading tables


def test_shares_are_rounded_so_that_they_add_up() -> None:
    thirds = [Decimal("33.3")] * 3
    assert quota_tables.shared_out(10, thirds) == [4, 3, 3]
    assert quota_tables.shared_out(7, [Decimal(s) for s in ("0.5", "0.25", "0.25")]) == [3, 2, 2]
    draw = random.Random(7)
    for total in range(60):
        shares = [Decimal(draw.randint(1, 999)) / 1000 for _cell in range(draw.randint(1, 20))]
        parts = quota_tables.shared_out(total, shares)
        exact = [share * total / sum(shares) for share in shares]
        assert sum(parts) == total
        assert all(abs(part - share) < 1 for part, share in zip(parts, exact, strict=True))


@pytest.mark.django_db
def test_a_table_from_census_shares(survey: Study) -> None:
    table = table_of(
        survey,
        "\ufeffgender;home;share\nFemale;Germany;50,6".replace(",", ".") + "\nmale;DE;49.4 %\n",
        total=501,
    )
    assert [(cell.values, cell.target) for cell in table.cells.all()] == [
        ({"gender": ["female"], "home": ["DEU"]}, 254),
        ({"gender": ["male"], "home": ["DEU"]}, 247),
    ]


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("csv", "said"),
    [
        ("", "The table is empty"),
        ("gender,target\n", "there is no line"),
        ("gender,number\nfemale,1", "Line 1, column 2: “number” stands here; expected target"),
        ("target\n3", "Line 1, column 1: expected at least one field before it"),
        ("gendr,target\nfemale,1", "Line 1, column 1: “gendr”: expected the code of a question"),
        ("gendr,target\nfemale,1", "did you mean gender?"),
        ("gender,gender,target\nfemale,,1", "Line 1, column 2: “gender” stands here twice"),
        (
            "gender,target\nfemal,1",
            "Line 2, column 1: gender “femal”: expected one of female, male",
        ),
        ("gender,target\nfemal,1", "did you mean female?"),
        ("gender,home,target\nmale,Atlantis,1", "Line 2, column 2: home “Atlantis”: expected a c"),
        ("years,target\nyoung,1", "expected a number or a band such as 18-24"),
        ("years,target\n24-18,1", "expected the smaller number of a band first"),
        ("gender,target\nfemale,1.5", "Line 2, column 2: “1.5”: expected a whole number"),
        ("gender,target\nfemale,-1", "expected a whole number of people"),
        ("gender,target\nfemale,many", "expected a whole number of people"),
        ("gender,target\nfemale,NaN", "expected a whole number of people"),
        ("gender,share\nfemale,half", "expected a share such as 0.125 or 12.5"),
        ("gender,target\nfemale", "Line 2: 1 columns; expected 2, as in the first line"),
        ("gender,target\nfemale,1\nmale|female,2", "Line 2 and line 3 take the same people"),
        ("years,target\n18-24,1\n\n24-30,2", "Line 2 and line 4 take the same people"),
        ("gender,target\nfemale,1\n*,2", "Line 2 and line 3 take the same people"),
        ('gender,target\n"female,1', "Line 2: "),
        ("gender,target\nfemale,1\0", "expected a CSV file"),
        ("faith,target\nTea,1", "“faith”: people type this in their own words"),
        ("roots,target\nKent,1", "“roots”: people type this in their own words"),
        ("pronoun,target\nown,1", "pronoun “own”: people type this in their own words"),
        ("link.,target\nx,1", "write the parameter's name after it"),
        ("gender,target\n" + "female,1\n" * 1001, "more than 1000 lines"),
    ],
)
def test_a_wrong_table_says_where_and_what_was_expected(survey: Study, csv: str, said: str) -> None:
    assert said in "\n".join(problems(survey, csv))
    assert not QuotaTable.objects.exists()


@pytest.mark.django_db
def test_every_problem_is_named_at_once(survey: Study) -> None:
    assert len(problems(survey, "gender,home,target\nfemal,Atlantis,x\nmale,GBR,1,2")) == 4


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("csv", "total", "said"),
    [
        ("gender,target\nfemale,240\nmale,240", 500, "The targets add up to 480; expected 500"),
        ("gender,share\nfemale,50\nmale,47.3", 500, "The shares add up to 97.3; expected 1 or 100"),
        ("gender,share\nfemale,0.5\nmale,0.4", 500, "The shares add up to 0.9; expected 1 or 100"),
        ("gender,share\nfemale,50\nmale,50", None, "Shares need a total"),
    ],
)
def test_a_table_that_does_not_add_up(
    survey: Study, csv: str, total: int | None, said: str
) -> None:
    assert said in "\n".join(problems(survey, csv, total))


@pytest.mark.django_db
def test_prism_s_typed_identities_are_refused(study: Study) -> None:
    assert "in their own words" in problems(study, "ethnicity,target\nWhite,10")[0]
    assert "in their own words" in problems(study, "gender,target\nself_describe,1")[0]
    table_of(study, "gender,link.ethnicity,age,target\nFemale,Black,18-24 years old,10")


# Changing tables


@pytest.mark.django_db
def test_uploading_again_keeps_the_places(survey: Study) -> None:
    table = table_of(survey, "gender,target\nfemale,1\nmale,3")
    alice = arrived(survey)
    you(alice)
    new = quota_tables.read("gender,target\nother,4\nfemale,2\n", survey.instrument.file, None)
    quota_tables.store(survey, new, {"name": "Table"}, table, table.version)
    cells = {str(cell): cell.target for cell in table.cells.all()}
    assert cells == {"other": 4, "female": 2}
    assert str(QuotaClaim.objects.get().cell) == "female"
    again = quota_tables.store(survey, new, {"name": "Table"}, table, table.version)
    assert again.version == 2


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("csv", "code"), [("gender,target\nmale,1", "held"), ("home,target\nGBR,1", "fields")]
)
def test_held_places_cannot_go(survey: Study, csv: str, code: str) -> None:
    table = table_of(survey, "gender,target\nfemale,1\nmale,3")
    you(arrived(survey))
    new = quota_tables.read(csv, survey.instrument.file, None)
    with pytest.raises(DomainError) as refused:
        quota_tables.store(survey, new, {"name": "Table"}, table, 1)
    assert refused.value.code == code
    assert QuotaCell.objects.count() == 2
    assert QuotaTable.objects.get().version == 1


@pytest.mark.django_db
def test_two_researchers_do_not_undo_each_other(survey: Study) -> None:
    table = table_of(survey, "gender,target\nfemale,1")
    cell = table.cells.get()
    quota_tables.set_targets(table, {cell.pk: 5}, 1)
    quota_tables.set_targets(table, {cell.pk: 5}, 1)  # a second click
    with pytest.raises(DomainError, match="Somebody else has changed"):
        quota_tables.set_targets(table, {cell.pk: 9}, 1)
    assert table.cells.get().target == 5


@pytest.mark.django_db
def test_more_places_let_more_people_in(survey: Study) -> None:
    table = table_of(survey, "gender,target\nfemale,1")
    assert [place(you(arrived(survey))) for _person in range(2)] == ["more", "screened"]
    quota_tables.set_targets(table, {table.cells.get().pk: 2}, 1)
    assert [place(you(arrived(survey))) for _person in range(2)] == ["more", "screened"]


@pytest.mark.django_db
def test_what_does_not_add_up_is_said(survey: Study, study: Study) -> None:
    table_of(survey, "gender,target\nfemale,1", name="Gender")
    assert quota_tables.problems(survey) == []
    table_of(survey, "mood,target\nlow,2", name="Mood")
    assert "different numbers of people: Gender 1, Mood 2" in quota_tables.problems(survey)[0]


@pytest.mark.django_db
def test_how_late_somebody_can_be_turned_away(survey: Study) -> None:
    assert quotas.minutes_until_known(survey) == 0
    table_of(survey, "link.gender,target\nfemale,1", name="Link")
    assert quotas.minutes_until_known(survey) == 0
    table_of(survey, "gender,target\nfemale,1", name="Gender")
    first = quotas.minutes_until_known(survey)
    table_of(survey, "mood,target\nlow,1", name="Mood")
    assert 0 < first < quotas.minutes_until_known(survey) < 3


@pytest.mark.django_db
def test_prism_knows_late(study: Study) -> None:
    """Its demographics stand at the survey's end: what readiness warns of."""
    table_of(study, "gender,target\nfemale,1")
    assert quotas.minutes_until_known(study) > 3


@pytest.mark.django_db
def test_without_tables_nothing_is_asked(survey: Study, django_assert_num_queries: Any) -> None:
    row = arrived(survey).row
    with django_assert_num_queries(1):
        quotas.claim(row, {})
    set_protocol(survey, conversations_in_all={})
    with django_assert_num_queries(0):
        conversations.closed_types(row)


# Conversation types


@pytest.mark.django_db
def test_a_full_type_is_offered_no_more(study: Study) -> None:
    set_protocol(study, conversations_in_all={"unguided": 1})
    alice, bea = (Person(study, PROLIFIC_PID=name).ready() for name in ("alice", "bea"))
    alice.start("unguided")
    shown = bea.get("conversations/").content.decode()
    assert "The study has enough of these by now" in shown
    assert 'value="unguided"' not in shown
    late = bea.start("unguided")
    assert late.status_code == 200
    assert "Please choose another." in late.content.decode()
    assert not bea.row.conversations.exists()
    assert conversations.wanted(alice.row) == 6
    assert conversations.wanted(bea.row) == 4
    alice.post("stop/")
    assert 'value="unguided"' in bea.get("conversations/").content.decode()


@pytest.mark.django_db
def test_who_has_had_all_that_is_left_is_done(study: Study) -> None:
    kinds = ("unguided", "values guided", "controversy guided")
    set_protocol(study, conversations_in_all=dict.fromkeys(kinds, 1))
    alice = Person(study, PROLIFIC_PID="alice").ready()
    for kind in kinds:
        shown = alice.converse(kind)
    assert place(shown) == "done"
    late = Person(study, PROLIFIC_PID="bea").ready()
    assert place(late.get()) == "done"
    assert late.row.completed_at


# The race

RACERS, PLACES = 200, 10
SET_UP = """
from surveys import quota_tables
from surveys.models import Study
study = Study.objects.get(slug="prism")
study.pk, study.slug, study._state.adding = None, "race", True
study.save()
draft = quota_tables.read("link.gender,target\\nfemale,10\\n", study.instrument.file, 10)
quota_tables.store(study, draft, {"name": "Race"})
"""
FREE_THREE = """
from surveys import enrolment
from surveys.models import QuotaClaim
for claim in QuotaClaim.objects.held()[:3]:
    enrolment.stop(claim.participant)
"""
RACE_PATH = "/s/race/"
"""A study without variants or budget, whose locks would let people consent one by one."""
HELD = "SELECT count(*) FROM surveys_quotaclaim WHERE state = 'claimed'"
SCREENED = "SELECT count(*) FROM surveys_participant WHERE screen_reason = 'quota'"


async def race(refract: Refract, heat: str, racers: int) -> None:
    """Everyone stands at the consent page before the first agrees."""
    browsers = [
        Browser(itertools.repeat(port))
        for port, _racer in zip(itertools.cycle(refract.ports), range(racers))
    ]
    links = (f"{RACE_PATH}?PROLIFIC_PID={heat}-{n}&gender=Female" for n in range(racers))
    pages = [await browser.get(link) for browser, link in zip(browsers, links, strict=True)]
    await asyncio.gather(*map(agree, browsers, pages))
    for browser in browsers:
        browser.close()


async def agree(browser: Browser, seen: Page) -> None:
    token = TOKEN.search(seen.text)
    assert token, seen
    form = {"csrfmiddlewaretoken": token[1], "consent_age": "on", "consent": "on"}
    await browser.post(f"{RACE_PATH}consent/", urlencode(form).encode())


@pytest.mark.servers
def test_200_people_race_for_10_places(stack: Refract) -> None:
    """At consent, on either stack; in the full one they meet two processes."""
    stack.manage("shell", "-c", SET_UP)
    asyncio.run(race(stack, "first", RACERS))
    assert stack.rows(HELD) == [(PLACES,)]
    assert stack.rows(SCREENED) == [(RACERS - PLACES,)]
    stack.manage("shell", "-c", FREE_THREE)
    assert stack.rows(HELD) == [(PLACES - 3,)]
    asyncio.run(race(stack, "second", 40))
    assert stack.rows(HELD) == [(PLACES,)]
    assert stack.rows(SCREENED) == [(RACERS - PLACES + 37,)]


SIMULATED = """
from surveys import quota_tables
from surveys.models import Study
study = Study.objects.get(slug="prism")
study.protocol_json |= {"conversations_in_all": {"unguided": 1}}
study.save()
draft = quota_tables.read("lm_direct_use,target\\nyes,3\\nno,9\\n", study.instrument.file, None)
quota_tables.store(study, draft, {"name": "Use", "others": "screen"})
"""
OF_SIMULATED = "FROM surveys_quotaclaim WHERE people = 'simulated'"


@pytest.mark.servers
def test_simulated_people_pass_through_quotas(embedded: Refract, tmp_path: Path) -> None:
    """Who finds no place is counted as such, and is no failure."""
    embedded.manage("shell", "-c", SIMULATED)
    run = ("simulate", "prism", "--participants", "10", "--seed", "1")
    printed = embedded.manage(*run, "--base-url", embedded.url)
    ((screened,),) = embedded.rows(f"SELECT count(*) {OF_SIMULATED} AND why IN ('full', 'outside')")
    assert screened > 0
    assert f"{screened} screened, 0 failed" in printed
    ((done,),) = embedded.rows(f"SELECT count(*) {OF_SIMULATED} AND state = 'confirmed'")
    assert f"{done} completed" in printed
    kinds = dict(
        embedded.rows(
            "SELECT conversation_type, count(*) FROM collection_conversation"
            " WHERE state = 'complete' GROUP BY 1"
        )
    )
    assert kinds["unguided"] == 1 < kinds["values guided"]
    embedded.manage("export", "prism", "--out", str(tmp_path))
    assert embedded.manage("validate", str(tmp_path)) == ""
    assert len((tmp_path / "survey.jsonl").read_text().splitlines()) >= done
