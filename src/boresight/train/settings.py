"""What a training run can be told."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Strategy = Literal["padded", "sorted", "packed", "balanced"]
STRATEGIES: tuple[Strategy, ...] = ("padded", "sorted", "packed", "balanced")
Positive = Annotated[int, Field(gt=0)]
SPEED_ALONE = (
    "train.batching",
    "train.tokens_per_micro_batch",
    "train.activation_checkpointing",
    "train.checkpoint_every",
    "train.sequence_parallel",
    "train.replicas",
    "train.offload",
)
"""Settings that no step depends on: speed and memory alone. A resumed run may have others."""


class Extend(BaseModel):
    """Stretch the rotary positions of a model to a longer context before training on long text."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    context: Positive
    """The new longest sequence, in tokens."""
    rope: Literal["base", "yarn"] = "base"
    """`base` multiplies the base of the rotary frequencies (LongAlign §4.1), `yarn` is YaRN."""
    factor: Annotated[float, Field(gt=1)] | None = None
    """Of `base`: what multiplies it, 200 unless given (10,000 → 2,000,000). Of `yarn`: the ratio of the new
    to the original context, which is its default."""


class Lora(BaseModel):
    """Train low-rank adapters and leave the model's own weights as they are. Needs peft."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    rank: Positive = 16
    """Of the matrices that are added to each layer."""
    alpha: Annotated[float, Field(gt=0)] = 32.0
    """The adapters' output is scaled by alpha / rank."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of an adapter's inputs that a training step leaves out."""
    targets: Literal["all-linear"] | list[str] = "all-linear"
    """Names of the linear layers that get an adapter; `all-linear` is all but the output layer."""
    merge: bool = True
    """Save the whole model with the adapters merged in; otherwise the adapters alone."""


class TrainSettings(BaseModel):
    """Settings of the optimizer step and the loop around it. Defaults are TÜLU's where it has them."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    sequences_per_step: Positive = 128
    """Sequences in one optimizer step, over all ranks and micro-batches."""
    tokens_per_step: Positive | None = None
    """Tokens in one step instead, on average: the sequence that crosses a multiple ends its step."""
    epochs: Positive = 2
    """Passes over the data; every sequence is used once in each."""
    steps: Positive | None = None
    """Exactly this many steps instead, over as many passes as they take."""
    loss: Literal["sequence", "token"] | Annotated[float, Field(ge=0, le=1)] = "sequence"
    """`sequence` weighs sequences alike (LongAlign eq. 2, α = 1), `token` tokens (α = 0); or α itself."""
    batching: Strategy = "balanced"
    """How a step is cut into micro-batches. The gradient is the same for all; the speed is not."""
    tokens_per_micro_batch: Positive = 8192
    """Most tokens in a micro-batch, padding included: bounds the memory. A longer sequence goes alone."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-5
    """Of AdamW, at its highest: after the warm-up."""
    schedule: Literal["linear", "cosine"] = "linear"
    """How the learning rate falls to zero after the warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of all steps in which the learning rate rises linearly."""
    betas: tuple[float, float] = (0.9, 0.95)
    """How slowly AdamW's means of the gradient and of its square follow it."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's, on every parameter that is trained."""
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the whole gradient."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of the arithmetic. Weights and optimizer state are kept in float32 either way."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    lora: Lora | None = None
    """Train low-rank adapters instead of all weights."""
    checkpoint_every: Positive = 200
    """Steps between checkpoints to resume from."""
    held_out: Annotated[int, Field(ge=0)] = 0
    """Conversations kept from training, drawn by the seed, to measure the loss on."""
    evaluate_every: Positive = 200
    """Steps between measurements on them; the last step is always measured."""
    sequence_parallel: Positive = 1
    """Ranks that share each micro-batch, for sequences that one GPU cannot hold (Ulysses)."""
    replicas: Positive = 1
    """Copies of the sharded weights (hybrid sharding): one a node keeps weight traffic within nodes."""
    offload: bool = False
    """Keep weights, gradients and optimizer state in CPU memory between uses."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides every draw: which sequences a step takes, what is held out, what adapters begin with."""

    @model_validator(mode="after")
    def _one_size_of_step(self) -> "TrainSettings":
        if self.tokens_per_step is not None and "sequences_per_step" in self.model_fields_set:
            raise ValueError("sequences_per_step and tokens_per_step are both given; keep one")
        return self

    @property
    def alpha(self) -> float:
        """The exponent α of the loss."""
        return {"sequence": 1.0, "token": 0.0}.get(self.loss) if isinstance(self.loss, str) else self.loss  # type: ignore[return-value]
