"""Detectors: what they find, what is kept of it, runs that stop and go on, and who may add one."""

import json
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from collection import detecting, written
from collection.detectors import Result, Unavailable, local_detectors_of
from collection.detectors.contacts import Contacts, emails
from collection.detectors.languages import Languages
from collection.detectors.presidio import Presidio
from collection.export.metadata_rows import moderation
from collection.export.tables import MODERATION
from collection.export.validate import validate
from collection.export.write import stream, write_release
from collection.models import Detection, DetectionRun, Feedback, Interaction, Moderator
from surveys import enrolment
from surveys.errors import DomainError
from surveys.models import Participant, Recruitment, Study
from tests.cast import model_server  # noqa: F401
from tests.export_cast import converse, make_person, make_study
from tests.model_server import ModelServer

pytestmark = pytest.mark.django_db

Row = dict[str, Any]
TEXTS = 2 + 1 + 2 + 6
"""Of a person with one conversation …"""
TYPED = TEXTS + 2
"""… and what they typed about themselves, which has no row of its own."""


class Toy:
    """Counts letters. The class of a further detector, as somebody else would write one."""

    name = "toy"
    title = "Letters"
    version = "1"
    is_local = True
    at_once = 4
    seen: list[str] = []
    fails = False

    def __init__(self, study: Study) -> None:
        pass

    def detect(self, texts: Sequence[str]) -> list[Result]:
        if Toy.fails:
            raise Unavailable("the toy is broken")
        Toy.seen += texts
        return [{"letters": sum(map(str.isalpha, text))} if text else None for text in texts]


@pytest.fixture
def toy(settings: Any, monkeypatch: pytest.MonkeyPatch) -> type[Toy]:
    settings.DETECTORS = [*settings.DETECTORS, "tests.test_detecting.Toy"]
    monkeypatch.setattr(Toy, "seen", [])
    return Toy


@pytest.fixture
def study(db: None, settings: Any) -> Study:
    settings.EMBEDDED = False  # no pauses for participants
    return make_study()


@pytest.fixture
def person(study: Study) -> Participant:
    person = make_person(study)
    converse(person, prompt="Write to ada@example.org or ring +44 20 7946 0958. violence")
    return person


@pytest.fixture
def moderator(study: Study, model_server: ModelServer) -> Moderator:  # noqa: F811
    return Moderator.objects.create(
        study=study,
        litellm_model="openai/moderate",
        api_base=model_server.url,
        texts_per_call=4,
        calls_per_minute=30_000,
    )


def rows_of(study: Study, name: str = "metadata") -> list[Row]:
    return [json.loads(text) for text in stream(study, name)]


def problems(folder: Path) -> list[str]:
    return [str(found) for found in validate(folder) if not found.is_note]


def work(study: Study, name: str) -> DetectionRun:
    """Run a detector as the chore does, over whatever rounds it takes."""
    detecting.ask(study, name, "ada")
    detecting.work()
    return DetectionRun.objects.get(study=study, detector=name)


def test_it_works(study: Study, person: Participant, tmp_path: Path) -> None:
    assert write_release(study, tmp_path)["metadata.jsonl"] == TEXTS
    rows = [json.loads(line) for line in (tmp_path / "metadata.jsonl").read_text().splitlines()]
    assert [row["column_id"] for row in rows] == [
        *("self_description", "system_string", "open_feedback"),
        *["user_prompt"] * 2,
        *["model_response"] * 6,
    ]
    assert [row["pii_flag"] for row in rows] == [False] * 3 + [True] * 2 + [False] * 6
    assert {row["moderation_flag"] for row in rows} == {None}
    assert (rows[3]["language_flag"], rows[3]["en_flag"]) == ("en", True)
    assert list(rows[0])[5:] == [
        *("pii_flag", "pii_manual_flag", "language_flag", "en_flag", "moderation_flag")
    ]
    flags = [json.loads(line) for line in (tmp_path / "flags.jsonl").read_text().splitlines()]
    assert len(flags) == 2 * TEXTS
    (found,) = [
        row
        for row in flags
        if row["detector"] == "pii"
        and row["interaction_id"] == "int0"
        and row["utterance_id"] is None
    ]
    assert [what for _start, _end, what in found["result"]["found"]] == [
        "EMAIL_ADDRESS",
        "PHONE_NUMBER",
    ]
    assert "ada@" not in json.dumps(flags)
    assert None not in {row["detected_datetime"] for row in flags}
    assert problems(tmp_path) == []


# What is found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("write to o'brien+x@mail.example.co.uk.", ["o'brien+x@mail.example.co.uk"]),
        ("ÄÖ@exämple.org, or a@b", ["ÄÖ@exämple.org"]),
        ("two@a.org;three@b.org", ["two@a.org", "three@b.org"]),
        ("@home is 1@2.3 and ...@example.org", []),
    ],
)
def test_email_addresses(text: str, found: list[str]) -> None:
    assert [text[start:end] for start, end, _what in emails(text)] == found


