"""What the training benchmarks share: rows, a Llama of random weights, and the sides that train it.

A side takes one optimizer step over all rows, again and again. All sides start from the same weights and
minimise the mean over all target tokens, which are all tokens but the first of a row. Rivals' packages are
imported where they are used: a machine need not have all of them.
"""

import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForSeq2Seq,
    LlamaConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    PrinterCallback,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from boresight.data.store import StoreWriter, TokenStore
from boresight.models.load import empty_model
from boresight.train.attention import NAME as OUR_ATTENTION
from boresight.train.loop import Training
from boresight.train.ranks import Ranks
from boresight.train.settings import Strategy, TrainSettings
from boresight.train.sharding import recompute_activations
from lengths import longalign_lengths

LEARNING_RATE = 1e-5
BETAS = (0.9, 0.95)
OURS = "ours, balanced"
"""The side that all others are compared with."""

Rows = list[np.ndarray]
"""Tokens of each conversation, int64."""


class Measured(NamedTuple):
    """One optimizer step. `slots` are the tokens that went through the model, padding included."""

    seconds: float
    tokens: int
    slots: int
    loss: float


Side = Callable[[], Measured]
"""Takes one optimizer step over all rows."""


class Work(NamedTuple):
    """What all sides are given. `length` is the longest that a row can be."""

    rows: Rows
    store: TokenStore
    length: int
    config: LlamaConfig
    precision: Literal["bf16", "fp32"]
    activation_checkpointing: bool
    ranks: Ranks
    folder: Path


