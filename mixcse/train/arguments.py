"""The options of training together with transformers' own, and what follows from one for another."""

import json
import os
from dataclasses import dataclass
from datetime import timedelta

import torch
from transformers import TrainingArguments
from transformers.trainer_utils import IntervalStrategy, SaveStrategy

from mixcse.base.errors import UserError
from mixcse.base.ranges import check_range
from mixcse.names import HELD_OUT_LOSS
from mixcse.options import Recipe
from mixcse.train.gpu_recipe import apply_gpu_recipe

COUNTS = (
    "per_device_eval_batch_size", "gradient_accumulation_steps", "eval_steps", "save_steps", "logging_steps",
    "embedding_chunk_size", "early_stopping_patience", "ddp_timeout", "dataloader_prefetch_factor",
    "eval_accumulation_steps", "torch_empty_cache_steps",
)  # fmt: skip
FROM_ZERO = ("weight_decay", "max_grad_norm", "warmup_steps", "dataloader_num_workers", "eval_delay")
TAKE_A_FILE = ("accelerator_config", "fsdp_config", "deepspeed")  # its name, or a JSON object
# Options of transformers' with nothing to act on here.
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
        self._check_numbers()
        self._check_kinds()
        if self.per_device_train_batch_size < 2:
            raise UserError("--per_device_train_batch_size must be at least 2: a batch's other sentences are negatives")
        self._resolve_evaluation()
        if self.eval_on_start and not self.do_eval:
            raise UserError("--eval_on_start needs dev scores, and there are none; add --do_eval")
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

    @property
    def device(self) -> torch.device:
        """Transformers' own; for several processes on a CPU it is `cpu:0`, which torch 2.11 cannot load to."""
        device = super().device
        return torch.device("cpu") if device.type == "cpu" else device

    def _check_numbers(self) -> None:
        for name in COUNTS:
            check_range(self, name, 1)
        for name in ("early_stopping_threshold", *FROM_ZERO):
            check_range(self, name, 0)
        for name in ("learning_rate", "num_train_epochs", "held_out", "adam_epsilon"):
            check_range(self, name, 0, open_below=True)
        for name in ("adam_beta1", "adam_beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise UserError(f"--{name} must be at least 0 and below 1, not {getattr(self, name)}")
        if self.max_steps < 1 and self.max_steps != -1:
            raise UserError(f"--max_steps must be at least 1, or -1 for whole epochs, not {self.max_steps}")
        for name in ("seed", "data_seed"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < 2**32:
                raise UserError(f"--{name} must lie in 0 to {2**32 - 1}, not {getattr(self, name)}")

    def _check_kinds(self) -> None:
        """What transformers takes and then fails on, or leaves out in silence."""
        for name in self._VALID_DICT_FIELDS:
            value = getattr(self, name, None)
            if not isinstance(value, str) or not value or (name in TAKE_A_FILE and not value.startswith("{")):
                continue
            try:
                known = isinstance(json.loads(value), dict)
            except (ValueError, RecursionError):
                known = False
            if not known:
                raise UserError(f"--{name} takes a JSON object, such as '{{\"key\": 1}}', not {value[:80]!r}")
        for name, reason in IMPOSSIBLE.items():
            if getattr(self, name, None):
                raise UserError(f"--{name}: {reason}; leave it out")

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
        if self.save_strategy == SaveStrategy.BEST and not self.do_eval:
            raise UserError("--save_strategy best needs dev scores, and there are none; add --do_eval")
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