def test_telephone_numbers_are_those_of_the_studys_countries(study: Study) -> None:
    here = Contacts(study)
    assert [what for *_place, what in here.find("call (212) 736-5000 or 020 7946 0958")] == [
        "PHONE_NUMBER"
    ]
    Recruitment.objects.create(study=study, name="UK", locale="uk")
    both = Contacts(study)
    assert both.version != here.version  # so that all texts are looked at anew
    assert len(both.find("call (212) 736-5000 or 020 7946 0958")) == 2
    assert both.find("In 1912, 1 234 567 890 123 people saw 3.14159265358979 of it") == []


@given(st.text(max_size=300))
def test_spans_lie_within_any_text(text: str) -> None:
    study = Study(locale="")
    contacts = Contacts.__new__(Contacts)
    contacts.regions = ("US",)
    for start, end, _what in contacts.find(text):
        assert 0 <= start < end <= len(text)
    (said,) = Languages(study).detect([text])
    assert (said is None) == (not any(map(str.isalpha, text)))


def test_a_text_made_to_take_for_ever_does_not(study: Study) -> None:
    contacts = Contacts(study)
    assert contacts.find("@" * 100_000 + "a" * 1_000_000) == []
    assert contacts.find("a." * 300_000 + "@" + "b-" * 300_000) == []
    assert contacts.find("1" * 300_000 + "1-" * 300_000) == []


def test_presidio_takes_the_place_of_the_default(study: Study, settings: Any) -> None:
    pytest.importorskip("presidio_analyzer")
    settings.DETECTORS = ["collection.detectors.presidio.Presidio"]
    person = make_person(study)
    converse(person, prompt="My card is 4111 1111 1111 1111, my address ada@example.org.")
    flagged = [row["column_id"] for row in rows_of(study) if row["pii_flag"]]
    assert flagged == ["user_prompt"] * 2
    (pii,) = local_detectors_of(study)
    assert isinstance(pii, Presidio)
    (found,) = pii.detect(["4111 1111 1111 1111 and ada@example.org, GB82 WEST 1234 5698 7654 32"])
    assert found is not None
    assert {what for _start, _end, what in found["found"]} == {
        *("CREDIT_CARD", "EMAIL_ADDRESS", "IBAN_CODE")
    }


# What is kept


def test_nothing_is_looked_at_twice(study: Study, person: Participant, toy: type[Toy]) -> None:
    assert detecting.complete(study) == 3 * TYPED
    assert len(toy.seen) == TYPED
    assert detecting.complete(study) == 0
    before = set(Detection.objects.values_list("pk", "found_at"))
    run = work(study, "toy")
    assert (run.state, len(toy.seen)) == ("done", TYPED)
    assert set(Detection.objects.values_list("pk", "found_at")) == before


def test_a_changed_text_is_looked_at_anew(study: Study, person: Participant) -> None:
    detecting.complete(study)
    Feedback.objects.update(open_feedback="Schreiben Sie bitte an eva@example.org, und zwar bald.")
    (row,) = [row for row in rows_of(study) if row["column_id"] == "open_feedback"]
    assert (row["pii_flag"], row["language_flag"]) == (True, "de")
    (flag, *_more) = [r for r in rows_of(study, "flags") if r["column_id"] == "open_feedback"]
    assert flag["detected_datetime"] is None  # found while the file was written
    work(study, "pii")
    result = Detection.objects.get(kind="feedback", detector="pii").result
    assert result is not None and result["found"]


def test_another_version_looks_at_everything_anew(
    study: Study, person: Participant, toy: type[Toy], monkeypatch: pytest.MonkeyPatch
) -> None:
    detecting.complete(study)
    monkeypatch.setattr(toy, "version", "2")
    assert detecting.complete(study) == TYPED
    assert set(Detection.objects.filter(detector="toy").values_list("version", flat=True)) == {"2"}


def test_a_placeholder_and_a_text_without_letters_are_not_guessed_at(study: Study) -> None:
    converse(make_person(study), prompt=" ", reply="None")
    rows = [row for row in rows_of(study) if row["conversation_id"] and row["interaction_id"]]
    assert len(rows) == 8
    assert {row["language_flag"] for row in rows} == {None}
    assert {row["pii_flag"] for row in rows} == {False}


