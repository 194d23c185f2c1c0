"""Which models answer, where their replies stand, which of equals is chosen. Pure functions.

Every draw comes from a stored seed and says how probable it was, given who could be drawn and what
had been seen before: whoever weighs by it later needs no other assumption. PRISM drew uniformly
without replacement (paper App. P).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb, isfinite, prod

from surveys.draws import rng, shuffled

Pair = tuple[int, int]
"""Endpoint ids, the smaller first."""

MAX_SETS = 20_000
"""Of models that `stratified` looks through: 27 models in fours."""


@dataclass(frozen=True)
class Draw:
    """Endpoint ids, and the probabilities of what was drawn before it was."""

    eligible: list[int]
    drawn: list[int]
    """In draw order, which says nothing about the model."""
    inclusion: dict[int, float]
    """Each one drawn -> that it is, with whichever others."""
    pairs: dict[Pair, float]
    """Each pair drawn -> that both are."""


@dataclass(frozen=True)
class Way:
    """One way to draw a set of models, and the chance that all of some given ones are in it."""

    drawn: list[int]
    chance: Callable[[Iterable[int]], float]
    """Of one model or of two."""


def draw(
    strategy: str,
    eligible: Sequence[int],
    k: int,
    seed: int,
    attempt: int,
    *,
    epsilon: float = 0.0,
    seen: Mapping[int, int] | None = None,
    weights: Mapping[int, float] | None = None,
    met: Mapping[Pair, int] | None = None,
) -> Draw:
    """min(k, all) models for an opening turn; each attempt draws afresh.

    uniform: every set of k is as likely as any other.
    least_seen: those `seen` least often; equals at random.
    weighted: a set is as likely as the product of its `weights`.
    stratified: a set whose pairs have `met` least often; equals at random.
    All but the first are mixed with it: a share `epsilon` of the draws is uniform.
    Raises ValueError for a weight that is not a positive number and for more than MAX_SETS sets.
    """
    models = sorted(eligible)
    k = min(k, len(models))
    even = uniform(models, k, seed, attempt)
    match strategy:
        case "uniform":
            other, epsilon = even, 1.0
        case "least_seen":
            other = least_seen(models, k, seen or {}, seed, attempt)
        case "weighted":
            other = weighted(models, k, weights or {}, seed, attempt)
        case "stratified":
            other = stratified(models, k, met or {}, seed, attempt)
        case _:
            raise ValueError(f"there is no strategy {strategy!r}")
    is_even = rng(seed, "epsilon", attempt).random() < epsilon

    def chance(of: Iterable[int]) -> float:
        members = tuple(of)
        return epsilon * even.chance(members) + (1 - epsilon) * other.chance(members)

    chosen = sorted(even.drawn if is_even else other.drawn)
    return Draw(
        models,
        shuffled(chosen, seed, "draw_order", attempt),
        {model: chance([model]) for model in chosen},
        {pair: chance(pair) for pair in combinations(chosen, 2)},
    )


def uniform(models: Sequence[int], k: int, seed: int, attempt: int, name: str = "models") -> Way:
    """Every set of k is as likely as any other."""
    n = len(models)

    def chance(of: Iterable[int]) -> float:
        size = len(tuple(of))
        return comb(n - size, k - size) / comb(n, k) if size <= k else 0.0

    return Way(rng(seed, name, attempt).sample(models, k), chance)


def least_seen(
    models: Sequence[int], k: int, seen: Mapping[int, int], seed: int, attempt: int
) -> Way:
    """Whoever was seen less often than the k-th is certain; among its equals chance decides."""
    counts = sorted(seen.get(model, 0) for model in models)
    last = counts[k - 1] if k else 0
    certain = {model for model in models if seen.get(model, 0) < last}
    tied = [model for model in models if seen.get(model, 0) == last]
    rest = uniform(tied, k - len(certain), seed, attempt, "least_seen")

    def chance(of: Iterable[int]) -> float:
        uncertain = [model for model in of if model not in certain]
        return rest.chance(uncertain) if set(uncertain) <= set(tied) else 0.0

    return Way([*certain, *rest.drawn], chance)


def weighted(
    models: Sequence[int], k: int, weights: Mapping[int, float], seed: int, attempt: int
) -> Way:
    """Conditional Poisson sampling (Chen, Dempster and Liu 1994), whose chances are exact: those
    of a set's members are ratios of elementary symmetric polynomials of the weights."""
    weight = {model: weights.get(model, 1.0) for model in models}
    if not all(isfinite(value) and value > 0 for value in weight.values()):
        raise ValueError("every weight must be a number above 0")
    of_all = symmetric(weight.values(), k)

    def chance(of: Iterable[int]) -> float:
        members = set(of)
        if len(members) > k:
            return 0.0
        others = symmetric((weight[m] for m in models if m not in members), k - len(members))
        return prod(weight[m] for m in members) * others / of_all

    return Way(drawn_by_weight(models, weight, k, seed, attempt), chance)


