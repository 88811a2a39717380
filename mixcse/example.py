"""What `run_unsup_example.sh` runs once the environment stands: one of two profiles, the paper's or a demo.

Nothing heavy is imported before it is needed: help does not wait for it.
"""

import sys
import time
from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mixcse.base.console import OneLineParser, quiet_libraries, say
from mixcse.base.files import ROOT
from mixcse.base.program import run_cli
from mixcse.names import STS_TASKS
from mixcse.train.help import answer_help

if TYPE_CHECKING:
    from mixcse.evaluate.scores import Report

PROFILES = ("paper", "demo")
USAGE = (
    "bash run_unsup_example.sh [--profile paper|demo] [--faithful_precision] [options of train.py, which follow]\n\n"
    "--faithful_precision: the paper profile stays in float32 where the GPU would allow --gpu_recipe\n\n"
)
SAMPLE = ROOT / "data" / "sample"
POOLED = {"cls": "[CLS]", "cls_before_pooler": "[CLS]", "avg": "mean"}


def main(argv: list[str]) -> None:
    """Chooses a profile, says why and what follows, and runs it."""
    options, flags = parse_profile(argv)
    answer_help(flags, USAGE)
    import torch

    gpu = torch.cuda.is_available()
    profile = options.profile or ("paper" if gpu else "demo")
    why = "as asked" if options.profile else "a CUDA GPU is here" if gpu else "no CUDA GPU is here"
    if profile == "paper" and not options.profile and not _paper_can_run():
        profile, why = "demo", "a CUDA GPU is here, but neither the paper's data nor the Hugging Face Hub"
    say(f"profile: {profile} ({why}; --profile {' or '.join(PROFILES)} decides otherwise)")
    quiet_libraries()
    if profile == "paper":
        run_paper(flags, gpu, faithful_precision=options.faithful_precision)
    else:
        run_demo(flags)


def _paper_can_run() -> bool:
    """Return whether the paper profile has its data and model, or can download them."""
    from mixcse.data.fetch import CORPUS
    from mixcse.data.pairs import find_senteval_data
    from mixcse.model.loading import hub_answers, hub_commit

    here = (ROOT / "data" / CORPUS).is_file() and (find_senteval_data() / "downstream").is_dir()
    return (here and hub_commit("bert-base-uncased") is not None) or hub_answers()


def parse_profile(argv: list[str]) -> tuple[Namespace, list[str]]:
    """Our own two options, and the rest, which are for `train.py`."""
    parser = OneLineParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--profile", choices=PROFILES)
    parser.add_argument("--faithful_precision", action="store_true")
    return parser.parse_known_args(argv)


