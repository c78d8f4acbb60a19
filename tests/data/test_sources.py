"""Published formats → conversations: a row in, what comes of it out, in both readings."""

import gzip
import json
import random
from collections import Counter
from pathlib import Path

import pytest

from boresight.data.sources import SOURCES, Reading, Tally, import_file
from boresight.data.sources.join import WITH_INPUT, WITHOUT_INPUT, join
from boresight.errors import UserError
from boresight.records import Conversation

SHARED = Path(__file__).parents[3] / "shared" / "data"
FIXED, TULU1 = Reading(), Reading(published=True)


def rows(tmp_path: Path, *values: object, as_list: bool = False) -> Path:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(values, indent=1) if as_list else "\n".join(map(json.dumps, values)))
    return path


def texts(path: Path, source: str, reading: Reading = FIXED, tally: Tally | None = None) -> list[list[str]]:
    found = list(import_file(path, source, reading, tally))
    for conversation in found:
        assert conversation.source == source
        roles = [m.role for m in conversation.messages]
        assert roles == ["user", "assistant"] * (len(roles) // 2) + ["user"] * (len(roles) % 2)
    return [[m.content for m in c.messages] for c in found]


def instruct(source: str, **names: str) -> list[tuple]:
    """What all sources of instruction and input have in common."""
    keys = {key: names.get(key, key) for key in ("instruction", "input", "output")}
    whole = {keys["instruction"]: " Sort. ", keys["input"]: " b a\n", keys["output"]: "a b"}
    bare = {**whole, keys["input"]: " "}
    blank = {**whole, keys["output"]: " "}
    return [
        (source, whole, FIXED, [["Sort.\n\nb a", "a b"]], {}),
        (source, bare, FIXED, [["Sort.", "a b"]], {}),
        (source, {**whole, keys["input"]: None}, FIXED, [["Sort.", "a b"]], {}),
        (source, blank, FIXED, [], {"an empty answer": 1}),
        (source, whole, TULU1, [[join("Sort.", "b a", TULU1), "a b"]], {}),
        (source, bare, TULU1, [[join("Sort.", "", TULU1), "a b"]], {}),
        (source, blank, TULU1, [[join("Sort.", "b a", TULU1), " "]], {}),
    ]


def says(role: str, text: str, *replies: dict, deleted: bool = False) -> dict:
    return {"role": role, "text": text, "replies": list(replies), "deleted": deleted}


TREE = {
    "prompt": says(
        "prompter", "Q",
        says("assistant", "A1",
             says("prompter", "B", says("assistant", "B1"), says("assistant", "B2", deleted=True)),
             says("prompter", "C", says("assistant", "C1"))),
        says("assistant", "A2", says("prompter", "D")),
        says("assistant", " "),
    )
}  # fmt: skip


def transcript(text: str) -> dict:
    return {"topic": "t", "input": f"The conversation.\n{text}"}


def shared_talk(*turns: tuple[str, str]) -> dict:
    return {"id": "x_0", "conversations": [{"from": speaker, "value": said} for speaker, said in turns]}


UNNATURAL = {
    "instruction": "Sort.",
    "instances": [
        {"input": "b a", "constraints": "Upper case.", "output": "A B"},
        {"input": "b a", "constraints": "None.", "output": "a b"},
        {"input": "", "constraints": None, "output": "a"},
        {"input": "c", "constraints": "none", "output": ""},
    ],
}
SEED_TASK = {"instruction": "Add.", "instances": [{"input": "1 2", "output": "3"}, {"output": "0"}]}
HI, HELLO = ("human", "Hi"), ("gpt", "Hello!")
CASES = [
    *instruct("dolly", input="context", output="response"),
    *(case for s in ("self_instruct", "alpaca", "code_alpaca", "gpt4_alpaca") for case in instruct(s)),
    ("self_instruct", SEED_TASK, FIXED, [["Add.\n\n1 2", "3"], ["Add.", "0"]], {}),
    ("unnatural", UNNATURAL, FIXED,
     [["Sort.\nUpper case.\n\nb a", "A B"], ["Sort.\n\nb a", "a b"], ["Sort.", "a"]], {"an empty answer": 1}),
    ("unnatural", UNNATURAL, TULU1,
     [[join("Sort.\nUpper case.", "b a", TULU1), "A B"], [join("Sort.", "b a", TULU1), "a b"],
      [join("Sort.", "", TULU1), "a"], [join("Sort.", "c", TULU1), ""]], {}),
    *(case for s in ("flan_v2", "cot") for case in [
        (s, {"inputs": " Is it? ", "targets": "Yes"}, FIXED, [["Is it?", "Yes"]], {}),
        (s, {"inputs": "Is it?", "targets": " "}, FIXED, [], {"an empty answer": 1}),
        (s, {"inputs": "", "targets": "Yes"}, FIXED, [], {"an empty prompt": 1}),
        (s, {"inputs": " Is it? ", "targets": "Yes"}, TULU1, [[" Is it? \n", "Yes"]], {}),
        (s, {"inputs": "Is it?\n", "targets": "Yes"}, TULU1, [["Is it?\n", "Yes"]], {}),
        (s, {"inputs": "Answer: ", "targets": ""}, TULU1, [["Answer: ", ""]], {}),
    ]),
    ("oasst1", TREE, FIXED, [["Q", "A1", "B", "B1"], ["Q", "A1", "C", "C1"], ["Q", "A2"]],
     {"deleted": 1, "a question without an answer": 1, "an empty answer": 1}),
    ("oasst1", TREE, TULU1,
     [["Q", "A1"], ["Q", "A1", "B", "B1"], ["Q", "A1", "B", "B2"], ["Q", "A1", "C", "C1"], ["Q", "A2"],
      ["Q", " "]],
     {"a question without an answer": 1}),
    ("baize", transcript("[|Human|] Hi\n[|AI|] Hello! \n[|Human|] Bye\n[|AI|] So long.\n[|Human|] "), FIXED,
     [["Hi", "Hello!", "Bye", "So long."]], {}),
    ("baize", transcript("[|Human|]a[|AI|]b[|Human|]c[|Human|]d[|AI|]e"), FIXED,
     [["a", "b"]], {"a round without question or answer, or after one": 2}),
    ("baize", transcript("[|Human|]a[|AI|]b[|Human|]c[|Human|]d[|AI|]e"), TULU1,
     [["a", "b", "d", "e"]], {"a round without question or answer, or after one": 1}),
    ("baize", transcript("[|Human|]a[|AI|] "), TULU1, [["a", ""]], {}),
    ("baize", transcript("[|Human|]a[|AI|]b[|AI|]c"), FIXED, [], {"two answers in a round": 1}),
    ("baize", transcript("nothing"), FIXED, [], {"no rounds": 1}),
    ("sharegpt", shared_talk(HI, HELLO, ("user", "Bye"), ("chatgpt", "So long.")), FIXED,
     [["Hi", "Hello!", "Bye", "So long."]], {}),
    ("sharegpt", shared_talk(("system", "Be kind."), HI, HELLO), FIXED, [], {"a turn of system": 1}),
    ("sharegpt", shared_talk(HI, ("bing", "Hello!")), TULU1, [], {"a turn of bing": 1}),
    ("sharegpt", shared_talk(HI, HELLO, HI), FIXED, [["Hi", "Hello!"]],
     {"a last question without an answer": 1}),
    ("sharegpt", shared_talk(HI, HELLO, HI), TULU1, [["Hi", "Hello!", "Hi"]], {}),
    ("sharegpt", shared_talk(HELLO, HI, HELLO), FIXED, [], {"does not begin with the user": 1}),
    ("sharegpt", shared_talk(HI, HELLO, HELLO), FIXED, [], {"one side speaks twice in a row": 1}),
    ("sharegpt", shared_talk(HI, ("gpt", "")), FIXED, [], {"an empty turn": 1}),
    ("sharegpt", shared_talk(HI, ("gpt", "")), TULU1, [["Hi", ""]], {}),
    ("sharegpt", shared_talk(), FIXED, [], {"no turns": 1}),
    ("sharegpt", shared_talk(), TULU1, [], {"no turns": 1}),
    ("conversations", shared_talk(HI, HELLO, HI), FIXED, [["Hi", "Hello!", "Hi"]], {}),
    ("prompts", {"prompt": "Sky?", "completion": " Blue."}, FIXED, [["Sky?", " Blue."]], {}),
    ("instructions", {"instruction": "Sort. ", "input": " b a", "output": ""}, FIXED,
     [["Sort.\n\nb a", ""]], {}),
    ("instructions", SEED_TASK, FIXED, [["Add.\n\n1 2", "3"], ["Add.", "0"]], {}),
    ("gsm8k", {"question": "6 and 7?", "answer": "6 + 7 = <<6+7=13>>13 in all.\n#### 13"}, FIXED,
     [["6 and 7?", "6 + 7 = 13 in all.\nThe answer is 13."]], {}),
]  # fmt: skip


@pytest.mark.parametrize("as_list", [True, False], ids=["list", "lines"])
@pytest.mark.parametrize(("source", "row", "reading", "expected", "dropped"), CASES)
def test_a_row_and_what_comes_of_it(
    tmp_path: Path, source: str, row: dict, reading: Reading, expected: list, dropped: dict, as_list: bool
) -> None:
    tally = Tally()
    assert texts(rows(tmp_path, row, as_list=as_list), source, reading, tally) == expected
    assert tally == Tally(rows=1, conversations=len(expected), dropped=Counter(dropped))


def test_every_source_has_its_case() -> None:
    assert {case[0] for case in CASES} == SOURCES.keys() - {"superni", "messages"}  # which have tests below
    both = {case[0] for case in CASES if case[2] is FIXED} & {case[0] for case in CASES if case[2] is TULU1}
    assert len(both) == 11  # with superni, TÜLU's twelve


def test_messages_are_themselves_with_all_their_keys(tmp_path: Path) -> None:
    row = {"id": "a", "source": "mine", "messages": [{"role": "user", "content": "Hi"}], "licence": "MIT"}
    (found,) = import_file(rows(tmp_path, row), "messages", TULU1)
    assert found.model_dump(exclude_unset=True) == row


def test_two_answers_in_a_round_stop_the_published_reading(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"rows.json:1: two answers in a round"):
        texts(rows(tmp_path, transcript("[|Human|]a[|AI|]b[|AI|]c")), "baize", TULU1)


# OpenAssistant's trees


def random_tree(draw: random.Random, role: str = "prompter", depth: int = 0) -> dict:
    other = {"prompter": "assistant", "assistant": "prompter"}[role]
    replies = [random_tree(draw, other, depth + 1) for _ in range(draw.randint(0, 3) if depth < 4 else 0)]
    return says(role, f"{draw.random()}", *replies, deleted=draw.random() < 0.1)


def kept_answers(node: dict) -> list[str]:
    if node["deleted"]:
        return []
    own = [node["text"]] if node["role"] == "assistant" else []
    return own + [text for reply in node["replies"] for text in kept_answers(reply)]


@pytest.mark.parametrize("seed", range(20))
def test_every_answer_of_a_tree_is_trained_once_and_no_row_begins_another(tmp_path: Path, seed: int) -> None:
    tree = random_tree(random.Random(seed))
    found = list(import_file(rows(tmp_path, {"prompt": tree}), "oasst1"))
    trained = [m.content for c in found for m in c.messages if m.role == "assistant" and m.train]
    assert sorted(trained) == sorted(kept_answers(tree))
    paths = [tuple(m.content for m in c.messages) for c in found]
    assert all(a == b or b[: len(a)] != a for a in paths for b in paths)
    assert all(c.messages[-1].role == "assistant" and c.messages[-1].train for c in found)


# Super-NaturalInstructions


def task(instances: int, examples: int = 3) -> dict:
    return {
        "Definition": ["Add one.", "ignored"],
        "Positive Examples": [{"input": f"e{i}", "output": f"E{i}"} for i in range(examples)],
        "Instances": [
            {"id": f"t-{i}", "input": f"{i}", "output": [" ", f"{i + 1}"]} for i in range(instances)
        ],
    }


def tasks(tmp_path: Path, **named: dict) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir(parents=True)
    for name, content in named.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=4))
    return folder


