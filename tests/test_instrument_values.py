"""The values survey: nothing in Refract is PRISM's alone."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.utils import translation
from django.utils.translation import gettext

from collection import demo, standing
from collection.export.tables import CONSENT, CONSENT_AGE
from collection.simulation import crowd, filling
from collection.simulation.pages import Page as Seen
from collection.simulation.people import Person as Somebody
from collection.simulation.understanding import understood
from config.journey import progress_of
from surveys import answers
from surveys.instruments.languages import in_language, missing
from surveys.instruments.load import FOLDER, read_consent, read_file
from surveys.instruments.review import review
from surveys.models import Assignment, Participant, Study
from tests.walk import Person

LANGUAGES = ("en", "es", "ar")
ORIGINAL = read_file(FOLDER / "values.yaml")
CONSENTS = ("prism-consent.yaml", "values-consent.yaml")


@pytest.fixture
def study(db: None) -> Study:
    return demo.load_values_study()


class Walker(Person):
    """Answers as a simulated person would, from the forms that are shown."""

    def __init__(self, study: Study, number: int = 1, **parameters: str) -> None:
        super().__init__(study, **parameters)
        self.somebody = Somebody(99, number)
        self.texts: list[str] = []

    def seen(self, path: str = "next/") -> Seen:
        response = self.get(path)
        text = response.content.decode()
        self.texts.append(text)
        url = response.request["PATH_INFO"]
        return Seen(f"http://testserver{url}", response.status_code, text)

    def walk(self) -> list[str]:
        """From consent to the end; the codes of the pages, in the order they came."""
        self.consent()
        codes: list[str] = []
        while self.row.survey_finished_at is None:
            codes.append(self.answer_one())
        return codes

    def answer_one(self, **decided: str) -> str:
        page = self.seen()
        (form,) = [form for form in page.forms if form.draft.startswith("survey/")]
        code = form.draft.partition("/")[2]
        asked = self.row.file.page(code)
        assert asked
        said = understood(self.somebody, asked.questions, page.language or "", form.attempts())
        filled = filling.fill(self.somebody, form, decided, understood=said)
        response = self.post(f"survey/{code}/", filled)
        assert response.status_code == 200, page.errors
        return code


def test_it_works(study: Study) -> None:
    somebody = Walker(study)
    codes = somebody.walk()
    assert codes[:2] == ["welcome", "neighbours"]
    row = somebody.row
    assert row.completed_at
    assert set(answers.shown_values(row)) <= {q.code for q in row.file.questions()}
    done = somebody.seen()
    assert done.end == "done"
    assert study.completion_code in done.text
    assert not [text for text in somebody.texts if "onversation" in text]


def test_it_asks_ten_questions_of_as_many_kinds_as_it_can() -> None:
    kinds = Counter(question.type for question in ORIGINAL.file.questions())
    assert kinds.total() == 10
    assert set(kinds) == {
        *("ordinal", "number", "ranking", "likert", "matrix", "single"),
        *("attention", "text", "slider", "multiple"),
    }
    assert ORIGINAL.file.conversation is None


def test_nothing_is_left_to_mend() -> None:
    """Every branch can be reached, everything is released, no text lacks a language."""
    assert review(ORIGINAL.document, ORIGINAL.file).findings == ()
    assert ORIGINAL.file.spoken == LANGUAGES
    assert list(missing(read_consent(FOLDER / "values-consent.yaml"))) == []


@pytest.mark.parametrize("language", ["es", "ar"])
def test_translations_are_none_of_the_original(language: str) -> None:
    """A text that was forgotten reads as in English."""
    own, other = (texts(in_language(ORIGINAL.document, code)) for code in ("en", language))
    assert own.keys() == other.keys()
    shown = re.compile(r"(title|text|label|low|high|text\[\d+\])$")
    codebook = re.compile(r"^variants|questions\[\d+\]\.label$")
    read = [place for place in own if shown.search(place) and not codebook.search(place)]
    assert len(read) > 60
    assert [place for place in read if own[place] == other[place]] == []


def texts(part: Any, place: str = "") -> dict[str, str]:
    if isinstance(part, dict):
        found = [texts(value, f"{place}.{key}".lstrip(".")) for key, value in part.items()]
    elif isinstance(part, list):
        found = [texts(value, f"{place}[{n}]") for n, value in enumerate(part)]
    else:
        return {place: part} if isinstance(part, str) else {}
    return {key: text for one in found for key, text in one.items()}


@pytest.mark.parametrize("language", ["es", "ar"])
def test_what_a_text_repeats_it_repeats_in_every_language(language: str) -> None:
    own, other = (texts(in_language(ORIGINAL.document, code)) for code in ("en", language))
    for place, text in own.items():
        assert re.findall(r"\{\{ (\w+)", text) == re.findall(r"\{\{ (\w+)", other[place]), place


def test_the_consent_speaks_of_buttons_by_their_names() -> None:
    document = read_consent(FOLDER / "values-consent.yaml")
    for language in LANGUAGES:
        said = json.dumps(in_language(document, language), ensure_ascii=False)
        with translation.override(language):
            for button in ("Pause or leave", "Prefer not to say"):
                assert gettext(button) in said, (language, button)


@pytest.mark.parametrize("name", CONSENTS)
def test_people_tick_what_the_release_says_they_ticked(name: str) -> None:
    document = in_language(read_consent(FOLDER / name), "en")
    assert document["consent"]["label"] == CONSENT
    assert document["certificate"]["label"] == CONSENT_AGE


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_whole_survey_in_each_language(study: Study, language: str) -> None:
    somebody = Walker(study, lang=language)
    somebody.walk()
    done = somebody.seen()
    assert done.end == "done"
    pages = [Seen("http://testserver/", 200, text) for text in somebody.texts]
    assert {page.language for page in pages} == {language}
    is_rtl = {'dir="rtl"' in page.text.partition("<head>")[0] for page in pages}
    assert is_rtl == {language == "ar"}
    assert set(somebody.row.responses.values_list("language", flat=True)) == {language}
    title = in_language(ORIGINAL.document, language)["pages"][0]["title"]
    assert title in somebody.texts[0]


def test_twenty_people_are_divided_evenly(study: Study) -> None:
    first: Counter[str] = Counter()
    for number in range(1, 21):
        somebody = Walker(study, number)
        codes = somebody.walk()
        arm = Assignment.objects.get(participant=somebody.row).arm
        assert [code for code in codes if code.startswith("letters")] == [f"letters_{arm}"]
        assert codes[1] == "neighbours"
        first[codes[2]] += 1
    arms = Counter(Assignment.objects.values_list("arm", flat=True))
    assert arms == {"right": 10, "wrong": 10}
    assert set(first) == {"good_life", "everyday", "decide"}


def test_both_wordings_say_the_same() -> None:
    """94 right of 100 and 6 wrong of 100, in every language; the rest is the same text."""
    for language in LANGUAGES:
        document = in_language(ORIGINAL.document, language)
        block = next(entry for entry in document["pages"] if entry.get("block") == "letters")
        right, wrong = (page["text"] for page in block["pages"])
        assert right[0] == wrong[0]
        numbers = [re.findall(r"\d+", text[1]) for text in (right, wrong)]
        assert numbers == [["94", "100"], ["6", "100"]]


@pytest.mark.parametrize(
    ("hardest", "is_asked"),
    [("belief", True), ("nothing", False), ("prefer_not_to_say", False)],
)
def test_who_names_something_is_asked_about_it(study: Study, hardest: str, is_asked: bool) -> None:
    somebody = Walker(study, lang="es")
    somebody.consent()
    while somebody.answer_one(hardest=hardest) != "disagreement":
        pass
    page = somebody.seen()
    assert ("/survey/talking/" in page.url) == is_asked
    assert ("Usted eligió «La religión y las creencias»" in page.text) == is_asked


def test_the_header_counts_this_survey_alone(study: Study) -> None:
    somebody = Walker(study)
    somebody.consent()
    begun = progress_of(somebody.row)
    assert begun.detail == "page 1 of 9"
    assert begun.left in ("About 3 minutes left", "About 4 minutes left", "About 5 minutes left")
    assert [weight for weight, _percent in begun.pieces] == [1, 4, 1]
    while somebody.row.survey_finished_at is None:
        somebody.answer_one()
    assert progress_of(somebody.row).pieces == [(1, 100), (4, 100), (1, 100)]


def test_the_desk_knows_where_they_stand(study: Study) -> None:
    somebody = Walker(study)
    somebody.consent()
    assert stage(somebody) == "Survey, page 1 of 9"
    while somebody.row.survey_finished_at is None:
        somebody.answer_one()
    assert stage(somebody) == "Done"


def stage(somebody: Walker) -> str:
    row = standing.with_stage(Participant.objects.filter(pk=somebody.row.pk)).get()
    return standing.in_words(row)


@pytest.mark.parametrize("path", ["instructions/", "conversations/", "c/1/"])
def test_nobody_is_led_to_conversations(study: Study, path: str) -> None:
    somebody = Walker(study)
    somebody.consent()
    if path != "c/1/":
        assert somebody.seen(path).url.endswith("/survey/welcome/")
    while somebody.row.survey_finished_at is None:
        somebody.answer_one()
    response = somebody.get(path)
    if path == "c/1/":
        assert response.status_code == 404
    else:
        assert response.request["PATH_INFO"].endswith("/done/")
    assert (
        somebody.post("conversations/", {"type": "unguided"})
        .request["PATH_INFO"]
        .endswith("/done/")
    )


@pytest.mark.parametrize("path", ["leave/", "information/", "consent/"])
def test_the_pages_around_speak_of_no_conversations(study: Study, path: str) -> None:
    somebody = Walker(study)
    somebody.arrive()
    assert "onversation" not in somebody.seen(path).text
    somebody.consent()
    assert "onversation" not in somebody.seen(path).text


def test_who_withdraws_is_told_without_conversations(study: Study) -> None:
    somebody = Walker(study)
    somebody.walk()
    stopped = somebody.post("stop/", {"withdraw": "on"})
    assert stopped.request["PATH_INFO"].endswith("/stopped/")
    assert b"onversation" not in stopped.content
    assert somebody.row.withdrawn_at


def test_loading_the_demo_again_changes_nothing(study: Study, capsys: Any) -> None:
    Study.objects.filter(pk=study.pk).update(title="Mine")
    call_command("demo", base_url="http://127.0.0.1:1")
    assert "http://127.0.0.1:1/s/values/?lang=es" in capsys.readouterr().out
    assert Study.objects.get(slug="values").title == "Mine"
    assert Study.objects.count() == 2


def test_it_is_released_and_sound(study: Study, tmp_path: Path, capsys: Any) -> None:
    for number, language in enumerate(LANGUAGES, start=1):
        Walker(study, number, lang=language).walk()
    folder = tmp_path / "release"
    call_command("export", study.slug, out=folder)
    capsys.readouterr()
    call_command("validate", folder)
    assert capsys.readouterr().out == ""
    rows = [json.loads(line) for line in (folder / "survey.jsonl").read_text().splitlines()]
    assert [row["language"] for row in rows] == list(LANGUAGES)
    assert {row["consent"] for row in rows} == {CONSENT}
    assert all(row["survey_only"] and row["num_completed_conversations"] == 0 for row in rows)
    assert {row["framing"] for row in rows} == {"right", "wrong"}


def test_simulated_people_come_in_all_its_languages() -> None:
    people = crowd.people_of(1, 20)
    assert {person.language(LANGUAGES) for person in people} == set(LANGUAGES)
    assert {person.language(["en"]) for person in people} == {"en"}
