"""The whole recipe on a GPU, and what each lever gives; one command, under ten minutes on an H100.

    python benchmarks/gpu_recipe.py [--output_json FILE]

BERT-base with random weights, a synthetic corpus with the lengths of wiki1m, 64 sentences of
at most 32 tokens a batch; nothing is downloaded.  First a table: steps of the released way
(float32, eager attention, N x N x d cosines), of ours, and of ours with one lever after the
other.  Then the recipe itself through `train.py`'s code: 10^6 lines, 15,625 steps, 125
evaluations on 2,000 dev pairs.  `--tiny` tries all of it on whatever is there, in a minute.
"""

import argparse
import gc
import json
import random
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from machine import machine, peak_memory
from tiny import make_bert
from tqdm import tqdm
from transformers import Trainer, TrainerCallback
from ways import MAX_LENGTH, trainer_of

from mixcse.base.console import quiet_libraries
from mixcse.base.files import write_json
from mixcse.evaluate.tables import table
from mixcse.train import gpu_recipe
from mixcse.train import run as training

BATCH, PERIOD = 64, 125
WORDS = [f"w{i}" for i in range(30_000)]
MEAN_WORDS, SPREAD = 22, 10  # of wiki1m's sentences, in tokens, before they are cut to 32
BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128}


def main() -> None:
    """Measures, prints a table and the recipe's time, and writes both to a file if one is named."""
    options = _parse()
    quiet_libraries()
    gpu = torch.cuda.is_available()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        model = str(folder / "bert")
        make_bert(folder / "bert", words=WORDS, initializer_range=0.02, **(TINY if options.tiny else BASE))
        sentences = make_sentences(BATCH * (options.steps + options.warm_up))
        print(machine())
        measured = {way: measure(way, model, sentences, options) for way in levers(gpu)}
        show(measured)
        results = {"machine": machine(), "steps": measured}
        if options.output_json:
            write_json(options.output_json, results)  # what is measured is safe
        seconds = whole_recipe(model, folder, options, gpu)
        steps = options.lines // BATCH
        print(f"recipe: {options.lines:,} lines, {steps:,} steps, {steps // PERIOD} evaluations in {seconds:.0f} s")
        for way in filter(lambda way: way.startswith("released"), measured):
            scaled = measured[way]["ms"] / 1000 * steps
            print(f"  {scaled / seconds:.1f}x {way}: {scaled:.0f} s for its steps alone (scaled)")
        if options.output_json:
            write_json(options.output_json, results | {"recipe_seconds": seconds})


def show(measured: dict[str, dict[str, float]]) -> None:
    """The table, and from how many steps on compiling pays."""
    first = next(iter(measured.values()))["ms"]
    rows = [[way, f"{one['ms']:.1f}", f"{first / one['ms']:.1f}x", f"{one['mb']:.0f}"] for way, one in measured.items()]
    print(table(["", "step (ms), median", "against the first", "peak memory (MB)"], *rows))
    fixed, compiled = list(measured.values())[-2:]
    seconds, gain = compiled["start_seconds"] - fixed["start_seconds"], (fixed["ms"] - compiled["ms"]) / 1000
    pays = f"pays from {seconds / gain:,.0f} steps" if gain > 0 else "does not pay here"
    print(f"compiling: {seconds:.0f} s; it {pays} (done from {gpu_recipe.COMPILE_FROM_STEPS:,})")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200, help="timed steps for each row of the table")
    parser.add_argument("--warm_up", type=int, default=20, help="steps before them")
    parser.add_argument("--lines", type=int, default=1_000_000, help="of the recipe's corpus")
    parser.add_argument("--tiny", action="store_true", help="a small model and few steps, to see whether it runs")
    parser.add_argument("--output_json", metavar="FILE")
    options = parser.parse_args()
    if options.tiny:
        options.steps, options.warm_up, options.lines = 6, 2, BATCH * PERIOD * 2
    return options


