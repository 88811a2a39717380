"""`train.py`: from options to a trained folder, in the order in which a sentence goes through."""

from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from time import perf_counter

from datasets import Dataset
from transformers import TrainerCallback, set_seed

from mixcse.base.console import quiet_libraries, say
from mixcse.base.errors import UserError, first_line, is_out_of_memory, one_line
from mixcse.base.fields import warn_of_idle
from mixcse.base.group import from_main_process, leave
from mixcse.data.corpus import Corpus
from mixcse.data.tokens import load_training_data
from mixcse.evaluate.dev import DevSets
from mixcse.model.sentence_model import SentenceModel
from mixcse.options import DataArguments, ModelArguments
from mixcse.train.announce import announce
from mixcse.train.arguments import TrainArguments
from mixcse.train.callbacks import TakeFolder
from mixcse.train.checkpoints import how_to_resume, newest_usable
from mixcse.train.ending import scores_of_kept_step, train_or_take_over, write_results
from mixcse.train.folder import RunFolder, resolved_options
from mixcse.train.hub import upload
from mixcse.train.parsing import parse_training_arguments
from mixcse.train.prepare import check_options, load_dev_sets, load_model, make_trainer

LESS_MEMORY = (
    "out of memory; give a smaller --per_device_train_batch_size or --max_seq_length, --padding none, or "
    "--embedding_chunk_size, which keeps the batch (another option needs --overwrite_output_dir)"
)


def main(argv: list[str], callbacks: Sequence[TrainerCallback] = ()) -> None:
    """Train as the command line says; an interrupt, and an error of the machine, say how the run is resumed.

    Args:
        callbacks: for the Trainer.

    Raises:
        UserError: what the user can put right; or the machine's disk or memory failed.
        KeyboardInterrupt: Ctrl-C, or SIGTERM (`Terminated`).
    """
    quiet_libraries()
    model_args, data_args, args = parse_training_arguments(argv)
    try:
        train(model_args, data_args, args, callbacks)
    except KeyboardInterrupt as stop:
        raise stop if stop.args else type(stop)(f"interrupted; {how_to_resume(Path(args.output_dir))}") from stop
    except Exception as error:  # of disk or memory; every other one is raised again
        line = LESS_MEMORY if is_out_of_memory(error) else one_line(error)
        if line is None:
            raise
        raise UserError(f"{line}; {how_to_resume(Path(args.output_dir))}") from error
    leave()


def train(
    model_args: ModelArguments,
    data_args: DataArguments,
    args: TrainArguments,
    callbacks: Sequence[TrainerCallback] = (),
) -> None:
    """Train a model into `args.output_dir`, resume there, or say that the run is finished.

    Under `torchrun` every process calls this; the first one alone scores, writes and logs.

    At the end `output_dir` holds the best checkpoint by `metric_for_best_model` (the last
    step without any) as a plain Hugging Face folder that sentence-transformers loads as
    well, with a model card, `curves.png`, `train_results.json`, `eval_results.json`,
    `trainer_state.json` and `arguments.json`.  With `--push_to_hub` it is then uploaded.

    Raises:
        UserError: options, data or model are unusable (an earlier run in the folder is
            untouched then), or the training diverged.
    """
    check_options(model_args, data_args, args)
    dev_sets = load_dev_sets(data_args, args)
    corpus, push = Corpus.open(data_args), args.push_to_hub
    folder = RunFolder(args.output_dir, resolved_options(model_args, data_args, args, corpus.sha256))
    with folder.locked() if args.should_save else nullcontext():
        finished, checkpoint = _where_it_stands(folder, model_args, corpus, args)
        if finished:
            say(f"{folder.path}: this run is finished; nothing to train (--overwrite_output_dir starts afresh)")
        else:
            set_seed(args.seed)
            model = load_model(model_args, data_args)
            warn_of_idle(model_args, data_args, args)
            data = _load_data(corpus, args, model)
            taken = TakeFolder(folder, checkpoint)
            _train(model, model_args, data_args, args, data, dev_sets, taken, callbacks)
        if push and args.should_save:
            upload(args)


def _train(
    model: SentenceModel,
    model_args: ModelArguments,
    data_args: DataArguments,
    args: TrainArguments,
    data: Dataset,
    dev_sets: DevSets | None,
    taken: TakeFolder,
    callbacks: Sequence[TrainerCallback],
) -> None:
    """Train, save the kept step, and write its scores, curves and card."""
    start = perf_counter()
    args.eval_on_start = args.eval_on_start and taken.checkpoint is None
    try:
        trainer = make_trainer(model, model_args, data_args, args, data, dev_sets, [taken, *callbacks])
        announce(trainer, taken.checkpoint)
        metrics = train_or_take_over(trainer, taken)
    except (ValueError, TypeError, ImportError, AttributeError, OverflowError, RuntimeError) as error:
        if taken.done or one_line(error):
            raise
        what = f"{type(error).__name__}: {first_line(error)}"  # transformers checks some options this late
        raise UserError(f"training did not start: these options cannot be run ({what})") from error
    if trainer.state.global_step == 0:
        raise UserError("not one step was made; check --max_steps, --num_train_epochs and --dataloader_drop_last")
    trainer.save_model()
    scores = scores_of_kept_step(trainer) if args.do_eval else None
    if args.should_save:
        write_results(trainer, scores, metrics | {"seconds": perf_counter() - start})


def _where_it_stands(
    folder: RunFolder, model_args: ModelArguments, corpus: Corpus, args: TrainArguments
) -> tuple[bool, Path | None]:
    """Return whether the run is finished, and the checkpoint that it resumes from, if any."""
    if args.overwrite_output_dir:
        folder.check_inputs_stay([model_args.model_name_or_path, *corpus.files, args.validation_file or ""])
        return False, None
    folder.check_earlier_run()
    # One process looks, and all do as it says: a shared folder does not show the same to all at once.
    return from_main_process((folder.finished, newest_usable(folder.path)) if args.should_save else None)


def _load_data(corpus: Corpus, args: TrainArguments, model: SentenceModel) -> Dataset:
    """Return the token ids of the training sentences."""
    with args.main_process_first(desc="tokenising"):  # the others read what it has cached
        overwrite = corpus.options.overwrite_cache and args.should_save
        how = {"prompt": model.prompt, "lower_case": model.lower_case, "overwrite_cache": overwrite}
        data, found = load_training_data(corpus, model.tokenizer, **how)
    say(found.report(removed=corpus.options.dedupe))
    return data
