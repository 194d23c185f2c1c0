"""In which language people meet a study: by link, by choice, by browser, and never by accident."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from django.test import Client
from django.utils import translation

from collection.simulation.pages import Page as SimulatedPage
from collection.simulation.walk import leading_on
from surveys import languages
from surveys.instruments.load import keep, parse
from surveys.languages import Language, accepted, choose, closest, offered
from surveys.models import Identity, Participant, Response, Study, TranslationReview
from tests.servers import Refract
from tests.walk import Person

INSTRUMENT = """
instrument: bread
title: Bread
language: en
languages: [en, es, ar, zh-hans]
attribution: Ours.
pages:
  - code: taste
    title: {en: Your taste, es: Su gusto, ar: ذوقك, zh-hans: 您的口味}
    questions:
      - code: crust
        type: single
        text: {en: "Crust or crumb?", es: "¿Miga?", ar: القشرة أم اللب؟, zh-hans: 皮还是心？}
        options:
          - {code: crust, label: {en: Crust, es: Corteza, ar: القشرة, zh-hans: 面包皮}}
          - {code: crumb, label: {en: Crumb, es: Miga, ar: اللب, zh-hans: 面包心}}
      - code: why
        type: text
        text: {en: "Why?", es: "¿Por qué?", ar: لماذا؟, zh-hans: 为什么？}
  - code: home
    title: {en: Your home, es: Su casa, ar: منزلك, zh-hans: 您的家}
    questions:
      - code: land
        type: country
        text: {en: "Where do you live?", es: "¿Dónde vive?", ar: أين تعيش؟, zh-hans: 您住在哪里？}
"""
CONSENT: dict[str, Any] = {
    "version": "1",
    "language": "en",
    "languages": ["en", "es", "ar", "zh-hans"],
    "title": {"en": "About bread", "es": "Sobre el pan", "ar": "عن الخبز", "zh-hans": "关于面包"},
    "lede": {"en": "Please read.", "es": "Lea, por favor.", "ar": "اقرأ.", "zh-hans": "请阅读。"},
    "facts": [],
    "sections": [{"heading": "1", "paragraphs": ["Write to {contact_email}."]}],
    "certificate": {"legend": "Age", "label": "I am 18"},
    "consent": {"legend": "Consent", "label": "Yes"},
}
TASTE = {"crust": "crumb", "why": "It is soft."}


@pytest.fixture
def study(db: None) -> Study:
    """Bread, offered in English, Spanish and Arabic; nobody has reviewed the Chinese."""
    instrument = keep(parse("bread.yaml", INSTRUMENT))
    for language in ("es", "ar"):
        TranslationReview.objects.create(
            instrument=instrument, language=language, reviewer="Ana Ruiz"
        )
    return Study.objects.create(
        state=Study.State.LIVE,
        slug="bread",
        title="Bread",
        instrument=instrument,
        consent_document=CONSENT,
        languages=["es", "ar", "zh-hans"],
        locale="us",
        contact_name="Ada",
        contact_email="ada@example.org",
        ethics_reference="REC-1",
        ethics_contact="rec@example.org",
    )


def browsing(study: Study, accepts: str, **parameters: str) -> Person:
    """Somebody whose browser asks for languages; they have opened the study's link."""
    person = Person(study, **parameters)
    person.client = Client(headers={"accept-language": accepts})
    person.arrive()
    return person


def language_of(page: Any) -> str:
    """The page's language, and its direction if it is not the usual one."""
    found = re.search(r'<html lang="([^"]*)"(?: dir="(\w+)")?>', page.content.decode())
    assert found
    return " ".join(part for part in found.groups() if part)


def codes(study: Study) -> list[str]:
    return [language.code for language in offered(study, study.instrument)]


def test_it_works(study: Study) -> None:
    """A whole survey in Arabic, from the link to the release's own codes."""
    person = Person(study, lang="ar")
    page = person.arrive()
    assert language_of(page) == "ar rtl"
    assert "عن الخبز" in page.content.decode() and "بدء الدراسة" in page.content.decode()
    page = person.post("consent/", {"consent_age": "on", "consent": "on"})
    assert language_of(page) == "ar rtl"
    assert "القشرة أم اللب؟" in page.content.decode()
    page = person.post("survey/taste/", TASTE)
    assert "أين تعيش؟" in page.content.decode() and "كندا" in page.content.decode()
    assert language_of(person.post("survey/home/", {"land": "CAN"})) == "ar rtl"
    assert person.row.language == "ar"
    assert dict(person.row.responses.values_list("question", "language")) == {
        "crust": "ar",
        "why": "ar",
        "land": "ar",
    }
    assert person.row.responses.get(question="crust").value["choice"] == "crumb"


