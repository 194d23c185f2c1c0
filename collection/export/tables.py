"""What is the same for every study: the tables of conversations, utterances and models, the form of
those of flags and pages, and the survey's columns that depend on no question.

Keys, order, types and values are those of PRISM's codebook (Kirk et al., 2024), corrected where
its own released files show otherwise.
"""

from collections.abc import Mapping
from typing import get_args

from collection.export.columns import Column, Table, choice, count, flag, id_column, text
from collection.models import SHOWN, ModelCall
from surveys.protocol import PRISM_OPENING_REPLIES, Protocol

CONSENT = "Yes, I consent to take part"
CONSENT_AGE = "I certify that I am 18 years of age or over"
EMPTY_TEXT = "EMPTY STRING"
CONVERSATION_TYPES = ("unguided", "values guided", "controversy guided")
DATETIME = "%Y-%m-%d %H:%M:%S"
_EMPTY = f"{EMPTY_TEXT} stands for a text that is empty."
_REGISTRY = "the study's registry of models"


def _attributes(key: str, label: str, statements: Mapping[str, str]) -> Column:
    parts = tuple(
        Column(attribute, "int", "direct", statement, nullable=True, low=1, high=100)
        for attribute, statement in statements.items()
    )
    return Column(
        key,
        "dict",
        "direct",
        label,
        keys=parts,
        notes="Asked of the chosen response to the first message, after the last turn. null: N/A.",
    )