def test_a_withdrawal_erases_what_was_found(study: Study, person: Participant) -> None:
    other = make_person(study, minute=1)
    detecting.complete(study)
    enrolment.withdraw(person)
    assert set(Detection.objects.values_list("participant", flat=True)) == {other.pk}
    detector = Languages(study)
    late = written.Written("feedback", 1, person.pk, "Too late.")
    detecting.keep(detector, detecting.detect(detector, [late]))
    assert not Detection.objects.filter(participant=person).exists()


def test_a_detector_that_cannot_run_leaves_null(
    study: Study,
    person: Participant,
    toy: type[Toy],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(toy, "fails", True)
    write_release(study, tmp_path)
    assert {row["detector"] for row in rows_of(study, "flags")} == {"pii", "language"}
    assert problems(tmp_path) == []


@pytest.mark.parametrize(
    "paths",
    [
        ["collection.detectors.contacts.Contacts", "collection.detectors.presidio.Presidio"],
        ["collection.detectors.nowhere.Nobody"],
    ],
)
def test_detectors_that_do_not_fit_are_refused(
    study: Study, settings: Any, paths: list[str]
) -> None:
    settings.DETECTORS = paths
    with pytest.raises(ImproperlyConfigured, match="REFRACT_DETECTORS"):
        local_detectors_of(study)


# Moderation


def test_moderation(study: Study, person: Participant, moderator: Moderator) -> None:
    assert {row["moderation_flag"] for row in rows_of(study)} == {None}
    run = work(study, "moderation")
    assert (run.state, run.skipped, run.words) == ("done", 0, "")
    rows = rows_of(study)
    prompt = next(row["moderation_flag"] for row in rows if row["column_id"] == "user_prompt")
    assert prompt["flagged"] is True
    assert [name for name, is_so in prompt["categories"].items() if is_so] == ["violence"]
    assert tuple(prompt["category_scores"]) == MODERATION
    assert prompt["category_scores"]["violence"] == 0.99
    assert not any(row["moderation_flag"]["flagged"] for row in rows if not row["interaction_id"])
    flag = next(row for row in rows_of(study, "flags") if row["detector"] == "moderation")
    assert flag["result"]["category_scores"]["illicit/violent"] == 0.00123
    assert flag["result"]["model"] == "moderate-007"
    assert flag["version"] == "openai/moderate"


def test_what_an_endpoint_lacks_is_not_said_to_be_fine(
    study: Study, person: Participant, moderator: Moderator
) -> None:
    Moderator.objects.update(litellm_model="openai/moderate-5")
    assert work(study, "moderation").state == "done"
    assert {row["moderation_flag"] for row in rows_of(study)} == {None}
    assert len([r for r in rows_of(study, "flags") if r["detector"] == "moderation"]) == TEXTS


def test_a_run_goes_on_where_it_stopped(
    study: Study,
    person: Participant,
    moderator: Moderator,
    model_server: ModelServer,  # noqa: F811
) -> None:
    model_server.fail_next("moderate", 1)
    first = work(study, "moderation")
    assert (first.state, first.failures) == ("asked", 1)
    assert "InternalServerError" in first.words
    assert first.next_try_at > timezone.now()
    assert detecting.work() == 0  # not yet
    DetectionRun.objects.update(next_try_at=timezone.now())
    assert detecting.work() == TYPED
    last = DetectionRun.objects.get()
    assert (last.state, last.failures) == ("done", 0)
    sent = len(model_server.requests)
    detecting.ask(study, "moderation", "ada")
    assert detecting.work() == 0
    assert len(model_server.requests) == sent


def test_a_busy_endpoint_is_left_alone_as_long_as_it_asks(
    study: Study,
    person: Participant,
    moderator: Moderator,
    model_server: ModelServer,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Moderator.objects.update(litellm_model="openai/http-429")
    monkeypatch.setattr(model_server, "retry_after", "120")
    run = work(study, "moderation")
    assert run.state == "asked"
    assert run.next_try_at > timezone.now() + timedelta(seconds=100)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("openai/http-401", "AuthenticationError"),
        ("openai/no-such-model", "there is no model"),
        ("nowhere", "there is no model"),
    ],
)
def test_what_only_somebody_can_mend_stops_it(
    study: Study, person: Participant, moderator: Moderator, model: str, words: str
) -> None:
    Moderator.objects.update(litellm_model=model)
    run = work(study, "moderation")
    assert run.state == "stopped"
    assert words in run.words
    assert detecting.work() == 0


def test_a_missing_key_is_named_and_a_known_one_never(
    study: Study,
    person: Participant,
    moderator: Moderator,
    settings: Any,
    model_server: ModelServer,  # noqa: F811
) -> None:
    Moderator.objects.update(key_name="MODERATE")
    assert "REFRACT_KEY_MODERATE" in work(study, "moderation").words
    settings.MODEL_KEYS = {"MODERATE": "sk-very-secret"}
    Moderator.objects.update(litellm_model="openai/http-403")
    run = work(study, "moderation")
    assert run.state == "stopped"
    assert "very" not in run.words
    assert model_server.authorizations[-1] == "Bearer sk-very-secret"


