"""The rules of survey.jsonl beyond types: branches, orders, identities, places, subsets.

Which of them there are follows from the instrument; those of samples are PRISM's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from collection.export.branches import branch_problems
from collection.export.check_subsets import Subsets
from collection.export.codebook import Codebook, lines_of
from collection.export.columns import is_nothing
from collection.export.derive import DECLINED, PREFER_NOT_TO_SAY, SAME, SPECIAL, sides_of
from collection.export.known import Known, KnownUser
from collection.export.lines import Deviation, File, Problem, note, show
from collection.export.merge import Version
from collection.export.shape import Sequence, is_sound, row_problems
from surveys.instruments.released import OTHER_TEXT, VERSION, column_of, companion, order_of
from surveys.instruments.schema import Country, Multiple, Question, Ranking, Sliders
from surveys.places import Place, place, special_region
from surveys.veil import REDACTED

Row = Mapping[str, Any]

PUNCTUATION = "?.'\"!,;"
FORMER_NAMES = {"TUR": "Turkey", "NLD": "Netherlands, Kingdom of the"}
"""Names that other versions of pycountry have."""


def check(
    file: File, known: Known, book: Codebook, seen: Subsets | None = None
) -> Iterator[Deviation]:
    """seen: what is told of the subsets."""
    sequence = Sequence("user", has_gaps=known.has_gaps)
    checker = Checker(book)
    for line in file.rows():
        if isinstance(line, Deviation):
            yield line
            continue
        row = line.row
        problems = list(row_problems(book.survey, row))
        user_id = row.get("user_id")
        problems += sequence.problems(user_id, known.users)
        sound = is_sound(problems)
        if sound:
            problems += checker.meaning(line.number, row)
            if seen is not None:
                seen.see(row)
        if isinstance(user_id, str) and user_id not in known.users:
            known.users[user_id] = known_user(row, line.number, sound)
            if sound and known.has_ratings and (version := checker.version(row)):
                known.lines[user_id] = dict(lines_in(version, row))
            for key in book.texts:
                if isinstance(row.get(key), str):
                    known.texts.setdefault(key, []).append(user_id)
        yield from file.at(line.number, problems)
    for own in checker.own.values():
        yield from own.deviations(file)


def lines_in(version: Version, row: Row) -> Iterator[tuple[tuple[str, str | None], Any]]:
    """(column and key of a line, its value)"""
    for question in lines_of(version):
        column = column_of(question)
        for item in question.items:
            yield (column, item.code), row[column][item.code]
        if not question.items:
            yield (column, None), row[column]


def known_user(row: Row, line: int, sound: bool) -> KnownUser:
    if not sound:
        return KnownUser(line, is_sound=False)
    return KnownUser(
        line,
        is_sound=True,
        completed=row["num_completed_conversations"],
        is_balanced=row["included_in_balanced_subset"],
    )


class Checker:
    """What can be wrong with a row whose keys and types are right."""

    def __init__(self, book: Codebook) -> None:
        self.book = book
        self.own: dict[str, OwnStatements] = {}

    def meaning(self, line: int, row: Row) -> Iterator[Problem]:
        if row["survey_only"] != (row["num_completed_conversations"] == 0):
            yield Problem("survey-only", "survey_only is not (num_completed_conversations == 0)")
        version = self.version(row)
        if version is not None:
            yield from branch_problems(version.file, row)
            yield from self.other_problems(version, row)
            for question in version.file.questions():
                if question.release.form != "none":
                    yield from self.question_problems(line, version, question, row)
        yield from minutes_problems(row)
        yield from sample_problems(row)
        if row["study_locale"] != row["study_locale"].lower():
            yield Problem("value", "study_locale is not lower case")

    def version(self, row: Row) -> Version | None:
        """None: a hash that is no version's, which its type has told already."""
        if len(self.book.versions) == 1:
            return self.book.versions[0]
        return next((v for v in self.book.versions if v.sha256 == row[VERSION]), None)

    def other_problems(self, version: Version, row: Row) -> Iterator[Problem]:
        """What only other versions ask of people."""
        known = {*self.book.survey_of(version).key_order, VERSION}
        said = {companion(question, "status") for question in version.file.questions()}
        for column in self.book.survey.columns:
            if column.key in known | said or is_nothing(column, row[column.key]):
                continue
            yield Problem("version", f"{column.key} has values, but {version} has no such column")

    def question_problems(
        self, line: int, version: Version, question: Question, row: Row
    ) -> Iterator[Problem]:
        key = column_of(question)
        if question.is_shuffled:
            places = [row[order_of(question)][item.code] for item in question.items]
            yield from order_problems(order_of(question), places)
        match question:
            case Multiple():
                if question.other:
                    yield from typed_problems(key, question.other.code, row[key])
            case Sliders():
                if question.last is not None:
                    own = self.own.setdefault(key, OwnStatements(key, question.last))
                    own.see(line, row[key])
                    if not question.na:
                        yield from own.problems(row[key])
            case Ranking():
                yield from ranking_problems(key, question.places, row[key])
            case Country() if question.release.form == "place":
                if question is next(iter(sides_of(version.file, key).values())):
                    yield from location_problems(key, row[key], [*sides_of(version.file, key)])
            case Country():
                yield from country_problems(key, row[key], row[companion(question, "iso")])
        if question.release.form == "coded":
            yield from identity_problems(key, row[key], question.release.categories)


def typed_problems(key: str, own: str, uses: Row) -> Iterator[Problem]:
    if uses[OTHER_TEXT] is not None and uses[own] == 0:
        yield note("other-text", f"{key}.{OTHER_TEXT} is typed though {own} is 0")