def test_a_small_task_gives_all_its_instances_in_order(tmp_path: Path) -> None:
    found = texts(tasks(tmp_path, task001_add=task(62)), "superni")
    assert found[:60] == [[f"Add one.\n\n{i}", f"{i + 1}"] for i in range(60)]
    for i, (prompt, answer) in enumerate(found[60:], 60):
        definition, *shown, asked = prompt.split("\n\n")
        assert (definition, asked, answer) == ("Add one.", f"Input: {i}\nOutput:", f"{i + 1}")
        assert len(set(shown)) == 2
        assert set(shown) <= {f"Input: e{e}\nOutput: E{e}" for e in range(3)}


def test_a_large_task_gives_80_drawn_by_seed_and_name_alone(tmp_path: Path) -> None:
    folder = tasks(tmp_path, task001_add=task(500), task002_add=task(500))
    tally = Tally()
    found = texts(folder, "superni", tally=tally)
    assert tally == Tally(rows=2, conversations=160, dropped=Counter({"not drawn": 840}))
    assert sum("Input: e" in prompt for prompt, _ in found) == 40
    drawn = [{prompt for prompt, _ in half} for half in (found[:80], found[80:])]
    assert drawn[0] != drawn[1]
    assert texts(folder / "task002_add.json", "superni") == found[80:]
    assert texts(folder, "superni", Reading(seed=1)) != found


