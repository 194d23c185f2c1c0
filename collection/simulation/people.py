"""Who the simulated people are: everything about them is drawn from one seed.

Person n of a seed is always the same, however many come with them. What they score follows a
latent utility of each person for each model, which the study itself never sees.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property
from random import Random

from collection.simulation import words
from surveys.draws import rng, shuffled


class Course(StrEnum):
    """How a person's part ends."""

    FINISHES = "finishes"
    DECLINES = "declines"
    STOPS = "stops"
    """With the button on the leaving page."""
    VANISHES = "vanishes"
    """Closes the browser and does not come back."""


class Habit(StrEnum):
    """What makes a person harder to serve than one who only reads and clicks."""

    RELOADS = "reloads"
    """Reloads pages, also half filled in, and expects to find the draft again."""
    GOES_BACK = "goes back"
    """Goes back to an earlier page, or sends an earlier page once more."""
    DOUBLE_CLICKS = "double-clicks"
    """Sends the same form twice at the same moment."""
    SKIPS = "skips"
    """Leaves something out at first, and is told so."""
    REPORTS = "reports"
    """Reports a reply, and once a problem."""


@dataclass(frozen=True)
class Card:
    """A way of taking part."""

    course: Course
    habits: frozenset[Habit] = frozenset()
    is_recruited: bool = True


DECK = (
    Card(Course.FINISHES),
    Card(Course.FINISHES, is_recruited=False),
    Card(Course.FINISHES, frozenset({Habit.RELOADS})),
    Card(Course.FINISHES, frozenset({Habit.GOES_BACK})),
    Card(Course.FINISHES, frozenset({Habit.DOUBLE_CLICKS})),
    Card(Course.FINISHES, frozenset({Habit.SKIPS, Habit.REPORTS})),
    Card(Course.FINISHES, frozenset({Habit.RELOADS, Habit.GOES_BACK, Habit.DOUBLE_CLICKS})),
    Card(Course.DECLINES, frozenset({Habit.DOUBLE_CLICKS})),
    Card(Course.STOPS),
    Card(Course.VANISHES),
)
"""Of any ten people who come one after the other, each plays one of these; the order is drawn.

So seven of ten finish, as most of PRISM's did, and ten people are enough to meet every kind.
"""

MEAN_FURTHER_TURNS = 1.4
MOST_TURNS = 10
"""At least two turns and 3.4 on average, as PRISM's conversations had (paper, section 3)."""

QUALITY_SD = 0.7
"""How much models differ, the same for everyone."""
TASTE_SD = 0.6
"""How much people differ in which models they like."""
LENIENCY_SD = 0.4
"""How much people differ in how high they score at all."""
LENIENCY_MEAN = 0.4
NOISE_SD = 0.5
"""From one reply to the next of the same model."""

CHOICES: Mapping[str, Mapping[str, float]] = {
    "lm_familiarity": {"not_familiar_at_all": 1, "somewhat_familiar": 6, "very_familiar": 3},
    "lm_indirect_use": {"yes": 6, "no": 2, "unsure": 2},
    "lm_direct_use": {"yes": 7, "no": 2, "unsure": 1},
    "age": {
        "age_18_24": 20,
        "age_25_34": 30,
        "age_35_44": 18,
        "age_45_54": 13,
        "age_55_64": 11,
        "age_65_plus": 6,
        "prefer_not_to_say": 2,
    },
    "gender": {
        "male": 49,
        "female": 47,
        "non_binary": 2,
        "self_describe": 1,
        "prefer_not_to_say": 1,
    },
    "employment_status": {
        "full_time": 50,
        "part_time": 18,
        "student": 6,
        "unemployed_seeking": 9,
        "unemployed_not_seeking": 4,
        "homemaker": 5,
        "prefer_not_to_say": 2,
    },
    "education": {
        "completed_secondary": 14,
        "some_secondary": 3,
        "vocational": 9,
        "some_university": 20,
        "bachelors": 36,
        "graduate": 16,
        "prefer_not_to_say": 2,
    },
    "marital_status": {
        "never_married": 45,
        "married": 42,
        "divorced_separated": 8,
        "widowed": 2,
        "prefer_not_to_say": 3,
    },
    "ethnicity": {"self_describe": 19, "prefer_not_to_say": 1},
    "religion": {"self_describe": 17, "prefer_not_to_say": 3},
    "english_proficiency": {"native_speaker": 6, "fluent": 3, "advanced": 2, "intermediate": 0.4},
}
"""Roughly how PRISM's participants answered; a question not listed is answered evenly."""

