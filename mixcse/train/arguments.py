"""The options of training together with transformers' own, and what follows from one for another."""

import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from mixcse.base.errors import UserError
from mixcse.base.fields import BELOW_ONE, Range, above, at_least, check_fields, within
from mixcse.names import HELD_OUT_LOSS
from mixcse.options import MOST_PROCESSES, Recipe
from mixcse.train.gpu_recipe import apply_gpu_recipe

# Of transformers' own options.
RANGES = {
    "max_steps": Range("be at least 1, or -1 for whole epochs", lambda value: value >= 1 or value == -1),
    "gradient_accumulation_steps": at_least(1),
    "eval_accumulation_steps": at_least(1),
    "torch_empty_cache_steps": at_least(1),
    "dataloader_prefetch_factor": at_least(1),
    "dataloader_num_workers": within(0, MOST_PROCESSES),
    "eval_delay": at_least(0),
    "warmup_steps": at_least(0),
    "weight_decay": at_least(0),
    "max_grad_norm": at_least(0),
    "adam_beta1": BELOW_ONE,
    "adam_beta2": BELOW_ONE,
    "adam_epsilon": above(0),
    "seed": within(0, 2**32 - 1),
    "data_seed": within(0, 2**32 - 1),
}
# And those of them with nothing to act on here.
IMPOSSIBLE = {
    "label_smoothing_factor": "the objective has no labels to smooth",
    "neftune_noise_alpha": "noise in the embeddings is not part of the objective",
    "deepspeed": "this trainer is not made for DeepSpeed",
    "do_predict": "there is nothing to predict; evaluation.py scores the trained folder",
    "resume_from_checkpoint": "not needed, the same command continues an unfinished run",
}


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
        check_fields(self, RANGES)
        for name, reason in IMPOSSIBLE.items():
            if getattr(self, name, None):
                raise UserError(f"--{name}: {reason}; leave it out")
        self._resolve_evaluation()
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

    @property
    def device(self) -> torch.device:
        """Transformers' own; for several processes on a CPU it is `cpu:0`, which torch 2.11 cannot load to."""
        device = super().device
        return torch.device("cpu") if device.type == "cpu" else device

    def _resolve_evaluation(self) -> None:
        asked = (
            *(self.do_eval, self.eval_steps, self.validation_file, self.held_out, self.eval_transfer),
            *(self.metric_for_best_model, self.load_best_model_at_end),
        )
        if self.eval_strategy is None:
            self.eval_strategy = "steps" if any(asked) else "no"
        self.do_eval = self.eval_strategy != IntervalStrategy.NO
        self.eval_steps = self.eval_steps or 125
        self.save_steps = self.save_steps or self.eval_steps
        self.logging_steps = self.logging_steps or min(self.eval_steps, 125)
        if not self.do_eval:
            self._check_nothing_needs_scores()
            self.save_strategy = self.save_strategy or SaveStrategy.STEPS
            self.load_best_model_at_end = self.load_best_model_at_end or False
            return
        self.eval_on_start = True  # the untrained model, before step 0
        if self.save_strategy is None:  # with the recipe, a checkpoint takes as long as 100 steps
            self.save_strategy = SaveStrategy.BEST if self.gpu_recipe else self.eval_strategy
        if self.load_best_model_at_end is None:
            self.load_best_model_at_end = True
        self.metric_is_default = self.metric_for_best_model is None
        if self.metric_is_default:
            self.metric_for_best_model = "stsb_spearman" if self.validation_file is None else "dev_spearman"
        if self.greater_is_better is None:
            self.greater_is_better = self.metric_for_best_model.removeprefix("eval_") != HELD_OUT_LOSS
        if self.early_stopping_patience is not None:
            self.restore_callback_states_from_checkpoint = True  # a continued run counts on

    def _check_nothing_needs_scores(self) -> None:
        for name, is_given in (
            ("eval_on_start", self.eval_on_start),
            ("save_strategy best", self.save_strategy == SaveStrategy.BEST),
            ("early_stopping_patience", self.early_stopping_patience is not None),
        ):
            if is_given:
                raise UserError(f"--{name} needs dev scores, and there are none; add --do_eval")