# What is offered


def test_the_instruments_own_language_comes_first(study: Study) -> None:
    study.languages = ["ar", "es", "en", "es"]
    assert codes(study) == ["en", "ar", "es"]


def test_an_unreviewed_translation_is_not_offered(study: Study) -> None:
    assert codes(study) == ["en", "es", "ar"]
    person = Person(study, lang="zh-hans")
    assert language_of(person.arrive()) == "en"
    person.post("language/?to=zh-hans")
    assert person.row.language == "en"


def test_a_review_is_of_one_version(study: Study) -> None:
    newer = keep(parse("bread.yaml", INSTRUMENT.replace("attribution: Ours.", "attribution: Us.")))
    study.instrument = newer
    assert codes(study) == ["en"]


def test_a_demo_offers_unreviewed_translations_as_drafts(study: Study) -> None:
    Study.objects.update(is_demo=True)
    study.refresh_from_db()
    assert [lang for lang in offered(study, study.instrument) if lang.is_draft] == [
        Language("zh-hans", is_draft=True)
    ]
    page = Person(study).arrive().content.decode()
    assert re.search(r"简体中文</button>\s*<i>\(draft\)</i>", page)
    assert not re.search(r"Español</button>\s*<i>", page)


def test_a_language_that_the_instrument_lacks_is_not_offered(study: Study) -> None:
    study.languages = ["fr", "es"]
    TranslationReview.objects.create(
        instrument=study.instrument, language="fr", reviewer="Ana Ruiz"
    )
    assert codes(study) == ["en", "es"]


def test_a_language_that_the_consent_text_lacks_is_not_offered(study: Study) -> None:
    study.consent_document = CONSENT | {"languages": ["en", "es"]}
    assert codes(study) == ["en", "es"]


def test_a_language_that_the_interface_lacks_is_not_offered(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(languages, "INTERFACE", {"en": "English", "es": "Español"})
    assert codes(study) == ["en", "es"]


def test_without_translations_nothing_is_asked_of_the_database(
    study: Study, django_assert_num_queries: Callable[..., Any]
) -> None:
    study.languages = []
    with django_assert_num_queries(0):
        assert codes(study) == ["en"]


def test_a_language_says_its_own_name() -> None:
    assert [Language(code).name for code in ("ar", "zh-hans", "nl", "xx")] == [
        "العربية",
        "简体中文",
        "Nederlands",
        "xx",
    ]
    assert (Language("ar").direction, Language("de").direction) == ("rtl", "ltr")


# What is chosen

OFFERED = ("en", "es", "pt", "ar", "zh-hans")


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ("es", "es"),
        ("ES", "es"),
        ("es-MX", "es"),
        ("pt_BR", "pt"),
        ("ar-EG", "ar"),
        ("zh", "zh-hans"),
        ("zh-CN", "zh-hans"),
        ("zh-Hans-CN", "zh-hans"),
        ("zh-TW", None),
        ("zh-Hant-HK", None),
        ("fr", None),
        ("e", None),
        ("", None),
        ("*", None),
        ("-", None),
        ("es\x00", None),
        ("a-" * 4000, None),
    ],
)
def test_the_closest_language(wanted: str, found: str | None) -> None:
    assert closest(wanted, OFFERED) == found


def test_a_browsers_languages_come_by_their_weight() -> None:
    assert accepted("de;q=0.5, AR-EG, es;q=0.8") == ["ar-eg", "es", "de"]
    assert accepted("") == [] and accepted("\x00;;q=") == []


def test_the_first_wanted_language_wins_or_else_the_instruments_own() -> None:
    both = (Language("en"), Language("es"))
    assert choose(both, ["fr", "", "es", "en"]) == "es"
    assert choose(both, ["fr"]) == "en"
    assert choose((Language("sw"),), ["en"]) == "sw"


@pytest.mark.parametrize("parameter", ["lang", "language"])
def test_a_link_goes_before_the_browser(study: Study, parameter: str) -> None:
    person = browsing(study, "es", **{parameter: "ar"})
    assert language_of(person.get()) == "ar rtl"


def test_a_link_goes_before_what_was_chosen_before(study: Study) -> None:
    person = browsing(study, "en")
    person.client.get("/s/bread/", {"lang": "ar"})
    assert person.row.language == "ar"


def test_a_choice_goes_before_the_browser(study: Study) -> None:
    person = browsing(study, "es")
    assert language_of(person.get()) == "es"
    person.post("language/?to=ar")
    assert language_of(person.get()) == "ar rtl"


