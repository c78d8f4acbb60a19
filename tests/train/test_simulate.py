import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.train.plan import Cost, Plan
from boresight.train.settings import STRATEGIES, TrainSettings
from boresight.train.simulate import Waste, next_fit, simulate, simulate_packing


def by_strategy(lengths: list[int], cost: Cost, ranks: int, **changes: int) -> dict[str, Waste]:
    rows = np.array(lengths)
    waste = simulate(rows, np.ones_like(rows), TrainSettings(**changes), cost, ranks)
    assert [w.strategy for w in waste] == list(STRATEGIES)
    return {w.strategy: w for w in waste}


def test_worked_by_hand() -> None:
    """Lengths 2, 4, 6, 8 in one step, 8 tokens a micro-batch, cost n, two ranks: an even share is 10.

    Sorted: [2 4] padded to 8, [6], [8]: 22 slots for 20 tokens. Costs sorted in order 8, 6, 8 and an
    empty one: rounds (8, 6) and (8, 0), paced at 2 × 16 = 32, of which 22 used.
    Packed: [8], [6 2], [4]: no padding; rounds (8, 8) and (4, 0): paced 24, used 20.
    Balanced: the same, and no cut is faster: 20 tokens do not fit into two micro-batches of 8, and in two
    rounds 8 goes first, at most 8 beside it, and then there are 4 left.
    """
    waste = by_strategy([2, 4, 6, 8], Cost(1.0, 0.0), 2, tokens_per_micro_batch=8)
    assert waste["sorted"].padding == pytest.approx(2 / 22)
    assert waste["sorted"].idle == pytest.approx(10 / 32)
    assert waste["sorted"].to_ideal == pytest.approx(16 / 10)
    assert waste["sorted"].micro_batches == 3
    assert waste["packed"].padding == waste["balanced"].padding == 0
    assert waste["packed"].idle == waste["balanced"].idle == pytest.approx(4 / 24)
    assert waste["packed"].to_ideal == waste["packed"].to_limit == pytest.approx(12 / 10)
    assert waste["balanced"].to_ideal == pytest.approx(12 / 10)
    assert {w.micro_batches for w in waste.values()} == {3}
    assert {(w.rounds, w.steps, w.dominated) for w in waste.values()} == {(2, 1, 0)}


def test_a_step_that_one_sequence_dominates_worked_by_hand() -> None:
    """90 beside 2, 3 and 5: an even share on two ranks is 50, and 90 takes 90 wherever it is. The second
    step, 5 and 5, is not dominated: together 95 instead of 55, of the ranks' 190 are 110 used."""
    lengths = np.array([90, 2, 3, 5, 5, 5])
    seed = next(
        s for s in range(999) if set(np.random.default_rng([s, 0]).permutation(6)[:4]) == {0, 1, 2, 3}
    )
    waste = by_strategy(lengths.tolist(), Cost(1.0, 0.0), 2, sequences_per_step=4, seed=seed)["balanced"]
    assert waste.dominated == 0.5
    assert waste.to_ideal == pytest.approx(95 / 55)
    assert waste.to_limit == pytest.approx(1)
    assert waste.idle == pytest.approx(1 - 110 / 190)


def test_the_count_is_what_a_slow_count_over_the_plan_gives() -> None:
    random = np.random.default_rng(4)
    lengths, cost = random.integers(2, 400, 150), Cost(50.0, 1.0)
    options = TrainSettings(sequences_per_step=32, tokens_per_micro_batch=1000, epochs=1)
    for waste in simulate(lengths, lengths - 1, options, cost, 3):
        plan = Plan(lengths, lengths - 1, options.model_copy(update={"batching": waste.strategy}), cost, 3)
        steps = list(plan.steps())
        slots, time, used = 0, 0.0, 0.0
        for step in steps:
            slots += plan.slots(step)
            for round_ in zip(*step.ranks, strict=True):
                costs = []
                for batch in round_:
                    rows = [int(lengths[i]) for i in batch.sequences]
                    rows = [max(rows)] * len(rows) if batch.padded and rows else rows
                    costs.append(sum(50 * n + n * n for n in rows))
                time += max(costs)
                used += sum(costs)
        assert waste.padding == pytest.approx(1 - lengths.sum() / slots)
        assert waste.idle == pytest.approx(1 - used / (3 * time))
        assert waste.to_ideal == pytest.approx(3 * time / cost.of(lengths).sum())
        assert waste.rounds == pytest.approx(np.mean([len(step.ranks[0]) for step in steps]))
        assert waste.steps == len(steps)


@settings(deadline=None, max_examples=200)
@given(
    lengths=st.lists(st.integers(1, 50), min_size=1, max_size=60).map(np.array), capacity=st.integers(1, 99)
)
def test_next_fit_closes_a_pack_at_the_first_that_has_no_room(lengths: np.ndarray, capacity: int) -> None:
    expected: list[list[int]] = [[]]
    for n in lengths.tolist():
        if expected[-1] and sum(expected[-1]) + n > capacity:
            expected.append([])
        expected[-1].append(n)
    assert [pack.tolist() for pack in next_fit(lengths, capacity)] == expected


def test_packing_of_the_whole_epoch_worked_by_hand() -> None:
    """6, 4, 5 and 5 into packs of ten, cost n², two ranks: best-fit takes (6 4) and (5 5), 52 and 50."""
    lengths = np.array([6, 4, 5, 5])
    options = TrainSettings(tokens_per_micro_batch=10)
    next_, best = simulate_packing(lengths, options, Cost(0.0, 1.0), 2)
    assert (next_.strategy, best.strategy) == ("next-fit", "best-fit")
    assert (best.steps, best.micro_batches, best.padding) == (1, 2, 0)
    assert best.to_ideal == pytest.approx(52 / 51)
    assert best.idle == pytest.approx(2 / 104)
    assert next_.to_ideal >= best.to_ideal


def test_one_rank_never_waits_and_equal_rows_need_no_padding() -> None:
    uneven = by_strategy([3, 50, 7, 20, 90], Cost(1.0, 0.1), 1, tokens_per_micro_batch=100)
    assert all(w.idle == pytest.approx(0) for w in uneven.values())
    equal = by_strategy([10] * 64, Cost(1.0, 0.1), 4, tokens_per_micro_batch=40)
    assert all(w.padding == w.idle == pytest.approx(0) and w.micro_batches == 16 for w in equal.values())


def test_order_of_strategies_on_long_and_short_mixed() -> None:
    """What LongAlign reports: padding at random is the worst by far; balancing waits least."""
    random = np.random.default_rng(1)
    lengths = [*random.integers(50, 1000, 900).tolist(), *random.integers(8000, 16_000, 100).tolist()]
    waste = by_strategy(lengths, Cost(7e9, 32 * 4096.0), 8, tokens_per_micro_batch=16_384)
    assert waste["padded"].padding > 2 * waste["sorted"].padding > 0
    assert waste["balanced"].idle == min(w.idle for w in waste.values())
    assert waste["balanced"].idle < 0.08 < 0.3 < waste["padded"].idle


def test_simulates_one_epoch_whatever_the_run() -> None:
    once = by_strategy([4] * 10, Cost(1.0, 0.0), 2, sequences_per_step=4)
    many = by_strategy([4] * 10, Cost(1.0, 0.0), 2, sequences_per_step=4, epochs=5, steps=77)
    assert once == many
