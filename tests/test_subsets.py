"""Census tables and the samples drawn by them, what each rule does, and who may see it."""

import io
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from hypothesis import given
from hypothesis import strategies as st

from collection import census, detecting
from collection.census import CensusError
from collection.export import subsets
from collection.export.subsets import AGES, CELLS, ETHNICITIES, GENDERS, Eligible
from collection.export.validate import validate
from collection.export.write import stream, write_release
from collection.models import CensusTable, Moderator
from surveys.instruments.load import FOLDER, keep, parse
from surveys.models import AuditEntry, Membership, Participant, Study
from tests.export_cast import TYPES, choice, converse, make_person, make_study

pytestmark = pytest.mark.django_db

Row = dict[str, Any]
FACTS = {
    "hispanics": "",
    "source": "Census 2020",
    "area": "All states",
    "adults_in_country": None,
    "size": 300,
}


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


def long_table(unit: str = "people", ethnicities: tuple[str, ...] = ETHNICITIES) -> str:
    """Ten more in each group than in the one before."""
    groups = [(a, e, g) for a in AGES for e in ethnicities for g in GENDERS]
    lines = [f"{a},{e},{g},{10 * n}" for n, (a, e, g) in enumerate(groups, start=1)]
    return "\n".join([f"age,ethnicity,gender,{unit}", *lines])


def wide_table(of_hispanics: float) -> str:
    """As PRISM's of the US: shares, to which Hispanics were added."""
    names = [f"{e}_{g}" for g in GENDERS for e in (*ETHNICITIES, "Hispanic")]
    races = (1 - of_hispanics) / 60
    row = [str(of_hispanics / 12 if "Hispanic" in name else races) for name in names]
    lines = [",".join([age, *row, "9"]) for age in AGES]
    total = ",".join(["All Ages", *row, "1"])
    return "\n".join([",".join(["age_category", *names, "All_Male"]), *lines, total])


def supply(study: Study, text: str, sample: str = "us", **facts: Any) -> CensusTable:
    known = FACTS | facts
    table = census.read(text, known["hispanics"])
    return census.store(study, sample, table, "ada", **known)[0]


def recruit(study: Study, number: int = 1, minute: int = 0, **changes: Any) -> list[Participant]:
    """Balanced people of one cell: White women of 25 to 34 unless told otherwise."""
    answers = {"age": choice("age_25_34"), "gender": choice("female"), "ethnicity": white()}
    people = [
        make_person(study, minute=minute + n, answers=answers | changes) for n in range(number)
    ]
    for person in people:
        for kind in TYPES:
            converse(person, kind)
    return people


def white() -> dict[str, Any]:
    """Known without coding only in an instrument that offers it."""
    return choice("white")


@pytest.fixture
def offering(db: None) -> Study:
    """PRISM with ethnicities to choose from: known without coding."""
    text = (FOLDER / "prism.yaml").read_text()
    options = "".join(
        f"          - {{code: {code}, label: {label}}}\n"
        for code, label in (
            ("white", "White"),
            ("black", "Black / African"),
            ("hispanic", "Hispanic / Latino"),
        )
    )
    own = '          - {code: self_describe, label: "Self-describe [please type]"}\n'
    first = text.index(own)
    text = text[:first] + options + text[first:]
    return make_study(instrument=keep(parse("prism.yaml", text)))


def rows_of(study: Study) -> list[Row]:
    return [json.loads(text) for text in stream(study, "survey")]


def problems(folder: Path) -> list[str]:
    return [f"{d.file}:{d.rule}" for d in validate(folder) if not d.is_note]


def report_of(study: Study, folder: Path) -> Row:
    write_release(study, folder)
    assert problems(folder) == []
    found: Row = json.loads((folder / "subsets.json").read_text())
    return found


