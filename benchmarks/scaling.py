"""How time and memory grow with the corpus, with the batch and with the number of processes; on the CPU, on Linux.

    python benchmarks/scaling.py [--parts corpus batch processes encode] [--output_json FILE]

Every measurement is a fresh process (`scaling_run.py`) that runs train.py's own code, once.
Memory is the peak of anonymous pages, looked at every 20 ms: what a process cannot do
without.  Pages of files (memory-mapped Arrow tables, libraries) are not counted, since the
system takes them back when it needs them; pages that forked workers share count once.
Seconds a step are the median from step to step, after the first.

corpus: the sample's sentences over and over, numbered; time to read and tokenise them, with an empty
cache and each number of processes, and from the cache; and 50 steps of a tiny BERT on them.
batch: the demo's encoder, a batch encoded as by default, and replayed in chunks.
processes: the same encoder and one batch, shared by processes of one thread each.
encode: the corpus, by a tiny BERT into .npy, with one thread.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle
from pathlib import Path
from typing import Any

from tiny import make_bert
from tqdm import tqdm
from transformers import AutoTokenizer

from mixcse.base.console import OneLineParser, quiet_libraries
from mixcse.base.errors import UserError
from mixcse.base.files import ROOT, write_json
from mixcse.base.program import run_cli
from mixcse.data.demo_encoder import demo_encoder
from mixcse.evaluate.tables import table
from mixcse.reproduce.record import place

MAX_LENGTH = 32  # tokens of a training sentence
CORPUS_STEPS, SHARED_BATCH = 50, 64
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
Row = dict[str, Any]


def main(argv: list[str]) -> None:
    """Measures, and prints tables."""
    options = parse(argv)
    if not sys.platform.startswith("linux"):
        raise UserError("this benchmark reads memory from Linux's /proc")
    quiet_libraries()
    results: Row = place()
    with tempfile.TemporaryDirectory(prefix="mixcse-scaling-") as folder, tqdm(unit="run") as bar:
        for part in options.parts:
            results[part] = list(PARTS[part](Bench(Path(folder), bar), options))
            if options.output_json:
                write_json(options.output_json, results)  # what is measured is safe
    sys.stdout.write("\n".join(tables(results)) + "\n")


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line."""
    parser = OneLineParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--lines", type=int, nargs="+", default=[10**4, 10**5, 10**6], help="sizes of the corpus")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes that tokenise")
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 256, 512])
    parser.add_argument("--embedding_chunk_size", type=int, default=64, help="rows a chunk, for replayed batches")
    parser.add_argument(
        "--processes", type=int, nargs="+", choices=(1, 2, 4, 8), default=[1, 2], help="processes that share a batch"
    )
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a batch; one more comes first")
    parser.add_argument("--output_json")
    options = parser.parse_args(argv)
    if min(*options.lines, *options.batches, *options.workers, *options.processes, options.steps) < 1:
        raise UserError("all numbers have to be at least 1")
    return options


