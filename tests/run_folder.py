"""Reading what a run of train.py left, and whether it is what it should be."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel

import senteval
from mixcse import SentenceEncoder
from mixcse.train import run as training

HISTORY = [
    {"step": 0, "eval_stsb_spearman": 0.5, "eval_alignment": 0.2, "eval_uniformity": -1.0},
    {"step": 1, "loss": 0.9, "positive_similarity": 0.9, "negative_similarity": 0.4, "in_batch_weight": 0.1},
    {"step": 2, "loss": 0.5, "positive_similarity": 0.8, "negative_similarity": 0.3, "in_batch_weight": 0.05},
    {"step": 2, "eval_stsb_spearman": 0.6, "eval_alignment": 0.3, "eval_uniformity": -1.5},
]


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


def check_continuing(command, out):
    """Trains for four steps, and again from step 2 on: the weights are the same."""
    training.main(command)
    whole = out.parent / "whole"
    shutil.copytree(out / "checkpoint-4", whole)
    shutil.rmtree(out / "checkpoint-4")
    (out / "train_results.json").unlink()
    training.main(command)
    assert same_weights(out / "checkpoint-4", whole)


def check_folder(out, sentences, toy_senteval, pooler=None):
    """A plain folder, whose encoder gives the score it was kept for, and a sentence the same vector in any company."""
    _, info = AutoModel.from_pretrained(out, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    encoder = SentenceEncoder(out, pooler=pooler)
    alone = np.stack([encoder.encode([sentence])[0] for sentence in sentences])
    np.testing.assert_allclose(encoder.encode(sentences), alone, rtol=0, atol=1e-5)
    suite = senteval.Suite.load(["STSBenchmark"], toy_senteval, splits=["dev"])
    score = suite.score(suite.embed(encoder.encode))["STSBenchmark"]["dev"]["spearman"][0]
    assert score == pytest.approx(json.loads((out / "eval_results.json").read_text())["eval_stsb_spearman"], abs=1e-6)
    return encoder