def test_it_works(offering: Study, tmp_path: Path) -> None:
    supply(offering, long_table())
    recruit(offering, 9)
    recruit(offering, 1, 20, age=choice("prefer_not_to_say"))
    recruit(offering, 1, 30, gender=choice("non_binary"))
    recruit(offering, 1, 40, ethnicity=choice("hispanic"))
    make_person(offering, minute=50)
    report = report_of(offering, tmp_path)
    us, uk = report["samples"]
    assert us["people"] == {
        "recruited": 13,
        "in_balanced_subset": 12,
        "with_a_gender_of_the_census": 11,
        "eligible": 10,
        "sampled": 3,
    }
    target = int(120 / 18300 * 300) + 1  # the 12th group of 60, and one more
    assert target == 2
    (cell,) = [c for c in us["cells"] if c["eligible"] > 1]
    assert (cell["target"], cell["eligible"], cell["sampled"]) == (target, 9, target)
    assert uk == {
        "sample": "uk",
        "column": "included_in_UK_REP",
        "state": "not drawn",
        "note": "No census table was supplied.",
    }
    rows = rows_of(offering)
    assert sum(row["included_in_US_REP"] for row in rows) == us["people"]["sampled"]
    assert {row["included_in_UK_REP"] for row in rows} == {None}
    words = (tmp_path / "subsets.md").read_text()
    assert "36 conversations of 12 people" in words
    assert words.count("| White |") == 12


def test_without_a_table_nobody_is_in_or_out(study: Study, tmp_path: Path) -> None:
    recruit(study)
    report = report_of(study, tmp_path)
    assert {sample["note"] for sample in report["samples"]} == {"No census table was supplied."}
    (row,) = rows_of(study)
    assert (row["included_in_US_REP"], row["included_in_UK_REP"]) == (None, None)
    assert row["included_in_balanced_subset"] is True


def test_what_waits_to_be_coded_makes_it_null_with_a_note(study: Study, tmp_path: Path) -> None:
    supply(study, long_table())
    recruit(study, 2, ethnicity=choice("self_describe", "Welsh"))
    recruit(study, 1, 5, ethnicity=choice("prefer_not_to_say"))
    (us, _uk) = report_of(study, tmp_path)["samples"]
    assert us["note"] == (
        "Gender or ethnicity waits to be coded for 2 of the people who could be in it."
    )
    assert {row["included_in_US_REP"] for row in rows_of(study)} == {None}


def test_who_comes_later_changes_no_more_than_they_must(offering: Study) -> None:
    supply(offering, long_table(), size=1500)
    people = recruit(offering, 20)
    chosen = {n for n, row in enumerate(rows_of(offering)) if row["included_in_US_REP"]}
    assert 0 < len(chosen) < len(people)
    assert chosen == {n for n, row in enumerate(rows_of(offering)) if row["included_in_US_REP"]}
    recruit(offering, 1, 30)
    later = {n for n, row in enumerate(rows_of(offering)) if row["included_in_US_REP"]}
    assert len(chosen - later) == len(later - chosen) <= 1


# What the rules do


def test_hispanics_are_not_counted_twice(offering: Study, tmp_path: Path) -> None:
    supply(offering, wide_table(0.12), hispanics="within", size=310)
    recruit(offering, 1)
    (us, _uk) = report_of(offering, tmp_path)["samples"]
    twice = us["rules"]["hispanics_counted_twice"]
    assert twice["share_counted_twice"] == 0.12
    assert twice["target_by_ethnicity"] == dict.fromkeys(ETHNICITIES, 12 * 6)
    others = int(310 * (0.88 / 60 + 0.12 / 12)) + 1
    assert twice["target_by_ethnicity_if_twice"]["Other"] == 12 * others
    assert all(cell["share"] == pytest.approx(1 / 60) for cell in us["cells"])


def test_hispanics_apart_are_others(study: Study, tmp_path: Path) -> None:
    supply(study, wide_table(0.15), hispanics="apart")
    (us, _uk) = report_of(study, tmp_path)["samples"]
    others = sum(cell["share"] for cell in us["cells"] if cell["ethnicity"] == "Other")
    assert others == pytest.approx(0.85 / 5 + 0.15)
    assert us["rules"]["hispanics_counted_twice"] is None