class Bench:
    """Starts measurements in a temporary folder, one process each."""

    def __init__(self, folder: Path, bar: tqdm) -> None:
        self.folder, self.bar = folder, bar

    def measure(self, title: str, *command: Any, cache: str = "", processes: int = 1, **environment: str) -> list[Row]:
        """The JSON lines that `scaling_run.py command...` prints, one a process; none if it failed, which is said."""
        self.bar.set_description(title)
        launcher = [sys.executable]
        if processes > 1:
            launcher += ["-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
        places = {"HF_DATASETS_CACHE": str(self.folder / "caches" / cache), "CUDA_VISIBLE_DEVICES": ""}
        run = subprocess.run(
            [*launcher, str(Path(__file__).with_name("scaling_run.py")), *map(str, command)],
            env=os.environ | places | environment,
            capture_output=True,
            text=True,
        )
        self.bar.update()
        if run.returncode == 0:
            return [json.loads(line) for line in run.stdout.splitlines() if line.startswith("{")]
        lines = run.stderr.strip().splitlines() or ["no message"]
        why = next((line for line in lines if line.startswith("error: ")), lines[-1])
        self.bar.write(f"warning: {title}: exit code {run.returncode}, {why}", file=sys.stderr)
        return []

    def train(self, title: str, file: Path, model: Path, batch: int, steps: int, *more: Any, **how: Any) -> list[Row]:
        """Measures a run of train.py."""
        options = (
            *("--train_file", file, "--model_name_or_path", model, "--output_dir", self.folder / "run"),
            *("--overwrite_output_dir", "--max_seq_length", MAX_LENGTH, "--per_device_train_batch_size", batch),
            *("--max_steps", steps, "--logging_steps", steps, "--save_strategy", "no"),
        )
        return self.measure(title, "train", *options, *more, **how)

    def corpus(self, lines: int) -> Path:
        """So many lines, unlike each other by their numbers; every size begins with the same ones."""
        path = self.folder / f"{lines}.txt"
        sample = (ROOT / "data" / "sample" / "sentences.txt").read_text(encoding="utf-8").splitlines()
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{sentence} {number}\n" for number, sentence in zip(range(lines), cycle(sample)))
        return path


def corpus_part(bench: Bench, options: argparse.Namespace) -> Iterator[Row]:
    """Reading and tokenising, and 50 steps, for each size of corpus."""
    tiny = bench.folder / "tiny"
    make_bert(tiny, AutoTokenizer.from_pretrained(demo_encoder()), hidden_size=128, intermediate_size=512)
    for lines in options.lines:
        file = bench.corpus(lines)
        loads = [("load", workers, f"{lines}-{workers}") for workers in options.workers]
        for what, workers, cache in [*loads, ("cached load", *loads[0][1:])]:
            title = f"{lines:,} lines, {what}, {workers} processes"
            for row in bench.measure(title, "load", file, workers, MAX_LENGTH, cache=cache):
                yield {"lines": lines, "what": what, "workers": workers} | row
        how = {"cache": loads[0][2]} | ONE_THREAD
        for row in bench.train(f"{lines:,} lines, steps", file, tiny, SHARED_BATCH, CORPUS_STEPS, **how):
            yield {"lines": lines, "what": "training"} | row


def batch_part(bench: Bench, options: argparse.Namespace) -> Iterator[Row]:
    """A step for each size of batch, direct and replayed; a row without numbers where memory did not suffice."""
    steps = options.steps + 1
    file = bench.corpus(max(options.batches) * steps)
    replay = ("--embedding_chunk_size", options.embedding_chunk_size)
    for batch in options.batches:
        for how, more in (("direct", ()), ("replayed", replay)):
            found = bench.train(f"batch {batch}, {how}", file, demo_encoder(), batch, steps, *more, cache="batch")
            yield {"batch": batch, "how": how} | (found[0] if found else {})


def processes_part(bench: Bench, options: argparse.Namespace) -> Iterator[Row]:
    """A step of one batch that several processes share; of their seconds and memory, the largest."""
    steps = options.steps + 1
    file = bench.corpus(SHARED_BATCH * steps)
    for count in options.processes:
        how = {"cache": "processes", "processes": count} | ONE_THREAD
        found = bench.train(f"{count} processes", file, demo_encoder(), SHARED_BATCH // count, steps, **how)
        largest = {name: max(row[name] for row in found) for name in found[0]} if found else {}
        yield {"processes": count, "batch": SHARED_BATCH} | largest


def encode_part(bench: Bench, options: argparse.Namespace) -> Iterator[Row]:
    """A file into a file, for each size of corpus."""
    small = bench.folder / "small"
    make_bert(small, hidden_size=64, num_hidden_layers=1, num_attention_heads=1, intermediate_size=64)
    for lines in options.lines:
        for row in bench.measure(f"{lines:,} lines encoded", "encode", bench.corpus(lines), small, **ONE_THREAD):
            yield {"lines": lines} | row


PARTS = {"corpus": corpus_part, "batch": batch_part, "processes": processes_part, "encode": encode_part}


def tables(results: Row) -> list[str]:
    """A line about the machine, and of each part a table for each kind of row."""
    machine = results["machine"]
    versions = ", ".join(f"{name} {machine[name]}" for name in ("python", "torch", "transformers", "datasets"))
    lines = [f"{machine['processor']}, {machine['cores']} cores, {machine['system']}; {versions}"]
    for part in PARTS:
        rows = results.get(part, [])
        for names in dict.fromkeys(map(tuple, rows)):
            lines += [part, table(list(names), *(list(row.values()) for row in rows if tuple(row) == names))]
    return lines


if __name__ == "__main__":
    sys.exit(run_cli(main))
