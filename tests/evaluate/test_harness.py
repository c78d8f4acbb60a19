"""The harness over our engine: the same numbers as by its own `hf` model, and its logs as our answers."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from boresight.errors import UserError
from boresight.models.local import LocalModel

pytest.importorskip("lm_eval", reason="needs boresight[harness]")

from lm_eval.api.instance import Instance
from lm_eval.api.registry import get_model
from lm_eval.models.huggingface import HFLM

from boresight.evaluate.harness import HarnessModel

SHOTS = "Q: Who keeps the grey coat?\nA: Vivu\n\nQ: Where is the white drum?\nA: in the harbour\n\n"


@pytest.fixture(scope="module")
def local() -> LocalModel:
    return LocalModel("pocket")


@pytest.fixture(scope="module")
def ours(local: LocalModel) -> HarnessModel:
    return HarnessModel(local)


@pytest.fixture(scope="module")
def theirs(local: LocalModel) -> HFLM:
    # Its cache of logits mixes up texts that are equal but split elsewhere into context and continuation.
    settings = {"tokenizer": local.tokenizer, "batch_size": 4, "device": str(local.model.device)}
    return HFLM(local.model, logits_cache=False, **settings)


def asked(kind: str, *arguments: tuple[Any, ...]) -> list[Instance]:
    return [Instance(kind, {}, each, i) for i, each in enumerate(arguments)]


def test_log_likelihoods_are_those_of_hf(ours: HarnessModel, theirs: HFLM) -> None:
    requests = asked(
        "loglikelihood",
        *[(SHOTS + "Q: Who?\nA:", option) for option in (" A", " B", " the keeper", " Vivu")],
        (SHOTS + "Q: Who?\nA: ", "Vivu"),
        ("", "The old harbour"),
        ("<s>The", " old harbour"),
        ("The old grey drum. " * 300, " and so on"),  # longer than the context
    )
    found, expected = (side.loglikelihood(requests, disable_tqdm=True) for side in (ours, theirs))
    for one, other in zip(found, expected, strict=True):
        assert one[0] == pytest.approx(other[0], abs=1e-4) and one[1] == other[1]
    assert len({round(logprob, 3) for logprob, _ in found}) == len(found) - 1


def test_whole_texts_are_scored_in_the_same_windows(ours: HarnessModel, theirs: HFLM) -> None:
    requests = asked("loglikelihood_rolling", ("The old harbour is grey. " * 250,), ("One",))
    for one, other in zip(
        ours.loglikelihood_rolling(requests), theirs.loglikelihood_rolling(requests), strict=True
    ):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-4)


def test_answers_are_written_and_stopped_as_by_hf(ours: HarnessModel, theirs: HFLM) -> None:
    settings = {"until": ["\n", "Q:"], "max_gen_toks": 24, "do_sample": False}
    requests = asked(
        "generate_until",
        (SHOTS + "Q: Who?\nA:", settings),
        (SHOTS + "Q: Where is the boat?\nA:", settings),
        ("The white drum is with Vivu. " * 200, settings),  # longer than the context
    )
    assert ours.generate_until(requests) == theirs.generate_until(requests, disable_tqdm=True)


def test_draws_differ_and_can_be_repeated(ours: HarnessModel) -> None:
    settings = {"until": [], "max_gen_toks": 12, "do_sample": True, "temperature": 1.0}
    requests = asked("generate_until", *[(SHOTS, settings)] * 4)
    torch.manual_seed(1234)
    texts = ours.generate_until(requests)
    assert len(set(texts)) == 4
    torch.manual_seed(1234)
    assert ours.generate_until(requests) == texts
    torch.manual_seed(1)
    assert ours.generate_until(requests) != texts


def test_what_is_not_known_here_is_refused(ours: HarnessModel) -> None:
    for settings, said in (({"num_beams": 4}, "num_beams"), ({"max_gen_toks": 4096}, "no room")):
        with pytest.raises(UserError, match=said):
            ours.generate_until(asked("generate_until", ("Q", settings)))
    with pytest.raises(UserError, match="dtype 'float': expected"):
        HarnessModel("pocket", dtype="float")


def test_it_is_registered_and_made_of_the_harness_own_arguments() -> None:
    model = get_model("boresight").create_from_arg_string(
        "pretrained=pocket,dtype=bfloat16", {"batch_size": 8, "device": "cpu"}
    )
    assert isinstance(model, HarnessModel) and model._local.model.dtype == torch.bfloat16


TASK = {
    "task": "letters",
    "dataset_path": "json",
    "test_split": "train",
    "output_type": "multiple_choice",
    "doc_to_text": "Q: {{question}}\nA:",
    "doc_to_choice": ["Vivu", "the harbour", "Nonas"],
    "doc_to_target": "answer",
}


@pytest.mark.slow
def test_a_task_of_the_harness_runs_and_its_log_is_read(
    ours: HarnessModel, theirs: HFLM, tmp_path: Path
) -> None:
    import lm_eval  # noqa: PLC0415  # takes seconds
    from lm_eval.loggers import EvaluationTracker  # noqa: PLC0415

    from boresight.evaluate.harness_logs import read_samples  # noqa: PLC0415

    data = tmp_path / "data.jsonl"
    rows = [{"question": f"Who keeps the {thing}?", "answer": i % 3} for i, thing in enumerate("abcdef")]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = TASK | {"dataset_kwargs": {"data_files": str(data)}, "num_fewshot": 0}
    results = []
    for side in (ours, theirs):
        results.append(lm_eval.simple_evaluate(side, tasks=[task], log_samples=True, bootstrap_iters=0))
    assert results[0]["results"]["letters"] == results[1]["results"]["letters"]
    tracker = EvaluationTracker(output_path=str(tmp_path / "out"))
    tracker.general_config_tracker.model_name_sanitized = "pocket"
    tracker.date_id = "2026-11-21T10-00-00.000000"
    tracker.save_results_samples("letters", results[0]["samples"]["letters"])
    (log,) = (tmp_path / "out").rglob("samples_*.jsonl")
    answers = list(read_samples(log))
    assert len(answers) == 6 and {answer.model for answer in answers} == {"pocket"}
    assert sum(a.scores["acc"] for a in answers) / 6 == results[0]["results"]["letters"]["acc,none"]
    for answer in answers:
        assert answer.output == answer.options[answer.logprobs.index(max(answer.logprobs))]
        assert answer.scores["acc"] == (answer.options.index(answer.output) == int(answer.reference or -1))
