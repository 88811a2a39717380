"""The Trainer subclass: hooks only."""

import sys
from pathlib import Path
from typing import Any

import torch
import transformers
from datasets import Dataset
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import TrainOutput

from mixcse.base.files import written_aside
from mixcse.base.group import from_main_process, gather_rows
from mixcse.data.batch import ContrastiveCollator
from mixcse.evaluate.dev import DevSets
from mixcse.model.saving import HEADS_FILE
from mixcse.model.sentence_model import SentenceModel
from mixcse.objective import alignment_loss, logit_blocks, loss_of_logits
from mixcse.options import ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.callbacks import AddChecksums, Bar, LogLines, StopOnSignal
from mixcse.train.divergence import LossWatch, diverged, is_finite
from mixcse.train.measure import Measures
from mixcse.train.signals import Signals

for _name in ("_save", "_load_from_checkpoint", "_load_best_model"):  # private, and overridden below
    if not hasattr(Trainer, _name):
        raise ImportError(
            f"transformers {transformers.__version__} has no Trainer.{_name}, which mixcse overrides; "
            "install a version that requirements.txt or pyproject.toml allows"
        )


class MixCSETrainer(Trainer):
    """Trains a `SentenceModel` by the contrastive objective and selects it by STS dev scores.

    Args:
        model: prepared for training (`SentenceModel.prepare_training`).
        args: their `save_total_limit` and `push_to_hub` are taken from the Trainer: its rotation of
            checkpoints runs before their checksums are written, and its push uploads the Hub token.
        model_args: the objective and its poolers.
        dev_sets: what `evaluate` scores; None if the run has no dev evaluation.
        held_out: rows like the training data's whose loss `evaluate` gives too, as `held_out_loss`.
        keywords: the Trainer's own.
    """

    def __init__(
        self,
        model: SentenceModel,
        args: TrainArguments,
        *,
        model_args: ModelArguments,
        data_collator: ContrastiveCollator,
        train_dataset: Dataset,
        dev_sets: DevSets | None,
        held_out: Dataset | None = None,
        **keywords: Any,
    ) -> None:
        self.model_args = model_args
        self.measures = Measures(model, data_collator, args, model_args, train_dataset, dev_sets, held_out)
        self.signals = Signals()
        self.losses = LossWatch(model, args.output_dir)
        self.checksums, self.stopping = AddChecksums(args.save_total_limit), StopOnSignal()
        args.save_total_limit, args.push_to_hub = None, False
        super().__init__(model, args, data_collator, train_dataset, eval_dataset=dev_sets, **keywords)
        self.loss_is_scaled_for_ga = False  # a mean over the batch: accumulation has to divide it
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        self.add_callback(LogLines())
        if sys.stderr.isatty():
            self.add_callback(Bar())
        self.add_callback(self.checksums)
        self.add_callback(self.stopping)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Contrastive loss of a batch, and the weighted masked-LM loss with `--do_mlm`."""
        outputs = model(**inputs)
        z, rows = gather_rows(outputs["embeddings"])  # the processes' batches are one
        blocks = logit_blocks(z, rows=rows, **self.model_args.objective)
        loss = loss_of_logits(torch.cat(list(blocks.values()), dim=1), rows)
        if self.model_args.alignment_weight:
            loss = loss + self.model_args.alignment_weight * alignment_loss(z, rows)
        self.signals.observe(blocks, rows, **self.model_args.objective)
        self.signals.watch_gradient(outputs["embeddings"], loss)
        if "mlm_loss" in outputs:
            loss = loss + self.model_args.mlm_weight * outputs["mlm_loss"]
        return (loss, outputs) if return_outputs else loss

    def training_step(self, model: nn.Module, inputs: dict[str, Tensor], *arguments: Any, **keywords: Any) -> Tensor:
        """Make a step; raise UserError for a loss that is NaN or infinite, before it reaches the weights.

        A GPU's losses are read where waiting for them costs nothing: when they are logged, at evaluations and saves.
        """
        loss = super().training_step(model, inputs, *arguments, **keywords)
        self.losses.note(self.state.global_step + 1, loss, inputs["input_ids"])
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Log, with the means of `Signals` over the batches since the last logged loss."""
        if "loss" in logs:
            self.losses.read()
            logs |= self.signals.means()
        super().log(logs, start_time)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Return dev scores of the model as it stands, with every random generator left as it was.

        One process scores, the others wait for the scores.
        """
        self.losses.read()
        step = self.state.global_step
        scores = from_main_process(self.measures.dev_scores(step) if self.is_world_process_zero() else None)
        metrics = {f"{metric_key_prefix}_{name}": score for name, score in scores.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        if not self.args.should_save:  # newer versions of transformers leave that to be asked here
            return
        Path(self.args.output_dir).stat()  # raises if the run's folder has been removed
        self.losses.read()
        if not is_finite(self.model):
            what = f"weights are not finite at step {self.state.global_step}, and were not saved"
            raise diverged(what, self.args.output_dir)
        with written_aside(output_dir or self.args.output_dir) as folder:
            self.model.save_pretrained(folder, recorded_pooler=self.model_args.test_pooler)
            (Path(output_dir or self.args.output_dir) / HEADS_FILE).unlink(missing_ok=True)  # an earlier run's

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.model.load_weights(resume_from_checkpoint)

    def _load_best_model(self) -> None:
        self.model.load_weights(self.state.best_model_checkpoint)

    def train(self, *arguments: Any, **keywords: Any) -> TrainOutput:
        """Train; Ctrl-C and SIGTERM end it after the step, with a checkpoint (`StopOnSignal`)."""
        try:
            return super().train(*arguments, **keywords)
        finally:
            self.stopping.restore()
