"""The promise: the gradient of a step does not know how the step was cut up.

Every strategy, cut and rank count is held against a brute force that shares nothing with it but the
weights: each conversation alone through transformers' own sdpa model, torch's cross entropy, and the
formula of the loss written out.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from boresight.data.store import TokenStore
from boresight.train.batch import collate
from boresight.train.loop import model_cost
from boresight.train.plan import Plan, Step
from boresight.train.settings import STRATEGIES, TrainSettings
from boresight.train.sharding import Objective

Gradient = dict[str, Tensor]
Parity = Callable[..., None]
ALPHAS = (0.0, 0.5, 1.0)
CUTS = [(1, 1), (1, 4), (260, 1), (400, 2), (100_000, 1), (100_000, 4)]
"""Tokens in a micro-batch, and ranks."""
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def one_step(store: TokenStore, model: PreTrainedModel, ranks: int, **settings: Any) -> Step:
    whole = TrainSettings(sequences_per_step=len(store), epochs=1, precision="fp32", **settings)
    cost = model_cost(model.config, model.num_parameters())
    (step,) = Plan(store.lengths, store.target_counts, whole, cost, ranks).steps()
    return step


def gradients(model: PreTrainedModel) -> Gradient:
    named = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    return named


def ours(model: PreTrainedModel, store: TokenStore, step: Step) -> tuple[float, Gradient]:
    """Loss and gradient summed by hand over ranks and micro-batches."""
    weights = dict(zip(step.sequences.tolist(), step.weights.tolist(), strict=True))
    total = 0.0
    for rank in step.ranks:
        for micro_batch in rank:
            loss = Objective(model)(collate(store, micro_batch, weights))
            loss.backward()
            total += loss.item()
    return total, gradients(model)


def brute_force(model: PreTrainedModel, store: TokenStore, alpha: float) -> tuple[float, Gradient]:
    rows = [store.sequence(i) for i in range(len(store))]
    counts = [int(marks.sum()) for _, marks in rows]
    denominator = sum(n ** (1 - alpha) for n in counts)
    total = 0.0
    for (tokens, marks), n in zip(rows, counts, strict=True):
        logits = model(torch.from_numpy(tokens)[None]).logits[0, :-1]
        labels = torch.from_numpy(np.where(marks, tokens, -100))[1:]
        loss = cross_entropy(logits, labels, ignore_index=-100, reduction="sum") * n**-alpha / denominator
        loss.backward()
        total += loss.item()
    return total, gradients(model)


def assert_same(ours: tuple[float, Gradient], expected: tuple[float, Gradient], tolerance: float) -> None:
    assert ours[0] == pytest.approx(expected[0], rel=tolerance)
    assert ours[1].keys() == expected[1].keys()
    for name, wanted in expected[1].items():
        assert wanted.norm() > 0, f"{name} has no gradient; the comparison would mean nothing"
        error = (ours[1][name] - wanted).norm() / wanted.norm()
        assert error <= tolerance, f"{name}: relative error {error:.2e}"


@pytest.fixture(scope="module")
def check(store: TokenStore, make_model: Callable[..., PreTrainedModel]) -> Parity:
    """Holds one cut of a step against the brute force, whose answers are kept."""

    @cache
    def models(kind: str, dtype: torch.dtype, changes: tuple) -> tuple[PreTrainedModel, PreTrainedModel]:
        packed, plain = (make_model(kind, a, **dict(changes)).to(dtype) for a in ("boresight", "sdpa"))
        plain.load_state_dict(packed.state_dict())
        return packed.train(), plain.train()

    @cache
    def expected(kind: str, dtype: torch.dtype, changes: tuple, alpha: float) -> tuple[float, Gradient]:
        return brute_force(models(kind, dtype, changes)[1], store, alpha)

    def run(
        strategy: str,
        alpha: float,
        capacity: int,
        ranks: int,
        dtype: torch.dtype = torch.float32,
        kind: str = "llama",
        **changes: Any,
    ) -> None:
        key = (kind, dtype, tuple(changes.items()))
        model = models(*key)[0]
        step = one_step(store, model, ranks, batching=strategy, loss=alpha, tokens_per_micro_batch=capacity)
        assert len(step.ranks) == ranks
        assert_same(ours(model, store, step), expected(*key, alpha), TOLERANCE[dtype])

    return run


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("capacity", "ranks"), CUTS)
@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_cut_has_the_loss_and_gradient_of_the_formula(
    strategy: str, alpha: float, capacity: int, ranks: int, dtype: torch.dtype, check: Parity
) -> None:
    check(strategy, alpha, capacity, ranks, dtype)


OTHERS = [
    ("mistral", {"sliding_window": 9}),
    ("qwen3", {"tie_word_embeddings": True}),
    ("gemma", {"tie_word_embeddings": True}),
    ("granite", {"logits_scaling": 4.0}),
]


@pytest.mark.parametrize(("kind", "changes"), OTHERS, ids=[kind for kind, _ in OTHERS])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_other_architectures_keep_it_too(
    kind: str, changes: dict[str, Any], strategy: str, check: Parity
) -> None:
    check(strategy, 1.0, 300, 2, torch.float32, kind, **changes)


def test_the_cuts_really_differ(store: TokenStore, make_model: Callable[..., PreTrainedModel]) -> None:
    """If every strategy cut alike, the tests above would prove nothing."""
    cuts = {
        strategy: one_step(store, make_model(), 1, batching=strategy, tokens_per_micro_batch=150).ranks[0]
        for strategy in STRATEGIES
    }
    as_sets = {s: frozenset(frozenset(b.sequences.tolist()) for b in cut) for s, cut in cuts.items()}
    assert len(set(as_sets.values())) == len(STRATEGIES)
    assert max(len(b.sequences) for b in cuts["packed"]) > 1


def test_alpha_matters(store: TokenStore, make_model: Callable[..., PreTrainedModel]) -> None:
    model = make_model(attention="sdpa")
    losses = [brute_force(model, store, alpha)[0] for alpha in ALPHAS]
    assert len({round(loss, 4) for loss in losses}) == len(ALPHAS)


def test_words_for_alpha(store: TokenStore, make_model: Callable[..., PreTrainedModel]) -> None:
    model = make_model()
    for word, alpha in (("sequence", 1.0), ("token", 0.0)):
        named, given = (one_step(store, model, 1, loss=value).weights for value in (word, alpha))
        assert np.array_equal(named, given)
