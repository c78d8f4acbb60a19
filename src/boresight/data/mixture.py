"""A mixture file: which conversations, and how many of each source.

seed: 42
members:
  flan_v2: {source: flan_v2, files: [flan_v2_resampled_100k.jsonl], at_most: 100000}
  sharegpt: {source: sharegpt, files: [part1.json, part2.json], split: 2048}
"""

from fractions import Fraction
from math import floor
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from boresight.data.hub import below
from boresight.data.sources import SOURCES
from boresight.errors import UserError
from boresight.settings_file import load_settings

Positive = Annotated[int, Field(gt=0)]


class Member(BaseModel):
    """Files of one format, and how much of them. Without `count`, `at_most` or `share`: all."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: list[str] = Field(min_length=1)
    """Files, saved datasets, or `hub:owner/name#config:split`."""
    source: str = "messages"
    """Their format: `messages` for our own records, or a source's name."""
    split: Positive | None = None
    """Cut conversations into chunks of at most so many tokens, as the mixture's `model` counts them."""
    count: Annotated[int, Field(ge=0)] | None = None
    """Exactly so many; it is an error if the files have fewer. With 0 they are not read."""
    at_most: Annotated[int, Field(ge=0)] | None = None
    """So many, or all if the files have fewer. With 0 they are not read."""
    share: Annotated[float, Field(gt=0, allow_inf_nan=False)] | None = None
    """So large a part of the mixture, relative to the other members' shares."""
    repeat: bool = False
    """Take rows again where `count` or `share` asks for more than there are, all equally often, give or take
    one."""

    @property
    def is_left_out(self) -> bool:
        """It gives nothing, and its files need not be there."""
        return 0 in (self.count, self.at_most)

    @field_validator("source")
    @classmethod
    def _is_known(cls, name: str) -> str:
        if name not in SOURCES:
            raise ValueError(f"unknown source {name!r}; valid are {', '.join(sorted(SOURCES))}")
        return name

    @model_validator(mode="after")
    def _asks_once(self) -> Self:
        if sum(wish is not None for wish in (self.count, self.at_most, self.share)) > 1:
            raise ValueError("give one of count, at_most and share")
        if self.repeat and self.count is None and self.share is None:
            raise ValueError("repeat needs a count or a share to reach")
        return self


class Mixture(BaseModel):
    """Which conversations to draw, and how many."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = 42
    reading: Literal["fixed", "tulu1"] = "fixed"
    """How published formats are read and conversations split; `tulu1` repeats the published defects."""
    model: str | None = None
    """Whose tokenizer counts where a member is split: a directory, a hub id, or `pocket`."""
    total: Positive | None = None
    """Conversations in all, where members have shares; left out, the most that takes no row twice."""
    members: dict[str, Member] = Field(min_length=1)

    @field_validator("members")
    @classmethod
    def _agree(cls, members: dict[str, Member], before: ValidationInfo) -> dict[str, Member]:
        with_shares = [name for name, member in members.items() if member.share is not None]
        if with_shares and len(with_shares) < len(members):
            raise ValueError(f"{with_shares[0]} has a share, so every member needs one")
        if before.data.get("total") and not with_shares:
            raise ValueError("the mixture has a total, so its members need shares")
        needing = [name for name, member in members.items() if member.split]
        if needing and not before.data.get("model"):
            raise ValueError(f"{needing[0]} is split, so the mixture needs a model, whose tokenizer counts")
        return members


def shares_out(mixture: Mixture, available: dict[str, int]) -> dict[str, int]:
    """How many conversations each member gives, exactly.

    Of shares the whole part is taken, and what is missing from the total goes to the largest remainders.

    Raises:
        UserError: names a member that would have to give more than it has.
    """
    members = mixture.members
    if all(member.share is not None for member in members.values()):
        wanted = _by_share(mixture, available)
    else:
        wanted = {name: _by_count(member, available[name]) for name, member in members.items()}
    for name, n in wanted.items():
        if n > available[name] and not (members[name].repeat and available[name]):
            raise UserError(
                f"members.{name}: {n:,} conversations wanted, its files give {available[name]:,};"
                " ask for fewer, or set its repeat: true to take some again"
            )
    if not sum(wanted.values()):
        raise UserError("the mixture is empty: no member gives a conversation")
    return wanted


def _by_count(member: Member, available: int) -> int:
    if member.count is not None:
        return member.count
    return available if member.at_most is None else min(member.at_most, available)


def _by_share(mixture: Mixture, available: dict[str, int]) -> dict[str, int]:
    # As the decimals that were written: 0.1 is a tenth.
    shares = {name: Fraction(str(member.share)) for name, member in mixture.members.items()}
    total, whole = mixture.total, sum(shares.values())
    if total is None:
        once = [name for name, member in mixture.members.items() if not member.repeat]
        if not once:
            raise UserError("every member repeats, so nothing says how large the mixture is; give a total")
        total = min(floor(available[name] * whole / shares[name]) for name in once)
    exact = {name: total * share / whole for name, share in shares.items()}
    counts = {name: floor(n) for name, n in exact.items()}
    by_remainder = sorted(exact, key=lambda name: counts[name] - exact[name])
    for name in by_remainder[: total - sum(counts.values())]:
        counts[name] += 1
    return counts


def load_mixture(path: Path, overrides: list[str] | None = None, data: Path | None = None) -> Mixture:
    """Read a mixture file and apply `key=value` overrides; relative files start at `data` or beside it.

    Raises:
        UserError: names file and line, or the override, and what would be valid.
    """
    directory = data or path.parent

    def start_there(values: dict[str, Any]) -> None:
        members = values.get("members")
        for member in members.values() if isinstance(members, dict) else []:
            files = member.get("files") if isinstance(member, dict) else None
            if isinstance(files, list):
                member["files"] = [below(directory, file) for file in files]

    return load_settings(path, Mixture, overrides, start_there)
