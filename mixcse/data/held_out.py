"""Sentences kept from training, to choose a step by their loss where there are no scored pairs."""

import numpy as np
from datasets import Dataset

from mixcse.base.errors import UserError

SHARE, MOST = 0.01, 1000  # held out when nothing is said: of the corpus, and sentences


def hold_out(data: Dataset, asked: float | None, batch_size: int, seed: int) -> tuple[Dataset, Dataset]:
    """What is left for training, in its order, and what is held out, chosen by the seed alone.

    Args:
        asked: a share of the rows (below 1) or a number of them; None: one in a hundred, at most
            1,000.  Rounded down to whole batches, at least one: a loss depends on how many
            negatives there are.  No more than a fifth of a small corpus, unless it is asked for.

    Raises:
        UserError: too few rows are left on one of the sides.
    """
    wanted = min(SHARE * len(data), MOST) if asked is None else asked * len(data) if asked < 1 else asked
    size = max(1, int(wanted // batch_size)) * batch_size
    limit = len(data) // 5 if asked is None else len(data) - 2
    if size > limit:
        size = limit // batch_size * batch_size or limit
    if size < 2 or wanted > len(data) - 2:
        some = "some" if asked is None else f"{wanted:g} of them (--held_out {asked:g})"
        raise UserError(
            f"{len(data):,} sentences are too few to hold {some} out for the loss; give scored pairs with "
            "--validation_file, or train without dev scores (leave out --do_eval and its kin)"
        )
    chosen = np.zeros(len(data), dtype=bool)
    chosen[np.random.default_rng(seed).choice(len(data), size, replace=False)] = True
    return data.select(np.flatnonzero(~chosen)), data.select(np.flatnonzero(chosen))
