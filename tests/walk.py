"""A person who walks a study through its pages, one verb per step, with Django's test client."""

from typing import TYPE_CHECKING, Any

from django.test import Client
from django.utils import timezone

from collection.models import Conversation
from surveys import answers
from surveys.instruments.schema import Country, FreeText, Multiple, Page, Single, Sliders
from surveys.models import Participant, Study

if TYPE_CHECKING:
    from django.test.client import _MonkeyPatchedWSGIResponse as Seen

ATTRIBUTES = (
    "values",
    "fluency",
    "factuality",
    "safety",
    "diversity",
    "creativity",
    "helpfulness",
)
WORDS = "Being kind and honest matters to me. I try to listen first."


def mark(name: str, value: int) -> dict[str, str]:
    """A line as the page's script sends it once touched."""
    record = f'{{"first": {value}, "first_by": "pointer", "moves": 1, "ms": 900}}'
    return {name: str(value), f"{name}_rated": "on", f"{name}_record": record}


def answers_to(page: Page, use: str = "yes") -> dict[str, Any]:
    """Valid fields for a survey page: the first option, no own texts, every line at 70."""
    fields: dict[str, Any] = {}
    for question in page.questions:
        match question:
            case Single():
                codes = [o.code for o in question.options if o.code != question.self_describe]
                fields[question.code] = use if use in codes else codes[0]
            case Country():
                fields[question.code] = "CAN"
            case Multiple():
                fields[question.code] = [question.options[0].code, question.options[2].code]
            case Sliders():
                for item in question.statements:
                    fields |= mark(f"{question.code}_{item.code}", 70)
            case FreeText():
                fields[question.code] = WORDS
    return fields


class Person:
    """Somebody at a browser. Steps post to the real addresses and return the last response."""

    def __init__(self, study: Study, **parameters: str) -> None:
        self.study = study
        self.client = Client()
        self.parameters = parameters
        self.root = f"/s/{study.slug}/"

    def get(self, path: str = "next/") -> "Seen":
        return self.client.get(self.root + path, follow=True)

    def post(self, path: str, fields: dict[str, Any] | None = None) -> "Seen":
        return self.client.post(self.root + path, fields or {}, follow=True)

    @property
    def row(self) -> Participant:
        key = self.client.cookies[f"refract_{self.study.slug}"].value.split(":")[0]
        return Participant.objects.select_related("study", "instrument").get(key=key)

    @property
    def conversation(self) -> Conversation:
        return self.row.conversations.order_by("-number")[0]

    def arrive(self) -> "Seen":
        return self.client.get(self.root, self.parameters, follow=True)

    def consent(self) -> "Seen":
        self.arrive()
        return self.post("consent/", {"consent_age": "on", "consent": "on"})

    def answer(self, use: str = "yes") -> "Seen":
        """The next survey page."""
        page = answers.pending_page(self.row)
        assert page is not None
        response = self.post(f"survey/{page.code}/", answers_to(page, use))
        assert response.status_code == 200, page.code
        return response

    def survey(self, use: str = "yes") -> "Seen":
        self.consent()
        response = self.get()
        while self.row.survey_finished_at is None:
            response = self.answer(use)
        return response

    def ready(self) -> "Person":
        """At the hub, the survey's pages skipped: for tests that begin there."""
        self.consent()
        now = timezone.now()
        Participant.objects.filter(pk=self.row.pk).update(survey_finished_at=now, instructed_at=now)
        return self

    def start(self, conversation_type: str = "unguided") -> "Seen":
        return self.post("conversations/", {"type": conversation_type})

    def prompt(self, turn: int, text: str = "What is a good soup?") -> "Seen":
        number = self.conversation.number
        return self.post(f"c/{number}/prompt/", {"turn": turn, "prompt": text})

    def rate(self, turn: int, *values: int) -> "Seen":
        fields: dict[str, Any] = {"turn": turn}
        for position, value in enumerate(values):
            fields |= mark(f"score_{position}", value)
        return self.post(f"c/{self.conversation.number}/rate/", fields)

    def finish(self) -> "Seen":
        return self.post(f"c/{self.conversation.number}/finish/")

    def feedback(self, **other: str) -> "Seen":
        fields = feedback_fields() | {"open_feedback": "Good answers, a little long."} | other
        return self.post(f"c/{self.conversation.number}/feedback/", fields)

    def converse(self, conversation_type: str = "unguided", turns: int = 2) -> "Seen":
        """A whole conversation."""
        self.start(conversation_type)
        self.prompt(0)
        self.rate(0, *(20, 90, 40, 60)[: self.replies(0)])
        for turn in range(1, turns):
            self.prompt(turn, f"And then, {turn}?")
            self.rate(turn, 30, 55)
        self.finish()
        return self.feedback()

    def replies(self, turn: int) -> int:
        return self.conversation.interactions.get(turn=turn).utterances.count()


def feedback_fields() -> dict[str, str]:
    fields: dict[str, str] = {}
    for kind in ("performance", "choice"):
        for number, attribute in enumerate(ATTRIBUTES):
            name = f"{kind}_{attribute}"
            fields |= {f"{name}_na": "on"} if number == 3 else mark(name, 10 + number)
    return fields
