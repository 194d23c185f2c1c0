"""How a study runs: the choices that a paper's method section would name.

`prism` is PRISM's design with its faults mended, `prism-2023` is how people met it, `survey` is
for instruments without conversations.
Stored with each study as JSON; this module alone knows the fields.
"""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


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
    type_order: Literal["drawn", "fixed"] = "drawn"
    attribute_order: Literal["drawn", "fixed"] = "drawn"
    opening_models: int = Field(default=4, ge=1, le=4)
    min_opening_replies: int = Field(default=2, ge=1, le=4)
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

    @model_validator(mode="after")
    def limits_agree(self) -> Self:
        if self.max_turns is not None and self.max_turns < self.min_turns:
            raise ValueError("max_turns must be at least min_turns")
        if self.min_opening_replies > self.opening_models:
            raise ValueError("min_opening_replies must be at most opening_models")
        return self

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
}
