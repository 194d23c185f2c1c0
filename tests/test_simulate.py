"""Simulated participants: who they are, how they read pages, and that they really walk."""

import json
import re
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from statistics import correlation, mean
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from collection.models import ModelEndpoint
from collection.simulation import crowd, filling, understanding
from collection.simulation.filling import fill
from collection.simulation.pages import Form, Page
from collection.simulation.people import DECK, Course, Habit, Person, as_score
from collection.simulation.understanding import Understood
from surveys import enrolment
from surveys.instruments.schema import Number
from surveys.models import Decline, Participant, Study
from tests.conftest import Run
from tests.servers import Refract, Template
from tests.walk import Person as Visitor

SURVEY = """
<form method="get" action="/search"><input name="q"></form>
<form method="post" action="/s/prism/survey/x/" data-draft="survey/x" data-draft-url="/s/prism/draft/">
  <input type="hidden" name="csrfmiddlewaretoken" value="t0ken">
  <input type="radio" name="gender" id="g-male" value="male">
  <input type="radio" name="gender" id="g-own" value="self_describe" checked>
  <input type="text" name="gender_text" data-other-for="g-own" value="">
  <select name="reside_country"><option value="">Choose</option>
    <option value="CAN" selected>Canada</option><option value="FRA">France</option></select>
  <input type="checkbox" name="uses" value="games"><input type="checkbox" name="uses" value="travel">
  <input type="checkbox" id="uses-other" name="uses" value="other">
  <input type="text" name="uses_other_text" data-other-for="uses-other">
  <div class="vas"><input type="range" name="prefs_values" min="0" max="100">
    <input type="checkbox" name="prefs_values_rated"><input type="hidden" name="prefs_values_record"></div>
  <div class="vas"><input type="text" name="prefs_other_text">
    <input type="range" name="prefs_other" min="0" max="100"><input type="checkbox" name="prefs_other_rated"></div>
  <div class="vas"><input type="range" name="performance_safety" min="1" max="100">
    <input type="checkbox" name="performance_safety_rated"><input type="checkbox" name="performance_safety_na"></div>
  <textarea name="self_description">
Kept &amp; unsent</textarea>
  <input type="text" name="reason" form="report-0"><input disabled name="never">
  <button class="btn">Continue</button>
</form>
<form method="post" id="report-0" action="report/"><input type="hidden" name="position" value="0"></form>
"""  # noqa: E501

HUB = """
<a href="/s/prism/leave/?from=/s/prism/conversations/">Pause or leave</a>
<form method="post"><button name="type" value="unguided">Start</button>
<button name="type" value="values guided">Start</button><button type="button" name="x">No</button>
</form>
"""


def page(html: str, path: str = "/s/prism/survey/x/", status: int = 200) -> Page:
    return Page(f"http://127.0.0.1:8000{path}", status, html)


def survey() -> Form:
    return page(SURVEY).forms[0]


def someone(**wanted: Any) -> Person:
    """The first person of a seed whose card has these values."""
    return next(
        person
        for person in crowd.people_of(5, 20)
        if all(getattr(person.card, name) == value for name, value in wanted.items())
    )


@dataclass
class Simulated:
    """Ten people of all kinds, walked through a server of the command's own; and their release."""

    refract: Refract
    printed: str
    truth: dict[str, Any]
    release: Path

    def rows(self, name: str) -> list[dict[str, Any]]:
        lines = (self.release / f"{name}.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines]

    def ask(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.refract.data / "refract.sqlite3")) as database:
            return database.execute(sql).fetchall()


@pytest.fixture(scope="module")
def simulated(
    embedded_template: Template, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Simulated]:
    folder = tmp_path_factory.mktemp("simulated")
    refract = embedded_template.copy(folder / "data", {"REFRACT_DEMO_LATENCY": "0"})
    ten = ("simulate", "prism", "--participants", "10", "--seed", "5")
    printed = refract.manage(*ten, "--truth", str(folder / "truth.json"))
    refract.manage("export", "prism", "--out", str(folder / "release"))
    truth = json.loads((folder / "truth.json").read_text())
    refract.start()
    yield Simulated(refract, printed, truth, folder / "release")
    refract.stop()


