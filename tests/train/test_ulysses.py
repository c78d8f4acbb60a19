"""The exchange between processes over gloo, in float64, against the same thing in one process."""

import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, distributed

from boresight.train.attention import packed_attention
from boresight.train.ulysses import gather_tokens, scatter_tokens

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(["boresight.train.attention"])
PATIENCE = 120
"""Seconds to wait for other processes before the test fails."""
ROWS, SIZE = 2, 4
SEGMENTS = (5, 1, 11, 7)
HEADS: dict[int, list[tuple[int, int]]] = {
    2: [(4, 4), (4, 2), (4, 1), (6, 3), (2, 1)],
    3: [(6, 6), (6, 3), (6, 2), (6, 1), (3, 1), (12, 4)],
}
"""Query and key heads, by number of ranks: fewer key heads than ranks too, or not a multiple of them."""


def in_ranks(size: int, target: Callable[..., None], *args: object) -> None:
    """Run `target(rank, …)` in processes that share a group; each must end well."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        PROCESSES.Process(target=as_rank, args=(rank, size, port, target, *args)) for rank in range(size)
    ]
    for process in processes:
        process.start()
    give_up = time.monotonic() + PATIENCE
    try:
        for process in processes:
            process.join(max(0.0, give_up - time.monotonic()))
        assert [process.exitcode for process in processes] == [0] * size
    finally:
        for process in processes:
            process.kill()


def as_rank(rank: int, size: int, port: int, target: Callable[..., None], *args: object) -> None:
    torch.set_num_threads(1)
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    distributed.init_process_group("gloo", rank=rank, world_size=size)
    target(rank, size, *args)
    distributed.destroy_process_group()


def group() -> Any:
    return distributed.group.WORLD


def whole(seed: int, heads: int) -> Tensor:
    """[rows, heads, tokens, head size], the same on every rank."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(ROWS, heads, sum(SEGMENTS), SIZE, dtype=torch.float64, generator=generator)


def tokens_of(x: Tensor, rank: int, size: int) -> Tensor:
    return x.chunk(size, 2)[rank]


def heads_of(x: Tensor, rank: int, size: int) -> Tensor:
    return x.chunk(size, 1)[rank]


def exchange(rank: int, size: int) -> None:
    for query_heads, key_heads in HEADS[size]:
        query, key, value = (
            whole(seed, heads) for seed, heads in ((0, query_heads), (1, key_heads), (2, key_heads))
        )
        own = [tokens_of(x, rank, size) for x in (query, key, value)]
        gathered = gather_tokens(*own, group())
        # Exactly: nothing is computed, only moved.
        assert torch.equal(gathered[0], heads_of(query, rank, size))
        groups, first = query_heads // key_heads, rank * query_heads // size
        for all_of_it, mine in ((key, gathered[1]), (value, gathered[2])):
            assert mine.shape[2] == sum(SEGMENTS) and (query_heads // size) % mine.shape[1] == 0
            repeats = query_heads // size // mine.shape[1]
            for head in range(query_heads // size):  # what each query head attends with
                assert torch.equal(mine[:, head // repeats], all_of_it[:, (first + head) // groups])
        assert torch.equal(scatter_tokens(gathered[0], group()), own[0])


@pytest.mark.parametrize("size", [2, 3])
def test_each_query_head_meets_its_own_key_head_and_comes_back(size: int) -> None:
    in_ranks(size, exchange)


def exchange_gradient(rank: int, size: int) -> None:
    heads = HEADS[size][0][0]
    x, factor, upstream = whole(0, heads), whole(1, heads), whole(2, heads)
    own = tokens_of(x, rank, size).clone().requires_grad_()
    (gathered, *_) = gather_tokens(own, own, own, group())
    out = scatter_tokens(gathered * heads_of(factor, rank, size), group())
    assert torch.equal(out, tokens_of(x * factor, rank, size))
    out.backward(tokens_of(upstream, rank, size))
    assert own.grad is not None and torch.equal(own.grad, tokens_of(upstream * factor, rank, size))


@pytest.mark.parametrize("size", [2, 3])
def test_the_gradient_goes_back_the_way_it_came(size: int) -> None:
    """Of x ↦ factor · x, in whose middle tokens are gathered: factor · upstream, nothing summed twice."""
    in_ranks(size, exchange_gradient)


def dense(query: Tensor, key: Tensor, value: Tensor, window: int | None) -> Tensor:
    """Softmax attention with every score written out; [rows, tokens, heads, head size]."""
    groups = query.shape[1] // key.shape[1]
    scores = torch.einsum("rhqd,rhkd->rhqk", query, key.repeat_interleave(groups, 1)) / SIZE**0.5
    segment = torch.repeat_interleave(torch.arange(len(SEGMENTS)), torch.tensor(SEGMENTS))
    at = torch.arange(sum(SEGMENTS))
    distance = at[:, None] - at
    seen = (segment[:, None] == segment) & (distance >= 0) & (distance < (window or len(at)))
    shares = scores.masked_fill(~seen, -torch.inf).softmax(-1)
    return torch.einsum("rhqk,rhkd->rqhd", shares, value.repeat_interleave(groups, 1))


def attention(rank: int, size: int) -> None:
    for query_heads, key_heads in HEADS[size]:
        for window in (None, 3):
            inputs = [whole(0, query_heads), whole(1, key_heads), whole(2, key_heads)]
            expected_inputs = [x.clone().requires_grad_() for x in inputs]
            expected = dense(*expected_inputs, window)
            upstream = whole(3, query_heads).transpose(1, 2)
            expected.backward(upstream)
            own = [tokens_of(x, rank, size).clone().requires_grad_() for x in inputs]
            module = torch.nn.Identity()
            out, _ = packed_attention(
                module, *own, None, segments=SEGMENTS, sliding_window=window, partners=group()
            )
            case = f"{query_heads} and {key_heads} heads, window {window}"
            close(out, expected.chunk(size, 1)[rank], case)
            out.backward(upstream.chunk(size, 1)[rank])
            for mine, theirs in zip(own, expected_inputs, strict=True):
                close(mine.grad, tokens_of(theirs.grad, rank, size), case)


def close(ours: Tensor, expected: Tensor, case: str) -> None:
    torch.testing.assert_close(ours, expected, rtol=1e-11, atol=1e-12, msg=lambda said: f"{case}: {said}")


@pytest.mark.parametrize("size", [2, 3])
def test_attention_and_its_gradients_are_those_of_one_process(size: int) -> None:
    in_ranks(size, attention)
