"""Endpoints from YAML: the presets that ship with Refract, and anybody's own file in their form.

Loading adds what is missing and changes nothing that is there.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from django.db import transaction
from pydantic import Field, field_validator

from collection.llm import addresses
from collection.llm.client import OURS
from collection.llm.demo import PROVIDER
from collection.models import ModelEndpoint
from surveys.instruments.load import InstrumentError, decoded, parse_as
from surveys.instruments.parts import Part

FOLDER = Path(__file__).parent / "registry_presets"

Name = Annotated[str, Field(min_length=1, max_length=100)]
Word = Annotated[str, Field(min_length=1, max_length=50)]
Price = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=6)]


class EndpointFacts(Part):
    """An endpoint in a file: ModelEndpoint's fields, the released ones by their released names."""

    long_name: Name
    short_name: Name
    longcode: Annotated[str, Field(min_length=1, max_length=10)]
    model_family: Word
    model_provider: Word
    provider_code: Word
    model_provider_type: Literal["Commerical", "Open Access"]
    model_type: Literal["Chat", "Instruct"]
    link: str = Field(default="", max_length=300)
    header: Annotated[str, Field(min_length=1)]
    default_params: dict[str, Any] = Field(default_factory=dict)
    parameters: dict[str, Any] = Field(default_factory=dict)
    litellm_model: Annotated[str, Field(min_length=1, max_length=200)]
    api_base: str = Field(default="", max_length=200)
    key_name: str = ""
    """NAME of REFRACT_KEY_NAME."""
    weight: float = Field(default=1.0, ge=0.001)
    input_price: Price | None = None
    output_price: Price | None = None
    is_active: bool = True
    tags: tuple[Word, ...] = ()
    note: str = Field(default="", max_length=300)

    @field_validator("parameters")
    @classmethod
    def can_be_sent(cls, value: dict[str, Any]) -> dict[str, Any]:
        if forbidden := sorted(OURS & set(value)):
            raise ValueError(f"Refract sends {', '.join(forbidden)} itself; leave it out")
        return value

    @field_validator("key_name")
    @classmethod
    def is_a_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Z0-9_]{0,50}", value):
            raise ValueError(
                "write the NAME of a REFRACT_KEY_NAME, in capitals; a key itself never goes here"
            )
        return value

    @field_validator("api_base")
    @classmethod
    def can_be_reached(cls, value: str) -> str:
        if value:
            try:
                addresses.check(value)
            except addresses.AddressRefused as error:
                raise ValueError(
                    f"{error}; use another server, or ask who runs this one"
                ) from error
        return value

    def as_row(self) -> ModelEndpoint:
        values = self.model_dump() | {"tags": list(self.tags)}
        return ModelEndpoint(**values, is_demo=self.litellm_model.startswith(f"{PROVIDER}/"))


class PresetFile(Part):
    title: str
    models: tuple[EndpointFacts, ...]

    @field_validator("models")
    @classmethod
    def names_differ(cls, value: tuple[EndpointFacts, ...]) -> tuple[EndpointFacts, ...]:
        if not value:
            raise ValueError("there is no model in it; add one")
        names = [facts.long_name for facts in value]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{', '.join(twice)} is there twice; remove one")
        return value


@dataclass
class Loaded:
    """What became of a file's endpoints."""

    new: list[ModelEndpoint] = field(default_factory=list)
    known: list[ModelEndpoint] = field(default_factory=list)
    different: list[ModelEndpoint] = field(default_factory=list)
    """Known under that name, with other settings, which were kept."""


def names() -> list[str]:
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def titles() -> list[tuple[str, str]]:
    """(name, title) of each preset."""
    return [(name, read(FOLDER / f"{name}.yaml").title) for name in names()]


def named(name_or_path: str) -> PresetFile:
    """A preset by name, or a file. Raises InstrumentError, one line per problem."""
    if name_or_path in names():
        return read(FOLDER / f"{name_or_path}.yaml")
    return read(Path(name_or_path))


def read(path: Path) -> PresetFile:
    try:
        data = path.read_bytes()
    except OSError as error:
        known = ", ".join(names())
        raise InstrumentError(
            f"{path}: {error.strerror or error}; name a file, or one of: {known}"
        ) from error
    return parse_as(path.name, decoded(path.name, data), PresetFile)


@transaction.atomic
def load(models: Iterable[EndpointFacts]) -> Loaded:
    loaded = Loaded()
    here = ModelEndpoint.objects.in_bulk(field_name="long_name")
    for facts in models:
        row, old = facts.as_row(), here.get(facts.long_name)
        if old is None:
            row.save()
            loaded.new.append(row)
        elif differs(old, row):
            loaded.different.append(old)
        else:
            loaded.known.append(old)
    return loaded


def differs(old: ModelEndpoint, new: ModelEndpoint) -> list[str]:
    """Fields that participants meet and that are not the same; where it is called is no matter."""
    kept = old.as_met
    return [n for n, value in new.as_met.items() if n != "api_base" and value != kept[n]]


def facts_of(endpoint: ModelEndpoint) -> dict[str, Any]:
    """As a file has them, without what is this server's own: address, key and switches."""
    left_out = {"api_base", "key_name", "is_active", "tags", "note"}
    wanted = EndpointFacts.model_fields.keys() - left_out
    values = {
        name: getattr(endpoint, name) for name in EndpointFacts.model_fields if name in wanted
    }
    for price in ("input_price", "output_price"):
        values[price] = None if values[price] is None else float(values[price])
    return values
