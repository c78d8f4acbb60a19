"""The untrained pocket model: a Llama whose weights are random but for five attention heads.

Copying from the context comes late in training (Olsson et al. 2022, "In-context Learning and Induction
Heads"): ours had not learned it within a million tokens, and two cores give few million. So it is born
with it. Three heads of the first layer look back one, two and three tokens; two heads of the second look for
places before which stood what stands here, and copy what followed. They are ordinary weights, trained on
like all others, only slowly at first.

The residual stream begins as one constant, by which the first heads find their place, then CONTENT
numbers of a token's embedding, then three blocks of PASSED numbers, in which they tell of earlier tokens.
"""

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.models.llama.modeling_llama import LlamaAttention

WIDTH, LAYERS, HEADS, INNER = 192, 5, 3, 512
CONTENT = 83
PASSED = 36
"""Of what a token is, so many numbers are passed on to later tokens."""
LOOK_BACK = 3
MATCHED = 12
"""How many of them a head compares, for each token that it looks back to."""
ROPE_BASE = 1e7
"""High, so that 18 of the 32 pairs of a head turn too slowly to hide a match within a thousand tokens."""
SLOW_PAIRS = 18
CONSTANT = 3.0
"""The constant, in units of an embedding's other numbers."""
SHARPNESS = 7.0
"""Of the heads that look back: their scores fall by about 5 from the right distance to the next ones."""
WEIGHTS = (3.0, 2.2, 1.8)
"""What a match of this token counts, of the one before, and of the one before that."""
COPY = 6.0
"""How much louder than an embedding a copy is."""


def new_model(vocabulary: int, context: int, attention: str) -> LlamaForCausalLM:
    """The untrained model, of 3.0 million parameters with 2,048 tokens; random numbers are torch's."""
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=INNER,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=context,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        # Two matrices: what the output learns of how common a word is would blur the words for the heads.
        tie_word_embeddings=False,
        initializer_range=0.05,
        bos_token_id=0,
        eos_token_id=1,
        attn_implementation=attention,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        _embed(model)
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        passed = _some_content(PASSED)
        _look_back(model.model.layers[0].self_attn, passed, config)
        _match_and_copy(model.model.layers[1].self_attn, passed, config)
    return model


def _embed(model: LlamaForCausalLM) -> None:
    """Embeddings of one length, so that the norm before each layer leaves the constant the same for all."""
    embedding, unit = model.model.embed_tokens.weight, model.config.initializer_range
    embedding[:, 0] = 0
    embedding[:, CONTENT + 1 :] = 0
    embedding *= unit * WIDTH**0.5 / embedding.norm(dim=1, keepdim=True)
    model.lm_head.weight.copy_(embedding)
    embedding[:, 0] = CONSTANT * unit


def _some_content(count: int) -> Tensor:
    """`count` orthonormal directions of a token's content [count, width]."""
    directions = torch.zeros(count, WIDTH)
    directions[:, 1 : CONTENT + 1] = torch.linalg.qr(torch.randn(CONTENT, count))[0].T
    return directions


def _passed_on(back: int) -> Tensor:
    """The directions that tell what stood `back` tokens earlier [passed, width]."""
    return torch.eye(WIDTH)[CONTENT + 1 + (back - 1) * PASSED :][:PASSED]


def _look_back(attention: LlamaAttention, passed: Tensor, config: LlamaConfig) -> None:
    """Head by head: attend one token further back and write what stands there to a block of its own.

    A constant query and key score Σ cos((distance - back)·θ) over the rotary frequencies θ.
    """
    size = WIDTH // HEADS
    half = size // 2
    turns = ROPE_BASE ** (-torch.arange(half) / half)
    for back in range(1, LOOK_BACK + 1):
        at = (back - 1) * size
        query, key, value = (
            projection.weight[at : at + size]
            for projection in (attention.q_proj, attention.k_proj, attention.v_proj)
        )
        for weight in (query, key, value):
            weight.zero_()
        query[:half, 0] = SHARPNESS / CONSTANT
        key[:half, 0] = SHARPNESS / CONSTANT * (turns * back).cos()
        key[half:, 0] = SHARPNESS / CONSTANT * (turns * back).sin()
        value[:PASSED] = passed
        attention.o_proj.weight[:, at : at + PASSED] = config.initializer_range * _passed_on(back).T


def _match_and_copy(attention: LlamaAttention, passed: Tensor, config: LlamaConfig) -> None:
    """Two heads: attend where the tokens before resemble the last ones here, and copy what stands there.

    They compare in pairs of the head that hardly turn with distance, each head other parts of a token.
    """
    size = WIDTH // HEADS
    half = size // 2
    slow = torch.cat([torch.arange(half - SLOW_PAIRS, half), torch.arange(size - SLOW_PAIRS, size)])
    tokens = [passed, *(_passed_on(back) for back in range(1, LOOK_BACK + 1))]
    for head in (0, 1):
        rows = slice(head * size, (head + 1) * size)
        query, key = attention.q_proj.weight[rows], attention.k_proj.weight[rows]
        query.zero_()
        key.zero_()
        part = slice(head * MATCHED, (head + 1) * MATCHED)
        for i, weight in enumerate(WEIGHTS):
            places = slow[i * MATCHED : (i + 1) * MATCHED]
            query[places] = weight * tokens[i][part]
            key[places] = weight * tokens[i + 1][part]
        copied = _some_content(size)
        attention.v_proj.weight[rows] = copied
        attention.o_proj.weight[:, rows] = COPY * config.initializer_range * copied.T