def test_a_compressed_task_is_the_same_task(tmp_path: Path) -> None:
    folder = tasks(tmp_path, task001_add=task(100))
    found = texts(folder, "superni")
    path = folder / "task001_add.json"
    (folder / "task001_add.json.gz").write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    assert texts(folder, "superni") == found


def test_the_published_reading_takes_the_first_answer_even_if_blank(tmp_path: Path) -> None:
    folder = tasks(tmp_path, task001_add=task(1))
    assert texts(folder, "superni", TULU1) == [[join("Add one.", "0", TULU1), " "]]


def test_a_checkout_gives_the_tasks_of_its_training_split_without_mmlu(tmp_path: Path) -> None:
    tasks(tmp_path, task001_add=task(1), task002_mmmlu_law=task(1), task003_test=task(1))
    split = tmp_path / "splits" / "xlingual" / "train_tasks.txt"
    split.parent.mkdir(parents=True)
    split.write_text("task002_mmmlu_law\ntask001_add\n")
    tally = Tally()
    assert texts(tmp_path, "superni", tally=tally) == [["Add one.\n\n0", "1"]]
    assert tally.dropped == {"a task of MMLU, which would leak": 1}
    split.write_text("task001_add\ntask009_gone\n")
    with pytest.raises(UserError, match=r"train_tasks.txt:2: there is no .*task009_gone.json"):
        texts(tmp_path, "superni")


