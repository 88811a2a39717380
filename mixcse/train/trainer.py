"""The Trainer subclass: hooks only."""

import math
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from datasets import Dataset
from torch import Tensor, nn
from transformers import Trainer, TrainerCallback
from transformers.trainer_callback import PrinterCallback, ProgressCallback
from transformers.trainer_utils import TrainOutput

import senteval
from mixcse.base.errors import UserError, first_line
from mixcse.base.faults import one_line
from mixcse.base.files import read_json, written_aside
from mixcse.base.group import from_main_process, gather_rows, wait_for_all
from mixcse.base.rng import preserved_rng
from mixcse.data.batch import ContrastiveCollator
from mixcse.encoder.sentence_encoder import SentenceEncoder
from mixcse.evaluate.dev import DevSets
from mixcse.model.sentence_model import HEADS_FILE, SentenceModel
from mixcse.names import HELD_OUT_LOSS
from mixcse.objective import contrastive_loss, logit_blocks, loss_of_logits
from mixcse.options import ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.checkpoints import PREFIX, STATE_FILE, checkpoints, place_aside, prune, put_in_place, way_on
from mixcse.train.divergence import LossWatch, diverged, is_finite
from mixcse.train.folder import ARGUMENTS_FILE, SCORES_FILE
from mixcse.train.gpu_recipe import autocast
from mixcse.train.hub import push_checkpoint
from mixcse.train.model_card import write_model_card
from mixcse.train.progress import ReadableProgress
from mixcse.train.signals import Signals, cosine_histograms
from mixcse.train.stopping import StopOnSignal


