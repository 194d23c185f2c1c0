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


@pytest.mark.parametrize(("scores", "tied"), [([3, 9, 9, 1], [1, 2]), ([5, 5], [0, 1])])
def test_ties_break_at_random_among_the_highest(scores: list[int], tied: list[int]) -> None:
    chosen = {assignment.choose(scores, seed, 0)[0] for seed in range(50)}
    assert chosen == set(tied)
    assert assignment.choose(scores, 1, 0)[1] == tied


def test_the_highest_is_chosen() -> None:
    assert assignment.choose([10, 80, 79], 1, 0) == (1, [1])
