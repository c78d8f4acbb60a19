"""The training loop, from a token store to finished weights, on any number of ranks.

plan → micro-batches → hidden states → weighted loss → gradients → clip → AdamW
"""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGTERM

import numpy as np
import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from boresight.data.store import TokenStore
from boresight.errors import Interrupted, UserError
from boresight.train.attention import NAME as ATTENTION
from boresight.train.attention import refuse_unpackable
from boresight.train.batch import collate
from boresight.train.checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint
from boresight.train.isolation import check_isolation
from boresight.train.lora import add_adapters
from boresight.train.metrics import METRICS, MetricsFile, StepMetrics
from boresight.train.plan import Cost, Plan, Step
from boresight.train.ranks import Ranks, joined
from boresight.train.saving import require_space, save_trained
from boresight.train.settings import TrainSettings
from boresight.train.sharding import Objective, recompute_activations, sharded
from boresight.train.stopping import StopRequest, stop_requests

HELD_OUT = 2**32 - 1
"""The stream of random numbers that draws held-out conversations; epochs have theirs by number."""


def model_cost(config: PreTrainedConfig, parameters: int) -> Cost:
    """What a sequence costs: every parameter once a token, and half the attention square in each layer."""
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Cost(float(parameters), float(config.num_hidden_layers * config.num_attention_heads * head_size))


def train(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerFast,
    store: TokenStore,
    settings: TrainSettings,
    run: Path,
    report: Callable[[StepMetrics], None] = lambda metrics: None,
    ranks: Ranks | None = None,
) -> int:
    """Train `model` and save it under `run`; resumes from the newest checkpoint there.

    Under torchrun every rank calls this with the same arguments, and `run` is a directory that all see.

    Args:
        model: loaded with our packed attention. It is consumed: the trained weights are those saved. Ranks
            other than the first may hold it on the meta device.
        run: directory for metrics, checkpoints and the finished model, saved in the precision trained in.
        report: called after each step, on the first rank.
        ranks: those joined already; unless given, they are joined for this run.

    Returns:
        The number of steps of the whole run.

    Raises:
        UserError: the model cannot be trained this way, the disk is too small, or the loss is not finite.
        Interrupted: SIGTERM or SIGINT came; a checkpoint of the steps done is saved.
    """
    assert model.config._attn_implementation == ATTENTION
    refuse_unpackable(model.config)
    with nullcontext(ranks) if ranks else joined(settings) as ranks, stop_requests() as stop:
        training = Training.begin(model, store, settings, ranks, stop)
        ranks.once(lambda: require_space(run, model))
        check_isolation(training.objective, settings.precision, ranks.device)
        done = load_checkpoint(run, model, training.optimizer, ranks)
        try:
            training.run(run, done, report)
        except _Stop:
            if training.done > training.saved:
                save_checkpoint(run, training.done, model, training.optimizer, ranks)
            raise Interrupted(
                f"{run}: stopped after step {training.done} of {training.total}; "
                "the same command goes on from there",
                stop.signal or SIGTERM,
            ) from None
        save_trained(model, tokenizer, settings, run, ranks)
        ranks.once(lambda: remove_checkpoints(run))
        return training.total


class _Stop(Exception):  # noqa: N818
    """Leaves a step half-way; nothing was updated."""


