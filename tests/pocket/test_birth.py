"""The untrained pocket model copies from its context, at any distance, and knows nothing else."""

import pytest
import torch
from transformers import LlamaForCausalLM

from boresight.pocket.birth import new_model
from boresight.pocket.build import CONTEXT, VOCABULARY


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return new_model(VOCABULARY, CONTEXT, "sdpa").eval()


def guesses(model: LlamaForCausalLM, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(tokens).logits.argmax(-1)


@pytest.mark.parametrize("apart", [8, 100, 1000])
def test_random_tokens_are_copied_the_second_time(model: LlamaForCausalLM, apart: int) -> None:
    once = torch.randint(300, VOCABULARY, (2, apart), generator=torch.Generator().manual_seed(1))
    guessed = guesses(model, torch.cat([once, once], 1))[:, apart + 2 : -1]
    assert (guessed == once[:, 3:]).float().mean() > 0.9


def test_of_two_places_the_one_with_the_same_words_before_is_copied(model: LlamaForCausalLM) -> None:
    """ "a b c X … d e c Y … a b c" goes on with X, "d e c" with Y."""
    a, b, c, d, e, x, y, *rest = range(400, 430)
    text = [*rest, a, b, c, x, *rest[:9], d, e, c, y, *rest[9:]]
    for ending, expected in (([a, b, c], x), ([d, e, c], y)):
        assert guesses(model, torch.tensor([text + ending]))[0, -1] == expected


def test_without_a_repetition_there_is_nothing_to_copy(model: LlamaForCausalLM) -> None:
    tokens = torch.randperm(VOCABULARY - 300, generator=torch.Generator().manual_seed(2))[None, :200] + 300
    assert (guesses(model, tokens)[:, :-1] == tokens[:, 1:]).float().mean() < 0.05


def test_it_stays_small() -> None:
    model = new_model(VOCABULARY, CONTEXT, "sdpa")
    assert 2e6 < model.num_parameters() < 4e6