@pytest.mark.servers
def test_it_works(simulated: Simulated) -> None:
    assert "10 of 10 done" in simulated.printed
    assert "7 completed, 1 declined, 1 stopped, 1 vanished, 0 failed" in simulated.printed
    assert simulated.refract.manage("validate", str(simulated.release)) == ""


@pytest.mark.servers
def test_all_carry_the_mark(simulated: Simulated) -> None:
    assert simulated.ask("SELECT DISTINCT is_simulated FROM surveys_participant") == [(1,)]
    manifest = json.loads((simulated.release / "manifest.json").read_text())
    assert manifest["simulated"]["people"] == len(simulated.rows("survey")) >= 7


@pytest.mark.servers
def test_nothing_is_lost_or_doubled(simulated: Simulated) -> None:
    assert simulated.ask("SELECT count(*) FROM surveys_decline") == [(1,)]
    assert simulated.ask("SELECT count(*) FROM surveys_participant") == [(9,)]
    of_user = Counter(row["user_id"] for row in simulated.rows("conversations"))
    assert [of_user[row["user_id"]] for row in simulated.rows("survey")].count(6) == 7
    of_type = Counter(
        (row["user_id"], row["conversation_type"]) for row in simulated.rows("conversations")
    )
    on_an_open_link = {
        person["user_id"]
        for person in simulated.truth["participants"]
        if not person["is_recruited"]
    }
    assert len(on_an_open_link) == 1
    assert max(n for (user, _type), n in of_type.items() if user not in on_an_open_link) == 2
    for row in simulated.rows("conversations"):
        prompts = [item["turn"] for item in row["conversation_history"] if item["role"] == "user"]
        assert prompts == list(range(row["conversation_turns"]))


@pytest.mark.servers
def test_answers_are_varied(simulated: Simulated) -> None:
    people, talks = simulated.rows("survey"), simulated.rows("conversations")
    for name in ("self_description", "system_string"):
        assert len({row[name] for row in people}) == len(people)
    assert len({row["age"] for row in people}) > 2
    assert len({row["location"]["reside_country"] for row in people}) > 2
    assert len({row["opening_prompt"] for row in talks}) > 0.9 * len(talks)
    assert len({row["conversation_turns"] for row in talks}) > 3
    attributes = [value for row in talks for value in row["performance_attributes"].values()]
    assert None in attributes
    assert len(set(attributes)) > 30
    assert {row["study_id"] for row in people} == {"sim-5", "prism"}
    records = simulated.ask("SELECT DISTINCT first_by, was_touched FROM collection_utterance")
    assert set(records) <= {("pointer", 1), ("keyboard", 1), ("", 0)}
    assert ("pointer", 1) in records


@pytest.mark.servers
def test_habits_leave_their_traces(simulated: Simulated) -> None:
    assert simulated.ask("SELECT count(*) FROM collection_replyreport")[0][0] > 0
    assert simulated.ask("SELECT count(*) FROM surveys_problemreport")[0][0] > 0


@pytest.mark.servers
def test_the_truth_joins_the_release_and_the_scores_follow_it(simulated: Simulated) -> None:
    label = {person["user_id"]: person["label"] for person in simulated.truth["participants"]}
    expected, scores = [], []
    for row in simulated.rows("utterances"):
        utility = simulated.truth["utilities"][label[row["user_id"]]][row["model_name"]]
        expected.append(as_score(utility))
        scores.append(row["score"])
    assert len(scores) > 300
    assert correlation(expected, scores) > 0.7


