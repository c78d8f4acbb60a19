"""What is in conversations: Table 1 of TÜLU (Wang et al. 2023) for any, lengths, mixes, targets, duplicates.

    for name, row in describe(conversations, chat).table.items():
        print(name, row.conversations, row.rounds, row.prompt, row.completion)

One pass; memory holds some 40 bytes a conversation and 4 a message.
"""

import json
import unicodedata
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from itertools import chain, islice
from typing import Any, NamedTuple

import numpy as np

from boresight.chat import Chat, RenderError
from boresight.records import Conversation

BATCH = 100
ALL = "all"
SCRIPTS = {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana"} | {
    name.upper(): name
    for name in (
        "Latin", "Cyrillic", "Greek", "Armenian", "Georgian", "Hebrew", "Arabic", "Ethiopic", "Devanagari",
        "Bengali", "Gurmukhi", "Gujarati", "Tamil", "Telugu", "Kannada", "Malayalam", "Sinhala", "Thai",
        "Lao", "Tibetan", "Myanmar", "Khmer", "Hangul",
    )
}  # fmt: skip
"""By a word in the names Unicode gives to a script's letters."""


class TableRow(NamedTuple):
    """A line of Table 1: conversations, and means: rounds (answers) of a conversation, tokens of a prompt and
    of a completion; prompts and completions are user and assistant messages, without what a template adds."""

    conversations: int
    rounds: float | None
    prompt: float | None
    completion: float | None


@dataclass
class Description:
    """What conversations hold; those that cannot be trained on have no length as a sequence."""

    prompts: dict[str, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("I")))
    """Tokens of each user message, by source."""
    completions: dict[str, "array[int]"] = field(default_factory=lambda: defaultdict(lambda: array("I")))
    """Tokens of each assistant message, by source."""
    lengths: "array[int]" = field(default_factory=lambda: array("I"))
    """Tokens of each conversation as it is trained on, the template's included."""
    targets: int = 0
    """How many of these are targets."""
    sources: Counter[str] = field(default_factory=Counter)
    tasks: Counter[str] = field(default_factory=Counter)
    """Conversations by their `task`, where they have one."""
    letters: Counter[str] = field(default_factory=Counter)
    """Letters by script."""
    refused: Counter[str] = field(default_factory=Counter)
    """Conversations that cannot be trained on, by reason."""
    digests: "array[int]" = field(default_factory=lambda: array("Q"))
    """Of each conversation's messages."""

    @property
    def table(self) -> dict[str, TableRow]:
        """Table 1, a line a source in order of size, and one for all."""
        names = [name for name, _ in self.sources.most_common()]
        rows = {name: self._row([name]) for name in names}
        return rows | {ALL: self._row(names)}

    def _row(self, names: list[str]) -> TableRow:
        prompts, completions = (
            [by_source[name] for name in names] for by_source in (self.prompts, self.completions)
        )
        conversations, answers = sum(self.sources[name] for name in names), sum(map(len, completions))
        rounds = answers / conversations if conversations else None
        return TableRow(conversations, rounds, _mean(prompts), _mean(completions))

    @property
    def target_share(self) -> float | None:
        """Targets among the tokens trained on."""
        return self.targets / sum(self.lengths) if self.lengths else None

    @property
    def duplicates(self) -> int:
        """Conversations whose messages are those of an earlier one."""
        return len(self.digests) - len(np.unique(np.array(self.digests)))

    def histogram(self) -> list[tuple[int, int]]:
        """[(2^k, conversations of 2^k to 2^(k + 1) - 1 tokens)], from the shortest to the longest."""
        powers = Counter(length.bit_length() - 1 for length in self.lengths)
        return [(2**k, powers[k]) for k in range(min(powers), max(powers) + 1)] if powers else []

    def as_json(self) -> dict[str, Any]:
        """All of it, in plain numbers."""
        lengths = np.array(self.lengths)
        ends = np.percentile(lengths, [50, 90, 100]) if len(lengths) else [None] * 3
        named = zip(("median", "percentile_90", "longest"), ends, strict=True)
        return {
            "table": {name: row._asdict() for name, row in self.table.items()},
            "tokens": int(lengths.sum()),
            "targets": self.targets,
            "target_share": self.target_share,
            "lengths": {name: None if end is None else float(end) for name, end in named}
            | {"histogram": [{"from": start, "conversations": n} for start, n in self.histogram()]},
            "tasks": dict(self.tasks.most_common()),
            "letters": dict(self.letters.most_common()),
            "duplicates": self.duplicates,
            "refused": dict(self.refused.most_common()),
        }


def describe(conversations: Iterable[Conversation], chat: Chat) -> Description:
    """Read conversations once and say what they hold; tokens are those of `chat`."""
    found = Description()
    rows = iter(conversations)
    while batch := list(islice(rows, BATCH)):
        for conversation in batch:
            _count(conversation, found)
        _measure_messages(batch, chat, found)
        _measure_sequences(batch, chat, found)
    return found


def script(letter: str) -> str:
    """The writing system of a letter: Latin, Han, Kana, …; `other` for the rare ones."""
    return next((SCRIPTS[word] for word in _words(letter) if word in SCRIPTS), "other")


@cache
def _script_or_none(character: str) -> str | None:
    return script(character) if character.isalpha() else None


def _words(character: str) -> list[str]:
    return unicodedata.name(character, "").replace("-", " ").split()


def _count(conversation: Conversation, found: Description) -> None:
    found.sources[conversation.source or "unnamed"] += 1
    if task := (conversation.model_extra or {}).get("task"):
        found.tasks[str(task)] += 1
    for character, n in Counter(chain.from_iterable(m.content for m in conversation.messages)).items():
        if name := _script_or_none(character):
            found.letters[name] += n
    messages = json.dumps([(m.role, m.content) for m in conversation.messages])
    found.digests.frombytes(blake2b(messages.encode(), digest_size=8).digest())


def _measure_messages(batch: list[Conversation], chat: Chat, found: Description) -> None:
    messages = [(c.source or "unnamed", m) for c in batch for m in c.messages]
    texts = [message.content for _, message in messages]
    ids = chat.tokenizer(texts, add_special_tokens=False, truncation=False, verbose=False)["input_ids"]
    into = {"user": found.prompts, "assistant": found.completions}
    for (source, message), tokens in zip(messages, ids, strict=True):
        if message.role in into:
            into[message.role][source].append(len(tokens))


def _measure_sequences(batch: list[Conversation], chat: Chat, found: Description) -> None:
    for tokenised in chat.tokenise(list(_rendered(batch, chat, found))):
        if isinstance(tokenised, RenderError):
            found.refused[str(tokenised)] += 1
        else:
            found.lengths.append(len(tokenised.tokens))
            found.targets += int(tokenised.targets.sum())


def _rendered(batch: list[Conversation], chat: Chat, found: Description) -> Iterator[Any]:
    for conversation in batch:
        try:
            yield chat.render(conversation.messages)
        except RenderError as refusal:
            found.refused[str(refusal)] += 1


def _mean(parts: list["array[int]"]) -> float | None:
    count = sum(map(len, parts))
    return sum(map(sum, parts)) / count if count else None
