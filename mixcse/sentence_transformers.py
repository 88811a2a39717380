"""The objective as losses for `SentenceTransformerTrainer`, by that library's conventions.

from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
from mixcse.sentence_transformers import MixedNegativesLoss

model = SentenceTransformer("bert-base-uncased")
trainer = SentenceTransformerTrainer(model, train_dataset=dataset, loss=MixedNegativesLoss(model))

The mathematics is `mixcse.objective`.
"""

from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from math import inf
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from tqdm import tqdm

from mixcse.base.group import gather_rows
from mixcse.model.chunking import Chunking, in_chunks
from mixcse.names import CITATION
from mixcse.objective import ALL, OPTIONS, contrastive_loss

if find_spec("sentence_transformers") is None:
    raise ImportError(
        "mixcse.sentence_transformers needs sentence-transformers, which is not installed: "
        'pip install "mixcse[sentence-transformers]", or from a clone pip install -e ".[sentence-transformers]"'
    )
if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

Features = dict[str, Any]  # what that library's collator makes of a text column; tensors are (batch, length)


class MixedNegativesLoss(nn.Module):
    """The MixCSE objective: in-batch negatives, and mixes of positives and negatives without gradient.

    Text columns of the data set:

        sentence                            two views of it, apart by dropout alone (unsupervised)
        anchor, positive                    pairs
        anchor, positive, hard negatives    pairs with one or more hard negatives each

    All are embedded in one forward pass, where columns can be joined.  Labels are not used.  In
    evaluation there is no dropout, and the two views of a single sentence are one.  Another row of
    the batch that means the same is a false negative: `BatchSamplers.NO_DUPLICATES` helps.

    Args:
        model: the model to train.
        scale: 1 / temperature, above 0.
        mixing_lambda: the share of a mix's first part, 0 to 1.
        variant: `released`, `adaptive`, `paper` or `simcse`; see `mixcse.objective`.
        gather_across_devices: make the batches of all processes one, whose rows are each other's
            negatives; gradients are those of one process with the whole batch.  Every process must
            have as many rows (`dataloader_drop_last`).
        mix_with: the other sentence of a mix: the `next` row, or `hardest`, the negative closest to the anchor.
        detached_negatives: so many further copies of the in-batch negatives, without gradient (docs/findings.md).

    Raises:
        ValueError: a name is unknown, or a number out of range.
    """

    def __init__(
        self,
        model: "SentenceTransformer",
        scale: float = 20.0,
        mixing_lambda: float = 0.2,
        variant: str = "released",
        gather_across_devices: bool = False,
        mix_with: str = "next",
        detached_negatives: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 < scale < inf:
            raise ValueError(f"scale must be above 0 and finite, not {scale}")
        self.model = model
        self.scale = scale
        self.mixing_lambda = mixing_lambda
        self.variant = variant
        self.gather_across_devices = gather_across_devices
        self.mix_with = mix_with
        self.detached_negatives = detached_negatives
        self._views: tuple[Features, Features] | None = None
        contrastive_loss(torch.ones(2, 2, 1), **self._objective)  # it checks names and numbers

    @property
    def _objective(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in OPTIONS if hasattr(self, name)}

    @property
    def temperature(self) -> float:
        """1 / scale."""
        return 1 / self.scale

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        """The loss of a batch, a scalar; one entry of `sentence_features` a text column."""
        return self.compute_loss_from_embeddings(self._embed(list(sentence_features)), labels)

    def compute_loss_from_embeddings(self, embeddings: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
        """The loss of 2 or more embedded columns, (batch, d) each; a scalar.  Labels are not used.

        Raises:
            ValueError: another number of columns, or they differ in shape.
        """
        shapes = [tuple(column.shape) for column in embeddings]
        if len(shapes) < 2 or len(set(shapes)) > 1:
            raise ValueError(f"the loss takes 2 or more embedded columns of one shape (batch, d), not {shapes}")
        z, rows = torch.stack(list(embeddings), dim=1), ALL  # (batch, 2 or more, d)
        if self.gather_across_devices:
            z, rows = gather_rows(z)
        return contrastive_loss(z, rows=rows, **self._objective)

    def _embed(self, columns: list[Features]) -> list[Tensor]:
        kept_in_them = _keeps_layers(self.model)
        if len(columns) == 1:
            columns = [columns[0], self._second_view(columns[0]) if kept_in_them else columns[0]]
        merged = None if kept_in_them else merge_columns(columns)
        if merged is None:
            return [self.model(column if kept_in_them else dict(column))["sentence_embedding"] for column in columns]
        return list(self.model(merged)["sentence_embedding"].chunk(len(columns)))

    def _second_view(self, column: Features) -> Features:
        """For layers to be kept in, beside those of a column that stands for two; the same from call to call."""
        if self._views is None or self._views[0] is not column:
            self._views = column, dict(column)
        return self._views[1]

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        names = ("scale", "mixing_lambda", "variant", "gather_across_devices", "mix_with", "detached_negatives")
        return {name: getattr(self, name) for name in names}

    @property
    def citation(self) -> str:
        """BibTeX of the paper, for the model card."""
        return CITATION


class CachedMixedNegativesLoss(MixedNegativesLoss):
    """`MixedNegativesLoss` for batches that memory does not hold: the same loss, a mini-batch at a time (GradCache).

    Rows are embedded twice: once for the loss of the whole batch and its gradient at the embeddings,
    and once more, with the same dropout, for the gradient from there on.  See `mixcse.model.chunking`.

    Args:
        mini_batch_size: rows in a forward pass, of all columns together; of each column, where they cannot be joined.
        mini_batch_num_tokens: instead, as many rows as have so many tokens together, padding not counted.
        show_progress_bar: show one for each batch.
    """

    uses_gradient_cache = True  # so that MatryoshkaLoss cuts embeddings in `calculate_loss`, not in the model

    def __init__(
        self,
        model: "SentenceTransformer",
        scale: float = 20.0,
        mixing_lambda: float = 0.2,
        variant: str = "released",
        gather_across_devices: bool = False,
        mini_batch_size: int = 32,
        show_progress_bar: bool = False,
        mini_batch_num_tokens: int | None = None,
        mix_with: str = "next",
        detached_negatives: float = 0.0,
    ) -> None:
        super().__init__(model, scale, mixing_lambda, variant, gather_across_devices, mix_with, detached_negatives)
        counts = {"mini_batch_size": mini_batch_size, "mini_batch_num_tokens": mini_batch_num_tokens}
        for name, value in counts.items():
            if value is not None and (not isinstance(value, int) or value < 1):
                raise ValueError(f"{name} must be a whole number of at least 1, not {value!r}")
        self.mini_batch_size, self.mini_batch_num_tokens = mini_batch_size, mini_batch_num_tokens
        self.show_progress_bar = show_progress_bar

    def forward(self, sentence_features: Iterable[Features], labels: Tensor | None = None) -> Tensor:
        """As `MixedNegativesLoss.forward`."""
        embeddings = self._embed(list(sentence_features))
        if not torch.is_grad_enabled():
            return self.calculate_loss([[z] for z in embeddings], labels)
        leaves = [z.detach().requires_grad_() for z in embeddings]
        loss = self.calculate_loss([[leaf] for leaf in leaves], labels, with_backward=True).detach()
        # The gradient of the loss goes on from here, with a value of 0.
        linear = sum((z * leaf.grad).float().sum() for z, leaf in zip(embeddings, leaves, strict=True))
        return loss + linear - linear.detach()

    def calculate_loss(
        self, reps: list[list[Tensor]], labels: Tensor | None = None, *, with_backward: bool = False
    ) -> Tensor:
        """The loss of embeddings, of which each column is a list of mini-batches.

        Args:
            with_backward: leave the gradient in the embeddings, and give a loss without a graph.
        """
        loss = self.compute_loss_from_embeddings([torch.cat(column) for column in reps], labels)
        if not with_backward:
            return loss
        loss.backward()
        return loss.detach()

    def _embed(self, columns: list[Features]) -> list[Tensor]:
        columns = columns * 2 if len(columns) == 1 else columns
        if not all(_is_padded(column) for column in columns):
            raise ValueError(
                f"{type(self).__name__} needs a model whose inputs are padded rows with an attention mask; "
                "use MixedNegativesLoss"
            )
        merged = merge_columns(columns)
        with tqdm(desc="embedding mini-batches", disable=not self.show_progress_bar) as bar:
            if merged is None:  # they have prompts of their own, say
                return [self._embed_in_chunks(column, bar) for column in columns]
            return list(self._embed_in_chunks(merged, bar).chunk(len(columns)))

    def _embed_in_chunks(self, features: Features, bar: tqdm) -> Tensor:
        mask = features["attention_mask"]
        names = [name for name, value in features.items() if _is_of_tokens(value, mask) and name != "attention_mask"]
        rows = None if self.mini_batch_num_tokens else self.mini_batch_size
        chunking = Chunking(rows=rows, tokens=self.mini_batch_num_tokens, trim=not _pads_left(mask))

        def embed(attention_mask: Tensor, *others: Tensor) -> Tensor:
            bar.update()  # the bar is closed when gradients are computed
            chunk = features | {"attention_mask": attention_mask} | dict(zip(names, others, strict=True))
            return self.model(chunk)["sentence_embedding"]

        return in_chunks(embed, chunking, mask, *(features[name] for name in names))

    def get_config_dict(self) -> dict[str, Any]:
        """The arguments, for the model card."""
        names = ("mini_batch_size", "mini_batch_num_tokens")
        return super().get_config_dict() | {name: getattr(self, name) for name in names}


def _keeps_layers(model: Any) -> bool:
    """Whether `AdaptiveLayerLoss` is at work, which keeps the layers' embeddings in each column from call to call."""
    inner = getattr(model, "module", model)  # of DistributedDataParallel
    forward = getattr(next(iter(inner.children()), None), "forward", None)
    return type(forward).__name__ == "TransformerDecorator"


def merge_columns(columns: Sequence[Features]) -> Features | None:
    """Columns one below the other, padded to a common length; None where they cannot be.

    That is where they are not padded rows of tokens, or differ in something that is not of tokens.
    """
    if not all(_is_padded(column) for column in columns):
        return None
    masks = [column["attention_mask"] for column in columns]
    if any(column.keys() != columns[0].keys() for column in columns):
        return None
    length = max(mask.size(1) for mask in masks)
    left = any(_pads_left(mask) for mask in masks)
    merged = {}
    for name, value in columns[0].items():
        values = [column[name] for column in columns]
        if all(_is_of_tokens(value, mask) for value, mask in zip(values, masks, strict=True)):
            # Padded with 0, also where the tokenizer has another number: the mask hides it.
            merged[name] = torch.cat([_padded(value, length, left=left) for value in values])
        elif all(_same(value, other) for other in values):
            merged[name] = value
        else:
            return None
    return merged


def _is_padded(column: Features) -> bool:
    mask = column.get("attention_mask")
    return isinstance(mask, Tensor) and mask.dim() == 2


def _is_of_tokens(value: Any, mask: Tensor) -> bool:
    return isinstance(value, Tensor) and value.shape[:2] == mask.shape


def _pads_left(mask: Tensor) -> bool:
    return mask.size(1) > 0 and not bool(mask[:, 0].all())


def _padded(value: Tensor, length: int, *, left: bool) -> Tensor:
    missing = length - value.size(1)
    sides = (missing, 0) if left else (0, missing)
    return pad(value, (0, 0) * (value.dim() - 2) + sides)


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return isinstance(other, Tensor) and torch.equal(one, other)
    return bool(one == other)
