"""`train.py`: from arguments to a trained folder."""

import dataclasses
import math
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from transformers import set_seed

from mixcse.arguments import DataArguments, ModelArguments, TrainArguments
from mixcse.batching import ContrastiveCollator
from mixcse.console import UserError, quiet_libraries, say, warn
from mixcse.data import load_training_data
from mixcse.dev import DevSets
from mixcse.files import read_json, write_json
from mixcse.modeling import SentenceModel
from mixcse.parsing import parse_training_arguments
from mixcse.trainer import MixCSETrainer, last_complete_checkpoint

ARGUMENTS_FILE = "arguments.json"
FINISHED_FILE = "train_results.json"  # written last
WRITTEN_FILES = (ARGUMENTS_FILE, FINISHED_FILE, "eval_results.json", "trainer_state.json")
# Options that say how or where a run goes, not what it computes.
NOT_COMPARED = {
    "output_dir", "overwrite_output_dir", "overwrite_cache", "preprocessing_num_workers", "disable_tqdm",
    "dataloader_num_workers", "dataloader_pin_memory", "senteval_data", "cache_dir", "local_rank", "log_level",
}  # fmt: skip


def main(argv: list[str]) -> None:
    """Trains as the command line says; raises UserError for what the user can put right."""
    quiet_libraries()
    model_args, data_args, args = parse_training_arguments(argv)
    train(model_args, data_args, args)


def train(model_args: ModelArguments, data_args: DataArguments, args: TrainArguments) -> None:
    """Trains a model into `args.output_dir`, continues there, or says that it is finished.

    At the end `output_dir` holds the best checkpoint by `metric_for_best_model` (the last
    step without dev scores) as a plain Hugging Face folder, `train_results.json`,
    `eval_results.json`, `trainer_state.json` and `arguments.json`.

    Raises:
        UserError: arguments, data or model are unusable; nothing has been overwritten then.
    """
    _check(model_args, data_args, args)
    arguments = _resolved(model_args, data_args, args)
    checkpoint = None if args.overwrite_output_dir else _earlier_run(args, arguments)
    if checkpoint == "finished":
        return
    dev_sets = DevSets.load(data_args.senteval_data, data_args.eval_path) if args.do_eval else None
    _check_metric(args, dev_sets)

    set_seed(args.seed)
    model = SentenceModel.from_pretrained(model_args.model_name_or_path, **model_args.hub)
    if not 3 <= data_args.max_seq_length <= model.max_length:
        raise UserError(
            f"--max_seq_length {data_args.max_seq_length} is outside 3 to {model.max_length}, the model's limit"
        )
    mlm_from = model_args.model_name_or_path if model_args.do_mlm else None
    model.prepare_training(model_args.pooler_type, mlm_from=mlm_from, **model_args.hub)
    data = load_training_data(
        data_args.train_file,
        model.tokenizer,
        data_args.max_seq_length,
        num_workers=data_args.preprocessing_num_workers,
        overwrite_cache=data_args.overwrite_cache,
    )
    collator = ContrastiveCollator(
        model.tokenizer,
        pad_to=data_args.max_seq_length if data_args.pad_to_max_length else None,
        mlm_probability=data_args.mlm_probability if model_args.do_mlm else None,
    )

    output_dir = Path(args.output_dir)
    if args.overwrite_output_dir:
        _clear(output_dir)
    write_json(output_dir / ARGUMENTS_FILE, arguments)
    args.eval_on_start = args.eval_on_start and checkpoint is None
    trainer = MixCSETrainer(
        model, args, model_args=model_args, data_collator=collator, train_dataset=data, dev_sets=dev_sets
    )
    _announce(trainer, len(data), checkpoint)
    _run(trainer, checkpoint)


def _run(trainer: MixCSETrainer, checkpoint: Path | None) -> None:
    args, output_dir, start = trainer.args, Path(trainer.args.output_dir), time.time()
    result = trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    if not math.isfinite(result.training_loss):
        warn(f"the training loss is {result.training_loss}; lower --learning_rate or raise --temperature")
    trainer.save_model()
    aside = output_dir / ".trainer_state.json"
    trainer.state.save_to_json(str(aside))
    aside.replace(output_dir / "trainer_state.json")
    if args.do_eval:
        write_json(output_dir / "eval_results.json", _scores_of_kept_step(trainer))
    write_json(output_dir / FINISHED_FILE, result.metrics | {"seconds": time.time() - start})
    _report(trainer)


def _scores_of_kept_step(trainer: MixCSETrainer) -> dict[str, Any]:
    """The dev scores of what `output_dir` now holds: from the log, where the kept step was scored."""
    state = trainer.state
    best = state.best_global_step if trainer.args.load_best_model_at_end else None
    kept = best or state.global_step
    logged = [log for log in state.log_history if log["step"] == kept and any(key.startswith("eval_") for key in log)]
    return logged[-1] if logged else trainer.evaluate() | {"step": kept}


