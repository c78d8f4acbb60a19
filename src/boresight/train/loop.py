"""The training loop, from a token store to finished weights.

plan → micro-batches → hidden states → weighted loss → gradients → clip → AdamW
"""

import json
import math
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerFast

from boresight.data.store import TokenStore
from boresight.errors import UserError
from boresight.runs import atomic_write
from boresight.train.attention import NAME as ATTENTION
from boresight.train.attention import refuse_unpackable
from boresight.train.batch import Batch, collate
from boresight.train.checkpoint import load_checkpoint, remove_checkpoints, save_checkpoint
from boresight.train.loss import output_head, weighted_cross_entropy
from boresight.train.plan import Cost, Plan, Step
from boresight.train.settings import TrainSettings

METRICS = "metrics.jsonl"
MODEL = "model"
PRECISIONS = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True)
class StepMetrics:
    """One line of metrics.jsonl. `loss` is the objective of the step, before its update."""

    step: int
    """Steps done, from 1."""
    total_steps: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float
    sequences: int
    micro_batches: int
    tokens: int
    """Real tokens, without padding."""
    padding: int
    """Tokens of padding beside them."""
    targets: int
    seconds: float


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
) -> int:
    """Train `model` in place and save it under `run`; resumes from the newest checkpoint there.

    Args:
        model: loaded with our packed attention.
        run: directory for metrics, checkpoints and the finished model, saved in the precision trained in.
        report: called after each step.

    Returns:
        The number of steps of the whole run.

    Raises:
        UserError: the model cannot be trained this way, the disk is too small, or the loss is not finite.
    """
    assert model.config._attn_implementation == ATTENTION
    refuse_unpackable(model.config)
    require_space(run, model)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model.to(device).train()
    if settings.activation_checkpointing:
        model.gradient_checkpointing_enable()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(
        parameters, settings.learning_rate, settings.betas, weight_decay=settings.weight_decay, fused=True
    )
    torch.manual_seed(settings.seed)
    cost = model_cost(model.config, sum(p.numel() for p in parameters))
    plan = Plan(store.lengths, store.target_counts, settings, cost)
    total = plan.total_steps
    done = load_checkpoint(run, model, optimizer)
    with MetricsFile(run / METRICS, done) as metrics_file:
        for step in plan.steps(done):
            metrics = optimizer_step(model, optimizer, store, step, settings, total)
            metrics_file.write(metrics)
            report(metrics)
            if metrics.step % settings.checkpoint_every == 0 and metrics.step < total:
                save_checkpoint(run, metrics.step, model, optimizer)
    save_model(model.to(PRECISIONS[settings.precision]), tokenizer, run / MODEL)
    remove_checkpoints(run)
    return total


def optimizer_step(
    model: PreTrainedModel,
    optimizer: torch.optim.Optimizer,
    store: TokenStore,
    step: Step,
    settings: TrainSettings,
    total: int,
) -> StepMetrics:
    """Sum the gradient over the step's micro-batches, then update once."""
    began = time.perf_counter()
    micro_batches = step.ranks[0]
    weights = dict(zip(step.sequences.tolist(), step.weights.tolist(), strict=True))
    loss, slots = 0.0, 0
    for micro_batch in micro_batches:
        batch = collate(store, micro_batch, weights).to(model.device)
        partial = batch_loss(model, batch, settings.precision)
        partial.backward()
        loss += partial.item()
        slots += batch.tokens.numel()
    if not math.isfinite(loss):
        raise UserError(f"step {step.number + 1}: the loss is {loss}; try a lower learning_rate")
    norm = nn.utils.clip_grad_norm_(model.parameters(), settings.gradient_clip)
    rate = learning_rate(settings, step.number, total)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad()
    tokens = int(store.lengths[step.sequences].sum())
    return StepMetrics(
        step=step.number + 1,
        total_steps=total,
        epoch=step.epoch,
        loss=loss,
        learning_rate=rate,
        gradient_norm=norm.item(),
        sequences=len(step.sequences),
        micro_batches=len(micro_batches),
        tokens=tokens,
        padding=slots - tokens,
        targets=int(store.target_counts[step.sequences].sum()),
        seconds=time.perf_counter() - began,
    )


def batch_loss(model: PreTrainedModel, batch: Batch, precision: str) -> torch.Tensor:
    """The weighted loss of one micro-batch, a scalar; over a step's micro-batches these sum to its loss."""
    with torch.autocast(model.device.type, torch.bfloat16, enabled=precision == "bf16"):
        hidden = model.get_decoder()(
            input_ids=batch.tokens, position_ids=batch.positions, segments=batch.segments, use_cache=False
        ).last_hidden_state
        before_targets = hidden.flatten(0, 1)[batch.states]
        return weighted_cross_entropy(before_targets, output_head(model), batch.targets, batch.weights)


def summary(run: Path, store: TokenStore, model: PreTrainedModel) -> dict[str, float]:
    """What a finished run counted: steps, first and last loss, median speed, data and parameters."""
    lines = [json.loads(line) for line in (run / METRICS).read_text(encoding="utf-8").splitlines()]
    return {
        "steps": len(lines),
        "first_loss": lines[0]["loss"],
        "last_loss": lines[-1]["loss"],
        "tokens_per_second": statistics.median(line["tokens"] / line["seconds"] for line in lines),
        "targets_per_second": statistics.median(line["targets"] / line["seconds"] for line in lines),
        "sequences": len(store),
        "tokens": int(store.lengths.sum()),
        "targets": int(store.target_counts.sum()),
        "dropped": sum(store.dropped.values()),
        "cut": store.manifest["counts"]["cut"],
        "parameters": sum(p.numel() for p in model.parameters()),
    }


def learning_rate(settings: TrainSettings, step: int, total: int) -> float:
    """The rate of step `step`, from 0: a linear warm-up, then linear or cosine decay to zero."""
    warmup = math.ceil(settings.warmup * total)
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    progress = (step - warmup) / max(1, total - warmup)
    share = 1 - progress if settings.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2
    return settings.learning_rate * share


class MetricsFile:
    """metrics.jsonl, a line a step; on resuming, lines of steps that are done again are taken back."""

    def __init__(self, path: Path, steps_done: int):
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
        atomic_write(path, "".join(lines[:steps_done]))
        self._file = path.open("a", encoding="utf-8")

    def write(self, metrics: StepMetrics) -> None:
        """Append one step."""
        self._file.write(json.dumps(asdict(metrics)) + "\n")
        self._file.flush()

    def __enter__(self) -> "MetricsFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def require_space(run: Path, model: PreTrainedModel) -> None:
    """Refuse to start when the disk cannot hold a second checkpoint beside the first."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    needed = 2 * 3 * weights  # the new checkpoint is written before the old one goes; weights and two moments
    free = shutil.disk_usage(run).free
    if free < needed:
        raise UserError(f"{run}: needs {needed / 1e9:.1f} GB for checkpoints, {free / 1e9:.1f} GB are free")


def save_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, directory: Path) -> None:
    """Save weights, tokenizer and chat template as transformers does, in a directory that appears whole."""
    partial = directory.with_name(directory.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        model.save_pretrained(partial)
        tokenizer.save_pretrained(partial)
        shutil.rmtree(directory, ignore_errors=True)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
