"""Which models answer, where their replies stand, which of equals is chosen. Pure functions.

Opening models are drawn uniformly without replacement, as in PRISM (paper App. P), but from a
stored seed.
"""

from collections.abc import Sequence

from surveys.draws import rng, shuffled


def draw_models(eligible: Sequence[int], k: int, seed: int, attempt: int) -> list[int]:
    """min(k, all) endpoint ids for the opening turn, in draw order; each attempt draws afresh."""
    return rng(seed, "models", attempt).sample(sorted(eligible), min(k, len(eligible)))


def inclusion_probability(eligible: int, k: int) -> float:
    """That one given endpoint of `eligible` is among the k drawn."""
    return min(1.0, k / eligible)


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
