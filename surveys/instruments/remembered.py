"""Facts of an instrument that are asked for again and again, worked out once."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

Of = TypeVar("Of")
Rest = ParamSpec("Rest")
Found = TypeVar("Found")

KEPT = 4_000
"""A process meets a few instruments of some dozen questions; previews come and go."""


class Same:
    """An object as the key of a cache: by identity, since comparing two questions takes longer
    than most of what is asked about them. It is kept alive, so that no other has its identity."""

    __slots__ = ("it",)

    def __init__(self, it: Any) -> None:
        self.it = it

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.it is other.it

    def __hash__(self) -> int:
        return id(self.it)


def remembered(
    function: Callable[Concatenate[Of, Rest], Found],
) -> Callable[Concatenate[Of, Rest], Found]:
    """Of an immutable first argument, with the same further arguments, the same answer."""

    @lru_cache(maxsize=KEPT)
    def answer(of: Same, *args: Any, **kwargs: Any) -> Found:
        return function(of.it, *args, **kwargs)

    @wraps(function)
    def asked(of: Of, /, *args: Rest.args, **kwargs: Rest.kwargs) -> Found:
        return answer(Same(of), *args, **kwargs)  # type: ignore[arg-type]

    return asked
