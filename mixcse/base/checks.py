"""Checks of what the functions of an encoder are called with."""

from collections.abc import Iterable, Mapping
from numbers import Integral
from typing import Any

import numpy as np
import torch

from mixcse.base.errors import UserError, first_line


def check_count(name: str, value: Any, most: int | None = None) -> None:
    """Raises TypeError unless it is a whole number, ValueError unless it is from 1 to `most`."""
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {type(value).__name__} {value!r:.40}")
    if not 1 <= value <= (most or value):
        raise ValueError(f"{name} must be {f'from 1 to {most}' if most else 'at least 1'}, not {value}")


def check_listed(sentences: Any) -> None:
    """Raises TypeError unless they come one after another, in an order."""
    if isinstance(sentences, bytes | Mapping | set | frozenset) or not isinstance(sentences, Iterable):
        raise TypeError(f"sentences are given as a list of strings, not as {type(sentences).__name__}")


def check_finite(what: str, embeddings: np.ndarray) -> None:
    """Raises ValueError naming the first row of embeddings, (n, d), with NaN or infinity."""
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        raise ValueError(f"{what} {int(finite.argmin())} holds NaN or infinity")


def device_of(name: str | torch.device) -> torch.device:
    """The device of that name; raises UserError if it is none, or one that computes nothing."""
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError) as error:
        raise UserError(f"device {name!r} cannot be used: {first_line(error)}") from error
    if device.type == "meta":
        raise UserError("device 'meta' cannot be used: it computes no numbers; take cpu or cuda")
    return device
