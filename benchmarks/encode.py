"""Encoding: `SentenceEncoder.encode` against what else runs the same encoder on a CPU; the start of `mixcse encode`.

    python benchmarks/encode.py --sentences wiki1m_first_12k.txt wikisplit_15k.txt [--count 20000] [--pooler avg]
    python benchmarks/encode.py --startup 9

The others: `SentenceTransformer.encode`, ONNX Runtime and OpenVINO (`runtimes.py`), the latter two where
their packages are installed.  All are in one process with the same weights, sentences and limit of length,
and take turns: a slice of the sentences each, the order reversed every other time, so that what else the
machine does falls on all.  A slice is what one call of `encode` gets, and has sentences of all lengths.
Of each other way some batch sizes are tried on a few sentences, and the fastest one takes part; of
sentence-transformers its default as well.

`--startup` runs `mixcse encode` on ten sentences, from start to end, in turns with a program that only
loads the same model by `AutoModel.from_pretrained`.
"""

import argparse
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import machine
from runtimes import Sized, runtimes

from mixcse.base.console import quiet_libraries, say
from mixcse.data.demo_encoder import demo_encoder
from mixcse.data.reading import iter_sentences
from mixcse.encoder.sentence_encoder import SentenceEncoder
from mixcse.evaluate.tables import table

DEFAULT = 32  # SentenceTransformer.encode's batch_size
SIZES = (8, 16, 32, 64, 128)
TRIED = 512  # sentences to choose one of them by

Encode = Callable[[list[str]], np.ndarray]


def main() -> None:
    """Measures and prints."""
    options = _parse()
    quiet_libraries()
    if options.startup:
        show_startup(options.model_name_or_path, options.startup)
        return
    torch.set_num_threads(options.threads)
    sentences = [sentence for file in options.sentences for sentence in iter_sentences(file)]
    random.Random(0).shuffle(sentences)
    compare(sentences[: options.count], options)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sentences", nargs="+", metavar="FILE", help=".txt, a sentence a line; they are shuffled")
    what.add_argument("--startup", type=int, metavar="N", help="measure the start of the command instead, N times")
    parser.add_argument("--count", type=int, default=20_000, help="how many of them")
    parser.add_argument("--slices", type=int, default=10, help="turns that each of the ways takes")
    parser.add_argument("--model_name_or_path", default=str(demo_encoder()))
    parser.add_argument("--pooler", choices=("cls_before_pooler", "avg"), default="cls_before_pooler")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def compare(sentences: list[str], options: argparse.Namespace) -> None:
    """Seconds of each way for all sentences, and how far apart the embeddings are."""
    encoder = SentenceEncoder(options.model_name_or_path, pooler=options.pooler, device="cpu")
    other = sentence_transformer(options.model_name_or_path, options.pooler, encoder.max_seq_length)
    slices = [sentences[number :: options.slices] for number in range(options.slices)]
    ways: dict[str, Encode] = {
        "ours": encoder.encode,
        f"sentence-transformers, batch {DEFAULT} (its default)": other.encode,
    }
    with tempfile.TemporaryDirectory() as folder:
        others = {"sentence-transformers": lambda part, batch_size: other.encode(part, batch_size=batch_size)}
        others |= runtimes(encoder, Path(folder), options.threads)
        for name, encode in others.items():
            best = fastest(encode, slices[0][:TRIED])
            ways[f"{name}, batch {best} (the fastest)"] = partial(encode, batch_size=best)
        for encode in ways.values():
            encode(slices[0][:TRIED])  # warm
        seconds, apart = take_turns(ways, slices)
    rows = []
    for way, times in seconds.items():
        ratios = [one / mine for one, mine in zip(times, seconds["ours"], strict=True)]
        spread, total = f"{min(ratios):.2f} to {max(ratios):.2f}", sum(times)
        numbers = [f"{total:.1f}", f"{len(sentences) / total:.0f}", f"{statistics.median(ratios):.2f}x"]
        rows.append([way, *numbers, spread, f"{apart[way]:.1e}"])
    lengths = [len(ids) for ids in encoder.model.tokenizer(sentences, truncation=True, max_length=512)["input_ids"]]
    percentiles = ", ".join(f"{int(length)}" for length in np.percentile(lengths, (0, 5, 50, 95, 100)))
    print(machine(options.threads))
    print(
        f"{len(sentences):,} sentences ({len(set(sentences)):,} different) in {len(slices)} slices\n"
        f"pooler {options.pooler}; {sum(lengths):,} tokens; 0, 5, 50, 95 and 100 % of sentences have at most "
        f"{percentiles}, of {encoder.max_seq_length} allowed"
    )
    print(table(["", "s", "sentences/s", "time / ours, median", "of a slice", "largest difference"], *rows))


def sentence_transformer(model: str, pooler: str, max_seq_length: int) -> Any:
    """The same encoder in sentence-transformers, with what its folder has after the pooling."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer import modules

    other = SentenceTransformer(model, device="cpu").float()
    mode = "mean" if pooler == "avg" else "cls"
    other[1] = modules.Pooling(other[0].get_embedding_dimension(), pooling_mode=mode)
    other.max_seq_length = max_seq_length
    return other


def fastest(encode: Sized, sentences: list[str]) -> int:
    """The batch size that takes the least time, the better of two tries; the first warms up."""
    seconds = dict.fromkeys(SIZES, float("inf"))
    for size in SIZES * 2:
        start = time.perf_counter()
        encode(sentences, size)
        seconds[size] = min(seconds[size], time.perf_counter() - start)
    return min(seconds, key=seconds.get)


def take_turns(ways: dict[str, Encode], slices: list[list[str]]) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each way for each slice; the largest difference of its embeddings from the first way's."""
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    apart = dict.fromkeys(ways, 0.0)
    for turn, part in enumerate(slices):
        embeddings = {}
        for way in list(ways) if turn % 2 else reversed(ways):
            start = time.perf_counter()
            embeddings[way] = ways[way](part)
            seconds[way].append(time.perf_counter() - start)
        say(f"slice {turn + 1}: " + ", ".join(f"{times[-1]:.1f} s" for times in seconds.values()))
        for way, found in embeddings.items():
            apart[way] = max(apart[way], float(np.abs(found - embeddings["ours"]).max()))
    return seconds, apart


def show_startup(model: str, times: int) -> None:
    """Seconds of both programs, and their ratio pair by pair."""
    bare = "import sys; from transformers import AutoModel; AutoModel.from_pretrained(sys.argv[1])"
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "ten.txt"
        text.write_text("".join(f"This is sentence {number} of ten.\n" for number in range(10)))
        encode = ["-m", "mixcse", "encode", "--model", model, str(text), "--output", str(text.with_suffix(".npy"))]
        seconds: dict[str, list[float]] = {"encode": [], "AutoModel.from_pretrained": []}
        for turn in range(times + 1):
            for name, words in zip(seconds, (encode, ["-c", bare, model]), strict=True):
                start = time.perf_counter()
                subprocess.run([sys.executable, *words], check=True, stderr=subprocess.DEVNULL)
                if turn:  # the first one finds cold files
                    seconds[name].append(time.perf_counter() - start)
    ratios = [ours / theirs for ours, theirs in zip(*seconds.values(), strict=True)]
    print(machine())
    print(", ".join(f"{name} {statistics.median(taken):.2f} s" for name, taken in seconds.items()))
    print(f"ratio: median {statistics.median(ratios):.2f}, {min(ratios):.2f} to {max(ratios):.2f}")


if __name__ == "__main__":
    main()
