"""One measurement of scaling.py, in a process of its own: prints a line of JSON (with `torchrun`, one a process)."""

import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from machine import memory_with_children, peak_memory
from transformers import AutoTokenizer

from mixcse.base.console import quiet_libraries
from mixcse.base.group import leave
from mixcse.base.program import run_cli
from mixcse.data.corpus import Corpus
from mixcse.data.demo_encoder import demo_encoder
from mixcse.data.tokens import load_training_data
from mixcse.encoder.sentence_encoder import SentenceEncoder
from mixcse.options import DataArguments

MB = 1e6


def main(argv: list[str]) -> None:
    """Does what the first argument says."""
    quiet_libraries()
    measured = {"load": load, "train": train, "encode": encode}[argv[0]](*argv[1:])
    sys.stdout.write(json.dumps(measured) + "\n")
    sys.stdout.flush()


def load(file: str, workers: str, max_length: str) -> dict[str, float]:
    """Reads and tokenises the training file; 1 worker is this process, as by default."""
    tokenizer = AutoTokenizer.from_pretrained(demo_encoder())
    processes = int(workers) if int(workers) > 1 else None
    arguments = DataArguments([file], max_seq_length=int(max_length), preprocessing_num_workers=processes)
    with peak_memory(memory_with_children, MB) as peak:
        before, start = peak(), time.perf_counter()
        load_training_data(Corpus.open(arguments), tokenizer)
        return {"seconds": time.perf_counter() - start, "before_mb": before, "peak_mb": peak()}


def encode(file: str, model: str) -> dict[str, float]:
    """Encodes a file of sentences into .npy."""
    encoder = SentenceEncoder(model, device="cpu")
    encoder.encode(["warm"])
    with peak_memory(unit=MB) as peak:
        before, start = peak(), time.perf_counter()
        encoder.encode_file(file, Path(file).with_suffix(".npy"))
        return {"seconds": time.perf_counter() - start, "before_mb": before, "peak_mb": peak()}


def train(*argv: str) -> dict[str, float]:
    """`train.py argv`; memory is that of the steps, not of start and end."""
    from transformers import TrainerCallback  # what is only loaded has no memory for these

    from mixcse.train.parsing import parse_training_arguments
    from mixcse.train.run import train as train_model

    ends: list[float] = []  # of steps
    measured: dict[str, float] = {}

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.peak = watching.enter_context(peak_memory(unit=MB))
            measured["before_mb"] = self.peak()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            measured["peak_mb"] = self.peak()

    start = time.perf_counter()
    with ExitStack() as watching:
        train_model(*parse_training_arguments(list(argv)), callbacks=[Watch()])
    leave()
    return {"step_seconds": float(np.median(np.diff(ends))), "first_step_after": ends[0] - start} | measured


if __name__ == "__main__":
    sys.exit(run_cli(main))
