"""The processes that train together: one, or as many as torchrun started.

Every run has a process group, also of a single process: the step then goes through the same code and the
same arithmetic everywhere.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from boresight.errors import Interrupted, UserError
from boresight.train.settings import TrainSettings

Result = TypeVar("Result")
PATIENCE = timedelta(days=1)
"""How long ranks wait for what one of them does alone, such as tokenising."""


def launched() -> tuple[int, int]:
    """This process's rank and the number of ranks that torchrun started; 0 and 1 without it."""
    return int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


@dataclass(frozen=True)
class Ranks:
    """This process among the `size` of the run.

    `sequence_parallel` neighbours share every micro-batch: together they are one of the `data_size` that a
    step is planned for, and `partners` is their group (None where each works alone).
    """

    rank: int
    size: int
    device: torch.device
    sequence_parallel: int
    shards: DeviceMesh
    """Over which weights are sharded; with replicas, ("replica", "shard")."""
    partners: ProcessGroup | None
    control: ProcessGroup
    """On CPUs, for what ranks tell each other beside the gradients."""

    @property
    def first(self) -> bool:
        """Whether this is the rank that writes."""
        return self.rank == 0

    @property
    def data_rank(self) -> int:
        """Which of the planned ranks this is."""
        return self.rank // self.sequence_parallel

    @property
    def data_size(self) -> int:
        """For how many ranks a step is planned."""
        return self.size // self.sequence_parallel

    @property
    def part(self) -> int:
        """Which part of its group's micro-batches this rank holds."""
        return self.rank % self.sequence_parallel

    def once(self, act: Callable[[], Result]) -> Result:
        """Let the first rank act and every rank have the result, or raise the same error."""
        outcome: list[Result | Exception | None] = [None]
        if self.first:
            try:
                outcome = [act()]
            except (UserError, OSError) as error:  # what can go wrong there; no other rank must wait for it
                outcome = [error]
        distributed.broadcast_object_list(outcome, src=0, group=self.control)
        if isinstance(outcome[0], Exception):
            raise outcome[0]
        return outcome[0]  # type: ignore[return-value]

    def alone(self, act: Callable[[], Result]) -> Result | None:
        """Let the first rank act and keep the result, which need not travel; every rank raises its error."""
        held: list[Result] = []
        self.once(lambda: held.append(act()))
        return held[0] if held else None

    def total(self, value: float) -> float:
        """The sum of a number over all ranks."""
        summed = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(summed, group=self.control)
        return summed.item()

    def largest(self, value: float) -> float:
        """The largest of a number over all ranks."""
        largest = torch.tensor(value, dtype=torch.float64)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX, group=self.control)
        return largest.item()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set on any rank."""
        return self.largest(float(flag)) > 0

    def joined_parts(self, mine: Tensor) -> Tensor:
        """The rows of all partners, in order; each may hold another number of them."""
        if not self.partners:
            return mine
        parts: list[Tensor] = [mine] * self.sequence_parallel
        distributed.all_gather_object(parts, mine.cpu(), group=self.partners)
        return torch.cat(parts)


def data_size(size: int, settings: TrainSettings) -> int:
    """For how many ranks a step is planned when there are `size`: those that share micro-batches are one.

    Raises:
        UserError: the ranks cannot be divided as the settings want.
    """
    for name in ("sequence_parallel", "replicas"):
        if size % (parts := getattr(settings, name)):
            raise UserError(f"train.{name}: {parts} does not divide {size} ranks")
    return size // settings.sequence_parallel


@contextmanager
def joined(settings: TrainSettings) -> Iterator[Ranks]:
    """Join the ranks that torchrun started, or be the only one.

    Raises:
        UserError: the ranks cannot be divided as the settings want.
    """
    rank, size = launched()
    data_size(size, settings)
    device = _device()
    owner = not distributed.is_initialized()
    if owner:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        store = None if "RANK" in os.environ else distributed.HashStore()  # type: ignore[attr-defined]
        distributed.init_process_group(backend, store=store, rank=rank, world_size=size)
    try:
        yield _ranks(rank, size, device, settings)
    except Exception as error:
        # By these every rank leaves. After any other the group is not ended, for that would wait for ranks
        # that are busy, and hide the error meanwhile.
        if owner and (size == 1 or isinstance(error, UserError | OSError | Interrupted)):
            distributed.destroy_process_group()
        raise
    if owner:
        distributed.destroy_process_group()


def _ranks(rank: int, size: int, device: torch.device, settings: TrainSettings) -> Ranks:
    copies, shared = settings.replicas, settings.sequence_parallel
    if copies == 1:
        shards = init_device_mesh(device.type, (size,), mesh_dim_names=("shard",))
    else:
        names = ("replica", "shard")
        shards = init_device_mesh(device.type, (copies, size // copies), mesh_dim_names=names)
    partners = None
    if shared > 1:
        names = ("data", "sequence")
        groups = init_device_mesh(device.type, (size // shared, shared), mesh_dim_names=names)
        partners = groups.get_group("sequence")
    control = distributed.new_group(backend="gloo", timeout=PATIENCE)
    return Ranks(rank, size, device, shared, shards, partners, control)


def _device() -> torch.device:
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    torch.cuda.set_device(device)
    return device