@pytest.mark.servers
def test_the_same_people_again_change_nothing(simulated: Simulated) -> None:
    before = simulated.ask("SELECT count(*) FROM surveys_participant")
    printed = simulated.refract.manage("simulate", "prism", "--participants", "10", "--seed", "5")
    assert "10 of these people were here before." in printed
    assert simulated.ask("SELECT count(*) FROM surveys_participant") == before
    assert simulated.ask("SELECT count(*) FROM surveys_decline") == [(1,)]


@pytest.mark.servers
def test_an_interrupted_person_goes_on_where_they_were(simulated: Simulated) -> None:
    number = someone(course=Course.FINISHES, is_recruited=False).number
    simulated.refract.manage("shell", "-c", LOSE_THE_LAST_CONVERSATION)
    printed = simulated.refract.manage(
        *("simulate", "prism", "--participants", str(number), "--seed", "5"),
        *("--base-url", simulated.refract.url),
    )
    assert "1 of 1 done: " in printed
    assert "1 completed" in printed
    assert "; 6 conversations complete." in printed


@pytest.mark.servers
def test_another_seed_brings_others(simulated: Simulated) -> None:
    before = simulated.ask("SELECT count(*) FROM surveys_participant")[0][0]
    simulated.refract.manage(
        *("simulate", "prism", "--participants", "1", "--seed", "6"),
        *("--base-url", simulated.refract.url),
    )
    assert simulated.ask("SELECT count(*) FROM surveys_participant") == [(before + 1,)]


@pytest.mark.servers
def test_another_servers_data_is_told(simulated: Simulated, embedded: Refract) -> None:
    """Whose replies could not be told apart, as no page says who wrote them."""
    with pytest.raises(RuntimeError, match="does not use the database of this command"):
        simulated.refract.manage(
            *("simulate", "prism", "--participants", "1", "--seed", "8"),
            *("--base-url", embedded.url),
        )


def test_a_survey_alone_on_either_stack(stack: Refract, tmp_path: Path) -> None:
    """In three languages, in arms that stay as large as each other while eight come at once."""
    twelve = ("simulate", "values", "--participants", "12", "--seed", "1")
    truth = tmp_path / "truth.json"
    printed = stack.manage(*twelve, "--base-url", stack.url, "--truth", str(truth))
    assert "7 completed, 2 declined, 2 stopped, 1 vanished, 0 failed; 0 conv" in printed
    arms = json.loads(stack.manage("shell", "--no-imports", "-c", ARMS))
    assert arms == {"right": 5, "wrong": 5}
    people = json.loads(truth.read_text())["participants"]
    assert {person["language"] for person in people} >= {"en", "es", "ar"}
    rows = released(stack, "values", tmp_path / "release")
    language = {person["user_id"]: person["language"] for person in people}
    assert {row["user_id"]: row["language"] for row in rows}.items() <= language.items()
    assert len(rows) == 7
    assert {tuple(sorted(row["good_life"].values())) for row in rows} == {(1, 2, 3, 4, 5)}
    assert all(1 <= row["household"] <= 40 for row in rows if row["household"] is not None)


ARMS = """
import json
from collections import Counter
from surveys.models import Assignment
print(json.dumps(Counter(Assignment.objects.values_list("arm", flat=True))))
"""


def test_questions_of_every_type(run_embedded: Run, tmp_path: Path) -> None:
    """And a comprehension check that one of the people, who also goes back, does not pass."""
    refract = run_embedded(env={"REFRACT_DEMO_LATENCY": "0"})
    refract.manage("shell", "-c", STUDY_OF_EVERY_TYPE)
    seven = ("simulate", "types", "--participants", "7", "--seed", "174")
    printed = refract.manage(*seven, "--base-url", refract.url)
    assert "1 screened, 0 failed; 0 conv" in printed
    rows = released(refract, "types", tmp_path / "release")
    assert f"{len(rows)} completed" in printed
    assert {row["understood"] for row in rows} == {"To say what I think of gardens"}
    again = refract.manage(*seven, "--base-url", refract.url)
    assert "7 of these people were here before." in again


