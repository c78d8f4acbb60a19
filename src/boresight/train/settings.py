"""What a training run can be told."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Strategy = Literal["padded", "sorted", "packed", "balanced"]
STRATEGIES: tuple[Strategy, ...] = ("padded", "sorted", "packed", "balanced")
Positive = Annotated[int, Field(gt=0)]


class TrainSettings(BaseModel):
    """Settings of the optimizer step and the loop around it. Defaults are TÜLU's where it has them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

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
    schedule: Literal["linear", "cosine"] = "linear"
    """How the learning rate falls to zero after the warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.03
    """Share of all steps in which the learning rate rises linearly."""
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    gradient_clip: Annotated[float, Field(gt=0)] = 1.0
    """Largest norm of the whole gradient."""
    precision: Literal["bf16", "fp32"] = "bf16"
    """Of the arithmetic. Weights and optimizer state are kept in float32 either way."""
    activation_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, about a third more time."""
    checkpoint_every: Positive = 200
    """Steps between checkpoints to resume from."""
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _one_size_of_step(self) -> "TrainSettings":
        if self.tokens_per_step is not None and "sequences_per_step" in self.model_fields_set:
            raise ValueError("sequences_per_step and tokens_per_step are both given; keep one")
        return self

    @property
    def alpha(self) -> float:
        """The exponent α of the loss."""
        return {"sequence": 1.0, "token": 0.0}.get(self.loss) if isinstance(self.loss, str) else self.loss  # type: ignore[return-value]
