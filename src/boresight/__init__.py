"""Align pretrained language models to follow instructions over long contexts, and measure what changed.

    import boresight

    tuned = boresight.train_model("recipe.yaml", "runs/tuned")
    boresight.generate(boresight.load_model(tuned.model), ["Why is the sky blue?"])

What a notebook needs is here, and described in docs/library.md; nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any
from warnings import filterwarnings

if TYPE_CHECKING:
    from boresight.errors import UserError
    from boresight.library.data import describe, read_conversations, show_targets
    from boresight.library.measures import evaluate_model, find_needles, judge_pairs, win_rates, write_report
    from boresight.library.models import align_model, generate, load_model
    from boresight.library.training import plan_training, train_model
    from boresight.records import Conversation, Message, write_records

_PLACES = {
    "errors": ("UserError",),
    "records": ("Conversation", "Message", "write_records"),
    "library.data": ("read_conversations", "show_targets", "describe"),
    "library.training": ("plan_training", "train_model"),
    "library.models": ("load_model", "align_model", "generate"),
    "library.measures": ("evaluate_model", "judge_pairs", "win_rates", "find_needles", "write_report"),
}
__all__ = [
    "Conversation",
    "Message",
    "UserError",
    "align_model",
    "describe",
    "evaluate_model",
    "find_needles",
    "generate",
    "judge_pairs",
    "load_model",
    "plan_training",
    "read_conversations",
    "show_targets",
    "train_model",
    "win_rates",
    "write_records",
    "write_report",
]


if not TYPE_CHECKING:  # A type checker that saw this would take any name for one of ours.

    def __getattr__(name: str) -> Any:
        for place, names in _PLACES.items():
            if name in names:
                # Of transformers' own bars, which notebooks are not shown.
                filterwarnings("ignore", "IProgress not found")
                return getattr(import_module(f"boresight.{place}"), name)
        raise AttributeError(f"module 'boresight' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
