from collections.abc import Iterator
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


def test_an_epoch_is_the_seeds_permutation_whatever_the_step() -> None:
    """What a checkpoint of a step number means must never change."""
    for size in ({"sequences_per_step": 7}, {"tokens_per_step": 500}):
        plan = make_plan(np.arange(2, 52), seed=3, **size)
        for epoch in (0, 1):
            assert drawn(plan, epoch) == np.random.default_rng([3, epoch]).permutation(50).tolist()


@pytest.mark.parametrize("size", [{"sequences_per_step": 7}, {"tokens_per_step": 400}])
def test_only_the_sequences_given_are_drawn(size: dict[str, int]) -> None:
    settings = TrainSettings(epochs=2, **size)
    lengths, kept = np.arange(2, 52), np.array([3, 4, 9, 11, 30, 31, 32, 33, 48])
    plan = Plan(lengths, np.ones_like(lengths), settings, COST, 2, sequences=kept)
    assert sorted(drawn(plan, 0)) == sorted(drawn(plan, 1)) == kept.tolist()
    assert drawn(plan, 0) != drawn(plan, 1)
    assert len(list(plan.steps())) == plan.total_steps


def test_slots_of_a_step_worked_by_hand() -> None:
    """Sorted: [2 4] padded to 8, [6], [8], and nothing on the second rank; packed, nothing is padded."""
    for strategy, slots in (("sorted", 22), ("packed", 20), ("balanced", 20)):
        plan = make_plan(np.array([8, 2, 6, 4]), ranks=2, batching=strategy, tokens_per_micro_batch=8)
        step = next(plan.steps())
        assert plan.slots(step) == slots
        assert type(plan.slots(step)) is int


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


def time_of(groups: list[np.ndarray], costs: np.ndarray, ranks: int) -> float:
    """Ranks move in lockstep: the costliest micro-batch of every round sets its pace."""
    loads = [float(costs[group].sum()) for group in groups]
    return sum(max(loads[k : k + ranks]) for k in range(0, len(loads), ranks))


def partitions(items: list[int]) -> Iterator[list[list[int]]]:
    if not items:
        yield []
        return
    first, *others = items
    for groups in partitions(others):
        yield [[first], *groups]
        for k in range(len(groups)):
            yield [*groups[:k], [first, *groups[k]], *groups[k + 1 :]]


def least_time(lengths: np.ndarray, costs: np.ndarray, capacity: int, ranks: int) -> float:
    """Of all cuts there are; the micro-batches of one are best dealt in the order of their cost."""
    return min(
        time_of(sorted(map(np.array, groups), key=lambda g: -costs[g].sum()), costs, ranks)
        for groups in partitions(list(range(len(lengths))))
        if all(len(group) == 1 or lengths[group].sum() <= capacity for group in groups)
    )


@pytest.mark.parametrize("cost", [Cost(10.0, 1.0), Cost(1.0, 0.0), Cost(0.0, 1.0)])
@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=6).map(np.array),
    capacity=st.integers(1, 200),
    ranks=st.integers(1, 3),
)
def test_balance_against_all_cuts_there_are(
    cost: Cost, lengths: np.ndarray, capacity: int, ranks: int
) -> None:
    costs = cost.of(lengths)
    groups = balance(lengths, costs, capacity, ranks)
    time = time_of(groups, costs, ranks)
    assert time <= 4 / 3 * least_time(lengths, costs, capacity, ranks) + 1e-9
    assert time >= max(costs.sum() / ranks, costs.max()) - 1e-9


def test_balance_is_seldom_far_from_the_best_cut() -> None:
    random = np.random.default_rng(0)
    ratios = []
    for _ in range(60):
        lengths, capacity = random.integers(2, 60, 6), int(random.integers(60, 200))
        costs = Cost(10.0, 1.0).of(lengths)
        best = least_time(lengths, costs, capacity, 2)
        ratios.append(time_of(balance(lengths, costs, capacity, 2), costs, 2) / best)
    assert np.mean(ratios) < 1.01
    assert np.mean(np.array(ratios) < 1.001) > 0.6