def test_what_the_other_rules_do(offering: Study, tmp_path: Path) -> None:
    supply(offering, long_table(), area="England and Wales", adults_in_country=20_000)
    recruit(offering, 3)
    recruit(offering, 1, 10, ethnicity=choice("prefer_not_to_say"))
    rules = report_of(offering, tmp_path)["samples"][0]["rules"]
    more = rules["one_more_per_cell"]
    assert more["targets"] > more["aimed_at"] == 300
    assert more["targets"] == 60 + sum(int(10 * n / 18300 * 300) for n in range(1, 61))
    assert more["distance_of_targets"] > more["distance_of_targets_without"]
    assert (more["sampled"], more["sampled_without"]) == (2, 2)
    told = rules["not_told"]
    assert (told["eligible"], told["eligible_as_prism_counted"]) == (3, 4)
    assert told["without_ethnicity"] == 1
    assert rules["area"]["adults_left_out"] == 20_000 - 18_300
    assert rules["area"]["share_left_out"] == 0.085


shares = st.lists(st.integers(0, 10**6), min_size=60, max_size=60).filter(any)


@given(shares, st.integers(1, 2000))
def test_targets_of_any_census(amounts: list[int], size: int) -> None:
    amount = dict(zip(CELLS, map(float, amounts), strict=True))
    census_shares = subsets.shares_of(amount, {}, as_others=False)
    wanted = subsets.targets(census_shares, size)
    exact = subsets.proportional(census_shares, size)
    assert min(wanted.values()) >= 1
    assert size < sum(wanted.values()) <= size + 60
    assert sum(exact.values()) == size
    assert 0 <= subsets.distance(exact, census_shares) <= 1


@given(st.lists(st.tuples(st.sampled_from(CELLS[:3]), st.integers(0, 2**60)), max_size=40))
def test_a_draw_takes_what_is_wanted_or_all_there_are(people: list[Any]) -> None:
    some = [Eligible(pk, seed, cell) for pk, (cell, seed) in enumerate(people)]
    wanted = dict.fromkeys(CELLS, 4)
    chosen = subsets.drawn(some, wanted, "us")
    assert chosen == subsets.drawn(reversed(some), wanted, "us")
    there = Counter(one.cell for one in some)
    taken = Counter(one.cell for one in some if one.pk in chosen)
    assert taken == Counter({cell: min(4, number) for cell, number in there.items()})


# Reading a table


def test_tables_are_read(study: Study) -> None:
    by_year = ["age;ethnicity;sex;people", "All;All;All;1"]
    for year in range(101):
        by_year += [f"{year};{e};{g};1" for e in ETHNICITIES for g in ("m", "Women")]
    found = census.read("\n".join(by_year), "")
    assert found.amounts["18-24 years old", "White", "Male"] == 7
    assert found.amounts["65+ years old", "White", "Female"] == 36
    assert supply(study, "\n".join(by_year)).adults == 830
    assert supply(study, wide_table(0), "uk", hispanics="apart").adults is None


