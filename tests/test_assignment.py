"""Draws of models, and that what they say of their own probability is so."""

from collections import Counter
from itertools import combinations
from math import prod
from typing import Any

import pytest

from collection import assignment
from collection.assignment import Draw, Pair

MODELS = range(6)
DRAWS = 4000
WIDE = 0.045
"""Six standard errors of a share of 4,000 draws are at most 0.047; the seeds are fixed."""
WEIGHTS = {model: float(model + 1) for model in MODELS}
SEEN = {0: 5, 1: 0, 2: 2, 3: 2, 4: 2, 5: 9}
MET = {(0, 1): 3, (2, 3): 1, (4, 5): 2, (0, 2): 0}
STRATEGIES: list[tuple[str, dict[str, Any]]] = [
    ("uniform", {}),
    ("least_seen", {"seen": SEEN}),
    ("weighted", {"weights": WEIGHTS}),
    ("stratified", {"met": MET}),
]


def draw(strategy: str, k: int = 3, seed: int = 0, attempt: int = 0, **history: Any) -> Draw:
    return assignment.draw(strategy, MODELS, k, seed, attempt, epsilon=0.1, **history)


def probabilities(strategy: str, **history: Any) -> tuple[dict[int, float], dict[Pair, float]]:
    """What draws say of each model and each pair; the same whenever they say it."""
    ones: dict[int, set[float]] = {}
    pairs: dict[Pair, set[float]] = {}
    for seed in range(DRAWS):
        for model, said in (drawn := draw(strategy, seed=seed, **history)).inclusion.items():
            ones.setdefault(model, set()).add(round(said, 12))
        for pair, said in drawn.pairs.items():
            pairs.setdefault(pair, set()).add(round(said, 12))
    assert all(len(said) == 1 for said in [*ones.values(), *pairs.values()])
    return {m: said.pop() for m, said in ones.items()}, {p: s.pop() for p, s in pairs.items()}


@pytest.mark.parametrize(("strategy", "history"), STRATEGIES)
def test_probabilities_are_the_frequencies(strategy: str, history: dict[str, Any]) -> None:
    draws = [draw(strategy, seed=seed, **history).drawn for seed in range(DRAWS)]
    one = Counter(model for drawn in draws for model in drawn)
    two = Counter(pair for drawn in draws for pair in combinations(sorted(drawn), 2))
    ones, pairs = probabilities(strategy, **history)
    # Nothing is impossible, since uniform draws are mixed in.
    assert set(ones) == set(MODELS)
    assert set(pairs) == set(combinations(MODELS, 2))
    for model, said in ones.items():
        assert one[model] / DRAWS == pytest.approx(said, abs=WIDE)
    for pair, said in pairs.items():
        assert two[pair] / DRAWS == pytest.approx(said, abs=WIDE)
    # Each draw has three models and three pairs.
    assert sum(ones.values()) == pytest.approx(3)
    assert sum(pairs.values()) == pytest.approx(3)


def likely(strategy: str, chosen: tuple[int, ...]) -> float:
    """How likely a set is beside the others, by each strategy's definition."""
    sets = list(combinations(MODELS, len(chosen)))
    match strategy:
        case "weighted":
            return prod(WEIGHTS[model] for model in chosen)
        case "least_seen":
            return float(seen_in(chosen) == min(map(seen_in, sets)))
        case "stratified":
            return float(met_in(chosen) == min(map(met_in, sets)))
    return 1.0


def seen_in(chosen: tuple[int, ...]) -> int:
    return sum(SEEN[model] for model in chosen)


def met_in(chosen: tuple[int, ...]) -> int:
    return sum(MET.get(pair, 0) for pair in combinations(chosen, 2))


@pytest.mark.parametrize("k", [1, 2, 3, 5, 6])
@pytest.mark.parametrize(("strategy", "history"), STRATEGIES)
def test_probabilities_are_those_of_all_sets(
    strategy: str, history: dict[str, Any], k: int
) -> None:
    sets = list(combinations(MODELS, k))
    total = sum(likely(strategy, chosen) for chosen in sets)
    exact = {c: 0.1 / len(sets) + 0.9 * likely(strategy, c) / total for c in sets}
    for seed in range(20):
        drawn = draw(strategy, k, seed, **history)
        for model, said in drawn.inclusion.items():
            assert said == pytest.approx(sum(p for c, p in exact.items() if model in c))
        for pair, said in drawn.pairs.items():
            assert said == pytest.approx(sum(p for c, p in exact.items() if {*pair} <= {*c}))


