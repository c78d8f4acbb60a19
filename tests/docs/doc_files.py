"""The user's own files that the pages' commands name: small ones, in the formats of the published ones."""

import csv
import gzip
import json
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from benchmark_files import PROBLEM, write_benchmarks
from boresight.chat import Chat
from boresight.evaluate.longbench import DATASETS
from boresight.models.load import POCKET, load_tokenizer

TOPICS = ("the moon", "the sea", "an old harbour", "bread", "a winter in the north", "bees", "clocks",
          "chess", "the violin", "maps", "rivers", "glass")  # fmt: skip
STORY = (
    "Mira keeps the lighthouse of the old harbour, and every evening she counts the boats that come home. "
)


def question(topic: str) -> str:
    return f"What should a visitor know about {topic}?"


def lines(path: Path, rows: Iterable[Any]) -> None:
    text(path, "".join(json.dumps(row) + "\n" for row in rows))


def document(path: Path, value: Any) -> None:
    text(path, json.dumps(value))


def text(path: Path, content: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")


def table(path: Path, rows: Iterable[Iterable[Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


def gsm8k(path: Path, count: int = 40) -> None:
    """GSM8K as it is published."""
    rows = [(n, {"question": f"Mira has {n} boats and buys 2. How many has she?"}) for n in range(count)]
    lines(path, [row | {"answer": f"{n}+2=<<{n}+2={n + 2}>>{n + 2}\n#### {n + 2}"} for n, row in rows])


def instructions(path: Path, count: int) -> None:
    """Code-Alpaca as it is published."""
    rows = (
        {"instruction": f"Add 1 to x, {n} times.", "input": "", "output": f"x += {n}"} for n in range(count)
    )
    document(path, list(rows))


def conversations(path: Path) -> None:
    """Ours, with two rounds each."""
    lines(path, (_conversation(topic) for topic in TOPICS))


def _conversation(topic: str) -> dict[str, Any]:
    turns = (question(topic), f"Of {topic}, that it takes patience.", "And then?", "Then it is beautiful.")
    roles = ("user", "assistant") * 2
    return {"messages": [{"role": role, "content": said} for role, said in zip(roles, turns, strict=True)]}


def answers(path: Path, words: str) -> None:
    """Responses of one system, which is called as its file."""
    lines(path, (_response(number, topic, path.stem, words) for number, topic in enumerate(TOPICS)))


def _response(number: int, topic: str, model: str, words: str) -> dict[str, Any]:
    asked = [{"role": "user", "content": question(topic)}]
    said = f"{words} {topic}." + " It is worth the walk." * (number % 4)
    return {
        "id": f"q{number}",
        "prompt": asked,
        "output": said,
        "model": model,
        "reference": f"About {topic}.",
    }


def model(folder: Path) -> None:
    """A model of random weights with a chat template, which ends its answers soon."""
    tokenizer = Chat(load_tokenizer("pocket"), "tulu").tokenizer
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=48, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=65536, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    made = LlamaForCausalLM(config)
    with torch.no_grad():  # the first number of every state is large, and speaks for the end
        made.model.embed_tokens.weight[:, 0] = 1.0
        made.lm_head.weight[tokenizer.eos_token_id, 0] = 0.8
    made.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def run(folder: Path, *commands: str) -> None:
    """Runs of ours that a page takes for granted."""
    for command in commands:
        words = [sys.executable, "-m", *shlex.split(command)]
        subprocess.run(words, cwd=folder, check=True)


def readme(folder: Path) -> None:
    gsm8k(folder / "train.jsonl")
    conversations(folder / "pool.jsonl")
    write_benchmarks(folder / "benchmarks")
    answers(folder / "ours.jsonl", "Go and see")
    answers(folder / "theirs.jsonl", "I know nothing about")


def agreement(folder: Path) -> None:
    scores = [3 + number % 6 for number in range(20)]
    for name, shift in (("judged/judgments", 0), ("zero-shot", 1), ("with-examples", 0)):
        rows = [{"id": f"q{n}", "score": score + shift * (n % 3)} for n, score in enumerate(scores)]
        lines(folder / f"{name}.jsonl", rows)
    table(folder / "people.csv", [("id", "score"), *((f"q{n}", s + n % 2) for n, s in enumerate(scores))])


def chat(folder: Path) -> None:
    conversations(folder / "pool.jsonl")


def data(folder: Path) -> None:
    """As many rows as the published files have."""
    gsm8k(folder / "train.jsonl", 7473)
    instructions(folder / "code_alpaca_2k.json", 2017)
    conversations(folder / "conversations.jsonl")


def data_clean(folder: Path) -> None:
    for name in ("train", "code", "tulu"):
        conversations(folder / f"{name}.jsonl")
    gsm8k(folder / "test.jsonl")
    shutil.rmtree(
        write_benchmarks(folder / "data" / "eval") / "truthfulqa_mc"
    )  # open-instruct has no such folder


def evaluate(folder: Path) -> None:
    model(folder / "models" / "mine")
    write_benchmarks(folder / "benchmarks")
    lines(folder / "answers.jsonl", [{"id": "gsm8k-1", "output": "The answer is 3."}])
    said = {"input": "Q: Turn 0?\nA:", "prediction": " No", "target": "No"}
    document(folder / "code-davinci-002-outputs" / "direct" / "navigate.json", {"outputs": [said]})
    asked = {"gen_args_0": {"arg_0": "Q", "arg_1": {}}}
    sample = {"doc_id": 0, "target": "0", "resps": [["yes"]], "filtered_resps": ["yes"], "filter": "none"}
    sample |= {"arguments": asked, "metrics": ["acc"], "acc": 1}
    lines(folder / "out" / "my__model" / "samples_arc_easy_2026-11-21T10-00-00.123456.jsonl", [sample])


def in_context(folder: Path) -> None:
    ids = ("refusal-1", "style-3", *TOPICS[2:])
    rows = ({"id": id} | _conversation(topic) for id, topic in zip(ids, TOPICS, strict=True))
    lines(folder / "conversations.jsonl", rows)
    for step in (100, 200):
        shutil.copytree(POCKET, folder / "checkpoints" / f"step-{step}")


def judge(folder: Path) -> None:
    answers(folder / "mine.jsonl", "Go and see")
    rows = ((question(topic), f"I know nothing about {topic}.") for topic in TOPICS)
    document(
        folder / "baseline.json", [{"instruction": i, "output": o, "generator": "baseline"} for i, o in rows]
    )
    graded(folder)


def graded(folder: Path) -> None:
    """Questions in the shape of LongBench-Chat's, and three answers to each that people have scored."""
    rows = [
        {
            "idx": n,
            "id": f"q{n - 1}",
            "prompt": f"{STORY * 20}\n\n{question(topic)}",
            "query": question(topic),
            "answer": topic,
        }
        for n, topic in enumerate(TOPICS, 1)
    ]
    for name in ("questions.jsonl", "longbench-chat.jsonl"):
        lines(folder / name, rows)
    scored = [[{"answer": f"{topic}, {score}", "score": score} for score in (2, 5, 9)] for topic in TOPICS]
    document(folder / "few_shots.json", scored)


def long(folder: Path) -> None:
    for number, topic in enumerate(TOPICS):
        text(folder / "books" / f"{number}.txt", f"Of {topic}. " + STORY * 500 * (1 + number % 3))
    pages = "".join(json.dumps({"text": f"About {topic}. " + STORY * 600}) + "\n" for topic in TOPICS)
    (folder / "wiki.jsonl.zst").write_bytes(pyarrow.compress(pages.encode(), "zstd", asbytes=True))


def longbench(folder: Path) -> None:
    model(folder / "models" / "mine")
    graded(folder)
    for name in DATASETS:
        row = {"input": "Who keeps the light?", "context": STORY * 9, "answers": ["Mira"], "length": 27}
        row |= {"dataset": name, "language": "en", "all_classes": None, "_id": name}
        lines(folder / "LongBench" / "data" / f"{name}.jsonl", [row])


def needle(folder: Path) -> None:
    text(folder / "essays" / "essay.txt", STORY * 4000)


def report(folder: Path) -> None:
    study(folder)
    write_benchmarks(folder / "benchmarks")
    gsm8k(folder / "train.jsonl")
    run(
        folder,
        "boresight study create ours.jsonl theirs.jsonl",
        "boresight study import ratings.csv",
        "boresight judge pairs ours.jsonl theirs.jsonl --judge unique-tokens -o runs/judged",
        "boresight train recipes/gsm8k.yaml --set data.0.path=train.jsonl -o runs/train",
        "boresight eval pocket --tasks gsm:direct --data benchmarks/ --limit 2 -o runs/eval",
        "boresight eval runs/train/model --tasks gsm:direct --data benchmarks/ --limit 2 -o runs/eval",
    )


def sandbox(folder: Path) -> None:
    model(folder / "runs" / "aligned" / "model")
    with gzip.open(folder / "HumanEval.jsonl.gz", "wt") as file:
        file.write(json.dumps(PROBLEM) + "\n")
    solved = {"id": PROBLEM["task_id"], "output": PROBLEM["canonical_solution"]}
    lines(folder / "answers.jsonl", [solved])


def scale(folder: Path) -> None:
    for part in "ab":
        conversations(folder / "shared" / "raw" / f"{part}.jsonl")
    model(folder / "shared" / "base")


def serve(folder: Path) -> None:
    for name in ("pool", "helpful", "terse"):
        conversations(folder / f"{name}.jsonl")


def study(folder: Path) -> None:
    answers(folder / "ours.jsonl", "Go and see")
    answers(folder / "theirs.jsonl", "I know nothing about")
    text(folder / "guide.md", "# How to rate\n\nRead both answers to their ends.\n")
    table(folder / "ratings.csv", ratings("ours", "theirs"))
    every = [*ratings("tulu_65B", "chatgpt"), *ratings("tulu_65B", "tulu_7B")[1:]]
    cells = ["".join(f"<c t='inlineStr'><is><t>{cell}</t></is></c>" for cell in row) for row in every]
    workbook(folder / "eval_annotations_tulu_1.xlsx", "".join(f"<row>{row}</row>" for row in cells))


def ratings(first: str, second: str) -> list[tuple[str, ...]]:
    """Two raters' ratings of two systems' answers, in the columns of TÜLU's published spreadsheet."""
    names = ("instance_id", "prompt", "model_a", "model_b", "completion_a", "completion_b",
             "completion_a_is_acceptable", "completion_b_is_acceptable", "preference",
             "evaluator", "timestamp")  # fmt: skip
    words = {first: "Go and see", second: "I know nothing about"}
    rows = [names]
    for number, topic in enumerate(TOPICS):
        said = [_response(number, topic, name, words[name])["output"] for name in (first, second)]
        for rater in ("Ada", "Ben"):
            verdict = ("yes", "no", ("a-is-better", "tie")[rater == "Ben" and number % 4 == 0])
            about = (f"q{number}", question(topic), first, second, *said)
            rows.append((*about, *verdict, rater, f"2026-03-01T10:{number:02}:00"))
    return rows


def workbook(path: Path, rows: str) -> None:
    """A spreadsheet of one sheet."""
    office = "http://schemas.openxmlformats.org"
    spaces = f"xmlns='{office}/spreadsheetml/2006/main' xmlns:r='{office}/officeDocument/2006/relationships'"
    with zipfile.ZipFile(path, "w") as file:
        sheets = f"<workbook {spaces}><sheets><sheet r:id='r1'/></sheets></workbook>"
        file.writestr("xl/workbook.xml", sheets)
        file.writestr("xl/_rels/workbook.xml.rels", "<all><one Id='r1' Target='one.xml'/></all>")
        file.writestr("xl/one.xml", f"<worksheet {spaces}><sheetData>{rows}</sheetData></worksheet>")


def training(folder: Path) -> None:
    gsm8k(folder / "train.jsonl")
    shutil.copy(folder / "recipes" / "gsm8k.yaml", folder / "recipe.yaml")


def train_7b_64k(folder: Path) -> None:
    model(folder / "models" / "mine")
    downloads = folder / "DOWNLOADS"
    conversations(downloads / "long.jsonl")
    said = [{"from": "human", "value": STORY}, {"from": "gpt", "value": "So she does."}]
    for part in "12":
        rows = [{"id": f"{part}_{n}", "conversations": said * (1 + n)} for n in range(5)]
        document(downloads / f"sg_90k_part{part}_html_cleaned.json", rows)


def tulu_suite(folder: Path) -> None:
    write_benchmarks(folder / "benchmarks")


def winrate(folder: Path) -> None:
    for folders in ("", "alpaca_eval/"):
        for system, wins in (("tulu-2-dpo-7b", 9), ("text_davinci_001", 3)):
            rows = [_annotation(n, system, wins) for n in range(len(TOPICS))]
            document(folder / f"{folders}{system}" / "annotations.json", rows)
    board = [("", "win_rate", "avg_length"), *((f"system{n}", 9 * n, 100 * n + n % 2) for n in range(1, 9))]
    table(folder / "alpaca_eval" / "alpaca_eval_gpt4_leaderboard.csv", board)
    for folders in ("", "ica/"):
        name, place = "llama2-13B_icl-oasstgpt", folder / folders
        verdicts = [{"autoeval_text_list": [f"{6 + n % 4} 7\nSo it is."] * 2} for n in range(len(TOPICS))]
        lines(place / f"{name}_vs_davinci003_autoeval.jsonl", verdicts)
        said = [{"prompt": question(topic), "response": f"I know {topic}."} for topic in TOPICS]
        lines(place / "davinci003_results.jsonl", said)
        drawn = [
            {"prompt": q["prompt"], "response_list": [f"{q['response']} {n}" for n in "12"]} for q in said
        ]
        lines(place / f"{name}_outputs_temp0.7.jsonl", drawn)


def _annotation(number: int, system: str, wins: int) -> dict[str, Any]:
    return {
        "instruction": question(TOPICS[number]), "annotator": "gpt4",
        "generator_1": "text_davinci_003", "output_1": " ".join(TOPICS[: 3 + number % 3]),
        "generator_2": system, "output_2": " ".join(TOPICS[: wins + number % 3]),
        "preference": 2 if number < wins else 1,
    }  # fmt: skip


FILES: dict[str, Callable[[Path], None]] = {
    "README.md": readme,
    "docs/agreement.md": agreement,
    "docs/chat.md": chat,
    "docs/data.md": data,
    "docs/data_clean.md": data_clean,
    "docs/evaluate.md": evaluate,
    "docs/guides/train-7b-64k.md": train_7b_64k,
    "docs/guides/tulu-suite.md": tulu_suite,
    "docs/in_context.md": in_context,
    "docs/judge.md": judge,
    "docs/long.md": long,
    "docs/longbench.md": longbench,
    "docs/needle.md": needle,
    "docs/report.md": report,
    "docs/sandbox.md": sandbox,
    "docs/scale.md": scale,
    "docs/serve.md": serve,
    "docs/study.md": study,
    "docs/training.md": training,
    "docs/winrate.md": winrate,
}
"""By page: writes what has to be there before its first command."""
