from collections import Counter

import pytest

from collection import assignment
from surveys.draws import new_seed, rng, shuffled


def test_it_works() -> None:
    assert rng(7, "order", "x").random() == rng(7, "order", "x").random()


def test_streams_are_independent() -> None:
    assert rng(7, "order", "x").random() != rng(7, "order", "y").random()
    assert rng(7, "a").random() != rng(8, "a").random()


def test_the_same_on_every_machine() -> None:
    assert shuffled("abcdefgh", 12345, "order", "fixed") == list("fgchaebd")


def test_a_seed_fits_a_signed_column() -> None:
    assert all(0 <= new_seed() < 2**63 for _i in range(100))


def test_draw_is_uniform_without_replacement() -> None:
    counts: Counter[int] = Counter()
    for seed in range(3000):
        drawn = assignment.draw_models(range(8), 4, seed, 0)
        assert len(set(drawn)) == 4
        counts.update(drawn)
    expected = 3000 * assignment.inclusion_probability(8, 4)
    # A chi-square of 7 degrees of freedom exceeds 24.3 once in a thousand; the seeds are fixed.
    assert sum((counts[model] - expected) ** 2 / expected for model in range(8)) < 24.3


def test_draw_of_few_models() -> None:
    assert sorted(assignment.draw_models([3, 5], 4, 1, 0)) == [3, 5]
    assert assignment.inclusion_probability(2, 4) == 1.0


def test_a_further_attempt_draws_afresh() -> None:
    draws = {tuple(assignment.draw_models(range(20), 4, 99, attempt)) for attempt in range(5)}
    assert len(draws) == 5


def test_position_is_independent_of_draw_order() -> None:
    first = Counter(assignment.screen_positions(4, seed, 0)[0] for seed in range(4000))
    assert set(first) == {0, 1, 2, 3}
    assert max(first.values()) - min(first.values()) < 150


@pytest.mark.parametrize(("scores", "tied"), [([3, 9, 9, 1], [1, 2]), ([5, 5], [0, 1])])
def test_ties_break_at_random_among_the_highest(scores: list[int], tied: list[int]) -> None:
    chosen = {assignment.choose(scores, seed, 0)[0] for seed in range(50)}
    assert chosen == set(tied)
    assert assignment.choose(scores, 1, 0)[1] == tied


def test_the_highest_is_chosen() -> None:
    assert assignment.choose([10, 80, 79], 1, 0) == (1, [1])
