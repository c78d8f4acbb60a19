import numpy as np
import pytest

from boresight.train.plan import Cost
from boresight.train.settings import STRATEGIES, TrainSettings
from boresight.train.simulate import Waste, simulate


def by_strategy(lengths: list[int], cost: Cost, ranks: int, **settings: int) -> dict[str, Waste]:
    rows = np.array(lengths)
    waste = simulate(rows, np.ones_like(rows), TrainSettings(**settings), cost, ranks)
    assert [w.strategy for w in waste] == list(STRATEGIES)
    return {w.strategy: w for w in waste}


def test_worked_by_hand() -> None:
    """Lengths 2, 4, 6, 8 in one step, 8 tokens a micro-batch, cost n, two ranks.

    Sorted: [2 4] padded to 8, [6], [8]: 22 slots for 20 tokens. Costs sorted in order 8, 6, 8 and an
    empty one: rounds (8, 6) and (8, 0), paced at 2 × 16 = 32, of which 22 used.
    Packed: [8], [6 2], [4]: no padding; rounds (8, 8) and (4, 0): paced 24, used 20.
    Balanced: four bins hold 8, 6, 4, 2: rounds (8, 6) and (4, 2): paced 24, used 20; or three bins and an
    empty one, [8], [6 2], [4], as packed.
    """
    waste = by_strategy([2, 4, 6, 8], Cost(1.0, 0.0), 2, tokens_per_micro_batch=8)
    assert waste["sorted"].padding == pytest.approx(2 / 22)
    assert waste["sorted"].idle == pytest.approx(10 / 32)
    assert waste["sorted"].micro_batches == 3
    assert waste["packed"].padding == waste["balanced"].padding == 0
    assert waste["packed"].idle == pytest.approx(4 / 24)
    assert waste["packed"].micro_batches == 3
    assert waste["balanced"].idle == pytest.approx(4 / 24)


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
    assert waste["balanced"].idle < 0.12 < 0.3 < waste["padded"].idle


def test_simulates_one_epoch_whatever_the_run() -> None:
    once = by_strategy([4] * 10, Cost(1.0, 0.0), 2, sequences_per_step=4)
    many = by_strategy([4] * 10, Cost(1.0, 0.0), 2, sequences_per_step=4, epochs=5, steps=77)
    assert once == many
