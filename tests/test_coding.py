"""Coding what people typed about themselves: blind, by two, settled, released."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from collection import budget, coding, suggesting
from collection.export.validate import validate
from collection.export.write import write_release
from collection.models import CodingPlan, Description, Judgement, ModelEndpoint, Suggestion
from surveys import enrolment, retention
from surveys.models import AuditEntry, Identity, Membership, Study
from tests.admin_pages import words
from tests.cast import use_models
from tests.export_cast import choice, make_person, make_study
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db

QUERIES = 40


@pytest.fixture
def study(db: None) -> Study:
    return make_study()


@pytest.fixture
def judges(study: Study) -> dict[str, User]:
    users = {name: User.objects.create_user(name, is_staff=True) for name in ("ada", "ben", "cy")}
    for user in users.values():
        Membership.objects.create(study=study, user=user, role="reviewer")
    return users


def typing(study: Study, minute: int, link: dict[str, str] | None = None, **typed: str) -> Any:
    own = {code: choice("self_describe", text) for code, text in typed.items()}
    known = {"religion": choice("prefer_not_to_say"), "ethnicity": choice("prefer_not_to_say")}
    person = make_person(study, minute=minute, answers=known | own)
    if link is not None:
        Identity.objects.create(
            study=study, participant=person, external_id=f"{person.pk}", parameters=link
        )
    return person


def page(study: Study, question: str = "", name: str = "") -> str:
    args = [study.pk, question] if question else [study.pk]
    return reverse(f"admin:surveys_study_coding{name}", args=args)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def say(client: Client, study: Study, row: Description, category: str, **fields: str) -> Any:
    at = page(study, row.question, "_settle" if fields.pop("settle", "") else "_judge")
    return client.post(at, {"unit": row.pk, "category": category} | fields, follow=True)


def released(study: Study, folder: Path) -> list[dict[str, Any]]:
    write_release(study, folder)
    assert [str(found) for found in validate(folder) if not found.is_note] == []
    return [json.loads(line) for line in (folder / "survey.jsonl").read_text().splitlines()]


def test_it_works(study: Study, judges: dict[str, User], tmp_path: Path) -> None:
    typing(study, 0, ethnicity="  Black British! ", religion="Shinto", gender="Agender")
    typing(study, 1, ethnicity="black british", religion="c of e")
    assert coding.sync(study) == 5
    assert coding.sync(study) == 0
    ethnicity = Description.objects.get(question="ethnicity")
    assert (ethnicity.text, ethnicity.typed.count()) == ("black british", 2)
    ada, ben, cy = (signed_in(judges[name]) for name in ("ada", "ben", "cy"))

    assert "black british" in words(ada.get(page(study, "ethnicity", "_judge")))
    say(ada, study, ethnicity, "Black / African")
    say(ben, study, ethnicity, "Black / African")
    for row in Description.objects.exclude(question="ethnicity"):
        say(ada, study, row, {"gender": "non_binary"}.get(row.question, "Other"))
        say(ben, study, row, {"gender": "prefer_not_to_say"}.get(row.question, "Other"))
        assert bool(Description.objects.get(pk=row.pk).category) is (row.question == "religion")
    gender = Description.objects.get(question="gender")
    shown = words(cy.get(page(study, "gender", "_settle")))
    assert "ada" in shown and "Non-binary / third gender" in shown and "ben" in shown
    say(cy, study, gender, "non_binary", settle="yes")
    gender.refresh_from_db()
    assert (gender.way, gender.settled_by) == ("third", "cy")

    first, second = released(study, tmp_path)
    assert first["ethnicity"] == second["ethnicity"]
    assert first["ethnicity"] == {
        "self_described": "black british",
        "categorised": "Black / African",
        "simplified": "Black",
    }
    assert (first["gender"], second["gender"]) == ("Non-binary / third gender", "Male")
    assert first["religion"]["simplified"] == "Other"
    noted = json.loads((tmp_path / "manifest.json").read_text())["self_descriptions"]
    assert noted["religion"] == {
        "people": 2,
        "coded": 2,
        "strings": 2,
        "agreement": [{"strings": 2, "share": 1.0, "kappa": None}],
    }
    assert noted["gender"]["agreement"] == [{"strings": 1, "share": 0.0, "kappa": 0.0}]


def test_until_then_it_is_null_and_the_manifest_says_so(study: Study, tmp_path: Path) -> None:
    typing(study, 0, ethnicity="kind of blue", gender="x")
    coding.sync(study)
    (row,) = released(study, tmp_path)
    assert row["ethnicity"]["categorised"] is None
    assert row["gender"] is None
    noted = json.loads((tmp_path / "manifest.json").read_text())["self_descriptions"]
    assert (noted["ethnicity"]["people"], noted["ethnicity"]["coded"]) == (1, 0)


def test_what_stays_ambiguous_is_prefer_not_to_say(
    study: Study, judges: dict[str, User], tmp_path: Path
) -> None:
    typing(study, 0, ethnicity="human", gender="yes")
    coding.sync(study)
    for each in Description.objects.all():
        for name in ("ada", "ben"):
            say(signed_in(judges[name]), study, each, "prefer_not_to_say")
    (row,) = released(study, tmp_path)
    assert row["gender"] == "Prefer not to say"
    assert row["ethnicity"] == {
        "self_described": "human",
        "categorised": "Prefer not to say",
        "simplified": "Prefer not to say",
    }


def test_typing_that_one_declines_needs_no_coding(study: Study, tmp_path: Path) -> None:
    typing(study, 0, ethnicity="Prefer not to say.")
    assert coding.sync(study) == 0
    (row,) = released(study, tmp_path)
    assert row["ethnicity"]["simplified"] == "Prefer not to say"


def test_the_recruiters_own_field_makes_another_string(study: Study) -> None:
    """PRISM's code took the string alone, so that a later row overwrote an earlier one."""
    typing(study, 0, {"Ethnicity": "White"}, ethnicity="British", religion="none")
    typing(study, 1, {"Ethnicity": "Asian"}, ethnicity="british", religion="none")
    typing(study, 2, None, ethnicity="british", religion="none")
    coding.sync(study)
    rows = Description.objects.filter(question="ethnicity").order_by("pk")
    assert [row.recruiter_said for row in rows] == ["White", "Asian", ""]
    assert Description.objects.filter(question="religion").count() == 1