def drawn_by_weight(
    models: Sequence[int], weight: Mapping[int, float], k: int, seed: int, attempt: int
) -> list[int]:
    """Goes through the models and takes each with its chance, given those taken before."""
    random = rng(seed, "weighted", attempt)
    of_rest = symmetrics([weight[model] for model in reversed(models)], k)[::-1]
    drawn: list[int] = []
    for index, model in enumerate(models):
        left = k - len(drawn)
        if not left:
            break
        taken = weight[model] * of_rest[index + 1][left - 1]
        if random.random() * (taken + of_rest[index + 1][left]) < taken:
            drawn.append(model)
    return drawn


def symmetric(values: Iterable[float], k: int) -> float:
    """The k-th elementary symmetric polynomial: the sum of the products of every k values."""
    return symmetrics(values, k)[-1][k]


def symmetrics(values: Iterable[float], k: int) -> list[list[float]]:
    """[m][j]: the j-th elementary symmetric polynomial of the first m values, for j to k."""
    found = [[1.0, *[0.0] * k]]
    for value in values:
        last = found[-1]
        found.append([1.0, *[last[j] + value * last[j - 1] for j in range(1, k + 1)]])
    return found


def stratified(
    models: Sequence[int], k: int, met: Mapping[Pair, int], seed: int, attempt: int
) -> Way:
    """One of the sets whose pairs have met least often, taken together."""
    if comb(len(models), k) > MAX_SETS:
        raise ValueError(f"{len(models)} models have more than {MAX_SETS} sets of {k}")
    best = strangers(models, k, met)

    def chance(of: Iterable[int]) -> float:
        wanted = frozenset(of)
        return sum(wanted <= members for members in best) / len(best)

    return Way(sorted(rng(seed, "stratified", attempt).choice(best)), chance)


def strangers(models: Sequence[int], k: int, met: Mapping[Pair, int]) -> list[frozenset[int]]:
    """The sets of k models with the fewest meetings, always in the same order."""
    meetings = [[met.get((one, other), 0) for other in models] for one in models]
    fewest = float("inf")
    best: list[frozenset[int]] = []

    def grow(members: tuple[int, ...], total: int, with_members: list[int], start: int) -> None:
        """with_members: how often each model has met those that are in."""
        nonlocal fewest, best
        if len(members) == k:
            if total < fewest:
                fewest, best = total, []
            best.append(frozenset(members))
            return
        missing = k - len(members)
        for index in range(start, len(models) - missing + 1):
            grown = total + with_members[index]
            if grown <= fewest:  # more members only add to it
                row = meetings[index]
                both = (
                    [a + b for a, b in zip(with_members, row, strict=True)] if missing > 1 else []
                )
                grow((*members, models[index]), grown, both, index + 1)

    grow((), 0, [0] * len(models), 0)
    return best


def screen_positions(n: int, seed: int, turn: int) -> list[int]:
    """Screen position of each within_turn_id 0..n-1, uniform and independent of it."""
    return shuffled(range(n), seed, "positions", turn)


def choose(scores: Sequence[int], seed: int, turn: int) -> tuple[int, list[int]]:
    """(index of the chosen reply, indices sharing the highest score); ties break at random."""
    best = max(scores)
    tied = [index for index, score in enumerate(scores) if score == best]
    return rng(seed, "tie", turn).choice(tied), tied


def type_order(codes: Sequence[str], seed: int) -> list[str]:
    """Order of the conversation types on the hub, drawn per person."""
    return shuffled(codes, seed, "order", "conversation_type")


def attribute_order(codes: Sequence[str], seed: int, kind: str) -> list[str]:
    """Order of the attributes of one kind, drawn per person: the same in all conversations."""
    return shuffled(codes, seed, "order", kind)


def reply_seed(seed: int, turn: int, attempt: int, slot: int, try_number: int) -> int:
    """A seed for models that take one."""
    return rng(seed, "reply", turn, attempt, slot, try_number).getrandbits(31)