def _check(model_args: ModelArguments, data_args: DataArguments, args: TrainArguments) -> None:
    if not args.do_train:
        raise UserError("--do_train is off: nothing to do; evaluation.py scores a trained folder")
    if not data_args.train_file:
        raise UserError("--train_file is missing: give a .txt file with a sentence a line, or a .csv or .tsv")
    if args.fp16 and not torch.cuda.is_available():
        raise UserError("--fp16 needs a CUDA GPU, and there is none; leave it out")
    if args.world_size > 1:
        raise UserError("training runs on one device, but several processes were launched; start train.py with python")
    if args.n_gpu > 1:
        raise UserError(f"training runs on one device, but {args.n_gpu} GPUs are visible; set CUDA_VISIBLE_DEVICES=0")
    if args.eval_transfer:
        raise UserError("--eval_transfer: the transfer tasks are not available yet; leave it out")
    if model_args.mlp_only_train and model_args.pooler_type != "cls":
        warn(f"--mlp_only_train does nothing with --pooler_type {model_args.pooler_type}: only cls has an MLP head")


def _check_metric(args: TrainArguments, dev_sets: DevSets | None) -> None:
    if dev_sets is None:
        return
    metric = args.metric_for_best_model.removeprefix("eval_")
    if metric not in dev_sets.metrics:
        raise UserError(
            f"--metric_for_best_model {metric} is not scored here; choose from {', '.join(dev_sets.metrics)}"
        )


def _resolved(*groups: Any) -> dict[str, Any]:
    """All options with their values, flat and in JSON's types."""
    resolved = {}
    for group in groups:
        values = group.to_dict() if isinstance(group, TrainArguments) else dataclasses.asdict(group)
        resolved |= {name: value for name, value in values.items() if not name.startswith("_")}
    return resolved


def _earlier_run(args: TrainArguments, arguments: dict[str, Any]) -> Path | str | None:
    """None: nothing is there.  A path: the checkpoint to continue from.  "finished": just that."""
    output_dir = Path(args.output_dir)
    if output_dir.exists() and not output_dir.is_dir():
        raise UserError(f"--output_dir {output_dir} is a file; name a folder")
    if not output_dir.exists() or not any(output_dir.iterdir()):
        return None
    if not (output_dir / ARGUMENTS_FILE).is_file():
        raise UserError(
            f"--output_dir {output_dir} is not empty and no run of train.py; name another, "
            "or pass --overwrite_output_dir"
        )
    earlier = read_json(output_dir / ARGUMENTS_FILE)
    changed = [
        f"--{name} was {earlier[name]}, now {value}"
        for name, value in arguments.items()
        if name not in NOT_COMPARED and name in earlier and earlier[name] != value
    ]
    if changed:
        raise UserError(
            f"--output_dir {output_dir} holds a run with other options ({'; '.join(changed[:3])}); "
            "name another folder, or pass --overwrite_output_dir to start afresh"
        )
    if (output_dir / FINISHED_FILE).is_file():
        say(f"{output_dir}: this run is finished; nothing to do (--overwrite_output_dir starts afresh)")
        return "finished"
    return last_complete_checkpoint(output_dir)


def _clear(output_dir: Path) -> None:
    """Removes what an earlier run wrote, and nothing else."""
    for folder in output_dir.glob("checkpoint-*"):
        shutil.rmtree(folder)
    for name in WRITTEN_FILES:
        (output_dir / name).unlink(missing_ok=True)


def _announce(trainer: MixCSETrainer, sentences: int, checkpoint: Path | None) -> None:
    args, model_args = trainer.args, trainer.model_args
    say(
        f"training {model_args.model_name_or_path} on {sentences:,} examples: {model_args.variant} objective, "
        f"lambda {model_args.mixing_lambda}, temperature {model_args.temperature}, batch "
        f"{args.per_device_train_batch_size}, seed {args.seed}, device {args.device}"
    )
    if checkpoint is not None:
        say(f"continuing from {checkpoint}")
    if trainer.eval_dataset is None:
        say("no dev scores (--do_eval is not given): the last step will be kept")


def _report(trainer: MixCSETrainer) -> None:
    args, state = trainer.args, trainer.state
    if args.load_best_model_at_end and state.best_global_step:
        metric = args.metric_for_best_model.removeprefix("eval_")
        start = next((log[f"eval_{metric}"] for log in state.log_history if f"eval_{metric}" in log), None)
        if start is not None and start >= state.best_metric:
            warn(f"no step beat the untrained model's {metric}, {start:.4f}")
        say(f"best {metric} {state.best_metric:.4f} at step {state.best_global_step}, now in {args.output_dir}")
    else:
        say(f"the last step is in {args.output_dir}")
    say(f"score it: python evaluation.py --model_name_or_path {args.output_dir}")