BY_AGE: Mapping[str, dict[str, str]] = {
    "age_18_24": {"employment_status": "student", "marital_status": "never_married"},
    "age_65_plus": {"employment_status": "retired"},
}

RESIDENCE: Mapping[str, float] = {
    "USA": 25,
    "GBR": 25,
    "ZAF": 5,
    "MEX": 5,
    "AUS": 4,
    "CAN": 4,
    "NZL": 4,
    "CHL": 4,
    "POL": 3,
    "PRT": 3,
    "DEU": 3,
    "ITA": 2,
    "ESP": 2,
    "FRA": 2,
    "GRC": 2,
    "HUN": 2,
    "ISR": 2,
    "JPN": 2,
    "KOR": 1,
    "IND": 2,
    "KEN": 1,
    "TWN": 1,
}
BORN_ELSEWHERE = 0.12

DESCRIBED: Mapping[str, Sequence[str]] = {
    "gender_text": ("Genderfluid", "Agender"),
    "ethnicity_text": (
        "White",
        "White British",
        "Caucasian",
        "Black African",
        "Hispanic",
        "Asian",
        "mixed",
        "South Asian",
        "Latina",
        "Arab",
        "Māori",
    ),
    "religion_text": (
        "Christian",
        "Catholic",
        "none",
        "Atheist",
        "Agnostic",
        "Muslim",
        "Hindu",
        "Jewish",
        "Buddhist",
        "spiritual but not religious",
    ),
    "lm_usecases_other_text": words.OTHER_USES,
    "stated_prefs_other_text": words.OTHER_STATEMENTS,
}

LEANINGS: Mapping[str, float] = {
    "stated_prefs_values": 52,
    "stated_prefs_creativity": 68,
    "stated_prefs_fluency": 84,
    "stated_prefs_factuality": 88,
    "stated_prefs_diversity": 66,
    "stated_prefs_safety": 78,
    "stated_prefs_personalisation": 64,
    "stated_prefs_helpfulness": 88,
    "stated_prefs_other": 85,
}
"""Where people's marks gather on a line; 65 of 100 where nothing is said."""
USUAL_LEANING = 65
LEANING_SD = 20

NOT_APPLICABLE: Mapping[str, float] = {"values": 0.2, "safety": 0.25, "diversity": 0.15}
"""How often an attribute is marked N/A."""
RARELY = 0.04
READ_ANOTHER = 0.4
"""The share of people who rather read a translation than the study's own language."""


