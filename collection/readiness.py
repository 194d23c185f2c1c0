"""The check before a study takes people: what is ready, what to look at, what must be mended first.

Whoever adds a stage that can be unready (quotas, recruitment) adds a function to CHECKS.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from django.conf import settings
from django.utils import timezone
from django.utils.translation import gettext as _

from collection import budget, endpoints, trials
from collection.candidates import SYSTEM_STRING
from collection.models import ModelEndpoint
from surveys import quota_tables, quotas
from surveys.errors import DomainError
from surveys.forms import obstacles
from surveys.instruments.review import Severity, review
from surveys.models import Outcome, Study

Level = Literal["ok", "warn", "stop"]
LATE_MIN = 3
"""Nobody should answer for longer and then hear that there is no place."""
LEVELS: dict[Severity, Level] = {"error": "stop", "warning": "warn"}


@dataclass(frozen=True)
class Finding:
    """level: ok; warn, worth a look; stop, the study can't take people. remedy: what to do."""

    level: Level
    words: str
    remedy: str = ""


Findings = Iterator[Finding]


def check(study: Study, state: str = Study.State.LIVE) -> list[Finding]:
    """All findings before a study becomes a pilot or goes live, the gravest first."""
    found = [finding for look in CHECKS for finding in look(study, state)]
    return sorted(found, key=lambda finding: ("stop", "warn", "ok").index(finding.level))


def refuse_unready(study: Study, state: str, **_signal: Any) -> None:
    """Raises DomainError with all that must be mended before the study can take people."""
    stops = [finding for finding in check(study, state) if finding.level == "stop"]
    if stops:
        said = " ".join(f"{finding.words} {finding.remedy}".strip() for finding in stops)
        raise DomainError("not_ready", _("The study is not ready yet. %s") % said)


def talks(study: Study) -> bool:
    return study.instrument.file.conversation is not None


def active(study: Study) -> list[ModelEndpoint]:
    return list(study.endpoints.filter(is_active=True)) if talks(study) else []


def instrument_is_sound(study: Study, _state: str) -> Findings:
    found = review(study.instrument.document, study.instrument.file)
    told = [finding for finding in found.findings if finding.severity in LEVELS]
    for finding in told:
        where = f"{finding.place}: " if finding.place else ""
        yield Finding(
            LEVELS[finding.severity],
            _("Questionnaire, %(where)s%(words)s") % {"where": where, "words": finding.words},
            _("Mend it in a new version of the questionnaire, or leave it so if it is meant."),
        )
    if not told:
        yield Finding("ok", _("The questionnaire is sound: %s.") % found.size)


def translations_are_ready(study: Study, _state: str) -> Findings:
    found = obstacles(study.languages, study.instrument, study.consent_document)
    for words in found[:-1]:
        yield Finding("warn" if study.is_demo else "stop", words, found[-1])
    if not found and study.languages:
        yield Finding("ok", _("All translations are complete and reviewed."))


def there_are_models(study: Study, _state: str) -> Findings:
    if not talks(study):
        return
    known, protocol = active(study), study.protocol
    wanted = 1 if protocol.repeats_models else protocol.opening_models
    if not known:
        yield Finding(
            "stop",
            _("The study has no active model, so nobody can talk."),
            _("Choose some in the step “Models”."),
        )
    elif len(known) < wanted:
        yield Finding(
            "warn",
            _("The protocol draws %(wanted)d models and the study has %(number)d.")
            % {"wanted": wanted, "number": len(known)},
            _("Add models, or lower opening_models in the protocol."),
        )
    else:
        yield Finding("ok", _("%d models can be drawn.") % len(known))
    names = {row.long_name for row in known}
    for arm, models in protocol.model_sets.items():
        if lacking := sorted(set(models) - names):
            yield Finding(
                "stop",
                _("The set %(arm)s names models that the study does not have: %(names)s.")
                % {"arm": arm, "names": ", ".join(lacking)},
                _("Add them to the study, or correct model_sets in the protocol."),
            )


def models_have_keys(study: Study, _state: str) -> Findings:
    for row in active(study):
        if row.key_name and row.key_name not in settings.MODEL_KEYS:
            yield Finding(
                "stop",
                _("%(model)s needs the key %(key)s, which this server does not have.")
                % {"model": row, "key": row.key_name},
                _("Set REFRACT_KEY_%s in the server's environment and start it again.")
                % row.key_name,
            )


def models_answer(study: Study, _state: str) -> Findings:
    """Each answered a test prompt with its present settings within the last day."""
    known = active(study)
    tests = trials.latest(known)
    good = 0
    for row in known:
        test = tests.get(row.pk)
        if test is None or test.settings_mark != row.settings_mark:
            words = _("%s has not been tried with its present settings.") % row
        elif not test.is_good:
            ending = test.error_class or test.get_outcome_display()
            words = _("%(model)s did not answer its test prompt: %(ending)s.") % {
                "model": row,
                "ending": ending,
            }
        elif test.created_at < timezone.now() - trials.FRESH:
            words = _("%s was last tried more than a day ago.") % row
        else:
            good += 1
            continue
        yield Finding(
            "stop",
            words,
            _("Press “Try all models” here; if it fails, correct it or switch it off."),
        )
    if known and good == len(known):
        yield Finding("ok", _("All %d models answered a test prompt within the last day.") % good)


