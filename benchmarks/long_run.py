"""Whether a long run grows: memory, open files, threads, logs, caches and checkpoints along the steps; on Linux.

    python benchmarks/long_run.py [--steps 2000] [--calls 1000] [--output_json FILE] [any train.py option]

One process trains a tiny BERT on made-up sentences, with evaluations, checkpoints and log lines;
then it encodes, searches and streams with what it has trained.  Memory is what of the process
lies in memory, files mapped into it included; objects are Python's, made since the start.  The second
table says by how much each went up after the warm-up, a fifth of the steps or calls, at its highest.
"""

import gc
import os
import random
import sys
import tempfile
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any

import psutil
from machine import machine
from tiny import make_bert, make_corpus, sentences

from mixcse.base.console import OneLineParser, quiet_libraries
from mixcse.base.errors import UserError
from mixcse.base.files import write_json
from mixcse.base.program import run_cli
from mixcse.evaluate.tables import table

SAMPLES = 20  # along the steps, and along the calls of each kind
WARM_UP = 0.2  # of the steps, or of the calls
EVALUATIONS = 40
Row = dict[str, Any]


def main(argv: list[str]) -> None:
    """Trains, uses the result, and prints two tables."""
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--calls", type=int, default=1000, help="of each function of the encoder")
    parser.add_argument("--output_json")
    options, of_training = parser.parse_known_args(argv)
    if min(options.steps, options.calls) < SAMPLES:
        raise UserError(f"--steps and --calls must be at least {SAMPLES}")
    if not sys.platform.startswith("linux"):
        raise UserError("this benchmark reads Linux's /proc")
    with tempfile.TemporaryDirectory(prefix="mixcse-long-run-") as name:
        folder = Path(name)
        os.environ |= {"HF_DATASETS_CACHE": str(folder / "cache"), "HF_HUB_OFFLINE": "1"}  # before they are imported
        quiet_libraries()
        make_bert(folder / "bert")
        inputs = make_corpus(folder, lines=2000, pairs=100)
        gc.freeze()  # what the imports have made is not looked through, at every step that is measured
        training = train(folder, inputs, options.steps, of_training)
        using = use(folder, *inputs, options.calls)
    results = {"machine": machine(), "training": training, "using": using}
    results["growth"] = {title: growth(rows) for title, rows in {"training": training, **using}.items()}
    if options.output_json:
        write_json(options.output_json, results)
    sys.stdout.write(report(results) + "\n")


def train(folder: Path, inputs: tuple[Path, Path], steps: int, more: list[str]) -> list[Row]:
    """What is measured along a run of train.py's own code."""
    from transformers import TrainerCallback

    from mixcse.train.parsing import parse_training_arguments
    from mixcse.train.run import train as train_model

    every, evaluate_every = steps // SAMPLES, max(1, steps // EVALUATIONS)
    arguments = parse_training_arguments([
        *("--model_name_or_path", str(folder / "bert"), "--train_file", str(inputs[0])),
        *("--validation_file", str(inputs[1]), "--senteval_data", str(folder / "none")),
        *("--held_out", "16", "--output_dir", str(folder / "out"), "--per_device_train_batch_size", "8"),
        *("--max_steps", str(steps), "--eval_steps", str(evaluate_every), "--learning_rate", "1e-3", *more),
    ])  # fmt: skip
    rows: list[Row] = []

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step % every == 0:
                out = folder / "out"
                rows.append({"step": state.global_step} | process() | {
                    "checkpoints": len(list(out.glob("checkpoint-*"))),
                    "files": len([path for path in out.iterdir() if path.is_file()]),
                    "log entries": len(state.log_history),
                    "stderr (kB)": stderr.tell() / 1000,
                    "cache (kB)": size(folder / "cache") / 1000,
                })  # fmt: skip

    with open(folder / "stderr.txt", "w") as stderr, redirect_stderr(stderr):
        train_model(*arguments, callbacks=[Watch()])
    return rows


def use(folder: Path, corpus: Path, pairs: Path, calls: int) -> dict[str, list[Row]]:
    """What is measured along many calls of each of the encoder's functions."""
    from mixcse import SentenceEncoder

    encoder = SentenceEncoder(folder / "out")
    draw = random.Random(1)
    encoder.build_index(corpus)

    def index() -> None:
        encoder.index.save(folder / "index")
        encoder.load_index(folder / "index")

    work: dict[str, Callable[[], Any]] = {
        "encode": lambda: encoder.encode(sentences(draw, 16)),
        "search": lambda: encoder.search(sentences(draw, 4), top_k=3),
        "encode_file": lambda: encoder.encode_file(pairs, folder / "out.npy", text_column="sentence1"),
        "save and load_index": index,
    }
    measured: dict[str, list[Row]] = {}
    for title, call in work.items():
        measured[title] = []
        for number in range(1, calls + 1):
            call()
            if number % (calls // SAMPLES) == 0:
                measured[title].append({"step": number} | process() | {"cache (kB)": size(folder / "cache") / 1000})
    return measured


def process() -> Row:
    """This process' memory in MB, open files, threads and Python objects, after a garbage collection."""
    gc.collect()
    own = psutil.Process()
    return {
        "memory (MB)": own.memory_info().rss / 1e6,
        "open files": own.num_fds(),
        "threads": own.num_threads(),
        "objects": len(gc.get_objects()),
    }


def size(folder: Path) -> int:
    """Bytes of the files in a folder and below."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def growth(rows: list[Row]) -> Row:
    """Of each measure its first value after the warm-up, and the highest from there on."""
    warm = [row for row in rows if row["step"] >= WARM_UP * rows[-1]["step"]]
    return {name: (first, max(row[name] for row in warm)) for name, first in warm[0].items()}


def report(results: Row) -> str:
    """The tables as text."""
    training, using = results["training"], results["using"]
    counts, rows = ("objects", "open files", "threads", "cache (kB)"), []
    for title, measures in results["growth"].items():
        count = f"{(using.get(title) or training)[-1]['step']:,} {'calls' if title in using else 'steps'} of {title}"
        first, most = measures["memory (MB)"]
        differences = [most - first for first, most in map(measures.get, counts)]
        rows.append([count, f"{100 * (most / first - 1):.2f} %", *differences])
    along = table(list(training[0]), *(list(row.values()) for row in training))
    growths = table(["growth after the warm-up, at most", "memory", *counts], *rows)
    return f"{results['machine']}\n{along}\n{growths}"


if __name__ == "__main__":
    sys.exit(run_cli(main))