class MixCSETrainer(Trainer):
    """Trains a `SentenceModel` by the contrastive objective and selects it by STS dev scores.

    Args:
        model: prepared for training (`SentenceModel.prepare_training`).
        model_args: the objective and its poolers.
        dev_sets: what `evaluate` scores; None if the run has no dev evaluation.
        callbacks: of transformers' kind, besides those it has.
        held_out: rows like the training data's whose loss `evaluate` gives too, as `held_out_loss`.
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
        callbacks: Sequence[TrainerCallback] = (),
    ) -> None:
        self.model_args = model_args
        self.held_out = held_out
        self.signals = Signals()
        self.losses = LossWatch(model, args.output_dir)
        self.stopping = StopOnSignal()
        self._began = perf_counter()
        self._writing_in: Path | None = None  # instead of the output folder, for a checkpoint
        super().__init__(
            model=model,
            args=args,
            data_collator=data_collator,
            train_dataset=train_dataset,
            eval_dataset=dev_sets,
            callbacks=list(callbacks),
        )
        self.loss_is_scaled_for_ga = False  # a mean over the batch: accumulation has to divide it
        for callback in (PrinterCallback, ProgressCallback):
            self.remove_callback(callback)
        self.add_callback(ReadableProgress())
        self.add_callback(self.stopping)

    def compute_loss(
        self, model: nn.Module, inputs: dict[str, Tensor], return_outputs: bool = False, **_: Any
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Contrastive loss of a batch, and the weighted masked-LM loss with `--do_mlm`."""
        outputs = model(**inputs)
        z, rows = gather_rows(outputs["embeddings"])  # the processes' batches are one
        blocks = logit_blocks(z, rows=rows, **self.model_args.objective)
        loss = loss_of_logits(torch.cat(list(blocks.values()), dim=1), rows)
        self.signals.observe(
            blocks,
            temperature=self.model_args.temperature,
            hard_negative_weight=self.model_args.hard_negative_weight,
            rows=rows,
        )
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
        scores = from_main_process(self._dev_scores() if self.is_world_process_zero() else None)
        metrics = {f"{metric_key_prefix}_{name}": score for name, score in scores.items()}
        self.log(dict(metrics))
        self.control = self.callback_handler.on_evaluate(self.args, self.state, self.control, metrics)
        return metrics

    def _dev_scores(self) -> dict[str, float]:
        encoder = SentenceEncoder(self.model, pooler=self.model_args.dev_pooler)
        batch_size = self.args.per_device_eval_batch_size
        try:
            with preserved_rng(), autocast(self.args):
                scores = self.eval_dataset.score(lambda sentences: encoder.encode(sentences, batch_size=batch_size))
            return scores if self.held_out is None else scores | {HELD_OUT_LOSS: self._held_out_loss()}
        except senteval.EncoderError as error:
            raise diverged(f"no dev scores at step {self.state.global_step}: {error}", self.args.output_dir) from error

    def cosines(self, sentences: int = 256) -> dict[str, list[int]]:
        """`cosine_histograms` of the first training examples, in batches as in training, dropout on."""
        totals: dict[str, Tensor] = {}
        first = self.train_dataset.select(range(min(sentences, len(self.train_dataset))))
        mixing_lambda = self.model_args.mixing_lambda
        for histograms in self._measured(first, 3, lambda z: cosine_histograms(z[:, :2], mixing_lambda)):
            for kind, counts in histograms.items():
                totals[kind] = totals.get(kind, 0) + torch.tensor(counts)
        return {kind: counts.tolist() for kind, counts in totals.items()}

    def _held_out_loss(self) -> float:
        """The mean contrastive loss of the held-out rows, in the same batches with the same dropout at every step."""
        whole = min(len(self.held_out), self.args.per_device_train_batch_size)
        objective = self.model_args.objective
        losses = self._measured(self.held_out, whole, lambda z: contrastive_loss(z, **objective).item())
        mean = sum(losses) / len(losses)
        if not math.isfinite(mean):
            what = f"the loss of held-out sentences is {mean} at step {self.state.global_step}"
            raise diverged(what, self.args.output_dir)
        return mean

    @torch.no_grad()
    def _measured(self, data: Dataset, at_least: int, measure: Callable[[Tensor], Any]) -> list[Any]:
        """`measure` of the embeddings, (n, num_sent, d), of each batch of so many rows, dropout on and seeded."""
        measured = []
        was_training = self.model.training
        self.model.train()
        with preserved_rng(), autocast(self.args):
            torch.manual_seed(self.args.seed)
            for rows in data.iter(self.args.per_device_train_batch_size):
                if len(rows["input_ids"]) < at_least:
                    continue
                batch = self.data_collator([{"input_ids": group} for group in rows["input_ids"]])
                inputs = {name: tensor.to(self.args.device) for name, tensor in batch.items() if "mlm" not in name}
                measured.append(measure(self.model(**inputs)["embeddings"]))
        self.model.train(was_training)
        return measured

    @torch.no_grad()
    def views_are_equal(self) -> bool:
        """Whether the two views of a sentence are, for there is no dropout; never of sentences given in pairs."""
        if len(self.train_dataset[0]["input_ids"]) > 1:
            return False
        batch = self.data_collator([self.train_dataset[0]])
        inputs = {name: tensor.to(self.args.device) for name, tensor in batch.items() if "mlm" not in name}
        was_training = self.model.training
        self.model.train()
        with preserved_rng(), autocast(self.args):
            first, second = self.model(**inputs)["embeddings"][0]
        self.model.train(was_training)
        return torch.allclose(first, second)

    def _save(self, output_dir: str | None = None, state_dict: dict[str, Tensor] | None = None) -> None:
        Path(self.args.output_dir).stat()  # raises if it has been removed: what is there now is no run's folder
        self.losses.read()
        if not is_finite(self.model):
            what = f"weights are not finite at step {self.state.global_step}, and were not saved"
            raise diverged(what, self.args.output_dir)
        with written_aside(output_dir or self.args.output_dir) as folder:
            self.model.save_pretrained(folder, recorded_pooler=self.model_args.test_pooler)
            (Path(output_dir or self.args.output_dir) / HEADS_FILE).unlink(missing_ok=True)  # an earlier run's

    def create_model_card(self, model_name: str | None = None, **metadata: Any) -> None:
        """`write_model_card` for `output_dir`, instead of the Trainer's own.

        Args:
            model_name: not used: the card names what loads the model.
            metadata: entries of its front matter, such as `license` or `language`.
        """
        if not self.is_world_process_zero():
            return
        folder = Path(self.args.output_dir)
        logged = [log for log in self.state.log_history if any(key.startswith("eval_") for key in log)]
        kept = read_json(folder / SCORES_FILE) if (folder / SCORES_FILE).is_file() else logged[-1] if logged else None
        options = read_json(folder / ARGUMENTS_FILE)
        examples = len(self.train_dataset)
        write_model_card(
            folder, self.model, options, examples=examples, scores=kept, name=self.hub_model_id, **metadata
        )

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
        except UserError:
            raise
        except Exception as error:  # torch and safetensors have their own for a full disk; all others go on
            if why := one_line(error, str(folder)):
                raise UserError(f"step {self.state.global_step} was not saved: {why}; then {way_on(folder)}") from error
            raise
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