def budget_is_enough(study: Study, state: str) -> Findings:
    if not talks(study):
        return
    unknown = [row for row in active(study) if endpoints.opening_cost(row) is None]
    paid = [row for row in unknown if not row.is_demo]
    if paid:
        yield Finding(
            "warn",
            _("No price is known of %s, so what it costs is counted as nothing.")
            % ", ".join(map(str, paid)),
            _("Write its prices on its page."),
        )
    each = budget.per_person(study)
    if study.budget_usd is None:
        if each:
            yield Finding(
                "warn",
                _("No budget limits what model calls may cost; a person costs about %.2f USD.")
                % each,
                _("Set one in the step “Money”."),
            )
        return
    yield enough(study, each, "stop" if state == Study.State.LIVE else "warn")


def enough(study: Study, each: Decimal, otherwise: Level) -> Finding:
    now = budget.standing(study)
    left = now.left if now else Decimal(0)
    if each and left < each:
        return Finding(
            "stop",
            _("The budget has %(left).2f USD left and one person costs about %(each).2f.")
            % {"left": left, "each": each},
            _("Raise it in the step “Money”."),
        )
    if study.expected_people is None:
        return Finding(
            "warn",
            _("It is not said how many people are expected, so the budget cannot be compared."),
            _("Say it in the step “Money”."),
        )
    done = study.participants.filter(completed_at__isnull=False, is_pilot=False).count()
    needed = each * max(0, study.expected_people - done)
    values = {"people": study.expected_people, "needed": needed, "left": left}
    if needed > left:
        return Finding(
            otherwise,
            _("%(people)d people would cost about %(needed).2f USD and %(left).2f are left.")
            % values,
            _("Raise the budget, expect fewer people, or choose cheaper models."),
        )
    return Finding(
        "ok",
        _("The budget covers %(people)d people: about %(needed).2f of %(left).2f USD.") % values,
    )


def people_get_back(study: Study, _state: str) -> Findings:
    """To their recruiter, with the code that says how it ended."""
    has_way_back = any(row.is_prolific for row in study.recruitments.all())
    if not study.completion_code.strip():
        yield Finding(
            "stop",
            _("There is no completion code."),
            _("Copy it from your recruiter's study page into the study's settings."),
        )
    elif not study.completion_url and has_way_back:
        yield Finding("ok", _("Prolific's people get back there with a code for how it ended."))
    elif not study.completion_url:
        yield Finding(
            "warn",
            _("There is no completion link: people are shown the code and find back themselves."),
            _("Add it to the study's settings if a recruiter gave you one."),
        )
    elif "{code}" not in study.completion_url and study.completion_code not in study.completion_url:
        yield Finding(
            "warn",
            _("The completion link does not carry the completion code."),
            _("Write {code} where the code belongs."),
        )
    else:
        yield Finding("ok", _("People get back to their recruiter with a completion code."))
    if not study.return_url and not has_way_back:
        yield Finding(
            "warn",
            _("There is no link for those who decline or stop."),
            _("Add it to the study's settings if a recruiter gave you one."),
        )


def protocol_fits_instrument(study: Study, _state: str) -> Findings:
    prompts = "".join(study.protocol.system_prompts.values())
    asked = {question.code for question in study.instrument.file.questions()}
    if "{system_string}" in prompts and SYSTEM_STRING not in asked:
        yield Finding(
            "stop",
            _("The protocol uses each person's own system prompt and nothing asks for it."),
            _("Use a questionnaire with a question named %s.") % SYSTEM_STRING,
        )


def quotas_add_up(study: Study, _state: str) -> Findings:
    for problem in quota_tables.problems(study):
        yield Finding("stop", problem, _("See the study's quotas."))
    late = quotas.minutes_until_known(study)
    if late > LATE_MIN:
        yield Finding(
            "warn",
            _("People may be turned away %d minutes into the survey.") % round(late),
            _("Ask what the quotas need on the first page, so that nobody answers in vain."),
        )


def recruitment_returns_people(study: Study, _state: str) -> Findings:
    """To each recruiter with a code for those who finish."""
    for row in study.recruitments.prefetch_related("codes"):
        if row.is_prolific and not any(c.outcome == Outcome.COMPLETE for c in row.codes.all()):
            yield Finding(
                "stop",
                _("%s has no completion code.") % row,
                _("Add one on its page."),
            )


def nobody_is_simulated(study: Study, state: str) -> Findings:
    number = study.participants.filter(is_simulated=True).count()
    if number and state == Study.State.LIVE:
        yield Finding(
            "stop",
            _("%d simulated people are in this study and would mix with real ones.") % number,
            _("Clone the study and launch the clone; this one keeps what was tried."),
        )


CHECKS: list[Callable[[Study, str], Findings]] = [
    instrument_is_sound,
    translations_are_ready,
    there_are_models,
    models_have_keys,
    models_answer,
    budget_is_enough,
    people_get_back,
    protocol_fits_instrument,
    nobody_is_simulated,
    quotas_add_up,
    recruitment_returns_people,
]
"""All that is looked at, in the order of its findings. Quotas and recruitment add theirs here."""