STUDY_OF_EVERY_TYPE = """
from pathlib import Path
from surveys.instruments.load import store
from surveys.models import Study
study = Study.objects.get(slug="values")
study.pk, study.slug, study.languages = None, "types", []
study.instrument = store(Path("tests/fixtures/all_types.yaml"))
study._state.adding = True
study.save()
"""


def released(refract: Refract, study: str, folder: Path) -> list[dict[str, Any]]:
    """The people of a release that nothing is to be said against."""
    refract.manage("export", study, "--out", str(folder))
    assert refract.manage("validate", str(folder)) == ""
    return [json.loads(line) for line in (folder / "survey.jsonl").read_text().splitlines()]


LOSE_THE_LAST_CONVERSATION = """
from surveys.models import Participant
person = Participant.objects.get(is_recruited=False)
person.conversations.get(number=6).delete()
person.completed_at = None
person.save()
"""


def test_clicks_at_the_same_moment_on_postgres(run_full_stack: Run) -> None:
    """There nothing but row locks keeps two clicks apart."""
    refract = run_full_stack(env={"REFRACT_DEMO_LATENCY": "0"})
    habits = [habit for person in crowd.people_of(2, 3) for habit in person.card.habits]
    assert habits.count(Habit.DOUBLE_CLICKS) == 2
    printed = refract.manage(
        *("simulate", "prism", "--participants", "3", "--seed", "2", "--base-url", refract.url)
    )
    assert "2 completed, 1 declined, 0 stopped, 0 vanished, 0 failed; 12 conv" in printed


def test_a_server_that_is_killed_loses_nothing(run_embedded: Run) -> None:
    refract = run_embedded(env={"REFRACT_DEMO_LATENCY": "0.1"})
    arguments = ("simulate", "prism", "--participants", "2", "--seed", "11")
    with ThreadPoolExecutor() as pool:
        walking = pool.submit(refract.manage, *arguments, "--base-url", refract.url)
        for turns in (1, 12):
            while turns_rated(refract) < turns:
                assert not walking.done(), walking.result()
                time.sleep(0.05)
            refract.kill9()
            refract.start()
        printed = walking.result()
    assert "2 completed, 0 declined, 0 stopped, 0 vanished, 0 failed; 12 conv" in printed


def turns_rated(refract: Refract) -> int:
    with closing(sqlite3.connect(refract.data / "refract.sqlite3")) as database:
        rated = database.execute(
            "SELECT count(*) FROM collection_interaction WHERE state = 'rated'"
        )
        return int(rated.fetchone()[0])


def test_a_form_is_read_as_a_browser_sees_it() -> None:
    form = survey()
    assert form.action == "http://127.0.0.1:8000/s/prism/survey/x/"
    assert (form.draft, form.draft_url) == ("survey/x", "http://127.0.0.1:8000/s/prism/draft/")
    assert form.fields["gender"].options == ["male", "self_describe"]
    assert form.fields["gender"].chosen == ["self_describe"]
    assert form.fields["gender_text"].opened_by == ("gender", "self_describe")
    assert form.fields["reside_country"].options == ["", "CAN", "FRA"]
    assert form.fields["uses_other_text"].opened_by == ("uses", "other")
    assert form.fields["self_description"].value == "Kept & unsent"
    line = form.fields["performance_safety"]
    assert (line.kind, line.minimum, line.maximum) == ("range", 1, 100)
    assert "reason" not in form.fields, "it names another form"
    assert "never" not in form.fields, "it is disabled"


def test_a_control_elsewhere_belongs_to_the_form_it_names() -> None:
    report = page(SURVEY).form("report")
    assert report
    assert set(report.fields) == {"position", "reason"}


def test_only_forms_that_send_something_are_read() -> None:
    assert [form.purpose for form in page(SURVEY).forms] == ["x", "report"]