def test_judging_is_blind(study: Study, judges: dict[str, User]) -> None:
    typing(study, 0, ethnicity="latina")
    coding.sync(study)
    row = Description.objects.get()
    ada, ben = signed_in(judges["ada"]), signed_in(judges["ben"])
    say(ada, study, row, "Hispanic / Latino")
    for at in (page(study, "ethnicity", "_judge"), page(study), page(study, "ethnicity", "_list")):
        shown = words(ben.get(at))
        assert "ada" not in shown.replace("adata", "")
        assert "aria-pressed" not in shown
        assert "Hispanic / Latino</td>" not in shown
    assert "Nothing is left for you" in words(ada.get(page(study, "ethnicity", "_judge")))


def test_ones_own_judgement_can_be_changed_until_the_other_is_given(
    study: Study, judges: dict[str, User]
) -> None:
    typing(study, 0, ethnicity="latina")
    coding.sync(study)
    row = Description.objects.get()
    ada, ben, cy = (signed_in(judges[name]) for name in ("ada", "ben", "cy"))
    for category in ("White", "White", "Mixed"):  # a double click, then a second thought
        say(ada, study, row, category)
    assert [j.category for j in Judgement.objects.all()] == ["Mixed"]
    say(ben, study, row, "Hispanic / Latino")
    assert "stands as it was" in words(say(ada, study, row, "Hispanic / Latino"))
    assert "Two colleagues have judged this" in words(say(cy, study, row, "Asian"))
    assert Judgement.objects.count() == 2
    row.refresh_from_db()
    assert row.category == ""


def test_a_disagreement_is_settled_together_or_by_a_third(
    study: Study, judges: dict[str, User]
) -> None:
    typing(study, 0, ethnicity="latina")
    coding.sync(study)
    row = Description.objects.get()
    ada = signed_in(judges["ada"])
    assert "Two researchers judge it first" in words(say(ada, study, row, "Mixed", settle="yes"))
    say(ada, study, row, "Mixed")
    say(signed_in(judges["ben"]), study, row, "Hispanic / Latino")
    assert "You are one of the two" in words(say(ada, study, row, "Mixed", settle="yes"))
    assert "choose one of the categories" in words(say(ada, study, row, "Blue", settle="yes"))
    row.refresh_from_db()
    assert row.category == ""
    say(ada, study, row, "Mixed", settle="yes", together="on")
    row.refresh_from_db()
    assert (row.category, row.way, row.settled_by) == ("Mixed", "together", "ada")
    other = say(signed_in(judges["cy"]), study, row, "White", settle="yes")
    assert "settled meanwhile" in words(other)
    entry = AuditEntry.objects.filter(verb="settled").get()
    assert entry.details == {"category": "Mixed"}
    noted = json.dumps([*AuditEntry.objects.values_list("details", flat=True)])
    assert "latina" not in noted