def run_paper(flags: list[str], gpu: bool, *, faithful_precision: bool = False) -> None:
    """The released BERT-base recipe, then the paper's evaluation.

    Args:
        faithful_precision: float32, as released; else `--gpu_recipe` where the GPU has bfloat16
            and no flag speaks against it.
    """
    from mixcse.data.fetch import CORPUS, fetch_corpus, fetch_senteval
    from mixcse.data.pairs import find_senteval_data
    from mixcse.evaluate import command as evaluation
    from mixcse.train import run as training
    from mixcse.train.gpu_recipe import supported
    from mixcse.train.parsing import parse_training_arguments
    from mixcse.train.prepare import check_devices

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
    corpus = str(ROOT / "data" / CORPUS)
    arguments = [
        *("--train_file", corpus),
        *("--output_dir", str(ROOT / "result" / "mixcse-bert-base-uncased")),
        *("--metric_for_best_model", "stsb_spearman"),  # the rest of the released recipe is train.py's default
        *(["--gpu_recipe"] if fast else []),
        *flags,
    ]
    _, data_args, args = parse_training_arguments(arguments)  # a wrong option is said before anything is downloaded
    check_devices(args)
    if data_args.train_file == [corpus]:
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
    """A small encoder, a small corpus, a minute: the whole pipeline, not the paper's numbers."""
    from mixcse.data.demo_encoder import demo_encoder
    from mixcse.data.pairs import find_senteval_data
    from mixcse.train import run as training
    from mixcse.train.parsing import parse_training_arguments

    shipped = str(demo_encoder())
    arguments = [
        *("--model_name_or_path", shipped),
        *("--train_file", str(SAMPLE / "sentences.txt")),
        *("--validation_file", str(SAMPLE / "sts-dev.csv")),
        *("--output_dir", str(ROOT / "result" / "demo")),
        *("--pooler_type", "cls_before_pooler"),
        *("--max_steps", "40", "--eval_steps", "10"),
        *("--metric_for_best_model", "dev_spearman"),
        *flags,
    ]
    model_args, data_args, args = parse_training_arguments(arguments)
    senteval_data = find_senteval_data(data_args.senteval_data)
    tasks = STS_TASKS if (senteval_data / "downstream").is_dir() else ()
    sentences, pairs = ((SAMPLE / name).read_bytes().count(b"\n") for name in ("sentences.txt", "sts-test.csv"))
    say(
        "This trains a 6-layer encoder (all-MiniLM-L6-v2, from a pip package) with the released objective\n"
        f"on the {sentences:,} sentences of data/sample/ and scores {pairs} sentence pairs that it has not seen,\n"
        "before and after: about 1 minute on two CPU cores."
        + (f"  It also scores the STS tasks in {senteval_data}: some minutes more." if tasks else "")
        + "\nIt shows the pipeline at work.  Its numbers are not the paper's: --profile paper is the way to those."
    )
    start = time.perf_counter()
    training.main(arguments)
    pooler, started = model_args.test_pooler, model_args.model_name_or_path
    scored = {
        f"untrained, {POOLED.get(pooler, pooler)}": _score(started, pooler, tasks, senteval_data),
        f"MixCSE, trained, {POOLED.get(pooler, pooler)}": _score(args.output_dir, pooler, tasks, senteval_data),
    }
    note = ""
    if started == shipped:
        scored[f"as shipped, {POOLED['avg']}"] = _score(shipped, None, tasks, senteval_data)
        note = (
            "The demo shows the method lifting an untrained [CLS].  The encoder as it was shipped, trained on a\n"
            "billion labelled pairs and pooled by the mean, is better still.\n"
        )
    sys.stdout.write(f"\nSpearman correlation x 100, higher is better\n{demo_table(scored)}\n{note}")
    sys.stdout.flush()
    say(f"done in {time.perf_counter() - start:.0f} s; the trained encoder is in {args.output_dir}")
    say(f'use it: from mixcse import SentenceEncoder; SentenceEncoder("{args.output_dir}").encode(["A cat sits."])')


def demo_table(scored: "dict[str, Report]") -> str:
    """A row for each encoder, and below the first two what the second one gained.

    The columns are the sample's test half, tasks and their average.
    """
    from mixcse.evaluate.scores import average
    from mixcse.evaluate.tables import table

    tasks = list(next(iter(scored.values())).headline)
    rows = []
    for name, report in scored.items():
        scores = list(report.headline.values())
        rows.append([name, 100 * report.own["spearman"], *scores, *([average(scores)] if tasks else [])])
    gain = ["gain", *(f"{new - old:+.2f}" for old, new in zip(rows[0][1:], rows[1][1:], strict=True))]
    columns = ["", "sample pairs (test)", *tasks, *(["Avg. of tasks"] if tasks else [])]
    return table(columns, *rows[:2], gain, *rows[2:])


def _score(name: str, pooler: str | None, tasks: Sequence[str], senteval_data: Path) -> "Report":
    """With this pooler and in silence, or as the model's folder says."""
    from mixcse.encoder.choices import move
    from mixcse.encoder.sentence_encoder import SentenceEncoder
    from mixcse.evaluate.scores import evaluate
    from mixcse.model.sentence_model import SentenceModel

    model = name if pooler is None else SentenceModel.from_pretrained(name)
    if pooler is not None:
        move(model, None)
    encoder = SentenceEncoder(model, pooler=pooler)
    return evaluate(
        lambda sentences: encoder.encode(sentences, show_progress=True),
        tasks,
        senteval_data,
        eval_path=SAMPLE / "sts-test.csv",
    )


if __name__ == "__main__":
    sys.exit(run_cli(main))
