"""What two texts have in common, without a judge: token F1 and ROUGE-L, in English and Chinese.

Numbers are to be compared with published ones, so they are those of LongBench's code (Bai et al. 2023) and of
what it depends on: the words of jieba, and ROUGE-L as the package `rouge` 1.0.1 has it.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

from boresight.extras import require

ARTICLES = re.compile(r"\b(a|an|the)\b")
HYPHEN = re.compile("(-)")
PUNCTUATION = set(string.punctuation)
CHINESE_PUNCTUATION = PUNCTUATION | set(
    "！？｡。＂＃＄％＆＇（）＊＋，－／：；＜＝＞＠［＼］＾＿｀｛｜｝～｟｠｢｣､、〃》「」『』【】〔〕〖〗〘〙〚〛〜〝〞〟〰〾〿–—‘’‛“”„‟…‧﹏"
)
"""As LongBench has it; 《 and · are missing there, and so here."""


def english_words(text: str) -> list[str]:
    """Words in lower case, without punctuation and articles (as in SQuAD)."""
    plain = "".join(c for c in text.lower() if c not in PUNCTUATION)
    return ARTICLES.sub(" ", plain).split()


def chinese_words(text: str) -> list[str]:
    """Words in lower case as jieba parts them, without punctuation."""
    kept = ("".join(c for c in word.lower() if c not in CHINESE_PUNCTUATION) for word in _parted(text))
    return [word for word in ("".join(word.split()) for word in kept) if word]


def token_f1(prediction: Sequence[str], reference: Sequence[str]) -> float:
    """The harmonic mean of the shares of each that are in the other; a word counts as often as it stands."""
    common = sum((Counter(prediction) & Counter(reference)).values())
    return 2 * common / (len(prediction) + len(reference)) if common else 0.0


def rouge_l(prediction: str, reference: str) -> float:
    """The F of summary-level ROUGE-L (Lin 2004), as `rouge` 1.0.1 computes it.

    Words are parted by spaces alone, with case and punctuation; sentences by full stops. Of every sentence
    of the reference, the words of its longest common subsequences with those of the prediction are collected.
    That package counts each word *once*, in both texts, however often it stands: so do we, as the published
    tables do. Where it runs out of stack, on about a thousand words without a full stop, LongBench scores 0;
    we go on.
    """
    predicted, referred = _sentences(prediction), _sentences(reference)
    found = {word for r in referred for p in predicted for word in _common(r, p)}
    counts = len({word for p in predicted for word in p}) + len({word for r in referred for word in r})
    return 2 * len(found) / counts if found else 0.0


def rouge_l_chinese(prediction: str, reference: str) -> float:
    """ROUGE-L over the words as jieba parts them."""
    return rouge_l(" ".join(_parted(prediction)), " ".join(_parted(reference)))


def _sentences(text: str) -> list[list[str]]:
    # White space between two full stops is a sentence of one empty word to `rouge`, which counts it.
    return [piece.split() or [""] for piece in text.split(".") if piece]


def _common(a: Sequence[str], b: Sequence[str]) -> list[str]:
    """The longest common subsequence; of several, the one that `rouge` finds going back from the ends."""
    longest = [[0] * (len(b) + 1)]
    for word in a:
        above, row = longest[-1], [0]
        for j, other in enumerate(b):
            row.append(above[j] + 1 if word == other else max(above[j + 1], row[j]))
        longest.append(row)
    i, j, found = len(a), len(b), []
    while i and j:
        if a[i - 1] == b[j - 1]:
            i, j = i - 1, j - 1
            found.append(a[i])
        elif longest[i - 1][j] > longest[i][j - 1]:
            i -= 1
        else:
            j -= 1
    return found


def _parted(text: str) -> list[str]:
    rjieba = require("rjieba", "chinese")
    # jieba in Rust, and kept up, which jieba is not. It alone takes a hyphen for a part of a word.
    return [word for piece in HYPHEN.split(text) for word in rjieba.cut(piece)]
