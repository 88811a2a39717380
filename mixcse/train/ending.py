"""How a run ends: the step that is kept, its scores, and what is written beside the trained model."""

from pathlib import Path
from typing import Any

from transformers import EarlyStoppingCallback, TrainerState

from mixcse.base.files import read_json, write_json, written_aside
from mixcse.data.pairs import find_senteval_data
from mixcse.model.loading import hub_commit
from mixcse.train.announce import report
from mixcse.train.callbacks import TakeFolder
from mixcse.train.checkpoints import STATE_FILE, remove_skipped
from mixcse.train.folder import ARGUMENTS_FILE, CURVES_FILE, FINISHED_FILE, SCORES_FILE
from mixcse.train.model_card import write_model_card
from mixcse.train.trainer import MixCSETrainer


def train_or_take_over(trainer: MixCSETrainer, taken: TakeFolder) -> dict[str, Any]:
    """Train and return the metrics; where a run was stopped after its last step, load the step that is kept.

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
    for callback in (taken, trainer.checksums):
        callback.on_train_begin(trainer.args, state)
    best = state.best_model_checkpoint if trainer.args.load_best_model_at_end else None
    trainer.model.load_weights(best or checkpoint)
    return resumed


def scores_of_kept_step(trainer: MixCSETrainer) -> dict[str, Any]:
    """Return the dev scores of what `output_dir` now holds: from the log, if the kept step was scored."""
    state = trainer.state
    best = state.best_global_step if trainer.args.load_best_model_at_end else None
    kept = best or state.global_step
    logged = [log for log in state.log_history if log["step"] == kept and any(key.startswith("eval_") for key in log)]
    scores = logged[-1] if logged else trainer.evaluate() | {"step": kept}
    return dict(sorted(scores.items()))  # as the log of a resumed run has them


def write_results(trainer: MixCSETrainer, scores: dict[str, Any] | None, metrics: dict[str, Any]) -> None:
    """Write log, scores, curves and model card beside the trained model, and `train_results.json` last."""
    args, model_args, folder = trainer.args, trainer.model_args, Path(trainer.args.output_dir)
    commit = hub_commit(model_args.model_name_or_path, model_args.model_revision, model_args.cache_dir)
    remove_skipped(folder)
    with written_aside(folder) as temporary:
        trainer.state.save_to_json(str(temporary / STATE_FILE))
    if scores is not None:
        write_json(folder / SCORES_FILE, scores)
    draw(folder)
    options = read_json(folder / ARGUMENTS_FILE)
    write_model_card(
        folder,
        trainer.model,
        model_args,
        options,
        examples=len(trainer.train_dataset),
        scores=scores or {},
        name=args.hub_model_id,
    )
    write_json(folder / FINISHED_FILE, metrics | {"model_commit": commit})
    has_tasks = (find_senteval_data(options["senteval_data"]) / "downstream").is_dir()
    report(trainer, patient=not out_of_patience(trainer, trainer.state), has_tasks=has_tasks)


def draw(folder: Path) -> None:
    """Draw the curves of a run's log into its folder; without logged values there is no file."""
    from mixcse.report.figures import save_overview  # imports matplotlib, which takes a second

    save_overview(read_json(folder / STATE_FILE)["log_history"], folder / CURVES_FILE)


def out_of_patience(trainer: MixCSETrainer, state: TrainerState) -> bool:
    """Return whether early stopping ended the training: as it stands, or as a checkpoint records."""
    counting = [c for c in trainer.callback_handler.callbacks if isinstance(c, EarlyStoppingCallback)]
    if not counting:
        return False
    saved = state.stateful_callbacks.get(EarlyStoppingCallback.__name__, [])
    states = [*(saved if isinstance(saved, list) else [saved]), *(callback.state() for callback in counting)]
    counter, patience = "early_stopping_patience_counter", "early_stopping_patience"
    return any(state["attributes"][counter] >= state["args"][patience] for state in states)
