"""What all experiments do: fine-tune an arm, and ask a model in some way. Each lies in a run directory.

What is there already is not done again, so experiments share arms, and an interrupted one goes on.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from boresight.chat import Chat
from boresight.evaluate.held_out import ANSWERS, Answer, write_answers
from boresight.incontext.alignment import load_alignment
from boresight.models.load import context_length, load_config, load_tokenizer, opening, resolve
from boresight.models.local import LocalModel
from boresight.models.requests import Generation, Request, Sampling
from boresight.pocket.pages import CUES
from boresight.pocket.questions import FAMILIES, grade
from boresight.progress import counting, quiet_transformers
from boresight.recipe import DataFile, Recipe
from boresight.records import Conversation, read_records, write_records
from boresight.runs import RECORD, Run
from boresight.stages.training import train_recipe
from boresight.train.saving import MODEL
from boresight.train.settings import TrainSettings

ARMS, ASKED, FOUND = "arms", "answers", "needles"
"""Folders of run directories."""
MAX_NEW_TOKENS = 32
TEMPERATURE = 0.7
"""Of draws (In-Context Alignment, section 2.1)."""
SETTINGS = {
    "sequences_per_step": 16,
    "tokens_per_micro_batch": 8192,
    "learning_rate": 5e-4,
    "schedule": "cosine",
    "precision": "bf16",
    "epochs": 2,
}


class LabAnswer(Answer):
    """An answer of the laboratory: `correct` is its content, `style` whether it is said as the house does."""

    style: bool

    @property
    def score(self) -> int:
        """0 to 3: content counts twice."""
        return 2 * self.correct + self.style


def outcomes(answers: Sequence[LabAnswer], measure: str = "correct") -> np.ndarray:
    """Of each answer, whether its content is right, or its style [answers]."""
    return np.array([getattr(answer, measure) for answer in answers], dtype=float)


def by_family(answers: Sequence[LabAnswer]) -> dict[str, float]:
    """The share of each family's answers whose content is right."""
    return {family: float(np.mean([a.correct for a in answers if a.family == family])) for family in FAMILIES}


class Way(NamedTuple):
    """How a base model is asked: under which cue, and after which demonstrations out of a pool, if any.

    `asked_in` is the cue of the question itself, where it is another than that of the demonstrations.
    """

    cue: str
    kind: str = ""
    pool: Path | None = None
    budget: int = 0
    seed: int = 0
    order: str = "best_last"
    asked_in: str = ""


Ways = Mapping[str, Way | None]
"""Ways of asking by name; None is by the chat template."""
CHAT: Ways = {"chat template": None}


class Lab(NamedTuple):
    """Where the experiments work, and on which base model."""

    base: str
    directory: Path

    def written(self, name: str, conversations: Sequence[Conversation]) -> Path:
        """A file of conversations. Written anew each time: a run that read others notices."""
        path = self.directory / "data" / f"{name}.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_records(path, conversations)
        return path

    def restart(self) -> None:
        """Forget every run, and nothing else that lies there."""
        for kind in (ARMS, ASKED, FOUND):
            for record in (self.directory / kind).glob(f"*/{RECORD}"):
                shutil.rmtree(record.parent)

    def fine_tuned(self, name: str, conversations: Path, max_length: int = 1024, **settings: Any) -> str:
        """The base fine-tuned on conversations, with SETTINGS but for those given; returns where it lies."""
        run = self.directory / ARMS / name
        recipe = Recipe(
            model=self.base,
            max_length=max_length,
            data=[DataFile(path=conversations)],
            train=TrainSettings(**{**SETTINGS, **settings}),
        )
        train_recipe(recipe, run)
        return str(run / MODEL)

    def asked(
        self, name: str, model: str, ways: Ways, questions: Path, draws: int = 0
    ) -> dict[str, list[LabAnswer]]:
        """A model's answers to every question, by the way of asking: greedy ones, or so many draws."""
        run = self.directory / ASKED / name
        config = {"model": model, "ways": {n: w and w._asdict() for n, w in ways.items()}, "draws": draws}
        pools = {way.pool for way in ways.values() if way and way.pool}
        with Run(run, "answer", config, [questions, Path(resolve(model)), *sorted(pools)]) as kept:
            if not kept.finished:
                quiet_transformers()
                local, asked = LocalModel(model), list(read_records(questions, Conversation))
                found = [_ask(local, way, asked, draws, setting) for setting, way in ways.items()]
                kept.finish(write_answers(run, list(chain.from_iterable(found))))
        by_way: dict[str, list[LabAnswer]] = {setting: [] for setting in ways}
        for answer in read_records(run / ANSWERS, LabAnswer):
            by_way[answer.setting].append(answer)
        return by_way


def _ask(
    local: LocalModel, way: Way | None, questions: list[Conversation], draws: int, name: str
) -> list[LabAnswer]:
    prompts, stop = _prompts(local, way, questions)
    sampling = Sampling(MAX_NEW_TOKENS, TEMPERATURE if draws else 0.0, stop=stop, seed=0)
    times = max(1, draws)
    requests = [Request(prompt, sampling, draw) for prompt in prompts for draw in range(times)]
    with counting(name, len(requests)) as progress:
        written = local.generate(requests, progress)
    return [
        _answer(questions[i // times], said, local.name, name, draw=i % times)
        for i, said in enumerate(written)
    ]


def _answer(question: Conversation, said: Generation, model: str, name: str, draw: int) -> LabAnswer:
    extra = question.model_extra or {}
    graded = grade(said.text, question.messages[-1].content, extra["content"])
    return LabAnswer(
        id=question.id,
        prompt=question.messages[:-1],
        output=said.text,
        model=model,
        draw=draw,
        reference=question.messages[-1].content,
        finish_reason=said.finish_reason,
        setting=name,
        family=extra["family"],
        correct=graded.content,
        style=graded.style,
    )


def _prompts(
    local: LocalModel, way: Way | None, questions: list[Conversation]
) -> tuple[list[str], tuple[str, ...]]:
    """What the model reads, and what ends its answers."""
    asked = [question.messages[:-1] for question in questions]
    if way is None:
        chat = Chat(local.tokenizer)
        return [chat.prompt(messages) for messages in asked], ()
    texts = [messages[-1].content for messages in asked]
    if way.pool is None:
        start = opening(local.tokenizer)
        return [start + put(way.cue, text) for text in texts], ("\n",)
    aligned = load_alignment(
        "lab", way.pool, load_tokenizer(local.name), "pocket", overrides(way), cache=way.pool.parent / "pools"
    )
    context = context_length(load_config(local.name)) or MAX_NEW_TOKENS
    found = aligned.prompts(asked, context, [MAX_NEW_TOKENS] * len(asked))
    ends = [put(way.asked_in or way.cue, text) for text in texts]
    return [
        prompt.text.removesuffix(put(way.cue, text)) + end
        for prompt, text, end in zip(found, texts, ends, strict=True)
    ], ("\n",)


def put(cue: str, question: str) -> str:
    """A question under a cue, up to where its answer begins."""
    before, between = CUES[cue]
    return f"{before}{question}{between}".rstrip(" ")


def overrides(way: Way) -> list[str]:
    """Of the preset `pocket`, so that demonstrations stand under the cue."""
    before, between = CUES[way.cue]
    block = f"{before}{{prompt}}{between}{{answer}}\n\n"
    return [
        f"template.block={json.dumps(block)}",
        f"retrieval.kind={way.kind}",
        f"retrieval.seed={way.seed}",
        f"policy.budget={way.budget}",
        f"policy.order={way.order}",
    ]
