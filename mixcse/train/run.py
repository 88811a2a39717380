"""`train.py`: from options to a trained folder."""

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any

import torch
from transformers import EarlyStoppingCallback, TrainerCallback, TrainerState, set_seed

from mixcse.base.console import quiet_libraries, say, warn
from mixcse.base.errors import UserError, first_line
from mixcse.base.faults import TRAINING_FLAGS, is_out_of_memory, one_line
from mixcse.base.files import remove_asides, write_json, written_aside
from mixcse.base.group import from_main_process, leave
from mixcse.data.reading import expand_files
from mixcse.data.tokens import corpus_states, load_training_data
from mixcse.evaluate.dev import DevSets
from mixcse.model.loading import hub_commit
from mixcse.model.lora import trained_share
from mixcse.names import HELD_OUT_LOSS
from mixcse.options import DataArguments, ModelArguments
from mixcse.train.arguments import TrainArguments
from mixcse.train.checkpoints import STATE_FILE, newest_usable, prune, remove_skipped, way_on
from mixcse.train.folder import COSINES_FILE, FINISHED_FILE, REPORT_FILE, SCORES_FILE, RunFolder, resolved_options
from mixcse.train.hub import how_to_push, push
from mixcse.train.parsing import parse_training_arguments
from mixcse.train.prepare import check_options, load_dev_sets, load_model, make_trainer
from mixcse.train.progress import shown
from mixcse.train.trainer import MixCSETrainer


def main(argv: list[str]) -> None:
    """Trains as the command line says; raises UserError for what the user can put right."""
    quiet_libraries()
    train(*parse_training_arguments(argv))
    leave()


