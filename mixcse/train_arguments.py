"""The options of training together with transformers' own, and what follows from one for another."""

import math
import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from mixcse.arguments import Recipe
from mixcse.console import UserError
from mixcse.gpu_recipe import apply_gpu_recipe
from mixcse.names import HELD_OUT_LOSS


@dataclass
class TrainArguments(Recipe, TrainingArguments):
    """Transformers' own options; where `Recipe` has one too, its default holds.

    Asking for anything of the dev evaluation (`--do_eval`, `--eval_steps`,
    `--metric_for_best_model`, …) asks for the whole: every `eval_steps` steps a score and a
    checkpoint, and the best one at the end.
    """

    def __post_init__(self) -> None:
        if not self.output_dir:
            raise UserError("--output_dir is missing: say where the trained model goes")
        self._check_numbers()
        if self.per_device_train_batch_size < 2:
            raise UserError("--per_device_train_batch_size must be at least 2: a batch's other sentences are negatives")
        self._resolve_evaluation()
        if self.eval_on_start is False:
            self.eval_on_start = self.do_eval  # the untrained model, before step 0
        if self.gpu_recipe:
            apply_gpu_recipe(self)
        # Without a GPU there is nothing to pin for, and torch would warn.
        self.dataloader_pin_memory = self.dataloader_pin_memory and torch.cuda.is_available()
        if torch.cuda.is_available():
            self.logging_nan_inf_filter = False  # it would wait for the GPU in every step
            self.accelerator_config = self.accelerator_config or {"non_blocking": True}
        if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available():
            self.use_cpu = True  # unless it is said, processes on CPUs do not find each other
            if not torch.distributed.is_initialized():  # transformers passes the time-out on for GPUs alone
                torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=self.ddp_timeout))
        super().__post_init__()
        if self.world_size > 1:
            self.dataloader_drop_last = True  # it would be filled up with repeated sentences: false negatives
            if self.ddp_find_unused_parameters is None:
                self.ddp_find_unused_parameters = False  # `prepare_training` has frozen them

    def _check_numbers(self) -> None:
        for name in ("per_device_eval_batch_size", "gradient_accumulation_steps"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, not {getattr(self, name)}")
        for name in ("learning_rate", "num_train_epochs"):
            if not 0 < getattr(self, name) < math.inf:
                raise UserError(f"--{name} must be a finite number above 0, not {getattr(self, name)}")
        for name in ("eval_steps", "save_steps", "logging_steps", "embedding_chunk_size", "early_stopping_patience"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 1, not {getattr(self, name)}")
        if not 0 <= (self.early_stopping_threshold or 0) < math.inf:
            raise UserError(f"--early_stopping_threshold must be at least 0, not {self.early_stopping_threshold}")
        if self.held_out is not None and not 0 < self.held_out < math.inf:
            raise UserError(f"--held_out must be above 0, a share (below 1) or a number, not {self.held_out}")
        if self.max_steps < 1 and self.max_steps != -1:
            raise UserError(f"--max_steps must be at least 1, or -1 for whole epochs, not {self.max_steps}")
        if not 0 <= self.seed < 2**32:
            raise UserError(f"--seed must lie in 0 to {2**32 - 1}, not {self.seed}")
        if self.resume_from_checkpoint:
            raise UserError("--resume_from_checkpoint: not needed, the same command continues an unfinished run")

    def _resolve_evaluation(self) -> None:
        asked = (
            self.do_eval,
            self.validation_file,
            self.held_out is not None,
            self.eval_transfer,
            self.metric_for_best_model,
            self.load_best_model_at_end,
        )
        evaluates = any(asked) or self.eval_steps is not None or self.eval_strategy not in (None, "no")
        if self.eval_strategy is None:
            self.eval_strategy = "steps" if evaluates else "no"
        self.do_eval = self.eval_strategy != IntervalStrategy.NO
        self.eval_steps = self.eval_steps or 125
        self.save_steps = self.save_steps or self.eval_steps
        self.logging_steps = self.logging_steps or min(self.eval_steps, 125)
        if self.save_strategy is None and self.gpu_recipe and self.do_eval:
            self.save_strategy = SaveStrategy.BEST  # a checkpoint takes as long as 100 steps
        if self.save_strategy is None:
            self.save_strategy = self.eval_strategy if self.do_eval else SaveStrategy.STEPS
        if self.load_best_model_at_end is None:
            self.load_best_model_at_end = self.do_eval
        if self.do_eval:
            self.metric_is_default = self.metric_for_best_model is None
            default = "stsb_spearman" if self.validation_file is None else "dev_spearman"
            self.metric_for_best_model = self.metric_for_best_model or default
            if self.greater_is_better is None:
                self.greater_is_better = self.metric_for_best_model.removeprefix("eval_") != HELD_OUT_LOSS
        if self.early_stopping_patience is not None:
            if not self.do_eval:
                raise UserError("--early_stopping_patience needs dev scores, and there are none; add --do_eval")
            self.restore_callback_states_from_checkpoint = True  # a continued run counts on
