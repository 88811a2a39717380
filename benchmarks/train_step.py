"""A training step, and 125 of them with their evaluation: ours, sentence-transformers, the released way.

    python benchmarks/train_step.py [--threads N] [--steps 15] [--train_file F] [--senteval_data DIR]

The three trainers of `ways.py` are in one process and take turns, step by step, on the same
batches: same model, precision, optimiser and threads.  A step is everything from one
optimiser step to the next: fetching and padding the batch (sentence-transformers tokenises
here), forward, backward, clipping, update.  Steps of the first turns are not counted.

A period is 125 steps and one evaluation.  Ours scores STS-B's and SICK-R's dev split; the
released way encodes their train, dev and test splits, and runs one more forward pass, to log
similarities.  Its evaluation is measured on every n-th batch and scaled.  Saving a checkpoint
costs both the same and is left out.  Peak memory is that of a process that runs one way alone.
"""

import argparse
import statistics
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import torch
from machine import machine, peak_memory
from sts_eval import BATCH, in_file_order
from tqdm import tqdm
from transformers import Trainer
from ways import ReleasedTrainer, trainer_of

from mixcse.base.console import quiet_libraries
from mixcse.data.demo_encoder import demo_encoder
from mixcse.data.fetch import ROOT
from mixcse.data.pairs import find_senteval_data
from mixcse.encoder.sentence_encoder import SentenceEncoder
from mixcse.evaluate.dev import STS_DEV_TASKS, DevSets
from mixcse.evaluate.tables import table

WAYS = ("ours", "sentence-transformers", "released")
PERIOD = 125  # steps between evaluations in the released script
WARM_UP = 2


def main() -> None:
    """Runs all three and prints a table and one line."""
    options = _parse()
    quiet_libraries()
    torch.set_num_threads(options.threads)
    sentences = _sentences(options)
    trainers = {way: trainer_of(way, options.model_name_or_path, sentences, options.batch) for way in WAYS}
    seconds = take_turns(trainers, options.steps)
    steps = {way: statistics.median(times[WARM_UP:]) for way, times in seconds.items()}
    with ProcessPoolExecutor(1, get_context("spawn"), max_tasks_per_child=1) as pool:
        peaks = dict(zip(WAYS, pool.map(_memory_of, WAYS, repeat(options)), strict=True))
    ours, released = _evaluation_ours(trainers["ours"], options), _evaluation_released(trainers["released"], options)
    forward = _logging_forward(trainers["released"])
    periods = {"ours": PERIOD * steps["ours"] + ours, "released": PERIOD * steps["released"] + forward + released}
    rows = [
        [way, f"{steps[way]:.2f}", f"{min(seconds[way][WARM_UP:]):.2f} to {max(seconds[way][WARM_UP:]):.2f}",
         f"{periods[way]:.0f}" if way in periods else "", f"{peaks[way]:.0f}"]
        for way in WAYS
    ]  # fmt: skip
    heads = ["", "step (s), median", "range", f"period of {PERIOD} steps (s)", "peak memory (MB)"]
    print(machine(options.threads))
    print(f"batch {options.batch}, {options.steps} steps each, taking turns; model {options.model_name_or_path}")
    print(table(heads, *rows))
    print(
        f"evaluation: ours {ours:.1f} s; released way {released:.1f} s (scaled from every {options.sample}th batch), "
        f"its logging pass {forward:.2f} s"
    )
    print(
        f"step: {steps['sentence-transformers'] / steps['ours']:.2f}x sentence-transformers, "
        f"{steps['released'] / steps['ours']:.2f}x released way; "
        f"period: {periods['released'] / periods['ours']:.1f}x released way"
    )


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_name_or_path", default=str(demo_encoder()))
    parser.add_argument("--train_file", default=str(ROOT / "data" / "sample" / "sentences.txt"))
    parser.add_argument("--senteval_data")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--steps", type=int, default=15, help="counted steps of each way")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sample", type=int, default=8, help="measure every n-th batch of the released evaluation")
    return parser.parse_args()


def _sentences(options: argparse.Namespace) -> list[str]:
    lines = [line for line in Path(options.train_file).read_text(encoding="utf-8").splitlines() if line.strip()]
    wanted = options.batch * (options.steps + WARM_UP)
    return (lines * -(-wanted // len(lines)))[:wanted]


class Stepper:
    """A trainer's own data loader, `training_step`, clipping, optimiser and schedule, a step at a time.

    (Its loop would need a thread of its own for taking turns, and with more threads than cores
    OpenMP hands work over more slowly.)
    """

    def __init__(self, trainer: Trainer) -> None:
        self.trainer = trainer
        trainer.create_optimizer_and_scheduler(trainer.args.max_steps)
        self.model, self.optimizer = trainer.accelerator.prepare(trainer.model, trainer.optimizer)
        trainer.model_wrapped, trainer.current_gradient_accumulation_steps = self.model, 1
        self.model.train()
        self.batches = iter(trainer.get_train_dataloader())

    def step(self) -> float:
        """Makes one; seconds."""
        start = time.perf_counter()
        self.trainer.training_step(self.model, next(self.batches))
        self.trainer.accelerator.clip_grad_norm_(self.model.parameters(), self.trainer.args.max_grad_norm)
        self.optimizer.step()
        self.trainer.lr_scheduler.step()
        self.model.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter() - start


def take_turns(trainers: dict[str, Trainer], steps: int) -> dict[str, list[float]]:
    """Trains all of them, a step each in turn; seconds of every step, warm-up included."""
    steppers = {way: Stepper(trainer) for way, trainer in trainers.items()}
    seconds = {way: [] for way in trainers}
    for _ in tqdm(range(steps + WARM_UP), unit=" turns", disable=None):
        for way, stepper in steppers.items():
            seconds[way].append(stepper.step())
    return seconds


def _evaluation_ours(trainer: Trainer, options: argparse.Namespace) -> float:
    dev = DevSets.load(options.senteval_data, None)
    encoder = SentenceEncoder(trainer.model, pooler="cls_before_pooler")
    start = time.perf_counter()
    dev.score(lambda sentences: encoder.encode(sentences, batch_size=BATCH))
    return time.perf_counter() - start


def _evaluation_released(trainer: ReleasedTrainer, options: argparse.Namespace) -> float:
    trainer.model.eval()
    folder = find_senteval_data(options.senteval_data)
    batches = [
        side[start : start + BATCH]
        for task in STS_DEV_TASKS
        for pairs in in_file_order(task, folder).values()
        for side in (pairs.first, pairs.second)
        for start in range(0, len(side), BATCH)
    ]
    sample = batches[:: options.sample]
    start = time.perf_counter()
    for batch in tqdm(sample, unit=" batches", disable=None):
        trainer.embed(batch)
    share = sum(map(len, sample)) / sum(map(len, batches))
    return (time.perf_counter() - start) / share


@torch.no_grad()
def _logging_forward(trainer: ReleasedTrainer) -> float:
    """The whole forward pass again, which the released way makes every 125 steps to log similarities."""
    trainer.model.train()
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    start = time.perf_counter()
    trainer.compute_loss(trainer.model, batch)
    return time.perf_counter() - start


def _memory_of(way: str, options: argparse.Namespace) -> float:
    """Peak memory, in MB, of a process that makes a few steps of one way alone."""
    torch.set_num_threads(options.threads)
    options.steps = 2
    trainer = trainer_of(way, options.model_name_or_path, _sentences(options), options.batch)
    with peak_memory() as peak:
        trainer.train()
        return peak()


if __name__ == "__main__":
    main()
