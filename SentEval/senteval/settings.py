"""How the classifiers are fitted, and what of it can be set."""

from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import torch

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adadelta": torch.optim.Adadelta,
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adamax": torch.optim.Adamax,
    "asgd": torch.optim.ASGD,
    "rmsprop": torch.optim.RMSprop,
    "rprop": torch.optim.Rprop,
    "sgd": torch.optim.SGD,
}


def whole_number(name: str, value: Any, lowest: int) -> None:
    """Raises ValueError unless the value is a whole number, at least the lowest."""
    if not isinstance(value, Integral) or isinstance(value, bool) or value < lowest:
        raise ValueError(f"{name} must be a whole number of at least {lowest}, not {value!r}")


@dataclass(frozen=True)
class Settings:
    """How to fit; the names and defaults are SentEval's `params['classifier']`.

    Attributes:
        nhid: hidden units; 0 is logistic regression.
        optim: one of `OPTIMIZERS`, with options after commas (`adam,lr=0.01`).
        max_epoch: no new round starts after more passes than this.
    """

    nhid: int = 0
    optim: str = "adam"
    batch_size: int = 64
    tenacity: int = 5
    epoch_size: int = 4
    max_epoch: int = 200
    dropout: float = 0.0
    seed: int = 1111
    device: str | torch.device = "cpu"

    def __post_init__(self) -> None:
        """Raises ValueError if a setting cannot be used."""
        least = {"nhid": 0, "batch_size": 1, "tenacity": 0, "epoch_size": 1, "max_epoch": 0, "seed": 0}
        for name, lowest in least.items():
            whole_number(name, getattr(self, name), lowest)
        if self.seed >= 2**32:
            raise ValueError(f"seed must be below 2**32, not {self.seed}")
        if not isinstance(self.dropout, Real) or not 0 <= self.dropout <= 1:
            raise ValueError(f"dropout must be a number from 0 to 1, not {self.dropout!r}")
        try:
            first = torch.zeros(1, device=self.device)
        except (RuntimeError, AssertionError, TypeError) as error:  # an AssertionError: torch without CUDA
            reason = str(error).partition("\n")[0]
            raise ValueError(f"device {self.device!r} cannot be used ({reason})") from error
        if str(self.optim) not in OPTIMIZERS:  # making one takes a second; its options are what may be wrong
            optimizer_of(self.optim, [first])


def optimizer_of(name: str, parameters: Any, **options: Any) -> torch.optim.Optimizer:
    """What `Settings.optim` names; raises ValueError if it is none of `OPTIMIZERS`, or its options are wrong."""
    kind, *given = str(name).split(",")
    if kind not in OPTIMIZERS:
        raise ValueError(f"optim {kind!r} is not one of {', '.join(OPTIMIZERS)}")
    try:
        options |= {key: float(value) for key, value in (option.split("=") for option in given)}
        return OPTIMIZERS[kind](parameters, **options)
    except (ValueError, TypeError) as error:
        raise ValueError(f"optim {name!r}: {error}; options are written as in adam,lr=0.01") from error
