"""Three ways to train the same encoder on the same batches, each by its own Trainer.

ours: `MixCSETrainer`.  sentence-transformers: its trainer and MultipleNegativesRankingLoss on
(sentence, sentence) pairs.  released: what the authors' code does in a step, in words of our
own: all rows in one pass, padded to the longest, and three N x N x d cosines.
"""

import contextlib
import io
import tempfile
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from datasets import Dataset
from torch import Tensor, nn
from torch.utils.data import BatchSampler, SequentialSampler
from transformers import Trainer, TrainingArguments
from transformers.trainer_callback import PrinterCallback, ProgressCallback

from mixcse.data.batch import ContrastiveCollator
from mixcse.data.corpus import Corpus
from mixcse.data.tokens import load_training_data
from mixcse.model.sentence_model import SentenceModel
from mixcse.options import DataArguments, ModelArguments
from mixcse.train.arguments import TrainArguments, resolve
from mixcse.train.prepare import make_trainer
from mixcse.train.trainer import MixCSETrainer

TEMPERATURE, MIXING_LAMBDA, MAX_LENGTH = 0.05, 0.2, 32
POOLER = "cls_before_pooler"


def trainer_of(way: str, model: str, sentences: list[str], batch: int, **options: Any) -> Trainer:
    """A trainer that goes through the sentences once, in their order; nothing is shown or saved.

    Args:
        way: `ours`, `sentence-transformers` or `released`.
        options: of transformers' TrainingArguments, for all ways alike, such as `bf16`.
    """
    common = {
        "output_dir": tempfile.mkdtemp(),
        "per_device_train_batch_size": batch,
        "learning_rate": 3e-5,
        "max_steps": len(sentences) // batch,
        "save_strategy": "no",
        "logging_steps": 125,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
    } | options
    with contextlib.redirect_stderr(io.StringIO()):  # progress bars of loading and mapping
        trainer = {"ours": _ours, "sentence-transformers": _sentence_transformers, "released": _released}[way](
            model, sentences, common
        )
    for callback in (PrinterCallback, ProgressCallback):
        trainer.remove_callback(callback)
    return trainer


def _tokens(sentences: list[str], tokenizer: Any) -> Dataset:
    path = Path(tempfile.mkdtemp()) / "sentences.txt"
    path.write_text("\n".join(sentences) + "\n", encoding="utf-8")
    return load_training_data(Corpus.open(DataArguments([str(path)], max_seq_length=MAX_LENGTH)), tokenizer)[0]


def _ours(model: str, sentences: list[str], common: dict[str, Any]) -> MixCSETrainer:
    args = resolve(TrainArguments(**common, train_sampling_strategy="sequential"))
    model_args = ModelArguments(model_name_or_path=model, pooler_type=POOLER)
    encoder = SentenceModel.from_pretrained(model)
    encoder.prepare_training(POOLER)
    return make_trainer(encoder, model_args, DataArguments(), args, _tokens(sentences, encoder.tokenizer), None)


def _sentence_transformers(model: str, sentences: list[str], common: dict[str, Any]) -> Trainer:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer import losses, modules
    from sentence_transformers.sentence_transformer.training_args import SentenceTransformerTrainingArguments

    transformer = modules.Transformer(model, max_seq_length=MAX_LENGTH)
    pooling = modules.Pooling(transformer.get_embedding_dimension(), pooling_mode="cls")
    encoder = SentenceTransformer(modules=[transformer, pooling])
    encoder.float()

    def in_order(dataset: Dataset, batch_size: int, drop_last: bool, **_: Any) -> BatchSampler:
        return BatchSampler(SequentialSampler(dataset), batch_size, drop_last)

    args = SentenceTransformerTrainingArguments(**common, batch_sampler=in_order)
    data = Dataset.from_dict({"anchor": sentences, "positive": sentences})
    loss = losses.MultipleNegativesRankingLoss(encoder, scale=1 / TEMPERATURE)
    return SentenceTransformerTrainer(encoder, args, train_dataset=data, loss=loss)


def _released(model: str, sentences: list[str], common: dict[str, Any]) -> Trainer:
    encoder = SentenceModel.from_pretrained(model)
    encoder.prepare_training(POOLER)
    return ReleasedTrainer(
        encoder,
        TrainingArguments(**common, train_sampling_strategy="sequential", remove_unused_columns=False),
        train_dataset=_tokens(sentences, encoder.tokenizer),
        data_collator=ContrastiveCollator(encoder.tokenizer),
    )


class ReleasedTrainer(Trainer):
    """The released step, without what ours leaves out: every token of every layer, broadcast cosines."""

    def compute_loss(self, model: nn.Module, inputs: dict[str, Tensor], *_: Any, **__: Any) -> Tensor:
        """The `released` objective, the long way."""
        ids, mask = (inputs[name].repeat(1, 2, 1) for name in ("input_ids", "attention_mask"))
        batch, views, length = ids.shape
        output = model.encoder(input_ids=ids.view(-1, length), attention_mask=mask.view(-1, length))
        z1, z2 = output.last_hidden_state[:, 0].view(batch, views, -1).float().unbind(1)

        def cosines(a: Tensor, b: Tensor) -> Tensor:  # by way of (N, N, d)
            return F.cosine_similarity(a.unsqueeze(1), b.unsqueeze(0), dim=-1) / TEMPERATURE

        def mix(z: Tensor) -> Tensor:
            return (MIXING_LAMBDA * z + (1 - MIXING_LAMBDA) * z.roll(-1, 0)).detach()

        own = torch.eye(batch, dtype=torch.bool, device=z1.device)
        second = cosines(z1, mix(z2)).masked_fill(own.roll(-1, 1), 0)
        first = cosines(mix(z1), z2).masked_fill(own.roll(1, 1), 0)
        logits = torch.cat([cosines(z1, z2), second, first], dim=1)
        return F.cross_entropy(logits, torch.arange(batch, device=z1.device))

    @torch.inference_mode()
    def embed(self, batch: list[str]) -> None:
        """One forward pass over sentences as they come, padded to the longest."""
        tokens = self.model.tokenizer(batch, padding=True, return_tensors="pt", return_token_type_ids=False)
        self.model.encoder(**tokens.to(self.args.device)).last_hidden_state[:, 0].cpu()
