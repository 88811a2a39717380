"""`contrastive_loss`, and the losses for sentence-transformers."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from bad_input.case import Case, Place
from mixcse.objective import contrastive_logits, contrastive_loss

NAN, INFINITY = float("nan"), float("inf")


def of_shape(*shape: int, dtype: torch.dtype = torch.float32) -> Callable[[Place], Any]:
    return lambda place: contrastive_loss(torch.ones(shape, dtype=dtype))


def of_options(**objective: Any) -> Callable[[Place], Any]:
    return lambda place: contrastive_loss(torch.ones(4, 2, 3), **objective)


def of_loss(cached: bool = False, **options: Any) -> Callable[[Place], Any]:
    """Makes one of the losses for sentence-transformers."""
    return lambda place: _loss(cached, **options)


def of_columns(*columns: torch.Tensor) -> Callable[[Place], Any]:
    return lambda place: _loss().compute_loss_from_embeddings(columns)


def of_features(count: int, cached: bool = False) -> Callable[[Place], Any]:
    """The loss of so many text columns, which are no rows of tokens."""
    return lambda place: _loss(cached)([{"pixel_values": torch.ones(2, 3)}] * count)


def _loss(cached: bool = False, **options: Any) -> Any:
    from mixcse.sentence_transformers import CachedMixedNegativesLoss, MixedNegativesLoss

    return (CachedMixedNegativesLoss if cached else MixedNegativesLoss)(torch.nn.Identity(), **options)


SHAPE = "z must be (batch, 2 or more sentences, dim), not "
OBJECTIVE = [
    *(
        Case(f"z of {what}", of_shape(*shape), (f"{SHAPE}{shape}",), None, ValueError)
        for what, shape in (
            ("tokens", (4, 2, 5, 6)),
            ("one sentence", (4, 1, 6)),
            ("no rows", (0, 2, 6)),
        )
    ),
    Case("z of integers", of_shape(4, 2, 6, dtype=torch.int64), ("must hold floating-point numbers, not torch.int64",),
         None, ValueError),
    Case("z of complex numbers", of_shape(4, 2, 6, dtype=torch.complex64),
         ("must hold floating-point numbers, not torch.complex64",), None, ValueError),
    Case("z that is numpy's", lambda place: contrastive_loss(np.ones((4, 2, 6))),
         ("z must be a tensor, not ndarray",), None, TypeError),
    *(
        Case(f"{name} {value}", of_options(**{name: value}), (says, str(value)), None, ValueError)
        for name, value, says in (
            ("temperature", 0.0, "temperature must be above 0 and finite, not"),
            ("temperature", NAN, "temperature must be above 0 and finite, not"),
            ("mixing_lambda", 1.1, "mixing_lambda must lie in 0 to 1, not"),
            ("hard_negative_weight", -INFINITY, "hard_negative_weight must be finite, not"),
            ("variant", "mixcse", "variant must be one of released, adaptive, paper, simcse, not"),
            ("mixed_views", "third", "mixed_views must be one of"),
            ("mix_with", "nearest", "mix_with must be one of next, hardest, not"),
            ("negative_weight", 0.0, "negative_weight must be above 0 and finite, not"),
            ("negative_weight", INFINITY, "negative_weight must be above 0 and finite, not"),
            ("detached_negatives", -1.0, "detached_negatives must be 0 or more and finite, not"),
            ("detached_negatives", NAN, "detached_negatives must be 0 or more and finite, not"),
        )
    ),
    *(
        Case(f"rows {what}", of_options(rows=rows), ("rows must be some of the 4 in a row, counted",), None, ValueError)
        for what, rows in (
            ("beyond the batch", slice(4, 8)),
            ("counted from the end", slice(-2, None)),
            ("every other one", slice(0, 4, 2)),
        )
    ),
    Case("an unknown option", of_options(tau=0.05), ("unexpected keyword argument 'tau'",), None, TypeError),
    Case("a wrong shape for the logits alone", lambda place: contrastive_logits(torch.ones(4, 6)), (f"{SHAPE}(4, 6)",),
         None, ValueError),
]  # fmt: skip

SENTENCE_TRANSFORMERS = [
    *(
        Case(f"their loss: {name} {value!r}", of_loss(cached, **{name: value}), (says, str(value)), None, ValueError)
        for name, value, says, cached in (
            ("scale", 0.0, "scale must be above 0 and finite, not", False),
            ("scale", NAN, "scale must be above 0 and finite, not", True),
            ("mixing_lambda", 2.0, "mixing_lambda must lie in 0 to 1, not", True),
            ("variant", "MixCSE", "variant must be one of released,", False),
            ("mix_with", "nearest", "mix_with must be one of next, hardest, not", True),
            ("detached_negatives", -0.5, "detached_negatives must be 0 or more and finite, not", True),
            ("mini_batch_size", 1.5, "mini_batch_size must be a whole number of at least 1, not", True),
            ("mini_batch_num_tokens", 0, "mini_batch_num_tokens must be a whole number of at least 1, not", True),
        )
    ),
    Case("their cached loss: inputs without a mask", of_features(2, cached=True),
         ("CachedMixedNegativesLoss needs a model whose inputs are padded rows", "use MixedNegativesLoss"),
         None, ValueError),
    Case("their loss: one embedded column", of_columns(torch.ones(2, 3)), ("2 or more embedded columns", "[(2, 3)]"),
         None, ValueError),
    Case("their loss: columns of different dimensions", of_columns(torch.ones(2, 3), torch.ones(2, 4)),
         ("2 or more embedded columns", "not [(2, 3), (2, 4)]"), None, ValueError),
    Case("their loss: columns of no rows", of_columns(torch.ones(0, 3), torch.ones(0, 3)), (f"{SHAPE}(0, 2, 3)",),
         None, ValueError),
]  # fmt: skip

CASES = [*OBJECTIVE, *SENTENCE_TRANSFORMERS]
