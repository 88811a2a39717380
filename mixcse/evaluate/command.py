"""`evaluation.py`: scores a model on SentEval's tasks and prints the papers' tables."""

import argparse
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import senteval
from mixcse import __version__
from mixcse.base.console import OneLineParser, WithExamples, quiet_libraries, say, warn
from mixcse.base.errors import UserError
from mixcse.base.fields import at_least, check_range
from mixcse.base.files import check_place, plain, write_json
from mixcse.encoder.command_options import add_encoder_options, load_encoder
from mixcse.names import MODES, SHORTEST_INPUT, TASK_SETS

STDOUT = "-"  # as --output_json


def main(argv: list[str], prog: str = "evaluation.py") -> None:
    """Evaluates as the command line says; raises UserError for what the user can put right."""
    options = _parse(argv, prog)
    from mixcse.data.pairs import find_senteval_data
    from mixcse.evaluate.scores import Finished, evaluate
    from mixcse.evaluate.tables import print_report

    data = find_senteval_data(options.senteval_data)
    if options.tasks and not any((data / part).is_dir() for part in ("downstream", "probing")):
        missing = f"no SentEval data in {data}: python -m mixcse.fetch gets it, --senteval_data names another folder"
        if not options.validation_file:
            raise UserError(f"{missing}; --validation_file scores pairs of your own")
        say(f"{missing}; the pairs of --validation_file alone are scored")
        options.tasks = []
    quiet_libraries()
    to_stdout = options.output_json == STDOUT
    finished = Finished(None if to_stdout else options.output_json)
    encoder = load_encoder(options)
    start = time.perf_counter()
    if finished.path:
        finished.model_key = encoder.fingerprint()
    try:
        report = evaluate(
            lambda sentences: encoder.encode(sentences, batch_size=options.batch_size, show_progress=True),
            options.tasks,
            data,
            mode=options.mode,
            eval_path=options.validation_file,
            finished=finished,
            transfer_metric=options.transfer_metric,
            device=encoder.device,
        )
    except senteval.EncoderError as error:
        raise UserError(f"{options.model} gives no usable embeddings: {error}") from error
    if not report.headline and not report.own:
        for task, reason in report.missing.items():
            say(f"not scored: {task} ({reason})")
        raise UserError(
            "nothing could be scored, for the reasons above; SentEval's data: python -m mixcse.fetch gets it, "
            "--senteval_data names its folder; --validation_file scores pairs of your own"
        )
    print_report(report, options.transfer_metric, sys.stderr if to_stdout else sys.stdout)
    described = _described(encoder, options, report) | {"seconds": time.perf_counter() - start}
    if to_stdout:
        sys.stdout.write(json.dumps(plain(described), indent=2) + "\n")
    elif options.output_json:
        write_json(options.output_json, described)


def _described(encoder: Any, options: argparse.Namespace, report: Any) -> dict[str, Any]:
    """What was scored, with what, and what came of it."""
    from mixcse.model.loading import hub_commit

    libraries = ("torch", "transformers", "numpy", "scipy", "scikit-learn")
    return {
        "model_name_or_path": options.model,
        "model_commit": hub_commit(options.model, options.model_revision),
        "pooler": encoder.pooler,
        "max_seq_length": encoder.max_seq_length,
        "prompt": encoder.prompt,
        "device": str(encoder.device),
        "versions": {"mixcse": __version__, "python": platform.python_version()}
        | {name: version(name) for name in libraries},
        "mode": report.mode,
        "headline": report.headline,
        "alignment_uniformity": report.spread,
        "own_pairs": report.own,
        "missing": report.missing,
        "tasks": report.tasks,
    }


def _parse(argv: list[str], prog: str) -> argparse.Namespace:
    parser = OneLineParser(
        prog=prog,
        description="Scores a sentence encoder on SentEval's tasks.",
        epilog=f"""examples:
  {prog} --model_name_or_path out --task_set sts
  {prog} --model_name_or_path out --tasks STSBenchmark MRPC --output_json scores.json
  {prog} --model_name_or_path out --task_set na --validation_file pairs.csv""",
        formatter_class=WithExamples,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--mode", choices=MODES, default="test", help="test: 10 folds, test scores; fasttest: 5; dev: dev scores")
    add("--task_set", choices=(*TASK_SETS, "na"), help="na: what --tasks names (default: sts, or na with --tasks)")
    add("--tasks", nargs="*", metavar="TASK", help="names out of senteval.list_tasks()")
    add(
        "--transfer_metric",
        choices=("acc", "devacc"),
        help="of the transfer table (default: devacc in dev mode, else acc)",
    )
    add("--senteval_data", metavar="DIR", help="folder that holds downstream/ ($SENTEVAL_DATA, else SentEval/data)")
    add(
        "--validation_file",
        "--eval_path",
        metavar="FILE",
        help="pairs of your own, scored too: a table of sentence1, sentence2, score, or STS-B's layout",
    )
    add(
        "--output_json",
        metavar="FILE",
        help="write every number to this file, whose tasks are not scored again; -: to stdout, the table to stderr",
    )
    add_encoder_options(parser)
    options = parser.parse_args(argv)
    for name, value in vars(options).items():
        if value == "" and name != "prompt":
            raise UserError(f"--{name} is empty; give it a value, or leave it out")
    check_range("batch_size", options.batch_size, at_least(1))  # here, before torch is imported
    check_range("max_seq_length", options.max_seq_length, at_least(SHORTEST_INPUT))
    if options.output_json not in (None, STDOUT):  # now rather than when the scores are there to be written
        check_place(Path(options.output_json).parent, "--output_json, in")
        if Path(options.output_json).is_dir():
            raise UserError(f"--output_json {options.output_json} is a folder; name a file")
    options.tasks = _chosen_tasks(options)
    if not options.tasks and not options.validation_file:
        raise UserError("nothing to score: name tasks with --task_set or --tasks, or pairs with --validation_file")
    options.transfer_metric = options.transfer_metric or ("devacc" if options.mode == "dev" else "acc")
    return options


def _chosen_tasks(options: argparse.Namespace) -> list[str]:
    known = senteval.list_tasks()
    if unknown := [task for task in options.tasks or () if task not in known]:
        hint = "names are separated by spaces" if "," in unknown[0] else f"known: {', '.join(known)}"
        raise UserError(f"--tasks: unknown task {unknown[0]!r}; {hint}")
    task_set = options.task_set or ("sts" if options.tasks is None else "na")
    if options.tasks is not None and task_set != "na":
        warn(f"--tasks is overridden by --task_set {task_set}; leave that out, or make it na")
    tasks = list(TASK_SETS.get(task_set, options.tasks or ()))
    # STS12 to STS16 are test data alone; all others have dev splits or folds.
    without = [task for task in tasks if senteval.TASKS[task].protocol == "sts" and not senteval.TASKS[task].splits]
    if options.mode == "dev" and without:
        say(f"left out in dev mode, for want of a dev split: {', '.join(without)}")
        tasks = [task for task in tasks if task not in without]
    return tasks