def test_buttons_and_links_are_read() -> None:
    hub = page(HUB, "/s/prism/conversations/")
    assert hub.forms[0].buttons == [("type", "unguided"), ("type", "values guided")]
    assert hub.forms[0].action == hub.url
    assert hub.link("leave") == "http://127.0.0.1:8000/s/prism/leave/?from=/s/prism/conversations/"
    assert hub.link("decline") is None
    assert (hub.end, page("", "/s/prism/done/").end) == (None, "done")


def test_a_waiting_page_says_where_to_ask() -> None:
    waiting = page(
        '<div id="waiting" hx-get="/s/prism/c/1/live/" data-max="30"></div>', "/s/prism/c/1/"
    ).waiting
    assert waiting
    assert (waiting.url, waiting.limit_s) == ("http://127.0.0.1:8000/s/prism/c/1/live/", 30)
    assert page(HUB).waiting is None


def test_a_form_is_filled_as_a_browser_would_send_it() -> None:
    for person in crowd.people_of(3, 40):
        filled = fill(person, survey(), {})
        assert filled["csrfmiddlewaretoken"] == ["t0ken"]
        assert filled["reside_country"][0] in ("CAN", "FRA")
        assert ("gender_text" in filled and filled["gender_text"] != [""]) == (
            filled["gender"] == ["self_describe"]
        )
        assert filled["uses"]
        assert bool(filled["uses_other_text"][0]) == ("other" in filled["uses"])
        record = json.loads(filled["prefs_values_record"][0])
        assert 0 <= record["first"] <= 100
        assert record["first_by"] == person.first_by
        assert record["moves"] >= 1
        assert record["ms"] > 0
        assert filled["prefs_values_rated"] == ["on"]
        assert bool(filled["prefs_other_text"][0]) == ("prefs_other_rated" in filled)
        assert ("performance_safety_na" in filled) != ("performance_safety_rated" in filled)
        assert 2 <= len(re.findall(r"\. |[.a-z]$", filled["self_description"][0])) <= 5


def test_a_value_that_is_decided_stands() -> None:
    filled = fill(Person(3, 1), survey(), {"prefs_values": "17", "self_description": "So be it."})
    assert (filled["prefs_values"], filled["self_description"]) == (["17"], ["So be it."])


def test_no_text_is_longer_than_its_field_takes() -> None:
    form = page('<form method="post"><textarea name="prompt" maxlength="12"></textarea></form>')
    filled = fill(Person(3, 1), form.forms[0], {"prompt": "Tell me what you think."})
    assert filled["prompt"] == ["Tell me what"]


def test_the_same_form_gets_the_same_answers() -> None:
    assert fill(Person(3, 2), survey(), {}) == fill(Person(3, 2), survey(), {})
    assert fill(Person(3, 2), survey(), {}) != fill(Person(3, 3), survey(), {})
    assert fill(Person(3, 2), survey(), {}) != fill(Person(4, 2), survey(), {})


CHOICES = """
<form method="post" action="/s/values/survey/x/">
  <div data-ranking>
    <select name="order_a"><option value=""></option><option>1</option><option>2</option></select>
    <select name="order_b"><option value=""></option><option>1</option><option>2</option></select>
    <select name="order_c"><option value=""></option><option>1</option><option>2</option></select>
  </div>
  <input type="checkbox" name="uses" value="rest"><input type="checkbox" name="uses" value="food">
  <input type="checkbox" name="uses" value="play">
  <input type="checkbox" name="uses" value="none" data-exclusive>
  <input type="text" name="visits"><input type="checkbox" name="visits_declined" data-declines>
</form>
"""