@pytest.mark.parametrize("ranks", [1, 2, 4, 8])
@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(1, 60), min_size=1, max_size=150).map(np.array), spare=st.integers(0, 300)
)
def test_without_a_cap_in_the_way_one_round_is_near_the_lower_bound(
    ranks: int, lengths: np.ndarray, spare: int
) -> None:
    """Longest-first scheduling is within 4/3 of the best possible (Graham 1969)."""
    costs = Cost(10.0, 1.0).of(lengths)
    groups = balance(lengths, costs, int(lengths.sum()) + spare, ranks)
    assert len(groups) == min(ranks, len(lengths))
    lower_bound = max(costs.sum() / ranks, costs.max())
    if len(lengths) > ranks:
        two_must_share = np.sort(costs)[::-1]
        lower_bound = max(lower_bound, two_must_share[ranks - 1] + two_must_share[ranks])
    assert time_of(groups, costs, ranks) <= 4 / 3 * lower_bound + 1e-6


def test_what_waits_for_a_long_sequence_is_filled_up_to_it() -> None:
    """60 sets the pace of the first round and the cap keeps the rest from it: 30 + 10 + 10 beside it, then
    30 and 30, at a linear cost 60 + 30. Evenly cut into four, it would be 60 + 50 or more."""
    groups = balance(np.array([60, 30, 30, 30, 10, 10]), np.array([60.0, 30, 30, 30, 10, 10]), 60, 2)
    assert time_of(groups, np.array([60.0, 30, 30, 30, 10, 10]), 2) == 90


@pytest.mark.parametrize(("ranks", "sequences"), [(8, 96), (8, 768), (64, 6144)])
def test_balance_on_lengths_like_longaligns(ranks: int, sequences: int) -> None:
    """Cost of LLaMA-2-7B, micro-batches of 64k; 78 short to 10 long, up to 64k."""
    random = np.random.default_rng(0)
    cost, capacity = Cost(6.74e9, 32 * 4096.0), 65_536
    total = packed = ideal = 0.0
    for _ in range(max(1, 1536 // sequences)):
        long = sequences * 10 // 88
        short = np.clip(random.lognormal(np.log(925), 0.85, sequences - long), 16, 8192)
        lengths = np.concatenate([short, random.uniform(8192, capacity, long)]).astype(np.int64)
        costs = cost.of(lengths)
        groups = balance(lengths, costs, capacity, ranks)
        assert sorted(np.concatenate(groups).tolist()) == list(range(sequences))
        assert all(lengths[group].sum() <= capacity for group in groups)
        assert all(map(np.array_equal, groups, balance(lengths, costs, capacity, ranks)))
        total += time_of(groups, costs, ranks)
        packed += time_of(best_fit(lengths, capacity), costs, ranks)
        ideal += costs.sum() / ranks
    assert total <= 0.95 * packed
    if sequences > 96:  # of 96, the longest alone takes longer than an even share
        assert total <= 1.02 * ideal


def test_one_rank_takes_as_few_micro_batches_as_packing() -> None:
    """It never waits, so nothing is gained by more of them."""
    random = np.random.default_rng(2)
    for _ in range(20):
        lengths = random.integers(10, 2000, 128)
        groups = balance(lengths, Cost(1000.0, 1.0).of(lengths), 8192, 1)
        assert len(groups) <= len(best_fit(lengths, 8192)) + 1


def test_a_step_smaller_than_the_ranks_leaves_some_idle() -> None:
    step = next(make_plan(np.array([5, 9]), ranks=8, batching="balanced").steps())
    assert [len(rank) for rank in step.ranks] == [1] * 8
    assert sorted(len(rank[0].sequences) for rank in step.ranks) == [0] * 6 + [1, 1]
