"""SICKRelatedness-finetune and STSBenchmark-finetune: a distribution over the scores 1 to 5.

The settings are fixed by the protocol (Tai, Socher, Manning 2015), whatever `params` say.
"""

from typing import Any

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

from senteval.classification import pair_features
from senteval.classifier import one_thread
from senteval.encoding import Embedded
from senteval.readers import Pairs

CLASSES = np.arange(1, 6)
BATCH, ROUND, TENACITY, MAX_EPOCH = 64, 50, 3, 1000


@one_thread()
def score_relatedness(
    datasets: dict[str, Pairs],
    embedded: Embedded,
    *,
    seed: int,
    device: str | torch.device,
    stopped_by: str = "spearman",
) -> dict[str, Any]:
    """Trains on train, stops by dev, scores test.

    Args:
        stopped_by: `spearman`, as in SimCSE's version, or `pearson`, as in FAIR's.

    Returns:
        `devspearman`, or `devpearson`; on test `pearson`, `spearman`, `mse` of the expected score, and the
        expected scores themselves, `yhat` (n,); `ndev`, `ntest`.
    """
    features = {
        split: torch.from_numpy(
            pair_features(embedded(pairs.first).astype(np.float32), embedded(pairs.second).astype(np.float32))
        ).to(device)
        for split, pairs in datasets.items()
    }
    targets = torch.from_numpy(spread_scores(datasets["train"].scores)).to(device)
    shuffles = np.random.RandomState(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(features["train"].size(1), len(CLASSES)), nn.Softmax(dim=-1)).to(device)
    optimizer = torch.optim.Adam(model.parameters())

    correlate = {"spearman": spearmanr, "pearson": pearsonr}[stopped_by]
    best, best_state, not_improved, passes = -1.0, None, 0, 0
    while passes <= MAX_EPOCH:
        for _ in range(ROUND):
            order = torch.from_numpy(shuffles.permutation(len(targets))).to(device)
            for batch in order.split(BATCH):
                loss = nn.functional.mse_loss(model(features["train"][batch]), targets[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        passes += ROUND
        found = _or_zero(correlate(_expected(model, features["dev"]), datasets["dev"].scores)[0])
        if found > best:
            best, best_state = found, {name: value.clone() for name, value in model.state_dict().items()}
        elif not_improved >= TENACITY:
            break
        else:
            not_improved += 1

    model.load_state_dict(best_state)
    expected, gold = _expected(model, features["test"]), datasets["test"].scores
    return {
        f"dev{stopped_by}": best,
        "pearson": _or_zero(pearsonr(expected, gold)[0]),
        "spearman": _or_zero(spearmanr(expected, gold)[0]),
        "mse": float(np.mean((expected - gold) ** 2)),
        "yhat": expected,
        "ndev": len(datasets["dev"]),
        "ntest": len(gold),
    }


def spread_scores(scores: np.ndarray) -> np.ndarray:
    """A score y gives class floor(y) the share floor(y) + 1 - y and the next class the rest: (n, 5) float32."""
    floor = np.floor(scores)
    spread = np.zeros((len(scores), len(CLASSES)), dtype=np.float32)
    for column, value in enumerate(CLASSES):
        spread[:, column] += np.where(floor == value, floor + 1 - scores, 0)
        spread[:, column] += np.where(floor + 1 == value, scores - floor, 0)
    return spread


@torch.no_grad()
def _expected(model: nn.Module, features: Tensor) -> np.ndarray:
    return model(features).cpu().numpy() @ CLASSES


def _or_zero(correlation: float) -> float:
    return 0.0 if np.isnan(correlation) else float(correlation)