_USER = id_column(
    "user_id",
    "user",
    "Unique participant identifier",
    notes="Joins all files. Ids of recruiters are never released.",
)
_CONVERSATION = id_column(
    "conversation_id",
    "c",
    "Unique conversation identifier",
    notes="Joins conversations with their utterances.",
)
_INTERACTION = id_column(
    "interaction_id",
    "int",
    "Unique interaction identifier: a turn of a conversation",
    notes="Numbered by conversation_id as text, then by turn: c0, c1, c10, c100, c1000.",
)
_UTTERANCE = id_column(
    "utterance_id", "ut", "Unique utterance identifier: one message and one response"
)
_TYPE = choice(
    "conversation_type",
    "Type of conversation (from pre-defined categories)",
    *CONVERSATION_TYPES,
    source="the participant, before the conversation",
)
_BALANCED = flag(
    "included_in_balanced_subset",
    "Indicator if participant's conversations are included in the balanced subset",
    notes="Of each participant with all three types of conversation, equally many of each type.",
    source="drawn by the participant's stored seed",
)
_TURN = count("turn", "Turn of conversation when prompt was entered", 0, notes="The first is 0.")
_SCORE = Column(
    "score",
    "int",
    "direct",
    "Score of the model response",
    low=1,
    high=100,
)
_CHOSEN = flag(
    "if_chosen",
    "Whether model response was highest-rated by participant",
    notes="One in each turn; of several with the highest score, one was drawn. Later turns were "
    "answered by the model chosen in turn 0.",
)
_NAME = Column(
    "model_name",
    "categorical",
    "meta",
    "Name of LLM",
    notes="Participants never saw it. The long_name of models.jsonl.",
    source=_REGISTRY,
)
_PROVIDER = Column(
    "model_provider",
    "categorical",
    "meta",
    "Provider of the LLM",
    source=_REGISTRY,
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

FIXED = {
    column.key: column
    for column in (
        _USER,
        flag(
            "survey_only",
            "Indicator if participant only completed the survey, or also completed conversations",
            "meta",
            notes="True where num_completed_conversations is 0.",
        ),
        count(
            "num_completed_conversations",
            "Number of conversations that a participant completed",
            notes="Their rows of conversations.jsonl.",
        ),
        choice(
            "consent",
            "Participant informed consent confirmation",
            CONSENT,
            notes="Nobody takes part without. The versions agreed to are in manifest.json.",
            source="the participant, on the consent page",
        ),
        choice(
            "consent_age",
            "Participant age confirmation",
            CONSENT_AGE,
            source="the participant, on the consent page",
        ),
        Column(
            "study_id",
            "categorical",
            "meta",
            "Unique study identifier of the recruitment",
            notes="Names no person. Without a recruiter's, the study's own.",
            source="the recruitment link",
        ),
        Column(
            "study_locale",
            "categorical",
            "meta",
            "Recruitment country of the study",
            notes="Where people were recruited; where they live is another matter.",
            source="the recruitment link, or the study's setting",
        ),
        Column(
            "generated_datetime",
            "datetime",
            "meta",
            "Recorded date of the survey completion",
            notes="UTC: when the last page of the survey was sent.",
        ),
        count(
            "timing_duration_s",
            "Duration of the survey session (in seconds)",
            notes="From the first consent page shown to the last survey page sent, with breaks.",
        ),
        Column(
            "timing_duration_mins",
            "float",
            "constructed",
            "Duration of the survey session (in minutes)",
            low=0,
            notes="timing_duration_s / 60, to two decimals.",
        ),
        flag(
            "included_in_US_REP",
            "Indicator if participant was included in the rebalanced US representative sample",
            notes="Only people of the balanced subset recruited in the US can be. Shares of age, "
            "ethnicity and gender are those of a census table.",
            source="drawn from the balanced subset",
        ),
        flag(
            "included_in_UK_REP",
            "Indicator if participant was included in the rebalanced UK representative sample",
            notes="Only people of the balanced subset recruited in the UK can be. Shares of age, "
            "ethnicity and gender are those of a census table.",
            source="drawn from the balanced subset",
        ),
        _BALANCED,
    )
}
"""The columns of survey.jsonl that do not depend on what was asked."""

USER_ITEM = Table(
    "conversation_history (user)",
    (
        _TURN,
        Column("role", "categorical", "meta", "Who wrote the message", allowed=("user",)),
        text("content", "Human-written message", notes=_EMPTY),
    ),
)


def most_replies(protocol: Protocol) -> int:
    """Of one turn: PRISM's four, or more where the protocol says so."""
    return max(PRISM_OPENING_REPLIES, protocol.opening_models)


def _within_turn(replies: int) -> Column:
    most = {4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight"}[replies]
    label = f"Within turn identifier of up to {most} model responses to a single human message"
    return Column(
        "within_turn_id",
        "int",
        "meta",
        label,
        low=0,
        high=replies - 1,
        notes="In the order of the draw, which is not that of the screen.",
    )


def model_item(replies: int) -> Table:
    """replies: the most that a turn may have."""
    return Table(
        "conversation_history (model)",
        (
            _TURN,
            Column("role", "categorical", "meta", "Who wrote the message", allowed=("model",)),
            text("content", "Model-generated response", notes=_EMPTY, source="the model"),
            _PROVIDER,
            _NAME,
            _SCORE,
            _CHOSEN,
            _within_turn(replies),
        ),
    )


CONVERSATIONS = Table(
    "conversations",
    (
        _CONVERSATION,
        _USER,
        _TYPE,
        text(
            "opening_prompt",
            "Opening human-written prompt of the conversation",
            notes="The first message of conversation_history.",
        ),
        count(
            "conversation_turns",
            "Number of human-model turns (back-and-forths) in the conversation.",
            2,
        ),
        Column(
            "conversation_history",
            "history",
            "direct",
            "Full conversation history (human and model messages, with scores and model metadata)",
            notes="A list: in each turn the human message, then the responses in draw order.",
        ),
        PERFORMANCE,
        CHOICE,
        text("open_feedback", "Participant written feedback on the conversation as a whole."),
        Column(
            "generated_datetime",
            "datetime",
            "meta",
            "Recorded date of the conversation completion",
            notes="UTC: when Finish was pressed, before the feedback.",
        ),
        Column(
            "timing_duration_s",
            "float",
            "meta",
            "Duration of the conversation (in seconds)",
            low=0,
            notes="From the choice of a type to Finish, feedback excluded; to two decimals.",
        ),
        Column(
            "timing_duration_mins",
            "float",
            "constructed",
            "Duration of the conversation (in minutes)",
            low=0,
            notes="timing_duration_s / 60, to two decimals.",
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
    one_row="a conversation of at least two turns, with all its ratings",
)


def utterances(replies: int) -> Table:
    """replies: the most that a turn may have."""
    return Table(
        "utterances",
        (
            _UTTERANCE,
            _INTERACTION,
            _CONVERSATION,
            _USER,
            _TURN,
            _within_turn(replies),
            _TYPE,
            text("user_prompt", "Human-written message.", notes=_EMPTY),
            text("model_response", "Model-generated response", notes=_EMPTY, source="the model"),
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
        one_row="a response that was shown, with its message",
    )


MODELS = Table(
    "models",
    (
        text(
            "long_name",
            "Name of LLM: model_name of the utterances",
            "meta",
            notes="Joins with model_name of other files.",
            source=_REGISTRY,
        ),
        text("short_name", "Name of LLM in figures", "meta", source=_REGISTRY),
        text("longcode", "Code of LLM in figures", "meta", source=_REGISTRY),
        text("model_family", "Who built the LLM", "meta", source=_REGISTRY),
        text(
            "model_provider",
            "Provider of the LLM",
            "meta",
            notes="Its name; utterances have its code.",
            source=_REGISTRY,
        ),
        # PRISM's spelling of Commercial.
        Column(
            "model_provider_type",
            "categorical",
            "meta",
            "Whether weights are open",
            allowed=("Commerical", "Open Access"),
            notes="Spelt as in PRISM's files.",
            source=_REGISTRY,
        ),
        Column(
            "model_type",
            "categorical",
            "meta",
            "Kind of fine-tuning",
            allowed=("Chat", "Instruct"),
            source=_REGISTRY,
        ),
        Column(
            "default_params",
            "parameters",
            "meta",
            "The provider's default parameters",
            notes="Where they are known. Values are text; is_… are 0 or 1.",
            source=_REGISTRY,
        ),
        Column(
            "selected_params",
            "parameters",
            "meta",
            "Parameters of every call",
            notes="Values are text; is_… are 0 or 1.",
            source=_REGISTRY,
        ),
        text(
            "header",
            "System message",
            "meta",
            notes="Sent first in every turn, with the whole conversation.",
            source=_REGISTRY,
        ),
        text("link", "Where the provider documents the LLM", "meta", source=_REGISTRY),
        Column(
            "in_yaml",
            "categorical",
            "meta",
            "Is registered",
            allowed=("Yes", "No"),
            notes="Always Yes: only registered models are drawn.",
        ),
        Column("params_tested", "categorical", "meta", "Has answered", allowed=("Yes", "No")),
        Column("endpoint_live", "categorical", "meta", "May be drawn", allowed=("Yes", "No")),
        text("status", "State of the endpoint", "meta"),
    ),
    one_row="a language model that could be drawn",
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

TEXTS = ("open_feedback", "user_prompt", "model_response")
"""column_id of the texts of conversations; before them come the survey's."""

_FLAGS = (
    _USER,
    id_column(
        "conversation_id",
        "c",
        _CONVERSATION.label,
        nullable=True,
        notes="null for texts of the survey.",
    ),
    id_column(
        "interaction_id",
        "int",
        "Unique interaction identifier",
        nullable=True,
        notes="null for texts that belong to no turn.",
    ),
    id_column(
        "utterance_id",
        "ut",
        "Unique utterance identifier",
        nullable=True,
        notes="null for all but responses of models.",
    ),
    Column(
        "pii_flag",
        "binary",
        "meta",
        "Automated flag for personally identifiable information",
        nullable=True,
        notes="null where no detector ran.",
        source="a detector",
    ),
    Column(
        "pii_manual_flag",
        "binary",
        "meta",
        "Manual verification of personally identifiable information in human-written texts",
        nullable=True,
        notes="Only of human-written texts that were flagged and have been reviewed.",
        source="a reviewer",
    ),
    Column(
        "language_flag",
        "categorical",
        "meta",
        "Automated language detection",
        nullable=True,
        notes="ISO 639-1 code. null where no detector ran.",
        source="a detector",
    ),
    Column(
        "en_flag",
        "binary",
        "meta",
        "Whether detected language is English",
        nullable=True,
        notes="Whether language_flag is en.",
    ),
    Column(
        "moderation_flag",
        "dict",
        "meta",
        "Automated flag for moderation",
        nullable=True,
        notes="null where no detector ran.",
        source="a detector",
        keys=(
            flag("flagged", "Whether any category is flagged", "meta"),
            Column(
                "categories",
                "dict",
                "meta",
                "Flag of each category",
                keys=tuple(flag(name, name, "meta") for name in MODERATION),
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
)


def metadata(texts: tuple[str, ...]) -> Table:
    """texts: columns of the survey that hold free text."""
    source = choice("column_id", "Source of text utterance", *texts, *TEXTS, category="meta")
    return Table("metadata", (source, *_FLAGS), one_row="a text, human-written or a model's")


def paradata(pages: tuple[str, ...], questions: tuple[str, ...]) -> Table:
    """pages, questions: codes."""
    return Table(
        "paradata",
        (
            _USER,
            choice("page", "Page of the survey", *pages, category="meta"),
            count("visible_ms", "How long the page was visible (in milliseconds)", nullable=True),
            count("focus_losses", "How often the person turned to another window", nullable=True),
            count("viewport_width", "Width of the window (in CSS pixels)", nullable=True),
            count("viewport_height", "Height of the window (in CSS pixels)", nullable=True),
            Column(
                "input",
                "categorical",
                "meta",
                "Kind of input",
                nullable=True,
                allowed=("touch", "mouse", "keyboard"),
            ),
            count("loads", "How often the page was loaded, as far as noted; 0: nothing was noted"),
            Column(
                "questions",
                "dict by question",
                "NA",
                "What was noted at each question",
                allowed=questions,
                keys=(
                    count("visible_ms", "How long the question was visible (in milliseconds)"),
                    count("changes", "How often the answer was changed"),
                    count("pastes", "How often something was pasted"),
                    Column(
                        "pasted_share",
                        "float",
                        "meta",
                        "Share of the text that was pasted",
                        nullable=True,
                        low=0,
                        high=1,
                    ),
                ),
                notes="By the question's code; only questions at which something was noted.",
            ),
        ),
        one_row="a page of the survey, as one person met it",
    )


def assignments(replies: int) -> Table:
    """How each reply came about: what PRISM did not keep. replies: the most that a turn may have.

    The probabilities are those of the draw, given who could be drawn and what had been seen before;
    whether a model that was drawn answered is another matter, which the manifest counts.
    """
    return Table(
        "assignments",
        (
            _UTTERANCE,
            _INTERACTION,
            _CONVERSATION,
            _USER,
            _TURN,
            _within_turn(replies),
            choice(
                "candidates",
                "What the replies of the turn come from: different models, samples of one model, "
                "one model under several system prompts, or one call that asks for replies which "
                "vary; later turns are samples of the model that was chosen",
                *_values_of("candidates"),
                category="meta",
            ),
            choice(
                "strategy",
                "How models were drawn; locked: later turns, with the model that was chosen",
                *_values_of("assignment"),
                LOCKED,
                category="meta",
            ),
            Column(
                "arm",
                "categorical",
                "meta",
                "Which of the protocol's system prompts was sent, or which of its sets of models "
                "the participant met",
                nullable=True,
            ),
            Column(
                "anchor",
                "categorical",
                "meta",
                "Opening prompt that the study gave in this conversation, by its code in the "
                "protocol; null: the participant's own",
                nullable=True,
            ),
            count("attempt", "How often models had been drawn for this turn before, in vain"),
            Column("eligible", "list", "meta", "Names of the LLMs that could be drawn", low=1),
            Column(
                "inclusion_probability",
                "float",
                "meta",
                "Probability that the LLM was drawn, with whichever others; null for a "
                "replacement, whose chances also depend on which LLM failed",
                nullable=True,
                low=0,
                high=1,
            ),
            Column(
                "pair_probabilities",
                "dict by utterance",
                "meta",
                "For each other reply of the turn, the probability that both their LLMs were "
                "drawn; null where both are of one LLM or one of them is a replacement",
                low=0,
                high=1,
            ),
            flag(
                "is_replacement",
                "Whether the LLM was drawn in the place of another that failed",
                "meta",
            ),
            Column(
                "replacement_probability",
                "float",
                "meta",
                "Of a replacement: probability that it was the one, given which LLMs were left "
                "when another failed; null for all others",
                nullable=True,
                low=0,
                high=1,
            ),
            Column(
                "draw_position",
                "int",
                "meta",
                "Place in the draw, those that failed included; one call that gave several "
                "replies has one place",
                low=0,
                high=replies - 1,
            ),
            Column(
                "screen_position",
                "int",
                "meta",
                "Place on the screen, in the order of reading",
                low=0,
                high=replies - 1,
            ),
            Column(
                "layout",
                "dict",
                "meta",
                "How the replies stood when they were rated; null where no script ran",
                nullable=True,
                keys=(
                    count("columns", "Columns of replies beside each other", 1),
                    count("width", "Width of the window (in CSS pixels)"),
                    count("height", "Height of the window (in CSS pixels)"),
                ),
            ),
            flag("was_tied", "Whether the reply shared the highest score of its turn"),
            flag("self_named", "Whether the reply seems to say which LLM it is"),
            flag("was_masked", "Whether the participant saw this hidden, unlike model_response"),
            flag("was_reported", "Whether the participant reported the reply", "direct"),
            flag("was_hidden", "Whether the reply was then hidden from the participant", "direct"),
            choice("outcome", "How the call of the LLM ended", *RELEASED, category="meta"),
            count("try_number", "How many calls for this place in the draw had failed before"),
            count("latency_ms", "How long the call took (in milliseconds)", nullable=True),
        ),
        one_row="a response that was shown: how it came about",
    )


LOCKED = "locked"
"""The strategy of later turns."""
RELEASED = (*SHOWN, ModelCall.Outcome.FILTERED)
"""Outcomes of calls whose replies are shown."""


def _values_of(field: str) -> tuple[str, ...]:
    return get_args(Protocol.model_fields[field].annotation)
