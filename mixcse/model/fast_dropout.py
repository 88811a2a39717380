"""Dropout with cheaper random numbers, for a CPU.

torch draws a double for each element there, which takes a tenth of a training step.  Sixteen
bits are enough: probabilities are met to 1/65536, and 0.1 becomes 0.100006.
"""

from typing import Any

import torch
from torch import Tensor, nn

STEPS = 1 << 16  # of the probability


def fast_dropout(x: Tensor, p: float) -> Tensor:
    """`torch.nn.functional.dropout` in training, its random numbers from torch's generator too."""
    dropped = round(p * STEPS)
    return _FastDropout.apply(x, dropped) if 0 < dropped < STEPS else nn.functional.dropout(x, p)


class _FastDropout(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        words = torch.empty(-(-x.numel() // 4), dtype=torch.int64)
        bits = words.random_(-(2**63), None).view(torch.int16)[: x.numel()].view(x.shape)
        kept = bits >= dropped - STEPS // 2
        ctx.save_for_backward(kept)
        ctx.scale = STEPS / (STEPS - dropped)
        return torch.where(kept, x, 0).mul_(ctx.scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (kept,) = ctx.saved_tensors
        return torch.where(kept, gradient, 0).mul_(ctx.scale), None


class FastDropout(nn.Dropout):
    """In place of `nn.Dropout`."""

    def forward(self, x: Tensor) -> Tensor:
        return fast_dropout(x, self.p) if self.training and x.device.type == "cpu" else super().forward(x)


def use_fast_dropout(model: nn.Module) -> None:
    """Replaces every `nn.Dropout` in it."""
    for module in model.modules():
        for name, child in module.named_children():
            if type(child) is nn.Dropout:
                setattr(module, name, FastDropout(child.p))
