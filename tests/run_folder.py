"""Reading what a run of train.py left."""

import json
from pathlib import Path

import torch
from safetensors.torch import load_file


def weights(folder):
    return load_file(folder / "model.safetensors")


def same_weights(one, other):
    one, other = weights(one), weights(other)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def logged(folder, key):
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return {entry["step"]: entry[key] for entry in history if key in entry}


def own_pairs(folder: Path) -> Path:
    """A file of scored pairs, in STS-B's layout."""
    path = folder / "own.csv"
    rows = [f"o\tw\tn\t{i}\t{i % 6}\tthe cat {'sat ' * i}\ta dog {'ran ' * (i % 5)}" for i in range(1, 25)]
    path.write_text("\n".join(rows) + "\n")
    return path
