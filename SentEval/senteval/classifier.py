"""SentEval's classifier: multinomial logistic regression by mini-batch gradient descent.

`fit_one` fits as the original does, one problem after the other.  `fit_many` fits many
problems at once with the same answers: every fit starts from the same weights, and fits of
one training size see the same shuffles, so a step of all of them is one batched product.

A *round* is `epoch_size` passes, each in the order of a fresh permutation.  After a round the
held-out accuracy is measured: a strict improvement is remembered; otherwise training stops
if `tenacity` non-improvements were counted before this one, else it is counted.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from senteval.settings import Settings, optimizer_of

BATCH_BYTES = 4 << 20  # of gathered rows: what fits in a core's cache is read back fast


@dataclass(frozen=True)
class Fit:
    """One problem: rows to train on, rows to hold out (None: 5 % of the former), L2 strength."""

    train: np.ndarray
    held_out: np.ndarray | None
    l2: float


@dataclass
class Fitted:
    """A trained classifier and its accuracy (0 to 1) on the held-out rows."""

    model: nn.Module
    accuracy: float

    @torch.no_grad()
    def predict(self, features: Tensor) -> np.ndarray:
        """Classes of rows, (n, d) -> (n,)."""
        return self.model(features).argmax(dim=1).cpu().numpy()


def fit_one(features: Tensor, labels: Tensor, fit: Fit, classes: int, settings: Settings) -> Fitted:
    """Fits one problem; the global random generators are left as they were.

    Args:
        features: (n, d) float32 on the settings' device.
        labels: (n,) integers below `classes`.
    """
    shuffles = np.random.RandomState(settings.seed)
    train, held_out = _hold_out(fit, shuffles)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = _new_model(features.size(1), classes, settings).to(features.device)
        optimizer = optimizer_of(settings.optim, model.parameters(), weight_decay=fit.l2)
        train_x, train_y = features[train], labels[train]
        held_out_x, held_out_y = features[held_out], labels[held_out]
        watch = EarlyStop(settings)
        best = None
        while watch.goes_on:
            model.train()
            for _ in range(settings.epoch_size):
                order = torch.from_numpy(shuffles.permutation(len(train))).to(features.device)
                for batch in order.split(settings.batch_size):
                    loss = nn.functional.cross_entropy(model(train_x[batch]), train_y[batch])
                    optimizer.zero_grad()
                    loss.backward()
                    optimizer.step()
            model.eval()
            with torch.no_grad():
                correct = int((model(held_out_x).argmax(dim=1) == held_out_y).sum())
            if watch.improved(correct):
                best = {name: value.clone() for name, value in model.state_dict().items()}
    model.load_state_dict(best)
    return Fitted(model.requires_grad_(False), watch.best / len(held_out))


def fit_many(features: Tensor, labels: Tensor, fits: Sequence[Fit], classes: int, settings: Settings) -> list[Fitted]:
    """`[fit_one(...) for fit in fits]`, batched; hidden layers are fitted one at a time.

    Dropout draws of hidden layers could not be shared between fits.
    """
    if settings.nhid:
        return [fit_one(features, labels, fit, classes, settings) for fit in fits]
    groups: dict[int, dict[tuple[int, int], list[int]]] = defaultdict(lambda: defaultdict(list))
    for position, fit in enumerate(fits):  # fits of the same rows differ by strength alone: they share batches
        groups[len(fit.train)][id(fit.train), id(fit.held_out)].append(position)
    fitted: dict[int, Fitted] = {}
    chunk = max(1, BATCH_BYTES // (settings.batch_size * features.size(1) * features.element_size()))
    with one_thread():
        for same_size in groups.values():
            folds = list(same_size.values())
            for start in range(0, len(folds), chunk):
                part = folds[start : start + chunk]
                fitted |= _fit_batch(
                    features, labels, [[fits[i] for i in fold] for fold in part], part, classes, settings
                )
    return [fitted[position] for position in range(len(fits))]


@contextmanager
def one_thread() -> Iterator[None]:
    """Keeps torch to one CPU thread: the products are too small to gain from a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class EarlyStop:
    """The stopping rule of one fit."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.best, self.not_improved, self.passes, self.stopped = -1, 0, 0, False

    @property
    def goes_on(self) -> bool:
        return not self.stopped and self.passes <= self.settings.max_epoch

    def improved(self, correct: int) -> bool:
        """Notes the held-out hits after a round; true if they are the most so far."""
        self.passes += self.settings.epoch_size
        if correct > self.best:
            self.best = correct
            return True
        self.stopped = self.not_improved >= self.settings.tenacity
        self.not_improved += 1
        return False


def _hold_out(fit: Fit, shuffles: np.random.RandomState) -> tuple[np.ndarray, np.ndarray]:
    if fit.held_out is not None:
        return fit.train, fit.held_out
    order = fit.train[shuffles.permutation(len(fit.train))]
    size = int(0.05 * len(order))
    if not size:
        raise ValueError(f"{len(order)} samples to train on: 5 % of them are held out, which takes at least 20")
    return order[size:], order[:size]


def _fit_batch(
    features: Tensor,
    labels: Tensor,
    folds: list[list[Fit]],
    positions: list[list[int]],
    classes: int,
    settings: Settings,
) -> dict[int, Fitted]:
    """Fits that share a training size; `folds[f]` differ by strength alone.  `{position: fitted}`."""
    device, dim = features.device, features.size(1)
    state = np.random.RandomState(settings.seed).get_state()
    rows = []
    for fold in folds:
        shuffles = np.random.RandomState()
        shuffles.set_state(state)  # each fold draws the same numbers
        rows.append(_hold_out(fold[0], shuffles))
    train = torch.from_numpy(np.stack([train for train, _ in rows])).to(device)  # (F, n)
    held_out = [torch.from_numpy(held_out).to(device) for _, held_out in rows]

    strengths = max(map(len, folds))  # S; a fold with fewer repeats its last one
    l2 = torch.tensor([[fold[min(s, len(fold) - 1)].l2 for s in range(strengths)] for fold in folds], device=device)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        first = _new_model(dim, classes, settings).to(device)
    shape = (len(folds), strengths, classes, dim)
    weight = first.weight.detach().expand(shape).contiguous()  # (F, S, C, d)
    bias = first.bias.detach().expand(shape[:3]).contiguous()  # (F, S, C)
    fused = {"fused": True} if settings.optim.startswith("adam,") or settings.optim == "adam" else {}
    optimizer = optimizer_of(settings.optim, [weight, bias], **fused)
    watches = [[EarlyStop(settings) for _ in fold] for fold in folds]
    best: dict[tuple[int, int], tuple[Tensor, Tensor]] = {}
    active = list(range(len(folds)))

    gathered = features.new_empty(len(folds) * min(settings.batch_size, train.size(1)), dim)
    while active:
        for _ in range(settings.epoch_size):
            order = train.index_select(1, torch.from_numpy(shuffles.permutation(train.size(1))).to(device))
            ordered = labels.index_select(0, order.reshape(-1)).view_as(order)  # much faster than [order]
            for batch, y in zip(*(rows.split(settings.batch_size, dim=1) for rows in (order, ordered)), strict=True):
                x = torch.index_select(features, 0, batch.reshape(-1), out=gathered[: batch.numel()])
                _step(x.view(*batch.shape, dim), y, weight, bias, l2, optimizer)
        for row, fold in enumerate(active):
            x, y = features[held_out[fold]], labels[held_out[fold]]
            logits = torch.einsum("nd,scd->snc", x, weight[row]) + bias[row][:, None]
            correct = (logits.argmax(dim=-1) == y).sum(dim=-1).tolist()
            for s, watch in enumerate(watches[fold]):
                if watch.goes_on and watch.improved(correct[s]):
                    best[fold, s] = weight[row, s].clone(), bias[row, s].clone()
        kept = [row for row, fold in enumerate(active) if any(watch.goes_on for watch in watches[fold])]
        if len(kept) < len(active):
            active = [active[row] for row in kept]
            train, l2 = train[kept], l2[kept]
            weight, bias = _keep_rows(optimizer, kept)

    return {
        position: Fitted(_linear(*best[f, s]), watches[f][s].best / len(held_out[f]))
        for f, fold in enumerate(positions)
        for s, position in enumerate(fold)
    }


def _step(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor, l2: Tensor, optimizer: torch.optim.Optimizer) -> None:
    """One optimiser step of all fits; x: (F, B, d), y: (F, B).  The gradient is written out, over the last one.

    Rows of the batch come last, so that both products read and write whole lines.
    """
    for parameter in (weight, bias):
        if parameter.grad is None:
            parameter.grad = torch.empty_like(parameter)
    (_gradient_of_two if weight.size(2) == 2 else _gradient)(x, y, weight, bias)
    weight.grad.addcmul_(weight, l2[:, :, None, None])
    bias.grad.addcmul_(bias, l2[:, :, None])
    optimizer.step()


def _gradient(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> None:
    folds, strengths, classes, dim = weight.shape
    flat = (folds, strengths * classes, dim)
    logits = torch.baddbmm(bias.view(folds, -1, 1), weight.view(flat), x.transpose(1, 2))  # (F, S C, B)
    error = logits.view(folds, strengths, classes, -1).softmax(dim=2)
    target = y[:, None, None, :].expand(-1, strengths, 1, -1)
    error.scatter_add_(2, target, error.new_full((1,), -1.0).expand_as(target))
    error.div_(x.size(1))
    torch.bmm(error.view_as(logits), x, out=weight.grad.view(flat))
    torch.sum(error, dim=3, out=bias.grad)


def _gradient_of_two(x: Tensor, y: Tensor, weight: Tensor, bias: Tensor) -> None:
    """The same of two classes, whose errors are opposite: half of the products."""
    logits = torch.baddbmm((bias[..., 1:] - bias[..., :1]), weight[:, :, 1] - weight[:, :, 0], x.transpose(1, 2))
    error = logits.sigmoid_().sub_(y[:, None]).div_(x.size(1))  # (F, S, B), of class 1
    for gradient, of_one in ((weight.grad, torch.bmm(error, x)), (bias.grad, error.sum(dim=2))):
        gradient[:, :, 1] = of_one
        torch.neg(of_one, out=gradient[:, :, 0])


def _keep_rows(optimizer: torch.optim.Optimizer, rows: list[int]) -> list[Tensor]:
    """Cuts the optimiser's parameters, and its state of their shape, to some of their rows."""
    group = optimizer.param_groups[0]
    kept = []
    for parameter in group["params"]:
        smaller = parameter[rows].clone()
        optimizer.state[smaller] = {
            name: value[rows].clone() if torch.is_tensor(value) and value.shape == parameter.shape else value
            for name, value in optimizer.state.pop(parameter, {}).items()
        }
        kept.append(smaller)
    group["params"] = kept
    return kept


def _linear(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.size(1), weight.size(0), device="meta")
    layer.weight, layer.bias = nn.Parameter(weight, False), nn.Parameter(bias, False)
    return layer


def _new_model(dim: int, classes: int, settings: Settings) -> nn.Module:
    if not settings.nhid:
        return nn.Linear(dim, classes)
    return nn.Sequential(
        nn.Linear(dim, settings.nhid), nn.Dropout(settings.dropout), nn.Sigmoid(), nn.Linear(settings.nhid, classes)
    )
