"""The rules of survey.jsonl beyond types: branches, orders, identities, places, subsets."""

from collections.abc import Iterator, Mapping
from typing import Any

from collection.export import codebook
from collection.export.codebook import (
    DECLINED,
    PREFER_NOT_TO_SAY,
    Column,
    keys,
)
from collection.export.known import Known, KnownUser
from collection.export.lines import Deviation, File, Problem, note, show
from collection.export.shape import Sequence, is_sound, row_problems
from surveys.places import Place, place, special_region

Row = Mapping[str, Any]

PUNCTUATION = "?.'\"!,;"
FORMER_NAMES = {"TUR": "Turkey", "NLD": "Netherlands, Kingdom of the"}
"""Names that other versions of pycountry have."""
SIDES = ("birth", "reside")


def check(file: File, known: Known) -> Iterator[Deviation]:
    sequence = Sequence("user")
    own_prefs = OwnPreferences()
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        row = line.row
        problems = list(row_problems(codebook.SURVEY, row))
        user_id = row.get("user_id")
        problems += sequence.problems(user_id, known.users)
        sound = is_sound(problems)
        if sound:
            problems += meaning(row)
            own_prefs.see(line.number, row["stated_prefs"])
        if isinstance(user_id, str) and user_id not in known.users:
            known.users[user_id] = known_user(row, line.number, sound)
        yield from file.at(line.number, problems)
    yield from own_prefs.deviations(file)


def known_user(row: Row, line: int, sound: bool) -> KnownUser:
    if not sound:
        return KnownUser(line, is_sound=False)
    return KnownUser(
        line,
        is_sound=True,
        completed=row["num_completed_conversations"],
        is_balanced=row["included_in_balanced_subset"],
    )


def meaning(row: Row) -> Iterator[Problem]:
    """What can be wrong with a row whose keys and types are right."""
    if row["survey_only"] != (row["num_completed_conversations"] == 0):
        yield Problem("survey-only", "survey_only is not (num_completed_conversations == 0)")
    yield from branch_problems(row)
    yield from prefs_problems(row["stated_prefs"])
    yield from order_problems(codebook.ORDER_STATED_PREFS, row["order_stated_prefs"])
    yield from identity_problems("religion", row["religion"], codebook.RELIGIONS)
    yield from identity_problems("ethnicity", row["ethnicity"], codebook.ETHNICITIES)
    yield from location_problems(row["location"])
    yield from minutes_problems(row)
    yield from sample_problems(row)
    if row["study_locale"] != row["study_locale"].lower():
        yield Problem("value", "study_locale is not lower case")


def branch_problems(row: Row) -> Iterator[Problem]:
    """Frequency and use cases are asked of those who used a model, directly or not."""
    is_asked = "Yes" in (row["lm_indirect_use"], row["lm_direct_use"])
    uses, order = row["lm_usecases"], row["order_lm_usecases"]
    selected = [uses[key] for key in keys(codebook.LM_USECASES) if key != "other_text"]
    if (row["lm_frequency_use"] is not None) != is_asked:
        yield Problem("branch", branch_message("lm_frequency_use", is_asked))
    if is_asked:
        if None in selected:
            yield Problem("branch", branch_message("lm_usecases", is_asked))
        if None in order.values():
            yield Problem("branch", branch_message("order_lm_usecases", is_asked))
        else:
            yield from order_problems(codebook.ORDER_LM_USECASES, order)
    else:
        if any(value is not None for value in uses.values()):
            yield Problem("branch", branch_message("lm_usecases", is_asked))
        if any(value is not None for value in order.values()):
            yield Problem("branch", branch_message("order_lm_usecases", is_asked))
    if uses["other_text"] is not None and uses["other"] == 0:
        yield note("other-text", "lm_usecases.other_text is typed though other is 0")


def branch_message(key: str, is_asked: bool) -> str:
    if is_asked:
        return f"{key} has nulls though a use of models is Yes"
    return f"{key} has values though no use of models is Yes"


def order_problems(column: Column, order: Row) -> Iterator[Problem]:
    if sorted(order.values()) != list(range(1, len(order) + 1)):
        yield Problem("order", f"{column.key} is no permutation of 1-{len(order)}")


def prefs_problems(prefs: Row) -> Iterator[Problem]:
    if prefs["other_text"] is not None and prefs["other"] is None:
        yield Problem("other-text", "stated_prefs.other is null though a text was typed")


class OwnPreferences:
    """stated_prefs.other without a text.

    PRISM stored its resting 50, or wherever the slider was left, in every row; then it is a quirk.
    Where some rows have null, as ours have, a value without a text is an error.
    """

    def __init__(self) -> None:
        self.rated: list[tuple[int, int]] = []
        self.has_nulls = False

    def see(self, line: int, prefs: Row) -> None:
        if prefs["other"] is None:
            self.has_nulls = True
        elif prefs["other_text"] is None:
            self.rated.append((line, prefs["other"]))

    def deviations(self, file: File) -> Iterator[Deviation]:
        for line, value in self.rated:
            message = f"stated_prefs.other is {value} though no text was typed"
            if self.has_nulls:
                yield from file.at(line, [Problem("other-text", message)])
            else:
                yield from file.at(line, [note("other-text", message)])


