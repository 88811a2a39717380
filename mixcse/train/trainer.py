"""The Trainer subclass: hooks only."""

import shutil
import sys
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import Trainer
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import TrainOutput

from mixcse.base.errors import UserError, first_line
from mixcse.base.files import read_json, written_aside
from mixcse.base.group import from_main_process, gather_rows, wait_for_all
from mixcse.data.batch import ContrastiveCollator
from mixcse.evaluate.dev import DevSets
from mixcse.model.sentence_model import HEADS_FILE, SentenceModel
from mixcse.objective import alignment_loss, logit_blocks, loss_of_logits
from mixcse.options import ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.callbacks import Bar, LogLines, StopOnSignal
from mixcse.train.checkpoints import PREFIX, STATE_FILE, checkpoints, place_aside, prune, put_in_place
from mixcse.train.divergence import LossWatch, diverged, is_finite
from mixcse.train.folder import ARGUMENTS_FILE, SCORES_FILE
from mixcse.train.hub import push_checkpoint
from mixcse.train.measure import Measures
from mixcse.train.model_card import write_model_card
from mixcse.train.signals import Signals


class MixCSETrainer(Trainer):
    """Trains a `SentenceModel` by the contrastive objective and selects it by STS dev scores.

    Args:
        model: prepared for training (`SentenceModel.prepare_training`).
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
        self.stopping = StopOnSignal()
        self._began = perf_counter()
        self._writing_in: Path | None = None  # instead of the output folder, for a checkpoint
        super().__init__(model, args, data_collator, train_dataset, eval_dataset=dev_sets, **keywords)
        self.loss_is_scaled_for_ga = False  # a mean over the batch: accumulation has to divide it
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        self.add_callback(LogLines())
        if sys.stderr.isatty():
            self.add_callback(Bar())
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
        """As the Trainer's; a loss that is NaN or infinite ends the training before it reaches the weights.

        A GPU's losses are read where waiting for it costs nothing: when they are logged, at an evaluation, at a save.
        """
        loss = super().training_step(model, inputs, *arguments, **keywords)
        self.losses.note(self.state.global_step + 1, loss, inputs["input_ids"])
        return loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Adds the means of `Signals` over the batches since the last logged loss."""
        if "loss" in logs:
            self.losses.read()
            logs |= self.signals.means()
        if "train_runtime" in logs:  # the Trainer takes it from the time of day, which may be set while it trains
            logs["train_runtime"] = round(perf_counter() - self._began, 4)
            for name in ("train_samples_per_second", "train_steps_per_second"):
                logs.pop(name, None)
        super().log(logs, start_time)

    def evaluate(
        self, eval_dataset: Any = None, ignore_keys: list[str] | None = None, metric_key_prefix: str = "eval"
    ) -> dict[str, float]:
        """Dev scores of the model as it stands, with every random generator left as it was.

        One process scores, the others wait for what it finds.
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
        Path(self.args.output_dir).stat()  # raises if it has been removed: what is there now is no run's folder
        self.losses.read()
        if not is_finite(self.model):
            what = f"weights are not finite at step {self.state.global_step}, and were not saved"
            raise diverged(what, self.args.output_dir)
        with written_aside(output_dir or self.args.output_dir) as folder:
            self.model.save_pretrained(folder, recorded_pooler=self.model_args.test_pooler)
            (Path(output_dir or self.args.output_dir) / HEADS_FILE).unlink(missing_ok=True)  # an earlier run's

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """`write_model_card` for `output_dir`, instead of the Trainer's own."""
        if not self.is_world_process_zero():
            return
        folder = Path(self.args.output_dir)
        if (folder / SCORES_FILE).is_file():
            scores = read_json(folder / SCORES_FILE)
        else:  # the run goes on, and a checkpoint is pushed
            logged = [log for log in self.state.log_history if any(key.startswith("eval_") for key in log)]
            scores = logged[-1] if logged else {}
        options, examples = read_json(folder / ARGUMENTS_FILE), len(self.train_dataset)
        write_model_card(folder, self.model, options, examples=examples, scores=scores, name=self.hub_model_id)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """As the Trainer's, but written aside by all processes, then sealed, renamed, and old ones removed."""
        folder, best = Path(self.args.output_dir), self.state.best_global_step
        aside = place_aside(folder, self.state.global_step)
        self._writing_in = aside.parent
        try:
            super()._save_checkpoint(model, trial)
            wait_for_all()  # with what each of them writes
            if best and (best == self.state.global_step or best in checkpoints(folder)):
                self.state.best_model_checkpoint = str(folder / f"{PREFIX}{best}")
            if self.args.should_save:
                self.state.save_to_json(str(aside / STATE_FILE))
                place = put_in_place(aside, folder)
                kept = self.state.best_model_checkpoint
                prune(folder, self.args.save_total_limit, kept and Path(kept))
        finally:
            self._writing_in = None
            if self.args.should_save:
                shutil.rmtree(aside.parent, ignore_errors=True)
        wait_for_all()  # until it is there
        if self.args.push_to_hub and self.args.should_save:  # the others have no place of it
            push_checkpoint(self, str(place))

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._writing_in or super()._get_output_dir(trial))

    def _push_from_checkpoint(self, checkpoint_folder: str) -> None:
        """Nothing yet: it is pushed from where it will be."""

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        self.model.load_weights(resume_from_checkpoint)

    def _load_rng_state(self, checkpoint: str) -> None:
        try:
            super()._load_rng_state(checkpoint)
        except Exception as error:  # a file that its seal calls good, and that is no state of generators
            reason = f"{type(error).__name__}: {first_line(error)}"
            raise UserError(f"training did not start: {checkpoint} is damaged, delete it ({reason})") from error

    def _load_best_model(self) -> None:
        self.model.load_weights(self.state.best_model_checkpoint)

    def train(self, *arguments: Any, **keywords: Any) -> TrainOutput:
        """As the Trainer's; Ctrl-C and SIGTERM end it after the step, with a checkpoint (`StopOnSignal`)."""
        self._began = perf_counter()
        try:
            return super().train(*arguments, **keywords)
        finally:
            self.stopping.restore()
