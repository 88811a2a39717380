"""One measurement of scaling.py, in a process of its own: prints a line of JSON (with `torchrun`, one a process)."""

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from mixcse.base.console import quiet_libraries
from mixcse.base.program import run_cli
from mixcse.data.demo_encoder import demo_encoder

POLL = 0.02  # seconds


def main(argv: list[str]) -> None:
    """Does what the first argument says."""
    quiet_libraries()
    measured = {"load": load, "train": train, "make_tiny": make_tiny}[argv[0]](*argv[1:])
    sys.stdout.write(json.dumps(measured) + "\n")
    sys.stdout.flush()


def load(file: str, workers: str, max_length: str) -> dict[str, float]:
    """Reads and tokenises the training file; 1 worker is this process, as by default."""
    from transformers import AutoTokenizer

    from mixcse.data.tokens import load_training_data
    from mixcse.options import DataArguments

    tokenizer = AutoTokenizer.from_pretrained(demo_encoder())
    memory = PeakMemory(memory_with_children)
    start = time.perf_counter()
    processes = int(workers) if int(workers) > 1 else None
    arguments = DataArguments([file], max_seq_length=int(max_length), preprocessing_num_workers=processes)
    load_training_data(arguments, tokenizer)
    return {"seconds": time.perf_counter() - start} | memory.stop()


def train(*argv: str) -> dict[str, float]:
    """`train.py argv`; memory is that of the steps, not of start and end."""
    from transformers import TrainerCallback

    from mixcse.train import prepare as preparation
    from mixcse.train import run as training

    ends: list[float] = []  # of steps
    measured: dict[str, float] = {}

    class Watch(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self.memory = PeakMemory(own_memory)

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends.append(time.perf_counter())

        def on_train_end(self, *_: Any, **__: Any) -> None:
            measured.update(self.memory.stop())

    class WatchedTrainer(preparation.MixCSETrainer):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.add_callback(Watch())

    preparation.MixCSETrainer = WatchedTrainer
    start = time.perf_counter()
    training.main(list(argv))
    return {"step_seconds": float(np.median(np.diff(ends))), "first_step_after": ends[0] - start} | measured


def make_tiny(folder: str) -> dict[str, float]:
    """Writes a random BERT of 2 layers and 128 dimensions with the demo's tokenizer."""
    import torch
    from transformers import AutoTokenizer, BertConfig, BertModel

    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(demo_encoder())
    sizes = {"hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 512}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {}


class PeakMemory:
    """The most memory that `look` has seen since this was made, in MB; a thread looks."""

    def __init__(self, look: Callable[[], int]) -> None:
        self.look = look
        self.before = self.peak = look()
        self.stopped = threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def stop(self) -> dict[str, float]:
        """Ends the watch: memory at its start and at most."""
        self.stopped.set()
        self.thread.join()
        return {"before_mb": self.before / 1e6, "peak_mb": max(self.peak, self.look()) / 1e6}

    def _watch(self) -> None:
        while not self.stopped.wait(POLL):
            self.peak = max(self.peak, self.look())


def own_memory() -> int:
    """Bytes of this process that are in memory and in no file (RssAnon)."""
    memory = psutil.Process().memory_info()
    return memory.rss - memory.shared


def memory_with_children() -> int:
    """The same with its children's; pages that they share since the fork count once (Pss_Anon)."""
    children = psutil.Process().children(recursive=True)
    return sum(map(_share, [os.getpid(), *(child.pid for child in children)])) if children else own_memory()


def _share(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:")), 0)


if __name__ == "__main__":
    sys.exit(run_cli(main))
