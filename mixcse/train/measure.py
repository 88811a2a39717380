"""What is measured of a model beside its training, with every random generator left as it was."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor

import senteval
from mixcse.base.rng import preserved_rng
from mixcse.data.batch import ContrastiveCollator
from mixcse.encoder.sentence_encoder import SentenceEncoder
from mixcse.evaluate.dev import DevSets
from mixcse.model.sentence_model import SentenceModel
from mixcse.names import HELD_OUT_LOSS
from mixcse.objective import contrastive_loss
from mixcse.options import ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.divergence import diverged
from mixcse.train.gpu_recipe import autocast


@dataclass(frozen=True)
class Measures:
    """Of a model as it stands, on the data of its run and in batches like those of its training."""

    model: SentenceModel
    collator: ContrastiveCollator
    args: TrainArguments
    model_args: ModelArguments
    data: Dataset
    dev_sets: DevSets | None
    held_out: Dataset | None

    def dev_scores(self, step: int) -> dict[str, float]:
        """Scores of the dev sets and, where rows are held out, their loss.

        Raises:
            UserError: embeddings or loss are no numbers; it names the step.
        """
        encoder = SentenceEncoder(self.model, pooler=self.model_args.dev_pooler)
        batch_size = self.args.per_device_eval_batch_size
        try:
            with preserved_rng(), autocast(self.args):
                scores = self.dev_sets.score(lambda sentences: encoder.encode(sentences, batch_size=batch_size))
        except senteval.EncoderError as error:
            raise diverged(f"no dev scores at step {step}: {error}", self.args.output_dir) from error
        if self.held_out is None:
            return scores
        loss = self._held_out_loss()
        if not math.isfinite(loss):
            raise diverged(f"the loss of held-out sentences is {loss} at step {step}", self.args.output_dir)
        return scores | {HELD_OUT_LOSS: loss}

    def scores_as_shipped(self) -> tuple[str, dict[str, float]]:
        """The pooler that the folder of a sentence-transformers model says, and dev scores of the model as it says.

        Nothing where it is that of the dev scores anyway.
        """
        settings = self.model.settings
        if self.dev_sets is None or settings is None or settings.pooler == self.model_args.dev_pooler:
            return "", {}
        encoder = SentenceEncoder(self.model, pooler=settings.pooler, prompt=settings.prompt)
        was = self.model.following
        try:
            encoder.follow(settings)
            with preserved_rng():
                return settings.pooler, self.dev_sets.score(encoder.encode)
        finally:
            self.model.following = was

    def views_are_equal(self) -> bool:
        """Whether the two views of a sentence are, for there is no dropout; never of sentences given in pairs."""
        adapters = self.model.adapters
        # Fresh adapters add nothing, whatever they drop: their dropout tells views apart from the second step on.
        dropping = adapters is not None and getattr(adapters.peft_config["default"], "lora_dropout", 0)
        if len(self.data[0]["input_ids"]) > 1 or dropping:
            return False
        ((first, second),) = self._each(self.data.select([0]), 1, lambda z: z[0])
        return torch.allclose(first, second)

    def _held_out_loss(self) -> float:
        """The mean contrastive loss of the held-out rows, in the same batches with the same dropout at every step."""
        whole = min(len(self.held_out), self.args.per_device_train_batch_size)
        losses = self._each(self.held_out, whole, lambda z: contrastive_loss(z, **self.model_args.objective).item())
        return sum(losses) / len(losses)

    @torch.no_grad()
    def _each(self, data: Dataset, at_least: int, measure: Callable[[Tensor], Any]) -> list[Any]:
        """`measure` of the embeddings, (n, num_sent, d), of each batch of so many rows, dropout on and seeded."""
        measured = []
        was_training = self.model.training
        self.model.train()
        with preserved_rng(), autocast(self.args):
            torch.manual_seed(self.args.seed)
            for rows in data.iter(self.args.per_device_train_batch_size):
                if len(rows["input_ids"]) < at_least:
                    continue
                batch = self.collator([{"input_ids": group} for group in rows["input_ids"]])
                inputs = {name: tensor.to(self.args.device) for name, tensor in batch.items() if "mlm" not in name}
                measured.append(measure(self.model(**inputs)["embeddings"]))
        self.model.train(was_training)
        return measured
