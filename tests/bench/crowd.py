"""A study as large as PRISM, or of any size, as if its people had walked through it.

Made directly in the database, in seconds, and the same each time: every draw has the seed of its
person or conversation and is drawn by the study's own functions. `manage.py validate` finds
nothing to say about its release, which `tests/test_crowd.py` asserts at a small size.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cache
from itertools import count
from random import Random
from typing import Any, NamedTuple

from django.contrib.auth.models import User
from django.db.models import Max, Model

from collection import assignment, coding, personal, quality
from collection.detectors import local_detectors_of
from collection.models import (
    Alert,
    Attempt,
    AttributeRating,
    Conversation,
    Description,
    Detection,
    EndpointTest,
    Feedback,
    Interaction,
    Judgement,
    ModelCall,
    ModelEndpoint,
    QualityRun,
    Release,
    ReplyReport,
    Reservation,
    Review,
    TextReview,
    Utterance,
)
from collection.simulation import people as simulated
from collection.simulation import words
from collection.written import Kind, Written, typed
from surveys import versions
from surveys.draws import rng
from surveys.enrolment import consent_of
from surveys.instruments.load import FOLDER, read_consent, store
from surveys.instruments.schema import (
    Country,
    FreeText,
    InstrumentFile,
    Multiple,
    Page,
    Question,
    Single,
    Sliders,
)
from surveys.models import (
    AuditEntry,
    Consent,
    ConsentText,
    Decline,
    Delivery,
    Identity,
    Membership,
    Order,
    PageVisit,
    Participant,
    ProblemReport,
    QuotaCell,
    QuotaClaim,
    QuotaTable,
    Recruitment,
    Response,
    Study,
    Submission,
    WithdrawalReceipt,
    fingerprint,
)
from surveys.sheet import Sheet
from tests.bench.bulk import Json, Values, as_json, write

SLUG = "prism"
OWNER, COLLEAGUE = "researcher", "colleague"
SEED = 1
START = datetime(2026, 3, 1, 9, 0, tzinfo=UTC)
DAYS = 30
PEOPLE_AT_ONCE = 50
MODELS = 21
TYPES = ("unguided", "values guided", "controversy guided")
MOST_CONVERSATIONS = 6
MOST_TURNS = 22
OPENING_REPLIES = 4
LEFT_SHARE = 0.06
"""People beside those of the survey file: who left, was screened out, or came for the pilot."""
REPLY_LIMIT_S = 30.0
FOUND = {"pii": {"found": []}, "language": {"language": "en", "probability": 0.99}}
"""Detector -> what it is said to have found in each text, so that a release runs none."""


class Size(NamedTuple):
    """Rows of the release's files; its metadata has a row for each text of theirs."""

    people: int
    conversations: int
    turns: int
    replies: int

    @property
    def texts(self) -> int:
        return 2 * self.people + self.conversations + self.turns + self.replies


PRISM = Size(people=1_500, conversations=8_011, turns=27_172, replies=68_371)
SURVEY_ONLY = 104


def size_for(people: int) -> Size:
    """In PRISM's proportions."""
    return Size(people, *(round(people * rows / PRISM.people) for rows in PRISM[1:]))


@dataclass(frozen=True)
class Talk:
    """One conversation to be made."""

    turns: int
    opening_replies: int


def talks_of_all(size: Size) -> list[list[Talk]]:
    """Per person, in the order in which people come: the sums are those of the size."""
    random = Random(SEED)
    numbers = conversations_of_all(size, random)
    turns = [2] * size.conversations
    for _turn in range(size.turns - 2 * size.conversations):
        turns[another(random, turns, MOST_TURNS)] += 1
    opening = size.replies - 2 * (size.turns - size.conversations)
    replies = [OPENING_REPLIES] * size.conversations
    for _reply in range(OPENING_REPLIES * size.conversations - opening):
        replies[another(random, replies, OPENING_REPLIES + 1, least=3)] -= 1
    talks = map(Talk, turns, replies)
    return [[next(talks) for _talk in range(number)] for number in numbers]


def conversations_of_all(size: Size, random: Random) -> list[int]:
    survey_only = round(size.people * SURVEY_ONLY / PRISM.people)
    numbers = [MOST_CONVERSATIONS] * (size.people - survey_only)
    for _fewer in range(sum(numbers) - size.conversations):
        numbers[another(random, numbers, MOST_CONVERSATIONS + 1, least=2)] -= 1
    numbers += [0] * survey_only
    random.shuffle(numbers)
    return numbers


