"""Facts of an instrument that are asked for again and again, worked out once."""

from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

Of = TypeVar("Of")
Rest = ParamSpec("Rest")
Found = TypeVar("Found")

KEPT = 4_000
"""A process meets a few instruments of some dozen questions; previews come and go."""


def remembered(
    function: Callable[Concatenate[Of, Rest], Found],
) -> Callable[Concatenate[Of, Rest], Found]:
    """Of an immutable first argument, with the same further arguments, the same answer.

    By the identity of the first: comparing two questions takes longer than most of what is asked
    about them, and lru_cache with a key that compares identities ten times as long as this.
    """
    answers: dict[tuple[Any, ...], tuple[Of, Found]] = {}

    @wraps(function)
    def asked(of: Of, /, *args: Rest.args, **kwargs: Rest.kwargs) -> Found:
        key = (id(of), *args, *kwargs.items())
        known = answers.get(key)
        if known is None:
            if len(answers) >= KEPT:
                answers.clear()
            # What it is about is kept alive, so that nothing else has its identity.
            known = answers[key] = (of, function(of, *args, **kwargs))
        return known[1]

    return asked