@dataclass
class Training:
    """What stays the same over the steps of a run."""

    objective: Objective
    optimizer: torch.optim.Optimizer
    store: TokenStore
    settings: TrainSettings
    ranks: Ranks
    stop: StopRequest
    plan: Plan
    held_out: Step | None
    """All held-out conversations, as one step."""
    total: int
    """Steps of the whole run."""
    done: int = 0
    """Steps done."""
    saved: int = 0
    """Steps done at the newest checkpoint."""

    @classmethod
    def begin(
        cls,
        model: PreTrainedModel,
        store: TokenStore,
        settings: TrainSettings,
        ranks: Ranks,
        stop: StopRequest | None = None,
    ) -> "Training":
        """Shard the model, make its optimizer, and plan."""
        if settings.lora:
            add_adapters(model, settings.lora, settings.seed)
        if settings.activation_checkpointing:
            recompute_activations(model)
        cost = model_cost(model.config, model.num_parameters())
        objective = sharded(model.train(), settings, ranks)
        optimizer = torch.optim.AdamW(
            [p for p in objective.parameters() if p.requires_grad],
            settings.learning_rate,
            settings.betas,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        plan, held_out = plans(store, settings, cost, ranks.data_size)
        stop = stop or StopRequest()
        return cls(objective, optimizer, store, settings, ranks, stop, plan, held_out, total=plan.total_steps)

    def run(self, run: Path, done: int, report: Callable[[StepMetrics], None]) -> None:
        """Take the steps that are left, with metrics and checkpoints on the way."""
        self.done = self.saved = done
        with MetricsFile(run / METRICS, done, writes=self.ranks.first) as file:
            for step in self.plan.steps(done):
                metrics = self.step(step)
                if self.held_out and (metrics.step % self.settings.evaluate_every == 0 or self.is_last(step)):
                    metrics = replace(metrics, held_out_loss=self.held_out_loss(self.held_out))
                file.write(metrics)
                self.done = metrics.step
                if self.ranks.first:
                    report(metrics)
                if metrics.step % self.settings.checkpoint_every == 0 and not self.is_last(step):
                    save_checkpoint(run, metrics.step, self.objective.model, self.optimizer, self.ranks)
                    self.saved = metrics.step

    def is_last(self, step: Step) -> bool:
        """Whether the run ends with this step."""
        return step.number + 1 == self.total

    def step(self, step: Step) -> StepMetrics:
        """Sum the gradient over the step's micro-batches, then update once."""
        began = time.perf_counter()
        _seed(self.settings.seed, step.number, self.ranks.rank)
        loss = self._sum(step, differentiate=True)
        if not math.isfinite(loss):
            raise UserError(f"step {step.number + 1}: the loss is {loss}; try a lower learning_rate")
        clipped = nn.utils.clip_grad_norm_(self.objective.parameters(), self.settings.gradient_clip)
        norm = (clipped.full_tensor() if isinstance(clipped, DTensor) else clipped).item()
        if not math.isfinite(norm):
            raise UserError(f"step {step.number + 1}: the gradient is {norm}; try a lower learning_rate")
        rate = learning_rate(self.settings, step.number, self.total)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        self.optimizer.zero_grad()
        tokens = int(self.store.lengths[step.sequences].sum())
        return StepMetrics(
            step=step.number + 1,
            total_steps=self.total,
            epoch=step.epoch,
            loss=loss,
            learning_rate=rate,
            gradient_norm=norm,
            sequences=len(step.sequences),
            micro_batches=sum(len(batch.sequences) > 0 for rank in step.ranks for batch in rank),
            tokens=tokens,
            padding=self.plan.slots(step) - tokens,
            targets=int(self.plan.target_counts[step.sequences].sum()),
            seconds=time.perf_counter() - began,
            ranks=self.ranks.size,
        )

    def held_out_loss(self, held_out: Step) -> float:
        """The objective over the held-out conversations."""
        self.objective.eval()
        with torch.no_grad():
            loss = self._sum(held_out, differentiate=False)
        self.objective.train()
        return loss

    def _sum(self, step: Step, *, differentiate: bool) -> float:
        """The loss of a step, over all ranks; its gradient is added up on the way."""
        weights = dict(zip(step.sequences.tolist(), step.weights.tolist(), strict=True))
        loss = torch.zeros((), dtype=torch.float64, device=self.ranks.device)
        micro_batches = step.ranks[self.ranks.data_rank]
        for number, micro_batch in enumerate(micro_batches, 1):
            # Between replicas gradients travel once a step, within one after every micro-batch.
            self.objective.set_requires_all_reduce(number == len(micro_batches))  # type: ignore[operator]
            partial = self.objective(collate(self.store, micro_batch, weights).to(self.ranks.device))
            if differentiate:
                partial.backward()
            loss += partial.detach()
            if differentiate and self.ranks.any(self.stop.signal is not None):
                raise _Stop
        return self.ranks.total(loss.item())


def plans(store: TokenStore, settings: TrainSettings, cost: Cost, ranks: int) -> tuple[Plan, Step | None]:
    """The plan of a run, and its held-out conversations as one step of their own.

    Raises:
        UserError: nothing would be left to train on.
    """
    if settings.held_out >= len(store):
        raise UserError(
            f"held_out: {settings.held_out} of {len(store)} conversations leaves none to train on"
        )
    lengths, target_counts = store.lengths, store.target_counts
    if not settings.held_out:
        return Plan(lengths, target_counts, settings, cost, ranks), None
    order = np.random.default_rng([settings.seed, HELD_OUT]).permutation(len(store))
    kept, drawn = np.sort(order[: settings.held_out]), np.sort(order[settings.held_out :])
    at_once = settings.model_copy(
        update={"sequences_per_step": settings.held_out, "tokens_per_step": None, "steps": 1}
    )
    (held_out,) = Plan(lengths, target_counts, at_once, cost, ranks, kept).steps()
    return Plan(lengths, target_counts, settings, cost, ranks, drawn), held_out


def _seed(*of: int) -> None:
    """Make what is random in a step, dropout, follow from its number, for resuming."""
    torch.manual_seed(int(np.random.SeedSequence(of).generate_state(1, np.uint64)[0] >> 1))


def learning_rate(settings: TrainSettings, step: int, total: int) -> float:
    """The rate of step `step`, from 0: a linear warm-up, then linear or cosine decay to zero."""
    warmup = math.ceil(settings.warmup * total)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    share = 1 - progress if settings.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return settings.learning_rate * share