Edit = Callable[[list[str]], Any]
FAULTS: dict[str, tuple[Edit, str]] = {
    "nothing": (list.clear, "The table is empty."),
    "no figures": (
        lambda lines: lines.__delitem__(slice(1, None)),
        "60 of the 60 groups have no figure; the first is 18-24 years old, White, Male.",
    ),
    "an unknown age": (
        lambda lines: lines.__setitem__(1, "old,White,Male,1"),
        "Line 2, column 1: “old”: expected an age such as 18-24, 65+ or 37",
    ),
    "an age across": (
        lambda lines: lines.__setitem__(1, "18-34,White,Male,1"),
        "Line 2, column 1: “18-34”: the ages lie in more than one of the survey's bands",
    ),
    "an unknown ethnicity": (
        lambda lines: lines.__setitem__(3, "18-24,Purple,Male,1"),
        "Line 4, column 2: “Purple”: expected one of White, Black, Asian, Mixed, Other, Hispanic",
    ),
    "an unknown gender": (
        lambda lines: lines.__setitem__(3, "18-24,White,X,1"),
        "Line 4, column 3: “X”: expected one of Male, Female",
    ),
    "no number": (
        lambda lines: lines.__setitem__(60, "65+,Other,Female,many"),
        "Line 61, column 4: “many”: expected a number of people, or a share",
    ),
    "less than nobody": (
        lambda lines: lines.__setitem__(60, "65+,Other,Female,-1"),
        "Line 61, column 4: “-1”: expected a number of people, or a share",
    ),
    "a column too few": (
        lambda lines: lines.__setitem__(5, "18-24,White,Male"),
        "Line 6: 3 columns; expected 4, as in the first line",
    ),
    "no such head": (
        lambda lines: lines.__setitem__(0, "age,ethnicity,gender,votes"),
        "Line 1, column 4: expected people or share in the fourth column, and no more",
    ),
    "another head": (
        lambda lines: lines.__setitem__(0, "age,White,b,c"),
        (
            "Line 1, column 2: “White” stands here; expected an ethnicity and a gender such as "
            "White_Male"
        ),
    ),
    "shares of nothing": (
        lambda lines: lines.__setitem__(0, "age,ethnicity,gender,share"),
        "The shares add up to 18300; expected 1 or 100.",
    ),
    "an open quotation": (lambda lines: lines.append('"'), "Line 62: unexpected end of data"),
    "no text": (
        lambda lines: lines.append("\0"),
        "This is no text: expected a CSV file, saved as UTF-8.",
    ),
    "far too long": (
        lambda lines: lines.extend([","] * 200_000),
        "The table is longer than 300000 characters.",
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_table(name: str) -> None:
    edit, expected = FAULTS[name]
    lines = long_table().splitlines()
    edit(lines)
    with pytest.raises(CensusError) as caught:
        census.read("\n".join(lines), "")
    assert expected in caught.value.problems


def test_it_must_be_said_how_hispanics_are_counted() -> None:
    text = long_table(ethnicities=(*ETHNICITIES, "Hispanic"))
    with pytest.raises(CensusError, match="say whether the other groups count them as well"):
        census.read(text, "")
    with pytest.raises(CensusError, match="the table has no such group"):
        census.read(long_table(), "within")
    with pytest.raises(CensusError, match="expected all, or none"):
        census.read(long_table() + "\n18-24,Hispanic,Male,3", "within")


@given(st.text(max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    with pytest.raises(CensusError):
        census.read(text, "")


# The validator


Report = Callable[[Row], Any]
MUTATIONS: dict[str, Report] = {
    "another number of conversations": lambda report: report["balanced"].update(conversations=1),
    "not drawn though there": lambda report: report["samples"][0].update(state="not drawn"),
    "drawn though null": lambda report: report["samples"][1].update(state="drawn"),
    "no note": lambda report: report["samples"][1].update(note=None),
    "another number of people": lambda report: report["samples"][0]["people"].update(sampled=9),
    "another size": lambda report: report["samples"][0].update(size=30_000),
    "a share too many": lambda report: report["samples"][0]["cells"][0].update(share=0.5),
    "another target": lambda report: report["samples"][0]["cells"][0].update(target=7),
    "more were eligible": lambda report: report["samples"][0]["cells"][11].update(eligible=7),
    "a cell too few": lambda report: report["samples"][0]["cells"].pop(),
    "a sample too few": lambda report: report["samples"].pop(),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_mutated_subsets_are_found(offering: Study, tmp_path: Path, name: str) -> None:
    supply(offering, long_table())
    recruit(offering, 4)
    report = report_of(offering, tmp_path)
    MUTATIONS[name](report)
    (tmp_path / "subsets.json").write_text(json.dumps(report))
    assert set(problems(tmp_path)) == {"subsets.json:subsets"}


def test_mutated_flags_are_found(offering: Study, tmp_path: Path) -> None:
    supply(offering, long_table())
    recruit(offering, 4)
    write_release(offering, tmp_path)
    lines = (tmp_path / "survey.jsonl").read_text().splitlines()
    for value, expected in ((None, "survey.jsonl:sample"), (True, "subsets.json:subsets")):
        rows = [json.loads(line) for line in lines]
        out = next(row for row in rows if not row["included_in_US_REP"])
        out["included_in_US_REP"] = value
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / "survey.jsonl").write_text(text)
        assert expected in problems(tmp_path)


# The desk


@pytest.fixture
def owner(study: Study) -> Client:
    user = User.objects.create_user("olga", is_staff=True)
    Membership.objects.create(user=user, study=study, role="owner")
    client = Client()
    client.force_login(user)
    return client


def url(name: str, study: Study) -> str:
    return reverse(f"admin:surveys_study_{name}", args=[study.pk])


def census_form(text: str, **changes: Any) -> dict[str, Any]:
    file = SimpleUploadedFile("census.csv", text.encode())
    fields = {"sample": "us", "file": file, **FACTS, "adults_in_country": ""}
    return fields | changes


def test_a_table_is_supplied_at_the_desk(study: Study, owner: Client) -> None:
    page = owner.get(url("subsets", study)).content.decode()
    assert page.count("No census table was supplied.") == 2
    for _twice in range(2):
        sent = owner.post(url("census", study), census_form(long_table()), follow=True)
        assert "All states." in sent.content.decode()
    assert CensusTable.objects.count() == 1
    entry = AuditEntry.objects.filter(details__fields=["census"]).latest("pk")
    assert (entry.verb, entry.actor_name) == ("changed", "olga")
    owner.post(url("census", study), {"remove": "us"})
    assert not CensusTable.objects.exists()


def test_a_broken_table_says_where_and_changes_nothing(study: Study, owner: Client) -> None:
    broken = long_table().replace("18-24 years old,White,Male", "18-24 years old,Wight,Male")
    sent = owner.post(url("census", study), census_form(broken))
    assert sent.status_code == 422
    assert "Line 2, column 2: “Wight”" in sent.content.decode()
    for file in (io.BytesIO(b"\xff\xfe\x00"), ""):
        sent = owner.post(url("census", study), census_form("") | {"file": file})
        assert sent.status_code == 422
    assert not CensusTable.objects.exists()


def test_detectors_at_the_desk(study: Study, owner: Client, settings: Any) -> None:
    settings.EMBEDDED = False
    converse(make_person(study))
    assert "0 / 6" in owner.get(url("metadata", study)).content.decode()
    owner.post(url("detect", study), {"detector": "pii", "do": "run"})
    page = owner.get(url("metadata", study)).content.decode()
    assert "under way" in page
    assert detecting.work() == 13
    page = owner.get(url("metadata", study)).content.decode()
    assert "6 / 6" in page
    assert "complete" in page
    assert AuditEntry.objects.filter(verb="ran a detector", details__detector="pii").exists()
    unknown = owner.post(url("detect", study), {"detector": "x"}, follow=True)
    assert "There is no such detector any more." in unknown.content.decode()


def test_a_moderation_endpoint_at_the_desk(study: Study, owner: Client, settings: Any) -> None:
    settings.MODEL_KEYS = {"OPENAI": "sk-secret"}
    fields = {"litellm_model": "openai/omni", "key_name": "OPENAI", "do": "store"}
    fields |= {"texts_per_call": "8", "calls_per_minute": "60"}
    refused = owner.post(url("moderator", study), fields | {"litellm_model": "omni"})
    assert refused.status_code == 422
    assert "Begin with the provider" in refused.content.decode()
    for _twice in range(2):
        assert owner.post(url("moderator", study), fields).status_code == 302
    assert Moderator.objects.get().key_name == "OPENAI"
    page = owner.get(url("metadata", study)).content.decode()
    assert "openai/omni" in page
    assert "sk-secret" not in page
    owner.post(url("moderator", study), {"do": "remove"})
    assert not Moderator.objects.exists()
