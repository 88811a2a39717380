"""SentEval's classifiers: all fits as one batched computation, against one at a time.

    python benchmarks/senteval_classifiers.py --senteval_data DIR [--dims 64 768] [--sample 40]

Scores CR in test mode (410 fits: 10 outer folds x 10 inner folds x 4 strengths, and 10
refits) on hashed words of each size, in one process with one thread.  Both ways run interleaved
outer fold by outer fold.  `--sample N` times the slow way on N of an outer fold's 40 inner
fits and scales (said so); without it everything is run, and the scores are compared.
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

KFOLD = 10


def main() -> None:
    """Prints, for each number of dimensions, seconds, the ratio and whether the scores agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--senteval_data")
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 768])
    parser.add_argument("--sample", type=int, help="fits to time one at a time in each outer fold; default: all")
    options = parser.parse_args()
    torch.set_num_threads(1)
    samples = TASKS["CR"].load(find_senteval_data(options.senteval_data))["all"]
    for dim in options.dims:
        features = HashingVectorizer(n_features=dim, dtype=np.float32).transform(samples.first).toarray()
        compare(torch.from_numpy(features), samples.labels, options.sample)


def compare(x: torch.Tensor, labels: np.ndarray, sample: int | None) -> None:
    """Fits every outer fold both ways, one after the other."""
    y, settings = torch.from_numpy(labels), Settings()
    folds = StratifiedKFold(KFOLD, shuffle=True, random_state=1111)
    outer = list(folds.split(labels, labels))
    fits = [
        [
            Fit(train[fit], train[held_out], strength)
            for fit, held_out in folds.split(train, labels[train])
            for strength in STRENGTHS
        ]
        for train, _ in outer
    ]
    start = time.perf_counter()
    batched = fit_many(x, y, [fit for part in fits for fit in part], 2, settings)
    fast = time.perf_counter() - start
    slow, differing, timed = 0.0, 0, 0
    for fold, part in enumerate(fits):
        chosen = range(len(part)) if sample is None else np.random.RandomState(fold).permutation(len(part))[:sample]
        start = time.perf_counter()
        alone = [fit_one(x, y, part[i], 2, settings) for i in chosen]
        slow += time.perf_counter() - start
        timed += len(alone)
        differing += sum(
            one.accuracy != batched[fold * len(part) + i].accuracy for one, i in zip(alone, chosen, strict=True)
        )
    total = sum(map(len, fits))
    scaled = slow * total / timed
    how = "" if timed == total else f" (scaled from {timed} of {total} fits)"
    print(
        f"CR, test mode, {x.size(1)} dimensions, {total} inner fits, 1 thread: one at a time {scaled:.1f} s{how}, "
        f"batched {fast:.1f} s: {scaled / fast:.1f}x; {timed - differing} of {timed} held-out scores equal"
    )


if __name__ == "__main__":
    main()