def test_what_the_form_alone_does_not_say_is_kept_to() -> None:
    understood = Understood({"visits": "4"}, {"uses": (2, 2)})
    declined, exclusive = 0, 0
    for person in crowd.people_of(3, 200):
        filled = fill(person, page(CHOICES).forms[0], {}, understood=understood)
        assert sorted(filled[f"order_{item}"][0] for item in "abc") == ["", "1", "2"]
        assert len(filled["uses"]) == (1 if filled["uses"] == ["none"] else 2)
        assert "none" not in filled["uses"] or len(filled["uses"]) == 1
        assert filled["visits"] == ([""] if "visits_declined" in filled else ["4"])
        declined += "visits_declined" in filled
        exclusive += filled["uses"] == ["none"]
    assert 0 < declined < 40
    assert 0 < exclusive < 60


def test_what_is_left_out_is_sent_empty() -> None:
    left_out = Understood(left_out=frozenset({"order", "uses", "visits"}))
    filled = fill(Person(3, 1), page(CHOICES).forms[0], {}, understood=left_out)
    assert {value for values in filled.values() for value in values} <= {"", "on"}
    assert "uses" not in filled


@pytest.mark.parametrize(
    "bounds", [{}, {"minimum": 1, "maximum": 3}, {"maximum": -5}, {"minimum": 0.5, "decimals": 1}]
)
def test_numbers_keep_their_bounds(bounds: dict[str, Any]) -> None:
    question = Number(type="number", code="n", label="N", text="How many?", **bounds)
    low, high = bounds.get("minimum", float("-inf")), bounds.get("maximum", float("inf"))
    written = [understanding.number(Person(3, n).draw("number"), question) for n in range(100)]
    assert all(low <= float(text) <= high for text in written)
    assert len(set(written)) > 1
    assert bounds.get("decimals") or all("." not in text for text in written)


def test_nobody_deletes_what_they_gave() -> None:
    stop = page('<form method="post"><input type="checkbox" name="withdraw"></form>').forms[0]
    assert "withdraw" not in fill(Person(3, 1), stop, {})


def test_leaving_one_out_leaves_out_what_is_asked_for() -> None:
    person, form = Person(3, 1), survey()
    filled = fill(person, form, {})
    left_out = set()
    for number in range(60):
        too_little = filling.leave_one_out(person.draw("left out", number), form, filled)
        assert too_little is not None
        left_out |= filled.keys() - too_little.keys()
    names = {"gender", "reside_country", "uses", "self_description", "prefs_values"}
    lines = {"prefs_values_rated", "prefs_values_record", "performance_safety"}
    assert (
        names
        <= left_out
        <= names | lines | {"performance_safety_rated"} | {"performance_safety_record"}
    )
    assert filling.leave_one_out(person.draw("left out"), page(HUB).forms[0], {}) is None


def test_people_are_the_same_for_a_seed_however_many_come() -> None:
    first = [(person.card, person.choices) for person in crowd.people_of(11, 12)]
    assert [(person.card, person.choices) for person in crowd.people_of(11, 30)][:12] == first
    assert [person.card for person in crowd.people_of(12, 12)] != [card for card, _ in first]


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_of_ten_people_each_kind_comes_and_most_finish(seed: int) -> None:
    for start in (0, 10):
        cards = Counter(person.card for person in crowd.people_of(seed, 20)[start : start + 10])
        assert cards == Counter(DECK)
    courses = Counter(person.card.course for person in crowd.people_of(seed, 20))
    assert set(courses) == set(Course)
    assert courses[Course.FINISHES] >= 12
    habits = {habit for person in crowd.people_of(seed, 10) for habit in person.card.habits}
    assert habits == set(Habit)


def test_conversations_are_as_long_as_prisms() -> None:
    turns = [person.turns(number) for person in crowd.people_of(1, 300) for number in range(1, 7)]
    assert (min(turns), max(turns)) == (2, 10)
    assert 3.2 < mean(turns) < 3.6