def levers(gpu: bool) -> dict[str, dict[str, Any]]:
    """The rows of the table, each with what is new in it; options of TrainArguments."""
    bf16 = {"bf16": True}
    return {
        "released way: float32, eager attention": {"way": "released"},
        **({"released way, TF32": {"way": "released", "tf32": True}} if gpu else {}),
        "released way, half precision": {"way": "released", "fp16" if gpu else "bf16": True},
        "ours, float32 (--faithful_precision)": {"way": "ours"},
        "+ bf16 autocast": {"way": "ours", **bf16},
        "+ one shape": {"way": "ours", **bf16, "fixed": True},
        "+ compiled, CUDA graphs (--gpu_recipe)" if gpu else "+ compiled": {
            "way": "ours", **bf16, "fixed": True, "torch_compile": True,
            **({"torch_compile_mode": "reduce-overhead"} if gpu else {}),
        },
    }  # fmt: skip


def make_sentences(count: int, seed: int = 0) -> list[str]:
    """Sentences of words drawn as often as real ones are, of real ones' lengths."""
    generator = random.Random(seed)
    pool = generator.choices(WORDS, weights=[1 / (i + 1) for i in range(len(WORDS))], k=1_000_000)
    sentences = []
    for _ in range(count):
        length = min(60, max(3, round(generator.gauss(MEAN_WORDS, SPREAD))))
        start = generator.randrange(len(pool) - length)
        sentences.append(" ".join(pool[start : start + length]))
    return sentences


class _Clock(TrainerCallback):
    """Seconds between steps; the GPU is waited for now and then, so that it can be fed in between."""

    def __init__(self, every: int) -> None:
        self.every, self.marks = every, []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step % self.every == 0:
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            self.marks.append(time.perf_counter())

    def milliseconds(self, warm_up: int) -> float:
        return 1000 * statistics.median(b - a for a, b in pairwise(self.marks[warm_up // self.every :])) / self.every


def measure(way: str, model: str, sentences: list[str], options: argparse.Namespace) -> dict[str, float]:
    """Milliseconds a step and peak memory of one row of the table."""
    trainer = _trainer(model, sentences, **levers(torch.cuda.is_available())[way])
    clock = _Clock(2 if options.tiny else 10)
    trainer.add_callback(clock)
    start = time.perf_counter()
    with peak_memory() as peak:
        trainer.train()
        result = {"ms": clock.milliseconds(options.warm_up), "mb": peak(), "start_seconds": clock.marks[0] - start}
    del trainer, clock
    gc.collect()  # a trainer and its callbacks know each other; the next row's memory begins without them
    torch.cuda.empty_cache()
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return result


def _trainer(model: str, sentences: list[str], way: str, fixed: bool = False, **options: Any) -> Trainer:
    gpu = torch.cuda.is_available()
    options |= {"dataloader_num_workers": gpu_recipe.LOADER_WORKERS} if gpu else {"use_cpu": True}
    trainer = trainer_of(way, model, sentences, BATCH, **options)
    if way == "released":
        trainer.model.encoder.set_attn_implementation("eager")  # as in 2022
    elif fixed:
        trainer.data_collator.pad_to = MAX_LENGTH
        trainer.model.packed = False
    return trainer


def whole_recipe(model: str, folder: Path, options: argparse.Namespace, gpu: bool) -> float:
    """Seconds of the recipe from its command line to the last step's scores; data made before, not counted."""
    corpus, pairs = folder / "corpus.txt", folder / "pairs.csv"
    corpus.write_text("\n".join(make_sentences(options.lines)) + "\n")
    texts = make_sentences(4000, seed=1)
    rows = [f"o\tw\tn\t{i}\t{i % 6}\t{a}\t{b}" for i, (a, b) in enumerate(zip(texts[::2], texts[1::2], strict=True))]
    pairs.write_text("\n".join(rows) + "\n")
    command = [
        *("--model_name_or_path", model, "--train_file", str(corpus), "--output_dir", str(folder / "out")),
        *("--eval_path", str(pairs), "--senteval_data", str(folder), "--eval_steps", str(PERIOD)),
        *("--per_device_train_batch_size", str(BATCH), "--num_train_epochs", "1"),
        *(["--gpu_recipe"] if gpu and gpu_recipe.supported() else []),
    ]
    start = time.perf_counter()
    training.main(command)
    seconds = time.perf_counter() - start
    results = json.loads((folder / "out" / "train_results.json").read_text())
    tqdm.write(f"of which training {results['train_runtime']:.0f} s, the rest tokenising, loading, drawing")
    return seconds


if __name__ == "__main__":
    main()
