"""The two profiles of `run_unsup_example.sh`: what each trains and scores, and what it says of it."""

import sys
import time
from collections.abc import Sequence
from pathlib import Path

from mixcse.base.console import say
from mixcse.base.files import ROOT
from mixcse.data.demo_encoder import demo_encoder
from mixcse.data.fetch import CORPUS, fetch_corpus, fetch_senteval
from mixcse.data.pairs import find_senteval_data
from mixcse.encoder.sentence_encoder import SentenceEncoder
from mixcse.evaluate import command as evaluation
from mixcse.evaluate.scores import Report, average, evaluate
from mixcse.evaluate.tables import table
from mixcse.names import STS_TASKS
from mixcse.train import prepare as preparation
from mixcse.train import run as training
from mixcse.train.gpu_recipe import supported
from mixcse.train.parsing import parse_training_arguments

SAMPLE = ROOT / "data" / "sample"
CORPUS_PATH = ROOT / "data" / CORPUS


def run_paper(flags: list[str], gpu: bool, *, faithful_precision: bool = False) -> None:
    """The released BERT-base recipe, then the paper's evaluation.

    Args:
        faithful_precision: float32, as released; else `--gpu_recipe` where the GPU has bfloat16
            and no flag speaks against it.
    """
    contrary = {"--fp16", "--use_cpu", "--padding"} & {flag.split("=")[0] for flag in flags}
    fast = supported() and not faithful_precision and not contrary
    say(
        "This trains BERT-base on 1,000,000 Wikipedia sentences by the released recipe and scores it on the paper's\n"
        "tasks.  It downloads the corpus, the tasks and bert-base-uncased first."
        + (
            "  SimCSE's like recipe is reported\nto take under an hour on one RTX 3090."
            if gpu
            else "  WITHOUT A GPU IT TAKES DAYS:\nstop it with Ctrl-C and use --profile demo to see the pipeline."
        )
        + ("\nIt uses --gpu_recipe; --faithful_precision stays in float32, as released." if fast else "")
    )
    arguments = [
        *("--model_name_or_path", "bert-base-uncased"),
        *("--train_file", str(CORPUS_PATH)),
        *("--output_dir", str(ROOT / "result" / "mixcse-bert-base-uncased")),
        *("--num_train_epochs", "1"),
        *("--per_device_train_batch_size", "64"),
        *("--learning_rate", "3e-5"),
        *("--max_seq_length", "32"),
        *("--eval_strategy", "steps", "--eval_steps", "125"),
        *("--metric_for_best_model", "stsb_spearman", "--load_best_model_at_end"),
        *("--pooler_type", "cls"),
        *("--temperature", "0.05", "--mixing_lambda", "0.2"),
        *("--seed", "42"),
        *("--do_train", "--do_eval"),
        *(["--gpu_recipe"] if fast else []),
        *flags,
    ]
    _, data_args, args = parse_training_arguments(arguments)  # a wrong option is said before anything is downloaded
    preparation.check_devices(args)
    if data_args.train_file == [str(CORPUS_PATH)]:
        fetch_corpus()
    senteval_data = find_senteval_data(data_args.senteval_data)
    if not (senteval_data / "downstream").is_dir():
        senteval_data = fetch_senteval()
    training.main([*arguments, "--senteval_data", str(senteval_data)])
    results = Path(args.output_dir) / "senteval_results.json"
    evaluation.main(
        [
            *("--model_name_or_path", args.output_dir, "--task_set", "full", "--mode", "test"),
            *("--senteval_data", str(senteval_data), "--output_json", str(results)),
        ]
    )
    say(f"every number: {results}")


def run_demo(flags: list[str]) -> None:
    """A small encoder, a small corpus, a few minutes: the whole pipeline, not the paper's numbers."""
    arguments = [
        *("--model_name_or_path", str(demo_encoder())),
        *("--train_file", str(SAMPLE / "sentences.txt")),
        *("--validation_file", str(SAMPLE / "sts-dev.csv")),
        *("--output_dir", str(ROOT / "result" / "demo")),
        *("--pooler_type", "cls_before_pooler"),
        *("--max_steps", "40", "--eval_steps", "10"),
        *("--metric_for_best_model", "dev_spearman"),
        *("--do_train", "--do_eval"),
        *flags,
    ]
    model_args, data_args, args = parse_training_arguments(arguments)
    senteval_data = find_senteval_data(data_args.senteval_data)
    tasks = STS_TASKS if (senteval_data / "downstream").is_dir() else ()
    sentences, pairs = (_count_lines(SAMPLE / name) for name in ("sentences.txt", "sts-test.csv"))
    say(
        "This trains a 6-layer encoder (all-MiniLM-L6-v2, from a pip package) with the released objective\n"
        f"on the {sentences:,} sentences of data/sample/ and scores {pairs} sentence pairs that it has not seen,\n"
        "before and after: about 2 minutes on two CPU cores."
        + (f"  It also scores the STS tasks in {senteval_data}: some minutes more." if tasks else "")
        + "\nIt shows the pipeline at work.  Its numbers are not the paper's: --profile paper is the way to those."
    )
    start = time.perf_counter()
    training.main(arguments)
    before, after = (
        _score_demo(model, model_args.test_pooler, tasks, senteval_data)
        for model in (model_args.model_name_or_path, args.output_dir)
    )
    sys.stdout.write("\nSpearman correlation x 100, higher is better\n" + demo_table(before, after) + "\n")
    sys.stdout.flush()
    say(f"done in {time.perf_counter() - start:.0f} s; the trained encoder is in {args.output_dir}")
    say(f'use it: from mixcse import SentenceEncoder; SentenceEncoder("{args.output_dir}").encode(["A cat sits."])')


def demo_table(before: Report, after: Report) -> str:
    """Rows: the untrained encoder, the trained one, and the gain; columns: the sample's test half, tasks."""
    columns, untrained, trained = ["", "sample pairs (test)"], ["untrained"], ["MixCSE, trained"]
    for row, report in ((untrained, before), (trained, after)):
        row += [100 * report.own["spearman"], *report.headline.values()]
    columns += list(after.headline)
    if after.headline:
        columns.append("Avg. of tasks")
        for row, report in ((untrained, before), (trained, after)):
            row.append(average(list(report.headline.values())))
    gain = ["gain", *(f"{new - old:+.2f}" for old, new in zip(untrained[1:], trained[1:], strict=True))]
    return table(columns, untrained, trained, gain)


def _count_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n")


def _score_demo(model: str, pooler: str, tasks: Sequence[str], senteval_data: Path) -> Report:
    encoder = SentenceEncoder(model, pooler=pooler)
    return evaluate(
        lambda sentences: encoder.encode(sentences, show_progress=True),
        tasks,
        senteval_data,
        eval_path=SAMPLE / "sts-test.csv",
    )
