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
import string
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from machine import machine
from prettytable import PrettyTable

from mixcse.base.console import OneLineParser, quiet_libraries
from mixcse.base.errors import UserError
from mixcse.base.files import write_json
from mixcse.base.program import run_cli

SAMPLES = 20  # along the steps, and along the calls of each kind
WARM_UP = 0.2  # of the steps, or of the calls
EVALUATIONS = 40
WORDS = "the a cat dog bird house river train teacher sat on ran to saw left found liked near under".split()
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
        make_inputs(folder)
        gc.freeze()  # what the imports have made is not looked through, at every step that is measured
        training = train(folder, options.steps, of_training)
        using = use(folder, options.calls)
    results = {"machine": machine(), "training": training, "using": using}
    results["growth"] = {title: growth(rows) for title, rows in {"training": training, **using}.items()}
    if options.output_json:
        write_json(options.output_json, results)
    sys.stdout.write(report(results) + "\n")


def make_inputs(folder: Path) -> None:
    """A random BERT of 16 dimensions, 2,000 sentences to train on and 100 scored pairs."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(0)
    letters = list(string.ascii_lowercase)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS[2:], *letters, *(f"##{one}" for one in letters)]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    tokenizer = BertTokenizerFast(vocab=str(folder / "vocab.txt"), vocab_file=str(folder / "vocab.txt"))
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=64, **sizes)).save_pretrained(
        folder / "bert"
    )
    tokenizer.save_pretrained(folder / "bert")
    draw = random.Random(0)
    (folder / "train.txt").write_text("\n".join(sentences(draw, 2000)))
    pairs = [
        f"{one},{other},{draw.random():.3f}" for one, other in zip(*(sentences(draw, 100) for _ in "ab"), strict=True)
    ]
    (folder / "pairs.csv").write_text("\n".join(["sentence1,sentence2,score", *pairs]))


def sentences(draw: random.Random, count: int) -> list[str]:
    """Of 3 to 12 words."""
    return [" ".join(draw.choices(WORDS, k=draw.randint(3, 12))) for _ in range(count)]


def train(folder: Path, steps: int, more: list[str]) -> list[Row]:
    """What is measured along a run of train.py's own code."""
    from transformers import TrainerCallback

    from mixcse.train.parsing import parse_training_arguments
    from mixcse.train.run import train as train_model

    every, evaluate_every = steps // SAMPLES, max(1, steps // EVALUATIONS)
    arguments = parse_training_arguments([
        *("--model_name_or_path", str(folder / "bert"), "--train_file", str(folder / "train.txt")),
        *("--validation_file", str(folder / "pairs.csv"), "--senteval_data", str(folder / "none")),
        *("--held_out", "16", "--output_dir", str(folder / "out"), "--per_device_train_batch_size", "8"),
        *("--max_steps", str(steps), "--eval_steps", str(evaluate_every), "--learning_rate", "1e-3", *more),
    ])  # fmt: skip
    rows: list[Row] = []
    counted = Counted(sys.stderr)

    class Watch(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
            if state.global_step % every == 0:
                out = folder / "out"
                rows.append({"step": state.global_step} | process() | {
                    "checkpoints": len(list(out.glob("checkpoint-*"))),
                    "files": len([path for path in out.iterdir() if path.is_file()]),
                    "log entries": len(state.log_history),
                    "stderr (kB)": counted.written / 1000,
                    "cache (kB)": size(folder / "cache") / 1000,
                })  # fmt: skip

    sys.stderr = counted
    try:
        train_model(*arguments, callbacks=[Watch()])
    finally:
        sys.stderr = counted.stream
    return rows


def use(folder: Path, calls: int) -> dict[str, list[Row]]:
    """What is measured along many calls of each of the encoder's functions."""
    from mixcse import SentenceEncoder

    encoder = SentenceEncoder(folder / "out")
    draw = random.Random(1)
    encoder.build_index(folder / "train.txt")

    def index() -> None:
        encoder.index.save(folder / "index")
        encoder.load_index(folder / "index")

    work: dict[str, Callable[[], Any]] = {
        "encode": lambda: encoder.encode(sentences(draw, 16)),
        "search": lambda: encoder.search(sentences(draw, 4), top_k=3),
        "encode_file": lambda: encoder.encode_file(folder / "pairs.csv", folder / "out.npy", text_column="sentence1"),
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


class Counted:
    """A stream that says how much was written to it."""

    def __init__(self, stream: TextIO) -> None:
        self.stream, self.written = stream, 0

    def write(self, text: str) -> int:
        """Writes and counts."""
        self.written += len(text.encode())
        return self.stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def process() -> Row:
    """This process' memory in MB, open files, threads and Python objects, after a garbage collection."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return {
        "memory (MB)": pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
        "open files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
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
    table = PrettyTable(list(training[0]), align="r")
    table.add_rows([[_shown(value) for value in row.values()] for row in training])
    counts = ("objects", "open files", "threads", "cache (kB)")
    summary = PrettyTable(["growth after the warm-up, at most", "memory", *counts])
    summary.align["growth after the warm-up, at most"] = "l"
    for title, measures in results["growth"].items():
        count = f"{(using.get(title) or training)[-1]['step']:,} {'calls' if title in using else 'steps'} of {title}"
        first, most = measures["memory (MB)"]
        differences = [_shown(most - first) for first, most in map(measures.get, counts)]
        summary.add_row([count, f"{100 * (most / first - 1):.2f} %", *differences])
    return f"{results['machine']}\n{table}\n{summary}"


def _shown(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"


if __name__ == "__main__":
    sys.exit(run_cli(main))
