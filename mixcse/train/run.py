"""`train.py`: from options to a trained folder, in the order in which a sentence goes through."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter

from datasets import Dataset
from transformers import TrainerCallback, set_seed

from mixcse.base.console import quiet_libraries, say
from mixcse.base.errors import UserError
from mixcse.base.fields import warn_of_idle
from mixcse.base.group import from_main_process, leave
from mixcse.data.reading import expand_files
from mixcse.data.tokens import corpus_states, load_training_data
from mixcse.model.sentence_model import SentenceModel
from mixcse.options import DataArguments, ModelArguments
from mixcse.train import ending
from mixcse.train.announce import announce
from mixcse.train.arguments import TrainArguments
from mixcse.train.callbacks import TakeFolder
from mixcse.train.checkpoints import newest_usable
from mixcse.train.folder import RunFolder, resolved_options
from mixcse.train.hub import push
from mixcse.train.parsing import parse_training_arguments
from mixcse.train.prepare import check_options, load_dev_sets, load_model, make_trainer


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
    folder = RunFolder(args.output_dir, resolved_options(model_args, data_args, args))
    with ending.how_it_goes_on(folder), folder.locked() if args.should_save else nullcontext():
        finished, checkpoint = _where_it_stands(folder, model_args, data_args, args)
        if finished:
            ending.finished_already(folder, args)
            return
        set_seed(args.seed)
        model = load_model(model_args, data_args)
        warn_of_idle(model_args, data_args, args)
        data = _load_data(data_args, args, model, states)
        args.eval_on_start = args.eval_on_start and checkpoint is None
        start, taken = perf_counter(), TakeFolder(folder, checkpoint)
        with ending.unless_it_began(taken):
            trainer = make_trainer(model, model_args, data_args, args, data, dev_sets, callbacks)
            trainer.add_callback(taken)
            announce(trainer, checkpoint)
            metrics = ending.train_or_take_over(trainer, taken)
        if trainer.state.global_step == 0:
            raise UserError("not one step was made; check --max_steps, --num_train_epochs and --dataloader_drop_last")
        trainer.save_model(_internal_call=True)  # the model is not pushed before its card is written
        scores = ending.scores_of_kept_step(trainer) if args.do_eval else None
        if args.should_save:
            ending.write_results(trainer, scores, metrics, start)
        if args.push_to_hub:
            push(trainer)


def _where_it_stands(
    folder: RunFolder, model_args: ModelArguments, data_args: DataArguments, args: TrainArguments
) -> tuple[bool, Path | None]:
    """Whether the run is finished, and the checkpoint that it continues from, if it does."""
    if args.overwrite_output_dir:
        files = [*expand_files(data_args.train_file or ()), *([args.validation_file] if args.validation_file else [])]
        folder.check_inputs_stay([model_args.model_name_or_path, *files])
        return False, None
    folder.check_earlier_run()
    # One process looks, and all do as it says: a shared folder does not show the same to all at once.
    return from_main_process((folder.finished, newest_usable(folder.path)) if args.should_save else None)


def _load_data(data_args: DataArguments, args: TrainArguments, model: SentenceModel, states: list) -> Dataset:
    """The token ids of the training sentences; raises UserError if the files are no longer in these states."""
    with args.main_process_first(desc="tokenising"):  # the others read what it has cached
        overwrite = data_args.overwrite_cache and args.should_save
        data, found = load_training_data(data_args, model.tokenizer, prompt=model.prompt, overwrite_cache=overwrite)
    if corpus_states(data_args) != states:
        raise UserError(f"{data_args.source}: it changed while it was read; run the same command again")
    say(found.report(removed=data_args.dedupe))
    return data
