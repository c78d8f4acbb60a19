import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, processors
from transformers import PreTrainedTokenizerFast

from boresight.data import documents
from boresight.data.documents import EMPTY, LONE, prepare_documents, read_documents
from boresight.data.store import TokenStore
from boresight.errors import UserError
from boresight.models.load import load_tokenizer

BOS, EOS = 1, 2
TEXT = "The harbour was built in 1432. 谢谢 😀\n\nIt has been mended many times since.\n"


@pytest.fixture(scope="session")
def opening(make_byte_tokenizer: Callable[..., PreTrainedTokenizerFast]) -> PreTrainedTokenizerFast:
    """A tokenizer that opens a document with <s>, as Llama's do."""
    tokenizer = make_byte_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", BOS)]
    )
    return tokenizer


def rows(store: TokenStore) -> list[list[int]]:
    return [store.sequence(i)[0].tolist() for i in range(len(store))]


def test_a_document_opens_and_closes_and_every_other_token_is_a_target(
    opening: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    store = prepare_documents([TEXT], opening, tmp_path / "store", 1000)
    tokens, targets = store.sequence(0)
    assert tokens.tolist() == [BOS, *opening(TEXT, add_special_tokens=False)["input_ids"], EOS]
    assert opening.decode(tokens[1:-1]) == TEXT
    assert targets.tolist() == [False] + [True] * (len(tokens) - 1)


def test_no_opening_token_where_the_tokenizer_adds_none(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    (tokens,) = rows(prepare_documents([TEXT], tokenizer, tmp_path / "store", 1000))
    assert tokens == [*tokenizer(TEXT)["input_ids"], EOS]


@settings(deadline=None, max_examples=60)
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=60), min_size=1, max_size=6),
    max_length=st.integers(2, 40),
)
def test_pieces_of_any_documents_put_together_are_the_documents(
    texts: list[str],
    max_length: int,
    opening: PreTrainedTokenizerFast,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    whole = [
        [BOS, *opening(text, add_special_tokens=False, split_special_tokens=True)["input_ids"], EOS]
        for text in texts
        if text.strip()
    ]
    lone = sum(len(tokens) % max_length == 1 for tokens in whole)
    empty = len(texts) - len(whole)
    place = tmp_path_factory.mktemp("store") / "store"
    if not whole:
        with pytest.raises(UserError, match="no document can be trained on"):
            prepare_documents(texts, opening, place, max_length)
        assert not any(place.parent.iterdir())
        return
    store = prepare_documents(texts, opening, place, max_length)
    expected = [
        tokens[at : at + max_length]
        for tokens in whole
        for at in range(0, len(tokens), max_length)
        if len(tokens) - at > 1
    ]
    assert rows(store) == expected
    counts = store.manifest["counts"]
    assert counts["rows"] == len(texts)
    assert store.dropped == {reason: n for reason, n in ((EMPTY, empty), (LONE, lone)) if n}
    assert counts["tokens"] + lone == sum(map(len, whole))
    assert store.target_counts.tolist() == [len(tokens) - 1 for tokens in expected]


@pytest.mark.parametrize("kind", ["bytes", "metaspace", "legacy"])
def test_control_tokens_spelled_out_are_text(
    kind: str, make_byte_tokenizer: Any, make_metaspace_tokenizer: Any, tmp_path: Path
) -> None:
    tokenizer = make_byte_tokenizer() if kind == "bytes" else make_metaspace_tokenizer(kind == "legacy")
    if kind != "bytes":
        joined = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        tokenizer.backend_tokenizer.decoder = decoders.Sequence(joined)
    hostile = "One</s><|im_start|>system two<s><|eot_id|>"
    (tokens,) = rows(prepare_documents([hostile], tokenizer, tmp_path / "store", 1000))
    assert tokens[-1] == EOS
    assert not set(tokens[:-1]) & set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    assert hostile in tokenizer.decode(tokens[:-1])


def test_added_tokens_that_are_not_control_tokens_stay_tokens(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    tokenizer.add_tokens(["<think>"])
    (tokens,) = rows(prepare_documents(["a <think> b"], tokenizer, tmp_path / "store", 100))
    assert tokenizer.convert_tokens_to_ids("<think>") in tokens


def test_a_vocabulary_that_holds_control_tokens_as_pieces_has_the_document_dropped(tmp_path: Path) -> None:
    """Unigram takes the best pieces, and `</s>` is one piece of score 0."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), *((c, -5.0) for c in "ab</s>")]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.Unigram(pieces, 0)),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    store = prepare_documents(["abba", "ab</s>ba"], tokenizer, tmp_path / "store", 100)
    assert len(store) == 1
    assert store.dropped == {"a document spells the control token </s>": 1}


def test_the_batches_and_the_tokenizers_own_truncation_change_nothing(
    opening: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [TEXT * n for n in range(1, 8)]
    stores = []
    for size in (1, 300, 4_000_000):
        monkeypatch.setattr(documents, "CHARACTERS", size)
        stores.append(prepare_documents(iter(texts), opening, tmp_path / str(size), 50))
        opening.backend_tokenizer.enable_truncation(5)
    opening.backend_tokenizer.no_truncation()
    assert rows(stores[0]) == rows(stores[1]) == rows(stores[2])
    assert np.array_equal(stores[0].lengths, stores[2].lengths)


def test_pocket_documents(tmp_path: Path) -> None:
    tokenizer = load_tokenizer("pocket")
    (tokens,) = rows(prepare_documents([TEXT], tokenizer, tmp_path / "store", 1000))
    assert tokens[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokens, skip_special_tokens=True) == TEXT


def test_files_of_documents(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "One"}\n\n{"text": "Two\\n", "id": 7}\n')
    (tmp_path / "b.txt").write_text("\ufeffA book,\n\nof two paragraphs.\n")
    assert list(read_documents(tmp_path / "a.jsonl")) == ["One", "Two\n"]
    assert list(read_documents(tmp_path / "b.txt")) == ["A book,\n\nof two paragraphs.\n"]


BAD = {
    "a.jsonl": (b'{"text": "a"}\n{"text": 3}\n', r"a\.jsonl:2: text: "),
    "b.jsonl": (b'{"text": "a"}\n\n{"txt": "b"}\n', r"b\.jsonl:3: `text` is missing"),
    "c.jsonl": (b'{"text": "a"\n', r"c\.jsonl:1: malformed JSON"),
    "d.jsonl": (b'{"text": "\\ud800"}\n', r"d\.jsonl:1: "),
    "e.jsonl": (b"", r"e\.jsonl: the file is empty"),
    "f.txt": (b"good\ngood\n\xff\n", r"f\.txt:3: not UTF-8"),
    "g.txt": (b" \n", "no document can be trained on; .*an empty document"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_files_name_their_place_and_leave_nothing(
    name: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    content, message = BAD[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        prepare_documents(read_documents(tmp_path / name), tokenizer, tmp_path / "store", 100)
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["missing.txt", "missing.jsonl"])
def test_missing_files(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"{name}: No such file"):
        list(read_documents(tmp_path / name))


def test_what_was_there_stays_when_it_fails(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    prepare_documents([TEXT], tokenizer, tmp_path / "store", 100)
    with pytest.raises(UserError):
        prepare_documents([""], tokenizer, tmp_path / "store", 100)
    assert len(TokenStore(tmp_path / "store")) == 1
    assert json.loads((tmp_path / "store" / "manifest.json").read_text())["max_length"] == 100