def test_too_many_failures_stop_it(study: Study, person: Participant, moderator: Moderator) -> None:
    Moderator.objects.update(litellm_model="openai/not-json")
    detecting.ask(study, "moderation", "ada")
    for _try in range(detecting.MOST_FAILURES):
        DetectionRun.objects.update(next_try_at=timezone.now())
        detecting.work()
    run = DetectionRun.objects.get()
    assert (run.state, run.failures) == ("stopped", detecting.MOST_FAILURES - 1)
    Moderator.objects.update(litellm_model="openai/moderate")
    assert work(study, "moderation").state == "done"


def test_a_text_that_is_refused_keeps_no_other_back(
    study: Study, person: Participant, moderator: Moderator
) -> None:
    Moderator.objects.update(litellm_model="openai/moderate-refuses")
    Interaction.objects.filter(turn=0).update(user_prompt="a forbidden thing")
    run = work(study, "moderation")
    assert (run.state, run.skipped) == ("done", 1)
    nulls = [row for row in rows_of(study) if row["moderation_flag"] is None]
    assert [row["interaction_id"] for row in nulls] == ["int0"]


def test_one_run_at_a_time_and_a_dead_ones_place_is_taken(
    study: Study, person: Participant, toy: type[Toy]
) -> None:
    detecting.ask(study, "toy", "ada")
    run = detecting.claim()
    assert run is not None
    assert detecting.claim() is None
    DetectionRun.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert detecting.work() == TYPED
    assert detecting.ask(study, "toy", "ada").state == "asked"  # done: from the start
    detecting.stop(study, "toy")
    assert detecting.work() == 0
    with pytest.raises(DomainError):
        detecting.ask(study, "nobody", "ada")


scores = st.floats(0, 1, allow_nan=False)


@given(st.dictionaries(st.sampled_from([*MODERATION, "illicit"]), st.tuples(st.booleans(), scores)))
def test_a_moderation_flag_has_all_categories_or_is_null(found: dict[str, Any]) -> None:
    judged = {
        "flagged": True,
        "categories": {name: is_so for name, (is_so, _score) in found.items()},
        "category_scores": {name: score for name, (_so, score) in found.items()},
    }
    row = moderation(judged)
    assert (row is None) == (not set(MODERATION) <= set(found))
    if row is not None:
        assert row["flagged"] == any(found[name][0] for name in MODERATION)


@pytest.fixture
def folder(study: Study, person: Participant, moderator: Moderator, tmp_path: Path) -> Path:
    work(study, "moderation")
    write_release(study, tmp_path)
    return tmp_path


def changed(folder: Path, name: str, line: int, **values: Any) -> Iterator[str]:
    path = folder / name
    rows = [json.loads(text) for text in path.read_text().splitlines()]
    rows[line - 1].update(values)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    yield from (f"{found.file}:{found.rule}" for found in validate(folder) if not found.is_note)


@pytest.mark.parametrize(
    ("name", "values", "rule"),
    [
        ("flags.jsonl", {"detector": "pii", "result": {"found": [[0, 1, "X"]]}}, "flags"),
        ("flags.jsonl", {"detector": "toy"}, "missing"),
        ("flags.jsonl", {"result": []}, "type"),
        ("flags.jsonl", {"column_id": "open_feedback"}, "ids"),
        ("flags.jsonl", {"user_id": "user7"}, "reference"),
        ("flags.jsonl", {"detected_datetime": "now"}, "value"),
        ("metadata.jsonl", {"language_flag": "xx-1", "en_flag": False}, "value"),
        ("metadata.jsonl", {"language_flag": "de", "en_flag": False}, "flags"),
        ("metadata.jsonl", {"pii_flag": True}, "flags"),
        ("metadata.jsonl", {"moderation_flag": None}, "flags"),
    ],
)
def test_mutations_are_found(folder: Path, name: str, values: dict[str, Any], rule: str) -> None:
    assert problems(folder) == []
    assert rule in {found.partition(":")[2] for found in changed(folder, name, 1, **values)}


@pytest.mark.parametrize("part", ["flagged", "category_scores"])
def test_a_moderation_that_contradicts_itself(folder: Path, part: str) -> None:
    row = json.loads((folder / "metadata.jsonl").read_text().splitlines()[0])
    flag = row["moderation_flag"]
    if part == "flagged":
        flag["flagged"] = True
    else:
        flag["category_scores"]["hate"] = 0.123
    assert "metadata.jsonl:moderation" in changed(folder, "metadata.jsonl", 1, moderation_flag=flag)