def test_opened_again_it_is_judged_anew(
    study: Study, judges: dict[str, User], tmp_path: Path
) -> None:
    typing(study, 0, ethnicity="latina")
    coding.sync(study)
    row = Description.objects.get()
    ada, ben = signed_in(judges["ada"]), signed_in(judges["ben"])
    for client in (ada, ben):
        say(client, study, row, "Mixed")
    for _twice in range(2):
        ada.post(page(study, "ethnicity", "_again"), {"unit": row.pk})
    (person,) = released(study, tmp_path / "open")
    assert person["ethnicity"]["categorised"] is None
    for client in (ada, ben):
        say(client, study, row, "Hispanic / Latino")
    row.refresh_from_db()
    assert (row.round, row.category) == (2, "Hispanic / Latino")
    assert row.judgements.count() == 4


def test_new_strings_join_what_is_coded(study: Study, judges: dict[str, User]) -> None:
    typing(study, 0, ethnicity="latina")
    coding.sync(study)
    row = Description.objects.get()
    for name in ("ada", "ben"):
        say(signed_in(judges[name]), study, row, "Hispanic / Latino")
    typing(study, 1, ethnicity="Latina!")
    typing(study, 2, ethnicity="welsh")
    assert coding.sync(study) == 2
    row.refresh_from_db()
    assert (row.typed.count(), row.category) == (2, "Hispanic / Latino")
    assert coding.to_judge(study, "ethnicity", "ada").get().text == "welsh"


def test_kappa() -> None:
    """Cohen's (1960) own sense: 0.7 observed, 0.5 by chance; and where chance is certain."""
    pairs = [("a", "a")] * 4 + [("b", "b")] * 3 + [("a", "b")] * 2 + [("b", "a")]
    assert coding.kappa(pairs) == pytest.approx((0.7 - 0.5) / 0.5)
    assert coding.kappa([("a", "a")] * 3) is None
    assert coding.kappa([("a", "b"), ("b", "a")]) == pytest.approx(-1)
    assert coding.kappa([]) is None


def test_a_withdrawal_erases_what_only_that_person_typed(
    study: Study, judges: dict[str, User]
) -> None:
    alone = typing(study, 0, ethnicity="one of a kind", religion="jedi")
    typing(study, 1, religion="Jedi")
    coding.sync(study)
    say(signed_in(judges["ada"]), study, Description.objects.get(question="ethnicity"), "Other")
    enrolment.withdraw(alone)
    assert [row.text for row in Description.objects.all()] == ["jedi"]
    assert not Judgement.objects.exists()
    assert coding.sync(study) == 0
    gone = say(signed_in(judges["ada"]), study, Description(pk=0, question="ethnicity"), "Other")
    assert "has withdrawn" in words(gone)


def test_the_purge_forgets_what_recruiters_said(study: Study) -> None:
    typing(study, 0, {"ethnicity": "White"}, ethnicity="british")
    coding.sync(study)
    retention.purge(study)
    row = Description.objects.get()
    assert (row.text, row.recruiter_said) == ("british", "")
    typing(study, 1, None, ethnicity="british")
    coding.sync(study)
    assert Description.objects.count() == 2


def test_pages_ask_few_queries(admin_client: Client, study: Study) -> None:
    def count(at: str) -> int:
        with CaptureQueriesContext(connection) as asked:
            assert admin_client.get(at).status_code == 200
        return len(asked)

    pages = [page(study), page(study, "ethnicity", "_list"), page(study, "ethnicity", "_judge")]
    typing(study, 0, ethnicity="e0")
    coding.sync(study)
    few = [count(at) for at in pages]
    for number in range(1, 8):
        typing(study, number, ethnicity=f"e{number}")
    coding.sync(study)
    assert [count(at) for at in pages] == few
    assert max(few) <= QUERIES