def another(random: Random, values: Sequence[int], below: int, least: int = 0) -> int:
    """An index whose value may still change."""
    while True:
        index = random.randrange(len(values))
        if least <= values[index] < below:
            return index


# The study


def make(people: int = PRISM.people) -> Study:
    """The study with its owner, endpoints, places and people. The database has none of it yet."""
    study = make_study()
    grow(study, people)
    return study


def grow(study: Study, people: int, first: int = 0) -> None:
    """People beyond the first, and what the desk has done about them."""
    write(Crowd(study, size_for(people), first).batches())
    code(study)


def code(study: Study) -> None:
    """Of every four strings one waits for all, one for the owner, and two differ about one."""
    coding.sync(study)
    rows = study.descriptions.filter(category="", judgements=None).order_by("pk")
    given: list[Judgement] = []
    for number, row in enumerate(rows):
        names = [*coding.choices(coding.questions(study)[row.question])]
        said = [[], [(COLLEAGUE, 0)], [(COLLEAGUE, 0), (OWNER, 1)], [(COLLEAGUE, 0), (OWNER, 0)]]
        given += [
            Judgement(description=row, round=1, researcher_name=name, category=names[place])
            for name, place in said[number % 4]
        ]
        if number % 4 == 3:
            row.category, row.way, row.settled_at = names[0], Description.Way.AGREED, START
            row.save()
    Judgement.objects.bulk_create(given)


def make_study() -> Study:
    study = Study.objects.create(
        slug=SLUG,
        state=Study.State.LIVE,
        title="PRISM",
        instrument=store(FOLDER / "prism.yaml"),
        consent_document=read_consent(FOLDER / "prism-consent.yaml"),
        budget_usd=Decimal(50_000),
        expected_people=PRISM.people,
        locale="us",
        contact_name="Ada",
        contact_email="ada@example.org",
        ethics_reference="REC-1",
        ethics_contact="rec@example.org",
        payment="£9.00",
        completion_url="https://recruiter.example/done?cc={code}",
        return_url="https://recruiter.example/return",
    )
    study.endpoints.set(make_endpoint(number) for number in range(MODELS))
    owner = User.objects.create(username=OWNER, is_staff=True)
    Membership.objects.create(user=owner, study=study, role=Membership.Role.OWNER)
    versions.record(study, "The study begins.", OWNER)
    text = consent_of(Participant(study=study, instrument=study.instrument))
    ConsentText.objects.create(
        study=study, version=text["version"], sha256=fingerprint(text), document=text
    )
    make_quotas(study)
    for country in simulated.RESIDENCE:
        Recruitment.objects.create(
            study=study,
            name=country,
            state=Recruitment.State.LIVE,
            locale=country.lower(),
            places=100,
            reward=900,
            external_id=f"study-{country}",
            token=f"token-{country}",
        )
    for edition in (1, 2):
        Release.objects.create(
            study=study,
            edition=edition,
            state=Release.State.READY,
            asked_by=OWNER,
            file_name=f"{SLUG}-{edition}.0.zip",
            counts={"people": 0, "rows": {"survey.jsonl": 0}, "changes": ["Made up."]},
            disclosure={"ids_looked_for": 0, "cells": None},
            size=0,
        )
    return study


def make_endpoint(number: int) -> ModelEndpoint:
    endpoint = ModelEndpoint.objects.create(
        long_name=f"vendor/model-{number}",
        short_name=f"model-{number}",
        longcode=f"M{number}",
        model_family=f"Family {number % 7}",
        model_provider="OpenAI",
        provider_code="openai",
        model_provider_type="Open Access",
        model_type="Chat",
        header="You are a conversational assistant. Limit your answers to around 50 words.",
        parameters={"temperature": 1.0, "top_p": 0.9, "max_tokens": 256},
        litellm_model=f"openai/model-{number}",
        api_base="https://models.example.org/v1",
    )
    EndpointTest.objects.create(
        endpoint=endpoint,
        settings_mark=endpoint.settings_mark,
        outcome=ModelCall.Outcome.OK,
        text="Hello.",
        latency_ms=900 + number,
        author=OWNER,
    )
    return endpoint