def order_problems(key: str, places: list[int | None]) -> Iterator[Problem]:
    if None not in places and set(places) != set(range(1, len(places) + 1)):
        yield Problem("order", f"{key} is no permutation of 1-{len(places)}")


def ranking_problems(key: str, expected: int, ranking: Row) -> Iterator[Problem]:
    places = sorted(at for at in ranking.values() if at is not None)
    if places and places != list(range(1, expected + 1)):
        yield Problem("ranking", f"{key} does not have each place from 1 to {expected} once")


@dataclass
class OwnStatements:
    """A score of one's own statement without its text.

    PRISM stored its resting 50, or wherever the slider was left, in every row; then it is a quirk.
    Where some rows have null, as ours have, a value without a text is an error.
    """

    key: str
    code: str
    rated: list[tuple[int, int]] = field(default_factory=list)
    """(line, score) without a text."""
    has_nulls: bool = False

    def see(self, line: int, scores: Row) -> None:
        if scores[self.code] is None:
            self.has_nulls = True
        elif scores[OTHER_TEXT] is None:
            self.rated.append((line, scores[self.code]))

    def problems(self, scores: Row) -> Iterator[Problem]:
        if scores[OTHER_TEXT] is not None and scores[self.code] is None:
            yield Problem("other-text", f"{self.key}.{self.code} is null though a text was typed")

    def deviations(self, file: File) -> Iterator[Deviation]:
        for line, value in self.rated:
            message = f"{self.key}.{self.code} is {value} though no text was typed"
            if self.has_nulls:
                yield from file.at(line, [Problem("other-text", message)])
            else:
                yield from file.at(line, [note("other-text", message)])


def identity_problems(name: str, identity: Row, categories: Mapping[str, str]) -> Iterator[Problem]:
    described = identity["self_described"]
    categorised, simplified = identity["categorised"], identity["simplified"]
    if described is None:
        if categorised is not None or simplified is not None:
            yield Problem("identity", f"{name} is categorised though nothing was described")
        return
    words = described.replace(REDACTED, "")
    if words != words.lower() or any(mark in words for mark in PUNCTUATION):
        yield Problem("self-described", f"{name}.self_described is not cleaned: {show(described)}")
    if described == DECLINED and categorised is None:
        yield Problem("null", f"{name}.categorised is null, but declining needs no coding")
    elif described == DECLINED and categorised != PREFER_NOT_TO_SAY:
        yield Problem("identity", f"{name} was declined but is categorised {show(categorised)}")
    expected = (dict(categories) | {PREFER_NOT_TO_SAY: PREFER_NOT_TO_SAY}).get(categorised)
    if (categorised is None) != (simplified is None):
        yield Problem("identity", f"{name}: only one of categorised and simplified is null")
    elif categorised is not None and expected not in (None, simplified):
        yield Problem(
            "identity", f"{name}: {show(categorised)} is not simplified to {show(simplified)}"
        )


def location_problems(key: str, location: Row, sides: list[str]) -> Iterator[Problem]:
    told = {side: location[f"{side}_countryISO"] for side in sides}
    homes = {side: known_place(code) for side, code in told.items()}
    for side in sides:
        yield from side_problems(key, side, location, homes[side])
    if len(sides) > 1 and location[SAME] != same_country(told):
        found, expected = show(location[SAME]), show(same_country(told))
        yield Problem("location", f"{SAME} is {found}, expected {expected}")
    if "birth" not in sides:
        return
    birth = homes["birth"]
    if birth is None and told["birth"] not in (None, PREFER_NOT_TO_SAY):
        return
    region = special_region(birth.iso3) if birth else told["birth"]
    if location[SPECIAL] != region:
        yield Problem("location", f"{SPECIAL} is {show(location[SPECIAL])}, not {show(region)}")


def same_country(told: Mapping[str, str | None]) -> str | None:
    codes = set(told.values())
    if None in codes:
        return None
    if PREFER_NOT_TO_SAY in codes:
        return PREFER_NOT_TO_SAY
    return "Yes" if len(codes) == 1 else "No"


def country_problems(key: str, name: str | None, iso3: str | None) -> Iterator[Problem]:
    """A country's name and its code."""
    home = known_place(iso3)
    if home is None:
        if name != iso3 or iso3 not in (None, PREFER_NOT_TO_SAY):
            yield Problem("country", f"{key}: {show(iso3)} is no code of {show(name)}")
    elif name == FORMER_NAMES.get(home.iso3):
        yield note("country-name", f"{key} is {show(name)}, now {show(home.name)}")
    elif name != home.name:
        yield Problem("country", f"{key} is {show(name)}, not {show(home.name)}")


def known_place(iso3: str | None) -> Place | None:
    try:
        return place(iso3 or "")
    except KeyError:
        return None


def side_problems(key: str, side: str, location: Row, home: Place | None) -> Iterator[Problem]:
    """The four fields of the country of birth or of residence."""
    fields = [f"{side}_{part}" for part in ("country", "countryISO", "region", "subregion")]
    found = [location[name] for name in fields]
    for empty in (None, PREFER_NOT_TO_SAY):
        if empty in found:
            if found != [empty] * len(fields):
                yield Problem("location", f"{key}.{side}_*: only some fields are {show(empty)}")
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
    # Another instrument may not ask these.
    if row.get("gender", "Male") not in ("Male", "Female"):
        yield Problem("sample", "in a representative sample without a binary gender")
    if row.get("age") == PREFER_NOT_TO_SAY:
        yield Problem("sample", "in a representative sample without an age")
    ethnicity = row.get("ethnicity")
    if isinstance(ethnicity, dict) and ethnicity.get("categorised") in (None, PREFER_NOT_TO_SAY):
        yield Problem("sample", "in a representative sample without an ethnicity")
