"""Several processes that share a batch: who is who, and embeddings gathered with their gradients.

Everything here works, and does nothing, in a single process as well.
"""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """The number of processes that train together."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Which of them this one is, from 0."""
    return dist.get_rank() if world_size() > 1 else 0


def gather_rows(z: Tensor) -> tuple[Tensor, slice]:
    """The rows of all processes in the order of their ranks, and which of them are this one's.

    Gradients flow back to the process that encoded a row, from every process that used it:
    summed.  If each then takes the mean loss of its own rows, and parameter gradients are
    averaged over processes (as DistributedDataParallel does), they are those of one process
    with the whole batch.

    Args:
        z: (n, ...), of the same shape in every process.
    """
    if world_size() == 1:
        return z, slice(None)
    n = len(z)
    return _GatherRows.apply(z), slice(n * rank(), n * (rank() + 1))


# torch renamed them.
_all_gather = getattr(dist, "all_gather_single", None) or dist.all_gather_into_tensor
_reduce_scatter = getattr(dist, "reduce_scatter_single", None) or dist.reduce_scatter_tensor


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, z: Tensor) -> Tensor:
        gathered = z.new_empty(world_size() * z.size(0), *z.shape[1:])
        _all_gather(gathered, z.contiguous())
        return gathered

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        own = gradient.new_empty(gradient.size(0) // world_size(), *gradient.shape[1:])
        _reduce_scatter(own, gradient.contiguous(), op=dist.ReduceOp.SUM)
        return own


def sum_over_processes(values: Tensor) -> Tensor:
    """The elementwise sum; no gradient flows through it."""
    values = values.detach().clone()
    if world_size() > 1:
        dist.all_reduce(values)
    return values


def from_main_process(value: Any) -> Any:
    """What process 0 passes; the others wait for it, and what they pass is ignored."""
    box = [value]
    if world_size() > 1:
        dist.broadcast_object_list(box, src=0)
    return box[0]


def wait_for_all() -> None:
    """Returns once every process has called it."""
    if world_size() > 1:
        dist.barrier()


def leave() -> None:
    """Ends the part in the group, so that torch has nothing to warn of at exit."""
    if world_size() > 1:
        dist.destroy_process_group()