# What is drawn, and how prompts are joined


def test_cot_draws_so_many_rows_of_each_file_in_its_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SOURCES, "cot", type(SOURCES["cot"])(SOURCES["cot"].convert, draw=50))
    paths = [tmp_path / name for name in ("cot_zsopt.jsonl", "cot_fsopt.jsonl", "small.jsonl")]
    for path, count in zip(paths, (500, 500, 7), strict=True):
        path.write_text("".join(f'{{"inputs": "{i}", "targets": "t"}}\n' for i in range(count)))
    left_out: list[dict[str, object]] = []
    tally = Tally(reject=left_out.append)
    drawn = [[int(prompt) for prompt, _ in texts(path, "cot", tally=tally)] for path in paths]
    assert list(map(len, drawn)) == [50, 50, 7]
    assert all(some == sorted(set(some)) for some in drawn)
    assert drawn[0] != drawn[1]
    assert drawn[1] == [int(prompt) for prompt, _ in texts(paths[1], "cot")]
    assert (tally.rows, tally.dropped) == (1007, {"not drawn": 900})
    assert [row["count"] for row in left_out] == [450, 450]


@pytest.mark.parametrize(("context", "templates"), [("x {y}", WITH_INPUT), ("", WITHOUT_INPUT)])
def test_templates_come_in_their_weights_and_repeat(context: str, templates: dict[str, float]) -> None:
    assert sum(templates.values()) == pytest.approx(1)
    seen: Counter[str] = Counter()
    for i in range(4000):
        prompt = join(f"i{{{i}}}", context, TULU1)
        assert prompt == join(f"i{{{i}}}", context, TULU1)
        seen[prompt.replace(f"i{{{i}}}", "{instruction}").replace(context or "\0", "{context}")] += 1
    assert {template: count / 4000 for template, count in seen.items()} == pytest.approx(templates, abs=0.03)