def test_uniform_is_prisms() -> None:
    drawn = draw("uniform", k=4)
    assert set(drawn.inclusion.values()) == {4 / 6}
    assert [*drawn.pairs.values()] == [pytest.approx(4 * 3 / (6 * 5))] * 6


def test_equal_weights_are_uniform() -> None:
    drawn = draw("weighted", k=4)
    assert [*drawn.inclusion.values()] == [pytest.approx(4 / 6)] * 4
    assert [*drawn.pairs.values()] == [pytest.approx(2 / 5)] * 6


@pytest.mark.parametrize(("strategy", "history"), STRATEGIES)
def test_all_are_drawn_if_there_are_no_more(strategy: str, history: dict[str, Any]) -> None:
    drawn = draw(strategy, k=9, **history)
    assert sorted(drawn.drawn) == list(MODELS)
    assert [*drawn.inclusion.values()] == [pytest.approx(1.0)] * 6
    assert [*drawn.pairs.values()] == [pytest.approx(1.0)] * 15


@pytest.mark.parametrize(("strategy", "history"), STRATEGIES)
def test_one_alone_has_no_pairs(strategy: str, history: dict[str, Any]) -> None:
    drawn = draw(strategy, k=1, **history)
    assert len(drawn.drawn) == 1
    assert drawn.pairs == {}


def test_least_seen_evens_out_exposure() -> None:
    """Also for a model that comes late."""
    seen: Counter[int] = Counter()
    for number in range(2000):
        models = range(7) if number > 500 else range(6)
        drawn = assignment.draw("least_seen", models, 4, number, 0, epsilon=0.05, seen=seen)
        seen.update(drawn.drawn)
    assert max(seen.values()) - min(seen.values()) <= 12


def test_stratified_evens_out_pairs() -> None:
    met: Counter[Pair] = Counter()
    plain: Counter[Pair] = Counter()
    for number in range(1500):
        drawn = assignment.draw("stratified", range(7), 3, number, 0, epsilon=0.05, met=met)
        met.update(drawn.pairs.keys())
        plain.update(assignment.draw("uniform", range(7), 3, number, 0).pairs.keys())
    spread = max(met.values()) - min(met.values())
    assert spread <= 12 < max(plain.values()) - min(plain.values())


@pytest.mark.parametrize(("strategy", "history"), STRATEGIES)
def test_draw_order_says_nothing(strategy: str, history: dict[str, Any]) -> None:
    """within_turn_id is draw order: each model drawn is as often first as last."""
    places = Counter(
        (model, place)
        for seed in range(DRAWS)
        for place, model in enumerate(draw(strategy, seed=seed, **history).drawn)
    )
    for model in MODELS:
        of_model = [places[model, place] for place in range(3)]
        expected = sum(of_model) / 3
        # A chi-square of 2 degrees of freedom exceeds 13.8 once in a thousand.
        assert sum((count - expected) ** 2 / expected for count in of_model) < 13.8


def test_positions_are_balanced_over_models_and_draw_order() -> None:
    by_model: Counter[tuple[int, int]] = Counter()
    by_order: Counter[tuple[int, int]] = Counter()
    for seed in range(DRAWS):
        drawn = assignment.draw("uniform", range(4), 4, seed, 0).drawn
        positions = assignment.screen_positions(4, seed, 0)
        by_model.update(zip(drawn, positions, strict=True))
        by_order.update(enumerate(positions))
    for places in (by_model, by_order):
        squares = [(places[i, p] - DRAWS / 4) ** 2 for i in range(4) for p in range(4)]
        # 9 degrees of freedom: 27.9 once in a thousand.
        assert sum(squares) / (DRAWS / 4) < 27.9


@pytest.mark.parametrize(("strategy", "history"), STRATEGIES)
def test_a_seed_and_an_attempt_make_the_draw(strategy: str, history: dict[str, Any]) -> None:
    assert draw(strategy, seed=9, **history) == draw(strategy, seed=9, **history)
    draws = {tuple(draw(strategy, seed=9, attempt=n, **history).drawn) for n in range(12)}
    assert len(draws) > 1


@pytest.mark.parametrize("weight", [0.0, -1.0, float("inf"), float("nan")])
def test_weights_are_positive(weight: float) -> None:
    with pytest.raises(ValueError, match="above 0"):
        draw("weighted", weights={0: weight})


def test_too_many_sets_are_refused() -> None:
    with pytest.raises(ValueError, match="40 models have more than 20000 sets of 4"):
        assignment.draw("stratified", range(40), 4, 0, 0)


def test_an_unknown_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="no strategy 'best'"):
        draw("best")