def test_the_csv_holds_no_formula(admin_client: Client, study: Study) -> None:
    typing(study, 0, ethnicity="=cmd()")
    text = admin_client.get(page(study, "", "_csv")).content.decode()
    assert "ethnicity,'=cmd(),,1,," in text
    assert AuditEntry.objects.filter(verb="exported").exists()


@pytest.mark.parametrize("address", ["nothing", "age", "name"])
def test_questions_that_are_not_coded(admin_client: Client, study: Study, address: str) -> None:
    assert admin_client.get(page(study, address, "_judge")).status_code == 404


# A model's suggestions


def ask_model(study: Study, server: ModelServer, behaviour: str, show: str = "judging") -> None:
    (endpoint,) = use_models(study, server, behaviour)
    CodingPlan.objects.update_or_create(study=study, defaults={"endpoint": endpoint, "show": show})


def test_a_suggestion_is_shown_and_decides_nothing(
    study: Study, judges: dict[str, User], model_server: ModelServer
) -> None:
    typing(study, 0, ethnicity="latina")
    coding.sync(study)
    ask_model(study, model_server, "says-Asian")
    assert suggesting.suggest_due() == 1
    assert suggesting.suggest_due() == 0
    row = Description.objects.get()
    assert row.suggestion.category == "Asian"
    assert row.category == ""
    ada = signed_in(judges["ada"])
    assert "A model suggests" in words(ada.get(page(study, "ethnicity", "_judge")))
    say(ada, study, row, "Mixed")
    assert Judgement.objects.get().suggested == "Asian"
    CodingPlan.objects.update(show="never")
    ben = signed_in(judges["ben"])
    assert "A model suggests" not in words(ben.get(page(study, "ethnicity", "_judge")))
    say(ben, study, row, "Mixed")
    assert Judgement.objects.get(researcher_name="ben").suggested == ""


def test_a_model_that_fails_is_asked_three_times(study: Study, model_server: ModelServer) -> None:
    typing(study, 0, ethnicity="latina")
    coding.sync(study)
    ask_model(study, model_server, "http-500")
    for _again in range(5):
        suggesting.suggest(study)
    found = Suggestion.objects.get()
    assert (found.outcome, found.tries, found.category) == ("error", suggesting.TRIES, "")


def test_suggestions_are_paid_from_the_studys_budget(
    study: Study, admin_client: Client, model_server: ModelServer
) -> None:
    for number, words_ in enumerate(("latina", "mestiza")):
        typing(study, number, ethnicity=words_)
    coding.sync(study)
    ask_model(study, model_server, "says-Asian")
    ModelEndpoint.objects.update(input_price=1000, output_price=1000)
    Study.objects.filter(pk=study.pk).update(budget_usd=Decimal("0.01"))
    study.refresh_from_db()
    assert suggesting.suggest(study, at_most=1) == 1
    cost = Suggestion.objects.get().cost_usd
    money = budget.standing(study)
    assert money is not None and cost
    assert (money.spent, money.left) == (cost, Decimal("0.01") - cost)
    assert money.left <= 0
    assert suggesting.suggest_due() == 0
    answer = admin_client.post(page(study, name="_suggest"), follow=True)
    assert "budget is used up" in words(answer)
    assert Suggestion.objects.count() == 1


def test_what_may_identify_is_not_sent(study: Study, model_server: ModelServer) -> None:
    typing(study, 0, ethnicity="ask jane@example.org")
    coding.sync(study)
    ask_model(study, model_server, "ok")
    assert suggesting.suggest(study) == 0


def test_the_plan_is_set_at_the_desk(
    admin_client: Client, study: Study, judges: dict[str, User]
) -> None:
    endpoint = study.endpoints.earliest("pk")
    fields = {"endpoint": endpoint.pk, "show": "settling"}
    assert admin_client.post(page(study, "", "_plan"), fields).status_code == 302
    assert CodingPlan.objects.get().endpoint == endpoint
    wrong = admin_client.post(page(study, "", "_plan"), fields | {"endpoint": "9999"})
    assert wrong.status_code == 422
    assert signed_in(judges["ada"]).post(page(study, "", "_plan"), fields).status_code == 403
