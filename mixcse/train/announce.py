"""What a run says of itself before its first step and after its last one."""

from pathlib import Path

from mixcse.base.console import say, warn
from mixcse.model.lora import adapted_layers, trained_share
from mixcse.names import HELD_OUT_LOSS, MIXING
from mixcse.train.callbacks import shown
from mixcse.train.folder import CURVES_FILE
from mixcse.train.trainer import MixCSETrainer


def announce(trainer: MixCSETrainer, checkpoint: Path | None) -> None:
    """What is trained, from where, and by what it is judged."""
    args, model_args = trainer.args, trainer.model_args
    batch = f"{args.per_device_train_batch_size}"
    if args.world_size > 1:
        whole = args.world_size * args.per_device_train_batch_size
        batch = f"{whole} ({batch} on each of {args.world_size} processes)"
    mixing = f", lambda {model_args.mixing_lambda}" if model_args.variant in MIXING else ""
    say(
        f"training {model_args.model_name_or_path} on {len(trainer.train_dataset):,} examples: {model_args.variant} "
        f"objective{mixing}, temperature {model_args.temperature}, batch {batch}, "
        f"seed {args.seed}, device {args.device}"
    )
    if checkpoint is not None:
        say(f"continuing from {checkpoint}")
    if trainer.model.adapters is not None:
        where = ", ".join(adapted_layers(trainer.model.adapters))
        say(f"adapters and heads alone are trained: {trained_share(trainer.model)}; adapters are in {where}")
    if trainer.model.prompt:
        say(f"before each sentence: {trainer.model.prompt!r}")
    if trainer.measures.views_are_equal():
        warn(
            "without dropout the two views of a sentence are the same, and nothing is learned from them; "
            "give the encoder some, such as --dropout 0.1, or adapters, which have their own (--lora_rank 16)"
        )
    if trainer.measures.held_out is not None:
        if trainer.eval_dataset.missing:
            say(f"no dev set: {trainer.eval_dataset.missing}")
        say(f"{len(trainer.measures.held_out):,} sentences are held out: evaluated by their loss, not trained on")
        if args.load_best_model_at_end and args.metric_for_best_model.endswith(HELD_OUT_LOSS):
            say(
                "the best step is chosen by this loss, which is not how similarity is judged: scored pairs "
                "(--validation_file, or STS-B by python -m mixcse.fetch) are a better judge"
            )
    if args.eval_on_start and trainer.is_world_process_zero():
        pooler, scores = trainer.measures.scores_as_shipped()
        parts = [f"{name} {shown(name, scores[name])}" for name in scores if name.endswith("_spearman")]
        if parts:
            say(f"untrained, with pooler {pooler} as its modules.json says: {', '.join(parts)}")
    if trainer.eval_dataset is None:
        say("no dev scores (--do_eval is not given): the last step will be kept")


def report(trainer: MixCSETrainer, *, patient: bool, has_tasks: bool) -> None:
    """Say where the training ended, which step was kept, and what can be done with it.

    Args:
        patient: whether early stopping would have gone on.
        has_tasks: whether SentEval's data are there.
    """
    args, state = trainer.args, trainer.state
    metric = (args.metric_for_best_model or "").removeprefix("eval_")
    if state.global_step < state.max_steps:
        why = "a callback asked for it" if patient else f"no better {metric} for as long as patience lasts"
        say(f"stopped early, at step {state.global_step} of {state.max_steps}: {why}")
    if args.load_best_model_at_end and state.best_global_step:
        start = next((log[f"eval_{metric}"] for log in state.log_history if f"eval_{metric}" in log), None)
        if start is not None and (start >= state.best_metric if args.greater_is_better else start <= state.best_metric):
            warn(f"no step beat the untrained model's {metric}, {shown(metric, start)}")
        best = shown(metric, state.best_metric)
        say(f"best {metric} {best} at step {state.best_global_step}, now in {args.output_dir}")
    else:
        if args.load_best_model_at_end:
            warn(f"{args.metric_for_best_model} was never a number; no step could be chosen by it")
        say(f"the last step is in {args.output_dir}")
    if (curves := Path(args.output_dir) / CURVES_FILE).is_file():
        say(f"curves of the run: {curves}")
    if has_tasks:
        say(f"score it: python -m mixcse evaluate --model_name_or_path {args.output_dir}")
    else:
        say(f"use it: python -m mixcse search --model {args.output_dir} --corpus FILE")
