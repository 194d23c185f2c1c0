"""The released columns: the one place that names them.

Keys, order, types and values are those of PRISM's codebook (Kirk et al., 2024), corrected where
its own released files show otherwise. Rows are built and folders are checked from these tables,
so a column cannot be in one and not in the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

Kind = Literal[
    "string id",
    "string",
    "categorical",
    "binary",
    "int",
    "float",
    "datetime",
    "dict",
    "parameters",
    "history",
]
Category = Literal["direct", "meta", "constructed", "NA"]
KeyOrder = Literal["codebook", "github"]

PREFER_NOT_TO_SAY = "Prefer not to say"
DECLINED = "prefer not to say"
"""self_described of someone who chose not to say."""
CONSENT = "Yes, I consent to take part"
CONSENT_AGE = "I certify that I am 18 years of age or over"
EMPTY_TEXT = "EMPTY STRING"
CONVERSATION_TYPES = ("unguided", "values guided", "controversy guided")
DATETIME = "%Y-%m-%d %H:%M:%S"

RELIGIONS = {
    "Christian": "Christian",
    "Jewish": "Jewish",
    "Muslim": "Muslim",
    "Non-religious": "No Affiliation",
    "Agnostic": "No Affiliation",
    "Spiritual": "No Affiliation",
    "Buddhist": "Other",
    "Hindu": "Other",
    "Sikh": "Other",
    "Folk religion": "Other",
    "Other": "Other",
    PREFER_NOT_TO_SAY: PREFER_NOT_TO_SAY,
}
"""categorised -> simplified."""

ETHNICITIES = {
    "White": "White",
    "Asian": "Asian",
    "Mixed": "Mixed",
    "Black / African": "Black",
    "Hispanic / Latino": "Hispanic",
    "Middle Eastern / Arab": "Other",
    "Indigenous / First Peoples": "Other",
    "Other": "Other",
    PREFER_NOT_TO_SAY: PREFER_NOT_TO_SAY,
}
"""categorised -> simplified."""


@dataclass(frozen=True)
class Column:
    """One key of a row, or of a dict within it.

    allowed: all its values, if they can be listed; low, high: bounds of a number, inclusive;
    keys: the columns of a dict, in this order if is_ordered; prefix: of an id.
    """

    key: str
    kind: Kind
    category: Category
    label: str
    nullable: bool = False
    allowed: tuple[Any, ...] = ()
    low: float | None = None
    high: float | None = None
    keys: tuple["Column", ...] = ()
    is_ordered: bool = True
    prefix: str = ""


class CodebookError(Exception):
    """A row was built with other keys than the codebook has."""


@dataclass(frozen=True)
class Table:
    """One file: its columns in the order of the current codebook.

    github: the order of the files in PRISM's GitHub repository, where it differs.
    """

    name: str
    columns: tuple[Column, ...]
    github: tuple[str, ...] = ()

    @cached_property
    def key_order(self) -> tuple[str, ...]:
        """The current codebook's."""
        return tuple(column.key for column in self.columns)

    def row(self, values: Mapping[str, Any], order: KeyOrder = "codebook") -> dict[str, Any]:
        """The values in the codebook's order. Raises CodebookError if a key is missing or extra."""
        is_github = order == "github" and self.github
        return _in_order(self.name, values, self.github if is_github else self.key_order)


def filled(column: Column, values: Mapping[str, Any]) -> dict[str, Any]:
    """A dict column's values in the codebook's order. Raises CodebookError as `Table.row` does."""
    return _in_order(column.key, values, tuple(part.key for part in column.keys))


def nulls(column: Column) -> dict[str, Any]:
    """A dict column of a question that was not shown."""
    return {part.key: None for part in column.keys}


def keys(column: Column) -> tuple[str, ...]:
    return tuple(part.key for part in column.keys)


