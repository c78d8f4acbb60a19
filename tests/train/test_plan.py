from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from boresight.train.plan import Cost, Plan, balance, best_fit, rows_within, sequence_weights
from boresight.train.settings import STRATEGIES, TrainSettings

COST = Cost(1000.0, 1.0)
RANKS = (1, 2, 3, 8)
lengths_of_rows = st.lists(st.integers(2, 300), min_size=1, max_size=60).map(np.array)


def make_plan(lengths: np.ndarray, ranks: int = 1, **changes: Any) -> Plan:
    options = {"sequences_per_step": 16, "tokens_per_micro_batch": 256, "epochs": 2} | changes
    if "tokens_per_step" in options:
        del options["sequences_per_step"]
    return Plan(lengths, np.maximum(1, lengths // 3), TrainSettings(**options), COST, ranks)


def drawn(plan: Plan, epoch: int) -> list[int]:
    return [int(i) for step in plan.steps() if step.epoch == epoch for i in step.sequences]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("ranks", RANKS)
@settings(deadline=None, max_examples=15)
@given(lengths=lengths_of_rows, capacity=st.integers(1, 600))
def test_every_sequence_is_used_once_an_epoch(
    strategy: str, ranks: int, lengths: np.ndarray, capacity: int
) -> None:
    plan = make_plan(lengths, ranks, batching=strategy, tokens_per_micro_batch=capacity)
    used: dict[int, list[int]] = {0: [], 1: []}
    for step in plan.steps():
        in_batches = [int(i) for rank in step.ranks for batch in rank for i in batch.sequences]
        assert sorted(in_batches) == sorted(step.sequences.tolist())
        used[step.epoch] += in_batches
    assert all(sorted(indices) == list(range(len(lengths))) for indices in used.values())


@settings(deadline=None, max_examples=30)
@given(lengths=lengths_of_rows, by_tokens=st.booleans())
def test_what_a_step_computes_does_not_know_the_machine(lengths: np.ndarray, by_tokens: bool) -> None:
    size = {"tokens_per_step": 500} if by_tokens else {"sequences_per_step": 7}
    reference = list(make_plan(lengths, **size).steps())
    for strategy in STRATEGIES:
        for ranks, capacity in ((1, 300), (3, 1000), (8, 10)):
            plan = make_plan(lengths, ranks, batching=strategy, tokens_per_micro_batch=capacity, **size)
            assert plan.total_steps == len(reference)
            for step, expected in zip(plan.steps(), reference, strict=True):
                assert (step.number, step.epoch) == (expected.number, expected.epoch)
                assert np.array_equal(step.sequences, expected.sequences)
                assert np.array_equal(step.weights, expected.weights)


@pytest.mark.parametrize("strategy", STRATEGIES)
@settings(deadline=None, max_examples=40)
@given(lengths=lengths_of_rows, capacity=st.integers(2, 600), ranks=st.sampled_from(RANKS))
def test_micro_batches_keep_the_capacity_and_long_sequences_go_alone(
    strategy: str, lengths: np.ndarray, capacity: int, ranks: int
) -> None:
    plan = make_plan(lengths, ranks, batching=strategy, tokens_per_micro_batch=capacity)
    for step in plan.steps():
        assert len({len(rank) for rank in step.ranks}) == 1, "ranks would wait for each other for ever"
        for batch in (b for rank in step.ranks for b in rank if len(b.sequences)):
            assert batch.padded == (strategy in ("padded", "sorted"))
            rows = lengths[batch.sequences]
            slots = rows.max() * len(rows) if batch.padded else rows.sum()
            assert slots <= capacity or len(rows) == 1


def test_each_epoch_is_a_new_permutation_that_the_seed_decides() -> None:
    lengths = np.arange(2, 102)
    plan = make_plan(lengths, epochs=3)
    first, second, third = (drawn(plan, epoch) for epoch in range(3))
    assert sorted(first) == sorted(second) == sorted(third)
    assert first != second and second != third and first != third
    assert first == drawn(make_plan(lengths, epochs=1), 0)
    assert first != drawn(make_plan(lengths, seed=1), 0)


@pytest.mark.parametrize("size", [{"sequences_per_step": 7}, {"tokens_per_step": 400}])
@pytest.mark.parametrize("length_of_run", [{"epochs": 3}, {"epochs": 1, "steps": 17}])
def test_steps_continue_where_they_were_left(size: dict[str, int], length_of_run: dict[str, int]) -> None:
    lengths = np.random.default_rng(5).integers(2, 200, 40)
    plan = make_plan(lengths, ranks=2, **size, **length_of_run)
    whole = list(plan.steps())
    assert [step.number for step in whole] == list(range(plan.total_steps))
    for first in range(len(whole) + 1):
        rest = list(plan.steps(first))
        assert len(rest) == len(whole) - first
        for step, expected in zip(rest, whole[first:], strict=True):
            assert (step.number, step.epoch) == (expected.number, expected.epoch)
            assert np.array_equal(step.sequences, expected.sequences)
            assert [[b.sequences.tolist() for b in rank] for rank in step.ranks] == [
                [b.sequences.tolist() for b in rank] for rank in expected.ranks
            ]


def test_the_last_step_of_an_epoch_holds_what_is_left() -> None:
    sizes = [len(step.sequences) for step in make_plan(np.full(20, 9), sequences_per_step=8).steps()]
    assert sizes == [8, 8, 4, 8, 8, 4]


def test_an_exact_number_of_steps_takes_as_many_epochs_as_it_needs() -> None:
    plan = make_plan(np.full(10, 9), sequences_per_step=4, epochs=1, steps=8)
    assert [(step.epoch, len(step.sequences)) for step in plan.steps()] == [
        (0, 4), (0, 4), (0, 2), (1, 4), (1, 4), (1, 2), (2, 4), (2, 4),
    ]  # fmt: skip


def test_steps_of_equal_sequences_by_tokens() -> None:
    """Five tokens each: two reach ten exactly, for eleven it takes a third."""
    lengths = np.full(12, 5)
    assert {len(s.sequences) for s in make_plan(lengths, tokens_per_step=10, epochs=1).steps()} == {2}
    first = next(make_plan(lengths, tokens_per_step=11, epochs=1).steps())
    assert len(first.sequences) == 3


@settings(deadline=None, max_examples=60)
@given(lengths=lengths_of_rows, size=st.integers(300, 900))
def test_steps_by_tokens_hold_that_many_on_average(lengths: np.ndarray, size: int) -> None:
    """No sequence is longer than a step here, so k steps draw within a sequence of k times the number."""
    steps = make_plan(lengths, tokens_per_step=size, epochs=1).total_steps
    assert steps <= -(-lengths.sum() // size)
    assert steps >= lengths.sum() / (size + lengths.max())


# Weights ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@settings(deadline=None, max_examples=30)
@given(counts=st.lists(st.integers(1, 10_000), min_size=1, max_size=50))
def test_weights_are_the_formula(alpha: float, counts: list[int]) -> None:
    weights = sequence_weights(np.array(counts), alpha)
    denominator = sum(n ** (1 - alpha) for n in counts)
    assert weights == pytest.approx([n**-alpha / denominator for n in counts], rel=1e-12)
    assert sum(n * w for n, w in zip(counts, weights, strict=True)) == pytest.approx(1, rel=1e-12)


def test_weights_worked_by_hand() -> None:
    counts = np.array([1, 4, 16])
    assert sequence_weights(counts, 0) == pytest.approx([1 / 21] * 3)
    assert sequence_weights(counts, 1) == pytest.approx([1 / 3, 1 / 12, 1 / 48])
    assert sequence_weights(counts, 0.5) == pytest.approx([1 / 7, 1 / 14, 1 / 28])


# Cutting ---------------------------------------------------------------------------------------------


def slow_best_fit(lengths: np.ndarray, capacity: int) -> list[int]:
    """Tokens in each pack: the longest left goes where the least room is left over."""
    packs: list[int] = []
    for n in sorted(lengths.tolist(), reverse=True):
        fitting = [k for k, used in enumerate(packs) if used + n <= capacity]
        if fitting:
            packs[max(fitting, key=lambda k: packs[k])] += n
        else:
            packs.append(n)
    return sorted(packs)


@settings(deadline=None, max_examples=200)
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=80).map(np.array), spare=st.integers(0, 150))
def test_best_fit_is_best_fit_decreasing(lengths: np.ndarray, spare: int) -> None:
    capacity = int(lengths.max()) + spare
    packs = best_fit(lengths, capacity)
    assert sorted(np.concatenate(packs).tolist()) == list(range(len(lengths)))
    assert sorted(int(lengths[pack].sum()) for pack in packs) == slow_best_fit(lengths, capacity)


def test_best_fit_fills_what_can_be_filled() -> None:
    """6+4, 5+5 and 7+3: three full packs of ten."""
    packs = best_fit(np.array([3, 4, 5, 5, 6, 7]), 10)
    assert sorted(sorted(pack.tolist()) for pack in packs) == [[0, 5], [1, 4], [2, 3]]


@settings(deadline=None, max_examples=100)
@given(lengths=st.lists(st.integers(1, 50), min_size=1, max_size=40).map(np.array), spare=st.integers(0, 99))
def test_rows_within_takes_as_many_rows_as_fit(lengths: np.ndarray, spare: int) -> None:
    capacity = int(lengths.max()) + spare
    groups = rows_within(lengths, capacity)
    assert np.concatenate(groups).tolist() == list(range(len(lengths)))
    assert all(lengths[g].max() * len(g) <= capacity for g in groups)
    for group, after in pairwise(groups):
        one_more = np.append(group, after[0])
        assert lengths[one_more].max() * len(one_more) > capacity, "there was still room"


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=150).map(np.array), spare=st.integers(0, 300)
)
def test_balance_is_near_the_lower_bound(ranks: int, lengths: np.ndarray, spare: int) -> None:
    """Longest-first scheduling without a cap in the way is within 4/3 of the best possible (Graham 1969)."""
    capacity = int(lengths.sum()) + spare
    costs = Cost(10.0, 1.0).of(lengths)
    groups = balance(lengths, costs, capacity, ranks)
    assert len(groups) == ranks
    lower_bound = max(costs.sum() / ranks, costs.max())
    if len(lengths) > ranks:
        two_must_share = np.sort(costs)[::-1]
        lower_bound = max(lower_bound, two_must_share[ranks - 1] + two_must_share[ranks])
    assert max(costs[g].sum() for g in groups) <= 4 / 3 * lower_bound + 1e-6


def test_balance_under_a_cap_wastes_little() -> None:
    """Many sequences of LongAlign's shape: short ones and some long; the ranks hardly wait."""
    random = np.random.default_rng(0)
    lengths = np.concatenate([random.integers(20, 1500, 480), random.integers(8000, 16_000, 32)])
    costs = Cost(7e9, 32 * 4096.0).of(lengths)
    groups = balance(lengths, costs, 16_384, 8)
    assert sorted(np.concatenate(groups).tolist()) == list(range(len(lengths)))
    assert all(lengths[g].sum() <= 16_384 for g in groups)
    loads = np.array([costs[g].sum() for g in groups]).reshape(-1, 8)
    assert loads.max(1).sum() * 8 <= 1.1 * costs.sum()


def test_a_step_smaller_than_the_ranks_leaves_some_idle() -> None:
    step = next(make_plan(np.array([5, 9]), ranks=8, batching="balanced").steps())
    assert [len(rank) for rank in step.ranks] == [1] * 8
    assert sorted(len(rank[0].sequences) for rank in step.ranks) == [0] * 6 + [1, 1]