def train(
    model_args: ModelArguments,
    data_args: DataArguments,
    args: TrainArguments,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Trains a model into `args.output_dir`, continues there, or says that it is finished.

    Under `torchrun` every process calls this; the first one alone scores, writes and speaks.

    At the end `output_dir` holds the best checkpoint by `metric_for_best_model` (the last
    step without any) as a plain Hugging Face folder that sentence-transformers loads as
    well, with a model card, `train_results.json`, `eval_results.json`, `trainer_state.json` and
    `arguments.json`.  With `--push_to_hub` it is then pushed.

    Args:
        callbacks: of transformers' kind, for the Trainer.

    Raises:
        UserError: options, data or model are unusable (an earlier run in the folder is
            untouched then), or the training diverged.
    """
    check_options(model_args, data_args, args)
    dev_sets = load_dev_sets(data_args, args)
    states = corpus_states(data_args)
    folder = RunFolder(args.output_dir, resolved_options(data_args, model_args, data_args, args))
    try:
        _train(model_args, data_args, args, callbacks, dev_sets, folder, states)
    except KeyboardInterrupt as stop:
        raise stop if stop.args else type(stop)(f"interrupted; {way_on(folder.path)}") from stop
    except Exception as error:
        if said := _on_a_faulty_machine(error, folder):
            raise said from error
        raise
    finally:
        folder.release()


def _train(
    model_args: ModelArguments,
    data_args: DataArguments,
    args: TrainArguments,
    callbacks: Sequence[TrainerCallback],
    dev_sets: DevSets | None,
    folder: RunFolder,
    states: list[tuple[int, int] | None],
) -> None:
    afresh, checkpoint = args.overwrite_output_dir, None
    if afresh:
        files = [*expand_files(data_args.train_file or ()), *([args.validation_file] if args.validation_file else [])]
        folder.check_inputs_stay([model_args.model_name_or_path, *files])
    else:
        folder.check_earlier_run()
    if args.should_save and folder.holds_a_run:
        folder.lock()
    if not afresh:
        # One process looks, and all do as it says: a shared folder does not show the same to all at once.
        finished, checkpoint = from_main_process(
            (folder.finished, newest_usable(folder.path)) if args.should_save else None
        )
        if finished:
            if args.should_save and not (folder.path / REPORT_FILE).exists():  # it was killed before its page was drawn
                remove_asides(folder.path)
                _draw(folder.path)
            say(f"{folder.path}: this run is finished; nothing to do (--overwrite_output_dir starts afresh)")
            if args.push_to_hub:
                say(how_to_push(args))
            return
    set_seed(args.seed)
    model = load_model(model_args, data_args)
    with args.main_process_first(desc="tokenising"):  # the others read what it has cached
        overwrite = data_args.overwrite_cache and args.should_save
        data, found = load_training_data(data_args, model.tokenizer, overwrite_cache=overwrite)
    if corpus_states(data_args) != states:
        raise UserError(f"{data_args.source}: it changed while it was read; run the same command again")
    say(found.report(removed=data_args.dedupe))
    args.eval_on_start = args.eval_on_start and checkpoint is None
    begin, there = _Begin(folder, checkpoint, afresh), folder.path.exists()
    start = perf_counter()
    try:
        trainer = make_trainer(model, model_args, data_args, args, data, dev_sets, callbacks)
        trainer.add_callback(begin)
        _announce(trainer, checkpoint)
        untrained_cosines = trainer.cosines()  # also on a resume: the checkpoint's weights come later
        metrics = _train_or_take_over(trainer, checkpoint, begin)
    except Exception as error:  # transformers has many kinds for options that do not go together
        if not begin.done and not there:
            with suppress(OSError):  # it is not there, or no longer empty
                folder.path.rmdir()  # the Trainer made it
        if begin.done or isinstance(error, UserError) or one_line(error):
            raise
        reason = f"{type(error).__name__}: {first_line(error)}"
        where = f"{checkpoint} is damaged, delete it" if checkpoint else "these options cannot be run"
        raise UserError(f"training did not start: {where} ({reason})") from error
    if trainer.state.global_step == 0:
        raise UserError("not one step was made; check --max_steps, --num_train_epochs and --dataloader_drop_last")
    trainer.save_model(_internal_call=True)  # the model is not pushed before its card is written
    scores = _scores_of_kept_step(trainer) if args.do_eval else None
    if args.should_save:
        write_json(folder.path / COSINES_FILE, {"untrained": untrained_cosines, "trained": trainer.cosines()})
        commit = hub_commit(model_args.model_name_or_path, model_args.model_revision, model_args.cache_dir)
        metrics |= {"seconds": perf_counter() - start, "model_commit": commit}
        _finish(trainer, folder.path, scores, metrics)
    if args.push_to_hub:
        push(trainer)


def _train_or_take_over(trainer: MixCSETrainer, checkpoint: Path | None, begin: "_Begin") -> dict[str, Any]:
    """Trains; or, where a run was stopped after its last step, loads what it chose.

    (The Trainer would make one step too many.)
    """
    if checkpoint is None:
        return trainer.train().metrics
    state = TrainerState.load_from_json(str(checkpoint / STATE_FILE))
    resumed = {"resumed_from_step": state.global_step}  # time and loss are of what follows it
    if state.global_step < state.max_steps and not _out_of_patience(trainer, state):
        return trainer.train(resume_from_checkpoint=str(checkpoint)).metrics | resumed
    trainer.state = state
    begin.on_train_begin(trainer.args, state)
    best = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer.model.load_weights(best or checkpoint)
    return resumed


def _on_a_faulty_machine(error: Exception, folder: RunFolder) -> UserError | None:
    """What is wrong with the machine, and how the run goes on; None if the error is another one."""
    what = None if isinstance(error, UserError) else one_line(error, str(folder.path))
    if what is None:
        return None
    less = f"; what needs less (--overwrite_output_dir starts afresh with it): {TRAINING_FLAGS}"
    return UserError(f"{what}; then {way_on(folder.path)}{less if is_out_of_memory(error) else ''}")


def _out_of_patience(trainer: MixCSETrainer, state: TrainerState) -> bool:
    """Whether early stopping ended the training: as it stands, or as a checkpoint says."""
    counting = [c for c in trainer.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)]
    if not counting:
        return False
    saved = state.stateful_callbacks.get(EarlyStoppingCallback.__name__, [])
    states = [*(saved if isinstance(saved, list) else [saved]), *(callback.state() for callback in counting)]
    counter, patience = "early_stopping_patience_counter", "early_stopping_patience"
    return any(state["attributes"][counter] >= state["args"][patience] for state in states)


class _Begin(TrainerCallback):
    """Takes the output folder over once model, data and options have all been accepted."""

    def __init__(self, folder: RunFolder, checkpoint: Path | None, afresh: bool) -> None:
        self.folder, self.checkpoint, self.afresh, self.done = folder, checkpoint, afresh, False

    def on_train_begin(self, args: TrainArguments, state: TrainerState, *others: Any, **kwargs: Any) -> None:
        if args.should_save:
            self.folder.begin(self.checkpoint, afresh=self.afresh)
        if state.best_model_checkpoint is not None:  # the folder may have been called otherwise
            state.best_model_checkpoint = str(self.folder.path / Path(state.best_model_checkpoint).name)
        if args.should_save:  # a run that was killed before it did may have no more checkpoint to write
            best = state.best_model_checkpoint
            prune(self.folder.path, args.save_total_limit, best and Path(best))
        if args.world_size > 1:
            torch.manual_seed(args.seed + args.process_index)  # each has dropout masks of its own
        self.done = True


def _finish(trainer: MixCSETrainer, output_dir: Path, scores: dict[str, Any] | None, metrics: dict[str, Any]) -> None:
    remove_skipped(output_dir)
    with written_aside(output_dir) as aside:
        trainer.state.save_to_json(str(aside / STATE_FILE))
    if scores is not None:
        write_json(output_dir / SCORES_FILE, scores)
    try:
        trainer.create_model_card()
    except Exception as error:  # as with its curves, below
        if one_line(error):
            raise
        warn(f"{output_dir} has no model card: {type(error).__name__}: {first_line(error)}")
    write_json(output_dir / FINISHED_FILE, metrics)
    _draw(output_dir)
    _report(trainer)


def _draw(output_dir: Path) -> None:
    from mixcse.train.page import write_run_report  # matplotlib is needed here alone

    try:
        write_run_report(output_dir)
    except Exception as error:  # the run is finished and safe, whatever a drawing library says
        if one_line(error):
            raise
        warn(f"{output_dir} has no {REPORT_FILE}: {type(error).__name__}: {first_line(error)}")


def _scores_of_kept_step(trainer: MixCSETrainer) -> dict[str, Any]:
    """The dev scores of what `output_dir` now holds: from the log, where the kept step was scored."""
    state = trainer.state
    best = state.best_global_step if trainer.args.load_best_model_at_end else None
    kept = best or state.global_step
    logged = [log for log in state.log_history if log["step"] == kept and any(key.startswith("eval_") for key in log)]
    scores = logged[-1] if logged else trainer.evaluate() | {"step": kept}
    return dict(sorted(scores.items()))  # as the log of a continued run has them


def _announce(trainer: MixCSETrainer, checkpoint: Path | None) -> None:
    args, model_args = trainer.args, trainer.model_args
    batch = f"{args.per_device_train_batch_size}"
    if args.world_size > 1:
        whole = args.world_size * args.per_device_train_batch_size
        batch = f"{whole} ({batch} on each of {args.world_size} processes)"
    mixing = "" if model_args.variant == "simcse" else f", lambda {model_args.mixing_lambda}"
    say(
        f"training {model_args.model_name_or_path} on {len(trainer.train_dataset):,} examples: {model_args.variant} "
        f"objective{mixing}, temperature {model_args.temperature}, batch {batch}, "
        f"seed {args.seed}, device {args.device}"
    )
    if checkpoint is not None:
        say(f"continuing from {checkpoint}")
    if trainer.model.adapters is not None:
        say(f"adapters and heads alone are trained: {trained_share(trainer.model)}")
    if trainer.views_are_equal():
        warn(
            "without dropout the two views of a sentence are the same, and nothing is learned from them; "
            "give the encoder some, such as --dropout 0.1"
        )
    if trainer.held_out is not None:
        if trainer.eval_dataset.missing:
            say(f"no dev set: {trainer.eval_dataset.missing}")
        say(f"{len(trainer.held_out):,} sentences are held out: evaluated by their loss, not trained on")
        if args.load_best_model_at_end and args.metric_for_best_model.endswith(HELD_OUT_LOSS):
            say(
                "the best step is chosen by this loss, which is not how similarity is judged: scored pairs "
                "(--validation_file, or STS-B by python -m mixcse.fetch) are a better judge"
            )
    if trainer.eval_dataset is None:
        say("no dev scores (--do_eval is not given): the last step will be kept")


def _report(trainer: MixCSETrainer) -> None:
    args, state = trainer.args, trainer.state
    if state.global_step < state.max_steps:
        why = "a callback asked for it"
        if _out_of_patience(trainer, state):
            why = f"no better {args.metric_for_best_model.removeprefix('eval_')} for as long as patience lasts"
        say(f"stopped early, at step {state.global_step} of {state.max_steps}: {why}")
    if args.load_best_model_at_end and state.best_global_step:
        metric = args.metric_for_best_model.removeprefix("eval_")
        start = next((log[f"eval_{metric}"] for log in state.log_history if f"eval_{metric}" in log), None)
        if start is not None and (start >= state.best_metric if args.greater_is_better else start <= state.best_metric):
            warn(f"no step beat the untrained model's {metric}, {shown(metric, start)}")
        best = shown(metric, state.best_metric)
        say(f"best {metric} {best} at step {state.best_global_step}, now in {args.output_dir}")
    else:
        if args.load_best_model_at_end:
            warn(f"{args.metric_for_best_model} was never a number; no step could be chosen by it")
        say(f"the last step is in {args.output_dir}")
    say(f"its curves: {Path(args.output_dir) / REPORT_FILE}")
    say(f"score it: python -m mixcse evaluate --model_name_or_path {args.output_dir}")