def test_the_browser_decides_else(study: Study) -> None:
    assert browsing(study, "fr-CA, es-MX;q=0.8, ar;q=0.5").row.language == "es"
    assert browsing(study, "fr").row.language == "en"


def test_the_language_stays_on_another_device(study: Study) -> None:
    key = browsing(study, "es").row.key
    elsewhere = Client(headers={"accept-language": "ar"})
    page = elsewhere.get(f"/s/bread/p/{key}/", follow=True)
    assert language_of(page) == "es"


def test_a_personal_link_may_say_the_language(study: Study) -> None:
    person = browsing(study, "es")
    person.client.get(f"/s/bread/p/{person.row.key}/?lang=ar")
    assert person.row.language == "ar"


def test_a_link_with_an_unknown_language_is_harmless(study: Study) -> None:
    for asked in ("xx", "../es", "\x00", "es" * 300):
        assert Person(study, lang=asked).arrive().status_code == 200
    assert set(Participant.objects.values_list("language", flat=True)) == {"en"}


def test_what_a_link_says_of_the_language_identifies_nobody(study: Study) -> None:
    Person(study, lang="ar", language="es").arrive()
    assert not Identity.objects.exists()
    Person(study, lang="ar", source="forum").arrive()
    assert Identity.objects.get().parameters == {"source": "forum"}


def test_a_language_that_was_withdrawn_is_left(study: Study) -> None:
    person = Person(study, lang="ar")
    person.arrive()
    TranslationReview.objects.filter(language="ar").delete()
    assert language_of(person.get()) == "en"
    assert person.row.language == "en"


# Switching


def test_a_switch_shows_the_same_page(study: Study) -> None:
    person = browsing(study, "en")
    page = person.post("language/?to=ar&from=/s/bread/consent/")
    assert page.redirect_chain == [("/s/bread/consent/", 302)]
    assert language_of(page) == "ar rtl"


def test_a_switch_keeps_what_stands_in_the_page(study: Study) -> None:
    """Without a script, too: the buttons send the page's own form."""
    person = browsing(study, "en")
    page = person.consent()
    found = re.search(r'<button form="page-form" formaction="([^"]+)"[^>]*lang="ar"', html(page))
    assert found and '<form method="post" id="page-form"' in html(page)
    address = found[1].replace("&amp;", "&")
    half = {"crust": "crumb", "why": "Because it"}
    page = person.client.post(address, half, follow=True)
    assert page.redirect_chain == [("/s/bread/survey/taste/", 302)]
    assert language_of(page) == "ar rtl"
    assert "Because it</textarea>" in html(page)
    assert re.search(r'value="crumb" checked', html(page))
    assert not Response.objects.exists()


def html(page: Any) -> str:
    text: str = page.content.decode()
    return text


def test_a_switch_answers_nothing_and_loses_nothing(study: Study) -> None:
    person = browsing(study, "en")
    person.consent()
    person.post("survey/taste/", TASTE)
    person.post("language/?to=es&from=/s/bread/survey/home/&draft=survey/home", {"land": "CAN"})
    page = person.get()
    assert language_of(page) == "es"
    assert "Canadá" in html(page)
    assert sorted(Response.objects.values_list("question", "language")) == [
        ("crust", "en"),
        ("why", "en"),
    ]
    person.post("survey/home/", {"land": "CAN"})
    assert Response.objects.get(question="land").language == "es"


def test_a_switch_before_consent_keeps_no_draft(study: Study) -> None:
    person = browsing(study, "en")
    person.post("language/?to=es&draft=survey/taste", {"why": "Because"})
    assert person.row.language == "es"
    assert not person.row.drafts.exists()


@pytest.mark.parametrize(
    "page", ["", "https://example.org/", "//example.org/", "/s/other/", "/admin/", "/s/bread"]
)
def test_a_switch_leads_nowhere_else(study: Study, page: str) -> None:
    person = browsing(study, "en")
    response = person.client.post(f"/s/bread/language/?to=es&from={page}")
    assert response["Location"] == "/s/bread/next/"


def test_a_switch_needs_a_form(study: Study) -> None:
    person = browsing(study, "en")
    person.get("language/?to=es")
    assert person.row.language == "en"


def test_a_stranger_has_nothing_to_switch(study: Study) -> None:
    assert Client().post("/s/bread/language/?to=es")["Location"] == "/s/bread/"


def test_there_is_no_switch_where_there_is_no_choice(study: Study) -> None:
    person = browsing(study, "en")
    assert 'class="languages"' in html(person.get())
    Study.objects.update(languages=[])
    assert 'class="languages"' not in html(person.get())


def test_the_switch_names_each_language_in_itself(study: Study) -> None:
    page = html(browsing(study, "es").get())
    assert '<b lang="es" aria-current="true">Español</b>' in page
    assert re.search(r'lang="ar" dir="rtl">العربية</button>', page)
    assert "简体中文" not in page


