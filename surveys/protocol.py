"""How a study runs: the choices that a paper's method section would name.

`prism` is PRISM's design with its faults mended, `prism-2023` is how people met it, `survey` is
for instruments without conversations.
Stored with each study as JSON; this module alone knows the fields.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, model_validator

LEAST_EPSILON = 0.05
"""The least share of uniform draws: with it no model and no pair is ever impossible."""
PRISM_OPENING_REPLIES = 4


class Anchor(BaseModel):
    """An opening prompt given by the study, so that many people rate replies to the same words."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(pattern=r"^[a-z0-9_-]{1,64}$")
    text: str = Field(min_length=1, max_length=4000)
    types: tuple[str, ...] = ()
    """Conversation types that it may open; none named: all."""


class Protocol(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    slider_start: Literal["none", "middle"] = "none"
    """`middle` shows the mark at the middle and counts it if untouched, as PRISM did."""
    paradata: bool = False
    """Note visible time, changes, pastes, focus losses, viewport and kind of input."""
    paste: Literal["allow", "discourage", "block"] = "allow"
    """Into free-text fields. Never silently: discouraged and blocked ones say so."""
    conversations_per_type: int = Field(default=2, ge=1, le=10)
    conversations_in_all: dict[str, PositiveInt] = Field(default_factory=dict)
    """Conversation type -> how many the whole study needs; then it is offered no more. Types not
    named have no end."""
    max_conversations: int | None = Field(default=None, ge=1, le=100)
    """Of a person in all, of whichever types they choose; none: all of every type."""
    type_order: Literal["drawn", "fixed"] = "drawn"
    attribute_order: Literal["drawn", "fixed"] = "drawn"
    opening_models: int = Field(default=4, ge=1, le=8)
    """Replies asked for in the first turn; PRISM's pages and files have four at most."""
    candidates: Literal["models", "samples", "prompts", "varied"] = "models"
    """What the replies of the first turn come from: different models; one model sampled several
    times; one model under several system prompts; one call that asks for replies which differ."""
    assignment: Literal["uniform", "least_seen", "weighted", "stratified", "fixed"] = "uniform"
    """Which models are drawn: see `collection.assignment`."""
    epsilon: float = Field(default=0.1, ge=LEAST_EPSILON, le=1)
    """Share of draws that are uniform all the same; not with `fixed`."""
    model_sets: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """`fixed` only: arm -> model names. Each person is in one arm, drawn with equal chances."""
    system_prompts: dict[str, str] = Field(default_factory=dict)
    """`prompts` only: arm -> system prompt; {header} is the model's own, {system_string} the one
    that the participant wrote in the survey."""
    anchors: tuple[Anchor, ...] = ()
    anchored_per_type: int = Field(default=1, ge=1, le=10)
    """How many of a person's conversations of each type open with an anchor, if there are any."""
    min_opening_replies: int = Field(default=2, ge=1, le=8)
    on_failure: Literal["drop", "replace", "hold"] = "drop"
    """What becomes of a model that fails in the first turn: it is dropped; replaced once by a
    model not drawn yet; or asked again until `hold_for` have answered, when the rest is cut."""
    hold_for: PositiveInt | None = None
    """`hold` only. The fewer, the more fast models are favoured."""
    continuing_replies: int = Field(default=2, ge=2, le=2)
    reply_limit_s: float = Field(default=30.0, gt=0, le=120)
    """Strict: nobody waits longer for the replies of a turn."""
    further_tries: int = Field(default=3, ge=0, le=10)
    """How often a person may ask again when too few models answered."""
    min_turns: int = Field(default=2, ge=2)
    advised_turns: tuple[int, int] = (2, 10)
    max_turns: int | None = Field(default=22, ge=2)
    prompt_limit: int = Field(default=4000, ge=100)
    """Characters of a prompt."""
    markup: Literal["plain", "markdown"] = "plain"
    """How replies are shown. Formatting is a known confound."""
    self_naming: Literal["flag", "mask"] = "flag"
    """What happens where a reply says which model it is: the researcher is told; or it is also
    masked for the participant, with both texts kept."""

    @model_validator(mode="after")
    def limits_agree(self) -> Self:
        if self.max_turns is not None and self.max_turns < self.min_turns:
            raise ValueError("max_turns must be at least min_turns")
        if self.min_opening_replies > self.opening_models:
            raise ValueError("min_opening_replies must be at most opening_models")
        return self

    @model_validator(mode="after")
    def choices_have_what_they_need(self) -> Self:
        if (self.assignment == "fixed") != bool(self.model_sets):
            raise ValueError("model_sets belong to the assignment `fixed`, which needs them")
        if not all(self.model_sets.values()):
            raise ValueError("each of model_sets needs at least one model")
        if (self.candidates == "prompts") != bool(self.system_prompts):
            raise ValueError("system_prompts belong to the candidates `prompts`, which need them")
        if (self.on_failure == "hold") != (self.hold_for is not None):
            raise ValueError("hold_for belongs to the policy `hold`, which needs it")
        if self.hold_for and not self.min_opening_replies <= self.hold_for <= self.opening_models:
            raise ValueError("hold_for must lie between min_opening_replies and opening_models")
        if self.on_failure == "replace" and self.candidates != "models":
            raise ValueError("only different models can be replaced by another")
        if len({anchor.code for anchor in self.anchors}) < len(self.anchors):
            raise ValueError("two anchors have the same code")
        return self

    @property
    def repeats_models(self) -> bool:
        """One model may give several replies of the first turn, which PRISM's files never have."""
        return self.candidates != "models"

    @property
    def shows_more_than_prism(self) -> bool:
        return self.opening_models > PRISM_OPENING_REPLIES

    def anchors_of(self, conversation_type: str) -> list[Anchor]:
        return [a for a in self.anchors if not a.types or conversation_type in a.types]

    @property
    def untouched_counts(self) -> bool:
        return self.slider_start == "middle"


PRESETS = {
    "survey": Protocol(name="survey"),
    "prism": Protocol(name="prism", paradata=True, paste="discourage"),
    "prism-2023": Protocol(
        name="prism-2023",
        slider_start="middle",
        type_order="fixed",
        attribute_order="fixed",
        min_opening_replies=1,
        max_turns=None,
    ),
    "quick-pilot": Protocol(
        name="quick-pilot",
        paradata=True,
        paste="discourage",
        conversations_per_type=1,
        max_conversations=1,
    ),
    "personalisation": Protocol(
        name="personalisation",
        paradata=True,
        paste="discourage",
        candidates="prompts",
        opening_models=2,
        system_prompts={
            "plain": "{header}",
            "personal": "{header}\n\nThe person you are talking with has asked for this: "
            "{system_string}",
        },
    ),
}
