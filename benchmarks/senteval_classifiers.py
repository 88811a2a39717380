"""SentEval's classifiers: all fits as one batched computation, against one at a time.

    python benchmarks/senteval_classifiers.py --senteval_data DIR [--dims 64 768] [--sample 80]

The inner fits of CR in test mode (10 outer folds x 10 inner folds x 4 strengths) on hashed words of
each size, in one process with one thread.  `--sample N` times the slow way on N of the 400 and
scales (said so).
"""

import argparse
import time

import numpy as np
import torch
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.model_selection import StratifiedKFold

from mixcse.data.pairs import find_senteval_data
from senteval.classification import STRENGTHS
from senteval.classifier import Fit, fit_many, fit_one
from senteval.settings import Settings
from senteval.tasks import TASKS


def main() -> None:
    """Prints, for each number of dimensions, seconds, the ratio and whether the scores agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--senteval_data")
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 768])
    parser.add_argument("--sample", type=int, help="fits to time one at a time; default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples = TASKS["CR"].load(find_senteval_data(options.senteval_data))["all"]
    for dim in options.dims:
        features = HashingVectorizer(n_features=dim, dtype=np.float32).transform(samples.first).toarray()
        compare(torch.from_numpy(features), samples.labels, options.sample)


def compare(x: torch.Tensor, labels: np.ndarray, sample: int | None) -> None:
    """Fits both ways, one after the other."""
    y, settings = torch.from_numpy(labels), Settings()
    folds = StratifiedKFold(10, shuffle=True, random_state=1111)
    inner = [
        (train[fit], train[held_out])
        for train, _ in folds.split(labels, labels)
        for fit, held_out in folds.split(train, labels[train])
    ]
    fits = [Fit(*rows, strength) for rows in inner for strength in STRENGTHS]  # strengths share rows, as in a task
    start = time.perf_counter()
    batched = fit_many(x, y, fits, 2, settings)
    fast = time.perf_counter() - start
    chosen = np.random.RandomState(0).permutation(len(fits))[:sample]
    start = time.perf_counter()
    alone = [fit_one(x, y, fits[number], 2, settings) for number in chosen]
    slow = (time.perf_counter() - start) * len(fits) / len(chosen)
    equal = sum(one.accuracy == batched[number].accuracy for number, one in zip(chosen, alone, strict=True))
    how = "" if len(chosen) == len(fits) else f" (scaled from {len(chosen)} of {len(fits)} fits)"
    print(
        f"CR, test mode, {x.size(1)} dimensions, {len(fits)} inner fits, 1 thread: one at a time {slow:.1f} s{how}, "
        f"batched {fast:.1f} s: {slow / fast:.1f}x; {equal} of {len(chosen)} held-out scores equal"
    )


if __name__ == "__main__":
    main()