def test_simulated_people_see_no_question_in_the_switch(study: Study) -> None:
    page = SimulatedPage("/s/bread/consent/", 200, html(browsing(study, "en").get()))
    assert "language" in [form.purpose for form in page.forms]
    assert [form.purpose for form in leading_on(page)] == ["consent"]


# Pages without a participant


def test_consent_is_to_the_text_that_was_shown(study: Study) -> None:
    in_spanish, in_english = browsing(study, "es"), browsing(study, "en")
    for person in (in_spanish, in_english):
        person.post("consent/", {"consent_age": "on", "consent": "on"})
    texts = [person.row.consent.text for person in (in_spanish, in_english)]
    assert [text.document["title"] for text in texts] == ["Sobre el pan", "About bread"]
    assert [person.row.consent.sha256 for person in (in_spanish, in_english)] == [
        text.sha256 for text in texts
    ]


def test_pages_of_a_study_speak_to_strangers_too(study: Study) -> None:
    stranger = Client(headers={"accept-language": "ar"})
    page = stranger.get("/s/bread/information/")
    assert language_of(page) == "ar rtl" and "عن الخبز" in html(page)
    assert language_of(stranger.get("/s/bread/declined/")) == "ar rtl"
    assert language_of(stranger.get("/s/bread/information/?lang=es")) == "es"
    assert not Participant.objects.exists()


def test_a_refusal_is_in_the_readers_language(study: Study) -> None:
    Study.objects.update(state="paused")
    page = Client(headers={"accept-language": "es"}).get("/s/bread/")
    assert page.status_code == 403
    assert language_of(page) == "es"
    assert "no admite nuevos participantes" in html(page)


def test_a_form_without_its_token_is_refused_in_the_readers_language(study: Study) -> None:
    strict = Client(enforce_csrf_checks=True, headers={"accept-language": "es"})
    page = strict.post("/s/bread/consent/")
    assert page.status_code == 403
    assert language_of(page) == "es" and "Su navegador" in html(page)


def test_errors_in_a_form_are_in_the_readers_language(study: Study) -> None:
    page = browsing(study, "ar").post("consent/", {})
    assert "يُرجى تحديد هذا المربع" in html(page)


def test_a_missing_page_of_nobodys_is_in_english(study: Study) -> None:
    page = Client(headers={"accept-language": "ar"}).get("/nothing/")
    assert page.status_code == 404 and language_of(page) == "en"


# Nobody else's language


def test_the_next_request_starts_afresh(study: Study) -> None:
    assert language_of(Person(study, lang="ar").arrive()) == "ar rtl"
    assert translation.get_language() == "en"
    spanish = Client(headers={"accept-language": "es"})
    assert language_of(spanish.get("/")) == "en"
    assert '<html lang="en"' in html(spanish.get("/admin/login/"))


def test_a_request_that_fails_leaves_no_language_behind(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object) -> None:
        raise RuntimeError("broken")

    person = Person(study, lang="ar")
    person.arrive()
    person.client.raise_request_exception = False
    monkeypatch.setattr("surveys.enrolment.show_consent", broken)
    assert person.get().status_code == 500
    assert translation.get_language() == "en"


TRANSLATED = """
from surveys.models import Instrument, Study
study = Study.objects.get(slug="prism")
known = study.instrument
languages = ["en", "es", "ar"]
# A version of its own: a process may have read the other one already, which never changes.
study.instrument, _is_new = Instrument.objects.get_or_create(
    sha256="7" * 64,
    defaults={
        "slug": known.slug,
        "title": known.title,
        "document": {**known.document, "languages": languages},
    },
)
study.consent_document["languages"] = languages
study.languages = languages[1:]
study.save()
"""
ASKED = ["ar", "en", "es", "xx"] * 15


def test_many_at_once_do_not_mix(embedded: Refract) -> None:
    """Threads serve one person after another: none may hear the language of the one before."""
    embedded.manage("shell", "-c", TRANSLATED)

    def ask(language: str) -> list[str]:
        with httpx.Client(base_url=embedded.url, follow_redirects=True) as browser:
            browser.headers["Accept-Language"] = language
            pages = [browser.get(path) for path in ("/s/prism/", "/s/prism/next/", "/", "/no/")]
            return [language_of(page) for page in pages]

    with ThreadPoolExecutor(12) as people:
        heard = list(people.map(ask, ASKED))
    own = {"ar": "ar rtl", "es": "es"}
    assert heard == [[own.get(asked, "en")] * 2 + ["en", "en"] for asked in ASKED]