def test_scores_follow_the_utility() -> None:
    crowds = crowd.people_of(2, 200)
    scores = [person.score(name, n) for n, person in enumerate(crowds) for name in "abcdefgh"]
    assert 50 < mean(scores) < 65
    assert 1 <= min(scores) < 15
    assert 90 < max(scores) <= 100
    person = crowds[0]
    best, worst = (pick("abcdefgh", key=person.utility) for pick in (max, min))
    assert mean(person.score(best, n) for n in range(50)) > mean(
        person.score(worst, n) for n in range(50)
    )
    assert mean(person.score(best, n) for n in range(200)) == pytest.approx(
        as_score(person.utility(best)), abs=5
    )


def test_the_ends_of_the_line_are_never_passed() -> None:
    assert (as_score(-50), as_score(0), as_score(50)) == (1, 50, 100)


@pytest.mark.django_db
def test_a_study_with_real_participants_refuses(study: Study) -> None:
    Visitor(study, PROLIFIC_PID="alice").consent()
    with pytest.raises(CommandError, match=r"has real participants.*fresh data folder"):
        call_command("simulate", study.slug)
    assert Participant.objects.count() == 1


@pytest.mark.django_db
def test_real_participants_refuse_at_the_door_too(study: Study) -> None:
    Visitor(study, PROLIFIC_PID="alice").consent()
    token = enrolment.simulation_token(study)
    assert Visitor(study, PROLIFIC_PID="sim-1-1", SIMULATED=token).arrive().status_code == 403
    assert Participant.objects.count() == 1


@pytest.mark.django_db
def test_a_forged_mark_is_refused(study: Study) -> None:
    token = enrolment.simulation_token(study)
    for forged in ("", "prism", token + "x", token.replace("prism", "other", 1)):
        response = Visitor(study, PROLIFIC_PID="sim-1-1", SIMULATED=forged).arrive()
        assert response.status_code == 403
        assert b"This link is not complete." in response.content
    assert not Participant.objects.exists()


@pytest.mark.django_db
def test_an_unknown_study_is_named(study: Study) -> None:
    with pytest.raises(CommandError, match=r"no study 'prims'\. Known: prism"):
        call_command("simulate", "prims")


@pytest.mark.django_db
def test_a_closed_study_is_refused(study: Study) -> None:
    Study.objects.update(state="paused")
    with pytest.raises(CommandError, match="takes nobody now"):
        call_command("simulate", study.slug)


@pytest.mark.django_db
def test_a_study_without_models_is_refused(study: Study) -> None:
    ModelEndpoint.objects.update(is_active=False)
    with pytest.raises(CommandError, match="no active model endpoint"):
        call_command("simulate", study.slug)


@pytest.mark.django_db
def test_a_server_that_is_not_there_is_named(study: Study) -> None:
    with pytest.raises(CommandError, match=r"Nothing answers at http://127\.0\.0\.1:9"):
        call_command("simulate", study.slug, base_url="http://127.0.0.1:9")


@pytest.mark.django_db
def test_a_truth_that_cannot_be_written_is_told_at_once(study: Study, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CommandError, match="can't be written"):
        call_command("simulate", study.slug, truth=tmp_path / "file" / "truth.json")


@pytest.mark.django_db
def test_nobody_comes_twice(study: Study) -> None:
    """Who finished, stopped or vanished stays away; whoever was interrupted comes back."""
    everyone = crowd.people_of(5, 10)
    assert crowd.coming(study, 5, 10) == everyone
    token = enrolment.simulation_token(study)
    for person in (
        someone(course=Course.VANISHES),
        someone(course=Course.FINISHES, is_recruited=False),
    ):
        Visitor(study, SIMULATED=token, **person.parameters).consent()
    decliner = Visitor(study, SIMULATED=token, **someone(course=Course.DECLINES).parameters)
    decliner.arrive()
    decliner.post("decline/")
    courses = Counter(person.card.course for person in crowd.coming(study, 5, 10))
    assert courses == {Course.FINISHES: 7, Course.STOPS: 1}
    Participant.objects.filter(identity__external_id="").update(completed_at="2026-01-01T00:00Z")
    assert len(crowd.coming(study, 5, 10)) == 7
    assert Decline.objects.count() == 1