@dataclass(frozen=True)
class Person:
    """One simulated person, the `number`th of their seed (from 1)."""

    seed: int
    number: int

    @property
    def label(self) -> str:
        """Their recruiter's id; it identifies nobody, and says that it was simulated."""
        return f"sim-{self.seed}-{self.number}"

    def draw(self, *path: str | int) -> Random:
        """The generator of one decision of this person."""
        return rng(self.seed, "simulate", self.number, *path)

    @cached_property
    def card(self) -> Card:
        ten, place = divmod(self.number - 1, len(DECK))
        return shuffled(DECK, self.seed, "simulate", "deck", ten)[place]

    def has(self, habit: Habit) -> bool:
        return habit in self.card.habits

    def leaves_after(self, *, talks: bool) -> int | None:
        """How many forms a person sends who does not finish; None for all others.

        Half of them leave early, as if in a survey, half somewhere in the conversations; all
        leave early where there are none.
        """
        if self.card.course not in (Course.STOPS, Course.VANISHES):
            return None
        draw = self.draw("leaves")
        early, late = draw.randint(2, 10), draw.randint(12, 50)
        return draw.choice((early, late)) if talks else early

    @property
    def parameters(self) -> dict[str, str]:
        """What their link carries. On an open link nothing says who they are to a recruiter."""
        if not self.card.is_recruited:
            return {OPEN_LINK_LABEL: self.label}
        return {
            "PROLIFIC_PID": self.label,
            "STUDY_ID": recruitment_id(self.seed),
            "SESSION_ID": f"{self.label}-session",
        }

    def language(self, offered: Sequence[str]) -> str:
        """What they read best, of the languages of a study, its own first."""
        draw = self.draw("language")
        others = sorted(offered[1:])
        return draw.choice(others) if others and draw.random() < READ_ANOTHER else offered[0]

    @cached_property
    def comes_to_it_by(self) -> str:
        """How they come to read it in their language."""
        return self.draw("language", "by").choice(("link", "browser", "switch"))

    @cached_property
    def choices(self) -> dict[str, str]:
        """Answers to choices that hang together."""
        chosen = {name: weighted(self.draw(name), weights) for name, weights in CHOICES.items()}
        home = weighted(self.draw("reside_country"), RESIDENCE)
        chosen["reside_country"] = chosen["birth_country"] = home
        if self.draw("birth_country").random() < BORN_ELSEWHERE:
            chosen["birth_country"] = weighted(self.draw("birth_country", "which"), RESIDENCE)
        return chosen | BY_AGE.get(chosen["age"], {})

    @cached_property
    def is_casual(self) -> bool:
        return self.draw("casual").random() < 0.15

    @cached_property
    def first_by(self) -> str:
        """What they move marks with."""
        return "keyboard" if self.draw("keyboard").random() < 0.12 else "pointer"

    def styled(self, text: str) -> str:
        return words.casually(text) if self.is_casual else text

    def turns(self, conversation: int) -> int:
        """How many turns they want to have in their nth conversation."""
        draw = self.draw("turns", conversation)
        stop = 1 / (1 + MEAN_FURTHER_TURNS)
        further = int(math.log(1 - draw.random()) / math.log(1 - stop))
        return min(2 + further, MOST_TURNS)

    @cached_property
    def leniency(self) -> float:
        return self.draw("leniency").gauss(LENIENCY_MEAN, LENIENCY_SD)

    def utility(self, long_name: str) -> float:
        """Of this model for this person: the model's quality, their taste, their leniency."""
        taste = self.draw("taste", long_name).gauss(0, TASTE_SD)
        return quality(self.seed, long_name) + taste + self.leniency

    def score(self, long_name: str, *path: str | int) -> int:
        """Of one reply by a model, 1 to 100; `path` says which."""
        return as_score(self.utility(long_name) + self.draw("noise", *path).gauss(0, NOISE_SD))


OPEN_LINK_LABEL = "simulated_person"
"""The parameter that tells the people on an open link apart; the server keeps unknown ones."""


def recruitment_id(seed: int) -> str:
    """STUDY_ID of everyone with a seed: one recruitment."""
    return f"sim-{seed}"


def quality(seed: int, long_name: str) -> float:
    """What a model is worth to everyone alike."""
    return rng(seed, "simulate", "quality", long_name).gauss(0, QUALITY_SD)


def as_score(utility: float) -> int:
    """A utility on the line from 1 to 100, by the logistic curve: 0 lies in the middle."""
    return round(1 + 99 / (1 + math.exp(-utility)))


def weighted(draw: Random, weights: Mapping[str, float]) -> str:
    return draw.choices(list(weights), list(weights.values()))[0]