def make_quotas(study: Study) -> None:
    """With a place for everybody, as a table has that turned nobody away."""
    table = QuotaTable.objects.create(study=study, name="Gender and age", fields=["gender", "age"])
    ages = [age for age in simulated.CHOICES["age"] if age != "prefer_not_to_say"]
    kinds = [{"gender": [gender], "age": [age]} for gender in ("male", "female") for age in ages]
    for position, values in enumerate(kinds):
        QuotaCell.objects.create(
            table=table, position=position, values=values, key=fingerprint(values), target=10_000
        )


# Its people


class Texts:
    """What models say: composed from a pool, since writing millions would take minutes."""

    def __init__(self) -> None:
        random = Random(SEED)
        odd = ["Oui – c’est “ça”.", "第一,请听。", "Naïve? 🙂", "One line\u2028and another."]
        own = [words.self_description(random) for _text in range(300)]
        self._pool = [*own, *(words.open_feedback(random) for _text in range(300)), *odd]

    def reply(self, random: Random) -> str:
        return " ".join(random.choices(self._pool, k=1 + int(random.random() ** 2 * 5)))


class Crowd:
    """Makes the rows of people one after the other. `rows` are those not written yet."""

    def __init__(self, study: Study, size: Size, first: int = 0) -> None:
        """first: the number of its first person, beyond those of the crowd that is there."""
        self.study = study
        self.size = size
        self.first = first
        self.file = study.instrument.file
        self.version = study.versions.get()
        self.consent = ConsentText.objects.get(study=study)
        self.recruitments = {row.name: row for row in study.recruitments.all()}
        self.endpoints = {row.pk: row for row in study.endpoints.order_by("pk")}
        self.table = study.quotas.get()
        self.cells = {tuple(v[0] for v in c.values.values()): c for c in self.table.cells.all()}
        self.owner = User.objects.get(username=OWNER)
        self.texts = Texts()
        self.rows: dict[type[Model], list[Values]] = defaultdict(list)
        self.parameters = {pk: Json(as_json(e.parameters)) for pk, e in self.endpoints.items()}
        self.detectors = [
            (one.name, one.version, Json(as_json(FOUND[one.name])))
            for one in local_detectors_of(study)
            if one.name in FOUND
        ]
        self.checks = [(check.name, check.version) for check in quality.CHECKS.values()]

    def add(self, model: type[Model], **values: Any) -> int:
        """The key of the row."""
        key = next(keys_of(model))
        self.rows[model].append({"id": key, **values})
        return key

    def batches(self) -> Iterator[dict[type[Model], list[Values]]]:
        keys_of.cache_clear()
        self.about_study()
        for index, talks in enumerate(talks_of_all(self.size)):
            at = START + index * timedelta(days=DAYS) / self.size.people
            Walk(self, self.first + index, at).all(talks)
            if index % PEOPLE_AT_ONCE == PEOPLE_AT_ONCE - 1:
                yield self.rows
                self.rows = defaultdict(list)
        for index in range(self.size.people, round(self.size.people * (1 + LEFT_SHARE))):
            Walk(self, self.first + index, START + timedelta(days=DAYS)).part()
        yield self.rows

    def about_study(self) -> None:
        for number in range(max(1, self.size.people // 30)):
            day = START + timedelta(hours=number)
            self.add(Decline, study_id=self.study.pk, date=day.date(), source="open link")
        for number in range(max(1, self.size.people // 200)):
            self.add(
                WithdrawalReceipt,
                study_id=self.study.pk,
                code=f"W-{self.first + number}",
                by="participant",
                at=START,
                counts={"conversations": 6},
            )
        for number, kind in enumerate(Alert.Kind.values):
            self.add(
                Alert,
                study_id=self.study.pk,
                kind=kind,
                words=f"Alert {number}.",
                began_at=START,
                seen_at=START,
                over_at=START + timedelta(hours=1),
            )


@cache
def keys_of(model: type[Model]) -> Iterator[int]:
    last: int = model._default_manager.aggregate(last=Max("pk"))["last"] or 0
    return count(last + 1)


@dataclass
class Line:
    """What a slider's record holds."""

    random: Random
    person: simulated.Person

    @property
    def record(self) -> dict[str, Any]:
        return {
            "was_touched": True,
            "first_value": self.random.randint(1, 100),
            "first_by": self.person.first_by,
            "moves": self.random.randint(1, 9),
            "ms_to_first_touch": self.random.randint(300, 9_000),
        }


class Walk:
    """One person's part in the study."""

    def __init__(self, crowd: Crowd, number: int, at: datetime) -> None:
        self.crowd = crowd
        self.add = crowd.add
        self.number = number
        self.at = at
        self.random = rng(SEED, "crowd", number)
        self.person = simulated.Person(SEED, number + 1)
        self.seed = self.random.getrandbits(62)
        self.recruitment = crowd.recruitments[self.person.choices["reside_country"]]
        self.line = Line(self.random, self.person)
        self.key = next(keys_of(Participant))
        self.texts: list[Written] = []

    def all(self, talks: Sequence[Talk]) -> None:
        """They do everything that they were to do; without a conversation, the survey alone."""
        sheet, key = self.answered(), self.key
        done = self.survey(key, sheet, sheet.pages)
        self.talked_until = done + timedelta(minutes=3)
        order = self.types()
        for number, talk in enumerate(talks, start=1):
            self.talk(key, number, order[number - 1], talk)
        finished = self.talked_until if talks else None
        self.arrived(
            key,
            survey_finished_at=done,
            instructed_at=done + timedelta(minutes=1) if talks else None,
            completed_at=finished,
        )
        self.claimed(key, sheet, done, "confirmed" if talks else "claimed")
        self.reviewed(key, finished)
        self.detected(done)

    def part(self) -> None:
        """They leave in the survey, or come for the pilot and finish that."""
        sheet, key = self.answered(), self.key
        pages = sheet.pages[: self.random.randint(1, len(sheet.pages))]
        left = self.survey(key, sheet, pages)
        is_pilot = len(pages) == len(sheet.pages)
        way = self.random.choice(("stopped_at", "screened_at", ""))
        ends: dict[str, Any] = {"survey_finished_at": left} if is_pilot else {}
        if way and not is_pilot:
            ends = {way: left} | ({"screen_reason": "quota"} if way == "screened_at" else {})
        self.arrived(key, is_pilot=is_pilot, **ends)
        if is_pilot:
            self.detected(left)

    def types(self) -> list[str]:
        """Two of each, in any order; one of each at first, so that few people miss a type."""
        return [
            *self.random.sample(TYPES, len(TYPES)),
            *self.random.sample(TYPES, len(TYPES)),
        ]

    def arrived(self, key: int, **moments: Any) -> None:
        crowd = self.crowd
        self.crowd.rows[Participant].append(
            {
                "id": key,
                "study_id": crowd.study.pk,
                "instrument_id": crowd.study.instrument_id,
                "version_id": crowd.version.pk,
                "key": f"key-{self.number}",
                "seed": self.seed,
                "recruitment_id": self.recruitment.external_id,
                "came_by_id": self.recruitment.pk,
                "is_recruited": True,
                "language": "en",
                "arrived_at": self.at,
                "consent_shown_at": self.at + timedelta(seconds=2),
                **moments,
            }
        )
        self.add(
            Identity,
            participant_id=key,
            study_id=crowd.study.pk,
            external_id=f"person-{self.number}",
            session_id=f"session-{self.number}",
        )
        self.add(
            Consent,
            participant_id=key,
            text_id=crowd.consent.pk,
            version=crowd.consent.version,
            sha256=crowd.consent.sha256,
            given_at=self.at + timedelta(seconds=60),
        )
        self.submitted(key, moments.get("completed_at"))
        self.add(
            Reservation,
            participant_id=key,
            study_id=crowd.study.pk,
            amount_usd=Decimal("0.1"),
            spent_usd=Decimal("0.02"),
            created_at=self.at,
            closed_at=moments.get("completed_at"),
        )

    def submitted(self, key: int, finished: datetime | None) -> None:
        submission = self.add(
            Submission,
            recruitment_id=self.recruitment.pk,
            participant_id=key,
            external_id=f"session-{self.number}",
            person=f"person-{self.number}",
            status="approved" if finished else "active",
            status_at=finished or self.at,
            outcome="complete" if finished else "",
            started_at=self.at,
            completed_at=finished,
            created_at=self.at,
            decision="approve" if finished else "",
            decided_by=OWNER if finished else "",
            decided_at=finished,
        )
        if finished:
            self.add(
                Delivery,
                recruitment_id=self.recruitment.pk,
                submission_id=submission,
                kind="approve",
                key=f"approve-{self.number}",
                state="done",
                next_try_at=finished,
                created_at=finished,
                done_at=finished,
            )

    # The survey

    def answered(self) -> Sheet:
        """With an answer to each question, whether or not it is shown."""
        values = {q.code: self.answer(q) for q in self.crowd.file.questions()}
        return Sheet(self.crowd.file, self.seed, {}, values)

    def answer(self, question: Question) -> dict[str, Any]:
        draw = self.random
        match question:
            case Single(code=code):
                options = [option.code for option in question.options]
                chosen = self.person.choices.get(code) or draw.choice(options)
                is_own = chosen == question.self_describe
                text = draw.choice(simulated.DESCRIBED[f"{code}_text"]) if is_own else None
                return {"choice": chosen, "text": text}
            case Country(code=code):
                return {"choice": self.person.choices[code], "text": None}
            case Multiple():
                codes = [option.code for option in question.options]
                return {"chosen": draw.sample(codes, draw.randint(1, 6)), "other_text": None}
            case Sliders():
                scores = {item.code: draw.randint(0, 100) for item in question.statements}
                return {"scores": scores, "other_text": None}
            case FreeText(code="system_string"):
                return {"text": words.system_string(draw)}
            case FreeText():
                return {"text": words.self_description(draw)}
        raise AssertionError(question)

    def survey(self, key: int, sheet: Sheet, pages: Sequence[Page]) -> datetime:
        """When the last of the pages was sent."""
        at = self.at + timedelta(seconds=70)
        for page in pages:
            sent = at + timedelta(seconds=self.random.randint(10, 120))
            codes = [question.code for question in page.questions]
            self.add(
                PageVisit,
                participant_id=key,
                page=page.code,
                shown_at=at,
                sent_at=sent,
                paradata=self.noted(codes),
            )
            for question in page.questions:
                self.response(key, question, sheet.values[question.code], sent)
            for scope, order in sheet.orders(page).items():
                self.add(Order, participant_id=key, scope=scope, codes=order)
            at = sent
        return at

    def response(
        self, key: int, question: Question, value: Mapping[str, Any], at: datetime
    ) -> None:
        touches = {
            code: {
                "first": self.random.randint(0, 100),
                "first_by": self.person.first_by,
                "moves": 2,
                "ms": self.random.randint(300, 9_000),
            }
            for code in value.get("scores", ())
        }
        row = self.add(
            Response,
            participant_id=key,
            question=question.code,
            value=value,
            touches=touches,
            language="en",
            answered_at=at,
        )
        if text := typed(value):
            self.wrote(Kind.ANSWER, row, text)

    def noted(self, questions: Sequence[str]) -> dict[str, Any]:
        notes = {
            code: {
                "visible_ms": self.random.randint(2_000, 60_000),
                "changes": self.random.randint(1, 9),
                "pastes": 0,
                "pasted_share": None,
            }
            for code in questions
        }
        load = {
            "visible_ms": self.random.randint(9_000, 90_000),
            "focus_losses": self.random.randint(0, 2),
            "viewport_width": 1280,
            "viewport_height": 800,
            "input": "mouse",
            "nth": 0,
            "questions": notes,
        }
        return {f"{self.random.getrandbits(64):016x}": load}

    def claimed(self, key: int, sheet: Sheet, at: datetime, state: str) -> None:
        kind = tuple(sheet.values[name]["choice"] for name in ("gender", "age"))
        cell = self.crowd.cells.get(kind)
        self.add(
            QuotaClaim,
            participant_id=key,
            table_id=self.crowd.table.pk,
            cell_id=cell.pk if cell else None,
            people="live",
            state=state,
            claimed_at=at,
            confirmed_at=at if state == "confirmed" else None,
        )

    # Conversations

    def talk(self, person: int, number: int, kind: str, talk: Talk) -> None:
        draw, started = self.random, self.talked_until
        seed = draw.getrandbits(62)
        key = next(keys_of(Conversation))
        about = words.topic(draw, kind)
        history: list[dict[str, str]] = []
        endpoint = 0
        for turn in range(talk.turns):
            prompt = words.follow_up(draw, about) if turn else words.opening(draw, kind, about)
            history.append({"role": "user", "content": prompt})
            chosen, reply = self.turn(key, seed, turn, history, endpoint, talk)
            history.append({"role": "assistant", "content": reply})
            endpoint = endpoint or chosen
        finished = self.talked_until + timedelta(seconds=5)
        self.rate(key)
        text = words.open_feedback(draw)
        row = self.add(
            Feedback,
            conversation_id=key,
            open_feedback=text,
            created_at=finished + timedelta(seconds=60),
        )
        self.wrote(Kind.FEEDBACK, row, text)
        self.talked_until = finished + timedelta(seconds=61)
        self.crowd.rows[Conversation].append(
            {
                "id": key,
                "participant_id": person,
                "number": number,
                "conversation_type": kind,
                "state": "complete",
                "seed": seed,
                "endpoint_id": endpoint,
                "started_at": started,
                "finished_at": finished,
                "closed_at": finished + timedelta(seconds=60),
            }
        )
        if draw.random() < 0.01:
            self.add(
                ProblemReport,
                participant_id=person,
                page=f"/s/{SLUG}/c/{number}/",
                text=draw.choice(words.PROBLEMS),
                created_at=finished,
            )

    def turn(
        self,
        conversation: int,
        seed: int,
        turn: int,
        history: Sequence[Mapping[str, str]],
        endpoint: int,
        talk: Talk,
    ) -> tuple[int, str]:
        """The endpoint and the words of the reply that was chosen. endpoint: 0 in the opening."""
        crowd, draw = self.crowd, self.random
        asked_at = self.talked_until + timedelta(seconds=draw.randint(10, 60))
        rated_at = asked_at + timedelta(seconds=draw.randint(10, 60))
        self.talked_until = rated_at
        interaction = self.add(
            Interaction,
            conversation_id=conversation,
            turn=turn,
            user_prompt=history[-1]["content"],
            state="rated",
            created_at=asked_at,
            rated_at=rated_at,
            layout={"columns": 2, "width": 1280, "height": 800},
        )
        self.wrote(Kind.PROMPT, interaction, history[-1]["content"])
        drawn = self.attempt(interaction, seed, endpoint, asked_at)
        failed = draw.sample(range(OPENING_REPLIES), OPENING_REPLIES - talk.opening_replies)
        shown: list[tuple[int, int, str]] = []
        for slot, model in enumerate(drawn[1]):
            is_ok = bool(endpoint) or slot not in failed
            text = crowd.texts.reply(draw) if is_ok else ""
            call = self.call(drawn[0], slot, model, history, text, asked_at)
            if is_ok:
                shown.append((call, model, text))
        return self.show(interaction, seed, turn, shown)

    def attempt(
        self, interaction: int, seed: int, endpoint: int, at: datetime
    ) -> tuple[int, list[int]]:
        """Its key, and the endpoints asked."""
        if endpoint:
            found = assignment.Draw([endpoint], [endpoint] * 2, {endpoint: 1.0}, {})
        else:
            models = list(self.crowd.endpoints)
            found = assignment.draw("uniform", models, OPENING_REPLIES, seed, 0)
        key = self.add(
            Attempt,
            interaction_id=interaction,
            number=0,
            eligible=found.eligible,
            drawn=found.drawn,
            strategy="locked" if endpoint else "uniform",
            inclusion=found.inclusion,
            pairs=[[*pair, chance] for pair, chance in found.pairs.items()],
            request_id=f"{self.random.getrandbits(64):016x}",
            started_at=at,
            deadline=at + timedelta(seconds=REPLY_LIMIT_S),
            lease_until=at + timedelta(seconds=REPLY_LIMIT_S),
            settled_at=at + timedelta(seconds=4),
        )
        return key, found.drawn

    def call(
        self,
        attempt: int,
        slot: int,
        endpoint: int,
        history: Sequence[Mapping[str, str]],
        text: str,
        at: datetime,
    ) -> int:
        system = {"role": "system", "content": self.crowd.endpoints[endpoint].header}
        latency = self.random.randint(500, 3_900) if text else 30_000
        return self.add(
            ModelCall,
            attempt_id=attempt,
            slot=slot,
            endpoint_id=endpoint,
            messages=[system, *history],
            parameters=self.crowd.parameters[endpoint],
            outcome="ok" if text else "timeout",
            text=text,
            error_class="" if text else "Timeout",
            error_message="" if text else "No reply within 30 s",
            finish_reason="stop" if text else "",
            latency_ms=latency,
            prompt_tokens=40 * len(history) if text else None,
            completion_tokens=len(text) // 4 if text else None,
            cost_usd=Decimal(len(text)).scaleb(-6) if text else None,
            started_at=at,
            ended_at=at + timedelta(milliseconds=latency),
        )

    def show(
        self, interaction: int, seed: int, turn: int, shown: Sequence[tuple[int, int, str]]
    ) -> tuple[int, str]:
        scores = [self.random.randint(1, 100) for _reply in shown]
        places = assignment.screen_positions(len(shown), seed, turn)
        chosen, tied = assignment.choose(scores, seed, turn)
        for index, (call, endpoint, text) in enumerate(shown):
            utterance = self.add(
                Utterance,
                interaction_id=interaction,
                call_id=call,
                endpoint_id=endpoint,
                within_turn_id=index,
                position=places[index],
                model_response=text,
                score=scores[index],
                if_chosen=index == chosen,
                was_tied=len(tied) > 1 and index in tied,
                **self.line.record,
            )
            self.wrote(Kind.REPLY, utterance, text)
            if self.random.random() < 0.003:
                self.add(
                    ReplyReport,
                    utterance_id=utterance,
                    reason=self.random.choice(words.REPORTS),
                    created_at=self.talked_until,
                )
        return shown[chosen][1], shown[chosen][2]

    def rate(self, conversation: int) -> None:
        for kind, statements in scales(self.crowd.file).items():
            order = assignment.attribute_order(statements, self.seed, kind)
            for position, attribute in enumerate(order):
                is_na = self.random.random() < simulated.NOT_APPLICABLE.get(
                    attribute, simulated.RARELY
                )
                self.add(
                    AttributeRating,
                    conversation_id=conversation,
                    kind=kind,
                    attribute=attribute,
                    position=position,
                    value=None if is_na else self.random.randint(1, 100),
                    **self.line.record,
                )

    # At the desk

    def wrote(self, kind: Kind, row: int, text: str) -> None:
        """text: by the person, or for them."""
        self.texts.append(Written(kind, row, self.key, text.strip()))

    def detected(self, at: datetime) -> None:
        """Detectors have seen all that they wrote; every fifth person's first text once looked
        like personal information, and half of those still wait for a reviewer."""
        for text in self.texts:
            for name, version, result in self.crowd.detectors:
                self.add(
                    Detection,
                    participant_id=self.key,
                    kind=text.kind,
                    row=text.row,
                    detector=name,
                    version=version,
                    digest=text.digest,
                    result=result,
                    found_at=at,
                )
        if self.texts and self.number % 5 == 0:
            first = self.texts[0]
            self.add(
                TextReview,
                participant_id=self.key,
                response_id=first.row,
                mark=personal.mark_of(first.text),
                found=[["pii", 0, 1]],
                is_flagged=True,
                is_personal=False if self.number % 2 else None,
            )

    def reviewed(self, key: int, finished: datetime | None) -> None:
        """Most were looked at and approved; one of twenty waits, one of fifty raised a signal."""
        if finished is None:
            return
        for index, (name, version) in enumerate(self.crowd.checks):
            is_raised = index == self.number % (len(self.crowd.checks) * 3)
            self.add(
                QualityRun,
                participant_id=key,
                check_name=name,
                version=version,
                severity="investigate" if is_raised else "",
                value=float(self.random.randint(0, 9)),
                evidence={"places": [{"conversation": 1, "turn": 0}]} if is_raised else {},
                ran_at=finished + timedelta(minutes=5),
            )
        for verb in ("saw", "decided"):
            self.audited(verb, key, finished)
        if self.number % 20:
            self.add(
                Review,
                participant_id=key,
                decision="approve",
                reviewer_id=self.crowd.owner.pk,
                reviewer_name=OWNER,
                created_at=finished + timedelta(hours=1),
            )

    def audited(self, verb: str, key: int, at: datetime) -> None:
        self.add(
            AuditEntry,
            at=at,
            actor_id=self.crowd.owner.pk,
            actor_name=OWNER,
            verb=verb,
            object_type="surveys.participant",
            object_id=str(key),
            study_id=self.crowd.study.pk,
        )


def scales(file: InstrumentFile) -> dict[str, list[str]]:
    """Kind -> codes of the attributes."""
    task = file.task
    return {
        "performance": [item.code for item in task.performance.statements],
        "choice": [item.code for item in task.choice.statements],
    }
