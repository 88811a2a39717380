"""Evaluation on the STS tasks: ours, against split by split in the original's order and batches.

    python benchmarks/sts_eval.py [--model_name_or_path M] [--senteval_data DIR]

Both ways score the same model on the same pairs in one process, one after the other: what
`evaluation.py --task_set sts --mode test` does, and what the original does: every dataset of
every task, train and dev splits included, in batches of 128 pairs in its order, both sides.
Prints the ratio and the largest difference of the seven reported scores.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr

import senteval
from mixcse.base.console import quiet_libraries
from mixcse.data.batch import pad_rows
from mixcse.data.demo_encoder import demo_encoder
from mixcse.data.pairs import find_senteval_data
from mixcse.encoder.sentence_encoder import SentenceEncoder
from mixcse.evaluate.scores import evaluate
from mixcse.names import STS_TASKS
from senteval.readers import SICK_FILES, read_lines
from senteval.sts import cosine_rows
from senteval.tasks import TASKS

BATCH = 128


def main() -> None:
    """Runs both and prints one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model_name_or_path")
    parser.add_argument("--senteval_data")
    options = parser.parse_args()
    quiet_libraries()
    encoder = SentenceEncoder(options.model_name_or_path or demo_encoder())
    encoder.model.eval()
    folder = find_senteval_data(options.senteval_data)
    encoder.encode(["a sentence to warm up with"] * BATCH)

    start = time.perf_counter()
    ours = evaluate(encoder.encode, STS_TASKS, folder).headline
    fast = time.perf_counter() - start
    start = time.perf_counter()
    theirs = original(encoder, folder)
    slow = time.perf_counter() - start
    worst = max(abs(ours[task] - theirs[task]) for task in STS_TASKS)
    print(
        f"STS, test mode: split by split {slow:.1f} s, ours {fast:.1f} s: {slow / fast:.1f}x; "
        f"largest difference of a score x 100: {worst:.4f}"
    )


def original(encoder: SentenceEncoder, folder: Path) -> dict[str, float]:
    """The scores as the original comes to them: nothing is shared between datasets."""
    scores = {}
    for task in STS_TASKS:
        datasets, similarities = in_file_order(task, folder), {}
        for name, pairs in datasets.items():
            batches = [slice(start, start + BATCH) for start in range(0, len(pairs), BATCH)]
            both = ([encode_batch(encoder, side[part]) for part in batches] for side in (pairs.first, pairs.second))
            similarities[name] = cosine_rows(*map(np.concatenate, both))
        reported = ["test"] if TASKS[task].splits else list(datasets)
        gold = np.concatenate([datasets[name].scores for name in reported])
        scores[task] = 100 * float(spearmanr(np.concatenate([similarities[name] for name in reported]), gold)[0])
    return scores


def in_file_order(task: str, folder: Path) -> dict[str, senteval.Pairs]:
    """STS12 to STS16 sorted by length within a dataset; STS-B and SICK-R as in their files (SimCSE's harness)."""
    if not TASKS[task].splits:
        return TASKS[task].load(folder)
    place = "STS/STSBenchmark/sts-{}.csv" if task == "STSBenchmark" else "SICK/{}"
    score, first = (4, 5) if task == "STSBenchmark" else (3, 1)
    datasets = {}
    for split in TASKS[task].splits:
        name = split if task == "STSBenchmark" else SICK_FILES[split]
        lines = [line.split("\t") for _, line in read_lines(folder / "downstream" / place.format(name))]
        rows = lines if task == "STSBenchmark" else lines[1:]
        sides = [[" ".join(row[first + side].split()) for row in rows] for side in (0, 1)]
        datasets[split] = senteval.Pairs(*sides, np.array([float(row[score]) for row in rows]))
    return datasets


@torch.inference_mode()
def encode_batch(encoder: SentenceEncoder, batch: list[str]) -> np.ndarray:
    """One forward pass over a batch as it comes, padded to its longest sentence."""
    rows = encoder.model.tokenizer(batch, truncation=True, max_length=encoder.max_seq_length)["input_ids"]
    inputs = {name: tensor.to(encoder.device) for name, tensor in pad_rows(encoder.model.tokenizer, rows).items()}
    return encoder.model.embed(**inputs, pooler=encoder.pooler).float().cpu().numpy()


if __name__ == "__main__":
    main()
