"""Who is asked for the replies of a turn, with which words before the conversation, and how
probable that was."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, F
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import assignment, endpoints
from collection.llm import varied
from collection.models import Conversation, ModelCall, ModelEndpoint
from surveys.draws import rng
from surveys.errors import DomainError
from surveys.models import Participant, Study
from surveys.protocol import Protocol

FAILED = ("timeout", "error", "empty", "cancelled")
SYSTEM_STRING = "system_string"
"""The codebook's name of the question that asks for one."""
PLACEHOLDER = re.compile(r"\{(header|system_string)\}")


@dataclass(frozen=True)
class Asked:
    """One call to be made."""

    endpoint: ModelEndpoint
    header: str
    arm: str = ""
    replies: int = 1


@dataclass(frozen=True)
class Plan:
    """The calls of one attempt, in draw order, and how they were drawn (see `assignment.Draw`)."""

    strategy: str
    eligible: list[int]
    asked: list[Asked]
    arm: str = ""
    inclusion: Mapping[int, float] = field(default_factory=dict)
    pairs: Mapping[tuple[int, int], float] = field(default_factory=dict)

    @property
    def drawn(self) -> list[int]:
        return [asked.endpoint.pk for asked in self.asked]


def for_opening(conversation: Conversation, attempt: int) -> Plan:
    """A fresh draw for each attempt. Raises DomainError if no model can be drawn."""
    participant, protocol = conversation.participant, conversation.participant.protocol
    arm = model_set_of(participant)
    known = {endpoint.pk: endpoint for endpoint in drawable(participant, arm)}
    wanted = 1 if protocol.repeats_models else protocol.opening_models
    usable = endpoints.awake(known, wanted, timezone.now())
    draw = assignment.draw(
        "uniform" if protocol.assignment == "fixed" else protocol.assignment,
        sorted(usable),
        wanted,
        conversation.seed,
        attempt,
        epsilon=protocol.epsilon,
        **history(participant.study, protocol),
        weights={pk: endpoint.weight for pk, endpoint in usable.items()},
    )
    drawn = [known[pk] for pk in draw.drawn]
    return Plan(
        protocol.assignment,
        draw.eligible,
        asked_first(conversation, drawn, arm, attempt),
        arm,
        draw.inclusion,
        draw.pairs,
    )


def for_continuing(conversation: Conversation) -> Plan:
    """The model that was locked in, under the system prompt that was chosen with it."""
    participant = conversation.participant
    endpoint = as_met(participant, endpoints.get(conversation.endpoint_id))
    asked = Asked(endpoint, header(participant, endpoint, conversation.arm), conversation.arm)
    return Plan(
        "locked",
        [endpoint.pk],
        [asked] * participant.protocol.continuing_replies,
        conversation.arm,
        {endpoint.pk: 1.0},
    )


def replacement(
    conversation: Conversation, eligible: list[int], used: set[int], attempt: int, slot: int
) -> Asked | None:
    """A model for a slot whose model failed, from those not drawn; None if there is none left."""
    left = sorted(set(eligible) - used)
    if not left:
        return None
    pk = rng(conversation.seed, "replacement", attempt, slot).choice(left)
    participant = conversation.participant
    endpoint = as_met(participant, endpoints.get(pk))
    return Asked(endpoint, endpoint.header, model_set_of(participant))


def model_set_of(participant: Participant) -> str:
    """The person's arm where the protocol has fixed sets of models, else empty."""
    sets = sorted(participant.protocol.model_sets)
    return rng(participant.seed, "model_set").choice(sets) if sets else ""


def drawable(participant: Participant, arm: str) -> list[ModelEndpoint]:
    """The active endpoints of the person's version that have money left, as they were in it.

    Raises DomainError without any.
    """
    if participant.version is None:
        active = endpoints.active_in(participant.study_id)
    else:
        active = endpoints.active_named(tuple(participant.version.endpoints_json))
    if arm:
        names = participant.protocol.model_sets[arm]
        active = [row for row in active if row.long_name in names]
    found = [as_met(participant, row) for row in active if endpoints.has_money(row)]
    if not found:
        raise DomainError(
            "no_models",
            _("No model can be reached at the moment. Your message is kept; please come back."),
        )
    return found


def as_met(participant: Participant, endpoint: ModelEndpoint) -> ModelEndpoint:
    """With the header and the parameters that the person's version of the study has, unsaved.

    An edit would otherwise change a model in the middle of somebody's conversation.
    """
    if participant.version is None:
        return endpoint
    kept = participant.version.endpoints_json.get(endpoint.long_name)
    if kept:
        endpoint.header, endpoint.parameters = kept["header"], kept["parameters"]
        endpoint.weight = kept["weight"]
    return endpoint


def asked_first(
    conversation: Conversation, drawn: list[ModelEndpoint], arm: str, attempt: int
) -> list[Asked]:
    """arm: the person's set of models, if the protocol has sets."""
    participant, protocol = conversation.participant, conversation.participant.protocol
    match protocol.candidates:
        case "models":
            return [Asked(endpoint, endpoint.header, arm) for endpoint in drawn]
        case "samples":
            return [Asked(drawn[0], drawn[0].header, arm)] * protocol.opening_models
        case "prompts":
            arms = sorted(protocol.system_prompts)
            chosen = rng(conversation.seed, "prompts", attempt).sample(
                arms, min(protocol.opening_models, len(arms))
            )
            return [Asked(drawn[0], header(participant, drawn[0], arm), arm) for arm in chosen]
        case "varied":
            k = protocol.opening_models
            return [Asked(drawn[0], f"{drawn[0].header}\n\n{varied.instruction(k)}", arm, k)]


def header(participant: Participant, endpoint: ModelEndpoint, arm: str) -> str:
    """The system message: the endpoint's own, or that of the arm of the protocol."""
    template = participant.protocol.system_prompts.get(arm)
    if template is None:
        return endpoint.header
    words = {"header": endpoint.header, "system_string": ""}
    if "{system_string}" in template:
        row = participant.responses.filter(question=SYSTEM_STRING).first()
        words["system_string"] = row.value.get("text", "") if row else ""
    return PLACEHOLDER.sub(lambda found: words[found[1]], template).strip()


def history(study: Study, protocol: Protocol) -> dict[str, Any]:
    """What the strategy wants to know of earlier openings: nothing, `seen` or `met`.

    Counted are models that were drawn and did not fail, those still answering included.
    """
    if protocol.assignment not in ("least_seen", "stratified"):
        return {}
    calls = ModelCall.objects.filter(
        attempt__interaction__conversation__participant__study=study,
        attempt__interaction__turn=0,
        is_replacement=False,
    ).exclude(outcome__in=FAILED)
    if protocol.assignment == "least_seen":
        rows = calls.values_list("endpoint").annotate(n=Count("attempt", distinct=True)).order_by()
        return {"seen": dict(rows)}
    pairs = (
        calls.filter(attempt__calls__endpoint__gt=F("endpoint"))
        .exclude(attempt__calls__outcome__in=FAILED)
        .values_list("endpoint", "attempt__calls__endpoint")
        .annotate(n=Count("attempt", distinct=True))
        .order_by()
    )
    return {"met": {(low, high): n for low, high, n in pairs}}
