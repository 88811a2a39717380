"""How a run ends: finished already, refused, interrupted, on a faulty machine, or with a trained folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any

from transformers import EarlyStoppingCallback, TrainerState

from mixcse.base.console import say, warn
from mixcse.base.errors import UserError, first_line, is_out_of_memory, one_line
from mixcse.base.files import read_json, remove_asides, write_json, written_aside
from mixcse.model.loading import hub_commit
from mixcse.train.announce import report
from mixcse.train.arguments import TrainArguments
from mixcse.train.callbacks import TakeFolder
from mixcse.train.checkpoints import STATE_FILE, remove_skipped, way_on
from mixcse.train.folder import CURVES_FILE, FINISHED_FILE, SCORES_FILE, RunFolder
from mixcse.train.hub import how_to_push
from mixcse.train.trainer import MixCSETrainer

LESS_MEMORY = (
    "out of memory; give a smaller --per_device_train_batch_size or --max_seq_length, --padding none, or "
    "--embedding_chunk_size, which keeps the batch (another option needs --overwrite_output_dir)"
)


@contextmanager
def how_it_goes_on(folder: RunFolder) -> Iterator[None]:
    """Has an interruption and a fault of the machine say how the run continues; other errors pass as they are."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise stop if stop.args else type(stop)(f"interrupted; {way_on(folder.path)}") from stop
    except Exception as error:
        line = LESS_MEMORY if is_out_of_memory(error) else one_line(error)
        if line is None:
            raise
        raise UserError(f"{line}; {way_on(folder.path)}") from error


@contextmanager
def unless_it_began(taken: TakeFolder) -> Iterator[None]:
    """Until the first step, whatever transformers raises is about options that do not go together, or a checkpoint."""
    try:
        yield
    except Exception as error:  # it has many kinds
        if taken.done or isinstance(error, UserError) or one_line(error):
            raise
        where = f"{taken.checkpoint} is damaged, delete it" if taken.checkpoint else "these options cannot be run"
        raise UserError(f"training did not start: {where} ({type(error).__name__}: {first_line(error)})") from error


def finished_already(folder: RunFolder, args: TrainArguments) -> None:
    """Say that the run is finished; draw its curves if they are missing."""
    if args.should_save and not (folder.path / CURVES_FILE).exists():
        remove_asides(folder.path)
        draw(folder.path)
    say(f"{folder.path}: this run is finished; nothing to do (--overwrite_output_dir starts afresh)")
    if args.push_to_hub:
        say(how_to_push(args))


def train_or_take_over(trainer: MixCSETrainer, taken: TakeFolder) -> dict[str, Any]:
    """Trains; or, where a run was stopped after its last step, loads what it chose.

    (The Trainer would make one step too many.)
    """
    checkpoint = taken.checkpoint
    if checkpoint is None:
        return trainer.train().metrics
    state = TrainerState.load_from_json(str(checkpoint / STATE_FILE))
    resumed = {"resumed_from_step": state.global_step}  # time and loss are of what follows it
    if state.global_step < state.max_steps and not out_of_patience(trainer, state):
        return trainer.train(resume_from_checkpoint=str(checkpoint)).metrics | resumed
    trainer.state = state
    taken.on_train_begin(trainer.args, state)
    best = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer.model.load_weights(best or checkpoint)
    return resumed


def scores_of_kept_step(trainer: MixCSETrainer) -> dict[str, Any]:
    """The dev scores of what `output_dir` now holds: from the log, where the kept step was scored."""
    state = trainer.state
    best = state.best_global_step if trainer.args.load_best_model_at_end else None
    kept = best or state.global_step
    logged = [log for log in state.log_history if log["step"] == kept and any(key.startswith("eval_") for key in log)]
    scores = logged[-1] if logged else trainer.evaluate() | {"step": kept}
    return dict(sorted(scores.items()))  # as the log of a continued run has them


def write_results(
    trainer: MixCSETrainer,
    scores: dict[str, Any] | None,
    metrics: dict[str, Any],
    start: float,
) -> None:
    """Write scores, log, curves and model card beside the trained model, and report where they are."""
    folder, model_args = Path(trainer.args.output_dir), trainer.model_args
    commit = hub_commit(model_args.model_name_or_path, model_args.model_revision, model_args.cache_dir)
    metrics |= {"seconds": perf_counter() - start, "model_commit": commit}
    remove_skipped(folder)
    with written_aside(folder) as aside:
        trainer.state.save_to_json(str(aside / STATE_FILE))
    if scores is not None:
        write_json(folder / SCORES_FILE, scores)
    draw(folder)  # before the card, which shows the curves
    with _done_without(f"{folder} has no model card"):
        trainer.create_model_card()
    write_json(folder / FINISHED_FILE, metrics)
    report(trainer, patient=not out_of_patience(trainer, trainer.state))


def draw(folder: Path) -> None:
    """Draw the curves of a run's log into `folder`; without logged values there is no file."""
    with _done_without(f"{folder} has no {CURVES_FILE}"):
        from mixcse.report.figures import save_overview  # imports matplotlib, which takes a second

        save_overview(read_json(folder / STATE_FILE)["log_history"], folder / CURVES_FILE)


@contextmanager
def _done_without(what: str) -> Iterator[None]:
    """Warn about an error in drawing or in the card: neither may lose a trained model.  Raise faults of the machine."""
    try:
        yield
    except Exception as error:
        if one_line(error):
            raise
        warn(f"{what}: {type(error).__name__}: {first_line(error)}")


def out_of_patience(trainer: MixCSETrainer, state: TrainerState) -> bool:
    """Whether early stopping ended the training: as it stands, or as a checkpoint says."""
    counting = [c for c in trainer.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)]
    if not counting:
        return False
    saved = state.stateful_callbacks.get(EarlyStoppingCallback.__name__, [])
    states = [*(saved if isinstance(saved, list) else [saved]), *(callback.state() for callback in counting)]
    counter, patience = "early_stopping_patience_counter", "early_stopping_patience"
    return any(state["attributes"][counter] >= state["args"][patience] for state in states)