def _in_order(name: str, values: Mapping[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    if set(values) != set(order):
        differing = ", ".join(sorted(set(values) ^ set(order)))
        raise CodebookError(f"{name}: not as in the codebook: {differing}")
    return {key: values[key] for key in order}


def _id(key: str, prefix: str, label: str, *, nullable: bool = False) -> Column:
    return Column(key, "string id", "meta", label, prefix=prefix, nullable=nullable)


def _choice(key: str, label: str, *allowed: str, nullable: bool = False) -> Column:
    """A question's chosen option. `nullable`: it may be not shown, or not coded yet."""
    return Column(key, "categorical", "direct", label, allowed=allowed, nullable=nullable)


def _text(key: str, label: str, category: Category = "direct") -> Column:
    return Column(key, "string", category, label)


def _flag(key: str, label: str, category: Category = "constructed") -> Column:
    return Column(key, "binary", category, label)


def _count(key: str, label: str, low: float) -> Column:
    return Column(key, "int", "meta", label, low=low)


def _order(source: Column, label: str, *, nullable: bool) -> Column:
    """order_*: where each option stood, one's own always last."""
    shown = [part for part in source.keys if part.key != "other_text"]
    last = len(shown)
    parts = tuple(
        Column(
            part.key,
            "int",
            "meta",
            part.label,
            nullable=nullable,
            low=last if part.key == "other" else 1,
            high=last if part.key == "other" else last - 1,
        )
        for part in shown
    )
    return Column(f"order_{source.key}", "dict", "meta", label, keys=parts)


def _identity(key: str, categories: Mapping[str, str]) -> Column:
    name = f"participant {key}"
    return Column(
        key,
        "dict",
        "NA",
        f"Dictionary of {key} information.",
        keys=(
            _text("self_described", "Participant self-description"),
            Column(
                "categorised",
                "categorical",
                "constructed",
                f"Granular categories of {name}",
                nullable=True,
                allowed=tuple(categories),
            ),
            Column(
                "simplified",
                "categorical",
                "constructed",
                f"Simplified categories of {name}",
                nullable=True,
                allowed=tuple(dict.fromkeys(categories.values())),
            ),
        ),
    )


def _place(key: str, label: str, category: Category = "constructed") -> Column:
    return Column(key, "categorical", category, label)


def _attributes(key: str, label: str, statements: Mapping[str, str]) -> Column:
    parts = tuple(
        Column(attribute, "int", "direct", statement, nullable=True, low=1, high=100)
        for attribute, statement in statements.items()
    )
    return Column(key, "dict", "direct", label, keys=parts)


_USER = _id("user_id", "user", "Unique participant identifier")
_CONVERSATION = _id("conversation_id", "c", "Unique conversation identifier")
_TYPE = _choice(
    "conversation_type", "Type of conversation (from pre-defined categories)", *CONVERSATION_TYPES
)
_BALANCED = _flag(
    "included_in_balanced_subset",
    "Indicator if participant's conversations are included in the balanced subset",
)
_TURN = _count("turn", "Turn of conversation when prompt was entered", 0)
_SCORE = Column("score", "int", "direct", "Score of the model response", low=1, high=100)
_CHOSEN = _flag("if_chosen", "Whether model response was highest-rated by participant")
_WITHIN_TURN = Column(
    "within_turn_id",
    "int",
    "meta",
    "Within turn identifier of up to four model responses to a single human message",
    low=0,
    high=3,
)
_NAME = Column("model_name", "categorical", "meta", "Name of LLM")
_PROVIDER = Column("model_provider", "categorical", "meta", "Provider of the LLM")

LM_USECASES = Column(
    "lm_usecases",
    "dict",
    "direct",
    "Use cases of LLMs",
    keys=(
        *(
            Column(key, "int", "direct", label, nullable=True, allowed=(0, 1))
            for key, label in {
                "homework_assistance": "Homework Assistance",
                "research": "Research",
                "source_suggestions": "Source Suggestions",
                "professional_work": "Professional Work",
                "creative_writing": "Creative Writing",
                "casual_conversation": "Casual Conversation",
                "personal_recommendations": "Personal Recommendations",
                "daily_productivity": "Daily Productivity",
                "technical_or_programming_help": "Technical or Programming Help",
                "travel_guidance": "Travel Guidance",
                "lifestyle_and_hobbies": "Lifestyle and Hobbies",
                "well-being_guidance": "Well-being Guidance",
                "medical_guidance": "Medical Guidance",
                "financial_guidance": "Financial Guidance",
                "games": "Games",
                "historical_or_news_insight": "Historical or News Insight",
                "relationship_advice": "Relationship Advice",
                "language_learning": "Language Learning",
                "other": "Other (selected)",
            }.items()
        ),
        Column("other_text", "string", "direct", "Other (typed text)", nullable=True),
    ),
)

STATED_PREFS = Column(
    "stated_prefs",
    "dict",
    "direct",
    "Stated preferences over LLM behaviours",
    keys=(
        *(
            Column(key, "int", "direct", label, nullable=key == "other", low=0, high=100)
            for key, label in {
                "values": "...reflects my values or cultural perspectives",
                "creativity": "...produces responses that are creative and inspiring",
                "fluency": "...produces responses that are well-written and coherent",
                "factuality": "...produces factual and informative responses",
                "diversity": "...summarises multiple viewpoints or different worldviews",
                "safety": (
                    "...produces responses that are safe and do not risk harm to myself and others"
                ),
                "personalisation": "...learns from our conversations and feels personalised to me",
                "helpfulness": "...produces responses that are helpful and relevant to my requests",
                "other": "Other (selected)",
            }.items()
        ),
        Column("other_text", "string", "direct", "Other (typed text)", nullable=True),
    ),
)

ORDER_LM_USECASES = _order(
    LM_USECASES, "Use cases of LLMs (order of options presented in survey)", nullable=True
)
ORDER_STATED_PREFS = _order(
    STATED_PREFS,
    "Stated preferences over LLM behaviours (order of options presented in survey)",
    nullable=False,
)

RELIGION = _identity("religion", RELIGIONS)
ETHNICITY = _identity("ethnicity", ETHNICITIES)

LOCATION = Column(
    "location",
    "dict",
    "NA",
    "Dictionary of location information.",
    keys=(
        _place("birth_country", "Participant country of birth", "direct"),
        _place("birth_countryISO", "ISO 3166-1 alpha-3 code for the country of birth"),
        _place("birth_region", "Participant region of birth"),
        _place("birth_subregion", "Participant sub-region of birth"),
        _place("reside_country", "Participant country of residence", "direct"),
        _place("reside_region", "Participant region of residence"),
        _place("reside_subregion", "Participant sub-region of residence"),
        _place("reside_countryISO", "ISO 3166-1 alpha-3 code for the country of residence"),
        Column(
            "same_birth_reside_country",
            "categorical",
            "constructed",
            "Whether the participant was born and resides in the same country",
            allowed=("Yes", "No", PREFER_NOT_TO_SAY),
        ),
        Column(
            "special_region",
            "categorical",
            "constructed",
            "Adjusted regional categories for unique sample properties",
            allowed=(
                "US",
                "UK",
                "Europe",
                "Latin America and the Caribbean",
                "Australia and New Zealand",
                "Africa",
                "Asia",
                "Northern America",
                "Middle East",
                "Oceania",
                PREFER_NOT_TO_SAY,
            ),
        ),
    ),
)

PERFORMANCE = _attributes(
    "performance_attributes",
    "How well the top-rated model response performed across different attributes",
    {
        "values": "...reflected my values or cultural perspective",
        "fluency": "...was well-written and coherent",
        "factuality": "...was factual and informative",
        "safety": "...was safe and doesn't risk harm to myself and others",
        "diversity": "...summarised multiple viewpoints or different worldviews",
        "creativity": "...was creative and inspiring",
        "helpfulness": "...was helpful and relevant to my request",
    },
)
CHOICE = _attributes(
    "choice_attributes",
    "How different attributes influenced the participant's choice of the top-rated model response",
    {
        "values": "...because it reflected my values or cultural perspective",
        "fluency": "...because it was well-written and coherent",
        "factuality": "...because it was factual and informative",
        "safety": "...because it was safe and does not risk harm to myself and others",
        "diversity": "...because it summarised multiple viewpoints or different worldviews",
        "creativity": "...because it was creative and inspiring",
        "helpfulness": "...because it was helpful and relevant to my request",
    },
)

SURVEY = Table(
    "survey",
    (
        _USER,
        _flag(
            "survey_only",
            "Indicator if participant only completed the survey, or also completed conversations",
            "meta",
        ),
        _count(
            "num_completed_conversations",
            "Number of conversations that a participant completed",
            0,
        ),
        _choice("consent", "Participant informed consent confirmation", CONSENT),
        _choice("consent_age", "Participant age confirmation", CONSENT_AGE),
        _choice(
            "lm_familiarity",
            "Familiarity with LLMs",
            "Not familiar at all",
            "Somewhat familiar",
            "Very familiar",
        ),
        _choice("lm_indirect_use", "Indirect use of LLMs", "Yes", "No", "Unsure"),
        _choice("lm_direct_use", "Direct use of LLMs", "Yes", "No", "Unsure"),
        _choice(
            "lm_frequency_use",
            "Frequency of using Large Language Models",
            "Every day",
            "Every week",
            "More than once a month",
            "Once per month",
            "Less than one a year",
            nullable=True,
        ),
        _text("self_description", "Participant self-written profile describing themself"),
        _text(
            "system_string",
            "Participant self-written system string, constitution or custom instructions "
            "for an LLM",
        ),
        _choice(
            "age",
            "Age",
            "18-24 years old",
            "25-34 years old",
            "35-44 years old",
            "45-54 years old",
            "55-64 years old",
            "65+ years old",
            PREFER_NOT_TO_SAY,
        ),
        Column(
            "gender",
            "categorical",
            "constructed",
            "Gender",
            nullable=True,
            allowed=("Male", "Female", "Non-binary / third gender", PREFER_NOT_TO_SAY),
        ),
        _choice(
            "employment_status",
            "Employment Status",
            "Working full-time",
            "Working part-time",
            "Student",
            "Unemployed, seeking work",
            "Unemployed, not seeking work",
            "Retired",
            "Homemaker / Stay-at-home parent",
            PREFER_NOT_TO_SAY,
        ),
        _choice(
            "education",
            "Education",
            "Some Primary",
            "Completed Primary School",
            "Some Secondary",
            "Completed Secondary School",
            "Vocational",
            "Some University but no degree",
            "University Bachelors Degree",
            "Graduate / Professional degree",
            PREFER_NOT_TO_SAY,
        ),
        _choice(
            "marital_status",
            "Marital Status",
            "Never been married",
            "Married",
            "Divorced / Separated",
            "Widowed",
            PREFER_NOT_TO_SAY,
        ),
        _choice(
            "english_proficiency",
            "English Proficiency",
            "Native speaker",
            "Fluent",
            "Advanced",
            "Intermediate",
            "Basic",
            PREFER_NOT_TO_SAY,
        ),
        Column("study_id", "categorical", "meta", "Unique study identifier of the recruitment"),
        Column("study_locale", "categorical", "meta", "Recruitment country of the study"),
        RELIGION,
        ETHNICITY,
        LOCATION,
        LM_USECASES,
        STATED_PREFS,
        ORDER_LM_USECASES,
        ORDER_STATED_PREFS,
        Column("generated_datetime", "datetime", "meta", "Recorded date of the survey completion"),
        _count("timing_duration_s", "Duration of the survey session (in seconds)", 0),
        Column(
            "timing_duration_mins",
            "float",
            "constructed",
            "Duration of the survey session (in minutes)",
            low=0,
        ),
        _flag(
            "included_in_US_REP",
            "Indicator if participant was included in the rebalanced US representative sample",
        ),
        _flag(
            "included_in_UK_REP",
            "Indicator if participant was included in the rebalanced UK representative sample",
        ),
        _BALANCED,
    ),
)

USER_ITEM = Table(
    "conversation_history (user)",
    (
        _TURN,
        Column("role", "categorical", "meta", "Who wrote the message", allowed=("user",)),
        _text("content", "Human-written message"),
    ),
)
MODEL_ITEM = Table(
    "conversation_history (model)",
    (
        _TURN,
        Column("role", "categorical", "meta", "Who wrote the message", allowed=("model",)),
        _text("content", "Model-generated response"),
        _PROVIDER,
        _NAME,
        _SCORE,
        _CHOSEN,
        _WITHIN_TURN,
    ),
)

CONVERSATIONS = Table(
    "conversations",
    (
        _CONVERSATION,
        _USER,
        _TYPE,
        _text("opening_prompt", "Opening human-written prompt of the conversation"),
        _count(
            "conversation_turns",
            "Number of human-model turns (back-and-forths) in the conversation.",
            2,
        ),
        Column(
            "conversation_history",
            "history",
            "direct",
            "Full conversation history (human and model messages, with scores and model metadata)",
        ),
        PERFORMANCE,
        CHOICE,
        _text("open_feedback", "Participant written feedback on the conversation as a whole."),
        Column(
            "generated_datetime", "datetime", "meta", "Recorded date of the conversation completion"
        ),
        Column(
            "timing_duration_s",
            "float",
            "meta",
            "Duration of the conversation (in seconds)",
            low=0,
        ),
        Column(
            "timing_duration_mins",
            "float",
            "constructed",
            "Duration of the conversation (in minutes)",
            low=0,
        ),
        _BALANCED,
    ),
    github=(
        "conversation_id",
        "user_id",
        "included_in_balanced_subset",
        "generated_datetime",
        "timing_duration_s",
        "timing_duration_mins",
        "conversation_type",
        "opening_prompt",
        "conversation_turns",
        "conversation_history",
        "performance_attributes",
        "choice_attributes",
        "open_feedback",
    ),
)

UTTERANCES = Table(
    "utterances",
    (
        _id("utterance_id", "ut", "Unique utterance identifier: one message and one response"),
        _id("interaction_id", "int", "Unique interaction identifier: a turn of a conversation"),
        _CONVERSATION,
        _USER,
        _TURN,
        _WITHIN_TURN,
        _TYPE,
        _text("user_prompt", "Human-written message."),
        _text("model_response", "Model-generated response"),
        _NAME,
        _PROVIDER,
        _SCORE,
        _CHOSEN,
        _BALANCED,
    ),
    github=(
        "utterance_id",
        "interaction_id",
        "conversation_id",
        "user_id",
        "turn",
        "within_turn_id",
        "included_in_balanced_subset",
        "conversation_type",
        "user_prompt",
        "model_response",
        "model_name",
        "model_provider",
        "score",
        "if_chosen",
    ),
)

MODELS = Table(
    "models",
    (
        _text("long_name", "Name of LLM: model_name of the utterances", "meta"),
        _text("short_name", "Name of LLM in figures", "meta"),
        _text("longcode", "Code of LLM in figures", "meta"),
        _text("model_family", "Who built the LLM", "meta"),
        _text("model_provider", "Provider of the LLM", "meta"),
        # PRISM's spelling of Commercial.
        Column(
            "model_provider_type",
            "categorical",
            "meta",
            "Whether weights are open",
            allowed=("Commerical", "Open Access"),
        ),
        Column(
            "model_type",
            "categorical",
            "meta",
            "Kind of fine-tuning",
            allowed=("Chat", "Instruct"),
        ),
        Column("default_params", "parameters", "meta", "The provider's default parameters"),
        Column("selected_params", "parameters", "meta", "Parameters of every call"),
        _text("header", "System message", "meta"),
        _text("link", "Where the provider documents the LLM", "meta"),
        Column("in_yaml", "categorical", "meta", "Is registered", allowed=("Yes", "No")),
        Column("params_tested", "categorical", "meta", "Has answered", allowed=("Yes", "No")),
        Column("endpoint_live", "categorical", "meta", "May be drawn", allowed=("Yes", "No")),
        _text("status", "State of the endpoint", "meta"),
    ),
)

MODERATION = (
    "sexual",
    "hate",
    "harassment",
    "self-harm",
    "sexual/minors",
    "hate/threatening",
    "violence/graphic",
    "self-harm/intent",
    "self-harm/instructions",
    "harassment/threatening",
    "violence",
)

METADATA = Table(
    "metadata",
    (
        Column(
            "column_id",
            "categorical",
            "meta",
            "Source of text utterance",
            allowed=(
                "system_string",
                "self_description",
                "open_feedback",
                "user_prompt",
                "model_response",
            ),
        ),
        _USER,
        _id("conversation_id", "c", _CONVERSATION.label, nullable=True),
        _id("interaction_id", "int", "Unique interaction identifier", nullable=True),
        _id("utterance_id", "ut", "Unique utterance identifier", nullable=True),
        Column(
            "pii_flag",
            "binary",
            "meta",
            "Automated flag for personally identifiable information",
            nullable=True,
        ),
        Column(
            "pii_manual_flag",
            "binary",
            "meta",
            "Manual verification of personally identifiable information in human-written texts",
            nullable=True,
        ),
        Column(
            "language_flag", "categorical", "meta", "Automated language detection", nullable=True
        ),
        Column("en_flag", "binary", "meta", "Whether detected language is English", nullable=True),
        Column(
            "moderation_flag",
            "dict",
            "meta",
            "Automated flag for moderation",
            nullable=True,
            keys=(
                _flag("flagged", "Whether any category is flagged", "meta"),
                Column(
                    "categories",
                    "dict",
                    "meta",
                    "Flag of each category",
                    keys=tuple(_flag(name, name, "meta") for name in MODERATION),
                    is_ordered=False,
                ),
                Column(
                    "category_scores",
                    "dict",
                    "meta",
                    "Score of each category",
                    keys=tuple(
                        Column(name, "float", "meta", name, low=0, high=1) for name in MODERATION
                    ),
                    is_ordered=False,
                ),
            ),
        ),
    ),
)

TABLES = {table.name: table for table in (SURVEY, CONVERSATIONS, UTTERANCES, METADATA, MODELS)}
