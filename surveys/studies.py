"""The states of a study, and the steps between them.

draft: nobody but previews and simulated people. pilot: newcomers, kept apart. live: newcomers.
paused: nobody new. closed: nobody new, ever again. Whoever is under way may always finish.
"""

from itertools import count

from django.db import transaction
from django.dispatch import Signal
from django.forms.models import model_to_dict
from django.utils.translation import gettext as _

from surveys import versions
from surveys.errors import DomainError
from surveys.models import StateChange, Study

opening = Signal()
"""`study` is about to take people in `state`. A receiver may raise DomainError."""

State = Study.State

STEPS: dict[str, tuple[str, ...]] = {
    "open_pilot": (State.DRAFT,),
    "launch": (State.DRAFT, State.PILOT),
    "pause": (State.PILOT, State.LIVE),
    "resume": (State.PAUSED,),
    "close": (State.PILOT, State.LIVE, State.PAUSED),
}
"""Step -> the states in which it can be taken."""


def steps_from(state: str) -> list[str]:
    return [step for step, states in STEPS.items() if state in states]


def open_pilot(study: Study, author: str) -> None:
    """Take people whose data are kept apart from those of the study itself."""
    move(study, "open_pilot", State.PILOT, author)


def launch(study: Study, author: str) -> None:
    move(study, "launch", State.LIVE, author)


def pause(study: Study, author: str) -> None:
    """Take nobody new for a while."""
    move(study, "pause", State.PAUSED, author)


def resume(study: Study, author: str) -> None:
    """Go on as what the study was before it was paused."""
    last = study.state_changes.filter(after=State.PAUSED).last()
    move(study, "resume", State(last.before) if last else State.LIVE, author)


def close(study: Study, author: str) -> None:
    """For good: a study that is to go on is cloned."""
    move(study, "close", State.CLOSED, author)


@transaction.atomic
def move(study: Study, step: str, after: State, author: str) -> None:
    """Raises DomainError if the step cannot be taken. A second time changes nothing."""
    row = Study.objects.select_for_update(of=("self",)).get(pk=study.pk)
    if row.state == after:
        study.state = after
        return
    if row.state not in STEPS[step]:
        raise DomainError(
            "step",
            _("This study is %(state)s, so this step cannot be taken.")
            % {"state": row.get_state_display()},
        )
    if after in (State.PILOT, State.LIVE):
        opening.send(Study, study=row, state=after)
    StateChange.objects.create(study=row, before=row.state, after=after, author=author)
    study.state = row.state = after
    row.save(update_fields=["state"])
    if after in (State.PILOT, State.LIVE):
        versions.record(row, REASONS[step], author)


@transaction.atomic
def clone(study: Study, slug: str) -> Study:
    """A draft with everything that a study is set to, and nobody in it.

    A second time with the same slug returns the first one's draft.
    """
    kept = model_to_dict(study, exclude=["id", "slug", "state", "completion_code", "instrument"])
    title = _("Copy of %s") % study.title
    kept |= {"instrument": study.instrument, "title": title[:200]}
    copy, is_new = Study.objects.get_or_create(slug=slug, defaults=kept)
    if is_new:
        copy.endpoints.set(study.endpoints.all())
    return copy


def free_slug(slug: str) -> str:
    """The slug, or with the first number that no study has yet."""
    taken = set(Study.objects.filter(slug__startswith=slug[:40]).values_list("slug", flat=True))
    tried = (f"{slug[:44]}-{number}" for number in count(2))
    return slug if slug not in taken else next(s for s in tried if s not in taken)


REASONS = {
    "open_pilot": "The pilot was opened.",
    "launch": "The study was launched.",
    "resume": "The study went on.",
}
