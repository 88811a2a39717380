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
    "hub_always_push": "the model is uploaded once, after training",
}


@dataclass
class TrainArguments(Recipe, TrainingArguments):
    """Transformers' own options; where `Recipe` has one too, its default holds.  `resolve` completes them."""

    def __post_init__(self) -> None:
        """Leave the options as they were given; `resolve` runs what transformers does here."""

    @property
    def device(self) -> torch.device:
        """Transformers' own; for several processes on a CPU it is `cpu:0`, which torch 2.11 cannot load to."""
        device = super().device
        return torch.device("cpu") if device.type == "cpu" else device


def resolve(args: TrainArguments) -> TrainArguments:
    """Check the options, fill in what follows from one for another, and return them.

    Asking for anything of the dev evaluation (`--do_eval`, `--eval_steps`,
    `--metric_for_best_model`, …) asks for the whole: every `eval_steps` steps a score and a
    checkpoint, and the best one at the end.

    Raises:
        UserError, ValueError: an option is missing, out of its range, or does not go with another.
    """
    if not args.output_dir:
        raise UserError("--output_dir is missing: say where the trained model goes")
    check_fields(args, RANGES)
    for name, reason in IMPOSSIBLE.items():
        if getattr(args, name, None):
            raise UserError(f"--{name}: {reason}; leave it out")
    _resolve_evaluation(args)
    for name in ("eval_steps", "save_steps", "logging_steps"):
        if getattr(args, name) >= 1:  # else it is a share of the run
            setattr(args, name, int(getattr(args, name)))
    if args.gpu_recipe:
        apply_gpu_recipe(args)
    # Without a GPU there is nothing to pin for, and torch would warn.
    args.dataloader_pin_memory = args.dataloader_pin_memory and torch.cuda.is_available()
    if torch.cuda.is_available():
        args.logging_nan_inf_filter = False  # it would wait for the GPU in every step
        args.accelerator_config = args.accelerator_config or {"non_blocking": True}
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not torch.accelerator.is_available():
        _join_processes_on_cpus(args)
    TrainingArguments.__post_init__(args)
    if args.world_size > 1:
        args.dataloader_drop_last = True  # it would be filled up with repeated sentences: false negatives
        if args.ddp_find_unused_parameters is None:
            args.ddp_find_unused_parameters = False  # `prepare_training` has frozen them
    return args


def _join_processes_on_cpus(args: TrainArguments) -> None:
    """Connect the processes that torchrun launched: transformers does so, with a time-out, for GPUs alone."""
    args.use_cpu = True
    if not torch.distributed.is_initialized():
        torch.distributed.init_process_group("gloo", timeout=timedelta(seconds=args.ddp_timeout))


def _resolve_evaluation(args: TrainArguments) -> None:
    asked = (
        *(args.do_eval, args.eval_steps, args.validation_file, args.held_out, args.eval_transfer),
        *(args.metric_for_best_model, args.load_best_model_at_end),
    )
    if args.eval_strategy is None:
        args.eval_strategy = "steps" if any(asked) else "no"
    args.do_eval = args.eval_strategy != IntervalStrategy.NO
    args.eval_steps = args.eval_steps or 125
    args.save_steps = args.save_steps or args.eval_steps
    args.logging_steps = args.logging_steps or min(args.eval_steps, 125)
    if not args.do_eval:
        _check_nothing_needs_scores(args)
        args.save_strategy = args.save_strategy or SaveStrategy.STEPS
        args.load_best_model_at_end = args.load_best_model_at_end or False
        return
    args.eval_on_start = True  # the untrained model, before step 0
    if args.save_strategy is None:  # with the recipe, a checkpoint takes as long as 100 steps
        args.save_strategy = SaveStrategy.BEST if args.gpu_recipe else args.eval_strategy
    if args.load_best_model_at_end is None:
        args.load_best_model_at_end = True
    args.metric_is_default = args.metric_for_best_model is None
    if args.metric_is_default:
        args.metric_for_best_model = "stsb_spearman" if args.validation_file is None else "dev_spearman"
    if args.greater_is_better is None:
        args.greater_is_better = args.metric_for_best_model.removeprefix("eval_") != HELD_OUT_LOSS
    if args.early_stopping_patience is not None:
        args.restore_callback_states_from_checkpoint = True  # a continued run counts on


def _check_nothing_needs_scores(args: TrainArguments) -> None:
    for name, is_given in (
        ("eval_on_start", args.eval_on_start),
        ("save_strategy best", args.save_strategy == SaveStrategy.BEST),
        ("early_stopping_patience", args.early_stopping_patience is not None),
    ):
        if is_given:
            raise UserError(f"--{name} needs dev scores, and there are none; add --do_eval")