def identity_problems(name: str, identity: Row, categories: Mapping[str, str]) -> Iterator[Problem]:
    described = identity["self_described"]
    categorised, simplified = identity["categorised"], identity["simplified"]
    if described != described.lower() or any(mark in described for mark in PUNCTUATION):
        yield Problem("self-described", f"{name}.self_described is not cleaned: {show(described)}")
    if described == DECLINED and categorised is None:
        yield Problem("null", f"{name}.categorised is null, but declining needs no coding")
    elif described == DECLINED and categorised != PREFER_NOT_TO_SAY:
        yield Problem("identity", f"{name} was declined but is categorised {show(categorised)}")
    if (categorised is None) != (simplified is None):
        yield Problem("identity", f"{name}: only one of categorised and simplified is null")
    elif categorised is not None and categories.get(categorised) not in (None, simplified):
        yield Problem(
            "identity", f"{name}: {show(categorised)} is not simplified to {show(simplified)}"
        )


def location_problems(location: Row) -> Iterator[Problem]:
    places = {side: known_place(location[f"{side}_countryISO"]) for side in SIDES}
    for side in SIDES:
        yield from side_problems(side, location, places[side])
    declined = [location[f"{side}_countryISO"] == PREFER_NOT_TO_SAY for side in SIDES]
    same = location["same_birth_reside_country"]
    if any(declined):
        expected = PREFER_NOT_TO_SAY
    else:
        is_same = location["birth_countryISO"] == location["reside_countryISO"]
        expected = "Yes" if is_same else "No"
    if same != expected:
        message = f"same_birth_reside_country is {show(same)}, expected {show(expected)}"
        yield Problem("location", message)
    if location["birth_countryISO"] == PREFER_NOT_TO_SAY:
        region = PREFER_NOT_TO_SAY
    elif places["birth"]:
        region = special_region(places["birth"].iso3)
    else:
        return
    if location["special_region"] != region:
        yield Problem(
            "location", f"special_region is {show(location['special_region'])}, not {show(region)}"
        )


def known_place(iso3: str) -> Place | None:
    try:
        return place(iso3)
    except KeyError:
        return None


def side_problems(side: str, location: Row, home: Place | None) -> Iterator[Problem]:
    """The four fields of the country of birth or of residence."""
    fields = [f"{side}_{part}" for part in ("country", "countryISO", "region", "subregion")]
    found = [location[name] for name in fields]
    if PREFER_NOT_TO_SAY in found:
        if found != [PREFER_NOT_TO_SAY] * len(fields):
            yield Problem("location", f"{side}_*: only some fields are {PREFER_NOT_TO_SAY!r}")
        return
    if home is None:
        yield Problem("location", f"{side}_countryISO {show(found[1])} is no country's code")
        return
    for name, value, right in zip(
        fields, found, (home.name, home.iso3, home.region, home.subregion), strict=True
    ):
        if value == right:
            continue
        if name == f"{side}_country" and value == FORMER_NAMES.get(home.iso3):
            yield note("country-name", f"{name} is {show(value)}, now {show(right)}")
        else:
            yield Problem("location", f"{name} is {show(value)}, not {show(right)}")


def minutes_problems(row: Row) -> Iterator[Problem]:
    """Minutes come from the rounded seconds. Python and numpy round halves differently."""
    minutes = row["timing_duration_s"] / 60
    if row["timing_duration_mins"] not in (round(minutes, 2), round(minutes * 100) / 100):
        yield Problem(
            "timing",
            f"timing_duration_mins is {row['timing_duration_mins']}, "
            f"not {row['timing_duration_s']} s / 60",
        )


def sample_problems(row: Row) -> Iterator[Problem]:
    """Who can be in a census-representative sample (rebalanced from the balanced subset)."""
    samples = {"us": row["included_in_US_REP"], "uk": row["included_in_UK_REP"]}
    if not any(samples.values()):
        return
    if all(samples.values()):
        yield Problem("sample", "included_in_US_REP and included_in_UK_REP exclude each other")
    elif not samples.get(row["study_locale"]):
        yield Problem("sample", f"not recruited in the sample's country: {row['study_locale']}")
    if not row["included_in_balanced_subset"]:
        yield Problem("sample", "in a representative sample but not in the balanced subset")
    if row["gender"] not in ("Male", "Female"):
        yield Problem("sample", "in a representative sample without a binary gender")
    if row["age"] == PREFER_NOT_TO_SAY:
        yield Problem("sample", "in a representative sample without an age")
    if row["ethnicity"]["categorised"] in (None, PREFER_NOT_TO_SAY):
        yield Problem("sample", "in a representative sample without an ethnicity")