def test_ids_are_hashes_of_the_messages(tmp_path: Path) -> None:
    row = {"instruction": "a", "output": "b"}
    ids = [c.id for c in import_file(rows(tmp_path, row, row, {**row, "output": "c"}), "alpaca")]
    assert ids[0] == ids[1] != ids[2]
    (same,) = import_file(rows(tmp_path, {"inputs": "a", "targets": "b"}), "flan_v2")
    assert same.id == ids[0] == Conversation(messages=same.messages).id


def test_whatever_is_left_out_is_handed_on_with_its_place_reason_and_row(tmp_path: Path) -> None:
    left_out: list[dict[str, object]] = []
    tally = Tally(reject=left_out.append)
    empty = {"instruction": "a", "output": ""}
    path = rows(tmp_path, empty, {"instruction": "a"}, {"instruction": "a", "output": "b"})
    assert texts(path, "alpaca", tally=tally) == [["a", "b"]]
    assert left_out == [
        {"place": f"{path}:1", "reason": "an empty answer", "row": empty},
        {
            "place": f"{path}:2",
            "reason": "malformed",
            "detail": "`output` is missing",
            "row": {"instruction": "a"},
        },
    ]
    assert tally.dropped == {"an empty answer": 1, "malformed": 1}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published files are not beside this checkout")
@pytest.mark.parametrize(
    ("source", "file", "counts", "dropped"),
    [
        ("gsm8k", "gsm8k/train.jsonl", (7473, 7473), {}),
        ("gsm8k", "gsm8k/test.jsonl", (1319, 1319), {}),
        ("instructions", "code_alpaca/code_alpaca_2k.json", (2017, 2017), {}),
        ("code_alpaca", "code_alpaca/code_alpaca_2k.json", (2017, 2015), {"an empty answer": 2}),
        ("instructions", "self_instruct/seed_tasks.jsonl", (175, 175), {}),
        ("self_instruct", "self_instruct/seed_tasks.jsonl", (175, 175), {}),
        ("self_instruct", "self_instruct/user_oriented_instructions.jsonl", (252, 252), {}),
    ],
)
def test_published_files_are_read_whole(
    source: str, file: str, counts: tuple[int, int], dropped: dict[str, int]
) -> None:
    tally = Tally()
    found = list(import_file(SHARED / file, source, tally=tally))
    assert (tally.rows, len(found)) == counts
    assert tally.dropped == dropped
    assert all(c.messages[-1].role == "assistant" for c in found)
    published = list(import_file(SHARED / file, source, TULU1))
    assert len(published) == counts[0]
