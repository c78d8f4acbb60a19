"""Small real things to test with: tokenizers, conversations, token stores and random-weight models."""

import json
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import settings
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from boresight.chat import Chat
from boresight.cli import main
from boresight.data.store import TokenStore
from boresight.data.tokenise import prepare
from boresight.records import Conversation
from boresight.train.attention import NAME as ATTENTION
from command_line import Ended, Run

# A change is judged by its own faults: examples are the same in every run, and new ones in `make test-slow`.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts jobs in the background like that
    signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
HEADERS = ["<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]

DIALOGUES = [
    ["user: What is the capital of France?", "assistant: Paris."],
    [
        "system: You are a careful assistant. Answer in one sentence.",
        "user: Why is the sky blue?",
        "assistant: Air scatters blue light from the sun more strongly than red light.",
    ],
    [
        "user: Natalia sold clips to 48 of her friends in April, and half as many in May. How many in all?",
        "assistant: In May she sold 48 / 2 = 24 clips. Together that is 48 + 24 = 72.",
        "user: And if she had sold twice as many in May?",
        "assistant: Then 96 in May, and 48 + 96 = 144 in all.",
    ],
    ["user: Translate into German: the weather is fine today.", "assistant: Das Wetter ist heute schön. ☀️"],
    [
        "user: Write a function that adds two numbers.",
        "assistant: ```python\ndef add(a, b):\n    return a + b\n```",
        "user: Thanks! Now one that multiplies them.",
        "assistant: ```python\ndef multiply(a, b):\n    return a * b\n```",
        "user: 谢谢",
        "assistant: 不客气!",
    ],
    [
        "user: "
        + "The harbour of the old town was built in the year 1432 and has been mended many times since. " * 4
        + "When was the harbour built?",
        "assistant: In 1432.",
    ],
    ["user: Name three primes.", "assistant: 2, 3 and 5"],
    [
        "system: Be brief.",
        "user: Tell me about the moon.",
        "assistant: It circles the earth in about 27 days, and shows it the same face all the while. " * 3,
    ],
    ["user: Say yes.", "assistant: Yes"],
    ["user: Who wrote Faust?", "assistant: Goethe.", "user: When?", "assistant: Part one appeared in 1808."],
]


def _conversation(turns: list[str]) -> Conversation:
    pairs = [turn.split(": ", 1) for turn in turns]
    return Conversation.model_validate({"messages": [{"role": r, "content": c} for r, c in pairs]})


def _texts() -> list[str]:
    return [turn for dialogue in DIALOGUES for turn in dialogue] * 2


def _fast(tokenizer: Tokenizer, **special: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>", **special
    )


@pytest.fixture(scope="session")
def make_byte_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    """A GPT-2-like byte-level BPE, as `make(trim_offsets=…)`."""

    def make(trim_offsets: bool = False) -> PreTrainedTokenizerFast:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=trim_offsets)
        tokenizer.post_processor = processors.ByteLevel(trim_offsets=trim_offsets)
        tokenizer.decoder = decoders.ByteLevel()
        trainer = trainers.BpeTrainer(
            vocab_size=500,
            special_tokens=SPECIAL + HEADERS,
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        )
        tokenizer.train_from_iterator(_texts(), trainer)
        return _fast(tokenizer)

    return make


@pytest.fixture(scope="session")
def make_metaspace_tokenizer() -> Callable[..., PreTrainedTokenizerFast]:
    """A SentencePiece-like BPE with byte fallback: `legacy` is as Llama-2's files are."""

    def make(legacy: bool = True) -> PreTrainedTokenizerFast:
        trained = Tokenizer(models.BPE())
        trained.pre_tokenizer = pre_tokenizers.Metaspace()
        trainer = trainers.BpeTrainer(
            vocab_size=700, special_tokens=SPECIAL + HEADERS + BYTES, show_progress=False
        )
        # As in SentencePiece, a line break is a byte of its own and never part of a longer token.
        trained.train_from_iterator((text.replace("\n", " ") for text in _texts()), trainer)
        model = json.loads(trained.to_str())["model"]
        tokenizer = Tokenizer(
            models.BPE(
                model["vocab"],
                [tuple(merge) for merge in model["merges"]],
                unk_token="<unk>",
                fuse_unk=True,
                byte_fallback=True,
            )
        )
        if legacy:
            tokenizer.normalizer = normalizers.Sequence(
                [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
            )
        else:
            tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
        tokenizer.add_special_tokens([AddedToken(t, normalized=False) for t in SPECIAL + HEADERS])
        return _fast(tokenizer)

    return make


@pytest.fixture
def tokenizer(make_byte_tokenizer: Callable[..., PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    """A fresh byte-level tokenizer without a template."""
    return make_byte_tokenizer()


@pytest.fixture(scope="session")
def conversations() -> list[Conversation]:
    """Ten conversations of very different lengths."""
    return [_conversation(turns) for turns in DIALOGUES]


@pytest.fixture(scope="session")
def store(
    make_byte_tokenizer: Callable[..., PreTrainedTokenizerFast],
    conversations: list[Conversation],
    tmp_path_factory: pytest.TempPathFactory,
) -> TokenStore:
    """The conversations as tokens, in TÜLU's template."""
    directory: Path = tmp_path_factory.mktemp("store") / "tokens"
    store = prepare(conversations, Chat(make_byte_tokenizer(), "tulu"), directory, 10_000)
    assert len(store) == len(conversations)
    return store


@pytest.fixture(scope="session")
def make_model() -> Callable[..., PreTrainedModel]:
    """A tiny causal model with random weights, as `make(kind, attention=…, **config)`."""

    def make(kind: str = "llama", attention: str = ATTENTION, **changes: Any) -> PreTrainedModel:
        sizes: dict[str, Any] = {
            "vocab_size": 512,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "max_position_embeddings": 1024,
            "initializer_range": 0.2,
            "pad_token_id": 0,
            "bos_token_id": 1,
            "eos_token_id": 2,
        }
        config = AutoConfig.for_model(kind, **(sizes | changes))
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(config, attn_implementation=attention)

    return make


@pytest.fixture
def boresight(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs a command in this process; a traceback fails the test."""

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr("sys.argv", ["boresight", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        ended = Ended(int(stop.value.code or 0), *capfd.readouterr())
        assert "Traceback" not in ended.stderr
        return ended

    return run


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, driven by playwright; where one is missing, who asks for it is skipped."""
    playwright = pytest.importorskip("playwright.sync_api", reason="pages are driven by playwright")
    names = ("chromium", "chromium-browser", "google-chrome")
    chromium = next(filter(None, map(shutil.which, names)), None)
    if chromium is None:
        pytest.skip("no chromium on this machine drives pages")
    # Chromium's sandbox asks for what containers often lack, and the pages are our own. Containers have
    # little shared memory, too, without which pages crash.
    flags = ["--no-sandbox", "--disable-dev-shm-usage"]
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=chromium, args=flags)
        yield started
        started.close()