@contextmanager
def work(
    rows: int,
    length: int,
    config: LlamaConfig,
    ranks: Ranks,
    *,
    precision: Literal["bf16", "fp32"] = "fp32",
    activation_checkpointing: bool = False,
) -> Iterator[Work]:
    """Draw rows of LongAlign's lengths and write them to a store that lives as long as the context."""
    random = np.random.default_rng(0)
    tokens = [random.integers(2, config.vocab_size, n) for n in longalign_lengths(rows, length)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with StoreWriter(folder / "store", {}) as writer:
            for row in tokens:
                writer.append(row, np.arange(len(row)) > 0)
        store = TokenStore(folder / "store")
        yield Work(tokens, store, length, config, precision, activation_checkpointing, ranks, folder)


def disagreement(theirs: Measured, ours: Measured, tolerance: float) -> str | None:
    """How a side's first step differs from ours, or None.

    It would if a side lost a token, or let packed rows see each other.
    """
    if theirs.tokens != ours.tokens:
        return f"saw {theirs.tokens} tokens, we {ours.tokens}"
    if not abs(theirs.loss - ours.loss) < tolerance * ours.loss:
        return f"loss {theirs.loss:.6f}, ours {ours.loss:.6f}"
    return None


def quiet() -> None:
    """Keep the rivals' progress bars and warnings out of the table."""
    warnings.filterwarnings("ignore")
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    if find_spec("datasets"):
        import_module("datasets").disable_progress_bars()


def make_model(work: Work, attention: str) -> PreTrainedModel:
    """A Llama in float32 on the device, with the same random weights each time."""
    torch.manual_seed(0)
    with work.ranks.device:
        # A configuration of its own: transformers notes the attention there, and a shared one would hand
        # every side the attention of the last.
        model = AutoModelForCausalLM.from_config(
            deepcopy(work.config), attn_implementation=attention, dtype=torch.float32
        )
    return model.train()


def synchronize(device: torch.device) -> None:
    """Wait until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


# --- ours


def our_side(work: Work, strategy: Strategy) -> Side:
    """Our training loop; timed with planning and collation."""
    settings = TrainSettings(
        sequences_per_step=len(work.store),
        steps=10**6,
        loss="token",
        batching=strategy,
        tokens_per_micro_batch=work.length,
        learning_rate=LEARNING_RATE,
        betas=BETAS,
        warmup=0,
        precision=work.precision,
        activation_checkpointing=work.activation_checkpointing,
    )
    training = Training.begin(make_model(work, OUR_ATTENTION), work.store, settings, work.ranks)
    steps = training.plan.steps()

    def step() -> Measured:
        synchronize(work.ranks.device)
        began = time.perf_counter()
        done = training.step(next(steps))
        synchronize(work.ranks.device)
        return Measured(time.perf_counter() - began, done.tokens, done.tokens + done.padding, done.loss)

    return step


# --- the rivals


class StepClock(TrainerCallback):
    """Times the optimizer step inside the rivals' own loop."""

    def __init__(self, device: torch.device):
        self.device = device

    def on_step_begin(self, *_: object, **__: object) -> None:  # noqa: D102
        synchronize(self.device)
        self.began = time.perf_counter()

    def on_step_end(self, *_: object, **__: object) -> None:  # noqa: D102
        synchronize(self.device)
        self.seconds = time.perf_counter() - self.began


class TokenCounter:
    """Counts the tokens that enter a model, with and without padding."""

    def __init__(self, model: PreTrainedModel):
        self.slots = 0
        self.masks: list[Tensor | int] = []
        model.register_forward_pre_hook(self._count, with_kwargs=True)

    @property
    def tokens(self) -> int:
        """So far, without padding. Masks are summed here: a GPU would have to be waited for."""
        self.masks = [sum(int(m if isinstance(m, int) else m.sum()) for m in self.masks)]
        return int(self.masks[0])

    def _count(self, _: object, __: tuple, inputs: dict) -> None:
        mask = inputs.get("attention_mask")
        self.slots += inputs["input_ids"].numel()
        self.masks.append(inputs["input_ids"].numel() if mask is None else mask)


def trainer_side(work: Work, batch: int, attention: str = "sdpa") -> Side:
    """transformers' Trainer over padded rows, `batch` in a micro-batch."""
    model = make_model(work, attention)
    trainer = Trainer(
        model,
        TrainingArguments(**common(work, batch, -(-len(work.rows) // batch))),
        data_collator=DataCollatorForSeq2Seq(blank_tokenizer()),  # pads labels with -100
        train_dataset=[{"input_ids": row.tolist(), "labels": row.tolist()} for row in work.rows],
    )
    return rival(trainer, model)


def trl_side(work: Work, attention: str = "sdpa") -> Side:
    """TRL's SFTTrainer with packing; one pack in a micro-batch."""
    datasets, trl = import_module("datasets"), import_module("trl")
    model = make_model(work, attention)
    dataset = datasets.Dataset.from_dict({"input_ids": [row.tolist() for row in work.rows]})
    packs = len(trl.pack_dataset(dataset, work.length, "bfd"))
    packing = {"packing": True, "packing_strategy": "bfd", "max_length": work.length}
    trainer = trl.SFTTrainer(
        model,
        trl.SFTConfig(**common(work, 1, packs), **packing),
        train_dataset=dataset,
        processing_class=blank_tokenizer(),
    )
    assert len(trainer.train_dataset) == packs
    return rival(trainer, model)


def common(work: Work, batch: int, micro_batches: int) -> dict[str, object]:
    """Arguments of both rivals; one optimizer step is one pass over the rows."""
    return {
        "output_dir": str(work.folder / "rival"),
        "per_device_train_batch_size": batch,
        "gradient_accumulation_steps": micro_batches,
        "max_steps": 1,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "adam_beta1": BETAS[0],
        "adam_beta2": BETAS[1],
        "optim": "adamw_torch_fused",
        "max_grad_norm": 1.0,
        "bf16": work.precision == "bf16",
        "gradient_checkpointing": work.activation_checkpointing,
        "use_cpu": work.ranks.device.type == "cpu",
        "logging_strategy": "no",
        "save_strategy": "no",
        "report_to": "none",
        "disable_tqdm": True,
    }


def rival(trainer: Trainer, model: PreTrainedModel) -> Side:
    """A side of transformers' Trainer or of a class made from it."""
    # Our process group is open beside it; with one of their own they would reduce and gather over it.
    assert trainer.args.distributed_state.num_processes == 1 and not trainer.accelerator.use_distributed
    assert trainer.args.n_gpu <= 1, "several GPUs in one process: DataParallel; show it one"
    clock, counter = StepClock(trainer.args.device), TokenCounter(model)
    trainer.add_callback(clock)
    trainer.remove_callback(PrinterCallback)

    def step() -> Measured:
        tokens, slots = counter.tokens, counter.slots
        loss = trainer.train().training_loss
        assert model.is_gradient_checkpointing == trainer.args.gradient_checkpointing
        return Measured(clock.seconds, counter.tokens - tokens, counter.slots - slots, loss)

    return step


def plain_side(work: Work, batch: int, attention: str = "sdpa") -> Side:
    """A transformers model in a loop of our own over padded rows: Trainer, where it is not installed."""
    device, model = work.ranks.device, make_model(work, attention)
    if work.activation_checkpointing:
        recompute_activations(model)
    optimizer = torch.optim.AdamW(model.parameters(), LEARNING_RATE, BETAS, weight_decay=0.0, fused=True)
    targets = sum(len(row) - 1 for row in work.rows)
    random = np.random.default_rng(0)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=work.precision == "bf16")

    def step() -> Measured:
        rows = [torch.from_numpy(work.rows[i]) for i in random.permutation(len(work.rows))]
        batches = [padded(rows[at : at + batch], device) for at in range(0, len(rows), batch)]
        synchronize(device)
        began = time.perf_counter()
        loss = torch.zeros((), device=device)
        for inputs in batches:
            with autocast:
                partial = model(**inputs, num_items_in_batch=targets, use_cache=False).loss
            partial.backward()
            loss += partial.detach()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        synchronize(device)
        seconds = time.perf_counter() - began
        slots = sum(inputs["input_ids"].numel() for inputs in batches)
        return Measured(seconds, sum(map(len, rows)), slots, loss.item())

    return step


def padded(rows: list[Tensor], device: torch.device) -> dict[str, Tensor]:
    """Rows as the model takes them: tokens, mask and labels, [rows, longest]; the mask only if needed."""
    tokens = pad_sequence(rows, batch_first=True)
    real = torch.arange(tokens.shape[1]) < torch.tensor([len(row) for row in rows])[:, None]
    inputs = {"input_ids": tokens, "labels": tokens.where(real, -100)}
    if not real.all():
        inputs["attention_mask"] = real.long()
    return {name: tensor.to(device) for name, tensor in inputs.items()}


def blank_tokenizer() -> PreTrainedTokenizerFast:
    """A tokenizer that only knows the padding token; the rows are token ids already."""
    words = Tokenizer(WordLevel({"<pad>": 0, "<end>": 1}, unk_token="<end>"))
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<end>")


def model_flops(work: Work) -> float:
    """Floating-point operations of a step that the model needs, forward and backward."""
    config = work.config
    layers = [m for m in empty_model(config, OUR_ATTENTION).modules() if isinstance(m, nn.Linear)]
    tokens, squares = sum(map(len, work.rows)), sum(len(row) ** 2 for row in work.rows)
    width = config.num_hidden_layers * config.num_attention_heads * config.head_dim
    return float(6 * sum(m.weight.numel() for m in layers) * tokens + 12 * width * squares / 2)
